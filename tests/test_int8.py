"""--precision int8: the graph, the ranges that it needs, and the script that measures them."""
import functools
import json
import shutil
import sys

import calibrate_int8
import numpy as np
import pytest

from src.data.images import write_image
from src.dehaze.dehazer import BENCHMARK_CHECKPOINT, SHIPPED_CHECKPOINT, Dehazer
from src.errors import InputError, UsageError
from src.network.weights import load_weights
from src.runtime.onnx_int8 import (
    QUANTIZED,
    Int8Graph,
    ranges_path,
    read_ranges,
    rounded_weight,
    steps,
    write_ranges,
)
from src.runtime.onnx_model import onnx_model
from src.runtime.onnx_runner import OnnxRunner, import_runtime
from src.runtime.opening import NetworkChoice
from src.spec import PASSES

RANGES = {name: [(-1.0, 2.0)] * PASSES for name in QUANTIZED}


@pytest.fixture
def checkpoint(tmp_path):
    """A file that is looked at as bytes alone."""
    (tmp_path / "a.ckpt").write_bytes(b"weights")
    return tmp_path / "a.ckpt"


def test_steps_cover_the_range_and_hold_zero_exactly():
    step, zero = steps(-1.0, 2.0)
    assert (step, zero) == (np.float32(3 / 255), 85)
    assert steps(0.5, 2.55) == (np.float32(0.01), 0) and steps(0.0, 0.0) == (1.0, 0)


def test_weights_are_rounded_by_at_most_half_a_step_of_their_channel():
    weight = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
    weight[1] *= 100
    weight[2] = 0
    rounded, sizes = rounded_weight(weight)
    assert rounded.dtype == np.int8 and np.abs(rounded).reshape(4, -1).max(1).tolist() == [127, 127, 0, 127]
    difference = np.abs(rounded * sizes[:, None, None, None] - weight).reshape(4, -1).max(1)
    assert (difference <= sizes * 0.501).all()


@pytest.mark.parametrize("path", [SHIPPED_CHECKPOINT, BENCHMARK_CHECKPOINT])
def test_the_ranges_beside_a_shipped_checkpoint_are_its_own(path):
    ranges = read_ranges(path)
    assert all(low < 0.5 < high for passes in ranges.values() for low, high in passes)


def test_the_network_in_int8_is_close_to_that_in_float():
    onnx = pytest.importorskip("onnx")
    weights, description = load_weights(BENCHMARK_CHECKPOINT)
    new_graph = functools.partial(Int8Graph, ranges=read_ranges(BENCHMARK_CHECKPOINT))
    models = [onnx_model(weights, description["arch"], "exact", "0" * 64, **more)
              for more in ({}, {"new_graph": new_graph})]
    onnx.checker.check_model(models[1], full_check=True)
    assert sum(node.op_type == "QuantizeLinear" for node in onnx.load_from_string(models[1]).graph.node) == 12
    x = np.random.default_rng(0).random((1, 3, 32, 44), np.float32)
    exact, rounded = (OnnxRunner("model", model=model)(x) for model in models)
    assert 0 < np.abs(exact - rounded).mean() < 0.02


def test_openvino_names_int8_and_computes_nearly_the_same():
    pytest.importorskip("openvino")
    image = np.random.default_rng(0).integers(0, 256, (32, 44, 3), np.uint8)
    dehazer = Dehazer(BENCHMARK_CHECKPOINT, runtime="openvino", precision="int8")
    assert " on CPU in int8 and " in dehazer.network.description["runtime"]
    exact = Dehazer(BENCHMARK_CHECKPOINT, runtime="openvino").dehaze(image)
    assert 0 < np.abs(dehazer.dehaze(image).astype(int) - exact).mean() < 5


def test_ranges_are_read_as_they_were_written(checkpoint):
    assert write_ranges(checkpoint, RANGES, 3) == ranges_path(checkpoint)
    assert read_ranges(checkpoint) == RANGES


@pytest.mark.parametrize("content, text", [
    (None, "--precision int8: needs .*a.int8.json, which is not there; python scripts/calibrate_int8.py .* writes it"),
    ("{", "a.int8.json: cannot be read as ranges"), ("[]", "a.int8.json: cannot be read as ranges"),
    (json.dumps({"checkpoint_sha256": "", "ranges": {**RANGES, QUANTIZED[0]: [[0, 1]]}}), "needs 6 ranges"),
    (json.dumps({"checkpoint_sha256": "", "ranges": {**RANGES, QUANTIZED[0]: [[2, 1]] * 6}}), "two rising numbers"),
    (json.dumps({"checkpoint_sha256": "", "ranges": RANGES}), "holds the ranges of another checkpoint")],
    ids=["missing", "no JSON", "a list", "too few", "falling", "another"])
def test_ranges_that_do_not_fit_are_one_line(checkpoint, content, text):
    if content is not None:
        ranges_path(checkpoint).write_text(content)
    with pytest.raises(InputError, match=text) as caught:
        read_ranges(checkpoint)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path, flags, error, text", [
    ("a.onnx", {}, UsageError, "--precision int8: needs a checkpoint, not the ONNX file"),
    ("a.ckpt", {"raw_weights": True}, UsageError, "--raw_weights: does not go with --precision int8"),
    ("a.ckpt", {"runtime": "onnxruntime"}, UsageError, "--precision int8: needs --runtime openvino"),
    ("a.ckpt", {}, InputError, "--precision int8: needs .*a.int8.json")])
def test_what_does_not_go_with_int8_is_said_before_a_runtime_starts(checkpoint, path, flags, error, text):
    with pytest.raises(error, match=text):
        NetworkChoice(checkpoint.with_name(path), precision="int8", **flags).check()


def test_the_script_measures_ranges_that_hold_the_values(tmp_path, capsys):
    shutil.copy(BENCHMARK_CHECKPOINT, tmp_path / "my.ckpt")
    write_image(tmp_path / "hazy.png", np.random.default_rng(0).integers(0, 256, (32, 44, 3), np.uint8))
    assert calibrate_int8.main([str(tmp_path / "my.ckpt"), str(tmp_path)]) == 0
    assert "my.int8.json: ranges from 1 photos" in capsys.readouterr().out
    ranges = read_ranges(tmp_path / "my.ckpt")
    assert ranges["block.conv1"][0][0] == 0 and all(high > 0.5 for passes in ranges.values() for _, high in passes)


def test_the_script_says_that_no_photo_is_there(tmp_path):
    with pytest.raises(InputError, match="no photo is there"):
        calibrate_int8.main([str(BENCHMARK_CHECKPOINT), str(tmp_path)])


def test_openvino_is_imported_without_its_telemetry(monkeypatch):
    seen = []
    monkeypatch.delitem(sys.modules, "openvino", raising=False)
    monkeypatch.setitem(sys.modules, "openvino_telemetry", "as it was")
    monkeypatch.setattr("importlib.import_module", lambda name: seen.append((name, sys.modules["openvino_telemetry"])))
    import_runtime("openvino")
    assert seen == [("openvino", None)] and sys.modules["openvino_telemetry"] == "as it was"
