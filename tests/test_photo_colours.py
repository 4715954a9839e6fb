"""Colours of every space become the sRGB values that the public definitions give, in 8 and in 16 bits."""
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, features

import files
from src.data.icc import D65, SRGB_PRIMARIES, build_profile
from src.data.photo import Photo
from src.data.png import P3
from src.data.reading import photo_of, read_photo
from src.data.writing import write_photo

# linear light to linear sRGB: CSS Color 4, sections 10.4 and 10.5 (white D65 throughout)
P3_TO_SRGB = np.array([[1.2249402, -0.2249402, 0], [-0.0420570, 1.0420570, 0], [-0.0196376, -0.0786360, 1.0982736]])
ADOBE_TO_SRGB = np.array([[1.3983557, -0.3983557, 0], [0, 1, 0], [0, -0.0429290, 1.0429290]])
BT2020_TO_SRGB = np.array([[1.6604910, -0.5876411, -0.0728499], [-0.1245505, 1.1328999, -0.0083494],
                           [-0.0181508, -0.1005789, 1.1187297]])
ADOBE = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
SAMPLES = [(200, 150, 100), (40, 200, 60), (255, 0, 0), (128, 128, 128), (20, 30, 90), (255, 255, 255)]


def srgb(light):
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def light(stored):
    return np.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4)


def expected(pixels, matrix, decode=light):
    """sRGB in 0..1 of stored values in 0..1."""
    return srgb(decode(np.asarray(pixels, float)) @ np.asarray(matrix).T)


def picture(colours=SAMPLES, dtype=np.uint8):
    """Each colour in a field of 16x16."""
    factor = 257 if dtype == np.uint16 else 1
    return np.repeat(np.repeat(np.array([colours]), 16, 0), 16, 1).astype(dtype) * dtype(factor)


def fields(pixels):
    return pixels[8, 8::16].astype(float)


def display_p3():
    return build_profile("Display P3", P3, D65, light)


def adobe_rgb():
    return build_profile("Adobe RGB", ADOBE, D65, lambda stored: stored ** 2.19921875)


@pytest.mark.parametrize("profile, matrix, decode", (
    (display_p3, P3_TO_SRGB, light), (adobe_rgb, ADOBE_TO_SRGB, lambda stored: stored ** 2.19921875)))
def test_rgb_profiles_become_srgb(tmp_path, profile, matrix, decode):
    wanted = expected(np.array(SAMPLES) / 255, matrix, decode)
    Image.fromarray(picture()).save(tmp_path / "eight.png", icc_profile=profile())
    assert np.abs(fields(read_photo(tmp_path / "eight.png").rgb) - wanted * 255).max() <= 1
    write_photo(tmp_path / "deep.png", Photo(picture(dtype=np.uint16), icc_profile=profile()))
    deep = read_photo(tmp_path / "deep.png")
    assert deep.rgb.dtype == np.uint16 and np.abs(fields(deep.rgb) - wanted * 65535).max() <= 40


def test_a_display_p3_colour_by_hand(tmp_path):
    """P3 (200, 150, 100): light 0.5776, 0.3050, 0.1274; in sRGB 0.6389, 0.2935, 0.1046; stored 209, 147, 91."""
    Image.fromarray(picture([(200, 150, 100)])).save(tmp_path / "a.jpg", icc_profile=display_p3(), quality=100)
    assert np.abs(fields(read_photo(tmp_path / "a.jpg").rgb) - (209, 147, 91)).max() <= 2


def test_the_result_says_srgb_and_the_note_what_it_was(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "a.png", icc_profile=display_p3())
    photo = read_photo(tmp_path / "a.png")
    assert photo.notes == ("colour space Display P3 became sRGB",)
    write_photo(tmp_path / "b.png", photo)
    profile = ImageCms.ImageCmsProfile(io.BytesIO(Image.open(tmp_path / "b.png").info["icc_profile"]))
    assert "sRGB" in ImageCms.getProfileDescription(profile) and read_photo(tmp_path / "b.png").notes == ()
    assert np.array_equal(read_photo(tmp_path / "b.png").rgb, photo.rgb)


def test_profiles_of_srgb_change_nothing(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (20, 24, 3)).astype(np.uint8)
    for number, profile in enumerate((ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
                                      build_profile("sRGB", SRGB_PRIMARIES, D65, light))):
        Image.fromarray(noise).save(tmp_path / f"{number}.png", icc_profile=profile)
        photo = read_photo(tmp_path / f"{number}.png")
        assert np.array_equal(photo.rgb, noise) and photo.icc_profile == profile and photo.notes == ()


def test_cmyk_follows_its_press_profile(tmp_path):
    """L* 100 and 50 are Y 1 and 0.1842, which sRGB stores as 255 and 119 (CIE 15; IEC 61966-2-1)."""
    pixels = np.zeros((16, 32, 4), np.uint8)
    pixels[:, 16:, 3] = 255
    Image.fromarray(pixels, "CMYK").save(tmp_path / "press.tif", icc_profile=files.cmyk_profile(255, 128))
    found = read_photo(tmp_path / "press.tif")
    assert np.abs(fields(found.rgb) - [[255] * 3, [119] * 3]).max() <= 2
    assert found.notes == ("colour space press became sRGB",)


def test_palettes_follow_their_profile(tmp_path):
    """The profile exchanges red and green."""
    red, green, blue = SRGB_PRIMARIES
    profile = build_profile("exchanged", (green, red, blue), D65, light)
    paletted = Image.fromarray(picture([(90, 120, 200), (230, 60, 40)])).convert("P", palette=Image.Palette.ADAPTIVE)
    paletted.save(tmp_path / "a.png", icc_profile=profile)
    assert np.abs(fields(read_photo(tmp_path / "a.png").rgb) - [(120, 90, 200), (60, 230, 40)]).max() <= 2


@pytest.mark.parametrize("dtype, white, error", ((np.uint8, 255, 1), (np.uint16, 65535, 40)))
def test_grey_follows_its_profile_and_stays_grey(tmp_path, dtype, white, error):
    """A profile of linear grey: half the light is stored as 188 of 255."""
    curve = b"curv\0\0\0\0" + struct.pack(">I", 0)
    tags = [(b"desc", b"desc\0\0\0\0" + struct.pack(">I", 7) + b"linear\0" + bytes(78)), (b"kTRC", curve),
            (b"wtpt", b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)), (b"cprt", b"text\0\0\0\0none\0")]
    profile = grey_profile(tags)
    grey = np.full((20, 24), white // 2, dtype)
    (tmp_path / "a.png").write_bytes(files.png(grey, [(b"iCCP", b"grey\0\0" + zlib.compress(profile))]))
    photo = read_photo(tmp_path / "a.png")
    assert photo.is_grey and photo.rgb.dtype == dtype and photo.icc_profile is None
    assert np.abs(photo.rgb - float(srgb(np.array((white // 2) / white))) * white).max() <= error


def grey_profile(tags):
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags:
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">I4sI4s4s4s12s4s", 128 + len(table) + len(body), bytes(4), 0x02400000, b"mntr", b"GRAY",
                         b"XYZ ", struct.pack(">6H", 2020, 1, 1, 0, 0, 0), b"acsp")
    return (header.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)).ljust(128, b"\0") + table + body


def test_grey_with_an_rgb_profile_is_taken_for_rgb(tmp_path):
    grey = picture([(90, 90, 90)])[..., 0]
    Image.fromarray(grey).save(tmp_path / "a.jpg", icc_profile=display_p3(), quality=100)
    photo = read_photo(tmp_path / "a.jpg")
    assert photo.is_grey and np.abs(photo.rgb.astype(int) - 90).max() <= 1  # a grey is the same grey in both


@pytest.mark.parametrize("chunks, matrix, decode", (
    ([(b"gAMA", struct.pack(">I", 100000))], np.eye(3), lambda stored: stored),
    ([(b"gAMA", struct.pack(">I", 55556))], np.eye(3), lambda stored: stored ** 1.8),
    ([(b"gAMA", struct.pack(">I", 45455))], np.eye(3), light),  # what stands beside sRGB values
    ([(b"gAMA", struct.pack(">I", 45455)), (b"cHRM", struct.pack(
        ">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000))], P3_TO_SRGB, light),
    ([(b"gAMA", struct.pack(">I", 100000)), (b"sRGB", b"\0")], np.eye(3), light),  # sRGB wins
    ([(b"cICP", bytes((12, 13, 0, 1)))], P3_TO_SRGB, light),
    ([(b"cICP", bytes((1, 13, 0, 1))), (b"gAMA", struct.pack(">I", 100000))], np.eye(3), light),  # cICP wins
    ([(b"cICP", bytes((9, 8, 0, 1)))], BT2020_TO_SRGB, lambda stored: stored)))
def test_png_chunks_state_the_colours(tmp_path, chunks, matrix, decode):
    wanted = expected(np.array(SAMPLES) / 255, matrix, decode)
    (tmp_path / "a.png").write_bytes(files.png(picture(), chunks))
    assert np.abs(fields(read_photo(tmp_path / "a.png").rgb) - wanted * 255).max() <= 1.1
    (tmp_path / "deep.png").write_bytes(files.png(picture(dtype=np.uint16), chunks))
    assert np.abs(fields(read_photo(tmp_path / "deep.png").rgb) - wanted * 65535).max() <= 60


def test_cicp_wins_over_a_profile(tmp_path):
    (tmp_path / "a.png").write_bytes(files.png(picture(), [
        (b"cICP", bytes((1, 13, 0, 1))), (b"iCCP", b"p3\0\0" + zlib.compress(display_p3()))]))
    assert np.array_equal(fields(read_photo(tmp_path / "a.png").rgb), np.array(SAMPLES))


@pytest.mark.skipif(not features.check("avif"), reason="a Pillow without AVIF")
@pytest.mark.parametrize("numbers, matrix", (((1, 13), np.eye(3)), ((2, 2), np.eye(3)), ((12, 13), P3_TO_SRGB)))
def test_colours_that_avif_states_in_numbers_become_srgb(tmp_path, numbers, matrix):
    Image.fromarray(picture()).save(tmp_path / "a.avif", quality=100, subsampling="4:4:4")
    data = bytearray((tmp_path / "a.avif").read_bytes())
    place = data.index(b"colrnclx") + 8
    data[place:place + 4] = struct.pack(">HH", *numbers)
    before = fields(np.array(Image.open(tmp_path / "a.avif")))
    (tmp_path / "a.avif").write_bytes(data)
    photo = read_photo(tmp_path / "a.avif")
    assert np.abs(fields(photo.rgb) - 255 * expected(before / 255, matrix)).max() <= 2
    assert ("cICP 12/13 became sRGB" in str(photo.notes)) == (numbers == (12, 13))


def test_hdr_of_avif_becomes_sdr_with_a_note(tmp_path):
    if not features.check("avif"):
        pytest.skip("a Pillow without AVIF")
    Image.fromarray(picture()).save(tmp_path / "a.avif")
    data = (tmp_path / "a.avif").read_bytes()
    place = data.index(b"colrnclx") + 8
    (tmp_path / "a.avif").write_bytes(data[:place] + struct.pack(">HH", 9, 16) + data[place + 4:])
    assert "HDR became SDR" in str(read_photo(tmp_path / "a.avif").notes)


def test_hdr_becomes_sdr_with_a_note(tmp_path):
    """PQ 0.5807 is 203 cd/m2, diffuse white (BT.2408); 0.5081 is 100 cd/m2 (BT.2100), light 0.4926, stored 186."""
    (tmp_path / "a.png").write_bytes(files.png(picture([(148, 148, 148), (129.6, 129.6, 129.6), (255, 255, 255)]),
                                               [(b"cICP", bytes((9, 16, 0, 1)))]))
    photo = read_photo(tmp_path / "a.png")
    assert np.abs(fields(photo.rgb) - [[255] * 3, [186] * 3, [255] * 3]).max() <= 2
    assert any("HDR became SDR" in note for note in photo.notes)


def test_cameras_that_name_adobe_rgb_in_exif_alone_are_believed(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 0xFFFF
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    Image.fromarray(picture([(200, 150, 100)])).save(tmp_path / "a.jpg", exif=exif, quality=100)
    photo = read_photo(tmp_path / "a.jpg")
    wanted = expected(np.array([(200, 150, 100)]) / 255, ADOBE_TO_SRGB, lambda stored: stored ** 2.19921875) * 255
    assert np.abs(fields(photo.rgb) - wanted).max() <= 2
    write_photo(tmp_path / "b.jpg", photo)
    written = Image.open(tmp_path / "b.jpg").getexif().get_ifd(0x8769)
    assert written[0xA001] == 1, "the result must not be taken for Adobe RGB again"
    assert read_photo(tmp_path / "b.jpg").notes == ()


@pytest.mark.parametrize("profile", (b"", b"no profile", display_p3()[:200], display_p3()[:128] + bytes(460)))
def test_a_profile_that_cannot_be_used_is_passed_over_with_a_note(tmp_path, profile):
    Image.fromarray(picture()).save(tmp_path / "a.png", icc_profile=profile)
    photo = read_photo(tmp_path / "a.png")
    assert np.array_equal(photo.rgb, picture()) and photo.icc_profile is None
    assert bool(photo.notes) == bool(profile)


def test_pil_images_are_converted_too():
    image = Image.fromarray(picture())
    image.info["icc_profile"] = display_p3()
    assert np.abs(fields(photo_of(image).rgb) - expected(np.array(SAMPLES) / 255, P3_TO_SRGB) * 255).max() <= 1
