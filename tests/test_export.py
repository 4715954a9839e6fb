"""export.py writes a model that describes itself and has the outputs and scores of the checkpoint."""
import csv
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import mindspore
import numpy as np
import pytest

from src.cli import eval as eval_script
from src.cli import export
from src.data.images import write_image
from src.dehaze.dehazer import SHIPPED_CHECKPOINT, Dehazer
from src.errors import InputError, UsageError
from src.export import lite
from src.export.comparison import compare
from src.export.lite_rules import RULES
from src.network.aecrnet import Dehaze
from src.network.checkpoint import describe, save_checkpoint
from src.runtime.mindir_runner import MindirRunner
from src.runtime.sidecar import read_sidecar, write_sidecar
from src.spec import TOLERANCE

ROOT = Path(__file__).resolve().parent.parent


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("mode_kept")]


@pytest.fixture(scope="module")
def models(tmp_path_factory, random_checkpoint):
    """Two exports and their terminal output: gitee for images up to 70x50 with a copy for Lite, paper of open size."""
    folder = tmp_path_factory.mktemp("models")
    mode = mindspore.get_context("mode")
    paper = folder / "paper.ckpt"
    net = Dehaze("paper")
    save_checkpoint(paper, net.parameters_dict(), describe(net))
    export.main(["--ckpt_path", str(random_checkpoint), "--image_height", "50", "--image_width", "70", "--lite2",
                 "--file_name", str(folder / "fixed")])
    export.main(["--ckpt_path", str(paper), "--dynamic", "--file_name", str(folder / "open")])
    mindspore.set_context(mode=mode)
    return SimpleNamespace(folder=folder, fixed=folder / "fixed.mindir", lite=folder / "fixed_lite20.mindir",
                           open=folder / "open.mindir", gitee=random_checkpoint, paper=paper)


def photo(height, width, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (-(-height // 4), -(-width // 4), 3))
    return np.kron(coarse, np.ones((4, 4, 1))).astype(np.uint8)[:height, :width]


# what is written

def facts_of(path):
    return json.loads(path.with_suffix(".json").read_text())


def test_sidecar_says_how_to_feed_the_model(models):
    for path in (models.fixed, models.lite):
        facts = facts_of(path)
        assert facts.pop("sha256") == hashlib.sha256(path.read_bytes()).hexdigest()
        assert facts.pop("checkpoint_sha256") == hashlib.sha256(models.gitee.read_bytes()).hexdigest()
        assert np.allclose(facts.pop("mean"), [149.75, 152.53, 162.69], atol=0.01)
        assert facts == {"format": 1, "arch": "gitee", "input_name": "x", "layout": "NCHW", "dtype": "float32",
                         "shape": [1, 3, 52, 72], "range": [0, 255], "clip": "in_graph", "multiple_of": 4}
    facts = facts_of(models.open)
    assert (facts["arch"], facts["shape"], facts["range"], facts["mean"]) == ("paper", [1, 3, -1, -1], [0, 1], None)


def test_nothing_but_model_and_sidecar_is_written(models):
    assert {path.name for path in models.folder.iterdir()} == {
        "paper.ckpt", "fixed.mindir", "fixed.json", "fixed_lite20.mindir", "fixed_lite20.json", "open.mindir",
        "open.json"}


def test_the_shipped_checkpoint_is_exported_by_default_and_rounding_is_said(tmp_path, capsys):
    assert export.main(["--image_height", "21", "--image_width", "30", "--file_name", str(tmp_path / "a/b.c")]) == 0
    shown = capsys.readouterr().out
    assert f"b.c.mindir: {facts_of(tmp_path / 'a/b.c.mindir')['arch']} from {SHIPPED_CHECKPOINT}, " \
        "input [1, 3, 24, 32] (the next multiples of 4; 30x21 is mirrored up to it)" in shown
    assert "loaded again, at 32x24: largest difference to the checkpoint " in shown
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["b.c.json", "b.c.mindir"]


# the comparison

def test_a_model_that_differs_from_the_checkpoint_fails_and_no_file_is_touched(models):
    other = Dehaze("gitee").set_train(False)
    before = {path: path.read_bytes() for path in models.folder.iterdir()}
    with pytest.raises(InputError, match=r"fixed.mindir: differs from the checkpoint by .* of the range, more than"):
        compare(other, MindirRunner(models.fixed), TOLERANCE)
    assert {path: path.read_bytes() for path in models.folder.iterdir()} == before


def test_export_ends_with_the_failed_comparison(models, tmp_path, monkeypatch):
    for name in ("mine.mindir", "mine.json", "mine_lite20.mindir"):
        (tmp_path / name).write_text("of yesterday")
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    with pytest.raises(InputError, match="mine.mindir: differs from the checkpoint"):
        export.main(["--ckpt_path", str(models.gitee), "--image_height", "16", "--image_width", "16", "--lite2",
                     "--file_name", str(tmp_path / "mine")])
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        ("mine.mindir", "mine.json", "mine_lite20.mindir"), "of yesterday")


def test_an_operator_that_lite_lacks_is_named_and_the_model_stays(models, tmp_path, monkeypatch):
    monkeypatch.delitem(RULES, "Sigmoid")
    with pytest.raises(InputError, match=r"m.mindir: operator Sigmoid \(.*\) is not in the table for MindSpore Lite"):
        export.main(["--ckpt_path", str(models.gitee), "--image_height", "16", "--image_width", "16", "--lite2",
                     "--file_name", str(tmp_path / "m")])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.json", "m.mindir"]
    assert MindirRunner(tmp_path / "m.mindir").size == (16, 16)


# scoring

def scores(output, *flags):
    assert eval_script.main([*map(str, flags), "--data_test", "Pairs", "--output_dir", str(output)]) == 0
    with open(output / "metrics.csv", newline="") as file:
        return [{key: value if key == "name" else float(value) for key, value in row.items() if key != "seconds"}
                for row in csv.DictReader(file)]


@pytest.mark.parametrize("kind, checkpoint, sizes", (
    ("fixed", "gitee", [(52, 72), (50, 70)]), ("open", "paper", [(24, 36), (33, 46)])))
def test_exported_model_scores_as_its_checkpoint_does(kind, checkpoint, sizes, models, tmp_path):
    for folder, seed in (("hazy", 0), ("GT", 1)):
        (tmp_path / "set" / folder).mkdir(parents=True)
        for i, size in enumerate(sizes):
            write_image(tmp_path / "set" / folder / f"{i}.png", photo(*size, seed=seed))
    data = ("--dir_data", tmp_path / "set")
    expected = scores(tmp_path / "checkpoint", "--ckpt_path", getattr(models, checkpoint), *data)
    result = scores(tmp_path / "exported", "--mindir_path", getattr(models, kind), *data)
    assert len(result) == len(expected) == 2
    for row, other in zip(result, expected):
        assert row == pytest.approx(other, abs=0.01)


def test_smaller_images_are_mirrored_up_to_the_size_of_the_model(models):
    small = photo(31, 40)
    mirrored = np.pad(small, ((0, 21), (0, 32), (0, 0)), mode="reflect")
    dehazer = Dehazer(network=MindirRunner(models.fixed))
    assert np.array_equal(dehazer.dehaze(small), dehazer.dehaze(mirrored)[:31, :40])


# mistakes

@pytest.mark.parametrize("flags, text", (
    (["--image_height", "15"], "--image_height must be at least 16, not 15"),
    (["--image_width", "-4"], "--image_width must be at least 16, not -4"),
    (["--image_height", "1000000"], "--image_height 1000000 --image_width 640: exporting takes about 5120 GB"),
    (["--image_width", "320", "--dynamic"], "--image_width 320: has no meaning with --dynamic"),
    (["--image_width", "320", "--web", "--file_format", "ONNX"], "--image_width 320: has no meaning with --dynamic or"),
    (["--web"], "--web: needs --file_format ONNX, not MINDIR"),
    (["--file_format", "AIR"], "--file_format AIR: can be written on Ascend only, not on CPU"),
    (["--file_format", "ONNX", "--lite2"], "--lite2: needs --file_format MINDIR, not ONNX"),
    (["--half"], "--half: needs --file_format ONNX, not MINDIR"),
    (["--onnx_dcn", "native"], "--onnx_dcn: needs --file_format ONNX, not MINDIR"),
    (["--file_format", "TFLITE"], "--file_format: invalid choice: 'TFLITE'"),
    (["--height", "480"], "unrecognized arguments: --height")))
def test_wrong_flags_are_named(flags, text, tmp_path):
    with pytest.raises(UsageError, match=text):
        export.main([*flags, "--file_name", str(tmp_path / "a")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text, said", (
    ("dynamic: true, image_height: 320", "--image_height 320: has no meaning with --dynamic"),
    ("half: true", "--half: needs --file_format ONNX, not MINDIR")))
def test_a_configuration_is_checked_as_the_flags_are(text, said, tmp_path):
    (tmp_path / "my.yaml").write_text(f"export: {{{text}}}\n")
    with pytest.raises(UsageError, match=said):
        export.main(["--config", str(tmp_path / "my.yaml"), "--file_name", str(tmp_path / "a")])


@pytest.mark.parametrize("flags, text", (
    (["--ckpt_path", "/none.ckpt"], "/none.ckpt: no such checkpoint"),
    (["--file_name", "/proc/none/a"], "--file_name /proc/none: cannot write there"),
    (["--device_target", "GPU"], "--device_target GPU: MindSpore .* finds none here")))
def test_what_cannot_be_used_is_named(flags, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=text):
        export.main(flags)
    assert list(tmp_path.iterdir()) == []


def test_mistakes_end_in_one_line_before_mindspore_is_imported(tmp_path):
    (tmp_path / "mindspore.py").write_text("raise SystemExit('mindspore was imported')")
    done = subprocess.run([sys.executable, str(ROOT / "export.py"), "--file_format", "AIR"], capture_output=True,
                          text=True, timeout=60, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: --file_format AIR: ") and done.stderr.count("\n") == 1


# reading an exported model

@pytest.fixture
def copied(models, tmp_path):
    """A copy of the model of fixed size, which a test may damage."""
    for suffix in (".mindir", ".json"):
        (tmp_path / f"m{suffix}").write_bytes(models.fixed.with_suffix(suffix).read_bytes())
    return tmp_path / "m.mindir"


@pytest.mark.parametrize("changes, text", (
    ({"format": 2}, "m.json: format is 2, not 1; export the model anew"),
    ({"layout": "NHWC"}, "m.json: layout is NHWC, not NCHW"),
    ({"dtype": "float16"}, "m.json: dtype is float16, not float32"),
    ({"shape": [1, 3, -1, 72]}, r"m.json: shape is \[1, 3, -1, 72\]"),
    ({"shape": "any"}, "m.json: shape is any"),
    ({"shape": [1, 3, None, 4.5]}, "m.json: shape is"),
    ({"shape": [1, 3, 52, 70]}, "m.json: shape is"),
    ({"multiple_of": 8}, "m.json: multiple_of is 8, not 4"),
    ({"range": [-1, 1]}, r"m.json: range is \[-1, 1\]"),
    ({"range": 255}, "m.json: range is 255"),
    ({"sha256": "0" * 64}, r"m.mindir: is not the model that m.json describes, or damaged \(sha256 differs\)")))
def test_a_sidecar_that_cannot_be_right_is_refused(changes, text, copied):
    copied.with_suffix(".json").write_text(json.dumps({**facts_of(copied), **changes}))
    with pytest.raises(InputError, match=text):
        read_sidecar(copied)


@pytest.mark.parametrize("content, text", (
    (None, "m.json: cannot be read, export.py writes it beside the model"),
    ("{", "m.json: cannot be read"), ("7", "m.json: cannot be read"), ("[]", "m.json: lacks arch, clip"),
    ("{}", "m.json: lacks arch, clip")))
def test_no_sidecar_is_said_clearly(content, text, copied):
    copied.with_suffix(".json").unlink()
    if content is not None:
        copied.with_suffix(".json").write_text(content)
    with pytest.raises(InputError, match=text):
        read_sidecar(copied)


def test_a_model_for_lite_is_no_traceback_in_mindspore(models, tmp_path):
    lite.rewrite_for_lite20(models.open, tmp_path / "open_lite20.mindir")
    write_sidecar(tmp_path / "open_lite20.mindir", "paper", None)
    model = MindirRunner(tmp_path / "open_lite20.mindir")
    with pytest.raises(InputError, match="open_lite20.mindir: .*32x24"):
        model(np.zeros((1, 3, 24, 32), np.float32))


def test_a_truncated_model_is_refused_also_where_its_sidecar_fits(copied):
    os.truncate(copied, copied.stat().st_size // 2)
    with pytest.raises(InputError, match="sha256 differs"):
        MindirRunner(copied)
    write_sidecar(copied, "gitee", (52, 72))
    with pytest.raises(InputError, match="m.mindir: not a MINDIR"):
        MindirRunner(copied)
