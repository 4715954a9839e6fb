"""File names of the public data sets, and the messages about folders with mistakes."""
from pathlib import Path

import numpy as np
import pytest

from src.data.images import write_image
from src.data.pairs import Pair, find_pairs, load_pair, unused_files
from src.errors import InputError, UsageError


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def matched(root, layout, **kwargs):
    pairs, unmatched = find_pairs(root, layout, **kwargs)
    return {pair.hazy.name: pair.clear.name for pair in pairs}, [path.name for path in unmatched]


@pytest.mark.parametrize("layout, names, expected", [
    ("RESIDE", ["hazy/1400_1.png", "hazy/1400_10.png", "gt/1400.png"],
     {"1400_1.png": "1400.png", "1400_10.png": "1400.png"}),
    ("RESIDE", ["hazy/1400_1.png", "clear/1400_1.png", "clear/1400.png"], {"1400_1.png": "1400_1.png"}),
    ("RESIDE", ["hazy/0001_0.8_0.2.jpg", "GT/0001.png"], {"0001_0.8_0.2.jpg": "0001.png"}),
    ("RESIDE", ["hazy/1_1_0.90179.png", "hazy/11_1_0.8.png", "clear/1.png", "clear/11.png"],
     {"1_1_0.90179.png": "1.png", "11_1_0.8.png": "11.png"}),
    ("RESIDE", ["haze/my_photo_2_0.9.png", "clear/my_photo.png", "clear/my.png"],
     {"my_photo_2_0.9.png": "my_photo.png"}),
    ("Dense", ["hazy/46_hazy.png", "GT/46_GT.png"], {"46_hazy.png": "46_GT.png"}),
    ("NHHaze", ["Hazy/07_hazy.PNG", "gt/07_gt.png"], {"07_hazy.PNG": "07_gt.png"}),
    ("NHHaze", ["07_hazy.png", "07_GT.png", "08_GT.png", "08_hazy.png"],
     {"07_hazy.png": "07_GT.png", "08_hazy.png": "08_GT.png"}),
    ("OHAZE", ["hazy/01_outdoor_hazy.jpg", "GT/01_outdoor_GT.jpg"], {"01_outdoor_hazy.jpg": "01_outdoor_GT.jpg"}),
    ("IHAZE", ["HAZY/01_indoor_hazy.jpg", "CLEAR/01_indoor_GT.jpg"], {"01_indoor_hazy.jpg": "01_indoor_GT.jpg"}),
    ("Pairs", ["hazy/a_1.jpg", "hazy/b.png", "clear/a_1.png", "clear/b.jpg", "clear/b.png", "clear/c.png"],
     {"a_1.jpg": "a_1.png", "b.png": "b.png"}),
])
def test_names_of_each_layout_are_matched(tmp_path, layout, names, expected):
    assert matched(touch(tmp_path, *names), layout) == (expected, [])


def test_folder_of_the_layout_is_preferred_and_its_train_folder_in_training_only(tmp_path):
    touch(tmp_path, "hazy/0_1.png", "gt/0.png")
    assert matched(tmp_path, "RESIDE")[0] == {"0_1.png": "0.png"}
    touch(tmp_path, "RESIDE/hazy/1_1.png", "RESIDE/gt/1.png")
    assert matched(tmp_path, "RESIDE", train=True)[0] == {"1_1.png": "1.png"}
    touch(tmp_path, "RESIDE/train/hazy/2_1_0.9.jpg", "RESIDE/train/clear/2.jpg")
    assert matched(tmp_path, "RESIDE", train=True)[0] == {"2_1_0.9.jpg": "2.jpg"}
    assert matched(tmp_path, "RESIDE")[0] == {"1_1.png": "1.png"}
    assert matched(tmp_path, "Pairs")[0] == {}


def test_hazy_images_without_ground_truth_are_listed_and_stop_training(tmp_path):
    touch(tmp_path, "hazy/1_1.png", "hazy/2_1.png", "hazy/3_1.png", "gt/2.png")
    assert matched(tmp_path, "RESIDE") == ({"2_1.png": "2.png"}, ["1_1.png", "3_1.png"])
    with pytest.raises(InputError, match=r"2 hazy images without ground truth, the first is 1_1.png"):
        find_pairs(tmp_path, "RESIDE", train=True)


@pytest.mark.parametrize("names, message", [
    (["readme.txt"], "holds no folder named hazy or haze"),
    (["hazy/1.png"], "holds no folder named gt or clear"),
    (["hazy/readme.txt", "gt/1.png"], "hazy: no images"),
    (["hazy/1.png", "gt/readme.txt"], "gt: no images"),
    (["hazy/1.png", "hazy/1.jpg", "gt/1.png"], "1.png: has the same name as .*/1.jpg"),
])
def test_folders_that_cannot_be_used_are_named(tmp_path, names, message):
    with pytest.raises(InputError, match=message):
        find_pairs(touch(tmp_path, *names), "Pairs")


def test_folder_of_other_images_is_not_taken_for_an_ntire_set(tmp_path):
    with pytest.raises(InputError, match="no image is named ..._hazy, as those of NHHaze are"):
        find_pairs(touch(tmp_path, "1.png", "2.png"), "NHHaze")


def test_missing_folder_and_unknown_layout_name_flag_and_choices(tmp_path):
    with pytest.raises(InputError, match=r"--dir_data .*nowhere: no such folder"):
        find_pairs(tmp_path / "nowhere", "Pairs")
    with pytest.raises(UsageError, match="SOTS.*RESIDE"):
        find_pairs(tmp_path, "SOTS")


@pytest.mark.parametrize("blocked", ["", "hazy"])
def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch, blocked):
    touch(tmp_path, "hazy/1.png", "gt/1.png")
    real = Path.iterdir

    def refuse(path):
        if path == tmp_path / blocked:
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(InputError, match="cannot be read .Permission denied"):
        find_pairs(tmp_path, "Pairs")


def write_pair(folder, hazy_size, clear_size):
    rng = np.random.RandomState(0)
    images = [rng.randint(0, 256, size + (3,)).astype(np.uint8) for size in (hazy_size, clear_size)]
    pair = Pair("a", folder / "hazy.png", folder / "clear.png")
    for path, image in zip(pair[1:], images):
        write_image(path, image)
    return pair, images


def test_pair_of_one_size_is_read_as_it_is(tmp_path):
    pair, images = write_pair(tmp_path, (20, 30), (20, 30))
    for found, image in zip(load_pair(pair), images):
        np.testing.assert_array_equal(found, image)


def test_ground_truth_ten_pixels_larger_on_each_side_is_cropped(tmp_path):
    pair, (hazy, clear) = write_pair(tmp_path, (20, 30), (40, 50))
    np.testing.assert_array_equal(load_pair(pair)[1], clear[10:30, 10:40])


@pytest.mark.parametrize("clear_size", [(30, 20), (40, 51), (30, 40), (20, 50)])
def test_other_sizes_are_refused_with_both(tmp_path, clear_size):
    pair, _ = write_pair(tmp_path, (20, 30), clear_size)
    with pytest.raises(InputError, match=f"30x20 but its ground truth .*clear.png is {clear_size[1]}x{clear_size[0]}"):
        load_pair(pair)


def test_real_sots_pairs_are_all_found(shared_data):
    pairs, unmatched = find_pairs(shared_data / "sots-indoor-50", "Pairs")
    assert len(pairs) == 50 and not unmatched
    hazy, clear = load_pair(pairs[0])
    assert hazy.shape == clear.shape == (460, 620, 3)


def test_images_in_parts_are_found(tmp_path):
    """RESIDE's OTS as it is unpacked, and one of which half lies in parts."""
    clear = [f"clear/000{number}.jpg" for number in range(4)]
    touch(tmp_path / "OTS", *clear, "hazy/part1/0000_0.8_0.04.jpg", "hazy/part1/0002_0.8_0.04.jpg",
          "hazy/part2/0001_0.8_0.04.jpg", "hazy/part2/0003_0.8_0.04.jpg", "hazy/.trash/0009_0.8_0.04.jpg")
    touch(tmp_path / "mixed", *clear, "hazy/0000_0.8_0.04.jpg", "hazy/part1/0001_0.8_0.04.jpg",
          "hazy/0002_0.8_0.04.jpg", "hazy/part1/0003_0.8_0.04.jpg")
    wanted = {f"000{number}_0.8_0.04.jpg": f"000{number}.jpg" for number in range(4)}
    for name in ("OTS", "mixed"):
        assert matched(tmp_path / name, "RESIDE") == (wanted, []) == matched(tmp_path / name, "RESIDE", train=True)
    touch(tmp_path / "OTS", "hazy/part2/0000_0.8_0.04.jpg")
    with pytest.raises(InputError, match=r"part2/0000_0.8_0.04.jpg: has the same name as .*part1/0000_0.8_0.04.jpg"):
        find_pairs(tmp_path / "OTS", "RESIDE")


def test_files_that_belong_to_no_pair_are_counted(tmp_path):
    touch(tmp_path, "hazy/a.png", "clear/a.png", "clear/b.png", "clear/c.png", "hazy/depth.mat", "hazy/.x.png",
          "other/d.png")
    pairs, _ = find_pairs(tmp_path, "Pairs")
    hazy, clear = unused_files(pairs).split(", ")
    assert "1 .mat" in hazy and hazy.endswith(f"{tmp_path}/hazy")
    assert "2 images" in clear and clear.endswith(f"{tmp_path}/clear")
    touch(tmp_path / "full", "hazy/a.png", "clear/a.png")
    assert unused_files(find_pairs(tmp_path / "full", "Pairs")[0]) == ""


def test_the_test_folder_of_a_layout_is_found_for_scores(tmp_path):
    touch(tmp_path, "RESIDE/train/hazy/1_1.png", "RESIDE/train/clear/1.png", "RESIDE/test/hazy/2_1.png",
          "RESIDE/test/clear/2.png")
    assert matched(tmp_path, "RESIDE", train=True)[0] == {"1_1.png": "1.png"}
    assert matched(tmp_path, "RESIDE")[0] == {"2_1.png": "2.png"}


def test_errors_name_the_flag_that_gave_the_folder(tmp_path):
    touch(tmp_path, "hazy/a.png")
    for folder, text in ((tmp_path / "none", "no such folder"), (tmp_path, "holds no folder named gt or clear")):
        with pytest.raises(InputError, match=f"--dir_test {folder}: {text}"):
            find_pairs(folder, "RESIDE", flag="--dir_test")
