"""What infer.py is asked to do: which files to read, and where each result goes."""
from __future__ import annotations

import glob
import mimetypes
import os
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Sequence, Tuple

from ..data.images import EXTENSIONS
from ..errors import InputError, UsageError
from ..files import make_output_folder, path_rule
from ..video.rules import CODECS, is_video, is_video_result, result_name

WILDCARDS = "*?["


class Job(NamedTuple):
    """One file to dehaze."""

    source: Path
    target: Path

    @property
    def is_video(self) -> bool:
        return is_video(self.source)


def plan(inputs: Sequence[str], output: str, same_format: bool = False) -> List[Job]:
    """Assign an output file to every photo and video, and create the folders of the output files.

    Args:
        inputs: photos, videos, folders and quoted glob patterns. Folders are searched with all their subfolders, but
            without hidden files.
        output: a folder, in which the subfolders are created too. A single photo or video may also have an output
            file, which is recognised by its suffix.
        same_format: the results have the format of their input; otherwise they are PNG. Videos keep their suffix, or
            become .mp4 where their kind is not written.

    Raises: UsageError if nothing is given, two results would have one name, a result would replace an input, or the
        output is a file of a kind that is not written.
        InputError if an input is missing, nothing is found, or a folder cannot be written.
    """
    if not inputs:
        raise UsageError("nothing to dehaze: give photos, videos, folders or glob patterns")
    for text in inputs:
        if rule := path_rule(text):
            raise UsageError(f"inputs {rule}" + (f", not {text[:80]}" if text else ""))
    unique = {(os.path.abspath(source), place): (source, place)
              for text in inputs for source, place in _find(text, Path(output))}
    found = list(unique.values())
    if not found:
        raise InputError(f"{' '.join(inputs)}: no photos or videos")
    if _is_file(output):
        if len(found) > 1:
            raise UsageError(f"--output {output}: is one file for {len(found)} inputs, give a folder")
        jobs = [Job(found[0][0], _checked_suffix(found[0][0], Path(output)))]
    else:
        jobs = [Job(source, Path(output) / _renamed(place, same_format)) for source, place in found]
    _refuse_overwriting(jobs)
    for folder in sorted({job.target.parent for job in jobs}):
        make_output_folder(folder, "--output")
    return jobs


def _find(text: str, output: Path) -> Iterator[Tuple[Path, Path]]:
    """(file, place in the output folder) for each file of one argument."""
    path = Path(text)
    if path.is_dir():
        below = sorted(path.rglob("*"))
        yield from ((file, file.relative_to(path)) for file in below if _is_wanted(file, path, output))
    elif path.exists():
        yield path, Path(path.name)
    elif any(sign in text for sign in WILDCARDS):
        root = _fixed_part(path)
        matches = sorted(Path(match) for match in glob.glob(text, recursive=True))
        yield from ((file, file.relative_to(root)) for file in matches if _is_wanted(file, root, output))
    else:
        raise InputError(f"{text}: no such file or folder")


def _is_wanted(file: Path, root: Path, output: Path) -> bool:
    """Whether a file in the input folder `root` is a photo or video, and not a result of an earlier run."""
    place = file.relative_to(root)
    if any(part.startswith(".") for part in place.parts) or not file.is_file():
        return False
    results, top = os.path.realpath(output) + os.sep, os.path.realpath(root) + os.sep
    is_result = results.startswith(top) and results != top and os.path.realpath(file).startswith(results)
    return not is_result and _is_wanted_suffix(file)


def _is_wanted_suffix(path: Path) -> bool:
    return is_video(path) or path.suffix.lower() in EXTENSIONS


def _fixed_part(pattern: Path) -> Path:
    """The part of a glob pattern before the first folder with a wildcard."""
    parts = pattern.parts[:-1]
    wild = [i for i, part in enumerate(parts) if any(sign in part for sign in WILDCARDS)]
    return Path(*parts[:wild[0]] if wild else parts)


def _is_file(output: str) -> bool:
    """Whether the output is meant as a file. Raises: UsageError if it is, and of a kind that is not written."""
    path = Path(output)
    if path.is_dir() or output.endswith(os.sep):
        return False
    kind = (mimetypes.guess_type(path.name)[0] or "").partition("/")[0]
    is_written = is_video_result(path) or path.suffix.lower() in EXTENSIONS
    if (kind in ("image", "video") or is_video(path)) and not is_written:
        raise UsageError(f"--output {output}: a file's suffix must be one of {' '.join((*EXTENSIONS, *CODECS))}; "
                         f"for a folder of that name write {output}/")
    return is_written


def _checked_suffix(source: Path, target: Path) -> Path:
    if is_video(source) != is_video_result(target):
        raise UsageError(f"--output {target}: a photo becomes a photo and a video a video, not {source.name}")
    return target


def _renamed(place: Path, same_format: bool) -> Path:
    if is_video(place):
        return result_name(place)
    keeps = same_format and place.suffix.lower() in EXTENSIONS
    return place if keeps else place.with_suffix(".png")


def _refuse_overwriting(jobs: List[Job]) -> None:
    sources = {_identity(job.source): job.source for job in jobs}
    taken: Dict[str, Path] = {}
    for job in jobs:
        other = taken.setdefault(os.path.realpath(job.target), job.source)
        if other != job.source:
            raise UsageError(f"{other} and {job.source}: both results would be {job.target}; use --format same or "
                             "dehaze them apart")
        if job.target.exists() and _identity(job.target) in sources:
            raise UsageError(f"--output {job.target}: would replace the input {sources[_identity(job.target)]}")


def _identity(path: Path) -> Tuple[int, int]:
    """Device and inode, which are equal for all names of one file."""
    status = path.stat()
    return status.st_dev, status.st_ino
