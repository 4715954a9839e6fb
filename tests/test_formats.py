"""The table of docs/formats.md is that of the code, and a file of each kind keeps what the table says."""
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from src.data import formats
from src.data.formats import KINDS, is_read, is_written, kind_of
from src.data.photo import Metadata, Photo
from src.data.reading import read_photo, read_pictures
from src.data.writing import write_photo, write_pictures
from src.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
RGB = np.random.default_rng(0).integers(0, 256, (20, 24, 3)).astype(np.uint8)
ROWS = {cells[0]: cells[1:] for line in (ROOT / "docs/formats.md").read_text().partition("## Video")[0].splitlines()
        if len(cells := [cell.strip() for cell in line.strip("|").split("|")]) == 9 and "---" not in line}
WRITTEN = [kind for kind in KINDS if is_written(kind)]


def exif():
    data = Image.Exif()
    data[0x013B] = "Ann"
    return data.tobytes()[6:]


def written(tmp_path, kind, photo):
    path = tmp_path / f"a{kind.suffixes[0]}"
    notes = write_photo(path, photo)
    return read_photo(path), notes


def test_the_table_is_that_of_the_code():
    def yes(flag):
        return "yes" if flag else "-"

    assert {kind.name: [" ".join(kind.suffixes), kind.remedy or "yes", yes(kind.is_written), yes(kind.has_16_bits),
                        yes(kind.has_alpha), kind.several or "-", yes(kind.has_metadata), yes(kind.has_profile)]
            for kind in KINDS} == {name: cells for name, cells in ROWS.items() if name != "kind"}


def test_the_page_names_the_remedies_and_every_suffix_once():
    suffixes = [suffix for kind in KINDS for suffix in kind.suffixes]
    assert len(suffixes) == len(set(suffixes))
    assert all(kind.remedy or is_read(kind) for kind in KINDS)
    listed = (ROOT / "requirements/photos.txt").read_text()
    assert all(re.search(rf"^{name}[>=]", listed, re.MULTILINE) for name in ("pillow-heif", "rawpy"))


@pytest.mark.parametrize("kind", WRITTEN, ids=lambda kind: kind.name)
def test_a_kind_keeps_what_the_table_says(tmp_path, kind):
    sixteen, notes = written(tmp_path, kind, Photo(RGB.astype(np.uint16) * 257))
    assert (sixteen.rgb.dtype == np.uint16) == kind.has_16_bits == (not any("16 bits" in note for note in notes))
    known, notes = written(tmp_path, kind, Photo(RGB, metadata=Metadata(exif=exif(), xmp=b"<x>Ann</x>")))
    assert (b"Ann" in known.metadata.exif and b"Ann" in known.metadata.xmp) == kind.has_metadata
    assert bool(notes) != kind.has_metadata
    path = tmp_path / f"b{kind.suffixes[0]}"
    if kind.several:
        write_pictures(path, [Photo(RGB), Photo(RGB[::-1])])
        assert len(list(read_pictures(path))) == 2


@pytest.mark.parametrize("kind", WRITTEN, ids=lambda kind: kind.name)
def test_a_kind_says_that_it_is_srgb_where_the_table_says(tmp_path, kind):
    from src.data.colour import srgb_profile

    path = tmp_path / f"a{kind.suffixes[0]}"
    write_photo(path, Photo(RGB, icc_profile=srgb_profile()))
    assert ("icc_profile" in Image.open(path).info) == kind.has_profile


@pytest.mark.parametrize("name", ("HEIC", "AVIF", "camera raw"))
def test_a_kind_that_is_not_read_here_is_named_with_the_remedy(tmp_path, monkeypatch, name):
    kind = next(kind for kind in KINDS if kind.name == name)
    monkeypatch.setattr(formats, "is_read", lambda other: other.name != name)
    path = tmp_path / f"a{kind.suffixes[0]}"
    path.write_bytes(b"\0\0\0\x18ftyp" + {"HEIC": b"heic", "AVIF": b"avif"}.get(name, b"crx ") + bytes(100))
    with pytest.raises(InputError, match=f"{name} is not read by this installation; {re.escape(kind.remedy)}"):
        read_photo(path)


@pytest.mark.parametrize("name, content, text", (
    ("a.heic", b"\0\0\0\x18ftypheic" + bytes(200), "damaged at its beginning, or no HEIC"),
    ("a.dng", b"II*\0\x08" + bytes(100), "damaged at its beginning, or no camera raw"),
    ("a.jpg", b"", "the file is empty"), ("a.png", bytes(100), "damaged at its beginning, or no PNG"),
    ("a.tif", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer, not the file itself"),
    ("a.jpg", b"\xff\x0a\xfa\x1f\x01\x91\x08\x06\x01\x00", "a JPEG XL photo, whatever its name says"),
    ("a.jpg", b"<!DOCTYPE html><html></html>", "a web page, not the file")))
def test_a_file_that_is_no_photo_is_named_with_what_it_is(tmp_path, name, content, text):
    for package, suffix in (("pillow_heif", ".heic"), ("rawpy", ".dng")):
        if name.endswith(suffix):
            pytest.importorskip(package)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: cannot be read as an image .{text}.*$"):
        read_photo(tmp_path / name)


def test_a_phones_heic_under_the_name_jpg_is_read(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x013B] = "Ann"
    Image.new("RGB", (64, 48), (200, 120, 40)).save(tmp_path / "a.heic", quality=90, exif=exif)
    (tmp_path / "b.jpg").write_bytes((tmp_path / "a.heic").read_bytes())
    for name in ("a.heic", "b.jpg"):
        photo = read_photo(tmp_path / name)
        assert np.abs(photo.rgb.astype(int) - (200, 120, 40)).max() <= 4 and b"Ann" in photo.metadata.exif


def test_camera_raw_is_developed(tmp_path):
    """A DNG of one flat grey stays flat, in 16 bits."""
    pytest.importorskip("rawpy")
    tifffile = pytest.importorskip("tifffile")
    mosaic = np.full((64, 96), 32768, np.uint16)
    one = [1, 1]
    identity = sum(([int(i == j), 1] for i in range(3) for j in range(3)), [])
    tifffile.imwrite(tmp_path / "a.dng", mosaic, photometric=32803, metadata=None, extratags=[
        (33421, 3, 2, (2, 2), True), (33422, 1, 4, bytes((0, 1, 1, 2)), True), (50706, 1, 4, bytes((1, 4, 0, 0)), True),
        (50708, 2, 0, "Test camera", True), (50714, 4, 1, 0, True), (50717, 4, 1, 65535, True),
        (50721, 10, 9, identity, True), (50728, 5, 3, one * 3, True), (50778, 3, 1, 21, True),
        (271, 2, 0, "Test", True)])
    photo = read_photo(tmp_path / "a.dng")
    assert photo.rgb.dtype == np.uint16 and photo.rgb.shape == (64, 96, 3)
    middle = photo.rgb[20:40, 20:70].astype(float) / 257
    assert middle.std(axis=(0, 1)).max() < 3


@pytest.mark.parametrize("name, data", (
    ("a.ppm", b"P6 4 4 65535\n" + bytes(96)), ("a.jp2", None), ("a.avif", None)))
def test_bits_that_are_lost_are_said(tmp_path, name, data):
    import cv2

    deep = np.full((32, 32, 3), 30000, np.uint16)
    if data is None and name == "a.avif":
        pillow_heif = pytest.importorskip("pillow_heif")
        pytest.importorskip("cv2")
        try:
            pillow_heif.encode("RGB;16", (32, 32), deep.tobytes(), str(tmp_path / "a.heic"), quality=90)
        except Exception as error:
            pytest.skip(f"pillow-heif cannot write it ({error})")
        name = "a.heic"
    elif data is None:
        if not features.check("jpg_2000"):
            pytest.skip("this Pillow has no JPEG 2000")
        cv2.imwrite(str(tmp_path / name), deep)
    else:
        (tmp_path / name).write_bytes(data)
    assert any(re.fullmatch(r"1[026] bits became 8", note) for note in read_photo(tmp_path / name).notes)


def test_the_kind_of_a_name_does_not_depend_on_its_case():
    assert kind_of("A.HEIC") is formats.HEIC and kind_of("a.txt") is None
