"""Photos as they come out of broken cameras, cards and programs: small files of every kind, damaged by a seed."""
from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Dict, List

import numpy as np
import tifffile
from PIL import Image, ImageCms, features

import files
from src.data.icc import D65, build_profile, srgb_decoded
from src.data.png import P3

EXTREMES = (b"\0\0", b"\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\x01")
HEADER = 600  # bytes in which most damage is done: sizes, tables, EXIF and ICC stand there


def originals() -> Dict[str, bytes]:
    """Whole files by name, 24x20 px, with EXIF and a colour profile where the format has them."""
    rgb = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 24, 3)).astype(np.uint8))
    grey, alpha = rgb.convert("L"), rgb.copy()
    alpha.putalpha(grey)
    sixteen = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    facts = {"exif": _exif(), "icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()}
    return {
        "rgb.png": _file(rgb, "PNG", **facts), "alpha.png": _file(alpha, "PNG", **facts),
        "palette.png": _file(rgb.quantize(16), "PNG", transparency=3), "sixteen.png": _file(sixteen, "PNG"),
        "rgb.jpg": _file(rgb, "JPEG", **facts), "progressive.jpg": _file(rgb, "JPEG", progressive=True, **facts),
        "grey.jpg": _file(grey, "JPEG", exif=facts["exif"]), "cmyk.jpg": _file(rgb.convert("CMYK"), "JPEG"),
        "plain.tif": _file(rgb, "TIFF", **facts), "packed.tif": _file(rgb, "TIFF", compression="tiff_lzw"),
        "sixteen.tif": _file(sixteen, "TIFF", exif=facts["exif"]),
        "lossy.webp": _file(rgb, "WEBP", **facts), "lossless.webp": _file(alpha, "WEBP", lossless=True, **facts),
        "palette.gif": _file(rgb.quantize(16), "GIF"), "rgb.bmp": _file(rgb, "BMP"), "grey.bmp": _file(grey, "BMP"),
    }


def odd_originals() -> Dict[str, bytes]:
    """More whole files, of the kinds and colour spaces that ascend310_infer does not read or not convert."""
    pixels = np.random.default_rng(1).integers(0, 65536, (20, 24, 3)).astype(np.uint16)
    rgb = Image.fromarray((pixels >> 8).astype(np.uint8))
    frames = {"save_all": True, "append_images": [Image.fromarray(np.asarray(rgb)[::-1])], "duration": 100}
    p3 = build_profile("Display P3", P3, D65, srgb_decoded)
    found = {
        "deep.png": files.png(pixels), "gamma.png": files.png(pixels, [(b"gAMA", struct.pack(">I", 55556))]),
        "cicp.png": files.png(np.asarray(rgb), [(b"cICP", bytes((9, 16, 0, 1)))]),
        "text.png": files.png(np.asarray(rgb), [(b"zTXt", b"a\0\0" + zlib.compress(b"x" * 2_000_000))]),
        "animated.png": _file(rgb, "PNG", **frames), "animated.webp": _file(rgb, "WEBP", **frames),
        "animated.gif": _file(rgb, "GIF", **frames), "pages.tif": _file(rgb, "TIFF", **frames),
        "p3.jpg": _file(rgb, "JPEG", icc_profile=p3, exif=_exif(), xmp=b'<a tiff:Orientation="6"/>'),
        "press.jpg": _file(rgb.convert("CMYK"), "JPEG", icc_profile=files.cmyk_profile(255, 128)),
        "plane.tif": _tiff(np.moveaxis(pixels, -1, 0).copy(), photometric="rgb", planarconfig="separate",
                           iccprofile=p3),
        "deflate.tif": _tiff(pixels, photometric="rgb", compression="zlib", predictor=True),
        "white.tif": _tiff(pixels[..., 0].copy(), photometric="miniswhite"),
        "float.tif": _tiff((pixels / 65535).astype(np.float32), photometric="rgb"),
        "twelve.tif": files.tiff((20, 24, 3), 12, files.packed(pixels >> 4, 12), 2),
        "long.tif": _tiff(pixels.astype(np.uint32) * 65537, photometric="rgb"),
        "rgb.jp2": _file(rgb, "JPEG2000"), "rgb.ppm": _file(rgb, "PPM"), "rgb.tga": _file(rgb, "TGA"),
    }
    if features.check("avif"):
        found["rgb.avif"] = _file(rgb, "AVIF", exif=_exif())
    return found


def write_mutated(folder: Path, each: int, suffixes=(), seed: int = 0, wholes=None) -> List[Path]:
    """Write `each` damaged copies of every original as NUMBER_NAME into the folder. Returns: their paths.

    suffixes: of the originals to take; none for all. wholes: the originals, those of `originals` unless given.
    """
    rng, paths = np.random.default_rng(seed), []
    for name, whole in (originals() if wholes is None else wholes).items():
        if suffixes and Path(name).suffix not in suffixes:
            continue
        for number in range(each):
            paths.append(folder / f"{number}_{name.replace('.', '_')}{Path(name).suffix}")
            paths[-1].write_bytes(damaged(whole, rng))
    return paths


def damaged(whole: bytes, rng: np.random.Generator, header: int = HEADER) -> bytes:
    """Bytes changed in the header or the EXIF data, some extreme numbers there, an end missing, or all of these."""
    data = bytearray(whole)
    exif = whole.find(b"MM\0*", 1)  # none before it in a TIFF file, which begins so
    for _ in range(rng.integers(1, 5)):
        start, stop = (exif, exif + 160) if exif > 0 and rng.random() < 0.5 else (0, header)
        place = int(rng.integers(start, min(stop, len(data))))
        new = EXTREMES[rng.integers(len(EXTREMES))] if rng.random() < 0.4 else rng.bytes(1)
        data[place:place + len(new)] = new
    if rng.random() < 0.2:
        del data[int(rng.integers(len(data))):]
    return _with_checksums(bytes(data)) if whole.startswith(b"\x89PNG") else bytes(data)


def _with_checksums(data: bytes) -> bytes:
    """A PNG file whose chunks have right checksums again: without them, nothing behind them would be read."""
    result, place = data[:8], 8
    while place + 12 <= len(data):
        length = int.from_bytes(data[place:place + 4], "big")
        if place + 12 + length > len(data):
            break
        chunk = data[place + 4:place + 8 + length]
        result += data[place:place + 4] + chunk + struct.pack(">I", zlib.crc32(chunk))
        place += 12 + length
    return result + data[place:]


def _exif() -> bytes:
    """A turned photo with values of several types."""
    exif = Image.Exif()
    exif.endian = ">"
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "Camera", 72.5
    exif.get_ifd(0x8769)[0x829A] = 0.01
    return exif.tobytes()


def _tiff(pixels: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, metadata=None, **options)
    return file.getvalue()


def _file(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
