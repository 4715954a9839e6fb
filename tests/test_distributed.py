"""Distributed runs with msrun on CPU: the ranks learn together and end together."""
import ctypes
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from said import line_with

from distributed import Record, use_small_nets
from src.cli import launch, train
from src.distributed import signals
from src.distributed.processes import first_error
from src.distributed.ranks import Ranks, join_ranks
from src.distributed.signals import STOP_RANK
from src.errors import UsageError
from src.train import setup
from training import (
    ENVIRONMENT,
    ROOT,
    assert_same_checkpoint,
    checkpoint,
    flags,
    write_pairs,
)

STEPS = 3
CR = ("--contra_lambda=0.1", "--neg_num=2", "--vgg_random")
HALF = ("--amp_level=O3", "--loss_scale=4e36")  # near where gradients of float32 overflow
SIX_STEPS = ("--save_every=2", "--epochs=3")  # of two ranks, two steps an epoch
LIMIT = 800  # seconds for a command; below pyproject.toml's `faulthandler_timeout`, so that its ranks are ended


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """A folder with eight pairs."""
    return write_pairs(tmp_path_factory.mktemp("pairs") / "set", 8)


def start(arguments, **variables):
    """src/cli/launch.py as a process, which is killed at the end of the tests."""
    return subprocess.Popen(arguments, cwd=ROOT, env={**ENVIRONMENT, **variables}, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            preexec_fn=lambda: signals.end_with_parent(signal.SIGKILL))


def finish(process, folder):
    """Wait for a launcher and assert that no process of its run is left. Returns: exit code and output."""
    try:
        output, _ = process.communicate(timeout=LIMIT)
    finally:
        process.kill()  # if it still runs; msrun and the ranks end with it
    assert processes_of(folder) == [], output
    return process.returncode, output


def processes_of(folder):
    """Processes with the folder in their command line."""
    return [command for process in psutil.process_iter(["cmdline"]) if process.pid != os.getpid()
            for command in [" ".join(process.info["cmdline"] or [])] if str(folder) in command]


def command(workers, folder, *script):
    return [sys.executable, "-m", "src.cli.launch", f"--workers={workers}", f"--log_dir={folder / 'logs'}",
            *map(str, script)]


def driver(folder, *plans):
    """The command line of tests/distributed.py for the trainings."""
    (folder / "plans.json").write_text(json.dumps(plans))
    return "tests/distributed.py", folder / "plans.json"


def run(workers, folder, *plans):
    return finish(start(command(workers, folder, *driver(folder, *plans))), folder)


def training(pairs, folder, name, *more, **plan):
    """The plan of a training, see tests/distributed.py."""
    return {"flags": flags(pairs, folder / name, *more), "record": str(folder / name), **plan}


def alone(pairs, folder, *more, small=False):
    """The parameters after a training in one process."""
    with pytest.MonkeyPatch.context() as patch:
        if small:
            use_small_nets(patch.setattr)
        assert train.main(flags(pairs, folder, f"--max_steps={STEPS}", *more)) == 0
    return checkpoint(folder / "run_last.ckpt")[0]


@pytest.fixture(scope="module")
def two_ranks(pairs, tmp_path_factory):
    """Trainings on two ranks of two images each: the folder with their records."""
    folder = tmp_path_factory.mktemp("two_ranks")
    three = f"--max_steps={STEPS}"
    code, output = run(
        2, folder, training(pairs, folder, "paper", three, "--arch=paper", "--lr=0.00001"),
        training(pairs, folder, "cr", three, *CR, "--data_test=Pairs", "--test_images=3", small=True),
        training(pairs, folder, "half", three, *HALF, small=True),
        training(pairs, folder, "six", *SIX_STEPS, small=True))
    assert code == 0, output
    return folder


@pytest.fixture(scope="module")
def paper_alone(pairs, tmp_path_factory):
    """The training "paper" in one process with twice the batch: the parameters after all steps, and after the first."""
    with pytest.MonkeyPatch.context() as patch:
        record = Record({}, patch.setattr)
        last = alone(pairs, tmp_path_factory.mktemp("paper"), "--arch=paper", "--lr=0.00001", "--batch_size=4")
    return last, record.first_step


@pytest.fixture(scope="module")
def four_ranks(pairs, tmp_path_factory):
    """A training on four ranks of one image each."""
    folder = tmp_path_factory.mktemp("four_ranks")
    code, output = run(4, folder, training(pairs, folder, "small", f"--max_steps={STEPS}", "--batch_size=1",
                                           "--data_test=Pairs", "--test_images=6", small=True))
    assert code == 0, output
    return folder


def record(folder, name, rank):
    """The parameters and facts that a rank has recorded."""
    return dict(np.load(folder / f"{name}_{rank}.npz")), json.loads((folder / f"{name}_{rank}.json").read_text())


def assert_learnt_alike(found, expected, gradients=1e-5):
    """Assert that weights agree to 1e-5, and Adam's moments to a fraction of the largest in their layer."""
    assert found.keys() == expected.keys()
    for name in expected:
        limit = gradients * np.abs(expected[name]).max() if name.startswith("optimizer.moment") else 1e-5
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=limit, err_msg=name)


# Tolerance after some steps of AECR-Net. Its ReLUs and bilinear samples have kinks, where rounding decides on
# the side of a gradient. A process that accumulates two batches differs as much from one process with a large batch.
KINKS = 0.01


# What the ranks learn

@pytest.mark.slow
def test_two_ranks_learn_what_one_learns_from_twice_the_batch(two_ranks, paper_alone):
    """The graph is the authors'. Its FastDeconv whitens with the patches of all ranks."""
    expected, _ = paper_alone
    assert {"deconv.running_mean", "deconv.running_deconv"} <= expected.keys()
    assert_learnt_alike(record(two_ranks, "paper", 0)[0], expected, KINKS)


@pytest.mark.slow
def test_gradients_of_two_ranks_are_those_of_twice_the_batch(two_ranks, paper_alone):
    """After the first step, Adam's moments hold the gradients of this step alone."""
    _, expected = paper_alone
    assert_learnt_alike(dict(np.load(two_ranks / "paper_first_step_0.npz")), expected)


@pytest.mark.slow
def test_four_ranks_learn_what_one_learns_from_four_times_the_batch(pairs, four_ranks, tmp_path):
    assert_learnt_alike(record(four_ranks, "small", 0)[0], alone(pairs, tmp_path, "--batch_size=4", small=True))


@pytest.mark.slow
def test_the_contrastive_loss_is_the_mean_over_ranks_of_that_of_their_own_batches(pairs, two_ranks, tmp_path):
    expected = alone(pairs, tmp_path, *CR, "--accumulate=2", small=True)
    assert_learnt_alike(record(two_ranks, "cr", 0)[0], expected)
    np.testing.assert_allclose(losses(two_ranks / "cr"), losses(tmp_path), rtol=1e-5)


def losses(folder):
    """Loss, L1 and CR of the steps in metrics.csv."""
    rows = [line.split(",")[2:5] for line in (folder / "metrics.csv").read_text().splitlines()[1:]]
    return [[float(value) for value in row] for row in rows if row[0]]


@pytest.mark.slow
def test_the_loss_scale_of_two_ranks_is_that_of_one_with_twice_the_batch(pairs, two_ranks, tmp_path):
    expected = alone(pairs, tmp_path, *HALF, "--batch_size=4", small=True)
    assert expected["optimizer.step"] == expected["optimizer.loss_scale_steps"] == STEPS
    assert_learnt_alike(record(two_ranks, "half", 0)[0], expected)


@pytest.mark.slow
def test_all_ranks_end_with_the_same_parameters(two_ranks, four_ranks):
    for folder, name, size in ((two_ranks, "paper", 2), (two_ranks, "cr", 2), (two_ranks, "half", 2),
                               (four_ranks, "small", 4)):
        first, _ = record(folder, name, 0)
        for rank in range(1, size):
            other, _ = record(folder, name, rank)
            assert first.keys() == other.keys()
            for parameter in first:
                np.testing.assert_array_equal(first[parameter], other[parameter], err_msg=parameter)


@pytest.mark.slow
def test_each_image_is_seen_once_an_epoch(two_ranks, four_ranks):
    names = [str(index) for index in range(8)]
    for folder, name, share in ((two_ranks, "six", 4), (four_ranks, "small", 2)):
        loaded = [record(folder, name, rank)[1]["loaded"][:share] for rank in range(8 // share)]
        assert sorted(sum(loaded, [])) == names


@pytest.mark.slow
def test_validation_shared_by_ranks_is_that_of_one_process(two_ranks, four_ranks):
    """Three images on two ranks and six on four: the ranks have different numbers of images."""
    for folder, name, size in ((two_ranks, "cr", 2), (four_ranks, "small", 4)):
        for rank in range(size):
            _, facts = record(folder, name, rank)
            np.testing.assert_allclose(facts["shared"], facts["alone"], rtol=1e-6)


# How the ranks end

@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells a process of its parent's death")
@pytest.mark.parametrize("variables, expected", [({"RANK_SIZE": "2"}, 0), ({"MS_ROLE": "MS_WORKER"}, STOP_RANK)])
def test_only_a_rank_of_msrun_ends_with_its_parent(variables, expected, monkeypatch):
    """The launcher of a rank table may end before its ranks."""
    for name in ("RANK_SIZE", "MS_ROLE", "MS_NODE_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for name, value in (("init", None), ("get_rank", 0), ("get_group_size", 2)):
        monkeypatch.setattr(f"mindspore.communication.{name}", lambda value=value: value)
    try:
        join_ranks()
        found = ctypes.c_int(-1)
        ctypes.CDLL(None).prctl(2, ctypes.byref(found))  # PR_GET_PDEATHSIG
    finally:
        signals.end_with_parent(0)
    assert found.value == expected


@pytest.mark.slow
def test_a_killed_and_an_interrupted_run_go_on_to_what_an_undisturbed_one_comes_to(pairs, two_ranks, tmp_path):
    """SIGKILL of rank 1 in an epoch, then Ctrl-C in the resumed run, then the last part on two hosts of one rank."""
    code, output = run(2, tmp_path, training(pairs, tmp_path, "run", *SIX_STEPS, small=True, kill=[1, 3]))
    assert time.time() - (tmp_path / "logs/worker_1.log").stat().st_mtime < 60
    assert code == 128 + signal.SIGKILL
    assert f"error: rank 1 was killed by SIGKILL; all ranks of this host are stopped, their logs are in {tmp_path}" \
        in output
    assert checkpoint(tmp_path / "run/run_last.ckpt")[1]["step"] == 2

    resumed = training(pairs, tmp_path, "run", *SIX_STEPS, "--resume", small=True)
    code, output = run(2, tmp_path, {**resumed, "interrupt": [1, 3]})
    assert code == 0, output
    steps = [record(tmp_path, "run", rank)[1]["step"] for rank in (0, 1)]
    assert 3 <= steps[0] < 6 and steps == [checkpoint(tmp_path / "run/run_last.ckpt")[1]["step"]] * 2
    line_with(output, "stopped", f"{steps[0]} of 6", "--resume")

    (code, output), (other_code, other_output) = on_two_hosts(tmp_path, resumed)
    assert (code, other_code) == (0, 0), output + other_output
    assert "finished: step 6 of 6" in output
    assert_same_checkpoint(tmp_path / "run/run_last.ckpt", two_ranks / "six/run_last.ckpt")


@pytest.mark.slow
def test_a_crash_of_a_rank_after_its_work_is_done_is_no_failure(pairs, tmp_path):
    """MindSpore has been seen to crash while it takes leave of its scheduler."""
    code, output = run(2, tmp_path, training(pairs, tmp_path, "run", "--epochs=1", small=True, crash=0))
    assert code == 0, output
    assert "Error code: -11" in (tmp_path / "logs/msrun_0.log").read_text()
    assert output.rstrip().splitlines()[-1].startswith("finished: step 2 of 2")
    assert "RANK(" not in output


def on_two_hosts(folder, plan):
    """Run one rank on each of two hosts. The second host has no address of this machine and starts no scheduler."""
    (folder / "bin").mkdir()
    (folder / "bin/ip").write_text("#!/bin/sh\necho '[]'\n")
    (folder / "bin/ip").chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        hosts = {"NODES": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    arguments = command(1, folder, *driver(folder, plan))
    first = start(arguments, **hosts, NODE_RANK="0")
    second = start(arguments, **hosts, NODE_RANK="1", PATH=f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    try:
        return [(process.wait(LIMIT), process.stdout.read()) for process in (first, second)]
    finally:
        first.kill(), second.kill()


@pytest.mark.slow
def test_an_unreadable_image_of_one_rank_ends_all_with_their_progress_saved(tmp_path):
    pairs = write_pairs(tmp_path / "set", 8)
    plan = training(pairs, tmp_path, "run", "--batch_size=1", small=True)
    data = setup.train_dataset(train.config.parse(plan["flags"], train.SECTIONS, ""), Ranks(0, 2))
    broken = pairs / f"hazy/{data.batch_names(3, 1)[0]}.png"
    broken.write_bytes(b"no image")
    code, output = run(2, tmp_path, plan)
    assert code == 1
    assert f"rank 1: error: {broken}" in output  # msrun may kill rank 0 before it says what it saw of this
    assert checkpoint(tmp_path / "run/run_last.ckpt")[1]["step"] == 3


@pytest.mark.slow
def test_evaluation_shared_by_ranks_writes_the_table_of_one_process(pairs, random_checkpoint, tmp_path):
    arguments = ["--dir_data", pairs, "--data_test", "Pairs", "--ckpt_path", random_checkpoint, "--report"]
    arguments = [*map(str, arguments), f"--output_dir={tmp_path}"]
    code, output = finish(start(command(2, tmp_path, "eval.py", *arguments)), tmp_path)
    assert code == 0, output
    shared = scores(tmp_path)
    assert importlib.import_module("src.cli.eval").main(arguments) == 0
    assert scores(tmp_path) == shared
    assert len(shared[0]) == 9 and shared[1]["images"] == 8


@pytest.mark.slow
def test_an_interrupted_evaluation_keeps_the_rows_of_all_ranks(random_checkpoint, tmp_path):
    """By SIGTERM. Another test stops ranks by Ctrl-C, on which the launcher does the same."""
    pairs = write_pairs(tmp_path / "set", 200)
    process = start(command(2, tmp_path, "eval.py", "--dir_data", pairs, "--data_test", "Pairs", "--ckpt_path",
                            random_checkpoint, f"--output_dir={tmp_path / 'out'}"))
    end = time.monotonic() + 200
    while not (tmp_path / "out/metrics.csv").exists():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    code, output = finish(process, tmp_path)
    assert code == 128 + signal.SIGTERM and "Traceback" not in output, output
    assert "interrupted; what was finished is kept" in output.splitlines()
    rows = (tmp_path / "out/metrics.csv").read_text().splitlines()[1:]
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert 0 < len(rows) < 200 and summary["images"] == len(rows) and summary["complete"] is False
    assert f"partial, {len(rows)} of 200 images" in output


@pytest.mark.slow
def test_a_run_on_one_host_listens_on_its_own_address_alone(tmp_path):
    code, output = finish(start(command(2, tmp_path, "tests/listening.py")), tmp_path)
    assert code == 0, output
    listening = [line for line in output.splitlines() if line.startswith("listens: ")]
    assert listening and set(listening) == {"listens: 127.0.0.1"}


def scores(folder):
    """metrics.csv without seconds, the summary without time and memory, the report without its list of facts."""
    rows = [line.split(",")[:-1] for line in (folder / "metrics.csv").read_text().splitlines()]
    summary = json.loads((folder / "summary.json").read_text())
    del summary["seconds_per_image"], summary["peak_memory_mb"]
    report = [line for line in (folder / "report.html").read_text().splitlines() if 'class="facts"' not in line]
    return rows, summary, report


# The scripts

@pytest.mark.slow
def test_the_script_trains_the_reference_graph(pairs, tmp_path):
    more = ["--data_train=Pairs", "--patch_size=16", "--batch_size=2", "--contra_lambda=0", "--max_steps=3",
            "--lr=0.00001"]
    code, output = finish(start(
        ["bash", "scripts/run_distribute_train.sh", str(pairs), "run", "2", *more, f"--ckpt_save_path={tmp_path}"],
        DEVICE_TARGET="CPU", LOG_DIR=str(tmp_path / "logs")), tmp_path)
    assert code == 0, output
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == [
        "msrun_0.log", "scheduler.log", "worker_0.log", "worker_1.log"]
    assert "3/1200" in output and "[WARNING]" not in output
    parameters, facts = checkpoint(tmp_path / "run_last.ckpt")
    assert facts["step"] == 3 and facts["arch"] == "gitee"
    moments = [value for name, value in parameters.items() if name.startswith("optimizer.moment1.")]
    assert moments and all(np.isfinite(value).all() and value.any() for value in moments)


@pytest.mark.slow
@pytest.mark.parametrize("arguments, said", [
    (["x"], "three arguments are needed, found 1"),
    (["missing", "x", "2"], "TRAIN_DATA_DIR missing is not a folder"),
    (["src", "x", "0"], "DEVICE_NUM must be a number from 1 on, not 0"),
    (["src", "x", "2", "missing.json"], "RANK_TABLE_FILE missing.json: no such file"),
])
def test_the_script_says_what_is_wrong_with_its_arguments(arguments, said):
    done = subprocess.run(["bash", "scripts/run_distribute_train.sh", *arguments], cwd=ROOT, capture_output=True,
                          text=True)
    assert done.returncode == 2 and done.stderr.startswith("Usage: ") and done.stderr.endswith(f"error: {said}\n")


def test_hosts_come_from_the_environment():
    assert launch.read_cluster({"MASTER_PORT": "9000"}) == launch.Cluster(port=9000)
    hosts = {"NODES": "4", "NODE_RANK": "3", "MASTER_ADDR": "10.0.0.1"}
    assert launch.read_cluster(hosts) == launch.Cluster(4, 3, "10.0.0.1", 8118)
    for name, value, said in (("NODES", "x", "NODES must be a number from 1 to 65536, not x"),
                              ("NODE_RANK", "4", "NODE_RANK must be a number from 0 to 3, not 4"),
                              ("MASTER_ADDR", "", "MASTER_ADDR must be set for NODES=4"),
                              ("MASTER_PORT", "80", "MASTER_PORT must be a number from 1024 to 65535, not 80")):
        with pytest.raises(UsageError, match=said):
            launch.read_cluster({**hosts, name: value})


def test_the_first_error_of_a_log_is_found(tmp_path):
    log = tmp_path / "worker_1.log"
    assert first_error(log) == ""
    log.write_text("50%\r100%\nTraceback (most recent call last):\n  File x\nValueError: bad\nmore\n")
    assert first_error(log) == "ValueError: bad"
    log.write_text("1 %\rerror: no such file\nerror: another\n")
    assert first_error(log) == "error: no such file"
