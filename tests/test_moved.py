"""Old module paths work for one release and say so. `import src` imports nothing else."""
import importlib
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import src

ROOT = Path(__file__).resolve().parent.parent
# old path -> new path and a name that users import
MOVED = {"inference": ("dehaze.dehazer", "Dehazer"), "aecrnet": ("network.aecrnet", "Dehaze"),
         "dcn": ("network.dcn", "modulated_deform_conv2d"), "fast_deconv": ("network.fast_deconv", "FastDeconv"),
         "vgg": ("train.vgg", "Vgg19"), "loss": ("train.loss", "ContrastLoss"), "metrics": ("evaluate.metrics", "psnr")}


@pytest.mark.parametrize("old", MOVED)
def test_an_old_path_is_the_new_module_and_warns(old, monkeypatch):
    new, name = MOVED[old]
    monkeypatch.delitem(sys.modules, f"src.{old}", raising=False)
    with pytest.warns(DeprecationWarning, match=rf"src\.{old} is now src\.{re.escape(new)}; .* version 0\.3") as told:
        module = importlib.import_module(f"src.{old}")
    assert module is importlib.import_module(f"src.{new}") and hasattr(module, name)
    assert len(told) == 1


def test_the_front_door_is_the_class_of_its_module():
    from src.dehaze.dehazer import Dehazer

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert src.Dehazer is Dehazer
    with pytest.raises(AttributeError, match="no attribute Dehazr"):
        src.Dehazr  # noqa: B018


def test_the_package_lists_all_rooms():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    packages = re.search(r"^packages = \[(.*?)\]", text, re.DOTALL | re.MULTILINE)[1]
    listed = set(re.findall(r'"aecrnet\.(\w+)"', packages))
    assert {path.parent.name for path in (ROOT / "src").glob("*/__init__.py")} == listed - {"configs", "checkpoints"}


@pytest.mark.slow
def test_the_import_of_the_package_costs_nothing():
    code = "import sys, src; sys.exit(any(name in sys.modules for name in ('numpy', 'cv2', 'mindspore', 'src.errors')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
