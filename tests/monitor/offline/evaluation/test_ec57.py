"""Beat-by-beat comparison: the rules of EC57 as bxb reads them, on beats small enough to see."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from wfdb.processing import compare_annotations

from monitor.offline.evaluation.ec57 import (
    BEAT_SYMBOLS,
    BeatComparison,
    beats_and_flutter,
    compare_beats,
    score,
    walk,
)
from tests import naive
from tests.real_data import DATA

FS_HZ = 100.0  # a sample is 10 ms; the window is 15 samples
START = 30_000  # 5:00
BXB_PAIRS = DATA / "reference" / "bxb_pairs.json"


def _array(samples: list[int]) -> NDArray[np.int64]:
    return np.array(samples, np.int64)


def _compare(
    reference: list[int], detected: list[int], symbols: str | None = None, end: int = 100_000
) -> BeatComparison:
    """Compare beats given in samples after 5:00."""
    return compare_beats(
        _array(reference) + START,
        symbols or "N" * len(reference),
        _array(detected) + START,
        FS_HZ,
        n_samples=START + end,
    )


def _outcome(comparison: BeatComparison) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    pairs = zip(
        (comparison.matched_reference - START).tolist(),
        (comparison.matched_detection - START).tolist(),
        strict=True,
    )
    missed, extra = (comparison.missed - START).tolist(), (comparison.extra - START).tolist()
    return list(pairs), missed, extra


def _counts(comparison: BeatComparison) -> tuple[int, int, int]:
    return (
        len(comparison.matched_reference),
        len(comparison.missed),
        len(comparison.extra),
    )


@pytest.mark.parametrize(
    ("reference", "detected", "pairs", "missed", "extra"),
    [
        ([100, 200], [100, 200], [(100, 100), (200, 200)], [], []),
        ([100, 200], [], [], [100, 200], []),
        ([], [100, 200], [], [], [100, 200]),
        ([100], [115], [(100, 115)], [], []),  # 150 ms is within
        ([100], [116], [], [100], [116]),  # 160 ms is not
        ([100], [85], [(100, 85)], [], []),  # either side
        ([100], [84], [], [100], [84]),
        ([100], [92, 101], [(100, 101)], [], [92]),  # the nearer of two
        ([100], [98, 103], [(100, 98)], [], [103]),
        ([100], [95, 105], [(100, 105)], [], [95]),  # as near: the later one
        ([100, 110], [108], [(110, 108)], [100], []),  # one detection, two beats: the nearer
        ([100, 110], [102], [(100, 102)], [110], []),
        ([100, 110], [102, 108], [(100, 102), (110, 108)], [], []),
        ([100, 100], [100], [(100, 100)], [100], []),  # one to one, also for doubled beats
        ([100], [100, 100], [(100, 100)], [], [100]),
        # In order, not at best: 99 would leave 112 nothing nearer than 99 itself.
        ([100, 112], [99, 109], [(100, 99), (112, 109)], [], []),
    ],
)
def test_beats_are_matched_one_to_one_in_order(
    reference: list[int],
    detected: list[int],
    pairs: list[tuple[int, int]],
    missed: list[int],
    extra: list[int],
) -> None:
    """Within 150 ms, each with one at most; what has a nearer neighbour is left to it."""
    assert _outcome(_compare(reference, detected)) == (pairs, missed, extra)


@pytest.mark.parametrize(
    ("reference", "detected", "pairs", "missed", "extra"),
    [
        ([-100, 100], [-100, 100], [(100, 100)], [], []),  # the first five minutes do not count
        ([-100, 100], [-50, 100], [(100, 100)], [], []),
        ([2, 100], [-3, 100], [(2, -3), (100, 100)], [], []),  # matched across the start
        ([20, 100], [-3, 100], [(100, 100)], [20], []),  # too far across
        ([-3, 100], [2, 100], [(100, 100)], [], []),  # belongs to a beat before the start
        ([-3, 100], [20, 100], [(100, 100)], [], [20]),  # too far to belong to it
        ([2, 100], [-8, 3, 100], [(2, 3), (100, 100)], [], []),  # the nearer is after the start
    ],
)
def test_beats_about_the_start_of_the_test_period(
    reference: list[int],
    detected: list[int],
    pairs: list[tuple[int, int]],
    missed: list[int],
    extra: list[int],
) -> None:
    """A beat at 5:00 may be matched from before it; one of an earlier beat costs nothing."""
    assert _outcome(_compare(reference, detected)) == (pairs, missed, extra)


@pytest.mark.parametrize(
    ("reference", "detected", "pairs", "missed", "extra"),
    [
        # As near to the next beat, which has a nearer detection of its own: the pair stands.
        ([96, 108], [102, 111], [(96, 102), (108, 111)], [], []),
        ([102, 111], [96, 108], [(102, 96), (111, 108)], [], []),  # roles reversed
        ([96, 108], [103, 109], [(96, 103), (108, 109)], [], []),  # nearer to the next beat
        ([96, 108], [102, 114], [(108, 114)], [96], [102]),  # its own is as far: no pair
        ([96, 108], [102], [(108, 102)], [96], []),  # it has none
        ([96, 102], [112, 113], [(102, 112)], [96], [113]),  # out of the window, criterion or not
        # The last two of either list: nothing follows, so nothing is taken from it.
        ([96], [102], [(96, 102)], [], []),
        # The next two fit worse than the next beat and this detection: no pair.
        ([96, 106, 116], [104, 112, 117], [(106, 104), (116, 117)], [96], [112]),
    ],
)
def test_a_pair_stands_where_the_next_two_fit_each_other_better(
    reference: list[int],
    detected: list[int],
    pairs: list[tuple[int, int]],
    missed: list[int],
    extra: list[int],
) -> None:
    """The second criterion of bxb, of 2002: at high rates no beat is lost to its neighbour."""
    assert _outcome(_compare(reference, detected)) == (pairs, missed, extra)


def test_the_example_of_bxbs_authors() -> None:
    """At 250 Hz 96/128 and 160/185 are pairs, though 128 is as near to 160."""
    comparison = compare_beats(
        _array([96, 160, 400, 600]), "NNNN", _array([128, 185, 400, 600]), 250.0, 2000, start_s=0.0
    )
    assert comparison.matched_detection.tolist() == [128, 185, 400, 600]
    assert score([comparison]).f1 == 1.0


@pytest.mark.parametrize(
    ("reference", "detected", "counts"),
    [
        ([0, 100], [0, 100], (2, 0, 0)),
        ([10, 100], [0, 100], (1, 1, 0)),  # paired with the start, which is no beat
        ([0, 100], [10, 100], (2, 0, 0)),
        ([20, 100], [5, 22, 100], (2, 0, 1)),  # no beat lies before the start
        ([30, 100], [20, 50, 100], (2, 0, 1)),
        ([], [50], (0, 0, 1)),
    ],
)
def test_a_test_period_from_the_records_first_sample(
    reference: list[int], detected: list[int], counts: tuple[int, int, int]
) -> None:
    """With a start of 0, bxb takes the record's start for something that is no beat."""
    found = score(
        [
            compare_beats(
                _array(reference), "N" * len(reference), _array(detected), FS_HZ, 200, start_s=0.0
            )
        ]
    )
    assert (found.true_positives, found.false_negatives, found.false_positives) == counts


def test_without_the_criterion_of_2002_the_twin_counts_as_bxb_did() -> None:
    """150 short rhythms at 100 Hz, crowded about the start, the end and flutter.

    The counts (TP, FN, FP) come from a C program written after bxb.c of WFDB as it was before, rule
    by rule; 20,000 longer rhythms and all records of MIT-BIH and NSTDB at hand agreed with it as
    well. So the twin is sound about start and end; with the criterion it agrees with us.
    """
    for case in json.loads((Path(__file__).parent / "bxb_counts.json").read_text()):
        reference = _array(case["reference"])
        beats, flutter = beats_and_flutter(reference, case["symbols"])
        plain = (beats.tolist(), case["detected"], 1000, case["end"], 15)
        shown = 2 if flutter else 3  # the twin knows no flutter, which hides extra detections
        before = naive.match(*plain, second_criterion=False)
        assert list(before[:shown]) == case["counts"][:shown], case
        comparison = compare_beats(
            reference,
            case["symbols"],
            _array(case["detected"]),
            FS_HZ,
            n_samples=case["end"],
            start_s=10.0,
        )
        assert _counts(comparison)[:shown] == naive.match(*plain)[:shown], case


@settings(deadline=None)
@given(
    reference=st.lists(st.integers(0, 200), max_size=14).map(sorted),
    detected=st.lists(st.integers(0, 200), max_size=14).map(sorted),
    start=st.sampled_from([0, 5, 50, 100, 300]),
    end=st.sampled_from([None, 150, 210]),
)
def test_the_walk_agrees_with_the_plain_twin(
    reference: list[int], detected: list[int], start: int, end: int | None
) -> None:
    """However crowded, wherever the test period begins and ends."""
    found = walk(reference, detected, start, end, 15)
    assert tuple(len(part) for part in found) == naive.match(reference, detected, start, end, 15)


@pytest.mark.skipif(not BXB_PAIRS.is_file(), reason="no counts of bxb in ../shared/data/reference")
def test_counts_are_bxbs() -> None:
    """80 pairs at 50 to 320 beats a minute, as bxb of WFDB 10.7.0 counts them, exactly."""
    cases = json.loads(BXB_PAIRS.read_text())["pairs"]
    assert len(cases) == 80
    for case in cases:
        comparison = compare_beats(
            _array(case["reference"]),
            "N" * len(case["reference"]),
            _array(case["detected"]),
            case["fs_hz"],
            n_samples=round(120 * case["fs_hz"]),
            start_s=0.0,
        )
        expected = tuple(
            case[name] for name in ("true_positives", "false_negatives", "false_positives")
        )
        assert _counts(comparison) == expected


def test_beats_after_the_records_end_do_not_count() -> None:
    """The test period ends with the record."""
    outcome = _outcome(_compare([100, 900], [100, 500, 905, 990], end=600))
    assert outcome == ([(100, 100)], [], [500])


def test_a_record_of_unknown_length_ends_with_its_last_reference_beat() -> None:
    """Detections after the last annotation cannot be called false."""
    comparison = compare_beats(
        _array([START + 100]), "N", _array([START + 100, START + 300]), FS_HZ, n_samples=None
    )
    assert _outcome(comparison) == ([(100, 100)], [], [])


def test_ventricular_flutter_is_left_out() -> None:
    """Between [ and ] nothing is missed and nothing is false; a beat at its edge still counts."""
    reference, symbols = [100, 200, 250, 260, 300, 400], "N[!N]N"
    detected = [100, 210, 230, 270, 290, 400, 500]
    outcome = _outcome(_compare(reference, detected, symbols))
    assert outcome == ([(100, 100), (400, 400)], [], [500])
    outcome = _outcome(_compare([190, 200, 300], [202], "N[]"))
    assert outcome == ([(190, 202)], [], [])


def test_flutter_that_is_never_ended_lasts() -> None:
    """After [ without ] no beat can be judged."""
    beats, flutter = beats_and_flutter(_array([10, 20, 30]), "N[N")
    assert (beats.tolist(), flutter) == ([10], [(20, math.inf)])


def test_the_beat_codes_are_wfdbs() -> None:
    """Rhythm changes, noise marks and comments are no beats; what WFDB's isqrs() takes is one."""
    table = wfdb.io.annotation.ann_label_table
    codes = zip(table["label_store"], table["symbol"], strict=True)
    beats = {symbol for code, symbol in codes if wfdb.io.annotation.is_qrs[code]}
    # A flutter wave is a QRS to isqrs(), but bxb's map to AAMI labels makes no beat of it.
    assert beats - {"!"} == BEAT_SYMBOLS


def test_annotations_out_of_order_are_refused() -> None:
    """The walk would silently be wrong."""
    with pytest.raises(ValueError, match="order of time"):
        _compare([200, 100], [])


def test_figures_of_one_record() -> None:
    """Sensitivity, positive predictivity, F1 and errors as counted by hand."""
    result = score([_compare([100, 200, 300, 400], [101, 203, 299, 600, 700])])
    assert (result.true_positives, result.false_negatives, result.false_positives) == (3, 1, 2)
    assert result.sensitivity == pytest.approx(3 / 4)
    assert result.positive_predictivity == pytest.approx(3 / 5)
    assert result.f1 == pytest.approx(2 * 3 / (4 + 5))
    assert result.error_median_ms == pytest.approx(10)  # late by 1, 3 and -1 samples
    assert result.error_mean_ms == pytest.approx(10)
    assert result.error_median_abs_ms == pytest.approx(10)
    assert result.error_p95_abs_ms == pytest.approx(28)


def test_nothing_to_score_is_not_a_number() -> None:
    """No beats at all: no figure is made up."""
    result = score([_compare([], [])])
    assert math.isnan(result.sensitivity)
    assert math.isnan(result.positive_predictivity)
    assert math.isnan(result.f1)
    assert math.isnan(result.error_median_ms)


def test_gross_counts_beats_and_not_records() -> None:
    """A record of many beats weighs more than a short one."""
    good = _compare(list(range(100, 1000, 100)), list(range(100, 1000, 100)))
    bad = _compare([100], [])
    assert score([good, bad]).sensitivity == pytest.approx(9 / 10)


BEATS = st.lists(st.integers(-100, 3_000), max_size=60).map(sorted)


@given(reference=BEATS, detected=BEATS)
def test_every_beat_is_counted_once(reference: list[int], detected: list[int]) -> None:
    """Each beat of the test period is in one of pairs, missed or extra, and pairs are near."""
    comparison = _compare(reference, detected)
    found = np.sort(np.concatenate([comparison.matched_reference, comparison.missed])) - START
    assert found.tolist() == [sample for sample in reference if sample >= 0]
    pairs, _, extra = _outcome(comparison)
    assert all(abs(ref - det) <= 15 for ref, det in pairs)
    counted = sorted([det for _, det in pairs] + extra)
    assert set(counted) <= set(detected)
    assert len([d for d in detected if d >= 0]) - len([d for d in counted if d >= 0]) <= 1
    assert [ref for ref, _ in pairs] == sorted(ref for ref, _ in pairs)
    assert [det for _, det in pairs] == sorted(det for _, det in pairs)


@given(
    rr=st.lists(st.integers(35, 150), min_size=1, max_size=80),
    shifts=st.lists(st.integers(-14, 14), min_size=80, max_size=80),
    drop=st.sets(st.integers(0, 79)),
    extra=st.sets(st.integers(0, 79)),
)
def test_agrees_with_wfdb_where_beats_are_apart(
    rr: list[int], shifts: list[int], drop: set[int], extra: set[int]
) -> None:
    """On rhythms with RR over 350 ms, shifted, dropped and doubled beats count as in wfdb-python.

    The two differ by definition: wfdb's window is open (150 ms is outside), it knows neither test
    period nor flutter, and where two beats want one detection it looks one beat back only.
    """
    reference = (100 + np.cumsum(rr)).tolist()
    detected = [
        r + s for i, (r, s) in enumerate(zip(reference, shifts, strict=False)) if i not in drop
    ]
    detected += [r + 17 for i, r in enumerate(reference) if i in extra]
    detected = sorted(set(detected))
    n_matched = compare_annotations(_array(reference), _array(detected), 15).tp if detected else 0
    assert score([_compare(reference, detected)]).true_positives == n_matched


# --- real records -----------------------------------------------------------------------------

needs_mitdb = pytest.mark.skipif(
    not (DATA / "mitdb").is_dir(), reason="no real records in ../shared/data/mitdb"
)


def _detections(beats: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return beats as a middling detector would report them: some missed, some invented."""
    rng = np.random.default_rng(seed)
    found = beats[rng.random(len(beats)) > 0.03]
    jitter = rng.integers(-45, 46, len(found))
    false = rng.integers(0, int(beats[-1]), 50)
    return np.unique(np.clip(np.concatenate([found + jitter, false]), 0, None))


@needs_mitdb
@pytest.mark.parametrize("name", ["119", "203", "207"])
def test_agrees_with_wfdb_on_real_rhythms(name: str) -> None:
    """Over whole records without flutter, both count the same to one in a thousand."""
    annotation = wfdb.rdann(str(DATA / "mitdb" / name), "atr")
    beats, _ = beats_and_flutter(annotation.sample, annotation.symbol)
    detected = _detections(beats, seed=3)
    theirs = compare_annotations(beats, detected, 55)  # open window: 54 samples are within
    ours = score([compare_beats(beats, "N" * len(beats), detected, 360.0, 650_000, start_s=0.0)])
    assert ours.true_positives == pytest.approx(theirs.tp, rel=1e-3)
    assert ours.false_positives == pytest.approx(theirs.fp, abs=3)


@needs_mitdb
@pytest.mark.skipif(shutil.which("bxb") is None, reason="WFDB's bxb is not installed")
@pytest.mark.parametrize("name", ["106", "119", "203", "207", "208"])
def test_agrees_with_bxb_itself(name: str, tmp_path: Path) -> None:
    """The counts of the reference program, exactly."""
    for suffix in ("hea", "dat", "atr"):
        shutil.copy(DATA / "mitdb" / f"{name}.{suffix}", tmp_path)
    annotation = wfdb.rdann(str(DATA / "mitdb" / name), "atr")
    beats, _ = beats_and_flutter(annotation.sample, annotation.symbol)
    detected = _detections(beats, seed=4)
    wfdb.wrann(name, "qrs", detected, ["N"] * len(detected), write_dir=str(tmp_path))
    command = ["bxb", "-r", name, "-a", "atr", "qrs"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    sensitivity = re.search(r"QRS sensitivity:.*\((\d+)/(\d+)\)", said)
    predictivity = re.search(r"QRS positive predictivity:.*\((\d+)/(\d+)\)", said)
    assert sensitivity is not None
    assert predictivity is not None
    ours = score([compare_beats(annotation.sample, annotation.symbol, detected, 360.0, 650_000)])
    n_reference = ours.true_positives + ours.false_negatives
    n_detected = ours.true_positives + ours.false_positives
    assert sensitivity.groups() == (str(ours.true_positives), str(n_reference))
    assert predictivity.groups() == (str(ours.true_positives), str(n_detected))
