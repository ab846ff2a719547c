"""Which candidates are QRS complexes: adaptive thresholds, one patient at a time.

Each candidate peak, two or three a second, is decided on in plain Python. One set of constants,
from physiology or from the literature, holds for all records and sampling rates.

Sources
-------
Pan, Tompkins: A real-time QRS detection algorithm. IEEE Trans Biomed Eng 32 (1985) 230-236.
Hamilton, Tompkins: Quantitative investigation of QRS detection rules using the MIT/BIH
arrhythmia database. IEEE Trans Biomed Eng 33 (1986) 1157-1165.
Hamilton: Open source ECG analysis. Computers in Cardiology 29 (2002) 101-104.
Elgendi, Jonkman, De Boer: Frequency bands effects on QRS detection. BIOSIGNALS (2010) 428-431.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from typing import Any, NamedTuple, TypeVar

from segmenter.candidates import DOMINANCE_S, Candidate
from segmenter.errors import InvalidState
from segmenter.state import listing, truth, whole

REPORT_S = 0.3  # after its R a beat is reported, unless it is looked for in the past
REFRACTORY_S = 0.2  # no two QRS complexes closer (Pan, Tompkins 1985)
THRESHOLD = 0.3125  # of the way from noise to signal level (Hamilton 2002)
NOISE_DECAY = 0.98  # a beat, while nothing is seen of the noise: halved in half a minute
LEVELS_KEPT = 8  # peaks and intervals that the running levels are medians of (Hamilton 2002)

T_WAVE_S = 0.36  # a T wave comes sooner (Pan, Tompkins 1985)
T_WAVE_END_S = 0.5  # of the longest usual QT interval
T_PEAK_S = 0.40  # at 60 a minute no T wave peaks later after R; by Bazett with the root of RR
T_LONGEST_RR_S = 1.2  # after a longer interval it comes no later: beats may have been missed
BLUNT = 0.6  # of the last beat's sharpness: no QRS complex so soon after it is blunter, a T wave is
T_WAVE_SLOPE = 0.85  # of the last beat's: steeper is no T wave at the refractory period's end
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
FEWEST_LEVELS = 3  # nor those of the two beats of a change of gain: an artifact may have been both
TOP = 0.4  # of the highest peak: what exceeds it may be a beat
MIN_CREST = 2.2  # see _stands_out
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
Kept = TypeVar("Kept")


class Detection(NamedTuple):
    """A QRS complex."""

    r_sample: int
    known: int  # sample at which the detector was sure of it
    learning: bool  # found while the thresholds were being learnt
    noisy: bool  # hardly higher than the peaks of noise before it
    peak: int  # sample of the envelope's peak
    height: float  # mV, of the envelope there
    total: int  # running total of the envelope, in steps


@dataclass(frozen=True)
class Durations:
    """The detector's durations in samples."""

    dominance: int
    report: int
    refractory: int
    t_wave: int
    t_wave_end: int
    t_peak: float  # over the root of the usual interval, in samples
    t_longest: int
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
    def at(cls, fs_hz: float) -> Durations:
        """Return them at a sampling rate."""

        def samples(seconds: float) -> int:
            return round(seconds * fs_hz)

        return cls(
            dominance=samples(DOMINANCE_S),
            report=int(REPORT_S * fs_hz),
            refractory=samples(REFRACTORY_S),
            t_wave=samples(T_WAVE_S),
            t_wave_end=samples(T_WAVE_END_S),
            t_peak=T_PEAK_S * sqrt(fs_hz),
            t_longest=samples(T_LONGEST_RR_S),
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


class Decider:
    """Decides, for one patient, which candidates are QRS complexes.

    Signal and noise levels are medians of the last peaks of either kind (Hamilton, Tompkins 1986);
    a candidate above the threshold between them is a beat unless it may be the T wave of the one
    before. Departures from the papers:

    - The T wave test is a slope that falls from `T_WAVE_SLOPE` of the last beat's at the end of the
      refractory period to nothing at `T_WAVE_END_S`, instead of one half until 360 ms.
    - A weak candidate shortly before the expected beat is held until `REPORT_S` after its R: if the
      envelope rises above it until then, it was a P wave.
    - What was passed over is looked at again when a beat is overdue, and also when the next beat
      comes after more than the usual interval.
    - Levels are learnt from two seconds only if these stand out of the noise; else not at all.

    Parameters
    ----------
    timing : Durations
    scale : float
        Steps of the envelope a millivolt.
    highest : callable
        Returns the highest of the envelope, in mV, in samples [start, stop) of the last half
        second.
    """

    def __init__(
        self, timing: Durations, scale: float, highest: Callable[[int, int], float]
    ) -> None:
        self.timing = timing
        self.scale = scale
        self.highest = highest
        # Of the last seconds, whatever became of them.
        self.recent: list[Candidate] = []
        self.reset(0)

    def reset(self, position: int) -> None:
        """Forget the beats and their levels; learn from `position` on."""
        self.learning = True
        self.now = position
        self.attempt = position + self.timing.learn  # when levels are next learnt
        self.overdue = FAR  # when the next beat is overdue; FAR if it was looked for already
        self.held: Candidate | None = None  # a beat, unless it turns out to be a P wave
        # Passed over since the last beat.
        self.waiting: list[Candidate] = []
        self.qrs: list[float] = []
        self.noise: list[float] = []
        self.rr: list[int] = []
        self.last: Candidate | None = None
        self.inverted = False
        self._take_medians()
        self._set_due()

    def _set_due(self) -> None:
        """Note when the next thing falls due."""
        due = self.overdue if self.overdue < self.attempt else self.attempt
        if self.held is not None:
            due = min(self._held_until(self.held), due)
        self.due = due

    def _take_medians(self) -> None:
        """Note what the running levels are; they change with beats only."""
        self.qrs_level = level = median(self.qrs) if self.qrs else 0.0
        self.noise_level = noise = median(self.noise) if self.noise else 0.0
        self.usual_rr = rr = median(self.rr) if self.rr else 0  # 0: not known
        self.threshold = noise + THRESHOLD * (level - noise)
        timing = self.timing
        self.t_until = timing.t_peak * sqrt(min(rr or timing.second, timing.t_longest))

    def update(self, candidate: Candidate) -> list[Detection]:
        """Take the next candidate; return the beats that it makes certain."""
        known = candidate.known
        found = self.advance(known) if self.due <= known else []
        self.now = known
        keep(self.recent, candidate, MAX_WAITING)
        if self.learning or not self._is_qrs(candidate):
            keep(self.waiting, candidate, MAX_WAITING)
        elif self._is_p_like(candidate):
            self.held = candidate  # decided on before the next one can be known
            self._set_due()
        else:
            found += self._take(candidate, known)
        return found

    def advance(self, position: int) -> list[Detection]:
        """Do what falls due up to `position`, in the order in which it does.

        After a beat that was found late something may have been due before it was found.
        """
        found: list[Detection] = []
        while self.due <= position:
            due = self.due
            self.now = now = max(due, self.now)
            if self.held is not None and self._held_until(self.held) == due:
                held, self.held = self.held, None
                found += self._judge_held(held, now)
            elif self.overdue == due:
                self.overdue = FAR
                found += self._search_back(due, now)
            else:
                self.attempt = due + self.timing.again
                found += self._learn(due, now)
            self._set_due()
        return found

    def _held_until(self, held: Candidate) -> int:
        return max(held.known, self.r_peak(held)[0] + self.timing.report)

    def _judge_held(self, held: Candidate, due: int) -> list[Detection]:
        """Pass over a P wave: the envelope has risen above it since."""
        if due > held.known and self.highest(held.known + 1, due + 1) > held.height:
            keep(self.waiting, held, MAX_WAITING)
            return []
        return self._take(held, due, may_follow=self._may_follow(held))

    def unreadable(self, position: int) -> bool:
        """Tell whether noise hides the beats of the last seconds, if there are any.

        Noise far below the beats so far hides nothing: that is a pause.
        """
        recent, since = self.recent, position - self.timing.relearn
        while recent and recent[0].peak < since:
            del recent[0]
        if len(recent) < 3:
            return False
        heights = [c.height for c in recent]
        limit = TOP * max(heights)
        level = median([height for height in heights if height > limit])
        if level <= QUIET_MV or level <= THRESHOLD * self.qrs_level:
            return False
        return not _stands_out(recent, level, self.scale)

    def _is_qrs(self, candidate: Candidate) -> bool:
        return candidate.height > self.threshold and self._may_follow(candidate)

    def _may_follow(self, candidate: Candidate) -> bool:
        """Tell whether it is no echo and no T wave of the last beat."""
        last = self.last
        if last is None:
            return True
        since, timing = candidate.peak - last.peak, self.timing
        if since < timing.refractory:
            return False
        if since <= self.t_until and _is_blunt(candidate, last):  # a T wave
            return False
        if since >= timing.t_wave_end:
            return True
        fall = (timing.t_wave_end - since) / (timing.t_wave_end - timing.refractory)
        return candidate.slope >= T_WAVE_SLOPE * fall * last.slope

    def _is_t_wave(self, candidate: Candidate) -> bool:
        """Tell whether it is blunt and comes when the last beat's T wave may."""
        last = self.last
        if last is None or candidate.peak - last.peak > self.t_until:
            return False
        return _is_blunt(candidate, last)

    def _is_p_like(self, candidate: Candidate) -> bool:
        if self.last is None or not self.usual_rr:
            return False
        expected = self.last.peak + self.usual_rr
        before_next = self.timing.p_last <= expected - candidate.peak <= self.timing.p_first
        if not before_next or candidate.height >= P_WAVE_HEIGHT * self.qrs_level:
            return False
        return not _is_blunt(self.last, candidate)  # else the last beat was no QRS complex

    def _take(
        self, candidate: Candidate, known: int, *, may_follow: bool = True
    ) -> list[Detection]:
        """Accept a candidate, and before it one that was passed over if a beat is missing.

        `may_follow`: the last beat; it is asked again where the one passed over comes between.
        """
        found, missed = [], self._missed_before(candidate)
        if missed is not None:
            found.append(self._accept(missed, known))
            may_follow = self._may_follow(candidate)
        if may_follow:
            found.append(self._accept(candidate, known))
        else:
            keep(self.waiting, candidate, MAX_WAITING)
        return found

    def _missed_before(self, candidate: Candidate) -> Candidate | None:
        """Return what was passed over before a candidate, if a beat is missing there."""
        if self.last is None or not self.usual_rr:
            return None
        if candidate.peak - self.last.peak < SECOND_LOOK_RR * self.usual_rr:
            return None
        return self._missed(candidate.peak - self.timing.t_wave)

    def _missed(self, stop: int) -> Candidate | None:
        """Return the highest candidate passed over that may be a beat of lower amplitude."""
        if self.last is None:
            return None
        start = self.last.peak + self.timing.t_wave
        limit = max(SECOND_LOOK * self.threshold, CLEAR_OF_NOISE * self.noise_level)
        missed = [
            c
            for c in self.waiting
            if start <= c.peak <= stop and c.height > limit and not self._is_t_wave(c)
        ]
        return max(missed, key=lambda c: c.height) if missed else None

    def _accept(self, candidate: Candidate, known: int) -> Detection:
        timing, before, peak = self.timing, self.last, candidate.peak
        if before is not None:
            interval = peak - before.peak
            if interval <= timing.pause:
                keep(self.rr, interval, LEVELS_KEPT)
            # A T wave is no measure of the noise.
            quiet = before.peak + timing.t_wave
            between = [
                c.height for c in self.waiting if quiet <= c.peak < peak and not self._is_t_wave(c)
            ]
            if not between:  # no peak tells of the noise: old ones slowly lose their weight
                between = [NOISE_DECAY * height for height in self.noise]
            self.noise.extend(between)
            del self.noise[:-LEVELS_KEPT]
            giant = GIANT * self.qrs_level
            if self.qrs and candidate.height > giant and before.height > giant:  # a change of gain
                self.qrs.clear()
                self.noise.clear()
                self.qrs.append(before.height)
        keep(self.qrs, candidate.height, LEVELS_KEPT)
        self._take_medians()
        self.last = candidate
        waiting = self.waiting
        while waiting and waiting[0].peak <= peak:
            del waiting[0]
        usual = self.usual_rr or timing.second
        self.overdue = candidate.known + int(SEARCH_BACK_RR * usual)
        self.attempt = candidate.known + max(timing.relearn, 2 * usual)
        self._set_due()
        noisy = self.noise_level > NOISY_RATIO * candidate.height
        r_sample, self.inverted = self.r_peak(candidate)
        return Detection(
            r_sample,
            known,
            self.learning,
            noisy,
            peak,
            candidate.height,
            candidate.total,
        )

    def r_peak(self, candidate: Candidate) -> tuple[int, bool]:
        """Return R, the larger deflection, and whether it is the negative one.

        Of two alike it is the one of the sign of the beat before.
        """
        bias = POLARITY_BIAS if self.inverted else 1 / POLARITY_BIAS
        inverted = bias * candidate.negative_height > candidate.positive_height
        return (candidate.negative if inverted else candidate.positive), inverted

    def _search_back(self, due: int, now: int) -> list[Detection]:
        """Look again at what was passed over: a beat is overdue."""
        missed = self._missed(due)
        return [] if missed is None else self._again(missed, now)

    def _again(self, first: Candidate, now: int) -> list[Detection]:
        """Accept a candidate of the past and judge anew those after it."""
        later = [c for c in self.waiting if c.peak > first.peak]
        found = [self._accept(first, now)]
        self.waiting.clear()
        for candidate in later:
            if self._is_qrs(candidate):
                found.append(self._accept(candidate, now))
            else:
                keep(self.waiting, candidate, MAX_WAITING)
        return found

    def _learn(self, due: int, now: int) -> list[Detection]:
        """Learn the levels from the last seconds without a beat, if anything stands out there."""
        since = due - self.timing.window
        window = [c for c in self.waiting if c.peak >= since]
        if len(window) < 2:
            return []
        high = _tops(window)
        level = median([c.height for c in high])
        if len(high) < 2 or level < MIN_HEIGHT_MV or self._is_p_level(level, due):
            return []
        if not _stands_out(window, level, self.scale):
            return []
        low = [c.height for c in window if c not in high]
        self.qrs.clear()
        self.noise.clear()
        self.qrs.append(level)
        self.noise.extend([median(low)] if low else [])
        self._take_medians()
        found = self._again(high[0], now)
        self.learning = False
        return found

    def _is_p_level(self, level: float, due: int) -> bool:
        """P waves go on when the ventricles stand still; a tenth of the gain is more."""
        if self.last is None or due - self.last.known >= self.timing.forget:
            return False
        if len(self.qrs) < FEWEST_LEVELS:
            return False
        return level < P_WAVE_LEVEL * self.qrs_level

    def to_plain(self) -> dict[str, Any]:
        """Return the state as plain JSON values."""
        return {
            "learning": self.learning,
            "attempt": self.attempt,
            "overdue": -1 if self.overdue == FAR else self.overdue,
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
        self.now = position  # what fell due before it was done
        self.learning = truth(plain, "learning")
        self.inverted = truth(plain, "inverted")
        self.attempt = whole(plain, "attempt", 0, horizon)
        overdue = whole(plain, "overdue", -1, horizon)
        self.overdue = FAR if overdue < 0 else overdue
        self.waiting = self._candidates(listing(plain, "waiting", MAX_WAITING), position)
        self.qrs = finite(listing(plain, "qrs", LEVELS_KEPT))
        self.noise = finite(listing(plain, "noise", LEVELS_KEPT))
        self.rr = listing(plain, "rr", LEVELS_KEPT)
        if any(type(rr) is not int or not 0 < rr <= self.timing.pause for rr in self.rr):
            raise InvalidState("saved state: an interval between beats is not a positive number")
        self.recent = self._candidates(listing(plain, "recent", MAX_WAITING), position)
        held = [self._candidate(c, position) for c in listing(plain, "held", 1)]
        self.held = held[0] if held else None
        last = [self._candidate(c, position) for c in listing(plain, "last", 1)]
        self.last = last[0] if last else None
        if (not self.learning or self.last is not None) and not self.qrs:
            raise InvalidState("saved state: levels were learnt but are missing")
        self._take_medians()
        self._set_due()
        if self.held is not None and self._held_until(self.held) < position:
            raise InvalidState("saved state: the detector still holds a candidate that was decided")

    def _candidates(self, saved: list[Any], position: int) -> list[Candidate]:
        candidates = [self._candidate(values, position) for values in saved]
        if any(later.peak <= one.peak for one, later in pairwise(candidates)):
            raise InvalidState("saved state: candidates are not in order")
        return candidates

    def _candidate(self, values: object, position: int) -> Candidate:
        if not isinstance(values, list) or len(values) != len(Candidate._fields):
            raise InvalidState("saved state: a candidate lacks fields")
        candidate = Candidate(*finite(values))
        samples = (candidate.peak, candidate.known, candidate.positive, candidate.negative)
        if any(type(s) is not int or s >= position for s in samples):
            raise InvalidState("saved state: a candidate lies ahead of the signal")
        if candidate.known != candidate.peak + self.timing.dominance:
            raise InvalidState("saved state: a candidate was found at an impossible time")
        return candidate


def finite(values: list[Any]) -> list[Any]:
    """Return saved numbers; InvalidState if one is none."""
    if any(type(v) not in (int, float) or not abs(v) < MAX_NUMBER for v in values):
        raise InvalidState("saved state: a level is not a number")
    return values


def _stands_out(window: Sequence[Candidate], level: float, scale: float) -> bool:
    """Tell whether the peaks of a stretch of signal rise out of it as QRS complexes do.

    The maxima of noise are about 1.5 times its mean, and 2.1 times once in a hundred windows;
    QRS complexes are 3 times and more. Only fast rhythms come near, and these are regular.
    `level` is the median of the highest of its peaks.
    """
    first, last = window[0], window[-1]
    mean = (last.total - first.total) / (last.peak - first.peak) / scale
    if level >= MIN_CREST * mean:
        return True
    high = _tops(window)
    if len(high) < FEWEST_REGULAR or level < MIN_CREST_REGULAR * mean:
        return False
    intervals = [b.peak - a.peak for a, b in pairwise(high)]
    return max(intervals) - min(intervals) < REGULAR * median(intervals)


def _is_blunt(one: Candidate, other: Candidate) -> bool:
    """Tell whether one is much less steep than the other for its height, in the signal."""
    height = one.positive_height + one.negative_height
    other_height = other.positive_height + other.negative_height
    return one.slope * other_height < BLUNT * other.slope * height


def _tops(window: Collection[Candidate]) -> list[Candidate]:
    """Return those of the candidates that are near the highest."""
    limit = TOP * max([c.height for c in window])
    return [c for c in window if c.height > limit]


def keep(values: list[Kept], latest: Kept, most: int) -> None:
    """Append the latest value, and let the oldest go where they are more than `most`.

    As a deque of bounded length, in a tenth of its memory: a patient has some twenty.
    """
    values.append(latest)
    if len(values) > most:
        del values[0]


def median(values: Collection[Number]) -> Number:
    """Return the upper median; statistics.median takes ten times as long."""
    return sorted(values)[len(values) // 2]
