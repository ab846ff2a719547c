"""One course of beats for all leads of a patient, and which leads are left out.

What the leads' detectors say is taken in the order of time, so that any cut gives the same. A lead
that cannot be read (flat, saturated or missing for a second, noisy for three) has no say about the
beats while another lead can be read, until it was good for three seconds. `lead_left_out` reports
what lasts: a lead that comes and goes within seconds would be reported all the time, and its beats
carry their quality anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segmenter.beat import Quality
from segmenter.errors import InvalidState
from segmenter.joined_beats import BeatJoiner, of_each
from segmenter.lead_detector import (
    ALL_ASLEEP,
    ASLEEP,
    BEAT,
    ECHO,
    LEAD_OFF,
    MISSING,
    NOISY,
    NOISY_SECONDS,
    SECOND,
    LeadDetector,
    Said,
    SecondEnded,
    Slept,
)
from segmenter.lead_trust import ECHOES_KEPT
from segmenter.qrs import keep
from segmenter.tracker import Findings, JoinedBeat, Tracker

LEARNING = int(Quality.LEARNING)
GOOD_SECONDS = 3  # in a row; then a lead that was left out is back
# For so long a lead must be unreadable, or readable again, before it is reported. Of 79 stretches
# in which a lead of the 22 records in sight could not be read, 16 lasted ten seconds and more.
LEAVE_OUT_S, TAKE_BACK_S = 12.0, 12.0
SAME = -1  # stands for no sample: a lead is as it was reported


class JoinedLeads:
    """Follows one patient: what the leads' detectors say becomes one course of beats.

    Parameters
    ----------
    leads : list of LeadDetector
    tracker : Tracker
    """

    def __init__(self, leads: list[LeadDetector], tracker: Tracker) -> None:
        self.leads = leads
        self.tracker = tracker
        self.left_out = [False] * len(leads)  # as reported
        self.turned_from = [SAME] * len(leads)  # the sample from which on it is otherwise
        self.good_seconds = [0] * len(leads)  # in a row, up to GOOD_SECONDS
        self._ended: list[SecondEnded | None] = []  # of a second: what was said so far
        self._steady = False  # every lead is good, and was: another good second changes nothing
        timing = leads[0].decider.timing
        self.joiner = BeatJoiner(len(leads), timing, tracker) if len(leads) > 1 else None

    def update(self, position: int, findings: Findings) -> None:
        """Take what the leads said since the last time, up to `position` each.

        Parameters
        ----------
        position : int
        findings : Findings
            What becomes known is added to it.
        """
        joiner = self.joiner
        if joiner is None:
            self.update_one(findings)
            return
        for time, kind, lead, _, said in self._in_order():
            if joiner.due < time:
                joiner.advance(time, findings)
            if kind == ECHO:
                keep(joiner.trust[lead].echoes, said, ECHOES_KEPT)
            elif kind == BEAT:
                joiner.detected(lead, said, findings)
            elif kind == SECOND:
                self._end_second(joiner, time, said, findings)
            elif kind == ASLEEP:
                if said.falls_asleep:  # once: a beat found before it may be decided on in its sleep
                    joiner.forget_lead(lead)
            else:
                joiner.settle(time, findings)
                joiner.forget()
                self.tracker.skip(time, said.n, findings)
        if joiner.due < position:
            joiner.advance(position, findings)

    def skip(self, position: int, n: int, findings: Findings) -> None:
        """Take n samples after `position` in which every lead sleeps, and slept before."""
        for lead in self.leads:
            lead.lose(position, n)
        self.tracker.skip(position, n, findings)

    def flush(self, position: int, findings: Findings) -> None:
        """Close the last beat, if its window is complete without a next one."""
        if self.joiner is not None:
            self.joiner.settle(position, findings)
        self.tracker.flush(position, findings)

    def update_one(self, findings: Findings) -> None:
        """Take what the only lead said: nothing is to be joined."""
        lead, tracker = self.leads[0], self.tracker
        said, lead.said = lead.said, []
        for _, kind, _, _, one in said:
            if kind == SECOND:
                tracker.end_second(one.end, one.flags, findings)
            elif kind == BEAT:
                flags = LEARNING * one.learning | NOISY * one.noisy
                tracker.take(JoinedBeat(one.r_sample, one.known, (flags,), (one,)), findings)
            else:
                tracker.skip(one.start, one.n, findings)

    def _in_order(self) -> list[Said]:
        """Take what the leads said, in the order of time."""
        in_order: list[Said] = []
        for lead in self.leads:
            if lead.said:
                in_order += lead.said
                lead.said = []
        if ASLEEP in [one[1] for one in in_order]:
            in_order += self._in_sleep(in_order)
        in_order.sort()
        return in_order

    def _in_sleep(self, said: list[Said]) -> list[Said]:
        """Return the seconds that were lost in what leads slept, and where all of them did."""
        lost: list[Said] = []
        asleep: list[list[Slept]] = [[] for _ in self.leads]
        for _, kind, lead, number, one in said:
            if kind == ASLEEP:
                asleep[lead].append(one)
                lost += [(end, SECOND, lead, number, None) for end in self._seconds_in(one)]
        if all(asleep):
            for number, slept in enumerate(all_asleep(asleep)):
                lost.append((slept.start, ALL_ASLEEP, 0, number, slept))
        return lost

    def _seconds_in(self, slept: Slept) -> range:
        """Return the ends of the seconds that ended in a stretch."""
        second = self.tracker.second
        first = slept.start // second * second + second
        return range(first, slept.start + slept.n + 1, second)

    def _end_second(
        self, joiner: BeatJoiner, end: int, said: SecondEnded | None, findings: Findings
    ) -> None:
        """Take what one lead has to say of a second; the last one ends it."""
        self._ended.append(said)
        if len(self._ended) < len(self.leads):
            return
        ended, self._ended = self._ended, []
        if self._steady and all(one and not one.flags for one in ended):
            self.tracker.end_second(end, 0, findings)
            return
        for lead, one in enumerate(ended):
            good = one is not None and not one.flags
            self.good_seconds[lead] = min(self.good_seconds[lead] + 1, GOOD_SECONDS) if good else 0
            if one is None or one.flags & ~NOISY or one.noisy_seconds >= NOISY_SECONDS:
                joiner.leave_out(lead, True)
            elif self.good_seconds[lead] == GOOD_SECONDS:
                joiner.leave_out(lead, False)
        awake = [one for one in ended if one is not None]
        if awake:  # else the tracker skips it
            self.tracker.end_second(end, joined_flags([one.flags for one in awake]), findings)
            self._say_left_out(joiner.out, end, ended, findings)
        self._steady = (
            min(self.good_seconds) == GOOD_SECONDS
            and not any(joiner.out)
            and not any(self.left_out)
            and max(self.turned_from) == SAME
        )

    def _say_left_out(
        self, out: list[bool], end: int, ended: list[SecondEnded | None], findings: Findings
    ) -> None:
        """Report which leads are left out from now on, and which are back."""
        for lead, one in enumerate(ended):
            if out[lead] is self.left_out[lead]:
                self.turned_from[lead] = SAME
                continue
            if self.turned_from[lead] == SAME:
                self.turned_from[lead] = self._turned_from(out[lead], end, one)
            start = self.turned_from[lead]
            lasts_s = (end - start) / self.tracker.fs_hz
            if is_left_out(self.left_out[lead], out[lead], lasts_s) is self.left_out[lead]:
                continue
            if out[lead] and all(out):  # the signal of the patient is lost then, not a lead's
                continue
            self.left_out[lead], self.turned_from[lead] = out[lead], SAME
            self.tracker.leave_out(lead, out[lead], start, findings)

    def _turned_from(self, is_out: bool, end: int, ended: SecondEnded | None) -> int:
        """Return where a lead turned of which that became known with a second."""
        seconds = 1
        if not is_out:
            seconds = GOOD_SECONDS
        elif ended is not None and ended.noisy_seconds >= NOISY_SECONDS:
            seconds = NOISY_SECONDS
        return max(end - seconds * self.tracker.second, 0)

    def to_plain(self) -> dict[str, Any]:
        """Return the state as plain JSON values."""
        return {
            "tracker": self.tracker.to_plain(),
            "leads": [lead.to_plain() for lead in self.leads],
            "left_out": self.left_out,
            "turned_from": self.turned_from,
            "good_seconds": self.good_seconds,
            "joiner": None if self.joiner is None else self.joiner.to_plain(),
        }

    def restore(self, plain: Mapping[str, Any], position: int) -> None:
        """Take a state from `to_plain` at `position`; InvalidState if it cannot be one."""
        tracker, n = plain.get("tracker"), len(self.leads)
        if not isinstance(tracker, dict):
            raise InvalidState("saved state: the tracker's part is missing")
        self.tracker.restore(tracker, position, n)
        self.left_out = of_each(plain, "left_out", n, bool)
        self.turned_from = of_each(plain, "turned_from", n, int)
        if not all(SAME <= one <= position for one in self.turned_from):
            raise InvalidState("saved state: turned_from are not samples that came")
        self.good_seconds = of_each(plain, "good_seconds", n, int)
        if not all(0 <= one <= GOOD_SECONDS for one in self.good_seconds):
            raise InvalidState("saved state: good_seconds are not so many")
        for lead, one in zip(self.leads, of_each(plain, "leads", n, dict), strict=True):
            lead.restore(one, position)
        self._steady = False
        if self.joiner is not None:
            joiner = plain.get("joiner")
            if not isinstance(joiner, dict):
                raise InvalidState("saved state: what joins the leads is missing")
            self.joiner.restore(joiner, position)


def is_left_out(reported: bool, is_out: bool, lasts_s: float) -> bool:
    """Return whether a lead is to be reported as left out.

    Parameters
    ----------
    reported : bool
        Whether it is reported so now.
    is_out : bool
        Whether it cannot be read.
    lasts_s : float
        For how long it has been so.

    Examples
    --------
    >>> is_left_out(reported=False, is_out=True, lasts_s=5.0)
    False
    >>> is_left_out(reported=False, is_out=True, lasts_s=12.0)
    True
    >>> is_left_out(reported=True, is_out=False, lasts_s=5.0)
    True
    """
    return is_out if lasts_s >= (LEAVE_OUT_S if is_out else TAKE_BACK_S) else reported


def all_asleep(asleep: list[list[Slept]]) -> list[Slept]:
    """Return the stretches in which every lead sleeps, from those of each, in order."""
    common, *others = asleep
    for stretches in others:
        both = [
            (max(one.start, other.start), min(one.start + one.n, other.start + other.n))
            for one in common
            for other in stretches
        ]
        common = [Slept(start, stop - start, False) for start, stop in both if stop > start]
    return common


def joined_flags(flags: list[int]) -> int:
    """Return the flags of a second of the patient: none if a lead can be read, else the mildest."""
    if 0 in flags:
        return 0
    noisy = [one for one in flags if one & NOISY]
    off = [one for one in flags if one & LEAD_OFF]
    return (noisy or off or [MISSING])[0]
