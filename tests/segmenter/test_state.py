import json
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmenter.bank import MAGIC
from segmenter.beat import BeatSpec
from segmenter.errors import InvalidState
from segmenter.state import pack, unpack
from segmenter.stream import Segmenter
from tests.segmenter.synthetic import ecg, regular

PLAIN = {"a": 1, "b": [0.1, True], "c": {"d": "é"}}
ARRAYS = {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "y": np.array([True])}


def sealed(header: bytes, content: bytes = b"", length: int | None = None) -> bytes:
    """Return bytes with a right checksum around any header."""
    size = len(header) if length is None else length
    body = MAGIC + struct.pack("<I", size) + header + content
    return body + struct.pack("<I", zlib.crc32(body))


def saved() -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    segmenter = Segmenter(250.0, BeatSpec())
    segmenter.update(ecg(250.0, regular(0.8, 10), 10))
    return unpack(MAGIC, segmenter.to_bytes())


def test_round_trip() -> None:
    """What is packed comes back, type and shape and all."""
    plain, arrays = unpack(MAGIC, pack(MAGIC, PLAIN, ARRAYS))
    assert plain == PLAIN
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


@given(st.binary(max_size=200))
def test_foreign_bytes_are_refused(foreign: bytes) -> None:
    """Whatever the bytes are, the error is InvalidState."""
    for state in (foreign, MAGIC + foreign, sealed(foreign)):
        with pytest.raises(InvalidState):
            unpack(MAGIC, state)


@pytest.mark.parametrize(
    "arrays",
    [
        [["x", "<f8", [1 << 60]]],
        [["x", "<f8", [-1]]],
        [["x", "|O", [1]]],
        [["x", "<f8", [True]]],
        [["x"]],
        7,
    ],
)
def test_arrays_that_are_not_there_are_refused(arrays: object) -> None:
    """Sizes are checked against the bytes before memory is taken; objects are never read."""
    header = json.dumps({"plain": {}, "arrays": arrays}).encode()
    with pytest.raises(InvalidState):
        unpack(MAGIC, sealed(header, b"\0" * 4))


def test_a_header_longer_than_the_bytes_is_refused() -> None:
    """The length field is not believed."""
    with pytest.raises(InvalidState, match="longer"):
        unpack(MAGIC, sealed(b"{}", length=1 << 31))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fs_hz", 1e9),
        ("fs_hz", "250"),
        ("spec", {"window": "rr"}),
        ("spec", {"window": "?", "length": 140, "version": 1}),
        ("spec", None),
        ("position", -1),
        ("position", 1 << 60),
        ("position", 2.5),
        ("gaps", [True]),
        ("levels", [None]),
        ("levels", [10**400]),
        ("levels", [1e300]),
        ("fs_hz", 10**400),
        ("spec", "typical"),
        ("tracker", None),
        ("n_leads", 0),
        ("n_leads", 2),
        ("gaps", []),
        ("left_out", [1]),
        ("leads", [None]),
    ],
)
def test_values_out_of_bounds_are_refused(name: str, value: object) -> None:
    """A well-formed state with one absurd value, other than another spec, is refused."""
    plain, arrays = saved()
    plain[name] = value
    if value == {"window": "rr"}:
        Segmenter.from_bytes(pack(MAGIC, plain, arrays))  # defaults fill in
        return
    with pytest.raises(InvalidState):
        Segmenter.from_bytes(pack(MAGIC, plain, arrays))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("quiet_since", 10**9),
        ("noisy_seconds", -1),
        ("previous", [1, 2, [0], [[1, 2, False, False, 10**9, 0.1, 0]]]),
        ("previous", [1, 2, [0], [[1, 2, False, False, 3, "high", 0]]]),
        ("rr", [0]),
        ("open", [10**9, 3, [0], [[]]]),
        ("open", [1, 2, [0, 0], [[]]]),
        ("open", [1, 2, [1 << 16], [[]]]),
        ("open", [1, 2, [0], [7]]),
        ("open", [1, 2]),
        ("open", 5),
        ("active", "noisy"),
    ],
)
def test_a_tracker_out_of_bounds_is_refused(name: str, value: object) -> None:
    """So is one in the part that follows the beats."""
    plain, arrays = saved()
    plain["tracker"][name] = value
    with pytest.raises(InvalidState):
        Segmenter.from_bytes(pack(MAGIC, plain, arrays))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning", 1),
        ("attempt", -(10**12)),
        ("attempt", 10**12),
        ("overdue", None),
        ("waiting", [[1, 2, 3]]),
        ("waiting", [[10**9] * 9]),
        ("waiting", [["a"] * 9]),
        ("waiting", [[7] * 9]),  # known as it came
        ("recent", [0] * 999),
        ("qrs", []),
        ("qrs", ["x"]),
        ("noise", [1e300]),
        ("rr", [-9]),
        ("rr", [1.5]),
        ("waiting", [[7, 47, 0.1, 0, 0.1, 7, 0.1, 7, 0.1]] * 2),  # twice the same
        ("last", [None]),
        ("held", [[0, 40, 1.0, 0, 1.0, 0, 1.0, 0, 1.0]]),  # long decided
    ],
)
def test_a_detector_out_of_bounds_is_refused(name: str, value: object) -> None:
    """So is one in the detector's part."""
    plain, arrays = saved()
    plain["leads"][0]["decider"][name] = value
    with pytest.raises(InvalidState):
        Segmenter.from_bytes(pack(MAGIC, plain, arrays))


@pytest.mark.parametrize("name", ["signal0", "filter0", "heights0", "near0"])
def test_arrays_of_another_shape_or_not_finite_are_refused(name: str) -> None:
    """Arrays must be those of this sampling rate, and numbers."""
    plain, arrays = saved()
    missing = {k: v for k, v in arrays.items() if k != name}
    short = {**arrays, name: arrays[name][..., 1:]}
    bad = [missing, short]
    if arrays[name].dtype.kind == "f":
        bad.append({**arrays, name: np.full_like(arrays[name], np.nan)})
        bad.append({**arrays, name: np.full_like(arrays[name], 1e30)})
    for each in bad:
        with pytest.raises(InvalidState, match=name):
            Segmenter.from_bytes(pack(MAGIC, plain, each))
