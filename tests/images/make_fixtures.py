"""Makes the pictures of this folder with Pillow, and what Pillow decodes and resizes them to.

    pip install pillow==13.0.0 numpy && python make_fixtures.py

X.jpg, X.png     a drawn picture in some mode of the format
X.rgb.png        the same decoded by Pillow, convert("RGB")
resize.png       the picture that is resized
resize.F.HxW.png resized by filter F to height H and width W
gray.png         resize.png in one channel, convert("L")
"""

from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent


def draw(height, width):
    """Stripes, gradients and noise in red, green, blue and alpha."""
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(7).integers(0, 64, (height, width))
    channels = [5 * x + noise, 6 * y, (x * y) // 3, x + 3 * y]
    return Image.fromarray((np.stack(channels, -1) % 256).astype(np.uint8))


def save(picture, name, **options):
    path = HERE / name
    picture.save(path, **options)
    Image.open(path).convert("RGB").save(HERE / f"{path.stem}.rgb.png", optimize=True)


rgba = draw(31, 43)
rgb = rgba.convert("RGB")
for subsampling in (0, 1, 2):
    for progressive in (False, True):
        name = f"jpeg-{('444', '422', '420')[subsampling]}{'-progressive' * progressive}.jpg"
        save(rgb, name, quality=85, subsampling=subsampling, progressive=progressive)
save(rgb.convert("L"), "jpeg-gray.jpg")
save(rgb.convert("CMYK"), "jpeg-cmyk.jpg")
exif = Image.Exif()
exif[0x0112] = 6  # turned by 90 degrees, which Keras ignores
save(rgb, "jpeg-turned.jpg", exif=exif)
save(rgba, "png-rgba.png")
save(rgba.convert("LA"), "png-gray-alpha.png")
save(rgb.convert("L"), "png-gray.png")
save(rgb.convert("1"), "png-1-bit.png")
save(rgb.quantize(37), "png-palette.png")
save(rgb.quantize(5), "png-palette-transparent.png", transparency=2)
# Pillow clips 16-bit gray to white; the upper byte is what it takes of 16-bit colours.
gray = np.asarray(rgb.convert("L"))
Image.fromarray(gray.astype(np.uint16) * 256 + 200).save(HERE / "png-gray-16-bit.png")
Image.fromarray(np.stack([gray] * 3, -1)).save(HERE / "png-gray-16-bit.rgb.png", optimize=True)

rgb.save(HERE / "resize.png", optimize=True)
rgb.convert("L").save(HERE / "gray.png", optimize=True)
FILTERS = {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}
for height, width in [(1, 1), (9, 13), (9, 40), (31, 20), (50, 17), (37, 51)]:
    for name, resample in FILTERS.items():
        resized = rgb.resize((width, height), resample)
        resized.save(HERE / f"resize.{name}.{height}x{width}.png", optimize=True)
