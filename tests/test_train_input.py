"""On bad input, train.py prints one line that names the flag or the file, and exits with the right code."""
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from src.cli import train
from src.distributed.ranks import Ranks
from src.errors import InputError, UsageError
from src.network.checkpoint import describe, save_checkpoint
from src.train import setup
from training import ENVIRONMENT, ROOT, SmallNet, checkpoint, flags

pytest_plugins = "training_fixtures"


def test_an_earlier_run_is_not_overwritten(train_data, whole_run, small_net):
    before = {path: path.read_bytes() for path in whole_run.iterdir()}
    for more in ([], ["--filename=other"]):
        with pytest.raises(UsageError, match=r"--ckpt_save_path .* holds run_last.ckpt of an earlier run; --resume"):
            train.main(flags(train_data, whole_run, *more))
    assert {path: path.read_bytes() for path in whole_run.iterdir()} == before


BAD_FLAGS = {
    "--epochs=0": "--epochs must be at least 1, not 0",
    "--lr=0": "--lr must be above 0, not 0.0",
    "--lr=nan": "--lr must be a number that float32 can hold, not nan",
    "--lr_min=1": "--lr_min must be at most --lr 0.001, not 1.0",
    "--betas=0.9": "--betas must be two numbers, not 0.9",
    "--ema_decay=1": "--ema_decay must be from 0 to below 1, not 1.0",
    "--seed=-1": "--seed must be at least 0, not -1",
    "--repeat=0": "--repeat must be at least 1, not 0",
    "--repeat=999999999": "--repeat: an epoch has at most 100000000 crops, not 5999999994",
    "--beta_range=1": "--beta_range 1.0: must be two rising numbers from 0 to 100",
    "--accumulate=7": "--accumulate must be at most the 6 batches of all epochs, not 7",
    "--filename=a/b": "--filename must be a name without folders, not a/b",
    "--amp_level=O1": "--amp_level",
    "--amp_dtype=bfloat16": "--amp_dtype must be float16 on CPU, whose convolutions know no bfloat16, not bfloat16",
    "--dcn_sampling=gitee --dcn_backend=native": "--dcn_backend must be auto or gather for --dcn_sampling gitee",
    "--summary_dir=x": "--summary_dir: needs --tracker tensorboard or --tracker wandb",
    "--tracker=tensorboard --run_name=a/b": "--run_name must be a name without folders, not a/b",
    "--loss_scale=0": "--loss_scale must be at least 1, not 0.0",
    "--loss_scale=-1": "--loss_scale must be at least 1, not -1.0",
    "--freeze_deconv": "--freeze_deconv must be False for --arch gitee",
    "--patch_size=2048": "--patch_size 2048: must be a multiple of 4 from 16 to 1024",
    "--patch_size=18": "--patch_size 18: must be a multiple of 4 from 16 to 1024",
    "--batch_size=7": "--batch_size 7: an epoch has only 6 images",
    "--contra_lambda=0.1": "--neg_num must be from 1 to --batch_size 2, not 10",
    "--data_train=Nowhere": "IHAZE, Pairs, Depth, Photos, Demo, not Nowhere",
    "--no_such_flag=1": "--no_such_flag",
    "--epochs=many": "--epochs",
}


@pytest.mark.parametrize("flag", BAD_FLAGS)
def test_a_bad_flag_is_one_line(train_data, small_net, tmp_path, flag):
    with pytest.raises(UsageError) as error:
        train.main(flags(train_data, tmp_path, *flag.split()))
    assert BAD_FLAGS[flag] in str(error.value) and "\n" not in str(error.value)
    assert not list(tmp_path.glob("*.ckpt"))


@pytest.mark.slow
@pytest.mark.parametrize("device", ["GPU", "Ascend"])
def test_a_card_that_is_missing_is_one_line_on_stderr(train_data, tmp_path, device):
    command = [sys.executable, "train.py", *flags(train_data, tmp_path, f"--device_target={device}")]
    run = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert run.returncode == 1 and run.stdout == ""
    assert run.stderr.startswith(f"error: --device_target {device}: MindSpore 2.") and run.stderr.count("\n") == 1


@pytest.mark.slow
def test_an_error_is_one_line_on_stderr(train_data, tmp_path):
    command = [sys.executable, "train.py", *flags(train_data, tmp_path, "--epochs=0")]
    run = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (2, "", "error: --epochs must be at least 1, not 0\n")


def expect_input_error(text, argv):
    with pytest.raises(InputError) as error:
        train.main(argv)
    assert text in str(error.value) and "\n" not in str(error.value)
    assert error.value.exit_code == 1


def test_bad_training_data_is_one_line(train_data, small_net, tmp_path):
    expect_input_error("no such folder", flags(tmp_path / "missing", tmp_path / "run"))
    (tmp_path / "empty").mkdir()
    expect_input_error("--dir_data", flags(tmp_path / "empty", tmp_path / "run"))
    shutil.copytree(train_data, tmp_path / "unmatched")
    (tmp_path / "unmatched/clear/3.png").unlink()
    expect_input_error("1 hazy images without ground truth, the first is 3.png",
                       flags(tmp_path / "unmatched", tmp_path / "run"))
    (tmp_path / "file").write_text("not a folder")
    expect_input_error("--ckpt_save_path", flags(train_data, tmp_path / "file"))


@pytest.mark.slow
def test_an_unreadable_image_ends_the_run_with_its_progress_saved(train_data, small_net, tmp_path):
    broken = tmp_path / "set"
    shutil.copytree(train_data, broken)
    options = train.config.parse(flags(broken, tmp_path / "run"), train.SECTIONS, "")
    name = setup.train_dataset(options, Ranks()).batch_names(2)[0]
    (broken / f"hazy/{name}.png").write_bytes(b"no image")
    expect_input_error(f"{broken}/hazy/{name}.png", flags(broken, tmp_path / "run"))
    assert checkpoint(tmp_path / "run/run_last.ckpt")[1]["step"] == 2


def test_random_vgg_weights_are_said_to_mean_nothing(train_data, tmp_path, capsys):
    options = train.config.parse(flags(train_data, tmp_path, "--contra_lambda=0.1", "--vgg_random"), train.SECTIONS, "")
    assert setup.contrast_loss(options).form == "gitee"
    assert "--vgg_random: the contrastive loss of random VGG19 weights means nothing" in capsys.readouterr().out


def test_a_missing_or_foreign_vgg_file_is_one_line(train_data, small_net, tmp_path):
    cr = ("--contra_lambda=0.1", "--neg_num=2", f"--vgg_ckpt_path={tmp_path}")
    expect_input_error("no such VGG19 file", flags(train_data, tmp_path / "run", *cr))
    save_checkpoint(tmp_path / "foreign.ckpt", dict(SmallNet().parameters_and_names()), {})
    expect_input_error("not the weights of VGG19", flags(train_data, tmp_path / "run", *cr, "--vgg_ckpt=foreign.ckpt"))


def test_resume_from_nothing_or_half_a_file_or_without_state_is_one_line(train_data, whole_run, small_net, tmp_path):
    expect_input_error("run_last.ckpt: no such checkpoint", flags(train_data, tmp_path, "--resume"))
    (tmp_path / "run_last.ckpt").write_bytes((whole_run / "run_last.ckpt").read_bytes()[:-100])
    expect_input_error("run_last.ckpt: not a checkpoint, or truncated", flags(train_data, tmp_path, "--resume"))
    save_checkpoint(tmp_path / "run_last.ckpt", dict(SmallNet().parameters_and_names()), describe(SmallNet()))
    expect_input_error("run_last.ckpt: not the state of a run with these options",
                       flags(train_data, tmp_path, "--resume"))


def test_weights_of_another_graph_are_not_trained_on(train_data, small_net, tmp_path):
    save_checkpoint(tmp_path / "paper.ckpt", dict(SmallNet().parameters_and_names()), describe(SmallNet("paper")))
    with pytest.raises(UsageError, match="--ckpt_path .*--arch paper, not gitee"):
        train.main(flags(train_data, tmp_path / "run", f"--ckpt_path={tmp_path / 'paper.ckpt'}"))
    save_checkpoint(tmp_path / "reference.ckpt", dict(SmallNet().parameters_and_names()), {})
    with pytest.raises(UsageError, match="--ckpt_path .*--dcn_sampling gitee, not exact"):
        train.main(flags(train_data, tmp_path / "run", f"--ckpt_path={tmp_path / 'reference.ckpt'}"))


def test_the_demo_photos_are_there_in_every_working_folder(tmp_path, monkeypatch):
    """As in a notebook that changes its folder between two runs."""
    options = SimpleNamespace(data_test="Demo", dir_test="", dir_data="", test_images=2)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert [pair.hazy.is_file() for pair in setup.validation_pairs(options)] == [True, True]
