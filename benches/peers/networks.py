"""The whole networks that are measured: Keras's, with random weights, to logits of 1000 classes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Network:
    """`keras` names the function of keras.applications, `slug` is for files and records."""

    slug: str
    label: str
    keras: str
    size: int


XCEPTION = Network("xception", "Xception", "Xception", 299)
NETWORKS = [
    XCEPTION,
    Network("mobilenet", "MobileNetV1", "MobileNet", 224),
    Network("mobilenet-v2", "MobileNetV2", "MobileNetV2", 224),
]
