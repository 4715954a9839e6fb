"""Serve a network over HTTP: POST a photo, get it dehazed.

    aecrnet-serve                                        in a clone: python -m src.cli.serve
    aecrnet-serve --port 9000 --web_dir aecrnet_web
    aecrnet-serve --more_models checkpoints/aecrnet.ckpt
    curl --data-binary @hazy.jpg http://127.0.0.1:8000/dehaze -o clear.png

The server listens on this machine alone unless --host says otherwise. It knows no users and no encryption: to let
others in, put a web server in front of it that does.
"""
from __future__ import annotations

import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Dict, List, Optional

import uvicorn

from ..dehaze.dehazer import Dehazer, find_checkpoint
from ..errors import InputError, UsageError, one_line
from ..files import found_or_shipped
from ..serve.app import Server
from . import config
from .dehazer_options import check_options, open_dehazer
from .entry import run_as_program

SECTIONS = ("device", "inference", "serve")
UNREAD = ("batch_size", "report")


def main(argv: Optional[List[str]] = None) -> int:
    options = config.parse(sys.argv[1:] if argv is None else argv, SECTIONS, __doc__.splitlines()[0], unread=UNREAD)
    check_options(options)
    if options.web_dir and not Path(options.web_dir, "index.html").is_file():
        raise InputError(f"--web_dir {options.web_dir}: has no index.html; "
                         "export.py --file_format ONNX --web writes it")
    dehazers = open_models(options)
    for name, dehazer in dehazers.items():
        print(f"{name}: computed by {dehazer.network.description['runtime']}", flush=True)
    settings = uvicorn.Config(Server(dehazers, options).app(), log_level="warning")
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        listening = socket.create_server((options.host, options.port), family=family)
    except OSError as error:
        raise InputError(f"--host {options.host} --port {options.port}: cannot listen there "
                         f"({one_line(error)})") from None
    print(f"http://{options.host}:{listening.getsockname()[1]}/dehaze takes photos; Ctrl-C stops", flush=True)
    uvicorn.Server(settings).run([listening])
    return 0


def open_models(options: SimpleNamespace) -> Dict[str, Dehazer]:
    """Name -> Dehazer of the network of --ckpt_path, the first, and of --more_models.

    Raises: UsageError if two files have one name, InputError if a file cannot be used.
    """
    choices = {_name(options): options}
    for path in filter(None, options.more_models):
        more = SimpleNamespace(**{**vars(options), "ckpt_path": str(found_or_shipped(path))})
        check_options(more)
        if _name(more) in choices:
            raise UsageError(f"--more_models {path}: there is already a network of the name {_name(more)}")
        choices[_name(more)] = more
    return {name: open_dehazer(choice) for name, choice in choices.items()}


def _name(options: SimpleNamespace) -> str:
    return find_checkpoint(options.ckpt_path or None).stem


if __name__ == "__main__":
    run_as_program(main)
