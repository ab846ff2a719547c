"""Damage to valid bytes: blind, or structural with lengths and checksums made right again."""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import msgspec

Damage = Callable[[bytes, Random], bytes]

MAX_VALUES = 200_000  # of a tree
MAX_CASE_BYTES = 1 << 20
_HOSTILE_TEXT = (
    "",
    "\x00",
    "\x1b[2J\x1b]0;owned\x07",
    "\u202e\u200b",
    "../../../etc/passwd",
    "a" * 5000,
    "119\n",
    "١٢٣",
    "NaN",
    "2026-13-45T99:99:99.999Z",
)
_HOSTILE_NUMBERS = (
    *(0, 1, -1, 2, 255, 65536, 2**31, 2**53 - 1, 2**53, 2**63 - 1, -(2**63), 2**64, 10**30),
    *(math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324, -0.0, 0.5, 1e12, 3.5e38),
)
_HOSTILE_TOKENS = (
    *("", "nan", "inf", "-inf", "1e999", "-1", "0", "9" * 16, "9" * 5000, "1_0", "0x10", "١"),
    *(
        "true",
        "[" * 200,
        "{a={a=1}}",
        '"',
        "'''",
        "1979-05-27T07:32:00Z",
        "00:00:00",
        "a.a.a.a = 1",
    ),
    *("~", "../x", "/dev/zero", "a/2", "212", "212x4:9+99", "516", "200(0)/mV", "1e-7", "\x1b[2J"),
    *("\u202e", "é", "#", "=", ":", ",", "@data", "?"),
)
_FLOATS = (math.nan, math.inf, -math.inf, 1e38, -1e38, 1e-45, 0.0, 1e9, -1.0, 0.5)


def blind(seeds: Sequence[bytes]) -> Damage:
    """Return damage that knows nothing of what the bytes mean; splices come from the seeds."""

    def damage(content: bytes, chance: Random) -> bytes:
        damaged = bytearray(content)
        for _ in range(chance.choice((1, 1, 2, 4, 16))):
            _hit(damaged, chance, seeds)
        return bytes(damaged[:MAX_CASE_BYTES])

    return damage


def _hit(damaged: bytearray, chance: Random, seeds: Sequence[bytes]) -> None:
    at = chance.randrange(len(damaged) + 1)
    stop = min(len(damaged), at + chance.choice((1, 2, 4, 8, 64, 1024)))
    match chance.randrange(7):
        case 0 if stop > at:
            damaged[at] ^= 1 << chance.randrange(8)
        case 1 if stop > at:
            damaged[at] = chance.choice((0, 0x7F, 0x80, 0xFF, 0x0A, 0x22, 0x2D))
        case 2:
            damaged[at:at] = chance.randbytes(chance.choice((1, 2, 4, 32)))
        case 3:
            del damaged[at:stop]
        case 4:
            del damaged[at:]
        case 5:
            damaged[at:at] = damaged[at:stop] * chance.choice((1, 2, 16))
        case _:
            other = chance.choice(seeds)
            begin = chance.randrange(len(other) + 1)
            damaged[at:stop] = other[begin : begin + chance.choice((4, 32, 512))]


def either(structural: Damage, seeds: Sequence[bytes]) -> Damage:
    """Return damage that is structural more often than blind, and now and then both."""
    without_sense = blind(seeds)

    def damage(content: bytes, chance: Random) -> bytes:
        share = chance.random()
        if share < 0.65:
            content = structural(content, chance)
        return content if share < 0.6 else without_sense(content, chance)

    return damage


# --- trees of plain values --------------------------------------------------------------------


def damage_tree(tree: Any, chance: Random) -> Any:
    """Return a tree of plain values with some replaced, removed, renamed, repeated or nested."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        tree = _damaged_once(tree, chance)
    return tree


def _damaged_once(tree: Any, chance: Random) -> Any:
    """Go down by chance, and change what is there."""
    if not isinstance(tree, dict | list) or not tree or chance.random() < 0.05:
        return _hostile(tree, chance)
    key = chance.choice(list(tree)) if isinstance(tree, dict) else chance.randrange(len(tree))
    if isinstance(tree[key], dict | list) and tree[key] and chance.random() < 0.7:
        tree[key] = _damaged_once(tree[key], chance)
        return tree
    match chance.randrange(8):
        case 0:
            del tree[key]
        case 1 if isinstance(tree, dict):
            tree[chance.choice(("unknown", "", "type", "kind", "\x00"))] = tree[key]
        case 1 | 2 if isinstance(tree, list):
            tree[key:key] = [tree[key]] * chance.choice((1, 2, 70, 600))
        case _:
            tree[key] = _hostile(tree[key], chance)
    return tree


def _hostile(value: Any, chance: Random) -> Any:
    kind = chance.randrange(10)
    if kind < 5 and isinstance(value, int | float) and not isinstance(value, bool):
        return chance.choice(_HOSTILE_NUMBERS)
    if kind < 5 and isinstance(value, str):
        return chance.choice(_HOSTILE_TEXT)
    match kind:
        case 5:
            return _nested(value, chance.choice((1, 3, 50, 900, 1000, 3000)), chance)
        case 6:
            return chance.choice((None, True, False, [], {}, b"\x00\xff", [[]], {"a": {}}))
        case 7:
            return chance.choice(_HOSTILE_TEXT)
        case 8 if isinstance(value, int | float):
            return value * chance.choice((-1, 2, 0.5, 10**6)) if abs(value) < 1e15 else 1
        case _:
            return chance.choice(_HOSTILE_NUMBERS)


def _nested(value: Any, depth: int, chance: Random) -> Any:
    as_list = chance.random() < 0.5
    for _ in range(depth):
        value = [value] if as_list else {"a": value}
    return value


def json_bytes(tree: Any) -> bytes:
    """Return a tree as JSON, also where JSON cannot say it (NaN); bytes where it is too deep."""
    try:
        return json.dumps(tree, default=repr).encode()
    except RecursionError:
        return b"[" * 3000 + b"]" * 3000


def damage_json(content: bytes, chance: Random) -> bytes:
    """Damage the tree of a JSON document."""
    return json_bytes(damage_tree(json.loads(content), chance))


def msgpack_bytes(tree: Any) -> bytes:
    """Return a tree as msgpack; bytes that nest as deep where it cannot be said.

    Lists of what was repeated before grow to gigabytes, and msgspec does not survive that there is
    no memory for them.
    """
    try:
        if not _is_larger(tree, MAX_VALUES):
            return msgspec.msgpack.encode(tree)
    except (OverflowError, RecursionError, UnicodeEncodeError):
        pass
    return b"\x91" * 3000 + b"\xcf" + b"\xff" * 8


def _is_larger(tree: Any, most: int) -> bool:
    """Whether a tree has more values than so many, those that come again counted again."""
    n, left = 0, [tree]
    while left and n <= most:
        value = left.pop()
        n += 1
        if isinstance(value, dict):
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)
    return n > most


def damage_msgpack(content: bytes, chance: Random) -> bytes:
    """Damage the tree of a msgpack document."""
    return msgpack_bytes(damage_tree(msgspec.msgpack.decode(content), chance))


# --- text and numbers -------------------------------------------------------------------------


def damage_text(content: bytes, chance: Random) -> bytes:
    """Damage the words and lines of a text."""
    lines = content.decode("utf-8", "replace").split("\n")
    for _ in range(chance.choice((1, 1, 2, 3))):
        at = chance.randrange(len(lines))
        match chance.randrange(7):
            case 0 if len(lines) > 1:
                del lines[at]
            case 1:
                lines[at:at] = [lines[at]] * chance.choice((1, 2, 300))
            case 2:
                lines.insert(at, " ".join(chance.choices(_HOSTILE_TOKENS, k=3)))
            case _:
                words = lines[at].split(" ")
                words[chance.randrange(len(words))] = chance.choice(_HOSTILE_TOKENS)
                lines[at] = " ".join(words)
    return "\n".join(lines).encode("utf-8", "surrogatepass")[:MAX_CASE_BYTES]


def damage_floats(content: bytes, chance: Random, kind: str) -> bytes:
    """Put hostile numbers among packed ones, `<f4` or `<f8`."""
    packed, size = ("<f", 4) if kind == "<f4" else ("<d", 8)
    damaged = bytearray(content)
    for _ in range(chance.choice((1, 1, 3, 30)) if len(damaged) >= size else 0):
        at = chance.randrange(len(damaged) // size) * size
        damaged[at : at + size] = struct.pack(packed, chance.choice(_FLOATS))
    return bytes(damaged)


# --- what is made right again -----------------------------------------------------------------


def join_frames(frames: Sequence[bytes]) -> bytes:
    """Return frames as one case, each behind its length."""
    return b"".join(struct.pack("<I", len(frame)) + frame for frame in frames)


def split_frames(case: bytes) -> list[bytes]:
    """Return the frames of a case; a length that is not true takes what is there."""
    frames, at = [], 0
    while at + 4 <= len(case):
        (length,) = struct.unpack_from("<I", case, at)
        frames.append(case[at + 4 : at + 4 + length])
        at += 4 + length
    return frames


def sealed_state(magic: bytes, header: bytes, arrays: bytes) -> bytes:
    """Return a segmenter's state with a right length and a right checksum."""
    body = magic + struct.pack("<I", len(header)) + header + arrays
    return body + struct.pack("<I", zlib.crc32(body))


def sealed_tensors(header: bytes, tensors: bytes) -> bytes:
    """Return a safetensors file with a right length of its header."""
    return struct.pack("<Q", len(header)) + header + tensors


def split_tensors(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the header of a safetensors file, and what follows it."""
    (length,) = struct.unpack_from("<Q", content)
    return json.loads(content[8 : 8 + length]), content[8 + length :]
