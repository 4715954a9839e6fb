"""The wire format of protocol buffers, in which a checkpoint and an ONNX file are written.

It is small and stable (https://protobuf.dev/programming-guides/encoding). Read and written here, the files need neither
MindSpore nor the package `onnx`, whose message classes exclude each other when they are imported in the wrong order.
"""
from __future__ import annotations

import struct
from typing import Iterator, Tuple, Union

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
LONGEST_VARINT = 10  # bytes

Value = Union[int, memoryview]


def fields(message: memoryview) -> Iterator[Tuple[int, Value]]:
    """The fields of a message in their order: (number, integer, or the bytes of a text, a message or packed numbers).

    Raises: ValueError if the bytes are no whole message.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind, number = key & 7, key >> 3
        if kind == VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == BYTES:
            length, at = _varint(message, at)
        elif kind in (FIXED32, FIXED64):
            length = 4 if kind == FIXED32 else 8
        else:
            raise ValueError(f"unknown wire type {kind} at byte {at}")
        if number == 0 or at + length > len(message):
            raise ValueError(f"field {number} at byte {at} is not whole")
        yield number, message[at:at + length]
        at += length


def integers(packed: Value) -> Iterator[int]:
    """The numbers of a repeated integer field, packed into bytes or alone. Raises: ValueError if they are not whole."""
    if isinstance(packed, int):
        yield packed
        return
    at = 0
    while at < len(packed):
        value, at = _varint(packed, at)
        yield value


def field(number: int, value: Union[int, float, str, bytes]) -> bytes:
    """One field of a message: an integer from -2**63 on, a float32, a text, or the bytes of a message or an array."""
    if isinstance(value, float):
        return _encoded(number << 3 | FIXED32) + struct.pack("<f", value)
    if isinstance(value, int):
        return _encoded(number << 3 | VARINT) + _encoded(value)
    content = value.encode() if isinstance(value, str) else value
    return _encoded(number << 3 | BYTES) + _encoded(len(content)) + content


def _varint(data: memoryview, at: int) -> Tuple[int, int]:
    """The integer that starts at byte `at`, and the byte after it."""
    value = 0
    for place, byte in enumerate(data[at:at + LONGEST_VARINT]):
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, at + place + 1
    raise ValueError(f"the number at byte {at} does not end")


def _encoded(value: int) -> bytes:
    value &= (1 << 64) - 1  # a negative number is written as its complement
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
