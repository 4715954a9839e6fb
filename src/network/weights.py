"""The weights in a checkpoint file as numpy arrays, checked. This module needs no MindSpore."""
from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, Tuple

import numpy as np

from ..errors import InputError, one_line
from ..files import PathLike, mistaken_download
from ..protobuf import fields, integers
from .shapes import check_form, parameter_shapes

# A checkpoint without a description comes from the model-zoo reference.
REFERENCE = {"arch": "gitee", "dcn_sampling": "gitee"}
REFERENCE_PREFIX = "net."  # in its names: its train_wcl.py saves the network after making it an attribute of the loss

# Prefixes of the training state, which train.py keeps beside the weights. Other programs ignore it.
TRAINING_STATE = ("optimizer.", "ema.")
TRAINING_OPTIONS = "options"  # in the description: all options of the run, as JSON

CHECKSUM = "sha256"  # where it stands in the description; files of the reference and early ones of ours have none

# MindSpore's checkpoint.proto: the numbers of the fields, and the names of the types
VALUE = 1  # of the file: a tensor, or a part of one that is larger than 1 GB
TAG, TENSOR = 1, 2  # of a value
DIMS, TYPE, CONTENT = 1, 2, 3  # of a tensor
TYPES = {"Bool": np.bool_, "Int8": np.int8, "Int16": np.int16, "Int32": np.int32, "Int64": np.int64,
         "UInt8": np.uint8, "UInt16": np.uint16, "UInt32": np.uint32, "UInt64": np.uint64,
         "Float16": np.float16, "Float32": np.float32, "Float64": np.float64}
CRC = b"crc_num"  # MindSpore's optional checksum: this word and ten bytes at the end of the file
CRC_BYTES = len(CRC) + 10

Weights = Dict[str, np.ndarray]


def load_weights(path: PathLike, raw_weights: bool = False) -> Tuple[Weights, Dict[str, Any]]:
    """The weights of the network in a checkpoint, float32, and the checkpoint's description.

    `raw_weights`: take the trained weights of a FILENAME_last.ckpt, and not their running average.

    Raises: InputError if the file cannot be read or its parameters are not those of the network that it describes.
    """
    parameters, description = read_checkpoint(path)
    if "arch" not in description:
        description = {**REFERENCE, **description}
    try:
        check_form(description["arch"], description.get("dcn_sampling", "exact"))
    except ValueError as error:
        raise InputError(f"{path}: {one_line(error)}") from None
    weights = network_weights(parameters, raw_weights)
    check_weights(parameter_shapes(description["arch"]), weights, path)
    description.pop(TRAINING_OPTIONS, None)
    return {name: value.astype(np.float32) for name, value in weights.items()}, description


def read_checkpoint(path: PathLike) -> Tuple[Weights, Dict[str, Any]]:
    """Read a checkpoint: parameters by name, and its description as str, int, float and bool.

    Raises: InputError if the file is missing, truncated, no MindSpore checkpoint, or does not have its checksum.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint")
    if path.suffix != ".ckpt":
        raise InputError(f"{path}: a checkpoint's name ends in .ckpt; scripts/convert_weights.py converts others")
    content = path.read_bytes()
    if mistake := mistaken_download(content):
        raise InputError(f"{path}: {mistake}")
    try:
        entries = dict(_entries(content))
    except (ValueError, OverflowError) as error:
        raise InputError(f"{path}: not a checkpoint, or truncated ({one_line(error)[:120]})") from None
    facts = [name for name, value in entries.items() if "." not in name and np.shape(value) == ()]
    parameters = {name: value for name, value in entries.items() if name not in facts}
    description = {name: entries[name] if isinstance(entries[name], str) else entries[name].item() for name in facts}
    if description.pop(CHECKSUM, None) not in (None, checksum(parameters, description)):
        raise InputError(f"{path}: damaged, its content has another checksum than it had when it was written")
    if all(name.startswith(REFERENCE_PREFIX) for name in parameters):
        parameters = {name[len(REFERENCE_PREFIX):]: value for name, value in parameters.items()}
    return parameters, description


def network_weights(parameters: Mapping[str, Any], raw_weights: bool = False) -> Dict[str, Any]:
    """The parameters of the network in a FILENAME_last.ckpt, without the training state.

    If the file holds running averages (`--ema_decay`), they were validated, and are taken unless `raw_weights` is set.
    """
    own = {name: value for name, value in parameters.items() if not name.startswith(TRAINING_STATE)}
    return own if raw_weights else {name: parameters.get(f"ema.{name}", value) for name, value in own.items()}


def check_weights(shapes: Mapping[str, Tuple[int, ...]], weights: Mapping[str, np.ndarray], path: PathLike) -> None:
    """Compare the weights in `path` with the names and shapes of a network.

    Raises: InputError listing all parameters that are missing, unexpected, of another shape, or hold inf or nan.
    """
    faults = [f"missing {name}" for name in shapes if name not in weights]
    faults += [f"unexpected {name}" for name in weights if name not in shapes]
    faults += [f"{name} is {tuple(weights[name].shape)}, not {tuple(shape)}" for name, shape in shapes.items()
               if name in weights and tuple(weights[name].shape) != tuple(shape)]
    if faults:
        raise InputError(f"{path}: not a checkpoint of this network: {'; '.join(faults)}")
    broken = [name for name in shapes if not np.isfinite(weights[name]).all()]
    if broken:
        raise InputError(f"{path}: damaged, inf or nan in {', '.join(broken)}")


def checksum(parameters: Mapping[str, np.ndarray], description: Mapping[str, Any]) -> str:
    """Hash of names, types, shapes and values, in whatever order."""
    stored = {name: np.float32(value) if isinstance(value, float) else value for name, value in description.items()}
    digest = hashlib.sha256(" ".join(f"{name}={stored[name]}" for name in sorted(stored)).encode())
    for name in sorted(parameters):
        values = parameters[name]
        digest.update(f"{name} {values.dtype} {values.shape} ".encode())
        digest.update(np.ascontiguousarray(values))
    return digest.hexdigest()


def _entries(content: bytes) -> Iterator[Tuple[str, Any]]:
    """Name and value of every entry: an array, or a text. Raises: ValueError if the bytes are no checkpoint."""
    if content[-CRC_BYTES:].startswith(CRC):
        content = content[:-CRC_BYTES]
    if not content:
        raise ValueError("no content")
    before, parts = "", []
    for number, value in fields(memoryview(content)):
        if number != VALUE or isinstance(value, int):
            raise ValueError(f"field {number} is not of a checkpoint")
        entry = dict(fields(value))
        name = str(_bytes(entry, TAG), "utf-8")
        if parts and name != before:
            yield before, _value(parts)
            parts = []
        before = name
        parts.append(list(fields(_bytes(entry, TENSOR))))
    yield before, _value(parts)


def _value(parts):
    """The value whose content is spread over the fields of several tensors. All have the same type and shape."""
    dims = [size for number, value in parts[0] if number == DIMS for size in integers(value)]
    kind = str(_bytes(dict(parts[0]), TYPE), "utf-8")
    content = b"".join(_bytes(dict(part), CONTENT) for part in parts)
    if kind == "str":
        return content.decode("utf-32-le").rstrip("\0")  # as numpy stores texts
    shape = () if dims == [0] else tuple(dims)
    if kind == "BFloat16":  # the upper half of a float32
        return (np.frombuffer(content, np.uint16).astype(np.uint32) << 16).view(np.float32).reshape(shape)
    if kind not in TYPES:
        raise ValueError(f"unknown type {kind[:20]}")
    return np.frombuffer(content, TYPES[kind]).reshape(shape).copy()


def _bytes(message, number):
    value = message.get(number)
    if not isinstance(value, memoryview):
        raise ValueError(f"field {number} of an entry is missing")
    return value
