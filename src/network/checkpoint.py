"""Checkpoints. They are written whole or not at all, contain their description, and are loaded strictly."""
from __future__ import annotations

from typing import Any, Dict, Mapping, Tuple

import mindspore
from mindspore import Parameter, Tensor, nn

from ..errors import InputError, one_line
from ..files import PathLike, atomic_write
from ..spec import VALUE_RANGE
from .aecrnet import Dehaze
from .weights import CHECKSUM, check_weights, checksum, load_weights, read_checkpoint


def describe(net: Dehaze, **facts: Any) -> Dict[str, Any]:
    """The description for a checkpoint of `net`: all that a reader needs to use it, and `facts`."""
    return {"arch": net.arch, "dcn_sampling": net.dcn_sampling, "value_range": VALUE_RANGE[net.arch], **facts}


def save_checkpoint(path: PathLike, parameters: Mapping[str, Any], description: Mapping[str, Any]) -> None:
    """Write a MindSpore checkpoint under a temporary name, then rename it.

    Args:
        parameters: name -> Tensor, Parameter or numpy array; every name holds a dot.
        description: name -> str, int, float or bool; no name holds a dot.

    Raises: OSError or RuntimeError if the file cannot be written (disk full); an older file is then intact.
    """
    tensors = {name: _as_tensor(value) for name, value in parameters.items()}
    arrays = {name: tensor.asnumpy() for name, tensor in tensors.items()}
    description = {**description, CHECKSUM: checksum(arrays, description)}
    values = [{"name": name, "data": tensor} for name, tensor in tensors.items()]
    with atomic_write(path) as temporary:
        mindspore.save_checkpoint(values, str(temporary), append_dict=description)
        temporary.chmod(0o644)  # MindSpore lets only the owner read the file


def load_checkpoint(path: PathLike) -> Tuple[Dict[str, Parameter], Dict[str, Any]]:
    """As `read_checkpoint`, with MindSpore's parameters."""
    arrays, description = read_checkpoint(path)
    return {name: Parameter(Tensor(value), name=name) for name, value in arrays.items()}, description


def load_network(path: PathLike, raw_weights: bool = False, dcn_backend: str = "auto") -> Tuple[Dehaze, Dict[str, Any]]:
    """Build the network that a checkpoint describes and load its weights, for evaluation.

    `raw_weights`: take the trained weights of a FILENAME_last.ckpt, and not their running average. `dcn_backend`: as in
    `Dehaze`.

    Raises: InputError if the file cannot be read or its parameters are not those of the network.
    """
    weights, description = load_weights(path, raw_weights)
    try:
        net = Dehaze(description["arch"], description.get("dcn_sampling", "exact"), dcn_backend)
    except ValueError as error:
        raise InputError(f"{path}: {one_line(error)}") from None
    for parameter in net.get_parameters():
        parameter.set_data(Tensor(weights[parameter.name]))
    net.set_train(False)
    return net, description


def load_into(cell: nn.Cell, parameters: Mapping[str, Parameter], path: PathLike) -> None:
    """Set every parameter of `cell` by name.

    Raises: InputError listing all parameters that are missing, unexpected, of another shape, or hold inf or nan.
    """
    own = {parameter.name: parameter for parameter in cell.get_parameters()}
    arrays = {name: _as_tensor(value).asnumpy() for name, value in parameters.items()}
    check_weights({name: parameter.shape for name, parameter in own.items()}, arrays, path)
    for name, parameter in own.items():
        parameter.set_data(Tensor(arrays[name], parameter.dtype))


def _as_tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else Tensor(value)
