"""VGG19: its features, its lean gradient, and the weight files that it accepts."""
import numpy as np
import pytest
from mindspore import Tensor, nn

from compiled import Gradients, arrays, both_modes_slow_graph, difference, running
from golden.seeded import image, seeded
from src.errors import InputError
from src.network.checkpoint import save_checkpoint
from src.train.vgg import FrozenConv2d, Vgg19, load_vgg19, random_vgg19

CONVS = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28)  # torchvision's features.N below relu5_1
WIDTHS = (64, 64, 128, 128, 256, 256, 256, 256, 512, 512, 512, 512, 512)


def file_entries(biases, small_surplus=True):
    """A whole VGG19 as in a weight file: {name: array}. The layers that CR does not use are small."""
    entries, channels = {}, 3
    for index, width in zip(CONVS, WIDTHS):
        entries[f"layers.{index}.weight"] = seeded(f"vgg19.layers.{index}.weight", (width, channels, 3, 3))
        if biases:
            entries[f"layers.{index}.bias"] = seeded(f"vgg19.layers.{index}.bias", (width,))
        channels = width
    if small_surplus:
        names = [f"layers.{index}" for index in (30, 32, 34)] + [f"classifier.{index}" for index in (0, 3, 6)]
        entries.update({f"{name}.weight": np.ones((2, 2), np.float32) for name in names})
        entries.update({f"classifier.{index}.bias": np.ones(2, np.float32) for index in (0, 3, 6)})
    return entries


@pytest.fixture(scope="module")
def zoo_file(tmp_path_factory):
    """A file like the model zoo's vgg19_ImageNet.ckpt: without conv biases, with later layers and classifier."""
    path = tmp_path_factory.mktemp("vgg") / "vgg19_ImageNet.ckpt"
    save_checkpoint(path, file_entries(biases=False), {})
    return path


def save(path, entries):
    save_checkpoint(path, entries, {})
    return path


@both_modes_slow_graph
def test_features_of_the_model_zoo_weights_are_the_references(golden_gitee, zoo_file, mode):
    clear = Tensor(image(10, (3, 3, 64, 64), 255))
    with running(mode):
        maps = arrays(load_vgg19(zoo_file)(clear))
    means = [feature.mean(dtype=np.float64) for feature in maps]
    np.testing.assert_allclose(means, golden_gitee["cr_gitee_feat_means"], rtol=1e-4)
    assert [feature.shape for feature in maps] == [
        (3, 64, 64, 64), (3, 128, 32, 32), (3, 256, 16, 16), (3, 512, 8, 8), (3, 512, 4, 4)]


@both_modes_slow_graph
def test_features_with_biases_are_the_authors(golden_official, tmp_path, mode):
    entries = {name: seeded(name.replace("layers", "vgg19.features"), value.shape)
               for name, value in file_entries(biases=True, small_surplus=False).items()}
    vgg = load_vgg19(save(tmp_path / "vgg19.ckpt", entries))
    with running(mode):
        maps = arrays(vgg(Tensor(image(40, (2, 3, 64, 64)))))
    means = [feature.mean(dtype=np.float64) for feature in maps]
    np.testing.assert_allclose(means, golden_official["cr_official_feat_means"], rtol=1e-4)


@pytest.mark.parametrize("has_bias", [False, True])
def test_parameters_are_named_as_torchvisions_features_and_frozen(has_bias):
    parameters = list(Vgg19(has_bias).get_parameters())
    kinds = ("weight", "bias") if has_bias else ("weight",)
    assert [p.name for p in parameters] == [f"layers.{index}.{kind}" for index in CONVS for kind in kinds]
    assert not any(p.requires_grad for p in parameters)


def test_a_missing_file_is_one_error_that_says_where_to_get_one(tmp_path):
    with pytest.raises(InputError) as raised:
        load_vgg19(tmp_path / "none.ckpt")
    message = str(raised.value)
    for word in ("none.ckpt", "vgg19_ImageNet.ckpt", "scripts/convert_weights.py vgg19", "--contra_lambda 0"):
        assert word in message
    assert "\n" not in message


def test_all_faults_of_another_networks_file_are_listed_at_once(tmp_path):
    entries = file_entries(biases=False)
    del entries["layers.0.weight"]
    entries["layers.2.weight"] = entries["layers.2.weight"][:, :3]
    entries["layers.1.gamma"] = np.ones(64, np.float32)
    entries["layers.31.weight"] = np.ones((2, 2), np.float32)
    with pytest.raises(InputError) as raised:
        load_vgg19(save(tmp_path / "other.ckpt", entries))
    message = str(raised.value)
    for word in ("other.ckpt", "layers.0.weight", "layers.2.weight", "layers.1.gamma", "layers.31.weight"):
        assert word in message
    for word in ("layers.30", "classifier", "layers.5.weight"):
        assert word not in message


def test_biases_for_only_some_layers_are_an_error(tmp_path):
    entries = file_entries(biases=True)
    del entries["layers.28.bias"]
    with pytest.raises(InputError, match="layers.28.bias"):
        load_vgg19(save(tmp_path / "half.ckpt", entries))


def test_random_weights_depend_on_the_seed_alone():
    first, again, other = (random_vgg19(seed).layers[2].weight.asnumpy() for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert 0.9 < first.std() / np.sqrt(2 / (9 * 64)) < 1.1


@both_modes_slow_graph
@pytest.mark.parametrize("has_bias", [False, True])
def test_gradient_of_a_frozen_convolution_is_the_frameworks_on_every_call(mode, has_bias):
    ours = FrozenConv2d(5, 4, 3, pad_mode="pad", padding=1, has_bias=has_bias)
    theirs = nn.Conv2d(5, 4, 3, pad_mode="pad", padding=1, has_bias=has_bias)
    for mine, parameter in zip(ours.get_parameters(), theirs.get_parameters()):
        mine.set_data(Tensor(seeded("frozen." + parameter.name, parameter.shape)))
        parameter.set_data(mine)
        mine.requires_grad = False
    x, factor = Tensor(seeded("frozen.x", (2, 5, 7, 4))), Tensor(seeded("frozen.factor", (2, 4, 7, 4)))
    with running(mode):
        expected = arrays(Gradients(theirs, 1)(factor, x))
        gradients = Gradients(ours, 1)
        for _ in range(5):
            found = arrays(gradients(factor, x))
            assert difference(found[0], expected[0]) < 1e-5
            assert difference(found[1][0], expected[1][0]) < 1e-5
