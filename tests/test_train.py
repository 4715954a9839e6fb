"""train.py: it learns, goes on exactly after every kind of end, keeps its checkpoints, and says what is wrong."""
import csv
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

import train
from src import build, device, modelarts, train_state, training_log
from src.checkpoint import describe, load_network, save_checkpoint
from src.device import Ranks
from src.errors import InputError, UsageError, UserError
from training import (ENVIRONMENT, ROOT, SmallNet, assert_same_checkpoint, checkpoint, flags, metrics, run_child,
                      use_small_net, write_pairs)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("data") / "set")


@pytest.fixture
def small_net(monkeypatch):
    use_small_net(monkeypatch.setattr)


@pytest.fixture(scope="module")
def whole_run(data, tmp_path_factory):
    """Six steps of a SmallNet, undisturbed: what disturbed runs must come to."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        use_small_net(patch.setattr)
        assert train.main(flags(data, folder)) == 0
    return folder


# AECR-Net itself

FULL = ("--data_test=Pairs", "--test_images=1", "--ema_decay=0.5")


@pytest.fixture(scope="module")
def full_run(data, tmp_path_factory):
    """Six steps of AECR-Net with validation and EMA, undisturbed."""
    folder = tmp_path_factory.mktemp("full")
    assert train.main(flags(data, folder, *FULL)) == 0
    return folder


def test_stopped_and_resumed_training_is_undisturbed_training_bit_for_bit(data, full_run, tmp_path):
    for part in (["--max_steps=2"], ["--resume"]):
        assert train.main(flags(data, tmp_path, *FULL, *part)) == 0
    names = set(checkpoint(full_run / "run_last.ckpt")[0])
    assert {"down1.0.weight", "optimizer.moment1.down1.0.weight", "optimizer.moment2.down1.0.weight",
            "optimizer.step", "ema.down1.0.weight"} <= names
    assert_same_checkpoint(tmp_path / "run_last.ckpt", full_run / "run_last.ckpt")
    assert_same_checkpoint(tmp_path / "run_best.ckpt", full_run / "run_best.ckpt")
    assert metrics(tmp_path) == metrics(full_run)


def test_every_trainable_parameter_of_a_new_network_gets_a_finite_gradient(full_run):
    parameters, _ = checkpoint(full_run / "run_last.ckpt")
    moments = {name: value for name, value in parameters.items() if name.startswith("optimizer.moment1.")}
    assert sum(value.size for value in moments.values()) == 2_613_946
    for name, value in moments.items():
        assert np.isfinite(value).all() and np.abs(value).max() > 0, name


def test_a_run_leaves_what_it_promises(full_run):
    assert sorted(path.name for path in full_run.iterdir()) == [
        "loss.png", "metrics.csv", "run.yaml", "run_best.ckpt", "run_last.ckpt"]
    with open(full_run / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2", "3", "3", "4", "5", "6", "6"]
    assert all(float(row["loss"]) == float(row["l1"]) and float(row["images_per_s"]) > 0
               for row in rows if row["loss"])
    assert [bool(row["val_psnr"] and row["val_ssim"]) for row in rows] == [n in (3, 7) for n in range(8)]
    with Image.open(full_run / "loss.png") as image:
        assert image.size == (800, 450)
    best, facts = checkpoint(full_run / "run_best.ckpt")
    assert facts["arch"] == "gitee" and facts["value_range"] == 255.0 and facts["val_psnr"] > 0
    last, _ = checkpoint(full_run / "run_last.ckpt")
    assert sorted(best) == sorted(name for name in last if not name.startswith(("optimizer.", "ema.")))


def test_the_resolved_configuration_repeats_the_run(full_run, small_net, tmp_path):
    from src import config

    resolved = config.parse([f"--config={full_run / 'run.yaml'}"], train.SECTIONS, "")
    original = config.parse(flags("x", full_run, *FULL), train.SECTIONS, "")
    original.dir_data = resolved.dir_data
    assert {**vars(resolved), "given": 0} == {**vars(original), "given": 0}


def test_the_demo_learns_in_a_dozen_steps(tmp_path):
    run = subprocess.run(
        [sys.executable, ROOT / "train.py", "--config", ROOT / "configs/demo.yaml", "--max_steps=12", "--log_every=1",
         "--warmup_steps=0", f"--ckpt_save_path={tmp_path}"],
        cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    assert "stopped after step 12 of 200; the same command with --resume and a larger --max_steps goes on" in run.stdout
    assert "images/s" in run.stdout and "waiting for data" in run.stdout
    for shown in ("loss=", "l1=", "cr=", "lr=", "images_per_s=", "12/200", "<"):
        assert shown in run.stderr
    losses = [float(row[2]) for row in metrics(tmp_path)[1:]]
    assert len(losses) == 12 and np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])
    net, facts = load_network(tmp_path / "demo_last.ckpt")
    assert facts["step"] == 12 and not net.training


# Ends, and going on

def test_the_same_seed_gives_the_same_losses_and_another_seed_others(data, whole_run, small_net, tmp_path):
    assert train.main(flags(data, tmp_path / "same")) == 0
    assert metrics(tmp_path / "same") == metrics(whole_run)
    assert train.main(flags(data, tmp_path / "other", "--seed=2")) == 0
    assert metrics(tmp_path / "other") != metrics(whole_run)


@pytest.mark.parametrize("stop", [1, 3])
def test_a_run_may_stop_within_and_at_the_end_of_an_epoch(data, whole_run, small_net, tmp_path, stop):
    train.main(flags(data, tmp_path, f"--max_steps={stop}"))
    assert checkpoint(tmp_path / "run_last.ckpt")[1]["step"] == stop
    train.main(flags(data, tmp_path, "--resume"))
    assert_same_checkpoint(tmp_path / "run_last.ckpt", whole_run / "run_last.ckpt")
    assert metrics(tmp_path) == metrics(whole_run)


def test_accumulated_batches_resume_alike(data, small_net, tmp_path):
    half = ("--accumulate=2", "--repeat=2")
    train.main(flags(data, tmp_path / "whole", *half))
    for part in (["--max_steps=1"], ["--resume"]):
        train.main(flags(data, tmp_path / "parts", *half, *part))
    assert checkpoint(tmp_path / "parts/run_last.ckpt")[1]["step"] == 6
    assert_same_checkpoint(tmp_path / "parts/run_last.ckpt", tmp_path / "whole/run_last.ckpt")


def test_a_finished_run_has_nothing_to_resume(data, whole_run, small_net, tmp_path, capsys):
    shutil.copytree(whole_run, tmp_path / "run")
    assert train.main(flags(data, tmp_path / "run", "--resume")) == 0
    assert "finished: step 6 of 6" in capsys.readouterr().out
    assert_same_checkpoint(tmp_path / "run/run_last.ckpt", whole_run / "run_last.ckpt")
    assert metrics(tmp_path / "run") == metrics(whole_run)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_saves_the_step_in_hand_and_exits_0(data, whole_run, small_net, tmp_path, monkeypatch, capsys, number):
    original = training_log.TrainingLog.add_step

    def add_step(log, step, **values):
        original(log, step, **values)
        if step == 4:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(training_log.TrainingLog, "add_step", add_step)
    before = signal.getsignal(number)
    assert train.main(flags(data, tmp_path)) == 0
    assert signal.getsignal(number) is before
    assert "stopped after step 4 of 6; the same command with --resume goes on" in capsys.readouterr().out
    monkeypatch.undo()
    use_small_net(monkeypatch.setattr)
    train.main(flags(data, tmp_path, "--resume"))
    assert_same_checkpoint(tmp_path / "run_last.ckpt", whole_run / "run_last.ckpt")


def test_signals_to_the_process_itself(data, tmp_path):
    """SIGTERM while AECR-Net trains, SIGINT while the resumed run does: the whole program, from outside."""
    command = [sys.executable, "train.py", *flags(data, tmp_path), "--epochs=100000"]
    last = 0
    for number, more in ((signal.SIGTERM, []), (signal.SIGINT, ["--resume"])):
        process = subprocess.Popen(command + more, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, text=True)
        try:
            wait_for(lambda: logged_steps(tmp_path) >= last + 3, process)
            process.send_signal(number)
            output, _ = process.communicate(timeout=120)
        finally:
            process.kill()
        assert process.returncode == 0
        assert "the same command with --resume goes on" in output
        step = checkpoint(tmp_path / "run_last.ckpt")[1]["step"]
        assert step == logged_steps(tmp_path) >= last + 3
        last = step


def logged_steps(folder):
    path = folder / "metrics.csv"
    return int((path.read_text().splitlines()[-1].split(",")[0] if path.is_file() else "step").replace("step", "0"))


def wait_for(condition, process, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, f"ended with {process.returncode}"
        assert time.monotonic() < end
        time.sleep(0.05)


KILLED_IN_STEP_5 = """
import os, signal, sys
import mindspore
import train, training
from src import training_log

original = training_log.TrainingLog.add_step

def add_step(log, step, **values):
    original(log, step, **values)
    if step == 5:
        os.kill(os.getpid(), signal.SIGKILL)

training_log.TrainingLog.add_step = add_step
training.use_small_net()
train.main(training.flags(sys.argv[1], sys.argv[2], "--save_every=2"))
"""


def test_kill_9_goes_on_from_the_last_saved_step(data, whole_run, small_net, tmp_path):
    assert run_child(KILLED_IN_STEP_5, data, tmp_path).returncode == -signal.SIGKILL
    assert checkpoint(tmp_path / "run_last.ckpt")[1]["step"] == 4
    assert logged_steps(tmp_path) == 5
    train.main(flags(data, tmp_path, "--resume"))
    assert_same_checkpoint(tmp_path / "run_last.ckpt", whole_run / "run_last.ckpt")
    assert metrics(tmp_path) == metrics(whole_run)


# A run for each stage, in a fork of its own (MindSpore has started no threads yet), that kills itself in its second save.
KILLED_WHILE_SAVING = """
import os, signal, sys
import mindspore
import train, training
from src import train_state

data, folder, stages = sys.argv[1], sys.argv[2], sys.argv[3:]
write, replace, save = mindspore.save_checkpoint, os.replace, train_state.TrainState.save_last

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def inside_mindspore(*arguments, **facts):
    os.rename = os.replace = kill  # it writes under a name of its own, which it then renames
    write(*arguments, **facts)

def half(values, path, **facts):
    write(values, path, **facts)
    os.truncate(path, os.path.getsize(path) // 2)
    kill()

def after_rename(source, target):
    replace(source, target)
    kill()

def save_last(state, stage):
    if state.step == 3:
        if stage == "before writing": mindspore.save_checkpoint = kill
        if stage == "inside MindSpore": mindspore.save_checkpoint = inside_mindspore
        if stage == "half written": mindspore.save_checkpoint = half
        if stage == "before sync": os.fsync = kill
        if stage == "before rename": os.replace = kill
        if stage == "after rename": os.replace = after_rename
    save(state)

training.use_small_net()
for stage in stages:
    child = os.fork()
    if not child:
        train_state.TrainState.save_last = lambda state: save_last(state, stage)
        train.main(training.flags(data, folder + "/" + stage, "--save_every=2"))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL, stage
"""
STAGES = ["before writing", "inside MindSpore", "half written", "before sync", "before rename", "after rename"]


@pytest.fixture(scope="module")
def killed_while_saving(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    child = run_child(KILLED_WHILE_SAVING, data, folder, *STAGES)
    assert child.returncode == 0, child.stderr
    return folder


@pytest.mark.parametrize("stage", STAGES)
def test_kill_9_while_saving_leaves_a_whole_checkpoint(killed_while_saving, data, whole_run, small_net, stage):
    folder = killed_while_saving / stage
    assert checkpoint(folder / "run_last.ckpt")[1]["step"] == (3 if stage == "after rename" else 2)
    train.main(flags(data, folder, "--resume"))
    assert_same_checkpoint(folder / "run_last.ckpt", whole_run / "run_last.ckpt")
    assert metrics(folder) == metrics(whole_run)
    assert not list(folder.glob(".*")), "temporary files are left"


FULL_DISK = """
import resource, sys
import mindspore
import train, training
from src import training_log

data, folder, first, last = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
original = training_log.TrainingLog.add_step
free = resource.getrlimit(resource.RLIMIT_FSIZE)

def add_step(log, step, **values):
    if step == first:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, free[1]))
    if step == last:
        resource.setrlimit(resource.RLIMIT_FSIZE, free)
    original(log, step, **values)

training_log.TrainingLog.add_step = add_step
training.use_small_net()
sys.exit(train.main(training.flags(data, folder, "--save_every=2", f"--summary_dir={folder}/events")))
"""


def test_a_full_disk_is_reported_and_training_goes_on(data, whole_run, tmp_path):
    child = run_child(FULL_DISK, data, tmp_path, 3, 5)
    assert child.returncode == 0, child.stderr
    assert f"warning: {tmp_path}/run_last.ckpt: could not be saved ([Errno 27] File too large); " \
           "the file before it is kept, training goes on" in child.stdout
    assert "warning: metrics.csv could not be written" in child.stdout
    assert_same_checkpoint(tmp_path / "run_last.ckpt", whole_run / "run_last.ckpt")
    assert metrics(tmp_path) == metrics(whole_run)


def test_a_disk_that_stays_full_costs_the_exit_code_and_no_checkpoint(data, whole_run, small_net, tmp_path):
    child = run_child(FULL_DISK, data, tmp_path, 3, 1000)
    assert child.returncode == 1, child.stderr
    assert "Traceback" not in child.stderr
    assert "the state of step 6 is not saved; the last good checkpoint is" in child.stdout
    assert checkpoint(tmp_path / "run_last.ckpt")[1]["step"] == 2
    assert not list(tmp_path.glob(".*")), "temporary files are left"
    train.main(flags(data, tmp_path, "--resume"))
    assert_same_checkpoint(tmp_path / "run_last.ckpt", whole_run / "run_last.ckpt")


def test_a_loss_that_is_not_finite_stops_the_run(data, small_net, tmp_path):
    train.main(flags(data, tmp_path, "--max_steps=3"))
    before = (tmp_path / "run_last.ckpt").read_bytes()
    batches = build.train_dataset(train.config.parse(flags(data, tmp_path), train.SECTIONS, ""), Ranks())
    names = ", ".join(batches.batch_names(4))
    with pytest.raises(InputError) as error:
        train.main(flags(data, tmp_path, "--resume", "--lr=1e30"))
    message = str(error.value)
    assert f"step 5, images {names}; stopped, the last good checkpoint is {tmp_path}/run_last.ckpt of step 3" in message
    assert "\n" not in message and ("loss inf" in message or "loss nan" in message)
    assert (tmp_path / "run_last.ckpt").read_bytes() == before


def test_weights_that_are_not_finite_are_not_saved(data, small_net, tmp_path):
    state = new_state(tmp_path)
    state.step = 1
    state.save_last()
    before = state.last.read_bytes()
    state.net.first.weight.set_data(state.net.first.weight * float("nan"))
    state.step = 2
    with pytest.raises(InputError, match="inf or nan in 1 parameters .first.weight .* after step 2; .* of step 1"):
        state.save_last()
    assert state.last.read_bytes() == before


def new_state(folder, ranks=Ranks()):
    options = train.config.parse(flags("x", folder), train.SECTIONS, "")
    net = SmallNet()
    return train_state.TrainState(build.train_cell(options, net, ranks._replace(size=1)), net, options, 6, ranks)


def test_best_is_the_best_so_far(tmp_path):
    state = new_state(tmp_path)
    for step, (psnr, kept) in enumerate([(20.0, 20.0), (19.0, 20.0), (21.0, 21.0)], 1):
        state.step = step
        state.save_best(psnr)
        assert checkpoint(state.best)[1]["val_psnr"] == kept


def test_only_rank_0_writes(data, small_net, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(device, "init_device", lambda options: Ranks(rank=1, size=2))
    monkeypatch.setattr(build.nn, "DistributedGradReducer", lambda parameters: None)
    code = train.main(flags(data, tmp_path, "--data_test=Pairs", "--test_images=1", f"--summary_dir={tmp_path}"))
    assert code == 0 and list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == ""


# Bad input

def test_an_earlier_run_is_not_overwritten(data, whole_run, small_net):
    before = {path: path.read_bytes() for path in whole_run.iterdir()}
    for more in ([], ["--filename=other"]):
        with pytest.raises(UsageError, match=r"--ckpt_save_path .* holds run_last.ckpt of an earlier run; --resume"):
            train.main(flags(data, whole_run, *more))
    assert {path: path.read_bytes() for path in whole_run.iterdir()} == before


BAD_FLAGS = {
    "--epochs=0": "--epochs must be at least 1, not 0",
    "--lr=0": "--lr must be above 0, not 0.0",
    "--lr=nan": "--lr must be above 0, not nan",
    "--lr_min=1": "--lr_min must be at most --lr 0.001, not 1.0",
    "--betas=0.9": "--betas must be two numbers, not 0.9",
    "--ema_decay=1": "--ema_decay must be from 0 to below 1, not 1.0",
    "--seed=-1": "--seed must be at least 0, not -1",
    "--repeat=0": "--repeat must be at least 1, not 0",
    "--accumulate=4": "--accumulate must be at most the 3 batches of an epoch, not 4",
    "--filename=a/b": "--filename must be a name without folders, not a/b",
    "--amp_level=O2": "--amp_level must be auto or O0 on CPU",
    "--freeze_deconv": "--freeze_deconv must be False for --arch gitee",
    "--patch_size=2048": "--patch_size 2048: must be a multiple of 4 from 16 to 1024",
    "--patch_size=18": "--patch_size 18: must be a multiple of 4 from 16 to 1024",
    "--batch_size=7": "--batch_size 7: an epoch has only 6 images",
    "--contra_lambda=0.1": "--neg_num must be from 1 to --batch_size 2, not 10",
    "--data_train=Nowhere": "unknown data layout Nowhere",
    "--no_such_flag=1": "--no_such_flag",
    "--epochs=many": "--epochs",
}


@pytest.mark.parametrize("flag", BAD_FLAGS)
def test_a_bad_flag_is_one_line(data, small_net, tmp_path, flag):
    with pytest.raises(UsageError) as error:
        train.main(flags(data, tmp_path, flag))
    assert BAD_FLAGS[flag] in str(error.value) and "\n" not in str(error.value)
    assert not list(tmp_path.glob("*.ckpt"))


def test_an_error_is_one_line_on_stderr(data, tmp_path):
    run = subprocess.run([sys.executable, "train.py", *flags(data, tmp_path, "--epochs=0")], cwd=ROOT, env=ENVIRONMENT,
                         capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (2, "", "error: --epochs must be at least 1, not 0\n")


def expect_input_error(text, argv):
    with pytest.raises(InputError) as error:
        train.main(argv)
    assert text in str(error.value) and "\n" not in str(error.value)
    assert error.value.exit_code == 1


def test_bad_training_data_is_one_line(data, small_net, tmp_path):
    expect_input_error("no such folder", flags(tmp_path / "missing", tmp_path / "run"))
    (tmp_path / "empty").mkdir()
    expect_input_error("--dir_data", flags(tmp_path / "empty", tmp_path / "run"))
    shutil.copytree(data, tmp_path / "unmatched")
    (tmp_path / "unmatched/clear/3.png").unlink()
    expect_input_error("1 hazy images without ground truth, the first is 3.png",
                       flags(tmp_path / "unmatched", tmp_path / "run"))
    (tmp_path / "file").write_text("not a folder")
    expect_input_error("--ckpt_save_path", flags(data, tmp_path / "file"))


def test_an_unreadable_image_ends_the_run_with_its_progress_saved(data, small_net, tmp_path):
    broken = tmp_path / "set"
    shutil.copytree(data, broken)
    options = train.config.parse(flags(broken, tmp_path / "run"), train.SECTIONS, "")
    name = build.train_dataset(options, Ranks()).batch_names(2)[0]
    (broken / f"hazy/{name}.png").write_bytes(b"no image")
    expect_input_error(f"{broken}/hazy/{name}.png", flags(broken, tmp_path / "run"))
    assert checkpoint(tmp_path / "run/run_last.ckpt")[1]["step"] in (1, 2)  # batches are prepared ahead


def test_random_vgg_weights_are_said_to_mean_nothing(data, tmp_path, capsys):
    options = train.config.parse(flags(data, tmp_path, "--contra_lambda=0.1", "--vgg_random"), train.SECTIONS, "")
    assert build.contrast_loss(options).form == "gitee"
    assert "--vgg_random: the contrastive loss of random VGG19 weights means nothing" in capsys.readouterr().out


def test_a_missing_or_foreign_vgg_file_is_one_line(data, small_net, tmp_path):
    cr = ("--contra_lambda=0.1", "--neg_num=2", f"--vgg_ckpt_path={tmp_path}")
    expect_input_error("no such VGG19 file", flags(data, tmp_path / "run", *cr))
    save_checkpoint(tmp_path / "foreign.ckpt", dict(SmallNet().parameters_and_names()), {})
    expect_input_error("not the weights of VGG19", flags(data, tmp_path / "run", *cr, "--vgg_ckpt=foreign.ckpt"))


OTHER_RUNS = {
    "--arch=paper": "run_last.ckpt was trained with arch gitee, not paper",
    "--batch_size=3": "run_last.ckpt was trained with batch_size 2, not 3",
    "--seed=2": "run_last.ckpt was trained with seed 1, not 2",
    "--repeat=2": "run_last.ckpt was trained with images_per_epoch 6, not 12",
}


@pytest.mark.parametrize("flag", OTHER_RUNS)
def test_resume_with_other_options_is_one_line(data, whole_run, small_net, flag):
    before = (whole_run / "run_last.ckpt").read_bytes()
    with pytest.raises(UsageError) as error:
        train.main(flags(data, whole_run, "--resume", flag))
    assert OTHER_RUNS[flag] in str(error.value) and "\n" not in str(error.value)
    assert (whole_run / "run_last.ckpt").read_bytes() == before


def test_resume_from_nothing_or_half_a_file_or_without_state_is_one_line(data, whole_run, small_net, tmp_path):
    expect_input_error("run_last.ckpt: no such checkpoint", flags(data, tmp_path, "--resume"))
    (tmp_path / "run_last.ckpt").write_bytes((whole_run / "run_last.ckpt").read_bytes()[:-100])
    expect_input_error("run_last.ckpt: not a checkpoint, or truncated", flags(data, tmp_path, "--resume"))
    save_checkpoint(tmp_path / "run_last.ckpt", dict(SmallNet().parameters_and_names()), describe(SmallNet()))
    expect_input_error("run_last.ckpt: not the state of a run with these options",
                       flags(data, tmp_path, "--resume"))
    shutil.copy(whole_run / "run_last.ckpt", tmp_path)
    expect_input_error("it differs in 3 parameters, ema.", flags(data, tmp_path, "--resume", "--ema_decay=0.9"))


def test_weights_of_another_graph_are_not_trained_on(data, small_net, tmp_path):
    save_checkpoint(tmp_path / "paper.ckpt", dict(SmallNet().parameters_and_names()), describe(SmallNet("paper")))
    with pytest.raises(UsageError, match="--ckpt_path .*: was trained with --arch paper, not gitee"):
        train.main(flags(data, tmp_path / "run", f"--ckpt_path={tmp_path / 'paper.ckpt'}"))
    save_checkpoint(tmp_path / "reference.ckpt", dict(SmallNet().parameters_and_names()), {})
    with pytest.raises(UsageError, match="--ckpt_path .*: was trained with --dcn_sampling gitee, not exact"):
        train.main(flags(data, tmp_path / "run", f"--ckpt_path={tmp_path / 'reference.ckpt'}"))


# What else is written

def test_a_torn_last_row_of_metrics_is_dropped(data, whole_run, small_net, tmp_path):
    shutil.copytree(whole_run, tmp_path / "run")
    with open(tmp_path / "run/metrics.csv", "a") as file:
        file.write("6,2,31.")
    train.main(flags(data, tmp_path / "run", "--resume"))
    assert metrics(tmp_path / "run") == metrics(whole_run)


def test_tensorboard_events_hold_the_rows(data, small_net, tmp_path):
    for part in (["--max_steps=3"], ["--resume"]):
        train.main(flags(data, tmp_path / "run", f"--summary_dir={tmp_path / 'events'}", *part))
    first, second = (list(read_events(path)) for path in sorted((tmp_path / "events").iterdir()))
    assert first[0].file_version == "brain.Event:2"
    assert second[1].session_log.status == second[1].session_log.START and second[1].step == 4
    losses = [(event.step, value.simple_value) for event in first + second for value in event.summary.value
              if value.tag == "loss"]
    rows = [(int(row[0]), float(row[2])) for row in metrics(tmp_path / "run")[1:]]
    assert [step for step, _ in losses] == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(losses, rows, rtol=1e-5)


def read_events(path):
    from tensorboardX.proto.event_pb2 import Event

    content = path.read_bytes()
    while content:
        size = int.from_bytes(content[:8], "little")
        yield Event.FromString(content[12:12 + size])
        content = content[12 + size + 4:]


class FakeMoxing:
    """Stands for ModelArts' moxing: `file.copy_parallel` notes what it is asked for."""

    def __init__(self, content=None):
        self.file, self.copied, self.content = self, [], content

    def copy_parallel(self, src_url, dst_url):
        self.copied.append((src_url, str(dst_url)))
        if src_url == "obs://results":
            shutil.copytree(self.content, dst_url)


def cloud(data, folder, *more):
    return flags("/nowhere", folder, "--modelArts_mode=True", "--data_url=obs://data", "--train_url=obs://results",
                 *more)


def test_modelarts_copies_data_in_and_results_out(data, whole_run, small_net, tmp_path, monkeypatch):
    moxing = FakeMoxing(content=tmp_path / "first")
    monkeypatch.setitem(sys.modules, "moxing", moxing)
    monkeypatch.setattr(modelarts, "LOCAL_DATA", str(data))
    assert train.main(cloud(data, tmp_path / "first", "--max_steps=4")) == 0
    assert moxing.copied == [("obs://data", str(data)), (str(tmp_path / "first"), "obs://results")]
    assert train.main(cloud(data, tmp_path / "second", "--resume")) == 0
    assert moxing.copied[2:] == [("obs://data", str(data)), ("obs://results", str(tmp_path / "second")),
                                 (str(tmp_path / "second"), "obs://results")]
    assert_same_checkpoint(tmp_path / "second/run_last.ckpt", whole_run / "run_last.ckpt")


def test_modelarts_keeps_the_results_of_a_run_that_fails(data, small_net, tmp_path, monkeypatch):
    moxing = FakeMoxing()
    monkeypatch.setitem(sys.modules, "moxing", moxing)
    monkeypatch.setattr(modelarts, "LOCAL_DATA", str(data))
    with pytest.raises(InputError, match="loss"):
        train.main(cloud(data, tmp_path, "--lr=1e30"))
    assert moxing.copied[-1] == (str(tmp_path), "obs://results")


def test_modelarts_elsewhere_is_one_line(data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "moxing", None)
    for argv, text in ((cloud(data, tmp_path), "moxing is missing"), (cloud(data, tmp_path, "--data_url="), "--data_url"),
                       (cloud(data, tmp_path, "--train_url=", "--resume"), "--train_url")):
        with pytest.raises(UsageError, match=text):
            train.main(argv)


@pytest.fixture
def script(tmp_path):
    """run_standalone_train.sh in a folder where train.py only prints its arguments."""
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


def test_the_standalone_script_trains_as_the_reference(script, tmp_path):
    run = script("data", "name", "GPU", "--resume")
    assert run.returncode == 0, run.stderr
    folder, *arguments = run.stdout.split()
    assert folder == str(tmp_path / "repo")
    options = train.config.parse(arguments, train.SECTIONS, "")
    assert (options.device_target, options.device_id, options.dir_data) == ("GPU", 3, str(tmp_path / "data"))
    assert (options.filename, options.ckpt_save_path, options.resume) == ("name", "ckpt/name", True)
    assert (options.lr, options.patch_size, options.epochs, options.contra_lambda) == (1e-4, 256, 600, 20.0)


@pytest.mark.parametrize("arguments", [(), ("data", "name"), ("nowhere", "name", "CPU"), ("data", "name", "TPU")])
def test_wrong_arguments_of_the_standalone_script_show_its_usage(script, arguments):
    run = script(*arguments)
    assert run.returncode == 2 and run.stdout == ""
    assert run.stderr.startswith("Usage: bash scripts/run_standalone_train.sh [TRAIN_DATA_PATH] [FILENAME] [DEVICE]")
