"""Models of live models of other libraries."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Callable

import numpy as np

from ._model import Model

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Of the largest number in the output: 10 times what differences between Keras's and our order of
# operations come to in deep networks.
_TOLERANCE = 1e-4
# The height, width or length of what leaves it open, and the pictures that are compared.
_SIDE = 96
_BATCH = 2


def from_keras(model: Any, *, check: bool = False, **options: Any) -> Model:
    """Makes a `Model` of a live Keras model (Keras 3, or 2 as ``tf_keras``).

    :param check: compare with ``model.predict`` on random input at once, and raise `ValueError`
        unless each output agrees within 1e-4 of its largest number.
    :param options: those of `Model`.

    >>> model = sepconv.from_keras(keras.applications.Xception(), check=True)     # doctest: +SKIP
    """
    import tempfile

    name = f"{model.name}.keras"
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.keras")
        model.save(path)
        with open(path, "rb") as file:
            data = file.read()
    loaded = Model.from_bytes(data, name, **options)
    if check:
        _compare(loaded, "Keras", lambda x: model.predict(x, verbose=0))
    return loaded


def from_timm(model: Any, *, check: bool = False, **options: Any) -> Model:
    """Makes a `Model` of a live model of timm. As the model's own, its output is logits or features.
    Only ``legacy_xception`` ends otherwise: in probabilities (``logits=True`` gives timm's output),
    and without classes in the feature map whose mean timm returns.

    :param check: compare with the model's own output on random input at once, as `from_keras` does.
    :param options: those of `Model`.

    >>> model = sepconv.from_timm(timm.create_model("xception41", pretrained=True))
    ... # doctest: +SKIP
    """
    import json
    import tempfile

    config = dict(model.pretrained_cfg)
    name = config.get("architecture")
    if not name:
        raise ValueError("the model's pretrained_cfg has no architecture")
    # As the library `timm` lays out what it pushes to a hub.
    description = {
        "architecture": name,
        "num_classes": model.num_classes,
        "num_features": model.num_features,
        "pretrained_cfg": config,
    }
    tensors = {
        key: value.detach().cpu().float().numpy()
        for key, value in model.state_dict().items()
        if not key.endswith(".num_batches_tracked")
    }
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.safetensors")
        with open(path, "wb") as file:
            file.write(_safetensors(tensors, name))
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
            json.dump(description, file, default=str)
        try:
            loaded = Model.load(path, **options)
        except ValueError as e:
            # Nobody knows of the file.
            raise ValueError(str(e).replace(path, name)) from None
    if check:
        _compare(loaded, "timm", lambda x: _timm_output(model, x))
    return loaded


def _safetensors(tensors: dict[str, NDArray[np.float32]], architecture: str) -> bytes:
    """A file of these tensors: the header's length, the header, the numbers."""
    import json

    header: dict[str, Any] = {"__metadata__": {"architecture": architecture}}
    parts, start = [], 0
    for name, tensor in tensors.items():
        part = np.ascontiguousarray(tensor, dtype="<f4").tobytes()
        end = start + len(part)
        offsets = [start, end]
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": offsets}
        parts.append(part)
        start = end
    text = json.dumps(header).encode()
    # The numbers begin at a multiple of 8 bytes.
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def _timm_output(model: Any, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of the model as it is when it infers, which is left as it was."""
    import torch

    was_training = model.training
    model.eval()
    planes = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
    first = next(model.parameters())
    try:
        with torch.no_grad():
            y = model(planes.to(first.device, first.dtype)).float().cpu().numpy()
    finally:
        model.train(was_training)
    return y if y.ndim != 4 else y.transpose(0, 2, 3, 1)


def _compare(model: Model, whose: str, theirs: Callable[[NDArray[np.float32]], Any]) -> None:
    """Raises unless the outputs of random input agree."""
    shape = [_BATCH, *(_SIDE if side is None else side for side in model.input_shape[1:])]
    x = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    ours = model(x, logits=whose == "timm")
    ours = ours if isinstance(ours, list) else [ours]
    expected = theirs(x)
    if isinstance(expected, dict):
        expected = list(expected.values())
    expected = expected if isinstance(expected, (list, tuple)) else [expected]
    if len(ours) != len(expected):
        raise ValueError(f"expected {len(expected)} outputs as {whose}, got {len(ours)}")
    for name, y, reference in zip(model.output_names, ours, expected):
        reference = np.asarray(reference)
        if y.shape != reference.shape:
            raise ValueError(f'"{name}": expected shape {reference.shape}, got {y.shape}')
        error = float(np.max(np.abs(y - reference)))
        largest = float(np.max(np.abs(reference)))
        # Also if one is NaN.
        if not error <= _TOLERANCE * largest:
            raise ValueError(
                f'"{name}": differs by {error:.2g} from {whose}\'s output, whose largest number is '
                f"{largest:.2g}; expected at most {_TOLERANCE:g} of it"
            )
