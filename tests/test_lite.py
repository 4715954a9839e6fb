"""A rewritten MINDIR loads in MindSpore Lite 2.0.0 and computes what MindSpore 2.8 computes."""
import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops
from mindspore.train.mind_ir_pb2 import ModelProto

import lite_tools
from lite_tools import run_raw
from src.errors import InputError
from src.export.lite import rewrite_for_lite20
from src.export.lite_rules import RULES

pytestmark = pytest.mark.slow

lite = lite_tools.lite  # the fixture


class Network(nn.Cell):
    """`compute` behind a convolution, without which Lite 2.0.0 takes no open size."""

    def __init__(self):
        super().__init__()
        self.start = nn.Conv2d(2, 2, 1, weight_init=Tensor([[[[1.0]], [[0.5]]], [[[0.2]], [[-1.0]]]]))

    def construct(self, x):
        return self.compute(self.start(x))


class Elementwise(Network):
    def compute(self, x):
        y = ops.maximum(ops.minimum(ops.sigmoid(x) + ops.tanh(x), Tensor(0.7)), Tensor(-0.2))
        y = y * ops.relu(x - Tensor(0.1))
        z = ops.sqrt(ops.square(ops.exp(y)) + ops.ones_like(x)) / (ops.abs(x) + Tensor(0.5)) - ops.zeros_like(x)
        return z + ops.cast(ops.cast(ops.floor(x * Tensor(5.0)), ms.int32) + Tensor(2, ms.int32), ms.float32)


class Layout(Network):
    def __init__(self):
        super().__init__()
        self.pad = ops.Pad(((0, 0), (0, 0), (1, 2), (3, 0)))
        self.halves = ops.Split(axis=1, output_num=2)

    def compute(self, x):
        y = ops.transpose(self.pad(x), (0, 2, 3, 1)).reshape(-1, 2).expand_dims(1)
        first, second = self.halves(ops.transpose(ops.concat((y, y), 2), (0, 2, 1)))
        middle = x[:, :, 1:-2, -3:]
        tiled = ops.tile(x[:, :, :1], (1, 2, 3, 1))
        return ops.concat((first.reshape(-1), second[:, 0].reshape(-1), middle[:, 1].reshape(-1), tiled.reshape(-1)), 0)


class Sums(Network):
    def compute(self, x):
        y = ops.CumSum(True, False)(x, 2) + ops.CumSum(False, True)(x, 3) + ops.cumsum(x, 3)
        y = y * ops.mean(x, (2, 3), True) + ops.mean(x, 1, True) + ops.mean(x, -2, True)
        y = y + ops.ReduceSum(True)(x, (2, 3))
        return ops.ReduceSum(False)(y, (0, 1)) + ops.ReduceMean(False)(y, (0, 1))


class Lookups(Network):
    def __init__(self):
        super().__init__()
        self.index = Tensor([[2, 0], [1, 1]], ms.int32)
        self.points = Tensor([[0, 1, 3, 2], [0, 0, 4, 4]], ms.int32)
        self.kernel = Parameter(np.arange(6, dtype=np.float32).reshape(3, 2))

    def compute(self, x):
        rows = ops.transpose(x, (0, 2, 3, 1)).reshape(-1, 2)
        picked = ops.gather(rows, self.index, 0).reshape(-1, 2) + ops.gather_nd(x, self.points)[0]
        product = ops.matmul(picked, ops.transpose(self.kernel, (1, 0))) + ops.MatMul(False, True)(picked, self.kernel)
        return product.reshape(-1)


class Convolutions(Network):
    def __init__(self):
        super().__init__()
        self.same = nn.Conv2d(2, 4, 3, has_bias=True, bias_init="ones")
        self.strided = nn.Conv2d(4, 4, 3, stride=2, pad_mode="pad", padding=(1, 1, 1, 0))
        self.up = nn.Conv2dTranspose(4, 2, 3, stride=2, pad_mode="pad", padding=(1, 0, 1, 0), has_bias=True)
        self.rows = nn.Conv2d(2, 2, (1, 3), pad_mode="valid")

    def compute(self, x):
        return self.rows(self.up(self.strided(self.same(x))))


NETWORKS = [Elementwise, Layout, Sums, Lookups, Convolutions]


def export(network, path, shape=(1, 2, None, None)):
    ms.export(network, Tensor(shape=list(shape), dtype=ms.float32), file_name=str(path.with_suffix("")),
              file_format="MINDIR")
    return path


def operators(path):
    model = ModelProto()
    model.ParseFromString(path.read_bytes())
    return {primitive.op_type for primitive in model.primitives}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Class -> network, MINDIR file with open height and width."""
    folder = tmp_path_factory.mktemp("networks")
    ms.set_seed(1)
    made = {}
    for network_class in NETWORKS:
        network = network_class().set_train(False)
        made[network_class] = network, export(network, folder / f"{network_class.__name__}.mindir")
    return made


@pytest.mark.parametrize("network_class", NETWORKS)
def test_rewritten_network_computes_the_same_in_lite(network_class, exported, lite, tmp_path):
    network, path = exported[network_class]
    rewritten = tmp_path / "lite.mindir"
    rewrite_for_lite20(path, rewritten)
    for size in ((6, 8), (10, 5)):
        x = np.random.RandomState(2).uniform(-2, 2, (1, 2, *size)).astype(np.float32)
        expected = network(Tensor(x)).asnumpy().ravel()
        result = run_raw(lite, rewritten, x)
        assert result.shape == expected.shape and expected.std() > 0.05
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


class Tiles(Network):
    def compute(self, x):
        column = x.reshape(-1, 1)
        product = ops.tile(column, (1, 4)) * Tensor([[1.0, 2.0, 3.0, 4.0]])
        pairs = ops.tile(x.reshape(-1, 2), (1, 2)) * Tensor([[1.0, 2.0, 3.0, 4.0]])
        return ops.concat((product.reshape(-1), pairs.reshape(-1)), 0)


def test_products_broadcast_by_themselves_where_a_tile_repeats_one_element(lite, tmp_path):
    network = Tiles()
    rewrite_for_lite20(export(network, tmp_path / "tiles.mindir"), tmp_path / "lite.mindir")
    model = ModelProto()
    model.ParseFromString((tmp_path / "lite.mindir").read_bytes())
    assert sum(node.op_type.startswith("REF::Tile") for node in model.graph.node) == 1  # that of the pairs
    x = np.random.RandomState(2).rand(1, 2, 6, 5).astype(np.float32)
    np.testing.assert_allclose(run_raw(lite, tmp_path / "lite.mindir", x), network(Tensor(x)).asnumpy(), rtol=1e-6)


def test_every_rule_is_used_by_the_networks_above(exported):
    used = set().union(*(operators(path) for _, path in exported.values()))
    assert set(RULES) - used == set()


def test_arguments_become_attributes_and_their_constants_go(exported, tmp_path):
    rewrite_for_lite20(exported[Sums][1], tmp_path / "lite.mindir")
    model = ModelProto()
    model.ParseFromString((tmp_path / "lite.mindir").read_bytes())
    assert model.mind_ir_version == 1
    exclusive = {attribute.i for primitive in model.primitives if primitive.op_type == "CumSum"
                 for attribute in primitive.attribute if attribute.name == "exclusive"}
    assert exclusive == {0, 1}
    read = {name for node in model.graph.node for name in node.input} | {output.name for output in model.graph.output}
    assert all(read.intersection(node.output) for node in model.graph.node)
    assert not {"Load", "Depend", "UpdateState"} & operators(tmp_path / "lite.mindir")


class Unknown(Network):
    def compute(self, x):
        return ops.ReduceMax()(x, 2)


class EarlyMean(nn.Cell):
    def construct(self, x):
        return x - ops.mean(x, (2, 3), True)


class ComputedAxis(Network):
    def compute(self, x):
        return ops.reshape(x, (x.shape[2], -1))


class Loop(nn.Cell):
    def construct(self, x):
        while x.sum() < 10:
            x = x * 2.0
        return x


@pytest.mark.parametrize("network, said", [
    (Unknown, "operator ReduceMax (Default/ReduceMax-op0) is not in the table for MindSpore Lite 2.0.0"),
    (EarlyMean, "operator ReduceMean (Default/ReduceMean-op0) reads the input of open size"),
    (ComputedAxis, "operator Shape (Default/Shape-op0) is not in the table for MindSpore Lite 2.0.0"),
    (Loop, "has control flow"),
])
def test_what_lite_cannot_run_is_named_and_nothing_is_written(network, said, tmp_path):
    path = export(network(), tmp_path / "net.mindir")
    before = tmp_path / "lite.mindir"
    before.write_text("the last good one")
    with pytest.raises(InputError, match="net.mindir: ") as raised:
        rewrite_for_lite20(path, before)
    assert said in str(raised.value)
    assert before.read_text() == "the last good one"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["lite.mindir", "net.mindir"]


@pytest.mark.parametrize("content, said", [
    (None, "cannot be read (No such file or directory)"),
    (b"", "not a MINDIR file, or cut off"),
    (b"\x89PNG\r\n\x1a\n no model", "not a MINDIR file, or cut off"),
    ("half", "not a MINDIR file, or cut off"),
    ("twice", "MINDIR version 1, only version 3 (MindSpore 2.8) can be rewritten"),
])
def test_unusable_input_is_one_clear_error(content, said, exported, tmp_path):
    path = tmp_path / "bad.mindir"
    good = exported[Convolutions][1]
    if content == "half":
        path.write_bytes(good.read_bytes()[:good.stat().st_size // 2])
    elif content == "twice":
        rewrite_for_lite20(good, path)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as raised:
        rewrite_for_lite20(path, tmp_path / "lite.mindir")
    assert str(raised.value) == f"{path}: {said}"


def test_output_that_cannot_be_written_is_an_error(exported, tmp_path):
    with pytest.raises(InputError, match="lite.mindir: cannot be written"):
        rewrite_for_lite20(exported[Sums][1], tmp_path / "none" / "lite.mindir")
