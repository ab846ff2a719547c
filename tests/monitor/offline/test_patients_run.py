"""Evaluating one patient at a time: records in, figures out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monitor.errors import InvalidOption, MonitorError
from monitor.offline.evaluation.patients_report import PatientResult
from monitor.offline.patients_run import PatientsOptions, records_to_evaluate, run
from monitor.sources.simulated import ANNOTATION_EXTENSION, SimulationSettings, write_record


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of a short simulated record and a paced one of MIT-BIH, its header alone."""
    folder = tmp_path_factory.mktemp("records")
    write_record(folder / "12", SimulationSettings(hours=0.1, seed=5, anomaly_rate=0.1))
    (folder / "102.hea").write_text("102 1 360 650000\n102.dat 212 200 11 1024 0 0 0 V5\n")
    return folder


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train for a tenth of the time: the quality has its own evaluation."""
    monkeypatch.setattr("model.learning.TRAINED_FLOP", 4e9)


def evaluated(folder: Path, learn_s: float) -> list[PatientResult]:
    told: list[str] = []
    said: list[str] = []
    options = PatientsOptions(folder, learn_s=learn_s, jobs=1, ref_ext=ANNOTATION_EXTENSION)
    results = run(options, lambda one, n, of: told.append(f"{one.record} {n}/{of}"), said.append)
    assert told == [f"12 1/{len(results)}"]
    assert said == [
        "left out, as AAMI does: paced records of MIT-BIH, 102; --record 102 evaluates one"
    ]
    return results


def test_a_record_is_learnt_judged_and_compared(folder: Path) -> None:
    """The paced one is left out; anomalous beats are ranked above normal ones, without labels."""
    (result,) = evaluated(folder, learn_s=150.0)
    assert (result.record, result.half, result.learnt_s) == ("12", "development", 150.0)
    assert result.figures is not None
    assert result.figures.auc > 0.9
    assert result.figures.n_normal > 150
    assert result.figures.n_anomalous > 10
    assert np.isfinite(result.figures.auc_unlabelled)


def test_learning_goes_on_where_the_first_seconds_do_not_suffice(folder: Path) -> None:
    """As a monitor does: a minute longer each time."""
    (result,) = evaluated(folder, learn_s=20.0)
    assert result.learnt_s in (80.0, 140.0)


def test_a_record_that_cannot_be_learnt_says_why(folder: Path) -> None:
    """No figures are made up; with no record left it is an error."""
    with pytest.raises(InvalidOption, match=r"12: the record lasts 360 s.*use a shorter --learn"):
        evaluated(folder, learn_s=1000.0)


def test_a_record_that_is_named_is_evaluated(folder: Path) -> None:
    """Paced ones too; without others in the folder the message says how."""
    assert records_to_evaluate(PatientsOptions(folder)) == (["12"], ["102"])
    assert records_to_evaluate(PatientsOptions(folder, ("102",))) == (["102"], [])


def test_a_folder_of_paced_records_alone_says_so(tmp_path: Path) -> None:
    """A folder with records is never said to have none."""
    (tmp_path / "102.hea").write_text("102 1 360 650000\n102.dat 212 200 11 1024 0 0 0 V5\n")
    with pytest.raises(
        InvalidOption, match=r"paced records of MIT-BIH alone \(102\).*--record 102"
    ):
        records_to_evaluate(PatientsOptions(tmp_path))


def test_a_folder_of_folders_says_where_records_are(tmp_path: Path) -> None:
    """One level up, the message names the folder that holds them."""
    (tmp_path / "db" / "p1").mkdir(parents=True)
    (tmp_path / "db" / "p1" / "a.hea").write_text("a 1 250 1000\na.dat 16\n")
    with pytest.raises(InvalidOption, match=r"db holds no records itself; its folder .*p1 does"):
        records_to_evaluate(PatientsOptions(tmp_path / "db"))


@pytest.mark.parametrize(
    "options",
    [
        {"learn_s": 0.0},
        {"learn_s": float("nan")},
        {"from_scratch": True, "checkpoint": Path("x")},
    ],
)
def test_absurd_options_are_refused(options: dict[str, object]) -> None:
    """Before anything is read."""
    with pytest.raises(InvalidOption):
        PatientsOptions(Path(), **options)  # type: ignore[arg-type]


def test_a_folder_without_such_records_is_refused(folder: Path, tmp_path: Path) -> None:
    """An empty folder, and a name that is not there."""
    with pytest.raises(MonitorError):
        run(PatientsOptions(tmp_path), lambda *_: None)
    with pytest.raises(InvalidOption, match="999"):
        run(PatientsOptions(folder, records=("999",)), lambda *_: None)
