"""One folder holds one run: --resume goes on with the same one, two at a time are refused, no finished step is lost."""
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from mindspore import Parameter, Tensor, float32, ops
from said import line_with

from src.cli import train
from src.errors import InputError, UsageError
from src.network.weights import TRAINING_OPTIONS
from src.train import setup, step, validation
from src.train.log import TrainingLog
from src.train.options import FREE, OF_PLACE
from src.train.state import TrainState
from training import (
    ENVIRONMENT,
    ROOT,
    SmallNet,
    assert_same_checkpoint,
    checkpoint,
    flags,
    metrics,
    use_small_net,
)

pytest_plugins = "training_fixtures"


# The same run

REFUSED = {
    "--arch=paper": "arch gitee, not paper", "--batch_size=3": "batch_size 2, not 3", "--seed=2": "seed 1, not 2",
    "--repeat=2": "repeat 1, not 2; images_per_epoch 6, not 12", "--lr=0.01": "lr 0.001, not 0.01",
    "--betas=0.8 0.999": "betas 0.9 0.999, not 0.8 0.999", "--weight_decay=0.1": "weight_decay 0.0, not 0.1",
    "--epochs=3": "epochs 2, not 3", "--clip_norm=1": "clip_norm 0.0, not 1.0",
    "--no_augment": "no_augment False, not True", "--scales=1.0 0.5": "scales 1.0, not 1.0 0.5",
    "--ema_decay=0.9": "ema_decay 0.0, not 0.9", "--lr_schedule=constant": "lr_schedule cosine, not constant",
    "--data_test=Pairs": "data_test empty, not Pairs", "--no_turns": "no_turns False, not True",
    "--contra_lambda=0.2": "contra_lambda 0.0, not 0.2; neg_num 10, not 2; vgg_random False, not True",
}


@pytest.mark.parametrize("flag", REFUSED)
def test_an_option_on_which_updates_depend_is_refused(train_data, whole_run, small_net, flag):
    before = {path: path.read_bytes() for path in whole_run.iterdir()}
    more = ["--neg_num=2", "--vgg_random"] if "contra_lambda" in flag else []
    name, _, values = flag.partition("=")
    given = [name, *values.split()] if " " in values else [flag]
    with pytest.raises(UsageError) as error:
        train.main(flags(train_data, whole_run, "--resume", *given, *more))
    path = whole_run / "run_last.ckpt"
    line_with(str(error.value), "--resume", path, "--ckpt_save_path", *REFUSED[flag].split("; "))
    assert {path: path.read_bytes() for path in whole_run.iterdir()} == before


@pytest.mark.slow
def test_a_run_without_a_cosine_may_be_made_longer(train_data, small_net, tmp_path, capsys):
    constant = "--lr_schedule=constant"
    train.main(flags(train_data, tmp_path / "whole", constant, "--epochs=3"))
    train.main(flags(train_data, tmp_path / "parts", constant))
    capsys.readouterr()
    train.main(flags(train_data, tmp_path / "parts", constant, "--epochs=3", "--resume"))
    assert "resumed with epochs 3 (was 2)" in capsys.readouterr().out
    assert_same_checkpoint(tmp_path / "parts/run_last.ckpt", tmp_path / "whole/run_last.ckpt")


def test_other_images_of_the_same_number_are_refused(train_data, whole_run, small_net, tmp_path):
    shutil.copytree(train_data, tmp_path / "set")
    for kind in ("hazy", "clear"):
        (tmp_path / f"set/{kind}/5.png").rename(tmp_path / f"set/{kind}/six.png")
    with pytest.raises(UsageError, match="run_last.ckpt was trained with images .*, not "):
        train.main(flags(tmp_path / "set", whole_run, "--resume"))


@pytest.mark.slow
def test_what_no_update_depends_on_is_taken_and_said_and_the_first_configuration_stays(
    train_data, whole_run, small_net, tmp_path, capsys,
):
    train.main(flags(train_data, tmp_path / "run", "--max_steps=3"))
    first = (tmp_path / "run/run.yaml").read_bytes()
    shutil.copytree(train_data, tmp_path / "moved")
    capsys.readouterr()
    train.main(flags(tmp_path / "moved", tmp_path / "run", "--resume", "--save_every=2", "--num_parallel_workers=2"))
    line_with(capsys.readouterr().out, "resumed", f"dir_data {tmp_path}/moved (was {train_data})",
              "num_parallel_workers 2 (was 0)", "save_every 2 (was 500)", "max_steps 0 (was 3)")
    assert (tmp_path / "run/run.yaml").read_bytes() == first
    assert_same_checkpoint(tmp_path / "run/run_last.ckpt", whole_run / "run_last.ckpt")
    assert metrics(tmp_path / "run") == metrics(whole_run)
    (tmp_path / "run/run.yaml").unlink()
    train.main(flags(train_data, tmp_path / "run", "--resume"))
    assert (tmp_path / "run/run.yaml").is_file()


def test_the_last_checkpoint_holds_every_option_and_each_is_either_free_or_fixed(whole_run, train_data):
    kept = json.loads(checkpoint(whole_run / "run_last.ckpt")[1][TRAINING_OPTIONS])
    options = vars(train.config.parse(flags(train_data, whole_run), train.SECTIONS, ""))
    assert kept == {name: value for name, value in options.items() if name not in OF_PLACE}
    assert set(FREE) | set(OF_PLACE) <= set(options)


@pytest.mark.slow
def test_a_checkpoint_from_before_options_were_kept_goes_on(train_data, whole_run, small_net, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("src.train.state.TRAINING_OPTIONS", "unknown")
        train.main(flags(train_data, tmp_path, "--max_steps=3"))
    train.main(flags(train_data, tmp_path, "--resume"))
    assert_same_checkpoint(tmp_path / "run_last.ckpt", whole_run / "run_last.ckpt")


@pytest.mark.slow
def test_a_validation_that_is_interrupted_is_made_up_for(train_data, small_net, tmp_path, monkeypatch, capsys):
    more = ("--data_test=Pairs",)
    train.main(flags(train_data, tmp_path / "whole", *more))
    original, calls = validation.psnr, []

    def interrupting(*images):
        calls.append(1)
        if len(calls) > 6:  # in the validation after the first epoch; that of the start is over
            os.kill(os.getpid(), signal.SIGTERM)
        return original(*images)

    with monkeypatch.context() as patch:
        patch.setattr(validation, "psnr", interrupting)
        assert train.main(flags(train_data, tmp_path / "run", *more)) == 0
    line_with(capsys.readouterr().out, "stopped", "3 of 6", "--resume")
    assert checkpoint(tmp_path / "run/run_last.ckpt")[1]["validation_due"]
    assert not (tmp_path / "run/run_best.ckpt").exists()
    train.main(flags(train_data, tmp_path / "run", "--resume", *more))
    for name in ("run_last.ckpt", "run_best.ckpt"):
        assert_same_checkpoint(tmp_path / "run" / name, tmp_path / "whole" / name)
    assert metrics(tmp_path / "run") == metrics(tmp_path / "whole")


# No finished step is lost

class Surprise(Exception):
    """Nothing that the project knows of."""


def fail_in(monkeypatch, where, at):
    """Let the part of the loop fail after `at` finished steps."""
    owner, name = {"update": (step.OptimizerSteps, "_next_batch"), "log": (TrainingLog, "add_step"),
                   "data": (setup.TrainDataset, "sample")}[where]
    original, calls = getattr(owner, name), []

    def wrapped(*arguments, **more):
        calls.append(1)
        if len(calls) == at + 1:
            raise Surprise("surprise")
        return original(*arguments, **more)

    monkeypatch.setattr(owner, name, wrapped)


@pytest.mark.slow
@pytest.mark.parametrize("where, at, saved", [("update", 4, 4), ("log", 4, 5), ("data", 9, 4)])
def test_any_exception_saves_the_last_finished_step(
    train_data, whole_run, tmp_path, monkeypatch, capsys, where, at, saved,
):
    with monkeypatch.context() as patch:
        use_small_net(patch.setattr)
        fail_in(patch, where, at)
        with pytest.raises(Surprise):
            train.main(flags(train_data, tmp_path))
    line_with(capsys.readouterr().out, "last good checkpoint", f"{tmp_path}/run_last.ckpt", f"step {saved}")
    assert checkpoint(tmp_path / "run_last.ckpt")[1]["step"] == saved
    use_small_net(monkeypatch.setattr)
    train.main(flags(train_data, tmp_path, "--resume"))
    assert_same_checkpoint(tmp_path / "run_last.ckpt", whole_run / "run_last.ckpt")


@pytest.mark.slow
def test_weights_of_half_a_step_are_not_saved(train_data, small_net, tmp_path, monkeypatch, capsys):
    original, count = TrainState.finish_step, []

    def after_the_update(state):
        count.append(state)
        if len(count) == 5:
            raise MemoryError
        original(state)

    monkeypatch.setattr(TrainState, "finish_step", after_the_update)
    with pytest.raises(MemoryError):
        train.main(flags(train_data, tmp_path, "--save_every=2"))
    assert checkpoint(tmp_path / "run_last.ckpt")[1]["step"] == 4
    assert "stopped in step 5; the last good checkpoint is" in capsys.readouterr().out


class CountingNet(SmallNet):
    """Counts its forward passes in training, as FastDeconv keeps statistics."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.passes = Parameter(Tensor(0.0, float32), name="first.passes", requires_grad=False)

    def construct(self, x):
        if self.training:
            x = ops.depend(x, ops.assign_add(self.passes, 1.0))
        return super().construct(x)


@pytest.mark.slow
def test_running_statistics_of_a_failed_step_are_taken_back(train_data, tmp_path, monkeypatch):
    """Two batches make a step; the second one fails when the first has moved the statistics."""
    monkeypatch.setattr(setup, "Dehaze", CountingNet)
    with monkeypatch.context() as patch:
        fail_in(patch, "update", 3)
        with pytest.raises(Surprise):
            train.main(flags(train_data, tmp_path, "--accumulate=2", "--repeat=2"))
    parameters, facts = checkpoint(tmp_path / "run_last.ckpt")
    assert facts["step"] == 1 and parameters["first.passes"] == 2


# One run at a time

HOLDER = """
import signal, sys
from src.files import lock_folder

with lock_folder(sys.argv[1], "--ckpt_save_path"):
    print("held", flush=True)
    signal.pause()
"""


@pytest.mark.slow
def test_a_second_training_in_the_folder_is_told_who_holds_it(train_data, whole_run, small_net, tmp_path):
    shutil.copytree(whole_run, tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path / "run"], env=ENVIRONMENT, cwd=ROOT,
                              stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=rf"--ckpt_save_path .*/run: in use by process {holder.pid} on .*, since "):
            train.main(flags(train_data, tmp_path / "run", "--resume"))
        after = {path: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.name != ".lock"}
        assert after == before
    finally:
        holder.kill()
        holder.communicate()
    assert (tmp_path / "run/.lock").is_file()  # but nobody holds it any more
    assert train.main(flags(train_data, tmp_path / "run", "--resume")) == 0
    assert not (tmp_path / "run/.lock").exists()


@pytest.mark.slow
def test_two_trainings_started_at_once_end_as_one(train_data, whole_run, tmp_path):
    code = ("import sys, training; from src.cli import train; from src.cli.entry import run_as_program; "
            "training.use_small_net(); run_as_program(lambda: train.main(training.flags(*sys.argv[1:])))")
    both = [subprocess.Popen([sys.executable, "-c", code, str(train_data), str(tmp_path)], env=ENVIRONMENT, cwd=ROOT,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    output = [process.communicate(timeout=300) for process in both]
    assert sorted(process.returncode == 0 for process in both) == [False, True], output
    refused = next(error for process, (_, error) in zip(both, output) if process.returncode)
    assert refused.startswith(f"error: --ckpt_save_path {tmp_path}: ") and refused.count("\n") == 1
    assert metrics(tmp_path) == metrics(whole_run)
    assert_same_checkpoint(tmp_path / "run_last.ckpt", whole_run / "run_last.ckpt")
