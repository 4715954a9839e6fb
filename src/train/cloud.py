"""ModelArts: data from and results to its object storage, through moxing, which exists only there."""
from __future__ import annotations

from types import SimpleNamespace

from ..errors import UsageError

LOCAL_DATA = "/cache/data"


def download(options: SimpleNamespace) -> None:
    """Copy `--data_url` to the local disk and work from there.

    Raises: UsageError if moxing is missing (this is no ModelArts machine) or no `--data_url` is given.
    """
    if not options.data_url:
        raise UsageError("--modelArts_mode: needs --data_url, where the data is")
    _moxing().file.copy_parallel(src_url=options.data_url, dst_url=LOCAL_DATA)
    options.dir_data = LOCAL_DATA


def download_results(options: SimpleNamespace) -> None:
    """Copy what an earlier run left in `--train_url` to the folder of checkpoints, to resume from."""
    _moxing().file.copy_parallel(src_url=options.train_url, dst_url=options.ckpt_save_path)


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
