"""Fixtures that all tests share."""
import importlib.util
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import needs

ROOT = Path(__file__).resolve().parent.parent

SHARED = ROOT.parent / "shared"


def pytest_collection_modifyitems(items):
    """Files with many slow tests come first, so that processes that share the files end at about the same time."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])  # the order within a file stays


def pytest_terminal_summary(terminalreporter, config):
    """Have what is missing printed after the last line of pytest, where everybody looks."""
    lines = needs.last_lines([report.longrepr[2] for report in terminalreporter.getreports("skipped")])
    config.add_cleanup(lambda: [print(line) for line in lines])


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """Skip a test file that imports MindSpore where there is none."""
    return skipped_without_mindspore((yield), collector.path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Skip a test that turns out to need MindSpore where there is none."""
    return skipped_without_mindspore((yield), item.path)


def skipped_without_mindspore(report, path):
    if report.failed and importlib.util.find_spec("mindspore") is None and needs.names_mindspore(str(report.longrepr)):
        report.outcome, report.longrepr = "skipped", (str(path), 0, needs.MINDSPORE)
    return report


@pytest.fixture(scope="session")
def golden_gitee():
    """Numbers from the model-zoo reference, see tests/golden/README.md."""
    return dict(np.load(ROOT / "tests/golden/gitee.npz"))


@pytest.fixture(scope="session")
def golden_official():
    """Numbers from the authors' network, see tests/golden/README.md."""
    return dict(np.load(ROOT / "tests/golden/official.npz"))


@pytest.fixture(scope="session")
def shared_data():
    """The folder of research photos, which are not part of the project. Without them the test is skipped."""
    if not (SHARED / "data").is_dir():
        pytest.skip("needs the NYU and SOTS photos in ../shared/data")
    return SHARED / "data"


@pytest.fixture(autouse=True, scope="module")
def usual_mode():
    """Set MindSpore's default mode after each file, because train.py switches the process to graph mode."""
    yield
    if "mindspore" in sys.modules:
        mindspore = sys.modules["mindspore"]
        mindspore.set_context(mode=mindspore.PYNATIVE_MODE)


@pytest.fixture
def mode_kept():
    """Restore MindSpore's mode after the test. An exported model switches the process to graph mode."""
    import mindspore

    mode = mindspore.get_context("mode")
    yield
    mindspore.set_context(mode=mode)


@pytest.fixture(scope="session")
def random_checkpoint(tmp_path_factory):
    """A checkpoint of arch gitee with random weights. It dehazes nothing, but runs like a trained one."""
    import mindspore

    from src.network.aecrnet import Dehaze
    from src.network.checkpoint import describe, save_checkpoint

    mindspore.set_seed(1)
    net = Dehaze()
    path = tmp_path_factory.mktemp("random") / "random.ckpt"
    save_checkpoint(path, net.parameters_dict(), describe(net, step=0))
    return path
