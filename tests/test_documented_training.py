"""The training and evaluation commands of README.md and docs/training.md, in their order, on tiny sets."""
import importlib
import re
import shlex
import shutil

import numpy as np
import pytest

from distributed import SmallVgg
from src.data.images import write_image
from src.network import checkpoint as checkpoints
from src.network.checkpoint import describe, save_checkpoint
from src.train import setup
from training import ROOT, SmallNet, write_pairs

TINY = {
    "train": ["--patch_size=16", "--batch_size=2", "--neg_num=2", "--epochs=1", "--repeat=1", "--warmup_steps=0",
              "--scales=1", "--freeze_deconv=False", "--lr=0.01"],
    "eval": ["--runtime=mindspore"],
}


def commands(page):
    """(script, arguments) of each command that names its data, in the order of the page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            script = re.match(r"python (train|eval)\.py ", line)
            arguments = shlex.split(line, comments=True)[2:] if script else []
            if "--dir_data" in arguments and "..." not in arguments:
                yield script[1], arguments


def rename(folder, of):
    """Give the files of a set of pairs the names of its layout."""
    for path in [*folder.rglob("*.png")]:
        path.rename(path.with_name(of(path.parent.name, path.stem) + path.suffix))


@pytest.fixture
def tiny_world(tmp_path, monkeypatch):
    """A folder with the sets that the pages name, configs/, and small stand-ins for the networks."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    for folder in ("ITS", "SOTS/indoor"):
        rename(write_pairs(tmp_path / folder, 3), lambda kind, stem: f"{stem}_1" if kind == "hazy" else stem)
    for folder in ("D/NHHaze/train", "D/NHHaze", "TEST/NHHaze"):
        rename(write_pairs(tmp_path / folder, 3), lambda kind, stem: stem if stem.endswith(("_hazy", "_GT")) else
               f"{stem}_hazy" if kind == "hazy" else f"{stem}_GT")
    for kind in ("images", "depths"):
        (tmp_path / "NYU" / kind).mkdir(parents=True)
        for number in range(3):
            shape = (60, 70, 3) if kind == "images" else (60, 70)
            write_image(tmp_path / f"NYU/{kind}/{number}.png", np.full(shape, 40 + 60 * number, np.uint8))
    monkeypatch.setattr(setup, "Dehaze", SmallNet)
    monkeypatch.setattr(checkpoints, "Dehaze", SmallNet)
    monkeypatch.setattr("src.network.weights.check_weights", lambda *shapes: None)
    monkeypatch.setattr(setup, "load_vgg19", lambda path: SmallVgg())
    (tmp_path / "checkpoints").mkdir()
    parameters = {parameter.name: parameter for parameter in SmallNet("paper").get_parameters()}
    save_checkpoint(tmp_path / "checkpoints/aecrnet.ckpt", parameters, describe(SmallNet("paper")))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/training.md"])
def test_each_command_finds_what_the_one_before_it_has_written(page, tiny_world):
    found = list(commands(page))
    assert {"train", "eval"} <= {script for script, _ in found}
    for script, arguments in found:
        main = importlib.import_module(f"src.cli.{script}").main
        assert main([*arguments, *TINY[script]]) == 0, arguments
