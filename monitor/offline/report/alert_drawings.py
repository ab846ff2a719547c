"""One alert drawn as `show` draws it: the beat over its reconstruction, or the signal around."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from monitor.journal.kept_beats import LeadBeat
from monitor.offline.alarm_signal import MOST_LEADS, WHAT_WAS_DONE, AlarmSignal, bounds_mv
from monitor.offline.beats_around import is_by_evidence, shown_beats
from monitor.offline.report.night import DrawnAlert
from monitor.offline.report.night_charts import badge
from monitor.offline.report.svg import (
    HIGH,
    WIDE,
    across,
    band,
    box,
    drawing,
    line,
    scaled,
    ticks,
    upright,
)
from monitor.plain import alarm_name, alarm_words, clock, milliseconds
from monitor.text import counted, harmless
from monitor.view.anomalous_beat import AnomalousBeat, anomalous_beat
from monitor.wire.messages import Alert, began_s, joined_leads

MOST_POINTS = 1200  # of a lead's signal: more are drawn as their envelope
HIGHEST_SCORE = 1e3  # drawn; what lies above is drawn at the edge
NO_SIGNAL = "A journal keeps no signal; <code>--record RECORD</code> draws it."


def drawn_alert(one: DrawnAlert) -> str:
    """Return an alert as a card: what it is, and its drawing; all text is escaped."""
    alert = one.alert
    if alert.kind == "anomalous_beats":
        body, said = _beat(alert, one.around), _beat_words(anomalous_beat(alert), alert)
    else:
        body = (
            f'<p class="dim">{NO_SIGNAL}</p>' if one.signal is None else _signal(one.signal, alert)
        )
        said = _escaped(alarm_words(alert.kind, alert.text))
    name = "anomalous beats" if alert.kind == "anomalous_beats" else alarm_name(alert.kind)
    number = f"number {alert.seq}, " if alert.wall_time else ""
    published = _escaped(alert.wall_time.replace("T", " ").removesuffix("Z"))
    place = f"{number}{clock(alert.time_s, 1)} of the record"
    when = f"{place}{f', published {published} UTC' if published else ''}"
    return (
        f'<article class="alert {alert.priority}"><h4>{badge(alert.priority)} {name}</h4>'
        f'<p class="dim">{when}</p><p>{said}</p>{body}</article>'
    )


def _escaped(text: str) -> str:
    return escape(harmless(text, 300))


def _beat_words(beat: AnomalousBeat, alert: Alert) -> str:
    parts = [f"loss {beat.loss:.1f}, threshold {beat.threshold:.1f}"]
    if beat.score is not None:
        most = beat.score > HIGHEST_SCORE
        parts.append(f"score over {HIGHEST_SCORE:,.0f}" if most else f"score {beat.score:.1f}")
    if beat.why:
        parts.append(f"by {' and '.join(beat.why)}")
    if beat.shares:
        shares = ", ".join(f"{wave} {100 * share:.0f} %" for wave, share in beat.shares.items())
        parts.append(f"the loss arose in {shares}")
    before, after = milliseconds(alert.rr_before_ms), milliseconds(alert.rr_after_ms)
    parts.append(f"RR {before} / {after} ms")
    parts.append(f"{counted(alert.episode_beats, 'beat')} so far")
    if alert.family is not None:
        parts.append(f"family {alert.family}")
    parts.append(_escaped(joined_leads(alert.leads) or alert.lead))
    return "; ".join(parts)


def _beat(alert: Alert, around: Sequence[LeadBeat]) -> str:
    beat = anomalous_beat(alert)
    parts = [_over_reconstruction(beat)]
    aside = [*_neighbours(beat), *_around(alert, around, beat)]
    if aside:
        parts.append(f'<div class="aside">{"".join(aside)}</div>')
    return f'<div class="explained">{"".join(parts)}</div>'


def _figure(plot: str, caption: str, size: str) -> str:
    return (
        f'<figure><div class="plot {size}">{plot}</div><figcaption>{caption}</figcaption></figure>'
    )


def _over_reconstruction(beat: AnomalousBeat) -> str:
    bottom, top = _bounds(beat.beat, beat.reconstruction)
    n = len(beat.errors)
    over, rebuilt = (scaled(one, bottom, top) for one in (beat.beat, beat.reconstruction))
    at = _places(n)
    plot = drawing(
        [
            band(at, over[:n], rebuilt[:n], "differs"),
            line(_places(len(rebuilt)), rebuilt, "rebuilt"),
            line(_places(len(over)), over, "beat"),
        ],
        "The beat over its reconstruction",
    )
    most = float(beat.errors.max()) if n else 1.0
    heights = HIGH * beat.errors / max(most, 1e-9)
    bars = [
        box(place * WIDE / n, HIGH - height, WIDE / n, height, "error")
        for place, height in enumerate(heights.tolist())
    ]
    legend = (
        '<span class="key beat"></span>beat <span class="key rebuilt"></span>reconstruction '
        '<span class="key error"></span>difference along the beat'
    )
    errors = drawing(bars, "Where along the beat they differ")
    return (
        f'<figure class="main"><div class="plot beatbox">{plot}</div>'
        f'<div class="plot strip">{errors}</div><figcaption>{legend}</figcaption></figure>'
    )


def _neighbours(beat: AnomalousBeat) -> Iterator[str]:
    if not beat.neighbours:
        return
    figures = []
    for near in beat.neighbours:
        bottom, top = _bounds(near.values, beat.beat)
        plot = drawing(
            [
                line(_places(len(near.values)), scaled(near.values, bottom, top), "normal"),
                line(_places(len(beat.beat)), scaled(beat.beat, bottom, top), "thin"),
            ],
            "A beat of the learnt normal, and this one",
        )
        figures.append(_figure(plot, f"distance {near.distance:.1f}", "near"))
    yield f'<div class="neighbours">{"".join(figures)}</div>'
    yield '<p class="caption">the nearest beats of the learnt normal; thin, this beat</p>'


def _around(alert: Alert, around: Sequence[LeadBeat], beat: AnomalousBeat) -> Iterator[str]:
    """Yield the scores, or by the bare rule the losses, of the beats around as bars."""
    if not around:
        yield '<p class="caption">no beats were kept with it</p>'
        return
    by_evidence = is_by_evidence(around)
    bound = 1.0 if by_evidence else max(beat.threshold, 1e-9)
    beats, bars = shown_beats(around), list[str]()
    width = WIDE / len(beats)
    base = _height(1.0)
    for place, one in enumerate(beats):
        height = one.times_above if by_evidence else one.loss
        if height is None:
            continue
        top = _height(height / bound)
        name = "error" if one.anomalous else "quiet"
        bars.append(box(place * width + 2, HIGH - top, width - 4, max(top, 1), name))
        if one.sample == alert.sample:
            bars.append(box(place * width, HIGH - 4, width, 4, "here"))
    bars.append(across(HIGH - base, "bound"))
    what = "scores" if by_evidence else "losses"
    before = sum(one.sample < alert.sample for one in beats)
    caption = (
        f"{what} of {counted(before, 'beat')} before and {len(beats) - before - 1} after; dashed, "
        f"{'1' if by_evidence else 'the threshold'}"
    )
    yield _figure(drawing(bars, caption), caption, "near")


def _height(times_above: float) -> float:
    """Return the height of a bar, by its logarithm: 0.1 is at the bottom, 1000 at the top."""
    known = np.nan_to_num(times_above, nan=HIGHEST_SCORE)
    share = (np.log10(np.clip(known, 0.1, HIGHEST_SCORE)) + 1) / 4
    return float(HIGH * share)


def _places(n: int) -> NDArray[np.float64]:
    return np.linspace(0, WIDE, n) if n > 1 else np.zeros(n)


def _bounds(*curves: NDArray[np.float32]) -> tuple[float, float]:
    every = np.concatenate(curves)
    bottom, top = (float(every.min()), float(every.max())) if len(every) else (0.0, 1.0)
    margin = 0.05 * (top - bottom) or 1.0
    return bottom - margin, top + margin


def _signal(signal: AlarmSignal, alarm: Alert) -> str:
    """Return the leads around a named alarm, one below the other."""
    n = signal.values.shape[1]
    if not n:
        return '<p class="dim">The record has no signal there.</p>'
    first_s, length_s = signal.first_sample / signal.fs_hz, n / signal.fs_hz
    began, raised = (
        WIDE * min(max(at - signal.first_sample, 0), n) / n for at in (signal.began, signal.raised)
    )
    marks = [box(began, 0, max(raised - began, 1), HIGH, "during"), upright(raised, "raised")]
    grid = [upright(WIDE * at, "grid") for at, _ in ticks(first_s, length_s)]
    rows = []
    for name, values in list(zip(signal.leads, signal.values, strict=True))[:MOST_LEADS]:
        bottom, top = bounds_mv(values)
        at, heights = _drawn_lead(values)
        inside = [*grid, *marks, line(at, scaled(heights, bottom, top), "signal")]
        plot = drawing(inside, f"Lead {escape(harmless(name, 20))}")
        label = f'<i class="y top">{escape(harmless(name, 20))}</i>'
        scale = f'<i class="y bottom">{top - bottom:.1f} mV high</i>'
        rows.append(f'<div class="plot wave">{plot}{label}{scale}</div>')
    labels = "".join(
        f'<i style="left:{100 * at:.2f}%">{label}</i>' for at, label in ticks(first_s, length_s)
    )
    more = len(signal.leads) - MOST_LEADS
    left = f" and {more} further leads" if more > 0 else ""
    done = WHAT_WAS_DONE.get(alarm.state, alarm.state)
    return (
        f'{"".join(rows)}<div class="axis">{labels}</div><p class="caption">shaded, from '
        f"{clock(began_s(alarm), 1)} on, what the alarm is about; line, {done}{left}</p>"
    )


def _drawn_lead(
    values: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return places across the drawing and values: of many, the lowest and highest of stretches."""
    n = len(values)
    if n <= MOST_POINTS:
        return _places(n), values.astype(np.float64)
    edges = np.linspace(0, n, MOST_POINTS // 2 + 1).astype(np.int64)[:-1]
    safe = np.where(np.isfinite(values), values, np.nan).astype(np.float64)
    low, high = np.fmin.reduceat(safe, edges), np.fmax.reduceat(safe, edges)
    at = np.repeat(WIDE * edges / n, 2)
    return at, np.column_stack([low, high]).ravel()
