"""One alert explained, for people: a picture, and one self-contained HTML page.

The beat over its reconstruction, where along it the loss arose, the nearest beats of the learnt
normal, and the losses of the beats around it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure

from model.checkpoint import write_atomically
from monitor.errors import InvalidOption
from monitor.journal.kept_beats import KeptBeat, LeadBeat
from monitor.offline.beats_around import is_by_evidence, shown_beats
from monitor.offline.evaluation.ecg5000_report import ANOMALY_COLOUR, NORMAL_COLOUR
from monitor.offline.evaluation.page import facts_table, html_page, png
from monitor.offline.output_files import check_replaceable
from monitor.plain import clock, milliseconds
from monitor.text import counted, harmless
from monitor.view.anomalous_beat import AnomalousBeat, anomalous_beat
from monitor.wire.messages import Alert, Technical, measured

BEAT_COLOUR, QUIET_COLOUR = "black", "#8c969e"
MOST_DRAWN_LOSS = 1e6  # what lies above is drawn at the edge; a message may claim any loss
LEAST_DRAWN_SCORE = 0.01
PICTURE_SAYS = "The beat over its reconstruction, where they differ, its neighbours, losses around"


@dataclass(frozen=True)
class ExplainedAlert:
    """An alert with a beat, and the beats around it in its lead, in order."""

    alert: Alert
    around: tuple[LeadBeat, ...]

    @property
    def beat(self) -> AnomalousBeat:
        """The beat with what explains it."""
        return anomalous_beat(self.alert)


def explained_alert(message: Alert | Technical, around: Sequence[KeptBeat]) -> ExplainedAlert:
    """Return what a report is made of.

    Raises
    ------
    InvalidOption
        If the alert is not of a beat.
    """
    if isinstance(message, Technical):
        raise InvalidOption(
            f"alert {message.seq} concerns the signal and has no beat to draw; name an alert on a "
            "beat"
        )
    if measured(message) is None or not message.beat or not message.reconstruction:
        raise InvalidOption(
            f"alert {message.seq} ({message.state}) carries no beat; name the alert that began the "
            "episode (state onset)"
        )
    return ExplainedAlert(message, tuple(kept.in_lead(message.lead) for kept in around))


def write_beat_report(explained: ExplainedAlert, picture: Path | None, page: Path | None) -> None:
    """Write the picture, the page, or both, each whole or not at all.

    Raises
    ------
    InvalidOption
        If a file cannot be written, before anything is drawn.
    """
    for path in (picture, page):
        if path is not None:
            check_replaceable(path)
    drawn = png(beat_figure(explained))
    if picture is not None:
        write_atomically(picture, drawn)
    if page is not None:
        write_atomically(page, to_html(explained, drawn).encode())


def to_html(explained: ExplainedAlert, picture: bytes) -> str:
    """Return one page that needs no other file; all text in it is escaped."""
    title = f"Alert {explained.alert.seq} of {harmless(explained.alert.patient)}"
    return html_page(title, facts_table(_facts(explained)), picture, PICTURE_SAYS)


def _facts(explained: ExplainedAlert) -> Iterator[tuple[str, str]]:
    alert, beat = explained.alert, explained.beat
    yield "patient", harmless(alert.patient)
    yield "record, lead", f"{harmless(alert.record)}, {harmless(alert.lead)}"
    yield "in the record", f"{clock(alert.time_s)}, sample {alert.sample}"
    yield "published", f"{harmless(alert.wall_time)}, {alert.state}, priority {alert.priority}"
    if (of_beat := measured(alert)) is not None:
        ratio = f"ratio {of_beat.ratio:.2f}"
        yield "loss", f"{of_beat.loss:.2f}, threshold {of_beat.threshold:.2f}, {ratio}"
    if beat.score is not None:
        yield "score", f"{beat.score:.2f}, by evidence; anomalous above 1"
    if beat.why:
        yield "why", ", ".join(beat.why)
    if beat.shares:
        yield "the loss arose in", _shares(beat)
    before, after = map(milliseconds, (alert.rr_before_ms, alert.rr_after_ms))
    yield "RR before, after", f"{before} ms, {after} ms"
    if beat.neighbours:
        distances = ", ".join(f"{near.distance:.1f}" for near in beat.neighbours)
        yield "distance to the learnt normal", distances
    yield (
        "episode",
        f"{counted(alert.episode_beats, 'beat')}, from sample {alert.episode_start_sample}",
    )
    yield "rule, model", f"{harmless(alert.rule)}, {harmless(alert.model)}"
    yield "identity", harmless(alert.id)


def _shares(beat: AnomalousBeat) -> str:
    return ", ".join(f"{wave} {100 * share:.0f} %" for wave, share in beat.shares.items())


def beat_figure(explained: ExplainedAlert) -> Figure:
    """Draw the explanation; names from outside are not in it, the page has them."""
    beat = explained.beat
    has_neighbours = bool(beat.neighbours)
    heights = [4.6, *([2.2] if has_neighbours else []), 2.2]
    figure = Figure(figsize=(9, sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    subfigures = [figure.add_subfigure(grid[row]) for row in range(len(heights))]
    shape, errors = subfigures[0].subplots(2, 1, sharex=True, height_ratios=[3, 1.2])
    _draw_beat(shape, beat)
    _draw_errors(errors, beat)
    if has_neighbours:
        _draw_neighbours(subfigures[1], beat)
    _draw_around(subfigures[-1].subplots(), explained)
    return figure


def _draw_beat(axes: Axes, beat: AnomalousBeat) -> None:
    n = len(beat.errors)
    axes.fill_between(
        1 + np.arange(n), beat.beat[:n], beat.reconstruction[:n], color=ANOMALY_COLOUR, alpha=0.25
    )
    samples = 1 + np.arange(len(beat.beat))
    axes.plot(samples, beat.beat, color=BEAT_COLOUR, label="beat")
    axes.plot(samples, beat.reconstruction, "--", color=ANOMALY_COLOUR, label="reconstruction")
    axes.set(ylabel="amplitude, SD")
    above = f"{beat.ratio:.2g} times" if beat.score is None else f"score {beat.score:.1f}"
    axes.set_title(
        f"a  {clock(beat.time_s)}: loss {beat.loss:.1f}, threshold {beat.threshold:.1f} "
        f"({above})" + (f", by {' and '.join(beat.why)}" if beat.why else "")
    )
    axes.legend(frameon=False)
    _open(axes)


def _draw_errors(axes: Axes, beat: AnomalousBeat) -> None:
    axes.bar(1 + np.arange(len(beat.errors)), beat.errors, width=1.0, color=ANOMALY_COLOUR)
    arose = f"; the loss arose in {_shares(beat)}" if beat.shares else ""
    axes.set_title(f"b  difference along the beat{arose}", fontsize=10)
    axes.set(xlabel=f"sample of the cut beat, 1 to {len(beat.errors)}", ylabel="difference, SD")
    _open(axes)


def _draw_neighbours(figure: SubFigure, beat: AnomalousBeat) -> None:
    figure.suptitle("c  nearest beats of the learnt normal; dashed, this beat", fontsize=10)
    (panels,) = figure.subplots(1, len(beat.neighbours), sharey=True, squeeze=False)
    for axes, near in zip(panels, beat.neighbours, strict=True):
        axes.plot(near.values, color=NORMAL_COLOUR)
        axes.plot(beat.beat, "--", color=BEAT_COLOUR, linewidth=1)
        axes.set_title(f"distance {near.distance:.1f}", fontsize=9)
        axes.set(xticks=[])
        _open(axes)
    panels[0].set_ylabel("amplitude, SD")


def _draw_around(axes: Axes, explained: ExplainedAlert) -> None:
    """Draw the beats kept around the alert by their place in order: losses, or their scores."""
    alert, by_evidence = explained.alert, is_by_evidence(explained.around)
    beats = shown_beats(explained.around)
    heights = [beat.times_above if by_evidence else beat.loss for beat in beats]
    judged = [place for place, height in enumerate(heights) if height is not None]
    if not judged:
        axes.axis("off")
        axes.text(0, 0.5, "No beats were kept with this alert.")
        return
    least = LEAST_DRAWN_SCORE if by_evidence else 0.0
    drawn = np.clip([heights[place] or 0.0 for place in judged], least, MOST_DRAWN_LOSS)
    places = np.array(judged) - sum(beat.sample < alert.sample for beat in beats)
    above = np.array([beats[place].anomalous for place in judged])
    axes.bar(places, drawn, color=np.where(above, ANOMALY_COLOUR, QUIET_COLOUR))
    bound = 1.0 if by_evidence else min(explained.beat.threshold, MOST_DRAWN_LOSS)
    label = "anomalous above 1" if by_evidence else "threshold"
    axes.axhline(bound, color="black", linestyle="--", label=label)
    if by_evidence:  # a score of 2 and one of 200 are to be told from normal ones alike
        axes.set_yscale("log")
    letter = "d" if explained.beat.neighbours else "c"
    what = "scores" if by_evidence else "losses"
    axes.set_title(f"{letter}  {what} of the beats around", fontsize=10)
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1))  # above: bars fill it
    axes.set(
        xlabel="beats before and after this one (0)", ylabel="score" if by_evidence else "loss"
    )
    _open(axes)


def _open(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
