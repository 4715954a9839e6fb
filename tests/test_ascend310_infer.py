"""The C++ program passes its own tests under sanitizers, and gives the results of infer.py's code on real files."""
import os
import resource
import shutil
import subprocess
from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest
from PIL import Image

import lite_tools
import needs
from golden.seeded import image, seeded
from lite_tools import FOLDER
from mutated import originals, write_mutated
from src.data.images import read_image
from src.data.reading import read_photo
from src.data.writing import write_photo
from src.dehaze.dehazer import Dehazer
from src.export.lite import rewrite_for_lite20
from src.export.mindir import write_model
from src.network.aecrnet import Dehaze
from src.network.checkpoint import describe, load_network, save_checkpoint
from src.runtime.mindir_runner import MindirRunner
from src.runtime.sidecar import write_sidecar

pytestmark = pytest.mark.slow

FIXED = (64, 80)

lite = lite_tools.lite  # the fixture


def photo(seed, height, width):
    return (image(seed, (1, 3, height, width), 255.0)[0].transpose(1, 2, 0)).astype(np.uint8)


def run(lite, *arguments, code=0):
    done = subprocess.run([str(lite.infer), *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """arch -> checkpoint, Lite models of open and fixed size, and the open model as MindSpore 2.8 wrote it."""
    folder = tmp_path_factory.mktemp("models")
    made = {}
    for arch in ("gitee", "paper"):
        net = Dehaze(arch)
        for parameter in net.trainable_params():
            if not parameter.name.endswith(".w"):
                parameter.set_data(ms.Tensor(seeded(parameter.name, parameter.shape, 0.7)))
        net.set_train(False)
        checkpoint = folder / f"{arch}.ckpt"
        save_checkpoint(checkpoint, net.parameters_dict(), describe(net))
        paths = {}
        for name, size in (("open", None), ("fixed", FIXED)):
            original, paths[name] = folder / f"{arch}_{name}.mindir", folder / f"{arch}_{name}_lite20.mindir"
            write_model(net, original, "MINDIR", size)
            rewrite_for_lite20(original, paths[name])
            write_sidecar(paths[name], arch, size)
        made[arch] = SimpleNamespace(checkpoint=checkpoint, original=folder / f"{arch}_open.mindir", **paths)
    return made


@pytest.fixture(scope="module")
def sanitized():
    """The output of the GoogleTest tests, which are built with sanitizers. `run_same` is built beside them."""
    needs.need(needs.CPP)
    done = subprocess.run(["bash", str(FOLDER / "build.sh"), "--sanitize"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_googletests_pass_under_sanitizers(sanitized):
    assert "[  PASSED  ]" in sanitized


def test_damaged_photos_under_sanitizers(sanitized, tmp_path):
    """Each PNG and JPEG of tests/test_odd_photos.py is dehazed or named in one line. The results are right."""
    (tmp_path / "in").mkdir()
    (tmp_path / "m.mindir").write_bytes(b"a model")
    write_sidecar(tmp_path / "m.mindir", "gitee", None)
    odd = write_mutated(tmp_path / "in", 250, (".png", ".jpg"))
    whole = {name: data for name, data in originals().items() if name.endswith((".png", ".jpg"))}
    good = [tmp_path / "in" / f"whole_{name.replace('.', '_')}{name[-4:]}" for name in whole]
    for path, data in zip(good, whole.values()):
        path.write_bytes(data)
    assert len(odd) == 2000
    done = subprocess.run(
        [FOLDER / "build_sanitize/run_same", "--model_path", tmp_path / "m.mindir", "--input", tmp_path / "in",
         "--output", tmp_path / "out"], capture_output=True, text=True)
    failed = [path for path in odd + good if not (tmp_path / "out" / f"{path.stem}.png").is_file()]
    assert done.returncode == 1 and not set(failed) & set(good), done.stderr[-4000:]
    errors = done.stderr.splitlines()
    assert [line.split(": ")[:2] for line in errors] == [["error", str(path)] for path in sorted(failed)]
    assert len(odd) / 10 < len(failed) < len(odd) * 9 / 10
    for path in good:
        restored = read_image(tmp_path / "out" / f"{path.stem}.png")
        assert np.array_equal(restored, read_image(path)), path.name


def test_a_wheel_of_another_sha256_is_refused_and_not_kept(tmp_path):
    wheel = "mindspore_lite-2.0.0-cp37-cp37m-manylinux1_x86_64.whl"
    python = tmp_path / "python"
    python.write_text(f'#!/bin/bash\nwhile [ "$1" != --dest ]; do shift; done\necho other > "$2/{wheel}"\n')
    python.chmod(0o755)
    done = subprocess.run(["bash", str(FOLDER / "fetch_lite.sh")], capture_output=True, text=True,
                          env={**os.environ, "PYTHON": str(python), "MSLITE_CACHE": str(tmp_path / "cache")})
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith(f"error: fetch_lite.sh: {wheel} has another sha256 than 199cd060")
    assert list((tmp_path / "cache").iterdir()) == []


def test_build_uses_the_lite_it_is_given_and_none_of_a_former_build(lite, tmp_path):
    def configure(root):
        return subprocess.run(["cmake", "-S", str(FOLDER), "-B", str(tmp_path), f"-DMSLITE_ROOT={root}"],
                              capture_output=True, text=True)

    root = subprocess.run(["bash", str(FOLDER / "fetch_lite.sh")], capture_output=True, text=True).stdout.strip()
    assert configure(os.environ.get("MSLITE_ROOT", root)).returncode == 0
    other = configure("/none")
    assert other.returncode != 0 and "MSLITE_ROOT=/none: no include/api/model.h" in other.stderr


@pytest.mark.parametrize("arch", ["gitee", "paper"])
@pytest.mark.parametrize("size", ["open", "fixed"])
def test_result_is_that_of_infer(arch, size, models, lite, tmp_path):
    (tmp_path / "in").mkdir()
    sizes = [(63, 78), (64, 80), (61, 77)] + [(16, 33), (90, 50)] * (size == "open")
    for i, (height, width) in enumerate(sizes):
        Image.fromarray(photo(i, height, width)).save(tmp_path / f"in/{i}.png")
    run(lite, "--model_path", getattr(models[arch], size), "--input", tmp_path / "in", "--output", tmp_path / "out")
    dehazer = Dehazer(models[arch].checkpoint)
    for i in range(len(sizes)):
        expected = dehazer.dehaze(tmp_path / f"in/{i}.png").astype(int)
        result = np.asarray(Image.open(tmp_path / f"out/{i}.png")).astype(int)
        assert expected.std() > 2
        difference = np.abs(result - expected)
        assert difference.max() <= 1 and difference.mean() <= 1e-3


@pytest.mark.parametrize("tile, overlap", [(148, 32), (160, 0)])
def test_tiled_result_is_that_of_infer(tile, overlap, models, lite, tmp_path):
    Image.fromarray(photo(3, 170, 261)).save(tmp_path / "photo.png")
    run(lite, "--model_path", models["paper"].open, "--input", tmp_path / "photo.png", "--output", tmp_path / "out",
        "--tile", tile, "--overlap", overlap)
    expected = Dehazer(models["paper"].checkpoint, tile=tile, overlap=overlap).dehaze(tmp_path / "photo.png")
    difference = np.abs(np.asarray(Image.open(tmp_path / "out/photo.png")).astype(int) - expected)
    assert difference.max() <= 1 and difference.mean() <= 1e-3


def smooth_photo(seed, height, width, dtype=np.uint8):
    """Colours that vary as in a photo, with fine texture, in all bits of the type."""
    rng, top = np.random.default_rng(seed), np.iinfo(dtype).max
    coarse = Image.fromarray(rng.integers(40, 200, (6, 8, 3)).astype(np.uint8)).resize((width, height), Image.BICUBIC)
    return (np.clip(np.asarray(coarse) + rng.normal(0, 6, (height, width, 3)), 0, 255) / 255 * top).astype(dtype)


def write_png(path, pixels):
    import cv2

    assert cv2.imwrite(str(path), pixels[..., ::-1])


def read_png(path):
    import cv2

    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., ::-1]


@pytest.mark.parametrize("work_size, strength, size, dtype", [
    (0, 1.0, (1000, 1210), np.uint8), (96, 1.0, (300, 402), np.uint16), (64, 0.4, (128, 96), np.uint16),
    (64, 1.0, (128, 90), np.uint8), (256, 0.4, (70, 600), np.uint8)])
def test_local_colour_map_is_that_of_infer(work_size, strength, size, dtype, models, lite, tmp_path):
    pixels = smooth_photo(work_size, *size, dtype)
    write_png(tmp_path / "photo.png", pixels)
    run(lite, "--model_path", models["paper"].open, "--input", tmp_path / "photo.png", "--output", tmp_path / "out",
        "--work_size", work_size, "--strength", strength)
    expected = Dehazer(models["paper"].checkpoint, work_size=work_size, strength=strength).dehaze(pixels)
    result = read_png(tmp_path / "out/photo.png")
    assert result.dtype == expected.dtype == dtype
    difference = np.abs(result.astype(int) - expected)
    level = np.iinfo(dtype).max / 255
    assert np.abs(expected.astype(int) - pixels).mean() > 2 * level
    assert difference.max() <= level and difference.mean() <= 1e-2 * level


@pytest.fixture(scope="module")
def one_size(models, tmp_path_factory):
    """A model of one size for Lite, and the same model in MindSpore."""
    net, _ = load_network(models["paper"].checkpoint)
    folder, mode = tmp_path_factory.mktemp("one_size"), ms.get_context("mode")
    write_model(net, folder / "one.mindir", "MINDIR", (148, 160))
    rewrite_for_lite20(folder / "one.mindir", folder / "lite.mindir")
    write_sidecar(folder / "lite.mindir", "paper", (148, 160))
    runner = MindirRunner(folder / "one.mindir")
    ms.set_context(mode=mode)
    return folder / "lite.mindir", runner


@pytest.mark.parametrize("work_size", [0, -1])
def test_model_of_one_size_takes_larger_photos_as_in_python(work_size, one_size, lite, tmp_path, mode_kept):
    rewritten, runner = one_size
    dehazer = Dehazer(network=runner, overlap=32, work_size=work_size)
    for size in ((61, 98), (170, 261), (150, 90)):
        Image.fromarray(smooth_photo(3, *size)).save(tmp_path / "photo.png")
        run(lite, "--model_path", rewritten, "--input", tmp_path / "photo.png", "--output", tmp_path / "out",
            "--overlap", 32, "--work_size", work_size)
        result = np.asarray(Image.open(tmp_path / "out/photo.png")).astype(int)
        difference = np.abs(result - dehazer.dehaze(tmp_path / "photo.png"))
        assert difference.max() <= 1 and difference.mean() <= 1e-2


class Same(ms.nn.Cell):
    """Returns its input. It does so by a convolution, because the network starts with one."""

    def __init__(self):
        super().__init__()
        unit = np.eye(3, dtype=np.float32)[..., None, None]
        self.conv = ms.nn.Conv2d(3, 3, 1, weight_init=ms.Tensor(unit))

    def construct(self, x):
        return self.conv(x)


@pytest.fixture(scope="module")
def same_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("same")
    ms.export(Same(), ms.Tensor(shape=[1, 3, None, None], dtype=ms.float32), file_name=str(folder / "same"),
              file_format="MINDIR")
    rewrite_for_lite20(folder / "same.mindir", folder / "lite.mindir")
    write_sidecar(folder / "lite.mindir", "gitee", None)
    return folder / "lite.mindir"


def save_all_formats(folder):
    """Photos in all common forms of PNG and JPEG."""
    rgb = Image.fromarray(photo(1, 37, 50))
    grey, alpha = rgb.convert("L"), Image.fromarray(photo(2, 37, 50)[..., 0])
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        rgb.save(folder / f"exif{orientation}.jpg", exif=exif, quality=90)
        rgb.save(folder / f"exif{orientation}_.png", exif=exif)
    for subsampling in (0, 1, 2):
        rgb.save(folder / f"subsampling{subsampling}.jpeg", subsampling=subsampling, quality=60)
    rgb.save(folder / "progressive.jpg", progressive=True)
    rgb.save(folder / "profile.jpg", icc_profile=b"x" * 200)  # too short for a profile; libpng ignores it
    grey.save(folder / "grey_jpeg.jpg")
    rgb.convert("CMYK").save(folder / "cmyk.jpg")
    rgb.convert("1").save(folder / "black_white.png")
    grey.save(folder / "grey.png")
    grey.point(lambda v: v // 85 * 85).convert("P", palette=Image.Palette.ADAPTIVE).save(folder / "palette.png", bits=2)
    grey.save(folder / "grey_transparent.png", transparency=int(np.asarray(grey)[5, 5]))
    rgb.save(folder / "rgb_transparent.png", transparency=rgb.getpixel((7, 3)))
    rgb.convert("P", palette=Image.Palette.ADAPTIVE).save(folder / "palette_transparent.png", transparency=3)
    Image.merge("LA", (grey, alpha)).save(folder / "grey_alpha.png")
    rgba = rgb.copy()
    rgba.putalpha(alpha)
    rgba.save(folder / "alpha.png")


def test_every_png_and_jpeg_is_read_and_written_as_infer_does(same_model, lite, tmp_path):
    (tmp_path / "in").mkdir()
    save_all_formats(tmp_path / "in")
    run(lite, "--model_path", same_model, "--input", tmp_path / "in", "--output", tmp_path / "out")
    sources = sorted((tmp_path / "in").iterdir())
    assert len(sources) == len(list((tmp_path / "out").iterdir())) == 31
    for source in sources:
        write_photo(tmp_path / "expected.png", read_photo(source))
        expected, result = Image.open(tmp_path / "expected.png"), Image.open(tmp_path / f"out/{source.stem}.png")
        assert result.mode == expected.mode, source.name
        assert np.array_equal(np.asarray(result), np.asarray(expected)), source.name


def test_16_bit_grey_and_alpha_stay_as_they_are(same_model, lite, tmp_path):
    import cv2

    deep = np.random.default_rng(1).integers(0, 65536, (40, 50, 4)).astype(np.uint16)
    for name, pixels in (("grey.png", deep[..., 0]), ("alpha.png", deep)):
        cv2.imwrite(str(tmp_path / name), pixels)
        run(lite, "--model_path", same_model, "--input", tmp_path / name, "--output", tmp_path / "out")
        assert np.array_equal(cv2.imread(str(tmp_path / "out" / name), cv2.IMREAD_UNCHANGED), pixels)


def test_colour_profile_is_kept(same_model, lite, tmp_path):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name in ("photo.jpg", "image.png"):
        Image.fromarray(photo(1, 20, 24)).save(tmp_path / name, icc_profile=profile)
        run(lite, "--model_path", same_model, "--input", tmp_path / name, "--output", tmp_path / "out")
        assert Image.open(tmp_path / f"out/{name[:-4]}.png").info["icc_profile"] == profile


def the_error(done):
    """The one line that the program printed on stderr."""
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), done.stderr
    return lines[0]


def test_broken_jpeg_is_named_and_the_others_are_done(same_model, lite, tmp_path):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        Image.fromarray(photo(1, 30, 40)).save(tmp_path / name)
    os.truncate(tmp_path / "b.jpg", 700)
    done = run(lite, "--model_path", same_model, "--input", tmp_path, "--output", tmp_path / "out", code=1)
    assert the_error(done).startswith(f"error: {tmp_path}/b.jpg: broken JPEG: ")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]


def copy_model(source, folder):
    for suffix in (".mindir", ".json"):
        shutil.copy(source.with_suffix(suffix), folder / f"model{suffix}")
    return folder / "model.mindir"


def test_unusable_models_are_named_with_the_remedy(models, same_model, lite, tmp_path):
    Image.fromarray(photo(1, 30, 40)).save(tmp_path / "a.png")
    rest = ("--input", tmp_path / "a.png", "--output", tmp_path / "out")

    missing = run(lite, "--model_path", tmp_path / "none.mindir", *rest, code=1)
    assert the_error(missing).startswith(f"error: {tmp_path}/none.mindir: ") and "export.py" in the_error(missing)

    new = the_error(run(lite, "--model_path", models["paper"].original, *rest, code=1))
    assert "is MINDIR version 3, too new for this MindSpore Lite: write one for it with export.py --lite2" in new

    path = copy_model(same_model, tmp_path)
    os.truncate(path, path.stat().st_size - 50)
    assert "model.mindir: truncated, or not the model" in the_error(run(lite, "--model_path", path, *rest, code=1))
    write_sidecar(path, "gitee", None)  # a model that was cut before its description was written
    assert "model.mindir: MindSpore Lite cannot load it" in the_error(run(lite, "--model_path", path, *rest, code=1))

    path = copy_model(same_model, tmp_path)
    write_sidecar(path, "gitee", (64, 64))
    other = the_error(run(lite, "--model_path", path, *rest, code=1))
    assert "its input is not the float32 1x3x64x64 \"x\" that" in other


def test_ascend_without_a_card_says_so(models, lite, tmp_path):
    if os.path.exists("/dev/davinci0"):
        pytest.skip("there is an Ascend card")
    Image.fromarray(photo(1, 30, 40)).save(tmp_path / "a.png")
    rest = ("--input", tmp_path / "a.png", "--output", tmp_path / "out", "--device_target", "Ascend310")
    done = run(lite, "--model_path", models["paper"].fixed, *rest, code=1)
    assert "/dev/davinci0" in the_error(done)
    done = run(lite, "--model_path", models["paper"].open, *rest, code=1)
    assert "has an open size, Ascend310 needs a fixed one" in the_error(done)


def test_image_larger_than_a_small_fixed_model_is_named(models, lite, tmp_path):
    Image.fromarray(photo(1, 90, 40)).save(tmp_path / "a.png")
    done = run(lite, "--model_path", models["paper"].fixed, "--input", tmp_path / "a.png",
               "--output", tmp_path / "out", "--work_size", -1, code=1)
    assert "a.png: image of 40x90 is larger than the model's 80x64, which is too small for tiles" in the_error(done)


def test_benchmark_reports_latency_and_memory(same_model, lite, tmp_path):
    Image.fromarray(photo(1, 30, 40)).save(tmp_path / "a.png")
    done = run(lite, "--model_path", same_model, "--input", tmp_path / "a.png", "--benchmark", "--threads", 1)
    assert "latency ms: images 1 runs 10 mean " in done.stdout
    peak = float(done.stdout.split("peak memory MiB: ")[1])
    assert 10 < peak < resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # not this process's peak
    assert done.stderr == ""


def run_script(*arguments, code=0, **variables):
    script = FOLDER.parent / "scripts" / "run_infer_310.sh"
    done = subprocess.run(["bash", str(script), *map(str, arguments)], capture_output=True, text=True,
                          env={**os.environ, **{key: str(value) for key, value in variables.items()}})
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_script_runs_and_scores_a_test_set(models, lite, tmp_path):
    from src.evaluate.metrics import psnr, ssim

    for folder in ("hazy", "GT"):
        (tmp_path / "set" / folder).mkdir(parents=True)
    for name in ("1400_1", "1401_2"):
        Image.fromarray(photo(1, 40, 44)).save(tmp_path / f"set/hazy/{name}.png")
        Image.fromarray(photo(2, 40, 44)).save(tmp_path / f"set/GT/{name[:4]}.png")
    done = run_script(models["paper"].open, tmp_path / "set", "CPU", OUTPUT=tmp_path / "out")
    restored = np.asarray(Image.open(tmp_path / "out/images/1400_1.png"))
    assert f"{psnr(restored, photo(2, 40, 44)):15.2f}{ssim(restored, photo(2, 40, 44)):15.4f}" in done.stdout
    assert "2 images; details in " in done.stdout and (tmp_path / "out/metrics.csv").is_file()

    done = run_script(models["paper"].open, tmp_path / "set", "Ascend310", code=1, OUTPUT=tmp_path / "none")
    assert "has an open size" in the_error(done)  # and no line for each missing image

    (tmp_path / "set/GT/1401.png").unlink()
    done = run_script(models["paper"].open, tmp_path / "set", code=1, OUTPUT=tmp_path / "out")
    assert f"{tmp_path}/set/hazy/1401_2.png: no ground truth" in done.stderr
    assert "1 images; details in " in done.stdout


def test_script_names_wrong_arguments(models, lite, tmp_path):
    assert "found 0 arguments" in run_script(code=2).stderr
    assert "DATA_PATH /none: no such file or folder" in run_script("m.mindir", "/none", code=1).stderr
    done = run_script("/none.mindir", tmp_path, code=1, OUTPUT=tmp_path / "out")
    assert "MINDIR_PATH /none.mindir: no such file" in done.stderr
    Image.fromarray(photo(1, 30, 40)).save(tmp_path / "a.png")
    done = run_script(models["paper"].open, tmp_path / "a.png", "GPU", code=2, OUTPUT=tmp_path / "out")
    assert "--device_target: must be CPU or Ascend310, not GPU" in done.stderr
    done = run_script(models["paper"].open, tmp_path / "a.png", OUTPUT=tmp_path / "out")
    assert "no ground truth found, not scored" in done.stdout and (tmp_path / "out/images/a.png").is_file()
