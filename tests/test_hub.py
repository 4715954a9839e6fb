"""MindSpore Hub's entry gives the networks whose checkpoints exist."""
import mindspore
import pytest

from mindspore_hub_conf import create_network
from src.dehaze.dehazer import BENCHMARK_CHECKPOINT


def count(net):
    return sum(parameter.size for parameter in net.trainable_params())


def test_the_default_network_is_that_of_the_model_zoos_checkpoint():
    assert count(create_network("aecrnet")) == count(create_network("aecrnet", dcn_sampling="gitee")) == 2_613_946


def test_the_shipped_checkpoint_fits_the_papers_network():
    net = create_network("aecrnet", arch="paper")
    assert count(net) == 2_614_229
    assert net.parameters_dict().keys() <= mindspore.load_checkpoint(str(BENCHMARK_CHECKPOINT)).keys()


def test_another_name_is_an_error():
    with pytest.raises(NotImplementedError, match="aecrnet_v2"):
        create_network("aecrnet_v2")
