"""Dehazes images with a trained network. This is the Python API, which eval.py and infer.py use too.

    from src.dehaze.dehazer import Dehazer
    from src.data.images import write_image

    dehazer = Dehazer()                      # the shipped checkpoint for photos
    write_image("clear.png", dehazer.dehaze("hazy.jpg"))
    frame = dehazer.dehaze(array)            # uint8 RGB[h, w, 3] -> the same

This module does not import MindSpore, which takes seconds. A Dehazer imports it if it needs it.
"""
from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Iterable, List, Optional, Sequence, Tuple, Union

import numpy as np

from ..cli.limits import MIN_SIDE
from ..data.images import check_size, from_network, read_image, to_network
from ..errors import InputError, UsageError
from ..files import PathLike, shipped
from ..runtime.onnx_runner import MINDSPORE, check_runtime, open_runner
from .tiles import ALIGN, align_up, restore_in_tiles, restore_with_ensemble, to_uint8, windows

if TYPE_CHECKING:  # imports MindSpore
    from ..network.health import Health

SHIPPED_CHECKPOINT = shipped("checkpoints/aecrnet_real.ckpt")  # for photos: trained on haze of many kinds
BENCHMARK_CHECKPOINT = shipped("checkpoints/aecrnet.ckpt")  # for eval.py: trained on RESIDE's haze alone
AUTO_TILE_PIXELS = 1_000_000  # larger images are tiled unless --tile says otherwise
AUTO_TILE = 512  # pixels
OVERLAP = 64  # pixels; about as wide as the area that the network sees on each side of a pixel
RECEPTIVE_FIELD = 145  # pixels across, as ascend310_infer/inc/options.h counts them
WHOLE = -1  # value of `tile`: never tile

Size = Tuple[int, int]  # height, width


class Dehazer:
    """A network with everything around it: 8-bit images in and out, tiles, self-ensemble.

    Args:
        checkpoint: a .ckpt file, or for a `runtime` other than MindSpore the .onnx file of an exported model. None: the
            shipped checkpoint. The file contains arch and value range.
        device_target: "CPU", "GPU" or "Ascend".
        tile: longest side in pixels of the network's input, which bounds the memory. 0: AUTO_TILE for images above
            AUTO_TILE_PIXELS. -1: always the whole image. Tiles overlap by at least `overlap` pixels and are blended
            there. The network's channel attention averages over a tile, so a tiled result differs slightly from that of
            the whole image.
        self_ensemble: average over the eight flips and quarter turns, which takes eight times as long.
        device_id: number of the card.
        raw_weights: use the weights of a FILENAME_last.ckpt, not their running average (`--ema_decay`).
        dcn_backend: "gather", "native" or "auto", see `src.network.dcn.DeformConv2d`.
        network: replaces the checkpoint. An object with the attributes `path`, `description` and `value_range`, the
            method `expect(shape, calls)`, and a call float32[n, 3, h, w] -> float32[n, 3, h, w], as in
            src.runtime.mindspore_runner.NetworkRunner. A network of fixed size has the attribute `size` (height,
            width), and larger images are cut into tiles of that size.
        runtime: "mindspore", "onnxruntime" or "openvino".
        precision: type of OpenVINO's computations, "float32" or "bfloat16".

    Raises: InputError if the checkpoint, the device or the runtime cannot be used. UsageError for arguments that are
        wrong or do not fit together.
    """

    def __init__(
        self, checkpoint: Optional[PathLike] = None, device_target: str = "CPU", tile: int = 0, overlap: int = OVERLAP,
        self_ensemble: bool = False, device_id: int = 0, network=None, raw_weights: bool = False,
        dcn_backend: str = "auto",
        runtime: str = MINDSPORE, precision: str = "float32",
    ) -> None:
        check_tiles(tile, overlap)
        self.tile, self.overlap, self.self_ensemble = tile, overlap, self_ensemble
        if network is None:
            path = find_checkpoint(checkpoint)
            check_runtime(path, runtime, precision, device_target, raw_weights, dcn_backend)
            if runtime == MINDSPORE:
                from ..runtime.mindspore_runner import NetworkRunner

                network = NetworkRunner(path, device_target, device_id, raw_weights, dcn_backend)
            else:
                network = open_runner(path, runtime, precision, raw_weights)
        self.network = network
        self.fixed: Optional[Size] = getattr(network, "size", None)

    def dehaze(self, image: Union[PathLike, np.ndarray]) -> np.ndarray:
        """Restore one image.

        Args:
            image: path of a photo (EXIF rotation is applied, alpha dropped), or uint8 RGB[h, w, 3].

        Returns: uint8 RGB[h, w, 3].
        Raises: InputError if the file cannot be read, a side is shorter than 16 px, or it is larger than the one size
            of the network and that is too small for tiles; ValueError if an array is not uint8[h, w, 3].
        """
        name = "image" if isinstance(image, np.ndarray) else str(image)
        pixels = image if isinstance(image, np.ndarray) else read_image(image)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise ValueError(f"image must be uint8[h, w, 3], found {pixels.dtype}{list(pixels.shape)}")
        self.check(pixels, name)
        tile = self._tile(pixels.shape[:2])
        if tile is None:
            return to_uint8(self._restore(pixels))
        return restore_in_tiles(pixels, self._restore, tile, self.overlap, self.fixed)

    def dehaze_batch(self, images: Sequence[np.ndarray]) -> List[np.ndarray]:
        """Restore images of one size in one pass. With tiles or self-ensemble, restore them one by one.

        Args and returns: uint8 RGB[h, w, 3] each. The results equal those of `dehaze`.
        """
        if len(images) == 1 or self.self_ensemble or self._tile(images[0].shape[:2]) is not None:
            return [self.dehaze(image) for image in images]
        for image in images:
            self.check(image, "image")
        return list(to_uint8(self._run(np.stack(images))))

    def diagnose(self, images: Iterable[np.ndarray]) -> Optional[Health]:
        """Find out whether all parts of the network work. `.warning()` of the result names a fault, or is empty.

        Args:
            images: at least one, uint8 RGB[h, w, 3]. The probe sees the middle 256 px of each. Four are enough.

        Returns: None for an exported model, which has no probe.
        """
        if not hasattr(self.network, "probe"):
            return None
        from ..network.health import judge, middle

        white = self.network.value_range
        return judge([self.network.probe(to_network(middle(image)[None], white)) for image in images])

    def check(self, image: np.ndarray, name: str) -> None:
        """Raises: InputError naming the image if it is too small, or too large for a network of one size."""
        check_size(image, name)
        if self._tile(image.shape[:2]) is not None and self.fixed:
            shorter = min(self.fixed)
            if shorter < RECEPTIVE_FIELD or self.overlap > shorter - MIN_SIDE:
                raise InputError(
                    f"{name}: image of {image.shape[1]}x{image.shape[0]} is larger than the model's "
                    f"{self.fixed[1]}x{self.fixed[0]}, which is too small for tiles (at least {RECEPTIVE_FIELD}, "
                    f"and the overlap and {MIN_SIDE}); export with --dynamic")

    def expect(self, sizes: Iterable[Size], batch_size: int = 1) -> None:
        """Announce the (height, width) of later images, so that the network can decide whether to compile a graph."""
        counts = {}
        for size in () if self.fixed else sizes:
            counts[size] = counts.get(size, 0) + 1
        for (height, width), count in counts.items():
            tile = self._tile((height, width))
            if tile is not None:
                rows, columns = (windows(align_up(side), tile, self.overlap) for side in (height, width))
                count *= len(rows) * len(columns)
                height, width = rows[0][1], columns[0][1]
            if self.self_ensemble:
                self.network.expect((1, 3, height, width), 4 * count)
                self.network.expect((1, 3, width, height), 4 * count)
                continue
            together = batch_size if tile is None else 1
            self.network.expect((together, 3, height, width), count // together)
            self.network.expect((count % together, 3, height, width), 1 if count % together else 0)

    def _tile(self, size: Size) -> Optional[int]:
        """Longest side of the tiles for an image of `size`. None if no tiles are needed."""
        if self.fixed:
            return max(self.fixed) if size[0] > self.fixed[0] or size[1] > self.fixed[1] else None
        tile = self.tile or (AUTO_TILE if size[0] * size[1] > AUTO_TILE_PIXELS else WHOLE)
        return tile if tile != WHOLE and max(size) > tile else None

    def _restore(self, image: np.ndarray) -> np.ndarray:
        """uint8 RGB[h, w, 3] -> float32[h, w, 3] in 0..255, in one pass or in eight."""
        if self.self_ensemble:
            return restore_with_ensemble(image, lambda turned: self._run(turned[None])[0])
        return self._run(image[None])[0]

    def _run(self, images: np.ndarray) -> np.ndarray:
        """uint8[n, h, w, 3] -> float32[n, h, w, 3] in 0..255, clipped."""
        white = self.network.value_range
        return from_network(self.network(to_network(images, white)), white)


def open_dehazer(options: SimpleNamespace, mindir_path: str = "") -> Dehazer:
    """The Dehazer that the flags of eval.py and infer.py ask for, with an exported model in a checkpoint's place."""
    network = None
    if mindir_path:
        from ..export.mindir import MindirNetwork

        network = MindirNetwork(mindir_path, options.device_target, options.device_id)
    dehazer = Dehazer(options.ckpt_path or None, options.device_target, options.tile, options.overlap,
                      options.self_ensemble, options.device_id, network, options.raw_weights,
                      options.dcn_backend, options.runtime, options.precision)
    if options.runtime != MINDSPORE:
        print(f"computed by {dehazer.network.description['runtime']}")
    return dehazer


def check_options(options: SimpleNamespace, mindir_path: str = "") -> None:
    """Find mistakes in the flags of section `inference` before MindSpore is imported.

    Raises: UsageError for a value out of range, InputError if the checkpoint or the exported model is missing.
    """
    check_tiles(options.tile, options.overlap)
    if mindir_path and options.raw_weights:
        raise UsageError("--raw_weights: an exported model holds one set of weights; leave it out")
    if mindir_path and options.ckpt_path:
        raise UsageError(f"--mindir_path {mindir_path}: takes the place of --ckpt_path, give one of them")
    if mindir_path and options.runtime != MINDSPORE:
        raise UsageError(f"--runtime {options.runtime}: reads no MINDIR; leave out --mindir_path")
    if mindir_path:
        if not Path(mindir_path).is_file():
            raise InputError(f"--mindir_path {mindir_path}: no such file")
    else:
        check_runtime(find_checkpoint(options.ckpt_path or None), options.runtime, options.precision,
                      options.device_target, options.raw_weights, options.dcn_backend)


def check_tiles(tile: int, overlap: int) -> None:
    """Raises: UsageError naming --tile or --overlap."""
    smallest = 2 * MIN_SIDE  # tiles get one length, which may be half of this
    if tile not in (0, WHOLE) and (tile < smallest or tile % ALIGN):
        raise UsageError(f"--tile {tile}: must be a multiple of {ALIGN} from {smallest} on, 0 or -1 (see --help)")
    longest = (AUTO_TILE if tile in (0, WHOLE) else tile) - MIN_SIDE
    if not 0 <= overlap <= longest:
        raise UsageError(f"--overlap {overlap}: must be from 0 to {longest} for --tile {tile}")


def find_checkpoint(path: Optional[PathLike]) -> Path:
    """The checkpoint to use. None means the shipped one.

    Raises: InputError if the file is missing.
    """
    found = SHIPPED_CHECKPOINT if path is None else Path(path)
    if not found.is_file():
        hint = "; it comes with the repository, or give --ckpt_path" if path is None else ""
        raise InputError(f"{found}: no such checkpoint{hint}")
    return found
