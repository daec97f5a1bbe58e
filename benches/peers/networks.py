"""The whole networks that are measured: Keras's, with random weights, to logits of 1000 classes.

To add one: a line here; what its layers need in to_onnx.py, whose logits, and those of every runtime, must be
sepconv's before anything is timed.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Network:
    """`keras` names the function of keras.applications, `slug` is for files and records. A network
    that begins with the scaling of pixels is measured behind that, from its layer `first`."""

    slug: str
    label: str
    keras: str
    size: int
    first: str | None = None


XCEPTION = Network("xception", "Xception", "Xception", 299)
# Of convolutions, ReLUs, pools and sums: measured in integers, too.
NETWORKS = [
    XCEPTION,
    Network("mobilenet", "MobileNetV1", "MobileNet", 224),
    Network("mobilenet-v2", "MobileNetV2", "MobileNetV2", 224),
]
# Later ones, of squeeze and excitation, swish, layer norm, GELU and kernels of 5×5 and 7×7: in f32.
LATER = [
    Network("mobilenet-v3", "MobileNetV3-Large", "MobileNetV3Large", 224, "conv"),
    Network("efficientnet-b0", "EfficientNet-B0", "EfficientNetB0", 224, "stem_conv_pad"),
    Network("convnext-tiny", "ConvNeXt-Tiny", "ConvNeXtTiny", 224, "convnext_tiny_stem"),
]
