"""A streaming QRS detector: candidates by filter and envelope, decisions by adaptive threshold.

Samples are handled as arrays (patients, samples); each candidate peak, two or three a second, is
then decided on in plain Python, one patient at a time. One set of constants, from physiology or
from the literature, holds for all records and sampling rates.

Sources
-------
Pan, Tompkins: A real-time QRS detection algorithm. IEEE Trans Biomed Eng 32 (1985) 230-236.
Hamilton, Tompkins: Quantitative investigation of QRS detection rules using the MIT/BIH
arrhythmia database. IEEE Trans Biomed Eng 33 (1986) 1157-1165.
Hamilton: Open source ECG analysis. Computers in Cardiology 29 (2002) 101-104.
Elgendi, Jonkman, De Boer: Frequency bands effects on QRS detection. BIOSIGNALS (2010) 428-431.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from segmenter.errors import InvalidState
from segmenter.filters import STEPS_PER_MV, BandPass, Envelope
from segmenter.state import listing, truth, whole

DOMINANCE_S = 0.16  # a candidate is the highest of the envelope so far to either side
SEARCH_S = 0.08  # R lies within so much of where the envelope says
SMOOTH_S = 0.02  # R is sought in the signal averaged over this
REFRACTORY_S = 0.2  # no two QRS complexes closer (Pan, Tompkins 1985)
THRESHOLD = 0.3125  # of the way from noise to signal level (Hamilton 2002)
NOISE_DECAY = 0.98  # a beat, while nothing is seen of the noise: halved in half a minute
LEVELS_KEPT = 8  # peaks and intervals that the running levels are medians of (Hamilton 2002)

T_WAVE_S = 0.36  # a T wave comes sooner (Pan, Tompkins 1985)
T_WAVE_END_S = 0.5  # of the longest usual QT interval
T_WAVE_SLOPE = 0.85  # of the last beat's: steeper is no T wave at the refractory period's end
P_WAVE_S = 0.25  # a P wave comes no earlier before its QRS: first-degree block is rarely longer
P_WAVE_BEFORE_S = (0.3, 0.1)  # P waves lie so long before the expected beat
P_WAVE_HEIGHT = 0.9  # of the signal level: lower is weak
P_WAVE_LEVEL = 0.07  # of the signal level: in the QRS band no P wave is higher, once beats stop
SEARCH_BACK_RR = 1.5  # a beat is missing after so many usual intervals (Hamilton 2002)
SECOND_LOOK_RR = 1.2  # two beats further apart may hide a premature one and its pause
SECOND_LOOK = 0.5  # of the threshold, for a beat that is missing
CLEAR_OF_NOISE = 2.0  # times the noise level, for the same
PAUSE_S = 3.0  # a longer interval is a pause and says nothing of the usual one
GIANT = 4.0  # times the signal level: two in a row are a change of gain, not ectopic beats

LEARN_S = 2.0  # the first levels come from so much signal
RELEARN_S = 2.5  # without a beat for so long, the levels are learnt anew
WINDOW_S = 3.5  # they are learnt from so much signal: two beats at 35 a minute
AGAIN_S = 0.5  # learning that failed is tried again so much later
FORGET_S = 20.0  # levels older than this say nothing
TOP = 0.4  # of the highest peak: what exceeds it may be a beat
MIN_CREST = 2.2  # see Decider._stands_out
MIN_CREST_REGULAR = 1.7
FEWEST_REGULAR = 5  # beats that make a rhythm
REGULAR = 0.2  # spread of regular intervals, in intervals
MIN_HEIGHT_MV = 0.003  # no QRS complex is lower; a QRS of 0.05 mV gives five times as much
QUIET_MV = 0.02  # noise of this envelope, some 0.1 mV from peak to peak, hides no beats
NOISY_RATIO = 0.5  # noise level over a beat's height: more, and the beat is not to be trusted
POLARITY_BIAS = 1.5  # how much larger a deflection must be to become R against the last beat's
MAX_WAITING = 32  # candidates remembered
MAX_NUMBER = 2.0**63
FAR = 1 << 62  # never

Number = TypeVar("Number", int, float)


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
    noisy: bool  # hardly higher than the noise about it


@dataclass(frozen=True)
class Timing:
    """The detector's durations in samples."""

    dominance: int
    search: int
    smooth: int
    refractory: int
    t_wave: int
    t_wave_end: int
    p_wave: int
    p_first: int
    p_last: int
    learn: int
    relearn: int
    window: int
    again: int
    forget: int
    pause: int
    second: int

    @classmethod
    def at(cls, fs_hz: float) -> Timing:
        """Return the timing at a sampling rate."""

        def samples(seconds: float) -> int:
            return round(seconds * fs_hz)

        return cls(
            dominance=samples(DOMINANCE_S),
            search=samples(SEARCH_S),
            smooth=max(1, samples(SMOOTH_S / 2)),
            refractory=samples(REFRACTORY_S),
            t_wave=samples(T_WAVE_S),
            t_wave_end=samples(T_WAVE_END_S),
            p_wave=samples(P_WAVE_S),
            p_first=samples(P_WAVE_BEFORE_S[0]),
            p_last=samples(P_WAVE_BEFORE_S[1]),
            learn=samples(LEARN_S),
            relearn=samples(RELEARN_S),
            window=samples(WINDOW_S),
            again=samples(AGAIN_S),
            forget=samples(FORGET_S),
            pause=samples(PAUSE_S),
            second=samples(1.0),
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
        self.around = np.arange(-self.reach - 1, self.reach + 1)
        self.signal = np.zeros((rows, timing.dominance + self.delay + self.reach + 2))

    def wake(self, position: int, level: float) -> None:
        """Start at `position` as if the signal had been at `level` for ever."""
        self.band_pass.settle(level)
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
        centre = nominal - (self.position - signal.shape[1])
        windows = signal[rows[:, None], centre[:, None] + self.around]
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
            np.maximum(offset + positive, 0).tolist(),  # not before the stream began
            positive_height.tolist(),
            np.maximum(offset + negative, 0).tolist(),
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
    windows : np.ndarray, shape (n, 1 + 2 * (search + 2 * smooth) + 1)
        Signal around each candidate, and one sample before.

    Returns
    -------
    positive, positive_height, negative, negative_height, slope : np.ndarray, shape (n,)
        Index into the 2 * search + 1 samples of the search, height over the window's mean.
    """
    smooth = timing.smooth
    width = 2 * smooth + 1
    sums = (windows - windows[:, :1]).cumsum(axis=1)
    smoothed = (sums[:, width:] - sums[:, :-width]) / width
    level = (sums[:, -1:] - sums[:, :1]) / (windows.shape[1] - 1)
    slope = np.abs(smoothed[:, 2 * smooth :] - smoothed[:, : -2 * smooth]).max(axis=1)
    searched = smoothed[:, smooth : smooth + 2 * timing.search + 1] - level
    rows = np.arange(len(windows))
    positive, negative = searched.argmax(axis=1), searched.argmin(axis=1)
    return positive, searched[rows, positive], negative, -searched[rows, negative], slope


class Decider:
    """Decides, for one patient, which candidates are QRS complexes.

    Signal and noise levels are medians of the last peaks of either kind (Hamilton, Tompkins 1986);
    a candidate above the threshold between them is a beat unless it may be the T wave of the one
    before. Departures from the papers:

    - The T wave test is a slope that falls from `T_WAVE_SLOPE` of the last beat's at the end of the
      refractory period to nothing at `T_WAVE_END_S`, instead of one half until 360 ms.
    - A weak candidate shortly before the expected beat waits for a PR interval: if a higher one
      follows, it was a P wave.
    - What was passed over is looked at again when a beat is overdue, and also when the next beat
      comes after more than the usual interval.
    - Levels are learnt from two seconds only if these stand out of the noise; else not at all.
    """

    def __init__(self, timing: Timing, scale: float) -> None:
        self.timing = timing
        self.scale = scale  # steps of the envelope a millivolt
        self.recent: list[Candidate] = []  # of the last seconds, whatever became of them
        self.reset(0)

    def reset(self, position: int) -> None:
        """Forget the beats and their levels; learn from `position` on."""
        self.learning = True
        self.attempt = position + self.timing.learn  # when levels are next learnt
        self.overdue = 0  # when the next beat is overdue; 0 if it was looked for already
        self.held: Candidate | None = None  # a beat, unless it turns out to be a P wave
        self.waiting: list[Candidate] = []  # passed over since the last beat
        self.qrs: deque[float] = deque(maxlen=LEVELS_KEPT)
        self.noise: deque[float] = deque(maxlen=LEVELS_KEPT)
        self.rr: deque[int] = deque(maxlen=LEVELS_KEPT)
        self.last: Candidate | None = None
        self.inverted = False

    def update(self, candidate: Candidate) -> list[Detection]:
        """Take the next candidate; return the beats that it makes certain."""
        found = self.advance(candidate.known)
        self.recent.append(candidate)
        del self.recent[:-MAX_WAITING]
        if self.learning or not self._is_qrs(candidate):
            self._pass_over(candidate)
            return found
        held, self.held = self.held, None
        if held is not None:
            if candidate.height >= held.height:
                self._pass_over(held)
            else:
                found += self._take(held, candidate.known)
        if self._is_p_like(candidate):
            self.held = candidate
        else:
            found += self._take(candidate, candidate.known)
        return found

    def advance(self, position: int) -> list[Detection]:
        """Do what falls due up to `position`, in the order in which it does."""
        found: list[Detection] = []
        while True:
            held_due = self.held.known + self.timing.p_wave if self.held else FAR
            overdue = self.overdue or FAR
            due = min(held_due, overdue, self.attempt)
            if due > position:
                return found
            if due == held_due and self.held is not None:
                held, self.held = self.held, None
                found += self._take(held, due)
            elif due == overdue:
                self.overdue = 0
                found += self._search_back(due)
            else:
                self.attempt = due + self.timing.again
                found += self._learn(due)

    def unreadable(self, position: int) -> bool:
        """Tell whether noise hides the beats of the last seconds, if there are any.

        Noise far below the beats so far hides nothing: that is a pause.
        """
        since = position - self.timing.relearn
        self.recent = [c for c in self.recent if c.peak >= since]
        if len(self.recent) < 3 or self._stands_out(self.recent):
            return False
        high, _ = _tops(self.recent)
        level = median([c.height for c in high])
        return level > max(QUIET_MV, THRESHOLD * median(self.qrs) if self.qrs else 0.0)

    def _noise_level(self) -> float:
        return median(self.noise) if self.noise else 0.0

    def _threshold(self) -> float:
        noise = self._noise_level()
        return noise + THRESHOLD * (median(self.qrs) - noise)

    def _is_qrs(self, candidate: Candidate) -> bool:
        return candidate.height > self._threshold() and self._may_follow(candidate)

    def _may_follow(self, candidate: Candidate) -> bool:
        """Tell whether it is no echo and no T wave of the last beat."""
        if self.last is None:
            return True
        since, timing = candidate.peak - self.last.peak, self.timing
        if since < timing.refractory:
            return False
        fall = (timing.t_wave_end - since) / (timing.t_wave_end - timing.refractory)
        return candidate.slope >= T_WAVE_SLOPE * fall * self.last.slope

    def _is_p_like(self, candidate: Candidate) -> bool:
        if self.last is None or not self.rr:
            return False
        expected = self.last.peak + median(self.rr)
        before_next = self.timing.p_last <= expected - candidate.peak <= self.timing.p_first
        return before_next and candidate.height < P_WAVE_HEIGHT * median(self.qrs)

    def _pass_over(self, candidate: Candidate) -> None:
        self.waiting.append(candidate)
        del self.waiting[:-MAX_WAITING]

    def _take(self, candidate: Candidate, known: int) -> list[Detection]:
        """Accept a candidate, and before it one that was passed over if a beat is missing."""
        found = []
        if self.last is not None and self.rr:
            interval = candidate.peak - self.last.peak
            if interval >= SECOND_LOOK_RR * median(self.rr):
                stop = candidate.peak - self.timing.t_wave
                missed = self._missed(stop)
                if missed is not None:
                    found.append(self._accept(missed, known))
        if self._may_follow(candidate):
            found.append(self._accept(candidate, known))
        else:
            self._pass_over(candidate)
        return found

    def _missed(self, stop: int) -> Candidate | None:
        """Return the highest candidate passed over that may be a beat of lower amplitude."""
        if self.last is None:
            return None
        start = self.last.peak + self.timing.t_wave
        limit = max(SECOND_LOOK * self._threshold(), CLEAR_OF_NOISE * self._noise_level())
        missed = [c for c in self.waiting if start <= c.peak <= stop and c.height > limit]
        return max(missed, key=lambda c: c.height) if missed else None

    def _accept(self, candidate: Candidate, known: int) -> Detection:
        timing = self.timing
        if self.last is not None:
            interval = candidate.peak - self.last.peak
            if interval <= timing.pause:
                self.rr.append(interval)
            # A T wave is no measure of the noise.
            quiet = self.last.peak + timing.t_wave
            between = [c.height for c in self.waiting if quiet <= c.peak < candidate.peak]
            if not between:  # no peak tells of the noise: old ones slowly lose their weight
                between = [NOISE_DECAY * height for height in self.noise]
            self.noise.extend(between)
        noisy = self._noise_level() > NOISY_RATIO * candidate.height
        self._follow_gain(candidate.height)
        self.last = candidate
        self.waiting = [c for c in self.waiting if c.peak > candidate.peak]
        usual = median(self.rr) if self.rr else timing.second
        self.overdue = candidate.known + int(SEARCH_BACK_RR * usual)
        self.attempt = candidate.known + max(timing.relearn, 2 * usual)
        return Detection(self._r_sample(candidate), known, self.learning, noisy)

    def _follow_gain(self, height: float) -> None:
        """Take the height into the signal level; two giants in a row are a change of gain."""
        before = self.last
        if self.qrs and before is not None:
            giant = GIANT * median(self.qrs)
            if height > giant and before.height > giant:
                self.qrs.clear()
                self.noise.clear()
                self.qrs.append(before.height)
        self.qrs.append(height)

    def _r_sample(self, candidate: Candidate) -> int:
        """R is the larger deflection; of two alike, the one of the sign of the beat before."""
        bias = POLARITY_BIAS if self.inverted else 1 / POLARITY_BIAS
        self.inverted = bias * candidate.negative_height > candidate.positive_height
        return candidate.negative if self.inverted else candidate.positive

    def _search_back(self, due: int) -> list[Detection]:
        """Look again at what was passed over: a beat is overdue."""
        missed = self._missed(due)
        return [] if missed is None else self._again(missed, due)

    def _again(self, first: Candidate, due: int) -> list[Detection]:
        """Accept a candidate of the past and judge anew those after it."""
        later = [c for c in self.waiting if c.peak > first.peak]
        found = [self._accept(first, due)]
        self.waiting = []
        for candidate in later:
            if self._is_qrs(candidate):
                found.append(self._accept(candidate, due))
            else:
                self._pass_over(candidate)
        return found

    def _learn(self, due: int) -> list[Detection]:
        """Learn the levels from the last seconds without a beat, if anything stands out there."""
        since = due - self.timing.window
        window = [c for c in self.waiting if c.peak >= since]
        if len(window) < 2 or not self._stands_out(window):
            return []
        high, low = _tops(window)
        level = median([c.height for c in high])
        if len(high) < 2 or level < MIN_HEIGHT_MV:
            return []
        if self._is_p_level(level, due):
            return []
        self.qrs.clear()
        self.noise.clear()
        self.qrs.append(level)
        self.noise.extend([median([c.height for c in low])] if low else [])
        found = self._again(high[0], due)
        self.learning = False
        return found

    def _is_p_level(self, level: float, due: int) -> bool:
        """P waves go on when the ventricles stand still; a tenth of the gain is more."""
        if self.last is None or due - self.last.known >= self.timing.forget:
            return False
        return level < P_WAVE_LEVEL * median(self.qrs)

    def _stands_out(self, window: list[Candidate]) -> bool:
        """Tell whether the peaks of a stretch of signal rise out of it as QRS complexes do.

        The maxima of noise are about 1.5 times its mean, and 2.1 times once in a hundred windows;
        QRS complexes are 3 times and more. Only fast rhythms come near, and these are regular.
        """
        first, last = window[0], window[-1]
        high, _ = _tops(window)
        level = median([c.height for c in high])
        mean = (last.total - first.total) / (last.peak - first.peak) / self.scale
        if level >= MIN_CREST * mean:
            return True
        if len(high) < FEWEST_REGULAR or level < MIN_CREST_REGULAR * mean:
            return False
        intervals = [b.peak - a.peak for a, b in pairwise(high)]
        return max(intervals) - min(intervals) < REGULAR * median(intervals)

    def to_plain(self) -> dict[str, Any]:
        """Return the state as plain JSON values."""
        return {
            "learning": self.learning,
            "attempt": self.attempt,
            "overdue": self.overdue,
            "held": [] if self.held is None else [list(self.held)],
            "recent": [list(c) for c in self.recent],
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
        self.waiting = [
            self._candidate(c, position) for c in listing(plain, "waiting", MAX_WAITING)
        ]
        self.qrs = deque(_finite(listing(plain, "qrs", LEVELS_KEPT)), LEVELS_KEPT)
        self.noise = deque(_finite(listing(plain, "noise", LEVELS_KEPT)), LEVELS_KEPT)
        self.rr = deque(map(int, _finite(listing(plain, "rr", LEVELS_KEPT))), LEVELS_KEPT)
        self.recent = [self._candidate(c, position) for c in listing(plain, "recent", MAX_WAITING)]
        held = [self._candidate(c, position) for c in listing(plain, "held", 1)]
        self.held = held[0] if held else None
        last = [self._candidate(c, position) for c in listing(plain, "last", 1)]
        self.last = last[0] if last else None
        if (not self.learning or self.last is not None) and not self.qrs:
            raise InvalidState("saved state: levels were learnt but are missing")

    def _candidate(self, values: object, position: int) -> Candidate:
        if not isinstance(values, list) or len(values) != len(Candidate._fields):
            raise InvalidState("saved state: a candidate has not its fields")
        candidate = Candidate(*_finite(values))
        samples = (candidate.peak, candidate.known, candidate.positive, candidate.negative)
        if any(type(s) is not int or s >= position for s in samples):
            raise InvalidState("saved state: a candidate lies ahead of the signal")
        if candidate.known != candidate.peak + self.timing.dominance:
            raise InvalidState("saved state: a candidate was not known when it should be")
        return candidate


def _finite(values: list[Any]) -> list[Any]:
    if any(type(v) not in (int, float) or not abs(v) < MAX_NUMBER for v in values):
        raise InvalidState("saved state: a level is not a number")
    return values


def _tops(window: list[Candidate]) -> tuple[list[Candidate], list[Candidate]]:
    """Divide candidates into those near the highest and the others."""
    limit = TOP * max(c.height for c in window)
    return [c for c in window if c.height > limit], [c for c in window if c.height <= limit]


def median(values: Collection[Number]) -> Number:
    """Return the upper median; statistics.median takes ten times as long."""
    return sorted(values)[len(values) // 2]
