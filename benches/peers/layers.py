"""The single layers that are measured, and what each costs in arithmetic and traffic.

A layer is named as `sepconv bench --layer` takes it: `sep 1x19x19x728 o728 k3 s1`. All have SAME
padding.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """A depthwise ("dw"), pointwise ("pw") or separable ("sep") convolution of a square picture."""

    kind: str
    size: int
    channels: int
    out: int
    kernel: int = 3
    stride: int = 1

    @property
    def spec(self):
        """As `sepconv bench --layer` takes it."""
        text = f"{self.kind} 1x{self.size}x{self.size}x{self.channels}"
        if self.kind != "dw":
            text += f" o{self.out}"
        if self.kind != "pw":
            text += f" k{self.kernel} s{self.stride}"
        return text

    @property
    def label(self):
        """For people: `19²·728→728`."""
        text = f"{self.size}²·{self.channels}"
        if self.kind != "dw":
            text += f"→{self.out}"
        if self.stride != 1:
            text += f" /{self.stride}"
        return text

    @property
    def slug(self):
        """For file names."""
        return f"{self.kind}-{self.size}-{self.channels}-{self.out}-s{self.stride}"

    @property
    def out_size(self):
        return -(-self.size // self.stride)

    @property
    def multiply_adds(self):
        pixels = self.out_size**2
        depthwise = pixels * self.channels * self.kernel**2
        pointwise = pixels * self.channels * self.out
        return {"dw": depthwise, "pw": pointwise, "sep": depthwise + pointwise}[self.kind]

    @property
    def bytes(self):
        """What has to be read and written at least: input, output and weights, once each."""
        weights = {
            "dw": self.kernel**2 * self.channels,
            "pw": self.channels * self.out,
            "sep": (self.kernel**2 + self.out) * self.channels,
        }[self.kind]
        values = self.size**2 * self.channels + self.out_size**2 * self.out + weights + self.out
        return 4 * values


def _depthwise(size, channels, stride=1):
    return Layer("dw", size, channels, channels, stride=stride)


_SHAPES = [(147, 64, 128), (74, 128, 256), (37, 256, 728), (19, 728, 728), (10, 1536, 2048)]

LAYERS = [
    _depthwise(147, 128),
    _depthwise(74, 256),
    _depthwise(37, 728),
    _depthwise(19, 728),
    _depthwise(10, 1536),
    _depthwise(112, 64, stride=2),
    *(Layer("pw", *shape) for shape in _SHAPES),
    *(Layer("sep", *shape) for shape in _SHAPES),
]

KINDS = {"dw": "depthwise 3×3", "pw": "pointwise", "sep": "separable 3×3"}
