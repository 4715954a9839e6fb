"""An evaluation that is stopped, or dies, keeps its rows, says that it is partial, and --resume goes on with it."""
import csv
import json
import signal
from types import SimpleNamespace

import numpy as np
import pytest

from halving import HalvingNetwork
from src.cli import eval as script
from src.data.images import write_image
from src.dehaze.dehazer import Dehazer
from src.distributed.ranks import Ranks
from src.errors import InputError, UsageError
from src.evaluate.evaluation import Evaluation

COUNT = 6


class FailingNetwork(HalvingNetwork):
    """Raises `error` instead of the image with this number, counted from 0."""

    error, at = None, -1

    def __call__(self, x):
        if len(self.seen) == self.at:
            self.seen.append(x.shape)
            raise self.error
        return super().__call__(x)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Call eval.py on six pairs and the halving network, which fails at one image. Returns: exit code."""
    for kind in ("hazy", "GT"):
        (tmp_path / "set" / kind).mkdir(parents=True)
    for index in range(COUNT):
        clear = np.random.default_rng(index).integers(0, 120, (16, 20, 3)).astype(np.uint8)
        write_image(tmp_path / f"set/hazy/{index}.png", clear * 2 + 3)
        write_image(tmp_path / f"set/GT/{index}.png", clear)

    def call(*flags, error=None, at=-1, out="out"):
        network = FailingNetwork(tmp_path / "halving.ckpt")
        network.error, network.at, call.network = error, at, network
        monkeypatch.setattr(script, "open_dehazer", lambda options, mindir_path: Dehazer(
            tile=options.tile, overlap=options.overlap, network=network))
        return script.main(["--dir_data", str(tmp_path / "set"), "--data_test", "Pairs", "--ckpt_path",
                            str(network.path), "--output_dir", str(tmp_path / out), *flags])

    return call


def scores(folder):
    """The rows of metrics.csv without the seconds, by name in their order."""
    with open(folder / "metrics.csv", newline="") as file:
        return {row["name"]: [value for key, value in row.items() if key != "seconds"] for row in csv.DictReader(file)}


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


@pytest.mark.parametrize("error", (KeyboardInterrupt(), KeyboardInterrupt(signal.SIGTERM), MemoryError(),
                                   RuntimeError("of MindSpore")), ids=repr)
def test_what_was_scored_is_kept_and_resume_does_the_rest(run, tmp_path, capsys, error):
    run(out="whole")
    assert summary(tmp_path / "whole")["complete"] is True
    with pytest.raises(type(error)) as raised:
        run(error=error, at=4)
    assert raised.value is error
    assert scores(tmp_path / "out") == dict(list(scores(tmp_path / "whole").items())[:4])
    assert summary(tmp_path / "out")["complete"] is False and summary(tmp_path / "out")["images"] == 4
    assert "partial, 4 of 6 images" in capsys.readouterr().out
    assert run("--resume") == 0
    assert len(run.network.seen) == 2
    assert scores(tmp_path / "out") == scores(tmp_path / "whole")
    assert list(scores(tmp_path / "out")) == [str(index) for index in range(COUNT)]
    assert summary(tmp_path / "out")["complete"] is True
    for key, value in summary(tmp_path / "whole")["means"].items():
        assert summary(tmp_path / "out")["means"][key] == pytest.approx(value, rel=1e-5)


def test_an_evaluation_stopped_while_it_diagnoses_the_network_can_go_on(run, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Evaluation, "diagnose", stop)
        with pytest.raises(KeyboardInterrupt):
            run()
    assert summary(tmp_path / "out")["complete"] is False and scores(tmp_path / "out") == {}
    assert run("--resume") == 0 and len(run.network.seen) == COUNT


def test_no_rank_starts_before_the_summary_says_that_rows_will_be_missing(run, tmp_path, monkeypatch):
    """Otherwise `--resume` could not use the rows of a run that was stopped early."""
    told = []

    def gather_objects(ranks, value):
        told.append((summary(tmp_path / "out")["complete"], (tmp_path / "out/metrics.csv").exists()))
        return [value]

    run()
    monkeypatch.setattr(Ranks, "gather_objects", gather_objects)
    run()
    assert told[0] == (False, False)


def test_rows_come_as_they_are_scored_and_outlive_a_process_that_dies(run, tmp_path, monkeypatch):
    run(out="whole")

    def die(*_):
        raise SystemError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(Evaluation, "write", die)
        with pytest.raises(SystemError):
            run()
    with open(tmp_path / "out/metrics.csv", "a") as file:
        file.write("half,20,16,3")
    assert summary(tmp_path / "out")["complete"] is False
    assert run("--resume") == 0 and run.network.seen == []
    assert scores(tmp_path / "out") == scores(tmp_path / "whole")


def test_an_image_is_done_again_where_its_picture_is_missing(run, tmp_path):
    run()
    assert run("--resume", "--save_images") == 0 and len(run.network.seen) == COUNT
    (tmp_path / "out/images/2.png").unlink()
    assert run("--resume", "--save_images") == 0 and len(run.network.seen) == 1


def test_nothing_is_deleted_before_an_evaluation_starts(run, tmp_path):
    run()
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    Evaluation(SimpleNamespace(resume=False, report=False, save_images=True), tmp_path / "out", None, [], Ranks())
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_a_new_evaluation_starts_from_nothing(run):
    run()
    assert run() == 0 and len(run.network.seen) == COUNT


def test_resume_is_refused_for_another_checkpoint_or_other_options(run, tmp_path):
    with pytest.raises(InputError, match="--resume: .*summary.json"):
        run("--resume")
    run()
    before = (tmp_path / "out/metrics.csv").read_bytes()
    with pytest.raises(UsageError, match="--resume: .*tile 0, not 32"):
        run("--resume", "--tile", "32", "--overlap", "8")
    with pytest.raises(UsageError, match="--report: .*--resume"):
        run("--resume", "--report")
    facts = summary(tmp_path / "out")
    (tmp_path / "out/summary.json").write_text(json.dumps({**facts, "checkpoint_sha256": "0" * 64}))
    with pytest.raises(UsageError, match=f"checkpoint_sha256 {'0' * 64}, not "):
        run("--resume")
    assert (tmp_path / "out/metrics.csv").read_bytes() == before
    (tmp_path / "out/summary.json").write_text(json.dumps(facts))
    (tmp_path / "out/metrics.csv").write_text("name,width\na,wide\n")
    with pytest.raises(InputError, match="metrics.csv: cannot be read"):
        run("--resume")
