"""The record of a scenario: made once, named after it, long enough for its last alarm."""

from __future__ import annotations

from pathlib import Path

import pytest
import wfdb

from monitor.errors import InvalidOption, RecordError
from monitor.sources.scenario_record import scenario_record
from monitor.sources.simulated_events import NIGHT
from monitor.sources.wfdb_record import WfdbRecord

ASYSTOLE = '[[event]]\nkind = "asystole"\nat_s = 10\nfor_s = 6\n'


def test_the_record_of_a_named_scenario_holds_its_events(tmp_path: Path) -> None:
    """Where they are due; every beat beside them is normal; the last alarm can end in it."""
    path = scenario_record("night", tmp_path)
    assert path.name == "night"
    notes = wfdb.rdann(str(path), "ecg")
    began = [
        sample / 250
        for sample, symbol, note in zip(notes.sample, notes.symbol, notes.aux_note, strict=True)
        if symbol == "+"
    ][::2]
    assert began == [event.at_s for event in NIGHT]
    outside = [
        symbol
        for sample, symbol in zip(notes.sample, notes.symbol, strict=True)
        if symbol != "+" and not any(one.at_s <= sample / 250 <= one.until_s for one in NIGHT)
    ]
    assert set(outside) == {"N"}
    with WfdbRecord.open(path) as record:
        assert NIGHT[-1].until_s + 5 <= record.n_samples / record.fs_hz <= 190


def test_a_scenario_s_record_is_made_once(tmp_path: Path) -> None:
    """The second call finds it; another content of the same file is another record."""
    file = tmp_path / "my night.toml"
    file.write_text(ASYSTOLE)
    path = scenario_record(str(file), tmp_path)
    assert path.name == "my_night"
    seen: list[float] = []
    assert scenario_record(str(file), tmp_path, seen.append) == path
    assert seen == []
    file.write_text(ASYSTOLE.replace("10", "12"))
    other = scenario_record(str(file), tmp_path, seen.append)
    assert other != path
    assert other.name == "my_night"
    assert seen[-1] == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no event"),
        (ASYSTOLE.replace("10", "90000"), "simulate RECORD --hours 25.1 --scenario"),
        ("event = 3", "cannot be read"),
    ],
)
def test_a_scenario_that_cannot_be_replayed_is_refused(
    text: str, said: str, tmp_path: Path
) -> None:
    """It says what to do instead."""
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(InvalidOption, match=said):
        scenario_record(str(file), tmp_path)


def test_an_unwritable_cache_says_what_to_do(tmp_path: Path) -> None:
    """One line with the way out."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RecordError, match="ecg-monitor simulate"):
        scenario_record("night", tmp_path / "file")
