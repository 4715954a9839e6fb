"""The wheel holds the package `aecrnet` with commands, weights and data files, and nothing named `src`."""
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from src.cli import config, serve
from src.data.images import read_image, write_image

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
BUILT_FROM = ("src", "configs", "checkpoints", "requirements", "pyproject.toml", "README.md", "LICENSE", "NOTICE")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder in which the wheel is installed."""
    folder = tmp_path_factory.mktemp("package")
    (folder / "clone").mkdir()  # the build leaves files in its folder
    for name in BUILT_FROM:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / "clone" / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, folder / "clone"],
                   check=True)
    wheel, = folder.glob("aecrnet_mindspore-*.whl")
    subprocess.run([*pip, "install", "-q", "--no-deps", "--target", folder / "site", wheel], check=True)
    return folder / "site"


def run(installed, folder, *command):
    """Run a command in `folder`. The path holds the installed package and no clone."""
    return subprocess.run(list(map(str, command)), cwd=folder, env={**os.environ, "PYTHONPATH": str(installed)},
                          capture_output=True, text=True)


def test_the_wheel_has_all_modules_under_one_name(installed):
    top = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")}
    assert top == {"aecrnet", "bin"}
    assert modules(ROOT / "src") <= modules(installed / "aecrnet")
    assert (installed / "aecrnet/py.typed").is_file()  # tells type checkers that the package has hints


def modules(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.py")}


def test_every_module_can_be_imported_where_there_is_no_clone(installed, tmp_path):
    code = ("import importlib, pkgutil, aecrnet; from aecrnet import Dehazer\n"
            "for module in pkgutil.walk_packages(aecrnet.__path__, 'aecrnet.'): importlib.import_module(module.name)")
    done = run(installed, tmp_path, sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr


def test_the_installed_command_finds_the_shipped_weights(installed, tmp_path):
    hazy = np.random.default_rng(0).integers(0, 256, (32, 40, 3), np.uint8)
    write_image(tmp_path / "photo.png", hazy)
    done = run(installed, tmp_path, installed / "bin/aecrnet-infer", "photo.png", "--output", "clear.png", "--report")
    assert done.returncode == 0, done.stderr
    clear = read_image(tmp_path / "clear.png")
    assert clear.shape == hazy.shape and (clear != hazy).any()
    assert "<style>" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["train", "eval", "export", "serve"])
def test_installed_commands_know_their_options_and_names(installed, tmp_path, name):
    done = run(installed, tmp_path, installed / f"bin/aecrnet-{name}", "--no_such_flag")
    assert done.returncode == 2 and done.stderr.endswith(f"see aecrnet-{name} --help\n")


def test_the_container_copies_what_the_package_is_built_from_and_starts_its_server():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = {name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]}
    assert copied == set(BUILT_FROM)
    assert {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")} == copied
    project = (ROOT / "pyproject.toml").read_text()
    install, = (line for line in lines if line.startswith("RUN pip install "))
    for extra in re.search(r'"/build\[(.*?)\]"', install).group(1).split(","):
        assert f"\n{extra} = {{file" in project
    start = json.loads(next(line for line in lines if line.startswith("ENTRYPOINT ")).partition(" ")[2])
    assert f"\n{start[0]} = " in project
    assert config.parse(start[1:], serve.SECTIONS, "").host == "0.0.0.0"
