"""benchmarks/soak.py finds memory that grows and a resumed run that is not the same."""
import pytest
import soak

from src.errors import InputError
from training import ENVIRONMENT, flags

pytest_plugins = "training_fixtures"


def test_memory_is_compared_before_and_after_the_first_photos():
    seen = [(0, 100.0), (soak.WARM, 300.0), (soak.WARM + 1, 290.0), (500, 310.0)]
    assert soak.memory_before_and_after(seen) == (300.0, 310.0)
    with pytest.raises(InputError, match=f"more than {soak.WARM} photos"):
        soak.memory_before_and_after(seen[:2])


@pytest.mark.slow
def test_a_training_that_is_killed_again_and_again_comes_to_the_same(train_data, monkeypatch, capfd):
    for name in ("PYTHONPATH", "PYTHONUNBUFFERED"):
        monkeypatch.setenv(name, ENVIRONMENT[name])
    run = ["train", "--minutes=0.2", "--kill_after=2", "--script=tests/small_training.py", "--",
           *flags(train_data, "unused"), "--epochs=1000", "--save_every=1"]
    assert soak.main(run) == 0
    kills, rest = capfd.readouterr().out.splitlines()[-1].split(" ", 1)
    assert int(kills) > 0 and rest.endswith("the resumed run is bit for bit the undisturbed one")


def test_runs_that_differ_in_a_value_or_a_row_are_told_apart(whole_run, tmp_path):
    for name in ("run_last.ckpt", "metrics.csv"):
        target = tmp_path / name.replace("run", "soak")
        target.write_bytes((whole_run / name).read_bytes())
    undisturbed = soak.contents(tmp_path)
    (tmp_path / "metrics.csv").write_text((whole_run / "metrics.csv").read_text().replace("\n6,", "\n7,"))
    assert soak.contents(tmp_path) != undisturbed
