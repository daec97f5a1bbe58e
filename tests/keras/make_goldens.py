"""Writes goldens/<model>_<size>.json: what Keras's model computes from the synthetic weights and picture.

    python make_goldens.py [model_size ...]        default: all of GOLDENS

Each file holds, for some nodes, the output's shape, mean, standard deviation and largest magnitude (summed in
float64) and 64 samples at the flat positions synthetic.indices("golden/<size>/<node>", ...), then the logits.
mobilenet-0.25 is of that width. fixtures/<model>_layers.txt lists the layers of Keras's models in order.
"""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import keras
import tensorflow as tf

import golden
import synthetic

SAMPLES = 64
FOLDER = pathlib.Path(__file__).parent / "goldens"
FIXTURES = pathlib.Path(__file__).parent / "fixtures"


# Even and odd sizes: padding at stride 2 differs. MobileNet pads below and to the right whatever the size.
GOLDENS = [
    *(f"xception_{size}" for size in (299, 224, 150, 71)),
    "xception-without-residuals_96",
    *(f"mobilenet_{size}" for size in (224, 97)),
    "mobilenet-0.25_160",
    *(f"inception-v3_{size}" for size in (299, 150)),
]


def without_residuals(size):
    """The layers of Keras's Xception in a row, without the projections and the sums."""
    options = {"weights": None, "input_shape": (size, size, 3), "classifier_activation": None}
    whole = keras.applications.Xception(**options)
    x = keras.layers.Input((size, size, 3))
    model_input, kinds = x, ("Add", "InputLayer")
    for layer in whole.layers:
        projection = layer.name.startswith(("conv2d", "batch_normalization"))
        if type(layer).__name__ not in kinds and not projection:
            x = layer.__class__.from_config(layer.get_config())(x)
    return keras.Model(model_input, x)


def build(name, size):
    """The model with logits for an output, and the names of the nodes to look at."""
    family, _, width = name.partition("-") if name.startswith("mobilenet") else (name, "", "")
    options = {"weights": None, "input_shape": (size, size, 3), "classes": 1000, "classifier_activation": None}
    keras.backend.clear_session()
    if family == "xception":
        # The output of each of the 14 blocks.
        sums = ["add"] + [f"add_{i}" for i in range(1, 12)]
        names = ["block1_conv2_act", *sums, "block14_sepconv2_act"]
        return keras.applications.Xception(**options), names
    if family == "xception-without-residuals":
        pools = [f"block{i}_pool" for i in (2, 3, 4, 13)]
        names = ["block1_conv2_act", *pools, *(f"block{i}_sepconv3_bn" for i in range(5, 13)), "block14_sepconv2_act"]
        return without_residuals(size), names
    if family == "mobilenet":
        model = keras.applications.MobileNet(alpha=float(width or 1), **options)
        return model, ["conv1_relu", *(f"conv_pw_{i}_relu" for i in range(1, 14))]
    if family == "inception-v3":
        names = ["activation_4", *(f"mixed{i}" for i in range(11)), "mixed9_0", "mixed9_1"]
        return keras.applications.InceptionV3(**options), names
    sys.exit(f"no golden {name!r}")


def main():
    for which in sys.argv[1:] or GOLDENS:
        name, _, size = which.rpartition("_")
        size = int(size)
        model, names = build(name, size)
        if name in ("xception", "mobilenet", "inception-v3"):
            layers = "\n".join(layer.name for layer in model.layers) + "\n"
            (FIXTURES / f"{name}_layers.txt").write_text(layers)
        synthetic.fill(model)
        outputs = [model.get_layer(n).output for n in names] + [model.output]
        *values, logits = keras.Model(model.input, outputs)(synthetic.picture(size), training=False)
        head = {"size": size, "keras": keras.__version__, "tensorflow": tf.__version__}
        pairs = zip(names, values, strict=True)
        golden.write(FOLDER / f"{which}.json", head, pairs, logits, SAMPLES)
        print(which, "done", flush=True)


if __name__ == "__main__":
    main()
