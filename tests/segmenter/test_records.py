"""Golden floors on real records: named records, named counts, which must not get worse."""

from typing import NamedTuple

import numpy as np
import pytest
import wfdb

from monitor.offline.evaluation.ec57 import BeatComparison, compare_beats
from segmenter.beat import BeatSpec, Quality
from segmenter.stream import Segmenter
from tests.real_data import DATA
from tests.segmenter.gather import Whole, segment


class Floor(NamedTuple):
    """At most so many beats missed and invented, from 5:00 on (EC57)."""

    record: str
    missed: int
    extra: int


FLOORS = [
    Floor("mitdb/101", 1, 3),
    Floor("mitdb/106", 0, 2),
    Floor("mitdb/108", 8, 29),  # P waves higher than the QRS complexes, in noise
    Floor("mitdb/119", 0, 0),
    Floor("mitdb/201", 10, 0),
    Floor("mitdb/203", 12, 21),
    Floor("mitdb/208", 9, 5),
    Floor("mitdb/209", 0, 0),
    Floor("mitdb/223", 1, 0),
]


ALL_LEADS = [
    Floor("mitdb/101", 1, 3),
    Floor("mitdb/106", 0, 3),
    Floor("mitdb/108", 2, 6),
    Floor("mitdb/114", 0, 0),
    Floor("mitdb/116", 1, 0),
    Floor("mitdb/119", 0, 0),
    Floor("mitdb/201", 10, 0),
    Floor("mitdb/203", 15, 17),
    Floor("mitdb/208", 10, 3),
    Floor("mitdb/209", 1, 1),
    Floor("mitdb/223", 0, 0),
]


def compared(record: str, leads: int = 1) -> tuple[Whole, BeatComparison]:
    path = DATA / record
    if not path.with_suffix(".dat").exists():
        pytest.skip(f"{path}.dat is absent")
    read = wfdb.rdrecord(str(path), channels=list(range(leads)))
    reference = wfdb.rdann(str(path), "atr")
    whole = segment(read.p_signal.T, read.fs, range(3600, read.sig_len, 3600))
    comparison = compare_beats(
        reference.sample.astype(np.int64), reference.symbol, whole.r_samples, read.fs, read.sig_len
    )
    return whole, comparison


@pytest.mark.parametrize("floor", FLOORS, ids=lambda floor: floor.record)
def test_detection(floor: Floor) -> None:
    """Detection does not get worse, R is within 10 ms (median), delay within 300 ms (median)."""
    whole, comparison = compared(floor.record)
    assert len(comparison.missed) <= floor.missed
    assert len(comparison.extra) <= floor.extra
    assert np.median(np.abs(comparison.position_error_ms)) <= 10
    assert np.median(whole.beats.delay_ms) <= 300


@pytest.mark.parametrize("floor", ALL_LEADS, ids=lambda floor: floor.record)
def test_detection_of_both_leads(floor: Floor) -> None:
    """The second lead, however poor, does not lower it; R stays that of the first lead."""
    whole, comparison = compared(floor.record, leads=2)
    assert len(comparison.missed) <= floor.missed
    assert len(comparison.extra) <= floor.extra
    assert np.median(np.abs(comparison.position_error_ms)) <= 12
    assert np.median(whole.beats.delay_ms) <= 300


@pytest.mark.parametrize(
    ("record", "f1"),
    [("118e24", 99.9), ("118e18", 99.9), ("118e12", 99.9), ("118e06", 97.0), ("118e00", 84.0),
     ("118e_6", 73.0)],
)  # fmt: skip
def test_noise_stress_of_both_leads(record: str, f1: float) -> None:
    """With noise in both leads, F1 stays above that of the first lead."""
    _, comparison = compared(f"nstdb/{record}", leads=2)
    matched = len(comparison.matched_reference)
    errors = len(comparison.missed) + len(comparison.extra)
    assert 200 * matched / (2 * matched + errors) >= f1


@pytest.mark.parametrize(
    ("record", "f1"),
    [("118e24", 99.9), ("118e18", 99.8), ("118e12", 96.5), ("118e06", 88.0), ("118e00", 79.5),
     ("118e_6", 72.0)],
)  # fmt: skip
def test_noise_stress(record: str, f1: float) -> None:
    """F1 in electrode motion noise stays above gqrs's and does not get worse."""
    _, comparison = compared(f"nstdb/{record}")
    matched = len(comparison.matched_reference)
    errors = len(comparison.missed) + len(comparison.extra)
    assert 200 * matched / (2 * matched + errors) >= f1


def test_clean_records_are_judged() -> None:
    """At most 1 % of the beats of a clean record are withheld."""
    whole, _ = compared("mitdb/101")
    assert np.mean(~whole.beats.judgeable) <= 0.01


def test_lost_leads_are_told() -> None:
    """Record 116 drops to a rail three times: lead_off each time."""
    whole, _ = compared("mitdb/116")
    onsets_s = [e.sample / 360 for e in whole.events if (e.kind, e.state) == ("lead_off", "onset")]
    assert [round(s) for s in onsets_s] == [1001, 1390, 1404]
    assert np.count_nonzero(whole.seconds_quality & Quality.SATURATED) == 5


def test_any_cut_leaves_the_same_state() -> None:
    """Of what a lead shows beside beats too: R of a peak is of the sign of the beat before it.

    Here a beat that is known late changes that sign just before a peak of the next one is known.
    """
    path = DATA / "mitdb/203"
    if not path.with_suffix(".dat").exists():
        pytest.skip(f"{path}.dat is absent")
    record = wfdb.rdrecord(str(path), sampfrom=205_200, sampto=216_000)
    states = set()
    for n_cuts in (1, 14, 1080):
        segmenter = Segmenter(record.fs, BeatSpec(), 2)
        for chunk in np.array_split(record.p_signal.T, n_cuts, axis=1):
            segmenter.update(chunk)
        states.add(segmenter.to_bytes())
    assert len(states) == 1
