"""Evaluation runs: what is judged on which beats, and how it is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import wfdb

from model.checkpoint import load_shipped, save_checkpoint
from model.thresholds import Threshold
from monitor.errors import InvalidOption, SpecMismatch
from monitor.offline.evaluation.ecg5000_report import Ecg5000Report, evaluate_checkpoint
from monitor.offline.evaluation_options import EvaluationOptions
from monitor.offline.evaluation_run import (
    over_seeds,
    run,
    simulated_beats,
    to_text,
)
from monitor.sources.simulated import SimulationSettings, write_record
from segmenter.beat import BeatSpec
from tests.monitor.checkpoints import template_checkpoint, values_at


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return three normal beats near the template and one anomalous beat far from it."""
    beats = values_at(np.array([0.0, 0.1, 0.05, 0.5]))
    path = tmp_path / "beats.txt"
    np.savetxt(path, np.column_stack([[1, 1, 1, 2], beats]))
    return path


def report(auc_is_one: bool, seed: int) -> Ecg5000Report:
    losses = np.array([1.0, 2.0, 3.0 if auc_is_one else 1.5], np.float32)
    return Ecg5000Report("pooled", np.array([1, 1, 2]), losses, Threshold(2.5), seed, 10)


def test_simulated_beats_carry_their_annotations_classes() -> None:
    """Nearly every annotated beat is there, with its class, in the order of time."""
    settings = SimulationSettings(hours=0.1, seed=4, anomaly_rate=0.2)
    labels, beats = simulated_beats(BeatSpec(), settings)
    assert beats.shape == (len(labels), 140)
    np.testing.assert_allclose(beats.mean(axis=1), 0, atol=1e-4)
    assert 0.1 < (labels != 1).mean() < 0.3


def test_simulated_classes_are_those_of_the_symbols(tmp_path: Path) -> None:
    """Counted apart, by wfdb: a beat or two at the edges may not have been cut."""
    settings = SimulationSettings(hours=0.1, seed=4, anomaly_rate=0.2)
    write_record(tmp_path / "sim", settings)
    symbols = wfdb.rdann(str(tmp_path / "sim"), "ecg").symbol
    labels, _ = simulated_beats(BeatSpec(), settings)
    for symbol, label in (("N", 1), ("r", 2), ("V", 3), ("S", 4), ("Q", 5)):
        assert abs(symbols.count(symbol) - int((labels == label).sum())) <= 4


def test_a_checkpoint_is_judged_on_all_files(file: Path, tmp_path: Path) -> None:
    """With its own threshold; the plot is drawn."""
    save_checkpoint(template_checkpoint(20.0, BeatSpec(window="rr")), tmp_path / "c")
    options = EvaluationOptions((file, file), checkpoint=tmp_path / "c", plot=tmp_path / "p.png")
    (judged,) = run(options)
    assert judged.protocol == "checkpoint"
    assert judged.labels.tolist() == [1, 1, 1, 2] * 2
    assert (judged.recall, judged.false_positive_rate, judged.auc) == (1.0, 0.0, 1.0)
    assert (tmp_path / "p.png").stat().st_size > 1000


def test_a_checkpoint_of_another_spec_is_refused(file: Path, tmp_path: Path) -> None:
    """ECG5000 is cut from R to R."""
    save_checkpoint(template_checkpoint(spec=BeatSpec(window="midpoint")), tmp_path / "c")
    with pytest.raises(SpecMismatch, match="midpoint"):
        run(EvaluationOptions((file,), checkpoint=tmp_path / "c"))


@pytest.mark.parametrize(
    "given",
    [
        {"protocol": "mine", "ecg5000": (Path("x"),)},
        {"seeds": 0, "ecg5000": (Path("x"),)},
        {"seeds": 1000, "ecg5000": (Path("x"),)},
        {"seeds": 2},
        {"epochs": 2},
        {"protocol": "pooled"},
        {"folds": 3},
        {"false_alert_share": 0.01},
        {"false_alert_share": 0.6, "ecg5000": (Path("x"),)},
        {"false_alert_share": float("nan"), "ecg5000": (Path("x"),)},
        {"compare": True, "folds": 3, "ecg5000": (Path("x"),)},
        {"protocol": "pooled", "ecg5000": (Path("x"),), "checkpoint": Path("c")},
    ],
)
def test_contradictions_are_refused_at_once(given: dict[str, object]) -> None:
    """Before a file is read."""
    with pytest.raises(InvalidOption):
        EvaluationOptions(**given)  # type: ignore[arg-type]


def test_a_plot_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    """No file is read for it: this one does not exist."""
    options = EvaluationOptions((tmp_path / "no.txt",), plot=tmp_path / "no" / "p.png")
    with pytest.raises(InvalidOption, match="no"):
        run(options)


def test_a_plot_never_replaces_a_file_of_another_kind(tmp_path: Path) -> None:
    """The data that it is drawn of stay."""
    data = tmp_path / "data.txt"
    data.write_text("1 0.5 0.5\n")
    with pytest.raises(InvalidOption, match="no page, picture or PDF"):
        run(EvaluationOptions((data,), plot=data))
    assert data.read_text() == "1 0.5 0.5\n"


def test_one_report_is_told_alone() -> None:
    """As one line of JSON, or as a table."""
    assert len(to_text([report(True, 0)], as_json=True).splitlines()) == 1
    plain = to_text([report(True, 0)], as_json=False)
    assert "AUC" in plain
    assert "seeds" not in plain


def test_several_seeds_are_summed_up() -> None:
    """Mean, smallest and largest area under the curve."""
    reports = [report(True, 0), report(False, 1)]
    assert over_seeds(reports) == {
        "seeds": 2,
        "auc_mean": 0.75,
        "auc_min": 0.5,
        "auc_max": 1.0,
        "recall_mean": 0.5,
        "false_positive_rate_mean": 0.0,
    }
    lines = to_text(reports, as_json=True).splitlines()
    assert [json.loads(line).get("seed") for line in lines] == [0, 1, None]
    last = to_text(reports, as_json=False).splitlines()[-1]
    assert last == "2 seeds: AUC 0.7500 on average, 0.5000 to 1.0000"


def test_golden_floor_of_the_shipped_checkpoint() -> None:
    """On nine simulated minutes, a tenth of them ectopic: AUC .980, recall .78, 8 false alerts.

    Must not get worse by more than a few beats: supraventricular beats, most of which are missed,
    carry the difference between simulations.
    """
    shipped = load_shipped()
    settings = SimulationSettings(hours=0.15, seed=77, anomaly_rate=0.1)
    judged = evaluate_checkpoint(
        shipped, simulated_beats(BeatSpec.from_mapping(shipped.spec), settings)
    )
    assert judged.auc > 0.975
    assert judged.recall > 0.76
    assert judged.false_positive_rate < 0.014
    assert judged.recall_by_class["R-on-T premature ventricular"] > 0.88
