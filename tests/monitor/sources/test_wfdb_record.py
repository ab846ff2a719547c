"""Reading WFDB records: every format, gaps as NaN, windows that add up, one line for bad input."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.errors import RecordError
from monitor.sources import wfdb_record
from monitor.sources.source import Source
from monitor.sources.wfdb_record import WfdbRecord, list_records
from tests.real_data import DATA

FS_HZ = 250
N_FRAMES = 1_501  # odd: packed formats end within a block


def _wave(n: int, seed: int = 1) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return np.sin(np.arange(n) / 9) + 0.05 * rng.standard_normal(n)


def _write(folder: Path, name: str = "rec", fmt: str = "212", n: int = N_FRAMES) -> Path:
    """Write a two-lead record with wfdb and return its path."""
    wfdb.wrsamp(
        name,
        fs=FS_HZ,
        units=["mV", "mV"],
        sig_name=["MLII", "V1"],
        p_signal=np.column_stack([_wave(n), _wave(n, 2)]),
        fmt=[fmt, fmt],
        adc_gain=[40.0, 40.0],
        baseline=[0, 0],
        write_dir=str(folder),
    )
    return folder / name


def _write_raw(folder: Path, header: str, files: dict[str, bytes], name: str = "rec") -> Path:
    (folder / f"{name}.hea").write_text(header)
    for file_name, content in files.items():
        (folder / file_name).write_bytes(content)
    return folder / name


def _read_all(record: Source, window: int) -> NDArray[np.float32]:
    n = record.n_samples
    return np.concatenate([record.read(a, min(a + window, n)) for a in range(0, n, window)])


def _small_blocks(monkeypatch: pytest.MonkeyPatch, samples: int = 700) -> None:
    """Make blocks so small that a short record spans several of them."""
    monkeypatch.setattr(wfdb_record, "BLOCK_SAMPLES", samples)


# --- what is read -----------------------------------------------------------------------------


@pytest.mark.parametrize("fmt", ["16", "212", "24", "32", "80", "508", "516", "524"])
@pytest.mark.parametrize("lead", [0, 1])
def test_every_format_that_wfdb_writes_is_read_to_the_bit(
    tmp_path: Path, fmt: str, lead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows over small blocks equal wfdb's own reading of the whole record."""
    _small_blocks(monkeypatch)
    path = _write(tmp_path, fmt=fmt)
    expected = wfdb.rdrecord(str(path)).p_signal[:, lead].astype(np.float32)
    with WfdbRecord.open(path, lead) as record:
        np.testing.assert_array_equal(_read_all(record, 97), expected)


def _bytes_310(values: NDArray[np.int64]) -> bytes:
    """Pack ten-bit samples as header(5)'s format 310 describes it."""
    triples = np.concatenate([values, np.zeros(-len(values) % 3, np.int64)]).reshape(-1, 3) & 0x3FF
    first = (triples[:, 0] << 1 & 0xFFFF) | (triples[:, 2] & 0x1F) << 11
    second = (triples[:, 1] << 1 & 0xFFFF) | (triples[:, 2] >> 5 & 0x1F) << 11
    return np.column_stack([first, second]).astype("<u2").tobytes()


def _bytes_311(values: NDArray[np.int64]) -> bytes:
    """Pack ten-bit samples as header(5)'s format 311 describes it."""
    triples = np.concatenate([values, np.zeros(-len(values) % 3, np.int64)]).reshape(-1, 3) & 0x3FF
    words = triples[:, 0] | triples[:, 1] << 10 | triples[:, 2] << 20
    return words.astype("<u4").tobytes()


ENCODERS: dict[str, Callable[[NDArray[np.int64]], bytes]] = {
    "61": lambda values: values.astype(">i2").tobytes(),
    "160": lambda values: (values + 32_768).astype("<u2").tobytes(),
    "310": _bytes_310,
    "311": _bytes_311,
}


@pytest.mark.parametrize("fmt", sorted(ENCODERS))
def test_formats_that_wfdb_only_reads(
    tmp_path: Path, fmt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Formats 61, 160, 310 and 311, packed here by their description, come back exactly."""
    _small_blocks(monkeypatch, 300)
    digital = np.round(100 * _wave(1_200)).astype(np.int64)
    path = _write_raw(
        tmp_path,
        f"rec 1 250 1200\nrec.dat {fmt} 100/mV 10 0 0 0 0 ECG\n",
        {"rec.dat": ENCODERS[fmt](digital)},
    )
    got = _read_all(WfdbRecord.open(path), 111)
    np.testing.assert_array_equal(got, (digital / 100).astype(np.float32))


def test_differences_are_added_up_from_the_records_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Format 8 stores differences: a window in the middle is right wherever reading begins."""
    _small_blocks(monkeypatch, 200)
    digital = np.round(50 * np.sin(np.arange(1_000) / 20)).astype(np.int64) + 30
    differences = np.diff(digital, prepend=7).astype("i1")
    path = _write_raw(
        tmp_path,
        "rec 1 250 1000\nrec.dat 8 50/mV 10 0 7 0 0 ECG\n",
        {"rec.dat": differences.tobytes()},
    )
    expected = (digital / 50).astype(np.float32)
    np.testing.assert_array_equal(WfdbRecord.open(path).read(650, 900), expected[650:900])
    np.testing.assert_array_equal(_read_all(WfdbRecord.open(path), 77), expected)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cuts=st.lists(st.integers(0, N_FRAMES), min_size=2, max_size=12))
def test_windows_in_any_order_are_slices_of_the_record(
    tmp_path: Path, cuts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forward, backward, overlapping or empty windows all equal the same slice."""
    _small_blocks(monkeypatch, 512)
    path = tmp_path / "rec"
    if not path.with_suffix(".hea").exists():
        _write(tmp_path)
    record = WfdbRecord.open(path)
    whole = wfdb.rdrecord(str(path)).p_signal[:, 0].astype(np.float32)
    for a, b in itertools.pairwise(cuts):
        low, high = sorted((a, b))
        np.testing.assert_array_equal(record.read(low, high), whole[low:high])


def test_invalid_samples_are_nan_not_numbers(tmp_path: Path) -> None:
    """WFDB's code for "no sample" is NaN, and zero stays zero."""
    digital = np.zeros(500, "<i2")
    digital[100:110] = -32_768
    path = _write_raw(
        tmp_path,
        "rec 1 250 500\nrec.dat 16 200/mV 16 0 0 0 0 ECG\n",
        {"rec.dat": digital.tobytes()},
    )
    got = WfdbRecord.open(path).read(0, 500)
    assert np.flatnonzero(np.isnan(got)).tolist() == list(range(100, 110))
    assert np.all(got[:100] == 0)


@pytest.mark.parametrize(
    ("units", "factor"), [("V", 1000.0), ("mV", 1.0), ("uV", 0.001), ("nV", 1e-6), ("µV", 0.001)]
)
def test_any_voltage_becomes_millivolts(tmp_path: Path, units: str, factor: float) -> None:
    """Volts, millivolts, microvolts and nanovolts are told apart, in any spelling of micro."""
    digital = np.arange(500).astype("<i2")
    path = _write_raw(
        tmp_path,
        f"rec 1 250 500\nrec.dat 16 2/{units} 16 0 0 0 0 ECG\n",
        {"rec.dat": digital.tobytes()},
    )
    expected = (digital / 2 * factor).astype(np.float32)
    np.testing.assert_array_equal(WfdbRecord.open(path).read(0, 500), expected)


def test_a_lead_of_several_samples_a_frame_keeps_its_own_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ECG at 4 samples a frame beside a slow signal is read at four times the frame rate."""
    _small_blocks(monkeypatch, 500)
    frames = np.arange(400 * 5).astype("<i2").reshape(400, 5)
    header = "rec 2 125 400\nrec.dat 16 1/mmHg 16 0 0 0 0 ABP\nrec.dat 16x4 1/mV 16 0 0 0 0 ECG\n"
    record = WfdbRecord.open(_write_raw(tmp_path, header, {"rec.dat": frames.tobytes()}))
    assert (record.lead, record.fs_hz, record.n_samples) == ("ECG", 500.0, 1600)
    expected = frames[:, 1:].reshape(-1).astype(np.float32)
    np.testing.assert_array_equal(_read_all(record, 333), expected)


@pytest.mark.parametrize("spf", [1, 3])
def test_skew_shifts_the_lead_and_its_end_is_missing(
    tmp_path: Path, spf: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lead that lags 5 frames in the file is moved back; the last 5 frames are NaN, not zero."""
    _small_blocks(monkeypatch, 600)
    frames = (1 + np.arange(500 * (spf + 1))).astype("<i2").reshape(500, spf + 1)
    header = f"rec 2 250 500\nrec.dat 16 1/mV 16 0 0 0 0 I\nrec.dat 16x{spf}:5 1/mV 16 0 0 0 0 II\n"
    record = WfdbRecord.open(_write_raw(tmp_path, header, {"rec.dat": frames.tobytes()}), "II")
    got = _read_all(record, 190)
    n_held = 495 * spf
    np.testing.assert_array_equal(got[:n_held], frames[5:, 1:].reshape(-1).astype(np.float32))
    assert np.all(np.isnan(got[n_held:]))
    assert len(got) == 500 * spf


@pytest.mark.parametrize("length", ["", "0"])
def test_a_header_without_length_says_what_to_write(tmp_path: Path, length: str) -> None:
    """WFDB allows the number of samples to be left out; wfdb then reads all or nothing."""
    path = _write_raw(
        tmp_path,
        f"rec 1 250 {length}\nrec.dat 16 1/mV 16 0 0 0 0 ECG\n",
        {"rec.dat": bytes(1200)},
    )
    with pytest.raises(RecordError, match=r"rec\.dat holds 600 a signal"):
        WfdbRecord.open(path)


# --- segments ---------------------------------------------------------------------------------


def _segment(folder: Path, name: str, leads: list[str], values: list[NDArray[np.int16]]) -> None:
    lines = [f"{name} {len(leads)} 250 {len(values[0])}"]
    lines += [f"{name}.dat 16 100/mV 16 0 0 0 0 {lead}" for lead in leads]
    (folder / f"{name}.hea").write_text("\n".join(lines) + "\n")
    (folder / f"{name}.dat").write_bytes(np.column_stack(values).astype("<i2").tobytes())


def _ramp(n: int, start: int) -> NDArray[np.int16]:
    return np.arange(start, start + n).astype(np.int16)


def _fixed_record(folder: Path) -> Path:
    _segment(folder, "one", ["I", "II"], [_ramp(300, 0), _ramp(300, 1000)])
    _segment(folder, "two", ["I", "II"], [_ramp(200, 5000), _ramp(200, 6000)])
    return _write_raw(folder, "rec/3 2 250 600\none 300\n~ 100\ntwo 200\n", {})


LAYOUT = [("mV", "II"), ("mmHg", "ABP"), ("mV", "V")]


def _variable_record(folder: Path) -> Path:
    lines = [f"~ 0 1/{units} 16 0 0 0 0 {lead}" for units, lead in LAYOUT]
    (folder / "lay.hea").write_text("\n".join(["lay 3 250 0", *lines]) + "\n")
    _segment(folder, "one", ["II", "V"], [_ramp(300, 0), _ramp(300, 1000)])
    _segment(folder, "two", ["II"], [_ramp(200, 5000)])
    _segment(folder, "three", ["V", "II"], [_ramp(250, 7000), _ramp(250, 8000)])
    text = "rec/5 3 250 850\nlay 0\none 300\n~ 100\ntwo 200\nthree 250\n"
    return _write_raw(folder, text, {})


def test_a_fixed_layout_record_with_a_gap(tmp_path: Path) -> None:
    """Segments follow each other; a null segment is NaN of its length."""
    record = WfdbRecord.open(_fixed_record(tmp_path), "II")
    expected = np.concatenate([_ramp(300, 1000), np.full(100, np.nan), _ramp(200, 6000)]) / 100
    for window in (37, 600):
        np.testing.assert_array_equal(_read_all(record, window), expected.astype(np.float32))


@pytest.mark.parametrize(
    ("lead", "parts"),
    [
        (None, [_ramp(300, 0), np.full(100, np.nan), _ramp(200, 5000), _ramp(250, 8000)]),
        ("V", [_ramp(300, 1000), np.full(300, np.nan), _ramp(250, 7000)]),
    ],
)
def test_a_variable_layout_record(
    tmp_path: Path, lead: str | None, parts: list[NDArray[np.float64]]
) -> None:
    """The lead is found by name in each segment; a segment that lacks it is NaN."""
    path = _variable_record(tmp_path)
    record = WfdbRecord.open(path, lead)
    expected = (np.concatenate(parts) / 100).astype(np.float32)
    np.testing.assert_array_equal(_read_all(record, 83), expected)
    channel = ["II", "ABP", "V"].index(record.lead)
    whole = wfdb.rdrecord(str(path), channels=[channel]).p_signal[:, 0]
    np.testing.assert_array_equal(_read_all(record, 850), whole.astype(np.float32))


def test_segments_are_not_listed_as_records(tmp_path: Path) -> None:
    """A folder's records are its headers without the segments; broken ones are listed too."""
    _variable_record(tmp_path)
    _write(tmp_path, "other")
    (tmp_path / "broken.hea").write_text("nonsense")
    assert list_records(tmp_path) == ["broken", "other", "rec"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rec/1 2 250 600\nrec 600\n", "itself made of segments"),
        ("rec/2 2 250 600\none 300\none 200\n", "add up to 500"),
        ("rec/2 2 250 500\none 300\n../two 200\n", "not a plain name"),
        ("rec/2 2 250 500\none 300\nmissing 200\n", "no such file"),
        ("rec/2 2 250 700\none 300\ntwo 400\n", "holds 200 samples, its record needs 400"),
        ("rec/2 2 250 300\none 300\ntwo 0\n", "only the first segment"),
        ("rec/2 5 250 500\none 300\ntwo 200\n", "announces 5 signals"),
        ("rec/1 2 250 500\n~ 500\n", "has only gaps for segments"),
        ("rec/1 2 250\none 0\n", "lists no segment after its layout"),
        ("rec/2 2 500 500\none 300\ntwo 200\n", "has 250 frames a second"),
        ("rec/60000 2 250 500\none 300\n", "60000 segments"),
        ("rec/2 2 250\none 300\n~ 999999999999\n", "a record is at most a year long"),
    ],
)
def test_broken_segment_lists_are_refused(tmp_path: Path, text: str, message: str) -> None:
    """Self-reference, wrong sums, missing or short segments end in one line."""
    _fixed_record(tmp_path)
    (tmp_path / "rec.hea").write_text(text)
    with pytest.raises(RecordError, match=message) as caught:
        WfdbRecord.open(tmp_path / "rec")
    assert "\n" not in str(caught.value)


# --- which lead -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lead", "name"), [(None, "MLII"), ("V1", "V1"), ("v1", "V1"), (1, "V1"), ("1", "V1")]
)
def test_leads_go_by_name_or_index(tmp_path: Path, lead: str | int | None, name: str) -> None:
    """A name, its case ignored, or an index as number or text; the first lead by default."""
    assert WfdbRecord.open(_write(tmp_path), lead).lead == name


@pytest.mark.parametrize("lead", ["V9", "2", -1, 2, "", "9" * 5000])
def test_a_missing_lead_names_those_there_are(tmp_path: Path, lead: str | int) -> None:
    """The message lists the leads of the record."""
    with pytest.raises(RecordError, match=r"choose from MLII, V1"):
        WfdbRecord.open(_write(tmp_path), lead)


def test_a_signal_that_is_no_voltage_is_not_taken_for_an_ecg(tmp_path: Path) -> None:
    """By default it is passed over; asked for, it is refused."""
    header = "rec 2 250 500\nrec.dat 16 1/mmHg 16 0 0 0 0 ABP\nrec.dat 16 1/mV 16 0 0 0 0 ECG\n"
    path = _write_raw(tmp_path, header, {"rec.dat": bytes(2000)})
    assert WfdbRecord.open(path).lead == "ECG"
    with pytest.raises(
        RecordError, match=r"'ABP' .* 'mmHg', which is not a voltage; choose from ECG"
    ):
        WfdbRecord.open(path, "ABP")


def test_a_record_without_any_voltage_is_refused(tmp_path: Path) -> None:
    """Nothing is monitored that is no ECG."""
    path = _write_raw(
        tmp_path, "rec 1 250 500\nrec.dat 16 1/mmHg 16 0 0 0 0 ABP\n", {"rec.dat": bytes(1000)}
    )
    with pytest.raises(RecordError, match=r"no lead in V, mV or uV"):
        WfdbRecord.open(path)


# --- which path -------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", ".hea", ".dat"])
def test_the_suffix_does_not_matter(tmp_path: Path, suffix: str) -> None:
    """`rec`, `rec.hea` and `rec.dat` are the same record."""
    path = _write(tmp_path)
    assert WfdbRecord.open(f"{path}{suffix}").record == "rec"


def test_a_relative_path_with_dots_is_the_users_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`../data/rec` on the command line is read."""
    (tmp_path / "data").mkdir()
    (tmp_path / "work").mkdir()
    _write(tmp_path / "data")
    monkeypatch.chdir(tmp_path / "work")
    assert WfdbRecord.open("../data/rec").read(0, 10).shape == (10,)


@pytest.mark.parametrize("name", ["a\x1b[31m", "a\x00", "a\nb", "zip::rec", "", "x" * 300])
def test_names_that_no_record_has(tmp_path: Path, name: str) -> None:
    """Control characters never reach the terminal or the file system."""
    with pytest.raises(RecordError) as caught:
        WfdbRecord.open(f"{tmp_path}/{name}")
    assert str(caught.value).isprintable()


def test_a_missing_record_names_its_neighbours(tmp_path: Path) -> None:
    """The message says which records the folder holds."""
    _write(tmp_path, "rec7")
    with pytest.raises(RecordError, match=r"rec8 does not exist; .* holds rec7"):
        WfdbRecord.open(tmp_path / "rec8")
    with pytest.raises(RecordError, match=r"is a folder; .* holds rec7"):
        WfdbRecord.open(tmp_path)


# --- what cannot be read ----------------------------------------------------------------------


def test_a_truncated_signal_file_is_refused_with_both_sizes(tmp_path: Path) -> None:
    """The message says how many bytes there should be and how many there are."""
    path = _write(tmp_path)
    file = path.with_suffix(".dat")
    content = file.read_bytes()
    file.write_bytes(content[:-100])
    with pytest.raises(
        RecordError, match=rf"asks for {len(content)} bytes, it has {len(content) - 100}"
    ):
        WfdbRecord.open(path)


@pytest.mark.parametrize("content", [b"", b"not flac at all", None])
def test_a_broken_flac_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """A compressed file that is junk, or shorter than announced, is found when it is opened."""
    path = _write(tmp_path, fmt="516")
    file = path.with_suffix(".dat")
    if content is None:
        header = path.with_suffix(".hea").read_text()
        path.with_suffix(".hea").write_text(header.replace(str(N_FRAMES), "9999", 1))
    else:
        file.write_bytes(content)
    with pytest.raises(RecordError, match=r"cannot be read as FLAC|truncated"):
        WfdbRecord.open(path)


def test_a_file_that_shrinks_while_it_is_read_is_an_error_not_zeros(tmp_path: Path) -> None:
    """The file is checked once; what changes afterwards still ends in one line."""
    path = _write(tmp_path)
    record = WfdbRecord.open(path)
    path.with_suffix(".dat").write_bytes(b"")
    with pytest.raises(RecordError, match=r"rec"):
        record.read(0, 100)


def test_a_record_shorter_than_a_beat_is_refused(tmp_path: Path) -> None:
    """Less than a second cannot be monitored."""
    with pytest.raises(RecordError, match=r"shorter than one beat: 249 samples at 250 Hz"):
        WfdbRecord.open(_write(tmp_path, n=FS_HZ - 1))


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 4), (0, N_FRAMES + 1)])
def test_a_window_outside_the_record_is_a_programming_error(
    tmp_path: Path, start: int, stop: int
) -> None:
    """Windows are never clipped in silence."""
    with pytest.raises(ValueError, match=r"samples .* are not within the record"):
        WfdbRecord.open(_write(tmp_path)).read(start, stop)


# --- real records -----------------------------------------------------------------------------


@pytest.mark.skipif(not (DATA / "mitdb").is_dir(), reason="no real records in ../shared/data/mitdb")
@pytest.mark.parametrize(("name", "lead"), [("119", 0), ("114", 1)])
def test_a_real_record_is_read_to_the_bit(name: str, lead: int) -> None:
    """One-minute windows of a record of MIT-BIH equal wfdb's reading of the whole."""
    path = DATA / "mitdb" / name
    record = WfdbRecord.open(path, lead)
    expected = wfdb.rdrecord(str(path), channels=[lead]).p_signal[:, 0].astype(np.float32)
    np.testing.assert_array_equal(_read_all(record, 60 * 360), expected)
