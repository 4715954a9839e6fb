"""Speed of dehazing videos, and how steady and true the results are.

    python benchmarks/videos.py                       speed of three sizes
    python benchmarks/videos.py --sizes 854x480 --network_every 1 2 3
    python benchmarks/videos.py --quality PHOTO ...   change from frame to frame, and PSNR to the truth

The clips show a photo with haze under a moving camera and noise of 2 levels of 255. The speed counts from the first
frame read to the last one written, with x264. --quality takes clear photos, adds haze and a moving object, and shows a
camera at rest and a moving one at 854x480.
"""
from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Iterator, List, Optional, Tuple

import av
import cv2
import numpy as np
from compare_work_sizes import pairs
from large_photos import size_from

import _clone  # noqa: F401
from src.cli.config import CHOICES, Parser
from src.cli.entry import run_as_program
from src.data.demo import demo_pairs
from src.dehaze.dehazer import Dehazer
from src.dehaze.frames import FrameDehazer
from src.evaluate.metrics import psnr
from src.video.dehaze import dehaze_video

BLEND = 0.8  # the default of infer.py
WAYS = ((0.0, 1), (BLEND, 1), (BLEND, 2), (BLEND, 3))  # --blend and --network_every
FRAMES = 24  # of a clip

Clip = List[List[np.ndarray]]  # the hazy and the clear frame, uint8 RGB[h, w, 3], frame by frame


def main(argv: Optional[List[str]] = None) -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["854x480", "1920x1080", "3840x2160"],
                        help="WIDTHxHEIGHT (default: 854x480 1920x1080 3840x2160)")
    parser.add_argument("--network_every", type=int, nargs="+", default=[1, 2], help="(default: 1 2)")
    parser.add_argument("--quality", metavar="PHOTO", nargs="+",
                        help="measure the results, with haze on these clear photos")
    parser.add_argument("--runtime", choices=CHOICES["runtime"], default="openvino")
    parser.add_argument("--precision", choices=CHOICES["precision"], default="float32")
    options = parser.parse_args(argv)
    sizes = [size_from(text) for text in options.sizes]
    dehazer = Dehazer(runtime=options.runtime, precision=options.precision)
    if options.quality:
        print_quality(dehazer, options.quality)
        return
    print("| size | network_every | frames a second | CPU seconds a frame |\n|---|---|---|---|")
    for size in sizes:
        for every in options.network_every:
            rate, busy = speed(dehazer, size, every)
            print(f"| {size[0]}x{size[1]} | {every} | {rate:.1f} | {busy:.2f} |", flush=True)


def speed(dehazer: Dehazer, size: Tuple[int, int], every: int) -> Tuple[float, float]:
    """Frames a second, and CPU seconds of a frame."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "hazy.mp4", Path(folder) / "clear.mp4"
        write_clip(source, size, (frame for (frame,) in seen([demo_pairs()[0][1]], size, moving=True)))
        start = time.process_time()
        stats = dehaze_video(source, target, FrameDehazer(dehazer, BLEND, every))
        return stats.frames / stats.seconds, (time.process_time() - start) / stats.frames


def print_quality(dehazer: Dehazer, paths: List[str]) -> None:
    size, photos = (854, 480), [photo[1:] for photo in pairs(paths)]
    still = [[*seen([*photo], size, moving=False)] for photo in photos]
    print("| camera at rest | change of pixels | of means over 8x8 px | PSNR |\n|---|---|---|---|")
    print_change("input", [[hazy for hazy, _ in clip] for clip in still], still)
    for blend, every in WAYS:
        print_change(named(blend, every), [restored(dehazer, clip, blend, every) for clip in still], still)
    print("\n| moving camera, moving object, PSNR |", " | ".join(Path(path).stem for path in paths), "| mean |")
    print("|---" * (len(paths) + 2) + "|")
    moving = [[*seen([*photo], size, moving=True)] for photo in photos]
    print_psnr("input", [[hazy for hazy, _ in clip] for clip in moving], moving)
    for blend, every in WAYS:
        print_psnr(named(blend, every), [restored(dehazer, clip, blend, every) for clip in moving], moving)


def named(blend: float, every: int) -> str:
    return f"`--blend {blend} --network_every {every}`"


def restored(dehazer: Dehazer, clip: Clip, blend: float, every: int) -> List[np.ndarray]:
    dehaze = FrameDehazer(dehazer, blend, every)
    return [dehaze(hazy) for hazy, _ in clip]


def print_change(name: str, results: List[List[np.ndarray]], clips: List[Clip]) -> None:
    cells = [[cv2.resize(frame.astype(np.float32), (106, 60), interpolation=cv2.INTER_AREA) for frame in frames]
             for frames in results]
    changes = (np.mean([change(frames) for frames in some]) for some in (results, cells))
    print("| {} | {:.2f} | {:.2f} | {:.2f} |".format(name, *changes, np.mean([*map(mean_psnr, results, clips)])),
          flush=True)


def print_psnr(name: str, results: List[List[np.ndarray]], clips: List[Clip]) -> None:
    values = [*map(mean_psnr, results, clips)]
    print(f"| {name} |", " | ".join(f"{value:.2f}" for value in (*values, np.mean(values))), "|", flush=True)


def change(frames: List[np.ndarray]) -> float:
    return float(np.mean([cv2.absdiff(*two).mean() for two in zip(frames, frames[1:])]))


def mean_psnr(frames: List[np.ndarray], clip: Clip) -> float:
    return float(np.mean([psnr(frame, clear) for frame, (_, clear) in zip(frames, clip)]))


def seen(photos: List[np.ndarray], size: Tuple[int, int], moving: bool) -> Iterator[List[np.ndarray]]:
    """What a camera sees of photos of one scene, uint8 RGB[h, w, 3] of `size` (width, height) each, frame by frame.

    It pans and zooms out if `moving`, and an object crosses the scene. The first photo gets noise.
    """
    width, rng = photos[0].shape[1], np.random.default_rng(0)
    for number in range(FRAMES if moving else FRAMES // 3):
        step = number if moving else 0
        scale = (0.6 + 0.002 * step) * width / size[0]
        place = np.float32([[scale, 0, 0.03 * width + 0.0015 * width * step], [0, scale, 0.02 * width]])
        frames = [cv2.warpAffine(photo, place, size, flags=cv2.INTER_AREA | cv2.WARP_INVERSE_MAP,
                                 borderMode=cv2.BORDER_REFLECT) for photo in photos]
        if moving:
            middle = int(size[0] * (0.1 + 0.015 * step)), size[1] * 2 // 3
            for frame in frames:
                cv2.circle(frame, middle, size[1] // 9, (170, 60, 40), -1)
        noise = rng.normal(0, 2, frames[0].shape).astype(np.float32)
        frames[0] = np.clip(np.rint(frames[0] + noise), 0, 255).astype(np.uint8)
        yield frames


def write_clip(path: Path, size: Tuple[int, int], frames: Iterator[np.ndarray]) -> None:
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"crf": "20", "preset": "veryfast"})
        stream.pix_fmt, (stream.width, stream.height) = "yuv420p", size
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        file.mux(stream.encode())


if __name__ == "__main__":
    run_as_program(main)
