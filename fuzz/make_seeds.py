"""Writes seeds/keras: one tiny model in each form that a Keras file takes. Needs h5py (3.16) and NumPy.

The other seeds are the fixtures of the tests, which run.sh copies.
"""

import io
import json
import pathlib
import zipfile

import h5py
import numpy as np

FOLDER = pathlib.Path(__file__).parent / "seeds" / "keras"
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
FOLDER.mkdir(parents=True, exist_ok=True)
for name, data in seeds.items():
    (FOLDER / name).write_bytes(data)
    print(f"{len(data):7} {name}")
