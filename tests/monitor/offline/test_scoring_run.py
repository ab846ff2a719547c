"""Scores of ECG5000 files: losses, verdicts, and the specs that are refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from model.checkpoint import save_checkpoint
from model.errors import InvalidCheckpoint, InvalidDataset, ModelError
from monitor.errors import SpecMismatch
from monitor.offline.scoring_run import (
    ScoredFile,
    json_lines,
    load_for_ecg5000,
    plain_lines,
    score_file,
    summary_line,
)
from segmenter.beat import BeatSpec
from tests.monitor.checkpoints import template_checkpoint, values_at

RR = BeatSpec(window="rr")


@pytest.fixture
def scored() -> ScoredFile:
    """Three beats, one of them above the threshold."""
    return ScoredFile(np.array([1, 4, 2]), np.array([3.25, 26.0, 40.123456], np.float32), 26.0)


def test_losses_in_the_file_s_order(tmp_path: Path) -> None:
    """Labels and losses are those of the file's lines; the threshold is the checkpoint's."""
    beats = values_at(np.array([0.1, 0.5, 0.2]))
    np.savetxt(tmp_path / "b.tsv", np.column_stack([[1, 5, 1], beats]), delimiter="\t")
    scored = score_file(template_checkpoint(30.0, RR), tmp_path / "b.tsv")
    assert scored.labels.tolist() == [1, 5, 1]
    np.testing.assert_allclose(scored.losses, [14.0, 70.0, 28.0], rtol=1e-4)
    assert scored.anomalous.tolist() == [False, True, False]


def test_json_has_a_line_a_beat(scored: ScoredFile) -> None:
    """A loss at the threshold is not above it."""
    assert [json.loads(line) for line in json_lines(scored)] == [
        {"label": 1, "loss": 3.25, "anomalous": False},
        {"label": 4, "loss": 26.0, "anomalous": False},
        {"label": 2, "loss": 40.1235, "anomalous": True},
    ]


def test_plain_lines_are_columns(scored: ScoredFile) -> None:
    """As text for people."""
    assert list(plain_lines(scored)) == [
        "label       loss  verdict",
        "    1       3.25  normal",
        "    4      26.00  normal",
        "    2      40.12  anomalous",
    ]
    assert summary_line(scored) == "3 beats, 1 anomalous: loss above 26.00"


@pytest.mark.parametrize("spec", [BeatSpec(window="midpoint"), BeatSpec(window="rr", length=139)])
def test_other_specs_are_refused(spec: BeatSpec, tmp_path: Path) -> None:
    """A checkpoint for beats of another window or length is not for ECG5000."""
    save_checkpoint(template_checkpoint(spec=spec), tmp_path / "c")
    with pytest.raises(SpecMismatch, match=spec.identity):
        load_for_ecg5000(tmp_path / "c")


def test_the_right_spec_is_taken(tmp_path: Path) -> None:
    """The checkpoint that is loaded is the one that was saved."""
    made = template_checkpoint(spec=RR)
    save_checkpoint(made, tmp_path / "c")
    assert load_for_ecg5000(tmp_path / "c").identity == made.identity


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"1{' 0.5' * 139}", "139 samples instead of 140"),
        (f"1{' 0.5' * 141}", "141 samples instead of 140"),
        (f"6{' 0.5' * 140}", "label '6' is not one of 1 to 5"),
        (f"1{' 0.5' * 139} nan", "a sample is NaN"),
        (f"1{' 1e30' * 140}", "implausibly large"),
    ],
)
def test_beats_that_cannot_be_scored_are_named(line: str, said: str, tmp_path: Path) -> None:
    """Another length than the model's, no class of ECG5000's, no number that can be added up."""
    (tmp_path / "b.txt").write_text(f"{line}\n")
    with pytest.raises(ModelError, match=said):
        score_file(template_checkpoint(spec=RR), tmp_path / "b.txt")


def test_files_that_are_none_of_ours(tmp_path: Path) -> None:
    """By the errors of those who read them."""
    (tmp_path / "c").write_text("no checkpoint")
    with pytest.raises(InvalidCheckpoint):
        load_for_ecg5000(tmp_path / "c")
    with pytest.raises(InvalidDataset):
        score_file(template_checkpoint(spec=RR), tmp_path / "no.txt")
