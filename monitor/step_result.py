"""What one step of a stage led to: the shape that producer, segmenter and consumer share.

    step(messages, now) -> StepResult

A step decides; the host's loop has its result passed on: to the next stage, to the journal, to
the world. `SampleSegmenter` and `Engine` are the pure parts: another host may step them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from monitor.journal.kept_beats import KeptBeat
from monitor.journal.writer import Progress
from monitor.wire.messages import Alert, Technical, Wave

Outgoing = TypeVar("Outgoing")


@dataclass
class StepResult(Generic[Outgoing]):
    """What goes on, in order, and what of it must be committed first.

    Attributes
    ----------
    messages : list
        For the next stage, or, from the consumer, for the world.
    alerts : list of Alert or Technical
        Those of the messages that are journaled before they go out.
    progress : list of Progress
        How far patients have come, to be committed with their alerts.
    kept : list of KeptBeat
        Beats beside alerts, to be committed with them.
    waves : list of Wave
        Stretches of signal for the views that are open.
    lag_s : float
        How long the message that waited longest had waited, in seconds.
    finished : bool
        Whether nothing else will come.
    """

    messages: list[Outgoing] = field(default_factory=list)
    alerts: list[Alert | Technical] = field(default_factory=list)
    progress: list[Progress[Any]] = field(default_factory=list)
    kept: list[KeptBeat] = field(default_factory=list)
    waves: list[Wave] = field(default_factory=list)
    lag_s: float = 0.0
    finished: bool = False
