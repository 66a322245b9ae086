"""Decoding against Pillow and by hand; the view against torchvision; a table of what is wrong with images."""

import io
import os
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

from unshaken.core.classifier import PADDING, View
from unshaken.data import BadSample, decode, load_data
from unshaken.data.decode import BadImage, cut, grey_or_rgb, looks_like, open_image, pixels_of


def reason(source):
    with pytest.raises(BadImage) as error:
        open_image(source)
    assert "\n" not in error.value.reason
    return error.value.reason


def png_chunk(kind, data):
    body = kind + data
    return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_those_of_pillow(make, form, channels):
    data = make.encode(make.noise(channels=channels), form)
    want = Image.open(io.BytesIO(data))
    grey = want.mode == "L"
    assert (pixels_of(open_image(data)).squeeze() == np.asarray(want if grey else want.convert("RGB"))).all()


def test_a_path_bytes_an_image_and_pixels_are_the_same(make, tmp_path):
    pixels = make.noise()
    (tmp_path / "a.png").write_bytes(make.encode(pixels))
    for source in (tmp_path / "a.png", make.encode(pixels), Image.fromarray(pixels), pixels):
        assert (np.asarray(open_image(source)) == pixels).all()


def test_transparency_is_laid_over_black():
    image = Image.new("RGBA", (3, 1))
    image.putdata([(200, 100, 50, 255), (200, 100, 50, 0), (200, 100, 50, 51)])  # 51/255 = 0.2
    assert np.asarray(open_image(image)).tolist() == [[[200, 100, 50], [0, 0, 0], [40, 20, 10]]]
    assert np.asarray(open_image(image.convert("LA"))).tolist()[0][1] == 0


def test_a_transparent_palette_colour_is_black(make):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    data = make.encode(image, transparency=1)
    assert np.asarray(open_image(data)).tolist() == [[[10, 20, 30], [0, 0, 0]]]
    assert np.asarray(open_image(make.encode(image))).tolist() == [[[10, 20, 30], [40, 50, 60]]]


def test_16_bits_keep_the_high_byte(make):
    values = np.array([[0, 255, 256, 0x1234, 0xFFFF]], np.uint16)
    got = open_image(make.encode(Image.fromarray(values)))
    assert got.mode == "L"
    assert np.asarray(got).tolist() == [[0, 0, 1, 0x12, 255]]


def test_other_modes_become_rgb_or_grey(make):
    rgb = Image.fromarray(make.noise())
    assert open_image(make.encode(rgb.convert("CMYK"), "TIFF")).mode == "RGB"
    assert (np.asarray(open_image(rgb.convert("CMYK"))) == np.asarray(rgb)).mean() > 0.99
    assert open_image(rgb.convert("HSV")).mode == open_image(rgb.convert("YCbCr")).mode == "RGB"
    one = open_image(Image.new("1", (4, 4), 1))
    assert one.mode == "L"
    assert np.asarray(one).min() == 255


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize(
    ("orientation", "turn"),
    [(1, lambda x: x), (3, lambda x: x[::-1, ::-1]), (6, lambda x: np.rot90(x, -1)), (8, np.rot90), (2, np.fliplr)],
)
def test_exif_orientation_is_applied_once(make, form, orientation, turn):
    pixels = np.zeros((16, 32), np.uint8)
    pixels[:8, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    got = np.asarray(open_image(make.encode(pixels, form, exif=exif)))
    want = turn(pixels)
    assert got.shape == want.shape
    assert np.abs(got.astype(int) - want).max() < 10


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_an_animation_gives_its_first_frame(make, form):
    first, second = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    options = {"lossless": True} if form == "WEBP" else {}
    data = make.encode(first, form, save_all=True, append_images=[second], duration=100, **options)
    assert np.asarray(open_image(data))[0, 0].tolist() == [255, 0, 0]


def test_what_is_wrong_is_said(make, tmp_path):
    png, jpeg = make.encode(make.noise(64, 64)), make.encode(make.noise(64, 64), "JPEG")
    assert reason(b"") == "the file is empty (0 bytes)"
    assert reason(png[: len(png) // 2]).startswith("the image is truncated")
    assert reason(jpeg[: len(jpeg) // 2]).startswith("the image is truncated")
    assert reason(b"\n<!DOCTYPE html><html>404</html>") == "the file is an HTML page: a download went wrong"
    assert "Git LFS pointer" in reason(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert "SVG" in reason(b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    assert reason(b"hello") == "not an image that Pillow can read; it begins with the bytes 68 65 6c 6c 6f"
    assert reason(png[:20]).startswith(("the image", "not an image"))
    assert "float" in reason(np.zeros((2, 2), np.float32))
    assert "no pixels" in reason(np.zeros((0, 4), np.uint8))
    assert "no pixels" in reason(Image.new("RGB", (0, 4)))
    assert "5 channels" in reason(np.zeros((2, 2, 5), np.uint8))
    assert "mode F" in reason(Image.new("F", (2, 2)))
    assert "mode LAB" in reason(Image.new("LAB", (2, 2)))
    assert "beyond 16 bits" in reason(Image.new("I", (2, 2), 70000))
    assert "beyond 16 bits" in reason(Image.new("I", (2, 2), -1))
    assert reason(tmp_path / "gone.png") == "the file does not exist"
    os.mkfifo(tmp_path / "pipe.png")
    assert reason(tmp_path / "pipe.png") == "it is not a regular file"
    assert reason(tmp_path) == "it is not a regular file"


def test_a_header_that_claims_no_pixels_is_bad():
    header = png_chunk(b"IHDR", (0).to_bytes(4, "big") + (5).to_bytes(4, "big") + bytes([8, 2, 0, 0, 0]))
    assert reason(b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(b"")) + png_chunk(b"IEND", b""))


def test_a_denied_permission_is_said(tmp_path, monkeypatch):
    (tmp_path / "a.png").touch()

    def denied(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "read_bytes", denied)
    assert reason(tmp_path / "a.png") == "permission to read the file is denied"


@pytest.mark.parametrize("action", ["error", "ignore"])
@pytest.mark.parametrize("side", [9_500, 20_000])  # beyond Pillow's warning, beyond its error
def test_a_decompression_bomb_is_bad_and_never_decoded(action, side):
    row = zlib.compress(bytes(1 + side // 8) * 4)
    header = png_chunk(b"IHDR", side.to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0]))
    bomb = b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", row) + png_chunk(b"IEND", b"")
    before = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        assert "more" in reason(bomb)
        assert "limit of 89478485" in reason(bomb)
    assert before == Image.MAX_IMAGE_PIXELS


def test_the_limit_holds_when_pillows_own_is_off(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    monkeypatch.setattr(decode, "MAX_PIXELS", 99)
    assert "10 x 10 pixels are more than the limit of 99" in reason(np.zeros((10, 10), np.uint8))
    assert open_image(np.zeros((9, 11), np.uint8)).size == (11, 9)


def test_a_side_beyond_all_pictures_is_refused_before_any_pixel_is_decoded():
    file = io.BytesIO()
    Image.new("L", (70_000, 1)).save(file, "PNG")
    with pytest.raises(BadImage, match="70000 x 1 pixels; a side may have 65,535"):
        open_image(file.getvalue())


def test_a_thread_of_pixels_is_not_blown_up():
    with pytest.raises(BadImage, match="too long and thin"):
        cut(Image.new("L", (1, 60_000)), View(224, 224, 224))


FILTERS = {
    "bilinear": InterpolationMode.BILINEAR,
    "bicubic": InterpolationMode.BICUBIC,
    "nearest": InterpolationMode.NEAREST,
}


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize(("height", "width"), [(61, 97), (97, 61), (64, 64), (20, 33), (300, 41)])
@pytest.mark.parametrize("view", [(32, 32, 37), (32, 32, 36), (31, 32, 40), (32, 48, 40), (24, 24, None), (80, 90, 64)])
def test_the_view_is_torchvisions(make, view, height, width, interpolation):
    image = Image.fromarray(make.noise(height, width))
    rows, columns, short = view
    want = Compose([Resize(short or min(rows, columns), FILTERS[interpolation]), CenterCrop((rows, columns))])(image)
    got = pixels_of(image, view=View(rows, columns, short, interpolation))
    assert got.shape == (rows, columns, 3)
    assert (got == np.asarray(want)).all()


def test_size_takes_the_place_of_the_views_cut_and_mode_comes_before_its_channels(make):
    image = Image.fromarray(make.noise(20, 30))
    view = View(8, 8, 9, "bicubic", channels=3)
    want = CenterCrop(12)(Resize(12, InterpolationMode.BICUBIC)(image))
    assert (pixels_of(image, view=view, size=12) == np.asarray(want)).all()
    got = pixels_of(image, view=view, mode="L")
    assert got.shape == (8, 8, 3)
    assert (got[..., 0] == got[..., 2]).all()
    assert pixels_of(image, view=View(8, 8, channels=1)).shape == (8, 8, 1)


def test_a_letterbox_keeps_the_proportions_and_is_grey_around(make):
    image = Image.fromarray(make.noise(20, 40))
    got = pixels_of(image, view=View(32, 30, fit="letterbox"))
    assert got.shape == (32, 30, 3)
    small = np.asarray(image.resize((30, 15), Image.Resampling.BILINEAR))
    assert (got[8:23] == small).all()
    assert (got[:8] == PADDING).all()
    assert (got[23:] == PADDING).all()
    assert (pixels_of(Image.new("L", (10, 10)), view=View(4, 8, fit="letterbox"))[:, 0] == PADDING).all()


def test_luminance_is_that_of_rec_601():
    image = Image.fromarray(np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8))
    assert pixels_of(image, mode="L").ravel().tolist() == [76, 150, 29]


def test_an_ordinary_file_looks_like_nothing_known(make):
    assert looks_like(make.encode(make.noise())) is None


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(ran) (w) file\n"


@pytest.fixture
def ghostscript(monkeypatch):
    """Whether Ghostscript would have been started."""
    from PIL import EpsImagePlugin

    started = []

    def start(*arguments, **options):
        if EpsImagePlugin.gs_binary is False:
            raise OSError("Unable to locate Ghostscript on paths")
        started.append(arguments)
        return Image.new("RGB", (8, 8)).im

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", start)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", "gs")
    return started


def test_a_postscript_file_is_not_run_whatever_its_name(tmp_path, ghostscript):
    (tmp_path / "a.png").write_bytes(POSTSCRIPT)
    assert reason(tmp_path / "a.png") == "the file is a PostScript program, which is not run"
    assert reason(b"\n" + POSTSCRIPT).startswith("not an image")
    with (
        decode.without_ghostscript(),
        pytest.raises(OSError, match="Ghostscript"),
        Image.open(tmp_path / "a.png") as eps,
    ):
        eps.load()  # what another package does by itself
    assert ghostscript == []


def test_a_postscript_program_in_a_table_is_not_run(tmp_path, make, ghostscript):
    data = load_data(make.table(tmp_path / "a.parquet", [make.encode(make.noise()), POSTSCRIPT], label=[0, 1]))
    assert data.read(0).shape == make.noise().shape
    with pytest.raises(BadSample, match=r"^1: the file is a PostScript program, which is not run$"):
        data.read(1)
    assert ghostscript == []


@pytest.mark.parametrize("format", ["ICO", "TGA", "PCX", "JPEG2000"])
def test_a_format_that_is_not_listed_is_not_opened(format):
    assert reason(png_like(format)).startswith("not an image that Pillow can read")


def png_like(format):
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, format)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "I;16", "RGB", "L"])
def test_strips_change_no_pixel(mode, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (37, 11, 4), dtype=np.uint8)
    image = Image.fromarray(pixels, "RGBA").convert(mode) if mode != "I;16" else wide(pixels)
    whole = pixels_of(open_image(image))
    monkeypatch.setattr("unshaken.data.decode.STRIP", 50)
    assert np.array_equal(pixels_of(open_image(image)), whole)


def wide(pixels):
    return Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "CMYK", "1", "I;16"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_strips_of_a_turned_image_are_the_whole_as_pillow_turns_it(make, monkeypatch, mode, orientation):
    monkeypatch.setattr("unshaken.data.decode.STRIP", 10)
    rgb = Image.fromarray(make.noise(7, 5, channels=4), "RGBA").convert("RGB" if mode in ("P", "CMYK") else "RGBA")
    image = Image.fromarray(make.noise(7, 5, channels=1).squeeze().astype(np.uint16) << 8) if mode == "I;16" else None
    image = rgb.convert(mode) if image is None else image
    want = grey_or_rgb(image)
    if orientation > 1:
        exif = want.getexif()
        exif[0x0112] = orientation
        want.info["exif"] = exif.tobytes()
        want = ImageOps.exif_transpose(want)
    assert (np.asarray(grey_or_rgb(image, orientation)) == np.asarray(want)).all()


@pytest.mark.parametrize(("mode", "orientation"), [("RGBA", 1), ("CMYK", 1), ("RGB", 6)])
def test_two_large_images_never_stand_beside_each_other(monkeypatch, mode, orientation):
    image = Image.new(mode, (4, 3))
    make_image = Image.fromarray

    def made(pixels):
        with pytest.raises(ValueError, match="closed"):  # what was decoded has given its memory back
            image.getpixel((0, 0))
        return make_image(pixels)

    monkeypatch.setattr(Image, "fromarray", made)
    assert grey_or_rgb(image, orientation, close=True).mode == "RGB"
