"""Lines off a terminal."""

from __future__ import annotations

import json

import msgspec
import pytest

from monitor.plain import clock, json_line, plain_line, status_line, transition_line
from monitor.wire.codec import decode_message, topic_of
from monitor.wire.messages import Alert, AlertKind, LearningStatus, Message
from tests.monitor.view.scenes import (
    alarm,
    alert,
    beat,
    patient_status,
    standing,
    status,
    technical,
    wave,
)


def test_an_alert_is_one_line() -> None:
    """Time in the record, patient, state, priority, loss over threshold, RR, beats."""
    assert plain_line(alert(78_086)) == (
        "00:05:12.344  119  ALERT onset    medium  loss 41.2 / 26.0 (x1.6)  RR 512/1020 ms  1 beat"
    )


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (alarm(78_086), "ALARM onset    high    asystole: no QRS complex for 3.5 s and more"),
        (
            alarm(78_086, "acknowledged", text="no beat"),
            "ALARM acknowledged  high    asystole  no beat",
        ),
        (
            alarm(78_086, "cleared", kind="extreme_tachycardia", text="", priority="low"),
            "ALARM cleared  low     extreme tachycardia",
        ),
    ],
)
def test_a_named_alarm_is_one_line(message: Alert, said: str) -> None:
    """Its name, what is said of it, and when it began; it has no loss."""
    assert plain_line(message) == f"00:05:12.344  119  {said}  since 00:05:08.844"


def test_a_status_names_alarms_that_stand_and_what_cannot_be_raised() -> None:
    """Behind the figures."""
    alarms = [standing("asystole", 290.0), standing("pause", 280.0, "medium", lasts=False)]
    said = patient_status(
        75_000, alarms=alarms, left_out=["V1"], inhibited=["ventricular_fibrillation"]
    )
    assert status_line(said).endswith(
        "lag 0.12 s  ASYSTOLE high since 00:04:50 to acknowledge, PAUSE is over medium since "
        "00:04:40  without lead V1  cannot be raised: ventricular fibrillation"
    )


def test_a_technical_alert_says_what_cannot_be_raised_meanwhile() -> None:
    """When it begins; its end says nothing of it."""
    begun = plain_line(technical(250, inhibits=["asystole", "pause"])) or ""
    assert begun.endswith("no signal on MLII  cannot be raised: asystole and pause")
    assert (plain_line(technical(250, "cleared", inhibits=["pause"])) or "").endswith("on MLII")


def test_an_alert_names_the_leads_that_stand_out() -> None:
    """Behind the beats, as they are called."""
    line = plain_line(alert(100, leads=["MLII", "V\x1b1"], quality=["NOISY"]))
    assert line is not None
    assert "1 beat  MLII, V" in line
    assert line.endswith("  NOISY")
    assert line.isprintable()


def test_a_person_s_word_is_one_line() -> None:
    """Which family, what was said, by whom; an alert names its beat's family."""
    told = alert(78_086, family=3)
    assert (plain_line(told) or "").endswith("1 beat  family 3")
    line = plain_line(alert(78_086, "marked", family=3, word="normal", by="a\x1bna"))
    assert line == "00:05:12.344  119  MARK  family 3  normal  by a␛na"
    back = plain_line(alert(78_086, "marked", family=3))
    assert back == "00:05:12.344  119  MARK  family 3  taken back"


@pytest.mark.parametrize("kind", ["anomalous_beats", "asystole"])
def test_an_acknowledgement_names_who_has_seen_the_alert(kind: AlertKind) -> None:
    """Where a name was given; journals of before keep none."""
    made = alert(100) if kind == "anomalous_beats" else alarm(100, kind=kind)
    seen = msgspec.structs.replace(made, state="acknowledged", by="A\x1bda")
    assert (plain_line(seen) or "").endswith("  by A␛da")
    assert "  by " not in (plain_line(msgspec.structs.replace(seen, by="")) or "")


def test_an_alert_without_intervals_shows_dashes() -> None:
    """A first beat has no RR before it; a doubtful one names its quality."""
    line = plain_line(alert(100, rr_before_ms=None, quality=["NOISY", "BASELINE"], episode_beats=3))
    assert line is not None
    assert line.endswith("RR --/1020 ms  3 beats  NOISY, BASELINE")


def test_a_technical_alert_is_one_line() -> None:
    """Its event and its text are named."""
    assert plain_line(technical(250, "cleared")) == (
        "00:00:01.000  119  TECHNICAL cleared  lead_off  no signal on MLII"
    )


@pytest.mark.parametrize("message", [wave(0, [0.1]), status(patient_status(0))])
def test_routine_gives_no_line(message: Message) -> None:
    """Waves and heartbeats are no lines."""
    assert plain_line(message) is None


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (beat(78_086), "BEAT normal     loss 9.0 / 26.0  RR 812/808 ms  MLII"),
        (
            beat(78_086, 41.2, score=1.62, family=3, rr_after_ms=None),
            "BEAT anomalous  loss 41.2 / 26.0 (score 1.62)  RR 812/-- ms  MLII  family 3",
        ),
        (
            beat(78_086, None, threshold=None, quality=["NOISY"]),
            "BEAT unjudged   loss -- / --  RR 812/808 ms  MLII  NOISY",
        ),
    ],
)
def test_a_beat_is_one_line(message: Message, said: str) -> None:
    """Verdict, loss over threshold, RR intervals, lead; who subscribes to beats reads it."""
    assert plain_line(message) == f"00:05:12.344  119  {said}"


def test_a_note_about_all_leads_is_told_whole() -> None:
    """What is said of each lead is longer than a name, and is read to its end."""
    note = "; ".join(f"{lead} is judged: learnt 165 of 324 beats" for lead in ("MLII", "V1", "V2"))
    ended = transition_line(None, patient_status(0, state="ended", note=f"{note}, of the usual"))
    assert ended is not None
    assert ended.endswith("V2 is judged: learnt 165 of 324 beats, of the usual")


def test_foreign_text_cannot_steer_the_terminal() -> None:
    """Names and texts with escape sequences or newlines stay one harmless line."""
    for line in (
        plain_line(alert(1, patient="\x1b[2J\n", quality=["\x1b]0;x\x07"])),
        plain_line(technical(1, patient="a\nb", text="\x1b[31m\u202e")),
        plain_line(alarm(900, patient="\x1b[2J\n", text="\x1b[31m\u202e\n")),
        status_line(patient_status(1, patient="\x9b", technical=["\r\x1b"])),
        transition_line(None, patient_status(1, note="\x1b[5m\n")),
    ):
        assert line is not None
        assert line.isprintable()


def test_a_status_is_one_line() -> None:
    """How far a patient is; the rate is withheld while a technical alert lasts."""
    assert status_line(patient_status(75_000)) == (
        "00:05:00.000  119  monitoring  HR 74/min  371 beats  12 anomalous  3 alerts"
        "  threshold 26.0  lag 0.12 s"
    )
    left_out = patient_status(75_000, technical=["lead_left_out"], left_out=["V1"])
    assert status_line(left_out).endswith("lag 0.12 s  without lead V1")
    assert "HR 74/min" in status_line(left_out)
    withheld = status_line(patient_status(75_000, technical=["lead_off"]))
    assert "HR --/min" in withheld
    assert withheld.endswith("withheld: lead_off")
    learning = LearningStatus(left_s=200.0, beats=117)
    line = status_line(patient_status(9, state="learning", threshold=None, learning=learning))
    assert line.endswith("lag 0.12 s  03:20 left to learn  117 beats so far")
    unfit = status_line(patient_status(75_000, technical=["model_unfit"]))
    assert "HR 74/min" in unfit
    assert unfit.endswith("no beat alerts: model_unfit")
    assert status_line(patient_status(9, technical=["two_senders"])).endswith(
        "lag 0.12 s  technical: two_senders"
    )


def test_one_of_a_kind_is_told_as_one() -> None:
    """Of one beat, alert or waiting beat no plural is said."""
    held = LearningStatus(left_s=0.0, beats=1, training=True, held=1)
    line = status_line(patient_status(9, beats=1, anomalous=1, alerts=1, learning=held))
    assert "  1 beat  1 anomalous  1 alert  threshold" in line
    assert line.endswith("  training on 1 beat  1 beat waits")
    begun = LearningStatus(left_s=200.0, beats=1)
    assert status_line(patient_status(9, learning=begun)).endswith("  1 beat so far")


def test_a_change_of_state_is_told_once() -> None:
    """Learning, its end with the threshold, and the record's end; nothing in between."""
    learning = patient_status(250, state="learning", threshold=None, note="5:00 to learn")
    done = patient_status(75_000, note="learnt 371 beats")
    ended = patient_status(450_000, state="ended")
    assert transition_line(None, learning) == "00:00:01.000  119  LEARNING  5:00 to learn"
    assert transition_line(learning, learning) is None
    assert transition_line(learning, done) == (
        "00:05:00.000  119  MONITORING  threshold 26.0  learnt 371 beats"
    )
    assert transition_line(done, ended) == "00:30:00.000  119  ENDED"


@pytest.mark.parametrize(
    "message",
    [
        alert(100),
        alarm(900),
        technical(100),
        beat(100, None),
        status(patient_status(5)),
        wave(0, [0.5, None]),
    ],
)
def test_json_is_one_line_that_reads_back(message: Message) -> None:
    """`jq` reads one object a line; nothing is lost."""
    line = json_line(message)
    assert "\n" not in line
    assert isinstance(json.loads(line), dict)
    assert decode_message([topic_of(message).encode(), line.encode()]) == message


@pytest.mark.parametrize(
    ("time_s", "shown"),
    [
        (0.0, "00:00:00.000"),
        (0.9996, "00:00:00.999"),
        (59.9999, "00:00:59.999"),
        (72_000.5, "20:00:00.500"),
        (-1.0, "--:--:--.---"),
        (float("nan"), "--:--:--.---"),
        (float("inf"), "--:--:--.---"),
        (1e300, "--:--:--.---"),
    ],
)
def test_a_clock_never_runs_ahead_nor_breaks(time_s: float, shown: str) -> None:
    """Times are cut, not rounded up; absurd ones are dashes."""
    assert clock(time_s) == shown


def test_a_clock_without_decimals() -> None:
    """Whole seconds have no point."""
    assert clock(3661.9, 0) == "01:01:01"
    assert clock(-1, 0) == "--:--:--"


def test_json_lines_hide_nothing_from_a_terminal() -> None:
    """C1 controls and bidi overrides are escaped; the JSON says the same."""
    hostile = alert(100, quality=["a\x9b31m\u202eb\u200b"])
    line = json_line(hostile)
    assert line.isprintable()
    assert json.loads(line)["quality"] == ["a\x9b31m\u202eb\u200b"]
