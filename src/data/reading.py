"""Photo files of every kind -> Photo. docs/formats.md lists the kinds."""
from __future__ import annotations

import contextlib
import sys
import threading
import warnings
from pathlib import Path
from typing import Generator, Iterator, NamedTuple, Optional, Tuple

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from ..errors import InputError, one_line
from ..files import PathLike, mistaken_download
from . import formats, metadata, png, tiff
from .beside_pixels import encoding_of, metadata_of, profile_of, tiff_exif
from .bits import stated_bits
from .photo import Encoding, Metadata, Photo
from .pixels import has_alpha, photo_in_srgb, photo_of_16_bits, to_8_bits, upright

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
        raise InputError(f"{path}: cannot be read as an image ({_reason(path, error)})") from None


def _reason(path: Path, error: Exception) -> str:
    """What is wrong with a file that a library refused."""
    with open(path, "rb") as file:
        mistake = mistaken_download(file.read(1000))
    if mistake:
        return mistake
    if isinstance(error, UnidentifiedImageError) or type(error).__name__ == "LibRawFileUnsupportedError":
        kind = formats.kind_of(path)
        return f"damaged at its beginning, or no {kind.name if kind else 'image'}; copy it anew from its source"
    text = error.args[0] if error.args else None
    return (text.decode("utf-8", "replace") if isinstance(text, bytes) else one_line(error))[:300]  # rawpy's are bytes


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
            turned = opened.getexif().get(metadata.ORIENTATION, 1) >= 5
            height, width = opened.size if turned else opened.size[::-1]
            return Header(height, width, getattr(opened, "n_frames", 1), has_alpha(opened))
    except Exception:  # read_photo will report it
        return None


def image_size(path: PathLike) -> Optional[Tuple[int, int]]:
    """(height, width) of a photo after reading, from the header of the file.

    None if the header cannot be read, or is damaged and claims a side of 0.
    """
    header = read_header(path)
    return header[:2] if header and min(header[:2]) > 0 else None


def photo_of(image: Image.Image) -> Photo:
    """The photo of an image in memory, upright and in sRGB."""
    return photo_in_srgb(ImageOps.exif_transpose(image), image.info.get("icc_profile"))


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
            first = int(count > 1 and getattr(opened, "default_image", False))  # of a PNG, for viewers of no animations
            for number in range(first, count):
                opened.seek(number)
                photo = _picture(path, opened)
                yield photo._replace(pictures=count - first)


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
    profile, note = profile_of(path, opened)
    header = png.read_header(path) if opened.format == "PNG" else None
    if header and header.bits == 16 and opened.mode in ("RGB", "RGBA", "LA") and getattr(opened, "n_frames", 1) == 1:
        opened.load()  # finds damage that OpenCV passes over
        turn = opened.getexif().get(metadata.ORIENTATION, 1)
        rgb, alpha = png.read_16_bits(path)
        alpha = None if alpha is None else upright(alpha, turn)
        photo = photo_of_16_bits(upright(rgb, turn), alpha, header.is_grey, profile)
    else:
        photo = photo_in_srgb(ImageOps.exif_transpose(opened), profile)
    known, left_out = metadata_of(opened, info, photo)
    bits = stated_bits(path, opened.format or "")
    lost = f"{bits} bits became 8" if bits > 8 and photo.rgb.dtype == np.uint8 else ""
    notes = [text for text in (note, *photo.notes, lost, *left_out) if text]
    return photo._replace(metadata=known, encoding=encoding_of(path, opened), notes=tuple(notes))


def _tiff_page(path: Path, number: int, max_pixels: Optional[int]) -> Photo:
    samples = tiff.read_page(path, number, pixel_limit(max_pixels))
    facts = tiff.read_facts(path, number)
    if samples is None:
        with _open(path, max_pixels) as opened:
            opened.seek(number)
            photo = photo_in_srgb(ImageOps.exif_transpose(opened), facts.icc_profile)
    else:
        turn = facts.orientation
        alpha = None if samples.alpha is None else upright(samples.alpha, turn)
        photo = photo_of_16_bits(upright(samples.rgb, turn), alpha, samples.is_grey, facts.icc_profile)
        if facts.bits == 8:
            photo = photo._replace(rgb=to_8_bits(photo.rgb), alpha=None if alpha is None else to_8_bits(alpha))
    size = photo.rgb.shape[0], photo.rgb.shape[1]
    known = Metadata(tiff_exif(path), metadata.upright_xmp(facts.xmp, size), dpi=facts.dpi)
    bits = photo.rgb.dtype.itemsize * 8
    lost = [f"{facts.bits} bits became {bits}"] if facts.bits > bits else []
    lost += [f"{facts.left_out} extra channels left out"] if facts.left_out else []
    return photo._replace(metadata=known, notes=(*photo.notes, *lost), encoding=Encoding(
        "TIFF", compression=facts.compression, predictor=facts.predictor))


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
    return Photo(rgb, metadata=Metadata(tiff_exif(path)))
