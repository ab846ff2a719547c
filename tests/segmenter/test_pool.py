"""Patients of a ward, some at a time, each say to the bit what a segmenter of their own says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmenter.bank import BLOCK
from segmenter.beat import BeatSpec
from segmenter.errors import InvalidSignal, InvalidState
from segmenter.pool import PoolSegmented, SegmenterPool
from segmenter.signs import no_signs
from segmenter.stream import Segmented, Segmenter
from tests.segmenter.gather import Whole, gather, segment
from tests.segmenter.test_bank import mixture
from tests.segmenter.test_stream import TROUBLED

FS_HZ = 250.0
N = 5000


class Step(NamedTuple):
    """What a pool found of the rows that it was given."""

    rows: list[int]
    found: PoolSegmented


def taken(take: Callable[[list[int], Any], PoolSegmented], rows: list[int], given: object) -> Step:
    return Step(list(rows), take(rows, given))


def gathered(said: list[Step], row: int) -> Whole:
    """Join all that was found of one row."""
    return gather([_of_place(found, rows.index(row)) for rows, found in said if row in rows])


def _of_place(found: PoolSegmented, place: int) -> Segmented:
    first = sum(found.counts[:place])
    bank = found.found
    of_second = bank.second_rows == found.rows[place]
    return Segmented(
        beats=found.beats.rows(slice(first, first + found.counts[place])),
        events=tuple(found.events[place]),
        r_samples=np.array(found.r_samples(place), np.int64),
        seconds=bank.seconds[of_second],
        seconds_quality=bank.seconds_quality[of_second],
        signs=found.signs.of_each()[place] or no_signs(),
    )


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.sampled_from([FS_HZ, 360.0]))
def test_whoever_sends_what_when_says_what_it_says_alone(
    seed: int, beds: int, fs_hz: float
) -> None:
    """Some patients at a time, blocks of any length, in any order: equal to the bit."""
    g = np.random.default_rng(seed)
    signals = [mixture(int(g.integers(999)), N) for _ in range(beds)]
    ward, said = SegmenterPool(fs_hz, BeatSpec(), measure_signs=True), list[Step]()
    rows = [ward.add() for _ in signals]
    at = [0] * beds
    while min(at) < N:
        n = int(g.integers(1, 1500))
        able = [k for k in range(beds) if at[k] + n <= N and g.random() < 0.6]
        if not able:
            able, n = [at.index(min(at))], min(n, N - min(at))
        g.shuffle(able)
        chunk = np.stack([signals[k][None, at[k] : at[k] + n] for k in able])
        said.append(taken(ward.update, [rows[k] for k in able], chunk))
        for k in able:
            at[k] += n
    said += [Step([row], ward.flush(row)) for row in rows]
    for row, signal in zip(rows, signals, strict=True):
        assert ward.position(row) == N
        assert gathered(said, row).same_as(segment(signal, fs_hz, spec=BeatSpec()))


@pytest.mark.parametrize("n_first", [1, 2, 3])
def test_who_comes_while_others_send_disturbs_nobody(n_first: int) -> None:
    """Room for one more is made while rows are laid: large pieces stay within their places."""
    signals = [mixture(seed, 14_000) for seed in range(n_first + 1)]
    ward, said = SegmenterPool(FS_HZ, BeatSpec(), measure_signs=True), list[Step]()
    rows = [ward.add() for _ in range(n_first)]
    first, newcomer = signals[:n_first], signals[n_first]
    said.append(taken(ward.update, rows, np.stack([one[None, :1000] for one in first])))
    rows.append(ward.add())
    said.append(
        taken(ward.update, rows[:n_first], np.stack([one[None, 1000:9000] for one in first]))
    )
    said.append(taken(ward.update, rows[n_first:], newcomer[None, None, :9000]))
    for k in range(n_first + 1):
        said.append(taken(ward.update, [rows[k]], signals[k][None, None, 9000:]))
    said += [Step([row], ward.flush(row)) for row in rows]
    for row, signal in zip(rows, signals, strict=True):
        assert gathered(said, row).same_as(segment(signal, FS_HZ, spec=BeatSpec()))


@pytest.mark.parametrize("n_first", [1, 2, 3])
def test_who_comes_before_a_gap_of_others_disturbs_nobody(n_first: int) -> None:
    """The same where those who are laid have a long hole."""
    signals = [mixture(seed, 6000) for seed in range(n_first + 1)]
    ward, said = SegmenterPool(FS_HZ, BeatSpec(), measure_signs=True), list[Step]()
    rows = [ward.add() for _ in range(n_first)]
    said.append(taken(ward.update, rows, np.stack([one[None, :3000] for one in signals[:n_first]])))
    rows.append(ward.add())
    said.append(taken(ward.gap, rows[:n_first], 4000))
    said.append(taken(ward.update, rows[n_first:], signals[n_first][None, None, :3000]))
    for k in range(n_first + 1):
        said.append(taken(ward.update, [rows[k]], signals[k][None, None, 3000:]))
    said += [Step([row], ward.flush(row)) for row in rows]
    for k, (row, signal) in enumerate(zip(rows, signals, strict=True)):
        hole = np.full(4000 if k < n_first else 0, np.nan)
        whole = np.concatenate([signal[:3000], hole, signal[3000:]])
        assert gathered(said, row).same_as(segment(whole, FS_HZ, spec=BeatSpec()))


def test_more_patients_than_a_bank_takes_at_once() -> None:
    """Rows are taken on in banks of a bounded size, and none is forgotten."""
    ward, said = SegmenterPool(FS_HZ, BeatSpec(), measure_signs=True), list[Step]()
    rows = [ward.add() for _ in range(2 * BLOCK + 3)]
    signals = np.stack([np.roll(TROUBLED[:3000], 17 * row) for row in rows])
    for start in range(0, 3000, 500):
        said.append(taken(ward.update, rows, signals[:, None, start : start + 500]))
    said += [Step([row], ward.flush(row)) for row in rows]
    for row in (0, BLOCK - 1, BLOCK, 2 * BLOCK + 2):
        assert gathered(said, row).same_as(segment(signals[row], FS_HZ, spec=BeatSpec()))


@pytest.mark.parametrize("lost", [40, 400, 4000])
def test_holes_of_many_patients_are_taken_together(lost: int) -> None:
    """Each is what it is alone, in banks of a bounded size, whoever has none meanwhile."""
    ward, said = SegmenterPool(FS_HZ, BeatSpec(), measure_signs=True), list[Step]()
    rows = [ward.add() for _ in range(BLOCK + 3)]
    signals = np.stack([np.roll(TROUBLED[:4000], 17 * row) for row in rows])
    said.append(taken(ward.update, rows, signals[:, None, :2500]))
    with_holes = rows[1:]
    said.append(taken(ward.gap, with_holes, lost))
    said.append(taken(ward.update, rows, signals[:, None, 2500:]))
    said += [Step([row], ward.flush(row)) for row in rows]
    for row in (0, 1, BLOCK - 1, BLOCK, BLOCK + 2):
        alone = Segmenter(FS_HZ, BeatSpec(), measure_signs=True)
        parts = [alone.update(signals[row][:2500])]
        parts += [alone.gap(lost)] if row in with_holes else []
        parts += [alone.update(signals[row][2500:]), alone.flush()]
        assert gathered(said, row).same_as(gather(parts))


def test_patients_move_between_wards_and_segmenters() -> None:
    """States are those of a segmenter of one patient."""
    alone = Segmenter(FS_HZ, BeatSpec(), measure_signs=True)
    alone.update(TROUBLED[:2345])
    ward = SegmenterPool(FS_HZ, BeatSpec(), measure_signs=True)
    other, row = ward.add(), ward.add()
    ward.update([other], TROUBLED[None, None, :700])
    ward.restore(row, alone.to_bytes())
    assert ward.to_bytes(row) == alone.to_bytes()
    ward.update([other, row], TROUBLED[None, None, 2345:3000].repeat(2, axis=0))
    ward.gap([row], 400)
    alone.update(TROUBLED[2345:3000])
    alone.gap(400)
    assert ward.to_bytes(row) == alone.to_bytes()


def test_a_damaged_state_leaves_a_new_row() -> None:
    """What cannot be restored is refused; the patient begins anew."""
    ward = SegmenterPool(FS_HZ, BeatSpec(), measure_signs=True)
    row = ward.add()
    with pytest.raises(InvalidState):
        ward.restore(row, b"no state")
    assert ward.to_bytes(row) == Segmenter(FS_HZ, BeatSpec(), measure_signs=True).to_bytes()


def test_memory_is_bounded_by_those_who_are_there() -> None:
    """Rows of patients who have gone are given to others, who begin anew."""
    ward = SegmenterPool(FS_HZ, BeatSpec(), measure_signs=True)
    first = [ward.add() for _ in range(9)]
    ward.update(first, TROUBLED[None, None, :1000].repeat(9, axis=0))
    for _ in range(100):
        ward.remove(first[4])
        row = ward.add()
        assert row == first[4]
        assert ward.position(row) == 0
        assert ward.to_bytes(row) == Segmenter(FS_HZ, BeatSpec(), measure_signs=True).to_bytes()
        ward.update([row], TROUBLED[None, None, :100])
    assert ward.room < 2 * len(first)


def test_a_chunk_has_a_row_for_each() -> None:
    """Samples and rows belong together."""
    ward = SegmenterPool(FS_HZ, BeatSpec(), measure_signs=True)
    with pytest.raises(InvalidSignal, match="1 rows were named"):
        ward.update([ward.add()], np.zeros((2, 1, 5)))


def test_nothing_of_nobody() -> None:
    """A round in which nobody sent anything says nothing."""
    found = SegmenterPool(FS_HZ, BeatSpec(), measure_signs=True).update([], np.zeros((0, 1, 5)))
    assert (len(found.beats), found.counts, found.events) == (0, [], [])
