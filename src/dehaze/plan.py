"""What infer.py is asked to do: which files to read, and where each result goes."""
from __future__ import annotations

import mimetypes
import os
from collections import Counter
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence, Tuple

from ..data.formats import is_written, kind_of, suffixes_written
from ..data.reading import read_header
from ..errors import InputError, UsageError
from ..files import LONGEST_NAME, make_output_folder, path_rule
from ..video.rules import CODECS, is_video, is_video_result, result_name
from .search import Found, Search, explained


class Job(NamedTuple):
    """One file to dehaze."""

    source: Path
    target: Path

    @property
    def is_video(self) -> bool:
        return is_video(self.source)


class Plan(NamedTuple):
    """The files to dehaze, and what is not done."""

    jobs: List[Job]
    existing: List[Job]  # whose results exist, and are kept
    left_out: str  # how many files of which kinds were found and are not read; empty: none
    faults: List[str]  # folders that cannot be read


def plan(inputs: Sequence[str], output: str, same_format: bool = False, overwrite: bool = False) -> Plan:
    """Assign an output file to every photo and video, and create the folders of the output files.

    Args:
        inputs: photos, videos, folders and quoted glob patterns. Folders are searched with all their subfolders and
            what links lead to, but without hidden files.
        output: a folder, in which the subfolders are created too. A single photo or video may also have an output
            file, which is recognised by its suffix.
        same_format: the results have the format of their input if it is written and can hold what the input holds;
            otherwise they are PNG. Videos keep their suffix, or become .mp4 if their kind is not written.
        overwrite: replace results that exist. Otherwise they are kept, so that the same command goes on.

    Raises: UsageError if nothing is given, two results would have one name, a result would replace an input, or the
        output is a file of a kind that is not written or lacks the transparency of the input.
        InputError if an input is missing, nothing is found, or a folder cannot be written.
    """
    if not inputs:
        raise UsageError("nothing to dehaze: give photos, videos, folders or glob patterns")
    for text in inputs:
        if rule := path_rule(text):
            raise UsageError(f"inputs {rule}" + (f", not {text[:80]}" if text else ""))
    search = Search(output)
    for text in inputs:
        search.add(text)
    if not search.found:
        left_out = explained(search.left_out)
        raise InputError("; ".join([f"{' '.join(inputs)}: no photos or videos", *search.faults,
                                    *([f"left out: {left_out}"] if left_out else [])]))
    jobs = _jobs(search.found, output, same_format)
    _refuse_overwriting(jobs)
    for folder in sorted({job.target.parent for job in jobs}):
        make_output_folder(folder, "--output")
    existing = [] if overwrite else [job for job in jobs if os.path.lexists(job.target)]
    return Plan([job for job in jobs if job not in existing], existing, explained(search.left_out), search.faults)


def _jobs(found: Sequence[Found], output: str, same_format: bool) -> List[Job]:
    if not _is_file(output):
        names = _apart([(place, _renamed(source, place, same_format)) for source, place in found])
        return [Job(source, Path(output) / name) for (source, _), name in zip(found, names)]
    if len(found) > 1:
        raise UsageError(f"--output {output}: is one file for {len(found)} inputs, give a folder")
    return [Job(found[0].source, _checked_suffix(found[0].source, Path(output)))]


def _is_file(output: str) -> bool:
    """Whether the output is meant as a file. Raises: UsageError if it is, and of a kind that is not written."""
    path = Path(output)
    if path.is_dir() or output.endswith(os.sep):
        return False
    if is_video_result(path) or _is_written_photo(path):
        return True
    kind = (mimetypes.guess_type(path.name)[0] or "").partition("/")[0]
    if kind in ("image", "video") or is_video(path) or kind_of(path) is not None:
        raise UsageError(f"--output {output}: a file's suffix must be one of "
                         f"{' '.join((*suffixes_written(), *CODECS))}; for a folder of that name write {output}/")
    return False


def _is_written_photo(path: Path) -> bool:
    kind = kind_of(path)
    return kind is not None and is_written(kind)


def _checked_suffix(source: Path, target: Path) -> Path:
    if is_video(source) != is_video_result(target):
        raise UsageError(f"--output {target}: a photo becomes a photo and a video a video, not {source.name}")
    kind = kind_of(target)
    if kind is not None and not _holds_transparency(source, target):
        raise UsageError(f"--output {target}: {kind.name} has no transparency, and {source.name} has; "
                         "use .png, .webp or .tif")
    return target


def _holds_transparency(source: Path, target: Path) -> bool:
    """Whether `target` can hold the transparency of `source`, if it has any."""
    kind = kind_of(target)
    if kind is None or kind.has_alpha:
        return True
    header = read_header(source)
    return header is None or not header.has_alpha


def _renamed(source: Path, place: Path, same_format: bool) -> Path:
    if is_video(source):
        return result_name(place)
    keeps = same_format and _is_written_photo(place) and _holds_transparency(source, place)
    return place if keeps else place.with_suffix(".png")


def _apart(names: List[Tuple[Path, Path]]) -> List[Path]:
    """(name of a file, name of its result) -> names of the results. a.jpg beside a.png becomes a.jpg.png."""
    count = Counter(str(result).lower() for _, result in names)
    return [result if count[str(result).lower()] == 1 or str(result).lower() == str(name).lower()
            else result.with_name(_shortened(name.stem, name.suffix + result.suffix)) for name, result in names]


def _shortened(stem: str, suffix: str) -> str:
    """The two together, the stem cut so that no file system finds the name too long."""
    while len(os.fsencode(stem + suffix)) > LONGEST_NAME:
        stem = stem[:-1]
    return stem + suffix


def _refuse_overwriting(jobs: List[Job]) -> None:
    sources = {_identity(job.source): job.source for job in jobs}
    taken: Dict[str, Path] = {}
    for job in jobs:
        other = taken.setdefault(os.path.realpath(job.target), job.source)
        if other != job.source:
            raise UsageError(f"{other} and {job.source}: both results would be {job.target}; dehaze them apart")
        if job.target.exists() and _identity(job.target) in sources:
            raise UsageError(f"--output {job.target}: would replace the input {sources[_identity(job.target)]}; "
                             "choose another folder")


def _identity(path: Path) -> Tuple[int, int]:
    """Device and inode, which are equal for all names of one file."""
    status = path.stat()
    return status.st_dev, status.st_ino

