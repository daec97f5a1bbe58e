"""Writes seeds/keras, one tiny model in each form that a Keras file takes, and seeds/safetensors, the two
networks of targets/safetensors.rs and a model of 8-bit integers. Needs h5py (3.16) and NumPy.

The other seeds are the fixtures of the tests, which run.sh copies.
"""

import io
import json
import pathlib
import zipfile

import h5py
import numpy as np

FOLDER = pathlib.Path(__file__).parent / "seeds"
VALUES = np.random.default_rng(1)


def layer(name, kind, before, **config):
    call = {"args": [{"class_name": "__keras_tensor__", "config": {"keras_history": [before, 0, 0]}}], "kwargs": {}}
    return {
        "module": "keras.layers",
        "class_name": kind,
        "config": {"name": name, **config},
        "name": name,
        "inbound_nodes": [call] if before else [],
    }


CONFIG = {
    "class_name": "Functional",
    "config": {
        "name": "mini",
        "layers": [
            layer("in", "InputLayer", None, batch_shape=[None, 5, 4, 2]),
            layer("pad", "ZeroPadding2D", "in", padding=[[0, 1], [1, 0]]),
            layer("sep", "SeparableConv2D", "pad", kernel_size=[2, 2], filters=3, strides=[1, 1], activation="relu"),
            layer("norm", "BatchNormalization", "sep", axis=-1, epsilon=0.001),
            layer("pool", "MaxPooling2D", "norm", pool_size=[2, 2], padding="same"),
            layer("mean", "GlobalAveragePooling2D", "pool"),
            layer("out", "Dense", "mean", units=2, activation="softmax"),
        ],
        "input_layers": ["in", 0, 0],
        "output_layers": ["out", 0, 0],
    },
}
# By layer: its name in a .weights.h5, then its arrays.
ARRAYS = {
    "sep": ("separable_conv2d", [("depthwise_kernel", (2, 2, 2, 1)), ("pointwise_kernel", (1, 1, 2, 3)), ("bias", (3,))]),
    "norm": ("batch_normalization", [(n, (3,)) for n in ["gamma", "beta", "moving_mean", "moving_variance"]]),
    "out": ("dense", [("kernel", (3, 2)), ("bias", (2,))]),
}


def array(shape, dtype):
    return (VALUES.random(shape) + 0.5).astype(dtype)


def hdf5(fill, libver="earliest"):
    memory = io.BytesIO()
    with h5py.File(memory, "w", libver=libver) as file:
        fill(file)
    return memory.getvalue()


def current(dtype="<f4", attributes=True, **storage):
    def fill(file):
        for name, (group, arrays) in ARRAYS.items():
            variables = file.create_group(f"layers/{group}/vars")
            if attributes:
                variables.attrs["name"] = name
            for i, (_, shape) in enumerate(arrays):
                variables.create_dataset(str(i), data=array(shape, dtype), **storage)

    return fill


def legacy(group="", config=None, dtype="<f4", text=h5py.string_dtype(), **storage):
    def fill(file):
        if config:
            file.attrs["model_config"] = json.dumps(config)
        root = file.create_group(group) if group else file
        strings = lambda items: np.array(items, dtype=text)
        root.attrs["layer_names"] = strings(list(ARRAYS))
        for name, (_, arrays) in ARRAYS.items():
            layer = root.create_group(name)
            layer.attrs["weight_names"] = strings([f"{name}/{n}:0" for n, _ in arrays])
            for n, shape in arrays:
                layer.create_dataset(f"{name}/{n}:0", data=array(shape, dtype), **storage)

    return fill


def keras(config, weights, method):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", method) as archive:
        for name, data in [("metadata.json", b"{}"), ("config.json", json.dumps(config).encode()), ("model.weights.h5", weights)]:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return memory.getvalue()


packed = {"chunks": True, "compression": "gzip", "shuffle": True}
seeds = {
    "current.weights.h5": hdf5(current()),
    "current_f16_big.weights.h5": hdf5(current(">f2", attributes=False)),
    "current_latest.weights.h5": hdf5(current(), "latest"),
    "current_packed.weights.h5": hdf5(current("<f8", **packed)),
    "current_packed_latest.weights.h5": hdf5(current("<f8", fletcher32=True, **packed), "latest"),
    "legacy.h5": hdf5(legacy("model_weights", CONFIG)),
    "legacy_latest.h5": hdf5(legacy("model_weights", CONFIG), "latest"),
    "legacy_weights.h5": hdf5(legacy(text="S32")),
    "legacy_packed.h5": hdf5(legacy("model_weights", CONFIG, "<f8", **packed)),
    "stored.keras": keras(CONFIG, hdf5(current()), zipfile.ZIP_STORED),
    "deflated.keras": keras(CONFIG, hdf5(current()), zipfile.ZIP_DEFLATED),
    "latest.keras": keras(CONFIG, hdf5(current(), "latest"), zipfile.ZIP_STORED),
}


def norm(name, channels):
    for variable in ["weight", "bias", "running_mean", "running_var"]:
        yield f"{name}.{variable}", [channels]
    yield f"{name}.num_batches_tracked", []


def aligned():
    for i, (inputs, outputs) in enumerate([(3, 1), (1, 2)]):
        yield f"stem.{i}.conv.weight", [outputs, inputs, 3, 3]
        yield from norm(f"stem.{i}.bn", outputs)
    channels = 2
    for block, widths in enumerate([(3, 3, 3), (3, 2, 2), (2, 1, 2)]):
        if block < 2:
            yield f"blocks.{block}.shortcut.conv.weight", [widths[2], channels, 1, 1]
            yield from norm(f"blocks.{block}.shortcut.bn", widths[2])
        for i, width in enumerate(widths, 1):
            name = f"blocks.{block}.stack.conv{i}"
            yield f"{name}.conv_dw.weight", [channels, 1, 3, 3]
            yield from norm(f"{name}.bn_dw", channels)
            yield f"{name}.conv_pw.weight", [width, channels, 1, 1]
            yield from norm(f"{name}.bn_pw", width)
            channels = width
    yield from [("head.fc.weight", [2, 2]), ("head.fc.bias", [2])]


def legacy_xception():
    def separable(name, inputs, outputs):
        yield f"{name}.conv1.weight", [inputs, 1, 3, 3]
        yield f"{name}.pointwise.weight", [outputs, inputs, 1, 1]

    for i, (inputs, outputs) in enumerate([(3, 1), (1, 2)], 1):
        yield f"conv{i}.weight", [outputs, inputs, 3, 3]
        yield from norm(f"bn{i}", outputs)
    blocks = [(2, [3, 3], 0), (3, [3, 3, 3], 1), (3, [3, 2], 1)]
    for block, (channels, widths, at) in enumerate(blocks, 1):
        if block != 2:
            yield f"block{block}.skip.weight", [widths[-1], channels, 1, 1]
            yield from norm(f"block{block}.skipbn", widths[-1])
        for width in widths:
            yield from separable(f"block{block}.rep.{at}", channels, width)
            yield from norm(f"block{block}.rep.{at + 1}", width)
            channels, at = width, at + 3
    for i, (inputs, outputs) in enumerate([(2, 1), (1, 2)], 3):
        yield from separable(f"conv{i}", inputs, outputs)
        yield from norm(f"bn{i}", outputs)
    yield from [("fc.weight", [2, 2]), ("fc.bias", [2])]


def safetensors(tensors, kind):
    dtype = {"F16": "<f2", "BF16": "<f4", "F32": "<f4", "F64": "<f8"}[kind]
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, shape in tensors:
        count = name.endswith("num_batches_tracked")
        values = np.ones(shape, "<i8") if count else array(shape, dtype)
        if kind == "BF16" and not count:
            values = (values.view("<u4") >> 16).astype("<u2")
        place = [len(data), len(data) + values.nbytes]
        header[name] = {"dtype": "I64" if count else kind, "shape": shape, "data_offsets": place}
        data += values.tobytes()
    header = json.dumps(header, separators=(",", ":")).encode()
    return len(header).to_bytes(8, "little") + header + data


def int8():
    """A model of 8-bit integers, as `sepconv quantize` writes them."""
    window = {"kernel": [2, 3], "stride": [1, 2], "dilation": [1, 1], "padding": "same"}
    point = {**window, "kernel": [1, 1], "stride": [1, 1], "padding": "valid"}
    model = {
        "name": "mini",
        "input": {"name": "in", "size": [5, 4], "channels": 2, "quantization": [0.01, 128]},
        "nodes": [
            {"op": "depthwise", "window": window, "multiplier": 1, "bias": False, "name": "dw", "operands": [0],
             "quantization": [0.02, 100]},
            {"op": "conv", "window": point, "groups": 1, "filters": 2, "bias": True, "name": "pw", "operands": [1]},
            {"op": "relu", "name": "relu", "operands": [2], "quantization": [0.03, 0]},
            {"op": "max_pool", "window": {**window, "padding": [1, 0, 0, 1]}, "name": "pool", "operands": [3]},
            {"op": "global_average_pool", "keep_dims": False, "name": "mean", "operands": [4]},
            {"op": "dense", "units": 2, "bias": True, "name": "dense", "layer": "out", "operands": [5]},
            {"op": "softmax", "name": "out", "operands": [6]},
        ],
        "outputs": [{"name": "out", "node": [7]}],
        "returned": [6],
        "pictures": {"scaling": "unit", "why": "as requested", "mean": [0.5], "std": [0.25]},
        "resize": "bilinear",
        "logits": "softmax",
        "labels": ["cup", "fork"],
    }
    arrays = [
        ("dw/depthwise_kernel/scales", array([2], "<f4")), ("pw/kernel/scales", array([2], "<f4")),
        ("pw/bias", array([2], "<f4")), ("out/kernel", array([2, 2], "<f4")), ("out/bias", array([2], "<f4")),
        ("dw/depthwise_kernel", VALUES.integers(-127, 128, (2, 3, 2, 1), "i1")),
        ("pw/kernel", VALUES.integers(-127, 128, (1, 1, 2, 2), "i1")),
    ]
    header = {"__metadata__": {"format": "sepconv", "version": "1", "model": json.dumps(model, separators=(",", ":"))}}
    data = b""
    for name, values in arrays:
        place = [len(data), len(data) + values.nbytes]
        kind = "I8" if values.dtype == "i1" else "F32"
        header[name] = {"dtype": kind, "shape": values.shape, "data_offsets": place}
        data += values.tobytes()
    header = json.dumps(header, separators=(",", ":")).encode()
    return len(header).to_bytes(8, "little") + header + data


timm_seeds = {
    "aligned.safetensors": safetensors(aligned(), "F32"),
    "aligned_bf16.safetensors": safetensors(aligned(), "BF16"),
    "legacy.safetensors": safetensors(legacy_xception(), "F16"),
    "legacy_f64.safetensors": safetensors(legacy_xception(), "F64"),
    "int8.safetensors": int8(),
}
for folder, files in {"keras": seeds, "safetensors": timm_seeds}.items():
    (FOLDER / folder).mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (FOLDER / folder / name).write_bytes(data)
        print(f"{len(data):7} {name}")
