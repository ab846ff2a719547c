"""One patient's night, gathered from alerts in the order in which they were published. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from monitor.journal.kept_beats import LeadBeat
from monitor.offline.alarm_signal import AlarmSignal
from monitor.offline.report.telling import Telling
from monitor.offline.report.trend import RhythmTrend
from monitor.plain import MAX_TIME_S
from monitor.wire.messages import (
    Alert,
    AlertKind,
    FamilyStatus,
    Priority,
    Technical,
    began_s,
    is_unreadable,
)

MOST_ACTS = 1000  # kept of what persons did; the page says how many there were


class Span(NamedTuple):
    """An alert or a technical alert from its beginning to its end, in seconds of the record."""

    kind: str  # an AlertKind, or what a technical alert is about
    begin_s: float
    end_s: float
    priority: Priority  # the highest it had; of technical ones `low`
    is_open: bool  # nothing says that it ended


class Act(NamedTuple):
    """What a person did: acknowledged an alert, or said a word about a family."""

    wall_time: str
    time_s: float
    what: str  # the kind of the alert, or "family"
    said: str
    by: str


class DrawnAlert(NamedTuple):
    """An alert to be drawn: with the beats kept around it, or the signal around a named alarm."""

    alert: Alert
    around: tuple[LeadBeat, ...] = ()
    signal: AlarmSignal | None = None


@dataclass(frozen=True, eq=False)
class Night:
    """What is told of one patient.

    Attributes
    ----------
    patient, record, source : str
        As messages name them, and the file that it is told from.
    leads : tuple of str
    fs_hz : float or None
        None where nothing says so.
    first_s, last_s : float
        Where the signal that was monitored begins and ends, in seconds of the record.
    alarms, technical : tuple of Span
        In the order of their beginnings.
    acts : tuple of Act
    n_acts : int
        All there were.
    n_unseen : int
        High alerts that nobody acknowledged.
    families : tuple of FamilyStatus
        The most frequent.
    n_families : int
    drawn : tuple of DrawnAlert
        The most telling alerts, the most urgent first.
    trend : RhythmTrend or None
    trend_says : str
        What the trend is made of, or why there is none.
    figures : tuple of (str, str)
        Of the run: names and values.
    beats, anomalous : int
    published : tuple of str
        Wall times of the first and the last message; empty where there is none.
    """

    patient: str
    record: str
    source: str
    leads: tuple[str, ...] = ()
    fs_hz: float | None = None
    first_s: float = 0.0
    last_s: float = 0.0
    alarms: tuple[Span, ...] = ()
    technical: tuple[Span, ...] = ()
    acts: tuple[Act, ...] = ()
    n_acts: int = 0
    n_unseen: int = 0
    families: tuple[FamilyStatus, ...] = ()
    n_families: int = 0
    drawn: tuple[DrawnAlert, ...] = ()
    trend: RhythmTrend | None = None
    trend_says: str = ""
    figures: tuple[tuple[str, str], ...] = ()
    beats: int = 0
    anomalous: int = 0
    published: tuple[str, ...] = ()

    @property
    def length_s(self) -> float:
        """Length of the signal; above 0."""
        return max(self.last_s - self.first_s, 1.0)

    @property
    def is_unfit(self) -> bool:
        """Whether for most of the time the model fitted none of the leads."""
        unfit = covered_s(one for one in self.technical if one.kind == "model_unfit")
        return unfit > self.length_s / 2

    @property
    def unreadable_s(self) -> float:
        """Time in which the signal could not be judged."""
        return covered_s(one for one in self.technical if is_unreadable([one.kind]))

    @property
    def readable_s(self) -> float:
        """Time in which it could."""
        return max(0.0, self.length_s - self.unreadable_s)

    def per_hour(self, *priorities: Priority) -> float:
        """Return the alarms of these priorities an hour of readable signal."""
        n = sum(one.priority in priorities for one in self.alarms)
        return n / max(self.readable_s / 3600, 1 / 60)


@dataclass
class NightFold:
    """Takes one patient's alerts in; `alarms` and the others are what has come of them so far."""

    alarms: list[Span] = field(default_factory=list)
    technical: list[Span] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    n_acts: int = 0
    telling: Telling = field(default_factory=Telling)
    published: tuple[str, ...] = ()
    record: str = ""
    lead: str = ""
    fs_hz: float | None = None  # as an alert's sample and time say
    reached_s: float = 0.0
    _open: dict[str, int] = field(default_factory=dict)  # kind: place in its list
    _unseen: Counter[str] = field(default_factory=Counter)  # high alerts of each kind
    _high: set[int] = field(default_factory=set)  # places of those that are open

    def take(self, message: Alert | Technical) -> None:
        """Take the next message in."""
        self.published = (*self.published[:1], message.wall_time)
        self.record, self.lead = message.record, message.lead
        at_s = _bounded(message.time_s)
        self.reached_s = max(self.reached_s, at_s)
        if message.sample and at_s > 0:
            self.fs_hz = round(message.sample / at_s, 3)
        if isinstance(message, Technical):
            self._take_technical(message)
        elif message.state in ("acknowledged", "marked"):
            self._take_act(message)
        else:
            self._take_alert(message)

    @property
    def n_unseen(self) -> int:
        """High alerts that nobody acknowledged: an acknowledgement is of all of its kind so far."""
        return self._unseen.total()

    def spans(self, end_s: float) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
        """Return alarms and technical alerts; what is open lasts to the end."""
        return (_ended(self.alarms, end_s), _ended(self.technical, end_s))

    def _take_alert(self, alert: Alert) -> None:
        at_s = _bounded(alert.time_s)
        begin_s = _bounded(began_s(alert)) if alert.kind == "anomalous_beats" else at_s
        if alert.state == "onset":
            self._begin(self.alarms, alert.kind, begin_s, "low")
        place = self._open.get(alert.kind)
        if place is None:  # its beginning is no longer in the journal
            place = self._begin(self.alarms, alert.kind, begin_s, "low")
        span = self.alarms[place]
        if alert.state != "cleared" and span.priority == "low":
            span = span._replace(priority=alert.priority)
        if alert.priority == "high" and place not in self._high:
            self._high.add(place)
            self._unseen[alert.kind] += 1
            span = span._replace(priority="high")
        if alert.state == "cleared":
            end_s = at_s
            if alert.kind == "anomalous_beats":
                end_s = _bounded(begin_s + alert.duration_s)
            del self._open[alert.kind]
            self._high.discard(place)
            span = span._replace(end_s=max(end_s, span.begin_s), is_open=False)
        self.alarms[place] = span
        self.telling.take(alert)

    def _take_technical(self, technical: Technical) -> None:
        event, at_s = technical.event, _bounded(technical.time_s)
        if technical.state == "onset":
            self._begin(self.technical, event, at_s, "low")
        elif event in self._open:
            place = self._open.pop(event)
            span = self.technical[place]
            self.technical[place] = span._replace(end_s=max(at_s, span.begin_s), is_open=False)

    def _take_act(self, alert: Alert) -> None:
        self.n_acts += 1
        if alert.state == "marked":
            what, said = f"family {alert.family}", str(alert.word or "taken back")
        else:
            what, said = alert.kind, "acknowledged"
            del self._unseen[alert.kind]
        if len(self.acts) < MOST_ACTS:
            self.acts.append(Act(alert.wall_time, _bounded(alert.time_s), what, said, alert.by))

    def _begin(self, spans: list[Span], kind: str, begin_s: float, priority: Priority) -> int:
        """Begin a span; one of its kind that is open ended unheard."""
        before = self._open.get(kind)
        if before is not None:
            spans[before] = spans[before]._replace(
                end_s=max(begin_s, spans[before].begin_s), is_open=False
            )
        self._open[kind] = len(spans)
        spans.append(Span(kind, begin_s, begin_s, priority, True))
        return self._open[kind]


def _bounded(time_s: float) -> float:
    """Return a time that can be drawn: a damaged message may claim any."""
    return min(max(time_s, 0.0), MAX_TIME_S) if math.isfinite(time_s) else 0.0


def _ended(spans: Iterable[Span], end_s: float) -> tuple[Span, ...]:
    ended = [one._replace(end_s=max(end_s, one.begin_s)) if one.is_open else one for one in spans]
    return tuple(sorted(ended, key=lambda one: one.begin_s))


def covered_s(spans: Iterable[Span]) -> float:
    """Return how long any of the spans lasted: what lasts twice counts once.

    Examples
    --------
    >>> covered_s([Span("noisy", 0, 10, "low", False), Span("no_beat", 5, 12, "low", False)])
    12.0
    """
    total_s = reached_s = 0.0
    for one in sorted(spans, key=lambda span: span.begin_s):
        total_s += max(0.0, one.end_s - max(one.begin_s, reached_s))
        reached_s = max(reached_s, one.end_s)
    return total_s


class KindRow(NamedTuple):
    """How often one kind of alarm came, in each column of hours and in all."""

    kind: AlertKind
    counts: tuple[int, ...]
    per_hour: float
    total_s: float
    longest_s: float
    priority: Priority


MOST_COLUMNS = 24
_HOURS = (1, 2, 3, 4, 6, 8, 12, 24)


def column_hours(length_s: float) -> int:
    """Return how many hours a column of the table covers, so that there are 24 at most.

    Examples
    --------
    >>> column_hours(24 * 3600), column_hours(60), column_hours(48 * 3600)
    (1, 1, 2)
    """
    hours = length_s / 3600
    fitting = (one for one in _HOURS if hours <= MOST_COLUMNS * one)
    return next(fitting, int(-(-hours // MOST_COLUMNS)))


def by_kind(night: Night, order: Sequence[AlertKind]) -> list[KindRow]:
    """Return a row for each kind of alarm that came, in the order given."""
    width_s = 3600 * column_hours(night.length_s)
    n_columns = max(1, int(-(-night.length_s // width_s)))
    rows: list[KindRow] = []
    for kind in order:
        spans = [one for one in night.alarms if one.kind == kind]
        if not spans:
            continue
        counts = [0] * n_columns
        for one in spans:
            counts[min(n_columns - 1, max(0, int((one.begin_s - night.first_s) // width_s)))] += 1
        lasted = [one.end_s - one.begin_s for one in spans]
        highest = next(
            one for one in ("high", "medium", "low") if one in {span.priority for span in spans}
        )
        per_hour = len(spans) / max(night.readable_s / 3600, 1 / 60)
        rows.append(
            KindRow(kind, tuple(counts), per_hour, sum(lasted), max(lasted), _priority(highest))
        )
    return rows


def _priority(name: str) -> Priority:
    return "high" if name == "high" else "medium" if name == "medium" else "low"
