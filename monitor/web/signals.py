"""The newest signal of the patients that browsers show, as bytes that browsers draw. Pure.

A chunk is a header and values, little-endian, padded to four bytes:

    u32 patient    the tile's number
    u8  lead       its place among the patient's leads
    u8  0
    u16 n          values
    f32 fs_hz      of the values
    f64 first      index of the first value, counted at fs_hz from the record's start
    i16 values[n]  microvolts; -32768 where the signal is missing

A frame is chunks, end to end. Indices say where values belong: what comes twice is drawn once, what
a slow browser was not sent is a hole.
"""

from __future__ import annotations

import struct
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from monitor.wire.messages import Wave

KEPT_S = 10.0  # of signal, for a browser that begins to show a patient
MAX_CHUNKS = 128  # kept a lead: ten seconds at twelve a second
MISSING = -32768
MOST = 32767  # microvolts
_HEADER = struct.Struct("<IBBHfd")


@dataclass
class _Kept:
    """The newest chunks of one patient; each has a number that rises over all patients."""

    chunks: deque[tuple[int, bytes]] = field(default_factory=lambda: deque(maxlen=MAX_CHUNKS))


def chunk(
    patient: int, lead: int, fs_hz: float, first: int, values: Sequence[float | None]
) -> bytes:
    """Return a stretch of one lead, in millivolts, as a browser takes it."""
    microvolts = array("h", [_microvolts(value) for value in values])
    head = _HEADER.pack(patient, lead, 0, len(values), fs_hz, float(first))
    return head + microvolts.tobytes() + b"\0" * (2 * (len(values) % 2))


def _microvolts(value: float | None) -> int:
    if value is None or value != value:
        return MISSING
    return max(-MOST, min(MOST, round(value * 1000))) if abs(value) < MOST else MISSING


class Signals:
    """What was heard lately of the patients that are shown; bounded a patient.

    `since(patient, number)` is what a browser lacks that had everything up to this number.
    """

    def __init__(self) -> None:
        self.newest = 0  # number of the newest chunk of all patients
        self._kept: dict[int, _Kept] = {}

    def take(self, patient: int, wave: Wave, record_fs_hz: float, n_leads: int) -> None:
        """Keep a stretch of a patient's first leads, as many as are shown."""
        leads = [wave.values, *(one.values for one in wave.others)][:n_leads]
        kept = self._kept.setdefault(patient, _Kept())
        first = round(wave.sample * wave.fs_hz / record_fs_hz)
        parts = [
            chunk(patient, lead, wave.fs_hz, first, values)
            for lead, values in enumerate(leads)
            if values
        ]
        if parts:
            self.newest += 1
            if len(wave.values) >= KEPT_S * wave.fs_hz / 2:
                kept.chunks.clear()  # the past, as a new listener is sent it: all that was had
            kept.chunks.append((self.newest, b"".join(parts)))

    def keep(self, patients: set[int]) -> None:
        """Forget all others: what is kept of them would grow old and be drawn as new."""
        for patient in self._kept.keys() - patients:
            del self._kept[patient]

    def since(self, patient: int, number: int) -> Iterator[bytes]:
        """Yield the chunks of a patient behind a number, oldest first."""
        kept = self._kept.get(patient)
        if kept is not None:
            fresh = []
            for one, content in reversed(kept.chunks):
                if one <= number:
                    break
                fresh.append(content)
            yield from reversed(fresh)
