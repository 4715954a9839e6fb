"""TIFF files of all kinds are read right, or refused in a line that says what was found."""
import numpy as np
import pytest
import tifffile
from PIL import Image

import files
from src.data.images import read_image
from src.data.reading import read_photo
from src.errors import InputError

RGB = np.random.default_rng(0).integers(0, 65536, (20, 24, 3)).astype(np.uint16)
GREY = RGB[..., 0]
BLACK_IS_ZERO, WHITE_IS_ZERO, COLOURS = 1, 0, 2


def write(path, pixels, **options):
    options.setdefault("photometric", "rgb" if pixels.ndim == 3 else "minisblack")
    tifffile.imwrite(path, pixels, metadata=None, **options)
    return path


@pytest.mark.parametrize("byteorder", "<>")
@pytest.mark.parametrize("compression", (None, "zlib"))
@pytest.mark.parametrize("layout", ({}, {"tile": (16, 16)}, {"rowsperstrip": 7}, {"bigtiff": True}))
def test_sixteen_bits_in_planes_or_pixels(tmp_path, byteorder, compression, layout):
    options = {"byteorder": byteorder, "compression": compression, **layout}
    together = read_photo(write(tmp_path / "a.tif", RGB, **options))
    apart = read_photo(write(tmp_path / "b.tif", np.moveaxis(RGB, -1, 0).copy(), planarconfig="separate", **options))
    assert np.array_equal(together.rgb, RGB) and np.array_equal(apart.rgb, RGB)


def test_lzw_of_16_bits(tmp_path):
    import cv2

    for photo, name in ((RGB, "rgb.tif"), (GREY, "grey.tif")):
        stored = photo[..., ::-1] if photo.ndim == 3 else photo
        cv2.imwrite(str(tmp_path / name), stored, [cv2.IMWRITE_TIFF_COMPRESSION, 5])
        found = read_photo(tmp_path / name)
        assert np.array_equal(found.rgb, photo if photo.ndim == 3 else np.repeat(photo[..., None], 3, -1))


@pytest.mark.parametrize("dtype, white", ((np.uint8, 255), (np.uint16, 65535)))
def test_white_is_zero(tmp_path, dtype, white):
    grey = (GREY // (65535 // white)).astype(dtype)
    photo = read_photo(write(tmp_path / "a.tif", grey, photometric="miniswhite"))
    assert photo.is_grey and np.array_equal(photo.rgb[..., 2], white - grey)


@pytest.mark.parametrize("bits", (10, 12, 14))
@pytest.mark.parametrize("samples, photometric", ((1, BLACK_IS_ZERO), (1, WHITE_IS_ZERO), (3, COLOURS)))
def test_the_bits_that_are_stated_are_the_whole_range(tmp_path, bits, samples, photometric):
    values = (RGB[..., :samples] >> (16 - bits)).astype(np.uint16)
    values[0, 0], values[0, 1] = 0, 2**bits - 1
    (tmp_path / "a.tif").write_bytes(files.tiff((20, 24, samples), bits, files.packed(values, bits), photometric))
    found = read_photo(tmp_path / "a.tif").rgb[..., :samples]
    wanted = values / (2**bits - 1) * 65535
    assert np.abs(found - (65535 - wanted if photometric == WHITE_IS_ZERO else wanted)).max() <= 0.5


@pytest.mark.parametrize("dtype", (np.float16, np.float32, np.float64))
def test_floats_from_black_to_white(tmp_path, dtype):
    values = (RGB / 65535).astype(dtype)
    found = read_photo(write(tmp_path / "a.tif", values)).rgb
    assert found.dtype == np.uint16 and np.abs(found - values.astype(float) * 65535).max() <= 0.51


@pytest.mark.parametrize("values, text", (
    (np.array([0, 4095.0]), "floats from 0 to 4095"), (np.array([-0.5, 1.0]), "floats from -0.5 to 1"),
    (np.array([0, np.nan]), "floats from nan to nan"), (np.array([0, 1.25]), "floats from 0 to 1.25")))
def test_floats_without_a_stated_white_are_refused(tmp_path, values, text):
    pixels = np.resize(values, (20, 24, 3)).astype(np.float32)
    with pytest.raises(InputError, match=f"a.tif: {text}; only floats from 0 .black. to 1 .white. can be read"):
        read_photo(write(tmp_path / "a.tif", pixels))


def test_integers_of_32_bits(tmp_path):
    values = RGB.astype(np.uint32) * 65537
    assert np.array_equal(read_photo(write(tmp_path / "a.tif", values)).rgb, RGB)
    with pytest.raises(InputError, match="values up to 65[0-9]* of 4294967295, which would all be black"):
        read_photo(write(tmp_path / "b.tif", RGB.astype(np.uint32)))


@pytest.mark.parametrize("dtype", (np.int8, np.int16, np.int32, np.complex64))
def test_signed_and_complex_samples_are_refused(tmp_path, dtype):
    with pytest.raises(InputError, match="a.tif: signed or complex samples"):
        read_photo(write(tmp_path / "a.tif", (GREY % 100).astype(dtype)))


@pytest.mark.parametrize("dtype", (np.uint8, np.uint16))
def test_alpha_and_other_extra_samples(tmp_path, dtype):
    white = np.iinfo(dtype).max
    rgb, alpha = (RGB // (65535 // white)).astype(dtype), (GREY // (65535 // white)).astype(dtype) | 1
    photo = read_photo(write(tmp_path / "a.tif", np.dstack([rgb, alpha]), extrasamples=["unassalpha"]))
    assert np.array_equal(photo.rgb, rgb) and np.array_equal(photo.alpha, alpha)
    multiplied = np.rint(rgb.astype(float) * alpha[..., None] / white).astype(dtype)
    photo = read_photo(write(tmp_path / "b.tif", np.dstack([multiplied, alpha]), extrasamples=["assocalpha"]))
    sure = alpha > white // 4  # where little is lost by the multiplication
    assert np.abs(photo.rgb[sure].astype(float) - rgb[sure]).max() <= 4 and np.array_equal(photo.alpha, alpha)
    photo = read_photo(write(tmp_path / "c.tif", np.dstack([rgb, alpha]), extrasamples=["unspecified"]))
    assert np.array_equal(photo.rgb, rgb) and photo.alpha is None


@pytest.mark.parametrize("dtype", (np.uint8, np.uint16))
@pytest.mark.parametrize("colours, extra", ((RGB, 2), (RGB, 1), (GREY, 1)))
def test_channels_that_are_no_colours_are_named_in_each_depth(tmp_path, dtype, colours, extra):
    colours = (colours >> (0 if dtype == np.uint16 else 8)).astype(dtype)
    pixels = np.dstack([colours, *[GREY.astype(dtype)] * extra])
    photometric = "rgb" if colours.ndim == 3 else "minisblack"
    write(tmp_path / "a.tif", pixels, photometric=photometric, extrasamples=["unspecified"] * extra,
          planarconfig="contig")
    photo = read_photo(tmp_path / "a.tif")
    assert photo.notes == (f"{extra} extra channels left out",) and photo.alpha is None
    assert photo.rgb.dtype == dtype
    assert np.array_equal(photo.rgb, colours if colours.ndim == 3 else np.repeat(colours[..., None], 3, -1))


@pytest.mark.parametrize("pixels, note", (
    (GREY / np.float32(65535), "32 bits became 16"), (GREY.astype(np.uint32) * 65537, "32 bits became 16"),
    (np.dstack([RGB, GREY]), "16 bits became 8")))
def test_bits_of_a_tiff_that_are_lost_are_said(tmp_path, pixels, note):
    write(tmp_path / "a.tif", pixels, photometric="separated" if pixels.ndim == 3 else "minisblack")
    assert read_photo(tmp_path / "a.tif").notes == (note,)


def test_lab_becomes_srgb_without_a_line_on_its_profile(tmp_path):
    Image.new("RGB", (24, 20), (200, 120, 40)).convert("LAB").save(tmp_path / "a.tif")
    photo = read_photo(tmp_path / "a.tif")
    assert np.abs(photo.rgb.astype(int) - (200, 120, 40)).max() <= 3 and photo.notes == ()


def test_extra_channels_are_named(tmp_path):
    pixels = np.dstack([RGB, GREY, GREY])
    photo = read_photo(write(tmp_path / "a.tif", pixels, extrasamples=["unassalpha", "unspecified"]))
    assert np.array_equal(photo.alpha, GREY) and photo.notes == ("1 extra channels left out",)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_sixteen_bits_are_turned_upright(tmp_path, orientation):
    write(tmp_path / "a.tif", RGB, extratags=[(274, 3, 1, orientation, True)])
    eight = Image.fromarray((RGB >> 8).astype(np.uint8))
    eight.save(tmp_path / "b.tif", tiffinfo={274: orientation})
    assert np.array_equal(read_photo(tmp_path / "a.tif").rgb >> 8, read_image(tmp_path / "b.tif"))


def test_camera_raw_under_the_name_of_a_tiff_is_named(tmp_path):
    write(tmp_path / "a.tif", RGB, extratags=[(50706, 1, 4, b"\1\4\0\0", True)])
    with pytest.raises(InputError, match="a.tif: camera raw under another name; rename it to .dng"):
        read_photo(tmp_path / "a.tif")


def test_the_limit_of_pixels_holds(tmp_path):
    write(tmp_path / "a.tif", RGB)
    assert read_photo(tmp_path / "a.tif", max_pixels=480).rgb.shape == (20, 24, 3)
    with pytest.raises(InputError, match="480 pixels exceed the limit of 479; raise --max_pixels"):
        read_photo(tmp_path / "a.tif", max_pixels=479)


def test_directories_that_link_in_a_circle_end(tmp_path):
    write(tmp_path / "a.tif", RGB)
    data = bytearray((tmp_path / "a.tif").read_bytes())
    first = int.from_bytes(data[4:8], "little")
    link = first + 2 + 12 * int.from_bytes(data[first:first + 2], "little")
    data[link:link + 4] = data[4:8]
    (tmp_path / "b.tif").write_bytes(bytes(data))
    assert read_photo(tmp_path / "b.tif").pictures == 1
