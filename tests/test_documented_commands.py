"""Every command of README.md, README_CN.md and docs/, in the order of the page, on tiny sets.

`documented.NEEDS` lists those that need a card, docker, a server or the network.
"""
import importlib
import re
import shlex
import shutil
import subprocess
import sys
from itertools import chain

import clips
import numpy as np
import pytest
from documented import NEEDS, PAGES, ROOT, blocks, commands, named, reason
from PIL import Image
from test_convert_weights import official_state
from test_convert_weights import write as write_torch

from distributed import SmallVgg
from src.data.demo import demo_pairs
from src.data.images import write_image
from src.network import checkpoint as checkpoints
from src.network.checkpoint import describe, save_checkpoint
from src.train import setup
from training import SmallNet, write_pairs

TINY = {
    "train": ["--patch_size=16", "--batch_size=2", "--neg_num=2", "--epochs=1", "--repeat=1", "--warmup_steps=0",
              "--scales=1", "--freeze_deconv=False", "--lr=0.01"],
    "export": ["--image_height=32", "--image_width=48"],
}
RUN_IN_TEXT = re.compile(r"python (eval|export)\.py --")  # commands in the text; the others are those of blocks
FROM_README = {  # commands whose files other pages use
    "python train.py --dir_data ITS --data_train RESIDE --dir_test SOTS/indoor --data_test RESIDE --vgg_ckpt_path ./":
        "ckpt/aecrnet_best.ckpt",
    "python export.py --dynamic": "--mindir_path aecrnet.mindir"}
PLACEHOLDERS = {"[TRAIN_DATA_PATH] [FILENAME] [DEVICE] [flags of train.py ...]":
                f"ITS standalone CPU {' '.join(TINY['train'])}"}


def rename(folder, of):
    """Give the files of a set of pairs the names of its layout."""
    for path in [*folder.rglob("*.png")]:
        path.rename(path.with_name(of(path.parent.name, path.stem) + path.suffix))


def photo(size=(48, 64)):
    return np.random.default_rng(1).integers(100, 200, (*size, 3)).astype(np.uint8)


def write_sets(folder):
    """The sets, photos and videos that the pages name."""
    for name in ("ITS", "SOTS/indoor"):
        rename(write_pairs(folder / name, 3), lambda kind, stem: f"{stem}_1" if kind == "hazy" else stem)
    for number in range(1, 56):
        for kind in ("hazy", "GT"):
            (folder / "NH-HAZE").mkdir(exist_ok=True)
            write_image(folder / f"NH-HAZE/{number:02}_{kind}.png", photo())
            other = folder / f"nh_haze/{kind.lower()}/{number:02}.jpg"
            other.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(photo()).save(other)
    for kind in ("images", "depths"):
        (folder / "NYU" / kind).mkdir(parents=True)
        for number in range(3):
            shape = (60, 70, 3) if kind == "images" else (60, 70)
            write_image(folder / f"NYU/{kind}/{number}.png", np.full(shape, 40 + 60 * number, np.uint8))
    for name in ("photo.jpg", "hazy.jpg", "holiday/one.jpg", "more/deep/two.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo()).save(folder / name)
    clips.write(folder / "clip.mp4", [clips.picture(number) for number in range(3)])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A clone in which the commands run: links to the code, and the sets."""
    folder = tmp_path_factory.mktemp("world")
    for name in ("train.py", "src", "scripts", "tests"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "configs", folder / "configs")
    write_sets(folder)
    (folder / "checkpoints").mkdir()
    parameters = {parameter.name: parameter for parameter in SmallNet("paper").get_parameters()}
    save_checkpoint(folder / "checkpoints/aecrnet.ckpt", parameters, describe(SmallNet("paper")))
    (folder / "checkpoints/aecrnet_real.ckpt").symlink_to(ROOT / "checkpoints/aecrnet_real.ckpt")
    (folder / "bin").mkdir()
    small = f"PYTHONPATH={ROOT} exec {sys.executable} {ROOT}/tests/documented_training.py"
    (folder / "bin/python").write_text(f'#!/bin/sh\n{small} "$@"\n')
    (folder / "bin/python").chmod(0o755)
    return folder


class Shell:
    """Runs commands in the world: our programs in this process with small networks, others by bash."""

    done = set()

    def __init__(self, world, patch):
        self.world, self.patch, self.before, self.runs = world, patch, [], 0

    def run(self, command):
        """Run a command, unless it has run. Raises: AssertionError or CalledProcessError if it fails."""
        if command.startswith("python train.py") and "..." not in command:
            self.before = shlex.split(command)[2:]
        if command in self.done:
            return
        if command.startswith("python "):
            self.python(*shlex.split(command)[1:])
        else:
            for placeholder, values in PLACEHOLDERS.items():
                command = command.replace(placeholder, values)
            path = f"{self.world / 'bin'}:/usr/bin:/bin"
            subprocess.run(["bash", "-ec", command], cwd=self.world, env={"PATH": path}, check=True, timeout=600)
        self.done.add(command)

    def python(self, script, *arguments):
        name = script.rsplit("/", 1)[-1][:-3]
        if script.startswith("scripts/"):
            assert not importlib.import_module(name).main(list(arguments))
            return
        arguments = self.filled_in(list(arguments)) if name == "train" else list(arguments)
        tiny = TINY.get(name, []) if not {"--dynamic", "--web"} & set(arguments) else []
        if "--resume" in arguments:
            assert any(path.is_file() for path in self.world.glob("ckpt/*_last.ckpt"))
        with self.patch.context() as patch:
            if name == "train" or any("_best.ckpt" in word for word in arguments):
                use_small_networks(patch)
            assert importlib.import_module(f"src.cli.{name}").main([*arguments, *tiny]) == 0, (script, arguments)

    def filled_in(self, arguments):
        """The arguments with those of the command before for `...`. A run without a folder of its own gets one."""
        if "..." not in arguments:
            return arguments
        place = arguments.index("...")
        arguments = [*self.before, *arguments[:place], *arguments[place + 1:]]
        if not {"--resume", "--ckpt_save_path"} & set(arguments):
            self.runs += 1
            arguments += [f"--ckpt_save_path=run{self.runs}"]
        return arguments


def use_small_networks(patch):
    patch.setattr(setup, "Dehaze", SmallNet)
    patch.setattr(checkpoints, "Dehaze", SmallNet)
    patch.setattr("src.network.weights.check_weights", lambda *shapes: None)
    patch.setattr(setup, "load_vgg19", lambda path: SmallVgg())


@pytest.fixture
def shell(world, monkeypatch):
    monkeypatch.chdir(world)
    cut = [(name, hazy[:64, :64], clear[:64, :64]) for name, hazy, clear in demo_pairs()[:2]]
    monkeypatch.setattr("src.data.demo.demo_pairs", lambda: cut)
    return Shell(world, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)])
def test_every_command_of_a_page_runs_in_its_order(page, shell, golden_official):
    if page == "docs/reference.md":
        write_torch(shell.world / "official.pk", {"model": official_state(golden_official)})
    for command in filter(FROM_README.get, chain.from_iterable(map(commands, blocks("README.md")))):
        if page.startswith("docs/") and FROM_README[command] in (ROOT / page).read_text(encoding="utf-8"):
            shell.run(command)  # its result is needed here
    for command in [*chain.from_iterable(map(commands, blocks(page))), *filter(RUN_IN_TEXT.match, named(page))]:
        if reason(command) is None:
            shell.run(command)
    if page == "docs/training.md":  # `ln` makes links to nothing, too
        links = [*shell.world.glob("D/NHHaze/train/*/*_*.jpg")]
        assert len(links) == 90 and all(path.exists() for path in links)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_the_python_code_of_a_page_runs(page, shell):
    for block in blocks(page, "python"):
        found = {}
        exec(block.replace("from aecrnet import", "from src import"), found)
        assert found["clear"].shape == (48, 64, 3)


def test_every_command_in_the_text_is_run_or_listed_with_its_reason():
    run = [command for page in PAGES for block in blocks(page) for command in commands(block)]
    for page in PAGES:
        for command in named(page):
            known = reason(command) or RUN_IN_TEXT.match(command) or re.match(r"python \w+\.py( --help)?$", command)
            assert known or any(command.startswith(other) for other in run), f"{page}: {command}"


def test_what_is_not_run_is_listed_with_tests_that_exist():
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_*.py"))
    everything = [command for page in PAGES for command in
                  [*chain.from_iterable(map(commands, blocks(page))), *named(page)]]
    spans = [span for page in PAGES for span in re.findall(r"`([^`\n]+)`", (ROOT / page).read_text(encoding="utf-8"))]
    for beginning, why in NEEDS.items():
        assert any(one.startswith(beginning) for one in [*everything, *spans]), f"{beginning} stands on no page"
        for name in re.findall(r"\btest_\w+(?!\.py)\b", why):
            assert f"def {name}(" in tests or name == "test_demo", name
