"""scripts/make_dataset.py, called as a user calls it."""
import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from golden.seeded import image
from src.data.haze import mirror_and_crop
from src.data.images import read_image, write_image
from src.data.pairs import find_pairs, load_pair
from src.evaluate.metrics import psnr

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "make_dataset.py"


def make(*arguments, expected=0):
    done = subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == expected, done.stderr
    return done.stderr.splitlines()[-1]


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def scenes(tmp_path):
    folder = tmp_path / "nyu"
    for kind in ("images", "depths"):
        (folder / kind).mkdir(parents=True)
    for number in range(3):
        photo = np.round(image(number, (1, 3, 60, 80), 255)[0].transpose(1, 2, 0)).astype(np.uint8)
        write_image(folder / "images" / f"{number}.png", photo)
        Image.fromarray(photo[..., 0] // 2 + 100).save(folder / "depths" / f"{number}.png")
    return folder


def test_its_set_has_its_names_and_is_read_as_reside(scenes, tmp_path):
    output = tmp_path / "out"
    make("--dir_data", scenes, "--output_dir", output, "--levels", 4)
    pairs, unmatched = find_pairs(output, "RESIDE", train=True)
    assert len(pairs) == 12 and not unmatched
    with open(output / "haze.csv", newline="") as file:
        rows = {row["hazy"]: row for row in csv.DictReader(file)}
    for pair in pairs:
        number, level, airlight = pair.name.split("_")
        row = rows[pair.hazy.name]
        assert pair.clear.name == row["clear"] == f"{number}.png" and 1 <= int(level) <= 4
        assert row["source"] == str(int(number) - 1)
        assert airlight == f"{float(row['airlight']):.2f}"
        assert 0.7 <= float(row["airlight"]) <= 1.0 and 0.6 <= float(row["beta"]) <= 1.8
    hazy, clear = load_pair(pairs[0])
    np.testing.assert_array_equal(clear, mirror_and_crop(read_image(scenes / "images" / "0.png")))
    assert psnr(hazy, clear) < 20


def test_the_seed_decides_and_the_choice_of_photos_does_not(scenes, tmp_path):
    common = ("--dir_data", scenes, "--levels", 2)
    make(*common, "--output_dir", tmp_path / "a")
    make(*common, "--output_dir", tmp_path / "b")
    make(*common, "--output_dir", tmp_path / "c", "--depth_first", 1, "--depth_last", 1)
    make(*common, "--output_dir", tmp_path / "d", "--seed", 2)
    a, b, c, d = (contents(tmp_path / name) for name in "abcd")
    assert a == b
    csv_file = Path("haze.csv")
    assert {path for path in c if path != csv_file} < set(a)
    assert all(a[path] == c[path] for path in c if path != csv_file) and len(c) == 4
    assert a.keys() != d.keys()


def test_photos_without_depth_get_one_invented_depth_for_all_levels(scenes, tmp_path):
    output = tmp_path / "out"
    make("--dir_data", scenes / "images", "--data", "Photos", "--output_dir", output, "--layout", "SOTS",
         "--levels", 2)
    clear, *hazy = (read_image(output / name).astype(float) for name in (
        "gt/1.png", "hazy/1_1.png", "hazy/1_2.png"))
    depth = [-np.log((255 - version) / (255 - clear)) / beta for version, beta in zip(hazy, (0.6, 0.7))]
    dark = clear < 60
    np.testing.assert_allclose(depth[0][dark], depth[1][dark], atol=0.02)


@pytest.mark.parametrize("arguments, code, message", [
    (["--levels", "0"], 2, "error: --levels 0: must be from 1 to 1000, for SOTS to 10"),
    (["--layout", "SOTS", "--levels", "11"], 2, "error: --levels 11"),
    (["--layout", "SOTS", "--beta_range", "1", "2"], 2, "error: --airlight_range, --beta_range: SOTS fixes both"),
    (["--airlight_range", "1", "0.5"], 2, "error: --airlight_range 1.0 0.5: must be two rising numbers"),
    (["--seed", "-3"], 2, "error: --seed -3: must not be negative"),
    (["--output_dir", ""], 2, "error: --output_dir must not be empty"),
    (["--beta", "3"], 2, "error: unrecognized arguments: --beta 3"),
    (["--depth_first", "9"], 1, "error: --dir_data"),
])
def test_bad_settings_are_one_line_and_write_nothing(scenes, tmp_path, arguments, code, message):
    last = make("--dir_data", scenes, "--output_dir", tmp_path / "out", *arguments, expected=code)
    assert last.startswith(message)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_a_set_is_not_mixed_with_another(scenes, tmp_path):
    output = ("--dir_data", scenes, "--levels", 1, "--output_dir", tmp_path / "out")
    make(*output)
    before = contents(tmp_path / "out")
    assert "hazy: is not empty; --overwrite" in make(*output, "--seed", 5, expected=1)
    assert contents(tmp_path / "out") == before
    make(*output, "--overwrite")
    assert contents(tmp_path / "out") == before


def test_rebuilt_sots_levels_match_the_true_hazy_files(shared_data, tmp_path):
    make("--dir_data", shared_data / "nyu", "--depth_first", 1399, "--depth_last", 1401, "--layout", "SOTS",
         "--output_dir", tmp_path)
    true = shared_data / "sots-indoor-50" / "hazy"
    for name in ("1400_1.png", "1401_2.png", "1402_3.png"):
        assert psnr(read_image(tmp_path / "hazy" / name), read_image(true / name)) > 38
