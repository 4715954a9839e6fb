"""Mistakes of the user, reported in one line."""
from __future__ import annotations


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


def printable(name: object) -> str:
    """The name of a file for a line on the terminal: what would break the line is escaped."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in str(name))
