"""Evaluating one patient at a time: records in, figures out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import InvalidOption, MonitorError
from monitor.offline.evaluation.patient_figures import PatientResult
from monitor.offline.patients_run import (
    N_NEIGHBOURS,
    PatientsOptions,
    peer_scores,
    records_to_evaluate,
    run,
)
from monitor.offline.workers import Workers
from monitor.sources.simulated import ANNOTATION_EXTENSION, SimulationSettings, write_record
from tests.monitor.offline.labelled import labelled


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
    options = PatientsOptions(
        folder, learn_s=learn_s, workers=Workers(1), ref_ext=ANNOTATION_EXTENSION
    )
    results = run(options, lambda name, n, of: told.append(f"{name} {n}/{of}"), said.append)
    assert told == [f"12 1/{len(results)}"]
    assert said == [
        "left out, as AAMI does: paced records of MIT-BIH, 102; --record 102 evaluates one"
    ]
    return results


def test_a_record_is_learnt_judged_and_compared(folder: Path) -> None:
    """The paced one is left out; anomalous beats are ranked above normal ones, without labels."""
    (result,) = evaluated(folder, learn_s=150.0)
    assert (result.record, result.half, result.learnt_s) == ("12", "even number", 150.0)
    assert result.figures is not None
    assert result.figures.auc > 0.9
    assert result.figures.n_normal > 150
    assert result.figures.n_anomalous > 10
    assert result.figures.recall_v > 0.9
    assert result.figures.onsets_per_hour >= result.figures.false_onsets_per_hour
    assert [one.quarter for one in result.quarters] == [0]
    assert result.quarters[0].recall == result.figures.recall


def test_peers_learn_the_same_minutes_and_rank_the_same_beats() -> None:
    """Without labels, but for one; beats that are not tested have no score."""
    n = 2 * N_NEIGHBOURS
    record = labelled(
        "12", "N" * n + "V" * 5 + "NV", [0.1] * n + [0.2] * 5 + [0.1, 3.0], learnt=n + 5
    )
    scores = peer_scores(record)
    assert {*scores} == {"unlabelled", "labelled", "svm", "forest"}
    for one in scores.values():
        assert np.isfinite(one).tolist() == [False] * (n + 5) + [True, True]
        assert one[-1] > one[-2]


def test_too_few_labelled_beats_are_no_peer() -> None:
    """Five neighbours need five."""
    record = labelled("12", "V" * 5 + "NV", [0.1] * 5 + [0.1, 3.0], learnt=5)
    assert "labelled" not in peer_scores(record)
    assert peer_scores(labelled("12", "VV", [float("nan")] * 2)) == {}


def test_without_scikit_learn_its_peers_are_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so once, and how to get it; the others are there."""
    monkeypatch.setattr("monitor.offline.patients_run.find_spec", lambda _name: None)
    said: list[str] = []
    options = PatientsOptions(
        folder, learn_s=150.0, workers=Workers(1), ref_ext=ANNOTATION_EXTENSION
    )
    (result,) = run(options, lambda *_: None, said.append)
    assert "one-class SVM and isolation forest, which need scikit-learn" in said[1]
    assert result.figures is not None
    assert np.isnan(result.figures.auc_svm)
    assert np.isfinite(result.figures.auc_unlabelled)


def test_records_are_judged_by_the_others_labels(tmp_path: Path) -> None:
    """Those that cannot be judged are passed over; one record has no others."""
    for name, seed in (("1", 5), ("2", 6)):
        write_record(tmp_path / name, SimulationSettings(hours=0.1, seed=seed, anomaly_rate=0.1))
    (tmp_path / "3.hea").write_text("3 1 250 1000\n3.dat 212 200 11 1024 0 0 0 V5\n")
    options = PatientsOptions(
        tmp_path,
        learn_s=150.0,
        workers=Workers(1),
        ref_ext=ANNOTATION_EXTENSION,
        leave_one_out=True,
    )
    one, _other, failed = run(options, lambda *_: None)
    assert one.figures is not None
    assert one.figures.f1 > 0.8
    assert one.figures.families > 0
    assert (failed.figures, failed.record) == (None, "3")
    with pytest.raises(InvalidOption, match="--leave-one-out"):
        run(replace(options, records=("1",)), lambda *_: None)


def test_evidence_is_not_weighed_where_the_bare_loss_judges(tmp_path: Path) -> None:
    """The two options exclude each other."""
    with pytest.raises(InvalidOption, match="--verdict loss uses none"):
        PatientsOptions(tmp_path, verdict="loss", leave_one_out=True)


def test_a_record_is_compared_from_a_later_time_on(folder: Path) -> None:
    """What is judged stays what it is; a time behind the record's end is an error."""
    options = PatientsOptions(
        folder, learn_s=150.0, workers=Workers(1), ref_ext=ANNOTATION_EXTENSION, from_s=300.0
    )
    (result,) = run(options, lambda *_: None)
    assert result.figures is not None
    assert 0 < result.figures.n_normal < 100  # of a minute
    assert result.learnt_s == 150.0
    with pytest.raises(InvalidOption, match=r"lasts 360 s.*from 1000 s on; use an earlier --from"):
        run(replace(options, from_s=1000.0), lambda *_: None)


def test_learning_goes_on_where_the_first_seconds_do_not_suffice(folder: Path) -> None:
    """As a monitor does: somewhat longer each time, until a minute's worth of beats is there."""
    (result,) = evaluated(folder, learn_s=20.0)
    assert 40 < result.learnt_s < 150


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
        {"from_s": float("nan")},
        {"from_s": -1.0},
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
