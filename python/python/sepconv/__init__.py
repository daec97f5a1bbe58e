"""Xception and its family on the CPU.

>>> import numpy as np, sepconv
>>> model = sepconv.Model.load("xception.keras")        # doctest: +SKIP
>>> x = np.random.rand(8, 299, 299, 3).astype("float32") * 2 - 1
>>> probabilities = model(x)                            # as Keras's predict   # doctest: +SKIP
>>> logits = model(x, logits=True)                      # doctest: +SKIP

`Model` is a network with weights, from a file of Keras, TensorFlow Lite, TensorFlow.js, timm or
`sepconv quantize`. `from_keras` and `from_timm` make one of a live model. `kernels` has single
layers on arrays. `Picture` decodes JPEG and PNG, and `Model.preprocess` makes a model's input of it.
`bench` times models, layers and other functions in turns.

Tensors are N×H×W×C, or N×L×C for models of sequences. Results have the same bits on every CPU, any
number of threads and any batch, unless `arithmetic="fast"` is asked for.

Python's global lock is released while anything is loaded, packed or computed: a model may be used
by any number of threads at once. Models can be pickled, and used in a child of `fork` or `spawn`.

Wrong input raises `ValueError` with the numbers; a missing file raises `FileNotFoundError`.
"""

from . import kernels
from ._bench import Record, bench
from ._convert import from_keras, from_timm
from ._model import Model
from ._pictures import Picture
from ._sepconv import __version__, available_threads, levels

__all__ = [
    "Model",
    "Picture",
    "Record",
    "__version__",
    "available_threads",
    "bench",
    "from_keras",
    "from_timm",
    "kernels",
    "levels",
]
