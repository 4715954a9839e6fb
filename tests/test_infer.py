"""infer.py restores every readable file, never overwrites an input, and names every file that fails."""
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from halving import HalvingNetwork
from src.cli import infer as script
from src.data.images import read_image, write_image
from src.data.reading import read_photo
from src.dehaze.dehazer import Dehazer
from src.dehaze.plan import plan
from src.errors import InputError, UsageError

ROOT = Path(__file__).resolve().parent.parent


def photo(seed=0, height=24, width=32):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def halved(image):
    return np.rint(image / 2).astype(np.uint8)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, which contains photos."""
    for seed, name in enumerate(("photos/a.png", "photos/b.png", "photos/deep/a.png")):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, photo(seed))
    (tmp_path / "photos/notes.txt").write_text("no photo")
    write_image(tmp_path / "photos/.hidden.png", photo())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(folder, monkeypatch):
    """Call infer.py on the halving network. Returns: exit code."""
    network = HalvingNetwork(folder / "halving.ckpt")
    monkeypatch.setattr(script, "open_dehazer", lambda options: Dehazer(
        tile=options.tile, overlap=options.overlap, self_ensemble=options.self_ensemble, network=network,
        work_size=options.work_size, strength=options.strength))

    def call(*flags):
        return script.main([*map(str, flags), "--ckpt_path", str(network.path)])

    call.network = network
    return call


def files(root):
    return sorted(str(path.relative_to(root)) for path in Path(root).rglob("*") if path.is_file())


# what is read and where it goes

def targets(*inputs, output="out", **options):
    return {str(job.source): str(job.target) for job in plan(inputs, output, **options).jobs}


def test_folders_are_searched_and_repeated(folder):
    assert targets("photos") == {
        "photos/a.png": "out/a.png", "photos/b.png": "out/b.png", "photos/deep/a.png": "out/deep/a.png"}
    assert (folder / "out/deep").is_dir()


def test_globs_find_photos_and_keep_the_folders_below_their_fixed_part(folder):
    assert targets("photos/**/a.*") == {"photos/a.png": "out/a.png", "photos/deep/a.png": "out/deep/a.png"}
    assert targets("ph*/deep/*.png") == {"photos/deep/a.png": "out/photos/deep/a.png"}
    with pytest.raises(InputError, match=r"\*.gif: no photos or videos"):
        plan(["*.gif"], "out")


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(folder):
    write_image(folder / "a[1].png", photo())
    assert targets("a[1].png") == {"a[1].png": "out/a[1].png"}


def test_results_are_png_or_of_the_inputs_format(folder):
    for name in ("c.JPG", "d.tif", "e.gif"):
        Image.fromarray(photo()).save(folder / name, "JPEG" if name == "c.JPG" else None)
    inputs = ("c.JPG", "d.tif", "e.gif")
    assert targets(*inputs) == {"c.JPG": "out/c.png", "d.tif": "out/d.png", "e.gif": "out/e.png"}
    assert targets(*inputs, same_format=True) == {"c.JPG": "out/c.JPG", "d.tif": "out/d.tif", "e.gif": "out/e.gif"}


def test_a_single_photo_may_go_to_a_file(folder):
    assert targets("photos/a.png", output="new/clear.jpg") == {"photos/a.png": "new/clear.jpg"}
    with pytest.raises(UsageError, match="--output clear.png: is one file for 3 inputs"):
        plan(["photos"], "clear.png")
    with pytest.raises(UsageError, match="a photo becomes a photo"):
        plan(["photos/a.png"], "clear.mp4")
    (folder / "odd.png").mkdir()
    assert targets("photos/a.png", output="odd.png") == {"photos/a.png": "odd.png/a.png"}


def test_a_file_named_twice_is_done_once(folder):
    assert len(plan(["photos", "photos/a.png", str(folder / "photos/b.png")], "out").jobs) == 3


@pytest.mark.parametrize("inputs, output", (
    (["photos"], "photos"), (["photos/a.png"], "photos"), (["photos/a.png"], "photos/a.png"),
    (["photos/a.png"], "photos/deep/../a.png"), (["photos/b.png"], "link.png"), (["photos/b.png"], "hard.png")))
def test_no_input_is_replaced(folder, inputs, output):
    (folder / "link.png").symlink_to(folder / "photos/b.png")
    os.link(folder / "photos/b.png", folder / "hard.png")
    with pytest.raises(UsageError, match="would replace the input photos/"):
        plan(inputs, output)


def test_photos_of_one_name_get_results_of_their_own(folder):
    for suffix in ("jpg", "bmp"):
        Image.fromarray(photo()).save(folder / f"photos/a.{suffix}")
    assert [job.target.name for job in plan(["photos"], "out").jobs if job.source.stem == "a"][:3] == [
        "a.bmp.png", "a.jpg.png", "a.png"]
    assert {job.source.name: job.target.name for job in plan(["photos/a.jpg", "photos/a.bmp"], "out").jobs} == {
        "a.jpg": "a.jpg.png", "a.bmp": "a.bmp.png"}
    assert {job.source.suffix for job in plan(["photos"], "out", same_format=True).jobs} == {".png", ".jpg", ".bmp"}


def test_results_that_would_replace_each_other_are_refused(folder):
    with pytest.raises(UsageError, match="both results would be out/a.png"):
        plan(["photos/a.png", "photos/deep/a.png"], "out")


def test_results_of_an_earlier_run_inside_the_input_folder_are_no_inputs(folder):
    write_image(folder / "photos/b.bmp", photo())
    os.remove(folder / "photos/b.png")
    for _ in range(2):
        jobs = plan(["photos"], "photos/clear", overwrite=True).jobs
        assert [str(job.target) for job in jobs] == [f"photos/clear/{name}.png" for name in ("a", "b", "deep/a")]
        for job in jobs:
            write_image(job.target, photo())


@pytest.mark.parametrize("inputs, output, error, text", (
    ([], "out", UsageError, "nothing to dehaze"),
    (["none.png"], "out", InputError, "none.png: no such file or folder"),
    (["empty"], "out", InputError, "empty: no photos or videos"),
    (["photos"], "/proc/none", InputError, "--output /proc/none: cannot write there"),
    (["photos"], "photos/notes.txt", InputError, "--output photos/notes.txt: cannot write there")))
def test_impossible_plans_are_named(folder, inputs, output, error, text):
    (folder / "empty").mkdir()
    with pytest.raises(error, match=text):
        plan(inputs, output)


# restoring

def test_photos_are_restored_under_their_names_and_inputs_stay(run, folder, capsys):
    before = {name: (folder / "photos" / name).read_bytes() for name in files("photos")}
    assert run("photos", "--output", "out") == 0
    assert files("out") == ["a.png", "b.png", "deep/a.png"]
    for seed, name in enumerate(("a.png", "b.png", "deep/a.png")):
        assert np.array_equal(read_image(folder / "out" / name), halved(photo(seed)))
    assert {name: (folder / "photos" / name).read_bytes() for name in files("photos")} == before
    assert "3 of 3 dehazed: out" in capsys.readouterr().out


def test_the_default_folder_is_inside_output(run, folder):
    assert run("photos/a.png") == 0
    assert files("output") == ["infer/a.png"]


def test_photos_of_every_kind_come_out_as_they_went_in(run, folder):
    alpha = np.tile(np.arange(0, 256, 8, dtype=np.uint8), (24, 1))
    Image.fromarray(np.dstack([photo(), alpha])).save(folder / "rgba.png")
    Image.fromarray(photo()[..., 0]).save(folder / "grey.png")
    cv2.imwrite(str(folder / "deep.png"), photo()[..., 0].astype(np.uint16) * 257)
    Image.new("RGB", (32, 24), (200, 100, 40)).convert("CMYK").save(folder / "cmyk.jpg", quality=100)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.fromarray(photo()).save(folder / "turned.png", exif=exif)
    assert run("rgba.png", "grey.png", "deep.png", "cmyk.jpg", "turned.png", "-o", "out") == 0
    rgba = read_photo("out/rgba.png")
    assert np.array_equal(rgba.rgb, halved(photo())) and np.array_equal(rgba.alpha, alpha)
    assert Image.open("out/grey.png").mode == "L"
    assert np.array_equal(np.asarray(Image.open("out/grey.png")), halved(photo()[..., 0]))
    deep = cv2.imread("out/deep.png", cv2.IMREAD_UNCHANGED)
    assert deep.dtype == np.uint16 and deep.ndim == 2 and np.abs(deep / 257 - photo()[..., 0] / 2).max() <= 0.51
    assert np.abs(read_image("out/cmyk.png").astype(int) - (100, 50, 20)).max() <= 4
    assert np.array_equal(read_image("out/turned.png"), halved(np.rot90(photo(), -1)))
    assert Image.open("out/turned.png").getexif().get(0x0112, 1) == 1


def test_what_cannot_be_restored_is_named_and_the_rest_is_done(run, folder, capsys):
    (folder / "photos/cut.png").write_bytes((folder / "photos/a.png").read_bytes()[:200])
    (folder / "photos/text.jpg").write_text("no photo")
    write_image(folder / "photos/tiny.png", photo(height=15))
    assert run("photos", "-o", "out") == 1
    assert files("out") == ["a.png", "b.png", "deep/a.png"]
    shown = capsys.readouterr()
    for text in ("error: photos/cut.png: cannot be read", "error: photos/text.jpg: cannot be read",
                 "error: photos/tiny.png: 32x15 px is too small", "error: 3 of 6 could not be dehazed, named above"):
        assert text in shown.err
    assert "3 of 6 dehazed" in shown.out


def test_a_result_that_cannot_hold_the_transparency_is_refused_before_the_work(run, folder, capsys):
    Image.fromarray(np.dstack([photo(), photo()[..., :1]])).save(folder / "rgba.png")
    with pytest.raises(UsageError, match="--output out.jpg: JPEG has no transparency, and rgba.png has"):
        run("rgba.png", "-o", "out.jpg")
    assert not run.network.seen and not (folder / "out.jpg").exists()


def test_a_bomb_is_refused_until_the_limit_is_raised(run, folder, capsys):
    assert run("photos/a.png", "-o", "out", "--max_pixels", 24 * 32 - 1) == 1
    assert "raise --max_pixels" in capsys.readouterr().err
    assert run("photos/a.png", "-o", "out", "--max_pixels", 24 * 32) == 0


def test_equal_sizes_share_batches_whatever_their_names(run, folder):
    write_image(folder / "photos/aa.png", photo(7, 40, 32))
    assert run("photos", "-o", "out", "--batch_size", 2) == 0
    assert run.network.seen == [(1, 3, 40, 32), (2, 3, 24, 32), (1, 3, 24, 32)]  # the largest first
    assert run.network.expected == {shape: 1 for shape in run.network.seen}
    assert np.array_equal(read_image("out/deep/a.png"), halved(photo(2)))


def test_tiles_and_self_ensemble_reach_the_network(run, folder):
    assert run("photos/a.png", "-o", "out", "--tile", 32, "--overlap", 8, "--self_ensemble") == 0
    assert sorted(run.network.seen) == [(1, 3, 24, 32)] * 4 + [(1, 3, 32, 24)] * 4
    assert np.array_equal(read_image("out/a.png"), halved(photo()))


def test_report_shows_every_photo(run, folder):
    assert run("photos", "--report", "-o", "out") == 0
    report = (folder / "out/report.html").read_text()
    assert report.count("data:image/webp") == 6 and "deep/a.png" in report and str(folder) not in report
    assert run("--report", "photos/a.png", "-o", "single/clear.png") == 0
    assert files("single") == ["clear.png", "report.html"]


def test_a_grey_photo_is_grey_in_the_report_too(run, folder, monkeypatch):
    shown = []
    monkeypatch.setattr(script.Report, "add", lambda self, name, *pictures: shown.append((name, *pictures)))
    Image.fromarray(photo()[..., 0]).save(folder / "grey.png")
    monkeypatch.setattr(type(run.network), "__call__", lambda self, x: x * np.reshape((0.5, 0.4, 0.2), (1, 3, 1, 1)))
    assert run("grey.png", "-o", "out/clear.png", "--report") == 0
    (name, hazy, dehazed), = shown
    assert name == "grey.png" and np.ptp(hazy, axis=2).max() == 0 and np.ptp(dehazed, axis=2).max() == 0
    assert np.array_equal(dehazed, read_image("out/clear.png"))


def test_the_report_states_strength_and_work_size_and_no_place_on_the_disk(run, folder):
    assert run("photos/a.png", "--report", "-o", "out", "--strength", 0.5, "--work_size", 128) == 0
    report = (folder / "out/report.html").read_text()
    assert "<dt>strength</dt>" in report and "128 px" in report and "halving.ckpt" in report
    assert str(folder) not in report


def test_photos_that_failed_do_not_fill_the_bar(run, folder, capsys):
    (folder / "photos/cut.png").write_bytes(b"no photo")
    assert run("photos", "-o", "out") == 1
    assert "75%" in capsys.readouterr().err.splitlines()[-2]


@pytest.mark.parametrize("flags, text", (
    (("photos", "--blend", 0.5), "--blend: is for videos, and no input is one"),
    (("clip.mp4", "--report"), "--report: is for photos, and no input is one"),
    (("clip.mp4", "--format", "same"), "--format: is for photos")))
def test_flags_for_another_kind_of_input_are_refused(run, folder, flags, text):
    make_clip(folder / "clip.mp4")
    with pytest.raises(UsageError, match=text):
        run(*flags, "-o", "out")
    assert not (folder / "out").exists() or files("out") == []


def make_clip(path, frames=6):
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"mp4v"), 25, (64, 48))
    for number in range(frames):
        writer.write(np.full((48, 64, 3), 100 + 10 * number, np.uint8))
    writer.release()


def brightness(path):
    capture, means = cv2.VideoCapture(path), []
    while True:
        seen, image = capture.read()
        if not seen:
            return means
        means.append(image.mean())


def test_videos_are_restored_frame_by_frame(run, folder, capsys):
    make_clip(folder / "photos/clip.mp4")
    assert run("photos", "-o", "out", "--blend", 0.5) == 0
    assert files("out") == ["a.png", "b.png", "clip.mp4", "deep/a.png"]
    hazy, clear = brightness("photos/clip.mp4"), brightness("out/clip.mp4")
    assert len(clear) == 6 and np.allclose(clear, np.array(hazy) / 2, atol=4) and min(hazy) > 80
    assert "out/clip.mp4: 6 frames of 64x48 at 25 a second" in capsys.readouterr().out


def test_a_broken_video_is_named_and_leaves_no_file(run, folder, capsys):
    make_clip(folder / "clip.mp4")
    (folder / "cut.mp4").write_bytes((folder / "clip.mp4").read_bytes()[:300])
    assert run("cut.mp4", "clip.mp4", "photos/a.png", "-o", "out") == 1
    assert files("out") == ["a.png", "clip.mp4"]
    assert "error: cut.mp4: " in capsys.readouterr().err


@pytest.mark.parametrize("flags, error, text", (
    (["photos", "--blend", "1"], UsageError, "--blend must be from 0 to below 1, not 1.0"),
    (["photos", "--format", "gif"], UsageError, "--format"),
    (["photos", "--tile", "7"], UsageError, "--tile 7"),
    (["photos", "--work_size", "60"], UsageError, "--work_size 60: must be a multiple of 4 from 64 on, 0 or -1"),
    (["photos", "--strength", "1.1"], UsageError, "--strength 1.1: must be from 0 to 1"),
    (["photos", "--batch_size", "0"], UsageError, "--batch_size must be at least 1, not 0"),
    ([""], UsageError, "inputs must not be empty"),
    (["x" * 300], UsageError, "inputs must be a path of names of at most 255 bytes"),
    (["photos", "-o", ""], UsageError, "--output must not be empty"),
    (["photos/a.png", "-o", "x.heic"], UsageError, "--output x.heic: a file's suffix must be one of .png .apng .jpg")))
def test_wrong_flags_are_named(run, flags, error, text):
    with pytest.raises(error, match=text):
        run(*flags)


# from the command line

def infer(*flags, **environment):
    return subprocess.run([sys.executable, str(ROOT / "infer.py"), *map(str, flags)], capture_output=True, text=True,
                          timeout=300, env={**os.environ, **environment})


@pytest.mark.slow
def test_a_photo_is_dehazed_from_the_command_line(folder, random_checkpoint):
    done = infer("photos/a.png", "photos/none.png", "--ckpt_path", random_checkpoint)
    assert (done.returncode, done.stderr) == (1, "error: photos/none.png: no such file or folder\n")
    done = infer("photos/a.png", "-o", "clear.png", "--ckpt_path", random_checkpoint)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(read_image("clear.png"), Dehazer(random_checkpoint).dehaze("photos/a.png"))


@pytest.mark.slow
def test_a_photo_that_cannot_be_read_gives_exit_code_1(folder, random_checkpoint):
    (folder / "photos/cut.png").write_bytes((folder / "photos/a.png").read_bytes()[:200])
    done = infer("photos/cut.png", "--ckpt_path", random_checkpoint)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "error: photos/cut.png: cannot be read as an image" in done.stderr


@pytest.mark.slow
def test_mistakes_are_found_before_mindspore_is_imported(folder):
    """PYTHONPATH contains a mindspore that cannot be imported."""
    (folder / "fake").mkdir()
    (folder / "fake/mindspore.py").write_text("raise SystemExit('mindspore was imported')")
    (folder / "any.ckpt").touch()
    for flags, code in ((["--help"], 0), (["none.png", "--ckpt_path", "any.ckpt"], 1), (["photos", "--colour"], 2),
                        (["photos", "--ckpt_path", "none.ckpt"], 1), (["photos", "-o", "photos"], 1 + 1)):
        done = infer(*flags, *([] if "--ckpt_path" in flags else ["--ckpt_path", "any.ckpt"]),
                     PYTHONPATH=str(folder / "fake"))
        assert (done.returncode, done.stderr.count("\n")) == (code, int(code > 0)), done.stderr
