"""export.py --file_format ONNX writes a graph that computes what the checkpoint computes, on any runtime."""
import numpy as np
import pytest
from mindspore import Tensor, ops
from test_export_graph import FORMS, seeded_network

from golden.seeded import image
from src.aecrnet import VALUE_RANGE
from src.dcn import DeformConv2d
from src.export.onnx_dcn import deform_conv
from src.export.onnx_model import onnx_model
from src.export.onnx_nodes import Graph
from src.onnx_runner import OnnxRunner

# after mindspore, which chooses the protobuf implementation that its own message classes need
import onnx  # isort: skip
import onnxruntime  # isort: skip


def run_deform_conv(layer, x, offset, mask, dcn="gather"):
    g = Graph({}, np.dtype(np.float32))
    weight, sides = layer.conv.weight.asnumpy(), x.shape[2:]
    out = deform_conv(g, "x", "offset", "mask", weight, None, layer.sampling, dcn)
    feeds = {"x": x, "offset": offset, "mask": mask}
    ends = [onnx.helper.make_tensor_value_info(name, 1, [*value.shape[:2], "h", "w"]) for name, value in feeds.items()]
    result = onnx.helper.make_tensor_value_info(out, 1, [1, len(weight), *sides])
    graph = onnx.helper.make_graph(g.nodes, "dcn", ends, [result], list(g.constants.values()))
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 19)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0]


@pytest.mark.parametrize("sampling, dcn", [("exact", "gather"), ("exact", "native"), ("gitee", "gather")])
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
    runner = OnnxRunner("a.onnx", model=onnx_model(net, "0" * 64))
    assert runner.size is None
    for size in ((16, 20), (32, 24), (21, 30)):
        hazy = image(2, (1, 3, *size), 1.0)
        expected = np.clip(net(Tensor(hazy * white)).asnumpy() / white, 0, 1)
        assert expected.std() > 0.01
        assert np.abs(runner(hazy) - expected).max() <= 1e-5
