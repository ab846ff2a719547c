"""What a ward's beats are timed by, and how the largest ward is looked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from monitor.run.ward_bench import Ear, WardResult, find_largest, result_lines, ward_settings
from monitor.wire.messages import StageHealth, Status, WardCounts
from tests.messages import alert, beat_scored, status, technical

MS = 1_000_000


def result_of(ear: Ear, dropped_before: int = 0) -> WardResult:
    return ear.result(10, 1, 20.0, dropped_before, {"consumer": 0.5}, {"consumer": 300.0})


def heartbeat(beats: int, dropped: int = 0) -> Status:
    health = StageHealth("producer", 1, 1, 0, 0, dropped, 0)
    return status(ward=WardCounts(beats=beats), stages=[health])


def hear(ear: Ear, n: int, delay_ms: float = 20.0) -> None:
    for number in range(n):
        sent_ns = 1000 * MS * number
        ear.take(beat_scored(sample=number, sent_ns=sent_ns), sent_ns + round(delay_ms * MS))


def test_delays_count_from_when_the_samples_were_there() -> None:
    """Only beats heard while measuring count; an alert is timed by its beat's samples."""
    ear = Ear()
    hear(ear, 5, delay_ms=900)
    ear.begin()
    hear(ear, 100)
    ear.take(alert(sample=99), 99_000 * MS + 35 * MS)
    ear.take(alert(sample=98, state="cleared"), 0)  # of a beat that is not the newest
    result = result_of(ear)
    assert (result.beats, result.beats_per_s, result.alerts) == (100, 5.0, 1)
    assert (result.delay_median_ms, result.delay_p99_ms, result.delay_max_ms) == (20.0, 20.0, 20.0)
    assert result.alert_delay_p99_ms == 35.0
    assert result.kept_up


@pytest.mark.parametrize(
    ("spoil", "kept_up"),
    [
        (lambda ear: None, True),
        (lambda ear: hear(ear, 3, delay_ms=251), False),  # more than one in a hundred is late
        (lambda ear: ear.take(heartbeat(100, dropped=1), 0), False),
        (lambda ear: ear.take(heartbeat(101), 0), False),  # one was scored and not heard
    ],
)
def test_what_it_means_to_keep_up(spoil: Callable[[Ear], None], kept_up: bool) -> None:
    """In time, nothing dropped, nothing missed."""
    ear = Ear()
    ear.take(heartbeat(0), 0)
    ear.begin()
    hear(ear, 100)
    spoil(ear)
    if kept_up:
        ear.take(heartbeat(100), 0)
    assert result_of(ear).kept_up is kept_up


def test_beats_that_did_not_arrive_are_counted_between_heartbeats() -> None:
    """The monitor says how many it scored; what it had scored before does not count."""
    ear = Ear()
    ear.take(heartbeat(1000), 0)
    ear.begin()
    hear(ear, 7)
    ear.take(heartbeat(1007), 0)
    hear(ear, 5)
    ear.take(heartbeat(1015), 0)
    ear.take(technical(event="overload", patient="monitor"), 0)
    result = result_of(ear)
    assert (result.missed, result.overloads) == (3, 1)


def test_who_listens_to_some_counts_what_all_came_to() -> None:
    """The monitor says how many beats it scored; what was not listened to is not missed."""
    ear = Ear(hears_all=False)
    ear.take(heartbeat(1000), 0)
    ear.begin()
    for second in range(1, 6):
        hear(ear, 2)
        ear.take(heartbeat(1000 + 50 * second), second * 1000 * MS)
    result = result_of(ear)
    assert (result.beats, result.beats_per_s, result.missed) == (10, 50.0, 0)


def test_silence_is_no_success() -> None:
    """Where no score arrives there is no delay, and nothing was kept up with."""
    ear = Ear()
    ear.begin()
    result = result_of(ear)
    assert (result.delay_p99_ms, result.kept_up) == (None, False)
    assert "NOT kept up" in result_lines(result)


def test_a_ward_has_as_many_leads_as_asked_for(tmp_path: Path) -> None:
    """One by default, so that figures of several versions can be compared."""
    for leads, asked in ((1, ["0"]), (2, ["0", "1"])):
        folder = tmp_path / str(leads)
        folder.mkdir()
        producer, _, _ = ward_settings(folder, 3, 1, leads)
        assert producer.leads == asked


@pytest.mark.parametrize("limit", [0, 37, 500, 777, 3210, 99_999])
def test_the_largest_ward_is_found(limit: int) -> None:
    """To a sixteenth, in few tries; the bound itself where all can be kept up with."""
    tried: list[int] = []

    def run(patients: int, seconds: float) -> WardResult:
        tried.append(patients)
        ear = Ear()
        ear.begin()
        result = msgspec.structs.replace(result_of(ear), patients=patients)
        return msgspec.structs.replace(result, kept_up=patients <= limit)

    results = list(find_largest(1.0, 500, 10_000, run))
    best = max((one.patients for one in results if one.kept_up), default=0)
    reachable = min(limit, 10_000)
    assert best <= reachable <= best + max(1, best // 16)
    assert len(tried) == len(set(tried)) <= 4 + math.log2(10_000)


def test_an_ear_tells_of_what_came_lately() -> None:
    """Delays from one of them on, and whether overload lasts."""
    ear = Ear()
    ear.begin()
    hear(ear, 3, delay_ms=20)
    hear(ear, 2, delay_ms=40)
    assert ear.delays_ms(3).tolist() == [40.0, 40.0]
    assert len(ear.delays_ms(5)) == 0
    lasting = []
    for state in ("onset", "cleared"):
        ear.take(technical(event="overload", state=state), 0)
        lasting.append(ear.overloaded)
    assert lasting == [True, False]
    assert result_of(ear).overloads == 1
