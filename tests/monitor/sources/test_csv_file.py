"""Tables of text: how they are laid out, their times and gaps, and what is wrong with them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import InvalidOption, RecordError
from monitor.sources.kinds import open_record
from monitor.sources.source import RecordFile, SourceOptions
from tests.monitor.sources.conformance import check_one_line

N = 2000
WAVE = np.round(0.8 * np.sin(np.arange(N) / 20), 3)
FULL = SourceOptions(fs_hz=250, units="mV")
APPLE = (
    'Name,X\nDate of Birth,"Jan 8, 2002"\nRecorded Date,2026-05-30 16:32:18 -0700\n'
    "Classification,Sinus Rhythm\nSymptoms,\nSoftware Version,1.90\n"
    'Device,"Watch7,12"\nSample Rate,512 hertz\n\n\nLead,Lead I\nUnit,µV\n\n'
)
APPLE_GERMAN = (
    "Name,X\nGeburtsdatum,08.01.2002\nKlassifizierung,Sinusrhythmus\nSoftwareversion,1.90\n"
    'Messrate,"511,562\u00a0Hertz"\n\n\nAbleitung,Ableitung I\nEinheit,µV\n\n'
)


def written(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "ecg.csv"
    path.write_text(text, encoding=encoding)
    return path


def rows(*columns: Sequence[object], delimiter: str = ",") -> str:
    """Return the lines of a table."""
    return "".join(delimiter.join(map(str, row)) + "\n" for row in zip(*columns, strict=True))


def signal(record: RecordFile) -> list[float]:
    return [round(float(one), 6) for one in record.read(0, record.n_samples)[0]]


MS = [4 * number for number in range(N)]
SECONDS = [f"{number / 250:.3f}" for number in range(N)]
NANOSECONDS = [599616050941733632 + round(number * 1e9 / 130.1) for number in range(N)]
PHONE = ["2026-04-24T14:10:15.270"] * N
CLOCK = [f"0:{number / 250:06.3f}" for number in range(N)]
ISO = [f"2026-04-24T14:10:{number / 250:09.6f}" for number in range(N)]
UV = (1000 * WAVE).round().astype(int).tolist()
MV = WAVE.tolist()
QUOTED_CLOCK = [f"'{one}'" for one in CLOCK]
COMMA = [f"{one:.3f}".replace(".", ",") for one in MV]
QUOTED = [f'"{one}"' for one in COMMA]
RATE = SourceOptions(fs_hz=250)


@pytest.mark.parametrize(
    ("text", "options", "leads", "fs_hz"),
    [
        (APPLE + rows([f"{1000 * one:.3f}" for one in MV]), None, ("Lead I",), 512.0),
        (
            APPLE_GERMAN + rows([f"{1000 * one:g}".replace(".", ",") for one in MV]),
            None,
            ("signal 0",),
            511.562,
        ),
        (
            "Phone timestamp;sensor timestamp [ns];timestamp [ms];ecg [uV]\n"
            + rows(PHONE, NANOSECONDS, MS, UV, delimiter=";"),
            None,
            ("ecg",),
            130.1,
        ),
        ("Zeit (ms);EKG (mV)\n" + rows(MS, COMMA, delimiter=";"), None, ("EKG",), 250.0),
        ("time_ms\tecg_uv\tlabel\n" + rows(MS, UV, N * ["N"], delimiter="\t"), None, ("ecg",), 250),
        (
            "'Elapsed time','MLII'\n'hh:mm:ss.mmm','mV'\n" + rows(QUOTED_CLOCK, MV),
            None,
            ("MLII",),
            250.0,
        ),
        ("timestamp,ecg [mV]\n" + rows(ISO, MV), None, ("ecg",), 250.0),
        ("# t ecg_mV\n" + rows(SECONDS, MV, delimiter=" "), None, ("ecg",), 250.0),
        ("# fs = 250\n# unit: mV\nII,V5\n" + rows(MV, MV), None, ("II", "V5"), 250.0),
        (rows(SECONDS, MV), SourceOptions(units="mV"), ("signal 1",), 250.0),
        (rows(MV), FULL, ("signal 0",), 250.0),
        ("II,V5\n" + rows(MV, MV), FULL, ("II", "V5"), 250.0),
        (",ecg\n" + rows(range(N), MV), FULL, ("ecg",), 250.0),
        ('"II","V5"\n' + rows(QUOTED, QUOTED), FULL, ("II", "V5"), 250.0),
        ("ecg (mV);hr (bpm)\n" + rows(MV, N * [60], delimiter=";"), RATE, ("ecg",), 250.0),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else None,
)  # fmt: skip
def test_layouts_are_found(
    tmp_path: Path,
    text: str,
    options: SourceOptions | None,
    leads: tuple[str, ...],
    fs_hz: float,
) -> None:
    """Exports of Apple Health and Polar, and what people write: the same signal in millivolts."""
    with open_record(written(tmp_path, text), options) as record:
        assert (record.leads, record.fs_hz) == (leads, fs_hz)
        assert np.allclose(record.read(0, record.n_samples), WAVE, rtol=0, atol=0.00051)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_any_editor_may_have_written_it(tmp_path: Path, encoding: str) -> None:
    """Byte-order marks, other encodings, other ends of lines."""
    text = ("time [s];II [µV]\n" + rows(SECONDS, UV, delimiter=";")).replace("\n", "\r\n")
    with open_record(written(tmp_path, text, encoding)) as record:
        assert record.leads == ("II",)
        assert np.allclose(record.read(0, N), WAVE, atol=0.00051)


def test_gaps_lie_where_the_time_steps(tmp_path: Path) -> None:
    """Not spread over the samples around them, however short: one of 1.2 s and one of a sample."""
    times = np.arange(N) / 250
    times[500:] += 1.2
    times[1500:] += 0.004
    text = "time [s],II [mV]\n" + rows([f"{one:.3f}" for one in times], MV)
    with open_record(written(tmp_path, text)) as record:
        found = record.read(0, record.n_samples)[0]
        assert record.fs_hz == 250
    missing = np.flatnonzero(np.isnan(found)).tolist()
    assert missing == [*range(500, 800), 1800]
    assert np.array_equal(found[~np.isnan(found)], WAVE.astype(np.float32))


def test_times_of_few_decimals_make_neither_gaps_nor_another_rate(tmp_path: Path) -> None:
    """360 Hz in whole milliseconds: steps of 2 and 3 ms."""
    text = "time_ms,II_mV\n" + rows([round(n * 1000 / 360) for n in range(N)], MV)
    with open_record(written(tmp_path, text)) as record:
        assert (record.fs_hz, record.n_samples) == (360.0, N)


def test_a_clock_goes_on_over_midnight(tmp_path: Path) -> None:
    """Times of day begin anew; times with a date do not, in whatever zone this machine is."""
    times = [(86_395 * 1000 + 4 * number) % 86_400_000 for number in range(N)]
    clock = [
        f"{ms // 3_600_000}:{ms // 60_000 % 60:02d}:{ms % 60_000 / 1000:06.3f}" for ms in times
    ]
    with open_record(written(tmp_path, "time,II [mV]\n" + rows(clock, MV))) as record:
        assert (record.fs_hz, record.n_samples) == (250, N)
    summer = [
        f"2026-03-29T{h:02d}:{m:02d}:{s / 250:06.3f}"
        for h, m, s in ((1, 59, 14_750 + n) if n < 250 else (2, 0, n - 250) for n in range(N))
    ]
    with open_record(written(tmp_path, "time,II [mV]\n" + rows(summer, MV))) as record:
        assert (record.fs_hz, record.n_samples) == (250, N)


def test_irregular_times_are_said(tmp_path: Path) -> None:
    """Where times jump about, only long steps are gaps."""
    rng = np.random.default_rng(1)
    times = np.sort(np.arange(N) * 4 + rng.uniform(-3.9, 3.9, N))
    times[1000:] += 3000
    text = "time_ms,II_mV\n" + rows([f"{one:.2f}" for one in times], MV)
    with open_record(written(tmp_path, text)) as record:
        assert "are irregular; only steps over" in record.warnings[0]
        assert record.n_samples == pytest.approx(N + 3000 / 4, abs=5)


def test_missing_samples_are_missing(tmp_path: Path) -> None:
    """Empty cells, NaN and their like; never zero, never the value before."""
    cells = [str(one) for one in MV]
    for place, text in enumerate(["", "NaN", "nan", "null", "NA", "-", "inf"]):
        cells[100 + place] = text
    with open_record(written(tmp_path, "II,V5\n" + rows(cells, MV)), FULL) as record:
        found = record.read(0, N)
    assert np.flatnonzero(np.isnan(found[0])).tolist() == list(range(100, 107))
    assert not np.isnan(found[1]).any()


def test_a_last_line_that_is_cut_is_left_out(tmp_path: Path) -> None:
    """It may have lost digits; a whole one without an end is read."""
    whole = "II [mV],V5 [mV]\n" + rows([f"{one:.3f}" for one in MV], [f"{one:.3f}" for one in MV])
    options = RATE
    for cut, n_samples in ((1, N), (2, N - 1), (8, N - 1)):
        with open_record(written(tmp_path, whole[:-cut]), options) as record:
            assert record.n_samples == n_samples
            assert (n_samples < N) == any(
                "its last line is cut short" in w for w in record.warnings
            )


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("II [mV]\n" + rows(MV), None, "has no column of times and does not say its sampling rate"),
        (rows(MV), None, "nor the unit of its samples; add --fs, such as --fs 250, and --units mV"),
        (rows(SECONDS, MV), None, "does not say the unit of its samples; add --units mV (or uV, V"),
        (
            "time [s],II [mV]\n" + rows(SECONDS, MV),
            SourceOptions(fs_hz=500),
            "its times say 250 samples a second, not 500; leave --fs out",
        ),
        (
            APPLE + rows([f"{1000 * one:.3f}" for one in MV]),
            RATE,
            "the file says 512 samples a second, not 250",
        ),
        (
            "time [s],II [mV]\n" + rows(SECONDS, MV),
            SourceOptions(units="uV"),
            "says the unit of its samples itself; leave --units out",
        ),
        ("II\n" + rows(UV), FULL, "in mV its samples span 1.6e+03 mV, and an ECG spans"),
        ("II\n" + rows(MV), SourceOptions(fs_hz=250, units="nV"), "give a larger unit"),
        (
            "II [mV],V5 [mV]\n" + rows(MV, MV),
            SourceOptions(["aVF"], fs_hz=250),
            "has no lead 'aVF'; choose from II, V5",
        ),
        (
            "II [mV],note\n" + rows(MV, N * ["x"]),
            SourceOptions(["note"], fs_hz=250),
            "'note' of record",
        ),
        (
            "II,V5\n" + rows(MV[:1500], MV[:1500]) + "oops\n" + rows(MV[:500], MV[:500]),
            FULL,
            "ecg.csv, line 1502 has 1 column, the others have 2; put it right or take it out",
        ),
        (
            "II,V5\n" + rows(MV[:1500], MV[:1500]) + "0.1,high\n" + rows(MV[:500], MV[:500]),
            FULL,
            "line 1502: 'high' in column 'V5' is no number; a missing sample is an empty cell",
        ),
        (
            "time [s],II [mV]\n" + rows([*SECONDS[:1000], *SECONDS[500:1500]], MV),
            None,
            "at sample 1000 the time in column 'time' goes back or is missing; put the lines in",
        ),
        ("time [s],II [mV]\n" + rows(N * ["1.5"], MV), None, "do not rise from sample to sample"),
        (
            "time [s],II [mV]\n" + rows([*SECONDS[:1000], "", *SECONDS[1001:]], MV),
            None,
            "line 1002: '' in column 'time' is no time",
        ),
        (
            "time,II [mV]\n" + rows([100 * n for n in range(N)], MV),
            None,
            "step by 100, which is no sampling rate of an ECG in s, ms, us or ns; name its unit",
        ),
        ("II [mV]\n" + rows(MV[:100]), RATE, "is shorter than one beat: 100"),
        (
            "time [s],II [mV]\n" + rows([*SECONDS[:1000], *(f"{n}e9" for n in range(1, 1001))], MV),
            None,
            "span more than any record",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)  # fmt: skip
def test_what_is_wrong_is_said(
    tmp_path: Path, text: str, options: SourceOptions | None, said: str
) -> None:
    """One line: what, where, what to do next."""
    with pytest.raises(RecordError) as caught:
        open_record(written(tmp_path, text), options)
    assert said in str(caught.value)
    check_one_line(caught.value)


def test_samples_that_find_no_room_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large tables go to the temporary folder; small ones need none."""
    path = written(tmp_path, "II [mV]\n" + 300 * rows(MV))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(RecordError, match=r"do not fit into the temporary folder .*none: No such"):
        open_record(path, RATE)
    with open_record(written(tmp_path, "II [mV]\n" + rows(MV)), RATE) as record:
        assert record.n_samples == N


@pytest.mark.parametrize("fs_hz", [0.0, -250.0, float("nan"), 1e9])
def test_a_rate_that_is_none_is_refused(fs_hz: float) -> None:
    """Before anything is opened."""
    with pytest.raises(InvalidOption, match=r"--fs .* is out of range; use 100 to 2000 Hz"):
        SourceOptions(fs_hz=fs_hz)


def test_a_line_without_end_takes_no_memory(tmp_path: Path) -> None:
    """A megabyte without a line's end is no table."""
    path = written(tmp_path, "II [mV]\n" + rows(MV) + 400_000 * "1")
    with pytest.raises(RecordError, match="has a line of over 100000 characters"):
        open_record(path, RATE)


@pytest.mark.parametrize("header", ["time [s],I [mV],II [mV]", "I [mV],II [mV]"])
def test_a_column_i_of_samples_is_lead_i(header: str, tmp_path: Path) -> None:
    """It is no counter, whatever its place."""
    columns = (SECONDS, MV, MV) if header.startswith("time") else (MV, MV)
    path = written(tmp_path, f"{header}\n" + rows(*columns))
    with open_record(path, SourceOptions(fs_hz=250)) as record:
        assert tuple(record.leads) == ("I", "II")
        assert signal(record) == MV


def test_a_column_i_that_counts_is_none(tmp_path: Path) -> None:
    """`i` is a loop's number, too."""
    path = written(tmp_path, "II [mV],i\n" + rows(MV, range(N)))
    with open_record(path, SourceOptions(fs_hz=250)) as record:
        assert tuple(record.leads) == ("II",)


@pytest.mark.parametrize(
    ("above", "fs_hz"),
    [
        ("# 12-bit, 50 Hz notch\n# sampling rate 250 Hz\n", 250.0),
        ("# low-pass filter 150 Hz\n# 250 Hz\n", 250.0),
        ("# Sampling rate: 250 Hz; band 0.5-40 Hz\n", 250.0),
        ("Filter;50 Hz\nSample rate;250\n", 250.0),
        ("# heart rate: 72\n# fs = 250\n", 250.0),
        ("# sampled at 250,0 Hz, mains 50 Hz\n", 250.0),
        ("# filter 150 Hz\n", None),
        ("# heart rate: 72\n", None),
        ("# ECG sampling rate 250 Hz\n# ACC sampling rate 100 Hz\n", None),
    ],
)
def test_hertz_of_a_filter_are_no_sampling_rate(
    tmp_path: Path, above: str, fs_hz: float | None
) -> None:
    """A heart at three times its rate would be the price; what is not clear is asked for."""
    path = tmp_path / "ecg.csv"
    path.write_text(above + "II (mV)\n" + rows([f"{one:.3f}" for one in MV]))
    if fs_hz is None:
        with pytest.raises(RecordError, match="sampling rate"):
            open_record(path)
    with open_record(path, None if fs_hz else RATE) as record:
        assert record.fs_hz == (fs_hz or 250.0)
