"""Names that command lines offer, and facts about them. Nothing here loads torch, so that --help answers at once."""

from typing import NamedTuple

# Networks.


class Arch(NamedTuple):
    """A ResNet."""

    bottlenecks: bool  # its blocks: `Bottleneck` or `BasicBlock`
    depths: tuple[int, int, int, int]  # blocks per stage


ARCHS = {
    "resnet10": Arch(False, (1, 1, 1, 1)),  # ours, for small data; there are no published weights
    "resnet18": Arch(False, (2, 2, 2, 2)),
    "resnet34": Arch(False, (3, 4, 6, 3)),
    "resnet50": Arch(True, (3, 4, 6, 3)),
    "resnet101": Arch(True, (3, 4, 23, 3)),
}
# Parts of H2CN that an ablation can leave out.
ABLATIONS = {
    "fmcb": "no frame-level motion: the key frame alone",
    "cmcb": "no clip-level gates",
    "aggregation": "hourglasses without their neighbourhood A: rigid temporal convolutions",
    "shift": "no temporal shift",
}
# Initial hourglasses of a random H2CN.
HOURGLASS_STARTS = {
    "difference": "A is the identity and gates are constant, so that a static background cancels",
    "published": "A and gates are random",
}
TORCHVISION = "torchvision"  # --arch of its networks


class Form(NamedTuple):
    """The differences between these networks."""

    classifier: str  # name of the last layer
    features: str  # name of the layer whose output is the feature map
    explained: str | None = None  # the layer for Grad-CAM, if it is another one
    stride: int = 32  # in space
    input_size: int = 224  # H = W in pixels that the weights expect
    convolves: bool = False  # whether frames are mixed by 3-D convolutions
    # Required by S3D's temporal strides. Also covers its first temporal kernel: for shorter clips torch's convolution
    # gives wrong gradients on the CPU or writes beyond its memory (seen with torch 2.15).
    min_segments: int = 1


TORCHVISION_NETS = {
    "r2plus1d_18": Form("fc", "layer4", stride=16, input_size=112, convolves=True),
    "mvit_v2_s": Form("head.1", "blocks.15", "blocks.14"),  # after the last block only the class token is used
    "swin3d_t": Form("head", "norm"),
    "swin3d_s": Form("head", "norm"),
    "swin3d_b": Form("head", "norm"),
    "s3d": Form("classifier.1", "features", convolves=True, min_segments=8),
}

# Training.

CLASS_WEIGHTS = ("none", "inverse", "sqrt", "effective")
BETA = 0.999  # of the effective number of clips; Cui et al., CVPR 2019 (arXiv 1901.05555), compare 0.9 to 0.9999
# Defaults of --mix_alpha: lambda ~ Beta(alpha, alpha). Mixup: arXiv 1710.09412, section 3.1, on ImageNet; CutMix: arXiv
# 1905.04899, section 3.1. VideoMix (arXiv 2012.03457) takes CutMix's. NOTE: its own value was not available to us.
ALPHAS = {"mixup": 0.2, "cutmix": 1.0, "videomix": 1.0}
MIXES = ("none", *ALPHAS, "svmix")
# Of SV-Mix's released code: Beta distributions online in space, online in time, and offline.
SPATIAL_ALPHA, TEMPORAL_ALPHA, OFFLINE_ALPHA = 1.0, 0.8, 1.0

# Devices and files.

AMP = ("off", "bf16", "fp16")  # mixed precision
MALLOC = ("keep", "system")  # freed memory is kept for reuse, or returned to the system
DTYPES = ("float16", "float32")  # of features and published weights
EXPORTED = (".onnx", ".pt2")
