"""Which alerts are drawn."""

from __future__ import annotations

from monitor.offline.report.telling import MOST_DRAWN, MOST_FAMILIES, Telling
from monitor.wire.messages import ALARM_KINDS, Alert
from tests.messages import alarm, alert


def beat(family: int | None, score: float, sample: int = 100, **changes: object) -> Alert:
    """Return a beat that began an episode of its own."""
    said = {"episode_start_sample": sample} | changes
    return alert(family=family, score=score, ratio=score, sample=sample, **said)


def chosen(*alerts: Alert, most: int = MOST_DRAWN) -> list[Alert]:
    telling = Telling()
    for one in alerts:
        telling.take(one)
    return telling.chosen(most)


def test_one_of_each_comes_before_a_second() -> None:
    """A frequent family with large scores hides no other; within one the worst is first."""
    found = chosen(*(beat(1, 100 + n, n) for n in range(50)), beat(2, 3.0), alarm(), most=3)
    assert [(one.kind, one.family, one.score) for one in found] == [
        ("asystole", None, None),
        ("anomalous_beats", 1, 149),
        ("anomalous_beats", 2, 3.0),
    ]


def test_an_episode_shows_its_worst_beat_alone() -> None:
    """Beats of one run look alike; the others would be other episodes."""
    run = [beat(None, score, n, episode_start_sample=1) for n, score in enumerate((2.0, 9.0, 5.0))]
    found = chosen(*run, beat(None, 3.0, 500))
    assert [one.score for one in found] == [9.0, 3.0]


def test_a_high_priority_goes_before_a_larger_score() -> None:
    """A run of beats is more urgent than one that looks odd."""
    found = chosen(beat(1, 900.0), beat(2, 2.0, priority="high"))
    assert [one.family for one in found] == [2, 1]


def test_all_named_alarms_leave_room_for_beats() -> None:
    """The most urgent of them; without beats they have all the room."""
    alarms = [alarm(kind=kind) for kind in reversed(ALARM_KINDS)]
    both = chosen(*alarms, *(beat(n, 5.0) for n in range(20)))
    assert [one.kind for one in both] == [*ALARM_KINDS[:6], *["anomalous_beats"] * 4]
    assert [one.kind for one in chosen(*alarms)] == list(ALARM_KINDS)


def test_only_what_can_be_drawn_is_chosen() -> None:
    """The end of an episode carries no beat, that of an alarm is not its beginning."""
    ended = alert(state="cleared", beat=[], reconstruction=[])
    assert chosen(ended, alarm(state="cleared"), alarm(state="acknowledged")) == []


def test_what_is_kept_is_bounded() -> None:
    """However many families there are; the worst stay."""
    telling = Telling()
    for number in range(10 * MOST_FAMILIES):
        for sample in range(5):
            telling.take(beat(number, 1.0 + number, sample))
    assert len(telling.candidates()) <= 3 * (MOST_FAMILIES + len(ALARM_KINDS))
    assert telling.chosen(1)[0].family == 10 * MOST_FAMILIES - 1


def test_the_bare_rule_knows_no_families_and_shows_its_worst_beats() -> None:
    """As many as are drawn."""
    found = chosen(*(beat(None, float(n), n) for n in range(2, 40)))
    assert [one.score for one in found] == list(range(39, 29, -1))
