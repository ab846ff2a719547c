"""Named alarms of records that were recorded otherwise: the tool, on simulated records."""

from __future__ import annotations

from pathlib import Path

from monitor.sources.simulated_events import Event
from tests.monitor.offline.test_alarms_run import write
from tools.alarm_robustness import VARIANTS, report


def test_a_heart_that_stops_is_told_however_it_was_recorded(tmp_path: Path) -> None:
    """Upside down, at another gain, with hum: a row each, and no record changes."""
    write(tmp_path, "a1", Event("asystole", 291.0, 8.0), ["Asystole", "True alarm"])
    lines = report(tmp_path).splitlines()[2:]
    assert [line.split("|")[1].strip() for line in lines] == list(VARIANTS)
    assert {tuple(cell.strip() for cell in line.split("|")[2:8]) for line in lines} == {
        ("1", "0", "0", "0", "100.0", "0")
    }
