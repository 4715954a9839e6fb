"""export.py --file_format ONNX writes a graph that computes what the checkpoint computes, on any runtime."""
import hashlib
import importlib.util

import cv2
import numpy as np
import pytest
from mindspore import Tensor, ops
from test_export_graph import FORMS, seeded_network

import benchmark_runtimes
from golden.seeded import image
from src.cli import export
from src.errors import InputError
from src.export import comparison
from src.export import onnx as onnx_export
from src.export.onnx import checked_model
from src.network.aecrnet import Dehaze
from src.network.checkpoint import load_network
from src.network.dcn import DeformConv2d
from src.runtime.onnx_dcn import deform_conv
from src.runtime.onnx_model import IR_VERSION, OPSET
from src.runtime.onnx_nodes import Graph, model_content
from src.runtime.onnx_runner import OnnxRunner
from src.spec import VALUE_RANGE

# after mindspore, which chooses the protobuf implementation that its own message classes need
import onnx  # isort: skip
import onnxruntime  # isort: skip


def run_deform_conv(layer, x, offset, mask, dcn="gather"):
    g = Graph({}, np.dtype(np.float32))
    weight, sides = layer.conv.weight.asnumpy(), x.shape[2:]
    out = deform_conv(g, "x", "offset", "mask", weight, None, layer.sampling, dcn)
    feeds = {"x": x, "offset": offset, "mask": mask}
    ends = {name: [*value.shape[:2], "h", "w"] for name, value in feeds.items()}
    model = model_content(g.content("dcn", ends, {out: [1, len(weight), *sides]}), OPSET, IR_VERSION)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0]


HAS_DEFORM_CONV = tuple(map(int, onnxruntime.__version__.split(".")[:2])) >= (1, 25)  # needs Python 3.11


@pytest.mark.parametrize("sampling, dcn", [
    ("exact", "gather"), ("gitee", "gather"),
    pytest.param("exact", "native", marks=pytest.mark.skipif(not HAS_DEFORM_CONV, reason="onnxruntime before 1.25"))])
@pytest.mark.parametrize("reach", [0.5, 3.0, 100.0])
def test_deformable_convolution_samples_as_the_layer_does_far_outside_too(sampling, dcn, reach):
    layer = DeformConv2d(8, 6, sampling=sampling)
    rng = np.random.RandomState(3)
    layer.p_conv.weight.set_data(Tensor(rng.randn(18, 8, 3, 3).astype(np.float32) * reach / 8))
    x = Tensor(rng.randn(1, 8, 7, 12).astype(np.float32))
    expected = layer(x).asnumpy()
    offset, mask = layer.p_conv(x).asnumpy(), ops.sigmoid(layer.m_conv(x)).asnumpy()
    result = run_deform_conv(layer, x.asnumpy(), offset, mask, dcn)
    assert np.abs(result - expected).max() <= 1e-4 * np.abs(expected).max()


def gentle_network(arch, dcn_sampling):
    """Offsets of about a pixel. The reference's sampling jumps at the border, so with far ones rounding shows."""
    net = seeded_network(arch, dcn_sampling)
    for parameter in net.trainable_params():
        if parameter.name.endswith("p_conv.weight"):
            parameter.set_data(parameter / 250.0)
    return net


@pytest.mark.parametrize("arch, dcn_sampling", FORMS)
def test_onnx_computes_what_the_network_computes_at_every_size(arch, dcn_sampling):
    net = gentle_network(arch, dcn_sampling)
    white = VALUE_RANGE[arch]
    runner = OnnxRunner("a.onnx", model=checked_model(net, "0" * 64))
    assert runner.size is None
    for size in ((16, 20), (32, 24), (21, 30)):
        hazy = image(2, (1, 3, *size), 1.0)
        expected = np.clip(net(Tensor(hazy * white)).asnumpy() / white, 0, 1)
        assert expected.std() > 0.01
        assert np.abs(runner(hazy) - expected).max() <= 1e-5


@pytest.mark.parametrize("size", [(32, 24), None])
@pytest.mark.parametrize("arch, dcn_sampling", FORMS)
def test_a_batch_gives_what_single_images_give(arch, dcn_sampling, size):
    session = onnxruntime.InferenceSession(checked_model(gentle_network(arch, dcn_sampling), "0" * 64, size))
    hazy = image(2, (3, 3, 32, 24), 1.0)
    together = session.run(None, {"x": hazy})[0]
    apart = [session.run(None, {"x": one[None]})[0][0] for one in hazy]
    assert np.abs(together - np.stack(apart)).max() <= 1e-6
    assert np.abs(together[1:] - together[:-1]).max() > 0.01


@pytest.mark.parametrize("arch, dcn_sampling", FORMS)
def test_opencv_reads_a_model_of_fixed_size_and_takes_batches(arch, dcn_sampling):
    model = checked_model(gentle_network(arch, dcn_sampling), "0" * 64, (32, 24))
    expected = onnxruntime.InferenceSession(model)
    net = cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8))
    for count in (1, 3):
        hazy = image(2, (count, 3, 32, 24), 1.0)
        net.setInput(hazy)
        assert np.abs(net.forward() - expected.run(None, {"x": hazy})[0]).max() <= 1e-5


def test_a_model_of_fixed_size_asks_for_no_shapes():
    model = onnx.load_from_string(checked_model(Dehaze("paper"), "0" * 64, (32, 24)))
    assert not {"Shape", "Range"} & {node.op_type for node in model.graph.node}


# the command

def metadata(path):
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


@pytest.mark.slow
@pytest.mark.usefixtures("mode_kept")
def test_the_file_says_what_it_is_and_stands_alone(random_checkpoint, tmp_path, capsys):
    flags = ["--ckpt_path", str(random_checkpoint), "--file_format", "ONNX", "--file_name", str(tmp_path / "m")]
    assert export.main([*flags, "--image_height", "21", "--image_width", "30"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]
    facts = metadata(tmp_path / "m.onnx")
    assert facts["checkpoint_sha256"] == hashlib.sha256(random_checkpoint.read_bytes()).hexdigest()
    assert (facts["arch"], facts["range"], facts["dtype"], facts["multiple_of"]) == ("gitee", "[0, 1]", "float32", "4")
    shown = capsys.readouterr().out
    assert "m.onnx: gitee from " in shown and "input [1, 3, 24, 32] (the next multiples of 4" in shown
    assert "loaded again, at 32x24: largest difference to the checkpoint " in shown
    assert OnnxRunner(tmp_path / "m.onnx").size == (24, 32)


@pytest.mark.slow
@pytest.mark.usefixtures("mode_kept")
def test_a_model_that_differs_from_the_checkpoint_leaves_the_old_file(random_checkpoint, tmp_path, monkeypatch):
    (tmp_path / "m.onnx").write_text("of yesterday")
    monkeypatch.setattr(onnx_export, "TOLERANCE", -1.0)
    with pytest.raises(InputError, match="m.onnx: differs from the checkpoint by "):
        export.main(["--ckpt_path", str(random_checkpoint), "--file_format", "ONNX", "--dynamic", "--file_name",
                     str(tmp_path / "m")])
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]
    assert (tmp_path / "m.onnx").read_text() == "of yesterday"


def test_a_model_of_open_size_is_compared_at_three_sizes():
    assert len(set(comparison.SIZES)) == 3


def test_the_references_sampling_has_no_native_operator():
    with pytest.raises(InputError, match="--onnx_dcn native: .*gitee"):
        checked_model(Dehaze("gitee", "gitee"), "0" * 64, dcn="native")


def test_missing_packages_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="--file_format ONNX: .* pip install onnx onnxruntime$"):
        export.main(["--file_format", "ONNX", "--file_name", str(tmp_path / "m")])


@pytest.mark.slow
def test_the_benchmark_asks_each_runtime_in_turn(random_checkpoint, tmp_path, monkeypatch):
    net, _ = load_network(random_checkpoint)
    (tmp_path / "m.onnx").write_bytes(checked_model(net, "0" * 64))
    monkeypatch.setattr(benchmark_runtimes, "SETTINGS", {"onnxruntime": {}, "OpenVINO float32": {}})
    found = benchmark_runtimes.in_turns((24, 32), tmp_path / "m.onnx")
    assert list(found) == ["onnxruntime", "OpenVINO float32"]
    assert all(0 < seconds < 60 and 50 < memory < 2000 for seconds, memory in found.values())
