"""What the published runs used, and a check of the options against it.

The commonest reasons why a published number is not reached are a learning rate that does not fit the batch, a
forgotten --npb, and a start from random weights: one line each says so before the run.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """A published run.

    Attributes:
        lr: learning rate.
        batches: smallest and largest number of clips a step that was published with this rate.
        source: where it stands.
        every_norm: whether it is known that every BatchNorm was trained.
    """

    lr: float
    batches: tuple[int, int]
    source: str
    every_norm: bool = True


_TDN = "TDN's, which H2CN's code is built on; none of H2CN's own is published"
_LATER = "the same authors' later one for TSM; none of H2CN's own is published"
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
    """Lines that say where a run differs from the published one, and what would fit. Empty where none is published.

    Args:
        net: network.
        dataset: data set.
        mix: how clips are mixed, as `--mix` names it.
        lr: learning rate of the run.
        batch: clips a step of the optimiser, over all devices and accumulated batches.
        partial_bn: whether BatchNorms are frozen.
        random_start: whether no weights are loaded at the start.
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
            f"recipe: {recipe.lr:g} was published with {published} clips a step ({recipe.source}); "
            f"this run has --lr {lr:g} with {batch}; what fits is --lr {fit:g}"
        )
    if partial_bn and recipe.every_norm:
        lines.append("recipe: the published run trains every BatchNorm; that would be --npb")
    if random_start:
        lines.append("recipe: the published run starts from ImageNet weights; that would be --pretrain imagenet")
    return lines
