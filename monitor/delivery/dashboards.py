"""The declared metrics as a Grafana dashboard, as alerting rules of Prometheus, and as a table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from monitor.delivery.metrics import DECLARED, PREFIX, Declared

COLUMNS, HEIGHT = 3, 7  # panels a row, and their height in Grafana's units; a row is 24 wide
WINDOW = "5m"  # of rates and quantiles
QUANTILES = (0.5, 0.9, 0.99)


def exposed_name(declared: Declared) -> str:
    """Return the name under which Prometheus knows a metric."""
    suffix = {"counter": "_total", "histogram": "_bucket", "gauge": ""}[declared.type]
    return f"{PREFIX}{declared.name}{suffix}"


def grafana_dashboard() -> str:
    """Return a dashboard to import into Grafana: a panel a metric, its data source chosen there."""
    panels = [_panel(number, one) for number, one in enumerate(DECLARED)]
    dashboard = {
        "title": "ECG monitor",
        "uid": "ecg-monitor",
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [{"name": "source", "label": "Prometheus", "type": "datasource",
                      "query": "prometheus"}]
        },
        "panels": panels,
    }  # fmt: skip
    return json.dumps(dashboard, indent=1)


def _panel(number: int, declared: Declared) -> dict[str, Any]:
    width = 24 // COLUMNS
    source = {"type": "prometheus", "uid": "${source}"}
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": declared.name.replace("_", " "),
        "description": declared.help,
        "datasource": source,
        "gridPos": {
            "x": number % COLUMNS * width,
            "y": number // COLUMNS * HEIGHT,
            "w": width,
            "h": HEIGHT,
        },
        "fieldConfig": {"defaults": {"unit": declared.unit or "short"}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + k), "datasource": source, "expr": expr, "legendFormat": legend}
            for k, (expr, legend) in enumerate(_queries(declared))
        ],
    }


def _queries(declared: Declared) -> Iterator[tuple[str, str]]:
    """Yield what a panel shows: rates of counters, quantiles of histograms, gauges as they are."""
    name = exposed_name(declared)
    legend = " ".join(f"{{{{{label}}}}}" for label in declared.labels) or declared.name
    match declared.type:
        case "counter":
            yield f"sum by ({', '.join(declared.labels)}) (rate({name}[{WINDOW}]))", legend
        case "histogram":
            for share in QUANTILES:
                quantile = f"histogram_quantile({share}, sum by (le) (rate({name}[{WINDOW}])))"
                yield quantile, f"{share:.0%} below"
        case _:
            yield name, legend


def alerting_rules() -> str:
    """Return a rules file for Prometheus: when the monitor itself needs someone.

    It speaks of the monitor alone. Alarms of patients go over the alert socket: a scrape comes too
    seldom, and may fail.
    """
    lines = ["groups:", "  - name: ecg-monitor", "    rules:"]
    rules = [
        ("EcgMonitorGone", 'absent(up{job="ecg-monitor"}) or up{job="ecg-monitor"} == 0', 15,
         "The monitor is not scraped: it is gone, or its port is not reached"),
        *((_rule_name(one), one.ill.format(metric=exposed_name(one)), one.for_s, one.help)
          for one in DECLARED if one.ill),
    ]  # fmt: skip
    for name, condition, for_s, text in rules:
        lines += [
            f"      - alert: {name}",
            f"        expr: {condition}",
            f"        for: {for_s}s",
            "        labels: {severity: page}",
            f"        annotations: {{summary: {json.dumps(text)}}}",
        ]
    return "\n".join(lines)


def _rule_name(declared: Declared) -> str:
    return "EcgMonitor" + "".join(part.capitalize() for part in declared.name.split("_"))


def table() -> str:
    """Return the metrics as a table in Markdown."""
    rows = ["| metric | labels | what it is |", "|---|---|---|"]
    for one in DECLARED:
        labels = ", ".join(f"`{label}`" for label in one.labels)
        rows.append(f"| `{exposed_name(one)}` | {labels} | {one.help} |")
    return "\n".join(rows)
