"""A result of the kind of its source is encoded as the source was: 16 bits, subsampling, lossless, compression."""
import os
import signal

import numpy as np
import pytest
import tifffile
from PIL import Image, JpegImagePlugin, features

import files
from src.data.formats import KINDS, is_written
from src.data.photo import Encoding, Photo
from src.data.reading import read_header, read_photo, read_pictures
from src.data.writing import write_photo, write_pictures
from src.errors import InputError

NOISE = np.random.default_rng(0).integers(0, 256, (40, 48, 3)).astype(np.uint8)
SMOOTH = np.dstack([np.tile(np.arange(48, dtype=np.uint8) * 5, (40, 1))] * 2 + [np.full((40, 48), 90, np.uint8)])
DEEP = np.random.default_rng(1).integers(0, 65536, (40, 48, 3)).astype(np.uint16)
ALPHA = np.random.default_rng(2).integers(0, 65536, (40, 48)).astype(np.uint16)


def rewritten(tmp_path, name, **options):
    """The path of a result of the kind of the file `name`, for the same pixels."""
    target = tmp_path / f"out{os.path.splitext(name)[1]}"
    assert write_photo(target, read_photo(tmp_path / name), **options) == ()
    return target


@pytest.mark.parametrize("suffix", ("png", "tif"))
@pytest.mark.parametrize("photo", (Photo(DEEP), Photo(DEEP, ALPHA), Photo(np.repeat(DEEP[..., :1], 3, -1), None, True),
                                   Photo(np.repeat(DEEP[..., :1], 3, -1), ALPHA, True)))
def test_sixteen_bits_are_kept_to_the_last(tmp_path, suffix, photo):
    write_photo(tmp_path / f"a.{suffix}", photo)
    again = read_photo(rewritten(tmp_path, f"a.{suffix}"))
    assert again.rgb.dtype == np.uint16 and np.array_equal(again.rgb, photo.rgb)
    assert again.is_grey == (photo.is_grey and photo.alpha is None)
    assert (again.alpha is None) == (photo.alpha is None)
    assert photo.alpha is None or np.array_equal(again.alpha, photo.alpha)


@pytest.mark.parametrize("suffix", ("png", "tif"))
def test_grey_with_alpha_stays_grey_whatever_the_network_makes_of_it(tmp_path, suffix):
    write_photo(tmp_path / f"a.{suffix}", Photo(DEEP, ALPHA, True))  # DEEP has colours
    again = read_photo(tmp_path / f"a.{suffix}").rgb
    assert np.array_equal(again[..., 0], again[..., 1]) and np.array_equal(again[..., 0], again[..., 2])


def test_sixteen_bits_of_other_programs_are_read_to_the_last(tmp_path):
    (tmp_path / "a.png").write_bytes(files.png(DEEP))
    assert np.array_equal(read_photo(tmp_path / "a.png").rgb, DEEP)
    (tmp_path / "b.png").write_bytes(files.png(np.dstack([DEEP[..., 0], ALPHA])))
    photo = read_photo(tmp_path / "b.png")
    assert np.array_equal(photo.rgb[..., 1], DEEP[..., 0]) and np.array_equal(photo.alpha, ALPHA) and photo.is_grey
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = files.png(DEEP, [(b"eXIf", exif.tobytes()[6:])])
    (tmp_path / "c.png").write_bytes(turned)
    assert np.array_equal(read_photo(tmp_path / "c.png").rgb, np.rot90(DEEP, -1))


def test_what_holds_8_bits_says_so(tmp_path):
    assert write_photo(tmp_path / "a.jpg", Photo(DEEP)) == ("16 bits became 8, JPEG holds no more here",)


@pytest.mark.parametrize("subsampling", (0, 1, 2))
@pytest.mark.parametrize("progressive", (False, True))
def test_jpeg_keeps_its_subsampling_and_progression(tmp_path, subsampling, progressive):
    Image.fromarray(NOISE).save(tmp_path / "a.jpg", subsampling=subsampling, progressive=progressive)
    with Image.open(rewritten(tmp_path, "a.jpg")) as image:
        assert JpegImagePlugin.get_sampling(image) == subsampling
        assert bool(image.info.get("progressive")) == progressive


@pytest.mark.parametrize("suffix", ("jpg", "webp"))
def test_quality_makes_smaller_files(tmp_path, suffix):
    Image.fromarray(NOISE).save(tmp_path / f"a.{suffix}", quality=100)
    sizes = [rewritten(tmp_path, f"a.{suffix}", quality=quality).stat().st_size for quality in (20, 60, 95)]
    assert sizes[0] < sizes[1] * 0.8 < sizes[2] * 0.64


@pytest.mark.parametrize("lossless", (False, True))
def test_webp_stays_lossless_if_it_was(tmp_path, lossless):
    Image.fromarray(NOISE).save(tmp_path / "a.webp", lossless=lossless, quality=90)
    source = np.asarray(Image.open(tmp_path / "a.webp").convert("RGB"))
    found = np.asarray(Image.open(rewritten(tmp_path, "a.webp")).convert("RGB"))
    assert np.array_equal(found, source) == lossless


@pytest.mark.parametrize("compression", ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd", "lzma", "jpeg"))
def test_tiff_keeps_its_compression(tmp_path, compression):
    try:
        Image.fromarray(SMOOTH).save(tmp_path / "a.tif", compression=compression)
    except OSError:
        pytest.skip(f"this Pillow has no {compression}")
    with Image.open(rewritten(tmp_path, "a.tif")) as image:
        assert image.info["compression"] == compression
        assert compression == "jpeg" or np.array_equal(np.asarray(image), SMOOTH)


def test_tiff_keeps_its_predictor_and_its_size(tmp_path):
    gradient = np.dstack([np.add.outer(np.arange(200), np.arange(256)).astype(np.uint8)] * 3)
    Image.fromarray(gradient).save(tmp_path / "a.tif", compression="tiff_lzw", tiffinfo={317: 2})
    target = rewritten(tmp_path, "a.tif")
    assert Image.open(target).tag_v2[317] == 2
    assert target.stat().st_size < 1.2 * (tmp_path / "a.tif").stat().st_size


def test_a_packed_tiff_of_16_bits_stays_packed(tmp_path):
    flat = np.full((200, 200, 3), 12345, np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", flat, photometric="rgb", compression="zlib", predictor=True)
    target = rewritten(tmp_path, "a.tif")
    assert np.array_equal(tifffile.imread(target), flat) and target.stat().st_size < flat.nbytes / 20


# several pictures

def shades(count, alpha=None):
    for number in range(count):
        image = Image.new("RGB" if alpha is None else "RGBA", (48, 40), (60 * number, 90, 200 - 40 * number))
        if alpha is not None:
            image.putalpha(alpha)
        yield image


def saved(path, count=4, alpha=None, **options):
    first, *others = shades(count, alpha)
    first.save(path, save_all=True, append_images=others, **options)


@pytest.mark.parametrize("source, target", (
    ("a.gif", "b.gif"), ("a.gif", "b.png"), ("a.png", "b.png"), ("a.webp", "b.webp"), ("a.webp", "b.gif"),
    ("a.png", "b.webp"), ("a.avif", "b.avif")))
def test_animations_keep_their_frames_and_times(tmp_path, source, target):
    if "avif" in source and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    saved(tmp_path / source, duration=[100, 200, 300, 400], loop=0)
    assert read_header(tmp_path / source).pictures == 4
    photos = list(read_pictures(tmp_path / source))
    assert [photo.encoding.duration for photo in photos] == [100, 200, 300, 400]
    write_pictures(tmp_path / target, photos)
    again = list(read_pictures(tmp_path / target))
    assert [photo.encoding.duration for photo in again] == [100, 200, 300, 400]
    assert again[0].encoding.loop == 0 or "avif" in target
    for photo, wanted in zip(again, shades(4)):
        assert np.abs(photo.rgb.astype(int) - np.asarray(wanted)).max() <= 6


@pytest.mark.parametrize("kind", ("gif", "png", "webp"))
def test_transparent_frames_do_not_shine_through(tmp_path, kind):
    left = Image.new("L", (48, 40), 0)
    left.paste(255, (0, 0, 24, 40))
    right = left.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    photos = [Photo(np.asarray(image), np.asarray(mask)) for image, mask in zip(shades(2), (left, right))]
    write_pictures(tmp_path / f"a.{kind}", photos)
    for photo, wanted in zip(read_pictures(tmp_path / f"a.{kind}"), photos):
        assert np.array_equal(photo.alpha, wanted.alpha)


@pytest.mark.parametrize("dtype", (np.uint8, np.uint16))
def test_pages_of_a_tiff_are_kept_without_previews(tmp_path, dtype):
    pages = [np.full((40 + 4 * i, 48, 3), 50 * i, dtype) for i in range(3)]
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page in pages:
            writer.write(page, photometric="rgb")
            writer.write(page[::2, ::2], photometric="rgb", subfiletype=1)
    assert read_header(tmp_path / "a.tif") == (40, 48, 3, False)
    photos = list(read_pictures(tmp_path / "a.tif"))
    write_pictures(tmp_path / "b.tif", photos)
    assert len(photos) == 3
    for photo, page in zip(read_pictures(tmp_path / "b.tif"), pages):
        assert photo.rgb.dtype == dtype and np.array_equal(photo.rgb, page)


# kinds

@pytest.mark.parametrize("kind", [kind for kind in KINDS if is_written(kind)], ids=lambda kind: kind.name)
def test_every_suffix_that_is_written_is_read_again(tmp_path, kind):
    for suffix in kind.suffixes:
        write_photo(tmp_path / f"a{suffix}", Photo(SMOOTH))
        found = read_photo(tmp_path / f"a{suffix}")
        assert np.abs(found.rgb.astype(int) - SMOOTH).max() <= 12, suffix


@pytest.mark.parametrize("kind", [kind for kind in KINDS if is_written(kind)], ids=lambda kind: kind.name)
def test_alpha_is_held_or_refused(tmp_path, kind):
    alpha = np.where(np.arange(48) < 24, 0, 255).astype(np.uint8) * np.ones((40, 1), np.uint8)
    path = tmp_path / f"a{kind.suffixes[0]}"
    if not kind.has_alpha:
        with pytest.raises(InputError, match="has no transparency"):
            write_photo(path, Photo(SMOOTH, alpha))
        return
    write_photo(path, Photo(SMOOTH, alpha))
    assert np.array_equal(read_photo(path).alpha, alpha)


def test_the_still_picture_before_an_animated_png_is_no_frame(tmp_path):
    still, *frames = (Image.fromarray(np.roll(NOISE, shift, axis=1)) for shift in (0, 5, 10))
    still.save(tmp_path / "a.png", save_all=True, append_images=frames, default_image=True, duration=120)
    photos = list(read_pictures(tmp_path / "a.png"))
    assert [photo.encoding.duration for photo in photos] == [120, 120] and photos[0].pictures == 2
    assert all(np.array_equal(photo.rgb, frame) for photo, frame in zip(photos, frames))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if is_written(kind)], ids=lambda kind: kind.name)
def test_a_full_disk_is_named(tmp_path, kind):
    """A limit on the size of files stands for the disk."""
    resource = pytest.importorskip("resource")
    encoding = Encoding("TIFF", compression="tiff_lzw")
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(InputError, match="cannot be written .File too large"):
            write_photo(tmp_path / f"a{kind.suffixes[0]}", Photo(NOISE, encoding=encoding))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert not list(tmp_path.iterdir())


def test_a_kind_that_is_not_written_is_named(tmp_path):
    with pytest.raises(InputError, match="a.heic: files of this kind are not written; use .png"):
        write_photo(tmp_path / "a.heic", Photo(SMOOTH))
