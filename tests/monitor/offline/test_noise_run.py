"""Evaluating noisy records: records in, figures out."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.errors import InvalidOption
from monitor.offline.noise_run import records_with_noise, run
from monitor.offline.patients_run import PatientsOptions
from monitor.offline.workers import Workers
from monitor.sources.simulated import ANNOTATION_EXTENSION, SimulationSettings, write_record


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train for a tenth of the time: the quality has its own evaluation."""
    monkeypatch.setattr("model.learning.TRAINED_FLOP", 4e9)


def test_a_record_is_learnt_clean_and_judged_in_noise(tmp_path: Path) -> None:
    """One that is too short says why, and does not end the others."""
    for name, hours in (("1e12", 0.1), ("1e_6", 0.02)):
        write_record(tmp_path / name, SimulationSettings(hours=hours, seed=5, anomaly_rate=0.1))
    told: list[str] = []
    options = PatientsOptions(
        tmp_path, learn_s=150.0, workers=Workers(1), ref_ext=ANNOTATION_EXTENSION
    )
    judged, short = run(options, lambda name, n, of: told.append(f"{name} {n}/{of}"))
    assert told == ["1e12 1/2", "1e_6 2/2"]
    assert judged.noisy is not None
    assert judged.clean is not None
    assert judged.noisy.hours == pytest.approx(60 / 3600, rel=0.05)
    assert judged.clean.hours == pytest.approx(150 / 3600, rel=0.05)
    assert judged.clean.recall_v > 0.9
    assert short.noisy is None
    assert "use a shorter --learn" in short.note


def test_records_are_ordered_by_their_noise(tmp_path: Path) -> None:
    """Each clean record's from much signal to little; others of the folder are left out."""
    for name in ("119e06", "118e_6", "118e24", "118e00", "em", "118"):
        (tmp_path / f"{name}.hea").write_text(f"{name} 1 360 650000\n{name}.dat 212\n")
    assert records_with_noise(PatientsOptions(tmp_path)) == ["118e24", "118e00", "118e_6", "119e06"]
    assert records_with_noise(PatientsOptions(tmp_path, ("118e00",))) == ["118e00"]


def test_a_folder_without_noisy_records_is_refused(tmp_path: Path) -> None:
    """An empty one, one of clean records, and a name that is not there."""
    with pytest.raises(InvalidOption):
        records_with_noise(PatientsOptions(tmp_path))
    (tmp_path / "118.hea").write_text("118 1 360 650000\n118.dat 212\n")
    with pytest.raises(InvalidOption, match=r"no record whose name says its noise, as 118e24"):
        records_with_noise(PatientsOptions(tmp_path))
    with pytest.raises(InvalidOption, match="no record 999"):
        records_with_noise(PatientsOptions(tmp_path, ("999",)))
