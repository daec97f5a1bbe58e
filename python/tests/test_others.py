"""Live models of other libraries, which here are stand-ins, and benchmarks."""

import json
import shutil
import struct

import numpy as np
import pytest
from conftest import uniform

import sepconv
from sepconv._convert import _safetensors


class Keras:
    """As much of a Keras model as `from_keras` needs: it saves a file, and predicts."""

    name = "digits"

    def __init__(self, path, predict):
        self.path, self.predict_ = path, predict

    def save(self, path):
        assert path.endswith(".keras")
        shutil.copyfile(self.path, path)

    def predict(self, x, verbose):
        assert verbose == 0
        return self.predict_(x)


def test_from_keras(digits, digits_path):
    x = uniform(2, 32, 32, 3)
    model = sepconv.from_keras(Keras(digits_path, digits), check=True, threads=1)
    assert model.threads == 1
    np.testing.assert_array_equal(model(x), digits(x))
    unchecked = Keras(digits_path, None)
    np.testing.assert_array_equal(sepconv.from_keras(unchecked)(x), digits(x))


@pytest.mark.parametrize(
    "predict,message",
    [
        (lambda y: y + 1e-3, "differs by 0.001 from Keras's output"),
        (lambda y: np.where(y > 0.5, np.nan, y) * np.nan, "differs by nan"),
        (lambda y: y[:, :9], r"expected shape \(2, 9\), got \(2, 10\)"),
        (lambda y: [y, y], "expected 2 outputs as Keras, got 1"),
    ],
)
def test_from_keras_finds_what_differs(digits, digits_path, predict, message):
    with pytest.raises(ValueError, match=message):
        sepconv.from_keras(Keras(digits_path, lambda x: predict(digits(x))), check=True)


def test_from_keras_shows_no_temporary_file(tmp_path):
    path = tmp_path / "wrong"
    path.write_bytes(b"abcdef")
    with pytest.raises(ValueError) as caught:
        sepconv.from_keras(Keras(path, None))
    assert str(caught.value).startswith("digits.keras: expected a .keras file")


def test_safetensors_are_as_their_format_says():
    tensors = {"a": uniform(2, 3), "b": np.float32([1.5])}
    data = _safetensors(tensors, "xception41")
    (length,) = struct.unpack("<Q", data[:8])
    assert (8 + length) % 8 == 0
    header = json.loads(data[8 : 8 + length])
    assert header.pop("__metadata__") == {"architecture": "xception41"}
    for name, tensor in tensors.items():
        start, end = header[name]["data_offsets"]
        got = np.frombuffer(data[8 + length :][start:end], "<f4")
        np.testing.assert_array_equal(got.reshape(header[name]["shape"]), tensor)
    assert end == len(data) - 8 - length


def test_bench_gives_records(digits):
    x = uniform(1, 32, 32, 3)
    calls = []
    contenders = {"ours": digits, "nothing": calls.append}
    records = sepconv.bench(contenders, x, seconds=0.02, warm_up=1)
    ours, nothing = records
    assert (ours.name, nothing.name) == ("ours", "nothing")
    assert ours.ratio == 1.0 and ours.shape == (1, 32, 32, 3)
    assert ours.runs == nothing.runs == len(calls) - 1 >= 3
    assert 0 < ours.shortest <= ours.median
    (alone,) = sepconv.bench(digits, x, seconds=0)
    assert (alone.name, alone.runs) == ("xception", 3)
    with pytest.raises(ValueError, match="at least 1, got none"):
        sepconv.bench({}, x)


def test_examples_of_the_documentation():
    import doctest

    from sepconv import _bench, kernels

    for module in (kernels, _bench):
        failed, tried = doctest.testmod(module, extraglobs={"np": np})
        assert failed == 0 and tried > 0, module.__name__
