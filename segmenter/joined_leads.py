"""One R peak for all leads of a patient, and which leads are left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from segmenter.beat import Quality
from segmenter.errors import InvalidState
from segmenter.lead_detector import (
    LEAD_OFF,
    MISSING,
    NOISY,
    NOISY_SECONDS,
    LeadDetector,
    SecondEnded,
    Slept,
)
from segmenter.qrs import Detection
from segmenter.state import listing
from segmenter.tracker import Findings, JoinedBeat, Tracker

LEARNING = int(Quality.LEARNING)
# What became known of leads: its sample, its place among what has the same, the lead, and what it
# is: a beat, a second, that every lead sleeps, or a second that was lost (None).
Said = tuple[int, int, int, Detection | SecondEnded | Slept | None]
SECOND, BEAT, SLEEP = 0, 1, 2


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
        self.left_out = [False] * len(leads)
        self._ended: list[SecondEnded | None] = []  # of a second: what was said so far

    def update(self, findings: Findings) -> None:
        """Take what the leads said since the last time, up to the same sample each.

        Parameters
        ----------
        findings : Findings
            What becomes known is added to it.
        """
        if len(self.leads) == 1:
            self._update_one(self.leads[0], findings)
            return
        for time, _, lead, said in sorted(self._said(), key=lambda one: one[:3]):
            if isinstance(said, Detection):
                self._detected(lead, said, findings)
            elif isinstance(said, Slept):
                self.tracker.skip(time, said.n, findings)
            else:
                self._end_second(time, said, findings)

    def skip(self, position: int, n: int, findings: Findings) -> None:
        """Take n samples after `position` in which every lead sleeps."""
        for lead in self.leads:
            lead.lose(position, n)
        self.tracker.skip(position, n, findings)

    def flush(self, position: int, findings: Findings) -> None:
        """Close the last beat, if its window is complete without a next one."""
        self.tracker.flush(position, findings)

    def _update_one(self, lead: LeadDetector, findings: Findings) -> None:
        """Take what the only lead said: nothing is to be joined."""
        said, lead.said = lead.said, []
        for one in said:
            if isinstance(one, Detection):
                flags = LEARNING * one.learning | NOISY * one.noisy
                beat = JoinedBeat(one.r_sample, one.known, (flags,), (one,))
                self.tracker.take(beat, findings)
            elif isinstance(one, Slept):
                self.tracker.skip(one.start, one.n, findings)
            else:
                self.tracker.end_second(one.end, one.flags, findings)

    def _said(self) -> Iterable[Said]:
        """Take what the leads said."""
        asleep: list[list[Slept]] = []
        second = self.tracker.second
        for k, lead in enumerate(self.leads):
            said, lead.said = lead.said, []
            asleep.append([])
            for one in said:
                if isinstance(one, Detection):
                    yield one.known, BEAT, k, one
                elif isinstance(one, SecondEnded):
                    yield one.end, SECOND, k, one
                else:
                    asleep[k].append(one)
                    first = one.start // second * second + second
                    for end in range(first, one.start + one.n + 1, second):
                        yield end, SECOND, k, None
        for slept in all_asleep(asleep):
            yield slept.start, SLEEP, 0, slept

    def _detected(self, lead: int, detection: Detection, findings: Findings) -> None:
        if lead:
            return
        flags = LEARNING * detection.learning | NOISY * detection.noisy
        others = len(self.leads) - 1
        beat = JoinedBeat(
            detection.r_sample,
            detection.known,
            (flags, *[0] * others),
            (detection, *[None] * others),
        )
        self.tracker.take(beat, findings)

    def _end_second(self, end: int, said: SecondEnded | None, findings: Findings) -> None:
        """Take what one lead has to say of a second; the last one ends it."""
        self._ended.append(said)
        if len(self._ended) < len(self.leads):
            return
        ended, self._ended = self._ended, []
        awake = [one for one in ended if one is not None]
        if awake:  # else the tracker skips it
            flags = joined_flags([one.flags for one in awake])
            self.tracker.end_second(end, flags, findings)
            self._leave_out(end, ended, flags == 0, findings)

    def _leave_out(
        self, end: int, ended: list[SecondEnded | None], readable: bool, findings: Findings
    ) -> None:
        """Leave out leads that cannot be read while another can; take back those that can."""
        second = self.tracker.second
        for lead, one in enumerate(ended):
            noisy = 0 if one is None else one.noisy_seconds
            out = one is None or bool(one.flags & ~NOISY) or noisy >= NOISY_SECONDS
            if out is self.left_out[lead] or (out and not readable):
                continue
            if not out and one is not None and one.flags:
                continue  # noisy, and not for long: it stays out
            self.left_out[lead] = out
            began = end - (noisy if noisy >= NOISY_SECONDS else 1) * second
            self.tracker.leave_out(lead, out, max(began, 0), findings)

    def to_plain(self) -> dict[str, Any]:
        """Return the state as plain JSON values."""
        return {
            "tracker": self.tracker.to_plain(),
            "leads": [lead.to_plain() for lead in self.leads],
            "left_out": self.left_out,
        }

    def restore(self, plain: Mapping[str, Any], position: int) -> None:
        """Take a state from `to_plain` at `position`; InvalidState if it cannot be one."""
        tracker, n = plain.get("tracker"), len(self.leads)
        if not isinstance(tracker, dict):
            raise InvalidState("saved state: the tracker's part is missing")
        self.tracker.restore(tracker, position, n)
        left_out = listing(plain, "left_out", n)
        if len(left_out) != n or not all(type(one) is bool for one in left_out):
            raise InvalidState("saved state: left_out does not tell of each lead whether it is")
        self.left_out = left_out
        leads = listing(plain, "leads", n)
        if len(leads) != n or not all(isinstance(one, dict) for one in leads):
            raise InvalidState("saved state: a lead's detector is missing")
        for lead, one in zip(self.leads, leads, strict=True):
            lead.restore(one, position)


def all_asleep(asleep: list[list[Slept]]) -> list[Slept]:
    """Return the stretches in which every lead sleeps, from those of each, in order."""
    common, *others = asleep
    for stretches in others:
        both = [
            (max(one.start, other.start), min(one.start + one.n, other.start + other.n))
            for one in common
            for other in stretches
        ]
        common = [Slept(start, stop - start) for start, stop in both if stop > start]
    return common


def joined_flags(flags: list[int]) -> int:
    """Return the flags of a second of the patient: none if a lead can be read, else the mildest."""
    if 0 in flags:
        return 0
    noisy = [one for one in flags if one & NOISY]
    off = [one for one in flags if one & LEAD_OFF]
    return (noisy or off or [MISSING])[0]
