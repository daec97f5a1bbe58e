"""Makes the pictures of this folder with Pillow, and what Pillow decodes and resizes them to.

    pip install pillow==13.0.0 numpy && python make_fixtures.py

X.jpg, X.png     a drawn picture in some mode of the format
X.rgb.png        the same decoded by Pillow, convert("RGB")
resize.png       the picture that is resized
resize.F.HxW.png resized by filter F to height H and width W
gray.png         resize.png in one channel, convert("L")
orientation.txt  of each EXIF orientation: the size of ImageOps.exif_transpose(a picture), its gray pixels
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

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
exif[0x0112] = 5
save(rgb, "png-turned.png", exif=exif)
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


def read(name):
    return (HERE / name).read_bytes()


def write(name, data):
    """A file that Pillow takes."""
    (HERE / name).write_bytes(data)
    golden = Image.open(HERE / name).convert("RGB")
    golden.save(HERE / f"{Path(name).stem}.rgb.png", optimize=True)


# Damaged files.
for name in ["jpeg-420", "jpeg-444-progressive"]:
    data = read(f"{name}.jpg")
    write(f"{name}-damaged.jpg", data[: len(data) * 3 // 4] + b"\xff\xd9")
write("jpeg-422-no-end.jpg", read("jpeg-422.jpg")[:-2] + bytes(50))
write("png-rgba-no-end.png", read("png-rgba.png")[:-12])
write("png-gray-no-checksum.png", read("png-gray.png")[:-18])


def fine_chroma(height, width):
    """A JPEG whose luma has half the width of its chroma: one scan for each component, and
    a scan of one component is that of a gray file."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [(5 * x + 2 * y)[:, ::2], 128 + 3 * x - y, 90 + 4 * y - x]
    files = []
    for plane in planes:
        file = io.BytesIO()
        Image.fromarray((plane % 256).astype(np.uint8)).save(file, "JPEG")
        files.append(file.getvalue())
    segment = lambda data, marker: data.index(bytes([0xFF, marker]))
    head = files[0][: segment(files[0], 0xC0)]
    tables = files[0][segment(files[0], 0xC4) : segment(files[0], 0xDA)]
    frame = bytes([0xFF, 0xC0, 0, 17, 8, 0, height, 0, width, 3])
    frame += bytes([1, 0x11, 0, 2, 0x21, 0, 3, 0x21, 0])
    scans = b""
    for component, data in enumerate(files, 1):
        scan = data[segment(data, 0xDA) + 10 : -2]
        scans += bytes([0xFF, 0xDA, 0, 8, 1, component, 0, 0, 63, 0]) + scan
    return head + frame + tables + scans + b"\xff\xd9"


write("jpeg-fine-chroma.jpg", fine_chroma(31, 43))

lines = []
for orientation in range(1, 9):
    picture = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    picture.getexif()[0x0112] = orientation
    turned = np.asarray(ImageOps.exif_transpose(picture))
    lines.append(" ".join(map(str, [orientation, *turned.shape, *turned.ravel()])))
(HERE / "orientation.txt").write_text("\n".join(lines) + "\n")
