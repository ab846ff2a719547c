"""Delays of named alarms on the socket: what counts, the table, and a run through the stages."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.sources.simulated_events import Event
from tools.alarm_delays import Heard, main, measure, to_table

ASYSTOLE = Event("asystole", 20.0, 6.0)


@pytest.mark.parametrize(
    ("alarms", "delay_s"),
    [
        ([], None),
        ([("asystole", 23.5, 123.9)], 3.9),
        ([("pause", 22.5, 122.6), ("asystole", 24.0, 124.25)], 4.25),
        ([("asystole", 19.0, 119.2), ("asystole", 28.5, 128.7)], None),  # before and after it
        ([("asystole", 24.0, 124.5), ("asystole", 25.0, 125.5)], 4.5),
    ],
)
def test_a_delay_is_from_the_event_s_first_sample_to_its_own_alarm(
    alarms: list[tuple[str, float, float]], delay_s: float | None
) -> None:
    """By the clock; alarms of other kinds and other times are none of it."""
    heard = Heard(100.0, alarms)  # type: ignore[arg-type]
    assert heard.delay_s(ASYSTOLE, 1.0) == pytest.approx(delay_s)


def test_the_table_has_median_percentile_and_what_was_missed() -> None:
    """A row a kind; dashes where no alarm came."""
    rows = to_table({"asystole": [3.0, 4.0, None, 5.0], "pause": [None]}).splitlines()
    assert rows[0].startswith("| alarm | median, s | 99th percentile, s | longest, s | missed |")
    assert rows[2] == "| `asystole` | 4.00 | 4.98 | 5.00 | 1 of 4 |"
    assert rows[3] == "| `pause` | - | - | - | 1 of 1 |"


def test_records_are_replayed_through_the_stages(tmp_path: Path) -> None:
    """Every patient counts for every event, whether its alarm came or not; faster, to try it."""
    delays = measure(tmp_path, 2, (Event("lead_off", 5.0, 2.0), ASYSTOLE), speed=20.0)
    assert list(delays) == ["asystole"]
    assert len(delays["asystole"]) == 2
    assert all(one is None or 0 < one < 20 for one in delays["asystole"])


@pytest.mark.parametrize("words", [["--patients", "0"], ["--speed", "0"], ["--speed", "nan"]])
def test_what_cannot_be_measured_is_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is written."""
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    assert words[0] in capsys.readouterr().err
