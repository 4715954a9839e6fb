"""Dehaze photos and videos.

    python infer.py photo.jpg
    python infer.py holiday/ "more/**/*.jpg" --output clear/ --format same --report
    python infer.py clip.mp4 -o clear.mp4

A folder is searched with all its subfolders, which are created in the output folder too. A photo becomes a PNG file of
the same name, or a file of its own format (--format same), in sRGB, with its transparency, 16 bits, EXIF and XMP, and
grey if it is grey. docs/formats.md lists the kinds of files. The program never overwrites an input, and keeps results
that exist, so that the same command goes on after an interruption (--overwrite replaces them).
"""
from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List, Optional, Sequence

import numpy as np
from tqdm import tqdm

from ..data.images import check_size
from ..dehaze.dehazer import Dehazer
from ..dehaze.plan import Job, Plan, plan
from ..dehaze.work_size import FULL, LARGE_PIXELS, LARGE_SIDE, PHOTO_SIDE
from ..errors import UsageError, UserError, one_line, printable
from ..report.report import Report, software_versions
from . import config
from .dehazer_options import check_options, open_dehazer
from .photos import Photos

SECTIONS = ("device", "inference", "infer")
VIDEO_FLAGS = ("blend", "network_every")
PHOTO_FLAGS = ("format", "report", "batch_size", "max_pixels", "quality", "strip_metadata")
PATIENCE = 2  # seconds
FRAMES_A_SECOND = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}]"  # below 1 too


def main(argv: Optional[List[str]] = None) -> int:
    options = config.parse(sys.argv[1:] if argv is None else argv, SECTIONS, __doc__.splitlines()[0],
                           {"inputs": "photos, videos, folders or quoted glob patterns"}, {"output": "-o"})
    check_options(options)
    warnings.filterwarnings("ignore", module="PIL")  # damage that matters raises an InputError
    planned = plan(options.inputs, options.output, options.format == "same", options.overwrite)
    jobs = planned.jobs
    refuse_idle_flags([*jobs, *planned.existing], options.given)
    say(planned)
    if not jobs:
        return 1 if planned.faults else 0

    if any(job.is_video for job in jobs):
        from ..video import dehaze as _  # noqa: F401  if its packages are missing, this fails before the photos

    dehazer = open_dehazer(options)  # may load MindSpore, so flags and files are checked first
    print(f"computed by {dehazer.network.description['runtime']}")
    failures = dehaze_photos(dehazer, [job for job in jobs if not job.is_video], options)
    for job in jobs:
        if job.is_video and not dehaze_clip(dehazer, job, options):
            failures += 1

    place = jobs[0].target if len(jobs) == 1 else options.output
    print(f"{len(jobs) - failures} of {len(jobs)} dehazed: {printable(place)}")
    if failures:
        print(f"error: {failures} of {len(jobs)} could not be dehazed, named above", file=sys.stderr)
    return 1 if failures or planned.faults else 0


def say(planned: Plan) -> None:
    """Print what is not done, before the work starts."""
    for fault in planned.faults:
        print(f"error: {fault}", file=sys.stderr)
    if planned.left_out:
        print(f"note: left out: {planned.left_out}", file=sys.stderr)
    if planned.existing:
        count, total = len(planned.existing), len(planned.existing) + len(planned.jobs)
        videos = "; a video that was not finished starts anew" if any(job.is_video for job in planned.jobs) else ""
        print(f"{count} of {total} results exist and are kept, the first is {printable(planned.existing[0].target)} "
              f"(--overwrite replaces them){videos}")


def refuse_idle_flags(jobs: List[Job], given: Sequence[str]) -> None:
    """Raises: UsageError naming a flag that is for another kind of input than all that are given."""
    for kind, flags in (("videos", VIDEO_FLAGS), ("photos", PHOTO_FLAGS)):
        idle = [flag for flag in flags if flag in given]
        if idle and all(job.is_video == (kind == "photos") for job in jobs):
            raise UsageError(f"--{idle[0]}: is for {kind}, and no input is one; leave it out")


def dehaze_photos(dehazer: Dehazer, jobs: List[Job], options: SimpleNamespace) -> int:
    """Restore and write the photos, then write the report. Returns: the number of photos that failed."""
    report = Report("Dehazed by AECR-Net", facts(dehazer, options), len(jobs)) if options.report and jobs else None
    photos = Photos(dehazer, options, report)
    dehazer.progress = PassBar()
    try:
        photos.dehaze(jobs)
    finally:  # also after an interruption
        if report:
            single = jobs[0].target == Path(options.output)
            report.write((jobs[0].target.parent if single else Path(options.output)) / "report.html")
    return photos.failures


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


def dehaze_clip(dehazer: Dehazer, job: Job, options: SimpleNamespace) -> bool:
    """Restore a video frame by frame. Returns: whether that worked."""
    from ..dehaze.frames import FrameDehazer
    from ..video.dehaze import dehaze_video

    dehaze = FrameDehazer(dehazer, options.blend, options.network_every)

    def restore(frame: np.ndarray) -> np.ndarray:
        check_size(frame, str(job.source))
        return dehaze(frame)

    with tqdm(unit="frame", desc=printable(job.source.name), dynamic_ncols=True, bar_format=FRAMES_A_SECOND) as bar:
        def show(done: int, frames: int) -> None:
            bar.total = frames
            bar.update()

        try:
            stats = dehaze_video(job.source, job.target, restore, show,
                                 lambda line: bar.write(f"{printable(job.target)}: {line}"))
        except UserError as error:
            bar.write(f"error: {one_line(error)}", file=sys.stderr)
            return False
        except MemoryError:
            bar.write(f"error: {printable(job.source)}: not enough memory; a smaller --work_size needs less",
                      file=sys.stderr)
            return False
        except KeyboardInterrupt:
            bar.write(f"{printable(job.target)}: not finished and not kept; the next run starts this video anew",
                      file=sys.stderr)
            raise
    print(f"{printable(job.target)}: {stats.summary()}")
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
    return f"{work_size} px" if work_size else (
        f"at most {PHOTO_SIDE} px, {LARGE_SIDE} px above {LARGE_PIXELS / 1e6:g} megapixel (auto)")
