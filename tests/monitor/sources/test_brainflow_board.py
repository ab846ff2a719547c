"""BrainFlow's boards: the synthetic one, and recordings played by its playback board."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.errors import RecordError
from monitor.sources.kinds import open_live
from monitor.sources.source import LiveSource, SourceOptions
from tests.monitor.sources.conformance import Taken, take

pytest.importorskip("brainflow", reason="the extra [boards] is not installed")

FS_HZ = 250
ROWS, TIME_ROW = 32, 30  # of the synthetic board, as of its recordings
ALL_LEADS = SourceOptions(["all"])


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def board(opened: ExitStack, rest: str, options: SourceOptions = ALL_LEADS) -> LiveSource:
    source = open_live(f"brainflow:{rest}", options)
    opened.callback(source.close)
    return source


def recording(path: Path, seconds: float, gap_s: float) -> NDArray[np.float64]:
    """Write what a session recorded, with a gap in the middle; return its ECG in microvolts."""
    from brainflow.data_filter import DataFilter

    n = round(seconds * FS_HZ)
    rows = np.zeros((ROWS, n))
    rows[TIME_ROW] = 1.7e9 + np.arange(n) / FS_HZ
    rows[TIME_ROW, n // 2 :] += gap_s
    rows[1] = np.arange(n)
    rows[2] = -np.arange(n) / 8
    rows[2, 10] = np.nan
    DataFilter.write_file(rows, str(path), "w")
    return rows[1:3]


def test_the_synthetic_board_is_received() -> None:
    """Sixteen leads at 250 Hz, in millivolts, without a hole."""
    with ExitStack() as stack:
        source = board(stack, "synthetic")
        (stream,) = source.streams
        assert stream.fs_hz == FS_HZ
        assert len(stream.leads) == 16
        taken = take(source, FS_HZ, 5.0)
        assert taken.holes == []
        assert 0 < np.abs(taken.samples).max() < 20


def test_which_electrode_is_an_ecg_is_not_guessed(opened: ExitStack) -> None:
    """Of electrodes for everything the first is read, and the others are named."""
    source = board(opened, "synthetic", SourceOptions())
    assert source.streams[0].leads == ("ch1",)
    assert "not read: ch2" in source.warnings[0]


def test_every_sample_of_a_recording_comes_with_its_gap(tmp_path: Path, opened: ExitStack) -> None:
    """To the bit, in millivolts, NaN for NaN; the gap is as long as its timestamps say."""
    path = tmp_path / "session.csv"
    sent = recording(path, seconds=3, gap_s=1.5)
    source = board(opened, f"playback?file={path}&master_board=synthetic", SourceOptions(["0,1"]))
    taken: Taken = take(source, sent.shape[1], 15.0)
    expected = (sent * 1e-3).astype(np.float32)
    assert np.array_equal(taken.samples, expected[:, : taken.samples.shape[1]], equal_nan=True)
    assert taken.samples.shape[1] >= sent.shape[1] - 30, "what it sends behind its end may lack"
    (hole,) = taken.holes
    assert hole / FS_HZ == pytest.approx(1.5, abs=0.03)


@pytest.mark.parametrize(
    ("rest", "error"),
    [
        ("no-such", "no such board; there are .*synthetic"),
        ("synthetic?colour=red", "no parameter 'colour'; there are .*serial_port"),
        ("cyton?serial_port=/dev/no-such", "cannot be opened: UNABLE_TO_OPEN_PORT_ERROR"),
        ("cyton?timeout=soon", "timeout='soon' is no int"),
        ("playback?file=no-such.csv&master_board=synthetic", "INVALID_ARGUMENTS_ERROR"),
    ],
)
def test_what_cannot_be_opened_is_said_in_one_line(rest: str, error: str) -> None:
    """At once, with what to do."""
    began_s = time.monotonic()
    with pytest.raises(RecordError, match=error) as caught:
        open_live(f"brainflow:{rest}", SourceOptions())
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began_s < 9


def test_a_recording_of_another_board_is_said(tmp_path: Path) -> None:
    """BrainFlow itself opens it and stays silent (findings/brainflow_playback_silence.sh)."""
    recording(tmp_path / "session.csv", seconds=2, gap_s=0)
    with pytest.raises(RecordError, match=r"nothing came within 10 s.*master_board"):
        open_live(f"brainflow:playback?file={tmp_path}/session.csv&master_board=cyton", ALL_LEADS)


def test_a_rate_is_not_taken() -> None:
    """The board says its own."""
    with pytest.raises(RecordError, match="leave --fs out"):
        open_live("brainflow:synthetic", SourceOptions(fs_hz=250))
