"""A WFDB record that is written as its samples come."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import wfdb

from monitor.errors import InvalidOption
from monitor.sources.kinds import open_record
from monitor.sources.wfdb_writer import GAIN_PER_MV, WfdbWriter

RNG = np.random.default_rng(1)
SIGNAL = RNG.normal(0, 2, (2, 5000)).astype(np.float32)
SIGNAL[0, 100:200] = np.nan
SIGNAL[:, 3000:3100] = np.nan
STEP_MV = 1 / GAIN_PER_MV


def test_samples_come_back_within_half_a_step(tmp_path: Path) -> None:
    """However they were cut; wfdb reads the same, checksums too; missing stays missing."""
    path = tmp_path / "night"
    with WfdbWriter(path, ["II", "lead\tV5"], 257.5, ["made of\nnothing"]) as writer:
        for part in np.array_split(SIGNAL, [1, 2, 700, 701, 3050], axis=1):
            writer.write(part)
    with open_record(path) as record:
        assert (record.leads, record.fs_hz, record.warnings) == (("II", "lead V5"), 257.5, ())
        ours = record.read(0, record.n_samples)
    assert np.array_equal(np.isnan(ours), np.isnan(SIGNAL))
    np.testing.assert_allclose(ours, SIGNAL, rtol=0, atol=0.51 * STEP_MV)
    theirs = wfdb.rdrecord(str(path))
    np.testing.assert_allclose(theirs.p_signal.T, ours, rtol=0, atol=1e-6)
    digital = wfdb.rdrecord(str(path), physical=False)
    assert [one % 65536 for one in digital.checksum] == digital.calc_checksum()
    assert theirs.comments == ["made of nothing"]


def test_a_record_whose_writer_was_killed_is_whole_so_far(tmp_path: Path) -> None:
    """Nothing closed it: its length follows from its file, also within a frame."""
    path = tmp_path / "night"
    writer = WfdbWriter(path, ["II", "V5"], 250.0)
    writer.write(SIGNAL[:, :4000])
    writer.flush()
    (tmp_path / "copy").mkdir()
    for suffix in (".hea", ".dat"):
        shutil.copy(path.with_suffix(suffix), tmp_path / "copy")
    writer.close()
    with (tmp_path / "copy" / "night.dat").open("ab") as file:
        file.write(b"\x01\x02")
    with open_record(tmp_path / "copy" / "night") as record:
        assert record.n_samples == 4000
        found = record.read(0, 4000)
    assert np.array_equal(np.isnan(found), np.isnan(SIGNAL[:, :4000]))


def test_what_the_format_does_not_hold_is_counted(tmp_path: Path) -> None:
    """It becomes the largest value that it holds."""
    with WfdbWriter(tmp_path / "loud", ["II"], 250.0) as writer:
        writer.write(np.array([[0.0, 84.0, -84.0, 83.0]], np.float32).repeat(100, axis=1))
    assert writer.n_clipped == 200


def test_a_name_that_wfdb_does_not_allow_is_refused(tmp_path: Path) -> None:
    """Before a file is made."""
    with pytest.raises(InvalidOption, match="'my night' cannot name a WFDB record"):
        WfdbWriter(tmp_path / "my night", ["II"], 250.0)
    assert list(tmp_path.iterdir()) == []
