"""A night along its time: heart rate, RR intervals, and when each alarm and technical alert was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from monitor.offline.report.night import KindRow, Night, Span, by_kind, column_hours
from monitor.offline.report.svg import (
    HIGH,
    WIDE,
    across,
    band,
    box,
    density_png,
    drawing,
    line,
    scaled,
    ticks,
    upright,
)
from monitor.offline.report.trend import RhythmTrend
from monitor.plain import alarm_name, clock
from monitor.text import counted
from monitor.wire.messages import ALARM_KINDS, AlertKind

ORDER: tuple[AlertKind, ...] = (*ALARM_KINDS, "anomalous_beats")
MARKS = {"high": "!!!", "medium": "!!", "low": "!", "technical": "?"}
COLUMNS = 500  # of a lane: what is nearer is drawn as one
LEAST_SPAN_BPM = 40.0


def overview(night: Night) -> str:
    """Return rows that share one time axis."""
    rows = [*_rhythm(night), *_lanes(night)]
    labels = "".join(
        f'<i style="left:{100 * at:.2f}%">{label}</i>'
        for at, label in ticks(night.first_s, night.length_s)
    )
    rows.append(f'<div class="row"><div></div><div class="axis">{labels}</div></div>')
    return f'<div class="overview">{"".join(rows)}</div>'


def row(name: str, more: str, plot: str, size: str) -> str:
    """Return a row of the overview; name and what follows it are text of ours or escaped."""
    said = f"<small>{more}</small>" if more else ""
    return (
        f'<div class="row"><div class="what"><b>{name}</b>{said}</div>'
        f'<div class="plot {size}">{plot}</div></div>'
    )


def _rhythm(night: Night) -> Iterator[str]:
    trend = night.trend
    if trend is None:
        return
    grid = [upright(WIDE * at, "grid") for at, _ in ticks(night.first_s, night.length_s)]
    bottom, top = rate_bounds(trend)
    heights = scaled(trend.rate_bpm, bottom, top)
    at = bin_places(trend, night.length_s)
    inside = [
        *grid,
        *(across(float(scaled(np.array([rate]), bottom, top)[0]), "grid") for rate in (60, 100)),
        band(at, heights[:, 0], heights[:, 2], "range"),
        line(at, heights[:, 1], "trace"),
    ]
    binned = f"{trend.bin_s:g} s" if trend.bin_s < 120 else f"{trend.bin_s / 60:g} minutes"
    yield row(
        "Heart rate",
        f"a minute; median and 5 to 95 % of each {binned}",
        drawing(inside, "Heart rate over the night") + _bounds(f"{top:.0f}", f"{bottom:.0f}"),
        "tall",
    )
    width = 100 * trend.bin_s * trend.density.shape[1] / night.length_s
    image = (
        f'<img alt="RR intervals over the night" style="width:{width:.3f}%" '
        f'src="{density_png(trend.density)}">'
    )
    yield row(
        "RR intervals",
        "ms; the more beats, the darker",
        image + _bounds(f"{trend.longest_ms:.0f}", f"{trend.shortest_ms:.0f}"),
        "tall clip",
    )


def bin_places(trend: RhythmTrend, length_s: float) -> NDArray[np.float64]:
    """Return where the middles of the bins lie across a drawing."""
    middles = (np.arange(len(trend.rate_bpm)) + 0.5) * trend.bin_s
    return np.asarray(np.minimum(WIDE * middles / length_s, WIDE))


def rate_bounds(trend: RhythmTrend) -> tuple[float, float]:
    """Return the lowest and the highest rate to be drawn, at tens."""
    known = trend.rate_bpm[np.isfinite(trend.rate_bpm[:, 1])]
    bottom = 10 * np.floor(np.percentile(known[:, 0], 1) / 10)
    top = 10 * np.ceil(np.percentile(known[:, 2], 99) / 10)
    return float(bottom), float(max(top, bottom + LEAST_SPAN_BPM))


def _bounds(top: str, bottom: str) -> str:
    return f'<i class="y top">{top}</i><i class="y bottom">{bottom}</i>'


def _lanes(night: Night) -> Iterator[str]:
    for kind in ORDER:
        spans = [one for one in night.alarms if one.kind == kind]
        if spans:
            yield _lane(night, alarm_name(kind), spans)
    for event in dict.fromkeys(one.kind for one in night.technical):
        spans = [one for one in night.technical if one.kind == event]
        yield _lane(night, event.replace("_", " "), spans, "technical")


def _lane(night: Night, name: str, spans: Sequence[Span], colour: str = "") -> str:
    boxes: list[str] = []
    for level in ("low", "medium", "high"):
        some = [one for one in spans if one.priority == level]
        boxes += _runs(night, some, colour or level)
    times = counted(len(spans), "time", ",")
    label = f"When there was {escape(name)}: {times}"
    return row(escape(name), times, drawing(boxes, label), "lane")


def _runs(night: Night, spans: Iterable[Span], name: str) -> Iterator[str]:
    """Yield boxes where spans lie, those that touch as one."""
    covered = np.zeros(COLUMNS + 2, np.int8)
    for one in spans:
        start, stop = (
            min(max((at - night.first_s) / night.length_s, 0.0), 1.0) * COLUMNS
            for at in (one.begin_s, one.end_s)
        )
        begin = min(int(start), COLUMNS - 1)
        covered[1 + begin : 1 + max(begin + 1, int(np.ceil(stop)))] = 1
    covered[-1] = 0
    edges = np.flatnonzero(np.diff(covered))
    scale = WIDE / COLUMNS
    for start, stop in edges.reshape(-1, 2).tolist():
        yield box(start * scale, 0, (stop - start) * scale, HIGH, name)


def hourly_table(night: Night) -> str:
    """Return how often each kind of alarm came, hour by hour."""
    rows = by_kind(night, ORDER)
    if not rows:
        return "<p>There was no alarm.</p>"
    hours = column_hours(night.length_s)
    begins = [night.first_s / 3600 + hours * place for place in range(len(rows[0].counts))]
    heads = "".join(f"<th>{at:.3g}</th>" for at in begins)
    body = "".join(_kind_row(one) for one in rows)
    unit = "one hour" if hours == 1 else f"{hours} hours"
    return (
        '<div class="scroll"><table class="hours"><thead><tr><th>alarm</th><th>in all</th>'
        f"<th>an hour</th><th>lasted</th><th>longest</th>{heads}</tr></thead>"
        f"<tbody>{body}</tbody></table></div><p class=dim>A column is {unit} of the record; its "
        "head is the hour at which it begins. “An hour” is of readable signal.</p>"
    )


def _kind_row(one: KindRow) -> str:
    most = max(one.counts)
    cells = "".join(
        f'<td class="{one.priority}" style="--share:{(n / most) ** 0.5:.2f}">{n}</td>'
        if n
        else "<td>·</td>"
        for n in one.counts
    )
    name = f"{badge(one.priority)} {alarm_name(one.kind)}"
    lasted, longest = clock(one.total_s, 0), clock(one.longest_s, 0)
    return (
        f"<tr><th>{name}</th><td>{sum(one.counts):,}</td><td>{one.per_hour:.1f}</td>"
        f"<td>{lasted}</td><td>{longest}</td>{cells}</tr>"
    )


def badge(level: str) -> str:
    """Return a priority as a mark that needs no colour."""
    return f'<span class="badge {level}" title="{level}">{MARKS.get(level, "")}</span>'


def small_trend(trend: RhythmTrend | None, length_s: float) -> str:
    """Return the heart rate as a small line, for a table."""
    if trend is None:
        return ""
    bottom, top = rate_bounds(trend)
    at = bin_places(trend, length_s)
    heights = scaled(trend.rate_bpm, bottom, top)
    inside = [band(at, heights[:, 0], heights[:, 2], "range"), line(at, heights[:, 1], "trace")]
    return drawing(inside, f"Heart rate, {bottom:.0f} to {top:.0f} a minute")
