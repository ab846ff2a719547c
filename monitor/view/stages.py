"""The health of the stages, as one line or as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from monitor.text import harmless
from monitor.view.plots import ANOMALY, DIM, WITHHELD
from monitor.wire.messages import StageHealth

STALE_S = 5.0  # stages speak once a second; five missed are no hiccup


def stage_line(stages: Sequence[StageHealth], faults: Sequence[str] = ()) -> Text:
    """Return the health of all stages in one line; counters that are 0 are left out.

    What else is wrong with the monitor comes first: it must not fall off the edge.
    """
    line = Text(" ")
    for fault in faults:
        line.append(harmless(fault, 60), WITHHELD).append("   ")
    for stage in stages:
        is_silent = stage.age_s > STALE_S
        counted = _faults(stage)
        style = ANOMALY if is_silent else (WITHHELD if counted else DIM)
        sign = "x" if is_silent else ("!" if counted else "ok")
        n_messages = stage.messages_out if stage.stage == "producer" else stage.messages_in
        said = f"silent {stage.age_s:.0f} s" if is_silent else _count(n_messages)
        line.append(f"{stage.stage} {sign} {said}{counted}", style).append("   ")
    return line if stages or faults else Text(" no stage has reported yet", DIM)


def _faults(stage: StageHealth) -> str:
    """Return the counters of what went wrong."""
    counters = [
        ("malformed", stage.malformed),
        ("gaps", stage.gaps),
        ("dropped", stage.dropped),
        ("restarts", stage.restarts),
    ]
    return "".join(f" {name} {_count(n)}" for name, n in counters if n)


def stage_table(stages: Sequence[StageHealth], faults: Sequence[str] = ()) -> list[Text]:
    """Return the health of the stages, one a row, and what else is wrong with the monitor."""
    head = "stage            in      out malformed   gaps dropped restarts  heard"
    rows = [Text(head, DIM)]
    for stage in stages:
        is_silent = stage.age_s > STALE_S
        style = ANOMALY if is_silent else (WITHHELD if _faults(stage) else "")
        counts = f"{_count(stage.messages_in):>8} {_count(stage.messages_out):>8}"
        lost = f"{_count(stage.malformed):>9} {_count(stage.gaps):>6} {_count(stage.dropped):>7}"
        heard = f"{_count(stage.restarts):>8} {min(stage.age_s, 9999):>5.1f} s"
        rows.append(Text(f"{stage.stage:<10} {counts} {lost} {heard}", style))
    return [*rows, *(Text(harmless(fault, 70), WITHHELD) for fault in faults)]


def _count(n: int) -> str:
    """Return a count in six characters or less."""
    if n < 10_000:
        return str(n)
    return f"{n / 1e3:.1f}k" if n < 1_000_000 else f"{n / 1e6:.1f}M" if n < 10**9 else "many"
