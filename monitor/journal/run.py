"""What a journal's run consists of, so that only the same run continues in it.

Resumed with another record, model, rule or threshold, the alerts would be those of no run at all.
Speed and endpoints may change: they do not touch the alerts.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from monitor.errors import JournalFailed
from monitor.wire.messages import Stream, joined_leads


class JournaledRun(msgspec.Struct, frozen=True):
    """All that decides which alerts a run raises."""

    streams: list[Stream]  # empty where the records are not known beforehand
    model: str  # identity of the checkpoint that patients begin with
    rules: str
    threshold: float | None
    learn_s: float | None
    false_alerts_per_hour: float
    verdict: str = "loss"  # with the identity of the evidence


def decode_run(content: bytes, journal: Path) -> JournaledRun:
    """Read what a journal holds about its run; JournalFailed if it cannot be read."""
    try:
        return msgspec.json.decode(content, type=JournaledRun)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise JournalFailed(
            f"{journal} is damaged: its run cannot be read ({error}); name a new file"
        ) from error


def difference(before: JournaledRun, now: JournaledRun) -> str | None:
    """Describe how two runs differ; None if one may continue the other."""
    if now.streams and before.streams != now.streams:  # a consumer alone knows of none
        return f"its records are {_listed(before)}, those given are {_listed(now)}"
    for name, option in _OPTIONS.items():
        was, wanted = getattr(before, name), getattr(now, name)
        if was != wanted:
            return f"{option} was {_shown(was)} and is now {_shown(wanted)}"
    return None


_OPTIONS = {
    "model": "the model",
    "rules": "the alert rule",
    "threshold": "--threshold",
    "learn_s": "--learn",
    "false_alerts_per_hour": "--false-alerts-per-hour",
    "verdict": "--verdict",
}


def _shown(value: str | float | None) -> str:
    return "not given" if value is None else str(value)


def _listed(run: JournaledRun) -> str:
    if not run.streams:
        return "unknown, as a consumer ran alone"
    return ", ".join(map(_described, run.streams[:5])) + (", …" if len(run.streams) > 5 else "")


def _described(stream: Stream) -> str:
    stop = "endless" if stream.n_samples is None else f"{stream.n_samples / stream.fs_hz:g} s"
    return (
        f"{stream.record} {joined_leads(stream.leads)} ({stream.fs_hz:g} Hz, "
        f"{stream.first_sample / stream.fs_hz:g} s to {stop}, {stream.digest or 'unread'})"
    )
