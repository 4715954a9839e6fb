"""Training batches: their content and order depend on (seed, step) alone."""
import os
import time

import numpy as np
import pytest
from PIL import Image

from golden.seeded import image
from src.data import haze
from src.data.dataset import TrainDataset
from src.data.images import write_image
from src.data.sources import ImageCache, find_scenes, open_source, read_depth, whole_pair
from src.errors import InputError, UsageError


def photo(seed, height=40, width=56):
    return np.round(image(seed, (1, 3, height, width), 255)[0].transpose(1, 2, 0)).astype(np.uint8)


def write_pairs(root, count=6, size=(40, 56)):
    """Pairs whose clear image is the hazy image with inverted colours, so that a test can check each batch."""
    for kind in ("hazy", "clear"):
        (root / kind).mkdir(parents=True, exist_ok=True)
    for index in range(count):
        hazy = photo(index, *size)
        write_image(root / "hazy" / f"{index}.png", hazy)
        write_image(root / "clear" / f"{index}.png", 255 - hazy)
    return root


def write_scenes(root, numbers, size=(60, 80), depth_dtype=np.uint8):
    for kind in ("images", "depths"):
        (root / kind).mkdir(parents=True, exist_ok=True)
    for number in numbers:
        write_image(root / "images" / f"{number}.png", photo(number, *size))
        depth = photo(100 + number, *size)[..., 0].astype(depth_dtype) + 1
        Image.fromarray(depth).save(root / "depths" / f"{number}.png")
    return root


def pairs_dataset(root, batch_size=2, seed=7, **kwargs):
    return TrainDataset(open_source(root, "Pairs"), 16, batch_size, seed, **kwargs)


def equal(batches, others):
    batches, others = list(batches), list(others)
    return len(batches) == len(others) and all(
        np.array_equal(a, b) for batch, other in zip(batches, others) for a, b in zip(batch, other))


def test_batches_are_float_nchw_in_the_scale_asked_for(tmp_path):
    write_pairs(tmp_path)
    for scale in (1.0, 255.0):
        for hazy, clear in pairs_dataset(tmp_path, scale=scale).batches(0, 3):
            for batch in (hazy, clear):
                assert batch.shape == (2, 3, 16, 16) and batch.dtype == np.float32
                assert 0 <= batch.min() < 0.2 * scale and 0.8 * scale < batch.max() <= scale


def test_hazy_and_clear_share_crop_flips_and_turns(tmp_path):
    for hazy, clear in pairs_dataset(write_pairs(tmp_path), scales=(1.0, 0.5)).batches(0, 9):
        np.testing.assert_allclose(hazy + clear, 1.0, atol=1.01 / 255)  # rounding of the halved ones


def as_patch(view):
    return (view.transpose(2, 0, 1).astype(np.float32, order="C") * np.float32(1 / 255)).tobytes()


@pytest.mark.parametrize("augment, turns, orientations", [
    (True, True, 8), (True, False, 2), (False, True, 1), (False, False, 1)])
def test_patches_appear_in_the_orientations_asked_for(tmp_path, augment, turns, orientations):
    square = photo(0, 16, 16)  # as large as the patch, so the crop is the image
    for kind in ("hazy", "clear"):
        (tmp_path / kind).mkdir()
        write_image(tmp_path / kind / "a.png", square)
    data = pairs_dataset(tmp_path, batch_size=1, augment=augment, turns=turns)
    found = {data.batch(step)[0].tobytes() for step in range(64)}
    views = [np.rot90(view, k) for k in range(4) for view in (square, square[:, ::-1])]  # as is, mirrored, turned
    assert found == {as_patch(view) for view in views[:orientations]}


def test_crops_come_from_all_over_the_image(tmp_path):
    write_pairs(tmp_path, count=1)
    places = {data.tobytes() for data in (
        pairs_dataset(tmp_path, batch_size=1, augment=False).batch(step)[0] for step in range(40))}
    assert len(places) > 30


def test_an_epoch_shows_every_image_once_and_the_next_in_another_order(tmp_path):
    data = pairs_dataset(write_pairs(tmp_path))
    epochs = [[name for step in range(first, first + 3) for name in data.batch_names(step)] for first in (0, 3)]
    assert data.steps_per_epoch == 3
    assert sorted(epochs[0]) == sorted(epochs[1]) == [str(index) for index in range(6)]
    assert epochs[0] != epochs[1]


def test_what_does_not_fill_a_batch_is_dropped_and_repeat_makes_epochs_longer(tmp_path):
    write_pairs(tmp_path, count=5)
    assert pairs_dataset(tmp_path).steps_per_epoch == 2
    longer = pairs_dataset(tmp_path, repeat=4)
    names = [name for step in range(longer.steps_per_epoch) for name in longer.batch_names(step)]
    assert sorted(names) == sorted(4 * "01234")
    patches = {longer.sample(place)[0].tobytes() for place in range(20)}
    assert len(patches) == 20


def test_starting_in_the_middle_of_an_epoch_gives_the_batches_of_an_unbroken_run(tmp_path):
    write_pairs(tmp_path)
    unbroken = list(pairs_dataset(tmp_path).batches(0, 8))
    assert equal(unbroken[:5], pairs_dataset(tmp_path).batches(0, 5))
    assert equal(unbroken[5:], pairs_dataset(tmp_path).batches(5, 8))
    assert equal(unbroken[4:5], [pairs_dataset(tmp_path).batch(4)])
    assert not equal(unbroken[:3], unbroken[3:6])


def test_the_seed_decides_and_neither_workers_nor_the_cache_do(tmp_path):
    write_pairs(tmp_path)
    usual = list(pairs_dataset(tmp_path, workers=1).batches(0, 6))
    assert equal(usual, pairs_dataset(tmp_path, workers=2).batches(0, 6))
    uncached = TrainDataset(open_source(tmp_path, "Pairs", cache_mb=0), 16, 2, 7)
    assert equal(usual, uncached.batches(0, 6))
    assert not equal(usual, pairs_dataset(tmp_path, seed=8).batches(0, 6))


def test_shards_together_see_what_one_process_with_a_larger_batch_sees(tmp_path):
    write_pairs(tmp_path, count=9)
    shards = [pairs_dataset(tmp_path, batch_size=2, num_shards=2, shard_id=rank) for rank in range(2)]
    whole = pairs_dataset(tmp_path, batch_size=4)
    assert [shard.steps_per_epoch for shard in shards] == [2, 2] == [whole.steps_per_epoch] * 2
    for step in range(4):
        parts = [shard.batch(step) for shard in shards]
        assert equal([whole.batch(step)], [tuple(np.concatenate(kind) for kind in zip(*parts))])


def test_a_run_left_early_leaves_no_thread_behind(tmp_path):
    data = pairs_dataset(write_pairs(tmp_path))
    before = threads()
    errors = [left_by_an_error(data) for _ in range(5)]
    deadline = time.monotonic() + 20  # the threads of the pipeline end a little later
    while threads() - before >= len(errors) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert threads() - before < len(errors)  # less than one for each run: MindSpore keeps one for all runs


def left_by_an_error(data):
    """An error in a run. While it is kept, its traceback keeps the variables of the run, including the pipeline."""
    batches = data.batches(0, 1000)
    next(batches)
    with pytest.raises(KeyboardInterrupt) as error:
        batches.throw(KeyboardInterrupt())
    return error


def threads():
    # The system counts, because `threading` also counts ended threads that once ran Python.
    return len(os.listdir("/proc/self/task"))


def test_halved_photos_show_more_of_the_scene(tmp_path):
    for kind in ("hazy", "clear"):
        (tmp_path / kind).mkdir()
        write_image(tmp_path / kind / "a.png", photo(3, 32, 32))
    data = pairs_dataset(tmp_path, batch_size=1, scales=(0.5,), augment=False)
    halved = photo(3, 32, 32).reshape(16, 2, 16, 2, 3).mean((1, 3))
    np.testing.assert_allclose(data.batch(0)[0][0], halved.transpose(2, 0, 1) / 255, atol=0.51 / 255)


def test_images_too_small_for_a_scale_are_cut_at_full_size(tmp_path, recwarn):
    write_pairs(tmp_path, size=(20, 20))
    hazy, _ = pairs_dataset(tmp_path, batch_size=1, scales=(0.5, 1.0), augment=False).batch(0)
    assert not recwarn.list
    patch = hazy[0].transpose(1, 2, 0) * 255
    windows = np.lib.stride_tricks.sliding_window_view(
        np.stack([photo(index, 20, 20) for index in range(6)]), (16, 16), axis=(1, 2))
    assert (np.abs(windows.transpose(0, 1, 2, 4, 5, 3) - patch).max(axis=(3, 4, 5)) < 0.01).sum() == 1


def test_small_images_are_reflected_up_with_one_warning(tmp_path):
    write_pairs(tmp_path, count=4, size=(10, 13))
    with pytest.warns(UserWarning, match=r"smaller than the patch of 16 px are reflected up") as caught:
        batches = list(pairs_dataset(tmp_path, augment=False).batches(0, 6))
    assert len(caught) == 1
    data = pairs_dataset(tmp_path, augment=False)
    for name, patch in zip(data.batch_names(0), batches[0][0]):
        expected = np.pad(photo(int(name), 10, 13), ((0, 6), (0, 3), (0, 0)), mode="reflect")
        np.testing.assert_allclose(patch, expected.transpose(2, 0, 1) / 255, atol=1e-6)


def test_depth_photos_are_hazed_as_the_whole_image_would_be(tmp_path):
    write_scenes(tmp_path, [0])
    source = open_source(tmp_path, "Depth", airlight_range=(0.9, 0.9), beta_range=(1.2, 1.2))
    clear, depth = photo(0, 60, 80), read_depth(tmp_path / "depths" / "0.png")
    whole = haze.mirror_and_crop(haze.add_haze(clear, haze.transmission(depth, 1.2), 0.9))
    images = source.load(0)
    assert images[0].shape == (40, 60, 3)
    hazy, cut = source.crop(images, (3, 8, 16, 20), np.random.default_rng(0))
    np.testing.assert_array_equal(hazy, whole[3:19, 8:28])
    np.testing.assert_array_equal(cut, haze.mirror_and_crop(clear)[3:19, 8:28])
    uncut = open_source(tmp_path, "Depth", nyu_frame=False).load(0)
    np.testing.assert_array_equal(uncut[0], clear)


def test_haze_is_drawn_anew_from_the_ranges_for_each_patch(tmp_path):
    write_scenes(tmp_path, [0])
    source = open_source(tmp_path, "Depth", airlight_range=(0.5, 0.6), beta_range=(50.0, 60.0))
    levels = [TrainDataset(source, 16, 1, 0).batch(step)[0].mean() for step in range(20)]  # so dense: nearly A
    assert 0.5 <= min(levels) < 0.53 < 0.57 < max(levels) <= 0.605


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_depth_may_have_8_or_16_bits_and_the_folders_other_names(tmp_path, dtype):
    write_scenes(tmp_path, [0, 1], depth_dtype=dtype)
    (tmp_path / "images").rename(tmp_path / "Clear")
    (tmp_path / "depths").rename(tmp_path / "depth")
    source = open_source(tmp_path, "Depth")
    assert source.load(0)[1].dtype == dtype
    assert TrainDataset(source, 16, 2, 0).batch(0)[0].shape == (2, 3, 16, 16)


def test_depth_photos_are_chosen_by_their_number(tmp_path):
    write_scenes(tmp_path, [0, 2, 9, 10, 11])
    assert [path.stem for path, _ in find_scenes(tmp_path)] == ["0", "2", "9", "10", "11"]
    assert open_source(tmp_path, "Depth", depth_first=2, depth_last=10).names == ["2", "9", "10"]
    assert open_source(tmp_path, "Depth", depth_last=0).names == ["0"]
    assert open_source(tmp_path, "Depth", depth_first=10).names == ["10", "11"]
    with pytest.raises(InputError, match="from 20 to 30 .*--depth_first"):
        open_source(tmp_path, "Depth", depth_first=20, depth_last=30)


def test_photos_are_found_in_subfolders_and_hazed_within_their_window_only(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    write_image(tmp_path / "a" / "b" / "x.png", photo(1))
    write_image(tmp_path / "y.jpg", photo(2))
    source = open_source(tmp_path, "Photos", airlight_range=(1.0, 1.0))
    assert len(source.names) == 2
    whole = source.crop(source.load(0), (0, 0, 40, 56), np.random.default_rng(5))
    part = source.crop(source.load(0), (7, 9, 16, 20), np.random.default_rng(5))
    for image_, cut in zip(whole, part):
        np.testing.assert_array_equal(image_[7:23, 9:29], cut)
    assert (whole[0].astype(int) >= whole[1]).all() and whole[0].mean() > whole[1].mean() + 20


@pytest.mark.parametrize("layout, size", [("Depth", (40, 60, 3)), ("Photos", (60, 80, 3)), ("Pairs", (60, 80, 3))])
def test_whole_pairs_for_validation_are_the_same_each_time(tmp_path, layout, size):
    write_scenes(tmp_path, [0, 1])
    write_pairs(tmp_path, count=2, size=(60, 80))
    folder = tmp_path / "images" if layout == "Photos" else tmp_path
    first, again, other = (
        whole_pair(open_source(folder, layout), index, seed=3) for index in (1, 1, 0))
    assert first[0].shape == first[1].shape == size and first[0].dtype == np.uint8
    assert equal([first], [again]) and not np.array_equal(first[0], other[0])


def test_cache_keeps_what_fits_and_decodes_it_once():
    reads = []

    def read(path):
        reads.append(path)
        return np.zeros(2**20, np.uint8)

    cache = ImageCache(megabytes=2)
    for path in ["a", "b", "c", "a", "b", "c"]:
        cache.get(path, read)
    assert reads == ["a", "b", "c", "c"]


@pytest.mark.parametrize("kwargs, message", [
    ({"patch_size": 30}, r"--patch_size 30: must be a multiple of 4 from 16 to 1024"),
    ({"patch_size": 2048}, r"--patch_size 2048: must be a multiple of 4 from 16 to 1024"),
    ({"patch_size": 0}, r"--patch_size 0"),
    ({"batch_size": 7}, r"--batch_size 7: an epoch has only 6 images"),
    ({"batch_size": 4, "num_shards": 2}, r"--batch_size 4 for each of 2 processes: an epoch has only 6 images"),
    ({"scales": (1.0, 2.0)}, r"--scales 1.0 2.0"),
])
def test_settings_that_cannot_work_name_the_flag(tmp_path, kwargs, message):
    source = open_source(write_pairs(tmp_path), "Pairs")
    with pytest.raises(UsageError, match=message):
        TrainDataset(source, **{"patch_size": 16, "batch_size": 2, "seed": 0, **kwargs})


@pytest.mark.parametrize("flag, value", [("airlight_range", (0.9, 0.7)), ("airlight_range", (0.7, 1.1)),
                                         ("beta_range", (-0.1, 1.0)), ("beta_range", (1.0, float("nan")))])
def test_haze_ranges_that_are_none_name_the_flag(tmp_path, flag, value):
    write_scenes(tmp_path, [0])
    for layout in ("Depth", "Photos"):
        with pytest.raises(UsageError, match=f"--{flag} "):
            open_source(tmp_path, layout, **{flag: value})


def test_an_unreadable_image_ends_training_with_its_name_alone(tmp_path):
    write_pairs(tmp_path)
    whole = (tmp_path / "clear" / "3.png").read_bytes()
    (tmp_path / "clear" / "3.png").write_bytes(whole[:len(whole) // 2])
    with pytest.raises(InputError, match=r"^\S*clear/3.png: cannot be read as an image .*$"):
        list(pairs_dataset(tmp_path).batches(0, 12))


def test_depth_that_does_not_suit_its_photo_is_named(tmp_path):
    write_scenes(tmp_path, [0, 1, 2, 3])
    Image.fromarray(np.ones((30, 30), np.uint8)).save(tmp_path / "depths" / "0.png")
    Image.fromarray(np.zeros((60, 80), np.uint8)).save(tmp_path / "depths" / "1.png")
    (tmp_path / "depths" / "2.png").write_bytes(b"no image")
    source = open_source(tmp_path, "Depth")
    for index, message in enumerate(["0.png: depth map of 30x30 px for the photo 0.png of 80x60 px",
                                     "1.png: depth must be positive, found 0 to 0",
                                     "2.png: cannot be read as a depth map"]):
        with pytest.raises(InputError, match=message):
            source.load(index)
    (tmp_path / "depths" / "3.png").unlink()
    with pytest.raises(InputError, match="without depth.* 3.png"):
        open_source(tmp_path, "Depth")


def test_folders_without_images_are_named(tmp_path):
    for layout in ("Photos", "Depth", "Pairs"):
        with pytest.raises(InputError, match=str(tmp_path)):
            open_source(tmp_path, layout)
    with pytest.raises(UsageError, match="Nothing.*RESIDE.*Depth.*Photos"):
        open_source(tmp_path, "Nothing")


def test_nyu_photos_are_read_as_depth_layout(shared_data):
    source = open_source(shared_data / "nyu", "Depth", depth_first=0, depth_last=1348)
    assert len(source.names) == 1349
    hazy, clear = TrainDataset(source, 64, 4, 0).batch(0)
    assert hazy.shape == (4, 3, 64, 64) and np.abs(hazy - clear).mean() > 0.02
