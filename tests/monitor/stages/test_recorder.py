"""Live streams kept as records: places, gaps, patients, and a producer that is started again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import wfdb
from numpy.typing import NDArray

from monitor.errors import RecordError
from monitor.stages.recorder import Recorder, record_path
from monitor.wire.messages import SamplesHeader, SamplesMessage

FS_HZ = 250.0


def message(position: int, n_samples: int, patient: str = "push:") -> SamplesMessage:
    steps = np.arange(position, position + n_samples, dtype=np.float32)[None]
    samples: NDArray[np.float32] = steps / np.float32(1024)
    header = SamplesHeader(
        version=4,
        patient=patient,
        record="push:",
        sequence=0,
        sent_ns=1,
        position=position,
        leads=["II"],
        fs_hz=FS_HZ,
        n_samples=n_samples,
        sender=1,
    )
    return SamplesMessage(header, samples)


def read(path: Path) -> list[float]:
    """Return a record's samples in units of 1/1024 mV."""
    signal = wfdb.rdrecord(str(path)).p_signal[:, 0]
    units: list[float] = np.round(signal * 1024, 1).tolist()
    return units


def test_a_sample_lies_where_its_position_says(tmp_path: Path) -> None:
    """A gap is missing samples of its length, at the beginning too."""
    recorder = Recorder(tmp_path / "night", "push:")
    recorder.take([message(2, 3), message(7, 1)], 0.0)
    recorder.close()
    samples = read(tmp_path / "night")
    assert np.isnan([samples[n] for n in (0, 1, 5, 6)]).all()
    assert [samples[n] for n in (2, 3, 4, 7)] == [2, 3, 4, 7]


def test_each_patient_has_a_record(tmp_path: Path) -> None:
    """Named after them; two names never share one."""
    recorder = Recorder(tmp_path / "ward", "push:")
    recorder.take([message(0, 5, "bed-1"), message(0, 5, "bed/1"), message(0, 5)], 0.0)
    recorder.close()
    names = sorted(path.stem for path in tmp_path.glob("*.hea"))
    assert names[:2] == ["ward", "ward-bed-1"]
    assert names[2] == record_path(tmp_path / "ward", "bed/1", "push:").name
    assert names[2].startswith("ward-bed_1-")


@pytest.mark.parametrize("torn", [0, 1, 2])
def test_a_record_goes_on_when_its_writer_was_killed(tmp_path: Path, torn: int) -> None:
    """Behind the last whole sample; what comes twice is kept once; checksums are of the whole."""
    (tmp_path / "killed").mkdir()
    killed = Recorder(tmp_path / "killed" / "night", "push:")
    killed.take([message(0, 100)], 0.0)
    for path in (tmp_path / "killed").iterdir():  # as they are before it is closed
        shutil.copy(path, tmp_path)
    killed.close()
    with (tmp_path / "night.dat").open("ab") as file:
        file.write(b"\x01" * torn)
    recorder = Recorder(tmp_path / "night", "push:")
    recorder.take([message(90, 20), message(120, 10)], 0.0)
    recorder.close()
    samples = read(tmp_path / "night")
    assert samples[:110] == list(range(110))
    assert np.isnan(samples[110:120]).all()
    assert samples[120:] == list(range(120, 130))
    header = wfdb.rdheader(str(tmp_path / "night"))
    digital = wfdb.rdrecord(str(tmp_path / "night"), physical=False)
    assert [one % 65_536 for one in header.checksum] == digital.calc_checksum()


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """In one line."""
    recorder = Recorder(tmp_path / "no" / "such" / "night", "push:")
    with pytest.raises(RecordError, match="cannot write the record"):
        recorder.take([message(0, 5)], 0.0)
