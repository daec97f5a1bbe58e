"""Makes tiny.keras, a picture-sized input and what Keras computes of it.

    pip install keras==3.15.1 tensorflow-cpu==2.21.0 && python make_model.py

Element i of a weight array of n elements is ((37 i + 11 n) mod 64 - 32) / 64; of a variance its
absolute value + 1/2.
"""

import os
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
from keras import layers

HERE = Path(__file__).parent

pixels = layers.Input((8, 10, 3), name="pixels")
x = layers.SeparableConv2D(8, 3, padding="same", use_bias=False, name="separable")(pixels)
x = layers.BatchNormalization(epsilon=1e-3, name="separable_bn")(x)
features = layers.Activation("relu", name="separable_act")(x)
x = layers.GlobalAveragePooling2D(name="average")(features)
logits = layers.Dense(4, name="classes")(x)
model = keras.Model(pixels, logits, name="tiny")
for variable in model.variables:
    n = int(np.prod(variable.shape))
    values = ((37 * np.arange(n) + 11 * n) % 64 - 32) / 64
    if variable.name == "moving_variance":
        values = np.abs(values) + 0.5
    variable.assign(values.reshape(variable.shape).astype("float32"))
model.save(HERE / "tiny.keras")

n = 9 * 8 * 10 * 3
x = (((29 * np.arange(n)) % 128 - 64) / 64).astype("float32").reshape(9, 8, 10, 3)
np.save(HERE / "x.npy", x)
np.save(HERE / "logits.npy", model.predict(x, verbose=0))
np.save(HERE / "features.npy", keras.Model(pixels, features).predict(x[:2], verbose=0))
