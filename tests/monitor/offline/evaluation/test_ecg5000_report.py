"""Figures and plot on labelled beats."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from model.autoencoder import LstmAutoencoder
from model.checkpoint import Checkpoint
from model.config import AutoencoderConfig
from model.ecg5000 import read_ecg5000
from model.errors import InvalidBeats
from model.thresholds import Threshold
from model.training import TrainingConfig
from monitor.offline.evaluation.ecg5000_report import (
    Ecg5000Report,
    area_under_curve,
    evaluate_checkpoint,
    evaluate_training,
    kernel_density,
    plot_loss_densities,
    split,
)
from monitor.offline.evaluation_options import Protocol
from tests.real_data import ECG5000_FOLDER


@pytest.fixture
def report() -> Ecg5000Report:
    """Four normal beats, one above the threshold; three anomalous ones, two above."""
    return Ecg5000Report(
        protocol="official",
        labels=np.array([1, 1, 1, 1, 2, 2, 4]),
        losses=np.array([1, 2, 3, 11, 9, 12, 20], dtype=np.float32),
        threshold=Threshold(10.0),
        seed=0,
        n_trained=100,
    )


def labelled(
    n_normal: int, n_anomalous: int, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Waves, and waves of twice the frequency, in a random order."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat([1, 2], [n_normal, n_anomalous]))
    at = np.linspace(0, 2 * np.pi, 20)
    beats = np.sin(labels[:, None] * at + generator.uniform(0, 1, (len(labels), 1)))
    return labels, beats.astype(np.float32)


def naive_auc(losses: NDArray[np.float64], anomalous: NDArray[np.bool_]) -> float:
    """Every pair, one by one."""
    pairs = [
        1.0 if a > n else 0.5 if a == n else 0.0
        for a, n in product(losses[anomalous].tolist(), losses[~anomalous].tolist())
    ]
    return sum(pairs) / len(pairs)


@given(
    st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=40).filter(
        lambda rows: len({anomalous for _, anomalous in rows}) == 2
    )
)
def test_area_under_curve_counts_pairs(rows: list[tuple[int, bool]]) -> None:
    """The rank formula agrees with counting pairs, and with scikit-learn, ties included."""
    losses = np.array([loss for loss, _ in rows], dtype=np.float64)
    anomalous = np.array([flag for _, flag in rows])
    area = area_under_curve(losses, anomalous)
    assert area == pytest.approx(naive_auc(losses, anomalous))
    assert area == pytest.approx(float(roc_auc_score(anomalous, losses)))


def test_area_under_curve_needs_both_kinds() -> None:
    """One kind of beat has no curve."""
    with pytest.raises(InvalidBeats):
        area_under_curve(np.ones(3), np.zeros(3, dtype=np.bool_))


def test_figures_of_a_report(report: Ecg5000Report) -> None:
    """Counted by hand."""
    assert report.auc == pytest.approx(11 / 12)
    assert report.recall == pytest.approx(2 / 3)
    assert report.false_positive_rate == pytest.approx(1 / 4)
    assert report.recall_by_class == {
        "R-on-T premature ventricular": 0.5,
        "supraventricular premature or ectopic": 1.0,
    }


def test_json_is_one_line_of_plain_values(report: Ecg5000Report) -> None:
    """Programs read the figures back."""
    text = report.to_json()
    assert "\n" not in text
    figures = json.loads(text)
    assert figures["auc"] == pytest.approx(11 / 12)
    assert figures["n_normal"] == 4
    assert figures["n_anomalous"] == 3
    assert figures["threshold"]["value"] == 10.0


def test_text_names_the_figures(report: Ecg5000Report) -> None:
    """People read a small table."""
    text = report.to_text()
    assert "AUC" in text
    assert "0.9167" in text
    assert "10.0 (manual)" in text


def test_pooled_split_trains_on_85_percent_of_the_normal_beats() -> None:
    """Every other beat is a test beat, once; the seed draws the split."""
    files = [labelled(60, 10, 1), labelled(40, 20, 2)]
    trained, labels, tested = split(files, "pooled", seed=0)
    assert len(trained) == 85
    assert np.bincount(labels).tolist() == [0, 15, 30]
    everything = np.concatenate([beats for _, beats in files])
    parted = np.concatenate([trained, tested])
    np.testing.assert_array_equal(np.unique(parted, axis=0), np.unique(everything, axis=0))
    assert len(parted) == len(everything)
    assert not np.array_equal(split(files, "pooled", seed=1)[0], trained)


def test_official_split_trains_on_the_first_file_alone() -> None:
    """All normal beats of the first file; every beat of the others is tested."""
    first, second = labelled(60, 10, 1), labelled(40, 20, 2)
    trained, labels, tested = split([first, second], "official", seed=0)
    np.testing.assert_array_equal(trained, first[1][first[0] == 1])
    np.testing.assert_array_equal(labels, second[0])
    np.testing.assert_array_equal(tested, second[1])


@pytest.mark.parametrize("protocol", ["pooled", "official"])
def test_training_from_scratch_tells_the_kinds_apart(protocol: Protocol) -> None:
    """End to end on easy beats."""
    result = evaluate_training(
        [labelled(150, 20, 1), labelled(60, 20, 2)],
        protocol,
        AutoencoderConfig(length=20, samples_per_step=1, embedding=3),
        TrainingConfig(epochs=8, batch=16),
    )
    assert result.auc > 0.95
    assert result.protocol == protocol


def test_with_folds_all_beats_set_the_threshold() -> None:
    """Each normal beat of the training file is held out once, for the share that is asked for."""
    files = [labelled(60, 20, 1), labelled(60, 20, 2)]
    config = AutoencoderConfig(length=20, samples_per_step=4, embedding=3)
    report = evaluate_training(
        files, "official", config, TrainingConfig(epochs=2), folds=3, false_alert_share=0.02
    )
    assert report.threshold.n_losses == report.n_trained == 60
    assert report.threshold.false_alerts_per_beat == 0.02


def test_checkpoint_is_judged_with_its_own_threshold() -> None:
    """Nothing is trained, and the threshold is the checkpoint's."""
    checkpoint = Checkpoint(
        LstmAutoencoder(AutoencoderConfig(length=20, samples_per_step=1, embedding=3)).trained(),
        {},
        "00000000",
        Threshold(3.0),
    )
    result = evaluate_checkpoint(checkpoint, labelled(30, 10))
    assert result.threshold.value == 3.0
    assert result.n_trained == 0


def test_beats_of_one_kind_cannot_be_evaluated() -> None:
    """A clear error instead of a NaN."""
    config = AutoencoderConfig(length=20, samples_per_step=1, embedding=3)
    with pytest.raises(InvalidBeats, match="all normal or all anomalous"):
        evaluate_training([labelled(40, 0)], "pooled", config)
    with pytest.raises(InvalidBeats, match="needs two files"):
        evaluate_training([labelled(40, 10)], "official", config)


def test_density_is_a_density() -> None:
    """It is positive, integrates to one and peaks where the values are."""
    values = np.random.default_rng(0).normal(5, 1, 500)
    at = np.linspace(0, 10, 1001)
    density = kernel_density(values, at)
    assert (density >= 0).all()
    assert np.trapezoid(density, at) == pytest.approx(1, abs=0.01)
    assert at[density.argmax()] == pytest.approx(5, abs=0.5)


def test_plot_is_a_picture(report: Ecg5000Report, tmp_path: Path) -> None:
    """A PNG of a sensible size, without a display and without pyplot's global state."""
    path = tmp_path / "densities.png"
    plot_loss_densities(report, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.skipif(
    not ECG5000_FOLDER.exists(), reason="the real ECG5000 files are not beside the repository"
)
def test_official_split_of_the_real_files_must_not_get_worse() -> None:
    """A golden floor at a tenth of the usual training, so that the suite stays quick."""
    files = [
        read_ecg5000(ECG5000_FOLDER / name) for name in ("ECG5000_TRAIN.txt", "ECG5000_DEV.txt")
    ]
    result = evaluate_training(
        files, "official", AutoencoderConfig(embedding=8), TrainingConfig(epochs=10)
    )
    assert result.auc > 0.93
