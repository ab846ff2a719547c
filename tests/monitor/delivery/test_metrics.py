"""Metrics: what is counted of messages, how it is read over HTTP, and what is made of the list."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path

import msgspec
import pytest

from monitor.delivery.dashboards import alerting_rules, exposed_name, grafana_dashboard, table
from monitor.delivery.delivery import Delivery
from monitor.delivery.metrics import BY_NAME, DECLARED, SCORES, Histogram, Metrics, Value
from monitor.delivery.metrics_server import parse_metrics, served
from monitor.errors import EndpointInUse, InvalidOption
from monitor.wire.messages import (
    BeatScored,
    Message,
    StageHealth,
    Status,
    Technical,
    WardCounts,
)
from tests.monitor.ports import free_port

DOCS = Path(__file__).parents[3] / "docs"


def beat(score: float | None, *, anomalous: bool = False, learnt: bool = False) -> BeatScored:
    return BeatScored(
        schema=1, patient="a", record="a", lead="II", sample=0, time_s=0.0, wall_time="",
        loss=None if score is None and not learnt else 1.0,
        threshold=None if learnt else 2.0,
        anomalous=anomalous, rr_before_ms=None, rr_after_ms=None, quality=[], score=score,
    )  # fmt: skip


def technical(state: str) -> Technical:
    of = {"schema": 1, "patient": "a", "record": "a", "lead": "II", "sample": 0, "time_s": 0.0}
    more = {"wall_time": "", "id": "", "seq": 1, "journal": "", "event": "noisy", "text": ""}
    return msgspec.convert({"type": "technical", "state": state, **of, **more}, Technical)


def status() -> Status:
    stage = StageHealth("producer", 7, 8, 1, 2, 3, 4, age_s=0.5)
    return Status(
        schema=1, newest_seq=9, journal="j", wall_time="", speed=2.0, patients=[], stages=[stage],
        model="m", ward=WardCounts(monitoring=5, lag_s=0.25), journal_failing="disk full",
    )  # fmt: skip


def values(metrics: Metrics) -> dict[str, object]:
    return {declared.name: found for declared, found in metrics.values()}


def test_beats_are_counted_by_their_verdict() -> None:
    """Those that were learnt from are no verdicts."""
    metrics = Metrics()
    metrics.take([beat(0.4), beat(3.0, anomalous=True), beat(None), beat(None, learnt=True)])
    found = values(metrics)
    assert found["beats"] == [Value((), 4)]
    assert found["verdicts"] == [
        Value(("anomalous",), 1), Value(("learnt from",), 1), Value(("normal",), 1),
        Value(("withheld",), 1),
    ]  # fmt: skip
    scores = found["score"]
    assert isinstance(scores, Histogram)
    assert scores.counts[-1] == 2
    assert scores.counts[SCORES.index(1.0)] == 1
    assert scores.total == pytest.approx(3.4)


def test_alerts_are_counted_when_they_begin() -> None:
    """Not when they end."""
    metrics = Metrics()
    metrics.take([technical("onset"), technical("cleared")])
    assert values(metrics)["technical_alerts"] == [Value(("noisy",), 1)]


def test_a_heartbeat_says_how_the_monitor_is() -> None:
    """How old it is is told at the moment of reading."""
    now_s = 100.0
    metrics = Metrics(lambda: now_s)
    metrics.heartbeat(status())
    now_s = 103.0
    found = values(metrics)
    assert found["heartbeat_age_seconds"] == [Value((), 3.0)]
    assert found["stage_restarts"] == [Value(("producer",), 4)]
    assert found["journal_failing"] == [Value((), 1.0)]
    assert Value(("monitoring",), 5) in found["patients"]  # type: ignore[operator]


def test_each_declared_metric_has_a_value() -> None:
    """And none is there that is not declared; those of sinks are a subscriber's.

    A monitor has no partitions and no browsers.
    """
    metrics = Metrics()
    metrics.heartbeat(status())
    of_sinks = {declared.name for declared, _ in Delivery([], lambda text: None).values()}
    assert set(values(metrics)) == set(BY_NAME) - {"partitions", "browsers"} - of_sinks
    metrics.serve([""])
    metrics.browsers = 2
    assert {*values(metrics), *of_sinks} == {*BY_NAME}


def test_a_worker_s_parts_are_counted_together() -> None:
    """Patients and counts are summed; of lag, silence and ages the worst is told."""
    now_s = 0.0
    metrics = Metrics(lambda: now_s)
    metrics.serve(["1", "2"])
    now_s = 2.0
    metrics.heartbeat(status(), "1")
    now_s = 3.0
    late = msgspec.structs.replace(status(), ward=WardCounts(monitoring=2, lag_s=1.5))
    metrics.heartbeat(late, "2")
    found = values(metrics)
    assert Value(("monitoring",), 7) in found["patients"]  # type: ignore[operator]
    assert found["lag_seconds"] == [Value((), 1.5)]
    assert found["heartbeat_age_seconds"] == [Value((), 1.0)]
    assert found["stage_dropped"] == [Value(("producer",), 6)]
    assert found["stage_age_seconds"] == [Value(("producer",), 0.5)]
    assert found["journal_newest"] == [Value((), 18)]
    assert found["partitions"] == [Value((), 2)]


def test_counts_never_fall_when_a_part_goes_or_begins_anew() -> None:
    """Prometheus would take a fall for a restart of the process, and count all again."""
    metrics = Metrics()
    metrics.serve(["1", "2"])
    for part in ("1", "2"):
        metrics.heartbeat(status(), part)
    metrics.serve(["1"])
    assert values(metrics)["stage_dropped"] == [Value(("producer",), 6)]
    anew = msgspec.structs.replace(status(), stages=[StageHealth("producer", 1, 1, 0, 0, 1, 0)])
    metrics.heartbeat(anew, "1")
    assert values(metrics)["stage_dropped"] == [Value(("producer",), 7)]
    metrics.serve([])
    assert values(metrics)["stage_dropped"] == [Value(("producer",), 7)]


def test_a_worker_that_serves_nothing_is_not_ill() -> None:
    """No heartbeat is expected of it; of a part, from when it is served."""
    now_s = 0.0
    metrics = Metrics(lambda: now_s)
    metrics.serve([])
    assert "heartbeat_age_seconds" not in values(metrics)
    now_s = 50.0
    metrics.serve(["3"])
    now_s = 52.0
    assert values(metrics)["heartbeat_age_seconds"] == [Value((), 2.0)]


def test_who_does_not_judge_counts_no_beats() -> None:
    """The page's server hears those alone that somebody looks at."""
    assert not {"beats", "verdicts", "score"} & set(values(Metrics(judges=False)))


def test_prometheus_reads_them() -> None:
    """In its own format, until the block is left."""
    pytest.importorskip("prometheus_client", reason="the extra metrics is not installed")
    metrics, port = Metrics(), free_port()
    messages: list[Message] = [beat(0.4), beat(3.0, anomalous=True)]
    metrics.take(messages)
    metrics.heartbeat(status())
    url = f"http://127.0.0.1:{port}/metrics"
    with served(metrics, str(port)):
        text = urllib.request.urlopen(url, timeout=10).read().decode()
        with pytest.raises(EndpointInUse, match=str(port)), served(metrics, str(port)):
            pass
    lines = text.splitlines()
    assert 'ecg_monitor_verdicts_total{verdict="anomalous"} 1.0' in lines
    assert 'ecg_monitor_score_bucket{le="1"} 1.0' in lines
    assert 'ecg_monitor_score_bucket{le="+Inf"} 2.0' in lines
    assert 'ecg_monitor_stage_age_seconds{stage="producer"} 0.5' in lines
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url, timeout=10)


@pytest.mark.parametrize("text", ["", "0", "99999", "http", "host:", "1.5"])
def test_a_port_that_is_none_is_refused(text: str) -> None:
    """With an example of one."""
    with pytest.raises(InvalidOption, match="9464"):
        parse_metrics(text)


def test_the_dashboard_has_a_panel_a_metric() -> None:
    """None lies over another, and each asks for names that exist."""
    panels = json.loads(grafana_dashboard())["panels"]
    assert [one["description"] for one in panels] == [one.help for one in DECLARED]
    places = {(one["gridPos"]["x"], one["gridPos"]["y"]) for one in panels}
    assert len(places) == len(panels)
    asked = {name for one in panels for t in one["targets"]
             for name in re.findall(r"ecg_monitor_\w+", t["expr"])}  # fmt: skip
    assert asked == {exposed_name(one) for one in DECLARED}


def test_the_rules_ask_for_names_that_exist() -> None:
    """Each rule has a condition, a time and a text."""
    text = alerting_rules()
    names = set(re.findall(r"ecg_monitor_\w+", text))
    assert names == {exposed_name(one) for one in DECLARED if one.ill}
    assert text.count("- alert:") == text.count("expr:") == text.count("summary:")


def test_the_page_has_the_table() -> None:
    """docs/METRICS.md is kept by `ecg-monitor metrics`."""
    assert table() in (DOCS / "METRICS.md").read_text()
