"""Fixtures that all tests share."""
import sys
from pathlib import Path

import numpy as np
import pytest

import needs

ROOT = Path(__file__).resolve().parent.parent

SHARED = ROOT.parent / "shared"


def pytest_terminal_summary(terminalreporter):
    needs.skipped = sum(needs.REASON in str(report.longrepr) for report in terminalreporter.getreports("skipped"))


def pytest_unconfigure(config):
    """After pytest's own last line, where everybody looks."""
    if needs.skipped:
        print(needs.last_line())


@pytest.fixture(scope="session")
def golden_gitee():
    """Numbers of the model-zoo reference, see tests/golden/README.md."""
    return dict(np.load(ROOT / "tests/golden/gitee.npz"))


@pytest.fixture(scope="session")
def golden_official():
    """Numbers of the authors' network, see tests/golden/README.md."""
    return dict(np.load(ROOT / "tests/golden/official.npz"))


@pytest.fixture(scope="session")
def shared_data():
    """Research photos that are not part of the project; tests that need them are skipped without."""
    if not (SHARED / "data").is_dir():
        pytest.skip("needs the NYU and SOTS photos in ../shared/data")
    return SHARED / "data"


@pytest.fixture(autouse=True, scope="module")
def usual_mode():
    """train.py switches the process to graph mode; the next file's tests want MindSpore's default."""
    yield
    if "mindspore" in sys.modules:
        mindspore = sys.modules["mindspore"]
        mindspore.set_context(mode=mindspore.PYNATIVE_MODE)


@pytest.fixture
def mode_kept():
    """An exported model runs in graph mode only and switches the process to it; other tests want their own."""
    import mindspore

    mode = mindspore.get_context("mode")
    yield
    mindspore.set_context(mode=mode)


@pytest.fixture(scope="session")
def random_checkpoint(tmp_path_factory):
    """A checkpoint of arch gitee with random weights: it dehazes nothing, but runs like a trained one."""
    import mindspore

    from src.aecrnet import Dehaze
    from src.checkpoint import describe, save_checkpoint

    mindspore.set_seed(1)
    net = Dehaze()
    path = tmp_path_factory.mktemp("random") / "random.ckpt"
    save_checkpoint(path, net.parameters_dict(), describe(net, step=0))
    return path
