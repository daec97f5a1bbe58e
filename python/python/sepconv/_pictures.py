"""Pictures: decoded JPEG and PNG files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from . import _sepconv

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Picture:
    """An 8-bit RGB picture, decoded as Pillow does, to the bit.

    Python's global lock is released meanwhile. Like Keras, nothing here turns pictures as their
    EXIF data says, unless `upright` is called.

    :param pixels: uint8, of shape H×W×3.

    >>> picture = sepconv.Picture(np.zeros((2, 3, 3), "uint8"))
    >>> picture.size
    (2, 3)
    """

    __slots__ = ("_core",)

    _core: _sepconv.Picture

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        pixels = np.asarray(pixels)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise ValueError(
                "pixels: expected an array of uint8 of shape H×W×3, "
                f"got {pixels.dtype} of {list(pixels.shape)}"
            )
        height, width, _ = pixels.shape
        self._core = _sepconv.Picture.of(height, width, np.ascontiguousarray(pixels).reshape(-1))

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Picture:
        """Reads a JPEG or PNG file. Of a damaged one Pillow's picture is made, and `warning` says
        so.

        Raises `FileNotFoundError` or `PermissionError` if it can't be opened, `ValueError` if it
        can't be decoded, is cut short, or has more than 2²⁷ pixels or 256 MiB.
        """
        return cls._of(_sepconv.Picture.read(path))

    @classmethod
    def decode(cls, data: bytes | bytearray | memoryview, name: str = "picture") -> Picture:
        """Decodes the content of a JPEG or PNG file. Errors show `name` as the file's.

        Raises `ValueError` as `read` does.
        """
        if not isinstance(data, bytes):
            data = bytes(memoryview(data))
        return cls._of(_sepconv.Picture.decode(name, data))

    @classmethod
    def _of(cls, core: _sepconv.Picture) -> Picture:
        picture = cls.__new__(cls)
        picture._core = core
        return picture

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self._core.size()

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """A copy of the pixels: uint8, H×W×3."""
        height, width = self.size
        return self._core.rgb().reshape(height, width, 3)

    @property
    def orientation(self) -> int:
        """EXIF's number of how the camera was held, 1 to 8; 1 if `pixels` are upright."""
        return self._core.orientation()

    @property
    def warning(self) -> str | None:
        """How the file is damaged; None if it isn't."""
        return self._core.warning()

    def upright(self) -> Picture:
        """The picture turned and mirrored as `orientation` says, as Pillow's ``exif_transpose``
        does."""
        return self._of(self._core.upright())

    def __repr__(self) -> str:
        height, width = self.size
        return f"<sepconv.Picture of {height}×{width}>"
