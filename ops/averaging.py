"""Averaged weights (exponential moving average): --ema, and the teacher of SV-Mix."""

from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ops.network import VideoNet


def moving_average(model: VideoNet, decay: float, optimiser: Optimizer | None = None) -> AveragedModel:
    """A copy of a network that follows it, on its device: average <- decay x average + (1 - decay) x network.

    It is updated, BatchNorm statistics included, after each step of `optimiser`, or when its `update_parameters` is
    called. Its BatchNorms' counts of batches are rounded down and so too small; no result depends on them.
    """
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    average.n_averaged.fill_(1)  # otherwise its first update would copy the network again
    average.requires_grad_(False)
    if optimiser is not None:
        optimiser.register_step_post_hook(lambda *_: average.update_parameters(model))
    return average
