"""What a photo says of date, place, camera and author is in its result, upright and without the old thumbnail."""
import io
import struct

import numpy as np
import pytest
from PIL import Image, PngImagePlugin, TiffImagePlugin

import files
from src.data.metadata import upright_exif, upright_xmp
from src.data.photo import Photo
from src.data.reading import read_photo
from src.data.writing import write_photo

NOISE = np.random.default_rng(0).integers(0, 256, (20, 32, 3)).astype(np.uint8)
XMP = (b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
       b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" tiff:Orientation="1" '
       b'exif:PixelXDimension="32" dc:creator="Ann"/><tiff:Orientation>1</tiff:Orientation></rdf:RDF></x:xmpmeta>')
EXIF, GPS, THUMBNAIL = 0x8769, 0x8825, b"\xff\xd8thumbnail\xff\xd9"


def exif_data(orientation=6):
    """A turned photo of a camera, as bytes, with a maker's note and a thumbnail."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x013B], exif[0x0132] = orientation, "Camera", "Ann", "2024:05:06 07:08:09"
    exif.get_ifd(EXIF).update({0x9003: "2024:05:06 07:08:09", 0x829A: TiffImagePlugin.IFDRational(1, 250),
                               0x927C: b"maker\0note", 0xA002: 32, 0xA003: 20})
    exif.get_ifd(GPS).update({1: "N", 2: (47.0, 22.0, 30.0), 3: "E", 4: (8.0, 32.0, 24.0)})
    return with_thumbnail(exif.tobytes()[6:])


def with_thumbnail(data):
    """Append a second directory with a thumbnail, and link it from the first."""
    order = "<" if data[:2] == b"II" else ">"
    first, = struct.unpack_from(order + "I", data, 4)
    link = first + 2 + 12 * struct.unpack_from(order + "H", data, first)[0]
    data += bytes(len(data) % 2)
    entries = struct.pack(order + "HHHIIHHIII", 2, 0x0201, 4, 1, len(data) + 30, 0x0202, 4, 1, len(THUMBNAIL), 0)
    return data[:link] + struct.pack(order + "I", len(data)) + data[link + 4:] + entries + THUMBNAIL


def check_exif(path, size=(32, 20)):
    """`size`: width and height."""
    with Image.open(path) as image:
        exif = image.getexif()
        assert image.size == size
        assert exif.get(0x0112, 1) == 1 and (exif[0x010F], exif[0x013B]) == ("Camera", "Ann")
        assert exif[0x0132] == "2024:05:06 07:08:09"
        sub, gps = exif.get_ifd(EXIF), exif.get_ifd(GPS)
        assert sub[0x9003] == "2024:05:06 07:08:09" and sub[0x829A] == 1 / 250 and sub[0x927C] == b"maker\0note"
        assert (sub[0xA002], sub[0xA003]) == size
        assert (gps[1], gps[3]) == ("N", "E") and tuple(gps[2]) == (47, 22, 30)
        assert exif.get_ifd(1) == {}, "the thumbnail would show the hazy photo"


@pytest.mark.parametrize("source", ("a.jpg", "a.png", "a.webp"))
@pytest.mark.parametrize("target", ("b.jpg", "b.png", "b.webp", "b.tif", "b.avif"))
def test_exif_goes_into_every_kind_that_holds_it(tmp_path, source, target):
    Image.fromarray(NOISE).save(tmp_path / source, exif=b"Exif\0\0" + exif_data(), quality=95)
    photo = read_photo(tmp_path / source)
    assert photo.rgb.shape == (32, 20, 3)
    write_photo(tmp_path / target, photo)
    check_exif(tmp_path / target, (20, 32))
    assert THUMBNAIL not in (tmp_path / target).read_bytes()


@pytest.mark.parametrize("dtype", (np.uint8, np.uint16))
@pytest.mark.parametrize("compression", ("", "tiff_lzw", "tiff_adobe_deflate"))
@pytest.mark.parametrize("target", ("b.tif", "b.png"))
def test_tiff_keeps_and_hands_on_its_exif(tmp_path, dtype, compression, target):
    photo = Photo(NOISE.astype(dtype) * dtype(257 if dtype == np.uint16 else 1))
    exif = upright_exif(exif_data(1), (20, 32))
    photo = photo._replace(encoding=photo.encoding._replace(format="TIFF", compression=compression, predictor=2))
    known = photo.metadata._replace(exif=exif, xmp=XMP, dpi=(300, 300))
    write_photo(tmp_path / "a.tif", photo._replace(metadata=known))
    again = read_photo(tmp_path / "a.tif")
    assert np.array_equal(again.rgb, photo.rgb)
    write_photo(tmp_path / target, again)
    check_exif(tmp_path / target)
    last = read_photo(tmp_path / target).metadata
    assert b'dc:creator="Ann"' in last.xmp and np.allclose(last.dpi, 300, atol=0.1)


def test_exif_changes_in_nothing_but_orientation_size_and_thumbnail():
    before = exif_data()
    after = upright_exif(before, (32, 20))
    assert len(after) < len(before) and THUMBNAIL not in after
    different = [i for i in range(len(after)) if before[i] != after[i]]
    assert len(different) <= 1 + 2 * 2 + 4  # orientation, two sizes of up to two bytes, the link of four


@pytest.mark.parametrize("length", (4, 9, 40, 200))
def test_damaged_exif_is_left_out_with_a_note(tmp_path, length):
    data = exif_data()[:length]
    Image.fromarray(NOISE).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + data)
    photo = read_photo(tmp_path / "a.jpg")
    assert photo.metadata.exif == b"" and photo.notes == ("damaged EXIF data left out",)


@pytest.mark.parametrize("kind", ("jpg", "png", "webp", "tif"))
def test_xmp_is_kept_and_upright(tmp_path, kind):
    image = Image.fromarray(NOISE)
    if kind == "png":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP.decode())
        image.save(tmp_path / "a.png", pnginfo=info)
    else:
        options = {"tiffinfo": {700: XMP}} if kind == "tif" else {"xmp": XMP}
        image.save(tmp_path / f"a.{kind}", **options)
    write_photo(tmp_path / f"b.{kind}", read_photo(tmp_path / f"a.{kind}"))
    found = read_photo(tmp_path / f"b.{kind}").metadata.xmp
    assert b'dc:creator="Ann"' in found and b'tiff:Orientation="1"' in found
    assert b"<tiff:Orientation>1<" in found and b'exif:PixelXDimension="32"' in found


def test_xmp_loses_its_thumbnails():
    assert upright_xmp(b"<a><xmp:Thumbnails>old\npicture</xmp:Thumbnails></a>", (20, 32)) == b"<a></a>"


def test_xmp_states_the_upright_orientation_and_the_new_size():
    turned = b"<a tiff:Orientation='6' exif:PixelYDimension=\"9\"><tiff:ImageWidth> 9</tiff:ImageWidth></a>"
    assert upright_xmp(turned, (20, 32)) == \
        b"<a tiff:Orientation='1' exif:PixelYDimension=\"20\"><tiff:ImageWidth> 32</tiff:ImageWidth></a>"


@pytest.mark.parametrize("kind", ("jpg", "png", "tif", "bmp"))
def test_resolution_is_kept(tmp_path, kind):
    Image.fromarray(NOISE).save(tmp_path / f"a.{kind}", dpi=(300, 300))
    write_photo(tmp_path / f"b.{kind}", read_photo(tmp_path / f"a.{kind}"))
    assert np.allclose(tuple(map(float, Image.open(tmp_path / f"b.{kind}").info["dpi"])), 300, atol=0.1)


def test_comment_and_iptc_of_a_jpeg_and_texts_of_a_png_are_kept(tmp_path):
    caption = b"\x1c\x02\x78\x00\x05a lake"[:10]
    block = b"Photoshop 3.0\x008BIM" + struct.pack(">HHI", 0x0404, 0, len(caption)) + caption
    Image.fromarray(NOISE).save(tmp_path / "a.jpg", comment=b"by Ann",
                                extra=b"\xff\xed" + struct.pack(">H", len(block) + 2) + block)
    write_photo(tmp_path / "b.jpg", read_photo(tmp_path / "a.jpg"))
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.info["comment"] == b"by Ann" and image.info["photoshop"][0x0404] == caption
    assert any("IPTC left out" in note for note in write_photo(tmp_path / "c.png", read_photo(tmp_path / "a.jpg")))
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "Ann")
    info.add_itxt("Title", "Zürich")
    Image.fromarray(NOISE).save(tmp_path / "d.png", pnginfo=info)
    write_photo(tmp_path / "e.png", read_photo(tmp_path / "d.png"))
    assert Image.open(tmp_path / "e.png").text == {"Author": "Ann", "Title": "Zürich"}


def test_a_long_text_beside_the_picture_is_no_reason_to_refuse_it(tmp_path):
    import zlib

    text = b"long\0\0" + zlib.compress(b"x" * 3_000_000)
    for name, place in (("before.png", {"chunks": [(b"zTXt", text)]}), ("after.png", {"after": [(b"zTXt", text)]})):
        (tmp_path / name).write_bytes(files.png(NOISE, **place))
        photo = read_photo(tmp_path / name)
        assert np.array_equal(photo.rgb, NOISE) and photo.notes == ("a text of more than 1 MB left out",)


def test_what_a_kind_cannot_hold_is_said(tmp_path):
    Image.fromarray(NOISE).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + exif_data(), xmp=XMP)
    notes = write_photo(tmp_path / "b.bmp", read_photo(tmp_path / "a.jpg"))
    assert notes == ("EXIF left out, BMP cannot hold it", "XMP left out, BMP cannot hold it")


def test_exif_of_more_than_a_segment_is_left_out_of_a_jpeg(tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    exif[EXIF] = {0x927C: bytes(70_000)}
    Image.fromarray(NOISE).save(tmp_path / "a.png", exif=exif)
    assert write_photo(tmp_path / "b.jpg", read_photo(tmp_path / "a.png")) == ("EXIF left out, JPEG cannot hold it",)
    assert Image.open(io.BytesIO((tmp_path / "b.jpg").read_bytes())).size == (32, 20)
