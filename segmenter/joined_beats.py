"""One R peak out of what the detectors of several leads found.

What two leads find within `SAME_BEAT_S` is one beat. What one of two finds alone is weighed by
`segmenter/lead_trust.py` when the other had time to find it too. What is too light is passed over,
and looked at again where the beats around it turn out to be far apart. A lead that is left out, or
has not found a beat since it began or came back, has no say: the other one is believed as it is.

R is that of the leading lead, so that it does not jump between the leads from beat to beat: another
lead's R is moved by the median distance of the two in their last common beats. So it stays where it
was while the leading lead is left out. The first lead leads, until it errs much and another does
not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from segmenter.beat import Quality
from segmenter.errors import InvalidState
from segmenter.lead_trust import Claim, LeadTrust, evidence, probability
from segmenter.qrs import (
    FAR,
    LEVELS_KEPT,
    SEARCH_BACK_RR,
    SECOND_LOOK_RR,
    Detection,
    Durations,
    keep,
    median,
)
from segmenter.state import listing, whole
from segmenter.tracker import Findings, JoinedBeat, Tracker, saved_detection

SAME_BEAT_S = 0.15  # two leads show one QRS complex within it: 99.7 % of those in sight do
WAIT_S = 0.15  # a lead that finds a beat later than another knows it within this in 99 %
ECHO_S = 0.12  # a silent lead's peak that may be the same complex
BESIDE_S = 0.25  # what was passed over so near to a beat is none
COMMON_KEPT = 16  # beats of two leads: three seconds of noise are less than half of them
PASSED_KEPT = 16  # single beats passed over since the last one
PASSED_S = 6.0  # older ones are not looked at again: their signal is about to go
SEEN = 0.25  # a silent lead's peak that is so high against the other's, for each lead: R is there
SILENT_MISSES = 0.25  # of the beats, a lead that finds nothing for long is thought to miss as many
WITNESS = -2.0  # log-odds, of each lead more that finds nothing than that finds something
ERRS_MUCH, ERRS_LITTLE = 0.25, 0.05  # beats missed and invented of late, over all

# Plain numbers: an IntFlag takes a microsecond to combine.
LEARNING, NOISY = int(Quality.LEARNING), int(Quality.NOISY)


@dataclass
class AwaitedBeat:
    """A beat that some leads found, until the others had time to."""

    due: int
    found: dict[int, Detection]

    @property
    def peak(self) -> int:
        """Sample of the envelope's peak, in the lead that was first."""
        return next(iter(self.found.values())).peak


class BeatJoiner:
    """Joins what the leads of one patient found; its steps come in the order of time.

    Parameters
    ----------
    leads : int
        At least two.
    timing : Durations
    tracker : Tracker
        It takes the beats.
    """

    def __init__(self, leads: int, timing: Durations, tracker: Tracker) -> None:
        self.timing = timing
        self.tracker = tracker
        self.same = round(SAME_BEAT_S * timing.second)
        self.wait = round(WAIT_S * timing.second)
        self.reach = round(ECHO_S * timing.second)
        self.beside = round(BESIDE_S * timing.second)
        self.kept = round(PASSED_S * timing.second)
        self.trust = [LeadTrust() for _ in range(leads)]
        self.out = [False] * leads  # no say, whatever they find
        self.away: list[list[int]] = [[] for _ in range(leads)]
        self.leading = 0
        self._asked: list[int] = []  # the leads that can find a beat now; see `_set_asked`
        self.waiting: list[AwaitedBeat] = []  # by when they are due
        self.now = 0
        self.forget()

    def forget(self) -> None:
        """Begin anew after a gap of all leads: what was before it says nothing."""
        self.last_r = self.last_peak = -1  # of the last beat; -1: there is none
        self.rr: list[int] = []
        self._usual_rr = self.timing.second
        self.passed: list[tuple[int, Detection]] = []
        self.overdue = FAR
        self._set_due()

    def detected(self, lead: int, detection: Detection, findings: Findings) -> None:
        """Take a beat that a lead found."""
        self.now = detection.known
        trust = self.trust[lead]
        was_present = trust.present
        trust.found(detection)
        if not was_present:
            self._set_asked()
        if self.out[lead] and not all(self.out):
            return
        for waiting in self.waiting:
            if lead not in waiting.found and abs(waiting.peak - detection.peak) <= self.same:
                waiting.found[lead] = detection
                self._decide_if_complete(waiting, detection.known, findings)
                return
        if self.last_peak >= 0 and detection.peak <= self.last_peak + self.timing.refractory:
            if abs(detection.peak - self.last_peak) <= self.same:
                self._found_late(lead, detection)
            return
        waiting = AwaitedBeat(detection.known + self.wait, {lead: detection})
        self.waiting.append(waiting)
        self._decide_if_complete(waiting, detection.known, findings)

    def advance(self, position: int, findings: Findings) -> None:
        """Do what fell due before `position`.

        After a beat that was known late the next one may have been overdue before it was known.
        """
        while self.due < position:
            due = self.waiting[0].due if self.waiting else FAR
            self.now = max(self.due, self.now)
            if due <= self.overdue:
                self._decide(self.waiting.pop(0), self.now, findings)
            else:
                stop, self.overdue = self.overdue, FAR
                self._look_again(self.now, stop, findings)
            self._set_due()

    def settle(self, position: int, findings: Findings) -> None:
        """Decide at `position` on all that waits: no more comes."""
        while self.waiting:
            self._decide(self.waiting.pop(0), position, findings)
        self._set_due()

    def _set_due(self) -> None:
        """Note when the next thing falls due."""
        self.due = min(self.waiting[0].due if self.waiting else FAR, self.overdue)

    def leave_out(self, lead: int, out: bool) -> None:
        """Give a lead no say, or let it have one when it has found its next beat."""
        if out is not self.out[lead]:
            self.out[lead] = out
            self.trust[lead].present = False
            self._set_asked()

    def forget_lead(self, lead: int) -> None:
        """Begin anew with a lead: it sleeps."""
        self.trust[lead].forget()
        self._set_asked()

    def _set_asked(self) -> None:
        """Note which leads can find a beat now."""
        present = [k for k, trust in enumerate(self.trust) if trust.present]
        self._asked = [k for k in present if not self.out[k]] or present

    def _decide_if_complete(self, waiting: AwaitedBeat, now: int, findings: Findings) -> None:
        """Decide at once if every lead that can find the beat has found it."""
        found = waiting.found
        for lead in self._asked:
            if lead not in found:
                break
        else:
            self.waiting.remove(waiting)
            self._decide(waiting, now, findings)
        self._set_due()

    def _decide(self, waiting: AwaitedBeat, now: int, findings: Findings) -> None:
        """Take a beat, or pass it over."""
        found = waiting.found
        if self.last_peak >= 0 and waiting.peak <= self.last_peak + self.timing.refractory:
            return
        silent = [lead for lead in self._asked if lead not in found]
        if not silent or len(found) >= max(len(silent), 2):
            for lead in found:
                self.trust[lead].judged(1.0)
            self._accept(found, now, 1.0, findings)
            return
        weights = {k: self._weigh(k, one, silent) for k, one in found.items()}
        heaviest = max(weights, key=weights.__getitem__)
        weight = weights[heaviest] + WITNESS * (len(silent) - len(found))
        is_beat = probability(weight)
        for lead in found:
            self.trust[lead].judged(is_beat)
        if weight > 0:
            self._accept(found, now, is_beat, findings)
        else:
            keep(self.passed, (heaviest, found[heaviest]), PASSED_KEPT)

    def _weigh(
        self, lead: int, detection: Detection, silent: list[int], *, pause: bool = False
    ) -> float:
        """Return the log-odds that what one lead found, and others not, is a beat."""
        trust, others = self.trust[lead], [self.trust[k] for k in silent]
        r_sample = self._r_sample(lead, detection)
        claim = Claim(
            height=detection.height / trust.level if trust.level else 1.0,
            crest=trust.crest(self.tracker.scale),
            invented=trust.invented,
            echo=sum(o.echo_height(detection.peak, self.reach) for o in others) / len(others),
            missed=sum(self._misses(o, detection.peak) for o in others) / len(others),
            interval=(r_sample - self.last_r) / self._usual_rr if self.last_r >= 0 else 1.0,
            pause=pause,
        )
        return evidence(claim)

    def _misses(self, silent: LeadTrust, peak: int) -> float:
        """Return which part of the beats a lead that found none here is thought to miss."""
        long = max(self.timing.relearn, 2 * self._usual_rr)  # then its detector starts anew
        if peak - silent.last_peak > long:
            return max(silent.missed, SILENT_MISSES)
        return silent.missed

    def _accept(
        self, found: dict[int, Detection], now: int, is_beat: float, findings: Findings
    ) -> None:
        """Take a beat, and before it one that was passed over if they are far apart."""
        lead = self._r_lead(found)
        r_sample = self._r_sample(lead, found[lead])
        if self.last_r >= 0 and r_sample - self.last_r > SECOND_LOOK_RR * self._usual_rr:
            self._look_again(now, r_sample - self.beside, findings)
        if r_sample <= max(self.last_r, 0) and self.last_r >= 0:
            return
        self._take(found, lead, max(r_sample, 0), now, is_beat, findings)
        if self.passed:
            self.passed = [one for one in self.passed if one[1].peak > self.last_peak]

    def _look_again(self, now: int, stop: int, findings: Findings) -> None:
        """Take the heaviest of what was passed over since the last beat, if that may be a beat."""
        asked = self._asked
        best: tuple[float, int, Detection] | None = None
        for lead, one in self.passed:
            silent = [k for k in asked if k != lead]
            r_sample = self._r_sample(lead, one)
            if not silent or not self.last_r + self.beside <= r_sample <= stop:
                continue
            if r_sample < now - self.kept:
                continue
            weight = self._weigh(lead, one, silent, pause=True) + WITNESS * (len(silent) - 1)
            if weight > 0 and (best is None or weight > best[0]):
                best = weight, lead, one
        if best is not None:
            _, lead, one = best
            self._take({lead: one}, lead, self._r_sample(lead, one), now, 1.0, findings)

    def _take(
        self,
        found: dict[int, Detection],
        lead: int,
        r_sample: int,
        now: int,
        is_beat: float,
        findings: Findings,
    ) -> None:
        """Give a beat to the tracker, and learn from it; R is that of `lead`."""
        if self.last_r >= 0 and r_sample - self.last_r < self.timing.pause:
            keep(self.rr, r_sample - self.last_r, LEVELS_KEPT)
            self._usual_rr = median(self.rr)
        self.last_r, self.last_peak = r_sample, found[lead].peak
        flags, of_leads = [], []
        for k, trust in enumerate(self.trust):
            one = found.get(k)
            if one is not None:
                trust.shows(one.height)
                if lead == self.leading:
                    keep(self.away[k], r_sample - one.r_sample, COMMON_KEPT)
            elif not self.out[k]:
                trust.misses(is_beat)
            flags.append(self._flags(k, one))
            of_leads.append(one)
        self.overdue = r_sample + int(SEARCH_BACK_RR * self._usual_rr) + self.timing.report
        beat = JoinedBeat(r_sample, now, tuple(flags), tuple(of_leads))
        self.tracker.take(beat, findings)

    def _flags(self, lead: int, detection: Detection | None) -> int:
        """Return what keeps a lead's detector from being believed."""
        if detection is not None:
            return LEARNING * detection.learning | NOISY * detection.noisy
        trust = self.trust[lead]
        return LEARNING * (not trust.present) | NOISY * trust.noisy

    def _found_late(self, lead: int, detection: Detection) -> None:
        """Add a lead to the last beat: it has found it too."""
        beat = self.tracker.open
        if beat is not None and beat.r_sample == self.last_r and beat.found[lead] is None:
            self.trust[lead].shows_late(detection.height)
            self.tracker.found_late(lead, detection, self._flags(lead, detection))

    def _r_lead(self, found: dict[int, Detection]) -> int:
        """Return the lead whose R is taken: the leading one, if it found the beat, not in noise."""
        leading, trust = found.get(self.leading), self.trust[self.leading]
        is_clear = leading is not None and not leading.noisy
        if is_clear and trust.missed + trust.invented <= ERRS_MUCH:  # nearly always
            return self.leading
        errs = {lead: self.trust[lead].missed + self.trust[lead].invented for lead in found}
        best = min(errs, key=errs.__getitem__)
        if self.leading not in found or (found[self.leading].noisy and not found[best].noisy):
            return best
        if errs[self.leading] > ERRS_MUCH and errs[best] < ERRS_LITTLE:
            shift = self._moved(best)
            self.away = [[d - shift for d in one] for one in self.away]
            self.leading = best
        return self.leading

    def _r_sample(self, lead: int, detection: Detection) -> int:
        """Return the R of all leads of what a lead found.

        Where the leading lead did not find it but has a peak there, it is that of this peak.
        """
        if lead == self.leading:
            return detection.r_sample + self._moved(lead)
        trust, leading = self.trust[lead], self.trust[self.leading]
        if leading.present and not self.out[self.leading]:
            echo = leading.echo(detection.peak, self.reach)
            if echo is not None and (
                echo.height * trust.level >= SEEN * detection.height * leading.level > 0
            ):
                return echo.r_sample
        return detection.r_sample + self._moved(lead)

    def _moved(self, lead: int) -> int:
        """Return what leads from a lead's R to that of all leads."""
        return median(self.away[lead]) if self.away[lead] else 0

    def to_plain(self) -> dict[str, Any]:
        """Return the state as plain JSON values."""
        return {
            "trust": [trust.to_plain() for trust in self.trust],
            "out": self.out,
            "away": [list(one) for one in self.away],
            "leading": self.leading,
            "waiting": [
                [one.due, [[lead, list(found)] for lead, found in one.found.items()]]
                for one in self.waiting
            ],
            "last_r": self.last_r,
            "last_peak": self.last_peak,
            "rr": list(self.rr),
            "passed": [[lead, list(one)] for lead, one in self.passed],
            "overdue": -1 if self.overdue == FAR else self.overdue,
        }

    def restore(self, plain: Mapping[str, Any], position: int) -> None:
        """Take a state from `to_plain` at `position`; InvalidState if it cannot be one."""
        n, horizon = len(self.trust), position + 60 * self.timing.second
        self.now = position  # what fell due before it was done
        for trust, one in zip(self.trust, of_each(plain, "trust", n, dict), strict=True):
            trust.restore(one)
        self.out = of_each(plain, "out", n, bool)
        away = of_each(plain, "away", n, list)
        self.away = [distances(one, self.timing.second) for one in away]
        self.leading = whole(plain, "leading", 0, n - 1)
        self.last_r = whole(plain, "last_r", -1, position)
        self.last_peak = whole(plain, "last_peak", -1, position)
        rr = distances(listing(plain, "rr", LEVELS_KEPT), self.timing.pause)
        if any(one <= 0 for one in rr):
            raise InvalidState("saved state: an interval between beats is not a positive number")
        self.rr = rr
        self._usual_rr = median(self.rr) if self.rr else self.timing.second
        self._set_asked()
        self.passed = [self._single(one, position) for one in listing(plain, "passed", PASSED_KEPT)]
        self.waiting = []
        for one in listing(plain, "waiting", PASSED_KEPT):
            if not isinstance(one, list) or len(one) != 2 or not isinstance(one[1], list):
                raise InvalidState("saved state: what waits is not a beat")
            found = dict([self._single(single, position) for single in one[1]])
            due = whole({"due": one[0]}, "due", position, horizon)
            if not found:
                raise InvalidState("saved state: what waits was found by no lead")
            self.waiting.append(AwaitedBeat(due, found))
        overdue = whole(plain, "overdue", -1, horizon)
        self.overdue = FAR if overdue < 0 else overdue
        self._set_due()

    def _single(self, saved: object, position: int) -> tuple[int, Detection]:
        """Return a lead and what it found, as saved."""
        if not isinstance(saved, list) or len(saved) != 2:
            raise InvalidState("saved state: what a lead found is missing")
        found = saved_detection(saved[1], position)
        if found is None:
            raise InvalidState("saved state: what a lead found is missing")
        return whole({"lead": saved[0]}, "lead", 0, len(self.trust) - 1), found


def of_each(plain: Mapping[str, Any], name: str, n: int, kind: type) -> list[Any]:
    """Return a saved list of one value of a kind for each of n leads."""
    values = listing(plain, name, n)
    if len(values) != n or not all(type(one) is kind for one in values):
        raise InvalidState(f"saved state: {name} is not one {kind.__name__} of each lead")
    return values


def distances(saved: list[Any], most: int) -> list[int]:
    """Return saved distances between samples."""
    if len(saved) > COMMON_KEPT or not all(type(d) is int and abs(d) <= most for d in saved):
        raise InvalidState("saved state: a distance between samples is none")
    return saved
