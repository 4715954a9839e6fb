"""Photo files of every kind -> Photo. docs/formats.md lists the kinds."""
from __future__ import annotations

import contextlib
import sys
import threading
import warnings
from pathlib import Path
from typing import Any, Dict, Generator, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np
from PIL import Image, ImageOps, JpegImagePlugin, PngImagePlugin

from ..errors import InputError, one_line
from ..files import PathLike
from . import colour, formats, metadata, png, tiff
from .bits import stated_bits
from .icc import D65, SRGB_PRIMARIES, build_profile
from .photo import Encoding, Metadata, Photo

ORIENTATION = 0x0112  # EXIF tag; the values 5 to 8 exchange width and height
GREY_MODES = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")
ALPHA_MODES = ("LA", "PA", "RGBA", "La", "RGBa")
LONGEST_TEXT = 2**20  # bytes of a PNG's text; Pillow refuses to read longer ones
LARGEST_DPI = 65535  # what JPEG can state
ADOBE_RGB = (SRGB_PRIMARIES[0], (0.21, 0.71), SRGB_PRIMARIES[2])
TIFF_TEXTS = (270, 271, 272, 305, 306, 315, 33432)  # description, make, model, software, date, artist, copyright
TIFF_DIRECTORIES = (34665, 34853)  # EXIF and GPS
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_limit_lock = threading.Lock()


class Header(NamedTuple):
    """What the header of a file tells."""

    height: int  # after reading, upright
    width: int
    pictures: int
    has_alpha: bool


def read_photo(path: PathLike, max_pixels: Optional[int] = None) -> Photo:
    """Read the first picture of a file, upright and in sRGB, with all that a similar file needs.

    Args:
        max_pixels: the largest number of pixels to accept. None: Pillow's limit against decompression bombs.

    Raises: InputError if the file is missing, truncated, of no kind that is read here, or larger than the limit.
    """
    with contextlib.closing(read_pictures(path, max_pixels)) as pictures:
        return next(pictures)


def read_pictures(path: PathLike, max_pixels: Optional[int] = None) -> Generator[Photo, None, None]:
    """As `read_photo`, for all frames of an animation or all pages of a TIFF file."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        yield from _pictures(path, max_pixels)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(f"{path}: {one_line(error)}; raise --max_pixels to accept it") from None
    except tiff.Refused as error:
        raise InputError(f"{path}: {one_line(error)}") from None
    except InputError:
        raise
    except Exception as error:  # on damaged files the libraries raise anything: struct.error, TypeError ...
        raise InputError(f"{path}: cannot be read as an image ({one_line(error)[:300]})") from None


def read_header(path: PathLike) -> Optional[Header]:
    """The header of a photo. None if it cannot be read, or only with the pixels."""
    try:
        path = Path(path)
        if formats.kind_of(path) is formats.RAW:
            return None
        if _starts_with(path, tiff.MAGIC):
            found = Header(*tiff.read_size(path))
            return found if found.height * found.width <= pixel_limit(None) else None
        _prepare(path)
        with _open(path, None) as opened:
            turned = opened.getexif().get(ORIENTATION, 1) >= 5
            height, width = opened.size if turned else opened.size[::-1]
            return Header(height, width, getattr(opened, "n_frames", 1), _has_alpha(opened))
    except Exception:  # read_photo will report it
        return None


def image_size(path: PathLike) -> Optional[Tuple[int, int]]:
    """(height, width) of a photo after reading, from the header of the file. None if the header cannot be read."""
    header = read_header(path)
    return header and header[:2]


def photo_of(image: Image.Image) -> Photo:
    """The photo of an image in memory, upright and in sRGB."""
    return _photo(ImageOps.exif_transpose(image), image.info.get("icc_profile"))


def pixel_limit(max_pixels: Optional[int]) -> int:
    """The number of pixels to accept; None or 0 is Pillow's limit."""
    with _limit_lock:  # another thread may have changed it
        return max_pixels or Image.MAX_IMAGE_PIXELS or sys.maxsize


def _pictures(path: Path, max_pixels: Optional[int]) -> Iterator[Photo]:
    if formats.kind_of(path) is formats.RAW:
        yield _developed(path, pixel_limit(max_pixels))
    elif _starts_with(path, tiff.MAGIC):
        numbers = tiff.page_numbers(path)
        for number in numbers:
            yield _tiff_page(path, number, max_pixels)._replace(pictures=len(numbers))
    else:
        _prepare(path)
        with _open(path, max_pixels) as opened:
            count = getattr(opened, "n_frames", 1)
            for number in range(count):
                opened.seek(number)
                photo = _picture(path, opened)
                yield photo._replace(pictures=count)


def _starts_with(path: Path, magic: Tuple[bytes, ...]) -> bool:
    with open(path, "rb") as file:
        return file.read(4) in magic


def _prepare(path: Path) -> None:
    """Teach Pillow the format of `path` if a package does. Raises: InputError naming what is not installed."""
    kind = formats.kind_of(path)
    with open(path, "rb") as file:
        head = file.read(64)
    if head[4:8] == b"ftyp":  # a file of ISO's base media format says what it is; a phone's .jpg may be HEIC
        if head[8:12] in HEIC_BRANDS:
            kind = formats.HEIC
        if b"avif" in head or b"avis" in head:
            kind = formats.AVIF
    if kind is not None and not formats.is_read(kind):
        raise InputError(f"{path}: {kind.name} is not read by this installation; {kind.remedy}")
    if kind is formats.HEIC:
        import pillow_heif

        pillow_heif.register_heif_opener()


@contextlib.contextmanager
def _open(path: Path, max_pixels: Optional[int]) -> Iterator[Image.Image]:
    """Open an image. Above its limit, up to twice the limit, Pillow only warns; here this is an error."""
    with _limit_lock:  # limit and warnings are global, and several threads decode
        PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY  # long texts beside the picture do no harm
        standard = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = max_pixels or standard
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                opened = Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = standard
    with opened:
        yield opened


def _picture(path: Path, opened: Image.Image) -> Photo:
    """The current picture of an opened file."""
    info = dict(opened.info)  # before Pillow changes it
    profile, note = _profile(path, opened)
    header = png.read_header(path) if opened.format == "PNG" else None
    if header and header.bits == 16 and opened.mode in ("RGB", "RGBA", "LA") and getattr(opened, "n_frames", 1) == 1:
        opened.load()  # finds damage that OpenCV passes over
        turn = opened.getexif().get(ORIENTATION, 1)
        rgb, alpha = png.read_16_bits(path)
        photo = _photo16(upright(rgb, turn), None if alpha is None else upright(alpha, turn), header.is_grey, profile)
    else:
        photo = _photo(ImageOps.exif_transpose(opened), profile)
    known, left_out = _metadata(opened, info, photo)
    bits = stated_bits(path, opened.format or "")
    lost = f"{bits} bits became 8" if bits > 8 and photo.rgb.dtype == np.uint8 else ""
    notes = [text for text in (note, *photo.notes, lost, *left_out) if text]
    return photo._replace(metadata=known, encoding=_encoding(path, opened), notes=tuple(notes))


def _photo(image: Image.Image, profile: Optional[bytes]) -> Photo:
    """An upright image with the profile of its colours -> Photo of 8 bits, or of 16 for grey of 16."""
    is_grey = image.mode in GREY_MODES
    if image.mode.startswith("I") or image.mode == "F":
        return _photo16(*_deep_grey(image), is_grey, profile)
    alpha = None
    if _has_alpha(image):
        image = image.convert("RGBA")
        alpha = np.array(image.getchannel("A"))
        image = image.convert("RGB")
    if is_grey:
        image = image.convert("L")
    elif image.mode != "CMYK":
        image = image.convert("RGB")
    rgb, result_profile, note = colour.convert(image, profile)
    return Photo(rgb, alpha, is_grey, None if is_grey else result_profile, notes=(note,) if note else ())


def _photo16(rgb: np.ndarray, alpha: Optional[np.ndarray], is_grey: bool, profile: Optional[bytes]) -> Photo:
    converted = colour.convert16(rgb, profile)
    if alpha is not None and converted.rgb.dtype == np.uint8:
        alpha = to_8_bits(alpha)
    icc_profile = None if is_grey else converted.icc_profile
    return Photo(converted.rgb, alpha, is_grey, icc_profile, notes=(converted.note,) if converted.note else ())


def _deep_grey(image: Image.Image) -> Tuple[np.ndarray, Optional[np.ndarray]]:
    """Grey of 16 bits, or floats in 0..1 -> uint16 RGB[h, w, 3] and alpha. Pillow's own conversion clips the values."""
    values = np.asarray(image, dtype=np.float64)
    scale = 65535.0 if image.mode == "F" else 1.0
    if not (values.min() >= 0 and values.max() * scale <= 65535):
        raise ValueError(f"grey values from {values.min():g} to {values.max():g}, whose white is not known")
    grey = np.rint(values * scale).astype(np.uint16)
    transparent = image.info.get("transparency")
    alpha = np.where(grey == transparent, 0, 65535).astype(np.uint16) if isinstance(transparent, int) else None
    return np.repeat(grey[..., None], 3, axis=-1), alpha


def to_8_bits(pixels: np.ndarray) -> np.ndarray:
    """uint8 or uint16 -> uint8, rounded."""
    return pixels if pixels.dtype == np.uint8 else ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn and mirror [h, w, ...] as the EXIF orientation says."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ALPHA_MODES or "transparency" in image.info


def _profile(path: Path, opened: Image.Image) -> Tuple[Optional[bytes], str]:
    """The colour profile of a file, or of what else states its colours, and a note."""
    profile = opened.info.get("icc_profile") or None
    header = png.read_header(path) if opened.format == "PNG" else None
    if header is not None:
        return png.stated_profile(header, profile)
    numbers = opened.info.get("nclx_profile")  # of pillow-heif
    if profile is None and isinstance(numbers, dict):
        return png.cicp_profile(int(numbers["color_primaries"]), int(numbers["transfer_characteristics"]))
    if profile is None and opened.mode == "RGB" and metadata.says_adobe_rgb(opened.info.get("exif", b"")):
        return build_profile("Adobe RGB", ADOBE_RGB, D65, lambda stored: np.power(stored, 563 / 256)), ""
    return profile, ""


def _metadata(opened: Image.Image, info: Dict[Any, Any], photo: Photo) -> Tuple[Metadata, List[str]]:
    """What the file says beside the pixels, for the upright photo, and what of it was left out."""
    size, left_out = (photo.rgb.shape[0], photo.rgb.shape[1]), []
    texts = getattr(opened, "text", {}) if opened.format == "PNG" else {}
    exif, xmp = info.get("exif") or b"", info.get("xmp") or texts.get("XML:com.adobe.xmp", b"")
    if not exif and "Raw profile type exif" in texts:
        exif = opened.getexif().tobytes()
    try:
        exif = exif and metadata.upright_exif(exif, size, any("became sRGB" in note for note in photo.notes))
    except ValueError:
        exif = b""
        left_out.append("damaged EXIF data left out")
    kept = [(key, text) for key, text in metadata.png_texts(texts) if len(text) < LONGEST_TEXT]
    if len(kept) < len(list(metadata.png_texts(texts))):
        left_out.append("a text of more than 1 MB left out")
    resources = info.get("photoshop")
    iptc = resources.get(0x0404, b"") if isinstance(resources, dict) else b""
    comment = info.get("comment") or b""
    known = Metadata(exif, metadata.upright_xmp(_as_bytes(xmp), size), iptc if isinstance(iptc, bytes) else b"",
                     _dpi(info), _as_bytes(comment), tuple(kept))
    return known, left_out


def _as_bytes(value: Any) -> bytes:
    return value.encode("utf-8", "replace") if isinstance(value, str) else value if isinstance(value, bytes) else b""


def _dpi(info: Dict[Any, Any]) -> Optional[Tuple[float, float]]:
    """The resolution, or None if there is none or it makes no sense."""
    try:
        across, down = (float(number) for number in info["dpi"])
        return (across, down) if 1 < across <= LARGEST_DPI and 1 < down <= LARGEST_DPI else None
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def _encoding(path: Path, opened: Image.Image) -> Encoding:
    kind = "JPEG" if opened.format == "MPO" else opened.format or ""
    encoding = Encoding(kind, duration=float(opened.info.get("duration") or 0), loop=opened.info.get("loop"))
    if kind == "JPEG":
        sampling = JpegImagePlugin.get_sampling(opened)
        return encoding._replace(subsampling=sampling if sampling >= 0 else None,
                                 is_progressive=bool(opened.info.get("progressive")))
    if kind == "WEBP":
        with open(path, "rb") as file:
            return encoding._replace(is_lossless=b"VP8L" in _riff_names(file.read()))
    return encoding


def _riff_names(data: bytes) -> List[bytes]:
    """The names of the chunks of a WebP file, and of those in its frames."""
    names, place = [], 12
    while place + 8 <= len(data):
        names.append(data[place:place + 4])
        length = int.from_bytes(data[place + 4:place + 8], "little")
        place += 8 + (16 if names[-1] == b"ANMF" else length + length % 2)  # the chunks of a frame follow its header
    return names


def _tiff_page(path: Path, number: int, max_pixels: Optional[int]) -> Photo:
    samples = tiff.read_page(path, number, pixel_limit(max_pixels))
    facts = tiff.read_facts(path, number)
    if samples is None:
        with _open(path, max_pixels) as opened:
            opened.seek(number)
            photo = _photo(ImageOps.exif_transpose(opened), facts.icc_profile)
    else:
        turn = facts.orientation
        alpha = None if samples.alpha is None else upright(samples.alpha, turn)
        photo = _photo16(upright(samples.rgb, turn), alpha, samples.is_grey, facts.icc_profile)
        photo = photo._replace(notes=photo.notes + ((samples.note,) if samples.note else ()))
    size = photo.rgb.shape[0], photo.rgb.shape[1]
    known = Metadata(_tiff_exif(path), metadata.upright_xmp(facts.xmp, size), dpi=facts.dpi)
    return photo._replace(metadata=known, encoding=Encoding("TIFF", compression=facts.compression,
                                                            predictor=facts.predictor))


def _tiff_exif(path: Path) -> bytes:
    """The EXIF data of a TIFF file, whose first directory holds the picture too. Damaged data are left out."""
    found, result = Image.Exif(), Image.Exif()
    try:
        with open(path, "rb") as file:
            found.load_from_fp(file)
            for tag in TIFF_TEXTS:
                text = found.get(tag)
                if text and not str(text).startswith(('{"shape"', "ImageJ=")):  # of programs, about the pixels
                    result[tag] = text
            for tag in TIFF_DIRECTORIES:
                directory = found.get_ifd(tag)
                if directory:
                    result.get_ifd(tag).update(directory)
            return result.tobytes()[6:] if len(result) or any(result.get_ifd(tag) for tag in TIFF_DIRECTORIES) else b""
    except Exception:  # as for damaged pixels
        return b""


def _developed(path: Path, max_pixels: int) -> Photo:
    """A camera raw file, developed with its white balance. Raises: InputError if rawpy is not installed."""
    if not formats.is_read(formats.RAW):
        raise InputError(f"{path}: {formats.RAW.name} is not read by this installation; {formats.RAW.remedy}")
    import rawpy

    with rawpy.imread(str(path)) as raw:
        if raw.sizes.width * raw.sizes.height > max_pixels:
            raise InputError(f"{path}: {raw.sizes.width * raw.sizes.height} pixels exceed the limit of {max_pixels}; "
                             "raise --max_pixels to accept it")
        rgb = raw.postprocess(use_camera_wb=True, output_bps=16, gamma=(2.4, 12.92))  # sRGB's curve
    return Photo(rgb, metadata=Metadata(_tiff_exif(path)))
