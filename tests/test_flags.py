"""Every flag with empty, mistyped, nan, negative and huge values: one line names the flag, without a traceback."""
import pytest

from halving import HalvingNetwork
from src.cli import config, export, infer, launch, train
from src.cli import eval as evaluation
from src.dehaze.dehazer import Dehazer
from src.errors import InputError, UsageError
from training import flags

pytest_plugins = "training_fixtures"
SCRIPTS = {"train": train, "eval": evaluation, "infer": infer, "export": export}
EDGES = {
    str: ("", "x" * 300, "x/" * 3000),
    bool: ("", "maybe", "2"),
    int: ("", "x", "1.5", "nan", "-5", "1" + "0" * 30),
    float: ("", "x", "nan", "inf", "-inf", "-1", "1e300", "1e-300"),
    list: ("", "x", "nan", "inf", "-1", "1e300"),
}
TEXTS_THAT_MAY_BE_EMPTY = {"dir_test", "data_test", "ckpt_path", "run_name", "mindir_path", "data_url", "train_url"}


def options_of(script):
    """Every option of a script with its default."""
    defaults = config.read_file(config.DEFAULTS)
    return {key: value for section in SCRIPTS[script].SECTIONS for key, value in defaults[section].items()}


FLAGS = [(script, name) for script in SCRIPTS for name in options_of(script)]


@pytest.fixture
def main(monkeypatch, train_data, small_net, tmp_path):
    """Call a script on small images and networks."""
    network = HalvingNetwork(tmp_path / "halving.ckpt")
    for module in (infer, evaluation):
        monkeypatch.setattr(module, "open_dehazer", lambda options, _="": Dehazer(tile=options.tile, network=network))
    usual = {
        "train": flags(train_data, tmp_path / "run", "--max_steps=1"),
        "eval": [f"--dir_data={train_data}", "--data_test=Pairs", f"--output_dir={tmp_path}"],
        "infer": [str(train_data / "hazy"), f"--output={tmp_path}"],
        "export": [f"--file_name={tmp_path}/m"]}
    return lambda script, *more: SCRIPTS[script].main([*usual[script], *more])


@pytest.mark.parametrize("script, name", FLAGS)
def test_a_value_that_no_run_could_use_is_one_line(main, tmp_path, script, name):
    before = sorted(tmp_path.iterdir())
    for edge in EDGES[type(options_of(script)[name])]:
        if edge == "" and name in TEXTS_THAT_MAY_BE_EMPTY:
            continue
        with pytest.raises(UsageError) as caught:
            main(script, f"--{name}={edge}")
        assert f"--{name}" in str(caught.value) and "\n" not in str(caught.value), edge
    assert [path.name for path in sorted(tmp_path.iterdir()) if path not in before] in ([], ["run"])
    assert not list(tmp_path.glob("run/*"))


LARGEST = {int: 2**32 - 1, float: 3e38}
NUMBERS = [(script, name, LARGEST[type(value)]) for script in ("train", "eval", "infer")
           for name, value in options_of(script).items() if type(value) in LARGEST]


@pytest.mark.parametrize("flag", ["--workers=0", "--workers=-1", "--workers=x", "--workers=99999999", "--workers=",
                                  "--log_dir=", "--log_dir=" + "x" * 300])
def test_the_launcher_refuses_what_it_could_not_start(flag):
    with pytest.raises(UsageError, match=flag.split("=")[0]):
        launch.parse(["--workers=2", flag, "train.py"])


# the largest number of these is out of range, or the flag is for videos; that of the second kind gives a loss or
# weights that are no numbers
OUT_OF_RANGE = {"patch_size", "repeat", "batch_size of train", "lr_min", "accumulate", "ema_decay", "tile", "overlap",
                "strength", "work_size", "blend", "quality", "network_every"}
NOT_FINITE = {"weight_decay", "fft_weight", "contra_lambda"}
BESIDE = {"contra_lambda": ["--neg_num=2", "--vgg_random"]}
RESULTS = {"train": "run/run_last.ckpt", "eval": "summary.json", "infer": "0.png"}


@pytest.mark.slow
@pytest.mark.parametrize("script, name, largest", NUMBERS)
def test_the_largest_number_gives_a_result_or_the_line_that_it_must(main, tmp_path, script, name, largest):
    call = [script, f"--{name}={largest}", *BESIDE.get(name, [])]
    if {name, f"{name} of {script}"} & OUT_OF_RANGE:
        with pytest.raises(UsageError, match=f"--{name}") as caught:
            main(*call)
    elif name in NOT_FINITE:
        with pytest.raises(InputError, match="loss|inf or nan") as caught:
            main(*call)
    else:
        assert main(*call) == 0 and (tmp_path / RESULTS[script]).is_file()
        return
    assert "\n" not in str(caught.value) and not (tmp_path / RESULTS[script]).exists()
