"""Options. configs/gitee.yaml holds the defaults, another YAML file replaces them, flags replace both. Strict."""
from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List, NoReturn, Optional, Sequence, Set, Tuple

import yaml

from ..errors import UsageError, one_line
from ..files import PathLike, atomic_write, shipped
from ..spec import ARCHS, DCN_BACKENDS, FASTEST, PRECISIONS, RUNTIMES, SAMPLINGS
from . import limits

DEFAULTS = shipped("configs/gitee.yaml")

CHOICES = {
    "arch": ARCHS,
    "dcn_sampling": SAMPLINGS,
    "device_target": ("CPU", "GPU", "Ascend"),
    "dcn_backend": DCN_BACKENDS,
    "lr_schedule": ("cosine", "constant", "step"),
    "amp_level": ("auto", "O0", "O2", "O3"),
    "tracker": ("tensorboard", "wandb", "none"),
    "amp_dtype": ("float16", "bfloat16"),
    "file_format": ("MINDIR", "AIR", "ONNX"),
    "onnx_dcn": ("gather", "native"),
    "runtime": (FASTEST, *RUNTIMES),
    "precision": PRECISIONS,
    "format": ("png", "same"),
}

BOOLEANS = ("True", "False", "true", "false")
EXPONENTIAL = r"[-+]?\d+(\.\d*)?[eE][-+]?\d+"  # as 1e-5 and 1.5e5, which are texts in YAML 1.1


class Parser(argparse.ArgumentParser):
    """argparse without abbreviations. An error raises UsageError, which is one line without a usage block."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def parse(
    argv: Sequence[str],
    sections: Sequence[str],
    description: str,
    positional: Optional[Dict[str, str]] = None,
    short: Optional[Dict[str, str]] = None,
    unread: Sequence[str] = (),
) -> SimpleNamespace:
    """Read the options of one script.

    Args:
        argv: the command line without the program's name.
        sections: the sections of gitee.yaml whose keys this script reads. Any other flag is an error.
        positional: name -> help of the positional arguments. Each takes any number of values.
        short: key -> a second flag of one letter.
        unread: keys of the sections that this script does not read.

    Returns: a namespace with every other key of the sections, and `given`, the names that the user sets: those of the
        flags, and those to which the file gives another value than the default. A copy of gitee.yaml sets nothing.
    Raises: UsageError naming the flag or key that is unknown, of the wrong type or out of its limits.
    """
    defaults, helps = read_file(DEFAULTS), help_texts(DEFAULTS)
    read = {section: {key: default for key, default in defaults[section].items() if key not in unread}
            for section in sections}
    parser = Parser(description=description, argument_default=argparse.SUPPRESS)
    for name, text in (positional or {}).items():
        parser.add_argument(name, nargs="*", help=text)
    parser.add_argument("--config", help="YAML file whose values replace the defaults; flags win over it")
    for section in sections:
        group = parser.add_argument_group(section)
        for key, default in read[section].items():
            text = f"{helps[section, key]} (default: {_shown(default)})".replace("%", "%%")
            flags = [(short or {})[key]] if key in (short or {}) else []
            group.add_argument(*flags, f"--{key}", help=text, **_argument(key, default))
    own = {key: value for section in sections for key, value in read[section].items()}
    switches = {f"--{key}" for key, default in own.items() if isinstance(default, bool)}
    given = vars(parser.parse_intermixed_args(_spelled_out(argv, switches)))
    options: Dict[str, Any] = {name: [] for name in positional or {}}
    options.update(own)
    from_file = _overrides(given.pop("config", None), defaults, sections)
    from_file = {key: value for key, value in from_file.items() if key in own}
    options.update(from_file)
    options.update(given)
    options = {key: _at_home(value) for key, value in options.items()}
    limits.check(options, own)
    return SimpleNamespace(**options, given=sorted({*given, *(key for key in from_file if from_file[key] != own[key])}))


def save(options: SimpleNamespace, path: PathLike) -> None:
    """Write the resolved options as flat YAML, which `--config` can read."""
    values = {key: value for key, value in vars(options).items() if key != "given"}
    with atomic_write(path) as temporary:
        temporary.write_text(yaml.safe_dump(values, sort_keys=False))


def _at_home(value: Any) -> Any:
    """The value with the home folder for a leading ~. A shell does that, but not in a file, after = or in quotes."""
    if isinstance(value, list):
        return [_at_home(item) for item in value]
    is_home = isinstance(value, str) and value.startswith("~") and not os.path.lexists(value)
    return os.path.expanduser(value) if is_home else value


def _argument(key: str, default: Any) -> Dict[str, Any]:
    """The arguments with which argparse reads the flag of a key."""
    if isinstance(default, bool):
        return {"type": _boolean, "nargs": "?", "const": True, "metavar": "BOOL"}
    if isinstance(default, list):
        return {"type": type(default[0]), "nargs": "+", "metavar": type(default[0]).__name__.upper()}
    if key in CHOICES:
        return {"choices": CHOICES[key]}
    return {"type": type(default), "metavar": type(default).__name__.upper()}


def _shown(default: Any) -> str:
    return " ".join(map(str, default)) if isinstance(default, list) else str(default) or "none"


def _spelled_out(argv: Sequence[str], switches: Set[str]) -> List[str]:
    """Replace a lone `--switch` with `--switch=True`, so that argparse does not read the next word as its value."""
    following = [*argv[1:], ""]
    return [f"{flag}=True" if flag in switches and value not in BOOLEANS else flag
            for flag, value in zip(argv, following)]


def _boolean(text: str) -> bool:
    if text not in BOOLEANS:
        raise argparse.ArgumentTypeError(f"True or False, not {text}")
    return text in ("True", "true")


def _overrides(path, defaults, sections) -> Dict[str, Any]:
    """The values of the user's YAML file, which may have sections or be flat. The defaults decide their types.

    A key in a section sets the option of that section. A flat key sets the option of the section that the script reads.
    """
    values: Dict[str, Any] = {}
    if path == "":
        raise UsageError("--config must not be empty")
    for name, value in ({} if path is None else read_file(Path(path))).items():
        is_section = name in defaults and isinstance(value, (dict, type(None)))
        for key, item in ((value or {}) if is_section else {name: value}).items():
            homes = [section for section in ([name] if is_section else defaults) if key in defaults[section]]
            if not homes:
                raise UsageError(f"{path}: unknown key {key}")
            read = [section for section in homes if section in sections]
            item = _typed(path, key, item, defaults[(read or homes)[0]][key])
            if read:
                values[key] = item
    return values


def _typed(path, key, value, default):
    """The value with the type of the default. An integer may stand for a float. Raises: UsageError for other types."""
    if isinstance(default, float) and (type(value) is int or re.fullmatch(EXPONENTIAL, str(value))):
        value = float(value)
    if isinstance(default, list) and isinstance(value, list):
        value = [_typed(path, key, item, default[0]) for item in value]
    if type(value) is not type(default):
        raise UsageError(f"{path}: {key} must be {type(default).__name__}, not {value!r}")
    if key in CHOICES and value not in CHOICES[key]:
        raise UsageError(f"{path}: {key} must be one of {', '.join(CHOICES[key])}, not {value}")
    return value


def read_file(path: Path) -> Dict[str, Any]:
    """The values of a YAML file, not checked yet. Raises: UsageError if it cannot be read or holds no `key: value`."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"--config {path}: cannot be read ({one_line(error)})") from None
    if not isinstance(values, dict):
        raise UsageError(f"--config {path}: must hold `key: value` lines")
    return values


def help_texts(path: Path) -> Dict[Tuple[str, str], str]:
    """(section, key) -> the comment after the key, which is the help text of the option."""
    comments, section = {}, ""
    for line in path.read_text(encoding="utf-8").splitlines():
        entry, _, comment = line.partition("# ")
        key = entry.partition(":")[0]
        if key.startswith(" "):
            comments[section, key.strip()] = comment
        else:
            section = key
    return comments
