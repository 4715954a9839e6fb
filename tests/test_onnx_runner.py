"""--runtime: infer.py, eval.py and Dehazer on onnxruntime and OpenVINO, from a checkpoint or an ONNX file."""
import importlib
import importlib.util
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from test_infer import make_clip

from src.cli import eval as eval_script
from src.cli import infer
from src.data.images import read_image, write_image
from src.dehaze.dehazer import SHIPPED_CHECKPOINT, Dehazer
from src.errors import InputError, UsageError
from src.export.onnx import checked_model
from src.network.aecrnet import Dehaze
from src.network.checkpoint import load_network
from src.runtime.onnx_runner import OnnxRunner

# after mindspore, which chooses the protobuf implementation that its own message classes need
import onnx  # isort: skip
import onnxruntime  # isort: skip

ROOT = Path(__file__).resolve().parent.parent
RUNTIMES = ("onnxruntime", "openvino")


def photo(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Models of the shipped checkpoint, of open and of fixed size."""
    folder = tmp_path_factory.mktemp("onnx")
    net, _ = load_network(SHIPPED_CHECKPOINT)
    (folder / "open.onnx").write_bytes(checked_model(net, "0" * 64))
    (folder / "fixed.onnx").write_bytes(checked_model(net, "0" * 64, (32, 40)))
    return folder


@pytest.fixture(scope="module")
def restored():
    return Dehazer(runtime="mindspore").dehaze(photo(33, 46))


# results

@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("is_exported", (False, True))
def test_every_runtime_gives_what_mindspore_gives(is_exported, runtime, models, restored):
    dehazer = Dehazer(models / "open.onnx" if is_exported else None, runtime=runtime)
    assert restored.std() > 10
    assert np.abs(dehazer.dehaze(photo(33, 46)).astype(int) - restored).max() <= 1
    assert dehazer.network.description["runtime"].startswith(f"{runtime} ")
    assert dehazer.diagnose([photo(33, 46)]) is None


def test_batches_give_what_single_images_give(models):
    images = [photo(24, 32, seed) for seed in range(3)]
    dehazer = Dehazer(models / "open.onnx", runtime="openvino")
    assert all(np.array_equal(one, dehazer.dehaze(image))
               for image, one in zip(images, dehazer.dehaze_batch(images)))


def test_openvino_takes_little_memory_and_any_order_of_sizes(models):
    """With open sides, its layers would share no memory: at 512x384 the process would have a peak of 960 MB. If each
    size kept its memory, it would be 890."""
    script = f"""
import numpy as np
from src.dehaze.dehazer import Dehazer
from src.evaluate.scores import peak_memory_mb
dehazer = Dehazer({str(models / "open.onnx")!r}, runtime="openvino", work_size=-1)
photos = [np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8) for size in ((64, 48), (384, 512), (512, 384),
          (64, 48), (32, 32), (342, 512), (384, 512), (64, 48))]
first, large, _, second, _, _, again, third = map(dehazer.dehaze, photos)
assert np.array_equal(first, second) and np.array_equal(first, third) and np.array_equal(large, again)
assert first.std() > 10
print(peak_memory_mb())"""
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) < 600


def test_bfloat16_is_close_or_refused(models, restored):
    try:
        dehazer = Dehazer(models / "open.onnx", runtime="openvino", precision="bfloat16")
    except InputError as error:
        assert str(error).startswith("--precision bfloat16: this processor cannot")
        return
    difference = np.abs(dehazer.dehaze(photo(33, 46)).astype(int) - restored)
    assert 0 < difference.mean() < 2
    assert dehazer.network.description["runtime"].endswith(" on CPU in bfloat16")


def test_half_is_close_and_half_the_size(models, restored, tmp_path):
    net, _ = load_network(SHIPPED_CHECKPOINT)
    (tmp_path / "half.onnx").write_bytes(checked_model(net, "0" * 64, half=True))
    assert (tmp_path / "half.onnx").stat().st_size < 0.55 * (models / "open.onnx").stat().st_size
    for runtime in RUNTIMES:
        result = Dehazer(tmp_path / "half.onnx", runtime=runtime).dehaze(photo(33, 46))
        assert np.abs(result.astype(int) - restored).mean() < 1


@pytest.mark.slow
def test_infer_runs_photos_videos_tiles_ensemble_and_report_on_a_runtime(models, tmp_path, capsys):
    write_image(tmp_path / "a.png", photo(40, 90))
    make_clip(tmp_path / "clip.mp4", frames=2)
    inputs = [str(tmp_path / "a.png"), str(tmp_path / "clip.mp4")]
    flags = ["--tile", "48", "--overlap", "16", "--self_ensemble", "--report"]
    assert infer.main([*inputs, *flags, "-o", str(tmp_path / "out"), "--ckpt_path", str(models / "open.onnx"),
                       "--runtime", "openvino"]) == 0
    shown = capsys.readouterr().out
    assert "computed by openvino 20" in shown and "clip.mp4: 2 frames of 64x48" in shown
    expected = Dehazer(models / "open.onnx", tile=48, overlap=16, self_ensemble=True, runtime="onnxruntime").dehaze(
        photo(40, 90))
    assert np.abs(read_image(tmp_path / "out/a.png").astype(int) - expected).max() <= 1
    assert "openvino 20" in (tmp_path / "out/report.html").read_text()


@pytest.mark.slow
def test_eval_scores_on_a_runtime(models, tmp_path):
    for folder in ("hazy", "GT"):
        (tmp_path / folder).mkdir()
        write_image(tmp_path / folder / "a.png", photo(30, 40))
    assert eval_script.main(["--dir_data", str(tmp_path), "--data_test", "Pairs", "--output_dir", str(tmp_path / "out"),
                             "--ckpt_path", str(models / "fixed.onnx"), "--runtime", "onnxruntime"]) == 0
    assert '"runtime": "onnxruntime ' in (tmp_path / "out/summary.json").read_text()


@pytest.mark.slow
def test_an_onnx_file_needs_no_mindspore(models, tmp_path):
    (tmp_path / "mindspore.py").write_text("raise SystemExit('mindspore was imported')")
    write_image(tmp_path / "a.png", photo(24, 32))
    done = subprocess.run(
        [sys.executable, str(ROOT / "infer.py"), str(tmp_path / "a.png"), "-o", str(tmp_path / "b.png"), "--ckpt_path",
         str(models / "open.onnx"), "--runtime", "onnxruntime"], capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert read_image(tmp_path / "b.png").shape == (24, 32, 3)


@pytest.mark.parametrize("taken, device", (
    (["CUDAExecutionProvider", "CPUExecutionProvider"], "CUDA"), (["CPUExecutionProvider"], "CPU")))
def test_onnxruntime_is_offered_the_best_device_and_says_which_it_took(taken, device, models, monkeypatch):
    class Session(onnxruntime.InferenceSession):
        def __init__(self, model, settings, providers):
            offered.append(providers)
            super().__init__(model, settings, providers=["CPUExecutionProvider"])

        def get_providers(self):
            return taken

    offered = []
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [
        "AzureExecutionProvider", "CPUExecutionProvider", "CUDAExecutionProvider"])
    runner = OnnxRunner(models / "open.onnx", "onnxruntime")
    assert offered == [["CUDAExecutionProvider", "CPUExecutionProvider"]]
    assert runner.description["runtime"].endswith(f" on {device}")


# mistakes

def foreign_model(shape=(1, 3, "h", "w"), **metadata):
    end = [onnx.helper.make_tensor_value_info(name, 1, shape) for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "other", end[:1], end[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.helper.set_model_props(model, metadata)
    return model.SerializeToString()


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("content, text", (
    (lambda whole: whole[:-5000], "cannot read it, damaged or no ONNX model"),
    (lambda whole: b"", "the file is empty"),
    (lambda whole: foreign_model(shape=None), ""),
    (lambda whole: foreign_model(), "not a model that this export.py wrote"),
    (lambda whole: foreign_model(arch="paper"), "not a model that this export.py wrote"),
    (lambda whole: foreign_model(format="2"), "not a model that this export.py wrote")))
def test_a_file_that_cannot_be_used_is_named(content, text, runtime, models, tmp_path):
    (tmp_path / "m.onnx").write_bytes(content((models / "open.onnx").read_bytes()))
    with pytest.raises(InputError, match=f"m.onnx: .*{text}") as caught:
        Dehazer(tmp_path / "m.onnx", runtime=runtime)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_an_operator_that_a_runtime_lacks_is_named_with_the_way_out(models, monkeypatch):
    class Core:
        def read_model(self, model):
            raise RuntimeError("No conversion rule found for operations: DeformConv-19")

    older = types.ModuleType("openvino")
    older.Core, older.__version__ = Core, "2024.6.0-1"
    monkeypatch.setitem(sys.modules, "openvino", older)
    with pytest.raises(InputError, match="open.onnx: OpenVINO 2024.6.0 .*DeformConv.* --onnx_dcn gather"):
        OnnxRunner(models / "open.onnx", "openvino")


def test_a_processor_without_float16_is_said(monkeypatch):
    def refuse(*arguments, **settings):
        raise RuntimeError("[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : Could not find an implementation for Conv(11)")

    half = checked_model(Dehaze("paper").set_train(False), "0" * 64, half=True)
    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    with pytest.raises(InputError, match="m.onnx: onnxruntime .* float16 .*--half"):
        OnnxRunner("m.onnx", model=half)


def test_a_photo_larger_than_a_model_of_one_small_size_is_named_with_the_way_out(models):
    with pytest.raises(InputError, match="64x64 .*40x32.*export"):
        Dehazer(models / "fixed.onnx", runtime="onnxruntime").dehaze(photo(64, 64))


def test_a_model_that_fails_while_it_runs_is_named(models):
    runner = OnnxRunner(models / "open.onnx", "onnxruntime")
    with pytest.raises(InputError, match=r"open.onnx: onnxruntime .* on CPU fails at 40x32 \(.*--tile"):
        runner(np.zeros((1, 2, 32, 40), np.float32))  # a colour is missing


@pytest.mark.parametrize("flags, text", (
    (["--ckpt_path", "open.onnx", "--runtime", "mindspore"],
     "--ckpt_path open.onnx: MindSpore reads no ONNX; add --runtime onnxruntime"),
    (["--precision", "bfloat16", "--runtime", "mindspore"],
     "--precision bfloat16: needs --runtime openvino, not mindspore"),
    (["--precision", "bfloat16", "--runtime", "onnxruntime"], "--precision bfloat16: needs --runtime openvino"),
    (["--device_target", "GPU", "--runtime", "openvino"], "--device_target GPU: is for MindSpore; leave it out with"),
    (["--dcn_backend", "gather", "--runtime", "openvino"], "--dcn_backend gather: is for MindSpore; leave it out with"),
    (["--ckpt_path", "open.onnx", "--runtime", "openvino", "--raw_weights"], "--raw_weights: an exported model holds"),
    (["--runtime", "torch"], "--runtime: invalid choice: 'torch'")))
def test_flags_that_do_not_go_together_are_named(flags, text, models, monkeypatch):
    monkeypatch.chdir(models)
    with pytest.raises(UsageError, match=text):
        infer.main(["a.png", *flags])


def test_a_mindir_and_another_runtime_do_not_go_together():
    with pytest.raises(UsageError, match="--runtime openvino: reads no MINDIR; leave out --mindir_path"):
        eval_script.main(["--mindir_path", "m.mindir", "--runtime", "openvino"])


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_is_not_installed_is_named(runtime, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    text = f"--runtime {runtime}: needs {runtime}, which is not installed; pip install {runtime}"
    with pytest.raises(InputError, match=text):
        infer.main(["a.png", "--runtime", runtime])


def test_a_runtime_that_does_not_start_is_named(models, monkeypatch):
    def broken(name):
        raise ImportError("libcudart.so.12: cannot open shared object file")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(InputError, match="--runtime onnxruntime: cannot start .libcudart.so.12: .*; install it anew"):
        OnnxRunner(models / "open.onnx")
