"""Training batches that depend on (seed, step) alone. A resumed run gets the batches of a run that never stopped.

(seed, epoch) decides the order of the items in an epoch. (seed, epoch, item) decides crop, flips, turns and haze of a
sample. A resumed run therefore replays nothing, and the number of worker threads does not matter.
"""
from __future__ import annotations

import functools
import os
import warnings
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from ..errors import UsageError
from ..spec import MIN_SIDE, MULTIPLE

if TYPE_CHECKING:
    from .sources import Source

MAX_PATCH = 1024  # pixels
MAX_ITEMS = 10**8  # crops of an epoch, whose order is kept in memory: 8 bytes each, for up to four epochs
PREFETCH = 2  # elements between two stages of the pipeline; a larger number costs memory and gains nothing

Arrays = Tuple[np.ndarray, np.ndarray]


class TrainDataset:
    """Batches of random patches from a source (see `sources.py`). `seed` decides their order and every random change.

    Args:
        source: from `open_source`.
        patch_size: side of the square patches, a multiple of 4 from 16 to 1024. Reflection enlarges smaller images.
        batch_size: images of a step on each process. All processes together take batch_size * num_shards images. An
            epoch drops the rest that fills no step.
        seed: not negative.
        repeat: patches that an epoch takes from each image.
        num_shards, shard_id: the number of processes, and the number of this one. In every step, N processes see the
            images that one process with N times the batch size would see. Process i sees the i-th part.
        scales: factors in (0, 1]. Each image is shrunk (area average) by a random one before the crop.
        augment: flip the patches, and turn them by multiples of 90 degrees, at random.
        turns: False: flip only left-right, so that the upper side of a photo stays the upper side.
        scale: the value of white in the result, 1.0 or 255.0.
        workers: number of threads that prepare images, at most the number of processors.

    Raises: UsageError naming the flag.
    """

    def __init__(
        self, source: Source, patch_size: int, batch_size: int, seed: int, repeat: int = 1, num_shards: int = 1,
        shard_id: int = 0, scales: Sequence[float] = (1.0,), augment: bool = True, turns: bool = True,
        scale: float = 1.0, workers: int = 2,
    ) -> None:
        _check(patch_size, batch_size, scales, len(source.names) * repeat, num_shards)
        self.source, self.patch_size, self.batch_size, self.seed = source, patch_size, batch_size, seed
        self.scales, self.scale = tuple(scales), scale
        self._orientations = (4 if turns else 1, 2) if augment else (1, 1)
        self.items_per_epoch = len(source.names) * repeat
        self.steps_per_epoch = self.items_per_epoch // (batch_size * num_shards)
        self._num_shards, self._shard_id = num_shards, shard_id
        self._workers = max(1, min(workers, os.cpu_count() or 1))
        self._reflected = ""  # name and size of an image that is smaller than its patch
        self._warned = False

    def batches(self, start_step: int, stop_step: int) -> Iterator[Arrays]:
        """The batches of the steps from `start_step` to `stop_step` - 1. Steps are counted from 0 over all epochs.

        A mindspore.dataset pipeline prepares the batches ahead, also beyond the end of an epoch.

        Yields: (hazy, clear), float32[batch_size, 3, patch_size, patch_size] in [0, scale].
        Raises: InputError at the step whose image cannot be read.
        """
        if stop_step <= start_step:
            return
        failures: Dict[int, Exception] = {}
        iterator = self._pipeline(start_step * self.batch_size, stop_step * self.batch_size, failures)
        try:
            for step, batch in enumerate(iterator, start_step):
                for place in self._places_of(step):
                    if place in failures:
                        raise failures[place]
                self._warn_once()
                yield tuple(batch)
        finally:
            iterator.stop()

    def batch(self, step: int) -> Arrays:
        """The batch of one step, without the pipeline. The numbers are the same."""
        hazy, clear = zip(*map(self.sample, self._places_of(step)))
        return np.stack(hazy), np.stack(clear)

    def batch_names(self, step: int, shard_id: Optional[int] = None) -> List[str]:
        """The names of the images in the batch of `step`, on this process or on process `shard_id`."""
        items = (self._locate(place, shard_id)[1] for place in self._places_of(step))
        return [self.source.names[item % len(self.source.names)] for item in items]

    def sample(self, place: int) -> Arrays:
        """The sample at a place in the endless sequence of this process: (hazy, clear), float32[3, patch, patch]."""
        epoch, item = self._locate(place)
        rng = np.random.default_rng([self.seed, epoch, item + 1])  # item + 1, because 0 gives the order of the epoch
        hazy, clear = self._patch(item % len(self.source.names), rng)
        turns, flip = (int(rng.integers(kinds)) for kinds in self._orientations)
        return self._finish(hazy, turns, flip), self._finish(clear, turns, flip)

    def _places_of(self, step: int) -> range:
        """The places of a step's batch in the endless sequence of this process."""
        return range(step * self.batch_size, (step + 1) * self.batch_size)

    def _locate(self, place: int, shard_id: Optional[int] = None) -> Tuple[int, int]:
        """Epoch and item (0..items_per_epoch - 1) in the sequence of this process or process `shard_id`."""
        step, within = divmod(int(place), self.batch_size)
        epoch, step = divmod(step, self.steps_per_epoch)
        order = _epoch_order(self.seed, epoch, self.items_per_epoch)
        shard = self._shard_id if shard_id is None else shard_id
        return epoch, int(order[(step * self._num_shards + shard) * self.batch_size + within])

    def _patch(self, index: int, rng: np.random.Generator) -> Arrays:
        """A random crop of an image: (hazy, clear), uint8[patch, patch, 3]."""
        images = self.source.load(index)
        height, width = images[0].shape[:2]
        fitting = [scale for scale in self.scales if round(self.patch_size / scale) <= min(height, width)] or [1.0]
        side = round(self.patch_size / fitting[rng.integers(len(fitting))])
        rows, columns = min(side, height), min(side, width)
        top, left = rng.integers(height - rows + 1), rng.integers(width - columns + 1)
        hazy, clear = self.source.crop(images, (int(top), int(left), rows, columns), rng)
        if min(rows, columns) < side:
            self._reflected = self._reflected or f"{self.source.names[index]} ({width}x{height})"
            hazy, clear = _reflect_up(hazy, side), _reflect_up(clear, side)
        if side != self.patch_size:
            hazy, clear = _shrink(hazy, self.patch_size), _shrink(clear, self.patch_size)
        return hazy, clear

    def _finish(self, image: np.ndarray, turns: int, flip: int) -> np.ndarray:
        image = np.rot90(image[:, ::-1] if flip else image, turns)
        result = np.empty((3,) + image.shape[:2], np.float32)
        return np.multiply(image.transpose(2, 0, 1), np.float32(self.scale / 255.0), out=result, dtype=np.float32)

    def _pipeline(self, start: int, stop: int, failures: Dict[int, Exception]) -> Any:
        import mindspore.dataset as ds  # slow to import

        usual = ds.config.get_prefetch_size()
        ds.config.set_prefetch_size(PREFETCH)
        try:
            places = ds.GeneratorDataset(
                _Places(start, stop), ["place"], shuffle=False, python_multiprocessing=False)
            samples = places.map(
                lambda place: self._sample_or_note(int(place), failures), ["place"], ["hazy", "clear"],
                num_parallel_workers=self._workers,
                python_multiprocessing=False)  # threads share the cache of decoded images; processes cannot
            return samples.batch(self.batch_size, drop_remainder=True).create_tuple_iterator(
                num_epochs=1, output_numpy=True)
        finally:
            ds.config.set_prefetch_size(usual)

    def _sample_or_note(self, place: int, failures: Dict[int, Exception]) -> Arrays:
        """`sample`; on an error blank patches, and the error in `failures`.

        An exception here would end the pipeline at once and lose the batches of earlier steps that are still in it.
        """
        try:
            return self.sample(place)
        except Exception as error:
            failures[place] = error
            blank = np.zeros((3, self.patch_size, self.patch_size), np.float32)
            return blank, blank

    def _warn_once(self) -> None:
        if self._reflected and not self._warned:
            self._warned = True
            warnings.warn(f"images smaller than the patch of {self.patch_size} px are reflected up, "
                          f"for example {self._reflected}", stacklevel=3)


class _Places:
    """The numbers from `start` to `stop` - 1, as an input of mindspore.dataset."""

    def __init__(self, start: int, stop: int) -> None:
        self._start, self._count = start, stop - start

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Tuple[np.ndarray]:
        return (np.array(self._start + int(index), np.int64),)


@functools.lru_cache(maxsize=4)
def _epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch, 0]).permutation(count)


def _reflect_up(image: np.ndarray, side: int) -> np.ndarray:
    """Enlarge an image to at least side x side by reflection at the lower and right edge."""
    height, width = image.shape[:2]
    return np.pad(image, ((0, max(0, side - height)), (0, max(0, side - width)), (0, 0)), mode="reflect")


def _shrink(image: np.ndarray, side: int) -> np.ndarray:
    import cv2

    return cv2.resize(np.ascontiguousarray(image), (side, side), interpolation=cv2.INTER_AREA)


def _check(patch_size: int, batch_size: int, scales: Sequence[float], images: int, num_shards: int) -> None:
    """What `src.cli.train_options.check` cannot know or leaves to this module. Raises: UsageError naming the flag."""
    if patch_size % MULTIPLE or not MIN_SIDE <= patch_size <= MAX_PATCH:
        raise UsageError(f"--patch_size {patch_size}: must be a multiple of {MULTIPLE} from {MIN_SIDE} to {MAX_PATCH}")
    if not scales or not all(0 < scale <= 1 for scale in scales):
        raise UsageError(f"--scales {' '.join(map(str, scales))}: must be factors above 0 and not above 1")
    if images > MAX_ITEMS:
        raise UsageError(f"--repeat: an epoch has at most {MAX_ITEMS} crops, not {images}")
    if batch_size * num_shards > images:
        processes = f" for each of {num_shards} processes" if num_shards > 1 else ""
        raise UsageError(f"--batch_size {batch_size}{processes}: an epoch has only {images} images")
