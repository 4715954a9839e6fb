"""Mistakes of the user, reported in one line."""
from __future__ import annotations

import os
import signal
import sys
from typing import Callable, Optional


class UserError(Exception):
    """A mistake of the user, or a fault of the machine, but not of the program. A script exits with `exit_code`."""

    exit_code = 1


class InputError(UserError):
    """A file, folder or checkpoint that cannot be used. Exit code 1."""


class UsageError(UserError):
    """A flag or configuration key that is unknown, missing or of the wrong type. Exit code 2."""

    exit_code = 2


def one_line(error: BaseException) -> str:
    """The message of `error` on one line, or the name of its type if there is no message."""
    return " ".join(str(error).split()) or type(error).__name__


def run(main: Callable[[], Optional[int]]) -> None:
    """Call `main` as a script and exit with its result. A UserError is printed as one line, without a traceback.

    Ctrl-C and SIGTERM raise KeyboardInterrupt, unless `main` handles them itself. The exit code is then 130 or 143
    (143 for Ctrl-C while MindSpore compiles a graph, because MindSpore turns SIGINT into SIGTERM).
    """
    from .distributed.signals import stop_number

    signal.signal(stop_number(), _interrupt)
    try:
        sys.exit(main() or 0)
    except UserError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(error.exit_code)
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
