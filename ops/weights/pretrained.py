"""Published weights by name, from torchvision, to start a training from."""

import pickle
from pathlib import Path

import torch

from common.errors import InputError
from ops.network import VideoNet
from ops.weights.load import LoadReport, load_weights

PRETRAINED = {"imagenet": "IMAGENET1K_V1", "kinetics": "KINETICS400_V1"}  # torchvision's names for them


def load_pretrained(model: VideoNet, source: str) -> LoadReport:
    """Load published weights; a classifier for other classes stays as it is.

    Args:
        model: the network.
        source: "imagenet" (torchvision's ResNet), "kinetics" (torchvision's video networks), another name that
            torchvision has for weights of this network, such as KINETICS400_IMAGENET22K_V1, or a file.

    Raises:
        InputError: the weights are not available, or do not fit.
    """
    import torchvision  # here, as nothing else needs it

    published = model.net if "torchvision video" in model.layouts else model.arch
    known = {}
    if published in torchvision.models.list_models():
        known = dict(torchvision.models.get_model_weights(published).__members__)
    name = PRETRAINED.get(source.lower(), source)
    if name not in known:
        if name in PRETRAINED.values() or (name.isupper() and not Path(source).exists()):
            words = [word for word, meaning in PRETRAINED.items() if meaning in known]
            raise InputError(
                f"--pretrain {source}: torchvision has no such weights for {model.net} {model.arch}; "
                f"give {', '.join([*words, *known, 'a file'])} or none"
            )
        return load_weights(model, source, new_classifier=True)
    weights = known[name]
    file = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]
    try:
        state = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:  # no network, wrong hash, cut file
        raise InputError(
            f"--pretrain {source}: {weights.url} is not available ({error}); put a complete copy at {file}, "
            "or pass its path to --pretrain, or train from random weights with --pretrain none"
        ) from error
    return load_weights(model, state, new_classifier=True)
