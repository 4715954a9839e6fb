"""Photo -> a file in the kind of its suffix, with all that the kind can hold. docs/formats.md lists the kinds."""
from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
from PIL import Image, PngImagePlugin

from ..errors import InputError, one_line
from ..files import PathLike, atomic_write
from . import formats, metadata, png, tiff_writing
from .photo import Photo
from .pixels import to_8_bits

QUALITY = 95  # of JPEG, WebP and AVIF
LONGEST_SEGMENT = 65500  # bytes of EXIF or XMP in a JPEG file
CODESTREAMS = (".j2k", ".j2c", ".jpc")  # JPEG 2000 without the container of .jp2
SUBSAMPLING = -1  # Pillow's number for its own choice
PNG_LEVEL = 1  # 12 megapixels take 1.3 s to write; Pillow's default of 6 takes 5.1 s and saves a sixth of the file


def write_photo(path: PathLike, photo: Photo, quality: int = QUALITY) -> Tuple[str, ...]:
    """Write a photo. A file of the kind that the photo came from is encoded as that was, `quality` aside.

    Returns: notes on what this kind cannot hold.
    Raises: InputError if the file cannot be written; an older file of that name is then left as it was.
    """
    return write_pictures(path, [photo], quality)


def write_pictures(path: PathLike, photos: Sequence[Photo], quality: int = QUALITY) -> Tuple[str, ...]:
    """As `write_photo`, for the frames of an animation or the pages of a TIFF file."""
    kind = formats.kind_of(path)
    if kind is None or not formats.is_written(kind):
        raise InputError(f"{path}: files of this kind are not written; use {' '.join(formats.suffixes_written())}")
    if not kind.has_alpha and any(photo.alpha is not None for photo in photos):
        raise InputError(f"{path}: cannot be written ({kind.name} has no transparency)")
    fitted, notes = zip(*(_fitted(photo, kind) for photo in photos))
    is_deep = fitted[0].rgb.dtype == np.uint16 and len(photos) == 1
    try:
        with atomic_write(path) as temporary:
            if kind is formats.TIFF and any(photo.rgb.dtype == np.uint16 for photo in fitted):
                tiff_writing.write_16_bits(temporary, [_pixels(photo) for photo in fitted], fitted)
            elif is_deep:
                temporary.write_bytes(png.encode_16_bits(_pixels(fitted[0]), _options(fitted[0], kind, quality)))
            else:
                _save(temporary, fitted, kind, quality)
    except Exception as error:  # an encoder also fails on a damaged colour profile
        reason = getattr(error, "strerror", None) or one_line(error)  # without the temporary name
        raise InputError(f"{path}: cannot be written ({reason})") from None
    return tuple(dict.fromkeys(note for some in notes for note in some))


def _fitted(photo: Photo, kind: formats.Kind) -> Tuple[Photo, List[str]]:
    """The photo without what `kind` cannot hold, and notes on that."""
    notes, known = [], photo.metadata
    if photo.rgb.dtype == np.uint16 and not kind.has_16_bits:
        notes.append(f"16 bits became 8, {kind.name} holds no more here")
        alpha = None if photo.alpha is None else to_8_bits(photo.alpha)
        photo = photo._replace(rgb=to_8_bits(photo.rgb), alpha=alpha)
    longest = LONGEST_SEGMENT if kind is formats.JPEG else 2**31
    if known.exif and (not kind.has_metadata or len(known.exif) > longest):
        notes.append(f"EXIF left out, {kind.name} cannot hold it")
        known = known._replace(exif=b"")
    if known.xmp and (not kind.has_metadata or len(known.xmp) > longest):
        notes.append(f"XMP left out, {kind.name} cannot hold it")
        known = known._replace(xmp=b"")
    if known.iptc and kind is not formats.JPEG:
        notes.append("IPTC left out, it is written into JPEG alone")
    if known.texts and kind is not formats.PNG:
        notes.append("texts of a PNG left out, no other kind holds them")
    if photo.icc_profile and not kind.has_profile:
        photo = photo._replace(icc_profile=None)  # the values are sRGB, which files without a profile are taken for
    return photo._replace(metadata=known), notes


def _pixels(photo: Photo) -> np.ndarray:
    """[h, w] for grey, with alpha [h, w, 4]; else [h, w, 3 or 4]."""
    if photo.is_grey:
        grey = luma(photo.rgb)
        return grey if photo.alpha is None else np.dstack([grey, grey, grey, photo.alpha])
    return photo.rgb if photo.alpha is None else np.dstack([photo.rgb, photo.alpha])


def luma(rgb: np.ndarray) -> np.ndarray:
    """RGB[h, w, 3] -> grey [h, w] of the same type (ITU-R BT.601)."""
    return np.rint(rgb @ np.array([0.299, 0.587, 0.114])).astype(rgb.dtype)


def as_pil(photo: Photo, has_alpha: bool = False) -> Image.Image:
    """The pixels as a PIL image: RGB, RGBA, L or LA; 16 bits only for grey. `has_alpha`: with alpha in any case."""
    if photo.rgb.dtype == np.uint16:
        if photo.is_grey and photo.alpha is None and not has_alpha:
            return Image.fromarray(luma(photo.rgb))
        photo = photo._replace(rgb=to_8_bits(photo.rgb), alpha=None if photo.alpha is None else to_8_bits(photo.alpha))
    image = Image.fromarray(luma(photo.rgb) if photo.is_grey else photo.rgb)
    if photo.alpha is not None:
        image.putalpha(Image.fromarray(photo.alpha))
    elif has_alpha:
        image.putalpha(255)
    return image


def _save(path: Path, photos: Sequence[Photo], kind: formats.Kind, quality: int) -> None:
    images = [as_pil(photo, any(other.alpha is not None for other in photos)) for photo in photos]
    options = _options(photos[0], kind, quality)
    if len(images) > 1:
        options.update(save_all=True, append_images=images[1:])
        if kind.several == "animation":
            options["duration"] = [round(photo.encoding.duration) for photo in photos]
            loop = photos[0].encoding.loop
            options.update({} if loop is None else {"loop": loop})
        if photos[0].alpha is not None:  # a frame must not shine through the next
            options.update({"GIF": {"disposal": 2}, "WEBP": {"kmin": 0, "kmax": 1}}.get(kind.format, {}))
    if path.suffix.lower() in CODESTREAMS:
        options["no_jp2"] = True
    file = io.BytesIO()  # into a file, encoders write on their own: on a full disk they cut it short without an error
    images[0].save(file, kind.format, **options)
    path.write_bytes(file.getbuffer())
    if kind is formats.TIFF:
        tiff_writing.place_exif(path, photos[0].metadata.exif)


def _options(photo: Photo, kind: formats.Kind, quality: int) -> Dict[str, Any]:
    """Pillow's options for a file of `kind`."""
    known, encoding = photo.metadata, photo.encoding
    is_same = encoding.format == kind.format
    options: Dict[str, Any] = {"icc_profile": photo.icc_profile} if photo.icc_profile else {}
    if known.exif and kind is not formats.TIFF:
        options["exif"] = b"Exif\0\0" + known.exif
    if known.dpi and kind.format in ("JPEG", "PNG", "TIFF", "BMP"):
        options["dpi"] = known.dpi
    if kind is formats.JPEG:
        chosen = encoding.subsampling if is_same and encoding.subsampling is not None else SUBSAMPLING
        options.update(quality=quality, subsampling=chosen, progressive=is_same and encoding.is_progressive)
        iptc = known.iptc and metadata.iptc_block(known.iptc)
        options.update(_filled(xmp=known.xmp, comment=known.comment, extra=iptc))
    elif kind is formats.PNG:
        options.update(pnginfo=_png_texts(photo), compress_level=PNG_LEVEL)
    elif kind is formats.TIFF:
        compression = encoding.compression if is_same else ""
        options.update(tiff_writing.pillow_options(compression, encoding.predictor, known, quality))
    elif kind.format == "WEBP":
        options.update(quality=quality, lossless=is_same and encoding.is_lossless, exact=photo.alpha is not None,
                       **_filled(xmp=known.xmp))
    elif kind.format == "AVIF":
        options.update(quality=quality, **_filled(xmp=known.xmp))
    elif kind.format == "GIF":
        options.update(_filled(comment=known.comment))
    return options


def _filled(**options: bytes) -> Dict[str, bytes]:
    return {key: value for key, value in options.items() if value}


def _png_texts(photo: Photo) -> PngImagePlugin.PngInfo:
    texts = PngImagePlugin.PngInfo()
    for key, text in photo.metadata.texts:
        texts.add_itxt(key, text) if not text.isascii() else texts.add_text(key, text)
    if photo.metadata.comment and "Comment" not in dict(photo.metadata.texts):
        texts.add_text("Comment", photo.metadata.comment.decode("utf-8", "replace"))
    if photo.metadata.xmp:
        texts.add_itxt("XML:com.adobe.xmp", photo.metadata.xmp.decode("utf-8", "replace"))
    return texts

