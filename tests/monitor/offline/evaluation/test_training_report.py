"""The report of a training: one page that needs nothing else, true counts, harmless text."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.checkpoint import Checkpoint
from model.config import AutoencoderConfig
from model.errors import InvalidBeats
from model.thresholds import Threshold
from model.training import Epoch, TrainingConfig, fit
from monitor.offline.evaluation.training_report import (
    TrainingReport,
    picture_path,
    report_of,
    to_html,
    write_report,
)
from tests.monitor.offline.evaluation.pages import Page

HISTORY = (Epoch(1, 3, 40.0, 38.0, True), Epoch(2, 3, 30.0, 31.5, True))


@pytest.fixture
def report() -> TrainingReport:
    """Three normal beats, one above the threshold; two anomalous ones, both above."""
    losses = np.array([1.0, 2.0, 12.0, 11.0, 30.0], np.float32)
    return TrainingReport(
        title="Training of ecg.st",
        history=HISTORY,
        threshold=Threshold(10.0),
        labels=np.array([1, 1, 1, 2, 4]),
        beats=np.zeros((5, 20), np.float32),
        reconstructions=np.ones((5, 20), np.float32),
        losses=losses,
        facts=(("data", "normal beats"),),
    )


def test_confusion_counts_kinds_below_and_above(report: TrainingReport) -> None:
    """Rows are normal and anomalous; a loss equal to the threshold is not above it."""
    np.testing.assert_array_equal(report.confusion, [[2, 1], [0, 2]])
    at = replace(report, threshold=Threshold(11.0))
    np.testing.assert_array_equal(at.confusion, [[2, 1], [1, 1]])


def test_the_page_stands_alone(report: TrainingReport, tmp_path: Path) -> None:
    """Its one picture is inside it, the same as beside it; it asks for no other file or script."""
    path = tmp_path / "report.html"
    write_report(report, path)
    page = Page(path.read_text())
    assert "script" not in page.tags
    assert "link" not in page.tags
    (source,) = page.sources
    kind, data = source.split(",", 1)
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data) == picture_path(path).read_bytes()
    assert picture_path(path).read_bytes().startswith(b"\x89PNG")


def test_the_page_says_the_figures(report: TrainingReport) -> None:
    """Epochs, validation loss, threshold, AUC and the confusion."""
    text = Page(to_html(report, b"")).text
    for told in ("2 of 3, best 2", "31.50", "10.00 (manual)", "0.8333", "3 normal, 2 anomalous"):
        assert told in text
    assert re.search(r"normal\s+2\s+1\s+anomalous\s+0\s+2", text)


def test_text_from_outside_is_escaped(report: TrainingReport) -> None:
    """A file's name or a record's provenance cannot put markup into the page."""
    evil = "<script>alert(1)</script><img src=x>"
    page = Page(to_html(replace(report, title=evil, facts=((evil, evil),)), b""))
    assert "script" not in page.tags
    assert page.tags.count("img") == 1
    assert "<script>" in page.text


@pytest.mark.parametrize(
    "labels", [[1, 1, 1, 1, 1], [2, 2, 4, 4, 5], [1, 1, 1, 1, 2], [1, 2, 3, 4, 5]]
)
def test_any_mix_of_classes_is_drawn(
    report: TrainingReport, labels: list[int], tmp_path: Path
) -> None:
    """One kind alone has no ROC; a class of a single beat is its own best and worst."""
    mixed = replace(report, labels=np.array(labels))
    write_report(mixed, tmp_path / "r.html")
    assert ("AUC" in Page((tmp_path / "r.html").read_text()).text) == mixed.has_both_kinds


def test_without_labels_the_validation_beats_are_judged(tmp_path: Path) -> None:
    """They are taken for normal: no AUC; labelled beats, where there are some, take their place."""
    generator = np.random.default_rng(0)
    beats = generator.standard_normal((40, 20)).astype(np.float32)
    config = AutoencoderConfig(length=20, embedding=2, samples_per_step=4)
    fitted = fit(beats, config, TrainingConfig(epochs=1))
    checkpoint = Checkpoint(fitted.autoencoder, {}, "00000000", Threshold(5.0), {"seed": 3})
    unlabelled = report_of(fitted, checkpoint, None, "t")
    np.testing.assert_allclose(unlabelled.losses, fitted.validation_losses, rtol=1e-5)
    assert not unlabelled.has_both_kinds
    assert unlabelled.facts == (("seed", "3"),)
    labelled = report_of(fitted, checkpoint, (np.array([1, 2]), beats[:2]), "t")
    assert labelled.has_both_kinds
    with pytest.raises(InvalidBeats):
        report_of(fitted, checkpoint, (np.array([1]), beats[:1, :10]), "t")
