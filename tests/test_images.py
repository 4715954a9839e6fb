"""Photos of every kind are read as RGB and written in their own kind. Broken photos are named."""
import io
import threading

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from src.data.images import check_size, list_images, read_image, write_image
from src.data.photo import Photo
from src.data.reading import image_size, read_photo
from src.data.writing import write_photo
from src.errors import InputError

RAMP = np.dstack([np.tile(np.arange(40, 240, 10), (18, 1))] * 3).astype(np.uint8)  # [18, 20, 3], grey
COLOUR = np.random.default_rng(0).integers(0, 256, (18, 20, 3)).astype(np.uint8)


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def test_grey_is_repeated_and_stays_grey(tmp_path):
    photo = read_photo(save(tmp_path / "a.png", RAMP[..., 0]))
    assert np.array_equal(photo.rgb, RAMP) and photo.is_grey and photo.alpha is None
    write_photo(tmp_path / "b.png", photo)
    assert Image.open(tmp_path / "b.png").mode == "L"
    assert np.array_equal(read_image(tmp_path / "b.png"), RAMP)


def test_black_and_white_is_grey(tmp_path):
    Image.fromarray(RAMP[..., 0] > 128).save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png")
    assert photo.is_grey and set(np.unique(photo.rgb)) == {0, 255}


@pytest.mark.parametrize("suffix", ("png", "tif", "webp"))
def test_alpha_is_kept_beside_the_colours(tmp_path, suffix):
    alpha = RAMP[..., 0]
    save(tmp_path / f"a.{suffix}", np.dstack([COLOUR, alpha]), lossless=True)
    photo = read_photo(tmp_path / f"a.{suffix}")
    assert np.array_equal(photo.rgb, COLOUR) and np.array_equal(photo.alpha, alpha)
    write_photo(tmp_path / "b.png", photo)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), np.dstack([COLOUR, alpha]))


def test_grey_with_alpha_stays_so(tmp_path):
    save(tmp_path / "a.png", np.dstack([RAMP[..., 0], 255 - RAMP[..., 0]]))
    write_photo(tmp_path / "b.png", read_photo(tmp_path / "a.png"))
    written = Image.open(tmp_path / "b.png")
    assert written.mode == "LA" and np.array_equal(np.asarray(written)[..., 1], 255 - RAMP[..., 0])


def test_palette_with_a_transparent_colour_gets_an_alpha_channel(tmp_path):
    palette = Image.fromarray(RAMP[..., 0] // 100).convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    palette.save(tmp_path / "a.png", transparency=1)
    photo = read_photo(tmp_path / "a.png")
    assert {tuple(pixel) for pixel in photo.rgb.reshape(-1, 3)} == {(10, 20, 30), (40, 50, 60), (70, 80, 90)}
    assert np.array_equal(photo.alpha == 0, RAMP[..., 0] // 100 == 1)


@pytest.mark.parametrize("suffix", ("png", "tif"))
def test_sixteen_bit_grey_is_kept_for_photos_and_scaled_for_images(tmp_path, suffix):
    cv2.imwrite(str(tmp_path / f"a.{suffix}"), RAMP[..., 0].astype(np.uint16) * 257)
    photo = read_photo(tmp_path / f"a.{suffix}")
    assert np.array_equal(photo.rgb, RAMP.astype(np.uint16) * 257) and photo.is_grey
    assert np.array_equal(read_image(tmp_path / f"a.{suffix}"), RAMP)


@pytest.mark.parametrize("suffix", ("png", "tif"))
def test_sixteen_bit_colour_is_scaled(tmp_path, suffix):
    cv2.imwrite(str(tmp_path / f"a.{suffix}"), COLOUR[..., ::-1].astype(np.uint16) * 257)
    assert np.array_equal(read_image(tmp_path / f"a.{suffix}"), COLOUR)


def test_float_tiff_is_scaled(tmp_path):
    save(tmp_path / "a.tif", (RAMP[..., 0] / 255).astype(np.float32))
    assert np.array_equal(read_image(tmp_path / "a.tif"), RAMP)


def test_cmyk_jpeg_becomes_rgb(tmp_path):
    Image.new("RGB", (24, 16), (200, 40, 40)).convert("CMYK").save(tmp_path / "a.jpg", quality=100)
    photo = read_photo(tmp_path / "a.jpg")
    assert photo.rgb.shape == (16, 24, 3) and np.abs(photo.rgb.astype(int) - (200, 40, 40)).max() < 6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ("jpg", "png", "tif", "webp"))
def test_exif_rotation_is_applied_and_the_header_tells_the_turned_size(tmp_path, orientation, suffix):
    upright = Image.fromarray(np.kron(COLOUR[:4, :6], np.ones((8, 8, 1), np.uint8)))
    undo = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_270}
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / f"a.{suffix}", exif=exif, quality=100)
    image = read_image(tmp_path / f"a.{suffix}")
    assert image.shape == (32, 48, 3)
    assert np.abs(image.astype(int) - np.asarray(upright)).mean() < 12
    assert image_size(tmp_path / f"a.{suffix}") == (32, 48)


def test_colour_profile_is_kept_for_rgb_and_dropped_where_the_space_changes(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(COLOUR).save(tmp_path / "a.png", icc_profile=profile)
    write_photo(tmp_path / "b.jpg", read_photo(tmp_path / "a.png"))
    assert Image.open(tmp_path / "b.jpg").info["icc_profile"] == profile
    Image.fromarray(COLOUR).convert("CMYK").save(tmp_path / "c.jpg", icc_profile=profile)
    assert read_photo(tmp_path / "c.jpg").icc_profile is None


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="none.png: no such file"):
        read_image(tmp_path / "none.png")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("suffix", ("png", "jpg", "tif", "bmp", "webp"))
def test_truncated_and_damaged_files_are_named(tmp_path, suffix):
    """A truncated or damaged file gives an image or an InputError, and never another exception."""
    file = io.BytesIO()
    Image.fromarray(COLOUR).save(file, {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper()))
    whole, rng, path = file.getvalue(), np.random.default_rng(1), tmp_path / f"broken.{suffix}"
    failures = 0
    for length in (0, 1, 10, 30, len(whole) // 2):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=f"broken.{suffix}: cannot be read as an image"):
            read_image(path)
    for _ in range(150):
        damaged = bytearray(whole)
        for place in rng.integers(0, min(len(whole), 200), 4):
            damaged[place] = rng.integers(256)
        path.write_bytes(bytes(damaged))
        image_size(path)
        try:
            read_image(path)
        except InputError as error:
            failures += 1
            assert "\n" not in str(error)
    assert failures


def test_decompression_bomb_is_refused_at_the_limit_not_at_twice_it(tmp_path):
    save(tmp_path / "a.png", COLOUR)
    assert read_image(tmp_path / "a.png", max_pixels=18 * 20).shape == (18, 20, 3)
    with pytest.raises(InputError, match=r"a.png: .*limit.*raise --max_pixels"):
        read_image(tmp_path / "a.png", max_pixels=18 * 20 - 1)


def test_limit_of_one_thread_is_not_that_of_another(tmp_path):
    save(tmp_path / "a.png", COLOUR)
    standard, outcomes = Image.MAX_IMAGE_PIXELS, []

    def read_often(limit, refused):
        for _ in range(100):
            try:
                read_image(tmp_path / "a.png", limit)
                outcomes.append(not refused)
            except InputError:
                outcomes.append(refused)

    threads = [threading.Thread(target=read_often, args=case) for case in ((100, True), (None, False), (99, True))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [True] * 300 and Image.MAX_IMAGE_PIXELS == standard


def test_size_of_an_unreadable_file_is_unknown(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    assert image_size(tmp_path / "a.png") is None and image_size(tmp_path / "none.png") is None


def test_small_images_are_named():
    check_size(np.zeros((16, 16, 3), np.uint8), "a.png")
    with pytest.raises(InputError, match="a.png: 20x15 px is too small, each side must have at least 16"):
        check_size(np.zeros((15, 20, 3), np.uint8), "a.png")


def test_a_failed_write_leaves_the_older_file(tmp_path):
    path = tmp_path / "a.jpg"
    write_image(path, COLOUR)
    before = path.read_bytes()
    with pytest.raises(InputError, match="a.jpg: cannot be written"):
        write_photo(path, Photo(COLOUR, RAMP[..., 0]))  # JPEG has no alpha
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["a.jpg"]


def test_listing_is_sorted_and_leaves_out_hidden_and_other_files(tmp_path):
    for name in ("b.PNG", "a.jpg", ".c.png", "notes.txt", "sub/d.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in list_images(tmp_path)] == ["a.jpg", "b.PNG"]
    assert [path.name for path in list_images(tmp_path, recursive=True)] == ["a.jpg", "b.PNG", "d.tif"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: no images"):
        list_images(tmp_path / "empty")


def test_a_link_to_nothing_is_named(tmp_path):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "b.png").symlink_to(tmp_path / "missing.png")
    with pytest.raises(InputError, match="b.png: a link to nothing"):
        list_images(tmp_path)
