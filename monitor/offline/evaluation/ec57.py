"""Beat-by-beat comparison of a detector with reference annotations, as EC57 defines it.

ANSI/AAMI EC57 ("Testing and reporting performance results of cardiac rhythm and ST segment
measurement algorithms"), section 4.3, in the reading of WFDB's reference program `bxb`, whose
rules are followed one by one:

- the test period runs from 5:00 to the end of the record;
- a detection matches a reference beat within 150 ms; both are walked in order of time, and an
  annotation is left to its next neighbour where that one is nearer;
- at the start of the test period, a reference beat may be matched by the last detection of the
  learning period, and a detection just after the start that belongs to a reference beat of the
  learning period is not counted;
- reference beats between `[` and `]` (ventricular flutter or fibrillation) are not counted, nor
  are unmatched detections there.

Departure: bxb calls detections in reference-marked shutdown false positives of their own kind (X);
here they are plain false positives, which gives the same sensitivity and positive predictivity.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MATCH_WINDOW_S = 0.15  # EC57
TEST_START_S = 300.0  # EC57: five minutes to learn
BEAT_SYMBOLS = frozenset("NLRBAaJSVrFejnE/fQ?")  # WFDB's beat codes
FLUTTER_START, FLUTTER_STOP = "[", "]"
_NEVER = 1 << 62  # the sample of the annotation after the last one, as in bxb a number like others


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
    """

    matched_reference: NDArray[np.int64]
    matched_detection: NDArray[np.int64]
    missed: NDArray[np.int64]
    extra: NDArray[np.int64]
    fs_hz: float

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
        Length of the record: the test period's end. None ends it with the last reference beat.
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
    end = n_samples if n_samples is not None else (int(beats[-1]) if len(beats) else 0)
    pairs, missed, extra = _walk(
        beats[beats >= start].tolist(), detected_samples.tolist(), start, end, match_samples
    )
    extra = [t for t in extra if not any(first <= t <= last for first, last in flutter)]
    matched = np.array(pairs, np.int64).reshape(-1, 2)
    return BeatComparison(
        matched_reference=matched[:, 0],
        matched_detection=matched[:, 1],
        missed=np.array(missed, np.int64),
        extra=np.array(extra, np.int64),
        fs_hz=fs_hz,
    )


def _walk(
    reference: list[int], detected: list[int], start: int, end: int, match_samples: int
) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """Walk both lists in order of time; return pairs, missed reference beats, extra detections.

    `reference` begins with the test period, `detected` with the record.
    """
    pairs: list[tuple[int, int]] = []
    missed: list[int] = []
    extra: list[int] = []
    i, j = _first(reference, detected, start, match_samples, pairs)
    while True:
        ref, next_ref = _at(reference, i), _at(reference, i + 1)
        det, next_det = _at(detected, j), _at(detected, j + 1)
        if min(ref, det) > end:
            return pairs, missed, extra
        if det < ref:
            if ref - det <= match_samples and ref - det < abs(ref - next_det):
                pairs.append((ref, det))
                i, j = i + 1, j + 1
            else:
                extra.append(det)
                j += 1
        elif det - ref <= match_samples and det - ref < abs(det - next_ref):
            pairs.append((ref, det))
            i, j = i + 1, j + 1
        else:
            missed.append(ref)
            i += 1


def _first(
    reference: list[int],
    detected: list[int],
    start: int,
    match_samples: int,
    pairs: list[tuple[int, int]],
) -> tuple[int, int]:
    """Decide on the beats about the test period's start; return where the walk continues."""
    j = bisect_left(detected, start)  # first detection of the test period
    ref, det = _at(reference, 0), _at(detected, j)
    if j > 0:
        lag = ref - detected[j - 1]  # to the last detection of the learning period
        if lag <= match_samples and lag < abs(ref - det):
            pairs.append((ref, detected[j - 1]))
            return 1, j
    if det - start <= match_samples and abs(ref - _at(detected, j + 1)) < abs(ref - det):
        return 0, j + 1
    return 0, j


def _at(samples: list[int], index: int) -> int:
    return samples[index] if index < len(samples) else _NEVER


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
