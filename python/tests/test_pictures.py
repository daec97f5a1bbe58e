"""Pictures: decoded, and made a model's input as the command line does."""

import json
import pickle
import struct
import subprocess
import sys
import threading
import zlib

import numpy as np
import pytest
from conftest import ROOT

import sepconv
from sepconv import Picture

IMAGES = ROOT / "tests/images"


def png(pixels: np.ndarray) -> bytes:
    """A PNG file of RGB pixels."""

    def chunk(name, content):
        checksum = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)

    height, width, _ = pixels.shape
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*c) for c in chunks)


PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


def test_pixels_are_those_of_the_file(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png(PIXELS))
    data = path.read_bytes()
    for picture in (
        Picture.read(path),
        Picture.read(str(path)),
        Picture.decode(data),
        Picture.decode(bytearray(data)),
        Picture.decode(memoryview(b"x" + data)[1:]),
        Picture(PIXELS),
        Picture(np.asfortranarray(PIXELS)),
        Picture(PIXELS).upright(),
    ):
        assert picture.size == (5, 7) and picture.orientation == 1 and picture.warning is None
        pixels = picture.pixels
        assert pixels.dtype == np.uint8
        np.testing.assert_array_equal(pixels, PIXELS)
        # A copy.
        pixels[:] = 0
        np.testing.assert_array_equal(picture.pixels, PIXELS)
    assert repr(picture) == "<sepconv.Picture of 5×7>"


def test_damaged_and_turned_pictures_say_so():
    damaged = Picture.read(IMAGES / "jpeg-422-no-end.jpg")
    assert damaged.warning.startswith("the JPEG is cut short")
    turned = Picture.read(IMAGES / "jpeg-turned.jpg")
    assert turned.orientation == 6
    upright = turned.upright()
    assert upright.orientation == 1 and upright.size == turned.size[::-1]
    # Clockwise.
    np.testing.assert_array_equal(upright.pixels, np.rot90(turned.pixels, -1))


def command_line(tmp_path, weights, *words):
    """The outputs that `sepconv classify` computes."""
    words = ["classify", "--weights", weights, "--json", "--threads=1", *words]
    command = [sys.executable, "-m", "sepconv", *map(str, words)]
    run = subprocess.run(command, capture_output=True, check=True, text=True)
    return [np.float32(json.loads(line)["values"]) for line in run.stdout.splitlines()]


@pytest.mark.parametrize(
    "words,options",
    [
        ([], {}),
        (["--resize=bilinear", "--preprocess=unit"], {"resize": "bilinear", "scaling": "unit"}),
        (["--resize=tf-bicubic", "--preprocess=caffe"], {"resize": "tf-bicubic", "scaling": "caffe"}),
        (["--crop=0.875", "--mean=0.25"], {"crop": 0.875, "mean": 0.25}),
        (
            ["--size=20x24", "--mean=0.5,0.25,0.125", "--std=0.5"],
            {"size": (20, 24), "mean": (0.5, 0.25, 0.125), "std": [0.5]},
        ),
        (
            ["--preprocess=none", "--std=1,2,4"],
            {"scaling": "none", "std": np.float32([1, 2, 4])},
        ),
    ],
)
def test_inputs_are_the_command_lines(tmp_path, digits, digits_path, words, options):
    files = [IMAGES / name for name in ("jpeg-420.jpg", "png-rgba.png", "resize.png")]
    expected = command_line(tmp_path, digits_path, *words, *files)
    x = digits.preprocess([Picture.read(path) for path in files], **options)
    assert x.dtype == np.float32 and x.shape == (3, *options.get("size", (32, 32)), 3)
    np.testing.assert_array_equal(digits(x), np.stack(expected))
    for row, path in zip(x, files):
        picture = Picture.read(path)
        np.testing.assert_array_equal(digits.preprocess(picture, **options), row[None])
        again = Picture(picture.pixels)
        np.testing.assert_array_equal(digits.preprocess([again], **options), row[None])


def test_files_say_how(digits, digits_path):
    assert digits.preprocessing["scaling"] == "tf" and digits.head is None
    black = Picture(np.zeros((2, 2, 3), np.uint8))
    assert (digits.preprocess(black) == -1).all()
    assert digits.preprocess([]).shape == (0, 32, 32, 3)
    model = sepconv.Model.random("tf_efficientnet_b0")
    assert model.preprocessing["crop"] is not None
    wide = np.zeros((300, 900, 3), np.uint8)
    wide[:, 300:600] = 255
    # Its middle, or all of it.
    middle = model.preprocess(Picture(wide))
    assert middle.shape == (1, 224, 224, 3) and np.ptp(middle[..., 0]) == 0
    assert np.ptp(model.preprocess(Picture(wide), crop=0)[..., 0]) > 0


def test_head_is_what_makes_probabilities(fixtures):
    assert sepconv.Model.random("mobilenet-0.25").head == "softmax"
    assert sepconv.Model.random("xception41").head is None


def test_threads_decode_at_once(digits):
    data = (IMAGES / "jpeg-420.jpg").read_bytes()
    expected = digits.preprocess(Picture.decode(data))
    failed = []

    def work():
        for _ in range(20):
            if not np.array_equal(digits.preprocess(Picture.decode(data)), expected):
                failed.append(True)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_wrong_pictures_are_errors(digits, tmp_path):
    with pytest.raises(FileNotFoundError, match="none.png"):
        Picture.read(tmp_path / "none.png")
    with pytest.raises(ValueError, match="a.jpg: expected a JPEG or PNG file, got a GIF file"):
        Picture.decode(b"GIF89a", "a.jpg")
    with pytest.raises(ValueError, match="picture: PNG: "):
        Picture.decode(png(PIXELS)[:40])
    for wrong in (np.zeros((2, 2), np.uint8), np.zeros((2, 2, 4), np.uint8), np.zeros((2, 2, 3))):
        with pytest.raises(ValueError, match="pixels: expected an array of uint8 of shape H×W×3"):
            Picture(wrong)
    with pytest.raises(ValueError, match="0×2 pixels"):
        Picture(np.zeros((0, 2, 3), np.uint8))
    picture = Picture(PIXELS)
    for options, message in [
        ({"resize": "cubic"}, "resize: expected one of nearest, bilinear"),
        ({"scaling": "keras"}, "scaling: expected one of tf, torch"),
        ({"crop": 1.5}, "share above 0 and at most 1, got 1.5"),
        ({"mean": (1, 2)}, "expected 1 or 3 means, got 2"),
        ({"std": 0}, "must be finite and above 0"),
        ({"scaling": "tf", "mean": 1}, "mode tf has a mean"),
        ({"size": (0, 3)}, "0×3"),
        ({"size": (1 << 20, 1 << 20)}, "1 to 134217728 pixels"),
    ]:
        with pytest.raises(ValueError, match=message):
            digits.preprocess(picture, **options)
    with pytest.raises(TypeError):
        pickle.dumps(picture)
