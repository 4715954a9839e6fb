"""Dehazes images with a trained network. This is the Python API, which eval.py and infer.py use too.

    from src import Dehazer
    from src.data.images import write_image

    dehazer = Dehazer()                      # the shipped checkpoint for photos
    write_image("clear.png", dehazer.dehaze("hazy.jpg"))
    frame = dehazer.dehaze(array)            # RGB, RGBA or grey of 8 or 16 bits, or a PIL image -> the same

This module does not import MindSpore, which takes seconds. A Dehazer imports it if it needs it.
"""
from __future__ import annotations

import contextlib
import itertools
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union, overload

import numpy as np
from PIL.Image import Image as PILImage

from ..data.images import check_size, from_network, full_scale, read_image, size_of, to_network
from ..errors import InputError, UsageError
from ..files import PathLike, shipped
from ..runtime.opening import NetworkChoice
from ..runtime.runner import Runner
from ..spec import FASTEST, MIN_SIDE, OVERLAP, RECEPTIVE_FIELD
from . import local_colour_map
from .forms import as_rgb
from .tiles import Restore, Tiling, check_tiles, restore_in_tiles, restore_with_ensemble, to_pixels
from .work_size import AUTO, SMALLEST, check_work_size, seen_size

if TYPE_CHECKING:  # imports MindSpore
    from ..network.health import Health

SHIPPED_CHECKPOINT = shipped("checkpoints/aecrnet_real.ckpt")  # for photos: trained on haze of many kinds
BENCHMARK_CHECKPOINT = shipped("checkpoints/aecrnet.ckpt")  # for eval.py: trained on RESIDE's haze alone

Size = Tuple[int, int]  # height, width


class Dehazer:
    """A network with everything around it: images of 8 or 16 bits in and out, any size, self-ensemble.

    Several threads may use one Dehazer, which restores one image at a time. After a fork it raises an InputError: make
    one in each process, and start the processes by spawn.

    The network sees a large photo as a small picture. A local colour map carries what it does to that picture to every
    pixel of the photo (src.dehaze.local_colour_map).

    Args:
        checkpoint: a .ckpt file, or for a `runtime` other than MindSpore the .onnx file of an exported model. None: the
            shipped checkpoint. The file contains arch and value range.
        device_target: "CPU", "GPU" or "Ascend".
        tile: longest side in pixels of the network's input, which bounds the memory: what the network is to see is cut
            into tiles if it is larger. 0: 512 for pictures of more than 1 megapixel. -1: never. Tiles overlap by at
            least `overlap` pixels and are blended there. The network's channel attention averages over a tile, so tiles
            of one photo differ in brightness.
        self_ensemble: average over the eight flips and quarter turns, which takes eight times as long.
        device_id: number of the card.
        raw_weights: use the weights of a FILENAME_last.ckpt, not their running average (`--ema_decay`).
        dcn_backend: "gather", "native" or "auto", see `src.network.dcn.DeformConv2d`.
        network: replaces the checkpoint, see `src.runtime.runner.Runner`. A network of one size sees larger images at
            that size, or with a `work_size` in tiles of that size.
        runtime: "openvino", "onnxruntime" or "mindspore". "auto": the first of these that is installed, and MindSpore
            for another device than the CPU or a `dcn_backend`.
        precision: type of OpenVINO's computations, "float32", "bfloat16" or "int8". The last needs the ranges of
            scripts/calibrate_int8.py beside the checkpoint; the shipped ones have them.
        work_size: longer side in pixels at which the network sees a photo. 0: 512 for photos of more than 1 megapixel,
            at most 800 for others. -1: the photo's own size. See src.dehaze.work_size.
        strength: how much of the change to apply, in 0..1. With 0 every pixel stays as it is.

    Attributes:
        progress: called with (done, all) before, between and after the passes of the network that a photo takes, if
            there are several.

    Raises: InputError if the checkpoint, the device or the runtime cannot be used. UsageError for arguments that are
        wrong or do not fit together.
    """

    def __init__(
        self, checkpoint: Optional[PathLike] = None, device_target: str = "CPU", tile: int = 0, overlap: int = OVERLAP,
        self_ensemble: bool = False, device_id: int = 0, network: Optional[Runner] = None, raw_weights: bool = False,
        dcn_backend: str = "auto",
        runtime: str = FASTEST, precision: str = "float32", work_size: int = AUTO, strength: float = 1.0,
    ) -> None:
        check_numbers(tile, overlap, work_size, strength)
        self.self_ensemble, self.work_size, self.strength = self_ensemble, work_size, strength
        self.progress: Optional[Callable[[int, int], None]] = None
        if network is None:
            network = NetworkChoice(find_checkpoint(checkpoint), device_target, device_id, raw_weights, dcn_backend,
                                    runtime, precision).check().open()
        self.network = network
        self._lock, self._process = threading.RLock(), os.getpid()
        self.fixed: Optional[Size] = getattr(network, "size", None)
        self.tiling = Tiling(tile, overlap, self.fixed)

    @overload
    def dehaze(self, image: PILImage) -> PILImage: ...

    @overload
    def dehaze(self, image: Union[PathLike, np.ndarray]) -> np.ndarray: ...

    def dehaze(self, image: Union[PathLike, np.ndarray, PILImage]) -> Union[np.ndarray, PILImage]:
        """Restore one image.

        Args:
            image: path of a photo, or uint8 or uint16 RGB[h, w, 3], RGBA[h, w, 4] or grey [h, w], or a PIL image. A
                photo and a PIL image are turned upright by their EXIF data and converted to sRGB by their profile.

        Returns: for a path uint8 sRGB[h, w, 3], without alpha. For an array, an array of the same shape and type. For a
            PIL image, a PIL image. Alpha stays as it was.
        Raises: InputError if the file cannot be read, a side is shorter than 16 px, or it is larger than the one size
            of the network and that is too small; ValueError if an array is of another shape or type.
        """
        if isinstance(image, (str, os.PathLike)):
            pixels, back = as_rgb(read_image(image))
            self.check(pixels, str(image))
        else:
            pixels, back = as_rgb(image)
            self.check(pixels, "image")
        if not self.strength:
            return back(pixels.copy())
        seen = self._seen(pixels)
        return back(self._carried_over(pixels, seen, self.restore(seen)))

    def dehaze_batch(self, images: Sequence[np.ndarray]) -> List[np.ndarray]:
        """Restore images of one size in one pass. With tiles or self-ensemble, restore them one by one.

        Args and returns: as for `dehaze`, RGB[h, w, 3] each. The results equal those of `dehaze`.
        """
        in_tiles = self.tiling.side(self._seen_size(size_of(images[0]))) is not None
        if len(images) == 1 or not self.strength or self.self_ensemble or in_tiles:
            return [self.dehaze(image) for image in images]
        for image in images:
            self.check(image, "image")
        seen = [self._seen(image) for image in images]
        restored = to_pixels(self._run(np.stack(seen)), seen[0].dtype)
        return [self._carried_over(*pictures) for pictures in zip(images, seen, restored)]

    def picture(self, image: np.ndarray) -> np.ndarray:
        """What the network sees of an image of uint8 or uint16 RGB[h, w, 3]: float32[h, w, 3] in 0..1.

        Raises: InputError as `dehaze` does.
        """
        self.check(image, "image")
        seen = self._seen(image)
        return seen if seen is not image else image.astype(np.float32) / np.float32(full_scale(image.dtype))

    def restore(self, picture: np.ndarray) -> np.ndarray:
        """What the network makes of a picture at its own size, RGB[h, w, 3] of uint8, uint16 or float32 -> the same."""
        in_tiles, passes = self.tiling.side(size_of(picture)) is not None, 8 if self.self_ensemble else 1
        if in_tiles:
            rows, columns = self.tiling.windows(size_of(picture))
            passes *= len(rows) * len(columns)
        run = self._told(passes)
        restore = (lambda part: restore_with_ensemble(part, run)) if self.self_ensemble else run
        if in_tiles:
            return restore_in_tiles(picture, restore, self.tiling)
        return to_pixels(restore(picture), picture.dtype)

    def diagnose(self, images: Iterable[np.ndarray]) -> Optional[Health]:
        """Find out whether all parts of the network work. `.warning()` of the result names a fault, or is empty.

        Args:
            images: at least one, uint8 RGB[h, w, 3]. The probe sees the middle 256 px of each. Four are enough.

        Returns: None on another runtime than MindSpore and for an exported model, which have no probe.
        """
        if not hasattr(self.network, "probe"):
            return None
        from ..network.health import judge, middle

        white = self.network.value_range
        with self._alone():
            return judge([self.network.probe(to_network(middle(image)[None], white)) for image in images])

    def check(self, image: np.ndarray, name: str) -> None:
        """Raises: InputError naming the image if it is too small, or too large for a network of one size."""
        check_size(image, name)
        if not self.fixed:
            return
        shorter, seen = min(self.fixed), self._seen_size(size_of(image))
        if seen != size_of(image) and shorter < SMALLEST:
            raise InputError(f"{name}: image of {image.shape[1]}x{image.shape[0]} is larger than the model's "
                             f"{self.fixed[1]}x{self.fixed[0]}, and a model that is to see whole photos needs at least "
                             f"{SMALLEST}x{SMALLEST}; export a larger one")
        if self.tiling.side(seen) is not None:
            if shorter < RECEPTIVE_FIELD or self.tiling.overlap > shorter - MIN_SIDE:
                raise InputError(
                    f"{name}: image of {image.shape[1]}x{image.shape[0]} is larger than the model's "
                    f"{self.fixed[1]}x{self.fixed[0]}, which is too small for tiles (at least {RECEPTIVE_FIELD}, "
                    f"and the overlap and {MIN_SIDE}); export with --dynamic")

    def expect(self, sizes: Iterable[Size], batch_size: int = 1) -> None:
        """Announce the (height, width) of later images, so that the network can decide whether to compile a graph."""
        counts: Dict[Size, int] = {}
        for size in () if self.fixed else sizes:
            counts[size] = counts.get(size, 0) + 1
        for size, count in counts.items() if self.strength else ():
            height, width = self._seen_size(size)
            in_tiles = self.tiling.side((height, width)) is not None
            if in_tiles:
                rows, columns = self.tiling.windows((height, width))
                count *= len(rows) * len(columns)
                height, width = rows[0][1], columns[0][1]
            if self.self_ensemble:
                self.network.expect((1, 3, height, width), 4 * count)
                self.network.expect((1, 3, width, height), 4 * count)
                continue
            together = 1 if in_tiles else batch_size
            self.network.expect((together, 3, height, width), count // together)
            self.network.expect((count % together, 3, height, width), 1 if count % together else 0)

    def _seen_size(self, size: Size) -> Size:
        return seen_size(size, self.work_size, self.fixed)

    def _seen(self, image: np.ndarray) -> np.ndarray:
        """What the network is to see: the image, or a small picture of it, float32[h, w, 3] in 0..1."""
        size = self._seen_size(size_of(image))
        if size == size_of(image):
            return image
        return local_colour_map.shrink(image, size).astype(np.float32) / np.float32(full_scale(image.dtype))

    def _carried_over(self, image: np.ndarray, seen: np.ndarray, restored: np.ndarray) -> np.ndarray:
        """The result for the whole image, made from `restored`, the result for what the network saw of it."""
        if seen is image:
            return restored
        return local_colour_map.apply(local_colour_map.fit(seen, restored), image)

    def _told(self, passes: int) -> Restore:
        """One pass of the network, float32[h, w, 3] as of `_run`, that tells `progress` about itself."""
        tell, done = self.progress, itertools.count(1)
        if tell is None or passes == 1:
            return lambda part: self._run(part[None])[0]
        tell(0, passes)

        def run(part: np.ndarray) -> np.ndarray:
            restored = self._run(part[None])[0]
            tell(next(done), passes)
            return restored

        return run

    def _run(self, images: np.ndarray) -> np.ndarray:
        """RGB[n, h, w, 3] of uint8, uint16 or float32 -> float32[n, h, w, 3], white as before, clipped."""
        white = self.network.value_range
        with self._alone():
            out = self.network(to_network(images, white))
        restored = from_network(out, white, full_scale(images.dtype))
        return restored if self.strength == 1 else images + np.float32(self.strength) * (restored - images)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One thread at a time: the runtimes hold the buffers of one call. Raises: InputError after a fork."""
        if os.getpid() != self._process:
            raise InputError(f"{self.network.path}: this Dehazer was made before the process forked, and the threads "
                             "of its runtime stayed behind; make a Dehazer in each process, started by spawn")
        with self._lock:
            yield


def check_numbers(tile: int = 0, overlap: int = OVERLAP, work_size: int = AUTO, strength: float = 1.0) -> None:
    """Check the numbers of a Dehazer. Raises: UsageError naming --tile, --overlap, --work_size or --strength."""
    check_tiles(tile, overlap)
    check_work_size(work_size)
    if not 0 <= strength <= 1:
        raise UsageError(f"--strength {strength:g}: must be from 0 to 1")


def find_checkpoint(path: Optional[PathLike]) -> Path:
    """The checkpoint to use. None means the shipped one.

    Raises: InputError if the file is missing.
    """
    found = SHIPPED_CHECKPOINT if path is None else Path(path)
    if not found.is_file():
        hint = "; it comes with the repository, or give --ckpt_path" if path is None else ""
        raise InputError(f"{found}: no such checkpoint{hint}")
    return found
