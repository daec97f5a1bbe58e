"""What the tests share: the committed fixtures, and naive loops."""

import io
import json
import pathlib
import sys
import zipfile

import numpy as np
import pytest

import sepconv

ROOT = pathlib.Path(__file__).parents[2]
FIXTURES = ROOT / "tests/keras/fixtures"

# The inputs of the fixtures' numbers.
sys.path.append(str(ROOT / "tests/keras"))
import synthetic  # noqa: E402, F401


class Fixtures:
    """The content of the zip files of `tests/keras/fixtures`."""

    def bytes(self, archive: str, name: str) -> bytes:
        with zipfile.ZipFile(FIXTURES / f"{archive}.zip") as file:
            return file.read(name)

    def model(self, name: str, archive: str = "models", **options) -> sepconv.Model:
        return sepconv.Model.from_bytes(self.bytes(archive, name), name, **options)

    def npy(self, archive: str, name: str) -> np.ndarray:
        return np.load(io.BytesIO(self.bytes(archive, name)))

    def json(self, name: str):
        return json.loads((FIXTURES / name).read_text())


@pytest.fixture(scope="session")
def fixtures() -> Fixtures:
    return Fixtures()


@pytest.fixture(scope="session")
def digits_path() -> pathlib.Path:
    return ROOT / "assets/digits.keras"


@pytest.fixture
def digits(digits_path) -> sepconv.Model:
    return sepconv.Model.load(digits_path, threads=2)


def uniform(*shape: int, seed: int = 0) -> np.ndarray:
    """float32 in [−1, 1)."""
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def naive_conv(x, weights, *, stride=1, dilation=1, padding="same", groups=1):
    """A convolution in f64, one tap after the other. Knows nothing of the package."""
    x, weights = x.astype(np.float64), weights.astype(np.float64)
    kh, kw, _, out = weights.shape
    n, h, w, c = x.shape
    sides = []
    for size, kernel in ((h, kh), (w, kw)):
        extent = (kernel - 1) * dilation + 1
        if padding == "same":
            outputs = -(-size // stride)
            total = max((outputs - 1) * stride + extent - size, 0)
            sides.append((total // 2, total - total // 2))
        else:
            sides.append((0, 0))
    x = np.pad(x, ((0, 0), *sides, (0, 0)))
    oh = (x.shape[1] - (kh - 1) * dilation - 1) // stride + 1
    ow = (x.shape[2] - (kw - 1) * dilation - 1) // stride + 1
    y = np.zeros((n, oh, ow, out))
    ins, outs = c // groups, out // groups
    for i in range(kh):
        for j in range(kw):
            top, left = i * dilation, j * dilation
            taps = x[:, top : top + stride * oh : stride, left : left + stride * ow : stride]
            taps = taps[:, :oh, :ow]
            for g in range(groups):
                part = slice(g * outs, (g + 1) * outs)
                y[..., part] += taps[..., g * ins : (g + 1) * ins] @ weights[i, j, :, part]
    return y


def naive_depthwise(x, weights, **options):
    """The same by channels."""
    kh, kw, c, m = weights.shape
    return naive_conv(x, weights.reshape(kh, kw, 1, c * m), groups=c, **options)
