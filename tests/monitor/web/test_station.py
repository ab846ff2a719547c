"""What browsers are told: worst first, only what changed, whatever the monitor says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from monitor.web.station import MAX_SHOWN, Looks, Seat, Station
from monitor.wire.messages import AlarmStatus, FamilyStatus, StageHealth, Wave
from tests.messages import alert, beat_scored, patient_status, status, technical


def station_of(*names: str) -> Station:
    """Return a station that has heard a heartbeat of patients."""
    station = Station()
    patients = [patient_status(patient=name, record=name) for name in names]
    station.take(status(patients=patients), 0.0)
    return station


def told(station: Station, seat: Seat, now_s: float = 1.0, again: bool = False) -> dict[str, Any]:
    """Turn the station, and return what a seat lacks; {} for nothing."""
    station.turn(now_s, 0.0, True, [seat])
    content = station.lacks(seat, again)
    found: dict[str, Any] = msgspec.json.decode(content) if content else {}
    return found


def test_a_browser_is_told_all_and_then_what_changed() -> None:
    """The first message has every tile; without news there is none."""
    station, seat = station_of("a", "b"), Seat()
    first = told(station, seat)
    assert [tile["name"] for tile in first["tiles"]] == ["a", "b"]
    assert first["counts"] == {"quiet": 2}
    assert told(station, seat) == {}
    station.take(status(patients=[patient_status(patient="b", heart_rate_bpm=99.0)]), 1.0)
    (changed,) = told(station, seat)["tiles"]
    assert (changed["name"], changed["heart_rate"]) == ("b", "99")
    assert told(station, seat, again=True)["heard"]


def test_the_worst_is_first_and_says_so_in_words() -> None:
    """The order is that of the terminal's table; a tile has the word of its colour."""
    station, seat = station_of("a", "b", "c"), Seat()
    told(station, seat)
    station.take(alert(patient="c", priority="high", episode_beats=3), 1.0)
    station.take(technical(patient="b"), 1.0)
    news = told(station, seat)
    tiles = {tile["id"]: tile for tile in news["tiles"]}
    assert [tiles.get(one, {}).get("rank", "calm") for one in news["order"]] == [
        "high",
        "technical",
        "calm",
    ]
    worst = tiles[news["order"][0]]
    assert worst["said"].startswith("ALERT high since 00:00:10 · 3 beats")


def test_a_named_alarm_stands_in_its_tile() -> None:
    """By name, priority and since when; it asks to be acknowledged."""
    station, seat = Station(), Seat()
    alarm = AlarmStatus("asystole", "high", 3600, 10.0, lasts=True, latched=True)
    station.take(status(patients=[patient_status(alarms=[alarm])]), 0.0)
    (tile,) = told(station, seat)["tiles"]
    assert tile["rank"] == "high"
    assert tile["asks"]
    (words,) = tile["alarms"]
    assert words.startswith("ASYSTOLE high since 00:00:10")


def test_a_slow_browser_is_told_how_it_stands_and_nothing_in_between() -> None:
    """What it missed costs nothing: one message, the newest."""
    station, seat = station_of("a"), Seat()
    told(station, seat)
    for rate in range(60, 160):
        station.take(status(patients=[patient_status(patient="a", heart_rate_bpm=rate)]), 1.0)
        station.turn(1.0, 0.0, True, [seat])
    (tile,) = told(station, seat)["tiles"]
    assert tile["heart_rate"] == "159"


def test_a_page_has_losses_the_beat_families_and_alerts() -> None:
    """All of the open patient; again only when something of them changed."""
    station, seat = station_of("a"), Seat()
    number = told(station, seat)["tiles"][0]["id"]
    family = FamilyStatus(3, 12, 4, "normal", shape=[0, 100, 0])
    station.take(status(patients=[patient_status(patient="a", families=[family])]), 1.0)
    station.take(beat_scored(patient="a", sample=3600, loss=52.0, anomalous=True), 1.0)
    station.take(alert(patient="a", family=3), 1.0)
    station.take(alert(patient="b", record="b", seq=2, id="02"), 1.0)
    seat.look(Looks([], number))
    station.turn(1.0, 0.0, True, [seat])
    page = msgspec.json.decode(station.lacks_page(seat))
    assert page["beats"] == [{"time_s": 10.0, "value": 52.0, "state": "anomalous"}]
    assert (page["drawn"], page["threshold"]) == ("loss", 26.0)
    assert page["latest"]["family"] == 3
    assert len(page["latest"]["beat"]) == len(page["latest"]["reconstruction"]) == 140
    assert page["families"][0]["word"] == "normal"
    assert [row["priority"] for row in page["rows"]] == ["medium"]
    assert station.lacks_page(seat) == b""


def page_of(station: Station) -> dict[str, Any]:
    """Return the page of the only patient."""
    seat = Seat()
    seat.look(Looks([], told(station, seat)["tiles"][0]["id"]))
    station.turn(1.0, 0.0, True, [seat])
    found: dict[str, Any] = msgspec.json.decode(station.lacks_page(seat))
    return found


def test_a_page_draws_scores_where_evidence_judges() -> None:
    """As the terminal does: held against 1, and within what the scale shows."""
    station = station_of("a")
    judged = {"patient": "a", "loss": 13.0, "weighed": True}
    station.take(beat_scored(sample=3600, score=2.5, anomalous=True, **judged), 1.0)
    station.take(beat_scored(sample=3900, score=1e-9, **judged), 1.0)
    station.take(alert(patient="a", score=2.5, ratio=0.5, family=3), 1.0)
    page = page_of(station)
    assert (page["drawn"], page["threshold"]) == ("score", 1.0)
    assert [beat["value"] for beat in page["beats"]] == [2.5, 0.01]
    assert (page["latest"]["score"], page["latest"]["ratio"]) == (2.5, 2.5)


def test_a_page_of_several_leads_draws_loss_over_threshold() -> None:
    """Each lead has a threshold of its own; without one there is no line."""
    station = Station()
    station.take(status(patients=[patient_status(patient="a", leads=["I", "II"])]), 0.0)
    station.take(beat_scored(patient="a", sample=3600, loss=52.0, threshold=26.0), 1.0)
    page = page_of(station)
    assert (page["drawn"], page["threshold"]) == ("loss over threshold", 1.0)
    assert page["beats"][0]["value"] == 2.0


def test_signal_goes_to_who_looks() -> None:
    """A seat gets the chunks of its tiles, once."""
    station, seat, other = station_of("a"), Seat(), Seat()
    number = told(station, seat)["tiles"][0]["id"]
    seat.look(Looks([number]))
    station.take(Wave(1, "a", 0, 120.0, [0.0, 0.1], [], 360.0, "MLII"), 1.0)
    station.take(Wave(1, "stranger", 0, 120.0, [0.0, 0.1], [], 360.0, "MLII"), 1.0)
    assert len(station.lacks_signal(seat)) == 24
    assert station.lacks_signal(seat) == b""
    assert station.lacks_signal(other) == b""


def test_nobody_looks_and_nothing_is_asked_for() -> None:
    """Without a browser the monitor makes no waveform for this server."""
    station = station_of("a")
    assert station.wanted([]) == ((), ())
    assert station.wanted([Seat()]) == (("beat.",), ("wave.",))


def test_of_a_large_ward_those_who_are_shown_are_asked_for() -> None:
    """More patients than one browser shows: their topics alone."""
    station, seat = station_of(*(f"p{i:04d}" for i in range(MAX_SHOWN + 1))), Seat()
    first = told(station, seat)
    assert len(first["order"]) == MAX_SHOWN + 1
    seat.look(Looks(first["order"][:2], first["order"][5]))
    assert station.wanted([seat]) == (
        ("beat.p0000", "beat.p0001", "beat.p0005"),
        ("wave.p0000", "wave.p0001", "wave.p0005"),
    )


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>", "‮gnp.txt", "a" * 128])
def test_names_are_made_harmless_and_asked_for_as_they_are(name: str) -> None:
    """What is shown hides nothing; what is asked for is the name."""
    station, seat = station_of(name), Seat()
    (tile,) = told(station, seat)["tiles"]
    assert tile["key"] == name
    assert tile["name"].isprintable()


def test_what_the_monitor_says_of_itself_is_told() -> None:
    """A stage that is down, a journal that fails."""
    station, seat = station_of("a"), Seat()
    down = technical(patient="monitor", event="stage_down", text="the segmenter died")
    station.take(down, 1.0)
    station.take(status(patients=[], journal_failing="disk full", newest_seq=2), 1.0)
    head = told(station, seat)
    assert [row["what"] for row in head["rows"]] == ["stage_down: the segmenter died"]
    assert head["faults"] == ["journal failing: disk full"]


def test_a_stage_is_named_where_something_is_to_be_known_of_it() -> None:
    """One that runs and ever did is not."""
    station, seat = Station(), Seat()
    well = StageHealth("producer", 1, 1, 0, 0, 0, 0)
    ill = StageHealth("segmenter", 1, 1, 0, 0, 1500, 2, age_s=7.0)
    station.take(status(stages=[well, ill]), 0.0)
    (said,) = told(station, seat)["stages"]
    assert said == (
        "segmenter not heard for 7 s, restarted 2 times, samples or beats dropped: 1,500"
    )


@pytest.mark.parametrize(("family", "what"), [(3, "score 7.0"), (None, "loss x2.0")])
def test_a_page_says_score_where_evidence_judged(family: int | None, what: str) -> None:
    """As the terminal does: a score is no multiple of the threshold."""
    station, seat = station_of("a"), Seat()
    station.take(alert(patient="a", family=family, score=7.0), 1.0)
    told(station, seat)
    seat.look(Looks([], page=1))
    station.turn(1.0, 0.0, True, [seat])
    (row,) = msgspec.json.decode(station.lacks_page(seat))["rows"]
    assert row["what"].startswith(what)
