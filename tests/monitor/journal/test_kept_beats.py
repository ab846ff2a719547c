"""Ten beats on either side of an alert are kept, each once."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from monitor.journal.kept_beats import BEATS_AROUND, AlertContext, KeptBeat, LeadBeat, take_beat


def kept(alerted: list[bool]) -> list[int]:
    """Return which beats are kept, by their place."""
    context, samples = AlertContext(), []
    for place, is_alerted in enumerate(alerted):
        beat = KeptBeat("p", place, ("I",), (5.0,), (26.0,), b"")
        context, now = take_beat(context, beat, alerted=is_alerted)
        samples += [one.sample for one in now]
    return samples


def test_one_alert_keeps_ten_before_and_ten_after() -> None:
    """And itself, in order."""
    alerted = [place == 30 for place in range(60)]
    assert kept(alerted) == list(range(30 - BEATS_AROUND, 31 + BEATS_AROUND))


def test_near_the_edges_there_are_fewer() -> None:
    """What was not there cannot be kept."""
    assert kept([False, True, False]) == [0, 1, 2]


@given(st.lists(st.booleans(), max_size=80))
def test_every_beat_near_an_alert_is_kept_once(alerted: list[bool]) -> None:
    """Exactly those within ten beats of an alert, in order, none twice."""
    near = [
        place
        for place in range(len(alerted))
        if any(alerted[max(0, place - BEATS_AROUND) : place + BEATS_AROUND + 1])
    ]
    assert kept(alerted) == near


def test_a_beat_is_seen_in_each_lead() -> None:
    """Each lead has its own loss, threshold and values; of an unknown lead the first is shown."""
    beat = KeptBeat("p", 300, ("I", "V1"), (5.0, None), (26.0, 30.0), bytes(8) + b"\x01" * 8)
    assert beat.in_lead("V1") == LeadBeat(300, None, 30.0, b"\x01" * 8)
    assert beat.in_lead("aVF") == beat.in_lead("I") == LeadBeat(300, 5.0, 26.0, bytes(8))


def test_a_beat_keeps_its_score_in_every_lead() -> None:
    """Evidence joins the leads: the score is of all."""
    beat = KeptBeat("p", 300, ("I", "V1"), (5.0, None), (26.0, 30.0), bytes(8), 2.5, weighed=True)
    assert all((one.score, one.weighed) == (2.5, True) for one in map(beat.in_lead, beat.leads))


def test_a_beat_of_a_journal_before_scores_were_kept_is_read() -> None:
    """It has none; who reads it goes by its losses."""
    before = {
        "patient": "p",
        "sample": 300,
        "leads": ["I"],
        "losses": [5.0],
        "thresholds": [26.0],
        "values": bytes(4),
    }
    beat = msgspec.msgpack.decode(msgspec.msgpack.encode(before), type=KeptBeat)
    assert (beat.losses, beat.score, beat.weighed) == ((5.0,), None, False)
