"""The options that define a run. Its checkpoint keeps them, and a resumed run must have the same."""
from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Dict, Mapping

from ..errors import UsageError
from ..files import PathLike

# Options that --resume may change, because no update depends on them. A change of any other option is refused.
FREE = ("device_id", "dir_data", "cache_mb", "num_parallel_workers", "dir_test", "test_every", "log_every",
        "vgg_ckpt_path", "ckpt_path", "save_every", "max_steps", "tracker", "run_name", "summary_dir",
        "modelArts_mode", "data_url", "train_url")
OF_PLACE = ("ckpt_save_path", "filename", "resume", "given")  # the place of a run, and not its content


def of_run(options: SimpleNamespace) -> Dict[str, Any]:
    """The options that define a run, for its checkpoint."""
    return {name: value for name, value in vars(options).items() if name not in OF_PLACE}


def compare(saved: Mapping[str, Any], current: Mapping[str, Any], path: PathLike) -> str:
    """Compare the options of a resumed run with those in its checkpoint `path`.

    Without a cosine, which has to end with the last epoch, the number of epochs may change too.

    Returns: a line with the changed options that are allowed, or an empty text. Raises: UsageError for others.
    """
    free = FREE if current.get("lr_schedule") == "cosine" else (*FREE, "epochs")
    others = [name for name, value in current.items() if saved.get(name, value) != value]
    refused = [f"{name} {text_of(saved[name])}, not {text_of(current[name])}" for name in others if name not in free]
    if refused:
        raise UsageError(f"--resume: {path} was trained with {'; '.join(refused)}; a run with other options is a new "
                         f"one: --ckpt_path {path} and another --ckpt_save_path")
    taken = [f"{name} {text_of(current[name])} (was {text_of(saved[name])})" for name in others]
    return f"resumed with {', '.join(taken)}" if taken else ""


def text_of(value: Any) -> str:
    """The value of an option as one writes it behind its flag; "empty" for an empty text."""
    return " ".join(map(str, value if isinstance(value, list) else [value])) or "empty"
