"""Writes goldens/xception_<size>.json: what Keras's Xception computes from the synthetic weights and picture.

    python make_goldens.py [size ...]        default: 299 224 150 71

Each file holds, per block, the output's shape, mean, standard deviation and largest magnitude (summed in
float64) and 64 samples at the flat positions synthetic.indices("golden/<size>/<node>", ...), then the logits.
"""

import json
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import keras
import numpy as np
import tensorflow as tf

import synthetic

SAMPLES = 64


def blocks():
    """The output node of each of the 14 blocks."""
    sums = ["add"] + [f"add_{i}" for i in range(1, 12)]
    return ["block1_conv2_act", *sums, "block14_sepconv2_act"]


def number(value):
    """A float32 in the fewest decimal digits that give it back."""
    return float(str(np.float32(value)))


def golden(size):
    keras.backend.clear_session()
    model = keras.applications.Xception(
        weights=None, input_shape=(size, size, 3), classes=1000, classifier_activation=None
    )
    synthetic.fill(model)
    names = blocks()
    outputs = [model.get_layer(n).output for n in names] + [model.output]
    *values, logits = keras.Model(model.input, outputs)(synthetic.picture(size), training=False)
    entries = []
    for name, value in zip(names, values, strict=True):
        value = np.asarray(value)
        exact = value.astype(np.float64)
        positions = synthetic.indices(f"golden/{size}/{name}", SAMPLES, value.size)
        entries.append(
            {
                "node": name,
                "shape": list(value.shape),
                "mean": exact.mean(),
                "std": exact.std(),
                "max_abs": number(np.abs(value).max()),
                "indices": positions,
                "samples": [number(value.flat[i]) for i in positions],
            }
        )
    return {
        "size": size,
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "blocks": entries,
        "logits": [number(v) for v in np.asarray(logits)[0]],
    }


def main():
    folder = pathlib.Path(__file__).parent / "goldens"
    folder.mkdir(exist_ok=True)
    for size in map(int, sys.argv[1:] or ["299", "224", "150", "71"]):
        content = golden(size)
        lines = [json.dumps(entry) for entry in content.pop("blocks")]
        logits = json.dumps(content.pop("logits"))
        head = json.dumps(content)[1:-1]
        text = "{" + head + ',\n"blocks": [\n' + ",\n".join(lines) + f'\n],\n"logits": {logits}}}\n'
        (folder / f"xception_{size}.json").write_text(text)
        print(size, "done", flush=True)


if __name__ == "__main__":
    main()
