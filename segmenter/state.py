"""Plain values and arrays to bytes and back, for state that outlives its process.

    magic (8 bytes) | length of the header (uint32, little-endian) | header (JSON) | arrays | CRC-32

The header holds the plain values and the name, type and shape of every array; arrays are raw and
little-endian. Nothing is executed on reading, and no size is believed before it is checked against
the bytes that are there.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmenter.errors import InvalidState

MAX_HEADER_BYTES = 1 << 20
MAX_REAL = 1e12  # of millivolts and what filters make of them; the envelope counts in whole steps
Arrays = Mapping[str, NDArray[Any]]


def pack(magic: bytes, plain: Mapping[str, Any], arrays: Arrays) -> bytes:
    """Return the bytes of plain JSON values and of arrays."""
    little = {
        name: np.ascontiguousarray(a, a.dtype.newbyteorder("<")) for name, a in arrays.items()
    }
    header = json.dumps(
        {"plain": plain, "arrays": [[n, a.dtype.str, a.shape] for n, a in little.items()]},
        separators=(",", ":"),
        allow_nan=False,
    ).encode()
    body = b"".join(
        [magic, struct.pack("<I", len(header)), header, *(a.tobytes() for a in little.values())]
    )
    return body + struct.pack("<I", zlib.crc32(body))


def unpack(magic: bytes, state: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return what `pack` was given.

    Raises
    ------
    InvalidState
        If the bytes are not whole, not ours, or say more than they hold.
    """
    start = len(magic) + 4
    if len(state) < start + 4 or state[: len(magic)] != magic:
        raise InvalidState("saved state: these bytes are not a state of this version")
    body = state[:-4]
    if zlib.crc32(body) != struct.unpack("<I", state[-4:])[0]:
        raise InvalidState("saved state: the checksum differs; the bytes are damaged or cut short")
    length = struct.unpack("<I", state[len(magic) : start])[0]
    if length > min(MAX_HEADER_BYTES, len(body) - start):
        raise InvalidState("saved state: the header is longer than the bytes")
    try:
        header = json.loads(body[start : start + length])
        plain, listed = header["plain"], header["arrays"]
        arrays = _read_arrays(listed, memoryview(body)[start + length :])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise InvalidState(f"saved state: the header cannot be read ({error})") from error
    if not isinstance(plain, dict):
        raise InvalidState("saved state: the header is not a mapping")
    return plain, arrays


def _read_arrays(listed: list[Any], content: memoryview) -> dict[str, NDArray[Any]]:
    arrays, used = {}, 0
    for name, kind, shape in listed:
        if kind not in {"<f4", "<f8", "<i8", "|b1"}:
            raise ValueError(f"array of type {kind!r}")
        if not all(isinstance(n, int) and n >= 0 for n in shape):
            raise ValueError(f"array of shape {shape!r}")
        dtype = np.dtype(kind)
        size = math.prod(shape) * dtype.itemsize
        if size > len(content) - used:
            raise ValueError("arrays are longer than the bytes")
        arrays[str(name)] = (
            np.frombuffer(content[used : used + size], dtype)
            .reshape(shape)
            .astype(dtype.newbyteorder("="))
        )
        used += size
    if used != len(content):
        raise ValueError("bytes are left over")
    return arrays


def fill(target: NDArray[Any], arrays: Arrays, name: str) -> None:
    """Copy a saved array over one of the same name, if type and shape agree and it is finite."""
    saved = arrays.get(name)
    if saved is None or saved.dtype != target.dtype or saved.shape != target.shape:
        raise InvalidState(f"saved state: {name} is missing or has another shape")
    if saved.dtype.kind == "f" and not (np.abs(saved) < MAX_REAL).all():  # NaN fails too
        raise InvalidState(f"saved state: {name} holds NaN, infinite or implausibly large values")
    target[...] = saved


def whole(plain: Mapping[str, Any], name: str, low: int, high: int) -> int:
    """Return a saved whole number within [low, high]."""
    value = plain.get(name)
    if type(value) is not int or not low <= value <= high:
        raise InvalidState(f"saved state: {name} is {value!r}, not {low} to {high}")
    return value


def real(plain: Mapping[str, Any], name: str) -> float:
    """Return a saved finite number."""
    value: object = plain.get(name)
    if not isinstance(value, int | float) or not abs(value) < MAX_REAL:  # NaN fails too
        raise InvalidState(f"saved state: {name} is {value!r}, not a number")
    return float(value)


def truth(plain: Mapping[str, Any], name: str) -> bool:
    """Return a saved truth value."""
    value = plain.get(name)
    if not isinstance(value, bool):
        raise InvalidState(f"saved state: {name} is {value!r}, not true or false")
    return value


def listing(plain: Mapping[str, Any], name: str, most: int) -> list[Any]:
    """Return a saved list of at most so many items."""
    value = plain.get(name)
    if not isinstance(value, list) or len(value) > most:
        raise InvalidState(f"saved state: {name} is not a list of at most {most}")
    return value
