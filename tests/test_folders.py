"""Folders as people have them: results that exist, files of other kinds, links, odd names, patterns in quotes."""
import importlib.util
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from halving import HalvingNetwork
from src.cli import infer as script
from src.data import formats
from src.data.images import read_image, write_image
from src.data.reading import read_header
from src.dehaze.dehazer import Dehazer
from src.dehaze.plan import plan
from src.errors import InputError, UsageError

PHOTO = np.random.default_rng(0).integers(0, 256, (24, 32, 3)).astype(np.uint8)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png", "c.png"):
        write_image(tmp_path / "in" / name, PHOTO)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(folder, monkeypatch):
    network = HalvingNetwork(folder / "halving.ckpt")
    monkeypatch.setattr(script, "open_dehazer", lambda options: Dehazer(network=network))

    def call(*flags):
        network.seen.clear()
        return script.main([*map(str, flags), "--ckpt_path", str(network.path)])

    call.network = network
    return call


def sources(*inputs, output="out"):
    return [str(job.source) for job in plan(inputs, output).jobs]


# results that exist

def test_an_unrelated_file_is_not_replaced(run, folder, capsys):
    (folder / "out").mkdir()
    shutil.copy("in/b.png", "out/a.png")
    before = (folder / "out/a.png").read_bytes()
    assert run("in", "-o", "out") == 0
    assert (folder / "out/a.png").read_bytes() == before and len(run.network.seen) == 2
    assert "1 of 3 results exist and are kept, the first is out/a.png (--overwrite replaces them)" \
        in capsys.readouterr().out
    assert run("in", "-o", "out", "--overwrite") == 0
    assert np.array_equal(read_image("out/a.png"), np.rint(PHOTO / 2)) and len(run.network.seen) == 3


def test_the_same_command_goes_on_where_it_was_interrupted(run, folder, monkeypatch, capsys):
    def interrupted_at_the_second(network, x, real=HalvingNetwork.__call__):
        if len(network.seen) == 1:
            raise KeyboardInterrupt
        return real(network, x)

    with monkeypatch.context() as patch:
        patch.setattr(HalvingNetwork, "__call__", interrupted_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            run("in", "-o", "out")
    assert len(os.listdir("out")) == 1
    assert run("in", "-o", "out") == 0 and len(run.network.seen) == 2
    assert sorted(os.listdir("out")) == ["a.png", "b.png", "c.png"]
    capsys.readouterr()
    assert run("in", "-o", "out") == 0 and not run.network.seen
    assert "3 of 3 results exist and are kept" in capsys.readouterr().out


def test_a_link_to_nothing_at_the_place_of_a_result_is_kept_too(run, folder):
    (folder / "out").mkdir()
    (folder / "out/a.png").symlink_to("nowhere")
    assert run("in", "-o", "out") == 0 and os.readlink("out/a.png") == "nowhere"


# what is left out

def test_files_of_other_kinds_are_counted_with_the_remedy(run, folder, capsys, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec",
                        lambda name, *of: None if name in ("pillow_heif", "rawpy") else real(name, *of))
    formats.is_read.cache_clear()
    for name in ("x.HEIC", "y.heic", "z.dng", "notes.txt", "more.txt", "README", "w.jxl", ".hidden.heic"):
        (folder / "in" / name).touch()
    try:
        assert run("in", "-o", "out") == 0
        assert ("note: left out: 2 .txt, 2 HEIC (pip install pillow-heif), 1 JPEG XL (convert it to PNG), "
                "1 camera raw (pip install rawpy), 1 without suffix\n") in capsys.readouterr().err
        for name, text in (("x.HEIC", "HEIC is not read by this installation; pip install pillow-heif"),
                           ("z.dng", "camera raw is not read by this installation; pip install rawpy")):
            with pytest.raises(InputError, match=f"in/{name}: {text}"):
                plan([f"in/{name}"], "out")
        with pytest.raises(InputError, match="no photos or videos; left out: 2 HEIC .pip install pillow-heif"):
            plan(["in/*.[Hh][Ee][Ii][Cc]"], "out")
    finally:
        formats.is_read.cache_clear()


def test_only_the_first_picture_is_said_where_the_result_holds_no_more(run, folder, capsys):
    frames = [Image.new("RGB", (32, 24), (60 * i, 0, 0)) for i in range(4)]
    frames[0].save("a.tif", save_all=True, append_images=frames[1:])
    frames[0].save("b.gif", save_all=True, append_images=frames[1:], duration=100)
    assert run("a.tif", "b.gif", "-o", "out") == 0
    assert "note: a.tif: only the first of 4 pictures\n" in capsys.readouterr().err
    assert read_header("out/a.png").pictures == 1 and read_header("out/b.png").pictures == 4
    assert run("a.tif", "b.gif", "-o", "same", "--format", "same") == 0
    assert "only the first" not in capsys.readouterr().err
    assert read_header("same/a.tif").pictures == 4 and read_header("same/b.gif").pictures == 4


def test_notes_of_many_photos_are_one_line(run, folder, capsys):
    for number in range(5):
        Image.fromarray(PHOTO).save(folder / f"in/{number}.jpg", icc_profile=b"broken profile")
    assert run("in/*.jpg", "-o", "out") == 0
    assert "note: in/0.jpg and 4 more: colour profile damaged" in capsys.readouterr().err


def test_metadata_is_stripped_on_request(run, folder):
    exif = Image.Exif()
    exif[0x013B] = "Ann"
    Image.fromarray(PHOTO).save("in/e.jpg", exif=exif, dpi=(300, 300), comment=b"by Ann")
    for flags, has_it in (((), True), (("--strip_metadata", "--overwrite"), False)):
        assert run("in/e.jpg", "-o", "out", "--format", "same", *flags) == 0
        data = (folder / "out/e.jpg").read_bytes()
        assert (b"Ann" in data) == has_it and ("dpi" in Image.open("out/e.jpg").info) == has_it


def test_pixels_of_an_animation_are_limited(run, folder, capsys):
    frames = [Image.new("RGB", (32, 24), (60 * i, 0, 0)) for i in range(4)]
    frames[0].save("b.gif", save_all=True, append_images=frames[1:])
    assert run("b.gif", "-o", "out", "--max_pixels", 32 * 24 * 3) == 1
    assert "b.gif: its 4 pictures have more than 2304 pixels, raise --max_pixels" in capsys.readouterr().err


def test_a_page_that_is_too_small_is_named_by_its_number(run, folder, capsys):
    Image.fromarray(PHOTO).save("b.tif", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    assert run("b.tif", "-o", "out", "--format", "same") == 1
    assert "error: b.tif, picture 2 of 2: 8x8 px is too small" in capsys.readouterr().err


# links and names

def test_links_to_folders_are_followed_once_and_loops_end(folder):
    (folder / "far/deep").mkdir(parents=True)
    write_image(folder / "far/deep/x.png", PHOTO)
    (folder / "in/loop").symlink_to(folder / "in")
    (folder / "in/far").symlink_to(folder / "far")
    (folder / "far/deep/back").symlink_to(folder / "far")
    (folder / "in/self").symlink_to("self")
    (folder / "in/gone.png").symlink_to("nowhere.png")
    made = plan(["in"], "out")
    assert [str(job.source) for job in made.jobs] == ["in/a.png", "in/b.png", "in/c.png", "in/far/deep/x.png"]
    assert made.left_out == "2 links to nothing, or no files"
    for name in ("in/gone.png", "in/self"):
        with pytest.raises(InputError, match=f"{name}: a link to nothing, or no file"):
            plan([name], "out")


@pytest.mark.parametrize("pattern, found", (
    ("in/**/*.png", {"a.png", "b.png", "c.png", "x.png", "y.png"}),
    ("in/**", {"a.png", "b.png", "c.png", "x.png", "y.png"}),
    ("**/x.*", {"x.png"}), ("in/**/deep/**/*.png", {"x.png", "y.png"}), ("in/**/[[]1]/*.png", {"y.png"}),
    ("in/**/[1]/*.png", {"y.png"})))
def test_patterns_for_all_folders_end_in_loops_of_links(folder, pattern, found):
    (folder / "in/deep/[1]").mkdir(parents=True)
    write_image(folder / "in/deep/x.png", PHOTO)
    write_image(folder / "in/deep/[1]/y.png", PHOTO)
    for number in range(3):
        (folder / f"in/deep/up{number}").symlink_to("..")
    (folder / "in/self").symlink_to(folder / "in")
    assert {os.path.basename(name) for name in sources(pattern)} == found


def test_a_folder_that_cannot_be_read_is_named_and_the_rest_is_done(run, folder, monkeypatch, capsys):
    (folder / "in/private").mkdir()
    real = os.scandir

    def refuse(path="."):
        if str(path).endswith("private"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert run("in", "-o", "out") == 1
    shown = capsys.readouterr()
    assert "error: in/private: cannot be read (Permission denied)" in shown.err and "3 of 3 dehazed" in shown.out


def test_names_that_are_no_text_are_done(run, folder):
    name = os.fsdecode(b"in/caf\xe9.png")
    shutil.copy("in/a.png", name)
    assert run("in", "-o", "out", "--report") == 0
    assert os.fsencode("out/caf") + b"\xe9.png" in [b"out/" + name for name in os.listdir(b"out")]
    assert "caf" in (folder / "out/report.html").read_text(encoding="utf-8")


def test_names_with_line_breaks_break_no_line(run, folder, capsys):
    Image.fromarray(PHOTO).save("in/a\nb.gif", save_all=True, append_images=[Image.fromarray(PHOTO[::-1])])
    os.rename("in/a\nb.gif", "a\nb.gif")
    assert run("a\nb.gif", "-o", "x\ny.jpg") == 0
    shown = capsys.readouterr()
    assert "1 of 1 dehazed: x\\ny.jpg\n" in shown.out
    assert "note: a\\nb.gif: only the first of 2 pictures\n" in shown.err
    assert run("a\nb.gif", "-o", "x\ny.jpg") == 0 and "the first is x\\ny.jpg (" in capsys.readouterr().out


def test_names_of_255_bytes_are_done(run, folder):
    for stem in ("x" * 251, "é" * 125 + "x"):
        shutil.copy("in/a.png", f"in/{stem}.png")
    assert run("in", "-o", "out") == 0
    assert sorted(os.listdir("out")) == sorted(os.listdir("in"))


@pytest.mark.parametrize("name", ("trip [2020]", "a[1]", "[x]", "q?"))
def test_brackets_in_the_name_of_a_folder_are_meant_as_such(folder, name):
    os.rename("in", name)
    assert sources(f"{name}/*.png") == [f"{name}/{letter}.png" for letter in "abc"]
    assert sources(f"{folder}/{name}/[ab].png") == [f"{folder}/{name}/{letter}.png" for letter in "ab"]
    os.mkdir("top")
    os.rename(name, f"top/{name}")
    assert sources(f"t*/{name}/*.png") == [f"top/{name}/{letter}.png" for letter in "abc"]
    made = plan([f"top/{name}/*.png"], "out")
    assert [str(job.target) for job in made.jobs] == ["out/a.png", "out/b.png", "out/c.png"]


def test_home_is_found_in_a_configuration_and_after_an_equals_sign(run, folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    (folder / "c.yaml").write_text("output: ~/clear\n")
    assert run("in/a.png", "--config", "c.yaml") == 0 and (folder / "clear/a.png").is_file()
    assert run("~/in/b.png", "--output=~/more") == 0 and (folder / "more/b.png").is_file()


def test_same_format_keeps_transparency_by_another_kind(folder):
    """A BMP that Pillow reads with alpha becomes a PNG: it writes no BMP with alpha."""
    os.mkdir("mixed")
    Image.fromarray(np.dstack([PHOTO, PHOTO[..., :1]])).save("mixed/a.bmp")
    Image.fromarray(PHOTO).save("mixed/b.bmp")
    kept = {str(job.target) for job in plan(["mixed"], "out", same_format=True).jobs}
    alpha = read_header("mixed/a.bmp").has_alpha
    assert kept == {"out/a.png" if alpha else "out/a.bmp", "out/b.bmp"}


def test_an_output_without_transparency_is_refused_before_the_work(folder):
    Image.fromarray(np.dstack([PHOTO, PHOTO[..., :1]])).save("t.png")
    for suffix in (".jpg", ".bmp", ".ppm"):
        with pytest.raises(UsageError, match=f"--output x{suffix}: .* has no transparency, and t.png has"):
            plan(["t.png"], f"x{suffix}")
    assert plan(["in/a.png"], "x.jpg").jobs
