"""WFDB annotation files: their bytes, and how they come to their places whole."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import wfdb
from numpy.typing import NDArray

from monitor.errors import InvalidOption
from monitor.offline.address import Address
from monitor.offline.elsewhere import check_writable, make_folder, write_files
from monitor.offline.output_files import named
from monitor.offline.store import NotThere, Unreachable

GOOD_BEAT, DOUBTFUL_BEAT, ANOMALY = "N", "Q", "Q"
COMMENT = '"'  # of the record, not of a beat
NO_ANNOTATIONS = b"\0\0"  # the end mark alone; wfdb cannot write an empty file
_SUBTYPE_BITS = 127  # a signed byte in the file: all flags but LATE, which the delay tells


def beat_file(
    r_sample: NDArray[np.int64],
    judgeable: NDArray[np.bool_],
    quality: NDArray[np.uint16],
    delay_ms: NDArray[np.float32],
    fs_hz: float,
    channel: int = 0,
) -> bytes:
    """Return the bytes of a `.qrs` file of beats, each array of shape (n,).

    `channel` is the number of the signal in which they were found, as WFDB's detectors write it.
    """
    return annotation_bytes(
        r_sample,
        [GOOD_BEAT if good else DOUBTFUL_BEAT for good in judgeable],
        [f"delay_ms={delay:.0f}" for delay in delay_ms],
        fs_hz,
        subtypes=(quality & _SUBTYPE_BITS).astype(np.int64),
        channel=channel,
    )


def alarm_file(
    r_sample: NDArray[np.int64],
    loss: NDArray[np.floating],
    threshold: NDArray[np.float32],
    score: NDArray[np.float32],
    fs_hz: float,
    channel: int = 0,
) -> bytes:
    """Return the bytes of an `.alm` file; a score is NaN where evidence did not judge the beat."""
    notes = [loss_note(*each) for each in zip(loss, threshold, score, strict=True)]
    return annotation_bytes(r_sample, [ANOMALY] * len(r_sample), notes, fs_hz, channel=channel)


def loss_note(loss: float, threshold: float, score: float | None = None) -> str:
    """Return what is noted of an alerted beat; its score is NaN where evidence did not judge it."""
    weighed = "" if score is None or np.isnan(score) else f" score={score:.2f}"
    return f"loss={loss:.2f} threshold={threshold:.2f}{weighed}"


def annotation_bytes(
    samples: NDArray[np.int64],
    symbols: list[str],
    notes: list[str],
    fs_hz: float,
    subtypes: NDArray[np.int64] | None = None,
    channel: int = 0,
) -> bytes:
    """Return a WFDB annotation file's bytes; samples must rise or stay equal."""
    if not len(samples):
        return NO_ANNOTATIONS
    with tempfile.TemporaryDirectory(prefix="ecg-annotate-") as folder:
        wfdb.wrann(
            "all",
            "ann",
            samples,
            symbols,
            subtype=subtypes,
            chan=np.full(len(samples), channel),  # a byte: headers have at most 256 signals
            aux_note=notes,
            fs=int(fs_hz) if fs_hz.is_integer() else fs_hz,
            write_dir=folder,
        )
        return (Path(folder) / "all.ann").read_bytes()


def replace_files(folder: Path | Address, record: str, files: dict[str, bytes]) -> None:
    """Write all files of a record beside their places, then move them there.

    Raises
    ------
    OSError, Unreachable
        If that fails, on this machine or elsewhere.
    """
    if isinstance(folder, Address):
        write_files(folder, {f"{record}.{name}": content for name, content in files.items()})
        return
    with tempfile.TemporaryDirectory(dir=folder, prefix=".annotate-") as beside:
        for extension, content in files.items():
            with named(folder / f"{record}.{extension}"):
                (Path(beside) / extension).write_bytes(content)
        for extension in files:
            (Path(beside) / extension).replace(folder / f"{record}.{extension}")


def writable_folder(folder: Path) -> Path:
    """Make the folder if it is missing; InvalidOption if nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder.absolute()
    except OSError as error:
        raise InvalidOption(
            f"cannot write to {folder}: {error.strerror}; choose another"
        ) from error


def writable_place(out: Path | Address) -> Path | Address:
    """Do as `writable_folder`, wherever the folder is."""
    if not isinstance(out, Address):
        return writable_folder(out)
    try:
        make_folder(out)
        check_writable(out)
    except NotThere as error:
        raise InvalidOption(
            f"cannot write to {out}: there is no such bucket or folder; make it first"
        ) from error
    except Unreachable as error:
        raise InvalidOption(f"cannot write to {out}: {error}; choose another") from error
    return out


class GrowingAnnotations:
    """An annotation file that is whole after each `add`, whatever happens to its writer.

    Parameters
    ----------
    path : Path
        The file; one that is there goes on.
    fs_hz : float
        Sampling rate of its record.

    Attributes
    ----------
    last_sample : int
        Of the newest annotation; -1 before the first.
    """

    def __init__(self, path: Path, fs_hz: float) -> None:
        self._path = path
        self._fs_hz = fs_hz
        self.last_sample = -1
        if path.exists() and path.stat().st_size > len(NO_ANNOTATIONS):
            there = wfdb.rdann(str(path.with_suffix("")), path.suffix.removeprefix("."))
            self.last_sample = int(there.sample[-1]) if len(there.sample) else -1
        else:
            path.write_bytes(NO_ANNOTATIONS)

    def add(
        self,
        samples: NDArray[np.int64],
        symbols: list[str],
        notes: list[str],
        subtypes: NDArray[np.int64] | None = None,
    ) -> None:
        """Add annotations behind those that are there; their samples rise."""
        if not len(samples):
            return
        size = self._path.stat().st_size
        is_first = size == len(NO_ANNOTATIONS)
        # Times in the file are steps from one annotation to the next.
        content = annotation_bytes(
            samples - max(0, self.last_sample), symbols, notes, self._fs_hz, subtypes
        )
        if not is_first:
            content = content[self._preamble_bytes() :]
        with self._path.open("r+b", buffering=0) as file:  # over the end mark, at once
            file.seek(size - len(NO_ANNOTATIONS))
            file.write(content)
        self.last_sample = int(samples[-1])

    def _preamble_bytes(self) -> int:
        """Return how many bytes tell the sampling rate, which a file does once."""
        one = np.array([1], np.int64)
        told = annotation_bytes(one, ["N"], [""], self._fs_hz)
        return len(told) - 2 - len(NO_ANNOTATIONS)
