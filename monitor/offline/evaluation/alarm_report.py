"""One named alarm, for people: a page, and with its record a picture of the signal around it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from model.checkpoint import write_atomically
from monitor.errors import InvalidOption
from monitor.offline.alarm_signal import WHAT_WAS_DONE, AlarmSignal, bounds_mv
from monitor.offline.evaluation.ecg5000_report import ANOMALY_COLOUR
from monitor.offline.evaluation.page import facts_table, html_page, png
from monitor.offline.output_files import check_replaceable
from monitor.plain import alarm_name, clock
from monitor.text import harmless
from monitor.wire.messages import Alert, began_s

PICTURE_SAYS = "The leads around the alarm: where it began, and when it was raised"
NO_SIGNAL = "The journal keeps no signal; `ecg-monitor show --record RECORD` draws it."


def write_alarm_report(
    alarm: Alert, signal: AlarmSignal | None, picture: Path | None, page: Path | None
) -> None:
    """Write the picture, the page, or both, each whole or not at all.

    Raises
    ------
    InvalidOption
        If there is nothing to be drawn, or a file cannot be written.
    """
    for path in (picture, page):
        if path is not None:
            check_replaceable(path)
    if picture is not None and signal is None:
        raise InvalidOption(
            f"alert {alarm.seq} is a named alarm ({alarm_name(alarm.kind)}), and the journal keeps "
            "no signal to draw; add --record RECORD, or write its page with --html"
        )
    drawn = None if signal is None else png(alarm_figure(signal, alarm))
    if picture is not None and drawn is not None:
        write_atomically(picture, drawn)
    if page is not None:
        write_atomically(page, to_html(alarm, drawn).encode())


def to_html(alarm: Alert, picture: bytes | None) -> str:
    """Return one page that needs no other file; all text in it is escaped."""
    title = f"{alarm_name(alarm.kind).capitalize()} of {harmless(alarm.patient)}"
    return html_page(title, facts_table(_facts(alarm, picture)), picture, PICTURE_SAYS)


def _facts(alarm: Alert, picture: bytes | None) -> Iterator[tuple[str, str]]:
    yield "alarm", f"{alarm_name(alarm.kind)}, {alarm.state}, priority {alarm.priority}"
    if alarm.text:
        yield "what it says", harmless(alarm.text)
    yield "patient", harmless(alarm.patient)
    yield "record, leads", f"{harmless(alarm.record)}, {harmless(alarm.lead)}"
    yield "began", f"{clock(began_s(alarm))}, sample {alarm.episode_start_sample}"
    yield "reported", f"{clock(alarm.time_s)}, sample {alarm.sample}; {harmless(alarm.wall_time)}"
    yield "rule", harmless(alarm.rule)
    yield "number, identity", f"{alarm.seq}, {harmless(alarm.id)}"
    if picture is None:
        yield "signal", NO_SIGNAL


def alarm_figure(signal: AlarmSignal, alarm: Alert) -> Figure:
    """Draw the leads one below the other; names from outside are not in it, the page has them."""
    n_leads = len(signal.values)
    figure = Figure(figsize=(11, 1 + 1.7 * n_leads), layout="constrained")
    FigureCanvasAgg(figure)
    (panels,) = figure.subplots(n_leads, 1, sharex=True, squeeze=False).T
    n = signal.values.shape[1]
    time_s = (signal.first_sample + np.arange(n)) / signal.fs_hz
    for number, (axes, values) in enumerate(zip(panels, signal.values, strict=True), 1):
        axes.plot(time_s, values, color="black", linewidth=0.7)
        axes.set(ylabel=f"lead {number}, mV", ylim=bounds_mv(values))
        axes.axvspan(
            signal.began / signal.fs_hz, signal.raised / signal.fs_hz, color="#b00020", alpha=0.12
        )
        axes.axvline(signal.raised / signal.fs_hz, color=ANOMALY_COLOUR)
        axes.spines[["top", "right"]].set_visible(False)
    began, raised = clock(signal.began / signal.fs_hz, 1), clock(signal.raised / signal.fs_hz, 1)
    done = WHAT_WAS_DONE.get(alarm.state, alarm.state)
    panels[0].set_title(
        f"{alarm_name(alarm.kind)}: began {began}, {done} {raised} (line)", fontsize=10
    )
    panels[-1].set_xlabel("seconds of the record")
    return figure
