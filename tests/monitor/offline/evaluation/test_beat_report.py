"""The report of one alert: a page that needs nothing else, true figures, harmless text."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from monitor.errors import InvalidOption
from monitor.journal.kept_beats import KeptBeat, LeadBeat
from monitor.offline.evaluation.beat_report import (
    ExplainedAlert,
    beat_figure,
    explained_alert,
    to_html,
    write_beat_report,
)
from monitor.wire.messages import LossByPart, Neighbour
from tests.messages import alert, technical
from tests.monitor.offline.evaluation.pages import Page

VALUES = np.sin(np.arange(140, dtype="<f4"))
AROUND = [
    KeptBeat("119", 3600 + 300 * n, ("MLII",), (loss,), (26.0,), b"")
    for n, loss in zip(range(-3, 4), (9.0, 9.0, 9.0, 30.0, 9.0, None, 9.0), strict=True)
]


def explained(**changes: Any) -> ExplainedAlert:
    """Return an alert with all there can be of it."""
    return explained_alert(
        alert(
            **{
                "seq": 12,
                "beat": VALUES.tolist(),
                "reconstruction": (0.5 * VALUES).tolist(),
                "why": ["shape", "premature"],
                "parts": LossByPart(p=0.25, qrs=0.25, t=0.5),
                "neighbours": [Neighbour(61.0, VALUES.tolist()), Neighbour(62.5, VALUES.tolist())],
            }
            | changes
        ),
        AROUND,
    )


def test_the_page_holds_the_picture_and_needs_no_other_file(tmp_path: Path) -> None:
    """One file to send on: nothing is loaded, nothing is run."""
    write_beat_report(explained(), tmp_path / "beat.png", tmp_path / "beat.html")
    page = Page((tmp_path / "beat.html").read_text())
    (source,) = page.sources
    assert (
        base64.b64decode(source.removeprefix("data:image/png;base64,"))
        == (tmp_path / "beat.png").read_bytes()
    )
    assert "script" not in page.tags


def test_the_page_tells_why_where_and_how_far_off() -> None:
    """Reason, shares of the waves, distances to the learnt normal."""
    text = Page(to_html(explained(), b"")).text
    for said in ("Alert 12 of 119", "shape, premature", "P 25 %, QRS 25 %, T 50 %", "61.0, 62.5"):
        assert said in text


def bars(axes: Axes) -> list[Rectangle]:
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def test_the_figure_has_a_panel_for_each_explanation() -> None:
    """Beat, loss along it, each neighbour, losses around; and none for what is not known."""
    figure = beat_figure(explained())
    shape, errors, *near, around = figure.axes
    rebuilt = np.asarray(shape.lines[1].get_ydata(), np.float64)
    np.testing.assert_allclose(rebuilt, 0.5 * VALUES.astype(np.float64), rtol=1e-6)
    heights = [bar.get_height() for bar in bars(errors)]
    np.testing.assert_allclose(heights, np.abs(0.5 * VALUES), rtol=1e-6)
    assert [axes.get_title() for axes in near] == ["distance 61.0", "distance 62.5"]
    places = [bar.get_x() + bar.get_width() / 2 for bar in bars(around)]
    assert places == pytest.approx([-3, -2, -1, 0, 1, 3])  # the third has no verdict
    assert len(beat_figure(explained(neighbours=[])).axes) == 3


def test_where_evidence_judged_scores_are_drawn() -> None:
    """A loss below the threshold may be of an anomalous beat, and one above of a normal one."""
    told = alert(seq=12, family=3, score=2.5, loss=13.0, ratio=0.5)
    scores = (0.5, 0.8, 2.5, 0.2)
    around = [
        KeptBeat("119", 3600 + 300 * n, ("MLII",), (30.0,), (26.0,), b"", score, weighed=True)
        for n, score in zip(range(-2, 2), scores, strict=True)
    ]
    panel = beat_figure(explained_alert(told, around)).axes[-1]
    assert [bar.get_height() for bar in bars(panel)] == pytest.approx(scores)
    assert panel.get_title().endswith("scores of the beats around")
    (red,) = {bar.get_facecolor() for bar in bars(panel)} - {bars(panel)[0].get_facecolor()}
    assert [bar.get_facecolor() == red for bar in bars(panel)] == [False, False, True, False]
    assert "2.50, by evidence" in Page(to_html(explained_alert(told, around), b"")).text


HOSTILE = ["<script>alert(1)</script>", "$\\frac{$", "\x1b[31m\u202e", "漢字\ud800", "x" * 128]


@pytest.fixture(scope="module")
def plain_picture(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("plain") / "plain.png"
    write_beat_report(explained(), path, None)
    return path.read_bytes()


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_names_from_outside_are_only_text(name: str, plain_picture: bytes, tmp_path: Path) -> None:
    """In the page: no tag, no control; the picture holds none of them."""
    hostile = explained(patient=name, record=name, lead=name, rule=name, model=name, id=name)
    write_beat_report(hostile, tmp_path / "h.png", tmp_path / "h.html")
    page = Page((tmp_path / "h.html").read_text(encoding="utf-8"))
    assert "script" not in page.tags
    assert not set("\x1b\u202e") & set(page.text)
    assert (tmp_path / "h.png").read_bytes() == plain_picture


@pytest.mark.parametrize("loss", [0.0, 1e-300, 1e300, float("inf")])
def test_absurd_figures_are_drawn(loss: float) -> None:
    """A message may claim any loss, threshold and value."""
    absurd = explained(loss=loss, threshold=loss, ratio=loss, beat=[loss] * 140)
    kept = tuple(LeadBeat(beat.sample, loss, loss, b"") for beat in AROUND)
    assert beat_figure(ExplainedAlert(absurd.alert, kept)).axes


def test_an_alert_without_kept_beats_is_drawn() -> None:
    """Retention may have taken them away."""
    figure = beat_figure(ExplainedAlert(explained().alert, ()))
    assert [text.get_text() for text in figure.axes[-1].texts] == [
        "No beats were kept with this alert."
    ]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (technical(), "has no beat to draw"),
        (alert(state="cleared", beat=[], reconstruction=[]), "carries no beat"),
    ],
)
def test_what_has_no_beat_is_refused(message: Any, said: str) -> None:
    """The message says what can be named instead."""
    with pytest.raises(InvalidOption, match=said):
        explained_alert(message, [])


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """Before anything is drawn, and without half a report."""
    with pytest.raises(InvalidOption, match="cannot write"):
        write_beat_report(explained(), tmp_path / "beat.png", tmp_path / "no" / "beat.html")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("is_picture", [True, False])
def test_a_file_of_another_kind_stays(is_picture: bool, tmp_path: Path) -> None:
    """Such as the journal that the alert is in, named by a slip."""
    journal = tmp_path / "night.sqlite"
    journal.write_bytes(b"SQLite format 3\x00")
    places = (journal, None) if is_picture else (None, journal)
    with pytest.raises(InvalidOption, match="no page, picture or PDF"):
        write_beat_report(explained(), *places)
    assert journal.read_bytes() == b"SQLite format 3\x00"
