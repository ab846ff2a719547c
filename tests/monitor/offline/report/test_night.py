"""A night as its alerts tell it, one after the other."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.offline.report.night import Night, NightFold, Span, by_kind, column_hours, covered_s
from monitor.wire.messages import ALARM_KINDS, Alert, Technical
from tests.messages import alarm, alert, technical

FS_HZ = 360


def at(time_s: float, **changes: Any) -> dict[str, Any]:
    return {"time_s": time_s, "sample": round(time_s * FS_HZ), **changes}


def beats(time_s: float, began_s: float, **changes: Any) -> Alert:
    return alert(**at(time_s, episode_start_sample=round(began_s * FS_HZ), **changes))


def folded(*messages: Alert | Technical) -> NightFold:
    fold = NightFold()
    for one in messages:
        fold.take(one)
    return fold


def test_an_alert_lasts_from_its_onset_to_its_end() -> None:
    """Of beats from the first to the last anomalous one; its priority is the highest it had."""
    fold = folded(
        beats(10, 10),
        beats(12, 10, state="ongoing", priority="high"),
        beats(20, 10, state="cleared", priority="low", duration_s=4.0),
    )
    assert fold.spans(99)[0] == (Span("anomalous_beats", 10, 14, "high", False),)
    assert (fold.n_unseen, fold.fs_hz) == (1, FS_HZ)


def test_what_has_not_ended_lasts_to_the_end_of_the_signal() -> None:
    """Alarms and technical alerts; each kind for itself."""
    fold = folded(alarm(**at(30)), technical(**at(40)), alarm(**at(50, kind="pause")))
    alarms, unread = fold.spans(100)
    assert [(one.kind, one.begin_s, one.end_s, one.is_open) for one in alarms] == [
        ("asystole", 30, 100, True),
        ("pause", 50, 100, True),
    ]
    assert unread == (Span("noisy", 40, 100, "low", True),)


def test_a_kind_that_begins_again_ended_unheard() -> None:
    """As after a restart that lost the end."""
    fold = folded(technical(**at(40)), technical(**at(60)), technical(**at(70), state="cleared"))
    assert [(one.begin_s, one.end_s) for one in fold.spans(100)[1]] == [(40, 60), (60, 70)]


def test_an_end_without_a_beginning_is_an_alert_all_the_same() -> None:
    """Retention took the onset away; an end of a technical alert alone says nothing of when."""
    fold = folded(
        beats(20, 10, state="cleared", priority="low", duration_s=4.0),
        technical(**at(60), state="cleared"),
    )
    assert fold.spans(99) == ((Span("anomalous_beats", 10, 14, "low", False),), ())


def test_an_acknowledgement_names_who_and_ends_the_wait_of_its_kind() -> None:
    """High alerts of other kinds, and those that come later, wait on."""
    fold = folded(
        alarm(**at(10)),
        alarm(**at(11, kind="ventricular_tachycardia")),
        alarm(**at(20, state="cleared", priority="low")),
        alarm(**at(30, state="acknowledged", priority="low", by="Ada")),
        alarm(**at(40)),
        beats(50, 50, state="marked", family=3, word="normal", by="ana"),
        beats(51, 50, state="marked", family=3, word="", by=""),
    )
    assert [(one.time_s, one.what, one.said, one.by) for one in fold.acts] == [
        (30, "asystole", "acknowledged", "Ada"),
        (50, "family 3", "normal", "ana"),
        (51, "family 3", "taken back", ""),
    ]
    assert fold.n_unseen == 2


@pytest.mark.parametrize("time_s", [1e300, float("inf"), float("nan"), -5.0])
def test_absurd_times_stay_within_what_can_be_drawn(time_s: float) -> None:
    """A damaged journal may claim any."""
    fold = folded(alarm(time_s=time_s), technical(time_s=time_s), beats(1, 1, duration_s=time_s))
    for spans in fold.spans(fold.reached_s):
        assert all(0 <= one.begin_s <= one.end_s <= 9999 * 3600 for one in spans)


def test_time_that_two_technical_alerts_share_counts_once() -> None:
    """And what leaves the signal readable does not make it unreadable."""
    spans = (
        Span("noisy", 0, 100, "low", False),
        Span("no_verdict", 50, 150, "low", False),
        Span("lead_left_out", 0, 3600, "low", False),
    )
    assert covered_s(spans[:2]) == 150
    night = Night("p", "p", "j", last_s=3600, technical=spans)
    assert (night.unreadable_s, night.readable_s) == (150, 3450)


def test_alarms_are_counted_by_kind_and_hour_of_readable_signal() -> None:
    """The most urgent kind first; the rate is of what could be read."""
    spans = (
        Span("pause", 10, 15, "medium", False),
        Span("asystole", 3600, 3610, "high", False),
        Span("pause", 7199, 7200, "medium", False),
    )
    unread = (Span("noisy", 0, 3600, "low", False),)
    night = Night("p", "p", "j", last_s=7200, alarms=spans, technical=unread)
    first, second = by_kind(night, ALARM_KINDS)
    assert (first.kind, first.counts, first.per_hour, first.priority) == (
        "asystole", (0, 1), 1.0, "high",
    )  # fmt: skip
    assert (second.counts, second.per_hour, second.total_s, second.longest_s) == ((1, 1), 2, 6, 5)


@pytest.mark.parametrize(
    ("length_s", "hours"), [(1, 1), (86_400, 1), (86_401, 2), (7 * 86_400, 8), (9e6, 105)]
)
def test_a_long_record_has_wider_columns(length_s: float, hours: int) -> None:
    """At most 24."""
    assert column_hours(length_s) == hours
    assert length_s / 3600 / hours <= 24


def test_a_night_that_begins_late_is_counted_from_there() -> None:
    """As of `replay --start`."""
    spans = (Span("pause", 7210, 7215, "medium", False),)
    night = Night("p", "p", "j", first_s=7200, last_s=10_800, alarms=spans)
    assert by_kind(night, ALARM_KINDS)[0].counts == (1,)
