"""Dehaze photos and videos.

    python infer.py photo.jpg
    python infer.py holiday/ "more/**/*.jpg" --output clear/ --format same --report
    python infer.py clip.mp4 -o clear.mp4

A folder is searched with all its subfolders, which are created in the output folder too. A photo becomes a PNG file of
the same name, or a file of its own format (--format same). It keeps its transparency, its colour profile, and whether
it is grey. The program never overwrites an input.
"""
from __future__ import annotations

import contextlib
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from tqdm import tqdm

from ..data.images import Photo, check_size, read_photo, write_photo
from ..dehaze.dehazer import Dehazer
from ..dehaze.pipeline import dehaze_all, sort_by_size
from ..dehaze.plan import Job, plan
from ..dehaze.work_size import AUTO_SIDE, FULL, WHOLE_PIXELS
from ..errors import UsageError, UserError, one_line
from ..report.report import Report, as_shown, software_versions
from . import config
from .dehazer_options import check_options, open_dehazer

SECTIONS = ("device", "inference", "infer")
VIDEO_FLAGS = ("blend", "network_every")
PHOTO_FLAGS = ("format", "report", "batch_size", "max_pixels")
PATIENCE = 2  # seconds
FRAMES_A_SECOND = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}]"  # below 1 too


def main(argv: Optional[List[str]] = None) -> int:
    options = config.parse(sys.argv[1:] if argv is None else argv, SECTIONS, __doc__.splitlines()[0],
                           {"inputs": "photos, videos, folders or quoted glob patterns"}, {"output": "-o"})
    check_options(options)
    warnings.filterwarnings("ignore", module="PIL")  # damage that matters raises an InputError
    jobs = plan(options.inputs, options.output, options.format == "same")
    refuse_idle_flags(jobs, options.given)

    if any(job.is_video for job in jobs):
        from ..video import dehaze as _  # noqa: F401  if its packages are missing, this fails before the photos

    dehazer = open_dehazer(options)  # may load MindSpore, so flags and files are checked first
    print(f"computed by {dehazer.network.description['runtime']}")
    failures = dehaze_photos(dehazer, [job for job in jobs if not job.is_video], options)
    for job in jobs:
        if job.is_video and not dehaze_clip(dehazer, job, options):
            failures += 1

    place = jobs[0].target if len(jobs) == 1 else options.output
    print(f"{len(jobs) - failures} of {len(jobs)} dehazed: {place}")
    if failures:
        print(f"error: {failures} of {len(jobs)} could not be dehazed, named above", file=sys.stderr)
    return 1 if failures else 0


def refuse_idle_flags(jobs: List[Job], given: Sequence[str]) -> None:
    """Raises: UsageError naming a flag that is for another kind of input than all that are given."""
    for kind, flags in (("videos", VIDEO_FLAGS), ("photos", PHOTO_FLAGS)):
        idle = [flag for flag in flags if flag in given]
        if idle and all(job.is_video == (kind == "photos") for job in jobs):
            raise UsageError(f"--{idle[0]}: is for {kind}, and no input is one; leave it out")


def dehaze_photos(dehazer: Dehazer, jobs: List[Job], options: SimpleNamespace) -> int:
    """Restore and write the photos, then write the report. Returns: the number of photos that failed."""
    report = Report("Dehazed by AECR-Net", facts(dehazer, options), len(jobs)) if options.report and jobs else None

    def load(job: Job) -> Tuple[np.ndarray, Photo]:
        photo = read_photo(job.source, options.max_pixels or None)
        check_size(photo.rgb, str(job.source))
        return photo.rgb, photo

    def finish(job: Job, hazy: np.ndarray, photo: Photo, restored: np.ndarray, seconds: float) -> None:
        photo = photo._replace(rgb=restored)
        write_photo(job.target, photo)
        if report:
            report.add(name_in_report(job, options.output), as_shown(photo._replace(rgb=hazy)), as_shown(photo))

    in_order = sort_by_size(jobs, lambda job: job.source, dehazer, options.batch_size)
    failures = 0
    dehazer.progress = PassBar()
    results = dehaze_all(dehazer, in_order, load, finish, options.batch_size)
    try:
        with contextlib.closing(results), tqdm(total=len(jobs), unit="image", dynamic_ncols=True,
                                               disable=not jobs) as bar:
            for _, outcome in results:
                if isinstance(outcome, UserError):
                    failures += 1
                    bar.write(f"error: {one_line(outcome)}", file=sys.stderr)
                    continue  # the bar shows what was dehazed
                bar.update()
    finally:  # also after an interruption
        if report:
            single = jobs[0].target == Path(options.output)
            report.write((jobs[0].target.parent if single else Path(options.output)) / "report.html")
    return failures


class PassBar:
    """A second bar while one photo takes several passes of the network. It appears after PATIENCE seconds."""

    def __init__(self) -> None:
        self._bar: Optional[tqdm] = None

    def __call__(self, done: int, passes: int) -> None:
        if done == 0:
            self._bar = tqdm(total=passes, unit="pass", desc="this photo", delay=PATIENCE, leave=False,
                             dynamic_ncols=True, position=1)
            return
        self._bar.update()
        if done == passes:
            self._bar.close()


def name_in_report(job: Job, output: str) -> str:
    """The photo's file name, after its folder in the output folder."""
    is_single = job.target == Path(output)
    return job.source.name if is_single else str(job.target.relative_to(output).with_name(job.source.name))


def dehaze_clip(dehazer: Dehazer, job: Job, options: SimpleNamespace) -> bool:
    """Restore a video frame by frame. Returns: whether that worked."""
    from ..video.dehaze import dehaze_video
    from ..video.steady import FrameDehazer

    dehaze = FrameDehazer(dehazer, options.blend, options.network_every)

    def restore(frame: np.ndarray) -> np.ndarray:
        check_size(frame, str(job.source))
        return dehaze(frame)

    with tqdm(unit="frame", desc=job.source.name, dynamic_ncols=True, bar_format=FRAMES_A_SECOND) as bar:
        def show(done: int, frames: int) -> None:
            bar.total = frames
            bar.update()

        try:
            stats = dehaze_video(job.source, job.target, restore, show,
                                 lambda line: bar.write(f"{job.target}: {line}"))
        except UserError as error:
            bar.write(f"error: {one_line(error)}", file=sys.stderr)
            return False
        except KeyboardInterrupt:
            bar.write(f"{job.target}: not finished and not kept; the next run starts this video anew", file=sys.stderr)
            raise
    print(f"{job.target}: {stats.summary()}")
    return True


def facts(dehazer: Dehazer, options: SimpleNamespace) -> Dict[str, Any]:
    """Facts for the report: how the images were made."""
    network = dehazer.network
    return {"checkpoint": network.path.name, **network.description, "strength": options.strength,
            "work_size": work_size_fact(options.work_size), "tile": options.tile, "overlap": options.overlap,
            "self_ensemble": options.self_ensemble, "raw_weights": options.raw_weights, **software_versions()}


def work_size_fact(work_size: int) -> str:
    """The work size in words."""
    if work_size == FULL:
        return "full resolution"
    return f"{work_size} px" if work_size else f"{AUTO_SIDE} px above {WHOLE_PIXELS / 1e6:g} megapixel (auto)"
