"""Conversion of PyTorch weights in all their published layouts to MindSpore, and back."""
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from mindspore import Tensor

from golden.seeded import image, seeded
from scripts.convert_weights import main
from src.convert.torch_weights import aecrnet_names, read_state, vgg19_names
from src.errors import InputError, UsageError
from src.network.aecrnet import Dehaze
from src.network.checkpoint import describe, load_checkpoint, load_network, save_checkpoint
from src.train.vgg import load_vgg19

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "convert_weights.py"
VGG19_CONVS = {0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128), 10: (256, 128), 12: (256, 256), 14: (256, 256),
               16: (256, 256), 19: (512, 256), 21: (512, 512), 23: (512, 512), 25: (512, 512), 28: (512, 512)}


@pytest.fixture(scope="module")
def official(golden_official):
    return official_state(golden_official)


def official_state(golden_official):
    """The authors' state dict, written down from their code, with the weights of the golden files."""
    shapes = {
        "down1.1": (64, 3, 7, 7), "down2.0": (128, 64, 3, 3), "down3.0": (256, 128, 3, 3),
        "block.conv1": (256, 256, 3, 3), "block.conv2": (256, 256, 3, 3),
        "block.calayer.ca.0": (32, 256, 1, 1), "block.calayer.ca.2": (256, 32, 1, 1),
        "block.palayer.pa.0": (32, 256, 1, 1), "block.palayer.pa.2": (1, 32, 1, 1),
        "dcn_block.dcn": (256, 256, 3, 3), "dcn_block.dcn.conv_offset_mask": (27, 256, 3, 3),
        "deconv": (3, 3, 3, 3), "up1.0": (256, 128, 3, 3), "up2.0": (128, 64, 3, 3), "up3.1": (3, 64, 7, 7),
    }
    state = {}
    for name, shape in shapes.items():
        gain = 1.0 if "conv_offset_mask" in name else 0.7
        outputs = shape[1] if name in ("up1.0", "up2.0") else shape[0]  # transposed convolutions: (in, out, h, w)
        state[f"{name}.weight"] = torch.from_numpy(seeded(f"{name}.weight", shape, gain))
        state[f"{name}.bias"] = torch.from_numpy(seeded(f"{name}.bias", (outputs,), gain))
    for name in ("running_mean", "running_deconv"):
        state[f"deconv.{name}"] = torch.from_numpy(golden_official[f"dehaze_{name}"])
    return {**state, "mix1.w": torch.tensor([-1.0]), "mix2.w": torch.tensor([-0.6])}


def with_mixups_4_and_5(state):
    return {name.replace("mix1", "mix4").replace("mix2", "mix5"): value for name, value in state.items()}


def training_checkpoint(state):
    """The file that the authors' training saves: scores are numpy numbers, names come from DataParallel."""
    counters = {"module.deconv.num_batches_tracked": torch.tensor(7), "module.down1.1.total_ops": torch.zeros(1)}
    return {"step": 100, "max_psnr": np.float64(37.17), "ssims": [np.float32(0.99)], "losses": [0.1],
            "model": {**{f"module.{name}": value for name, value in state.items()}, **counters}}


LAYOUTS = {
    "training.pk": training_checkpoint,
    "mix45.pk": lambda state: {"model": with_mixups_4_and_5(state)},
    "plain45.safetensors": with_mixups_4_and_5,
    "double.pth": lambda state: {name: value.double() for name, value in state.items()},
}


def write(path, content):
    if path.suffix == ".safetensors":
        safetensors.numpy.save_file({name: value.numpy() for name, value in content.items()}, str(path))
    else:
        torch.save(content, path)
    return path


def convert(*words):
    main([str(word) for word in words])


@pytest.fixture(scope="module")
def plain(official, tmp_path_factory):
    """The checkpoint made from the authors' weights in their simplest layout."""
    folder = tmp_path_factory.mktemp("plain")
    convert("aecrnet", write(folder / "official.pth", dict(official)), folder / "aecrnet.ckpt")
    return folder / "aecrnet.ckpt"


def test_the_authors_weights_give_the_golden_output(plain, golden_official):
    net, _ = load_network(plain)
    output = net(Tensor(image(31, (1, 3, 64, 64)))).asnumpy()
    assert np.abs(output - golden_official["dehaze_sq_out"]).max() < 1e-4


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_of_the_authors_weights_gives_the_same_checkpoint(name, official, plain, tmp_path):
    source = write(tmp_path / name, LAYOUTS[name](official))
    convert("aecrnet", source, tmp_path / "aecrnet.ckpt")
    (found, description), (expected, _) = load_checkpoint(tmp_path / "aecrnet.ckpt"), load_checkpoint(plain)
    assert found.keys() == expected.keys()
    for parameter in expected:
        np.testing.assert_array_equal(found[parameter].asnumpy(), expected[parameter].asnumpy(), err_msg=parameter)
    assert description["arch"] == "paper"
    assert description["value_range"] == 1.0
    assert description["converted_from"] == name


def test_the_old_file_format_of_torch_is_read(official, tmp_path):
    torch.save({"model": official}, tmp_path / "old.pk", _use_new_zipfile_serialization=False)
    assert set(aecrnet_names(read_state(tmp_path / "old.pk"))) == set(official)


@pytest.mark.parametrize("name", ["out.pth", "out.safetensors"])
def test_there_and_back_gives_the_same_bits(name, official, tmp_path):
    convert("aecrnet", write(tmp_path / "official.pk", {"model": official}), tmp_path / "aecrnet.ckpt")
    convert("--to", "torch", tmp_path / "aecrnet.ckpt", tmp_path / name)
    if name.endswith(".pth"):
        back = torch.load(tmp_path / name, weights_only=True)
    else:
        back = {key: torch.from_numpy(value) for key, value in
                safetensors.numpy.load_file(str(tmp_path / name)).items()}
    assert set(back) == set(official)
    assert all(torch.equal(back[key], value) for key, value in official.items())


def test_the_way_back_is_for_arch_paper(tmp_path):
    net = Dehaze("gitee")
    save_checkpoint(tmp_path / "gitee.ckpt", net.parameters_dict(), describe(net))
    with pytest.raises(InputError, match="gitee.ckpt: a checkpoint of arch gitee"):
        convert("--to", "torch", tmp_path / "gitee.ckpt", tmp_path / "out.pth")
    assert not (tmp_path / "out.pth").exists()


def test_all_missing_left_over_and_misshapen_parameters_are_listed(official, tmp_path):
    state = dict(official)
    del state["down1.1.bias"], state["mix2.w"]
    state["refine.weight"] = torch.zeros(3)
    state["mix4.w"] = torch.zeros(1)
    state["up1.0.weight"] = state["up1.0.weight"].transpose(0, 1).contiguous()
    with pytest.raises(InputError) as raised:
        convert("aecrnet", write(tmp_path / "other.pth", state), tmp_path / "aecrnet.ckpt")
    message = str(raised.value)
    for words in ("other.pth", "missing down1.1.bias", "missing mix2.w", "left over refine.weight",
                  "left over mix4.w", "up1.0.weight is (128, 256, 3, 3), not (256, 128, 3, 3)"):
        assert words in message
    assert "down2" not in message
    assert not (tmp_path / "aecrnet.ckpt").exists()


def test_module_before_only_some_names_is_not_taken_off():
    names = aecrnet_names({"module.down1.1.weight": np.zeros(1), "down1.1.bias": np.zeros(1)})
    assert set(names) == {"module.down1.1.weight", "down1.1.bias"}


def vgg19_state(**more):
    """torchvision's VGG19. The layers that CR does not use are small."""
    state = {}
    for index, (outputs, inputs) in VGG19_CONVS.items():
        for kind, shape in (("weight", (outputs, inputs, 3, 3)), ("bias", (outputs,))):
            state[f"features.{index}.{kind}"] = torch.from_numpy(seeded(f"vgg19.features.{index}.{kind}", shape))
    for name in ("features.30", "features.32", "features.34", "classifier.0", "classifier.3", "classifier.6"):
        state.update({f"{name}.weight": torch.zeros(2, 2), f"{name}.bias": torch.zeros(2)})
    return {**state, **more}


def test_torchvisions_vgg19_gives_the_golden_features(golden_official, tmp_path):
    convert("vgg19", write(tmp_path / "vgg19-dcbb9e9d.pth", vgg19_state()), tmp_path / "vgg19.ckpt")
    maps = load_vgg19(tmp_path / "vgg19.ckpt")(Tensor(image(40, (2, 3, 64, 64))))
    means = [feature.asnumpy().mean(dtype=np.float64) for feature in maps]
    np.testing.assert_allclose(means, golden_official["cr_official_feat_means"], rtol=1e-4)
    parameters, _ = load_checkpoint(tmp_path / "vgg19.ckpt")
    assert set(parameters) == {f"layers.{index}.{kind}" for index in VGG19_CONVS for kind in ("weight", "bias")}


def test_another_vgg_is_refused_with_all_that_differs(tmp_path):
    state = vgg19_state(**{"features.1.running_mean": torch.zeros(64), "features.1.num_batches_tracked": torch.ones(1)})
    del state["features.28.bias"]
    with pytest.raises(InputError) as raised:
        convert("vgg19", write(tmp_path / "vgg19_bn.pth", state), tmp_path / "vgg19.ckpt")
    message = str(raised.value)
    for words in ("vgg19_bn.pth", "missing layers.28.bias", "left over features.1.running_mean"):
        assert words in message
    for words in ("num_batches_tracked", "classifier", "features.30"):
        assert words not in message


class Malicious:
    """Runs a command when it is unpickled without weights_only."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.slow
@pytest.mark.parametrize("new_format", [True, False])
def test_a_file_that_wants_code_to_be_run_is_refused_in_one_line(new_format, tmp_path):
    mark = tmp_path / "was_run"
    torch.save({"model": {"mix1.w": torch.zeros(1)}, "step": Malicious(f"touch {mark}")}, tmp_path / "evil.pk",
               _use_new_zipfile_serialization=new_format)
    done = subprocess.run([sys.executable, str(SCRIPT), "aecrnet", str(tmp_path / "evil.pk"), str(tmp_path / "x.ckpt")],
                          capture_output=True, text=True)
    assert done.returncode == 1
    assert not mark.exists() and not (tmp_path / "x.ckpt").exists()
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("[WARNING]")]
    assert line.startswith("error: ") and "evil.pk: refused" in line and "posix.system" in line
    torch.load(tmp_path / "evil.pk", weights_only=False)  # the file does run its command
    assert mark.exists()


@pytest.mark.slow
def test_safetensors_need_no_torch_and_the_others_say_what_they_need(official, tmp_path):
    """The script runs in a Python that cannot import torch."""
    write(tmp_path / "official.safetensors", official)
    write(tmp_path / "official.pth", official)
    program = ("import os, runpy, sys; sys.modules['torch'] = None; del sys.argv[0];"
               " sys.path.insert(0, os.path.dirname(sys.argv[0]));"  # as Python does for a script
               " runpy.run_path(sys.argv[0], run_name='__main__')")

    def run(*words):
        return subprocess.run([sys.executable, "-c", program, str(SCRIPT), *map(str, words)], capture_output=True,
                              text=True)

    target = tmp_path / "aecrnet.ckpt"
    done = run("aecrnet", tmp_path / "official.safetensors", target)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(load_checkpoint(target)[0]["up3.1.weight"].asnumpy(), official["up3.1.weight"])
    assert run("--to", "torch", target, tmp_path / "back.safetensors").returncode == 0
    for words in (("aecrnet", tmp_path / "official.pth", target), ("--to", "torch", target, tmp_path / "back.pth")):
        done = run(*words)
        assert done.returncode == 1
        assert "pip install -r requirements/convert.txt" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["text.pth", "empty.pk", "cut.pth", "text.safetensors", "list.pth", "none.pth",
                                  "numbers.pth", "mindspore.ckpt"])
def test_files_without_weights_are_named_in_one_line(name, official, tmp_path):
    path = tmp_path / name
    if name.startswith(("text", "mindspore")):
        path.write_bytes(b"these are no weights\n" * 9)
    elif name == "empty.pk":
        path.write_bytes(b"")
    elif name == "cut.pth":
        path.write_bytes(write(tmp_path / "whole.pth", official).read_bytes()[:-5000])
    elif name == "list.pth":
        torch.save([torch.zeros(1)], path)
    elif name == "numbers.pth":
        torch.save({"down1.1.weight": 3}, path)
    with pytest.raises(InputError) as raised:
        convert("aecrnet", path, tmp_path / "out.ckpt")
    assert name in str(raised.value) and "\n" not in str(raised.value)
    assert not (tmp_path / "out.ckpt").exists()


@pytest.mark.parametrize("words", [(), ("resnet", "a", "b.ckpt"), ("vgg19", "a.pth"), ("vgg19", "a.pth", "b.pth"),
                                   ("--to", "onnx", "a.ckpt", "b.pth"), ("--to", "torch", "a.ckpt", "b.ckpt")])
def test_wrong_words_are_usage_errors(words):
    with pytest.raises(UsageError):
        convert(*words)


def test_a_target_that_cannot_be_written_is_an_error(tmp_path):
    source = write(tmp_path / "vgg19.pth", vgg19_state())
    with pytest.raises(InputError, match="no_folder"):
        convert("vgg19", source, tmp_path / "no_folder" / "vgg19.ckpt")


def test_names_of_vgg19_are_the_model_zoos():
    state = {"features.28.weight": np.zeros(1), "features.30.bias": np.zeros(1), "classifier.6.bias": np.zeros(1),
             "features.31.weight": np.zeros(1)}
    assert set(vgg19_names(state)) == {"layers.28.weight", "layers.31.weight"}
