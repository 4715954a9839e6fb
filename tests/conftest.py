"""Fixtures that all tests share."""
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

SHARED = ROOT.parent / "shared"


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
