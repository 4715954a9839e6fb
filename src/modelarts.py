"""ModelArts: data from and results to its object storage, through moxing, which exists only there."""
from __future__ import annotations

from types import SimpleNamespace

from src.errors import UsageError

LOCAL_DATA = "/cache/data"


def download(options: SimpleNamespace) -> None:
    """Copy `--data_url` to the local disk and train from there; with `--resume` the earlier results too.

    Raises: UsageError if moxing is missing (this is no ModelArts machine) or an address is not given.
    """
    if not options.data_url:
        raise UsageError("--modelArts_mode: needs --data_url, where the data is")
    if options.resume and not options.train_url:
        raise UsageError("--modelArts_mode: --resume needs --train_url, where the results of the earlier run are")
    file = _moxing().file
    file.copy_parallel(src_url=options.data_url, dst_url=LOCAL_DATA)
    if options.resume:
        file.copy_parallel(src_url=options.train_url, dst_url=options.ckpt_save_path)
    options.dir_data = LOCAL_DATA


def upload(options: SimpleNamespace) -> None:
    """Copy the folder of checkpoints to `--train_url`, if that is given."""
    if options.train_url:
        _moxing().file.copy_parallel(src_url=options.ckpt_save_path, dst_url=options.train_url)


def _moxing():
    try:
        import moxing
    except ImportError:
        raise UsageError("--modelArts_mode: the package moxing is missing, this is no ModelArts machine") from None
    return moxing
