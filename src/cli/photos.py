"""Dehazes the photos of a plan: each picture of each file, with all that the files hold beside the pixels."""
from __future__ import annotations

import contextlib
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Dict, List, Tuple

import numpy as np
from tqdm import tqdm

from ..data.formats import kind_of
from ..data.images import check_size
from ..data.photo import Metadata, Photo
from ..data.reading import pixel_limit, read_header, read_photo, read_pictures
from ..data.writing import write_photo, write_pictures
from ..dehaze.dehazer import Dehazer
from ..dehaze.pipeline import dehaze_all, sort_by_size
from ..dehaze.plan import Job
from ..errors import InputError, UserError, one_line, printable
from ..report.report import as_shown


class Photos:
    """The photos of a run.

    Args:
        options: of infer.py.
        report: the page that shows them, or None.

    Attributes:
        failures: number of files that failed, each named in a line.
        notes: what was changed or left out -> number of files, and the first of them.
    """

    def __init__(self, dehazer: Dehazer, options: SimpleNamespace, report: Any = None):
        self.dehazer, self.options, self.report = dehazer, options, report
        self.failures = 0
        self.notes: Counter = Counter()
        self._first: Dict[str, Path] = {}

    def dehaze(self, jobs: List[Job]) -> None:
        """Restore and write the photos, and print the notes."""
        several = [job for job in jobs if is_whole(job)]
        single = sort_by_size([job for job in jobs if job not in several], lambda job: job.source, self.dehazer,
                              self.options.batch_size)
        with tqdm(total=len(jobs), unit="image", dynamic_ncols=True, disable=not jobs) as bar:
            results = dehaze_all(self.dehazer, single, self._load, self._finish, self.options.batch_size)
            with contextlib.closing(results):
                for _, outcome in results:
                    self._count(outcome, bar)
            for job in several:
                self._count(_attempt(self._dehaze_pictures, job), bar)
        for note, count in self.notes.items():
            files = printable(self._first[note]) + (f" and {count - 1} more" if count > 1 else "")
            print(f"note: {files}: {note}", file=sys.stderr)

    def _count(self, outcome: Any, bar: tqdm) -> None:
        if isinstance(outcome, UserError):
            self.failures += 1
            bar.write(f"error: {one_line(outcome)}", file=sys.stderr)
            return  # the bar shows what was dehazed
        bar.update()

    def _load(self, job: Job) -> Tuple[np.ndarray, Photo]:
        photo = read_photo(job.source, self.options.max_pixels or None)
        check_size(photo.rgb, str(job.source))
        return photo.rgb, photo

    def _finish(self, job: Job, hazy: np.ndarray, photo: Photo, restored: np.ndarray, seconds: float) -> None:
        left_out = write_photo(job.target, self._result(photo, restored), self.options.quality)
        first = (f"only the first of {photo.pictures} pictures",) if photo.pictures > 1 else ()
        self._note(job, (*photo.notes, *left_out, *first))
        self._report(job, photo, restored)

    def _dehaze_pictures(self, job: Job) -> None:
        """All frames of an animation, or all pages of a TIFF file."""
        results, notes, pixels = [], [], 0
        limit = pixel_limit(self.options.max_pixels)
        for number, photo in enumerate(read_pictures(job.source, self.options.max_pixels or None), 1):
            check_size(photo.rgb, f"{job.source}, picture {number} of {photo.pictures}")
            pixels += photo.rgb.shape[0] * photo.rgb.shape[1]
            if pixels > limit:
                raise InputError(f"{job.source}: its {photo.pictures} pictures have more than {limit} pixels, "
                                 "raise --max_pixels to accept them")
            restored = self.dehazer.dehaze(photo.rgb)
            if not results:
                self._report(job, photo, restored)
            results.append(self._result(photo, restored))
            notes += photo.notes
        notes += write_pictures(job.target, results, self.options.quality)
        self._note(job, dict.fromkeys(notes))

    def _result(self, photo: Photo, restored: np.ndarray) -> Photo:
        if self.options.strip_metadata:
            photo = photo._replace(metadata=Metadata(), icc_profile=None)
        return photo._replace(rgb=restored)

    def _report(self, job: Job, photo: Photo, restored: np.ndarray) -> None:
        if self.report:
            shown = (as_shown(photo._replace(rgb=pixels)) for pixels in (photo.rgb, restored))
            self.report.add(name_in_report(job, self.options.output), *shown)

    def _note(self, job: Job, notes) -> None:
        for note in notes:
            self.notes[note] += 1
            self._first.setdefault(note, job.source)


def name_in_report(job: Job, output: str) -> str:
    """The photo's file name, after its folder in the output folder."""
    is_single = job.target == Path(output)
    return job.source.name if is_single else str(job.target.relative_to(output).with_name(job.source.name))


def is_whole(job: Job) -> bool:
    """Whether the source holds several pictures, and the target can hold them all."""
    kind, target = kind_of(job.source), kind_of(job.target)
    if kind is None or target is None or not kind.several or kind.several != target.several:
        return False
    header = read_header(job.source)
    return header is not None and header.pictures > 1


def _attempt(call: Callable[[Job], None], job: Job) -> Any:
    try:
        return call(job)
    except UserError as error:
        return error


