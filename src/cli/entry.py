"""Runs a command as a program. This is the one place that turns errors into lines and exit codes."""
from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import Callable, Optional

from ..distributed.signals import say_done, stop_number
from ..errors import UserError, one_line
from ..packages import PIP, missing

# command -> what needs less memory
LESS_MEMORY = {**dict.fromkeys(("infer", "eval", "serve"), "--tile 256 needs less"),
               "train": "a smaller --batch_size or --patch_size needs less",
               "export": "a smaller --image_height and --image_width need less"}


def run_command(name: str) -> None:
    """Run the command src/cli/NAME.py as a program. Packages that the command lacks are named in one line."""
    run_as_program(lambda: importlib.import_module(f"{__package__}.{name}").main(), LESS_MEMORY[name])


def run_as_program(main: Callable[[], Optional[int]], less_memory: str = "") -> None:
    """Call `main` as a program and exit with its result. A UserError is printed as one line, without a traceback.

    Args: `less_memory`: what to do if the memory does not suffice.

    A reader of the output that stops reading (`| head`) ends the program without a word, with the exit code 141.
    Ctrl-C and SIGTERM raise KeyboardInterrupt, unless `main` handles them itself. The exit code is then 130 or 143
    (143 for Ctrl-C while MindSpore compiles a graph, because MindSpore turns SIGINT into SIGTERM).
    """
    signal.signal(stop_number(), _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # names of files need not be text
    try:
        code = main() or 0
        say_done(code)
        sys.stdout.flush()
        sys.exit(code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        sys.exit(128 + 13)  # as the signal SIGPIPE
    except UserError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        if error.name not in PIP:
            raise
        print(f"error: {missing(error.name)}", file=sys.stderr)
        sys.exit(1)
    except MemoryError as error:
        advice = f"; {less_memory}" if less_memory else ""
        print(f"error: not enough memory ({one_line(error)}){advice}", file=sys.stderr)
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


def serve() -> None:
    """The installed command aecrnet-serve."""
    run_command("serve")
