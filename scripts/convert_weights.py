"""Convert weights from PyTorch to MindSpore, and back.

    python scripts/convert_weights.py aecrnet official.pk aecrnet.ckpt
    python scripts/convert_weights.py vgg19 vgg19-dcbb9e9d.pth vgg19.ckpt
    python scripts/convert_weights.py --to torch aecrnet.ckpt out.pth

aecrnet reads the authors' training checkpoint, or a state dict of their network. It writes a checkpoint of arch paper
for eval.py, infer.py, export.py and `train.py --arch paper --ckpt_path`. vgg19 reads torchvision's weights and writes a
file for `train.py --vgg_ckpt`; the model zoo's vgg19_ImageNet.ckpt needs no conversion. --to torch reads a checkpoint
of arch paper and writes a plain state dict with the authors' names. PyTorch files need torch
(pip install -r requirements/convert.txt), .safetensors files do not. A file must hold every parameter and no other.
"""
from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence

from mindspore import nn

import _clone  # noqa: F401
from src.cli.config import Parser
from src.cli.entry import run_as_program
from src.convert.torch_weights import TORCH_SUFFIXES, aecrnet_names, check, read_state, vgg19_names, write_state
from src.errors import InputError, UsageError, one_line
from src.network.aecrnet import Dehaze
from src.network.checkpoint import describe, load_network, save_checkpoint
from src.train.vgg import Vgg19

NETWORKS = ("aecrnet", "vgg19")


def parse(arguments: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                    usage="%(prog)s {aecrnet,vgg19} SOURCE TARGET | --to torch SOURCE TARGET")
    parser.add_argument("--to", choices=("torch",), help="the way back, from MindSpore")
    parser.add_argument("words", nargs="*", metavar="SOURCE TARGET", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.to is None and (not options.words or options.words[0] not in NETWORKS):
        raise UsageError(f"the first word must be {' or '.join(NETWORKS)}, or --to torch;"
                         f" found {options.words[0] if options.words else 'none'}")
    options.network = None if options.to else options.words.pop(0)
    if len(options.words) != 2:
        raise UsageError(f"give one SOURCE and one TARGET file; found {len(options.words)} names")
    options.source, options.target = map(Path, options.words)
    suffixes = (*TORCH_SUFFIXES, ".safetensors") if options.to else (".ckpt",)
    if options.target.suffix not in suffixes:
        raise UsageError(f"{options.target}: the target's name must end in {', '.join(suffixes)}")
    return options


def aecrnet_from_torch(source: Path, target: Path) -> None:
    """Write the authors' weights as a checkpoint of arch paper with its description."""
    net = Dehaze("paper")
    weights = aecrnet_names(read_state(source))
    check(weights, _shapes(net), source, "the authors' AECR-Net")
    _save(target, weights, describe(net, converted_from=source.name))


def vgg19_from_torch(source: Path, target: Path) -> None:
    """Write the feature layers of torchvision's VGG19 for `Vgg19(has_bias=True)`."""
    weights = vgg19_names(read_state(source))
    check(weights, _shapes(Vgg19(has_bias=True)), source, "torchvision's VGG19")
    _save(target, weights, {"converted_from": source.name})


def aecrnet_to_torch(source: Path, target: Path) -> None:
    """Write a checkpoint of arch paper as a plain state dict of the authors' network."""
    net, description = load_network(source)
    if description["arch"] != "paper":
        raise InputError(f"{source}: a checkpoint of arch {description['arch']}; PyTorch has only the authors'"
                         " network, arch paper")
    write_state(target, {parameter.name: parameter.asnumpy() for parameter in net.get_parameters()})


def _shapes(net: nn.Cell) -> Dict[str, tuple]:
    return {parameter.name: tuple(parameter.shape) for parameter in net.get_parameters()}


def _save(target: Path, weights: Mapping[str, Any], description: Mapping[str, Any]) -> None:
    try:
        save_checkpoint(target, weights, description)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{target}: cannot be written ({one_line(error)[:120]})") from None


def main(arguments: Optional[Sequence[str]] = None) -> None:
    options = parse(arguments)
    if options.to:
        convert = aecrnet_to_torch
    else:
        convert = aecrnet_from_torch if options.network == "aecrnet" else vgg19_from_torch
    convert(options.source, options.target)
    print(f"wrote {options.target}")


if __name__ == "__main__":
    run_as_program(main)
