"""The detector and the cutter again, slow and plain: whole record, one sample at a time.

Nothing is shared with `segmenter` but the constants. Signals are without gaps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from scipy.signal import butter

from segmenter import candidates, filters, qrs


@dataclass
class Peak:
    """A candidate: the peak of the envelope, its features, and when it is known."""

    at: int
    known: int
    height: float
    total: int
    slope: float
    positive: tuple[int, float]
    negative: tuple[int, float]


@dataclass
class State:
    """What the rules remember."""

    learning: bool = True
    attempt: int = 0
    overdue: int | None = None
    held: Peak | None = None
    passed: list[Peak] = field(default_factory=list)
    signal_levels: list[float] = field(default_factory=list)
    noise_levels: list[float] = field(default_factory=list)
    rr: list[int] = field(default_factory=list)
    last: Peak | None = None
    inverted: bool = False
    found: list[tuple[int, int]] = field(default_factory=list)  # R peak, known


def band_pass(signal: list[float], fs_hz: float) -> list[float]:
    """Filter by the difference equation (form II transposed), settled on the first sample."""
    b, a = butter(filters.QRS_BAND_ORDER, filters.QRS_BAND_HZ, "bandpass", fs=fs_hz)
    order = len(a) - 1
    # A band-pass puts out nothing for a constant: each state holds what is still to come.
    memory = [signal[0] * sum(b[k + 1 :]) for k in range(order)]
    out = []
    for x in signal:
        y = b[0] * x + memory[0]
        memory = [
            b[k + 1] * x + (memory[k + 1] if k + 1 < order else 0.0) - a[k + 1] * y
            for k in range(order)
        ]
        out.append(y)
    return out


def envelope(filtered: list[float], width: int) -> list[int]:
    """Sum the last `width` rectified values, in whole steps."""
    steps = [int(abs(y) * filters.STEPS_PER_MV) for y in filtered]
    return [sum(steps[max(0, i - width + 1) : i + 1]) for i in range(len(steps))]


def peaks(signal: list[float], heights: list[int], fs_hz: float, delay: int) -> list[Peak]:
    """Find the dominant peaks of the envelope and describe the signal under each."""
    width = round(filters.INTEGRATION_S * fs_hz)
    around = round(candidates.DOMINANCE_S * fs_hz)
    search = round(candidates.SEARCH_S * fs_hz)
    smooth = max(1, round(candidates.SMOOTH_S / 2 * fs_hz))
    total, found = 0, []
    for i in range(len(heights) - around):
        total += heights[i]
        before = heights[i - 1] if i else 0
        near = heights[max(0, i - around) : i + around + 1]
        if heights[i] < max(near) or heights[i] <= before:
            continue
        reach = search + 2 * smooth
        window = [signal[max(0, i - delay + k)] for k in range(-reach, reach + 1)]
        level = sum(window) / len(window)
        mean = {
            k: sum(window[k + reach - smooth : k + reach + smooth + 1]) / (2 * smooth + 1)
            for k in range(-reach + smooth, reach - smooth + 1)
        }
        slope = max(abs(mean[k + 2 * smooth] - mean[k]) for k in mean if k + 2 * smooth in mean)
        searched = range(-search, search + 1)
        top = max(searched, key=lambda k, m=mean: m[k])  # type: ignore[misc]
        bottom = min(searched, key=lambda k, m=mean: m[k])  # type: ignore[misc]
        found.append(
            Peak(
                i,
                i + around,
                heights[i] / (width * filters.STEPS_PER_MV),
                total,
                slope,
                (max(0, i - delay + top), mean[top] - level),
                (max(0, i - delay + bottom), level - mean[bottom]),
            )
        )
    return found


def upper_median(values: list[float]) -> float:
    """Return the upper median of the last values that are remembered."""
    kept = sorted(values[-qrs.LEVELS_KEPT :])
    return kept[len(kept) // 2]


def detect(signal: list[float], fs_hz: float, delay: int) -> list[tuple[int, int]]:
    """Return (R peak, sample at which it was known) of each QRS complex of a whole record."""
    state = State(attempt=round(qrs.LEARN_S * fs_hz))
    width = round(filters.INTEGRATION_S * fs_hz)
    scale = width * filters.STEPS_PER_MV
    heights = envelope(band_pass(signal, fs_hz), width)
    by_time: dict[int, Peak] = {p.known: p for p in peaks(signal, heights, fs_hz, delay)}
    rules = Rules(state, fs_hz, scale)
    for now in range(len(signal)):
        if state.held is not None and now >= rules.r_peak(state.held) + int(qrs.REPORT_S * fs_hz):
            held, state.held = state.held, None
            if any(h / scale > held.height for h in heights[held.known + 1 : now + 1]):
                rules.pass_over(held)
            else:
                rules.take(held, now)
        if now == state.overdue:
            state.overdue = None
            rules.look_back(now)
        if now == state.attempt:
            state.attempt = now + rules.s(qrs.AGAIN_S)
            rules.learn(now)
        if now in by_time:
            rules.consider(by_time[now], now)
    return state.found


class Rules:
    """The rules of the detector, each written out."""

    def __init__(self, state: State, fs_hz: float, scale: float) -> None:
        self.state, self.fs_hz, self.scale = state, fs_hz, scale

    def s(self, seconds: float) -> int:
        return round(seconds * self.fs_hz)

    def noise(self) -> float:
        return upper_median(self.state.noise_levels) if self.state.noise_levels else 0.0

    def threshold(self) -> float:
        noise = self.noise()
        return noise + qrs.THRESHOLD * (upper_median(self.state.signal_levels) - noise)

    def follows(self, peak: Peak) -> bool:
        last = self.state.last
        if last is None:
            return True
        since, refractory, end = (
            peak.at - last.at,
            self.s(qrs.REFRACTORY_S),
            self.s(qrs.T_WAVE_END_S),
        )
        if since < refractory:
            return False
        if self.t_wave(peak):
            return False
        share = (end - since) / (end - refractory)
        return peak.slope >= qrs.T_WAVE_SLOPE * share * last.slope

    def t_wave(self, peak: Peak) -> bool:
        state = self.state
        if state.last is None:
            return False
        usual = upper_median(list(state.rr)) if state.rr else self.s(1.0)
        rr = min(usual, self.s(qrs.T_LONGEST_RR_S))
        soon = peak.at - state.last.at <= qrs.T_PEAK_S * math.sqrt(self.fs_hz) * math.sqrt(rr)
        return soon and blunter(peak, state.last)

    def is_qrs(self, peak: Peak) -> bool:
        return peak.height > self.threshold() and self.follows(peak)

    def pass_over(self, peak: Peak) -> None:
        self.state.passed = [*self.state.passed, peak][-qrs.MAX_WAITING :]

    def consider(self, peak: Peak, now: int) -> None:
        state = self.state
        if state.learning or not self.is_qrs(peak):
            self.pass_over(peak)
            return
        if self.like_p_wave(peak):
            state.held = peak
        else:
            self.take(peak, now)

    def like_p_wave(self, peak: Peak) -> bool:
        state = self.state
        if state.last is None or not state.rr:
            return False
        ahead = state.last.at + upper_median(list(state.rr)) - peak.at
        first, last = (self.s(t) for t in qrs.P_WAVE_BEFORE_S)
        weak = peak.height < qrs.P_WAVE_HEIGHT * upper_median(state.signal_levels)
        return weak and last <= ahead <= first and not blunter(state.last, peak)

    def take(self, peak: Peak, now: int) -> None:
        state = self.state
        if state.last is not None and state.rr:
            usual = upper_median(list(state.rr))
            if peak.at - state.last.at >= qrs.SECOND_LOOK_RR * usual:
                missed = self.missed(peak.at - self.s(qrs.T_WAVE_S))
                if missed is not None:
                    self.accept(missed, now)
        if self.follows(peak):
            self.accept(peak, now)
        else:
            self.pass_over(peak)

    def missed(self, stop: int) -> Peak | None:
        state = self.state
        if state.last is None:
            return None
        start = state.last.at + self.s(qrs.T_WAVE_S)
        limit = max(qrs.SECOND_LOOK * self.threshold(), qrs.CLEAR_OF_NOISE * self.noise())
        best = None
        for peak in state.passed:
            if start <= peak.at <= stop and peak.height > limit and not self.t_wave(peak):
                best = peak if best is None or peak.height > best.height else best
        return best

    def look_back(self, now: int) -> None:
        missed = self.missed(now)
        if missed is not None:
            self.accept_and_rejudge(missed, now)

    def accept_and_rejudge(self, first: Peak, now: int) -> None:
        later = [p for p in self.state.passed if p.at > first.at]
        self.accept(first, now)
        self.state.passed = []
        for peak in later:
            if self.is_qrs(peak):
                self.accept(peak, now)
            else:
                self.pass_over(peak)

    def accept(self, peak: Peak, now: int) -> None:
        state = self.state
        if state.last is not None:
            if peak.at - state.last.at <= self.s(qrs.PAUSE_S):
                state.rr.append(peak.at - state.last.at)
            quiet = state.last.at + self.s(qrs.T_WAVE_S)
            seen = [
                p.height for p in state.passed if quiet <= p.at < peak.at and not self.t_wave(p)
            ]
            kept = state.noise_levels[-qrs.LEVELS_KEPT :]
            state.noise_levels += seen or [qrs.NOISE_DECAY * level for level in kept]
        if state.signal_levels and state.last is not None:
            giant = qrs.GIANT * upper_median(state.signal_levels)
            if min(peak.height, state.last.height) > giant:
                state.signal_levels, state.noise_levels = [state.last.height], []
        state.signal_levels.append(peak.height)
        state.last = peak
        state.passed = [p for p in state.passed if p.at > peak.at]
        usual = upper_median(list(state.rr)) if state.rr else self.s(1.0)
        state.overdue = peak.known + int(qrs.SEARCH_BACK_RR * usual)
        state.attempt = peak.known + max(self.s(qrs.RELEARN_S), int(2 * usual))
        r = self.r_peak(peak)
        state.inverted = r == peak.negative[0]
        state.found.append((r, now))

    def r_peak(self, peak: Peak) -> int:
        bias = qrs.POLARITY_BIAS if self.state.inverted else 1 / qrs.POLARITY_BIAS
        inverted = bias * peak.negative[1] > peak.positive[1]
        return peak.negative[0] if inverted else peak.positive[0]

    def learn(self, now: int) -> None:
        state = self.state
        window = [p for p in state.passed if p.at >= now - self.s(qrs.WINDOW_S)]
        if len(window) < 2:
            return
        limit = qrs.TOP * max(p.height for p in window)
        high = [p for p in window if p.height > limit]
        low = [p.height for p in window if p.height <= limit]
        level = upper_median_all([p.height for p in high])
        if len(high) < 2 or level < qrs.MIN_HEIGHT_MV or not self.stands_out(window, high, level):
            return
        if (
            state.last is not None
            and now - state.last.known < self.s(qrs.FORGET_S)
            and len(state.signal_levels) >= qrs.FEWEST_LEVELS
            and level < qrs.P_WAVE_LEVEL * upper_median(state.signal_levels)
        ):
            return
        state.signal_levels = [level]
        state.noise_levels = [upper_median_all(low)] if low else []
        self.accept_and_rejudge(high[0], now)
        state.learning = False

    def stands_out(self, window: list[Peak], high: list[Peak], level: float) -> bool:
        first, last = window[0], window[-1]
        mean = (last.total - first.total) / (last.at - first.at) / self.scale
        if level >= qrs.MIN_CREST * mean:
            return True
        if len(high) < qrs.FEWEST_REGULAR:
            return False
        intervals = [high[k + 1].at - high[k].at for k in range(len(high) - 1)]
        usual = upper_median_all([float(i) for i in intervals])
        regular = max(intervals) - min(intervals) < qrs.REGULAR * usual
        return regular and level >= qrs.MIN_CREST_REGULAR * mean


def blunter(one: Peak, other: Peak) -> bool:
    """Tell whether one is much less steep than the other for its height."""
    height = one.positive[1] + one.negative[1]
    other_height = other.positive[1] + other.negative[1]
    return one.slope * other_height < qrs.BLUNT * other.slope * height


def upper_median_all(values: list[float]) -> float:
    """Return the upper median."""
    return sorted(values)[len(values) // 2]


def cut(signal: list[float], start: float, stop: float, length: int) -> list[float]:
    """Read a window as a beat: triangles, then mean 0 and standard deviation 1."""
    step = (stop - start) / length
    half = max(1.0, step)
    values = []
    for k in range(length):
        t = start + k * step
        near = range(math.floor(t - half), math.ceil(t + half) + 1)
        weights = [max(0.0, 1.0 - abs(t - j) / half) for j in near]
        read = [signal[min(max(j, 0), len(signal) - 1)] for j in near]
        values.append(sum(w * x for w, x in zip(weights, read, strict=True)) / sum(weights))
    mean = sum(values) / length
    deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / (length - 1))
    return [(v - mean) / deviation for v in values]


class Reader:
    """Reads beats one at a time and knows the one after; begins and ends with what is no beat."""

    def __init__(self, beats: list[int]) -> None:
        self.rest = list(beats)
        self.now = self.after = 0
        self.is_beat = self.after_is_beat = False

    def go_on(self) -> None:
        self.now, self.is_beat = self.after, self.after_is_beat
        self.after_is_beat = bool(self.rest)
        self.after = self.rest.pop(0) if self.rest else 1 << 62

    def has_ended(self) -> bool:
        return self.now == 1 << 62


def match(
    reference: list[int],
    detected: list[int],
    start: int,
    end: int | None,
    window: int,
    second_criterion: bool = True,
) -> tuple[int, int, int]:
    """Count pairs, missed and extra beats as WFDB's bxb does, before 2002 without the criterion."""
    ref, det = Reader(reference), Reader(detected)
    pairs = missed = extra = 0
    ref.go_on()
    while ref.now < start:
        ref.go_on()
    det.go_on()
    while det.after < start:
        det.go_on()
    if ref.now - det.now <= window and ref.now - det.now < abs(ref.now - det.after):
        pairs += ref.is_beat and det.is_beat
        ref.go_on()
        det.go_on()
    else:
        det.go_on()
        if det.now - start <= window and abs(ref.now - det.after) < abs(ref.now - det.now):
            det.go_on()
    while (not ref.has_ended()) if end is None else (ref.now <= end or det.now <= end):
        first, second = (det, ref) if det.now < ref.now else (ref, det)
        near = second.now - first.now <= window
        best = second.now - first.now < abs(second.now - first.after)
        if second_criterion:
            best = best or abs(second.after - first.after) < abs(second.now - first.after)
        if near and best:
            pairs += ref.is_beat and det.is_beat
            ref.go_on()
            det.go_on()
        else:
            missed += first is ref and ref.is_beat
            extra += first is det and det.is_beat
            first.go_on()
    return pairs, missed, extra
