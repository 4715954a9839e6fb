"""Serve a network over HTTP: POST a photo, get it dehazed.

    aecrnet-serve                                        in a clone: python -m src.cli.serve
    aecrnet-serve --port 9000 --web_dir aecrnet_web
    curl --data-binary @hazy.jpg http://127.0.0.1:8000/dehaze -o clear.png

The server listens on this machine alone unless --host says otherwise. It knows no users and no encryption: to let
others in, put a web server in front of it that does.
"""
from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import List, Optional

import uvicorn

from ..errors import InputError, one_line
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
    dehazer = open_dehazer(options)
    print(f"computed by {dehazer.network.description['runtime']}", flush=True)
    settings = uvicorn.Config(Server(dehazer, options).app(), log_level="warning")
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        listening = socket.create_server((options.host, options.port), family=family)
    except OSError as error:
        raise InputError(f"--host {options.host} --port {options.port}: cannot listen there "
                         f"({one_line(error)})") from None
    print(f"http://{options.host}:{listening.getsockname()[1]}/dehaze takes photos; Ctrl-C stops", flush=True)
    uvicorn.Server(settings).run([listening])
    return 0


if __name__ == "__main__":
    run_as_program(main)
