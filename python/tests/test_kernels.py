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


def test_channels_first():
    x, full = uniform(2, 7, 6, 8), uniform(3, 3, 8, 10, seed=1)
    dw, pw = uniform(3, 3, 8, 2, seed=2), uniform(16, 10, seed=3)
    planes = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    turned = dw.reshape(3, 3, 16).transpose(2, 0, 1)[:, None]
    torch = {"layout": "NCHW", "weights_layout": "OIHW"}
    pairs = [
        (kernels.Conv(full), kernels.Conv(full.transpose(3, 2, 0, 1), **torch)),
        (
            kernels.Depthwise(dw),
            kernels.Depthwise(turned, multiplier=2, **torch),
        ),
        (
            kernels.Separable(dw, pw),
            kernels.Separable(turned, pw.T, multiplier=2, **torch),
        ),
        (kernels.Pointwise(full[0, 0]), kernels.Pointwise(full[0, 0].T[..., None, None], **torch)),
        (kernels.Pool("max", 2), kernels.Pool("max", 2, layout="NCHW")),
    ]
    for last, first in pairs:
        expected = last(x)
        np.testing.assert_array_equal(first(planes), expected.transpose(0, 3, 1, 2))
        residual = uniform(*expected.shape, seed=4)
        got = first(planes, residual=residual.transpose(0, 3, 1, 2))
        np.testing.assert_array_equal(got, last(x, residual=residual).transpose(0, 3, 1, 2))
    to_pixels = kernels.Elementwise(layout="NCHW", out_layout="NHWC")
    np.testing.assert_array_equal(to_pixels(planes), x)
    out = np.empty((2, 10, 7, 6), np.float32)
    assert pairs[0][1](planes, out=out) is out
    dense = kernels.Dense(pw), kernels.Dense(pw.T, weights_layout="OIHW")
    rows = uniform(3, 16)
    np.testing.assert_array_equal(dense[0](rows), dense[1](rows))
    close(dense[0](rows), rows.astype("f8") @ pw)
    assert dense[0](rows, residual=np.ones((3, 10), "f4")).shape == (3, 10)


def test_a_range_of_channels_is_used_where_it_lies():
    wide = uniform(2, 5, 6, 12)
    one = wide[1:, 2:3, :, 1:2]
    for view in (wide[..., 3:11], wide[:1, ..., 4:], wide[:, :1, :1, 2:5], wide[:, :, ::2], one):
        row, step = kernels._strided(view, "NHWC")
        assert np.shares_memory(row, wide) and row.shape[0] < wide.size
        np.testing.assert_array_equal(row[::step], view[..., 0].reshape(-1))
        layer = kernels.Elementwise()
        np.testing.assert_array_equal(layer(view), view)
        np.testing.assert_array_equal(layer(np.zeros_like(view), residual=view), view)
    halves = wide.astype(np.float16)[..., 4:8]
    np.testing.assert_array_equal(kernels.Elementwise(dtype="float16")(halves), halves)
    # Not these.
    for view in (wide[:, :, :5], wide[:, 1:], wide[..., ::2], wide[::-1], wide[:, :, :, ::-1]):
        row, step = kernels._strided(view, "NHWC")
        assert step is None
        np.testing.assert_array_equal(row, view.reshape(-1))
    everywhere = np.broadcast_to(wide[:, :1, :1], wide.shape)
    np.testing.assert_array_equal(kernels.Elementwise()(everywhere), everywhere)


def integers(dtype, *shape, seed=0):
    limits = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(limits.min, limits.max + 1, shape, dtype=dtype)


@pytest.mark.parametrize("dtype,zero", [("uint8", 101), ("int8", -7)])
@pytest.mark.parametrize("out_dtype", ["uint8", "int8", "float32"])
def test_integers_are_what_they_stand_for(dtype, zero, out_dtype):
    """Exactly: all scales are powers of 2."""
    x = integers(dtype, 2, 6, 5, 8)
    numbers = 0.5 * (x.astype("f8") - zero)
    conv, dw, pw = (
        np.maximum(integers("int8", *shape, seed=1), -127)
        for shape in ((3, 3, 8, 4), (3, 3, 8, 1), (8, 4))
    )
    scales = 2.0 ** -np.arange(3, 7)
    bias = integers("int8", 4, seed=2).astype(np.int32)
    options = {"dtype": dtype, "quantization": (0.5, zero), "out_dtype": out_dtype}
    if out_dtype != "float32":
        options["out_quantization"] = (4.0, 3)

    def check(y, expected):
        assert y.dtype == out_dtype
        if out_dtype != "float32":
            limits = np.iinfo(out_dtype)
            expected = np.clip(np.rint(expected / 4.0) + 3, limits.min, limits.max)
        np.testing.assert_array_equal(y, expected)

    shift = 0.5 * scales * bias
    full = kernels.Conv(conv, bias, scales=scales, **options)
    check(full(x), naive_conv(numbers, conv * scales) + shift)
    again = pickle.loads(pickle.dumps(full))
    np.testing.assert_array_equal(again(x), full(x))
    wide = np.full(8, 0.25)
    check(kernels.Depthwise(dw, scales=0.25, **options)(x), naive_depthwise(numbers, dw * 0.25))
    matrix = pw * scales
    check(kernels.Pointwise(pw, bias, scales=scales, **options)(x), numbers @ matrix + shift)
    rows = x[0, 0]
    check(kernels.Dense(pw, bias, scales=scales, **options)(rows), numbers[0, 0] @ matrix + shift)
    limits = np.iinfo(dtype)
    middle = naive_depthwise(numbers, dw * 0.25)
    middle = np.clip(np.rint(middle / 32.0) + zero, limits.min, limits.max) - zero
    separable = kernels.Separable(
        dw, pw, bias, scales=(wide, scales), mid_quantization=(32.0, zero), **options
    )
    check(separable(x), (32.0 * middle) @ matrix + 32.0 * scales * bias)


def test_integers_with_residual_and_conversions():
    x, residual = integers("uint8", 1, 4, 4, 6), integers("uint8", 1, 4, 4, 6, seed=1)
    there = kernels.Elementwise(dtype="uint8", quantization=(0.5, 128), out_dtype="float32")
    np.testing.assert_array_equal(there(x), 0.5 * (x.astype("f4") - 128))
    back = kernels.Elementwise(out_dtype="uint8", out_quantization=(0.5, 128))
    np.testing.assert_array_equal(back(there(x)), x)
    both = kernels.Elementwise(
        dtype="uint8",
        quantization=(0.5, 128),
        out_quantization=(1.0, 7),
        residual_quantization=(2.0, 90),
    )
    numbers = 0.5 * (x.astype("f8") - 128) + 2.0 * (residual.astype("f8") - 90)
    expected = np.clip(np.rint(numbers) + 7, 0, 255)
    np.testing.assert_array_equal(both(x, residual=residual), expected)
    pool = kernels.Pool("max", 2, dtype="uint8", quantization=(0.5, 9), out_quantization=(0.5, 9))
    np.testing.assert_array_equal(pool(x), x.reshape(1, 2, 2, 2, 2, 6).max((2, 4)))


def test_transposed_convolutions():
    x, weights = uniform(2, 4, 5, 6), uniform(3, 2, 7, 6, seed=1)
    full = np.zeros((2, 4 * 2 + 1, 5 * 2, 7))
    for i in range(3):
        for j in range(2):
            full[:, i : i + 8 : 2, j : j + 10 : 2] += x.astype("f8") @ weights[i, j].T
    close(kernels.TransposedConv(weights, stride=2)(x), full)
    same = kernels.TransposedConv(weights, stride=2, padding="same")(x)
    close(same, full[:, :8, :10])
    cut = kernels.TransposedConv(weights, stride=2, padding=(1, 0), output_padding=(1, 0))(x)
    padded = np.pad(full, ((0, 0), (0, 1), (0, 0), (0, 0)))
    close(cut, padded[:, 1:-1])
    torch = kernels.TransposedConv(weights.transpose(3, 2, 0, 1), stride=2, weights_layout="IOHW")
    close(torch(x), full)


def test_layers_without_weights():
    x = uniform(2, 4, 6, 12)
    wide = x.astype("f8")
    blocks = wide.reshape(2, 2, 2, 3, 2, 12)
    close(kernels.Pool("max", 2)(x), blocks.max((2, 4)))
    close(kernels.Pool("average", (2, 2))(x), blocks.mean((2, 4)))
    padded = kernels.Pool("average_of_padded", 3, stride=1, padding=1)(x)
    close(padded, naive_depthwise(x, np.full((3, 3, 12, 1), 1 / 9)))
    close(kernels.GlobalAveragePool()(x), wide.mean((1, 2), keepdims=True))
    relu = kernels.Elementwise(activation="relu")
    close(relu(x, residual=-2 * x), np.maximum(-wide, 0))
    e = np.exp(wide)
    close(kernels.Softmax()(x), e / e.sum(-1, keepdims=True))
    shuffled = wide.reshape(2, 4, 6, 2, 2, 3).transpose(0, 1, 3, 2, 4, 5).reshape(2, 8, 12, 3)
    close(kernels.DepthToSpace(2)(x), shuffled)
    shuffled = wide.reshape(2, 4, 6, 3, 2, 2).transpose(0, 1, 4, 2, 5, 3).reshape(2, 8, 12, 3)
    close(kernels.DepthToSpace(2, order="channel_first")(x), shuffled)
    nearest = kernels.Resize((8, 3), interpolation="nearest", coordinates="asymmetric")
    close(nearest(x), wide.repeat(2, 1)[:, :, ::2])
    other = uniform(2, 1, 6, 1, seed=1)
    for name, function in {
        "add": np.add,
        "subtract": np.subtract,
        "multiply": np.multiply,
        "maximum": np.maximum,
        "minimum": np.minimum,
        "prelu": lambda a, b: np.where(a < 0, a * b, a),
    }.items():
        binary = kernels.Binary(name)
        close(binary(x, other), function(wide, other))
        close(binary(x, x[:, :1]), function(wide, wide[:, :1]))
        assert repr(binary) == f"<sepconv.kernels.Binary {name}>"


def test_normalizations():
    x, scale, shift = uniform(2, 3, 4, 12), uniform(12, seed=1), uniform(12, seed=2)
    wide = x.astype("f8")

    def normal(axes, x=wide):
        return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-3)

    layer = kernels.Normalization("layer", scale, shift)
    close(layer(x), normal((3,)) * scale + shift)
    close(pickle.loads(pickle.dumps(layer))(x), layer(x))
    grouped = normal((1, 2, 4), wide.reshape(2, 3, 4, 3, 4)).reshape(x.shape)
    close(kernels.Normalization("group", scale, groups=3)(x), grouped * scale)
    rms = np.sqrt((wide**2).mean(-1, keepdims=True) + 1e-6)
    close(kernels.Normalization("rms", epsilon=1e-6)(x), wide / rms)
    unit = kernels.Normalization("unit", epsilon=0.0)(x)
    close(np.linalg.norm(unit.astype("f8"), axis=-1), np.ones((2, 3, 4)))


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
        (lambda: kernels.Depthwise(ONES.astype(int)), "numbers or int8, got int64"),
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
        (lambda: kernels.Separable(ONES, np.ones((5, 2), "f4")), "expected 4 input channels"),
        (lambda: kernels.Separable(ONES, np.ones((4, 2), "f2")), "expected float32 as depthwise"),
        (lambda: kernels.Pointwise(np.ones((2, 2, 4, 2), "f4")), "C×O or 1×1×C×O"),
        (lambda: kernels.Conv(np.ones((3, 3, 2, 3), "f4"), groups=2), "3"),
        (lambda: kernels.Conv(ONES, weights_layout="HWCO"), 'IOHW, OHWI, HWOI, got "HWCO"'),
        (lambda: kernels.Conv(ONES[0], weights_layout="OIHW"), r"O×\(C/groups\)×KH×KW, got"),
        (lambda: kernels.Depthwise(ONES, multiplier=2), "multiplier: expected 1"),
        (lambda: kernels.Depthwise(ONES, layout="nhwc"), 'layout: expected .* got "nhwc"'),
        (lambda: kernels.Depthwise(ONES, layout="NCHW")(X), r"N×4×H×W, got \[1, 5, 5, 4\]"),
        (lambda: kernels.Depthwise(ONES.astype("i1")), "scales of int8 weights, got none"),
        (
            lambda: kernels.Dense(np.full((1, 1), -128, "i1"), scales=1, dtype="uint8"),
            "got -128 at 0",
        ),
        (lambda: kernels.Depthwise(ONES, scales=1.0), "scales: expected none, got some"),
        (lambda: kernels.Depthwise(ONES.astype("i1"), scales=np.ones(3)), r"scales: .*got \(3,\)"),
        (lambda: kernels.Depthwise(ONES.astype("i1"), np.ones(4), scales=1), "bias: .*int32"),
        (lambda: kernels.Separable(ONES, ONES[0, 0], scales=1.0), "depthwise and of pointwise"),
        (lambda: kernels.Depthwise(ONES.astype("i1"), scales=1.0, dtype="uint8")(X), "uint8, got"),
        (lambda: kernels.Dense(np.ones((4, 2), "f4"))(X), r"N×4, got \[1, 5, 5, 4\]"),
        (lambda: kernels.Pool("mean", 2), 'kind: expected one of max, .* got "mean"'),
        (lambda: kernels.Pool("max", 6)(X), "6"),
        (lambda: kernels.Binary("power"), 'operation: .* got "power"'),
        (lambda: kernels.Binary("add")(X, X[:, :, :, :3]), "4|3"),
        (lambda: kernels.Normalization("batch"), 'kind: .* got "batch"'),
        (lambda: kernels.Normalization("layer", np.ones(3))(X), "scale: expected 4 .*, got 3"),
        (lambda: kernels.Normalization("layer", ONES), r"scale: expected shape \(C,\)"),
        (lambda: kernels.Resize(0), "size: expected"),
        (lambda: kernels.Resize(3, interpolation="cubic"), 'got "cubic"'),
        (lambda: kernels.DepthToSpace(3)(X), "3"),
        (lambda: kernels.TransposedConv(ONES, output_padding=1), 'beside padding="valid", got 1'),
        (lambda: kernels.Softmax(input_activation="relu")(X), "activat"),
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
