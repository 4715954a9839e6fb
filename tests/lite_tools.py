"""Builds and runs the C++ programs for the tests of MindSpore Lite."""
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import needs

FOLDER = Path(__file__).resolve().parent.parent / "ascend310_infer"


@pytest.fixture(scope="session")
def lite():
    """Paths of the built C++ programs. If MindSpore Lite cannot be fetched, tests are skipped (in CI: fail)."""
    needs.need(needs.CPP)
    built = subprocess.run(["bash", str(FOLDER / "build.sh"), "--tests"], capture_output=True, text=True)
    if built.returncode:
        if "is there a network?" in built.stderr and not os.environ.get("CI"):
            pytest.skip(built.stderr.strip().splitlines()[-1])
        pytest.fail(f"ascend310_infer/build.sh --tests failed:\n{built.stderr}")
    infer = Path(built.stdout.strip())
    return SimpleNamespace(infer=infer, run_raw=infer.with_name("run_raw"))


def run_raw(lite, model, x):
    """One forward pass of the MINDIR file `model` in MindSpore Lite. Returns: a flat array."""
    source, target = model.with_suffix(".in"), model.with_suffix(".out")
    np.ascontiguousarray(x, np.float32).tofile(source)
    done = subprocess.run([str(lite.run_raw), str(model), str(source), str(target), ",".join(map(str, x.shape))],
                          capture_output=True, text=True, env={**os.environ, "GLOG_v": "3"})
    assert done.returncode == 0, done.stderr
    return np.fromfile(target, np.float32)
