"""train.py: AECR-Net learns, and a resumed run equals a run that never stopped."""
import csv
import importlib
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from mindspore import nn
from PIL import Image
from said import line_with

from src.cli import config, train
from src.distributed.ranks import Ranks
from src.errors import InputError, UsageError
from src.train import cell, setup
from src.train.log import TrainingLog
from src.train.state import TrainState
from training import (
    ENVIRONMENT,
    ROOT,
    SmallNet,
    assert_same_checkpoint,
    checkpoint,
    flags,
    logged_steps,
    metrics,
    use_small_net,
)

pytest_plugins = "training_fixtures"


# AECR-Net itself

FULL = ("--data_test=Pairs", "--test_images=1", "--ema_decay=0.5")


@pytest.fixture(scope="module")
def full_run(train_data, tmp_path_factory):
    """Six steps of AECR-Net with validation and EMA, without a disturbance."""
    folder = tmp_path_factory.mktemp("full")
    assert train.main(flags(train_data, folder, *FULL)) == 0
    return folder


@pytest.mark.slow
def test_stopped_and_resumed_training_is_undisturbed_training_bit_for_bit(train_data, full_run, tmp_path):
    for part in (["--max_steps=2"], ["--resume"]):
        assert train.main(flags(train_data, tmp_path, *FULL, *part)) == 0
    names = set(checkpoint(full_run / "run_last.ckpt")[0])
    assert {"down1.0.weight", "optimizer.moment1.down1.0.weight", "optimizer.moment2.down1.0.weight",
            "optimizer.step", "ema.down1.0.weight"} <= names
    assert_same_checkpoint(tmp_path / "run_last.ckpt", full_run / "run_last.ckpt")
    assert_same_checkpoint(tmp_path / "run_best.ckpt", full_run / "run_best.ckpt")
    assert metrics(tmp_path) == metrics(full_run)


@pytest.mark.slow
def test_every_trainable_parameter_of_a_new_network_gets_a_finite_gradient(full_run):
    parameters, _ = checkpoint(full_run / "run_last.ckpt")
    moments = {name: value for name, value in parameters.items() if name.startswith("optimizer.moment1.")}
    assert sum(value.size for value in moments.values()) == 2_613_946
    for name, value in moments.items():
        assert np.isfinite(value).all() and np.abs(value).max() > 0, name


@pytest.mark.slow
def test_a_run_leaves_what_it_promises(full_run):
    assert sorted(path.name for path in full_run.iterdir()) == [
        "loss.png", "metrics.csv", "run.yaml", "run_best.ckpt", "run_last.ckpt", "samples"]
    with open(full_run / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0", "1", "2", "3", "3", "4", "5", "6", "6"]
    assert all(float(row["loss"]) == float(row["l1"]) and float(row["images_per_s"]) > 0
               for row in rows if row["loss"])
    assert [bool(row["val_psnr"] and row["val_ssim"]) for row in rows] == [n in (0, 4, 8) for n in range(9)]
    with Image.open(full_run / "loss.png") as image:
        assert image.size == (800, 600)
    best, facts = checkpoint(full_run / "run_best.ckpt")
    assert facts["arch"] == "gitee" and facts["value_range"] == 255.0 and facts["val_psnr"] > 0
    last, _ = checkpoint(full_run / "run_last.ckpt")
    assert sorted(best) == sorted(name for name in last if not name.startswith(("optimizer.", "ema.")))


@pytest.mark.slow
def test_the_resolved_configuration_repeats_the_run(full_run, small_net, tmp_path):
    resolved = config.parse([f"--config={full_run / 'run.yaml'}"], train.SECTIONS, "")
    original = config.parse(flags("x", full_run, *FULL), train.SECTIONS, "")
    original.dir_data = resolved.dir_data
    assert {**vars(resolved), "given": 0} == {**vars(original), "given": 0}


@pytest.mark.slow
def test_a_new_network_learns_in_a_dozen_steps_and_eval_takes_its_checkpoint(train_data, tmp_path):
    new = ["--ckpt_path=", "--freeze_deconv=False", "--lr=0.002", "--warmup_steps=0", "--block_lr_factor=1",
           "--offset_lr_factor=1", "--clip_norm=0", "--data_test="]
    run = subprocess.run(
        [sys.executable, ROOT / "train.py", "--config", ROOT / "configs/demo.yaml", "--max_steps=12",
         f"--ckpt_save_path={tmp_path}", *new],
        cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    line_with(run.stdout, "stopped", "12 of 100", "--resume", "--max_steps")
    assert "images/s" in run.stdout and "waiting for data" in run.stdout
    for shown in ("loss=", "l1=", "cr=", "lr=", "images_per_s=", "12/100", "<"):
        assert shown in run.stderr
    losses = [float(row[2]) for row in metrics(tmp_path)[1:]]
    assert len(losses) == 12 and np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])
    score(tmp_path / "demo_last.ckpt", train_data, tmp_path / "eval")


@pytest.mark.slow
def test_the_demo_recipe_improves_the_shipped_weights_and_stays_healthy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the shipped weights are found from any folder
    assert train.main([f"--config={ROOT / 'configs/demo.yaml'}", "--epochs=1", "--test_every=1", "--test_images=1",
                       "--ckpt_save_path=run"]) == 0
    with open("run/metrics.csv", newline="") as file:
        start, end = (row for row in csv.DictReader(file) if row["val_psnr"])
    assert float(end["val_psnr"]) > float(start["val_psnr"]) + 0.1
    assert float(end["gain"]) < 10 and float(end["offset"]) < 10


def score(path, data, folder):
    """eval.py reads the checkpoint and scores every image."""
    arguments = [f"--ckpt_path={path}", f"--dir_data={data}", "--data_test=Pairs", f"--output_dir={folder}"]
    assert importlib.import_module("src.cli.eval").main(arguments) == 0
    with open(folder / "metrics.csv", newline="") as file:
        assert sum(float(row["psnr"]) > 0 for row in csv.DictReader(file)) >= 6


# Ends and resumed runs

@pytest.mark.slow
def test_the_same_seed_gives_the_same_losses_and_another_seed_others(train_data, whole_run, small_net, tmp_path):
    assert train.main(flags(train_data, tmp_path / "same")) == 0
    assert metrics(tmp_path / "same") == metrics(whole_run)
    assert train.main(flags(train_data, tmp_path / "other", "--seed=2")) == 0
    assert metrics(tmp_path / "other") != metrics(whole_run)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [1, 3])
def test_a_run_may_stop_within_and_at_the_end_of_an_epoch(train_data, whole_run, small_net, tmp_path, stop):
    train.main(flags(train_data, tmp_path, f"--max_steps={stop}"))
    assert checkpoint(tmp_path / "run_last.ckpt")[1]["step"] == stop
    train.main(flags(train_data, tmp_path, "--resume"))
    assert_same_checkpoint(tmp_path / "run_last.ckpt", whole_run / "run_last.ckpt")
    assert metrics(tmp_path) == metrics(whole_run)


@pytest.mark.slow
def test_accumulated_batches_resume_alike(train_data, small_net, tmp_path):
    half = ("--accumulate=2", "--repeat=2")
    train.main(flags(train_data, tmp_path / "whole", *half))
    for part in (["--max_steps=1"], ["--resume"]):
        train.main(flags(train_data, tmp_path / "parts", *half, *part))
    assert checkpoint(tmp_path / "parts/run_last.ckpt")[1]["step"] == 6
    assert_same_checkpoint(tmp_path / "parts/run_last.ckpt", tmp_path / "whole/run_last.ckpt")


def test_a_signal_before_the_first_step_saves_nothing_and_exits_0(train_data, small_net, tmp_path, monkeypatch, capsys):
    original = setup.train_dataset

    def train_dataset(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return original(*arguments)

    monkeypatch.setattr(setup, "train_dataset", train_dataset)
    assert train.main(flags(train_data, tmp_path)) == 0
    assert "stopped before the first step, nothing is saved" in capsys.readouterr().out
    assert not list(tmp_path.glob("*.ckpt"))


def test_a_finished_run_has_nothing_to_resume(train_data, whole_run, small_net, tmp_path, capsys):
    shutil.copytree(whole_run, tmp_path / "run")
    assert train.main(flags(train_data, tmp_path / "run", "--resume")) == 0
    assert "finished: step 6 of 6" in capsys.readouterr().out
    assert_same_checkpoint(tmp_path / "run/run_last.ckpt", whole_run / "run_last.ckpt")
    assert metrics(tmp_path / "run") == metrics(whole_run)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_saves_the_step_in_hand_and_exits_0(
    train_data, whole_run, small_net, tmp_path, monkeypatch, capfd, number,
):
    original = TrainingLog.add_step

    def add_step(log, step, **values):
        original(log, step, **values)
        if step == 4:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(TrainingLog, "add_step", add_step)
    before = signal.getsignal(number)
    assert train.main(flags(train_data, tmp_path)) == 0
    assert signal.getsignal(number) is before
    output = capfd.readouterr()
    names = {number.name, "SIGTERM"}  # MindSpore's data pipeline may take SIGINT, and answer it with SIGTERM
    assert any(f"{name}: stopping" in output.err for name in names)
    line_with(output.out, "stopped", "4 of 6", "--resume")
    monkeypatch.undo()
    use_small_net(monkeypatch.setattr)
    train.main(flags(train_data, tmp_path, "--resume"))
    assert_same_checkpoint(tmp_path / "run_last.ckpt", whole_run / "run_last.ckpt")


@pytest.mark.slow
def test_signals_to_the_process_itself(train_data, tmp_path):
    """The whole program gets SIGTERM while it trains, and SIGINT in the resumed run."""
    command = [sys.executable, "tests/small_training.py", *flags(train_data, tmp_path), "--epochs=100000"]
    interrupt_after(3, command, tmp_path, signal.SIGTERM)
    interrupt_after(3 + logged_steps(tmp_path), [*command, "--resume"], tmp_path, signal.SIGINT)


def interrupt_after(step, command, folder, number):
    """Run the command, send the signal after that step, and assert that the run saves and ends with code 0."""
    process = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               text=True)
    try:
        wait_for(lambda: logged_steps(folder) >= step, process)
        process.send_signal(number)
        output, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "the same command with --resume goes on" in output
    assert checkpoint(folder / "run_last.ckpt")[1]["step"] == logged_steps(folder) >= step


def wait_for(condition, process, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, f"ended with {process.returncode}"
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_the_run(train_data, small_net, tmp_path, monkeypatch):
    train.main(flags(train_data, tmp_path, "--max_steps=3"))
    before = (tmp_path / "run_last.ckpt").read_bytes()
    batches = setup.train_dataset(train.config.parse(flags(train_data, tmp_path), train.SECTIONS, ""), Ranks())
    names = ", ".join(batches.batch_names(5))
    monkeypatch.setattr("src.train.schedule.Schedule.rate", lambda *_: 1e30)
    with pytest.raises(InputError) as error:
        train.main(flags(train_data, tmp_path, "--resume"))
    message = str(error.value)
    assert message.startswith("inf or nan in the losses or gradients of the last 2 steps up to step 6, images ")
    assert message.endswith(f"images {names}; stopped, the last good checkpoint is {tmp_path}/run_last.ckpt of step 3")
    assert (tmp_path / "run_last.ckpt").read_bytes() == before


def nan_in_batches(monkeypatch, *batches):
    """The training images of these batches are nan."""
    original = setup.TrainDataset.sample

    def sample(data, place):
        hazy, clear = original(data, place)
        return (hazy * np.float32(np.nan) if place // data.batch_size in batches else hazy), clear

    monkeypatch.setattr(setup.TrainDataset, "sample", sample)


@pytest.mark.parametrize("log_every", [pytest.param(1, marks=pytest.mark.slow), 10])
def test_a_batch_that_gives_nan_costs_its_step_alone(train_data, small_net, tmp_path, monkeypatch, capsys, log_every):
    nan_in_batches(monkeypatch, 1, 3)
    assert train.main(flags(train_data, tmp_path, f"--log_every={log_every}", "--ema_decay=0.9")) == 0
    parameters, facts = checkpoint(tmp_path / "run_last.ckpt")
    assert all(np.isfinite(value).all() for value in parameters.values())
    assert (facts["step"], facts["skipped"], parameters["optimizer.step"]) == (6, 2, 4)
    output = capsys.readouterr().out
    data = setup.train_dataset(train.config.parse(flags(train_data, tmp_path), train.SECTIONS, ""), Ranks())
    for batch in (1, 3):  # each is read at a row or at the end of its epoch
        assert f"step {batch + 1} skipped: inf or nan in losses or gradients, images " \
               f"{', '.join(data.batch_names(batch))}" in output
    assert "finished: step 6 of 6" in output and "2 of the steps skipped (inf or nan)" in output


@pytest.mark.slow
def test_a_state_that_may_be_broken_replaces_no_checkpoint(train_data, small_net, tmp_path, monkeypatch):
    """The last step before a save is skipped. Its weights are saved when the next step has shown them to be good."""
    nan_in_batches(monkeypatch, 2)
    train.main(flags(train_data, tmp_path / "goes on", "--max_steps=4"))
    assert checkpoint(tmp_path / "goes on/run_last.ckpt")[1]["step"] == 4
    with pytest.raises(InputError, match="of the last 1 steps up to step 3, .* no checkpoint has been saved yet"):
        train.main(flags(train_data, tmp_path / "ends", "--max_steps=3"))
    assert not list((tmp_path / "ends").glob("*.ckpt"))


class Counting(Ranks):
    """Two ranks that hold the same, and the number of times that they tell each other something."""

    calls = []

    def gather(self, values):
        self.calls.append("gather")
        return np.array([values, values], np.float64)

    def of_first(self, values):
        self.calls.append("of_first")
        return values


def test_steps_need_no_operation_between_ranks_beside_their_own_and_no_reading_between_rows(
    train_data, small_net, tmp_path, monkeypatch,
):
    """Five steps as against one: the same number of gathers, and one more report, that of the last step."""
    monkeypatch.setattr(cell, "MeanOverRanks", SameOnAllRanks)
    monkeypatch.setattr(setup, "init_device", lambda options: Counting(0, 2))
    read = cell.TrainOneStepCell.read_report
    monkeypatch.setattr(cell.TrainOneStepCell, "read_report", lambda own: Counting.calls.append("report") or read(own))
    counts = []
    for steps in (1, 5):
        Counting.calls.clear()
        train.main(flags(train_data, tmp_path / str(steps), f"--max_steps={steps}", "--log_every=10", "--repeat=4"))
        counts.append({name: Counting.calls.count(name) for name in ("gather", "of_first", "report")})
    assert counts[1] == {**counts[0], "report": counts[0]["report"] + 1}


def test_a_dry_run_says_what_a_run_comes_to_and_writes_nothing(train_data, small_net, tmp_path, capsys):
    ascend = ("--dry_run", "--device_target=Ascend", "--data_test=Pairs", "--test_images=2", "--accumulate=2")
    assert train.main(flags(train_data, tmp_path / "run", *ascend)) == 0
    images, weights, step = capsys.readouterr().out.splitlines()
    line_with(images, "6 training", "1.5 steps", "3 steps of 4", "2 validation")
    line_with(weights, "220 weights", "gitee", "Ascend", "O3", "float16", "native")
    line_with(step, "CPU", "2 crops of 32 px", "loss ", "gradients finite")
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="nowhere"):
        train.main(flags(tmp_path / "nowhere", tmp_path / "run", "--dry_run"))


@pytest.mark.slow
def test_a_dry_run_compiles_the_network_as_for_ascend(train_data, tmp_path, capsys):
    assert train.main(flags(train_data, tmp_path / "run", "--dry_run", "--device_target=Ascend", "--amp_dtype=bfloat16",
                            "--patch_size=32", "--arch=paper")) == 0
    output = capsys.readouterr().out
    line_with(output, "2614229 weights", "paper", "Ascend", "O3", "bfloat16", "native")
    line_with(output, "CPU", "2 crops of 32 px", "float16", "loss ", "gradients finite")


def test_steps_that_overflow_are_said_and_skipped(train_data, small_net, tmp_path, capsys):
    assert train.main(flags(train_data, tmp_path, "--amp_level=O2", "--loss_scale=3e38", "--max_steps=3")) == 0
    output = capsys.readouterr().out
    for step, scale in ((1, "1.5e+38"), (2, "7.5e+37"), (3, "3.75e+37")):
        assert f"step {step} skipped: gradients overflow, the loss scale is now {scale}" in output
    assert "3 of the steps skipped" in output
    weights, _ = checkpoint(tmp_path / "run_last.ckpt")
    assert weights["optimizer.step"] == 0
    assert weights["optimizer.loss_scale"] == np.float32(3e38) / 8
    for parameter in SmallNet().get_parameters():
        np.testing.assert_array_equal(weights[parameter.name], parameter.asnumpy())


@pytest.mark.slow
def test_the_loss_scale_of_a_resumed_run_goes_on(train_data, small_net, tmp_path):
    scaled = ("--amp_level=O2", "--loss_scale=1e38")
    assert train.main(flags(train_data, tmp_path / "whole", *scaled)) == 0
    for part in (["--max_steps=3"], ["--resume"]):
        assert train.main(flags(train_data, tmp_path / "parts", *scaled, *part)) == 0
    assert_same_checkpoint(tmp_path / "parts/run_last.ckpt", tmp_path / "whole/run_last.ckpt")
    weights, _ = checkpoint(tmp_path / "whole/run_last.ckpt")
    assert weights["optimizer.loss_scale"] < 1e38 and weights["optimizer.loss_scale_steps"] > 0


@pytest.mark.slow
def test_a_run_is_resumed_at_its_own_amp_level(train_data, small_net, tmp_path):
    train.main(flags(train_data, tmp_path, "--max_steps=3"))
    with pytest.raises(UsageError, match="--resume: .*amp_level O0, not O3"):
        train.main(flags(train_data, tmp_path, "--resume", "--amp_level=O3"))


def test_weights_that_are_not_finite_are_not_saved(train_data, small_net, tmp_path):
    state = new_state(tmp_path)
    state.finish_step()
    state.save_last()
    before = state.last.read_bytes()
    state.net.first.weight.set_data(state.net.first.weight * float("nan"))
    state.finish_step()
    with pytest.raises(InputError, match="inf or nan .*first.weight .* step 2; .* step 1"):
        state.save_last()
    assert state.last.read_bytes() == before


def new_state(folder, ranks=Ranks()):
    options = train.config.parse(flags("x", folder), train.SECTIONS, "")
    net = SmallNet()
    return TrainState(setup.train_cell(options, net, ranks._replace(size=1)), net, options, 6, ranks)


def test_best_is_the_best_so_far_and_above_the_start(tmp_path):
    state = new_state(tmp_path)
    state.finish_validation(19.5, 0.9)  # of step 0
    assert not state.best_file.exists()
    for psnr, ssim, kept in ((19.0, 0.8, None), (20.0, 0.8, 20.0), (19.0, 0.95, 20.0), (21.0, 0.8, 21.0)):
        state.finish_step()
        state.finish_validation(psnr, ssim)
        assert state.best_file.exists() == bool(kept)
        assert not kept or checkpoint(state.best_file)[1]["val_psnr"] == kept
    assert state.best == (21.0, 4, 0.95, 3)


class SameOnAllRanks(nn.Cell):
    """Stands for MeanOverRanks: the other ranks have the same values."""

    def __init__(self, size):
        super().__init__()

    def construct(self, tensors):
        return tensors


@pytest.mark.slow
def test_only_rank_0_writes(train_data, small_net, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(setup, "init_device", lambda options: Ranks(rank=1, size=2))
    monkeypatch.setattr(Ranks, "gather", lambda ranks, values: np.array([values, values], np.float64))  # both alike
    monkeypatch.setattr(Ranks, "of_first", lambda ranks, values: values)
    monkeypatch.setattr(cell, "MeanOverRanks", SameOnAllRanks)
    code = train.main(flags(train_data, tmp_path, "--data_test=Pairs", "--test_images=2", f"--summary_dir={tmp_path}",
                            "--tracker=tensorboard"))
    assert code == 0 and list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == ""
