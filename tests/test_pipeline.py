"""Reading and writing overlap the network, in order and within bounds. An error takes the place of a result."""
import threading
import time

import numpy as np
import pytest

from halving import HalvingNetwork
from src.data import reading
from src.dehaze import pipeline
from src.dehaze.dehazer import Dehazer
from src.dehaze.pipeline import dehaze_all, sort_by_size
from src.errors import InputError


class Brightening:
    """A Dehazer that adds 1 and records its batches."""

    def __init__(self):
        self.batches = []

    def dehaze_batch(self, images):
        self.batches.append([int(image[0, 0, 0]) for image in images])
        return [image + 1 for image in images]


def load(number):
    if number % 10 == 7:
        raise InputError(f"{number}: cannot be read")
    return np.full((16, 16 + number // 10, 3), number, np.uint8), f"beside {number}"


def finish(number, hazy, beside, restored, seconds):
    if number % 10 == 5:
        raise InputError(f"{number}: cannot be written")
    assert hazy[0, 0, 0] == number and beside == f"beside {number}" and seconds >= 0
    return int(restored[0, 0, 0])


@pytest.mark.parametrize("work_size", (0, 64))
def test_a_damaged_header_that_claims_no_height_or_width_stops_no_run(monkeypatch, tmp_path, work_size):
    sizes = {"good": (60, 80), "wide": (0, 2**32 - 8), "high": (2**32 - 8, 0), "unreadable": None}
    monkeypatch.setattr(reading, "read_header", sizes.get)
    dehazer = Dehazer(network=HalvingNetwork(tmp_path / "halving.ckpt"), work_size=work_size)
    assert set(sort_by_size(sizes, str, dehazer, 1)) == set(sizes)


def test_results_and_failures_come_in_order():
    results = list(dehaze_all(Brightening(), range(20), load, finish, 3))
    assert [number for number, _ in results] == list(range(20))
    for number, result in results:
        expected = {7: f"{number}: cannot be read", 5: f"{number}: cannot be written"}.get(number % 10)
        assert str(result) == expected if expected else result == number + 1


def test_batches_hold_neighbours_of_one_size_and_end_at_what_cannot_be_read():
    dehazer = Brightening()
    list(dehaze_all(dehazer, range(4, 14), load, finish, 3))
    assert dehazer.batches == [[4, 5, 6], [8, 9], [10, 11, 12], [13]]


def test_an_error_of_the_network_counts_for_its_batch_alone():
    class Picky(Brightening):
        def dehaze_batch(self, images):
            if images[0][0, 0, 0] == 2:
                raise InputError("model: takes other sizes")
            return super().dehaze_batch(images)

    results = [result for _, result in dehaze_all(Picky(), range(5), load, finish, 2)]
    assert results[:2] == [1, 2] and results[4] == 5
    assert [str(result) for result in results[2:4]] == ["model: takes other sizes"] * 2


def test_mistakes_of_the_program_are_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        list(dehaze_all(Brightening(), range(3), load, lambda *_: 1 / 0))


def test_only_a_few_images_wait_on_either_side_of_the_network():
    loaded, finished, ahead, behind = [], [], [], []
    dehazer = Brightening()

    def counting_load(number):
        loaded.append(number)
        return np.full((16, 16, 3), number, np.uint8), None

    def slow_finish(*_):
        time.sleep(0.002)  # longer than the network takes
        finished.append(1)

    def counting_batch(images):
        ahead.append(len(loaded) - len(dehazer.batches))
        behind.append(len(dehazer.batches) - len(finished))
        return Brightening.dehaze_batch(dehazer, images)

    dehazer.dehaze_batch = counting_batch
    list(dehaze_all(dehazer, range(40), counting_load, slow_finish))
    assert max(ahead) <= pipeline.AHEAD + pipeline.READERS + 1
    assert max(behind) <= pipeline.UNFINISHED + 2 and len(finished) == 40


def test_reading_and_writing_leave_the_main_thread_to_the_network():
    threads = {"load": set(), "finish": set(), "network": set()}
    dehazer = Brightening()
    usual = dehazer.dehaze_batch
    dehazer.dehaze_batch = lambda images: threads["network"].add(threading.current_thread()) or usual(images)

    def load_here(number):
        threads["load"].add(threading.current_thread())
        return np.zeros((16, 16, 3), np.uint8), None

    list(dehaze_all(dehazer, range(8), load_here, lambda *_: threads["finish"].add(threading.current_thread())))
    assert threads["network"] == {threading.main_thread()}
    assert threading.main_thread() not in threads["load"] | threads["finish"] and len(threads["finish"]) == 1
