"""After a kill at any moment, or on a full disk, the last checkpoint is whole and a run resumes from it."""
import signal

import pytest

from src.cli import train
from training import assert_same_checkpoint, checkpoint, flags, logged_steps, metrics, run_child

pytestmark = pytest.mark.slow

pytest_plugins = "training_fixtures"


KILLED_IN_STEP_5 = """
import os, signal, sys
import mindspore
import training
from src.cli import train
from src.train.log import TrainingLog

original = TrainingLog.add_step

def add_step(log, step, **values):
    original(log, step, **values)
    if step == 5:
        os.kill(os.getpid(), signal.SIGKILL)

TrainingLog.add_step = add_step
training.use_small_net()
train.main(training.flags(sys.argv[1], sys.argv[2], "--save_every=2"))
"""


def test_kill_9_goes_on_from_the_last_saved_step(train_data, whole_run, small_net, tmp_path):
    assert run_child(KILLED_IN_STEP_5, train_data, tmp_path).returncode == -signal.SIGKILL
    assert checkpoint(tmp_path / "run_last.ckpt")[1]["step"] == 4
    assert logged_steps(tmp_path) == 5
    train.main(flags(train_data, tmp_path, "--resume"))
    assert_same_checkpoint(tmp_path / "run_last.ckpt", whole_run / "run_last.ckpt")
    assert metrics(tmp_path) == metrics(whole_run)


# One run for each stage of a save. It kills itself in its second save. The runs are forks, which are made before
# MindSpore starts its threads.
KILLED_WHILE_SAVING = """
import os, signal, sys
import mindspore
import training
from src.cli import train
from src.train.state import TrainState

train_data, folder, stages = sys.argv[1], sys.argv[2], sys.argv[3:]
write, replace, save = mindspore.save_checkpoint, os.replace, TrainState.save_last

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def inside_mindspore(*arguments, **facts):
    os.rename = os.replace = kill  # it writes under a name of its own, which it then renames
    write(*arguments, **facts)

def half(values, path, **facts):
    write(values, path, **facts)
    os.chmod(path, 0o600)  # MindSpore forbids its owner to write
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
        TrainState.save_last = lambda state: save_last(state, stage)
        train.main(training.flags(train_data, folder + "/" + stage, "--save_every=2"))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL, stage
"""
STAGES = ["before writing", "inside MindSpore", "half written", "before sync", "before rename", "after rename"]


@pytest.fixture(scope="module")
def killed_while_saving(train_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    child = run_child(KILLED_WHILE_SAVING, train_data, folder, *STAGES)
    assert child.returncode == 0, child.stderr
    return folder


@pytest.mark.parametrize("stage", STAGES)
def test_kill_9_while_saving_leaves_a_whole_checkpoint(killed_while_saving, train_data, whole_run, small_net, stage):
    folder = killed_while_saving / stage
    assert checkpoint(folder / "run_last.ckpt")[1]["step"] == (3 if stage == "after rename" else 2)
    train.main(flags(train_data, folder, "--resume"))
    assert_same_checkpoint(folder / "run_last.ckpt", whole_run / "run_last.ckpt")
    assert metrics(folder) == metrics(whole_run)
    assert not list(folder.glob(".*")), "temporary files are left"


FULL_DISK = """
import resource, sys
import mindspore
import training
from src.cli import train
from src.train.log import TrainingLog

train_data, folder, first, last = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
original = TrainingLog.add_step
free = resource.getrlimit(resource.RLIMIT_FSIZE)

def add_step(log, step, **values):
    if step == first:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, free[1]))
    if step == last:
        resource.setrlimit(resource.RLIMIT_FSIZE, free)
    original(log, step, **values)

TrainingLog.add_step = add_step
training.use_small_net()
sys.exit(train.main(training.flags(train_data, folder, "--save_every=2", "--tracker=tensorboard",
                                     f"--summary_dir={folder}/events")))
"""


def test_a_full_disk_is_reported_and_training_goes_on(train_data, whole_run, tmp_path):
    child = run_child(FULL_DISK, train_data, tmp_path, 3, 5)
    assert child.returncode == 0, child.stderr
    assert f"warning: {tmp_path}/run_last.ckpt: could not be saved ([Errno 27] File too large); " \
           "the file before it is kept, training goes on" in child.stdout
    assert "warning: metrics.csv could not be written" in child.stdout
    assert_same_checkpoint(tmp_path / "run_last.ckpt", whole_run / "run_last.ckpt")
    assert metrics(tmp_path) == metrics(whole_run)


def test_a_disk_that_stays_full_costs_the_exit_code_and_no_checkpoint(train_data, whole_run, small_net, tmp_path):
    child = run_child(FULL_DISK, train_data, tmp_path, 3, 1000)
    assert child.returncode == 1, child.stderr
    assert "Traceback" not in child.stderr
    assert "the state of step 6 is not saved; the last good checkpoint is" in child.stdout
    assert checkpoint(tmp_path / "run_last.ckpt")[1]["step"] == 2
    assert not list(tmp_path.glob(".*")), "temporary files are left"
    train.main(flags(train_data, tmp_path, "--resume"))
    assert_same_checkpoint(tmp_path / "run_last.ckpt", whole_run / "run_last.ckpt")
