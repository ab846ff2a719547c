"""NumPy arrays as records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.errors import RecordError
from monitor.sources.kinds import open_record
from monitor.sources.source import SourceOptions

FULL = SourceOptions(fs_hz=250, units="mV")
WAVE = np.sin(np.arange(2500) / 20)


def saved(folder: Path, array: Any, **options: Any) -> Path:  # whatever NumPy takes
    path = folder / "ecg.npy"
    np.save(path, array, **options)
    return path


@pytest.mark.parametrize(
    "array",
    [
        WAVE,
        np.stack([WAVE, -WAVE]),
        np.stack([WAVE, -WAVE], axis=1),
        np.asfortranarray(np.stack([WAVE, -WAVE])),
        WAVE.astype(">f4"),
        np.round(WAVE).astype(np.int8),
        np.round(WAVE + 2).astype(np.uint64),
    ],
    ids=["one lead", "rows", "columns", "fortran", "big endian", "int8", "uint64"],
)
def test_leads_are_rows_or_columns_of_any_real_numbers(tmp_path: Path, array: Any) -> None:
    """The longer side is time."""
    with open_record(saved(tmp_path, array), FULL) as record:
        assert (record.leads, record.n_samples) == (("signal 0",), 2500)
        first = array if array.ndim == 1 else array[0] if len(array) == 2 else array[:, 0]
        assert np.array_equal(record.read(0, 2500)[0], first.astype(np.float64).astype(np.float32))


def test_infinity_is_missing(tmp_path: Path) -> None:
    """As is NaN."""
    wave = WAVE.copy()
    wave[[5, 6, 7]] = np.inf, -np.inf, np.nan
    with open_record(saved(tmp_path, wave), FULL) as record:
        assert np.flatnonzero(np.isnan(record.read(0, 100))).tolist() == [5, 6, 7]


class Harmful:
    """What would run code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("run",))


@pytest.mark.parametrize(
    ("array", "options", "said"),
    [
        (WAVE, SourceOptions(units="mV"), "holds numbers alone; add their sampling rate, such as"),
        (WAVE, None, "such as --fs 250, and the unit of its samples, such as --units mV"),
        (WAVE, SourceOptions(fs_hz=250), "does not say the unit of its samples; add --units mV"),
        (1000 * WAVE, FULL, "in mV its samples span 2e+03 mV"),
        (WAVE[:100], FULL, "is shorter than one beat"),
        (WAVE.astype(complex), FULL, "holds complex128, not real numbers"),
        (np.array(["a"] * 2500), FULL, "holds <U1, not real numbers"),
        (
            np.zeros((2, 3, 2500)),
            FULL,
            "has the shape (2, 3, 2500); (n,), (leads, n)",
        ),
        (np.zeros(0), FULL, "has the shape"),
        (np.zeros((100, 2500)), FULL, "of leads, 16 at most are read"),
    ],
    ids=str,
)
def test_what_is_no_record_is_said(
    tmp_path: Path, array: Any, options: SourceOptions | None, said: str
) -> None:
    """One line: what, where, what to do next."""
    with pytest.raises(RecordError) as caught:
        open_record(saved(tmp_path, array), options)
    assert said in str(caught.value)


def test_objects_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing of them is run."""
    path = saved(tmp_path, np.array([Harmful()] * 300, dtype=object), allow_pickle=True)
    with pytest.raises(RecordError, match="cannot be read as an array of numbers"):
        open_record(path, FULL)
    assert "run" not in capfd.readouterr().out


def test_an_array_that_is_cut_or_absurd_is_said(tmp_path: Path) -> None:
    """Before memory is taken for it."""
    path = saved(tmp_path, WAVE)
    content = path.read_bytes()
    for damaged in (
        content[:60],
        content[:1000],
        content.replace(b"(2500,)", b"(9" + b"9" * 14 + b",)"),
        content.replace(b"'descr'", b"'what!'"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(RecordError, match="cannot be read as an array of numbers") as caught:
            open_record(path, FULL)
        assert str(caught.value).isprintable()


def test_an_array_that_shrinks_while_it_is_read_is_said(tmp_path: Path) -> None:
    """A map of what is gone would kill the process."""
    path = saved(tmp_path, np.zeros(100_000))
    with open_record(path, SourceOptions(fs_hz=250, units="mV")) as record:
        with path.open("r+b") as file:
            file.truncate(1000)
        with pytest.raises(RecordError, match="has become shorter; copy it again"):
            record.read(50_000, 50_100)
