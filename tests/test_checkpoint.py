"""Checkpoints are written whole or not at all, contain their description, and are loaded strictly."""
import mindspore
import numpy as np
import pytest
from mindspore import Tensor, nn

from golden.seeded import image
from src.errors import InputError
from src.files import atomic_write
from src.network import checkpoint
from src.network.aecrnet import Dehaze
from src.network.checkpoint import describe, load_checkpoint, load_into, load_network, save_checkpoint
from src.spec import ARCHS


def weights(net):
    return {parameter.name: parameter for parameter in net.get_parameters()}


def assert_same_weights(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name].asnumpy(), value.asnumpy(), err_msg=name)


@pytest.fixture(scope="module")
def gitee():
    return Dehaze("gitee")


@pytest.fixture(scope="module")
def saved(gitee, tmp_path_factory):
    """A checkpoint of a gitee network."""
    path = tmp_path_factory.mktemp("saved") / "net.ckpt"
    save_checkpoint(path, weights(gitee), describe(gitee))
    return path


@pytest.mark.parametrize("arch, sampling", [("gitee", "exact"), ("gitee", "gitee"), ("paper", "exact")])
def test_a_network_comes_back_as_its_description_says(tmp_path, arch, sampling):
    net = Dehaze(arch, sampling)
    for parameter in net.get_parameters():  # also statistics and fixed weights, which are not trained
        values = np.asarray(np.random.RandomState(1).randn(*parameter.shape), np.float32)
        parameter.set_data(Tensor(values))
    path = tmp_path / "a folder, 模型" / "net.ckpt"
    path.parent.mkdir()
    save_checkpoint(path, weights(net), describe(net))
    loaded, description = load_network(path)
    assert (loaded.arch, loaded.dcn_sampling, loaded.training) == (arch, sampling, False)
    assert description == {"arch": arch, "dcn_sampling": sampling, "value_range": {"gitee": 255, "paper": 1}[arch]}
    assert_same_weights(weights(loaded), weights(net))


def test_facts_come_back_with_their_types(tmp_path, gitee):
    facts = dict(step=12345678901, val_psnr=31.25, note="two words, größer", ema=True, resumed=False)
    save_checkpoint(tmp_path / "net.ckpt", weights(gitee), describe(gitee, **facts))
    parameters, description = load_checkpoint(tmp_path / "net.ckpt")
    assert description == {"arch": "gitee", "dcn_sampling": "exact", "value_range": 255.0, **facts}
    assert list(description) == ["arch", "dcn_sampling", "value_range", *facts]
    assert {name: type(description[name]) for name in facts} == {name: type(fact) for name, fact in facts.items()}
    assert_same_weights(parameters, weights(gitee))


def test_a_checkpoint_without_description_is_one_of_the_reference(tmp_path, gitee):
    mindspore.save_checkpoint(gitee, str(tmp_path / "aecrnet-100_50.ckpt"))
    net, description = load_network(tmp_path / "aecrnet-100_50.ckpt")
    assert (net.arch, net.dcn_sampling) == ("gitee", "gitee")
    assert (description["arch"], description["dcn_sampling"]) == ("gitee", "gitee")
    assert_same_weights(weights(net), weights(gitee))


CONVOLUTIONS = {  # of the reference's network (its src/models/model.py and DCN.py): shape of the weight, has a bias
    "sub_mean": ((3, 3, 1, 1), True), "add_mean": ((3, 3, 1, 1), True), "down1.0": ((64, 3, 7, 7), True),
    "down2.0": ((128, 64, 3, 3), True), "down3.0": ((256, 128, 3, 3), True), "block.conv1": ((256, 256, 3, 3), True),
    "block.conv2": ((256, 256, 3, 3), True), "block.calayer.ca.0": ((32, 256, 1, 1), True),
    "block.calayer.ca.2": ((256, 32, 1, 1), True), "block.palayer.pa.0": ((32, 256, 1, 1), True),
    "block.palayer.pa.2": ((1, 32, 1, 1), True), "up1.0": ((256, 128, 3, 3), True), "up2.0": ((128, 64, 3, 3), True),
    "up3.0": ((3, 64, 7, 7), True), "dcn_block.conv": ((256, 256, 3, 3), False),
    "dcn_block.p_conv": ((18, 256, 3, 3), False), "dcn_block.m_conv": ((9, 256, 3, 3), False),
    "deconv": ((3, 3, 3, 3), True),
}


def reference_parameters():
    """Name -> values of all parameters, as the reference's network names them before its training renames them."""
    rng = np.random.default_rng(1)
    shapes = {"mix4.w": (), "mix5.w": ()}
    for name, (shape, has_bias) in CONVOLUTIONS.items():
        shapes[f"{name}.weight"] = shape
        if has_bias:
            shapes[f"{name}.bias"] = shape[1 if name in ("up1.0", "up2.0") else 0]
    return {name: np.asarray(rng.standard_normal(shape), np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize("prefix", ["net.", ""])
def test_a_file_with_the_references_names_loads(tmp_path, prefix):
    """Its train_wcl.py saves the network after it has made it the attribute `net` of the loss: that renames it."""
    values = {name: Tensor(value) for name, value in reference_parameters().items()}
    entries = [{"name": prefix + name, "data": value} for name, value in values.items()]
    mindspore.save_checkpoint(entries, str(tmp_path / "aecrnet_ascend.ckpt"))
    net, description = load_network(tmp_path / "aecrnet_ascend.ckpt")
    assert (description["arch"], description["dcn_sampling"]) == ("gitee", "gitee")
    assert_same_weights(weights(net), values)


def test_an_attribute_of_a_cell_is_renamed_by_mindspore():
    """What the reference's loss does to its network's names."""
    class Loss(nn.Cell):
        def __init__(self, net):
            super().__init__()
            self.net = net

    net = nn.SequentialCell(nn.Conv2d(3, 3, 1))
    Loss(net)
    assert [parameter.name for parameter in net.get_parameters()] == ["net.0.weight"]


def test_training_state_is_passed_over(tmp_path, gitee):
    extra = {"optimizer.step": np.array(7), "optimizer.moment1.mix4.w": np.array(0.5, np.float32),
             "ema.mix4.w": np.array(2.0, np.float32)}
    save_checkpoint(tmp_path / "last.ckpt", {**weights(gitee), **extra}, describe(gitee))
    assert load_checkpoint(tmp_path / "last.ckpt")[0].keys() == {*weights(gitee), *extra}
    assert_same_weights(weights(load_network(tmp_path / "last.ckpt", raw_weights=True)[0]), weights(gitee))


def test_the_running_average_is_used_where_there_is_one(tmp_path, gitee):
    average = Tensor(np.full_like(gitee.mix4.w.asnumpy(), 2.0))
    save_checkpoint(tmp_path / "last.ckpt", {**weights(gitee), "ema.mix4.w": average}, describe(gitee))
    found = weights(load_network(tmp_path / "last.ckpt")[0])
    assert_same_weights(found, {**weights(gitee), "mix4.w": average})


def test_a_loaded_network_computes_what_the_saved_one_did(saved, gitee):
    x = Tensor(image(1, (1, 3, 16, 16), 255))
    np.testing.assert_array_equal(load_network(saved)[0](x).asnumpy(), gitee.set_train(False)(x).asnumpy())


# damaged files

def test_flipped_bits_are_an_error_wherever_they_are(tmp_path, saved):
    rng = np.random.default_rng(0)
    content = saved.read_bytes()
    for attempt in range(40):  # half of them in the first names and shapes, where they break the file's structure
        damaged = np.frombuffer(content, np.uint8).copy()
        bits = rng.integers(len(content) if attempt % 2 else 2000, size=1 if attempt < 30 else 200)
        damaged[bits] ^= (1 << rng.integers(8, size=len(bits))).astype(np.uint8)
        (tmp_path / "flipped.ckpt").write_bytes(damaged.tobytes())
        with pytest.raises(InputError, match="flipped.ckpt: (damaged|not a checkpoint)") as caught:
            load_network(tmp_path / "flipped.ckpt")
        assert "\n" not in str(caught.value)


def test_a_changed_description_is_an_error(tmp_path, gitee):
    """As whoever edits a file by hand would make it: what is written anew gets a checksum of its own."""
    path = tmp_path / "net.ckpt"
    save_checkpoint(path, weights(gitee), describe(gitee, val_psnr=21.25))
    entries = mindspore.load_checkpoint(str(path))
    facts = {name: entries.pop(name) for name in ("arch", "dcn_sampling", "sha256")}
    facts.update(value_range=255.0, val_psnr=31.25)
    values = [{"name": name, "data": value} for name, value in entries.items() if "." in name]
    mindspore.save_checkpoint(values, str(path), append_dict=facts)
    with pytest.raises(InputError, match="net.ckpt: damaged"):
        load_checkpoint(path)


def test_files_from_before_the_checksum_are_read(tmp_path, gitee):
    mindspore.save_checkpoint(gitee, str(tmp_path / "old.ckpt"), append_dict=describe(gitee, step=3))
    assert load_checkpoint(tmp_path / "old.ckpt")[1] == {**describe(gitee), "step": 3}


# strict loading

def test_all_faults_are_listed_in_one_error(tmp_path, gitee):
    wrong = weights(gitee)
    del wrong["mix5.w"], wrong["down1.0.bias"]
    wrong["up3.0.weight"] = np.zeros((3, 64, 3, 3), np.float32)
    wrong["extra.weight"] = np.zeros(3, np.float32)
    save_checkpoint(tmp_path / "net.ckpt", wrong, describe(gitee))
    with pytest.raises(InputError) as caught:
        load_network(tmp_path / "net.ckpt")
    message = str(caught.value)
    for fault in (str(tmp_path / "net.ckpt"), "missing mix5.w", "missing down1.0.bias", "unexpected extra.weight",
                  "up3.0.weight is (3, 64, 3, 3), not (3, 64, 7, 7)"):
        assert fault in message
    assert "\n" not in message and "mix4" not in message


def test_nothing_is_loaded_when_something_is_wrong(gitee):
    target = Dehaze("gitee")
    before = {name: value.asnumpy().copy() for name, value in weights(target).items()}
    incomplete = weights(gitee)
    del incomplete["mix5.w"]
    with pytest.raises(InputError, match="missing mix5.w"):
        load_into(target, incomplete, "net.ckpt")
    for name, value in before.items():
        np.testing.assert_array_equal(weights(target)[name].asnumpy(), value)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_weight_that_is_no_number_is_an_error(gitee, value):
    before = gitee.up1[0].bias.asnumpy().copy()
    bias = before.copy()
    bias[3] = value
    with pytest.raises(InputError, match="x.ckpt: damaged, inf or nan in up1.0.bias"):
        load_into(gitee, {**weights(gitee), "up1.0.bias": Tensor(bias)}, "x.ckpt")
    np.testing.assert_array_equal(gitee.up1[0].bias.asnumpy(), before)


def test_half_precision_weights_become_float32(tmp_path, gitee):
    half = {name: value.asnumpy().astype(np.float16) for name, value in weights(gitee).items()}
    save_checkpoint(tmp_path / "half.ckpt", half, describe(gitee))
    net = load_network(tmp_path / "half.ckpt")[0]
    assert {parameter.dtype for parameter in net.get_parameters()} == {mindspore.float32}
    np.testing.assert_array_equal(net.mix5.w.asnumpy(), np.float16(-0.6).astype(np.float32))


@pytest.mark.parametrize("other", ["another cell", "other arch"])
def test_a_checkpoint_of_another_network_is_an_error(tmp_path, other):
    path = tmp_path / "other.ckpt"
    if other == "another cell":
        mindspore.save_checkpoint(nn.SequentialCell(nn.Conv2d(3, 4, 3), nn.Dense(4, 2)), str(path))
    else:
        save_checkpoint(path, weights(Dehaze("paper")), describe(Dehaze("gitee")))
    with pytest.raises(InputError, match="other.ckpt: not a checkpoint of this network.*missing.*unexpected"):
        load_network(path)


def test_an_unknown_description_is_an_error(tmp_path, gitee):
    for description, message in [
        (dict(arch="resnet"), f"arch must be one of {', '.join(ARCHS)}, not resnet"),
        (dict(arch="gitee", dcn_sampling="nearest"), "sampling must be exact or gitee, not nearest"),
        (dict(arch="paper", dcn_sampling="gitee"), "dcn_sampling of arch paper must be exact, not gitee"),
    ]:
        save_checkpoint(tmp_path / "net.ckpt", weights(gitee), description)
        with pytest.raises(InputError, match=f"net.ckpt: {message}"):
            load_network(tmp_path / "net.ckpt")


@pytest.mark.parametrize("cut", [1, 20, 100, 300, 5000, 5000000])
def test_a_truncated_file_is_an_error(tmp_path, saved, cut):
    (tmp_path / "half.ckpt").write_bytes(saved.read_bytes()[:-cut])
    with pytest.raises(InputError, match="half.ckpt: not a checkpoint, or truncated") as caught:
        load_network(tmp_path / "half.ckpt")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"hello " * 1000, b"\x89PNG\r\n\x1a\n" + bytes(100), bytes(1000)],
                         ids=["empty", "text", "png", "zeros"])
def test_a_file_that_is_no_checkpoint_is_an_error(tmp_path, content):
    (tmp_path / "fake.ckpt").write_bytes(content)
    with pytest.raises(InputError, match="fake.ckpt: (not a checkpoint|the file is empty)"):
        load_network(tmp_path / "fake.ckpt")


def test_missing_files_folders_and_other_suffixes_are_errors(tmp_path):
    (tmp_path / "folder.ckpt").mkdir()
    (tmp_path / "weights.pth").write_bytes(b"PK")
    for name, message in (("none.ckpt", "no such checkpoint"), ("folder.ckpt", "no such checkpoint"),
                          ("weights.pth", "name ends in .ckpt; scripts/convert_weights.py converts others")):
        with pytest.raises(InputError, match=f"{name}: .*{message}"):
            load_network(tmp_path / name)


# writing: the whole file or the one before it

def test_a_save_that_fails_midway_leaves_the_old_file_and_nothing_else(tmp_path, saved, gitee, monkeypatch):
    path = tmp_path / "net.ckpt"
    path.write_bytes(saved.read_bytes())

    def write_half(values, name, **_):
        with open(name, "wb") as half:
            half.write(saved.read_bytes()[:1000])
        raise RuntimeError("no space left on device")

    monkeypatch.setattr(checkpoint.mindspore, "save_checkpoint", write_half)
    with pytest.raises(RuntimeError, match="no space left"):
        save_checkpoint(path, weights(gitee), describe(gitee))
    assert [file.name for file in tmp_path.iterdir()] == ["net.ckpt"]
    assert path.read_bytes() == saved.read_bytes()


def test_a_save_replaces_the_old_file_and_others_may_read_it(tmp_path, gitee):
    path = tmp_path / "net.ckpt"
    for step in (1, 2):
        save_checkpoint(path, weights(gitee), describe(gitee, step=step))
        assert load_checkpoint(path)[1]["step"] == step
    assert [file.name for file in tmp_path.iterdir()] == ["net.ckpt"]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_atomic_write_keeps_the_old_file_until_the_end_and_after_an_error(tmp_path, error):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(error):
        with atomic_write(path) as temporary:
            assert temporary.parent == tmp_path and temporary.suffix == ".csv"
            temporary.write_text("half")
            assert path.read_text() == "old"
            raise error
    assert path.read_text() == "old"
    with atomic_write(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]


@pytest.mark.parametrize("content, text", (
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a Git LFS pointer.*git lfs pull"),
    (b"\n <!DOCTYPE html><html>virus scan", "a web page, not the file"), (b"<html>", "a web page")))
@pytest.mark.parametrize("suffix", (".ckpt", ".onnx"))
def test_what_was_saved_in_place_of_a_model_is_named(tmp_path, suffix, content, text):
    from src.dehaze.dehazer import Dehazer

    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"a{suffix}: {text}"):
        Dehazer(path, runtime="onnxruntime")
