"""The comparison: every contestant on the same splits, its own threshold, one row a protocol."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from model.baselines import Beats, Fitted, neighbours
from model.config import AutoencoderConfig
from model.ecg5000 import NORMAL
from model.errors import InvalidBeats
from model.training import TrainingConfig
from monitor.offline.evaluation.comparison import (
    SIZES,
    Contestant,
    Row,
    autoencoder,
    compare,
    contestants,
    plot_comparison,
    to_json_line,
    to_table,
)
from tests.monitor.offline.evaluation.test_ecg5000_report import labelled

PERFECT = Contestant("5-NN distance", neighbours(5))


def blind(beats: Beats, seed: int) -> Fitted:
    """Scores that say nothing of the beats."""
    generator = np.random.default_rng(seed)
    return Fitted(
        lambda tested: generator.uniform(1, 2, len(tested)).astype(np.float32),
        generator.uniform(1, 2, 40).astype(np.float32),
    )


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    files = [labelled(200, 20), labelled(150, 60, seed=1)]
    entered = [PERFECT, Contestant("blind", blind, mflop=2.5, max_seeds=2)]
    return list(compare(files, ["official", "pooled"], entered, n_seeds=3))


def test_each_contestant_meets_each_protocol(rows: list[Row]) -> None:
    """In the order entered; no more seeds than a contestant may have."""
    assert [(row.protocol, row.contestant.name) for row in rows] == [
        ("official", "5-NN distance"),
        ("official", "blind"),
        ("pooled", "5-NN distance"),
        ("pooled", "blind"),
    ]
    assert [len(row.trials) for row in rows] == [3, 2, 3, 2]


@pytest.mark.parametrize("n_normal", [0, 1, 25, 129])
def test_too_few_normal_beats_are_refused(n_normal: int) -> None:
    """Before minutes of training, and before a library's own error."""
    files = [labelled(n_normal, 3), labelled(10, 10, seed=1)]
    with pytest.raises(InvalidBeats, match=f"{n_normal} normal beats are too few"):
        list(compare(files, ["official"], [PERFECT], n_seeds=1))


def test_figures_are_true(rows: list[Row]) -> None:
    """Waves of another frequency are told apart wholly; chance finds half of the pairs."""
    perfect, chance = rows[:2]
    assert perfect.over("auc") == (1.0, 0.0)
    assert perfect.over("recall")[0] == 1.0
    assert perfect.over("recall_at_1_percent")[0] == 1.0
    assert perfect.over("false_positive_rate")[0] < 0.1
    assert chance.over("auc")[0] == pytest.approx(0.5, abs=0.12)
    assert chance.over("recall")[0] < 0.2


def test_our_threshold_has_seen_no_anomaly() -> None:
    """The autoencoder learns from normal beats alone; held out are its validation beats."""
    labels, beats = labelled(60, 10)
    config = AutoencoderConfig(length=20, embedding=2, samples_per_step=4)
    learn = autoencoder(config, lambda seed: TrainingConfig(epochs=1, seed=seed))
    fitted = learn(beats[labels == NORMAL], 0)
    assert fitted.held_out.shape == (9,)
    assert fitted.score(beats).shape == (70,)


def test_rows_as_json_and_as_a_table(rows: list[Row]) -> None:
    """A JSON line each; a Markdown table whose lines are equally long."""
    for row in rows:
        told = json.loads(to_json_line(row))
        assert told["auc_mean"] == pytest.approx(row.over("auc")[0], abs=1e-6)
        assert told["seeds"] == [trial.seed for trial in row.trials]
        assert told["mflop_per_beat"] == row.contestant.mflop
    lines = to_table(rows).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert len(lines) == 6
    cells = [cell.strip() for cell in lines[3].split("|")]
    assert cells[1:5] == ["official", "blind", "2.5", "2"]


def test_the_plot_is_a_picture(rows: list[Row], tmp_path: Path) -> None:
    """One panel a protocol."""
    plot_comparison(rows, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_all_that_is_promised_is_entered() -> None:
    """Our sizes with their cost, and each rival."""
    names = [one.name for one in contestants()]
    costs = [one.mflop or 0.0 for one in contestants() if one.name.startswith("ours")]
    assert costs == sorted(costs)
    assert len(set(costs)) == len(SIZES)
    assert any("60 steps" in one.name for one in contestants(peer_steps=60))
    for rival in ("1-NN", "5-NN", "SVM", "PCA", "forest", "published", "sequitur LSTM_AE"):
        assert any(rival in name for name in names)
