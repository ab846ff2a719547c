"""The bytes of signs in a bundle, and what must hold of them; `codec` lays them beside beats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.errors import InvalidMessage
from monitor.wire.messages import BeatsHeader
from segmenter.signs import (
    COMPLEX_COLUMNS,
    PULSE_COLUMNS,
    SHAPE_COLUMNS,
    WINDOW_COLUMNS,
    GroupedSigns,
    Signs,
)

COLUMNS: tuple[np.dtype[Any], ...] = (
    np.dtype("<i8"),
    WINDOW_COLUMNS,
    COMPLEX_COLUMNS,
    SHAPE_COLUMNS,
    np.dtype("|u1"),
    PULSE_COLUMNS,
)
NAMES = ("end_sample", "windows", "complexes", "shapes", "readable", "pulses")
SAMPLE_BITS = 53  # of a position: with a message's place before it, one number


def _counts(header: BeatsHeader) -> tuple[int, int, int, int, int, int]:
    """Return how many rows of each column a message has."""
    hops, complexes, leads = header.n_hops, header.n_complexes, len(header.leads)
    waves = len(header.waves)
    return hops, hops * leads, complexes, complexes * leads, hops * waves, header.n_pulses


def sign_bytes(header: BeatsHeader) -> int:
    """Return how many bytes of signs a message has."""
    if not header.n_hops + header.n_complexes + header.n_pulses:
        return 0
    counts = _counts(header)
    return sum(n * column.itemsize for n, column in zip(counts, COLUMNS, strict=True))


def encode_signs(signs: Sequence[Signs]) -> bytes:
    """Return the frame of the signs of messages, in order."""
    return b"".join(
        # Not joined before: numpy compares all fields of each two that it joins.
        getattr(one, name).astype(column, copy=False).tobytes()
        for name, column in zip(NAMES, COLUMNS, strict=True)
        for one in signs
    )


def decode_signs(headers: Sequence[BeatsHeader], frame: bytes) -> Iterator[Signs | None]:
    """Check and unpack the signs of messages, whose size is checked: those of each, in order.

    Raises
    ------
    InvalidMessage
        If hops, complexes or pulses are not in order, not within the signal seen or of no hop, or
        a value is infinite, or not a number where one is needed.
    """
    if not frame:
        return iter([None] * len(headers))
    counts = np.array([_counts(header) for header in headers], np.int64).reshape(-1, len(COLUMNS))
    columns: list[NDArray[Any]] = []
    begin = 0
    for n, dtype in zip(counts.sum(axis=0).tolist(), COLUMNS, strict=True):
        columns.append(np.frombuffer(frame, dtype, n, begin))
        begin += n * dtype.itemsize
    ends, windows, complexes, shapes, readable, pulses = columns
    seen = np.array([header.position for header in headers], np.int64)
    hops = _require_hops(ends, counts[:, 0], seen)
    of_hops = _require_in_hops(complexes, "r_sample", counts[:, 2], hops)
    r_samples = complexes["r_sample"]
    if ((of_hops[1:] == of_hops[:-1]) & (r_samples[1:] <= r_samples[:-1])).any():
        raise InvalidMessage("QRS complexes are not in the order of their R peaks")
    _require_in_hops(pulses, "sample", counts[:, 5], hops)
    _require_waves(headers, pulses, counts[:, 5])
    _require_numbers(windows, complexes, shapes, readable)
    return _of_each(headers, counts, columns)


def _of_each(
    headers: Sequence[BeatsHeader], counts: NDArray[np.int64], columns: list[NDArray[Any]]
) -> Iterator[Signs | None]:
    first, begins = 0, [0] * len(columns)
    for (leads, waves), alike in groupby(headers, lambda one: (len(one.leads), len(one.waves))):
        of_group = counts[first : first + len(list(alike))]
        stops = [begin + n for begin, n in zip(begins, of_group.sum(axis=0).tolist(), strict=True)]
        parts = [column[b:s] for column, b, s in zip(columns, begins, stops, strict=True)]
        ends, windows, complexes, shapes, readable, pulses = parts
        together = Signs(
            ends,
            windows.reshape(-1, leads),
            complexes,
            shapes.reshape(-1, leads),
            readable.view(np.bool_).reshape(len(ends), waves),
            pulses,
        )
        yield from GroupedSigns(together, of_group[:, [0, 2, 5]]).of_each()
        first, begins = first + len(of_group), stops


def _require_hops(
    ends: NDArray[np.int64], counts: NDArray[np.int64], seen: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Raise InvalidMessage unless hops rise, within the signal seen; return a key of each.

    Keys rise over all messages: a message's place, and the sample at which the hop ended.
    """
    places = np.arange(len(counts)).repeat(counts)
    if (ends <= 0).any() or (ends > seen[places]).any():
        raise InvalidMessage("a hop that ends outside of the signal seen")
    keys: NDArray[np.int64] = (places << SAMPLE_BITS) + ends
    if (keys[1:] <= keys[:-1]).any():
        raise InvalidMessage("hops are not in rising order")
    return keys


def _require_in_hops(
    rows: NDArray[Any], sample: str, counts: NDArray[np.int64], hops: NDArray[np.int64]
) -> NDArray[np.intp]:
    """Raise InvalidMessage unless each row is of a hop of its message, in order, and before it.

    Return which hop.
    """
    ends, samples = rows["end_sample"], rows[sample]
    if (samples < 0).any() or (ends < samples).any() or (ends >> SAMPLE_BITS).any():
        raise InvalidMessage(f"a {sample} that is not before the end of its hop")
    keys = (np.arange(len(counts)).repeat(counts) << SAMPLE_BITS) + ends
    at: NDArray[np.intp] = np.searchsorted(hops, keys)
    if len(keys) and (not len(hops) or (hops[np.minimum(at, len(hops) - 1)] != keys).any()):
        raise InvalidMessage(f"a {sample} of a hop that is not there")
    if (at[1:] < at[:-1]).any():
        raise InvalidMessage("signs are not in the order of their hops")
    return at


def _require_waves(
    headers: Sequence[BeatsHeader], pulses: NDArray[Any], counts: NDArray[np.int64]
) -> None:
    """Raise InvalidMessage unless pulses are of waves that are there."""
    n_waves = np.array([len(header.waves) for header in headers], np.int64)
    if (pulses["wave"] >= n_waves.repeat(counts)).any():
        raise InvalidMessage("a pulse of a wave that is not there")


def _require_numbers(
    windows: NDArray[Any], complexes: NDArray[Any], shapes: NDArray[Any], readable: NDArray[Any]
) -> None:
    """Raise InvalidMessage where a value is infinite, or unknown that cannot be."""
    for name in ("missing", "still"):  # NaN fails too
        if not ((windows[name] >= 0) & (windows[name] <= 1)).all():
            raise InvalidMessage(f"{name} of a window is not a share")
    intervals = (complexes["rr_before_ms"], complexes["rr_after_ms"])
    if any(np.isinf(one).any() for one in (windows.view("<f4"), shapes.view("<f4"), *intervals)):
        raise InvalidMessage("signs hold values that are infinite")
    if (readable > 1).any():
        raise InvalidMessage("whether a wave can be read is neither 0 nor 1")
