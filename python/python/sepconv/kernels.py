"""Single layers on arrays: weights packed once, plans made for each shape when it first comes.

>>> import numpy as np
>>> from sepconv import kernels
>>> rng = np.random.default_rng(0)
>>> layer = kernels.Separable(
...     rng.standard_normal((3, 3, 64, 1), dtype="float32"),     # as Keras's SeparableConv2D
...     rng.standard_normal((64, 128), dtype="float32"),
...     activation="relu",
... )
>>> layer(np.zeros((1, 19, 19, 64), "float32")).shape
(1, 19, 19, 128)

Every output of a convolution is one chain of fused multiply-adds: bias, then taps and channels
ascending. So results have the same bits on every CPU and any number of threads. Padding is left out
of sums.

A layer is called with an array N×H×W×C, and can be given a residual, which is added before the
activation, and the array to write. All take these keyword arguments, as far as the kernel has them:

- ``activation``: applied to the output; a name as in Keras, such as ``"relu"``, ``"relu6"``,
  ``"silu"`` or ``"gelu"``, or the bounds (lo, hi) of a clamp. ``input_activation``: applied to the
  input before.
- ``dtype``: of inputs, ``"float32"``, ``"float16"`` or ``"bfloat16"`` (of the package ml_dtypes).
  ``out_dtype``: of outputs and residuals, by default the same. Weights have the type of their
  array. All arithmetic is f32; an output is rounded once.
- ``layout``: ``"NHWC"``, or ``"NCHW"`` for inputs N×C×H×W in C order. ``out_layout``: of outputs
  and residuals, by default the same.
- ``level``, ``arithmetic``, ``amx``, ``threads``: as of `sepconv.Model`.

Layers with weights also take ``bias``: (O,), float32. Those with a window take:

- ``stride``, ``dilation``: a number, or one for the height and one for the width.
- ``padding``: ``"same"`` or ``"valid"`` as in Keras, a number, or (top, bottom, left, right).

**Integers.** With weights of int8, −127 to 127, inputs are of uint8 or int8 and outputs of these or
float32. ``scales`` has what 1 stands for in the weights of each output channel, (O,) or a number;
the bias is int32, in steps of the input's scale times the weights'. ``quantization``,
``out_quantization`` and ``residual_quantization`` are pairs (scale, zero point): an integer q
stands for scale · (q − zero point). Sums are exact.

>>> layer = kernels.Pointwise(
...     np.array([[1], [-3]], "int8"), np.array([10], "int32"), scales=0.25,
...     dtype="uint8", quantization=(0.5, 100), out_dtype="float32",
... )
>>> layer(np.array([[[[104, 101]]]], "uint8"))     # 0.5 · 0.25 · (4·1 + 1·(−3) + 10)
array([[[[1.375]]]], dtype=float32)

Arrays in C order are used where they lie; so is an input that is a range of the channels of a wider
array, `x[..., 16:48]`. Others are copied. Outputs are in C order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Sequence

import numpy as np

from . import _sepconv
from ._arrays import check_out, checked_threads, dense

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from typing_extensions import TypedDict, Unpack

    _Activation = str | tuple[float, float] | None
    _Quantization = tuple[float, int] | None

    class _Options(TypedDict, total=False):
        input_activation: _Activation
        activation: _Activation
        dtype: Any
        out_dtype: Any
        layout: str
        out_layout: str | None
        quantization: _Quantization
        out_quantization: _Quantization
        residual_quantization: _Quantization
        level: str | None
        arithmetic: str
        amx: bool
        threads: int | None


__all__ = [
    "Binary",
    "Conv",
    "Dense",
    "DepthToSpace",
    "Depthwise",
    "Elementwise",
    "GlobalAveragePool",
    "Normalization",
    "Pointwise",
    "Pool",
    "Resize",
    "Separable",
    "Softmax",
    "TransposedConv",
]

# Of numpy's dtypes, those of the kernels.
_NAMES = {"float32": "f32", "float16": "f16", "bfloat16": "bf16", "uint8": "u8", "int8": "i8"}
_FLOATS = ("float32", "float16", "bfloat16")
_MOST_PLANS = 16


class _Layer:
    """What all layers do: see the module."""

    __slots__ = (
        "_channels",
        "_dtype",
        "_layer",
        "_layout",
        "_out_dtype",
        "_out_layout",
        "_plans",
        "_state",
    )

    def __init__(
        self, kind: str, what: str, channels: int | None, options: Any, *arguments: Any
    ) -> None:
        """Makes the layer `kind` of the compiled part. `channels`: of inputs, if they are fixed."""
        unknown = options.keys() - _DEFAULTS.keys()
        if unknown:
            names = ", ".join(sorted(unknown))
            raise TypeError(f"{type(self).__name__} takes no {names}")
        self._restore(kind, what, channels, {**_DEFAULTS, **options}, *arguments)

    def _restore(
        self, kind: str, what: str, channels: int | None, given: dict[str, Any], *arguments: Any
    ) -> None:
        self._state = (kind, what, channels, given, *arguments)
        self._channels = channels
        self._dtype = _dtype(given["dtype"], "dtype")
        out_dtype = given["out_dtype"]
        self._out_dtype = self._dtype if out_dtype is None else _dtype(out_dtype, "out_dtype")
        self._layout = given["layout"]
        self._out_layout = given["out_layout"] or self._layout
        residual = given["residual_quantization"]
        options = {
            "input_activation": given["input_activation"] or "linear",
            "activation": given["activation"] or "linear",
            "input_type": _NAMES[self._dtype.name],
            "output_type": _NAMES[self._out_dtype.name],
            "input_layout": self._layout,
            "output_layout": self._out_layout,
            "input_quantization": given["quantization"] or (1.0, 0),
            "output_quantization": given["out_quantization"] or (1.0, 0),
            "residual_quantization": residual,
            "level": given["level"],
            "arithmetic": given["arithmetic"],
            "amx": bool(given["amx"]),
            "threads": checked_threads(given["threads"]),
        }
        self._layer = getattr(_sepconv.Layer, kind)(options, *arguments)
        self._plans: dict[Any, _sepconv.LayerPlan] = {}

    def plan(self, shape: Sequence[int]) -> _sepconv.LayerPlan:
        """The plan for inputs of this shape, which tells ``output_shape()`` (N×H×W×C),
        ``kernel_name()``, ``level()``, ``multiply_adds()`` and ``weights_bytes()``."""
        return self._plan(tuple(shape), None)

    def _plan(
        self, shape: tuple[int, ...], second: tuple[int, ...] | None
    ) -> _sepconv.LayerPlan:
        plan = self._plans.get((shape, second))
        if plan is None:
            other = None if second is None else self._checked(second, "b")
            plan = self._layer.plan(self._checked(shape, "x"), other)
            while len(self._plans) >= _MOST_PLANS:
                self._plans.pop(list(self._plans)[0], None)
            self._plans[shape, second] = plan
        return plan

    def _checked(self, shape: tuple[int, ...], what: str) -> tuple[int, ...]:
        """N×H×W×C of a shape."""
        channels = "C" if self._channels is None else self._channels
        if len(shape) == 4:
            n, h, w, c = shape if self._layout == "NHWC" else _channels_last(shape)
            if self._channels in (None, c):
                return n, h, w, c
        sides = f"N×{channels}×H×W" if self._layout == "NCHW" else f"N×H×W×{channels}"
        raise ValueError(f"{what}: expected an array of shape {sides}, got {list(shape)}")

    def _out_shape(self, plan: _sepconv.LayerPlan) -> tuple[int, ...]:
        n, h, w, c = plan.output_shape()
        return (n, h, w, c) if self._out_layout == "NHWC" else (n, c, h, w)

    def __call__(
        self,
        x: ArrayLike,
        *,
        residual: NDArray[Any] | None = None,
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """Computes activation(layer(x) + residual).

        :param x: of the layer's dtype and layout.
        :param residual: of the output's shape and dtype.
        :param out: the array to write and return, in C order.
        """
        x = _operand(x, self._dtype, "x")
        plan = self._plan(x.shape, None)
        if residual is not None:
            residual = _operand(residual, self._out_dtype, "residual")
            shape = self._out_shape(plan)
            if residual.shape != shape:
                raise ValueError(f"residual: expected shape {shape}, got {residual.shape}")
        return self._run(plan, x, residual, out)

    def _run(
        self,
        plan: _sepconv.LayerPlan,
        x: NDArray[Any],
        second: NDArray[Any] | None,
        out: NDArray[Any] | None,
    ) -> NDArray[Any]:
        shape = self._out_shape(plan)
        if out is None:
            out = np.empty(shape, self._out_dtype)
        else:
            check_out(out, shape, self._out_dtype, x)
            if second is not None and np.may_share_memory(second, out):
                raise ValueError("out: shares memory with the second operand")
        plan.run(
            _strided(x, self._layout),
            None if second is None else _strided(second, self._out_layout),
            _bits(out).reshape(-1),
        )
        return out

    def __repr__(self) -> str:
        return f"<sepconv.kernels.{type(self).__name__}{self._state[1]}>"

    def __getstate__(self) -> Any:
        return self._state

    def __setstate__(self, state: Any) -> None:
        self._restore(*state)


# What all layers take.
_DEFAULTS: dict[str, Any] = {
    "input_activation": None,
    "activation": None,
    "dtype": "float32",
    "out_dtype": None,
    "layout": "NHWC",
    "out_layout": None,
    "quantization": None,
    "out_quantization": None,
    "residual_quantization": None,
    "level": None,
    "arithmetic": "exact",
    "amx": False,
    "threads": None,
}


class Depthwise(_Layer):
    """A depthwise convolution: each channel by M kernels of its own.

    :param weights: KH×KW×C×M, or KH×KW×C for M = 1; with ``weights_layout="OIHW"``, as in PyTorch,
        C·M×1×KH×KW, and ``multiplier`` says what M is. The output has C·M channels, those of a
        channel together.

    >>> layer = Depthwise(np.ones((3, 3, 2), "float32"), padding="valid")
    >>> layer(np.ones((1, 3, 3, 2), "float32"))
    array([[[[9., 9.]]]], dtype=float32)
    """

    __slots__ = ()

    def __init__(
        self,
        weights: ArrayLike,
        bias: ArrayLike | None = None,
        *,
        stride: int | Sequence[int] = 1,
        dilation: int | Sequence[int] = 1,
        padding: str | int | Sequence[int] = "same",
        multiplier: int | None = None,
        scales: ArrayLike | None = None,
        weights_layout: str = "HWIO",
        **options: Unpack[_Options],
    ) -> None:
        weights = _weights(weights, "weights")
        kernel, c, m = _depthwise_shape(weights, weights_layout, multiplier, "weights")
        super().__init__(
            "depthwise",
            f" {_sides(kernel)}, {c} → {c * m}",
            c,
            options,
            _window(kernel, stride, dilation, padding),
            (c, m),
            _described(weights, weights_layout, bias, scales, c * m),
        )


class Pointwise(_Layer):
    """A 1×1 convolution: every pixel times a matrix.

    :param weights: C×O, or 1×1×C×O; with ``weights_layout="OIHW"`` O×C, or O×C×1×1.

    >>> layer = Pointwise(np.array([[1, 10], [100, 1000]], "float32"))
    >>> layer(np.array([[[[1, 2]]]], "float32"))
    array([[[[ 201., 2010.]]]], dtype=float32)
    """

    __slots__ = ()

    def __init__(
        self,
        weights: ArrayLike,
        bias: ArrayLike | None = None,
        *,
        stride: int | Sequence[int] = 1,
        scales: ArrayLike | None = None,
        weights_layout: str = "HWIO",
        **options: Unpack[_Options],
    ) -> None:
        weights = _weights(weights, "weights")
        c, o = _matrix_shape(weights, weights_layout, "weights")
        super().__init__(
            "pointwise",
            f" 1×1, {c} → {o}",
            c,
            options,
            _pair(stride, "stride"),
            (c, o),
            _described(weights, weights_layout, bias, scales, o),
        )


class Dense(_Layer):
    """A dense layer: N×C arrays times a matrix.

    :param weights: C×O, as in Keras; with ``weights_layout="OIHW"`` O×C, as in PyTorch.

    >>> layer = Dense(np.array([[1, 10], [100, 1000]], "float32"))
    >>> layer(np.array([[1, 2]], "float32"))
    array([[ 201., 2010.]], dtype=float32)
    """

    __slots__ = ()

    def __init__(
        self,
        weights: ArrayLike,
        bias: ArrayLike | None = None,
        *,
        scales: ArrayLike | None = None,
        weights_layout: str = "HWIO",
        **options: Unpack[_Options],
    ) -> None:
        weights = _weights(weights, "weights")
        c, o = _matrix_shape(weights, weights_layout, "weights")
        described = _described(weights, weights_layout, bias, scales, o)
        super().__init__("dense", f" {c} → {o}", c, options, (c, o), described)

    def _checked(self, shape: tuple[int, ...], what: str) -> tuple[int, ...]:
        if len(shape) != 2 or shape[1] != self._channels:
            raise ValueError(
                f"{what}: expected an array of shape N×{self._channels}, got {list(shape)}"
            )
        return shape[0], 1, 1, shape[1]

    def _out_shape(self, plan: _sepconv.LayerPlan) -> tuple[int, ...]:
        n, _, _, c = plan.output_shape()
        return n, c


class Separable(_Layer):
    """A depthwise convolution and a pointwise one behind it, in one pass.

    :param depthwise: KH×KW×C×M, or KH×KW×C for M = 1.
    :param pointwise: C·M×O, or 1×1×C·M×O, of the same dtype.
    :param bias: of the pointwise convolution; ``depthwise_bias``, (C·M,), is that of the other.
    :param mid_activation: applied between them.
    :param scales: of int8 weights, those of both: (scales of depthwise, scales of pointwise). The
        integers between have the type of the input and ``mid_quantization``.
    :param weights_layout: of both, see `Depthwise` and `Pointwise`.

    >>> ones = np.ones((3, 3, 2), "float32")
    >>> layer = Separable(ones, np.array([[1, 10], [100, 1000]], "float32"), padding="valid")
    >>> layer(np.ones((1, 3, 3, 2), "float32"))
    array([[[[ 909., 9090.]]]], dtype=float32)
    """

    __slots__ = ()

    def __init__(
        self,
        depthwise: ArrayLike,
        pointwise: ArrayLike,
        bias: ArrayLike | None = None,
        *,
        depthwise_bias: ArrayLike | None = None,
        mid_activation: str | tuple[float, float] | None = None,
        mid_quantization: tuple[float, int] | None = None,
        stride: int | Sequence[int] = 1,
        dilation: int | Sequence[int] = 1,
        padding: str | int | Sequence[int] = "same",
        multiplier: int | None = None,
        scales: tuple[ArrayLike, ArrayLike] | None = None,
        weights_layout: str = "HWIO",
        **options: Unpack[_Options],
    ) -> None:
        depthwise = _weights(depthwise, "depthwise")
        pointwise = _weights(pointwise, "pointwise")
        kernel, c, m = _depthwise_shape(depthwise, weights_layout, multiplier, "depthwise")
        middle, o = _matrix_shape(pointwise, weights_layout, "pointwise")
        if middle != c * m:
            raise ValueError(
                f"pointwise: expected {c * m} input channels, got shape {pointwise.shape}"
            )
        if depthwise.dtype != pointwise.dtype:
            raise ValueError(
                f"pointwise: expected {depthwise.dtype.name} as depthwise, "
                f"got {pointwise.dtype.name}"
            )
        if not (scales is None or (isinstance(scales, (tuple, list)) and len(scales) == 2)):
            raise ValueError(f"scales: expected those of depthwise and of pointwise, got {scales}")
        first, second = (None, None) if scales is None else scales
        super().__init__(
            "separable",
            f" {_sides(kernel)}, {c} → {o}",
            c,
            options,
            _window(kernel, stride, dilation, padding),
            (c, m, o),
            _described(depthwise, weights_layout, depthwise_bias, first, c * m, "depthwise_"),
            _described(pointwise, weights_layout, bias, second, o),
            (mid_activation or "linear", mid_quantization or (1.0, 0)),
        )


class Conv(_Layer):
    """A standard convolution, or a grouped one.

    :param weights: KH×KW×(C/groups)×O; with ``weights_layout="OIHW"``, as in PyTorch,
        O×(C/groups)×KH×KW; also ``"OHWI"`` and ``"IOHW"``.

    >>> layer = Conv(np.ones((2, 2, 3, 1), "float32"), padding="valid")
    >>> layer(np.ones((1, 2, 2, 3), "float32"))
    array([[[[12.]]]], dtype=float32)
    """

    __slots__ = ()

    def __init__(
        self,
        weights: ArrayLike,
        bias: ArrayLike | None = None,
        *,
        stride: int | Sequence[int] = 1,
        dilation: int | Sequence[int] = 1,
        padding: str | int | Sequence[int] = "same",
        groups: int = 1,
        scales: ArrayLike | None = None,
        weights_layout: str = "HWIO",
        **options: Unpack[_Options],
    ) -> None:
        weights = _weights(weights, "weights")
        kernel, inputs, o = _conv_shape(weights, weights_layout)
        c = inputs * groups
        super().__init__(
            "conv",
            f" {_sides(kernel)}, {c} → {o}",
            c,
            options,
            _window(kernel, stride, dilation, padding),
            (c, o),
            groups,
            _described(weights, weights_layout, bias, scales, o),
        )


class TransposedConv(_Layer):
    """A transposed convolution, or a grouped one.

    :param weights: KH×KW×O×(C/groups), as in Keras; with ``weights_layout="IOHW"``, as in PyTorch
        without groups, C×O×KH×KW.
    :param padding: ``"valid"`` or ``"same"`` as in Keras; or, as in PyTorch, the pixels that are
        cut off on both sides, a number or one for the height and one for the width.
    :param output_padding: rows and columns that are then added at the end; not with names.

    >>> layer = TransposedConv(np.ones((2, 2, 1, 1), "float32"), stride=2)
    >>> layer(np.array([[[[1], [2]]]], "float32"))[0, :, :, 0]
    array([[1., 1., 2., 2.],
           [1., 1., 2., 2.]], dtype=float32)
    """

    __slots__ = ()

    def __init__(
        self,
        weights: ArrayLike,
        bias: ArrayLike | None = None,
        *,
        stride: int | Sequence[int] = 1,
        dilation: int | Sequence[int] = 1,
        padding: str | int | Sequence[int] = "valid",
        output_padding: int | Sequence[int] = 0,
        groups: int = 1,
        weights_layout: str = "HWOI",
        **options: Unpack[_Options],
    ) -> None:
        weights = _weights(weights, "weights")
        kernel, inputs, o = _conv_shape(weights, weights_layout)
        c = inputs * groups
        cut: Any = padding
        if not isinstance(padding, str):
            added = _pair(output_padding, "output_padding", 0)
            cut = (_pair(padding, "padding", 0), added)
        elif output_padding != 0:
            raise ValueError(
                f'output_padding: expected none beside padding="{padding}", got {output_padding}'
            )
        window = {
            "kernel": kernel,
            "stride": _pair(stride, "stride"),
            "dilation": _pair(dilation, "dilation"),
            "padding": cut,
        }
        super().__init__(
            "transposed",
            f" {_sides(kernel)}, {c} → {o}",
            c,
            options,
            window,
            (c, o),
            groups,
            _described(weights, weights_layout, bias, None, o),
        )


class Pool(_Layer):
    """A pool of a window.

    :param kind: ``"max"``, ``"average"`` of the taps inside the input, or ``"average_of_padded"``,
        for which padding counts as zeros.
    :param size: of the window: a number, or height and width.
    :param stride: by default the size.

    >>> layer = Pool("average", 2)
    >>> layer(np.array([[[[1], [2]], [[3], [6]]]], "float32"))
    array([[[[3.]]]], dtype=float32)
    """

    __slots__ = ()

    def __init__(
        self,
        kind: str,
        size: int | Sequence[int],
        *,
        stride: int | Sequence[int] | None = None,
        dilation: int | Sequence[int] = 1,
        padding: str | int | Sequence[int] = "valid",
        **options: Unpack[_Options],
    ) -> None:
        size = _pair(size, "size")
        window = _window(size, size if stride is None else stride, dilation, padding)
        super().__init__("pool", f" {kind} {_sides(size)}", None, options, window, kind)


class GlobalAveragePool(_Layer):
    """The mean over height and width: to N×1×1×C.

    >>> GlobalAveragePool()(np.array([[[[1, 10], [3, 30]]]], "float32"))
    array([[[[ 2., 20.]]]], dtype=float32)
    """

    __slots__ = ()

    def __init__(self, **options: Unpack[_Options]) -> None:
        super().__init__("global_average_pool", "", None, options)


class Elementwise(_Layer):
    """activation(input_activation(x) + residual), and conversions of dtype, layout and integers.

    >>> to_integers = Elementwise(out_dtype="uint8", out_quantization=(0.5, 128))
    >>> to_integers(np.array([[[[-1, 0, 0.75, 100]]]], "float32"))
    array([[[[126, 128, 130, 255]]]], dtype=uint8)
    """

    __slots__ = ()

    def __init__(self, **options: Unpack[_Options]) -> None:
        super().__init__("elementwise", "", None, options)


class Binary(_Layer):
    """activation(a ∘ b), called with both: where one has a dimension of 1, that one picture, row,
    column or channel is combined with each of the other's. `b` has the dtype of the output.

    :param operation: ``"add"``, ``"subtract"``, ``"multiply"``, ``"maximum"``, ``"minimum"``, or
        ``"prelu"``: a, times b where a is negative.

    >>> multiply = Binary("multiply")
    >>> a, b = np.array([[[[1, 2], [3, 4]]]], "float32"), np.array([[[[1, 10]]]], "float32")
    >>> multiply(a, b)
    array([[[[ 1., 20.],
             [ 3., 40.]]]], dtype=float32)
    """

    __slots__ = ()

    def __init__(self, operation: str, **options: Unpack[_Options]) -> None:
        super().__init__("binary", f" {operation}", None, options, operation)

    def __call__(  # type: ignore[override]
        self, a: ArrayLike, b: ArrayLike, *, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Computes activation(a ∘ b), into `out` if it is given."""
        a = _operand(a, self._dtype, "a")
        b = _operand(b, self._out_dtype, "b")
        return self._run(self._plan(a.shape, b.shape), a, b, out)


class Normalization(_Layer):
    """A normalization of each picture or pixel, with a scale and a shift by channel.

    :param kind: ``"layer"`` (of each pixel's channels: mean 0, deviation 1), ``"rms"`` (root mean
        square 1), ``"unit"`` (length 1) or ``"group"`` (of each picture's groups of channels).
    :param epsilon: added to what the square root is taken of.

    >>> Normalization("layer", epsilon=0)(np.array([[[[1, 7]]]], "float32"))
    array([[[[-1.,  1.]]]], dtype=float32)
    """

    __slots__ = ()

    def __init__(
        self,
        kind: str,
        scale: ArrayLike | None = None,
        shift: ArrayLike | None = None,
        *,
        epsilon: float = 1e-3,
        groups: int = 1,
        **options: Unpack[_Options],
    ) -> None:
        parts = [
            None if part is None else dense(np.asarray(part), np.float32)
            for part in (scale, shift)
        ]
        for name, part in zip(("scale", "shift"), parts):
            if part is not None and part.ndim != 1:
                raise ValueError(f"{name}: expected shape (C,), got {part.shape}")
        super().__init__(
            "normalization", f" {kind}", None, options, kind, groups, epsilon, *parts
        )


class Resize(_Layer):
    """A picture of another size.

    :param size: height and width of the output.
    :param interpolation: ``"bilinear"`` or ``"nearest"``.
    :param coordinates: ``"half_pixel"`` as in Keras and PyTorch, ``"align_corners"``, or
        ``"asymmetric"``.

    >>> layer = Resize((1, 4))
    >>> layer(np.array([[[[1], [5]]]], "float32"))[0, 0, :, 0]
    array([1., 2., 4., 5.], dtype=float32)
    """

    __slots__ = ()

    def __init__(
        self,
        size: int | Sequence[int],
        *,
        interpolation: str = "bilinear",
        coordinates: str = "half_pixel",
        **options: Unpack[_Options],
    ) -> None:
        size = _pair(size, "size")
        text = f" to {_sides(size)}, {interpolation}"
        super().__init__("resize", text, None, options, size, interpolation, coordinates)


class DepthToSpace(_Layer):
    """Channels to pixels: N×H×W×B·B·C to N×H·B×W·B×C.

    :param order: ``"block_first"`` as in TensorFlow, ``"channel_first"`` as PyTorch's PixelShuffle.

    >>> DepthToSpace(2)(np.array([[[[1, 2, 3, 4]]]], "float32"))[0, :, :, 0]
    array([[1., 2.],
           [3., 4.]], dtype=float32)
    """

    __slots__ = ()

    def __init__(
        self, block: int, *, order: str = "block_first", **options: Unpack[_Options]
    ) -> None:
        super().__init__("depth_to_space", f" {block}", None, options, block, order)


class Softmax(_Layer):
    """The softmax over the channels of each pixel.

    >>> Softmax()(np.zeros((1, 1, 1, 4), "float32"))
    array([[[[0.25, 0.25, 0.25, 0.25]]]], dtype=float32)
    """

    __slots__ = ()

    def __init__(self, **options: Unpack[_Options]) -> None:
        super().__init__("softmax", "", None, options)


def _dtype(dtype: Any, what: str) -> np.dtype[Any]:
    if dtype == "bfloat16":
        # numpy knows it by name once this is imported.
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    dtype = np.dtype(dtype)
    if dtype.name not in _NAMES or not dtype.isnative:
        raise ValueError(f"{what}: expected one of {', '.join(_NAMES)}, got {dtype}")
    return dtype


def _channels_last(shape: tuple[int, ...]) -> tuple[int, ...]:
    n, c, h, w = shape
    return n, h, w, c


def _bits(x: NDArray[Any]) -> NDArray[Any]:
    """Numbers of 16 bits as integers: the compiled part has no other type for them."""
    return x.view(np.uint16) if x.dtype.itemsize == 2 else x


def _operand(x: Any, dtype: np.dtype[Any], what: str) -> NDArray[Any]:
    x = np.asarray(x)
    if x.dtype != dtype:
        raise ValueError(
            f"{what}: expected {dtype.name}, got {x.dtype.name}; convert with "
            f'{what}.astype("{dtype.name}")'
        )
    return x


def _strided(x: NDArray[Any], layout: str) -> tuple[NDArray[Any], int | None]:
    """All elements in a row, and the number of them from one pixel to the next if that is not the
    number of channels."""
    if layout == "NHWC" and x.ndim == 4 and not x.flags.c_contiguous and x.flags.aligned:
        step = _pixel_stride(x)
        if step is not None:
            n, h, w, c = x.shape
            count = (n * h * w - 1) * step + c
            x = _bits(x)
            return np.lib.stride_tricks.as_strided(x, (count,), (x.itemsize,)), step
    return _bits(dense(x, x.dtype)).reshape(-1), None


def _pixel_stride(x: NDArray[Any]) -> int | None:
    """The elements from one pixel to the next if they all lie evenly, each in one piece."""
    *sizes, channels = x.shape
    *strides, last = x.strides
    if channels > 1 and last != x.itemsize:
        return None
    step, pixels = None, 1
    for size, stride in zip(sizes[::-1], strides[::-1]):
        if size > 1:
            step = stride if step is None else step
            if stride != step * pixels:
                return None
        pixels *= size
    if step is None or step % x.itemsize or step < channels * x.itemsize:
        return None
    return step // x.itemsize


def _weights(weights: Any, what: str) -> NDArray[Any]:
    weights = np.asarray(weights)
    name = weights.dtype.name
    if name in _FLOATS or name == "int8":
        return dense(weights, weights.dtype.newbyteorder("="))
    if weights.dtype.kind != "f":
        raise ValueError(f"{what}: expected floating-point numbers or int8, got {name}")
    return dense(weights, np.float32)


def _described(
    weights: NDArray[Any],
    layout: str,
    bias: ArrayLike | None,
    scales: ArrayLike | None,
    channels: int,
    prefix: str = "",
) -> dict[str, Any]:
    """Weights and bias of so many output channels for the compiled part."""
    is_int8 = weights.dtype == np.int8
    if is_int8 != (scales is not None):
        expected, got = ("scales of int8 weights", "none") if is_int8 else ("none", "some")
        raise ValueError(f"{prefix}scales: expected {expected}, got {got}")
    if scales is not None:
        scales = np.asarray(scales, np.float32)
        if scales.shape == ():
            scales = np.full(channels, scales)
        scales = _of_channels(scales, channels, f"{prefix}scales")
    if bias is not None:
        bias = np.asarray(bias)
        if is_int8 and bias.dtype != np.int32:
            raise ValueError(
                f"{prefix}bias: expected int32 for weights of int8, got {bias.dtype.name}"
            )
        bias = dense(bias, bias.dtype if is_int8 else np.float32)
        bias = _of_channels(bias, channels, f"{prefix}bias")
    return {
        "array": _bits(weights).reshape(-1),
        "element": _NAMES[weights.dtype.name],
        "layout": layout,
        "bias": None if is_int8 else bias,
        "scales": scales,
        "integer_bias": bias if is_int8 else None,
    }


def _of_channels(array: NDArray[Any], channels: int, what: str) -> NDArray[Any]:
    if array.shape != (channels,):
        raise ValueError(f"{what}: expected shape {(channels,)}, got {array.shape}")
    return dense(array, array.dtype)


def _depthwise_shape(
    weights: NDArray[Any], layout: str, multiplier: int | None, what: str
) -> tuple[tuple[int, int], int, int]:
    """Kernel height and width, channels, multiplier."""
    shape = weights.shape
    if layout == "HWIO":
        if len(shape) not in (3, 4):
            raise ValueError(f"{what}: expected KH×KW×C×M or KH×KW×C, got shape {shape}")
        m = shape[3] if len(shape) == 4 else 1
        if multiplier not in (None, m):
            raise ValueError(f"multiplier: expected {m} as in {what}, got {multiplier}")
        return shape[:2], shape[2], m
    if layout != "OIHW":
        raise ValueError(f'weights_layout: expected "HWIO" or "OIHW", got "{layout}"')
    m = 1 if multiplier is None else multiplier
    if len(shape) != 4 or shape[1] != 1 or m < 1 or shape[0] % m:
        raise ValueError(f"{what}: expected C·{m}×1×KH×KW, got shape {shape}")
    return shape[2:], shape[0] // m, m


def _matrix_shape(weights: NDArray[Any], layout: str, what: str) -> tuple[int, int]:
    """Input and output channels."""
    shape = weights.shape
    if layout == "HWIO":
        if len(shape) == 2 or (len(shape) == 4 and shape[:2] == (1, 1)):
            return shape[-2], shape[-1]
        raise ValueError(f"{what}: expected C×O or 1×1×C×O, got shape {shape}")
    if layout != "OIHW":
        raise ValueError(f'weights_layout: expected "HWIO" or "OIHW", got "{layout}"')
    if len(shape) == 2 or (len(shape) == 4 and shape[2:] == (1, 1)):
        return shape[1], shape[0]
    raise ValueError(f"{what}: expected O×C or O×C×1×1, got shape {shape}")


def _conv_shape(weights: NDArray[Any], layout: str) -> tuple[tuple[int, int], int, int]:
    """Kernel height and width, input channels of a group, output channels."""
    if sorted(layout) != sorted("HWIO") or "HW" not in layout:
        known = "HWIO, OIHW, IOHW, OHWI, HWOI"
        raise ValueError(f'weights_layout: expected one of {known}, got "{layout}"')
    if weights.ndim != 4:
        of = {"H": "KH", "W": "KW", "I": "(C/groups)", "O": "O"}
        expected = "×".join(of[letter] for letter in layout)
        raise ValueError(f"weights: expected {expected}, got shape {weights.shape}")
    h, w, i, o = (weights.shape[layout.index(letter)] for letter in "HWIO")
    return (h, w), i, o


def _window(
    kernel: tuple[int, int],
    stride: int | Sequence[int],
    dilation: int | Sequence[int],
    padding: str | int | Sequence[int],
) -> dict[str, Any]:
    return {
        "kernel": kernel,
        "stride": _pair(stride, "stride"),
        "dilation": _pair(dilation, "dilation"),
        "padding": _padding(padding),
    }


def _sides(pair: tuple[int, int]) -> str:
    return f"{pair[0]}×{pair[1]}"


def _pair(value: int | Sequence[int], what: str, least: int = 1) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or any(n < least for n in pair):
        raise ValueError(f"{what}: expected 1 or 2 numbers, each at least {least}, got {value}")
    return pair


def _padding(padding: str | int | Sequence[int]) -> str | tuple[int, ...]:
    if isinstance(padding, str):
        return padding
    sides = (padding,) * 4 if isinstance(padding, int) else tuple(padding)
    if len(sides) != 4 or any(n < 0 for n in sides):
        raise ValueError(
            f'padding: expected "same", "valid", or 1 or 4 numbers of pixels, got {padding}'
        )
    return sides
