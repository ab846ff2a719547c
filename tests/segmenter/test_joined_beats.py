"""Joint decisions as tables: what each lead's detector found, and the beats of the patient."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from segmenter.beat import Quality
from segmenter.joined_beats import BeatJoiner
from segmenter.qrs import Detection, Durations
from segmenter.tracker import Findings, Tracker

FS_HZ = 250
RR = 200  # samples, 0.8 s
SCALE = 1000.0  # steps of the envelope a millivolt
MEAN_MV = 0.25  # of the envelope: a QRS complex of 1 mV has a crest of 4
LAST = 10  # beats that both leads found before a table begins


class Found(NamedTuple):
    """What one lead found: R in samples after the last common beat, and the sample it is known."""

    lead: int
    r: int
    height: float = 1.0
    known: int = 65  # after R


class Bed:
    """A joiner whose leads have agreed on ten beats."""

    def __init__(self, away: int = 0) -> None:
        timing = Durations.at(FS_HZ)
        self.tracker = Tracker(0, FS_HZ, "typical", SCALE)
        self.joiner = BeatJoiner(2, timing, self.tracker)
        self.findings = Findings()
        self.away = away  # R of the second lead after that of the first
        self.origin = LAST * RR
        for k in range(LAST + 1):
            self.take([Found(lead, (k - LAST) * RR) for lead in (0, 1)])

    def take(self, found: list[Found]) -> None:
        """Let the leads find beats, in the order in which they are known."""
        for one in sorted(found, key=lambda one: (one.r + one.known, one.lead)):
            at = self.origin + one.r
            total = round(MEAN_MV * SCALE * at)
            detection = Detection(
                at + one.lead * self.away, at + one.known, False, False, at + 25, one.height, total
            )
            self.joiner.advance(detection.known, self.findings)
            self.joiner.detected(one.lead, detection, self.findings)

    def r_after(self, position: int) -> list[int]:
        """Return the R peaks known before a sample, after the last common beat."""
        self.joiner.advance(self.origin + position, self.findings)
        return [r - self.origin for r in self.findings.r_samples if r > self.origin]


def both(*r: int) -> list[Found]:
    return [Found(lead, one) for one in r for lead in (0, 1)]


@pytest.mark.parametrize(
    ("found", "beats"),
    [
        (both(200, 400), [200, 400]),
        ([*both(200), Found(0, 400)], [200, 400]),  # one lead misses a beat that is due
        ([*both(200), Found(1, 400)], [200, 400]),
        ([*both(200, 400), Found(1, 290)], [200, 400]),  # one invents one between two
        ([*both(200, 400), Found(0, 290, 0.5)], [200, 400]),
        ([*both(200, 600), Found(1, 310)], [200, 310, 600]),  # early, and then a pause
        ([*both(200, 400), Found(1, 220)], [200, 400]),  # within the refractory period
        ([*both(200), Found(0, 330, 9.0), *both(400)], [200, 400]),  # a spike before a beat
        ([*both(200), Found(0, 400), Found(1, 425)], [200, 400]),  # a wide complex
    ],
)
def test_two_leads_that_never_erred(found: list[Found], beats: list[int]) -> None:
    """What both find is a beat; what one finds is one if rhythm and height speak for it."""
    bed = Bed()
    bed.take(found)
    assert bed.r_after(900) == beats


def test_a_beat_of_both_is_known_with_the_second_of_them() -> None:
    """Nobody waits longer; the beat of one waits 150 ms."""
    bed = Bed()
    bed.take([Found(0, 200, known=60), Found(1, 200, known=72)])
    assert bed.tracker.open is not None
    assert bed.tracker.open.known == bed.origin + 272
    bed.take([Found(0, 400, known=60)])
    assert bed.r_after(400 + 60 + 38) == [200]
    assert bed.r_after(400 + 60 + 39) == [200, 400]


@pytest.mark.parametrize("out", [0, 1])
def test_a_lead_that_is_left_out_has_no_say(out: int) -> None:
    """Its beats are none, and nothing is waited for."""
    bed = Bed()
    bed.joiner.leave_out(out, True)
    bed.take([Found(out, 100), Found(1 - out, 200, known=60), Found(out, 300)])
    assert bed.r_after(262) == [200]
    bed.take([Found(1 - out, 290, 0.4, known=60)])
    assert bed.r_after(400) == [200, 290]


def test_where_all_are_left_out_they_are_heard() -> None:
    """Something is still better than nothing."""
    bed = Bed()
    bed.joiner.leave_out(0, True)
    bed.joiner.leave_out(1, True)
    bed.take(both(200))
    assert bed.r_after(300) == [200]


@pytest.mark.parametrize("finder", [0, 1])
def test_r_does_not_jump_between_leads(finder: int) -> None:
    """The second lead's R is 12 samples later: alone it is moved to where the first one's is."""
    bed = Bed(away=12)
    bed.take([*both(200), Found(finder, 400), *both(600)])
    assert bed.r_after(800) == [200, 400, 600]


def test_a_beat_says_which_leads_found_it() -> None:
    """A lead that comes late is added to the open beat; for one that is away it is LEARNING."""
    bed = Bed()
    bed.take([Found(0, 200), Found(1, 200, known=130)])
    assert bed.tracker.open is not None
    assert [one is not None for one in bed.tracker.open.found] == [True, True]
    bed.joiner.leave_out(1, True)
    bed.take([Found(0, 400)])
    assert bed.tracker.open.found[1] is None
    assert bed.tracker.open.flags == (0, int(Quality.LEARNING))


def test_a_lead_that_invents_beats_is_believed_less() -> None:
    """Found alone a hundred times between the beats, it is not believed when one is due."""
    bed = Bed()
    for k in range(1, 30):
        bed.take([*both(RR * k), Found(1, RR * k + 100)])
    bed.take([Found(1, 30 * RR)])
    assert bed.r_after(31 * RR) == [RR * k for k in range(1, 30)]


def test_a_lead_that_fails_unseen_is_not_waited_for_long() -> None:
    """One goes silent without a flag; the beats of the other go on."""
    bed = Bed()
    bed.take([Found(1, RR * k) for k in range(1, 12)])
    assert bed.r_after(12 * RR) == [RR * k for k in range(1, 12)]
