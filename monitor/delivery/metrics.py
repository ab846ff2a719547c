"""What a monitor counts of itself, as metrics: declared once, for scraping, a dashboard and rules.

`DECLARED` is the only list: the exporter, the Grafana dashboard, the alerting rules and
docs/METRICS.md are made of it. Names and units are those of Prometheus (seconds, `_total`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np

from monitor.wire.messages import Alert, BeatScored, Message, Status, Technical

PREFIX = "ecg_monitor_"
SCORES = (0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 100.0)  # bounds
MetricType = Literal["counter", "gauge", "histogram"]


class Declared(NamedTuple):
    """One metric.

    Attributes
    ----------
    name : str
        Without prefix; a counter's without `_total`.
    labels : tuple of str
        What its values are told apart by; patients are none, since a ward has thousands.
    unit : str
        As Grafana names it; empty for plain numbers.
    ill : str
        The condition, in PromQL, under which the monitor itself needs someone; empty for none.
    """

    name: str
    type: MetricType
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    ill: str = ""
    for_s: int = 30


DECLARED = (
    Declared("beats", "counter", "Beats that were found, with a verdict or without"),
    Declared("verdicts", "counter", "Beats that were judged", ("verdict",)),
    Declared("score", "histogram", "Scores of judged beats; above 1 a beat is anomalous"),
    Declared("alerts", "counter", "Alerts that began", ("kind", "priority")),
    Declared("technical_alerts", "counter", "Technical alerts that began", ("event",)),
    Declared("patients", "gauge", "Patients by state", ("state",)),
    Declared("beats_waiting", "gauge", "Beats that wait until a patient is learnt"),
    Declared(
        "lag_seconds", "gauge", "From the sending of samples to the verdict: the latest patient",
        unit="s", ill="{metric} > 1", for_s=10,
    ),
    Declared("speed_ratio", "gauge", "Signal time over real time since the start"),
    Declared(
        "heartbeat_age_seconds", "gauge", "Since the last heartbeat, which comes every second",
        unit="s", ill="{metric} > 5", for_s=5,
    ),
    Declared(
        "stage_age_seconds", "gauge", "Since a stage was last heard", ("stage",),
        unit="s", ill="{metric} > 5", for_s=10,
    ),
    Declared("stage_messages", "counter", "Messages that a stage took in", ("stage",)),
    Declared("stage_malformed", "counter", "Messages dropped as no messages", ("stage",),
             ill="increase({metric}[5m]) > 0"),
    Declared("stage_gaps", "counter", "Holes in what a stage received", ("stage",)),
    Declared("stage_dropped", "counter", "Samples or beats lost in holes and full queues",
             ("stage",), ill="increase({metric}[5m]) > 0"),
    Declared("stage_restarts", "counter", "Restarts of a stage", ("stage",),
             ill="increase({metric}[15m]) > 0", for_s=0),
    Declared("journal_failing", "gauge", "1 while alerts cannot be kept",
             ill="{metric} > 0", for_s=0),
    Declared("journal_newest", "gauge", "Number of the newest alert"),
    Declared("refused_clients", "counter", "Connections without keys that are authorised"),
    Declared("limited_requests", "counter", "Requests refused because of too many"),
    Declared("sink_alerts", "counter", "Alerts that a subscriber handed on", ("sink",)),
    Declared("sink_failed_tries", "counter", "Tries to hand an alert on that failed", ("sink",)),
    Declared("sink_given_up", "counter", "Alerts that a sink refused, and that were given up",
             ("sink",), ill="increase({metric}[5m]) > 0", for_s=0),
    Declared("sink_lost", "counter", "Alerts that were removed before a sink had them",
             ("sink",), ill="increase({metric}[5m]) > 0", for_s=0),
    Declared("sink_waiting", "gauge", "Alerts that wait for a sink", ("sink",)),
    Declared(
        "sink_failing_seconds", "gauge", "Since a sink has failed at the same alert", ("sink",),
        unit="s", ill="{metric} > 30", for_s=0,
    ),
)  # fmt: skip
BY_NAME = {one.name: one for one in DECLARED}


class Value(NamedTuple):
    """One value of a metric, with the values of its labels."""

    labels: tuple[str, ...]
    value: float


class Histogram(NamedTuple):
    """Counts up to each bound and to infinity, and the sum of all."""

    counts: tuple[int, ...]
    total: float


class Metrics:
    """The counts of one monitor; messages in, values out. One thread writes, another may read.

    Parameters
    ----------
    clock : callable
        Returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._status: Status | None = None
        self._heard_s = clock()
        self._beats = 0
        self._verdicts: Counter[str] = Counter()
        self._alerts: Counter[tuple[str, str]] = Counter()
        self._technical: Counter[str] = Counter()
        self._scores = np.zeros(len(SCORES) + 1, np.int64)
        self._scores_sum = 0.0

    def take(self, messages: Iterable[Message]) -> None:
        """Count what a step led to."""
        scores: list[float] = []
        for message in messages:
            match message:
                case BeatScored(score=score, anomalous=anomalous):
                    self._beats += 1
                    if score is None:
                        is_learnt = message.loss is not None and message.threshold is None
                        self._verdicts["learnt from" if is_learnt else "withheld"] += 1
                    else:
                        self._verdicts["anomalous" if anomalous else "normal"] += 1
                        scores.append(score)
                case Alert(state="onset", kind=kind, priority=priority):
                    self._alerts[kind, priority] += 1
                case Technical(state="onset", event=event):
                    self._technical[event] += 1
        if scores:
            self._scores += np.bincount(
                np.searchsorted(SCORES, scores), minlength=len(self._scores)
            )
            self._scores_sum += sum(scores)

    def heartbeat(self, status: Status) -> None:
        """Take note of a heartbeat."""
        self._status, self._heard_s = status, self._clock()

    def values(self) -> Iterator[tuple[Declared, Sequence[Value] | Histogram]]:
        """Yield each metric that is known, with its values now."""
        yield BY_NAME["beats"], [Value((), self._beats)]
        yield BY_NAME["verdicts"], [Value((v,), n) for v, n in sorted(self._verdicts.items())]
        counts = tuple(int(n) for n in np.cumsum(self._scores))
        yield BY_NAME["score"], Histogram(counts, self._scores_sum)
        yield BY_NAME["alerts"], [Value(k, n) for k, n in sorted(self._alerts.items())]
        yield (
            BY_NAME["technical_alerts"],
            [Value((event,), n) for event, n in sorted(self._technical.items())],
        )
        yield BY_NAME["heartbeat_age_seconds"], [Value((), self._clock() - self._heard_s)]
        if self._status is not None:
            yield from _of_status(self._status)


def _of_status(status: Status) -> Iterator[tuple[Declared, Sequence[Value]]]:
    ward = status.ward
    states = {
        "learning": ward.learning,
        "monitoring": ward.monitoring,
        "ended": ward.ended,
        "technical": ward.technical,
        "latched": ward.latched,
        "shed": ward.shed,
    }
    yield BY_NAME["patients"], [Value((state,), n) for state, n in states.items()]
    waiting = sum(0 if one.learning is None else one.learning.held for one in status.patients)
    yield BY_NAME["beats_waiting"], [Value((), waiting)]
    yield BY_NAME["lag_seconds"], [Value((), ward.lag_s)]
    if status.speed is not None:
        yield BY_NAME["speed_ratio"], [Value((), status.speed)]
    for name, of_stage in (
        ("stage_age_seconds", "age_s"),
        ("stage_messages", "messages_in"),
        ("stage_malformed", "malformed"),
        ("stage_gaps", "gaps"),
        ("stage_dropped", "dropped"),
        ("stage_restarts", "restarts"),
    ):
        values = [Value((one.stage,), getattr(one, of_stage)) for one in status.stages]
        yield BY_NAME[name], values
    yield BY_NAME["journal_failing"], [Value((), float(bool(status.journal_failing)))]
    yield BY_NAME["journal_newest"], [Value((), status.newest_seq)]
    yield BY_NAME["refused_clients"], [Value((), status.refused_clients)]
    yield BY_NAME["limited_requests"], [Value((), status.limited_requests)]
