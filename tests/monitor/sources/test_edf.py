"""EDF and BDF: gaps, units, rates, and what is wrong with files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import RecordError
from monitor.sources.kinds import open_record
from monitor.sources.source import SourceOptions
from tests.monitor.sources.edf_files import EdfLead, write_edf

FS_HZ = 250
RANGE = (-32768, 32767)


def lead(
    label: str = "ECG II",
    units: str | bytes = "uV",
    seconds: int = 20,
    physical: tuple[float, float] = RANGE,
    fs_hz: int = FS_HZ,
) -> EdfLead:
    rising = np.arange(seconds * fs_hz, dtype=np.int16)
    return EdfLead(label, units, physical, RANGE, rising)


def onsets_of(starts: Sequence[float], seconds: int) -> list[float]:
    """Return the onsets of data records of a second: runs that begin at given times."""
    each = seconds // len(starts)
    return [start + number for start in starts for number in range(each)]


def test_gaps_of_a_discontinuous_file_stay_where_they_are(tmp_path: Path) -> None:
    """Each data record lies where it says that it begins: no sample is moved or joined."""
    path = tmp_path / "night.edf"
    write_edf(path, [lead()], FS_HZ, 1.0, onsets_of([100.0, 112.5, 120.0, 127.004], 20))
    with open_record(path) as record:
        signal = record.read(0, record.n_samples)[0]
        window = record.read(1200, 1300)[0]
    starts = [0, 3125, 5000, 6751]  # in samples after the first; the last by a sample more
    assert record.n_samples == 6751 + 1250
    assert np.flatnonzero(np.diff(np.isnan(signal).astype(int)) < 0).tolist() == [
        start - 1 for start in starts[1:]
    ]
    for number, start in enumerate(starts):
        expected = (np.arange(1250 * number, 1250 * (number + 1)) * 1e-3).astype(np.float32)
        assert np.array_equal(signal[start : start + 1250], expected)
    assert np.array_equal(window, signal[1200:1300], equal_nan=True)


def test_a_continuous_file_has_no_gaps_whatever_its_annotations_say(tmp_path: Path) -> None:
    """EDF+C: records follow each other."""
    path = tmp_path / "night.edf"
    write_edf(path, [lead()], FS_HZ, 1.0, onsets_of([0.0], 20), kind=b"EDF+C")
    with open_record(path) as record:
        assert not np.isnan(record.read(0, record.n_samples)).any()


def test_records_that_overlap_are_read_one_after_the_other(tmp_path: Path) -> None:
    """No sample is lost, and a warning says where."""
    path = tmp_path / "night.edf"
    write_edf(path, [lead()], FS_HZ, 1.0, onsets_of([0.0, 8.0], 20))
    with open_record(path) as record:
        assert record.n_samples == 20 * FS_HZ
        assert "data record 10 begins 2 s before the one before it ends" in record.warnings[0]


@pytest.mark.parametrize(
    ("units", "mv"),
    [
        ("mV", 1.0),
        ("V", 1e3),
        ("nV", 1e-6),
        ("uV", 1e-3),
        (b"\xb5V", 1e-3),  # Latin-1
        ("µV".encode(), 1e-3),
        ("μV".encode(), 1e-3),  # the Greek letter
        (b"AuV", 1e-3),  # what pyEDFlib makes of the micro sign
        (b"I V", 1e-3),  # and of the Greek letter
    ],
)
def test_units_are_what_they_say(tmp_path: Path, units: str | bytes, mv: float) -> None:
    """Nanovolts are not volts; a micro sign in any encoding is micro."""
    path = tmp_path / "night.edf"
    write_edf(path, [lead(units=units)], FS_HZ, 1.0, None)
    with open_record(path) as record:
        expected = (np.arange(100) * mv).astype(np.float32)
        assert np.array_equal(record.read(0, 100)[0], expected)
        is_misspelt = units in (b"AuV", b"I V")
        assert any("is taken for uV" in one for one in record.warnings) == is_misspelt


def test_what_pyedflib_writes_for_a_micro_sign_is_microvolts(tmp_path: Path) -> None:
    """A real file of it, not ours."""
    pyedflib = pytest.importorskip("pyedflib", reason="pyEDFlib (extra dev) is not installed")
    for number, sign in enumerate("µμ"):
        path = tmp_path / f"{number}.edf"
        header = {"label": "ECG II", "dimension": f"{sign}V", "sample_frequency": FS_HZ}
        header |= {"physical_min": -5e3, "physical_max": 5e3, "transducer": "", "prefilter": ""}
        header |= {"digital_min": -32768, "digital_max": 32767}
        with pyedflib.EdfWriter(str(path), 1) as writer:
            writer.setSignalHeaders([header])
            writer.writeSamples([np.full(2500, 1000.0)])
        with open_record(path) as record:
            assert record.read(0, 10)[0] == pytest.approx(1.0, abs=1e-3)


def test_a_unit_that_is_not_said_is_asked_for(tmp_path: Path) -> None:
    """--units gives it; a file that says its own refuses another."""
    path = tmp_path / "night.edf"
    write_edf(path, [lead(units="")], FS_HZ, 1.0, None)
    with pytest.raises(RecordError, match=r"does not say the unit of its samples; add --units"):
        open_record(path)
    with open_record(path, SourceOptions(units="uV")) as record:
        assert record.read(1000, 1001)[0, 0] == np.float32(1.0)
    with pytest.raises(RecordError, match="'bananas' is no voltage; use mV, uV, V or nV"):
        open_record(path, SourceOptions(units="bananas"))
    write_edf(path, [lead()], FS_HZ, 1.0, None)
    with pytest.raises(RecordError, match="says the unit of its samples itself; leave --units"):
        open_record(path, SourceOptions(units="mV"))
    with pytest.raises(RecordError, match="says its own sampling rate; leave --fs out"):
        open_record(path, SourceOptions(fs_hz=250))


def test_leads_of_another_rate_or_without_a_scale_are_left_out(tmp_path: Path) -> None:
    """Unasked with a warning; asked for, that is an error."""
    path = tmp_path / "night.edf"
    broken = EdfLead("ECG V5", "uV", (5, 5), RANGE, lead().samples)
    breath = EdfLead("Resp", "mV", RANGE, RANGE, lead().samples)
    write_edf(path, [lead(), broken, breath], FS_HZ, 1.0, None)
    with open_record(path) as record:
        assert record.leads == ("ECG II",)
        assert "lead 'ECG V5'" in record.warnings[0]
        assert "samples have no scale" in record.warnings[0]
    with pytest.raises(RecordError, match="its physical or digital range is empty"):
        open_record(path, SourceOptions(["ECG V5"]))
    edfio = pytest.importorskip("edfio", reason="edfio (extra dev) is not installed")
    signals = [
        edfio.EdfSignal(np.arange(20.0 * fs_hz), fs_hz, label=label, physical_dimension="uV")
        for label, fs_hz in (("ECG I", 250), ("ECG II", 500))
    ]
    edfio.Edf(signals, data_record_duration=1).write(path)
    with open_record(path) as record:
        assert (record.leads, record.fs_hz) == (("ECG I",), 250)
        assert "it has 500 samples a second" in record.warnings[0]
    with open_record(path, SourceOptions(["ECG II"])) as record:
        assert record.fs_hz == 500


def test_a_file_that_is_one_data_record_is_read_in_windows(tmp_path: Path) -> None:
    """Some write a whole recording as one: only what is asked for of it is decoded."""
    path = tmp_path / "one.edf"
    samples = np.arange(600 * FS_HZ, dtype=np.int64).astype(np.int16)
    leads = [EdfLead(f"ECG {name}", "uV", RANGE, RANGE, samples) for name in ("I", "II")]
    write_edf(path, leads, FS_HZ, 600.0, None)
    with open_record(path) as record:
        expected = (samples[70_000:80_000] * 1e-3).astype(np.float32)
        assert np.array_equal(record.read(70_000, 80_000), np.stack([expected, expected]))


def damaged(path: Path, at: int, field: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[at : at + len(field)] = field
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("at", "field", "said"),
    [
        (252, b"0   ", "number of signals is 0, which is not 1 to 4096"),
        (252, b"2   ", "the header says it has 512 bytes, 2 signals take 768"),
        (252, b"x   ", "number of signals: 'x' is no number; write the file again"),
        (236, b"many    ", "number of data records: 'many' is no number"),
        (244, b"0       ", "it has no samples"),
        (244, b"1e999   ", "duration of a data record: '1e999' is out of range"),
        (256 + 216, b"-5      ", "samples of a record is -5, which is not 0 to"),
        (256 + 216, b"99999999", "data records of 199999998 bytes"),
        (256 + 96, b"mmHg    ", "has no lead in V, mV or uV, only mmHg"),
        (256 + 104, b"low     ", "its physical or digital range is no number"),
        (256 + 0, b"Resp            ", "has no ECG lead, only Resp"),
    ],
)
def test_what_is_wrong_with_a_header_is_said(
    tmp_path: Path, at: int, field: bytes, said: str
) -> None:
    """One line: what, where, what to do."""
    path = tmp_path / "night.edf"
    write_edf(path, [lead()], FS_HZ, 1.0, None)
    damaged(path, at, field)
    with pytest.raises(RecordError) as caught:
        open_record(path)
    if "99999999" in field.decode():  # large, yet allowed: then the file is too short for it
        assert "is truncated" in str(caught.value)
    else:
        assert said in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_length_that_the_header_does_not_know_is_that_of_the_file(tmp_path: Path) -> None:
    """-1 data records, as a recorder writes while it records; other counts give a warning."""
    path = tmp_path / "night.edf"
    write_edf(path, [lead()], FS_HZ, 1.0, None, n_records=-1)
    with open_record(path) as record:
        assert (record.n_samples, record.warnings) == (20 * FS_HZ, ())
    write_edf(path, [lead()], FS_HZ, 1.0, None, n_records=22)
    with open_record(path) as record:
        assert record.n_samples == 20 * FS_HZ
        assert "says 22 data records, it holds 20, which are read" in record.warnings[0]
    write_edf(path, [lead()], FS_HZ, 1.0, None, n_records=50)
    with pytest.raises(RecordError, match="says 50 data records, it holds 20; copy it again"):
        open_record(path)


def test_a_discontinuous_file_that_does_not_say_when_is_refused(tmp_path: Path) -> None:
    """Without the annotations, or with one that is no time, nobody knows where the gaps are."""
    path = tmp_path / "night.edf"
    write_edf(path, [lead()], FS_HZ, 1.0, onsets_of([0.0], 20))
    place = path.stat().st_size - 30  # of the last data record's annotations
    damaged(path, place, b"garbage!")
    with pytest.raises(RecordError, match="data record 19 does not say when it begins"):
        open_record(path)
    write_edf(path, [lead()], FS_HZ, 1.0, None)
    damaged(path, 192, b"EDF+D")
    with pytest.raises(RecordError, match="has no signal that says when its data records begin"):
        open_record(path)
    write_edf(path, [lead()], FS_HZ, 1.0, onsets_of([0.0, 1e11], 20))
    with pytest.raises(RecordError, match="none lasts so long"):
        open_record(path)


def test_a_file_that_shrinks_while_it_is_read_is_said(tmp_path: Path) -> None:
    """Not a signal that kills the process, as a mapped file would send."""
    path = tmp_path / "night.edf"
    write_edf(path, [lead()], FS_HZ, 1.0, None)
    with open_record(path) as record:
        with path.open("r+b") as file:
            file.truncate(2000)
        with pytest.raises(RecordError, match="has become shorter; copy it again"):
            record.read(0, 100)


def test_annotations_alone_are_no_record(tmp_path: Path) -> None:
    """Such as a file of sleep stages."""
    edfio = pytest.importorskip("edfio", reason="edfio (extra dev) is not installed")
    path = tmp_path / "stages.edf"
    edfio.Edf([], annotations=[edfio.EdfAnnotation(0, 30, "Sleep stage W")]).write(path)
    with pytest.raises(RecordError, match="holds annotations alone, no signals"):
        open_record(path)
