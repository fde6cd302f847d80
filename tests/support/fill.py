"""Deterministic parameter fill.

Every tensor of a state dict is a pure function of its key and its shape, so a
reference checkpoint never has to be stored: any implementation that uses the
same key names and shapes can rebuild it.  numpy's legacy RandomState streams are
frozen (NEP 19), so the values are the same on every numpy version.
"""

import math
import zlib

import numpy as np
import torch


def fill_array(key, shape):
    """float64 values (int64 for num_batches_tracked) of the tensor called `key`."""
    shape = tuple(int(s) for s in shape)
    leaf = key.rsplit(".", 1)[-1]
    rng = np.random.RandomState(zlib.crc32(key.encode()))
    if leaf == "num_batches_tracked":
        return np.zeros(shape, dtype=np.int64)
    if leaf == "running_mean":
        return 0.1 * rng.standard_normal(shape)
    if leaf == "running_var":
        return 0.5 + rng.random_sample(shape)
    if leaf == "bias":
        return 0.1 * rng.standard_normal(shape)
    if leaf != "weight":
        raise KeyError(f"no fill rule for {key!r}")
    if len(shape) == 1:  # normalisation scale
        return 0.8 + 0.4 * rng.random_sample(shape)
    fan_in = int(np.prod(shape[1:]))  # convolution or linear
    return math.sqrt(1.0 / fan_in) * rng.standard_normal(shape)


def fill_state_dict(template, prefix=""):
    """A new state dict with the keys, shapes and dtypes of `template`.

    `prefix` is put before every key for hashing only (module-level goldens)."""
    return {
        key: torch.from_numpy(np.asarray(fill_array(prefix + key, value.shape))).to(value.dtype)
        for key, value in template.items()
    }


def fill_module(module, prefix=""):
    """Fill `module` in place (strict) and return it."""
    module.load_state_dict(fill_state_dict(module.state_dict(), prefix), strict=True)
    return module


def make_input(shape, dtype=torch.float64, seed=0):
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(tuple(shape))).to(dtype)
