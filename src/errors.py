"""What a user did wrong, said in one line."""
from __future__ import annotations

import sys
from typing import Callable, Optional


class UserError(Exception):
    """A mistake of the user's or of their machine, not of the program. Ends a script with `exit_code`."""

    exit_code = 1


class InputError(UserError):
    """A file, folder or checkpoint that cannot be used. Exit code 1."""


class UsageError(UserError):
    """A flag or configuration key that is unknown, missing or of the wrong type. Exit code 2."""

    exit_code = 2


def one_line(error: BaseException) -> str:
    """The message of `error` on one line, its type's name where it has no message."""
    return " ".join(str(error).split()) or type(error).__name__


def run(main: Callable[[], Optional[int]]) -> None:
    """Call `main` as a script: exit with what it returns, print a UserError as one line instead of a traceback."""
    try:
        sys.exit(main() or 0)
    except UserError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
