"""The flags of section `inference`, which eval.py and infer.py share: their check, and their Dehazer."""
from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from ..dehaze.dehazer import Dehazer, check_numbers, find_checkpoint
from ..errors import InputError, UsageError
from ..runtime.opening import NetworkChoice, open_mindir
from ..spec import MINDSPORE


def check_options(options: SimpleNamespace, mindir_path: str = "") -> None:
    """Find mistakes before MindSpore is imported and before anything is written. Decide what --runtime auto means.

    Args: `mindir_path` of an exported model, which takes the place of the checkpoint.
    Raises: UsageError for a value out of range, InputError if the checkpoint or the exported model is missing.
    """
    check_numbers(options.tile, options.overlap, options.work_size, options.strength)
    if not mindir_path:
        options.runtime = _choice(options).check().runtime
        return
    if options.raw_weights:
        raise UsageError("--raw_weights: an exported model holds one set of weights; leave it out")
    if options.ckpt_path:
        raise UsageError(f"--mindir_path {mindir_path}: takes the place of --ckpt_path, give one of them")
    if options.runtime != MINDSPORE:
        raise UsageError(f"--runtime {options.runtime}: reads no MINDIR; leave out --mindir_path")
    if not Path(mindir_path).is_file():
        raise InputError(f"--mindir_path {mindir_path}: no such file")


def open_dehazer(options: SimpleNamespace, mindir_path: str = "") -> Dehazer:
    """The Dehazer for options that `check_options` has accepted."""
    if mindir_path:
        network = open_mindir(mindir_path, options.device_target, options.device_id)
    else:
        network = _choice(options).open()
    return Dehazer(network=network, tile=options.tile, overlap=options.overlap, self_ensemble=options.self_ensemble,
                   work_size=options.work_size, strength=options.strength)


def _choice(options: SimpleNamespace) -> NetworkChoice:
    return NetworkChoice(find_checkpoint(options.ckpt_path or None), options.device_target, options.device_id,
                         options.raw_weights, options.dcn_backend, options.runtime, options.precision)
