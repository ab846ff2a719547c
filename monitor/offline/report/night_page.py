"""The page: one night, or a table of many and a section of each. All text from outside is escaped.

It needs no other file, loads nothing, and is read without JavaScript, on a telephone and on paper.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import groupby

import numpy as np

from monitor.offline.evaluation.page import facts_table, whole_page
from monitor.offline.report.alert_drawings import drawn_alert
from monitor.offline.report.judged_nights import NoNight
from monitor.offline.report.night import MOST_ACTS, Night, Span
from monitor.offline.report.night_charts import badge, hourly_table, overview, small_trend
from monitor.offline.report.night_style import STYLE
from monitor.offline.report.svg import WIDE, across, drawing, line, scaled
from monitor.plain import clock
from monitor.text import counted, harmless
from monitor.wire.messages import (
    ALARM_KINDS,
    FamilyStatus,
    is_unreadable,
    joined_leads,
    named_leads,
)

MOST_SECTIONS = 200  # patients with a section of their own: 16 MB
SHAPE_PEAK = 110  # of a family's shape, with a margin
FIRST, LAST = 0, -1


def report_page(nights: Sequence[Night], failed: Sequence[NoNight] = (), made: str = "") -> str:
    """Return the page of one night, or of many with the worst first.

    Parameters
    ----------
    nights : sequence of Night
        At least one.
    failed : sequence of NoNight
        What could not be read, and why.
    made : str
        When the page is made, as people read it.
    """
    said = f'<p class="dim">made {escape(made)}</p>' if made else ""
    lost = _failures(failed)
    if len(nights) == 1 and not failed:
        title = f"Report: {harmless(nights[0].patient, 128)}"
        head = f"<header><h1>{escape(title)}</h1>{said}</header>"
        return whole_page(title, head + _body(nights[0]), STYLE)
    ordered = sorted(nights, key=worse_first)
    told = ordered[:MOST_SECTIONS]
    title = f"Report: {len(nights):,} patients"
    sections = "".join(
        f'<section class="patient" id="p{number}"><header><h2>{_text(one.patient, 128)}</h2>'
        f'<p class="dim"><a href="#all">all patients</a></p></header>{_body(one)}</section>'
        for number, one in enumerate(told, 1)
    )
    head = f'<header><h1 id="all">{title}</h1>{said}</header>'
    return whole_page(title, f"{head}{lost}{_cohort(ordered)}{sections}", STYLE)


def worse_first(night: Night) -> tuple[float, ...]:
    """Return what sorts nights: high alarms an hour, medium ones, all, time that is unreadable."""
    return (
        -night.per_hour("high"),
        -night.per_hour("medium"),
        -night.per_hour("low"),
        -night.unreadable_s,
    )


def _text(text: str, most: int = 300) -> str:
    return escape(harmless(text, most))


def _failures(failed: Sequence[NoNight]) -> str:
    if not failed:
        return ""
    rows = "".join(f"<li>{_text(one.source, 200)}: {_text(one.why, 500)}</li>" for one in failed)
    return f'<section class="failed"><h2>Not in this report</h2><ul>{rows}</ul></section>'


def _cohort(nights: Sequence[Night]) -> str:
    rows = "".join(_cohort_row(number, one) for number, one in enumerate(nights, 1))
    more = f"<p class=dim>Below: the worst {MOST_SECTIONS}.</p>"
    said = more if len(nights) > MOST_SECTIONS else ""
    return (
        '<section><h2>Worst first</h2><div class="scroll"><table class="cohort"><thead><tr>'
        f"<th>patient</th><th>{badge('high')} an hour</th><th>{badge('medium')} an hour</th>"
        "<th>heart rate</th><th class=left>most frequent alarms</th><th>anomalous beats</th>"
        "<th>families</th><th>not acknowledged</th><th>readable</th><th>length</th>"
        f"</tr></thead><tbody>{rows}</tbody></table></div>{said}</section>"
    )


def _cohort_row(number: int, night: Night) -> str:
    trend = night.trend
    rate = "" if trend is None else f"<b>{trend.median_bpm:.0f}</b>"
    spark = f'<div class="plot spark">{small_trend(trend, night.length_s)}</div>' if trend else ""
    name = _text(night.patient, 60)
    if number <= MOST_SECTIONS:
        name = f'<a href="#p{number}">{name}</a>'
    cells = (
        f"<th>{name}</th>",
        _counted(night, "high"),
        _counted(night, "medium"),
        f'<td><div class="rated">{rate}{spark}</div></td>',
        f"<td class=left>{_most_frequent(night)}</td>",
        f"<td>{_anomalous(night)}</td>",
        f"<td>{night.n_families or '·'}</td>",
        f"<td>{night.n_unseen or '·'}</td>",
        f"<td>{_share(night)}</td>",
        f"<td>{clock(night.length_s, 0)}</td>",
    )
    return f"<tr>{''.join(cells)}</tr>"


def _counted(night: Night, level: str) -> str:
    per_hour = night.per_hour("high" if level == "high" else "medium")
    if not per_hour:
        return "<td>·</td>"
    share = min(1.0, (per_hour / 10) ** 0.5)
    return f'<td class="{level}" style="--share:{share:.2f}">{per_hour:.1f}</td>'


def _most_frequent(night: Night) -> str:
    kinds = sorted(one.kind for one in night.alarms if one.kind in ALARM_KINDS)
    counted = sorted(((len([*of]), kind) for kind, of in groupby(kinds)), reverse=True)
    return ", ".join(f"{kind.replace('_', ' ')} {n:,}x" for n, kind in counted[:2]) or "·"


def _share(night: Night) -> str:
    return f"{100 * night.readable_s / night.length_s:.1f} %"


def _anomalous(night: Night) -> str:
    if not night.beats:
        return "·"
    if night.is_unfit:
        return "the model does not fit"
    return f"{night.anomalous:,} ({100 * night.anomalous / night.beats:.1f} %)"


def _body(night: Night) -> str:
    parts = [
        _who(night),
        _tiles(night),
        f"<section><h3>Over the night</h3>{overview(night)}{_trend_says(night)}</section>",
        f"<section><h3>Alarms an hour, by kind</h3>{hourly_table(night)}</section>",
        _families(night),
        _alerts(night),
        '<div class="pair">',
        _technical(night),
        _acts(night),
        "</div>",
        _figures(night),
    ]
    return "".join(parts)


def _who(night: Night) -> str:
    fs = f" at {night.fs_hz:g} Hz" if night.fs_hz else ""
    leads = named_leads(night.leads) if night.leads else "leads not known"
    said = [f"record {_text(night.record, 128)}", _text(f"{leads}{fs}", 400)]
    said.append(f"from {_text(night.source, 200)}")
    if night.published:
        first, last = (_moment(night.published[place]) for place in (FIRST, LAST))
        said.append(f"alerts published {first} to {last} UTC")
    return f'<p class="who">{" · ".join(said)}</p>'


def _moment(wall_time: str) -> str:
    return _text(wall_time.replace("T", " ").split(".")[0], 40)


def _tiles(night: Night) -> str:
    rate = "·" if night.trend is None else f"{night.trend.median_bpm:.0f}"
    n = {level: sum(one.priority == level for one in night.alarms) for level in ("high", "medium")}
    unseen = f"{night.n_unseen} not acknowledged" if night.n_unseen else "of high priority"
    high, medium = (level if n[level] else "" for level in ("high", "medium"))
    unfit = "; the model does not fit, learn the patient (--learn 5:00)" if night.is_unfit else ""
    readable = f"{clock(night.readable_s, 0)} of {clock(night.length_s, 0)}"
    tiles = [
        _tile("readable", _share(night), readable),
        _tile("heart rate", rate, "a minute, median"),
        _tile("high alarms", f"{n['high']:,}", unseen, high),
        _tile(
            "medium alarms", f"{n['medium']:,}", f"{night.per_hour('medium'):.1f} an hour", medium
        ),
        _tile("anomalous beats", f"{night.anomalous:,}", f"of {night.beats:,}{unfit}"),
        _tile(
            "families", f"{night.n_families:,}" if night.n_families else "·", "of anomalous beats"
        ),
    ]
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _tile(name: str, value: str, more: str, level: str = "") -> str:
    said = f"<small>{name}</small><b>{value}</b><small>{more}</small>"
    return f'<div class="tile {level}">{said}</div>'


def _trend_says(night: Night) -> str:
    if night.trend_says:
        return f'<p class="dim">{escape(night.trend_says)}</p>'
    return "" if night.trend is not None else '<p class="dim">No heart rate could be read.</p>'


def _families(night: Night) -> str:
    if not night.n_families:
        return ""
    tiles = "".join(map(_family, night.families))
    more = night.n_families - len(night.families)
    rest = f'<p class="dim">and {more:,} rarer ones</p>' if more > 0 else ""
    return (
        "<section><h3>Families: anomalous beats that look alike</h3>"
        f'<div class="families">{tiles}</div>{rest}</section>'
    )


def _family(family: FamilyStatus) -> str:
    shape = np.array(family.shape, np.float64)
    at = np.linspace(0, WIDE, len(shape)) if len(shape) > 1 else np.zeros(len(shape))
    word = {"normal": "called normal", "always": "always alerts"}.get(family.word, "")
    name = "normal" if family.word == "normal" else "beat"
    heights = scaled(shape, -SHAPE_PEAK, SHAPE_PEAK)
    mean = drawing([across(50, "grid"), line(at, heights, name)], f"Mean beat of {family.number}")
    said = " · ".join(filter(None, [word, "" if family.heard else "began no alert"]))
    return (
        f'<figure><div class="plot family">{mean}</div><figcaption><b>family {family.number}</b> '
        f"{counted(family.beats, 'beat', ',')}{f'<br>{said}' if said else ''}</figcaption></figure>"
    )


def _alerts(night: Night) -> str:
    if not night.drawn:
        return ""
    cards = "".join(map(drawn_alert, night.drawn))
    n = len(night.drawn)
    head = "The most telling alert" if n == 1 else f"The {n} most telling alerts"
    return (
        f"<section><h3>{head}</h3><p class=dim>One of each named alarm and of each family before "
        f'a second, the worst first.</p><div class="alerts">{cards}</div></section>'
    )


def _technical(night: Night) -> str:
    if not night.technical:
        return "<section><h3>Technical time</h3><p>There was none.</p></section>"
    rows = "".join(_technical_rows(night.technical))
    unread = clock(night.unreadable_s, 0)
    return (
        "<section><h3>Technical time</h3><table><thead><tr><th>what</th><th>times</th>"
        f"<th>lasted</th><th>longest</th></tr></thead><tbody>{rows}</tbody></table>"
        f'<p class="dim">unreadable {unread} in all; what comes at once counts once</p></section>'
    )


def _technical_rows(spans: Iterable[Span]) -> Iterator[str]:
    ordered = sorted(spans, key=lambda one: one.kind)
    for kind, of in groupby(ordered, key=lambda one: one.kind):
        lasted = [one.end_s - one.begin_s for one in of]
        still = "" if is_unreadable([kind]) else " (read all the same)"
        yield (
            f"<tr><th>{escape(kind.replace('_', ' '))}{still}</th><td>{len(lasted):,}</td>"
            f"<td>{clock(sum(lasted), 0)}</td><td>{clock(max(lasted), 0)}</td></tr>"
        )


def _acts(night: Night) -> str:
    head = "<section><h3>Acknowledged and marked</h3>"
    if not night.acts:
        return f"{head}<p>Nobody acknowledged or marked anything.</p></section>"
    rows = "".join(
        f"<tr><td>{_moment(one.wall_time)}</td><td>{clock(one.time_s, 0)}</td>"
        f"<td class=left>{_text(one.what.replace('_', ' '), 60)}</td>"
        f"<td class=left>{_text(one.said, 20)}</td>"
        f"<td class=left>{_text(one.by, 64) or '–'}</td></tr>"
        for one in night.acts
    )
    more = night.n_acts - len(night.acts)
    rest = f'<p class="dim">the first {MOST_ACTS:,}; and {more:,} more</p>' if more > 0 else ""
    return (
        f'{head}<div class="scroll"><table><thead><tr><th>UTC</th><th>record</th><th>what</th>'
        f"<th></th><th>by</th></tr></thead><tbody>{rows}</tbody></table></div>{rest}</section>"
    )


def _figures(night: Night) -> str:
    rows = [("patient", night.patient), ("record", night.record)]
    rows.append(("leads", joined_leads(night.leads) or "not known"))
    rows += night.figures
    told = facts_table((name, harmless(value, 500)) for name, value in rows)
    return f'<section class="figures"><h3>Figures of the run</h3>{told}</section>'
