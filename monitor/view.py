"""Snapshot to Rich renderable: no socket, no clock, no markup."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from monitor.snapshot import Snapshot, selected
from monitor.text import harmless


def render(snapshot: Snapshot, width: int, height: int) -> RenderableType:
    """Return the screen of a snapshot, width columns by height rows at most."""
    patient = selected(snapshot)
    name = "waiting for a signal" if patient is None else harmless(patient.patient)
    line = Text(f"ecg-monitor  {name}", no_wrap=True, overflow="crop")
    line.truncate(max(width, 0))
    return Group(line) if height > 0 else Group()
