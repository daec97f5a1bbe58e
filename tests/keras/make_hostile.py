"""Writes fixtures/hostile.zip: HDF5 files that no Keras wrote. Needs h5py (3.16) and NumPy.

All are weights of `Dense` layers of 256×256 without bias: one, or in repeated.h5 600 of them.

    soft_cycle.h5   the array is a soft link to itself
    hard_cycle.h5   the layers' group holds itself and the root: harmless
    repeated.h5     600 layers that name the same array
    external.h5     the array's elements are in another file
    link_out.h5     the array is a link into another file
    bomb.h5         a chunk unpacks to a thousand times what it should
    zeros.h5        a gigabyte of zeros, packed
    overflow.h5     an element of f64 that f32 has no room for
"""

import io
import json
import pathlib
import zipfile
import zlib

import h5py
import numpy as np

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
SIDE = 256
KERNEL = "dense/kernel:0"


def config(layers, units):
    dense = lambda i: {
        "class_name": "Dense",
        "config": {"name": f"dense{i}", "units": units, "use_bias": False},
    }
    first = {"class_name": "InputLayer", "config": {"name": "in", "batch_shape": [None, 1, 1, SIDE]}}
    return {"class_name": "Sequential", "config": {"name": "hostile", "layers": [first, *map(dense, range(layers))]}}


def hostile(fill, layers=1, units=SIDE):
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file.attrs["model_config"] = json.dumps(config(layers, units))
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = np.array(["layer"] * layers, dtype="S5")
        layer = weights.create_group("layer")
        layer.attrs["weight_names"] = np.array([KERNEL], dtype="S20")
        fill(file, layer)
    return memory.getvalue()


def array(layer, dtype="<f4", shape=(SIDE, SIDE), **storage):
    return layer.create_dataset(KERNEL, shape, dtype, **storage)


def soft_cycle(_, layer):
    layer[KERNEL] = h5py.SoftLink(f"/model_weights/layer/{KERNEL}")


def hard_cycle(file, layer):
    array(layer)[...] = 0.5
    file["model_weights/again"] = file["model_weights"]
    layer["root"] = file["/"]


def repeated(_, layer):
    array(layer)[...] = 0.5


def external(_, layer):
    array(layer, external=[("/etc/services", 0, SIDE * SIDE * 4)])


def link_out(_, layer):
    layer[KERNEL] = h5py.ExternalLink("every.h5", "/model_weights")


def bomb(_, layer):
    kernel = array(layer, chunks=(SIDE, SIDE), compression="gzip")
    kernel.id.write_direct_chunk((0, 0), zlib.compress(bytes(SIDE * SIDE * 4 * 1000), 9))


def zeros(_, layer):
    kernel = array(layer, shape=(SIDE, SIDE * 4096), chunks=(SIDE, SIDE * 4), compression="gzip")
    packed = zlib.compress(bytes(SIDE * SIDE * 4 * 4), 9)
    for i in range(1024):
        kernel.id.write_direct_chunk((0, i * SIDE * 4), packed)


def overflow(_, layer):
    kernel = array(layer, "<f8")
    kernel[...] = 0.5
    kernel[3, 7] = 1e300


files = {f.__name__: hostile(f) for f in (soft_cycle, hard_cycle, external, link_out, bomb, overflow)}
files["repeated"] = hostile(repeated, layers=600)
files["zeros"] = hostile(zeros, units=SIDE * 4096)
with zipfile.ZipFile(FIXTURES / "hostile.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
    for name, data in files.items():
        archive.writestr(zipfile.ZipInfo(f"{name}.h5"), data, zipfile.ZIP_DEFLATED, 9)
        print(f"{len(data):8} {name}")
