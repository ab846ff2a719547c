"""Damage to valid bytes, drawn by Hypothesis: blind, or of the values behind lengths and hashes."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st

Damage = Callable[[st.DrawFn, bytes], bytes]

MAX_CASE_BYTES = 1 << 20
MAX_REPEATED = 100_000  # values of a list, repeated and repeated again; msgspec dies of gigabytes
DEEP = 3000  # more than any decoder recurses

_ODD_NUMBERS = (-1, 0, 2**31, 2**53, 2**63 - 1, 2**64, 10**30, math.nan, math.inf, 1e308)
_ODD_TEXTS = ("\x1b[2J\x1b]0;owned\x07", "../../../etc/passwd", "a" * 5000, "119\n", "NaN", "T99:")
_NUMBERS = st.sampled_from(_ODD_NUMBERS) | st.integers() | st.floats()
_TEXTS = st.text() | st.sampled_from(_ODD_TEXTS)
_VALUES: st.SearchStrategy[Any] = (
    _NUMBERS
    | _TEXTS
    | st.sampled_from((None, True, False, b"\x00\xff"))
    | st.builds(list)  # another each time, since what was drawn may be damaged again
    | st.builds(dict)
    | st.builds(lambda depth: _nested(depth), st.sampled_from((1, 50, 900, 1000, DEEP)))
)
_TOKENS = (
    "nan inf 1e999 -1 0 1_0 0x10 true {a={a=1}} ''' 1979-05-27T07:32:00Z 00:00:00 ~ ../x # = : ? "
    "@data /dev/zero a/2 212 212x4:9+99 516 200(0)/mV 1e-7 a.a.a=1 "
)
_WORDS = st.text(max_size=8) | st.sampled_from([*_TOKENS.split(), "9" * 16, "9" * 5000, "[" * 200])
_FLOATS = st.sampled_from((math.nan, math.inf, 1e38, -1e38, 1e9, -1.0)) | st.floats(width=32)


@st.composite
def damaged(draw: st.DrawFn, seeds: Sequence[bytes], structural: Damage) -> bytes:
    """Draw a case: a seed, damaged in its values more often than blindly, and at times both."""
    case = draw(st.sampled_from(seeds))
    kind = draw(st.integers(0, 9))
    if kind < 7:
        case = structural(draw, case)
    if kind > 5:
        case = blind(draw, case, seeds)
    return case[:MAX_CASE_BYTES]


def blind(draw: st.DrawFn, case: bytes, seeds: Sequence[bytes]) -> bytes:
    """Cut, repeat, overwrite and splice; it knows nothing of what the bytes mean."""
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(case)))
        stop = at + draw(st.sampled_from((0, 1, 4, 64, 1 << 20)))
        other = draw(st.sampled_from(seeds))
        begin = draw(st.integers(0, len(other)))
        known = (other[begin : begin + 32], case[at:stop] * 16, b"")
        case = case[:at] + draw(st.binary(max_size=8) | st.sampled_from(known)) + case[stop:]
    return case


# --- trees of plain values --------------------------------------------------------------------


def damage_tree(draw: st.DrawFn, tree: Any) -> Any:
    """Return a tree of plain values with some replaced, removed, renamed or repeated."""
    for _ in range(draw(st.integers(1, 3))):
        tree = _damaged_once(draw, tree)
    return tree


def _damaged_once(draw: st.DrawFn, tree: Any) -> Any:
    if not isinstance(tree, dict | list) or not tree:
        of_its_kind = {int: _NUMBERS, float: _NUMBERS, str: _TEXTS}.get(type(tree), _VALUES)
        return draw(of_its_kind | _VALUES)
    key = draw(st.sampled_from(list(tree) if isinstance(tree, dict) else range(len(tree))))
    match draw(st.integers(0, 7)):
        case 0:
            del tree[key]
        case 1 if isinstance(tree, dict):
            tree[draw(st.sampled_from(("unknown", "", "type", "kind", "\x00")))] = tree[key]
        case 1 | 2 if isinstance(tree, list) and len(tree) < MAX_REPEATED:
            tree[key:key] = [tree[key]] * draw(st.sampled_from((1, 2, 70, 600)))
        case 3:
            tree[key] = draw(_VALUES)
        case _:  # what it holds, or what that holds
            tree[key] = _damaged_once(draw, tree[key])
    return tree


def _nested(depth: int) -> Any:
    value: Any = 0
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


def json_bytes(tree: Any) -> bytes:
    """Return a tree as JSON, also where JSON cannot say it (NaN); bytes where it is too deep."""
    try:
        return json.dumps(tree, default=repr).encode()
    except RecursionError:
        return b"[" * DEEP + b"]" * DEEP


def damage_json(draw: st.DrawFn, case: bytes) -> bytes:
    """Damage the tree of a JSON document."""
    return json_bytes(damage_tree(draw, json.loads(case)))


def msgpack_bytes(tree: Any) -> bytes:
    """Return a tree as msgpack; bytes that nest as deep where it cannot be said."""
    try:
        return msgspec.msgpack.encode(tree)
    except (OverflowError, RecursionError, UnicodeEncodeError):
        return b"\x91" * DEEP + b"\xcf" + b"\xff" * 8


def damage_msgpack(draw: st.DrawFn, case: bytes) -> bytes:
    """Damage the tree of a msgpack document."""
    return msgpack_bytes(damage_tree(draw, msgspec.msgpack.decode(case)))


# --- text, numbers, frames --------------------------------------------------------------------


def damage_text(draw: st.DrawFn, case: bytes) -> bytes:
    """Damage the words and lines of a text."""
    lines = case.decode("utf-8", "replace").split("\n")
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.integers(0, 6)):
            case 0:
                lines.insert(at, draw(_WORDS))
            case 1:
                lines[at:at] = [lines[at]] * draw(st.sampled_from((1, 2, 300)))
            case 2 if len(lines) > 1:
                del lines[at]
            case _:
                words = lines[at].split(" ")
                words[draw(st.integers(0, len(words) - 1))] = draw(_WORDS)
                lines[at] = " ".join(words)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def damage_floats(draw: st.DrawFn, case: bytes, packed: str = "<f") -> bytes:
    """Put hostile numbers among packed ones, `<f` or `<d`."""
    size, changed = struct.calcsize(packed), bytearray(case)
    for _ in range(draw(st.integers(1, 4)) if len(case) >= size else 0):
        at = size * draw(st.integers(0, len(case) // size - 1))
        changed[at : at + size] = struct.pack(packed, draw(_FLOATS))
    return bytes(changed)


def damage_one_frame(draw: st.DrawFn, case: bytes) -> bytes:
    """Damage one of the frames of a case, which are texts."""
    frames = split_frames(case)
    at = draw(st.integers(0, len(frames) - 1))
    frames[at] = damage_text(draw, frames[at])
    return join_frames(frames)


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
