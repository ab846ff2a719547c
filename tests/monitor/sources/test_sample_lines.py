"""Lines of text as samples: what boards and scripts send, right and wrong."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from monitor.errors import RecordError
from monitor.sources.sample_lines import MAX_LINE_BYTES, MOST_BAD, SampleLines
from monitor.sources.source import SourceOptions

AT_250 = SourceOptions(fs_hz=250)


def read(text: str | bytes, options: SourceOptions = AT_250) -> tuple[list[list[float]], list[str]]:
    """Return the samples, (leads, n), and the leads."""
    lines = SampleLines("test", options)
    content = text if isinstance(text, bytes) else text.encode()
    pieces = lines.feed(content, ended=True)
    assert lines.stream is not None
    joined = np.concatenate([one.samples for one in pieces], axis=1)
    return joined.tolist(), list(lines.stream.leads)


@pytest.mark.parametrize(
    "text",
    [
        "I II\n0.5 1.5\n-1 nan\n",
        "I,II\r\n0.5,1.5\r\n-1,\r\n",
        "I;II\n0,5;1,5\n-1;\n",
        "I\tII\n0,5\t1,5\n-1\t\n",
        "# board 7\nI II\n5e-1 1.5\n\n-1 null\n",
        '{"leads": {"I": [0.5, -1], "II": [1.5, null]}}\n',
        '{"leads": {"I": 0.5, "II": 1.5}}\n{"leads": {"I": -1, "II": null}}\n',
    ],
)
def test_forms_of_a_line(text: str) -> None:
    """Separators, decimal commas, names, comments, missing values, JSON of one sample or more."""
    (first, second), leads = read(text)
    assert leads == ["I", "II"]
    assert first == [0.5, -1.0]
    assert second[0] == 1.5
    assert math.isnan(second[1])


def test_any_cut_of_the_bytes_gives_the_same_samples() -> None:
    """Lines, numbers and the characters of a name may be cut."""
    rows = "".join(f"{n / 8} {-n / 16}\n" for n in range(50))
    text = f"II aVL\n{rows}".encode()
    whole, _ = read(text)
    for size in (1, 2, 3, 7, 100):
        lines = SampleLines("test", AT_250)
        pieces = [
            one
            for start in range(0, len(text), size)
            for one in lines.feed(text[start : start + size])
        ]
        assert np.concatenate([one.samples for one in pieces], axis=1).tolist() == whole


def test_json_says_its_own_rate_unit_and_position() -> None:
    """And wins over what was given only where nothing was given for the unit."""
    line = {"leads": {"II": [500, 250]}, "fs_hz": 500, "units": "uV", "position": 1000}
    lines = SampleLines("test", SourceOptions())
    (piece,) = lines.feed(json.dumps(line).encode() + b"\n")
    assert lines.stream is not None
    assert lines.stream.fs_hz == 500
    assert piece.position == 1000
    assert piece.samples.tolist() == [[0.5, 0.25]]


def said(value: float, **more: object) -> bytes:
    return json.dumps({"leads": {"II": value}, **more}).encode() + b"\n"


def test_a_line_of_another_rate_is_no_sample() -> None:
    """A heart at half its rate would be the price; a device that goes on so ends the source."""
    lines = SampleLines("test", SourceOptions())
    first = lines.feed(said(1, fs_hz=250) + said(2) + said(3, fs_hz=250.4) + said(4, fs_hz=500))
    values = np.concatenate([one.samples for one in first], axis=1)[0]
    assert values[:3].tolist() == [1, 2, 3]
    assert np.isnan(values[3])
    (notice,) = lines.take_notices()
    assert "500 samples a second, not as before" in notice
    with pytest.raises(RecordError, match=f"{MOST_BAD} lines in a row .*500 samples a second"):
        lines.feed(said(5, fs_hz=500) * MOST_BAD)


def test_each_line_is_in_the_unit_that_it_says() -> None:
    """A line that says none is in that of the first; a person's word goes before all."""
    text = said(1, units="mV", fs_hz=250) + said(1000, units="uV") + said(2)
    for given, values in ((None, [1.0, 1.0, 2.0]), ("uV", [0.001, 1.0, 0.002])):
        pieces = SampleLines("test", SourceOptions(units=given)).feed(text)
        samples = np.concatenate([one.samples for one in pieces], axis=1)
        np.testing.assert_allclose(samples[0], values, rtol=1e-6)


def test_leads_and_unit_that_a_person_asks_for() -> None:
    """The others are named in a warning."""
    lines = SampleLines("test", SourceOptions(["V5"], 250, "uV"))
    (piece,) = lines.feed(b"II V5\n1000 2000\n")
    assert piece.samples.tolist() == [[2.0]]
    assert lines.warnings == ("not read: II",)


def test_a_line_that_is_no_sample_is_a_missing_one() -> None:
    """So that time goes on; it is reported, the first few with what they hold."""
    lines = SampleLines("test", AT_250)
    pieces = lines.feed(b"II V5\n1 2\nrubbish\n1 2 3\n3 4\n" + b"{\n" * 3 + b"5 6\n\xff\xfe\n7 8\n")
    samples = np.concatenate([one.samples for one in pieces], axis=1)
    assert samples.shape == (2, 10)
    assert np.isnan(samples).all(axis=0).tolist() == [0, 1, 1, 0, 1, 1, 1, 0, 1, 0]
    notices = lines.take_notices()
    assert notices[0] == "line 3 is no sample, 'rubbish': 1 numbers, not 2"
    assert len(notices) == 3
    assert "further such lines are not shown" in notices[2]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"0.1\n" + b"no\n" * MOST_BAD, "50 lines in a row are no samples"),
        (b"x" * (MAX_LINE_BYTES + 1), "no line ends within"),
        (b"1 2 3 4" * 100 + b"\n", "more than 256 numbers a line"),
        (b'{"leads": {"I": 1}, "units": "mmHg", "fs_hz": 250}\n', "unit 'mmHg' is no voltage"),
        (b"Resp ABP\n", "has no ECG lead"),
        (bytes(range(1, 10)) * 9 + b"\xff\n" + b"\x00\x01\n" * MOST_BAD, "are no samples"),
    ],
)
def test_what_is_no_ecg_is_refused_in_one_line(text: bytes, error: str) -> None:
    """With what to do."""
    with pytest.raises(RecordError, match=error) as caught:
        SampleLines("test", AT_250).feed(text)
    assert "\n" not in str(caught.value)


def test_a_rate_is_needed() -> None:
    """Numbers do not say their own."""
    with pytest.raises(RecordError, match="give it: --fs 250"):
        SampleLines("test", SourceOptions()).feed(b"0.1\n")


def test_numbers_that_no_float_holds_are_missing() -> None:
    """Infinity, and what is beyond float32."""
    (samples,), _ = read("inf\n1e300\n-1e39\n0.25\n")
    assert [math.isnan(one) for one in samples] == [True, True, True, False]


def test_a_line_that_was_cut_by_opening_is_passed_over() -> None:
    """A serial line is opened while the board sends."""
    lines = SampleLines("test", AT_250, may_begin_within=True)
    (piece,) = lines.feed(b"3.5\n0.5\n0.75\n")
    assert piece.samples.tolist() == [[0.5, 0.75]]


def test_names_again_and_again_are_no_ecg() -> None:
    """Once behind a lost connection they are passed over; text that repeats itself is refused."""
    assert read("I II\n1 2\nI II\n3 4\n")[0] == [[1.0, 3.0], [2.0, 4.0]]
    with pytest.raises(RecordError, match="names again, and no samples"):
        read("hello world\n" * (MOST_BAD + 2))


def test_columns_that_are_not_read_unasked_are_named_with_the_option_that_reads_them() -> None:
    """Of numbers without names the first is read."""
    lines = SampleLines("test", AT_250)
    lines.feed(b"1 2\n")
    assert lines.warnings == ("not read: ch2; --lead names others, --lead all reads all leads",)
    every = SampleLines("test", SourceOptions(["all"], 250))
    every.feed(b"1 2\n")
    assert every.warnings == ()
