"""TIFF files: tifffile writes 16 bits, which Pillow does not, and places EXIF, which Pillow does only uncompressed."""
from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
from PIL import Image, TiffImagePlugin

from .metadata import EXIF_IFD, GPS_IFD, TIFF_TEXTS
from .photo import Metadata, Photo

PREDICTOR, XMP = 317, 700
BYTE, ASCII, LONG, UNDEFINED = 1, 2, 4, 7  # types of tags
KEPT = ("tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "zstd", "lzma", "jpeg")  # that hold 8 bits


def pillow_options(compression: str, predictor: int, metadata: Metadata, quality: int) -> Dict[str, Any]:
    """Pillow's options for a TIFF file of 8 bits that is compressed as its source was, or not at all."""
    options: Dict[str, Any] = {}
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    exif = _loaded(metadata.exif)
    tags.update({tag: exif[tag] for tag in TIFF_TEXTS if exif.get(tag)})
    for tag in _directories(exif):
        tags.tagtype[_stand_in(tag)] = LONG
        tags[_stand_in(tag)] = 1
    if metadata.xmp:
        tags.tagtype[XMP] = BYTE
        tags[XMP] = metadata.xmp
    if compression in KEPT:
        options["compression"] = compression
        if compression == "jpeg":
            options["quality"] = quality
        elif predictor == 2:
            tags[PREDICTOR] = predictor
    return {**options, "tiffinfo": tags}


def write_16_bits(path: Path, pages: Sequence[np.ndarray], photos: Sequence[Photo]) -> None:
    """Write pages, each uint8 or uint16 [h, w] or [h, w, 3 or 4], with the metadata of the first photo."""
    import tifffile

    first = photos[0].metadata
    exif = _loaded(first.exif)
    tags: List[Tuple] = [(tag, ASCII, 0, str(exif[tag]), True) for tag in TIFF_TEXTS if exif.get(tag)]
    tags += [(_stand_in(tag), LONG, 1, 1, True) for tag in _directories(exif)]
    if first.xmp:
        tags.append((XMP, BYTE, len(first.xmp), first.xmp, True))
    with tifffile.TiffWriter(path, byteorder="<") as writer:
        for number, (pixels, photo) in enumerate(zip(pages, photos)):
            is_packed = photo.encoding.format == "TIFF" and photo.encoding.compression in KEPT
            writer.write(
                pixels, photometric="minisblack" if pixels.ndim == 2 else "rgb", metadata=None, software=False,
                extrasamples=["unassalpha"] if pixels.ndim == 3 and pixels.shape[2] == 4 else None,
                compression="zlib" if is_packed else None, predictor=is_packed, iccprofile=photo.icc_profile,
                resolution=photo.metadata.dpi or (1, 1), resolutionunit=2 if photo.metadata.dpi else 1,
                extratags=tags if number == 0 else ())
    place_exif(path, first.exif)


def place_exif(path: Path, exif: bytes) -> None:
    """Write the EXIF and GPS directories to the end of the file, and their places in the place of the stand-ins."""
    import tifffile

    for tag, values in _directories(_loaded(exif)).items():
        with open(path, "r+b") as file:
            place = file.seek(0, 2)
            place += file.write(bytes(place % 2))
            directory = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
            for key, value in values.items():
                if isinstance(value, bytes):
                    directory.tagtype[key] = UNDEFINED
                directory[key] = value
            file.write(directory.tobytes(place))
        with tifffile.TiffFile(path, mode="r+") as file:
            for page in file.pages:
                entry = getattr(page, "tags", {}).get(_stand_in(tag))
                if entry is not None:
                    entry.overwrite(place)
                    file.filehandle.seek(entry.offset)
                    file.filehandle.write(struct.pack("<H", tag))


def _loaded(exif: bytes) -> Image.Exif:
    loaded = Image.Exif()
    if exif:
        loaded.load(b"Exif\0\0" + exif)
    return loaded


def _directories(exif: Image.Exif) -> Dict[int, Dict[int, Any]]:
    return {tag: dict(directory) for tag in (EXIF_IFD, GPS_IFD) if (directory := exif.get_ifd(tag))}


def _stand_in(tag: int) -> int:
    """A number that no tag has and that sorts where `tag` does. No library writes the places of directories."""
    return tag - 1
