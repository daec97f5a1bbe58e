"""Networks with weights."""

from __future__ import annotations

import os
import pickle
import threading
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Sequence

import numpy as np

from . import _sepconv
from ._arrays import check_out, checked_threads, input_array
from ._pictures import Picture

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from typing_extensions import TypedDict, Unpack

    _Array = NDArray[np.float32]
    _Progress = Callable[[int, int], object]

    class _Options(TypedDict, total=False):
        threads: int | None
        level: str | None
        arithmetic: str
        weights_type: str | None
        activations_type: str | None
        amx: bool

# The most pictures computed at a time: enough to feed all threads, and a bound on memory.
_BATCH = 8
# Of a picture, decoded or resized.
_MOST_PIXELS = 1 << 27
# Plans for other sizes that a model keeps, which share its packed weights.
_MOST_PLANS = 16


class Step(NamedTuple):
    """A step of a model for one input shape: a kernel with what is fused into it."""

    #: The node whose value it stores.
    name: str
    #: The names of its kernels.
    kernel: str
    #: Shape N×H×W×C of its first operand.
    input: tuple[int, int, int, int]
    #: Shape N×H×W×C of its result.
    output: tuple[int, int, int, int]
    #: Of convolutions and dense layers.
    multiply_adds: int


class _Value(NamedTuple):
    """A node to compute, and its number of dimensions in Keras."""

    node: str
    rank: int


class Model:
    """A network with weights, ready to run on arrays.

    Made by `Model.load`, `Model.from_bytes`, `sepconv.from_keras` and `sepconv.from_timm`, all of
    which take these options:

    - ``threads``: how many compute; default one for each CPU that the process may use.
    - ``level``: the instruction set, one of `sepconv.levels()`; default the environment variable
      ``SEPCONV_LEVEL``, else the best.
    - ``arithmetic``: ``"exact"`` (f32, the same bits on every CPU), ``"unfused"`` (likewise, for
      CPUs without fused multiply-adds), ``"bf16"`` (products of bf16, the same bits on every CPU)
      or ``"fast"`` (the CPU's own bf16 dot products).
    - ``weights_type``, ``activations_type``: ``"f32"``, ``"f16"`` or ``"bf16"``, to which weights,
      or values between layers, are rounded; default f32, with ``arithmetic="bf16"`` bf16.
    - ``amx``: multiply by tile registers where the CPU has them and the arithmetic is bf16 or the
      model of integers.

    Weights are packed when a model first runs; the nodes asked for by `run` make a copy of their
    own, each set of nodes one.

    >>> model = sepconv.Model.load("digits.keras", threads=1)     # doctest: +SKIP
    >>> model.input_shape, model.output_names                     # doctest: +SKIP
    ((None, 32, 32, 3), ['predictions'])
    """

    __slots__ = ("_core", "_options", "_plans", "_quantization", "_values")

    def __init__(self, core: _sepconv.Core, options: dict[str, Any]) -> None:
        self._core = core
        self._options = options
        self._quantization = core.input_quantization()
        #: By whether they are logits.
        self._values: dict[bool, tuple[_Value, ...]] = {}
        self._plans: dict[tuple[Any, Any], _sepconv.Plan] = {}

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        architecture: str | None = None,
        **options: Unpack[_Options],
    ) -> Model:
        """Loads a file, whose kind follows from its content: Keras's ``.keras``, ``.h5`` and
        ``.weights.h5``, TensorFlow Lite's ``.tflite``, TensorFlow.js's ``model.json``, timm's
        ``.safetensors`` and those of ``sepconv quantize``.

        A file of weights alone needs an `architecture`, such as ``"xception"``, ``"mobilenet"``,
        ``"mobilenet-0.25"``, ``"inception-v3"``, ``"xception41"`` or ``"efficientnet_b0"``: the
        names that the command line's ``--model`` takes.

        Raises `FileNotFoundError` or `PermissionError` if it can't be opened, `ValueError` with the
        file's name and what is wrong in it.
        """
        checked = _checked_options(options)
        return cls(_sepconv.Core.load(path, architecture), checked)

    @classmethod
    def from_bytes(
        cls,
        data: bytes | bytearray | memoryview,
        name: str = "model",
        *,
        architecture: str | None = None,
        **options: Unpack[_Options],
    ) -> Model:
        """Loads the content of a file. Errors show `name` as the file's.

        `bytes` are read where they lie; of another buffer, such as a `memoryview` of shared memory,
        a copy is made, and dropped once it is read.
        """
        checked = _checked_options(options)
        return cls(_core(data, name, architecture), checked)

    @classmethod
    def random(
        cls,
        architecture: str,
        **options: Unpack[_Options],
    ) -> Model:
        """The architecture with pseudorandom weights, the same each time: to measure its speed.

        >>> sepconv.Model.random("xception").name
        'xception'
        """
        checked = _checked_options(options)
        return cls(_sepconv.Core.random(architecture), checked)

    def with_options(self, **options: Unpack[_Options]) -> Model:
        """The same network and weights, unpacked ones shared, with other options (see `Model`).

        >>> one = model.with_options(threads=1)     # doctest: +SKIP
        """
        return Model(self._core, _checked_options({**self._options, **options}))

    def to_bytes(self) -> bytes:
        """A file that `load` and `from_bytes` read: safetensors with the network in its header.
        Options are not in it."""
        return self._core.to_bytes()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes `to_bytes` to a file, completely or not at all."""
        path = os.fspath(path)
        data = self.to_bytes()
        # Nobody else's: other threads and processes may save, too.
        temporary = f"{path}.{os.getpid()}-{threading.get_ident()}.tmp"
        file = open(temporary, "xb")
        try:
            with file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise

    def __call__(
        self,
        x: ArrayLike,
        *,
        logits: bool = False,
        out: _Array | Sequence[_Array] | None = None,
        progress: _Progress | None = None,
    ) -> _Array | list[_Array]:
        """Computes the model's output, as Keras's ``predict`` returns it; a list of arrays if there
        are several.

        :param x: N×H×W×C, or N×L×C for a model of sequences, N at least 1. float32 in C order is
            used as it is; float16, bfloat16 and float64 numbers are rounded to float32 first, and
            other strides copied. A model whose input is of 8-bit integers also takes these, uint8
            or int8.
        :param logits: return what the model's own softmax or sigmoid is applied to.
        :param out: the array to write, or a list of as many as there are outputs: float32 in C
            order, of exactly the shape. It is returned.
        :param progress: called with the number of pictures done and that of all, after each
            batch of at most 8.

        >>> model(np.zeros((2, 32, 32, 3), "float32")).shape     # doctest: +SKIP
        (2, 10)
        """
        values = self._outputs(logits)
        arrays = self._compute(x, values, out, progress)
        return arrays[0] if len(arrays) == 1 else arrays

    def run(
        self,
        x: ArrayLike,
        *,
        out: _Array | Sequence[_Array] | None = None,
        nodes: Sequence[str] | None = None,
        progress: _Progress | None = None,
    ) -> list[_Array]:
        """Computes outputs and nodes by name, a list in the order of `nodes`; without, all outputs.

        A node is a layer of Keras or a module of timm; see `node_names`. Its array has the shape
        that Keras gives it: N×C, N×L×C or N×H×W×C. ``"LAYER/logits"`` is what a layer's own softmax
        or sigmoid is applied to. `x`, `out` and `progress` are those of a call.

        >>> features, probabilities = model.run(x, nodes=["avg_pool", "predictions"])
        ... # doctest: +SKIP
        """
        if nodes is None:
            return self._compute(x, self._outputs(False), out, progress)
        if isinstance(nodes, str):
            raise TypeError("nodes: expected a list of names, got a string")
        values = tuple(self._named(name) for name in nodes)
        if not values:
            raise ValueError("nodes: expected at least 1 name, got none")
        return self._compute(x, values, out, progress)

    def preprocess(
        self,
        pictures: Picture | Sequence[Picture],
        *,
        size: tuple[int, int] | None = None,
        resize: str | None = None,
        crop: float | None = None,
        scaling: str | None = None,
        mean: float | Sequence[float] = (),
        std: float | Sequence[float] = (),
    ) -> _Array:
        """The model's input of these pictures, N×H×W×C, with the bits that ``sepconv classify``
        computes on. The file says how, or what is given here; see `preprocessing`.

        :param size: height and width; default the model's own.
        :param resize: ``"nearest"``, ``"bilinear"`` or ``"bicubic"``, as Pillow does it, or
            ``"tf-nearest"``, ``"tf-bilinear"`` or ``"tf-bicubic"``, as TensorFlow does; default
            that of the file, or ``"nearest"``.
        :param crop: keep the proportions of pictures, and use this share of them, in the middle;
            0 for all of it, without proportions; default as the file says, or 0.
        :param scaling: of pixels from 0 to 255: ``"tf"`` (x / 127.5 − 1), ``"torch"`` or
            ``"caffe"`` (with the mean and deviation of ImageNet), ``"unit"`` (x / 255) or
            ``"none"``; default that of the file, or ``"tf"``.
        :param mean: is subtracted, one number or three, after ``"unit"``, unless `scaling` is
            ``"none"``.
        :param std: divides after `mean` is subtracted.

        >>> x = model.preprocess(sepconv.Picture.read("cat.jpg"))     # doctest: +SKIP
        >>> probabilities = model(x)                                  # doctest: +SKIP
        """
        if isinstance(pictures, Picture):
            pictures = [pictures]
        height, width, channels, is_sequence = self._core.input()
        if is_sequence:
            raise ValueError(f'"{self.name}" takes sequences, not pictures')
        if size is not None:
            height, width = size
        if height is None or width is None:
            raise ValueError(f'size: expected a height and a width, since "{self.name}" has none')
        if height < 1 or width < 1 or height * width > _MOST_PIXELS:
            raise ValueError(
                f"size: expected a picture of 1 to {_MOST_PIXELS} pixels, got {height}×{width} "
                "(height × width)"
            )
        options = {
            "resize": resize,
            "crop": crop,
            "scaling": scaling,
            "mean": np.ravel(mean).tolist(),
            "std": np.ravel(std).tolist(),
        }
        x = np.empty((len(pictures), height, width, channels), np.float32)
        for picture, row in zip(pictures, x):
            self._core.preprocess(picture._core, (height, width), options, row.reshape(-1))
        return x

    def _outputs(self, logits: bool) -> tuple[_Value, ...]:
        values = self._values.get(logits)
        if values is None:
            core = self._core
            values = tuple(
                _Value(_logits(core, name, node) if logits else node, core.rank(node))
                for name, node in core.outputs()
            )
            self._values[logits] = values
        return values

    def _named(self, name: str) -> _Value:
        core = self._core
        outputs = dict(core.outputs())
        node = outputs.get(name)
        if node is None:
            if name not in core.nodes():
                quoted = ", ".join(f'"{output}"' for output in outputs)
                raise ValueError(
                    f'"{core.name()}" has no output or node "{name}"; its outputs: {quoted}'
                )
            node = name
        return _Value(node, core.rank(node))

    def _compute(
        self,
        x: ArrayLike,
        values: tuple[_Value, ...],
        out: _Array | Sequence[_Array] | None,
        progress: _Progress | None,
    ) -> list[_Array]:
        x = input_array(x, self._quantization)
        shape = self._checked(x.shape)
        count, rest = shape[0], shape[1:]
        batch = -(-count // -(-count // _BATCH))
        plan = self._plan((batch, *rest), values)
        arrays = _outputs(plan, values, count, x, out)
        if batch == count:
            plan.run(x.reshape(-1), [array.reshape(-1) for array in arrays])
            if progress is not None:
                progress(count, count)
            return arrays
        for start in range(0, count, batch):
            end = min(start + batch, count)
            if end - start < batch:
                plan = self._plan((end - start, *rest), values)
            plan.run(x[start:end].reshape(-1), [array[start:end].reshape(-1) for array in arrays])
            if progress is not None:
                progress(end, count)
        return arrays

    def _checked(self, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        """N×H×W×C of an input's shape; sequences have one row."""
        _, _, channels, is_sequence = self._core.input()
        rank = 3 if is_sequence else 4
        if len(shape) != rank or shape[-1] != channels or any(side < 1 for side in shape):
            sides = "N×L" if is_sequence else "N×H×W"
            raise ValueError(
                f"x: expected an array of shape {sides}×{channels}, each at least 1, "
                f"got {list(shape)}"
            )
        if is_sequence:
            n, length, c = shape
            return n, 1, length, c
        n, h, w, c = shape
        return n, h, w, c

    def _plan(
        self, shape: tuple[int, int, int, int], values: tuple[_Value, ...]
    ) -> _sepconv.Plan:
        plans = self._plans
        plan = plans.get((shape, values))
        if plan is not None:
            return plan
        # No lock, which a child of `fork` might inherit locked: another thread may do this, too.
        same = [made for (_, nodes), made in list(plans.items()) if nodes == values]
        if same:
            plan = same[0].resized(shape)
        else:
            plan = self._core.plan(shape, [value.node for value in values], self._options)
        while len(plans) >= _MOST_PLANS:
            plans.pop(list(plans)[0], None)
        plans[shape, values] = plan
        return plan

    def steps(self, shape: Sequence[int]) -> list[Step]:
        """What runs for an input of this shape, in order.

        >>> [step.kernel for step in model.steps((1, 299, 299, 3))][0]     # doctest: +SKIP
        'gemm_f32_12x32_avx512'
        """
        shape = self._checked(tuple(shape))
        return [Step(*step) for step in self._plan(shape, self._outputs(False)).steps()]

    @property
    def name(self) -> str:
        """The network's name."""
        return self._core.name()

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """(None, height, width, channels), or (None, length, channels) for a model of sequences;
        None for what is not fixed by the file. Many models take other sizes, too."""
        height, width, channels, is_sequence = self._core.input()
        return (None, width, channels) if is_sequence else (None, height, width, channels)

    @property
    def input_quantization(self) -> tuple[float, int] | None:
        """Scale and zero point of the input's 8-bit integers as uint8; None for numbers."""
        return self._quantization

    @property
    def output_names(self) -> list[str]:
        """The names of the outputs, in the order of a call's result."""
        return [name for name, _ in self._core.outputs()]

    @property
    def node_names(self) -> list[str]:
        """All nodes, in order: what `run` takes, besides outputs."""
        return self._core.nodes()

    @property
    def labels(self) -> list[str] | None:
        """The names of the classes, if the file has them."""
        return self._core.labels()

    @property
    def notes(self) -> list[str]:
        """What loading the file wants to tell."""
        return self._core.notes()

    @property
    def preprocessing(self) -> dict[str, Any]:
        """How pixels from 0 to 255 become the input, as far as the file says: ``scaling`` (``"tf"``,
        ``"torch"``, ``"caffe"``, ``"unit"`` or ``"none"``), ``mean``, ``std``, ``resize`` and
        ``crop`` (the share of the picture, and whether its proportions are given up)."""
        scaling, mean, std = self._core.scaling()
        resize, crop = self._core.resizing()
        return {"scaling": scaling, "mean": mean, "std": std, "resize": resize, "crop": crop}

    @property
    def link(self) -> str | None:
        """``"softmax"`` or ``"sigmoid"`` if the output is known to be logits of it."""
        return self._core.link()

    @property
    def head(self) -> str | None:
        """What makes the first output probabilities: ``"softmax"``, ``"sigmoid"`` or
        ``"mean of softmaxes"`` at its end; None if it is values, which may be logits: see `link`."""
        _, node = self._core.outputs()[0]
        return self._core.logits(node)[0]

    @property
    def parameters(self) -> int:
        """The number of weights, moving statistics included."""
        return self._core.parameters()[1]

    @property
    def threads(self) -> int:
        """How many threads compute."""
        return self._options["threads"]

    def __repr__(self) -> str:
        shape = "×".join("?" if side is None else str(side) for side in self.input_shape[1:])
        return f"<sepconv.Model {self.name!r} of {shape}, {self.parameters} parameters>"

    def __reduce_ex__(self, protocol: Any) -> Any:
        data: Any = self.to_bytes()
        if protocol >= 5:
            # Who wants may keep it apart, in memory that processes share.
            data = pickle.PickleBuffer(data)
        return _unpickle, (data, self.name, self._options)


def _unpickle(data: Any, name: str, options: dict[str, Any]) -> Model:
    return Model(_core(data, name, None), options)


def _core(data: Any, name: str, architecture: str | None) -> _sepconv.Core:
    if not isinstance(data, bytes):
        data = bytes(memoryview(data))
    return _sepconv.Core.from_bytes(name, data, architecture)


_DEFAULTS: dict[str, Any] = {
    "threads": None,
    "level": None,
    "arithmetic": "exact",
    "weights_type": None,
    "activations_type": None,
    "amx": False,
}


def _checked_options(given: Any) -> dict[str, Any]:
    """All options, for the compiled part."""
    unknown = given.keys() - _DEFAULTS.keys()
    if unknown:
        raise TypeError(f"unknown options: {', '.join(sorted(unknown))}")
    options = {**_DEFAULTS, **given}
    options["threads"] = checked_threads(options["threads"])
    options["amx"] = bool(options["amx"])
    return options


def _logits(core: _sepconv.Core, output: str, node: str) -> str:
    """The node of an output's logits."""
    function, operand = core.logits(node)
    if operand is not None:
        return operand
    if function is not None:
        raise ValueError(f'logits: the output "{output}" is a {function}, which has none')
    return node


def _outputs(
    plan: _sepconv.Plan,
    values: tuple[_Value, ...],
    count: int,
    x: _Array,
    out: _Array | Sequence[_Array] | None,
) -> list[_Array]:
    """The arrays to write."""
    shapes = []
    for (_, rank), (_, h, w, c) in zip(values, plan.shapes()):
        shapes.append({2: (count, h * w * c), 3: (count, h * w, c)}.get(rank, (count, h, w, c)))
    if out is None:
        return [np.empty(shape, np.float32) for shape in shapes]
    arrays = [out] if isinstance(out, np.ndarray) else list(out)
    if len(arrays) != len(shapes):
        raise ValueError(f"out: expected {len(shapes)} arrays, got {len(arrays)}")
    for i, (array, shape) in enumerate(zip(arrays, shapes)):
        check_out(array, shape, np.float32, x)
        if any(np.may_share_memory(array, other) for other in arrays[:i]):
            raise ValueError("out: two of the arrays share memory")
    return arrays
