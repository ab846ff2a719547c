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
from monitor.sources import wfdb_lead
from monitor.sources.source import RecordSource
from monitor.sources.wfdb_record import WfdbRecord, list_records
from monitor.wire.messages import MAX_LEADS
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


def _read_leads(record: RecordSource, window: int) -> NDArray[np.float32]:
    """Return all samples of all leads, shape (leads, n), read window by window."""
    n = record.n_samples
    windows = [record.read(a, min(a + window, n)) for a in range(0, n, window)]
    return np.concatenate(windows, axis=1)


def _read_all(record: RecordSource, window: int) -> NDArray[np.float32]:
    """Return all samples of the first lead, shape (n,)."""
    first: NDArray[np.float32] = _read_leads(record, window)[0]
    return first


def _small_blocks(monkeypatch: pytest.MonkeyPatch, samples: int = 700) -> None:
    """Make blocks so small that a short record spans several of them."""
    monkeypatch.setattr(wfdb_lead, "BLOCK_SAMPLES", samples)


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
    np.testing.assert_array_equal(WfdbRecord.open(path).read(650, 900)[0], expected[650:900])
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
        np.testing.assert_array_equal(record.read(low, high)[0], whole[low:high])


def test_invalid_samples_are_nan_not_numbers(tmp_path: Path) -> None:
    """WFDB's code for "no sample" is NaN, and zero stays zero."""
    digital = np.zeros(500, "<i2")
    digital[100:110] = -32_768
    path = _write_raw(
        tmp_path,
        "rec 1 250 500\nrec.dat 16 200/mV 16 0 0 0 0 ECG\n",
        {"rec.dat": digital.tobytes()},
    )
    got = WfdbRecord.open(path).read(0, 500)[0]
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
    np.testing.assert_array_equal(WfdbRecord.open(path).read(0, 500)[0], expected)


def test_a_lead_of_several_samples_a_frame_keeps_its_own_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ECG at 4 samples a frame beside a slow signal is read at four times the frame rate."""
    _small_blocks(monkeypatch, 500)
    frames = np.arange(400 * 5).astype("<i2").reshape(400, 5)
    header = "rec 2 125 400\nrec.dat 16 1/mmHg 16 0 0 0 0 ABP\nrec.dat 16x4 1/mV 16 0 0 0 0 ECG\n"
    record = WfdbRecord.open(_write_raw(tmp_path, header, {"rec.dat": frames.tobytes()}))
    assert (record.leads, record.fs_hz, record.n_samples) == (("ECG",), 500.0, 1600)
    expected = frames[:, 1:].reshape(-1).astype(np.float32)
    np.testing.assert_array_equal(_read_all(record, 333), expected)


@pytest.mark.parametrize(("spf", "lag"), [(1, 5), (3, 2), (10, 1), (11, 0)])
def test_skew_shifts_the_lead_and_its_end_is_missing(
    tmp_path: Path, spf: int, lag: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five samples of skew are so many frames as come nearest; what the file lacks is NaN."""
    _small_blocks(monkeypatch, 600)
    frames = (1 + np.arange(500 * (spf + 1))).astype("<i2").reshape(500, spf + 1)
    header = f"rec 2 250 500\nrec.dat 16 1/mV 16 0 0 0 0 I\nrec.dat 16x{spf}:5 1/mV 16 0 0 0 0 II\n"
    record = WfdbRecord.open(_write_raw(tmp_path, header, {"rec.dat": frames.tobytes()}), "II")
    got = _read_all(record, 190)
    n_held = (500 - lag) * spf
    np.testing.assert_array_equal(got[:n_held], frames[lag:, 1:].reshape(-1).astype(np.float32))
    assert np.all(np.isnan(got[n_held:]))
    assert len(got) == 500 * spf


def test_two_leads_of_different_skew_in_a_file_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each lead goes back by its own skew; the file's samples behind the record fill the end."""
    _small_blocks(monkeypatch, 300)
    frames = (1 + np.arange(2 * 510)).astype("<i2").reshape(510, 2)
    header = "rec 2 250 500\nrec.dat 16:3 1/mV 16 0 0 0 0 I\nrec.dat 16:7 1/mV 16 0 0 0 0 II\n"
    path = _write_raw(tmp_path, header, {"rec.dat": frames.tobytes()})
    for channel, lag in enumerate([3, 7]):
        got = _read_all(WfdbRecord.open(path, channel), 190)
        np.testing.assert_array_equal(got, frames[lag : lag + 500, channel].astype(np.float32))


@pytest.mark.parametrize("length", ["", "0", "0.0"])
@pytest.mark.parametrize(("fmt", "n_bytes", "held"), [("16", 1200, 300), ("212", 1201, 400)])
def test_a_header_without_length_leaves_it_to_the_file(
    tmp_path: Path, length: str, fmt: str, n_bytes: int, held: int
) -> None:
    """header(5): a length that is missing or 0 is unspecified; what is left of a frame is none."""
    path = _write_raw(
        tmp_path,
        f"rec 2 250 {length}\nrec.dat {fmt} 1 16 0 0 0 0 I\nrec.dat {fmt} 1 16 0 0 0 0 II\n",
        {"rec.dat": bytes(n_bytes)},
    )
    record = WfdbRecord.open(path)
    assert (record.n_samples, record.warnings) == (held, ())
    np.testing.assert_array_equal(_read_all(record, 77), np.zeros(held, np.float32))


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
    channel = ["II", "ABP", "V"].index(record.leads[0])
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
        ("rec/2 2 250 500\none 300\n../two 200\n", "not a plain name"),
        ("rec/2 2 250 500\none 300\nmissing 200\n", "no such file"),
        ("rec/2 2 250 300\none 300\ntwo 0\n", "only the first segment"),
        ("rec/2 5 250 500\none 300\ntwo 200\n", "announces 5 signals"),
        ("rec/1 2 250 500\n~ 500\n", "no segment but gaps"),
        ("rec/1 2 250\none 0\n", "no segment but its layout"),
        ("rec/2 2 500 500\none 300\ntwo 200\n", "has 250 frames a second"),
        ("rec/60000 2 250 500\none 300\n", "60000 segments"),
        ("rec/2 2 250\none 300\n~ 999999999999\n", "no record is longer than a year"),
    ],
)
def test_broken_segment_lists_are_refused(tmp_path: Path, text: str, message: str) -> None:
    """Self-reference, wrong sums, missing or short segments end in one line."""
    _fixed_record(tmp_path)
    (tmp_path / "rec.hea").write_text(text)
    with pytest.raises(RecordError, match=message) as caught:
        WfdbRecord.open(tmp_path / "rec")
    assert "\n" not in str(caught.value)


def test_a_record_line_that_disagrees_with_its_segments_is_reported(tmp_path: Path) -> None:
    """The segments are what there is to read; lines beyond the announced number are not read."""
    _fixed_record(tmp_path)
    (tmp_path / "rec.hea").write_text("rec/2 2 250 600\none 300\ntwo 200\nthree 100\n")
    record = WfdbRecord.open(tmp_path / "rec")
    assert record.n_samples == 500
    (warning,) = record.warnings
    assert "announces 600 samples and its segments add up to 500" in warning


def test_a_short_segment_is_missing_at_its_end_alone(tmp_path: Path) -> None:
    """What follows keeps its place."""
    _fixed_record(tmp_path)
    (tmp_path / "rec.hea").write_text("rec/2 2 250 600\none 350\ntwo 200\n")
    record = WfdbRecord.open(tmp_path / "rec", 0)
    got = _read_all(record, 80)
    assert np.flatnonzero(np.isnan(got)).tolist() == list(range(300, 350))
    np.testing.assert_array_equal(got[350:], (_ramp(200, 5000) / 100).astype(np.float32))
    assert any("says 350 samples a signal, it holds 300" in one for one in record.warnings)


def test_a_segment_of_null_signals_is_a_gap(tmp_path: Path) -> None:
    """header(5), example 6: a segment may be a record of format 0."""
    _fixed_record(tmp_path)
    (tmp_path / "null.hea").write_text("null 2 250 100\n~ 0\n~ 0\n")
    (tmp_path / "rec.hea").write_text("rec/3 2 250 600\none 300\nnull 100\ntwo 200\n")
    got = _read_all(WfdbRecord.open(tmp_path / "rec", "I"), 70)
    assert np.flatnonzero(np.isnan(got)).tolist() == list(range(300, 400))


def _two_of_one_name(folder: Path) -> Path:
    lines = [f"~ 0 1/mV 16 0 0 0 0 {lead}" for lead in ("ECG", "ECG", "V")]
    (folder / "lay.hea").write_text("\n".join(["lay 3 250 0", *lines]) + "\n")
    _segment(folder, "one", ["ECG", "ECG"], [_ramp(300, 0), _ramp(300, 1000)])
    _segment(folder, "two", ["V", "ECG", "ECG"], [_ramp(200, at) for at in (3000, 5000, 7000)])
    _segment(folder, "three", ["ECG", "V"], [_ramp(100, 9000), _ramp(100, 9500)])
    return _write_raw(folder, "rec/4 3 250 600\nlay 0\none 300\ntwo 200\nthree 100\n", {})


@pytest.mark.parametrize(
    ("lead", "parts"),
    [
        (0, [_ramp(300, 0), _ramp(200, 5000), _ramp(100, 9000)]),
        ("ECG", [_ramp(300, 0), _ramp(200, 5000), _ramp(100, 9000)]),
        (1, [_ramp(300, 1000), _ramp(200, 7000), np.full(100, np.nan)]),
        (2, [np.full(300, np.nan), _ramp(200, 3000), _ramp(100, 9500)]),
    ],
)
def test_of_two_leads_of_one_name_an_index_means_its_own(
    tmp_path: Path, lead: str | int, parts: list[NDArray[np.float64]]
) -> None:
    """The second lead of a name in the layout is the second of that name in each segment."""
    record = WfdbRecord.open(_two_of_one_name(tmp_path), lead)
    expected = (np.concatenate(parts) / 100).astype(np.float32)
    np.testing.assert_array_equal(_read_all(record, 83), expected)
    assert record.channels[0] == (0 if lead == "ECG" else lead)


# --- which lead -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lead", "name"), [(None, "MLII"), ("V1", "V1"), ("v1", "V1"), (1, "V1"), ("1", "V1")]
)
def test_leads_go_by_name_or_index(tmp_path: Path, lead: str | int | None, name: str) -> None:
    """A name, its case ignored, or an index as number or text; the first lead by default."""
    assert WfdbRecord.open(_write(tmp_path), lead).leads[0] == name


@pytest.mark.parametrize("lead", ["V9", "2", -1, 2, "", "9" * 5000])
def test_a_missing_lead_names_those_there_are(tmp_path: Path, lead: str | int) -> None:
    """The message lists the leads of the record."""
    with pytest.raises(RecordError, match=r"choose from MLII, V1"):
        WfdbRecord.open(_write(tmp_path), lead)


def test_pulse_waves_are_at_hand_beside_the_leads(tmp_path: Path) -> None:
    """In their own unit, whichever leads are read; of a lead's name none, nor of another rate."""
    header = (
        "rec 6 250 1000\n"
        "rec.dat 16 200/mV 16 0 0 0 0 II\n"
        "rec.dat 16 10(50)/mmHg 16 0 0 0 0 ABP\n"
        "rec.dat 16 200/mV 16 0 0 0 0 V1\n"
        "rec.dat 16 1000/NU 16 0 0 0 0 PLETH\n"
        "rec.dat 16 100/NU 16 0 0 0 0 RESP\n"
        "slow.dat 16x2 10/mmHg 16 0 0 0 0 ART\n"
    )
    values = np.random.default_rng(0).integers(-900, 900, (1000, 5)).astype("<i2")
    slow = np.zeros(2000, "<i2").tobytes()
    path = _write_raw(tmp_path, header, {"rec.dat": values.tobytes(), "slow.dat": slow})
    for leads, names in ((None, ("II", "V1")), ("V1", ("V1",))):
        record = WfdbRecord.open(path, leads)
        assert (record.leads, record.waves) == (names, ("ABP", "PLETH"))
        waves = np.concatenate([record.read_waves(k, k + 100) for k in range(0, 1000, 100)], 1)
        np.testing.assert_allclose(waves[0], (values[:, 1] - 50) / 10, rtol=1e-6)
        np.testing.assert_allclose(waves[1], values[:, 3] / 1000, rtol=1e-6)
        assert record.read(0, 1000).shape == (len(names), 1000)
    assert WfdbRecord.open(_write(tmp_path, "plain")).read_waves(0, 10).shape == (0, 10)


def test_a_wave_whose_file_is_missing_is_left_out(tmp_path: Path) -> None:
    """The leads say what they say without it."""
    header = "rec 2 250 1000\nrec.dat 16 200/mV 16 0 0 0 0 II\ngone.dat 16 1/NU 16 0 0 0 0 PLETH\n"
    record = WfdbRecord.open(_write_raw(tmp_path, header, {"rec.dat": bytes(2000)}))
    assert (record.leads, record.waves, record.warnings) == (("II",), (), ())


def test_a_signal_that_is_no_voltage_is_not_taken_for_an_ecg(tmp_path: Path) -> None:
    """By default it is passed over; asked for, it is refused."""
    header = "rec 2 250 500\nrec.dat 16 1/mmHg 16 0 0 0 0 ABP\nrec.dat 16 1/mV 16 0 0 0 0 ECG\n"
    path = _write_raw(tmp_path, header, {"rec.dat": bytes(2000)})
    assert WfdbRecord.open(path).leads == ("ECG",)
    with pytest.raises(RecordError, match=r"'ABP' .* is in 'mmHg', no voltage; there are ECG"):
        WfdbRecord.open(path, "ABP")


@pytest.mark.parametrize(
    ("second", "chosen"), [(("RESP", "V"), "V"), (("RESP", "II"), "II"), (("RESP",), "II")]
)
def test_the_lead_of_a_layout_is_the_ecg_lead_that_holds_most(
    tmp_path: Path, second: tuple[str, ...], chosen: str
) -> None:
    """Respiration is passed over though it comes first and is always there."""
    lines = [f"~ 0 1/mV 16 0 0 0 0 {lead}" for lead in ("RESP", "II", "V", "V5")]
    (tmp_path / "lay.hea").write_text("\n".join(["lay 4 250 0", *lines]) + "\n")
    _segment(tmp_path, "one", ["RESP", "II"], [_ramp(100, 0)] * 2)
    _segment(tmp_path, "two", list(second), [_ramp(300, 0)] * len(second))
    path = _write_raw(tmp_path, "rec/4 4 250\nlay 0\none 100\n~ 200\ntwo 300\n", {})
    assert WfdbRecord.open(path).leads == (chosen,)


def test_an_absent_lead_that_is_asked_for_is_refused(tmp_path: Path) -> None:
    """A lead of the layout that no segment holds would be silence to the end."""
    path = _variable_record(tmp_path)
    (tmp_path / "rec.hea").write_text("rec/2 3 250 200\nlay 0\ntwo 200\n")
    (tmp_path / "two.hea").write_text("two 1 250 200\ntwo.dat 16 100/mV 16 0 0 0 0 II\n")
    with pytest.raises(RecordError, match=r"no segment of record .* holds lead 'V'"):
        WfdbRecord.open(path, "V")


def test_a_lead_whose_file_is_missing_is_passed_over(tmp_path: Path) -> None:
    """Who copied one signal file of two can read what is in it."""
    header = "rec 2 250 500\na.dat 16 1/mV 16 0 0 0 0 I\nb.dat 16 1/mV 16 0 0 0 0 II\n"
    path = _write_raw(tmp_path, header, {"b.dat": bytes(1000)})
    assert WfdbRecord.open(path).leads == ("II",)
    with pytest.raises(RecordError, match=r"a\.dat cannot be read"):
        WfdbRecord.open(path, "I")


@pytest.mark.parametrize("units", ["NV", "MV"])
def test_units_that_are_a_voltage_but_for_their_case(tmp_path: Path, units: str) -> None:
    """NV is no nanovolt: the ECG is taken in millivolts, and that is reported."""
    digital = np.arange(500).astype("<i2")
    path = _write_raw(
        tmp_path,
        f"rec 1 250 500\nrec.dat 16 2/{units} 16 0 0 0 0 ECG\n",
        {"rec.dat": digital.tobytes()},
    )
    record = WfdbRecord.open(path)
    np.testing.assert_array_equal(record.read(0, 500)[0], (digital / 2).astype(np.float32))
    (warning,) = record.warnings
    assert f"is in {units!r}" in warning
    assert "taken for mV" in warning


def test_a_record_without_any_voltage_is_refused(tmp_path: Path) -> None:
    """Nothing is monitored that is no ECG."""
    path = _write_raw(
        tmp_path, "rec 1 250 500\nrec.dat 16 1/mmHg 16 0 0 0 0 ABP\n", {"rec.dat": bytes(1000)}
    )
    with pytest.raises(RecordError, match=r"no lead in V, mV or uV"):
        WfdbRecord.open(path)


# --- several leads ----------------------------------------------------------------------------


@pytest.mark.parametrize("fmt", ["16", "212", "516"])
def test_leads_together_are_each_alone(
    tmp_path: Path, fmt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unasked all ECG leads, a row each; the order is the record's, or that of who asks."""
    _small_blocks(monkeypatch)
    path = _write(tmp_path, fmt=fmt)
    alone = [_read_all(WfdbRecord.open(path, lead), 97) for lead in range(2)]
    both = WfdbRecord.open(path)
    assert (both.leads, both.channels) == (("MLII", "V1"), (0, 1))
    np.testing.assert_array_equal(_read_leads(both, 333), alone)
    turned = WfdbRecord.open(path, ["V1", 0])
    assert (turned.leads, turned.channels) == (("V1", "MLII"), (1, 0))
    np.testing.assert_array_equal(_read_leads(turned, 50), alone[::-1])


def test_leads_of_different_skew_are_laid_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their windows lie in different frames of the file."""
    _small_blocks(monkeypatch, 300)
    frames = (1 + np.arange(2 * 510)).astype("<i2").reshape(510, 2)
    header = "rec 2 250 500\nrec.dat 16:3 1/mV 16 0 0 0 0 I\nrec.dat 16:7 1/mV 16 0 0 0 0 II\n"
    path = _write_raw(tmp_path, header, {"rec.dat": frames.tobytes()})
    expected = np.stack([frames[lag : lag + 500, row] for row, lag in enumerate([3, 7])])
    np.testing.assert_array_equal(
        _read_leads(WfdbRecord.open(path), 190), expected.astype(np.float32)
    )


def test_leads_of_flac_with_several_samples_a_frame(tmp_path: Path) -> None:
    """A lead's samples of a frame follow each other; in the file they lie between the others'."""
    path = _write(tmp_path, fmt="516", n=1_500)
    apart = np.stack([_read_all(WfdbRecord.open(path, lead), 500) for lead in range(2)])
    lines = [f"rec.dat 516x3 40/mV 16 0 0 0 0 {lead}" for lead in ("MLII", "V1")]
    path.with_suffix(".hea").write_text("\n".join(["rec 2 250 500", *lines]) + "\n")
    record = WfdbRecord.open(path)
    assert (record.fs_hz, record.n_samples) == (750.0, 1_500)
    np.testing.assert_array_equal(_read_leads(record, 333), apart)


def test_a_lead_of_another_rate_is_left_out_and_reported(tmp_path: Path) -> None:
    """Unasked; who asks for both is told why that cannot be."""
    header = "rec 2 250 500\na.dat 16 1/mV 16 0 0 0 0 I\nb.dat 16x2 1/mV 16 0 0 0 0 II\n"
    path = _write_raw(tmp_path, header, {"a.dat": bytes(1000), "b.dat": bytes(2000)})
    record = WfdbRecord.open(path)
    assert record.leads == ("I",)
    assert record.warnings == (
        "left out: lead 'II' has another sampling rate than 'I'; name leads of one rate (--lead)",
    )
    assert WfdbRecord.open(path, "II").fs_hz == 500.0
    with pytest.raises(RecordError, match="another sampling rate than 'I'"):
        WfdbRecord.open(path, ["I", "II"])


def test_a_lead_that_ends_early_is_missing_from_there_on(tmp_path: Path) -> None:
    """The record lasts as long as its longest lead."""
    header = "rec 2 250 500\na.dat 16 1/mV 16 0 0 0 0 I\nb.dat 16 1/mV 16 0 0 0 0 II\n"
    path = _write_raw(tmp_path, header, {"a.dat": bytes(800), "b.dat": bytes(1000)})
    got = _read_leads(WfdbRecord.open(path), 77)
    assert got.shape == (2, 500)
    assert np.flatnonzero(np.isnan(got[0])).tolist() == list(range(400, 500))
    assert not np.isnan(got[1]).any()


def test_a_lead_whose_file_was_not_copied_is_left_out(tmp_path: Path) -> None:
    """The other one is monitored, and the warning says which is not."""
    header = "rec 2 250 500\na.dat 16 1/mV 16 0 0 0 0 I\nb.dat 16 1/mV 16 0 0 0 0 II\n"
    path = _write_raw(tmp_path, header, {"a.dat": b"", "b.dat": bytes(1000)})
    assert WfdbRecord.open(path).leads == ("II",)
    with pytest.raises(RecordError, match=r"a\.dat is truncated"):
        WfdbRecord.open(path, ["II", "I"])


def test_leads_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """Messages name leads: of one name the second gets a number."""
    header = "rec 3 250 500\n" + "rec.dat 16 1/mV 16 0 0 0 0 ECG\n" * 3
    path = _write_raw(tmp_path, header, {"rec.dat": bytes(3000)})
    assert WfdbRecord.open(path).leads == ("ECG", "ECG#2", "ECG#3")


def test_leads_are_bounded(tmp_path: Path) -> None:
    """A message holds sixteen: of more the first are monitored, the others are reported."""
    names = [f"V{n}" if n < 10 else f"ECG {n}" for n in range(1, 19)]
    lines = [f"rec.dat 16 1/mV 16 0 0 0 0 {name}" for name in names]
    path = _write_raw(
        tmp_path, "\n".join(["rec 18 250 500", *lines]) + "\n", {"rec.dat": bytes(18_000)}
    )
    record = WfdbRecord.open(path)
    assert record.leads == tuple(names[:MAX_LEADS])
    assert len(record.warnings) == 2
    assert all("more than 16 leads are not read" in one for one in record.warnings)


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
    assert WfdbRecord.open("../data/rec").read(0, 10).shape == (2, 10)


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


@pytest.mark.parametrize(
    ("fmt", "lost_bytes", "held"),
    [("16", 1, 1500), ("16", 4, 1500), ("212", 1, 1500), ("212", 3, 1500), ("24", 600, 1401)],
)
def test_a_short_signal_file_is_read_as_far_as_it_goes(
    tmp_path: Path, fmt: str, lost_bytes: int, held: int
) -> None:
    """Published records lack a sample here and there; the warning has both lengths."""
    path = _write(tmp_path, fmt=fmt)
    expected = wfdb.rdrecord(str(path)).p_signal[:held, 0].astype(np.float32)
    file = path.with_suffix(".dat")
    file.write_bytes(file.read_bytes()[:-lost_bytes])
    record = WfdbRecord.open(path)
    np.testing.assert_array_equal(_read_all(record, 97), expected)
    (warning,) = record.warnings
    assert f"its header says {N_FRAMES} samples a signal, it holds {held}" in warning


def test_a_file_of_nearly_nothing_is_refused_with_both_lengths(tmp_path: Path) -> None:
    """It was not copied whole; the line says what the header promised."""
    path = _write(tmp_path, fmt="16")
    path.with_suffix(".dat").write_bytes(bytes(400))
    with pytest.raises(RecordError, match=rf"truncated: .* says {N_FRAMES} samples .* holds 100;"):
        WfdbRecord.open(path)


@pytest.mark.parametrize("content", [b"", b"not flac at all"])
def test_a_broken_flac_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """A compressed file that is junk is found when it is opened."""
    path = _write(tmp_path, fmt="516")
    path.with_suffix(".dat").write_bytes(content)
    with pytest.raises(RecordError, match=r"no FLAC file"):
        WfdbRecord.open(path)


def test_a_flac_file_shorter_than_its_header_says_is_read(tmp_path: Path) -> None:
    """Its length is known to its decoder alone."""
    path = _write(tmp_path, fmt="516")
    header = path.with_suffix(".hea").read_text()
    path.with_suffix(".hea").write_text(header.replace(str(N_FRAMES), "1600", 1))
    record = WfdbRecord.open(path)
    assert record.n_samples == N_FRAMES
    assert len(record.warnings) == 1


@pytest.mark.parametrize(
    ("n_signals", "fmt", "message"),
    [(1, "516", "holds 2 signals; its header describes 1"), (2, "508", "of format 508")],
)
def test_a_flac_file_that_is_not_what_its_header_says(
    tmp_path: Path, n_signals: int, fmt: str, message: str
) -> None:
    """Other signals than announced, or wider samples, are refused when they are read."""
    path = _write(tmp_path, fmt="516")
    lines = [f"rec.dat {fmt} 40/mV 16 0 0 0 0 V{i}" for i in range(n_signals)]
    path.with_suffix(".hea").write_text("\n".join([f"rec {n_signals} 250 1501", *lines]) + "\n")
    with pytest.raises(RecordError, match=message):
        WfdbRecord.open(path).read(0, 100)


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
    with pytest.raises(ValueError, match=r"window"):
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
    np.testing.assert_array_equal(_read_leads(WfdbRecord.open(path), 60 * 360)[lead], expected)
