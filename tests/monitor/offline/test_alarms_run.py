"""`evaluate alarms`: from a record's files to what was raised."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import wfdb

from monitor.errors import InvalidOption, RecordError
from monitor.offline.alarms_run import AlarmsOptions, read_alarm, run
from monitor.offline.evaluation.alarms_report import AlarmResult, by_kind
from monitor.offline.rhythm_signs import moments
from monitor.offline.workers import Workers
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.sources.simulated_events import Event
from tests.real_data import DATA

CINC2015 = DATA / "cinc2015"
# The first of each kind and truth, by name, of kinds that are always told right.
NAMED = ("a103l", "a172s", "b215l", "b124s", "f544s", "t110s", "v696s", "v101l")


def write(folder: Path, name: str, event: Event, comments: list[str]) -> None:
    """Write a record of five minutes with one event, and the alarm in its header."""
    write_record(
        folder / name, SimulationSettings(hours=1 / 12, seed=5, anomaly_rate=0.0, scenario=(event,))
    )
    header = folder / f"{name}.hea"
    kept = [line for line in header.read_text().splitlines() if not line.startswith("#")]
    header.write_text("\n".join([*kept, *(f"#{comment}" for comment in comments)]) + "\n")


def test_an_alarm_counts_that_is_on_before_the_end(tmp_path: Path) -> None:
    """The same event a minute before is none of the bedside monitor's; a bad header is told."""
    at_the_end, before = Event("asystole", 291.0, 8.0), Event("asystole", 220.0, 8.0)
    write(tmp_path, "a1", at_the_end, ["Asystole", "True alarm"])
    write(tmp_path, "a2", before, ["Asystole", "False alarm"])
    write(tmp_path, "a3", before, ["Hiccup", "True alarm"])
    told: list[int] = []
    results = run(
        AlarmsOptions(tmp_path, workers=Workers(1)), lambda _, done, __: told.append(done)
    )
    assert [one.record for one in results] == ["a1", "a2", "a3"]
    assert [one.ecg for one in results] == [True, False, False]
    assert "does not say which alarm" in results[2].note
    assert told == [1, 2, 3]


def test_what_cannot_be_evaluated_is_said(tmp_path: Path) -> None:
    """An empty folder, an unknown record, a header without an alarm."""
    with pytest.raises(InvalidOption):
        run(AlarmsOptions(tmp_path), lambda *_: None)
    write_record(tmp_path / "plain", SimulationSettings(hours=1 / 60, seed=1))
    with pytest.raises(InvalidOption, match="no record absent"):
        run(AlarmsOptions(tmp_path, ("absent",)), lambda *_: None)
    with pytest.raises(RecordError, match="Challenge 2015"):
        read_alarm(tmp_path / "plain")


def test_the_moments_do_not_depend_on_what_comes_later(tmp_path: Path) -> None:
    """Real time: the first two minutes are the same without the third."""
    path = tmp_path / "day"
    event = Event("ventricular_tachycardia", 90.0, 6.0)
    write_record(path, SimulationSettings(hours=0.05, seed=2, anomaly_rate=0.05, scenario=(event,)))
    leads = wfdb.rdrecord(str(path)).p_signal.astype("float32").T
    whole = list(moments(leads, None, 250.0))
    part = list(moments(leads[:, : 120 * 250], None, 250.0))
    assert repr(part) == repr(whole[: len(part)])  # nothing is known of the first two seconds: NaN


@pytest.mark.skipif(not CINC2015.is_dir(), reason=f"no real records at {CINC2015}")
def test_real_alarms_must_not_get_worse() -> None:
    """Named records of the challenge, true and false alarms of each kind: all right."""
    results = run(AlarmsOptions(CINC2015, NAMED, workers=Workers(1)), lambda *_: None)
    wrong = [one.record for one in results if one.ecg is not one.true]
    assert not wrong
    assert isinstance(results[0], AlarmResult)
    assert json.dumps(by_kind(results, "ecg")["all"].figures())
