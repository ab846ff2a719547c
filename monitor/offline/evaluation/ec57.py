"""Beat-by-beat comparison of a detector with reference annotations, as EC57 defines it.

ANSI/AAMI EC57 ("Testing and reporting performance results of cardiac rhythm and ST segment
measurement algorithms"), section 4.3, in the reading of `bxb`, the reference program of WFDB, as it
has been since 24 November 2002 (WFDB 10.7.0). `walk` states its rule of matching; beside it:

- the test period runs from 5:00 to the end of the record, or to the last reference beat where the
  record's length is unknown;
- a detection matches a reference beat within 150 ms, 150 ms included;
- what is no beat is not looked at; between `[` and `]` (ventricular flutter or fibrillation) no
  reference beat is counted, nor is an unmatched detection.

Departures:

- bxb counts detections in reference-marked shutdown, and beats in test-marked shutdown, as a kind
  of their own (X); here they are plain false positives and negatives. Sensitivity and positive
  predictivity are the same.
- Flutter that is never ended lasts to the end of the record; to bxb it does so only if it is the
  first. bxb also remembers no more than the last two periods; here each counts.
- Flutter waves (`!`) outside of `[` and `]` are no beats; bxb matches detections with them, and
  counts those as false positives.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

MATCH_WINDOW_S = 0.15  # EC57
TEST_START_S = 300.0  # EC57: five minutes to learn
BEAT_SYMBOLS = frozenset("NLRBAaJSVrFejnE/fQ?")  # WFDB's beat codes
FLUTTER_START, FLUTTER_STOP = "[", "]"
NEVER = 1 << 62  # the sample of the annotation after the last one, as in bxb a number like others


@dataclass(frozen=True)
class BeatComparison:
    """What became of each beat of one record's test period.

    Attributes
    ----------
    matched_reference, matched_detection : np.ndarray, shape (n_true_positives,), int64
        Samples of the beats that belong to each other, row by row.
    missed : np.ndarray, shape (n_false_negatives,), int64
        Reference beats without a detection.
    extra : np.ndarray, shape (n_false_positives,), int64
        Detections without a reference beat.
    fs_hz : float
        Sampling rate of all samples here.
    reference_has_beats : bool
        Whether the reference has any beat, in or before the test period. Without one there is
        nothing to compare with: `beats_report` leaves the record out of gross and average.
    """

    matched_reference: NDArray[np.int64]
    matched_detection: NDArray[np.int64]
    missed: NDArray[np.int64]
    extra: NDArray[np.int64]
    fs_hz: float
    reference_has_beats: bool = True

    @property
    def position_error_ms(self) -> NDArray[np.float64]:
        """Detection minus reference, in ms: positive is late."""
        samples = self.matched_detection - self.matched_reference
        return samples.astype(np.float64) * (1e3 / self.fs_hz)


@dataclass(frozen=True)
class BeatScore:
    """Figures of one record, or of all beats of many; NaN where nothing defines them.

    Attributes
    ----------
    error_median_ms, error_mean_ms : float
        Of detection minus reference: positive is late.
    error_median_abs_ms, error_p95_abs_ms : float
        Of its absolute value.
    """

    true_positives: int
    false_negatives: int
    false_positives: int
    error_median_ms: float
    error_mean_ms: float
    error_median_abs_ms: float
    error_p95_abs_ms: float

    @property
    def sensitivity(self) -> float:
        """Part of the reference beats that was detected."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def positive_predictivity(self) -> float:
        """Part of the detections that is a beat."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def f1(self) -> float:
        """Harmonic mean of sensitivity and positive predictivity."""
        errors = self.false_negatives + self.false_positives
        return _ratio(2 * self.true_positives, 2 * self.true_positives + errors)


def beats_and_flutter(
    samples: NDArray[np.int64], symbols: Sequence[str]
) -> tuple[NDArray[np.int64], list[tuple[float, float]]]:
    """Return the beats among annotations, and the flutter periods, which hold none.

    Parameters
    ----------
    samples : np.ndarray, shape (n,), int64
        Annotations in order of time.
    symbols : sequence of str, length n
        Their WFDB symbols.

    Returns
    -------
    beats : np.ndarray, shape (n_beats,), int64
    flutter : list of (start, stop)
        First and last sample of each period; stop is infinite where it is never ended.
    """
    beats: list[int] = []
    flutter: list[tuple[float, float]] = []
    started: int | None = None
    for sample, symbol in zip(samples.tolist(), symbols, strict=True):
        if started is not None:
            if symbol == FLUTTER_STOP:
                flutter.append((started, sample))
                started = None
        elif symbol == FLUTTER_START:
            started = sample
        elif symbol in BEAT_SYMBOLS:
            beats.append(sample)
    if started is not None:
        flutter.append((started, math.inf))
    return np.array(beats, np.int64), flutter


def compare_beats(
    reference_samples: NDArray[np.int64],
    reference_symbols: Sequence[str],
    detected_samples: NDArray[np.int64],
    fs_hz: float,
    n_samples: int | None = None,
    start_s: float = TEST_START_S,
    window_s: float = MATCH_WINDOW_S,
) -> BeatComparison:
    """Compare detected beats with reference annotations beat by beat.

    Parameters
    ----------
    reference_samples : np.ndarray, shape (n,), int64
        Reference annotations of any kind, in order of time.
    reference_symbols : sequence of str, length n
        Their WFDB symbols; only beats and flutter periods count.
    detected_samples : np.ndarray, shape (m,), int64
        Detected beats, in order of time.
    fs_hz : float
        Sampling rate of all samples.
    n_samples : int, optional
        Length of the record: the test period's end. None or 0, as of a header that does not say,
        ends it with the last reference beat.
    start_s, window_s : float
        Start of the test period and half-width of the match; EC57's by default.

    Raises
    ------
    ValueError
        If annotations are not in order of time.
    """
    for samples in (reference_samples, detected_samples):
        if np.any(np.diff(samples) < 0):
            raise ValueError("annotations are not in order of time; sort them first")
    beats, flutter = beats_and_flutter(reference_samples, reference_symbols)
    match_samples = math.floor(window_s * fs_hz + 0.5)  # as WFDB rounds a time to samples
    start = math.floor(start_s * fs_hz + 0.5)
    pairs, missed, extra = walk(
        beats.tolist(), detected_samples.tolist(), start, n_samples or None, match_samples
    )
    extra = [t for t in extra if not any(first <= t <= last for first, last in flutter)]
    matched = np.array(pairs, np.int64).reshape(-1, 2)
    return BeatComparison(
        matched_reference=matched[:, 0],
        matched_detection=matched[:, 1],
        missed=np.array(missed, np.int64),
        extra=np.array(extra, np.int64),
        fs_hz=fs_hz,
        reference_has_beats=len(beats) > 0,
    )


def walk(
    reference: Sequence[int], detected: Sequence[int], start: int, end: int | None, window: int
) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """Match two lists of beats in order of time; return pairs, missed beats, extra detections.

    The rule, of the next beat of either list and the one after it:

    1. The earlier of the two is looked at; of two at one sample, the reference beat.
    2. If they are at most `window` apart, they are a pair where the later one is nearer to the
       earlier one than to the earlier one's successor; or (since 2002) where the two successors are
       nearer to each other than the later one is to the earlier one's successor, so that nothing is
       taken from it. Both lists go on by one.
    3. Else the earlier one is alone, and its list goes on by one.
    4. It ends when both are after `end`. A beat may be matched by one after the end.

    Before that, at the start of the test period, the first reference beat from `start` on

    - is matched by the last detection before `start` if that is within the window and nearer than
      the first one after it;
    - or else, if the first detection from `start` on is within the window after `start`, and the
      second one is nearer to the beat, the first one is not counted: its beat may lie before
      `start`.

    Both lists begin with something at sample 0 that is no beat, as in bxb. What is matched with it
    is not counted: with a start of 0, a detection at sample 0 that is no beat's; with a start
    within the window, a reference beat there.

    Parameters
    ----------
    reference, detected : sequence of int
        Samples of all beats of the record, in order of time, none negative.
    start, end : int
        Test period; no end is when the reference beats end.
    window : int
        Samples by which a pair may be apart, at most.

    Source
    ------
    `bxb.c` of WFDB 10.7.0 (G. Moody; its revision of November 2002 after J. Pardey): the rule, in
    our own words.
    """
    outcome = _Outcome()
    refs, dets = [0, *reference], [0, *detected]
    i = 0 if start <= 0 else bisect_left(refs, start, 1)
    j = bisect_left(dets, start, 1) - 1  # the last before the test period
    i, j = _first(refs, dets, i, j, start, window, outcome)
    last = NEVER - 1 if end is None else end
    while True:
        ref, next_ref = _at(refs, i), _at(refs, i + 1)
        det, next_det = _at(dets, j), _at(dets, j + 1)
        if (ref if end is None else min(ref, det)) > last:
            return outcome.pairs, outcome.missed, outcome.extra
        apart = abs(ref - det)
        # The rival of the earlier one is the one after it, for the later one.
        rival = abs(ref - next_det) if det < ref else abs(det - next_ref)
        if apart <= window and (apart < rival or abs(next_ref - next_det) < rival):
            outcome.pair(refs, dets, i, j)
            i, j = i + 1, j + 1
        elif det < ref:
            if j:
                outcome.extra.append(det)
            j += 1
        else:
            if i:
                outcome.missed.append(ref)
            i += 1


@dataclass
class _Outcome:
    """What `walk` has found so far; index 0 of either list is no beat and is not counted."""

    pairs: list[tuple[int, int]] = field(default_factory=list)
    missed: list[int] = field(default_factory=list)
    extra: list[int] = field(default_factory=list)

    def pair(self, refs: list[int], dets: list[int], i: int, j: int) -> None:
        if i and j:
            self.pairs.append((refs[i], dets[j]))


def _first(
    refs: list[int],
    dets: list[int],
    i: int,
    j: int,
    start: int,
    window: int,
    outcome: _Outcome,
) -> tuple[int, int]:
    """Decide on the beats about the test period's start; return where the walk goes on."""
    ref, det, next_det = _at(refs, i), _at(dets, j), _at(dets, j + 1)
    if ref - det <= window and ref - det < abs(ref - next_det):
        outcome.pair(refs, dets, i, j)
        return i + 1, j + 1
    near_start = next_det - start <= window
    second_is_nearer = abs(ref - _at(dets, j + 2)) < abs(ref - next_det)
    return i, j + (2 if near_start and second_is_nearer else 1)


def _at(samples: list[int], index: int) -> int:
    return samples[index] if index < len(samples) else NEVER


def score(comparisons: Iterable[BeatComparison]) -> BeatScore:
    """Return the figures over all beats of the comparisons: of one record, or EC57's "gross"."""
    every = list(comparisons)
    errors_ms = np.concatenate([np.empty(0), *(c.position_error_ms for c in every)])
    return BeatScore(
        true_positives=sum(len(c.matched_reference) for c in every),
        false_negatives=sum(len(c.missed) for c in every),
        false_positives=sum(len(c.extra) for c in every),
        error_median_ms=_or_nan(np.median, errors_ms),
        error_mean_ms=_or_nan(np.mean, errors_ms),
        error_median_abs_ms=_or_nan(np.median, np.abs(errors_ms)),
        error_p95_abs_ms=_or_nan(_p95, np.abs(errors_ms)),
    )


def _p95(values: NDArray[np.float64]) -> np.float64:
    return np.float64(np.percentile(values, 95))


def _or_nan(statistic: Callable[[NDArray[np.float64]], Any], values: NDArray[np.float64]) -> float:
    return float(statistic(values)) if len(values) else math.nan


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
