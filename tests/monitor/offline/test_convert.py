"""Any record as a WFDB record."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monitor.errors import InvalidOption, RecordError
from monitor.offline.convert import convert
from monitor.sources.kinds import open_record
from monitor.sources.source import SourceOptions
from tests.monitor.sources.conformance import RecordCase
from tests.monitor.sources.record_cases import RECORD_CASES, csv_with_times, wfdb_record


@pytest.mark.parametrize("case", RECORD_CASES, ids=lambda case: case.name)
def test_every_record_is_the_same_as_a_wfdb_record(case: RecordCase, tmp_path: Path) -> None:
    """Leads, rate, gaps; samples within half of 10 nV."""
    written = case.write(tmp_path)
    shares: list[float] = []
    out = tmp_path / "new" / "night"
    done = convert(str(written.path), out, written.options, on_progress=shares.append)
    with open_record(out, SourceOptions(["all"])) as record:
        found = record.read(0, record.n_samples)
        assert (record.fs_hz, record.n_samples) == (written.fs_hz, written.signal.shape[1])
    assert np.array_equal(np.isnan(found), np.isnan(written.signal))
    np.testing.assert_allclose(found, written.signal, rtol=0, atol=5.1e-6)
    missing_s = np.isnan(written.signal).sum(axis=1).max() / written.fs_hz
    assert done.missing_s == pytest.approx(missing_s)
    assert shares[-1] == 1.0


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    """A record that is there stays, and so does the one that is read."""
    written = csv_with_times(tmp_path)
    out = tmp_path / "night"
    convert(str(written.path), out, SourceOptions())
    before = out.with_suffix(".dat").read_bytes()
    with pytest.raises(RecordError, match=r"night\.hea exists; name another record"):
        convert(str(written.path), out, SourceOptions(["V5"]))
    assert out.with_suffix(".dat").read_bytes() == before
    convert(str(written.path), out, SourceOptions(["V5"]), overwrite=True)
    with open_record(out) as record:
        assert record.leads == ("V5",)
    with pytest.raises(RecordError, match="is the record that is read; name another one"):
        convert(str(out), out, SourceOptions(), overwrite=True)


def test_nothing_is_left_of_what_cannot_be_written(tmp_path: Path) -> None:
    """A name that WFDB does not allow, a folder that is none, a record that ends too early."""
    written = wfdb_record(tmp_path)
    with pytest.raises(InvalidOption, match="cannot name a WFDB record"):
        convert(str(written.path), tmp_path / "my night", SourceOptions())
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="choose another folder"):
        convert(str(written.path), tmp_path / "file" / "night", SourceOptions())
    with pytest.raises(RecordError, match="does not exist"):
        convert(str(tmp_path / "none"), tmp_path / "night", SourceOptions())
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "file",
        "sim.dat",
        "sim.ecg",
        "sim.hea",
    ]
