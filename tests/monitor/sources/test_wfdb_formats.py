"""Signal files: bytes of each format, written out by hand, and what they hold.

The values follow from signal(5) and header(5); 60 records that the C library read are compared with
where they are at hand.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.sources import wfdb_lead
from monitor.sources.wfdb_formats import read_samples, samples_held, with_gaps
from monitor.sources.wfdb_record import WfdbRecord
from tests.real_data import RDSAMP_RECORDS

# format, bytes, ADC units (differences for format 8); None is "no sample"
STORED: list[tuple[str, str, list[int | None]]] = [
    ("8", "01 ff 80 7f", [1, -1, -128, 127]),
    ("16", "01 00 ff ff 00 80 ff 7f", [1, -1, None, 32767]),
    ("24", "01 00 00 ff ff ff 00 00 80 ff ff 7f", [1, -1, None, 8388607]),
    ("24", "00 80 ff", [None]),  # -32768: the C library's "no sample" in every format
    ("32", "01 00 00 00 ff ff ff ff 00 00 00 80 ff ff ff 7f", [1, -1, None, 2147483647]),
    ("61", "00 01 ff ff 80 00 7f ff", [1, -1, None, 32767]),
    ("80", "81 7f 00 ff", [1, -1, None, 127]),
    ("160", "01 80 ff 7f 00 00 ff ff", [1, -1, None, 32767]),
    # 0x001 and 0xfff: the middle byte holds the high bits, the second sample's above
    ("212", "01 f0 ff", [1, -1]),
    ("212", "00 78 ff", [None, 2047]),
    ("212", "01 00", [1]),  # an odd one alone takes two bytes
    # 1, -1 and -2 = 0b11111_11110: bits 1 to 10 of two words, 5 bits of the third over each
    ("310", "02 f0 fe ff", [1, -1, -2]),
    ("310", "00 04 02 00", [None, 1, 0]),
    ("310", "02 00", [1]),
    # 1 | 0x3ff << 10 | 0x3fe << 20
    ("311", "01 fc ef 3f", [1, -1, -2]),
    ("311", "00 02 00 00", [None, 0, 0]),
    ("311", "01 fc 0f", [1, -1]),  # two alone take three bytes
]


@pytest.mark.parametrize(("fmt", "content", "expected"), STORED)
def test_bytes_of_each_format(
    tmp_path: Path, fmt: str, content: str, expected: list[int | None]
) -> None:
    """Behind a preamble of five bytes, read at once and from each sample on."""
    raw = bytes.fromhex(content)
    (tmp_path / "r.dat").write_bytes(b"start" + raw)
    assert samples_held(fmt, len(raw)) == len(expected)
    for first in range(len(expected)):
        stored = read_samples(tmp_path / "r.dat", fmt, 5, first, len(expected) + 9)
        found = with_gaps(fmt, stored).tolist()
        assert [None if np.isnan(one) else one for one in found] == expected[first:]


# header, bytes, samples of each lead in ADC units; None is missing
BESIDE = "r.dat 16 1/mV 16 0 0 0 0"
RECORDS: list[tuple[str, str, str, list[list[int | None]]]] = [
    (
        "two leads, one after the other in each frame",
        f"r 2 1 2\n{BESIDE} I\n{BESIDE} II\n",
        "01 00 02 00 03 00 04 00",
        [[1, 3], [2, 4]],
    ),
    (
        "a lead with two samples a frame, behind a preamble",
        "r 2 1 2\nr.dat 16x2+1 1 16 0 0 0 0 I\nr.dat 16+1 1 16 0 0 0 0 II\n",
        "aa 01 00 02 00 03 00 04 00 05 00 06 00",
        [[1, 2, 4, 5], [3, 6]],
    ),
    (
        "a skew of one frame: samples before it precede the record",
        f"r 2 1 3\nr.dat 16:1 1 16 0 0 0 0 I\n{BESIDE} II\n",
        "01 00 02 00 03 00 04 00 05 00 06 00",
        [[3, 5, None], [2, 4, 6]],
    ),
    (
        "the file goes on behind the record",
        f"r 2 1 2\nr.dat 16:1 1 16 0 0 0 0 I\n{BESIDE} II\n",
        "01 00 02 00 03 00 04 00 05 00 06 00",
        [[3, 5], [2, 4]],
    ),
    (
        "a skew of three samples, two a frame: one and a half frames, so two",
        "r 1 1 3\nr.dat 80x2:3 1 8 0 0 0 0 I\n",
        "81 82 83 84 85 86",
        [[5, 6, None, None, None, None]],
    ),
    (
        "differences begin at the ADC zero",
        "r 1 1 3\nr.dat 8 1(0) 8 100\n",
        "01 01 fe",
        [[101, 102, 100]],
    ),
    (
        "differences begin at the initial value",
        "r 2 1 2\nr.dat 8 1(0) 8 100 7\nr.dat 8x2 1(0) 8 100 -7\n",
        "01 02 03 01 02 03",
        [[8, 9], [-5, -2, 0, 3]],
    ),
    (
        "differences with a skew: frames up to the largest skew start anew, each by itself",
        "r 2 1 4\nr.dat 8:2 1(0) 8 0 10\nr.dat 8:1 1(0) 8 0 20\n",
        "01 01 02 02 03 03 04 04",
        [[13, 17, None, None], [22, 23, 27, None]],
    ),
    (
        "the same with two samples a frame, which are added up within their frame",
        "r 1 1 3\nr.dat 8x2:2 1(0) 8 0 10\n",
        "01 01 02 02 03 03",
        [[12, 14, 17, 20, None, None]],
    ),
    (
        "three samples in four bytes, frames of two",
        "r 2 1 2\nr.dat 311 1 10 0 0 0 0 I\nr.dat 311 1 10 0 0 0 0 II\n",
        "01 08 30 00 04 00",
        [[1, 3], [2, 4]],
    ),
]


@pytest.mark.parametrize(("what", "header", "content", "leads"), RECORDS)
@pytest.mark.parametrize("block_samples", [1, 3, 1 << 20])
def test_small_records(
    tmp_path: Path,
    what: str,
    header: str,
    content: str,
    leads: list[list[int | None]],
    block_samples: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whole, sample by sample, and backwards, however the file is decoded in blocks."""
    monkeypatch.setattr(wfdb_lead, "BLOCK_SAMPLES", block_samples)
    (tmp_path / "r.hea").write_text(header)
    (tmp_path / "r.dat").write_bytes(bytes.fromhex(content))
    for channel, lead in enumerate(leads):
        expected = np.array([np.nan if one is None else one for one in lead], np.float32)
        record = WfdbRecord.open(tmp_path / "r", channel)
        assert record.n_samples == len(expected), what
        alone = [record.read(at, at + 1)[0, 0] for at in reversed(range(len(expected)))]
        np.testing.assert_array_equal(alone[::-1], expected, err_msg=what)
        np.testing.assert_array_equal(record.read(0, len(expected))[0], expected, err_msg=what)


def _lead_of(rows: NDArray[np.float64], channel: int, spf: int, most: int) -> NDArray[np.float64]:
    """Return a lead's samples out of rows at the rate `most`, in which slower leads repeat."""
    at = np.arange(len(rows))
    held = at // most * spf + at % most * spf // most
    _, first = np.unique(held, return_index=True)
    lead: NDArray[np.float64] = rows[first, channel]
    return lead


@pytest.mark.skipif(not RDSAMP_RECORDS.is_file(), reason="no reference/rdsamp_records.json")
def test_records_are_read_as_the_c_library_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten formats with offsets, skews and several samples a frame: `rdsamp -H`, sample by sample.

    It gives as many rows as the header says samples a signal, at the fastest lead's rate, and stops
    early where it finds a checksum wrong; ours go on.
    """
    monkeypatch.setattr(wfdb_lead, "BLOCK_SAMPLES", 50)
    reference: dict[str, Any] = json.loads(RDSAMP_RECORDS.read_text())
    for number, one in enumerate(reference["records"]):
        (tmp_path / "r.hea").write_text(one["header"])
        (tmp_path / "r.dat").write_bytes(base64.b64decode(one["dat"]))
        rows = np.array(one["high_resolution_rows"], np.float64)
        for channel, spf in enumerate(one["samples_per_frame"]):
            with WfdbRecord.open(tmp_path / "r", channel) as record:
                got = record.read(0, record.n_samples)[0].astype(np.float64)
            fields = one["header"].splitlines()[1 + channel].split()
            adc_zero = int(fields[4]) if len(fields) > 4 else 0  # the baseline of these headers
            expected = _lead_of(rows, channel, spf, max(one["samples_per_frame"]))
            np.testing.assert_array_equal(
                np.round(got[: len(expected)] * 200 + adc_zero),
                expected,
                err_msg=f"record {number}, signal {channel}: {one['header']}",
            )
