"""Headers from outside: bounds are checked before memory is taken, junk ends in one line."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest
import wfdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.errors import RecordError
from monitor.sources.wfdb_header import (
    MAX_HEADER_BYTES,
    check_signal_files,
    parse_header,
    read_header,
)
from monitor.sources.wfdb_record import WfdbRecord

PATH = Path("/data/rec")
SIGNAL = "rec.dat 16 200/mV 16 0 0 0 0 ECG"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("# only a comment\n", "is empty"),
        ("rec\n", "is no record line"),
        ("../rec 1 250 500\n" + SIGNAL, "is no record line"),
        ("r.c 1 250 500\n" + SIGNAL, "is no record line"),
        ("rec 0 250 500\n", "0 signals"),
        ("rec -1 250 500\n" + SIGNAL, "-1 signals"),
        ("rec one 250 500\n" + SIGNAL, "not a whole number"),
        ("rec 257 250 500\n" + SIGNAL, "257 signals"),
        (f"rec {'9' * 5000} 250 500\n" + SIGNAL, "absurd"),
        ("rec 2 250 500\n" + SIGNAL, "announces 2 signals and describes 1"),
        ("rec 1 0 500\n" + SIGNAL, "sampling rate '0'"),
        ("rec 1 -250 500\n" + SIGNAL, "sampling rate '-250'"),
        ("rec 1 nan 500\n" + SIGNAL, "sampling rate 'nan'"),
        ("rec 1 inf 500\n" + SIGNAL, "sampling rate 'inf'"),
        ("rec 1 250Hz 500\n" + SIGNAL, "sampling rate '250Hz'"),
        ("rec 1 10001 500\n" + SIGNAL, "up to 10000 Hz"),
        (f"rec 1 {'9' * 400} 500\n" + SIGNAL, "sampling rate"),
        ("rec 1 250 -500\n" + SIGNAL, "number of samples '-500'"),
        ("rec 1 250 1e9\n" + SIGNAL, "number of samples '1e9'"),
        ("rec 1 250 1000000000000\n" + SIGNAL, "no record is longer than a year"),
        ("rec 1 250 500\nrec.dat", "is no signal line"),
        ("rec 1 250 500\nrec.dat 16 200mV", "is malformed"),
        ("rec 1 250 500\nrec.dat 16 200(1)mV", "is malformed"),
        ("rec 1 250 500\nrec.dat 16 200/mV 12 -: 0 0 0 ECG", "'-:' is not a whole number"),
        ("rec 1 250 500\nrec.dat 999 200/mV", "format '999' is unknown"),
        ("rec 1 250 500\nrec.dat 16y2 200/mV", "is malformed"),
        ("rec 1 250 500\nrec.dat 16x2y 200/mV", "is malformed"),
        ("rec 1 250 500\n.dat 16 200/mV", "not a plain name"),
        ("rec 1 250 500\n../rec.dat 16 200/mV", "not a plain name"),
        ("rec 1 250 500\n/etc/passwd 16 200/mV", "not a plain name"),
        ("rec 1 250 500\n.. 16 200/mV", "not a plain name"),
        ("rec 1 250 500\nrec.dat 16 inf/mV", "gain 'inf/mV' is malformed"),
        ("rec 1 250 500\nrec.dat 16 nan", "is malformed"),
        ("rec 1 250 500\nrec.dat 16 1e999/mV", "gain '1e999' is absurd"),
        ("rec 1 250 500\nrec.dat 16 1e-300/mV", "absurd"),
        ("rec 1 250 500\nrec.dat 16 200(1e5)/mV", "'1e5' is not a whole number"),
        ("rec 1 250 500\nrec.dat 16 200(1.5)/mV", "'1.5' is not a whole number"),
        ("rec 1 250 500\nrec.dat 8 200/mV 8 0 1.5", "initial value '1.5' is not a whole number"),
        (f"rec 1 250 500\nrec.dat 16 200({'9' * 30})/mV", "absurd"),
        ("rec 1 250 500\nrec.dat 16x0 200/mV", "0 samples per frame"),
        ("rec 1 250 500\nrec.dat 16x70000 200/mV", "samples a frame"),
        ("rec 1 250 500\nrec.dat 16:999999 200/mV", "skew"),
        (f"rec 1 250 500\nrec.dat 16+{'9' * 40} 200/mV", "absurd"),
        ("rec 1 250 500\nrec.dat 16 200/mV 16 1024.5 0 0 0 ECG", "'1024.5' is not a whole number"),
        (f"rec 1 250 500\nrec.dat 16 200/mV 16 0 0 0 0 {'x' * 200}", "lead name"),
        ("rec 1 250 500\nrec.dat 16 200/mV 16 0 0 0 0 E\x1b[31mCG", "control character"),
        ("rec 1 250 500\n# comment\x0bevil.dat 16\n" + SIGNAL, "control character"),
        ("rec 2 250 500\nrec.dat 16 200\nrec.dat 212 200", "differ in format"),
        ("rec 3 250 500\na.dat 16\nb.dat 16\na.dat 16", "must follow each other"),
        ("rec/0 1 250 500\n", "0 segments"),
        ("rec/1 1 250 500\n../a 500\n", "not a plain name"),
        ("rec/1 1 250 500\na -500\n", "is no segment line"),
        ("rec/1 1 250 500\na\n", "is no segment line"),
        ("rec/2 1 250 500\na 500\n", "announces 2 segments and describes 1"),
    ],
)
def test_a_broken_header_ends_in_one_line(text: str, message: str) -> None:
    """The line says what is wrong and in which header, and is safe to print."""
    with pytest.raises(RecordError) as caught:
        parse_header(text, PATH)
    said = str(caught.value)
    assert message in said
    assert "/data/rec" in said
    assert said.isprintable()
    assert len(said) < 400


def _assert_read_alike(path: Path) -> None:
    """Assert that wfdb and this parser agree on every field that decodes samples.

    Where wfdb is right: skew of one sample a frame, initial values that are given.
    """
    ours, theirs = read_header(path), wfdb.rdheader(str(path))
    assert (ours.fs_hz, ours.n_frames, len(ours.signals)) == (
        theirs.fs,
        theirs.sig_len,
        theirs.n_sig,
    )
    for i, signal in enumerate(ours.signals):
        assert (signal.file_name, signal.fmt) == (theirs.file_name[i], theirs.fmt[i])
        assert signal.samples_per_frame == theirs.samps_per_frame[i]
        assert signal.skew == (theirs.skew[i] or 0)
        assert signal.byte_offset == (theirs.byte_offset[i] or 0)
        assert (signal.gain, signal.baseline) == (theirs.adc_gain[i], theirs.baseline[i])
        if signal.fmt == "8" and theirs.init_value[i] is not None:
            assert signal.init_value == theirs.init_value[i]


@pytest.mark.parametrize(
    "line",
    [
        "rec.dat 212 200 11 1024 995 -22131 0 MLII",
        "rec.dat 16x4+24 1000.5(-3)/mV 16 7 -119 1508 0 I",
        "rec.dat 8:2 1000.5(-3)/mV 8 7 -119 1508 0 I",
        "rec.dat 16 0 12 0 0 0 0 V5",
        "rec.dat 16 -3.5e-1(5)/uV",
        "rec.dat 16",
        "rec.dat\t16\t200/mV\t16\t9\t0\t0\t0\tlead aVF",
        "rec.dat 16 200 ECG lead",
        "rec 24 .5/% 12 -4",
    ],
)
def test_signal_lines_are_read_as_wfdb_reads_them(tmp_path: Path, line: str) -> None:
    """Full, short and odd lines mean the same to both, down to lead and units."""
    text = f"rec 1 360/360(0) 650000 12:30:00 01/02/1990\n{line}\n# comment\n"
    (tmp_path / "rec.hea").write_text(text)
    _assert_read_alike(tmp_path / "rec")
    signal, theirs = read_header(tmp_path / "rec").signals[0], wfdb.rdheader(str(tmp_path / "rec"))
    assert signal.units == theirs.units[0]
    assert signal.name == (theirs.sig_name[0] or "signal 0")


GOOD_HEADER = (
    "rec 2 360/72(0) 500 12:30:00 01/02/1990\n"
    "rec.dat 16x2:3+24 200.5e0(12)/mV 11 1024 995 -22131 0 MLII\n"
    "b.dat 212 1000/uV 12 0 -5 77 0 V1\n"
)
DAMAGE = st.text(st.sampled_from("0123456789-+.eE/():x ~#\t\nabm_,;é"), max_size=3)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(start=st.integers(0, len(GOOD_HEADER)), length=st.integers(0, 4), damage=DAMAGE)
def test_a_damaged_header_is_refused_or_within_bounds(
    tmp_path: Path, start: int, length: int, damage: str
) -> None:
    """Whatever is read can be computed with: no zero, no infinity, nothing outside the folder."""
    text = GOOD_HEADER[:start] + damage + GOOD_HEADER[start + length :]
    (tmp_path / "rec.hea").write_text(text)
    try:
        header = read_header(tmp_path / "rec")
    except RecordError:
        return
    assert 0 < header.fs_hz <= 10_000
    assert header.n_frames is None or 0 < header.n_frames <= 366 * 86_400 * header.fs_hz
    for signal in header.signals:
        assert 1e-6 <= abs(signal.gain) <= 1e12
        assert 1 <= signal.samples_per_frame <= header.frame_samples <= 1 << 16
        assert 0 <= signal.skew <= 1 << 16
        assert signal.byte_offset >= 0
        assert Path(signal.file_name).name == signal.file_name


@pytest.mark.parametrize(
    "text",
    [
        "A00001 1 300 9000 05:05:15 1/05/2000 \nA00001.mat 16+24 1000/mV 16 0 -127 0 0 ECG \n",
        "A0001 1 500 7500 05-Feb-2020 11:39:16\nA0001.mat 16+24 1000/mV 16 0 28 -1716 0 I\n",
        "00001_hr 1 500 5000\r\n00001_hr.dat 16 1000.0(0)/mV 16 0 -115 13047 0 AVR\r\n",
        "slp01a 1 250 1800000 23:07:00 19/01/1989\nslp01a.dat 212 6000 12 0 0 0 0 EEG (C4-A1)",
    ],
)
def test_headers_of_well_known_databases_are_read(tmp_path: Path, text: str) -> None:
    """The challenges of 2017 and 2020, PTB-XL and SLPDB have their own habits."""
    (tmp_path / "rec.hea").write_text(text)
    _assert_read_alike(tmp_path / "rec")


def test_a_length_of_a_trillion_takes_no_memory(tmp_path: Path) -> None:
    """The announced length is checked against the file before any array is made."""
    (tmp_path / "rec.hea").write_text(f"rec 1 10000 300000000000\n{SIGNAL}\n")
    (tmp_path / "rec.dat").write_bytes(bytes(1000))
    tracemalloc.start()
    with pytest.raises(RecordError, match=r"says 300000000000 samples a signal, it holds 500"):
        WfdbRecord.open(tmp_path / "rec")
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    "text",
    [
        f"rec 1 {'9' * 500_000}x 500\n{SIGNAL}",
        f"rec 1 250 500\nrec.dat 16 {'9' * 500_000}x",
        f"rec 1 250 500\nrec.dat 16 200 {'9' * 500_000}x",
        f"rec 1 250 500\nrec.dat 16{':1' * 250_000}y 200",
    ],
)
def test_a_field_of_half_a_megabyte_is_refused_at_once(text: str) -> None:
    """No pattern takes time that grows faster than the field; minutes would end the test."""
    with pytest.raises(RecordError):
        parse_header(text, PATH)


def test_a_huge_header_is_not_read(tmp_path: Path) -> None:
    """Over a mebibyte is refused by size alone."""
    with (tmp_path / "rec.hea").open("wb") as file:
        file.truncate(MAX_HEADER_BYTES + 1)
    with pytest.raises(RecordError, match=r"no header is over a mebibyte"):
        read_header(tmp_path / "rec")


def test_pipes_and_folders_are_no_files(tmp_path: Path) -> None:
    """A pipe would block for ever, as header or as signal file."""
    os.mkfifo(tmp_path / "pipe.hea")
    (tmp_path / "folder.hea").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(RecordError, match=r"not a regular file"):
            read_header(tmp_path / name)
    os.mkfifo(tmp_path / "rec.dat")
    with pytest.raises(RecordError, match=r"not a regular file"):
        check_signal_files(parse_header(f"rec 1 250 500\n{SIGNAL}", tmp_path / "rec"))


def test_signals_that_no_file_holds_are_refused(tmp_path: Path) -> None:
    """A layout header is no record."""
    (tmp_path / "rec.hea").write_text("rec 1 250 500\n~ 0 200/mV 16 0 0 0 0 ECG\n")
    with pytest.raises(RecordError, match=r"names signals that no file holds"):
        WfdbRecord.open(tmp_path / "rec")


def test_an_old_comment_in_latin_1_does_no_harm(tmp_path: Path) -> None:
    """Comments of older records are not UTF-8."""
    (tmp_path / "rec.hea").write_bytes(
        f"rec 1 250 500\n{SIGNAL}\n# caf\xe9\xa0!\n".encode("latin-1")
    )
    assert read_header(tmp_path / "rec").n_frames == 500


TOKENS = st.one_of(
    st.sampled_from(["rec", "rec/2", "1", "2", "250", "0", "-1", "1e9", "nan", "\n", "\n"]),
    st.sampled_from(["rec.dat", "~", "..", "/", "16", "212x2", "8", "516", "200/mV", "ECG", "#"]),
    st.text(max_size=6),
    st.integers().map(str),
    st.floats().map(str),
)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(tokens=st.lists(TOKENS, max_size=25))
def test_junk_headers_are_read_or_refused_never_more(tmp_path: Path, tokens: list[str]) -> None:
    """Any text either opens and gives one second of samples, or is a RecordError."""
    (tmp_path / "rec.hea").write_bytes(" ".join(tokens).encode("utf-8", "surrogatepass"))
    (tmp_path / "rec.dat").write_bytes(bytes(4000))
    _open_or_refuse(tmp_path / "rec")


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(raw=st.binary(max_size=300))
def test_junk_bytes_are_refused(tmp_path: Path, raw: bytes) -> None:
    """Bytes that are no text at all are no header."""
    (tmp_path / "rec.hea").write_bytes(raw)
    _open_or_refuse(tmp_path / "rec")


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.integers(0, 58), char=st.characters(), cut=st.booleans())
def test_a_good_header_with_one_character_changed(
    tmp_path: Path, at: int, char: str, cut: bool
) -> None:
    """One damaged character never becomes a traceback."""
    good = f"rec 1 250 2000\n{SIGNAL} with a name\n"
    bad = good[:at] + ("" if cut else char) + good[at + 1 :]
    (tmp_path / "rec.hea").write_bytes(bad.encode("utf-8", "surrogatepass"))
    (tmp_path / "rec.dat").write_bytes(bytes(4000))
    _open_or_refuse(tmp_path / "rec")


def _open_or_refuse(path: Path) -> None:
    said = ""
    try:
        record = WfdbRecord.open(path)
        window = record.read(0, min(record.n_samples, 250))[0]
        assert window.dtype == "float32"
        assert window.ndim == 1
    except RecordError as error:
        said = str(error)
    assert said == "" or said.isprintable()
