"""What TensorFlow's tf.image.resize makes of resize.png, and Keras's preprocess_input of some pixels.

    pip install tensorflow-cpu==2.21.0 pillow==13.0.0 && python make_tensorflow.py

tensorflow.npy  float32, one after the other for each of CASES, for each method, H×W×3:
                the upper left corner of resize.png, `source` pixels high and wide, resized to `size`
preprocess.npy  float32, one after the other for each mode: a row of PIXELS
"""

from pathlib import Path

import numpy as np
import tensorflow as tf
from keras.src.applications.imagenet_utils import preprocess_input
from PIL import Image

HERE = Path(__file__).parent
METHODS = ["nearest", "bilinear", "bicubic"]
# (source, size), as in ../image.rs.
CASES = [
    ((1, 1), (1, 1)),
    ((1, 1), (2, 3)),
    ((5, 7), (1, 1)),
    ((5, 7), (2, 3)),
    ((5, 7), (5, 7)),
    ((5, 7), (5, 3)),
    ((5, 7), (9, 8)),
    ((5, 7), (10, 14)),
    ((5, 7), (3, 15)),
    ((2, 3), (7, 1)),
    ((31, 43), (4, 6)),
    ((31, 43), (11, 9)),
]
PIXELS = [[0, 1, 127], [128, 254, 255], [51, 102, 204]]

picture = np.asarray(Image.open(HERE / "resize.png"))
parts = []
for (height, width), size in CASES:
    for method in METHODS:
        resized = tf.image.resize(picture[:height, :width], size, method)
        parts.append(np.asarray(resized, np.float32).ravel())
np.save(HERE / "tensorflow.npy", np.concatenate(parts))

modes = []
for mode in ["tf", "torch", "caffe"]:
    x = np.array(PIXELS, np.float32)[None, None]
    modes.append(preprocess_input(x, "channels_last", mode=mode).ravel())
np.save(HERE / "preprocess.npy", np.concatenate(modes))
