"""The header of an EDF, EDF+, BDF or BDF+ file, checked before a sample is read.

Specifications: Kemp et al. 1992 (EDF), Kemp and Olivan 2003 (EDF+), BioSemi (BDF: 24-bit samples).
Text that is not ASCII is read as UTF-8 or, where it is none, as Latin-1.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from monitor.errors import RecordError
from monitor.sources.record_file import FileLead
from monitor.sources.units import millivolts_per

EDF_MAGIC, BDF_MAGIC = b"0       ", b"\xffBIOSEMI"
FIXED_BYTES, SIGNAL_BYTES = 256, 256
MAX_SIGNALS = 4096
MAX_RECORD_BYTES = 1 << 28  # the specification says 61,440; some write a file as one record
ANNOTATIONS = ("EDF Annotations", "BDF Annotations")
_NUMBER = re.compile(r"[-+]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][-+]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class EdfSignal:
    """One signal of a header.

    Attributes
    ----------
    first_byte : int
        Where its samples begin in a data record.
    n_samples : int
        Of a data record.
    gain, offset : float
        A digital value d stands for (d + offset) * gain, in the signal's unit.
    """

    lead: FileLead
    first_byte: int
    n_samples: int
    gain: float
    offset: float


@dataclass(frozen=True)
class EdfHeader:
    """What a header says.

    Attributes
    ----------
    sample_bytes : int
        2 for EDF, 3 for BDF.
    n_records : int or None
        Data records; None where the recorder did not write how many.
    record_s : float
        Duration of a data record.
    is_discontinuous : bool
        EDF+D or BDF+D: data records say when they begin, and gaps may lie between them.
    annotations : EdfSignal or None
        The signal that says so.
    """

    path: Path
    sample_bytes: int
    header_bytes: int
    n_records: int | None
    record_s: float
    record_bytes: int
    is_discontinuous: bool
    signals: tuple[EdfSignal, ...]
    annotations: EdfSignal | None


def is_edf(head: bytes) -> bool:
    """Return whether a file begins as EDF or BDF."""
    if head[:8] not in (EDF_MAGIC, BDF_MAGIC) or len(head) < FIXED_BYTES:
        return False
    n_bytes = head[184:192].strip(b" \x00")
    return n_bytes.isdigit() and int(n_bytes) % 256 == 0


def read_header(path: Path) -> EdfHeader:
    """Read and check the header of a file.

    Raises
    ------
    RecordError
        If it is cut short, malformed or absurd.
    """
    where = str(path)
    try:
        with path.open("rb") as file:
            fixed = file.read(FIXED_BYTES)
            if not is_edf(fixed):
                raise RecordError(f"{where} is no EDF or BDF file")
            n_signals = _whole(where, "number of signals", fixed[252:256], 1, MAX_SIGNALS)
            fields = file.read(SIGNAL_BYTES * n_signals)
    except OSError as error:
        raise RecordError(f"{where} cannot be read: {error.strerror}") from error
    header_bytes = FIXED_BYTES + SIGNAL_BYTES * n_signals
    if len(fields) < SIGNAL_BYTES * n_signals:
        raise RecordError(f"{where} is truncated within its header; copy it again")
    if int(fixed[184:192].strip(b" \x00")) != header_bytes:
        raise RecordError(
            f"{where}: the header says it has {_text(fixed[184:192])} bytes, {n_signals} signals "
            f"take {header_bytes}; write the file again"
        )
    sample_bytes = 3 if fixed[:8] == BDF_MAGIC else 2
    kind = _text(fixed[192:236])
    n_records = _whole(where, "number of data records", fixed[236:244], -1, 1 << 40)
    record_s = _number(where, "duration of a data record", fixed[244:252])
    signals = _signals(where, fields, n_signals, sample_bytes, record_s)
    record_bytes = sample_bytes * sum(one.n_samples for one in signals)
    if not 0 < record_bytes <= MAX_RECORD_BYTES:
        raise RecordError(f"{where}: data records of {record_bytes} bytes are not read")
    notes = [one for one in signals if one.lead.name in ANNOTATIONS]
    return EdfHeader(
        path=path,
        sample_bytes=sample_bytes,
        header_bytes=header_bytes,
        n_records=None if n_records < 0 else n_records,
        record_s=record_s,
        record_bytes=record_bytes,
        is_discontinuous=kind.startswith(("EDF+D", "BDF+D")),
        signals=tuple(one for one in signals if one.lead.name not in ANNOTATIONS),
        annotations=notes[0] if notes else None,
    )


def _signals(
    where: str, fields: bytes, n_signals: int, sample_bytes: int, record_s: float
) -> list[EdfSignal]:
    def column(first: int, length: int, number: int) -> bytes:
        start = first * n_signals + length * number
        return fields[start : start + length]

    signals: list[EdfSignal] = []
    first_byte = 0
    for number in range(n_signals):
        name = _text(column(0, 16, number)) or f"signal {number}"
        what = f"signal {number} ({name})"
        n_samples = _whole(
            where, f"{what}: samples of a record", column(216, 8, number), 0, 1 << 27
        )
        units = _text(column(96, 8, number))
        refusal, gain, offset = "", 1.0, 0.0
        if name not in ANNOTATIONS:
            try:
                physical = [_number(where, what, column(at, 8, number)) for at in (104, 112)]
                digital = [_number(where, what, column(at, 8, number)) for at in (120, 128)]
                gain = (physical[1] - physical[0]) / (digital[1] - digital[0])
                offset = physical[1] / gain - digital[1]
            except RecordError:
                refusal = "its physical or digital range is no number"
            except ZeroDivisionError:
                refusal = "its physical or digital range is empty, so samples have no scale"
            if not refusal and not (record_s > 0 and n_samples):
                refusal = "it has no samples"
        fs_hz = n_samples / record_s if record_s > 0 else math.nan
        lead = FileLead(name, units, millivolts_per(units), fs_hz, refusal)
        signals.append(EdfSignal(lead, first_byte, n_samples, gain, offset))
        first_byte += sample_bytes * n_samples
    return signals


def _text(field: bytes) -> str:
    try:
        text = field.decode()
    except UnicodeDecodeError:
        text = field.decode("latin-1")
    text = text.replace("\x00", " ").strip()
    return "".join(one if one.isprintable() else "?" for one in text)


def _number(where: str, what: str, field: bytes) -> float:
    text = _text(field)
    if not _NUMBER.fullmatch(text):  # some write a comma
        raise RecordError(f"{where}: {what}: {text!r} is no number; write the file again")
    value = float(text.replace(",", "."))
    if not math.isfinite(value):
        raise RecordError(f"{where}: {what}: {text!r} is out of range; write the file again")
    return value


def _whole(where: str, what: str, field: bytes, least: int, most: int) -> int:
    value = _number(where, what, field)
    if value != int(value) or not least <= value <= most:
        raise RecordError(
            f"{where}: {what} is {_text(field)}, which is not {least} to {most}; write the file "
            "again"
        )
    return int(value)
