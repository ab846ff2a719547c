"""A streaming QRS detector: candidates by filter and envelope, decisions by adaptive threshold.

Samples are handled as arrays (patients, samples); each candidate peak, two or three a second, is then
decided on in plain Python, one patient at a time. One set of constants, all from physiology or from
the literature, holds for all records and sampling rates.

Sources
-------
Pan, Tompkins: A real-time QRS detection algorithm. IEEE Trans Biomed Eng 32 (1985) 230-236.
Hamilton, Tompkins: Quantitative investigation of QRS detection rules. IEEE TBME 33 (1986) 1157-1165.
Hamilton: Open source ECG analysis. Computers in Cardiology 29 (2002) 101-104.
Elgendi, Jonkman, De Boer: Frequency bands effects on QRS detection. BIOSIGNALS (2010) 428-431.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from segmenter.errors import InvalidState
from segmenter.filters import STEPS_PER_MV, BandPass, Envelope
from segmenter.state import listing, truth, whole

DOMINANCE_S = 0.16  # a candidate is the highest of the envelope so far to either side
SEARCH_S = 0.08  # R lies within so much of where the envelope says
SMOOTH_S = 0.02  # R is sought in the signal averaged over this
REFRACTORY_S = 0.2  # no two QRS complexes closer (Pan, Tompkins 1985)
T_WAVE_S = 0.36  # so soon after a beat a blunt peak is its T wave (Pan, Tompkins 1985)
T_WAVE_SLOPE = 0.5  # blunt: less than half as steep as the beat before
THRESHOLD = 0.3125  # of the way from noise to signal level (Hamilton 2002)
SEARCH_BACK_RR = 1.5  # a beat is missing after so many mean RR intervals (Hamilton 2002)
SEARCH_BACK_THRESHOLD = 0.5  # of the threshold
LEARN_S = 2.0  # the first thresholds come from so much signal
RELEARN_S = 2.5  # without a beat for so long, the thresholds are learnt anew
POLARITY_BIAS = 1.5
MIN_CREST = 2.0
MIN_HEIGHT_MV = 0.01
MAX_WAITING = 32
MAX_NUMBER = 2.0**63
LEVELS_KEPT = 8  # peaks and intervals that the running levels are medians of


class Candidate(NamedTuple):
    """A peak of the envelope that may be a QRS complex."""

    peak: int  # sample of the envelope's peak
    known: int  # sample at which it is sure to be a peak
    height: float  # mV, mean of the rectified band-pass over the complex
    total: int  # running total of the envelope, in steps
    slope: float  # mV, steepest change over SMOOTH_S
    positive: int  # sample of the highest point near the peak
    positive_height: float  # mV above the local mean
    negative: int
    negative_height: float


class Detection(NamedTuple):
    """A QRS complex."""

    r_sample: int
    known: int  # sample at which the detector was sure of it
    learning: bool  # found while the thresholds were being learnt


@dataclass(frozen=True)
class Timing:
    """The detector's durations in samples."""

    dominance: int
    search: int
    smooth: int
    refractory: int
    t_wave: int
    learn: int
    relearn: int
    second: int

    @classmethod
    def at(cls, fs_hz: float) -> Timing:
        """Return the timing at a sampling rate."""
        return cls(
            dominance=round(DOMINANCE_S * fs_hz),
            search=round(SEARCH_S * fs_hz),
            smooth=max(1, round(SMOOTH_S * fs_hz / 2)),
            refractory=round(REFRACTORY_S * fs_hz),
            t_wave=round(T_WAVE_S * fs_hz),
            learn=round(LEARN_S * fs_hz),
            relearn=round(RELEARN_S * fs_hz),
            second=round(fs_hz),
        )


class CandidateFinder:
    """From samples of many patients to candidate peaks, vectorised.

    Parameters
    ----------
    rows : int
        Patients.
    fs_hz : float
    """

    def __init__(self, rows: int, fs_hz: float) -> None:
        self.timing = timing = Timing.at(fs_hz)
        self.band_pass = BandPass(rows, fs_hz)
        self.envelope = Envelope(rows, fs_hz)
        self.delay = round(self.band_pass.delay_samples + self.envelope.delay_samples)
        self.position = 0
        # Of the envelope: enough to judge a peak on either side. Of the signal: enough to locate R.
        self.heights = np.zeros((rows, 2 * timing.dominance + 1), np.int64)
        self.total = np.zeros((rows, 1), np.int64)
        self.reach = timing.search + 2 * timing.smooth
        self.signal = np.zeros((rows, timing.dominance + self.delay + self.reach + 1))

    def wake(self, position: int, level: float) -> None:
        """Start at `position` as if the signal had been at `level` for ever."""
        self.band_pass.settle(np.full(len(self.signal), level))
        self.envelope.tail[:] = 0
        self.heights[:] = 0
        self.total[:] = 0
        self.signal[:] = level
        self.position = position

    def update(self, chunk: NDArray[np.float64]) -> list[list[Candidate]]:
        """Take the next samples, shape (rows, n) without NaN; return each row's candidates."""
        timing, n = self.timing, chunk.shape[1]
        dominance = timing.dominance
        joined = np.concatenate(
            (self.heights, self.envelope.update(self.band_pass.update(chunk))), axis=1
        )
        signal = np.concatenate((self.signal, chunk), axis=1)
        self.heights = joined[:, n:].copy()
        self.signal = signal[:, n:].copy()
        self.position += n

        # Column k of `middle` is the envelope at sample first + k, each with a full neighbourhood.
        middle = joined[:, dominance + 1 : dominance + 1 + n]
        highest = maximum_filter1d(joined, 2 * dominance + 1, axis=1, mode="nearest")
        totals = middle.cumsum(axis=1) + self.total
        self.total = totals[:, -1:].copy() if n else self.total
        is_peak = (middle == highest[:, dominance + 1 : dominance + 1 + n]) & (
            middle > joined[:, dominance : dominance + n]
        )
        rows, columns = np.nonzero(is_peak)
        found: list[list[Candidate]] = [[] for _ in range(len(chunk))]
        if len(rows) == 0:
            return found
        first = self.position - n - dominance
        nominal = columns + first - self.delay
        # Sample s is column s - (position - signal width) of `signal`.
        start = nominal - self.reach - (self.position - signal.shape[1])
        windows = sliding_window_view(signal, 2 * self.reach + 1, axis=1)[rows, start]
        features = locate(windows, timing)
        positive, positive_height, negative, negative_height, slope = features
        offset = nominal - timing.search
        peak = columns + first
        columns_of = zip(
            peak.tolist(),
            (peak + dominance).tolist(),
            (middle[rows, columns] / (self.envelope.width * STEPS_PER_MV)).tolist(),
            (totals[rows, columns]).tolist(),
            slope.tolist(),
            (offset + positive).tolist(),
            positive_height.tolist(),
            (offset + negative).tolist(),
            negative_height.tolist(),
            strict=True,
        )
        for row, values in zip(rows.tolist(), columns_of, strict=True):
            found[row].append(Candidate(*values))
        return found


def locate(
    windows: NDArray[np.float64], timing: Timing
) -> tuple[
    NDArray[np.int64],
    NDArray[np.float64],
    NDArray[np.int64],
    NDArray[np.float64],
    NDArray[np.float64],
]:
    """Find the highest and lowest point and the steepest slope of the smoothed signal.

    Parameters
    ----------
    windows : np.ndarray, shape (n, 2 * (search + 2 * smooth) + 1)
        Signal around each candidate.

    Returns
    -------
    positive, positive_height, negative, negative_height, slope : np.ndarray, shape (n,)
        Index into the 2 * search + 1 samples of the search, height over the window's mean.
    """
    smooth = timing.smooth
    width = 2 * smooth + 1
    sums = np.zeros((len(windows), windows.shape[1] + 1))
    np.cumsum(windows - windows[:, :1], axis=1, out=sums[:, 1:])
    smoothed = (sums[:, width:] - sums[:, :-width]) / width
    level = (sums[:, -1:] - sums[:, :1]) / windows.shape[1]
    slope = np.abs(smoothed[:, 2 * smooth :] - smoothed[:, : -2 * smooth]).max(axis=1)
    searched = smoothed[:, smooth : smooth + 2 * timing.search + 1] - level
    rows = np.arange(len(windows))
    positive, negative = searched.argmax(axis=1), searched.argmin(axis=1)
    return positive, searched[rows, positive], negative, -searched[rows, negative], slope


class Decider:
    """Decides, for one patient, which candidates are QRS complexes.

    Levels are medians of the last peaks (Hamilton, Tompkins 1986). A candidate between a quarter
    and all of the way counts as QRS when it passes the threshold; one soon after a beat must be as
    steep as a QRS complex. What was passed over is looked at again when a beat is overdue.
    """

    def __init__(self, timing: Timing, scale: float) -> None:
        self.timing = timing
        self.scale = scale
        self.reset(0)

    def reset(self, position: int) -> None:
        """Forget everything and learn from `position` on."""
        self.learning = True
        self.attempt = position + self.timing.learn  # when levels are next learnt
        self.overdue = 0  # when the next beat is overdue; 0 if it was looked for already
        self.waiting: list[Candidate] = []  # passed over since the last beat
        self.qrs: deque[float] = deque(maxlen=LEVELS_KEPT)
        self.noise: deque[float] = deque(maxlen=LEVELS_KEPT)
        self.rr: deque[int] = deque(maxlen=LEVELS_KEPT)
        self.last: Candidate | None = None
        self.inverted = False

    def update(self, candidate: Candidate) -> list[Detection]:
        """Take the next candidate; return the beats that it makes certain."""
        found = self.advance(candidate.known)
        if self.learning or not self._is_qrs(candidate, THRESHOLD):
            self._pass_over(candidate)
        else:
            found.append(self._accept(candidate, candidate.known))
        return found

    def advance(self, position: int) -> list[Detection]:
        """Do what falls due up to `position`: search back for an overdue beat, learn levels."""
        found: list[Detection] = []
        while True:
            if 0 < self.overdue <= min(position, self.attempt):
                due, self.overdue = self.overdue, 0
                found += self._search_back(due)
            elif self.attempt <= position:
                due = self.attempt
                self.attempt = due + self.timing.learn // 4
                found += self._learn(due)
            else:
                return found

    def _threshold(self) -> float:
        noise = median(self.noise) if self.noise else 0.0
        return noise + THRESHOLD * (median(self.qrs) - noise)

    def _is_qrs(self, candidate: Candidate, _threshold: float) -> bool:
        return candidate.height > self._threshold() and self._may_follow(candidate)

    def _may_follow(self, candidate: Candidate) -> bool:
        if self.last is None:
            return True
        since = candidate.peak - self.last.peak
        if since < self.timing.refractory:
            return False
        return since >= self.timing.t_wave or candidate.slope >= T_WAVE_SLOPE * self.last.slope

    def _pass_over(self, candidate: Candidate) -> None:
        if not self.learning:
            self.noise.append(candidate.height)
        self.waiting.append(candidate)
        del self.waiting[:-MAX_WAITING]

    def _accept(self, candidate: Candidate, known: int) -> Detection:
        r_sample = self._r_sample(candidate)
        if self.last is not None:
            rr = candidate.peak - self.last.peak
            self.rr.append(rr)
        self.qrs.append(candidate.height)
        self.last = candidate
        self.waiting.clear()
        timing = self.timing
        usual = median(self.rr) if self.rr else timing.second
        self.overdue = candidate.known + int(SEARCH_BACK_RR * usual)
        self.attempt = candidate.known + max(timing.relearn, int(2 * usual))
        return Detection(r_sample, known, self.learning)

    def _r_sample(self, candidate: Candidate) -> int:
        """The larger of the two deflections; the smaller one if beats so far were of its sign."""
        bias = POLARITY_BIAS if self.inverted else 1 / POLARITY_BIAS
        self.inverted = bias * candidate.negative_height > candidate.positive_height
        return candidate.negative if self.inverted else candidate.positive

    def _search_back(self, due: int) -> list[Detection]:
        limit = SEARCH_BACK_THRESHOLD * self._threshold()
        late = [c for c in self.waiting if c.height > limit and self._may_follow(c)]
        late = [c for c in late if self.last and c.peak - self.last.peak >= self.timing.t_wave]
        if not late:
            return []
        best = max(late, key=lambda c: c.height)
        after = [c for c in self.waiting if c.peak > best.peak]
        found = [self._accept(best, due)]
        for candidate in after:
            if self._is_qrs(candidate, THRESHOLD):
                found.append(self._accept(candidate, due))
            else:
                self.waiting.append(candidate)
        return found

    def _learn(self, due: int) -> list[Detection]:
        since = due - self.timing.relearn
        recent = [c for c in self.waiting if c.peak >= since]
        self.waiting = recent
        if len(recent) < 2:
            return []
        highest = max(c.height for c in recent)
        beats = [c.height for c in recent if c.height > 0.4 * highest]
        level = median(beats)
        if len(beats) < 2 or highest < MIN_HEIGHT_MV:
            return []
        first, last = recent[0], recent[-1]
        mean = (last.total - first.total) / (last.peak - first.peak) / self.scale
        if level < MIN_CREST * mean:
            return []
        self.qrs.clear()
        self.qrs.append(level)
        self.noise.clear()
        self.noise.extend([c.height for c in recent if c.height <= 0.4 * highest][-LEVELS_KEPT:])
        found = []
        self.waiting = []
        for candidate in recent:
            if self._is_qrs(candidate, THRESHOLD):
                found.append(self._accept(candidate, due))
            else:
                self.waiting.append(candidate)
        self.learning = False
        return found

    def to_plain(self) -> dict[str, Any]:
        """Return the state as plain JSON values."""
        return {
            "learning": self.learning,
            "attempt": self.attempt,
            "overdue": self.overdue,
            "waiting": [list(c) for c in self.waiting],
            "qrs": list(self.qrs),
            "noise": list(self.noise),
            "rr": list(self.rr),
            "last": [] if self.last is None else [list(self.last)],
            "inverted": self.inverted,
        }

    def restore(self, plain: Mapping[str, Any], position: int) -> None:
        """Take a state from `to_plain` at `position`; InvalidState if it cannot be one."""
        horizon = position + 60 * self.timing.second
        self.learning = truth(plain, "learning")
        self.inverted = truth(plain, "inverted")
        self.attempt = whole(plain, "attempt", 0, horizon)
        self.overdue = whole(plain, "overdue", 0, horizon)
        self.waiting = [_candidate(c, position) for c in listing(plain, "waiting", MAX_WAITING)]
        self.qrs = deque(_finite(listing(plain, "qrs", LEVELS_KEPT)), LEVELS_KEPT)
        self.noise = deque(_finite(listing(plain, "noise", LEVELS_KEPT)), LEVELS_KEPT)
        self.rr = deque(map(int, _finite(listing(plain, "rr", LEVELS_KEPT))), LEVELS_KEPT)
        last = [_candidate(c, position) for c in listing(plain, "last", 1)]
        self.last = last[0] if last else None
        if not self.learning and not self.qrs:
            raise InvalidState("saved state: levels were learnt but are missing")


def _candidate(values: object, position: int) -> Candidate:
    types = tuple(Candidate.__annotations__.values())
    if not isinstance(values, list) or len(values) != len(types):
        raise InvalidState("saved state: a candidate has not its fields")
    _finite(values)
    candidate = Candidate(*values)
    samples = (candidate.peak, candidate.known, candidate.positive, candidate.negative)
    if any(type(s) is not int or s >= position for s in samples):
        raise InvalidState("saved state: a candidate lies ahead of the signal")
    return candidate


def _finite(values: list[Any]) -> list[Any]:
    if any(type(v) not in (int, float) or not abs(v) < MAX_NUMBER for v in values):
        raise InvalidState("saved state: a level is not a number")
    return values


def median(values: Collection[float]) -> float:
    """Return the upper median; statistics.median takes ten times as long."""
    return sorted(values)[len(values) // 2]
