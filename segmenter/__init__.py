"""Samples in, beats out: causal, with numpy and scipy alone, without I/O and clocks.

    from segmenter import BeatSpec, Segmenter

A name loads its module when it is first used: `import segmenter` itself loads nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segmenter.bank import BankSegmented, SegmenterBank
    from segmenter.beat import Beats, BeatSpec, Quality
    from segmenter.errors import InvalidSignal, InvalidSpec, InvalidState, SegmenterError
    from segmenter.stream import Segmented, Segmenter
    from segmenter.tracker import SignalEvent

__all__ = [
    "BankSegmented",
    "BeatSpec",
    "Beats",
    "InvalidSignal",
    "InvalidSpec",
    "InvalidState",
    "Quality",
    "Segmented",
    "Segmenter",
    "SegmenterBank",
    "SegmenterError",
    "SignalEvent",
]

_HOMES = {
    "BankSegmented": "segmenter.bank",
    "BeatSpec": "segmenter.beat",
    "Beats": "segmenter.beat",
    "InvalidSignal": "segmenter.errors",
    "InvalidSpec": "segmenter.errors",
    "InvalidState": "segmenter.errors",
    "Quality": "segmenter.beat",
    "Segmented": "segmenter.stream",
    "Segmenter": "segmenter.stream",
    "SegmenterBank": "segmenter.bank",
    "SegmenterError": "segmenter.errors",
    "SignalEvent": "segmenter.tracker",
}

if not TYPE_CHECKING:  # a type checker would take every name for one that is there

    def __getattr__(name: str) -> object:
        """Import a public name from its home when it is first asked for."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
