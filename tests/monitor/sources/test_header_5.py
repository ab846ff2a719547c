"""WFDB's header(5), line by line: what the page allows is read, and means what the page says.

Each row is a statement of the page (revision of WFDB 10.7.0), a header, and what it must give.
Refused although the page allows them: signal files outside the record's folder (absolute paths),
`-` for standard input, records of no signals, segments of another rate or of no length.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from monitor.errors import RecordError
from monitor.sources.wfdb_header import RecordHeader, parse_header, read_header

PATH = Path("/data/rec")
ECG = "rec.dat 16 200/mV 16 0 0 0 0 ECG"


def _facts(header: RecordHeader) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "fs_hz": header.fs_hz,
        "n_frames": header.n_frames,
        "names": [signal.name for signal in header.signals],
        "segments": [(segment.name, segment.n_frames) for segment in header.segments],
    }
    if header.signals:
        first = header.signals[0]
        facts |= {name: getattr(first, name) for name in first.__dataclass_fields__}
    return facts


RECORD_LINE = [
    ("spaces or tabs separate fields", f"rec\t1  250\t 500\n{ECG}", {"n_frames": 500}),
    ("a carriage return may precede each linefeed", f"rec 1 250 500\r\n{ECG}\r\n", {"fs_hz": 250}),
    ("comment lines may appear anywhere", f"#a\nrec 1 250 500\n  # b\n{ECG}\n#c", {"name": "ECG"}),
    ("the first non-empty line is the record line", f"\n\nrec 1 250 500\n\n{ECG}", {"fs_hz": 250}),
    ("letters, digits and underscores in the name", f"8l_Z 1 250 500\n{ECG}", {"n_frames": 500}),
    ("a number of segments of 1 is legal", "rec/1 1 250 9\nrec1 9", {"segments": [("rec1", 9)]}),
    ("the sampling frequency is optional: 250", f"rec 1\n{ECG}", {"fs_hz": 250, "n_frames": None}),
    ("360, 360., 360.0 and 3.6e2 are equivalent", f"rec 1 360 9\n{ECG}", {"fs_hz": 360}),
    ("", f"rec 1 360. 9\n{ECG}", {"fs_hz": 360}),
    ("", f"rec 1 360.0 9\n{ECG}", {"fs_hz": 360}),
    ("", f"rec 1 3.6e2 9\n{ECG}", {"fs_hz": 360}),
    ("any format legal for scanf(3)", f"rec 1 +3600E-1 9\n{ECG}", {"fs_hz": 360}),
    ("", f"rec 1 .5 9\n{ECG}", {"fs_hz": 0.5}),
    ("a counter frequency after a slash", f"rec 1 360/60 9\n{ECG}", {"fs_hz": 360}),
    ("it may be absent or not positive", f"rec 1 360/-1 9\n{ECG}", {"fs_hz": 360}),
    ("a base counter value in parentheses", f"rec 1 360/6e1(-3.5) 9\n{ECG}", {"fs_hz": 360}),
    ("the number of samples may be missing", f"rec 1 360\n{ECG}", {"n_frames": None}),
    ("or zero: unspecified", f"rec 1 360 0\n{ECG}", {"n_frames": None}),
    ("numbers with a sign, or a fraction of zeros", f"rec +1 360 500.0\n{ECG}", {"n_frames": 500}),
    ("the base time is HH:MM:SS", f"rec 1 360 9 13:05:00\n{ECG}", {"n_frames": 9}),
    ("or shorter", f"rec 1 360 9 13:5:0\n{ECG}", {"n_frames": 9}),
    ("the base date is DD/MM/YYYY", f"rec 1 360 9 1:00:00 25/4/1989\n{ECG}", {"n_frames": 9}),
    ("not recorded", f"rec 1 360 9 0:0:0 0/0/0\n{ECG}", {"n_frames": 9}),
    ("neither is used here, so neither matters", f"rec 1 360 9 noon 31/2\n{ECG}", {"n_frames": 9}),
    ("", f"rec 1 360 9 2014-05-08 05:05:15 more\n{ECG}", {"n_frames": 9}),
]
SIGNAL_LINE = [
    ("extra signal lines are not read", f"rec 1 250 9\n{ECG}\nx y z\n", {"names": ["ECG"]}),
    ("the file may have any name", "rec 1 250 9\nd0.7001 8\n", {"file_name": "d0.7001"}),
    ("", "rec 1 250 9\nrec-1_a.v2.dat 8\n", {"file_name": "rec-1_a.v2.dat"}),
    ("samples per frame follow an x", "rec 1 250 9\na 16x4\n", {"samples_per_frame": 4}),
    ("the skew follows a colon", "rec 1 250 9\na 16:3\n", {"skew": 3}),
    ("it counts samples of the signal", "rec 1 250 9\na 16x4:8\n", {"skew": 2}),
    ("half a frame is one", "rec 1 250 9\na 16x4:6\n", {"skew": 2}),
    ("less is none", "rec 1 250 9\na 16x4:1\n", {"skew": 0}),
    ("the byte offset follows a plus", "rec 1 250 9\na 16+24\n", {"byte_offset": 24}),
    (
        "all three",
        "rec 1 250 9\na 212x2:4+512\n",
        {"fmt": "212", "samples_per_frame": 2, "skew": 2, "byte_offset": 512},
    ),
    ("in any order", "rec 1 250 9\na 16+24:3x1\n", {"skew": 3, "byte_offset": 24}),
    ("the gain is a number", "rec 1 250 9\na 16 2.5e2\n", {"gain": 250, "units": "mV"}),
    ("", "rec 1 250 9\na 16 +200\n", {"gain": 200}),
    ("", "rec 1 250 9\na 16 -200.\n", {"gain": -200}),
    ("if it is zero, 200", "rec 1 250 9\na 16 0\n", {"gain": 200}),
    ("if it is missing, 200", "rec 1 250 9\na 16\n", {"gain": 200, "baseline": 0, "units": "mV"}),
    ("the baseline is in parentheses", "rec 1 250 9\na 16 200(-5)\n", {"baseline": -5}),
    ("", "rec 1 250 9\na 16 200(1024.0)\n", {"baseline": 1024}),
    ("", "rec 1 250 9\na 16 200(+7)/uV\n", {"baseline": 7, "units": "uV"}),
    ("it need not be within the ADC range", "rec 1 250 9\na 16 9(-99999)\n", {"baseline": -99999}),
    ("if absent, it is the ADC zero", "rec 1 250 9\na 16 200 12 1024\n", {"baseline": 1024}),
    ("units follow the gain", "rec 1 250 9\na 16 200/mV\n", {"units": "mV"}),
    ("without embedded whitespace", "rec 1 250 9\na 16 2/l/m^2*%#\n", {"units": "l/m^2*%#"}),
    ("if absent, millivolts", "rec 1 250 9\na 16 200(3)\n", {"units": "mV"}),
    ("the ADC resolution is not used here", "rec 1 250 9\na 16 200 -1.5 7\n", {"baseline": 7}),
    ("the ADC zero is an integer", "rec 1 250 9\na 16 200 12 -7.0\n", {"baseline": -7}),
    ("if missing, zero", "rec 1 250 9\na 16 200 12\n", {"baseline": 0}),
    ("the initial value", "rec 1 250 9\na 8 200 10 5 -53\n", {"init_value": -53}),
    ("if missing, the ADC zero", "rec 1 250 9\na 8 200 10 5\n", {"init_value": 5}),
    ("also where a baseline is given", "rec 1 250 9\na 8 2(9) 10 5\n", {"init_value": 5}),
    ("the checksum is not used here", "rec 1 250 9\na 8 200 10 0 0 9e9 0 I\n", {"name": "I"}),
    ("a negative block size: no seeking", "rec 1 250 9\na 8 200 10 0 0 0 -512 I\n", {"name": "I"}),
    ("the description may have spaces", f"rec 1 250 9\n{ECG} lead  II \n", {"name": "ECG lead II"}),
    ("if missing, one is made", "rec 1 250 9\na 8\n", {"name": "signal 0"}),
    ("signals may share a file", "rec 2 250 9\na 16\na 16\n", {"names": ["signal 0", "signal 1"]}),
    ("a null signal has format 0", "rec 1 250 9\n~ 0\n", {"fmt": "0"}),
    ("under any file name", "rec 1 250 9\nnull 0\n", {"fmt": "0"}),
]
SEGMENT_LINE = [
    (
        "segments follow each other, one more than once",
        "multi/3 2 360 45000\n100s 21600\nnull 1800\n100s 21600",
        {"segments": [("100s", 21600), ("null", 1800), ("100s", 21600)], "n_frames": 45000},
    ),
    ("a gap has no name", "rec/2 1 250 9\na 4\n~ 5", {"segments": [("a", 4), (None, 5)]}),
    ("extra segment lines are not read", "rec/1 1 250 4\na 4\nb x", {"segments": [("a", 4)]}),
    ("nor are extra fields", "rec/1 1 250 4\na 4 5 6", {"segments": [("a", 4)]}),
    ("comments between them", "rec/1 1 250 4\n# c\na 4", {"segments": [("a", 4)]}),
    ("the record line may leave the length out", "rec/2 1 250\na 4\nb 5", {"n_frames": 9}),
    ("a layout has length 0", "rec/2 1 250\na 0\nb 5", {"segments": [("a", 0), ("b", 5)]}),
]


@pytest.mark.parametrize(
    ("statement", "text", "expected"), RECORD_LINE + SIGNAL_LINE + SEGMENT_LINE
)
def test_what_the_page_allows(statement: str, text: str, expected: dict[str, Any]) -> None:
    """The header is read, and its fields are what the page says."""
    facts = _facts(parse_header(text, PATH))
    assert {name: facts[name] for name in expected} == expected, statement


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""])
def test_a_byte_order_mark_is_no_part_of_the_name(tmp_path: Path, mark: bytes) -> None:
    """Editors put one before UTF-8."""
    (tmp_path / "rec.hea").write_bytes(mark + f"rec 1 250 500\n{ECG}\n".encode())
    assert read_header(tmp_path / "rec").n_frames == 500


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rec 2 250 9\na 16\n", "announces 2 signals and describes 1"),
        ("rec 1 0 9\na 16\n", "sampling rate '0'"),
        ("rec 2 250 9\na 16\na 212\n", "differ in format"),
        ("rec 2 250 9\na 16+1\na 16+2\n", "differ in format or offset"),
        ("rec 3 250 9\na 16\nb 16\na 16\n", "must follow each other"),
        ("rec/0 1 250 9\n", "0 segments"),
    ],
)
def test_what_the_page_forbids(text: str, message: str) -> None:
    """What must be so is checked."""
    with pytest.raises(RecordError, match=message):
        parse_header(text, PATH)
