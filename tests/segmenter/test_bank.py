"""A bank of many patients says of each, to the bit, what a segmenter of that one alone says."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from segmenter.bank import BankSegmented, SegmenterBank
from segmenter.beat import BeatSpec, joined_beats
from segmenter.errors import InvalidSignal, InvalidState, OtherState
from segmenter.signs import Signs, joined_signs
from segmenter.stream import Segmenter
from tests.segmenter.gather import Whole, segment
from tests.segmenter.synthetic import ecg, regular
from tests.segmenter.test_stream import TROUBLED, stretch

FS_HZ = 250.0


def gathered(outputs: Iterable[BankSegmented], row: int, leads: int = 1) -> Whole:
    """Join what a bank said of one row."""
    said = list(outputs)
    parts = []
    for one in said:
        mine = np.flatnonzero(one.beat_rows == row)
        parts += [one.beats.rows(slice(k, k + 1)) for k in mine.tolist()]
    return Whole(
        joined_beats(parts, 140, leads),
        [event for one in said for of_row, event in one.events if of_row == row],
        np.concatenate([one.r_samples[one.r_rows == row] for one in said]),
        np.concatenate([one.seconds[one.second_rows == row] for one in said]),
        np.concatenate([one.seconds_quality[one.second_rows == row] for one in said]),
        joined_signs([signs_of(one, row) for one in said], leads),
    )


def signs_of(found: BankSegmented, row: int) -> Signs:
    """Return the signs of one row."""
    of = found.found_signs
    rows = (of.hop_rows, of.complex_rows, of.pulse_rows)
    return of.signs.part(*(np.flatnonzero(of_row == row) for of_row in rows))


def mixture(seed: int, n: int) -> NDArray[np.float64]:
    """Return n samples of hearts and troubles, one after the other."""
    g = np.random.default_rng(seed)
    parts = [stretch(g, int(g.integers(0, 8)), int(g.integers(1, 3000))) for _ in range(12)]
    return np.resize(np.concatenate(parts), n)


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.integers(0, 999), min_size=1, max_size=5),
    st.lists(st.integers(0, 6000), max_size=12),
    st.sampled_from(["rr", "midpoint", "typical"]),
)
def test_a_row_gives_what_it_gives_alone(seeds: list[int], cuts: list[int], window: str) -> None:
    """Whatever the other rows hold, and however the samples are cut: equal to the bit."""
    spec = BeatSpec(window=window)  # type: ignore[arg-type]
    signals = np.stack([mixture(seed, 6000) for seed in seeds])
    bank = SegmenterBank(len(seeds), FS_HZ, spec, measure_signs=True)
    said = [bank.update(piece) for piece in np.split(signals[:, None], sorted(cuts), axis=2)]
    said.append(bank.flush())
    for row, signal in enumerate(signals):
        assert gathered(said, row).same_as(segment(signal, FS_HZ, spec=spec))


def test_clean_rows_beside_rows_with_gaps() -> None:
    """A row whose lead is off for half a minute changes nothing for its neighbours."""
    clean = ecg(FS_HZ, regular(0.7, 40), 40)
    lost = clean.copy()
    lost[2000:9000] = np.nan
    bank = SegmenterBank(3, FS_HZ, BeatSpec(), measure_signs=True)
    signals = np.stack([clean, lost, -clean])
    said = [bank.update(signals[:, None, at : at + 250]) for at in range(0, 10000, 250)]
    said.append(bank.flush())
    for row, signal in enumerate(signals):
        assert gathered(said, row).same_as(segment(signal, FS_HZ))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 9999), st.integers(0, 9999))
@example(leaves=389, beds=2589)  # a bank that is farther, whose detector has done later things
def test_a_patient_moves_from_bank_to_bank(leaves: int, beds: int) -> None:
    """A row saved at any sample goes on in another bank that is at another position."""
    first = SegmenterBank(2, FS_HZ, BeatSpec(), measure_signs=True)
    said = [first.update(np.stack([TROUBLED[:leaves]] * 2)[:, None])]
    second = SegmenterBank(3, FS_HZ, BeatSpec(), measure_signs=True)
    second.update(np.stack([TROUBLED[:beds]] * 3)[:, None])
    state = first.to_bytes(1)
    second.restore(2, state)
    assert second.to_bytes(2) == state
    assert second.positions.tolist() == [beds, beds, leaves]
    rest = TROUBLED[leaves:]
    others = np.resize(TROUBLED[beds:], len(rest))
    went_on = [second.update(np.stack([others, others, rest])[:, None]), second.flush()]
    whole = [gathered(said, 1), gathered(went_on, 2)]
    alone = segment(TROUBLED, FS_HZ)
    assert np.concatenate([w.r_samples for w in whole]).tolist() == alone.r_samples.tolist()
    assert joined_beats([w.beats for w in whole], 140).values.tobytes() == (
        alone.beats.values.tobytes()
    )


def test_a_gap_of_a_bank_is_a_gap_of_each() -> None:
    """gap(n) of a bank leaves each row as gap(n) of it alone does."""
    bank = SegmenterBank(2, FS_HZ, BeatSpec(), measure_signs=True)
    alone = Segmenter(FS_HZ, BeatSpec(), measure_signs=True)
    bank.update(np.stack([TROUBLED[:900]] * 2)[:, None])
    alone.update(TROUBLED[:900])
    for lost in (7, 400, 10**9):
        bank.gap(lost)
        alone.gap(lost)
        assert bank.to_bytes(0) == bank.to_bytes(1) == alone.to_bytes()


def test_a_damaged_state_leaves_a_row_as_a_new_one() -> None:
    """What cannot be restored is refused, and the row begins anew; the others go on."""
    bank = SegmenterBank(2, FS_HZ, BeatSpec(), measure_signs=True)
    bank.update(np.stack([TROUBLED[:2000]] * 2)[:, None])
    other, state = bank.to_bytes(0), bytearray(bank.to_bytes(1))
    state[-40] ^= 1
    with pytest.raises(InvalidState):
        bank.restore(1, bytes(state))
    assert bank.to_bytes(1) == SegmenterBank(1, FS_HZ, BeatSpec(), measure_signs=True).to_bytes(0)
    assert bank.to_bytes(0) == other


@pytest.mark.parametrize(("fs_hz", "spec"), [(360.0, BeatSpec()), (FS_HZ, BeatSpec(window="rr"))])
def test_a_state_of_another_rate_or_spec_is_refused(fs_hz: float, spec: BeatSpec) -> None:
    """A bank has one sampling rate and one kind of beat."""
    state = SegmenterBank(1, fs_hz, spec, measure_signs=True).to_bytes(0)
    with pytest.raises(OtherState, match="not to this bank"):
        SegmenterBank(1, FS_HZ, BeatSpec(), measure_signs=True).restore(0, state)


@pytest.mark.parametrize("shape", [(2,), (2, 10), (3, 1, 10), (2, 2, 10), (1, 2, 3)])
def test_chunks_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    """A chunk has as many rows and leads as the bank."""
    with pytest.raises(InvalidSignal, match="shape"):
        SegmenterBank(2, FS_HZ, BeatSpec(), measure_signs=True).update(np.zeros(shape))


def test_a_bank_of_nobody_is_refused() -> None:
    """There is at least one patient."""
    with pytest.raises(InvalidSignal, match="0 patients given"):
        SegmenterBank(0, FS_HZ, BeatSpec(), measure_signs=True)
