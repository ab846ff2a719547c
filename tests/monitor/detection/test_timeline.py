"""A patient whose samples stop, begin again or jump: reported, and judged on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from monitor.detection.engine import Engine
from monitor.detection.timeline import Timeline
from monitor.errors import InvalidMessage
from monitor.wire.messages import (
    Alert,
    BeatScored,
    Message,
    PatientStatus,
    RecordEvent,
    ShedHeader,
    Technical,
)
from tests.monitor.detection.test_engine import Bench, beats_message, end


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(tmp_path, stack)


def technicals(messages: list[Message]) -> list[tuple[str, str, int]]:
    return [(one.event, one.state, one.sample) for one in messages if isinstance(one, Technical)]


def status_of(engine: Engine) -> PatientStatus:
    (status,) = engine.report().patients
    return status


def test_the_first_stretch_is_taken_as_it_is() -> None:
    """Samples of the first stretch are those of the record."""
    message = beats_message([5, 5], 100, stretch=3)
    timeline, moved = Timeline().take(message)
    assert moved is message
    assert timeline == Timeline(3, 0, message.header.position)


@pytest.mark.parametrize("first_sample", [0, 50, 599, 600, 10_000])
def test_a_further_stretch_never_goes_back(first_sample: int) -> None:
    """Where it would, it is moved on to where the one before had come; else it stays."""
    timeline, before = Timeline().take(beats_message([5, 5], 100, stretch=3))
    events = [RecordEvent("noisy", "onset", first_sample + 20)]
    again = beats_message([5], first_sample + 30, events, stretch=4)
    header = msgspec.structs.replace(again.header, first_sample=first_sample)
    again = again._replace(header=header)
    timeline, moved = timeline.take(again)
    shift = max(0, before.header.position - first_sample)
    assert timeline.shift == shift
    assert moved.header.position == again.header.position + shift
    assert moved.beats.r_sample.tolist() == [first_sample + 30 + shift]
    assert moved.beats.closed_sample.tolist() == [first_sample + 280 + shift]
    assert moved.header.events == [
        RecordEvent("stream_restarted", "onset", first_sample + shift),
        RecordEvent("noisy", "onset", first_sample + 20 + shift),
    ]


def test_a_sender_that_begins_again_is_reported_and_judged_on(bench: Bench) -> None:
    """What was learnt, counted and latched goes on; with the first verdict the report ends."""
    engine = bench.engine()
    noisy = [RecordEvent("noisy", "onset", 90)]
    engine.step([beats_message([5, 40, 5], 100, noisy, stretch=1)], 0)
    again = beats_message([5, 40], 100, stretch=2, sequence=0)
    engine.admission.hole_before(beats_message([5, 40, 5], 100, stretch=1, sequence=9))
    assert engine.admission.hole_before(again) is False
    said = engine.step([again], 0).messages
    assert technicals(said) == [
        ("noisy", "cleared", 850),
        ("stream_restarted", "onset", 850),
        ("stream_restarted", "cleared", 1200),
    ]
    assert [one.sample for one in said if isinstance(one, BeatScored)] == [950, 1200]
    assert [one.sample for one in said if isinstance(one, Alert)] == [1200]
    status = status_of(engine)
    assert (status.beats, status.anomalous, status.alerts, status.technical) == (5, 2, 1, [])


def test_a_restart_goes_on_with_the_stretch_it_left(bench: Bench) -> None:
    """The moved samples go on where they were; the same stretch is no news."""
    engine = bench.engine()
    bench.step(engine, beats_message([5, 5], 100, stretch=1))
    bench.step(engine, beats_message([5], 100, stretch=2))
    engine = bench.restart()
    said = bench.step(engine, beats_message([5], 350, stretch=2))
    assert technicals(said) == []
    assert [one.sample for one in said if isinstance(one, BeatScored)] == [950]


def test_another_lead_is_another_patient_of_the_same_name(bench: Bench) -> None:
    """What was learnt is of the lead before; time goes on."""
    engine = bench.engine()
    engine.step([beats_message([5, 40], 100, stretch=1)], 0)
    other = beats_message([5], 100, stretch=2, leads=["V1"], fs_hz=500.0)
    said = engine.step([other], 0).messages
    assert [one.state for one in said if isinstance(one, Alert)] == ["cleared"]
    assert technicals(said)[0] == ("stream_restarted", "onset", 1200)
    status = status_of(engine)
    assert (status.lead, status.fs_hz, status.beats, status.state) == ("V1", 500.0, 1, "monitoring")


def test_an_ended_patient_whose_samples_come_again_is_monitored(bench: Bench) -> None:
    """Also where they hold no beat: a flat line must not look like an end."""
    engine = bench.engine()
    engine.step([beats_message([5, 5], 100, stretch=1), end()], 0)
    assert status_of(engine).state == "ended"
    engine.step([beats_message([], 100, stretch=2)], 0)
    assert status_of(engine).state == "monitoring"


def test_a_patient_of_whom_nothing_comes_is_reported(bench: Bench) -> None:
    """After four seconds of listening; the heart rate is not shown until samples come again."""
    engine = bench.engine()
    engine.step([beats_message([5, 5, 5])], 0)
    assert status_of(engine).heart_rate_bpm == 60
    for _ in range(4):
        engine.listened(1.0, report=True)
        assert engine.step([], 0).messages == []
    engine.listened(1.0, report=True)
    assert technicals(engine.step([], 0).messages) == [("signal_lost", "onset", 850)]
    status = status_of(engine)
    assert (status.heart_rate_bpm, status.technical) == (None, ["signal_lost"])
    engine.listened(60.0, report=True)
    assert engine.step([], 0).messages == []  # once
    said = engine.step([beats_message([5], 850)], 0).messages
    assert technicals(said) == [("signal_lost", "cleared", 1100)]
    assert status_of(engine).technical == []


def test_a_report_of_lost_samples_survives_a_restart(bench: Bench) -> None:
    """It ends when samples come to the next process."""
    engine = bench.engine()
    bench.step(engine, beats_message([5, 5, 5]))
    engine.listened(1.0, report=True)
    engine.listened(4.0, report=True)
    bench.step(engine)
    engine = bench.restart()
    assert status_of(engine).technical == ["signal_lost"]
    said = bench.step(engine, beats_message([5], 850))
    assert technicals(said) == [("signal_lost", "cleared", 1100)]


def test_where_the_cause_is_known_no_patient_is_reported(bench: Bench) -> None:
    """A stage that is down is one report, not one of each patient; yet no heart rate is shown."""
    engine = bench.engine()
    engine.step([beats_message([5, 5, 5])], 0)
    engine.listened(1.0, report=False)
    engine.listened(4.0, report=False)
    assert engine.step([], 0).messages == []
    assert status_of(engine).heart_rate_bpm is None


def test_one_that_has_ended_need_not_be_heard(bench: Bench) -> None:
    """A record's end is no loss."""
    engine = bench.engine()
    engine.step([beats_message([5, 5, 5]), end()], 0)
    for _ in range(9):
        engine.listened(1.0, report=True)
    assert technicals(engine.step([], 0).messages) == []


def shed(position: int, patient: str = "p") -> ShedHeader:
    return ShedHeader(5, patient, "r", 9, 0, position, ["I"], 250.0)


def test_a_shed_patient_is_shown_and_not_reported(bench: Bench) -> None:
    """No heart rate, however long it lasts and however often it is said; the ward counts it."""
    engine = bench.engine()
    engine.step([beats_message([5, 5, 5], 100)], 10**9)
    assert status_of(engine).heart_rate_bpm == 60
    for _ in range(2):
        engine.shed(shed(850))
        engine.listened(60.0, report=True)
        assert engine.step([], 0).messages == []
    status = status_of(engine)
    assert (status.technical, status.heart_rate_bpm, status.lag_s) == (["shed"], None, 0.0)
    assert engine.report().ward.shed == 1
    assert engine.shed_patients() == ["p"]


def test_a_shed_patient_whose_samples_come_again_is_judged_from_there(bench: Bench) -> None:
    """The hole is no silence of the patient; what was sent before it does not end it."""
    engine = bench.engine()
    engine.step([beats_message([5, 5], 100)], 0)
    engine.shed(shed(850))  # before what was sent earlier is judged: one batch holds both
    engine.step([beats_message([5], 600)], 10**9)
    assert engine.shed_patients() == ["p"]
    assert (status_of(engine).lag_s, engine.report().ward.lag_s) == (0.0, 0.0)
    said = engine.step([beats_message([], 100_000)], 0).messages
    assert technicals(said) == []
    said = engine.step([beats_message([5, 5], 100_100)], 0).messages
    assert technicals(said) == []
    assert len([one for one in said if isinstance(one, BeatScored)]) == 2
    assert (status_of(engine).technical, engine.shed_patients()) == ([], [])
    engine.listened(1.0, report=True)
    engine.listened(3.5, report=True)
    engine.listened(3.5, report=True)
    assert [one[:2] for one in technicals(engine.step([], 0).messages)] == [
        ("signal_lost", "onset")
    ]


def test_a_shed_patient_may_begin_anew(bench: Bench) -> None:
    """A producer that was started again counts from 0: its samples are not those before."""
    engine = bench.engine()
    engine.step([beats_message([5, 5], 100_000, stretch=1)], 0)
    engine.shed(shed(100_850))
    engine.step([beats_message([5, 5], 100, stretch=2)], 0)
    assert engine.shed_patients() == []


def test_a_patient_shed_from_the_start_is_in_the_status(bench: Bench) -> None:
    """Nobody has seen a sample; one who has ended is not shed; nobody has the monitor's name."""
    engine = bench.engine()
    engine.shed(shed(0, "late"))
    assert [(one.patient, one.technical) for one in engine.report().patients] == [
        ("late", ["shed"])
    ]
    engine.step([beats_message([5, 5]), end()], 0)
    engine.shed(shed(9000))
    assert engine.shed_patients() == ["late"]
    with pytest.raises(InvalidMessage):
        engine.shed(shed(0, "monitor"))


def test_another_lead_behind_a_moved_stretch_goes_on_where_that_had_come(bench: Bench) -> None:
    """The samples of the stretch before are moved once, not twice."""
    engine = bench.engine()
    engine.step([beats_message([5, 5], 100, stretch=1)], 0)
    engine.step([beats_message([5], 100, stretch=2)], 0)
    assert status_of(engine).position == 950
    said = engine.step([beats_message([5], 100, stretch=3, leads=["V1"])], 0).messages
    assert technicals(said)[0] == ("stream_restarted", "onset", 950)
