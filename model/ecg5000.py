"""Read ECG5000 files in their published forms: white space, tabs, commas, .arff and .ts."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.config import BEAT_SAMPLES
from model.errors import InvalidDataset

NORMAL = 1
CLASSES = {
    1: "normal",
    2: "R-on-T premature ventricular",
    3: "premature ventricular",
    4: "supraventricular premature or ectopic",
    5: "unclassifiable",
}
MAX_FILE_BYTES = 1 << 26  # ECG5000_TEST is 10 MB as text
MAX_LINE_LENGTH = 1 << 18  # 4,096 samples of up to 64 characters

Fields = tuple[str, list[str]]  # the label and the samples of one line, as text

_BETWEEN = re.compile(r"\s*[,\s]\s*")  # white space since 2018, commas in the archive of 2015


def read_ecg5000(
    path: str | Path, length: int = BEAT_SAMPLES
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Read labels and beats; the file's suffix says which form it has.

    Parameters
    ----------
    path : str or Path
        `.txt`, `.tsv`, `.csv` or no suffix (label first, white space or commas between), `.arff`
        (label last, commas between, after @data) or `.ts` (samples, colon, label, after @data).
        A byte-order mark in front is passed over.
    length : int
        Samples that every beat must have.

    Returns
    -------
    labels : np.ndarray, shape (n,), int64
        Classes 1 to 5; 1 is normal.
    beats : np.ndarray, shape (n, length), float32
        Beats in the file's order, not normalised further.

    Raises
    ------
    InvalidDataset
        If the file is missing, too large, of an unknown form, or a line of it is malformed; the
        message names the line.
    """
    path = Path(path)
    fields_of = _form_of(path)
    labels: list[int] = []
    beats: list[NDArray[np.float32]] = []
    for number, line in _data_lines(path, header=path.suffix.lower() in _WITH_HEADER):
        try:
            label, samples = fields_of(line)
            labels.append(_label(label))
            beats.append(_beat(samples, length))
        except ValueError as error:
            raise InvalidDataset(f"{path}, line {number}: {error}") from error
    if not labels:
        raise InvalidDataset(f"{path} holds no beats; download it again")
    return np.array(labels, dtype=np.int64), np.stack(beats)


def check_ecg5000(path: Path) -> None:
    """Raise InvalidDataset as `read_ecg5000` does, of what a file's first line and name tell."""
    _form_of(path)
    next(_lines(path), None)


def _form_of(path: Path) -> Callable[[str], Fields]:
    """Return what takes a line apart."""
    fields_of = _FORMS.get(path.suffix.lower())
    if fields_of is None:
        suffixes = ", ".join(filter(None, _FORMS))
        raise InvalidDataset(
            f"{path}: unknown form; ECG5000 comes as {suffixes}, or without suffix"
        )
    return fields_of


def _data_lines(path: Path, header: bool) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of each line that holds a beat."""
    in_header = header
    for number, line in enumerate(_lines(path), start=1):
        if not line or (header and line[0] in "#%"):
            continue
        if not in_header:
            yield number, line
        elif line[0] != "@":
            raise InvalidDataset(f"{path}, line {number}: values before @data")
        else:
            in_header = line.lower() != "@data"
    if in_header:
        raise InvalidDataset(f"{path} has no @data line; download it again")


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file without what is before and behind them, and without its mark."""
    try:
        size = path.stat().st_size
        if path.is_fifo() or path.is_char_device():
            raise InvalidDataset(
                f"{path} is not a file but a device, which may never end; name a file"
            )
        if size > MAX_FILE_BYTES:
            raise InvalidDataset(
                f"{path} has {size} bytes, more than the {MAX_FILE_BYTES} of any ECG5000 file; "
                "name another"
            )
        with path.open("rb") as file:
            mark = file.read(len(codecs.BOM_UTF16))
        encoding = "utf-16" if mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
        # What is no ASCII is no number: `float` would take digits of other scripts.
        with path.open(encoding=encoding, errors="replace", newline="\n") as text:
            while line := text.readline(MAX_LINE_LENGTH):
                yield line.encode("ascii", errors="replace").decode().strip()
    except OSError as error:
        raise InvalidDataset(f"{path}: cannot be read: {error.strerror or error}") from error


def _label_first(line: str) -> Fields:
    label, *samples = _BETWEEN.split(line)
    return label, samples


def _label_last(line: str) -> Fields:
    *samples, label = line.split(",")
    return label.strip().strip("'\""), samples


def _label_after_colon(line: str) -> Fields:
    series, colon, label = line.rpartition(":")
    if not colon:
        raise ValueError("no colon before the label")
    return label, series.split(",")


def _label(text: str) -> int:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"label {text[:20]!r} is not a number") from None
    if value not in CLASSES:
        raise ValueError(f"label {text[:20]!r} is not one of 1 to 5")
    return int(value)


def _beat(samples: list[str], length: int) -> NDArray[np.float32]:
    if len(samples) != length:
        raise ValueError(f"{len(samples)} samples instead of {length}")
    try:
        with np.errstate(over="ignore"):  # what overflows is infinite, and refused below
            beat = np.array([float(sample) for sample in samples]).astype(np.float32)
    except ValueError:
        bad = next(sample for sample in samples if not _is_number(sample))
        raise ValueError(f"sample {bad[:20]!r} is not a number") from None
    if not np.isfinite(beat).all():
        raise ValueError("a sample is NaN or infinite")
    return beat


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


_FORMS: dict[str, Callable[[str], Fields]] = {
    "": _label_first,
    ".txt": _label_first,
    ".tsv": _label_first,
    ".csv": _label_first,
    ".arff": _label_last,
    ".ts": _label_after_colon,
}
_WITH_HEADER = (".arff", ".ts")
