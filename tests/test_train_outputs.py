"""The outputs of a training: metrics.csv, curve, TensorBoard events, ModelArts, the shell script."""
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from said import line_with

from src.cli import train
from src.errors import InputError, UsageError
from src.train import log
from training import ENVIRONMENT, ROOT, assert_same_checkpoint, checkpoint, flags, metrics

pytest_plugins = "training_fixtures"


def test_a_torn_last_row_of_metrics_is_dropped(train_data, whole_run, small_net, tmp_path):
    shutil.copytree(whole_run, tmp_path / "run")
    with open(tmp_path / "run/metrics.csv", "a") as file:
        file.write("6,2,31.")
    train.main(flags(train_data, tmp_path / "run", "--resume"))
    assert metrics(tmp_path / "run") == metrics(whole_run)


def test_the_curve_is_smoothed_by_a_running_mean():
    values = list(np.random.RandomState(1).rand(50))
    expected = [np.mean(values[max(0, end - 3):end]) for end in range(1, 51)]
    np.testing.assert_allclose(log.smoothed(values), expected)


@pytest.mark.slow
def test_tensorboard_events_hold_the_rows(train_data, small_net, tmp_path):
    for part in (["--max_steps=3"], ["--resume"]):
        train.main(flags(train_data, tmp_path / "run", "--tracker=tensorboard", "--data_test=Pairs",
                         f"--summary_dir={tmp_path / 'events'}", *part))
    first, second = (list(read_events(path)) for path in sorted((tmp_path / "events/run").iterdir()))
    assert first[0].file_version == "brain.Event:2"
    assert second[1].session_log.status == second[1].session_log.START and second[1].step == 4
    losses = [(event.step, value.simple_value) for event in first + second for value in event.summary.value
              if value.tag == "loss"]
    rows = [(int(row[0]), float(row[2])) for row in metrics(tmp_path / "run")[1:] if row[2]]
    assert [step for step, _ in losses] == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(losses, rows, rtol=1e-5)
    pictures = {event.step: value.image for event in first + second for value in event.summary.value
                if value.HasField("image")}
    assert sorted(pictures) == [0, 3, 6]
    assert pictures[3].encoded_image_string == (tmp_path / "run/samples/3.jpg").read_bytes()
    plugins = [value.metadata.plugin_data.content for event in first for value in event.summary.value
               if value.metadata.plugin_data.plugin_name == "hparams"]
    assert any(b"lr_schedule" in content for content in plugins)


@pytest.mark.slow
def test_a_validation_leaves_a_picture_of_fixed_photos(train_data, small_net, tmp_path):
    """hazy | restored | clear, a row for each of four photos of six; the outer columns never change."""
    train.main(flags(train_data, tmp_path, "--data_test=Pairs"))
    grids = []
    for step in (0, 3, 6):
        with Image.open(tmp_path / f"samples/{step}.jpg") as image:
            grids.append(np.asarray(image).astype(float))
    assert all(grid.shape == (4 * 40 + 3 * 4, 3 * 56 + 2 * 4, 3) for grid in grids)
    for other in grids[1:]:
        hazy, restored, clear = (np.abs(other - grids[0])[:, columns].mean()
                                 for columns in (slice(0, 56), slice(64, 112), slice(120, None)))
        assert hazy < 2 and clear < 2 and restored > 0.5
    hazy = np.asarray(Image.open(train_data / "hazy/0.png")).astype(float)
    assert np.abs(grids[0][:40, :56] - hazy).mean() < 8  # a JPEG


class FakeWandb:
    """Stands for the package wandb."""

    Image = staticmethod(lambda image: image.shape)

    def __init__(self, fails=False):
        self.logged, self.finished, self.fails = [], False, fails

    def init(self, **facts):
        if self.fails:
            raise RuntimeError("no API key\nsecond line")
        self.facts = facts
        return self

    def log(self, values, step):
        self.logged.append((step, values))
        if step == 2:
            raise ValueError("offline")

    def finish(self):
        self.finished = True


def test_wandb_gets_options_scalars_and_pictures_and_never_ends_a_run(
    train_data, small_net, tmp_path, monkeypatch, capsys,
):
    wandb = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    track = ("--tracker=wandb", f"--summary_dir={tmp_path / 'wandb'}", "--run_name=mine")
    assert train.main(flags(train_data, tmp_path / "run", "--data_test=Pairs", *track)) == 0
    assert (wandb.facts["name"], wandb.facts["config"]["lr"]) == ("mine", 0.001) and wandb.finished
    assert [step for step, values in wandb.logged if "loss" in values] == [1, 2, 3, 4, 5, 6]
    assert [step for step, values in wandb.logged if "hazy | restored | clear" in values] == [0, 3, 6]
    line_with(capsys.readouterr().out, "warning", "tracker", "offline")


@pytest.mark.parametrize("module, said", [
    (None, "needs the package wandb"), (FakeWandb(fails=True), "no API key second line")])
def test_a_tracker_that_cannot_start_is_one_line(train_data, small_net, tmp_path, monkeypatch, module, said):
    monkeypatch.setitem(sys.modules, "wandb", module)
    with pytest.raises(UsageError, match=f"--tracker wandb: .*{said}"):
        train.main(flags(train_data, tmp_path, "--tracker=wandb", f"--summary_dir={tmp_path / 'wandb'}"))


def read_events(path):
    from tensorboardX.proto.event_pb2 import Event

    content = path.read_bytes()
    while content:
        size = int.from_bytes(content[:8], "little")
        yield Event.FromString(content[12:12 + size])
        content = content[12 + size + 4:]


class FakeMoxing:
    """A stand-in for ModelArts' moxing. `file.copy_parallel` records its arguments."""

    def __init__(self, content=None):
        self.file, self.copied, self.content = self, [], content

    def copy_parallel(self, src_url, dst_url):
        self.copied.append((str(src_url), str(dst_url)))
        if src_url == "obs://results":
            shutil.copytree(self.content, dst_url)

    def foreground(self):
        """The copies that the training waits for."""
        return [copied for copied in self.copied if ".upload" not in copied[0]]


def cloud(train_data, folder, *more):
    return flags("/nowhere", folder, "--modelArts_mode=True", "--data_url=obs://data", "--train_url=obs://results",
                 *more)


@pytest.mark.slow
def test_modelarts_copies_data_in_and_results_out(train_data, whole_run, small_net, tmp_path, monkeypatch):
    moxing = FakeMoxing(content=tmp_path / "first")
    monkeypatch.setitem(sys.modules, "moxing", moxing)
    monkeypatch.setattr("src.cli.cloud.LOCAL_DATA", str(train_data))
    assert train.main(cloud(train_data, tmp_path / "first", "--max_steps=4")) == 0
    assert moxing.foreground() == [("obs://data", str(train_data)), (str(tmp_path / "first"), "obs://results")]
    assert train.main(cloud(train_data, tmp_path / "second", "--resume")) == 0
    assert moxing.foreground()[2:] == [("obs://data", str(train_data)), ("obs://results", str(tmp_path / "second")),
                                 (str(tmp_path / "second"), "obs://results")]
    assert_same_checkpoint(tmp_path / "second/run_last.ckpt", whole_run / "run_last.ckpt")


class Bucket:
    """A stand-in for moxing that keeps copies as object storage does: each file whole, under its name."""

    def __init__(self, folder, fails=0):
        self.file, self.folder, self.fails, self.seen = self, folder, fails, []

    def copy_parallel(self, src_url, dst_url):
        if dst_url != "obs://results":
            return
        if self.fails:
            self.fails -= 1
            raise OSError("no connection")
        shutil.copytree(src_url, self.folder, dirs_exist_ok=True, copy_function=self.copy_whole)
        self.seen.append(sorted(path.name for path in Path(src_url).rglob("*")))

    @staticmethod
    def copy_whole(source, target):
        shutil.copy(source, f"{target}.part")
        os.replace(f"{target}.part", target)


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_modelarts_gets_each_save_while_the_training_goes_on(
    train_data, whole_run, small_net, tmp_path, monkeypatch, capsys,
):
    """The first upload fails, and a later one brings what an early step saved. No hidden file is uploaded."""
    bucket = Bucket(tmp_path / "bucket", fails=1)
    monkeypatch.setitem(sys.modules, "moxing", bucket)
    monkeypatch.setattr("src.cli.cloud.LOCAL_DATA", str(train_data))
    original, uploaded = log.TrainingLog.add_step, []

    def add_step(training_log, step, **values):
        original(training_log, step, **values)
        if step == 2:  # the thread has to see two saves
            wait_for(lambda: not bucket.fails)
        if step == 5:
            wait_for((tmp_path / "bucket/run_last.ckpt").exists)
            uploaded.append(checkpoint(tmp_path / "bucket/run_last.ckpt")[1]["step"])

    monkeypatch.setattr(log.TrainingLog, "add_step", add_step)
    assert train.main(cloud(train_data, tmp_path / "run", "--save_every=1")) == 0
    assert 1 <= uploaded[0] <= 4 and "warning: obs://results: could not be written (no connection)" in \
        capsys.readouterr().out
    assert ".lock" not in bucket.seen[0] and {"run_last.ckpt", "metrics.csv"} <= set(bucket.seen[0])
    assert_same_checkpoint(tmp_path / "bucket/run_last.ckpt", whole_run / "run_last.ckpt")
    assert not list((tmp_path / "run").glob(".upload*"))


def test_modelarts_keeps_the_results_of_a_run_that_fails(train_data, small_net, tmp_path, monkeypatch):
    moxing = FakeMoxing()
    monkeypatch.setitem(sys.modules, "moxing", moxing)
    monkeypatch.setattr("src.cli.cloud.LOCAL_DATA", str(train_data))
    with pytest.raises(InputError, match="loss"):
        train.main(cloud(train_data, tmp_path, "--lr=1e30"))
    assert moxing.copied[-1] == (str(tmp_path), "obs://results")


def test_modelarts_elsewhere_is_one_line(train_data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "moxing", None)
    cases = {"moxing is missing": [], "needs --data_url": ["--data_url="],
             "--train_url must be": ["--train_url=", "--resume"]}
    for text, more in cases.items():
        with pytest.raises(UsageError, match=text):
            train.main(cloud(train_data, tmp_path, *more))


RANK = """
import os, sys, time
from pathlib import Path
from types import SimpleNamespace
from src.cli import cloud

class Moxing:
    def copy_parallel(src_url, dst_url):
        with open(folder / "log", "a") as log:
            print("copy", file=log)
        while len(list(folder.glob("started*"))) < 2:  # the other rank asks for the data meanwhile
            time.sleep(0.01)
        (folder / "data").mkdir()

folder = Path(sys.argv[1])
sys.modules["moxing"] = SimpleNamespace(file=Moxing)
cloud.LOCAL_DATA = str(folder / "data")
options = SimpleNamespace(data_url="obs://data")
(folder / f"started{os.environ['RANK_ID']}").touch()
cloud.download(options)
assert Path(options.dir_data).is_dir()
"""


@pytest.mark.slow
def test_modelarts_copies_once_for_all_ranks_of_a_host(tmp_path):
    ranks = [subprocess.Popen([sys.executable, "-c", RANK, str(tmp_path)], cwd=ROOT,
                              env={**ENVIRONMENT, "RANK_SIZE": "2", "RANK_ID": str(rank)}) for rank in range(2)]
    assert [rank.wait(120) for rank in ranks] == [0, 0]
    assert (tmp_path / "log").read_text() == "copy\n"


@pytest.fixture
def script(tmp_path):
    """Run run_standalone_train.sh in a folder whose train.py only prints its arguments."""
    (tmp_path / "repo/scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts/run_standalone_train.sh", tmp_path / "repo/scripts")
    (tmp_path / "repo/train.py").write_text("import os, sys; print(os.getcwd(), *sys.argv[1:])")
    (tmp_path / "repo/.venv/bin").mkdir(parents=True)
    (tmp_path / "repo/.venv/bin/python").symlink_to(sys.executable)
    (tmp_path / "data").mkdir()

    def run(*arguments):
        return subprocess.run(["bash", "repo/scripts/run_standalone_train.sh", *arguments], cwd=tmp_path,
                              env={**os.environ, "DEVICE_ID": "3"}, capture_output=True, text=True)

    return run


@pytest.mark.slow
def test_the_standalone_script_trains_as_the_reference(script, tmp_path):
    run = script("data", "name", "GPU", "--resume")
    assert run.returncode == 0, run.stderr
    folder, *arguments = run.stdout.split()
    assert folder == str(tmp_path / "repo")
    options = train.config.parse(arguments, train.SECTIONS, "")
    assert (options.device_target, options.device_id, options.dir_data) == ("GPU", 3, str(tmp_path / "data"))
    assert (options.filename, options.ckpt_save_path, options.resume) == ("name", "ckpt/name", True)
    assert (options.lr, options.patch_size, options.epochs, options.contra_lambda) == (1e-4, 256, 600, 20.0)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [(), ("data", "name"), ("nowhere", "name", "CPU"), ("data", "name", "TPU")])
def test_wrong_arguments_of_the_standalone_script_show_its_usage(script, arguments):
    run = script(*arguments)
    assert run.returncode == 2 and run.stdout == ""
    assert run.stderr.startswith("Usage: bash scripts/run_standalone_train.sh [TRAIN_DATA_PATH] [FILENAME] [DEVICE]")
