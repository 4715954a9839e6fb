"""Sends many images through a Dehazer. Reading and writing overlap the network; images of one size form batches."""
from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Callable, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ..data.reading import image_size
from ..errors import UserError
from ..files import PathLike
from .dehazer import Dehazer

READERS = 2  # threads
AHEAD = 2  # images that are decoded before the network needs them
UNFINISHED = 4  # results that may wait for their writing; the network waits if there are more

# load(item) -> (hazy uint8 or uint16 RGB[h, w, 3], an object for finish)
Load = Callable[[Any], Tuple[np.ndarray, Any]]
# finish(item, hazy, the object from load, restored, seconds) -> a result for the caller
Finish = Callable[[Any, np.ndarray, Any, np.ndarray, float], Any]


class _Loaded(NamedTuple):
    item: Any
    hazy: Any  # an array; None with an error
    beside: Any
    error: Optional[UserError]


def sort_by_size(items: Iterable[Any], path_of: Callable[[Any], PathLike], dehazer: Dehazer, batch_size: int
                 ) -> List[Any]:
    """Sort the items by image size, and announce the sizes to the dehazer. Reads only the headers of the files.

    Items of one size can share a batch and a compiled graph. Items of equal size keep their order. The largest come
    first: growing sizes would each take new memory, because what a smaller one has freed is too small.
    """
    sized = [(image_size(path_of(item)) or (0, 0), item) for item in items]
    sized.sort(key=lambda pair: pair[0], reverse=True)
    dehazer.expect((size for size, _ in sized if size != (0, 0)), batch_size)
    return [item for _, item in sized]


def dehaze_all(dehazer: Dehazer, items: Sequence[Any], load: Load, finish: Finish, batch_size: int = 1
               ) -> Iterator[Tuple[Any, Union[Any, UserError]]]:
    """Load, dehaze and finish all items in order.

    Threads run `load` ahead of the network. One thread runs `finish` after the network.

    Yields: (item, result of `finish`), or (item, UserError) for an item that failed.
    """
    with ThreadPoolExecutor(1) as finisher:
        waiting: deque = deque()
        for batch in _batches(_load_ahead(items, load), batch_size):
            waiting.extend(_dehaze_batch(dehazer, batch, finish, finisher))
            while len(waiting) > UNFINISHED or (waiting and waiting[0][1].done()):
                yield _outcome(*waiting.popleft())
        while waiting:
            yield _outcome(*waiting.popleft())


def _load_ahead(items: Sequence[Any], load: Load) -> Iterator[_Loaded]:
    with ThreadPoolExecutor(READERS) as readers:
        waiting: deque = deque()
        for item in items:
            waiting.append((item, readers.submit(load, item)))
            if len(waiting) > AHEAD:
                yield _loaded(*waiting.popleft())
        while waiting:
            yield _loaded(*waiting.popleft())


def _loaded(item: Any, future: Future) -> _Loaded:
    try:
        hazy, beside = future.result()
        return _Loaded(item, hazy, beside, None)
    except UserError as error:
        return _Loaded(item, None, None, error)


def _batches(loaded: Iterable[_Loaded], batch_size: int) -> Iterator[List[_Loaded]]:
    """Batches of at most `batch_size` consecutive images of one size and type. A failed item is a batch of its own."""
    batch: List[_Loaded] = []
    for one in loaded:
        kind = _kind(one)
        if batch and (kind is None or _kind(batch[0]) != kind):
            yield batch
            batch = []
        batch.append(one)
        if len(batch) == batch_size:
            yield batch
            batch = []
    if batch:
        yield batch


def _kind(one: _Loaded) -> Optional[Tuple]:
    """What the images of a batch have in common."""
    return None if one.hazy is None else (one.hazy.shape, one.hazy.dtype)


def _dehaze_batch(dehazer: Dehazer, batch: List[_Loaded], finish: Finish, finisher: ThreadPoolExecutor
                  ) -> List[Tuple[Any, Future]]:
    if batch[0].error is not None:
        return [(batch[0].item, _failed(batch[0].error))]
    start = time.perf_counter()
    try:
        restored = dehazer.dehaze_batch([one.hazy for one in batch])
    except UserError as error:
        return [(one.item, _failed(error)) for one in batch]
    seconds = (time.perf_counter() - start) / len(batch)
    return [(one.item, finisher.submit(finish, one.item, one.hazy, one.beside, image, seconds))
            for one, image in zip(batch, restored)]


def _failed(error: UserError) -> Future:
    future: Future = Future()
    future.set_exception(error)
    return future


def _outcome(item: Any, future: Future) -> Tuple[Any, Union[Any, UserError]]:
    try:
        return item, future.result()
    except UserError as error:
        return item, error
