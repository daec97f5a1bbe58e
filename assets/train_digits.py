#!/usr/bin/env python3
"""Train the small Xception behind `sepconv demo` and write its files.

The data are scikit-learn's digits: 1797 pictures of 8x8 pixels, 17 grey
levels, shipped inside the scikit-learn wheel, so nothing is downloaded.

    pip install -r requirements.txt
    python train_digits.py                 # train, test, write the files
    python train_digits.py --validate-only # train, stop at the validation score
    python train_digits.py --check         # the builder against Keras Applications

The files go next to this script (or to --out): digits.keras, digits.png,
digits.labels.txt, digits.logits.txt, digits.classes.txt. README.md says what
each of them is.

The pictures are split once into training, validation and test. The validation
pictures choose the epoch; the test pictures choose nothing and are looked at
after the model is saved.
"""

import argparse
import os
from pathlib import Path

# Read by TensorFlow and Keras on import. oneDNN picks its kernels by CPU, so
# leaving it out makes the result depend less on the machine.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

HERE = Path(__file__).resolve().parent

CLASSES = [str(digit) for digit in range(10)]
TILE = 8  # side of a digit picture
BLOCK = 4  # each pixel becomes a BLOCK x BLOCK square of the network's input
INPUT = TILE * BLOCK
GRID = 10  # the contact sheet is GRID x GRID pictures
N_VALIDATION, N_TEST = 200, 400
SPLIT_SEED = 2024

# The names and descriptions of the layers take about 240 KB of the .keras file
# whatever their widths; these keep the whole file under 300 KB.
CONFIG = dict(
    input_size=INPUT,
    stem=(8, 16),
    entry=(16, 24),
    middle=2,
    exit=(24, 24),
    final=(24, 40),
    classes=len(CLASSES),
)


# ---------------------------------------------------------------- the network


def xception(input_size, stem, entry, middle, exit, final, classes):
    """A network with the block structure and layer names of Xception.

    stem    widths of the two convolutions of block 1
    entry   width of each strided entry block (2, 3, ...)
    middle  number of middle blocks, as wide as the last entry block
    exit    widths of the two separable convolutions of the exit block
    final   widths of the separable convolutions of the last block

    Full size is xception(299, (32, 64), (128, 256, 728), 8, (728, 1024),
    (1536, 2048), 1000). The output is logits.
    """
    # The projections and the additions carry automatic names; start these
    # without a number.
    keras.backend.clear_session()

    def norm(x, name=None):
        return layers.BatchNormalization(axis=-1, name=name)(x)

    def relu(x, name):
        return layers.Activation("relu", name=f"{name}_act")(x)

    def sepconv(x, width, name):
        x = layers.SeparableConv2D(
            width, (3, 3), padding="same", use_bias=False, name=name
        )(x)
        return norm(x, f"{name}_bn")

    def strided_block(x, widths, block, relu_first=True):
        residual = layers.Conv2D(
            widths[1], (1, 1), strides=(2, 2), padding="same", use_bias=False
        )(x)
        residual = norm(residual)
        for i, width in enumerate(widths, 1):
            if relu_first or i > 1:
                x = relu(x, f"block{block}_sepconv{i}")
            x = sepconv(x, width, f"block{block}_sepconv{i}")
        x = layers.MaxPooling2D(
            (3, 3), strides=(2, 2), padding="same", name=f"block{block}_pool"
        )(x)
        return layers.add([x, residual])

    inputs = x = layers.Input(shape=(input_size, input_size, 3))
    for i, (width, stride) in enumerate(zip(stem, (2, 1)), 1):
        name = f"block1_conv{i}"
        x = layers.Conv2D(
            width, (3, 3), strides=(stride, stride), use_bias=False, name=name
        )(x)
        x = relu(norm(x, f"{name}_bn"), name)

    block = 2
    for width in entry:
        # Block 1 ends in a ReLU, so block 2 does not begin with one.
        x = strided_block(x, (width, width), block, relu_first=block > 2)
        block += 1

    for _ in range(middle):
        residual = x
        for i in (1, 2, 3):
            name = f"block{block}_sepconv{i}"
            x = sepconv(relu(x, name), entry[-1], name)
        x = layers.add([x, residual])
        block += 1

    x = strided_block(x, exit, block)
    block += 1

    for i, width in enumerate(final, 1):
        name = f"block{block}_sepconv{i}"
        x = relu(sepconv(x, width, name), name)

    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = layers.Dense(classes, name="predictions")(x)
    return keras.Model(inputs, x, name="xception")


def check_builder():
    """At full size, every layer, name and connection is Keras Applications'."""
    ours = xception(
        299, (32, 64), (128, 256, 728), 8, (728, 1024), (1536, 2048), 1000
    ).get_config()
    keras.backend.clear_session()
    theirs = keras.applications.Xception(
        weights=None, classifier_activation=None
    ).get_config()
    if ours != theirs:
        raise SystemExit("the builder differs from keras.applications.Xception")
    print(f"same as keras.applications.Xception: {len(ours['layers'])} layers")


# ------------------------------------------------------------------- the data


def load_split():
    """[(grey bytes, labels)] for training, validation and test."""
    digits = load_digits()
    grey = np.round(digits.images * 255 / 16).astype(np.uint8)
    rest, x_test, y_rest, y_test = train_test_split(
        grey,
        digits.target,
        test_size=N_TEST,
        stratify=digits.target,
        random_state=SPLIT_SEED,
    )
    x_train, x_val, y_train, y_val = train_test_split(
        rest,
        y_rest,
        test_size=N_VALIDATION,
        stratify=y_rest,
        random_state=SPLIT_SEED,
    )
    return (x_train, y_train), (x_val, y_val), (x_test, y_test)


def preprocess(grey):
    """[n, 8, 8] grey values -> [n, 32, 32, 3] network input in -1..1."""
    x = np.asarray(grey, np.float32)
    x = x.repeat(BLOCK, axis=1).repeat(BLOCK, axis=2)
    x = x / np.float32(127.5) - np.float32(1)
    return np.repeat(x[..., None], 3, axis=-1)


def augment(grey, rng, shift, rotate, scale):
    """Each picture moved, turned and scaled a little, on a black background.

    The digits were made by counting the black pixels in 4x4 squares of a 32x32
    scan. The same is done here: transform at 32x32, then average each square,
    so that the result has the blocks that real inputs have.
    """
    n = len(grey)
    big = grey.repeat(BLOCK, axis=1).repeat(BLOCK, axis=2).astype(np.float32)
    # A black frame makes every sample outside the picture background.
    pad = INPUT // 2
    big = np.pad(big, ((0, 0), (pad, pad), (pad, pad)))

    def draw(low, high):
        return rng.uniform(low, high, (n, 1, 1)).astype(np.float32)

    angle = np.deg2rad(draw(-rotate, rotate))
    zoom_y = np.exp(draw(-scale, scale))
    zoom_x = np.exp(draw(-scale, scale))
    centre = np.float32((INPUT - 1) / 2)
    row, column = np.mgrid[:INPUT, :INPUT].astype(np.float32) - centre
    y = (np.cos(angle) * row + np.sin(angle) * column) * zoom_y
    x = (np.cos(angle) * column - np.sin(angle) * row) * zoom_x
    limit = big.shape[1] - 1.001
    y = np.clip(y + centre + pad + draw(-shift, shift), 0, limit)
    x = np.clip(x + centre + pad + draw(-shift, shift), 0, limit)

    top, left = y.astype(int), x.astype(int)
    dy, dx = y - top, x - left
    k = np.arange(n)[:, None, None]
    moved = (big[k, top, left] * (1 - dx) + big[k, top, left + 1] * dx) * (
        1 - dy
    ) + (big[k, top + 1, left] * (1 - dx) + big[k, top + 1, left + 1] * dx) * dy
    return moved.reshape(n, TILE, BLOCK, TILE, BLOCK).mean(axis=(2, 4))


class Training(keras.utils.PyDataset):
    """Shuffled batches, each picture augmented afresh in every epoch."""

    def __init__(self, grey, labels, args):
        super().__init__(workers=1)
        self.grey, self.args = grey, args
        self.labels = np.eye(len(CLASSES), dtype=np.float32)[labels]
        self.epoch = 0
        self.prepare()

    def prepare(self):
        rng = np.random.default_rng([self.args.seed, self.epoch])
        self.order = rng.permutation(len(self.grey))
        self.inputs = preprocess(
            augment(
                self.grey, rng, self.args.shift, self.args.rotate, self.args.scale
            )
        )

    def __len__(self):
        # Whole batches only: a tiny last one would disturb batch normalization.
        return len(self.grey) // self.args.batch

    def __getitem__(self, index):
        pick = self.order[index * self.args.batch :][: self.args.batch]
        return self.inputs[pick], self.labels[pick]

    def on_epoch_end(self):
        self.epoch += 1
        self.prepare()


# --------------------------------------------------------------- the training


def train(args, training, validation):
    """The uncompiled network, with the weights of the best validation epoch."""
    keras.utils.set_random_seed(args.seed)
    batches = Training(*training, args)
    x_val, y_val = validation
    hot_val = np.eye(len(CLASSES), dtype=np.float32)[y_val]

    model = xception(**CONFIG)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0,
        args.epochs * len(batches),
        warmup_target=args.rate,
        warmup_steps=2 * len(batches),
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=args.decay)
    # Scale and offset of the normalizations are not decayed.
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    model.compile(
        optimizer,
        keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=args.smoothing
        ),
        metrics=["accuracy"],
    )
    # Never stops early; at the end it puts back the best epoch's weights.
    best = keras.callbacks.EarlyStopping(
        "val_loss", patience=args.epochs, restore_best_weights=True
    )
    model.fit(
        batches,
        epochs=args.epochs,
        validation_data=(preprocess(x_val), hot_val),
        validation_batch_size=len(x_val),
        callbacks=[best],
        verbose=2,
        shuffle=False,
    )
    print(f"kept epoch {best.best_epoch + 1} of {args.epochs}")

    # A compiled model saves its optimizer's state too, twice the weights again.
    clean = xception(**CONFIG)
    clean.set_weights(model.get_weights())
    return clean


def predict(model, grey):
    return model.predict(preprocess(grey), batch_size=len(grey), verbose=0)


def score(logits, labels):
    right = int((logits.argmax(axis=1) == labels).sum())
    return f"{right}/{len(labels)} = {right / len(labels):.2%}"


# ------------------------------------------------------------------ the files


def write_lines(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")


def write_sheet(path, grey):
    sheet = grey.reshape(GRID, GRID, TILE, TILE).swapaxes(1, 2)
    Image.fromarray(sheet.reshape(GRID * TILE, GRID * TILE)).save(
        path, optimize=True
    )


def read_sheet(path):
    sheet = np.asarray(Image.open(path)).reshape(GRID, TILE, GRID, TILE)
    return sheet.swapaxes(1, 2).reshape(GRID * GRID, TILE, TILE)


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def option(name, default, text):
        parser.add_argument(
            name,
            type=type(default),
            default=default,
            help=f"{text} (default {default})",
        )

    option("--epochs", 100, "passes over the training pictures")
    option("--batch", 32, "pictures in a batch")
    option("--rate", 4e-3, "peak learning rate of AdamW")
    option("--decay", 0.02, "weight decay of AdamW")
    option("--smoothing", 0.05, "label smoothing")
    option("--shift", 3.0, "augmentation: largest shift, in 1/4 pixels")
    option("--rotate", 10.0, "augmentation: largest turn, in degrees")
    option("--scale", 0.1, "augmentation: largest log of the zoom per axis")
    option("--seed", 1, "seed of weights, order and augmentation, not of the split")
    option("--threads", 1, "CPU threads of TensorFlow")
    option("--out", str(HERE), "folder to write to")
    parser.add_argument(
        "--validate-only",
        action="store_true",
        help="stop at the validation score: no test pictures, no files",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="only compare the builder with keras.applications.Xception",
    )
    return parser.parse_args()


def main():
    args = parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    tf.config.threading.set_inter_op_parallelism_threads(args.threads)
    tf.config.experimental.enable_op_determinism()
    if args.check:
        check_builder()
        return

    training, validation, (x_test, y_test) = load_split()
    model = train(args, training, validation)
    x_val, y_val = validation
    print(f"parameters  {model.count_params()}")
    print(f"validation  {score(predict(model, x_val), y_val)}")
    if args.validate_only:
        return

    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    saved = out / "digits.keras"
    model.save(saved)
    shown = GRID * GRID
    write_sheet(out / "digits.png", x_test[:shown])
    write_lines(out / "digits.labels.txt", y_test[:shown])
    write_lines(out / "digits.classes.txt", CLASSES)

    # From here on only what was written counts: the model and the sheet are
    # read back, so that the logits belong to the files.
    model = keras.models.load_model(saved)
    sheet = read_sheet(out / "digits.png")
    logits = predict(model, sheet)
    # str() of a float32 is the shortest text that reads back to the same value.
    write_lines(
        out / "digits.logits.txt", (" ".join(map(str, row)) for row in logits)
    )
    print(f"file size   {saved.stat().st_size} bytes")
    print(f"test        {score(predict(model, x_test), y_test)}")
    print(f"sheet       {score(logits, y_test[:shown])}")


if __name__ == "__main__":
    main()
