"""EDF and BDF files as no library writes them: discontinuous, misspelt, cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class EdfLead:
    """One signal: digital samples, and how they are scaled."""

    label: str
    units: str | bytes
    physical: tuple[float, float]
    digital: tuple[int, int]
    samples: NDArray[np.int16]


def write_edf(
    path: Path,
    leads: Sequence[EdfLead],
    fs_hz: float,
    record_s: float,
    onsets_s: Sequence[float] | None,
    *,
    n_records: int | None = None,
    kind: bytes = b"EDF+D",
) -> None:
    """Write leads of one rate; with onsets of data records as `kind`, without as plain EDF."""
    per_record = round(fs_hz * record_s)
    n_held = len(leads[0].samples) // per_record
    labels = [one.label for one in leads]
    note_samples = 15 if onsets_s is not None else 0
    columns: list[list[bytes]] = [
        [name.encode().ljust(16) for name in labels],
        [b" " * 80 for _ in leads],
        [_units(one.units).ljust(8) for one in leads],
        [_number(one.physical[0]) for one in leads],
        [_number(one.physical[1]) for one in leads],
        [_number(one.digital[0]) for one in leads],
        [_number(one.digital[1]) for one in leads],
        [b" " * 80 for _ in leads],
        [_number(per_record) for _ in leads],
        [b" " * 32 for _ in leads],
    ]
    if note_samples:
        widths = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)
        texts = ("EDF Annotations", "", "", "-1", "1", "-32768", "32767", "", str(note_samples), "")
        for column, text, width in zip(columns, texts, widths, strict=True):
            column.append(text.encode().ljust(width))
    n_signals = len(columns[0])
    header = b"".join(
        (
            b"0       ",
            b"X X X X".ljust(80),
            b"Startdate X X X X".ljust(80),
            b"01.01.2600.00.00",
            _number(256 * (1 + n_signals)),
            (kind if note_samples else b"").ljust(44),
            _number(n_held if n_records is None else n_records),
            _number(record_s),
            str(n_signals).encode().ljust(4),
            *(field for column in columns for field in column),
        )
    )
    with path.open("wb") as file:
        file.write(header)
        for number in range(n_held):
            part = slice(number * per_record, (number + 1) * per_record)
            for lead in leads:
                file.write(lead.samples[part].astype("<i2").tobytes())
            if onsets_s is not None:
                file.write(
                    f"+{onsets_s[number]:.12g}\x14\x14".encode().ljust(2 * note_samples, b"\0")
                )


def _units(units: str | bytes) -> bytes:
    return units if isinstance(units, bytes) else units.encode("latin-1")


def _number(value: float) -> bytes:
    return f"{value:g}".encode().ljust(8)
