"""What a finished run says of itself, and its exit code."""

from __future__ import annotations

import json

import msgspec
import pytest

from monitor.run.replay import Summary
from monitor.run.report import exit_code_of, report
from monitor.wire.messages import FamilyStatus

SUMMARY = Summary(
    records=1, signal_s=20.0, elapsed_s=1.0, real_time_factor=20.0, beats=24, judged=20,
    anomalous=1, withheld=4, alerts=1, alerts_per_hour=180.0, technical=0, lag_max_s=0.1,
    malformed=0, gaps=0, dropped=0, restarts=0, notes=[], passed_over=[], stopped=False, foreign=0,
    leads={},
)  # fmt: skip
BAD = ["record x: sampling rate 5000.0 Hz is outside 100 to 2000 Hz; resample the record"]


@pytest.mark.parametrize(
    ("changes", "exit_code"),
    [
        ({}, 0),
        ({"passed_over": BAD}, 1),
        ({"not_kept": "disk full"}, 1),
        ({"judged": 0}, 3),
        ({"judged": 0, "beats": 0, "passed_over": BAD}, 3),
        ({"judged": 0, "stopped": True}, 0),  # a person left before the first verdict
        ({"judged": 0, "signal_s": 0.0}, 0),  # nothing was heard of it: nothing is known
    ],
)
def test_the_exit_code_says_how_it_went(changes: dict[str, object], exit_code: int) -> None:
    """3: nothing was monitored; 1: some records were passed over, or alerts not kept."""
    assert exit_code_of(msgspec.structs.replace(SUMMARY, **changes)) == exit_code


@pytest.mark.parametrize(
    ("beats", "said"),
    [(0, "no beat was found in 00:00:20.0 of signal"), (24, "of 24 beats none got")],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_nothing_monitored_is_said_in_words(
    beats: int, said: str, as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard error, whatever goes to standard output."""
    report(msgspec.structs.replace(SUMMARY, beats=beats, judged=0), as_json=as_json)
    out, errors = capsys.readouterr()
    assert errors.startswith("ecg-monitor: nothing was monitored: ")
    assert said in errors
    assert (out.startswith("{")) == as_json


def test_families_stand_in_the_summary(capsys: pytest.CaptureFixture[str]) -> None:
    """How often each came, and what a person said of it; of many patients the first ones."""
    families = {
        f"p{n:02d}": [FamilyStatus(1, 120), FamilyStatus(4, 3, word="normal")] for n in range(25)
    }
    summary = msgspec.structs.replace(SUMMARY, families=families)
    report(summary, as_json=False)
    table = capsys.readouterr().out
    assert "p00  2: 120x, 3x normal" in table
    assert "p19" in table
    assert "p20" not in table
    assert "and of 5 more patients" in table
    report(summary, as_json=True)
    said = json.loads(capsys.readouterr().out)["families"]["p24"]
    assert said == [{"number": 1, "beats": 120}, {"number": 4, "beats": 3, "word": "normal"}]


def test_beats_from_which_was_learnt_are_counted_apart(capsys: pytest.CaptureFixture[str]) -> None:
    """Or "0 without a verdict" stands above "of 24 beats none got a verdict"."""
    report(SUMMARY, as_json=False)
    assert "learning" not in capsys.readouterr().out
    report(msgspec.structs.replace(SUMMARY, beats=2400), as_json=False)
    assert "2,400, 4 without a verdict, 2,376 while learning" in capsys.readouterr().out


def test_named_alarms_stand_in_the_summary(capsys: pytest.CaptureFixture[str]) -> None:
    """How many of each; no row where there were none."""
    report(SUMMARY, as_json=False)
    assert "alarms" not in capsys.readouterr().out
    summary = msgspec.structs.replace(SUMMARY, alarms={"asystole": 1, "ventricular_run": 1200})
    report(summary, as_json=False)
    assert "asystole 1, ventricular run 1,200" in capsys.readouterr().out
    report(summary, as_json=True)
    said = json.loads(capsys.readouterr().out)["alarms"]
    assert said == {"asystole": 1, "ventricular_run": 1200}


def test_alerts_that_were_not_kept_stand_in_the_summary(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Who leaves a full disk must know that the journal lacks the newest alerts."""
    lacking = msgspec.structs.replace(SUMMARY, not_kept="cannot write journal j: disk is full")
    report(lacking, as_json=False)
    (row,) = [one for one in capsys.readouterr().out.splitlines() if one.startswith("not kept")]
    assert row.split(maxsplit=2)[2].rstrip() == (
        "the newest alerts: cannot write journal j: disk is full"
    )
    assert exit_code_of(lacking) == 1


def test_a_resumed_run_says_what_is_counted_anew(capsys: pytest.CaptureFixture[str]) -> None:
    """Beats and alerts are those of the whole record, named and technical alarms are not."""
    resumed = msgspec.structs.replace(SUMMARY, resumed=True, alarms={"pause": 2}, technical=3)
    report(resumed, as_json=False)
    said = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert "alarms     pause 2 since it went on" in said
    assert "technical  3 since it went on" in said


def test_what_was_passed_over_stands_in_the_summary(capsys: pytest.CaptureFixture[str]) -> None:
    """As a row for people, as a list for programs."""
    summary = msgspec.structs.replace(SUMMARY, passed_over=BAD)
    report(summary, as_json=False)
    report(summary, as_json=True)
    table, line = capsys.readouterr().out.rsplit("\n{", 1)
    assert "passed over" in table
    assert "5000.0 Hz" in table
    assert json.loads("{" + line)["passed_over"] == BAD
