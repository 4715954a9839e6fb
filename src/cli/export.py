"""Export a checkpoint as MINDIR, AIR or ONNX, and check the exported model.

    python export.py --file_format MINDIR
    python export.py --file_format MINDIR --dynamic --lite2 --file_name output/aecrnet
    python export.py --file_format ONNX --dynamic
    python export.py --file_format ONNX --web
    python export.py --ckpt_path ckpt/aecrnet_best.ckpt --image_height 512 --image_width 512

Height and width are rounded up to multiples of 4. eval.py and ascend310_infer/ mirror smaller images up to the size of
the model. N.json beside N.mindir describes the model's input and output. N.onnx holds this description itself.
"""
from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Iterator, List, Optional, Tuple

import psutil

from ..dehaze.dehazer import find_checkpoint
from ..errors import InputError, UsageError
from ..files import make_output_folder, sha256
from ..runtime.opening import open_mindir
from ..runtime.sidecar import write_sidecar
from ..spec import TOLERANCE, align_up
from ..web.folder import find_npm, write_web
from . import config

SECTIONS = ("device", "export")
BYTES_A_PIXEL = 8000  # memory for writing and comparing the model

Size = Optional[Tuple[int, int]]  # height and width; None where they are open


def main(argv: Optional[List[str]] = None) -> int:
    options = config.parse(sys.argv[1:] if argv is None else argv, SECTIONS, __doc__.splitlines()[0])
    check(options)
    is_open = options.dynamic or options.web
    size = None if is_open else (align_up(options.image_height), align_up(options.image_width))
    path = Path(f"{options.file_name}.{options.file_format.lower()}")
    make_output_folder(path.parent, "--file_name")
    checkpoint = find_checkpoint(options.ckpt_path or None)

    import mindspore  # a slow import, so flags and files are checked first

    from ..device import select_device
    from ..export.comparison import compare
    from ..export.mindir import write_model
    from ..network.checkpoint import load_network

    select_device(options.device_target, options.device_id)
    # the checkpoint runs once, which is not worth the memory of a graph
    mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
    net, _ = load_network(checkpoint)
    if options.file_format == "ONNX":
        export_onnx(net, path, size, checkpoint, options)
        return 0
    with tried(path) as candidate:
        write_model(net, candidate, options.file_format, size, sha256(checkpoint))
        if options.file_format == "MINDIR":
            found = compare(net, open_mindir(candidate), TOLERANCE)
        else:
            found = [f"not compared with the checkpoint: MindSpore loads MINDIR only, not {options.file_format}"]
    print("\n".join([written(path, net, size, checkpoint, options), *found]))
    if options.lite2:
        write_for_lite(path, net.arch, size, sha256(checkpoint))
    return 0


@contextlib.contextmanager
def tried(path: Path) -> Iterator[Path]:
    """Give a path for a model and its sidecar. They move to `path` when the block ends without an exception."""
    with tempfile.TemporaryDirectory(prefix=".export", dir=path.parent) as folder:
        candidate = Path(folder) / path.name
        try:
            yield candidate
        except InputError as error:
            raise InputError(str(error).replace(str(candidate), str(path))) from None
        for suffix in (path.suffix, ".json"):
            os.replace(candidate.with_suffix(suffix), path.with_suffix(suffix))


def export_onnx(net, path: Path, size: Size, checkpoint: Path, options: SimpleNamespace) -> None:
    """Write the model if it equals the checkpoint; otherwise write no file."""
    from ..export.onnx import checked_model, write_onnx

    model = checked_model(net, sha256(checkpoint), size, options.onnx_dcn, options.half)
    found = write_onnx(net, path, model, options.half)
    print("\n".join([written(path, net, size, checkpoint, options), *found]))
    if options.web:
        folder = path.with_name(f"{path.stem}_web")
        write_web(path, folder)
        print(f"{folder}: the web page, for any web server; here: python -m http.server -d {folder}")


def written(path: Path, net, size: Size, checkpoint: Path, options: SimpleNamespace) -> str:
    return f"{path}: {net.arch} from {checkpoint}, {shape_text(size, options)}, {path.stat().st_size / 1e6:.1f} MB"


def check(options: SimpleNamespace) -> None:
    """Find mistakes before MindSpore is imported. Raises: UsageError, InputError where a package is missing."""
    for flag in ("image_height", "image_width"):
        if (options.dynamic or options.web) and flag in options.given:
            raise UsageError(f"--{flag} {getattr(options, flag)}: has no meaning with --dynamic or --web")
    if options.file_name.endswith("/"):
        raise UsageError(f"--file_name {options.file_name}: names a folder; write the file's name behind it")
    needed = options.image_height * options.image_width * BYTES_A_PIXEL
    available = psutil.virtual_memory().total
    if needed > available:
        raise UsageError(f"--image_height {options.image_height} --image_width {options.image_width}: exporting takes "
                         f"about {needed / 1e9:.0f} GB of memory, of which this machine has {available / 1e9:.0f}")
    if options.file_format == "AIR" and options.device_target != "Ascend":
        raise UsageError(f"--file_format AIR: can be written on Ascend only, not on {options.device_target}; "
                         "MINDIR serves CPU, GPU and Ascend")
    if options.lite2 and options.file_format != "MINDIR":
        raise UsageError(f"--lite2: needs --file_format MINDIR, not {options.file_format}")
    for flag in ("onnx_dcn", "half", "web"):
        if flag in options.given and options.file_format != "ONNX":
            raise UsageError(f"--{flag}: needs --file_format ONNX, not {options.file_format}")
    missing = [package for package in ("onnx", "onnxruntime") if importlib.util.find_spec(package) is None]
    if options.file_format == "ONNX" and missing:
        raise InputError(f"--file_format ONNX: needs packages that are not installed; pip install {' '.join(missing)}")
    if options.web:
        find_npm()


def shape_text(size: Size, options: SimpleNamespace) -> str:
    """The shape of the model's input, and the size that was rounded up to it."""
    if size is None:
        return "input [1, 3, any, any], sides in multiples of 4"
    text = f"input [1, 3, {size[0]}, {size[1]}]"
    if size == (options.image_height, options.image_width):
        return text
    return f"{text} (the next multiples of 4; {options.image_width}x{options.image_height} is mirrored up to it)"


def write_for_lite(path: Path, arch: str, size: Size, checkpoint_sha256: str) -> None:
    """The same model for MindSpore Lite 2.0.0, with its own sidecar."""
    from ..export.lite import rewrite_for_lite20

    lite = path.with_name(f"{path.stem}_lite20.mindir")
    rewrite_for_lite20(path, lite)
    write_sidecar(lite, arch, size, checkpoint_sha256)
    print(f"{lite}: the same for MindSpore Lite 2.0.0")
