"""Single layers, against numpy."""

import pickle
import sys
import threading
import time

import numpy as np
import pytest
from conftest import naive_conv, naive_depthwise, uniform

from sepconv import kernels

ml_dtypes = pytest.importorskip("ml_dtypes")


def close(y, expected, tolerance=1e-5):
    assert y.shape == expected.shape
    assert np.max(np.abs(y - expected)) <= tolerance * max(np.max(np.abs(expected)), 1)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("stride,dilation", [(1, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize("threads", [1, 2])
def test_every_layer_computes_what_numpy_does(padding, stride, dilation, threads):
    x = uniform(2, 9, 11, 12)
    window = {"stride": stride, "dilation": dilation, "padding": padding}
    options = {**window, "threads": threads}
    dw, pw, bias = uniform(3, 3, 12, 2, seed=1), uniform(24, 20, seed=2), uniform(20, seed=3)
    expected = naive_depthwise(x, dw, **window)
    close(kernels.Depthwise(dw, **options)(x), expected)
    close(kernels.Separable(dw, pw, bias, **options)(x), expected @ pw + bias)
    full = uniform(3, 3, 12, 20, seed=4)
    close(kernels.Conv(full, bias, **options)(x), naive_conv(x, full, **window) + bias)
    grouped = uniform(3, 3, 4, 21, seed=5)
    expected = naive_conv(x, grouped, groups=3, **window)
    close(kernels.Conv(grouped, groups=3, **options)(x), expected)
    pointwise = kernels.Pointwise(pw[:12], stride=stride, threads=threads)
    close(pointwise(x), x[:, ::stride, ::stride].astype(np.float64) @ pw[:12])


def test_explicit_padding_and_pairs():
    x, weights = uniform(1, 5, 6, 4), uniform(3, 2, 4, 1, seed=1)
    layer = kernels.Depthwise(weights, padding=(1, 2, 0, 3), stride=(2, 1))
    padded = np.pad(x, ((0, 0), (1, 2), (0, 3), (0, 0)))
    close(layer(x), naive_depthwise(padded, weights, padding="valid")[:, ::2])
    ones = kernels.Depthwise(weights, padding=1)
    close(ones(x), kernels.Depthwise(weights, padding=(1, 1, 1, 1))(x))


def test_activations_and_residual():
    x, weights = uniform(1, 4, 4, 8), uniform(8, 8, seed=1)
    residual = uniform(1, 4, 4, 8, seed=2)
    linear = x.astype(np.float64) @ weights
    relu = kernels.Pointwise(weights, activation="relu")
    close(relu(x, residual=residual), np.maximum(linear + residual, 0))
    clamp = kernels.Pointwise(weights, activation=(-0.25, 0.5))
    close(clamp(x), np.clip(linear, -0.25, 0.5))
    before = kernels.Pointwise(weights, input_activation="relu")
    close(before(x), np.maximum(x, 0).astype(np.float64) @ weights)
    silu = kernels.Pointwise(weights, activation="silu")
    close(silu(x), linear / (1 + np.exp(-linear)))
    dw = uniform(3, 3, 8, 1, seed=3)
    middle = kernels.Separable(dw, weights, mid_activation="relu")
    close(middle(x), np.maximum(naive_depthwise(x, dw), 0) @ weights)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_16_bit_types(dtype):
    x, weights = uniform(1, 7, 7, 16).astype(dtype), uniform(16, 24, seed=1).astype(dtype)
    exact = x.astype(np.float64) @ weights.astype(np.float64)
    wide = kernels.Pointwise(weights, dtype=dtype, out_dtype="float32")(x)
    assert wide.dtype == np.float32
    close(wide, exact)
    narrow = kernels.Pointwise(weights, dtype=dtype)(x)
    assert narrow.dtype == dtype
    # Rounded once, from the same sums.
    np.testing.assert_array_equal(narrow, wide.astype(dtype))
    residual = uniform(1, 7, 7, 24, seed=2).astype(dtype)
    sums = kernels.Pointwise(weights, dtype=dtype)(x, residual=residual)
    close(sums.astype(np.float64), exact + residual.astype(np.float64), 1e-2)
    if dtype == ml_dtypes.bfloat16:
        by_name = kernels.Pointwise(weights, dtype="bfloat16")
        np.testing.assert_array_equal(by_name(x), narrow)


def test_any_strides_and_out():
    x, layer = uniform(2, 6, 6, 8), kernels.Conv(uniform(3, 3, 4, 5, seed=1))
    strided = x[::-1, :, ::2, 1::2]
    assert not strided.flags.c_contiguous
    expected = layer(np.ascontiguousarray(strided))
    np.testing.assert_array_equal(layer(strided), expected)
    turned = np.asfortranarray(strided)
    np.testing.assert_array_equal(layer(turned), expected)
    out = np.full(expected.shape, np.nan, np.float32)
    assert layer(strided, out=out) is out
    np.testing.assert_array_equal(out, expected)
    with pytest.raises(ValueError, match="expected"):
        kernels.Conv(np.ones((1, 1, 4, 4), "f4"), dtype=">f4")


def test_the_same_bits_at_any_level_and_number_of_threads():
    import sepconv

    x, weights = uniform(1, 19, 19, 24), (uniform(3, 3, 24, 1, seed=1), uniform(24, 40, seed=2))
    expected = kernels.Separable(*weights, threads=1)(x)
    for level in sepconv.levels():
        for threads in (1, 3):
            layer = kernels.Separable(*weights, level=level, threads=threads)
            assert layer.plan(x.shape).level() == level
            np.testing.assert_array_equal(layer(x), expected)


def test_many_python_threads_share_a_layer():
    layer = kernels.Separable(uniform(3, 3, 32, 1), uniform(32, 32, seed=1), threads=2)
    inputs = [uniform(1, 9 + i % 3, 9, 32, seed=i) for i in range(8)]
    expected = [layer(x) for x in inputs]
    results = [None] * len(inputs)

    def work(i):
        for _ in range(20):
            results[i] = layer(inputs[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(inputs))]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    for y, reference in zip(results, expected):
        np.testing.assert_array_equal(y, reference)


def test_the_global_lock_is_released():
    """The other thread runs while the layer computes, though Python would never make it stop."""
    layer = kernels.Conv(uniform(3, 3, 64, 64), threads=1)
    x = uniform(1, 96, 96, 64)
    layer(x)
    state, seen = {}, False

    def compute():
        state["begun"] = True
        layer(x)
        state["done"] = True

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        thread = threading.Thread(target=compute)
        thread.start()
        while "done" not in state:
            seen = seen or "begun" in state
            time.sleep(0)
        thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert seen


def test_layers_can_be_pickled():
    x, layer = uniform(1, 5, 5, 4), kernels.Depthwise(uniform(3, 3, 4, 2), activation="relu")
    again = pickle.loads(pickle.dumps(layer))
    np.testing.assert_array_equal(again(x), layer(x))
    assert repr(again) == repr(layer) == "<sepconv.kernels.Depthwise 3×3, 4 → 8>"


ONES = np.ones((3, 3, 4, 1), np.float32)
X = np.ones((1, 5, 5, 4), np.float32)


@pytest.mark.parametrize(
    "wrong,message",
    [
        (lambda: kernels.Depthwise(ONES, padding="full"), 'got "full"'),
        (lambda: kernels.Depthwise(ONES, padding=(1, 2)), "1 or 4 numbers"),
        (lambda: kernels.Depthwise(ONES, stride=0), "stride: expected"),
        (lambda: kernels.Depthwise(ONES, activation="rleu"), 'got "rleu"'),
        (lambda: kernels.Depthwise(ONES, activation=(2.0, 1.0)), "lower bound"),
        (lambda: kernels.Depthwise(ONES, level="avx1024"), "avx1024"),
        (lambda: kernels.Depthwise(ONES, arithmetic="int8"), "exact, unfused, bf16, fast"),
        (lambda: kernels.Depthwise(ONES, threads=0), "1 to 1024, got 0"),
        (lambda: kernels.Depthwise(ONES, dtype="float64"), "got float64"),
        (lambda: kernels.Depthwise(ONES.astype(int)), "floating-point numbers, got int64"),
        (lambda: kernels.Depthwise(ONES[0, 0]), r"got shape \(4, 1\)"),
        (lambda: kernels.Depthwise(ONES, np.ones(3)), r"bias: expected shape \(4,\), got \(3,\)"),
        (lambda: kernels.Depthwise(ONES)(X[..., :3]), r"N×H×W×4, got \[1, 5, 5, 3\]"),
        (lambda: kernels.Depthwise(ONES)(X[0]), r"N×H×W×4, got \[5, 5, 4\]"),
        (lambda: kernels.Depthwise(ONES)(X[:0]), "zero|0"),
        (lambda: kernels.Depthwise(ONES)(X.astype("f8")), 'x.astype\\("float32"\\)'),
        (lambda: kernels.Depthwise(ONES)(X, residual=X[:, :4]), "residual: expected shape"),
        (lambda: kernels.Depthwise(ONES)(X, out=X), "shares memory"),
        (lambda: kernels.Depthwise(ONES)(X, out=X[:, ::-1].copy()[:, ::-1]), "C order"),
        (lambda: kernels.Depthwise(ONES)(X, out=X.astype("f8")), "got float64"),
        (lambda: kernels.Depthwise(ONES, padding="valid")(X[:, :2]), "kernel|3"),
        (lambda: kernels.Separable(ONES, np.ones((5, 2), "f4")), "expected 4×O"),
        (lambda: kernels.Separable(ONES, np.ones((4, 2), "f2")), "expected float32 as depthwise"),
        (lambda: kernels.Pointwise(np.ones((2, 2, 4, 2), "f4")), "C×O or 1×1×C×O"),
        (lambda: kernels.Conv(np.ones((3, 3, 2, 3), "f4"), groups=2), "3"),
    ],
)
def test_errors_carry_the_numbers(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


def test_read_only_arrays():
    x, layer = X.copy(), kernels.Depthwise(ONES)
    x.flags.writeable = False
    np.testing.assert_array_equal(layer(x), layer(X))
    out = np.zeros_like(X)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="writeable"):
        layer(x, out=out)
    with pytest.raises(TypeError, match="takes no padding"):
        kernels.Pointwise(np.ones((2, 2), "f4"), padding="same")
