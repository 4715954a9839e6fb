"""Checkpoints. They are written whole or not at all, contain their description, and are loaded strictly."""
from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any, Dict, Mapping, Tuple

import mindspore
import numpy as np
from mindspore import Parameter, Tensor, nn

from ..errors import InputError, one_line
from ..files import PathLike, atomic_write
from ..spec import ARCHS, VALUE_RANGE
from .aecrnet import Dehaze

# A checkpoint without a description comes from the model-zoo reference.
REFERENCE = {"arch": "gitee", "dcn_sampling": "gitee"}
REFERENCE_PREFIX = "net."  # in its names: its train_wcl.py saves the network after making it an attribute of the loss

# Prefixes of the training state, which train.py keeps beside the weights. Other programs ignore it.
TRAINING_STATE = ("optimizer.", "ema.")
TRAINING_OPTIONS = "options"  # in the description: all options of the run, as JSON

CHECKSUM = "sha256"  # where it stands in the description; files of the reference and early ones of ours have none


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
    description = {**description, CHECKSUM: _checksum(parameters, description)}
    values = [{"name": name, "data": _as_tensor(value)} for name, value in parameters.items()]
    with atomic_write(path) as temporary:
        mindspore.save_checkpoint(values, str(temporary), append_dict=description)
        temporary.chmod(0o644)  # MindSpore lets only the owner read the file


def load_checkpoint(path: PathLike) -> Tuple[Dict[str, Parameter], Dict[str, Any]]:
    """Read a checkpoint: parameters by name, and its description as str, int, float and bool.

    Raises: InputError if the file is missing, truncated, no MindSpore checkpoint, or does not have its checksum.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint")
    if path.suffix != ".ckpt":
        raise InputError(f"{path}: a checkpoint's name ends in .ckpt; scripts/convert_weights.py converts others")
    logging.disable(logging.CRITICAL)  # MindSpore says less than we do
    try:
        entries = mindspore.load_checkpoint(str(path))
    except Exception as error:  # flipped bits lead MindSpore and its protobuf anywhere
        raise InputError(f"{path}: not a checkpoint, or truncated ({one_line(error)[:120]})") from None
    finally:
        logging.disable(logging.NOTSET)
    facts = [name for name, value in entries.items() if "." not in name and getattr(value, "shape", ()) == ()]
    parameters = {name: value for name, value in entries.items() if name not in facts}
    description = {name: _as_python(entries[name]) for name in facts}
    if description.pop(CHECKSUM, None) not in (None, _checksum(parameters, description)):
        raise InputError(f"{path}: damaged, its content has another checksum than it had when it was written")
    if all(name.startswith(REFERENCE_PREFIX) for name in parameters):
        parameters = {name[len(REFERENCE_PREFIX):]: value for name, value in parameters.items()}
    return parameters, description


def load_network(path: PathLike, raw_weights: bool = False, dcn_backend: str = "auto") -> Tuple[Dehaze, Dict[str, Any]]:
    """Build the network that a checkpoint describes and load its weights, for evaluation.

    `raw_weights`: take the trained weights of a FILENAME_last.ckpt, and not their running average. `dcn_backend`: as in
    `Dehaze`.

    Raises: InputError if the file cannot be read or its parameters are not those of the network.
    """
    parameters, description = load_checkpoint(path)
    description = {**REFERENCE, **description} if "arch" not in description else description
    if description["arch"] not in ARCHS:
        raise InputError(f"{path}: arch must be one of {', '.join(ARCHS)}, not {description['arch']}")
    try:
        net = Dehaze(description["arch"], description.get("dcn_sampling", "exact"), dcn_backend)
    except ValueError as error:
        raise InputError(f"{path}: {one_line(error)}") from None
    load_into(net, network_weights(parameters, raw_weights), path)
    description.pop(TRAINING_OPTIONS, None)
    net.set_train(False)
    return net, description


def network_weights(parameters: Mapping[str, Parameter], raw_weights: bool = False) -> Dict[str, Parameter]:
    """The parameters of the network in a FILENAME_last.ckpt, without the training state.

    If the file holds running averages (`--ema_decay`), they were validated, and are taken unless `raw_weights` is set.
    """
    own = {name: value for name, value in parameters.items() if not name.startswith(TRAINING_STATE)}
    return own if raw_weights else {name: parameters.get(f"ema.{name}", value) for name, value in own.items()}


def load_into(cell: nn.Cell, parameters: Mapping[str, Parameter], path: PathLike) -> None:
    """Set every parameter of `cell` by name.

    Raises: InputError listing all parameters that are missing, unexpected, of another shape, or hold inf or nan.
    """
    own = {parameter.name: parameter for parameter in cell.get_parameters()}
    faults = [f"missing {name}" for name in own if name not in parameters]
    faults += [f"unexpected {name}" for name in parameters if name not in own]
    faults += [
        f"{name} is {tuple(parameters[name].shape)}, not {tuple(own[name].shape)}"
        for name in own
        if name in parameters and tuple(parameters[name].shape) != tuple(own[name].shape)
    ]
    if faults:
        raise InputError(f"{path}: not a checkpoint of this network: {'; '.join(faults)}")
    broken = [name for name in own if not np.isfinite(parameters[name].asnumpy()).all()]
    if broken:
        raise InputError(f"{path}: damaged, inf or nan in {', '.join(broken)}")
    for name, parameter in own.items():
        parameter.set_data(Tensor(parameters[name].asnumpy(), parameter.dtype))


def _checksum(parameters: Mapping[str, Any], description: Mapping[str, Any]) -> str:
    """Hash of names, types, shapes and values, in whatever order."""
    stored = {name: np.float32(value) if isinstance(value, float) else value for name, value in description.items()}
    digest = hashlib.sha256(" ".join(f"{name}={stored[name]}" for name in sorted(stored)).encode())
    for name in sorted(parameters):
        values = _as_tensor(parameters[name]).asnumpy()
        digest.update(f"{name} {values.dtype} {values.shape} ".encode())
        digest.update(np.ascontiguousarray(values))
    return digest.hexdigest()


def _as_tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else Tensor(value)


def _as_python(value: Any) -> Any:
    return value.asnumpy().item() if isinstance(value, Tensor) else value
