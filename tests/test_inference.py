"""Value range, tiles, turns, batches and graphs around the network do not change its results."""

import mindspore
import numpy as np
import pytest
from mindspore import Tensor

from golden.seeded import image as seeded_image
from halving import HalvingNetwork
from src.data.images import write_image
from src.dehaze import dehazer as inference
from src.dehaze import tiles
from src.dehaze.dehazer import Dehazer
from src.dehaze.work_size import FULL, seen_size
from src.errors import InputError, UsageError
from src.network.aecrnet import Dehaze
from src.network.checkpoint import describe, load_network, save_checkpoint
from src.runtime import mindspore_runner as network_runner
from src.runtime.mindspore_runner import CheckpointRunner


def photo(height, width, seed=0):
    """A random image, uint8 RGB[height, width, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.fixture
def network(tmp_path):
    return HalvingNetwork(tmp_path / "halving.ckpt")


@pytest.fixture(scope="module")
def runner(random_checkpoint):
    return CheckpointRunner(random_checkpoint)


def as_float(image):
    return image.astype(np.float32)


# tiles

@pytest.mark.parametrize("size", (64, 68, 100, 512, 1000, 4000))
@pytest.mark.parametrize("tile, overlap", ((64, 0), (64, 16), (64, 48), (100, 30), (512, 64)))
def test_windows_cover_the_image_in_equal_aligned_steps_with_the_overlap(size, tile, overlap):
    found = tiles.windows(size, tile, overlap)
    assert found[0][0] == 0 and found[-1][1] == size
    assert len({stop - start for start, stop in found}) == 1
    assert found[0][1] <= max(min(size, tile), tile * (size > tile))
    assert all(start % 4 == 0 for start, _ in found)
    assert all(before[1] - after[0] >= overlap for before, after in zip(found, found[1:]))


@pytest.mark.parametrize("size, count", ((512, 1), (516, 2), (960, 2), (964, 3), (4000, 9)))
def test_no_more_windows_than_needed(size, count):
    assert len(tiles.windows(size, 512, 64)) == count  # each adds 512 - 64 = 448


@pytest.mark.parametrize("height, width", ((64, 96), (107, 203), (33, 18)))
@pytest.mark.parametrize("tile, overlap", ((32, 8), (64, 48), (32, 0)))
def test_tiles_of_an_unchanged_image_are_the_image(height, width, tile, overlap):
    image = photo(height, width)
    assert np.array_equal(tiles.restore_in_tiles(image, as_float, tiles.Tiling(tile, overlap)), image)


def test_a_tile_is_never_larger_than_asked_for_and_all_are_of_one_size():
    seen = set()
    tiles.restore_in_tiles(photo(150, 250), lambda part: seen.add(part.shape) or as_float(part), tiles.Tiling(64, 16))
    assert len(seen) == 1 and max(max(shape) for shape in seen) <= 64


def test_seams_fade_linearly_where_tiles_disagree():
    brightness = iter(np.linspace(50, 200, len(tiles.windows(400, 64, 32))))
    image = np.zeros((16, 400, 3), np.uint8)
    result = tiles.restore_in_tiles(image, lambda part: np.full(part.shape, next(brightness), np.float32),
                                    tiles.Tiling(64, 32))
    steps = np.diff(result[0, :, 0].astype(int))
    assert result[0, 0, 0] == 50 and result[0, -1, 0] == 200
    assert steps.min() >= 0 and steps.max() <= 2  # a hard seam would be a step of 15


def test_seams_between_rows_of_tiles_fade_too():
    values = iter((100.0, 140.0))
    result = tiles.restore_in_tiles(
        np.zeros((100, 16, 3), np.uint8), lambda part: np.full(part.shape, next(values), np.float32),
        tiles.Tiling(64, 24))
    steps = np.diff(result[:, 0, 0].astype(int))
    assert result[0, 0, 0] == 100 and result[-1, 0, 0] == 140 and steps.max() <= 3


# self-ensemble

def test_self_ensemble_turns_every_result_back():
    image = photo(24, 40)
    assert np.array_equal(tiles.restore_with_ensemble(image, as_float), image)


def test_self_ensemble_is_the_mean_over_eight_different_views():
    views = []

    def restore(view):
        views.append(view)
        return np.full(view.shape, float(len(views)), np.float32)

    result = tiles.restore_with_ensemble(photo(24, 40), restore)
    assert len({view.tobytes() + bytes(view.shape) for view in views}) == 8
    assert np.all(result == np.mean(range(1, 9)))


def test_self_ensemble_of_a_lopsided_network_has_no_side():
    def darker_to_the_left(view):
        return view * np.linspace(0.5, 1.0, view.shape[1], dtype=np.float32)[None, :, None]

    result = tiles.restore_with_ensemble(np.full((32, 32, 3), 200, np.uint8), darker_to_the_left)
    assert np.allclose(result, result[::-1], atol=1e-3) and np.allclose(result, result[:, ::-1], atol=1e-3)
    assert np.allclose(result, result.transpose(1, 0, 2), atol=1e-3)


# Dehazer

def test_network_sees_its_own_value_range_and_results_are_rounded_and_clipped(network):
    network.value_range = 1.0
    seen = []

    def brighter(x):
        seen.append(x)
        return x + np.float32(0.6 / 255)

    Shifting = type("Shifting", (), {"value_range": 1.0, "expect": None, "__call__": lambda self, x: brighter(x)})
    image = photo(16, 20)
    result = Dehazer(network=Shifting()).dehaze(image)
    assert seen[0].shape == (1, 3, 16, 20) and 0 <= seen[0].min() and seen[0].max() <= 1
    assert np.allclose(seen[0][0].transpose(1, 2, 0) * 255, image, atol=1e-4)
    assert np.array_equal(result, np.minimum(image.astype(int) + 1, 255))


def test_a_path_gives_what_its_pixels_give(network, tmp_path):
    image = photo(20, 24)
    write_image(tmp_path / "a.png", image)
    result = Dehazer(network=network).dehaze(tmp_path / "a.png")
    assert result.dtype == np.uint8 and result.shape == image.shape
    assert np.array_equal(result, Dehazer(network=network).dehaze(image))
    assert np.array_equal(result, np.rint(image / 2).astype(np.uint8))


@pytest.mark.parametrize("wrong", (np.zeros((20, 20, 3), np.float32), np.zeros((20, 20, 2), np.uint8),
                                   np.zeros((3, 20, 20), np.uint8)))
def test_arrays_of_another_kind_are_refused(network, wrong):
    with pytest.raises(ValueError, match=r"\[h, w, 4\] or \[h, w\], found"):
        Dehazer(network=network).dehaze(wrong)


def test_images_below_16_px_are_refused_by_name(network, tmp_path):
    write_image(tmp_path / "tiny.png", photo(15, 40))
    with pytest.raises(InputError, match="tiny.png: 40x15 px is too small"):
        Dehazer(network=network).dehaze(tmp_path / "tiny.png")


def test_large_images_are_tiled_automatically_unless_told_not_to(network, monkeypatch):
    monkeypatch.setattr(tiles, "LARGE_PIXELS", 100 * 100)
    monkeypatch.setattr(tiles, "AUTO_TILE", 96)
    for tile, largest in ((0, 96), (-1, 200), (64, 64)):
        network.seen.clear()
        Dehazer(network=network, tile=tile, overlap=16).dehaze(photo(120, 200))
        assert max(max(shape[2:]) for shape in network.seen) <= largest and len(network.seen) > (tile != -1)
    network.seen.clear()
    Dehazer(network=network, overlap=16).dehaze(photo(100, 100))
    assert network.seen == [(1, 3, 100, 100)]


def test_a_network_of_one_size_gets_larger_images_in_tiles_of_exactly_that_size(network):
    network.size = (148, 160)
    for size, calls in (((148, 160), 1), ((90, 33), 1), ((149, 100), 2), ((301, 161), 6)):
        network.seen.clear()
        image = photo(*size) // 2 * 2
        result = Dehazer(network=network, tile=32, overlap=16, work_size=FULL).dehaze(image)  # tile does not count
        assert np.array_equal(result, image // 2)
        assert len(network.seen) == calls and (calls == 1 or set(network.seen) == {(1, 3, 148, 160)})


@pytest.mark.parametrize("size, overlap", (((144, 160), 16), ((160, 148), 136)))
def test_a_network_of_one_small_size_refuses_larger_images_by_name(network, tmp_path, size, overlap):
    network.size = size
    write_image(tmp_path / "large.png", photo(40, 164))
    with pytest.raises(InputError, match=f"large.png: image of 164x40 is larger than the model's {size[1]}x{size[0]}"):
        Dehazer(network=network, overlap=overlap, work_size=FULL).dehaze(tmp_path / "large.png")


# the size at which the network sees a photo

@pytest.mark.parametrize("photo_size, work_size, seen", (
    ((3000, 4000), 0, (384, 512)), ((4000, 6000), 0, (340, 512)), ((4000, 3000), 0, (512, 384)),
    ((1001, 1000), 0, (512, 512)), ((1000, 1000), 0, (800, 800)), ((720, 1280), 0, (448, 800)),
    ((800, 799), 0, (800, 799)), ((600, 804), 0, (596, 800)), ((326, 1000), 0, (326, 1000)),
    ((3000, 4000), -1, (3000, 4000)), ((3000, 4000), 640, (480, 640)), ((48, 64), 640, (48, 64)),
    ((1000, 16000), 0, (256, 4096)), ((20, 400), 64, (20, 400)),  # panoramas keep half of it on the shorter side
    ((41, 131), 64, (32, 104)), ((66, 65), 64, (64, 64))))
def test_the_size_at_which_a_photo_is_seen(photo_size, work_size, seen):
    assert seen_size(photo_size, work_size) == seen


@pytest.mark.parametrize("photo_size, work_size, seen", (
    ((3000, 4000), 0, (480, 640)), ((3000, 6000), 0, (320, 640)), ((4000, 3000), 0, (480, 360)),
    ((480, 640), 0, (480, 640)), ((481, 640), 0, (480, 640)), ((100, 5000), 0, (12, 640)),
    ((3000, 4000), 256, (192, 256)), ((3000, 4000), -1, (3000, 4000))))
def test_a_network_of_one_size_sees_the_whole_of_a_larger_photo(photo_size, work_size, seen):
    assert seen_size(photo_size, work_size, (480, 640)) == seen


@pytest.mark.parametrize("dtype", (np.uint8, np.uint16))
@pytest.mark.parametrize("settings", ({}, {"tile": 64, "overlap": 8}, {"self_ensemble": True}))
def test_every_pixel_of_a_large_photo_gets_what_the_network_does_to_a_small_one(network, dtype, settings):
    """Halving is affine: the map repeats it up to EPSILON, which is under a level of 255."""
    large = (photo(240, 320).astype(dtype) * (np.iinfo(dtype).max // 255))
    result = Dehazer(network=network, work_size=128, **settings).dehaze(large)
    assert result.dtype == dtype and result.shape == large.shape
    assert np.abs(result - large / 2).max() < np.iinfo(dtype).max / 255 + 1
    assert {max(shape[2:]) for shape in network.seen} == {52 if "tile" in settings else 128}


def test_a_batch_of_large_photos_is_seen_at_once_and_equals_single_photos(network):
    images, dehazer = [photo(150, 200, seed) for seed in range(3)], Dehazer(network=network, work_size=64)
    results = dehazer.dehaze_batch(images)
    assert network.seen == [(3, 3, 48, 64)]
    assert all(np.array_equal(result, dehazer.dehaze(image)) for image, result in zip(images, results))


@pytest.mark.parametrize("dtype", (np.uint8, np.uint16))
@pytest.mark.parametrize("settings", ({"work_size": -1}, {"work_size": 64}, {"tile": 32, "overlap": 8}))
def test_strength_is_the_share_of_the_change(network, dtype, settings):
    image = photo(72, 96).astype(dtype) * (np.iinfo(dtype).max // 255)
    full = Dehazer(network=network, **settings).dehaze(image)
    half = Dehazer(network=network, strength=0.5, **settings).dehaze(image)
    assert np.abs(half - (image.astype(float) + full) / 2).max() <= 1
    network.seen.clear()
    for batch in (1, 2):
        none = Dehazer(network=network, strength=0, **settings).dehaze_batch([image] * batch)
        assert all(np.array_equal(one, image) and one is not image for one in none)
    assert network.seen == []


def test_sixteen_bits_are_not_rounded_to_eight(network):
    image = np.arange(64 * 80 * 3, dtype=np.uint16).reshape(64, 80, 3) * 4
    for settings in ({"work_size": -1}, {"tile": 32, "overlap": 8}):
        assert np.array_equal(Dehazer(network=network, **settings).dehaze(image), image // 2)


def test_a_model_of_one_size_below_64_refuses_to_see_whole_photos_by_name(network, tmp_path):
    network.size = (48, 160)
    write_image(tmp_path / "large.png", photo(100, 164))
    with pytest.raises(InputError, match="large.png: .* larger than the model's 160x48, .* at least 64x64"):
        Dehazer(network=network).dehaze(tmp_path / "large.png")


@pytest.mark.parametrize("settings, flag", (
    ({"work_size": 60}, "--work_size 60: must be a multiple of 4 from 64 on"), ({"work_size": 66}, "--work_size 66"),
    ({"work_size": -2}, "--work_size -2"), ({"strength": -0.1}, "--strength -0.1: must be from 0 to 1"),
    ({"strength": 1.5}, "--strength 1.5"), ({"strength": float("nan")}, "--strength nan")))
def test_work_sizes_and_strengths_out_of_range_are_named(network, settings, flag):
    with pytest.raises(UsageError, match=flag):
        Dehazer(network=network, **settings)


def test_progress_counts_the_passes_of_a_photo(network):
    told = []
    for settings, passes in (({"tile": 32, "overlap": 8}, 12), ({"self_ensemble": True}, 8), ({}, 0)):
        dehazer = Dehazer(network=network, **settings)
        dehazer.progress = lambda done, of: told.append((done, of))
        dehazer.dehaze(photo(72, 96))
        assert told == [(done, passes) for done in range(passes + 1 if passes else 0)]
        assert not passes or len(network.seen) == passes
        told.clear()
        network.seen.clear()


def test_a_batch_goes_through_the_network_at_once(network):
    images = [photo(20, 24, seed) for seed in range(3)]
    results = Dehazer(network=network).dehaze_batch(images)
    assert network.seen == [(3, 3, 20, 24)]
    assert all(np.array_equal(result, np.rint(image / 2)) for image, result in zip(images, results))


@pytest.mark.parametrize("settings", ({"tile": 32, "overlap": 8}, {"self_ensemble": True}))
def test_tiled_and_turned_images_go_one_by_one(network, settings):
    images = [photo(40, 48, seed) for seed in range(2)]
    results = Dehazer(network=network, **settings).dehaze_batch(images)
    assert all(shape[0] == 1 for shape in network.seen)
    assert all(np.array_equal(result, np.rint(image / 2)) for image, result in zip(images, results))


@pytest.mark.parametrize("settings, batch_size", (
    ({}, 1), ({}, 2), ({"work_size": 64}, 1), ({"work_size": 64}, 2), ({"strength": 0}, 1),
    ({"tile": 32, "overlap": 8}, 1), ({"tile": 32, "overlap": 8}, 2), ({"self_ensemble": True}, 1),
    ({"tile": 32, "overlap": 8, "self_ensemble": True}, 2)))
def test_the_network_is_told_exactly_the_calls_that_come(network, settings, batch_size):
    dehazer = Dehazer(network=network, **settings)
    images = [photo(41, 90, seed) for seed in range(5)]
    dehazer.expect([image.shape[:2] for image in images], batch_size)
    for start in range(0, 5, batch_size):
        dehazer.dehaze_batch(images[start:start + batch_size])
    assert network.expected == {shape: network.seen.count(shape) for shape in network.seen}


@pytest.mark.parametrize("tile, overlap, flag", (
    (10, 0, "--tile 10"), (66, 0, "--tile 66"), (-2, 0, "--tile -2"), (64, 60, "--overlap 60"),
    (64, -1, "--overlap -1"), (0, 512, "--overlap 512")))
def test_impossible_tiles_are_named(network, tile, overlap, flag):
    with pytest.raises(UsageError, match=flag):
        Dehazer(network=network, tile=tile, overlap=overlap)


def test_a_missing_shipped_checkpoint_is_said_clearly(monkeypatch, tmp_path):
    monkeypatch.setattr(inference, "SHIPPED_CHECKPOINT", tmp_path / "aecrnet.ckpt")
    with pytest.raises(InputError, match="aecrnet.ckpt: no such checkpoint; it comes with the repository"):
        Dehazer()


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(InputError, match="mine.ckpt: no such checkpoint$"):
        Dehazer(tmp_path / "mine.ckpt")


# with the real network

def test_dehazer_says_what_the_network_says(random_checkpoint):
    image = np.rint(seeded_image(1, (1, 3, 45, 62), 255)[0].transpose(1, 2, 0)).astype(np.uint8)
    net, _ = load_network(random_checkpoint)
    out = net(Tensor(image.transpose(2, 0, 1)[None].astype(np.float32))).asnumpy()[0].transpose(1, 2, 0)
    dehazer = Dehazer(random_checkpoint)
    assert np.array_equal(dehazer.dehaze(image), np.rint(np.clip(out, 0, 255)).astype(np.uint8))
    assert dehazer.network.description["arch"] == "gitee" and dehazer.network.path == random_checkpoint


def test_arch_paper_runs_in_its_own_range(tmp_path):
    net = Dehaze("paper")
    path = tmp_path / "paper.ckpt"
    save_checkpoint(path, net.parameters_dict(), describe(net))
    net.set_train(False)
    image = photo(16, 20)
    out = net(Tensor((image.transpose(2, 0, 1)[None] / 255).astype(np.float32))).asnumpy()[0].transpose(1, 2, 0)
    assert np.array_equal(Dehazer(path).dehaze(image), np.rint(np.clip(out, 0, 1) * 255).astype(np.uint8))


@pytest.mark.slow
def test_graph_pynative_and_batch_agree(runner):
    x = seeded_image(2, (2, 3, 24, 36), 255).astype(np.float32)
    operator_by_operator = np.concatenate([runner(x[:1]), runner(x[1:])])
    runner.expect(x.shape, 100)
    as_a_graph = runner(x)
    assert x.shape in runner.compiled and (1, 3, 24, 36) not in runner.compiled
    assert np.abs(operator_by_operator - as_a_graph).max() < 0.01


@pytest.fixture
def recording(monkeypatch):
    """A runner that records in `ways` how it calls its network, which returns its input."""
    ways = []

    class Net(Dehaze):
        def construct(self, x):
            ways.append("PyNative")
            return x

    monkeypatch.setattr(mindspore, "jit", lambda net: lambda x: ways.append("graph") or x)
    runner = network_runner.CellRunner(Net("paper").set_train(False))
    runner.ways = ways
    return runner


LARGE, MEDIUM, SMALL = (np.zeros((1, 3, *size), np.float32) for size in ((480, 640), (240, 320), (32, 32)))


def test_one_image_is_compiled_only_if_it_takes_longer_than_compiling(recording):
    for image in (LARGE, MEDIUM, SMALL):
        recording.expect(image.shape, 1)
        recording(image)
    assert recording.ways == ["graph", "PyNative", "PyNative"]


def test_many_announced_images_are_compiled_from_the_first(recording):
    recording.expect(MEDIUM.shape, 2)
    recording.expect(SMALL.shape, 7)
    recording(MEDIUM), recording(SMALL)
    assert recording.ways == ["graph", "PyNative"]


def test_a_size_that_keeps_coming_is_compiled_unannounced(recording):
    for _ in range(3):
        recording(MEDIUM)
    assert recording.ways == ["PyNative", "graph", "graph"]


def test_huge_images_are_not_compiled_for_the_sake_of_memory(recording):
    recording.expect((1, 3, 1000, 1004), 50)
    recording(np.zeros((1, 3, 1000, 1004), np.float32))
    assert recording.ways == ["PyNative"]


def test_graphs_of_former_sizes_are_given_back(recording, monkeypatch):
    freed = []
    monkeypatch.setattr(mindspore, "ms_memory_recycle", lambda: freed.append(True))
    shapes = [(1, 3, 240, width) for width in (320, 324, 328)]
    for shape in shapes:
        recording.expect(shape, 5)
        for _ in range(5):
            recording(np.zeros(shape, np.float32))
    assert set(recording.ways) == {"graph"} and freed == [True]
    recording(np.zeros(shapes[0], np.float32)), recording(np.zeros(shapes[2], np.float32))
    assert recording.ways[-2:] == ["PyNative", "graph"]


def test_memory_is_bounded_over_many_sizes(recording, monkeypatch):
    """MindSpore never frees all of a graph, and frees the operators of a shape only when told to."""
    cleared = []
    monkeypatch.setattr(mindspore, "ms_memory_recycle", lambda: None)
    monkeypatch.setattr(network_runner._pynative_executor, "clear_res", lambda: cleared.append(len(recording.ways)))
    shapes = [(1, 3, 240, 320 + 4 * number) for number in range(network_runner.MAX_COMPILED + 9)]
    for shape in shapes:
        recording.expect(shape, 2)
        recording(np.zeros(shape, np.float32)), recording(np.zeros(shape, np.float32))
    graphs = 2 * network_runner.MAX_COMPILED
    assert recording.ways == ["graph"] * graphs + ["PyNative"] * 18
    assert cleared == [graphs + 2 * number for number in range(9)]  # with every new shape
    recording(np.zeros(shapes[network_runner.MAX_COMPILED - 1], np.float32))
    assert recording.ways[-1] == "graph"


def test_an_unknown_device_is_named(random_checkpoint):
    with pytest.raises(InputError, match="--device_target Abacus: cannot be used"):
        CheckpointRunner(random_checkpoint, "Abacus")


@pytest.mark.slow
def test_compare_work_sizes_prints_a_line_for_each_photo_and_their_mean(random_checkpoint, tmp_path, capsys):
    import compare_work_sizes

    for name in "ab":
        write_image(tmp_path / f"{name}.png", photo(80, 96))
    compare_work_sizes.main([str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--ckpt_path", str(random_checkpoint),
                             "--work_sizes", "64", "-1", "--write", str(tmp_path / "out")])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["a", "b", "mean"] and lines[1].split()[1] == "96x80"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"{name}_{result}.png" for name in "ab" for result in ("-1", "64", "hazy")]

