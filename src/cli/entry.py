"""Runs a command as a program. This is the one place that turns errors into lines and exit codes."""
from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import Callable, Optional

from ..distributed.signals import stop_number
from ..errors import UserError, one_line
from ..packages import PIP, missing


def run_command(name: str) -> None:
    """Run the command src/cli/NAME.py as a program. Packages that the command lacks are named in one line."""
    run_as_program(lambda: importlib.import_module(f"{__package__}.{name}").main())


def run_as_program(main: Callable[[], Optional[int]]) -> None:
    """Call `main` as a program and exit with its result. A UserError is printed as one line, without a traceback.

    Ctrl-C and SIGTERM raise KeyboardInterrupt, unless `main` handles them itself. The exit code is then 130 or 143
    (143 for Ctrl-C while MindSpore compiles a graph, because MindSpore turns SIGINT into SIGTERM).
    """
    signal.signal(stop_number(), _interrupt)
    try:
        sys.exit(main() or 0)
    except UserError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        if error.name not in PIP:
            raise
        print(f"error: {missing(error.name)}", file=sys.stderr)
        sys.exit(1)
    except MemoryError as error:
        print(f"error: not enough memory ({one_line(error)}); --tile 256 needs less", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt as error:
        _exit_interrupted(error)
    except Exception as error:
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        _exit_interrupted(error.__cause__)  # MindSpore's modules in C++ turn it into an ImportError


def _exit_interrupted(error: KeyboardInterrupt) -> None:
    print("interrupted; what was finished is kept", file=sys.stderr, flush=True)
    code = 128 + (error.args[0] if error.args else signal.SIGINT)
    if "mindspore" not in sys.modules and "mindspore._c_expression" in sys.modules:
        sys.stdout.flush()
        os._exit(code)  # the exit handlers of a MindSpore whose import was interrupted crash
    sys.exit(code)


def _interrupt(number, frame) -> None:
    raise KeyboardInterrupt(number)


def train() -> None:
    """The installed command aecrnet-train."""
    run_command("train")


def evaluate() -> None:
    """The installed command aecrnet-eval."""
    run_command("eval")


def infer() -> None:
    """The installed command aecrnet-infer."""
    run_command("infer")


def export() -> None:
    """The installed command aecrnet-export."""
    run_command("export")
