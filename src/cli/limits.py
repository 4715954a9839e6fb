"""The range of each single option. Rules between options are in the modules that use the options."""
from __future__ import annotations

from typing import Any, List, Mapping

from ..errors import UsageError
from ..files import path_rule
from ..spec import MIN_SIDE

AT_LEAST = {
    "device_id": 0, "seed": 0, "repeat": 1, "depth_first": 0, "depth_last": -1, "cache_mb": 0,
    "num_parallel_workers": 0, "test_every": 0, "test_images": 0, "epochs": 1, "batch_size": 1, "lr_min": 0,
    "lr_step": 1, "warmup_steps": 0, "block_freeze_steps": 0, "weight_decay": 0, "fft_weight": 0, "clip_norm": 0,
    "accumulate": 1, "log_every": 0, "contra_lambda": 0, "neg_num": 0, "save_every": 0, "max_steps": 0, "max_pixels": 0,
    "network_every": 1,
    "image_height": MIN_SIDE, "image_width": MIN_SIDE, "loss_scale": 1,
    "quality": 1, "port": 0, "queue": 1, "max_mb": 1, "upload_seconds": 1,
}
AT_MOST = {"quality": 100, "port": 65535}
ABOVE_0 = ("lr", "epsilon", "offset_lr_factor", "block_lr_factor")
BELOW_1 = ("betas", "ema_decay", "blend")
LARGEST_INT = 2**32 - 1  # numpy's largest seed; larger than any useful size or count
FLOAT32 = (1.2e-38, 3.4e38)


def check(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Refuse values that no run can use.

    Args:
        values: option -> value of the type of the default.
        defaults: the options to check. A text may be empty only if its default is empty.

    Raises: UsageError naming the flag, the rule and the value.
    """
    for name, default in defaults.items():
        for value in as_list(values[name]):
            rule = _text_rule(value, default) if isinstance(value, str) else _number_rule(name, value)
            if rule:
                shown = f", not {' '.join(map(str, as_list(values[name])))[:80]}" if value != "" else ""
                raise UsageError(f"--{name} {rule}{shown}")


def as_list(value: Any) -> List[Any]:
    return value if isinstance(value, list) else [value]


def _text_rule(value: str, default: Any) -> str:
    return "" if value in as_list(default) else path_rule(value)


def _number_rule(name: str, value: float) -> str:
    if isinstance(value, float) and value and not FLOAT32[0] <= abs(value) <= FLOAT32[1]:
        return "must be a number that float32 can hold"
    if name in AT_LEAST and value < AT_LEAST[name]:
        return f"must be at least {AT_LEAST[name]}"
    if value > AT_MOST.get(name, value):
        return f"must be at most {AT_MOST[name]}"
    if isinstance(value, int) and value > LARGEST_INT:
        return f"must be at most {LARGEST_INT}"
    if name in ABOVE_0 and not value > 0:
        return "must be above 0"
    if name in BELOW_1 and not 0 <= value < 1:
        return "must be from 0 to below 1"
    return ""
