"""Finds the photos and videos of folders and glob patterns. What it passes over, it counts."""
from __future__ import annotations

import fnmatch
import glob
import os
from collections import Counter
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Mapping, NamedTuple, Sequence, Set

from ..data.formats import is_photo, is_read, kind_of
from ..errors import InputError, one_line
from ..video.rules import is_video

WILDCARDS = "*?["
MOST_KINDS = 12  # that the line on passed-over files names


class Found(NamedTuple):
    """A photo or video, and its place in the output folder."""

    source: Path
    place: Path


class Search:
    """The photos and videos of all arguments, each once.

    Args:
        output: results of an earlier run in this folder are no inputs, even if it lies inside an input folder.

    Attributes:
        found: in the order of the arguments, and of the names in each.
        left_out: number of files by kind, or by suffix, that are not read.
        faults: a line for each folder that cannot be read.
    """

    def __init__(self, output: str):
        self.found: List[Found] = []
        self.left_out: Counter = Counter()
        self.faults: List[str] = []
        self._results = os.path.realpath(output) + os.sep
        self._seen: Set[str] = set()

    def add(self, text: str) -> None:
        """Search one argument. Raises: InputError if it is missing, or a file of a kind that is not read here."""
        path = Path(text)
        if path.is_dir():
            self._add_all(path, _files_below(path, self.faults))
        elif os.path.lexists(path):
            _refuse_unread(path)
            self._add(path, Path(path.name))
        elif any(sign in text for sign in WILDCARDS):
            root = _fixed_part(path)
            self._add_all(root, sorted(matches(path, self.faults)))
        else:
            raise InputError(f"{text}: no such file or folder")

    def _add_all(self, root: Path, files: Iterable[Path]) -> None:
        top = os.path.realpath(root) + os.sep
        is_inside = self._results.startswith(top) and self._results != top
        for file in files:
            place = file.relative_to(root)
            if any(part.startswith(".") for part in place.parts) or file.is_dir():
                continue
            if is_inside and os.path.realpath(file).startswith(self._results):
                continue  # a result of an earlier run
            if file.is_file() and (is_video(file) or is_photo(file)):
                self._add(file, place)
            else:
                self.left_out[_named(file)] += 1

    def _add(self, source: Path, place: Path) -> None:
        path = os.path.abspath(source)
        if path not in self._seen:
            self._seen.add(path)
            self.found.append(Found(source, place))


def matches(pattern: Path, faults: List[str]) -> Set[Path]:
    """The files that a glob pattern finds. If a folder has the very name in the pattern, such as [1], it is meant.

    Args: faults: gets a line for each folder that cannot be read.
    """
    parts = pattern.parts
    count = next((i for i in range(len(parts) - 1, 0, -1) if Path(*parts[:i]).is_dir()), 0)
    root, folders, name = Path(*parts[:count]), parts[count:-1], parts[-1]
    escaped = [part.replace("[", "[[]") for part in folders]  # folders of the name as it stands, [1] and all
    patterns = [(*folders, name), (*escaped, name)]
    if "**" in patterns[0]:  # glob's own search goes round in loops of links
        return {file for file in _files_below(root, faults)
                if any(_fits(file.relative_to(root).parts, one) for one in patterns)}
    start = glob.escape(str(root)) if count else ""
    return {Path(found) for one in patterns for found in glob.glob(os.path.join(start, *one))}


def _fits(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    """Whether the parts of a path fit those of a glob pattern, in which ** stands for any number of folders."""
    if not patterns or not parts:
        return not parts and all(pattern == "**" for pattern in patterns)
    if patterns[0] == "**":
        return _fits(parts, patterns[1:]) or _fits(parts[1:], patterns)
    return fnmatch.fnmatchcase(parts[0], patterns[0]) and _fits(parts[1:], patterns[1:])


def explained(left_out: Mapping[str, int]) -> str:
    """The counts as text, the most frequent first, with what makes a kind readable."""
    rising = sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
    text = ", ".join(f"{count} {name}" for name, count in rising[:MOST_KINDS])
    rest = sum(count for _, count in rising[MOST_KINDS:])
    return text + (f", {rest} of other kinds" if rest else "")


def _named(file: Path) -> str:
    if not file.is_file():
        return "links to nothing, or no files"
    kind = kind_of(file)
    return f"{kind.name} ({kind.remedy})" if kind else file.suffix.lower() or "without suffix"


def _refuse_unread(path: Path) -> None:
    kind = kind_of(path)
    if kind is not None and not is_read(kind):
        raise InputError(f"{path}: {kind.name} is not read by this installation; {kind.remedy}")
    if not path.is_file():
        raise InputError(f"{path}: a link to nothing, or no file")


def _files_below(root: Path, faults: List[str]) -> Iterator[Path]:
    """All files in `root` in the order of their paths. Links to folders are followed, each folder is searched once."""
    def note(error: OSError) -> None:
        faults.append(f"{error.filename}: cannot be read ({error.strerror or one_line(error)})")

    top, seen = os.path.realpath(root), set()
    found: Dict[Path, None] = {}
    for folder, names, files in os.walk(root, onerror=note, followlinks=True):
        real = os.path.realpath(folder)
        names[:] = sorted(name for name in names if not name.startswith("."))
        if real in seen:
            names.clear()
            continue
        seen.add(real)
        for name in list(names):
            path = os.path.join(folder, name)
            if os.path.islink(path) and (os.path.realpath(path) + os.sep).startswith(top + os.sep):
                names.remove(name)  # its files are found in their own place
        found.update((Path(folder, name), None) for name in files)
    return iter(sorted(found))


def _fixed_part(pattern: Path) -> Path:
    """The first folders of a glob pattern, as far as they exist by the name that is written there."""
    parts = pattern.parts[:-1]
    wild = [i for i, part in enumerate(parts)
            if any(sign in part for sign in WILDCARDS) and not Path(*parts[:i + 1]).is_dir()]
    return Path(*parts[:wild[0]] if wild else parts)
