"""The night of a record, which is judged for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from model.checkpoint import save_checkpoint
from monitor.offline.report.judged_nights import NoNight, RecordTask, night_or_why
from monitor.offline.report.night import Night
from monitor.sources.scenario_record import scenario_record
from monitor.sources.source import SourceOptions
from tests.monitor.checkpoints import template_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a record of the scenario `night`, and a small model."""
    folder = scenario_record("night", tmp_path_factory.mktemp("records")).parent
    save_checkpoint(template_checkpoint(), folder / "base.st")
    return folder


def task(folder: Path, name: str = "night", **changes: Any) -> RecordTask:
    made: dict[str, Any] = {
        "record": str(folder / name),
        "options": SourceOptions(),
        "checkpoint": folder / "base.st",
        "learn_s": None,
        "verdict": "evidence",
        "most_drawn": 10,
    }
    return RecordTask(**(made | changes))


def test_a_record_has_its_named_alarms_and_their_signal(folder: Path) -> None:
    """As a monitor raises them; technical time, rhythm and figures with them."""
    night = night_or_why(task(folder))
    assert isinstance(night, Night)
    kinds = {one.kind for one in night.alarms}
    assert {"asystole", "ventricular_fibrillation", "ventricular_tachycardia"} <= kinds
    assert {"noisy", "lead_off"} <= {one.kind for one in night.technical}
    named = [one for one in night.drawn if one.alert.kind != "anomalous_beats"]
    assert named
    assert all(one.signal is not None for one in named)
    assert all(one.around for one in night.drawn if one.alert.kind == "anomalous_beats")
    assert night.trend is not None
    assert night.beats > 100


def test_a_record_that_cannot_be_read_says_why(folder: Path) -> None:
    """The others of a cohort go on."""
    found = night_or_why(task(folder, "nothing"))
    assert isinstance(found, NoNight)
    assert "nothing" in found.why


def test_what_is_too_short_to_be_learnt_says_so(folder: Path) -> None:
    """It would be a night without a verdict."""
    assert isinstance(night_or_why(task(folder, learn_s=3600.0)), NoNight)
