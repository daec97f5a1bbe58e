"""Models, against what Keras and LiteRT computed of the committed fixtures."""

import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
from conftest import synthetic, uniform

import sepconv

ml_dtypes = pytest.importorskip("ml_dtypes")


def softmax(logits):
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)



def test_what_a_file_says(digits):
    assert digits.name == "xception"
    assert digits.input_shape == (None, 32, 32, 3)
    assert digits.output_names == ["predictions"]
    assert digits.preprocessing["scaling"] == "tf"
    assert digits.parameters == 15_114
    assert repr(digits) == "<sepconv.Model 'xception' of 32×32×3, 15114 parameters>"
    assert digits.labels is None and digits.notes == [] and digits.link is None


def test_outputs_are_probabilities_or_logits(fixtures):
    model = fixtures.model("every.keras", threads=2)
    x = uniform(3, 13, 11, 3)
    probabilities, logits = model(x), model(x, logits=True)
    assert probabilities.shape == logits.shape == (3, 5)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, softmax(logits.astype("f8")), atol=1e-6)
    named = model.run(x, nodes=["classes", "classes/logits"])
    np.testing.assert_array_equal(named[0], probabilities)
    np.testing.assert_array_equal(named[1], logits)
    np.testing.assert_array_equal(model.run(x)[0], probabilities)


def test_every_node_is_what_keras_computed(fixtures):
    for case in fixtures.json("golden.json"):
        name, shape = case["model"], case["shape"]
        model = fixtures.model(f"{name}.keras", threads=1)
        x = synthetic.uniform(f"input/{name}", np.prod(shape)).astype(np.float32).reshape(shape)
        nodes = case["nodes"]
        for node, got in zip(nodes, model.run(x, nodes=[node["node"] for node in nodes])):
            # Keras has no axis of height in what is N×C.
            assert list(got.shape) == node["shape"], node["node"]
            error = np.abs(got.reshape(-1)[node["indices"]] - np.array(node["samples"]))
            assert np.max(error) <= 1e-5 * node["max_abs"], node["node"]
        np.testing.assert_allclose(model(x)[0], case["probabilities"], atol=1e-6)


def test_outputs_are_those_of_keras_predict(fixtures):
    for case in fixtures.json("cases.json"):
        name, shape, outputs = case["name"], case["shape"], case["outputs"]
        if len(shape) == 5:
            with pytest.raises(ValueError, match="sequences of 3 pictures, which this package"):
                fixtures.model(case["files"][-1], "cases", threads=1)
            continue
        x = synthetic.uniform(f"input/{name}", np.prod(shape)).astype(np.float32).reshape(shape)
        if case["pixels"]:
            x = np.rint(x.astype(np.float64) * 127.5 + 127.5).astype(np.float32)
        model = fixtures.model(case["files"][-1], "cases", threads=1)
        ours = model(x)
        ours = ours if isinstance(ours, list) else [ours]
        assert len(ours) == len(outputs)
        for y, output in zip(ours, outputs):
            assert list(y.shape) == output["shape"], name
            expected = np.array(output["values"])
            error = np.max(np.abs(y.reshape(-1) - expected))
            assert error <= case["tolerance"] * max(1, np.max(np.abs(expected))), name


def test_any_batch_gives_the_same_bits(digits):
    x = uniform(19, 32, 32, 3)
    done = []
    whole = digits(x, progress=lambda count, of: done.append((count, of)))
    assert done == [(7, 19), (14, 19), (19, 19)]
    single = np.concatenate([digits(x[i : i + 1]) for i in range(19)])
    np.testing.assert_array_equal(whole, single)


def test_any_level_and_number_of_threads_give_the_same_bits(digits):
    x = uniform(2, 32, 32, 3)
    expected = digits(x)
    for level in sepconv.levels():
        for threads in (1, 3):
            other = digits.with_options(level=level, threads=threads)
            assert other.threads == threads
            np.testing.assert_array_equal(other(x), expected)


def test_input_types_and_strides(digits):
    x = uniform(2, 32, 32, 3)
    expected = digits(x)
    np.testing.assert_array_equal(digits(x.astype("f8")), expected)
    np.testing.assert_array_equal(digits(x.tolist()), expected)
    np.testing.assert_array_equal(digits(x.astype(">f4")), expected)
    for dtype in (np.float16, ml_dtypes.bfloat16):
        half = x.astype(dtype)
        np.testing.assert_array_equal(digits(half), digits(half.astype("f4")))
    wide = uniform(4, 32, 64, 6)
    view = wide[::2, ::-1, ::2, 3:]
    np.testing.assert_array_equal(digits(view), digits(np.ascontiguousarray(view)))
    unaligned = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view("f4").reshape(x.shape)
    np.testing.assert_array_equal(digits(unaligned), expected)
    x.flags.writeable = False
    np.testing.assert_array_equal(digits(x), expected)


def test_out_is_written(digits):
    x = uniform(9, 32, 32, 3)
    out = np.full((9, 10), np.nan, np.float32)
    assert digits(x, out=out) is out
    np.testing.assert_array_equal(out, digits(x))


def test_several_outs_are_written(fixtures):
    model, x = fixtures.model("every.keras"), uniform(9, 13, 11, 3)
    outs = [np.empty((9, 5), np.float32) for _ in range(2)]
    nodes = ["classes", "classes/logits"]
    got = model.run(x, nodes=nodes, out=outs)
    assert got[0] is outs[0] and got[1] is outs[1]
    np.testing.assert_array_equal(outs[0], model(x))
    np.testing.assert_array_equal(outs[1], model(x, logits=True))
    with pytest.raises(ValueError, match="two of the arrays share memory"):
        model.run(x, nodes=nodes, out=[outs[0], outs[0]])


def test_two_outputs(fixtures):
    model = fixtures.model("two_outputs.keras")
    _, *sides = model.input_shape
    x = uniform(2, *(side or 16 for side in sides))
    outputs = model(x)
    assert isinstance(outputs, list) and len(outputs) == len(model.output_names) == 2
    for name, output in zip(model.output_names, outputs):
        np.testing.assert_array_equal(model.run(x, nodes=[name])[0], output)
    outs = [np.empty_like(output) for output in outputs]
    model(x, out=outs)
    for output, out in zip(outputs, outs):
        np.testing.assert_array_equal(out, output)


def test_files_of_integers(fixtures):
    """What LiteRT computed, within its own step; integers are the numbers that they stand for."""
    for name in ("int8_conv", "int8_pointwise", "int8_depthwise", "every_int8"):
        model = fixtures.model(f"{name}.tflite", "tflite", threads=1)
        _, *sides = model.input_shape
        x = np.frombuffer(fixtures.bytes("tflite", f"{name}.x"), "<f4").reshape(-1, *sides)
        expected = np.frombuffer(fixtures.bytes("tflite", f"{name}.y"), "<f4")
        step = np.frombuffer(fixtures.bytes("tflite", f"{name}.step"), "<f4")[0]
        y = model(x)
        assert np.max(np.abs(y.reshape(-1) - expected)) <= step * 1.001, name
        if model.input_quantization is None:
            continue
        scale, zero_point = model.input_quantization
        integers = np.clip(np.rint(x / np.float32(scale)) + zero_point, 0, 255)
        np.testing.assert_array_equal(model(integers.astype(np.uint8)), y)
        np.testing.assert_array_equal(model((integers - 128).astype(np.int8)), y)


def test_other_arithmetics_are_near(digits):
    x = uniform(2, 32, 32, 3)
    exact = digits(x, logits=True)
    for options in (
        {"arithmetic": "unfused"},
        {"arithmetic": "bf16"},
        {"arithmetic": "bf16", "amx": True},
        {"weights_type": "f16", "activations_type": "bf16"},
    ):
        near = digits.with_options(**options)(x, logits=True)
        assert not np.array_equal(near, exact), options
        assert np.max(np.abs(near - exact)) <= 0.1 * np.max(np.abs(exact)), options


def test_steps_name_kernels(digits):
    steps = digits.steps((1, 32, 32, 3))
    assert steps[0].input == (1, 32, 32, 3)
    assert any(step.kernel.startswith("gemm_f32") for step in steps)
    assert sum(step.multiply_adds for step in steps) > 100_000


def test_models_can_be_saved_and_pickled(digits, fixtures, tmp_path):
    x = uniform(1, 32, 32, 3)
    one = digits.with_options(threads=1, arithmetic="unfused")
    again = pickle.loads(pickle.dumps(one))
    assert again.threads == 1 and again.name == one.name
    np.testing.assert_array_equal(again(x), one(x))
    path = tmp_path / "model.safetensors"
    digits.save(path)
    assert os.listdir(tmp_path) == ["model.safetensors"]
    np.testing.assert_array_equal(sepconv.Model.load(path)(x), digits(x))
    integers = fixtures.model("int8_conv.tflite", "tflite")
    _, *sides = integers.input_shape
    x = uniform(1, *sides)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(integers))(x), integers(x))


def test_weights_may_lie_apart_when_pickled(digits):
    """As in a store of objects that processes share."""
    buffers = []
    data = pickle.dumps(digits, protocol=5, buffer_callback=buffers.append)
    assert len(data) < 1000 and len(buffers) == 1
    shared = memoryview(bytearray(buffers[0].raw()))
    again = pickle.loads(data, buffers=[shared.toreadonly()])
    x = uniform(1, 32, 32, 3)
    np.testing.assert_array_equal(again(x), digits(x))
    assert shared[:] == buffers[0].raw()


def test_content_may_be_any_buffer(digits, digits_path):
    content, x = digits_path.read_bytes(), uniform(1, 32, 32, 3)
    for data in (bytearray(content), memoryview(content), np.frombuffer(content, np.uint8)):
        np.testing.assert_array_equal(sepconv.Model.from_bytes(data)(x), digits(x))
    with pytest.raises(TypeError):
        sepconv.Model.from_bytes("text")


def test_architectures_by_name(tmp_path):
    model = sepconv.Model.random("mobilenet-0.25", threads=1)
    assert model.name.startswith("mobilenet") and model.threads == 1
    x = uniform(1, 32, 32, 3)
    expected = model(x)
    assert expected.shape == (1, 1000)
    np.testing.assert_array_equal(sepconv.Model.random("mobilenet-0.25")(x), expected)
    data = model.to_bytes()
    named = sepconv.Model.from_bytes(data, architecture="mobilenet-0.25")
    np.testing.assert_array_equal(named(x), expected)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(data)
    named = sepconv.Model.load(path, architecture="mobilenet-0.25")
    np.testing.assert_array_equal(named(x), expected)
    for wrong in (
        lambda name: sepconv.Model.random(name),
        lambda name: sepconv.Model.load(path, architecture=name),
        lambda name: sepconv.Model.from_bytes(data, architecture=name),
    ):
        with pytest.raises(ValueError, match='got "mobilenet-v9"; the closest are mobilenet'):
            wrong("mobilenet-v9")
    with pytest.raises(ValueError, match="weights.safetensors: "):
        sepconv.Model.load(path, architecture="mobilenet")
    with pytest.raises(FileNotFoundError):
        sepconv.Model.load(tmp_path / "none", architecture="mobilenet")


def test_many_python_threads_share_a_model(digits):
    inputs = [uniform(1 + i % 3, 32, 32, 3, seed=i) for i in range(6)]
    expected = [digits(x) for x in inputs]
    results = [None] * len(inputs)

    def work(i):
        for _ in range(5):
            results[i] = digits(inputs[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(inputs))]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    for y, reference in zip(results, expected):
        np.testing.assert_array_equal(y, reference)


def test_missing_files(tmp_path):
    path = tmp_path / "none.keras"
    with pytest.raises(FileNotFoundError) as caught:
        sepconv.Model.load(path)
    assert str(caught.value) == f"{path}: No such file or directory (os error 2)"
    assert caught.value.errno == 2
    with pytest.raises(ValueError, match="expected a file, got a folder"):
        sepconv.Model.load(tmp_path)
    with pytest.raises(ValueError, match="notes.txt: expected a .keras file"):
        sepconv.Model.from_bytes(b"abcdef", "notes.txt")
    with pytest.raises(TypeError):
        sepconv.Model.load(3)


X = np.zeros((2, 32, 32, 3), np.float32)


@pytest.mark.parametrize(
    "wrong,message",
    [
        (lambda m: m(X[0]), r"N×H×W×3, each at least 1, got \[32, 32, 3\]"),
        (lambda m: m(X[..., :2]), r"got \[2, 32, 32, 2\]"),
        (lambda m: m(X[:0]), r"got \[0, 32, 32, 3\]"),
        (lambda m: m.steps((1, 32, 32)), r"each at least 1, got \[1, 32, 32\]"),
        (lambda m: m.steps((0, 32, 32, 3)), r"got \[0, 32, 32, 3\]"),
        (lambda m: m(X.astype(np.uint8)), 'got uint8; convert with x.astype\\("float32"\\)'),
        (lambda m: m(X, out=np.zeros((2, 9), "f4")), r"float32 of shape \(2, 10\), got"),
        (lambda m: m(X, out=np.zeros((2, 10), "f8")), "got float64"),
        (lambda m: m(X, out=np.zeros((10, 2), "f4").T), "C order"),
        (lambda m: m(X, out=X.reshape(-1)[:20].reshape(2, 10)), "shares memory"),
        (lambda m: m(X, out=[]), "expected 1 arrays, got 0"),
        (lambda m: m.run(X, nodes=["nope"]), 'no output or node "nope"; its outputs: "pred'),
        (lambda m: m.run(X, nodes=[]), "at least 1 name"),
        (lambda m: m.with_options(threads=2000), "1 to 1024, got 2000"),
        (lambda m: m.with_options(level="mmx")(X), "mmx"),
        (lambda m: m.with_options(arithmetic="f64")(X), 'got "f64"'),
        (lambda m: m.with_options(weights_type="u8")(X), 'weights_type: .* got "u8"'),
    ],
)
def test_errors_carry_the_numbers(digits, wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong(digits)


def test_errors_of_types(digits):
    with pytest.raises(TypeError, match="list of names, got a string"):
        digits.run(X, nodes="predictions")
    with pytest.raises(TypeError, match="unknown options: thread"):
        digits.with_options(thread=1)


def test_an_interrupt_stops_between_batches(digits):
    def stop(done, of):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        digits(np.zeros((20, 32, 32, 3), "f4"), progress=stop)
    assert digits(X).shape == (2, 10)


def test_import_needs_only_numpy():
    code = """
import sys, numpy
before = set(sys.modules)
import sepconv
new = {name.partition(".")[0] for name in set(sys.modules) - before}
allowed = set(sys.stdlib_module_names) | {"numpy", "sepconv"}
assert new <= allowed, new - allowed
"""
    subprocess.run([sys.executable, "-c", code], check=True)
