"""The checks of train.py before anything slow starts: option values, and that no earlier run is overwritten."""
from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from ..data.pairs import PAIR_LAYOUTS
from ..data.sources import TRAIN_LAYOUTS, check_haze_ranges
from ..errors import InputError, UsageError, one_line
from ..train.options import text_of
from . import config


def check(options: SimpleNamespace) -> None:
    """Refuse values that limits.py accepts but no run can use.

    Raises: UsageError naming the flag, the rule and the value.
    """
    _require(len(options.betas) == 2, options, "betas", "must be two numbers")
    _require(options.lr_min <= options.lr, options, "lr_min", f"must be at most --lr {options.lr}")
    for name in ("summary_dir", "run_name"):
        if name in options.given and options.tracker == "none":
            raise UsageError(f"--{name}: needs --tracker tensorboard or --tracker wandb")
    _require(Path(options.run_name).name == options.run_name, options, "run_name", "must be a name without folders")
    _require(Path(options.filename).name == options.filename != "", options, "filename",
             "must be a name without folders")
    for name, layouts in (("data_train", TRAIN_LAYOUTS), ("data_test", PAIR_LAYOUTS + ("",))):
        _require(getattr(options, name) in (*layouts, "Demo"), options, name,
                 f"must be one of {', '.join(filter(None, layouts))}, Demo")
    check_haze_ranges(options.airlight_range, options.beta_range)
    _require(options.train_url or not (options.modelArts_mode and options.resume), options, "train_url",
             "must be where the results of the earlier run are, for --resume in ModelArts")
    _check_model(options)


def _check_model(options: SimpleNamespace) -> None:
    """Rules between the arch, the device and the loss."""
    paper = options.arch == "paper"
    _require(options.amp_dtype == "float16" or options.device_target == "Ascend", options, "amp_dtype",
             f"must be float16 on {options.device_target}, whose convolutions know no bfloat16")
    _require(not paper or options.dcn_sampling == "exact", options, "dcn_sampling", "must be exact for --arch paper")
    _require(options.dcn_sampling == "exact" or options.dcn_backend != "native", options, "dcn_backend",
             f"must be auto or gather for --dcn_sampling {options.dcn_sampling}")
    _require(paper or not options.freeze_deconv, options, "freeze_deconv",
             "must be False for --arch gitee, which has no FastDeconv")
    _require(paper or options.contra_lambda == 0 or 1 <= options.neg_num <= options.batch_size, options, "neg_num",
             f"must be from 1 to --batch_size {options.batch_size}")


def refuse_to_overwrite(options: SimpleNamespace) -> None:
    """Make sure that a folder holds one run. Its checkpoints, metrics.csv and loss.png are never replaced or mixed.

    Raises: UsageError if `--ckpt_save_path` holds checkpoints and `--resume` is not set.
    """
    folder = Path(options.ckpt_save_path)
    found = [*folder.glob("*_last.ckpt"), *folder.glob("*_best.ckpt")]
    if found and not options.resume:
        raise UsageError(f"--ckpt_save_path {folder}: holds {found[0].name} of an earlier run; --resume goes on "
                         f"with it, another folder starts a new run")


def save(options: SimpleNamespace) -> None:
    """Write the resolved options beside the checkpoints. A resumed run keeps the options of its start.

    Raises: InputError if that fails.
    """
    path = Path(options.ckpt_save_path) / f"{options.filename}.yaml"
    if options.resume and path.exists():
        return
    try:
        config.save(options, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or one_line(error)})") from None


def _require(fulfilled: bool, options: SimpleNamespace, name: str, rule: str) -> None:
    if not fulfilled:
        raise UsageError(f"--{name} {rule}, not {text_of(getattr(options, name))}")
