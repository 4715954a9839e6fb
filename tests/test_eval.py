"""eval.py scores every readable pair, names every other pair, and records how the numbers were made."""
import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from said import line_with

from halving import HalvingNetwork
from src.cli import eval as script
from src.data import demo
from src.data.images import read_image, write_image
from src.dehaze.dehazer import BENCHMARK_CHECKPOINT, SHIPPED_CHECKPOINT, Dehazer
from src.errors import InputError, UsageError
from src.evaluate import metrics

ROOT = Path(__file__).resolve().parent.parent


def clear_photo(seed, height=32, width=40):
    rng = np.random.default_rng(seed)
    return np.kron(rng.integers(0, 120, (height // 4, width // 4, 3)), np.ones((4, 4, 1))).astype(np.uint8)


@pytest.fixture
def pairs(tmp_path):
    """Three pairs that the halving network restores exactly, up to rounding. Pair b has another size."""
    for name, width in (("a", 40), ("b", 48), ("c", 40)):
        clear = clear_photo(ord(name), width=width)
        write_pair(tmp_path / "set", name, clear * 2, clear)
    return tmp_path / "set"


def write_pair(root, name, hazy, clear):
    for kind, image in (("hazy", hazy), ("GT", clear)):
        (root / kind).mkdir(parents=True, exist_ok=True)
        write_image(root / kind / f"{name}.png", image)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Call eval.py on the halving network. Returns: exit code."""
    network = HalvingNetwork(tmp_path / "halving.ckpt")
    monkeypatch.setattr(script, "open_dehazer", lambda options, mindir_path: Dehazer(
        tile=options.tile, overlap=options.overlap, self_ensemble=options.self_ensemble, network=network,
        work_size=options.work_size, strength=options.strength))

    def call(*flags, data_test="Pairs", dir_data=tmp_path / "set"):
        data = ["--dir_data", str(dir_data), "--data_test", data_test] if data_test else []
        return script.main([*data, "--ckpt_path", str(network.path), "--output_dir", str(tmp_path / "out"), *flags])

    call.network = network
    return call


def table(folder):
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def summary(folder):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads((folder / "summary.json").read_text(), parse_constant=refuse)


def test_every_pair_is_scored_by_name_and_the_means_are_of_the_rows(run, pairs, tmp_path, capsys):
    assert run() == 0
    rows = table(tmp_path / "out")
    assert [row["name"] for row in rows] == ["a", "b", "c"]
    assert [row["width"] for row in rows] == ["40", "48", "40"] and {row["height"] for row in rows} == {"32"}
    hazy, clear = read_image(pairs / "hazy/b.png"), read_image(pairs / "GT/b.png")
    assert float(rows[1]["psnr_hazy"]) == pytest.approx(metrics.psnr(hazy, clear), rel=1e-4)
    assert float(rows[1]["ssim_hazy"]) == pytest.approx(metrics.ssim(hazy, clear), rel=1e-4)
    assert float(rows[1]["ssim_y_hazy"]) == pytest.approx(metrics.ssim_y(hazy, clear), rel=1e-4)
    assert {row["psnr"] for row in rows} == {"inf"} and {row["ssim"] for row in rows} == {"1"}
    facts = summary(tmp_path / "out")
    assert facts["means"]["psnr_hazy"] == pytest.approx(np.mean([float(row["psnr_hazy"]) for row in rows]), rel=1e-4)
    assert facts["means"]["psnr"] == "inf" and facts["means"]["ssim"] == 1.0
    shown = capsys.readouterr().out
    assert f"{facts['means']['psnr_hazy']:.2f}" in shown and "3 images" in shown


def test_summary_says_how_the_numbers_were_made(run, pairs, tmp_path):
    run("--tile", "32", "--overlap", "8")
    facts = summary(tmp_path / "out")
    assert facts["images"] == 3 and facts["checkpoint"] == str(run.network.path) and facts["arch"] == "halving"
    assert facts["tile"] == 32 and facts["overlap"] == 8 and facts["self_ensemble"] is False
    assert facts["versions"]["numpy"] == np.__version__ and len(facts["checkpoint_sha256"]) == 64
    assert facts["seconds_per_image"] > 0 and facts["peak_memory_mb"] > 10 and "Gaussian" in facts["protocol"]
    assert max(max(shape[2:]) for shape in run.network.seen) == 32


def test_equal_sizes_share_batches_and_the_order_of_rows_stays(run, pairs, tmp_path):
    assert run("--batch_size", "2") == 0
    assert sorted(run.network.seen) == [(1, 3, 32, 48), (2, 3, 32, 40)]
    assert run.network.expected == {(1, 3, 32, 48): 1, (2, 3, 32, 40): 1}
    assert [row["name"] for row in table(tmp_path / "out")] == ["a", "b", "c"]


def test_images_and_report_are_written_when_asked_for(run, pairs, tmp_path):
    run()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["metrics.csv", "summary.json"]
    assert run("--save_images", "--report") == 0
    for name in "abc":
        assert np.array_equal(read_image(tmp_path / f"out/images/{name}.png"), read_image(pairs / f"GT/{name}.png"))
    report = (tmp_path / "out/report.html").read_text()
    assert report.count("data:image/webp") == 9 and "halving.ckpt" in report and np.__version__ in report


def test_reside_ground_truth_with_a_border_is_cropped(run, tmp_path):
    clear = clear_photo(1, 52, 60)
    (tmp_path / "set/hazy").mkdir(parents=True)
    (tmp_path / "set/gt").mkdir()
    write_image(tmp_path / "set/gt/1400.png", clear)
    for level in (1, 2):
        write_image(tmp_path / f"set/hazy/1400_{level}.png", clear[10:-10, 10:-10] * 2)
    assert run(data_test="RESIDE") == 0
    assert [(row["name"], row["psnr"]) for row in table(tmp_path / "out")] == [("1400_1", "inf"), ("1400_2", "inf")]


def test_what_cannot_be_scored_is_named_and_the_rest_is_scored(run, pairs, tmp_path, capsys):
    clear = clear_photo(9)
    write_pair(pairs, "cut", clear * 2, clear)
    (pairs / "hazy/cut.png").write_bytes((pairs / "hazy/cut.png").read_bytes()[:150])
    write_pair(pairs, "other", clear[:28], clear)
    write_pair(pairs, "tiny", clear[:12], clear[:12])
    write_image(pairs / "hazy/alone.png", clear)
    assert run() == 1
    assert [row["name"] for row in table(tmp_path / "out")] == ["a", "b", "c"]
    shown = capsys.readouterr().err
    for text in ("cut.png: cannot be read as an image", "other.png is 40x28 but its ground truth",
                 "tiny.png: 40x12 px is too small", "alone.png: no ground truth",
                 "error: 4 of 7 images could not be scored, named above"):
        assert text in shown
    facts = summary(tmp_path / "out")
    assert facts["images"] == 3 and len(facts["failed"]) == 3
    assert [Path(path).name for path in facts["without_ground_truth"]] == ["alone.png"]


def test_a_set_where_nothing_can_be_scored_fails_without_numbers(run, tmp_path, capsys):
    write_pair(tmp_path / "set", "tiny", clear_photo(1)[:12], clear_photo(1)[:12])
    assert run() == 1
    assert table(tmp_path / "out") == [] and summary(tmp_path / "out")["means"] == {}
    assert "nan" not in capsys.readouterr().out


def test_a_bomb_is_skipped_until_the_limit_is_raised(run, pairs, tmp_path, capsys):
    assert run("--max_pixels", str(32 * 40)) == 1
    assert [row["name"] for row in table(tmp_path / "out")] == ["a", "c"]
    assert "b.png: " in capsys.readouterr().err
    assert run("--max_pixels", str(32 * 48)) == 0


def test_without_arguments_the_demo_photos_are_scored(run, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "demo_pairs", lambda: [("one", clear_photo(1) * 2, clear_photo(1))])
    assert run(data_test="") == 0
    assert [row["name"] for row in table(tmp_path / "out")] == ["one"]
    assert summary(tmp_path / "out")["data_test"] == "Demo"


@pytest.mark.parametrize("flags, error, text", (
    (["--dir_data", "x"], UsageError, "--dir_data x: needs --data_test"),
    (["--data_test", "Fog"], UsageError, "--data_test must be one of RESIDE, .*, Pairs, Demo, Photos, not Fog"),
    (["--data_test", "Dense", "--dir_data", "nowhere"], InputError, "--dir_data nowhere: no such folder"),
    (["--batch_size", "0"], UsageError, "--batch_size must be at least 1, not 0"),
    (["--max_pixels", "-1"], UsageError, "--max_pixels must be at least 0, not -1"),
    (["--tile", "30"], UsageError, "--tile 30"),
    (["--mindir_path", "x.mindir", "--raw_weights"], UsageError, "--raw_weights: an exported model holds one set"),
    (["--output_dir", "/proc/nowhere"], InputError, "--output_dir /proc/nowhere: cannot write there"),
    (["--ckpt_path", "none.ckpt"], InputError, "none.ckpt: no such checkpoint"),
    (["--ext", "img"], UsageError, "--ext")))
def test_mistakes_are_named(run, flags, error, text):
    with pytest.raises(error, match=text):
        run(*flags, data_test="")


def test_a_folder_named_in_a_configuration_is_not_left_out(run, tmp_path):
    (tmp_path / "my.yaml").write_text("eval: {dir_data: SOTS}\n")
    with pytest.raises(UsageError, match="--dir_data SOTS: needs --data_test"):
        run("--config", str(tmp_path / "my.yaml"), data_test="")


class FakePyiqa:
    """Stands for the package pyiqa, whose measures bring PyTorch. `brightness` is the mean of the values of 0..1, and
    `distance` the mean difference from the ground truth. It cannot take images of 48 px."""

    def list_models(self, metric_mode):
        return {"NR": ["brightness", "niqe"], "FR": ["distance", "lpips"]}[metric_mode]

    def create_metric(self, name, device):
        if name in ("niqe", "lpips"):
            raise OSError("no network")
        return {"brightness": lambda values: values.mean(), "distance": self.distance}[name]

    def distance(self, values, clear):
        if values.shape[-1] == 48:
            raise ValueError("too small")
        return abs(values - clear).mean()


def test_photos_without_truth_get_scores_of_their_own(run, tmp_path, monkeypatch, capsys):
    """A damaged photo is named, the others are scored; no PSNR appears anywhere."""
    monkeypatch.setitem(sys.modules, "pyiqa", FakePyiqa())
    (tmp_path / "photos").mkdir()
    for name in "ab":
        write_image(tmp_path / f"photos/{name}.png", clear_photo(ord(name)) * 2)
    (tmp_path / "photos/c.png").write_bytes(b"no image")
    flags = ("--iqa", "brightness", "--save_images")
    assert run(*flags, data_test="Photos", dir_data=tmp_path / "photos") == 1
    with open(tmp_path / "out/no_reference.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["a.png", "b.png"]
    for row in rows:
        assert float(row["brightness_hazy"]) == pytest.approx(2 * float(row["brightness"]), rel=0.01)
    output, errors = capsys.readouterr()
    assert "photos/c.png" in errors and "1 of 3 photos could not be scored" in errors
    line_with(output, run.network.path, "2 photos", "without ground truth")
    assert "PSNR" not in output
    assert summary(tmp_path / "out")["means_without_truth"].keys() == {"brightness", "brightness_hazy"}
    assert (tmp_path / "out/images/a.png").is_file()


def test_measures_with_truth_stand_beside_psnr(run, pairs, tmp_path, monkeypatch, capsys):
    """And are kept when an unfinished evaluation goes on. Without --iqa there are none."""
    monkeypatch.setitem(sys.modules, "pyiqa", FakePyiqa())
    clear = clear_photo(1)
    write_pair(tmp_path / "set", "b", clear * 2, clear)  # the size of a and c
    assert run("--iqa", "distance") == 0
    rows = table(tmp_path / "out")
    hazy, clear = (read_image(pairs / kind / "a.png") / 255.0 for kind in ("hazy", "GT"))
    assert float(rows[0]["distance_hazy"]) == pytest.approx(np.abs(hazy - clear).mean(), rel=1e-4)
    assert float(rows[0]["distance"]) == 0 and list(rows[0])[-1] == "seconds"
    facts = summary(tmp_path / "out")
    assert facts["iqa"] == "distance" and {"distance", "distance_hazy", "psnr"} <= facts["means"].keys()
    assert "  distance\n" in capsys.readouterr().out

    whole = (tmp_path / "out/metrics.csv").read_text().splitlines()
    (tmp_path / "out/metrics.csv").write_text("\n".join(whole[:2]) + "\n")
    assert run("--iqa", "distance", "--resume") == 0
    assert table(tmp_path / "out")[0] == rows[0] and len(table(tmp_path / "out")) == 3
    with pytest.raises(UsageError, match="was made with iqa distance, not empty"):
        run("--resume")
    assert run() == 0 and "distance" not in (tmp_path / "out/metrics.csv").read_text()


def test_a_pair_that_a_measure_cannot_take_is_named(run, pairs, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyiqa", FakePyiqa())
    assert run("--iqa", "distance") == 1
    assert [row["name"] for row in table(tmp_path / "out")] == ["a", "c"]
    assert "hazy/b.png: --iqa distance: fails on 48x32 px (too small)" in capsys.readouterr().err


def test_measures_that_cannot_be_had_are_one_line(run, pairs, tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    photos = {"data_test": "Photos", "dir_data": tmp_path / "photos"}
    cases = [
        (FakePyiqa(), ["--iqa", "lpips"], photos, UsageError, "--iqa lpips: is no measure of pyiqa without ground"),
        (FakePyiqa(), [], photos, InputError, "--iqa niqe: its weights cannot be had .no network."),
        (FakePyiqa(), ["--report"], photos, UsageError, "--report: needs ground truth"),
        (None, [], photos, UsageError, "--iqa niqe: needs the package pyiqa"),
        (FakePyiqa(), ["--iqa", "brightness"], {}, UsageError, "--iqa brightness: is no .* with ground truth"),
        (FakePyiqa(), ["--iqa", "lpips"], {}, InputError, "--iqa lpips: its weights cannot be had .no network."),
        (None, ["--iqa", "lpips"], {}, UsageError, "--iqa lpips: needs the package pyiqa, pip install")]
    for module, flags, where, error, text in cases:
        monkeypatch.setitem(sys.modules, "pyiqa", module)
        with pytest.raises(error, match=text):
            run(*flags, **where)
    assert not (tmp_path / "out").exists()


def evaluate(*flags, **environment):
    return subprocess.run([sys.executable, str(ROOT / "eval.py"), *map(str, flags)], capture_output=True, text=True,
                          timeout=300, env={**os.environ, **environment})


@pytest.mark.slow
def test_a_checkpoint_is_scored_from_the_command_line(pairs, random_checkpoint, tmp_path):
    done = evaluate("--ckpt_path", random_checkpoint, "--dir_data", pairs, "--data_test", "Pairs", "--output_dir",
                    tmp_path / "out")
    assert done.returncode == 0, done.stderr
    facts = summary(tmp_path / "out")
    assert facts["images"] == 3 and facts["arch"] == "gitee" and facts["step"] == 0
    restored = Dehazer(random_checkpoint).dehaze(pairs / "hazy/a.png")
    expected = metrics.psnr(restored, read_image(pairs / "GT/a.png"))
    assert float(table(tmp_path / "out")[0]["psnr"]) == pytest.approx(expected, abs=0.01)


@pytest.mark.slow
def test_a_truncated_checkpoint_ends_in_one_line(pairs, random_checkpoint, tmp_path):
    (tmp_path / "cut.ckpt").write_bytes(random_checkpoint.read_bytes()[:100_000])
    done = evaluate("--ckpt_path", tmp_path / "cut.ckpt", "--dir_data", pairs, "--data_test", "Pairs", "--output_dir",
                    tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path}/cut.ckpt: ") and done.stderr.count("\n") == 1


@pytest.mark.slow
def test_mistakes_are_found_before_mindspore_is_imported(tmp_path):
    """PYTHONPATH contains a mindspore that cannot be imported."""
    (tmp_path / "mindspore.py").write_text("raise SystemExit('mindspore was imported')")
    (tmp_path / "any.ckpt").touch()
    flags = ("--ckpt_path", tmp_path / "any.ckpt", "--output_dir", tmp_path / "out", "--data_test", "Pairs")
    done = evaluate(*flags, "--dir_data", tmp_path / "none", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (1, f"error: --dir_data {tmp_path}/none: no such folder\n")
    assert evaluate("--help", PYTHONPATH=str(tmp_path)).returncode == 0
    done = evaluate("--colour", "blue", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


@pytest.mark.slow
def test_run_eval_passes_data_and_checkpoint_on(pairs, random_checkpoint, tmp_path):
    done = subprocess.run(
        ["bash", str(ROOT / "scripts/run_eval.sh"), "set", str(random_checkpoint), "Pairs", "--output_dir", "out"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"})
    assert done.returncode == 0, done.stderr
    assert summary(tmp_path / "out")["images"] == 3


@pytest.mark.slow
def test_run_eval_refuses_a_folder_that_is_not_there(tmp_path):
    done = subprocess.run(["bash", str(ROOT / "scripts/run_eval.sh"), str(tmp_path / "none")], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 1 and done.stderr.startswith(f"error: DATA_PATH {tmp_path}/none: ")


def test_eval_scores_the_benchmark_checkpoint_where_none_is_named(monkeypatch):
    class Found(Exception):
        pass

    def found(options, _):
        raise Found(options.ckpt_path)

    monkeypatch.setattr(script, "check_options", found)
    for flags, expected in (([], str(BENCHMARK_CHECKPOINT)), (["--ckpt_path", "a.ckpt"], "a.ckpt"),
                            (["--mindir_path", "a.mindir"], "")):
        with pytest.raises(Found, match=f"^{re.escape(expected)}$"):
            script.main(flags)
    assert BENCHMARK_CHECKPOINT.is_file() and BENCHMARK_CHECKPOINT != SHIPPED_CHECKPOINT
