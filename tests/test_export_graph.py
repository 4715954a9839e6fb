"""The exported graph computes the same as the network."""
import mindspore as ms
import numpy as np
import pytest

from golden.seeded import image, seeded
from src.export.dcn_graph import DeformConvGraph
from src.export.graph import ExportGraph
from src.network.aecrnet import Dehaze
from src.network.dcn import DeformConv2d
from src.spec import VALUE_RANGE

FORMS = [("gitee", "exact"), ("gitee", "gitee"), ("paper", "exact")]


def seeded_network(arch, dcn_sampling):
    """Set weights with offsets of some pixels. The offsets of a fresh network are zero."""
    net = Dehaze(arch, dcn_sampling)
    for parameter in net.trainable_params():
        if not parameter.name.endswith(".w"):
            parameter.set_data(ms.Tensor(seeded(parameter.name, parameter.shape, 0.5)))
    return net.set_train(False)


@pytest.mark.slow
@pytest.mark.parametrize("arch, dcn_sampling", FORMS)
def test_export_graph_computes_what_the_network_computes(arch, dcn_sampling):
    net = seeded_network(arch, dcn_sampling)
    top = VALUE_RANGE[arch]
    hazy = ms.Tensor(image(1, (1, 3, 24, 40), top))
    expected = np.clip(net(hazy).asnumpy(), 0.0, top)
    result = ExportGraph(net)(hazy).asnumpy()
    assert expected.std() > 0.01 * top
    assert np.abs(result - expected).max() <= 1e-5 * top


@pytest.mark.slow
@pytest.mark.parametrize("arch, dcn_sampling", FORMS)
def test_one_exported_file_serves_every_size(arch, dcn_sampling, tmp_path):
    net = seeded_network(arch, dcn_sampling)
    top = VALUE_RANGE[arch]
    ms.export(ExportGraph(net), ms.Tensor(shape=[1, 3, None, None], dtype=ms.float32),
              file_name=str(tmp_path / "net"), file_format="MINDIR")
    reloaded = ms.nn.GraphCell(ms.load(str(tmp_path / "net.mindir")))
    for size in ((16, 20), (32, 24)):
        hazy = ms.Tensor(image(2, (1, 3, *size), top))
        difference = np.abs(reloaded(hazy).asnumpy() - np.clip(net(hazy).asnumpy(), 0.0, top))
        assert difference.max() <= 1e-4 * top


@pytest.mark.parametrize("sampling", ["exact", "gitee"])
@pytest.mark.parametrize("reach", [0.5, 3.0, 100.0])
def test_deform_conv_graph_samples_as_the_layer_does_far_outside_too(sampling, reach):
    layer = DeformConv2d(8, 6, sampling=sampling)
    rng = np.random.RandomState(3)
    layer.p_conv.weight.set_data(ms.Tensor(rng.randn(18, 8, 3, 3).astype(np.float32) * reach / 8))
    x = ms.Tensor(rng.randn(1, 8, 7, 12).astype(np.float32))
    result = DeformConvGraph(sampling)(x, layer.p_conv(x), ms.ops.sigmoid(layer.m_conv(x)), layer.conv.weight)
    expected = layer(x).asnumpy()
    assert np.abs(result.asnumpy() - expected).max() <= 1e-5 * np.abs(expected).max()
