"""Settings of the published runs, and a comparison with this run's.

Published numbers are most often missed by a learning rate that does not fit the batch, a forgotten --npb, or random
initial weights. Each is reported in one line before the run.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """A published run."""

    lr: float
    batches: tuple[int, int]  # smallest and largest number of clips per step published with this rate
    source: str
    every_norm: bool = True  # whether every BatchNorm is known to be trained


_TDN = "from TDN, which H2CN's code builds on; H2CN's own is not published"
_LATER = "from the same authors' later TSM runs; H2CN's own is not published"
_SVMIX = "SV-Mix's released code"
RECIPES = {  # (net, data set, mix)
    ("H2CN", "somethingv1", "none"): Recipe(0.01, (8, 32), "H2CN's code: batch 8 in its last state, 4 x 8 at first"),
    ("H2CN", "somethingv2", "none"): Recipe(0.01, (64, 64), _TDN),
    ("H2CN", "kinetics", "none"): Recipe(0.02, (128, 128), _TDN),
    **{("H2CN", name, "none"): Recipe(0.01, (64, 64), _LATER) for name in ("diving48", "egtea1", "egtea2", "egtea3")},
    ("TSM", "ucf101", "svmix"): Recipe(0.02, (64, 64), _SVMIX, every_norm=False),
    ("TSM", "diving48", "svmix"): Recipe(0.01, (64, 64), _SVMIX, every_norm=False),
    ("TSM", "egtea1", "svmix"): Recipe(0.01, (64, 64), _SVMIX, every_norm=False),
    ("TSM", "somethingv1", "svmix"): Recipe(0.01, (32, 32), _SVMIX, every_norm=False),
    ("TSM", "somethingv2", "svmix"): Recipe(0.01, (32, 32), _SVMIX, every_norm=False),
}


def check_recipe(
    net: str, dataset: str, *, mix: str = "none", lr: float, batch: int, partial_bn: bool, random_start: bool
) -> list[str]:
    """A line for each difference from the published run, with the fitting option; empty if no run is published.

    `batch` is the number of clips per optimiser step, over all devices and accumulated batches.
    """
    recipe = RECIPES.get((net, dataset, mix))
    if recipe is None:
        return []
    lines = []
    low, high = recipe.batches
    fit = recipe.lr * batch / min(max(batch, low), high)  # linear rule beyond the published batches
    if abs(lr / fit - 1) > 0.01:
        published = f"{low}" if low == high else f"{low} to {high}"
        lines.append(
            f"recipe: --lr {recipe.lr:g} was published for {published} clips per step ({recipe.source}); this run has "
            f"--lr {lr:g} for {batch}; use --lr {fit:g}"
        )
    if partial_bn and recipe.every_norm:
        lines.append("recipe: the published run trains every BatchNorm; add --npb")
    if random_start:
        lines.append("recipe: the published run starts from ImageNet weights; add --pretrain imagenet")
    return lines
