"""Sampling rate and length come from the record line alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.errors import RecordError
from monitor.sources.record_timing import RecordTiming, read_timing


def timing(folder: Path, text: str) -> RecordTiming:
    (folder / "r.hea").write_text(text, encoding="utf-8")
    return read_timing(folder / "r")


@pytest.mark.parametrize(
    ("text", "fs_hz", "n_frames"),
    [
        ("r 0 128 90000\n", 128.0, 90000),  # nsr2db: annotations alone
        ("\n# a comment\nr 2 250 1000\nr.dat 99 ???\n", 250.0, 1000),
        ("r 1 128 90000 1:00:00 22/02/89\nr.dat 16\n", 128.0, 90000),
        ("r/3 2 360/24(0) 650000\n", 360.0, 650000),
        ("r 1 2.5e2 1000\n", 250.0, 1000),
        ("r 1\n", 250.0, None),  # header(5): 250 where nothing is said
        ("r 1 250 0\n", 250.0, None),
        ("r 1 250 many\n", 250.0, None),
        ("r 1 250 99999999999999999999\n", 250.0, None),
        ("\ufeffr 1 250 1000\r\n", 250.0, 1000),
    ],
)
def test_the_record_line_says_both(
    tmp_path: Path, text: str, fs_hz: float, n_frames: int | None
) -> None:
    """Signal lines and dates are not looked at."""
    assert timing(tmp_path, text) == RecordTiming(fs_hz, n_frames)


@pytest.mark.parametrize("text", ["", "# only\n", "r\n", "r 1 0 10\n", "r 1 -5 10\n", "r 1 x 10\n"])
def test_a_header_without_a_rate_is_an_error(tmp_path: Path, text: str) -> None:
    """One line, with the file."""
    with pytest.raises(RecordError, match=r"r\.hea"):
        timing(tmp_path, text)


def test_a_header_that_is_missing_is_an_error(tmp_path: Path) -> None:
    """So is one that is a folder."""
    with pytest.raises(RecordError, match="cannot be read"):
        read_timing(tmp_path / "none")
    (tmp_path / "f.hea").mkdir()
    with pytest.raises(RecordError, match="not a regular file"):
        read_timing(tmp_path / "f")
