"""The Python API takes the forms in which programs hold images, several threads at once, and says no after a fork."""
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from halving import HalvingNetwork
from src.data.icc import D65, build_profile, srgb_decoded
from src.data.png import P3
from src.dehaze.dehazer import Dehazer
from src.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
RGB = np.random.default_rng(0).integers(0, 128, (20, 24, 3)).astype(np.uint8) * 2
ALPHA = np.random.default_rng(1).integers(0, 256, (20, 24)).astype(np.uint8)
GREY = RGB[..., 0]


@pytest.fixture
def dehazer(tmp_path):
    return Dehazer(network=HalvingNetwork(tmp_path / "halving.ckpt"))


def test_alpha_passes_through(dehazer):
    for factor, dtype in ((1, np.uint8), (257, np.uint16)):
        given = np.dstack([RGB, ALPHA]).astype(dtype) * dtype(factor)
        found = dehazer.dehaze(given)
        assert found.dtype == dtype and np.array_equal(found[..., 3], given[..., 3])
        assert np.abs(found[..., :3].astype(float) - given[..., :3] / 2).max() <= 0.51


@pytest.mark.parametrize("shape", ((20, 24), (20, 24, 1)))
def test_grey_stays_grey(dehazer, shape):
    assert np.array_equal(dehazer.dehaze(GREY.reshape(shape)), (GREY // 2).reshape(shape))
    deep = GREY.reshape(shape).astype(np.uint16) * 257
    found = dehazer.dehaze(deep)
    assert found.dtype == np.uint16 and np.abs(found - deep / 2.0).max() <= 0.51


@pytest.mark.parametrize("mode", ("RGB", "RGBA", "L", "LA", "P", "CMYK", "1", "I;16"))
def test_pil_images_come_back_as_such(dehazer, mode):
    image = Image.fromarray(np.dstack([RGB, ALPHA]))
    given = Image.fromarray(GREY.astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    found = dehazer.dehaze(given)
    assert found.mode == {"P": "RGB", "CMYK": "RGB", "1": "L"}.get(mode, mode) and found.size == given.size
    if mode == "RGBA":
        assert np.array_equal(np.asarray(found), np.dstack([RGB // 2, ALPHA]))
    if mode in ("L", "LA"):
        assert np.array_equal(np.asarray(found.getchannel(0)), np.rint(np.asarray(given.getchannel(0)) / 2))


def test_pil_images_are_turned_upright_and_become_srgb(dehazer, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(dehazer.dehaze(Image.open(tmp_path / "a.png")), np.rot90(RGB // 2, -1))
    tinted = Image.new("RGB", (24, 20), (200, 150, 100))
    tinted.info["icc_profile"] = build_profile("Display P3", P3, D65, srgb_decoded)
    assert np.abs(np.asarray(dehazer.dehaze(tinted))[0, 0] - np.array((209, 147, 91)) / 2).max() <= 1  # by CSS Color 4


def test_one_thread_at_a_time_uses_the_network(tmp_path):
    class Fragile(HalvingNetwork):
        busy = threading.Lock()

        def __call__(self, x):
            assert self.busy.acquire(blocking=False), "two calls at once"
            time.sleep(0.01)
            self.busy.release()
            return super().__call__(x)

    dehazer = Dehazer(network=Fragile(tmp_path / "halving.ckpt"))
    with ThreadPoolExecutor(4) as pool:
        assert all(np.array_equal(found, RGB // 2) for found in pool.map(dehazer.dehaze, [RGB] * 12))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_after_a_fork_there_is_an_error_and_no_hang(dehazer, monkeypatch):
    dehazer.dehaze(RGB)
    monkeypatch.setattr(os, "getpid", lambda: -1)  # as in the child
    with pytest.raises(InputError, match="this Dehazer was made before the process forked"):
        dehazer.dehaze(RGB)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ("onnxruntime", "openvino", "mindspore"))
def test_threads_and_forks_on_each_runtime(runtime):
    """Four threads get the results of one, and both ways of using a runtime after a fork are errors."""
    pytest.importorskip(runtime)
    code = f"""
import os, sys
import numpy as np
from concurrent.futures import ThreadPoolExecutor
from src import Dehazer
from src.errors import InputError
dehazer = Dehazer(runtime={runtime!r})
images = [np.random.default_rng(i).integers(0, 256, (32 + 16 * (i % 2), 48, 3), dtype=np.uint8) for i in range(6)]
wanted = [dehazer.dehaze(image) for image in images]
with ThreadPoolExecutor(4) as pool:
    assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(wanted, pool.map(dehazer.dehaze, images)))
child = os.fork()
if not child:
    for attempt in (lambda: dehazer.dehaze(images[0]), lambda: Dehazer(runtime={runtime!r})):
        try:
            attempt()
        except InputError as error:
            assert "forked" in str(error)
        else:
            os._exit(1)
    os._exit(7)
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 7, done.stderr
