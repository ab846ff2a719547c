"""The EC57 report of a folder: what is compared, what is said, what broken files give."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from monitor.errors import InvalidOption, RecordError
from monitor.offline.evaluation.beats_report import (
    FIGURES,
    evaluate_beats,
    read_annotations,
    to_csv,
    to_json,
    to_table,
)

FS_HZ = 250
BEATS = np.arange(200, 600 * FS_HZ, 200)  # ten minutes at 75 a minute


def _annotate(
    folder: Path,
    name: str,
    extension: str,
    samples: list[int] | np.ndarray,
    fs: float | None = FS_HZ,
) -> None:
    folder.mkdir(exist_ok=True)
    array = np.asarray(samples, np.int64)
    wfdb.wrann(name, extension, array, ["N"] * len(array), fs=fs, write_dir=str(folder))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Return reference and detections: `a` found whole, `b` with every tenth beat missing."""
    ref, det = tmp_path / "ref", tmp_path / "det"
    for name in ("a", "b", "c"):
        _annotate(ref, name, "atr", BEATS)
    _annotate(det, "a", "qrs", BEATS + 1)
    _annotate(det, "b", "qrs", BEATS[np.arange(len(BEATS)) % 10 > 0])
    return ref, det


def test_records_gross_and_average(folders: tuple[Path, Path]) -> None:
    """Each record, all beats together, the mean over records; what is not detected is named."""
    report = evaluate_beats(*folders)
    n_beats = np.count_nonzero(BEATS >= 300 * FS_HZ)
    assert list(report.records) == ["a", "b"]
    assert report.not_detected == ("c",)
    assert report.records["a"].true_positives == n_beats
    assert report.records["a"].error_median_ms == pytest.approx(4.0)
    assert report.records["b"].sensitivity == pytest.approx(0.9, abs=0.01)
    assert report.gross.true_positives == sum(r.true_positives for r in report.records.values())
    assert report.average["sensitivity"] == pytest.approx((1 + report.records["b"].sensitivity) / 2)


def test_detections_at_another_rate_are_brought_to_the_reference(tmp_path: Path) -> None:
    """A detector that wrote samples at 500 Hz is compared in time."""
    _annotate(tmp_path / "ref", "a", "atr", BEATS)
    _annotate(tmp_path / "det", "a", "qrs", 2 * BEATS, fs=2 * FS_HZ)
    assert evaluate_beats(tmp_path / "ref", tmp_path / "det").gross.sensitivity == 1.0


def test_the_rate_may_come_from_the_header(tmp_path: Path) -> None:
    """Annotations without a rate take the record's; without both the message says what to do."""
    _annotate(tmp_path / "ref", "a", "atr", BEATS, fs=None)
    _annotate(tmp_path / "det", "a", "qrs", BEATS, fs=None)
    with pytest.raises(RecordError, match=r"put its \.hea beside the \.atr"):
        evaluate_beats(tmp_path / "ref", tmp_path / "det")
    header = f"a 1 {FS_HZ} {600 * FS_HZ}\na.dat 16 200/mV 16 0 0 0 0 ECG\n"
    (tmp_path / "ref" / "a.hea").write_text(header)
    assert evaluate_beats(tmp_path / "ref", tmp_path / "det").gross.sensitivity == 1.0


@pytest.mark.parametrize(
    "header",
    ["a 0 250 150000\n", "a 1 250 150000 1:00:00 22/02/89\na.dat 16 200 16 0 0 0 0 ECG\n"],
)
@pytest.mark.parametrize("fs", [None, FS_HZ])
def test_a_header_need_not_describe_signals(tmp_path: Path, header: str, fs: int | None) -> None:
    """Databases of annotations alone have headers of 0 signals; a date does not matter."""
    _annotate(tmp_path / "ref", "a", "atr", BEATS, fs=fs)
    _annotate(tmp_path / "det", "a", "qrs", [*BEATS.tolist(), 650 * FS_HZ], fs=fs)
    (tmp_path / "ref" / "a.hea").write_text(header)
    gross = evaluate_beats(tmp_path / "ref", tmp_path / "det").gross
    assert (gross.sensitivity, gross.false_positives) == (1.0, 0)


def test_a_header_that_cannot_be_read_does_not_matter_where_annotations_say_the_rate(
    folders: tuple[Path, Path],
) -> None:
    """It is as one that is not there."""
    ref, det = folders
    before = evaluate_beats(ref, det)
    (ref / "a.hea").write_bytes(b"\xff\x00")
    assert evaluate_beats(ref, det) == before


def test_a_record_that_cannot_be_compared_does_not_keep_the_others(
    folders: tuple[Path, Path],
) -> None:
    """It is in no figure and named in the report; with none left it is an error."""
    ref, det = folders
    only_b = evaluate_beats(ref, det).records["b"]
    (det / "a.qrs").write_bytes(b"\xff" * 9)
    report = evaluate_beats(ref, det)
    assert list(report.failed) == ["a"]
    assert report.records == {"b": only_b}
    assert report.gross.true_positives == only_b.true_positives
    assert "a.qrs" in json.loads(to_json(report))["failed"]["a"]
    (det / "b.qrs").write_bytes(b"\xff" * 9)
    with pytest.raises(RecordError, match=r"a\.qrs .*and 1 other"):
        evaluate_beats(ref, det)


def test_the_test_period_ends_with_the_record(tmp_path: Path) -> None:
    """False detections up to the record's end count, also after its last beat."""
    _annotate(tmp_path / "ref", "a", "atr", BEATS)
    _annotate(tmp_path / "det", "a", "qrs", [*BEATS.tolist(), 650 * FS_HZ])
    assert evaluate_beats(tmp_path / "ref", tmp_path / "det").gross.false_positives == 0
    header = f"a 1 {FS_HZ} {700 * FS_HZ}\na.dat 16 200/mV 16 0 0 0 0 ECG\n"
    (tmp_path / "ref" / "a.hea").write_text(header)
    assert evaluate_beats(tmp_path / "ref", tmp_path / "det").gross.false_positives == 1


def test_start_and_extensions_can_be_chosen(folders: tuple[Path, Path]) -> None:
    """`start_s` moves the test period; any pair of extensions can be compared."""
    ref, det = folders
    assert evaluate_beats(ref, det, start_s=0).gross.true_positives > 1.9 * (
        evaluate_beats(ref, det).gross.true_positives
    )
    assert evaluate_beats(ref, ref, det_ext="atr").gross.f1 == 1.0


def test_json_and_csv_hold_the_same_figures(folders: tuple[Path, Path]) -> None:
    """Both are complete and machine-readable."""
    report = evaluate_beats(*folders)
    document = json.loads(to_json(report))
    assert document["gross"]["true_positives"] == report.gross.true_positives
    assert document["not_detected"] == ["c"]
    rows = {row["record"]: row for row in csv.DictReader(io.StringIO(to_csv(report)))}
    assert list(rows) == ["a", "b", "gross", "average"]
    for name in FIGURES:
        assert float(rows["b"][name]) == document["records"]["b"][name]
    assert rows["average"]["true_positives"] == ""


def test_a_reference_without_a_beat_is_left_out_of_the_gross(folders: tuple[Path, Path]) -> None:
    """Its detections are shown in its row, count nowhere else, and the record is named."""
    ref, det = folders
    before = evaluate_beats(ref, det)
    wfdb.wrann("d", "atr", np.array([5, 9]), ["+", '"'], fs=FS_HZ, write_dir=str(ref))
    _annotate(det, "d", "qrs", BEATS)
    (ref / "d.hea").write_text(f"d 1 {FS_HZ} {600 * FS_HZ}\nd.dat 16 200/mV 16 0 0 0 0 ECG\n")
    report = evaluate_beats(ref, det)
    assert report.without_reference == ("d",)
    assert json.loads(to_json(report))["without_reference"] == ["d"]
    assert report.records["d"].false_positives > 0
    assert (report.gross, report.average) == (before.gross, before.average)


def test_figures_that_are_not_defined_are_null(tmp_path: Path) -> None:
    """No beat in the test period: JSON has null, not NaN, and the table a dash."""
    for folder, extension in (("ref", "atr"), ("det", "qrs")):
        _annotate(tmp_path / folder, "a", extension, [100, 200])
    report = evaluate_beats(tmp_path / "ref", tmp_path / "det")
    assert json.loads(to_json(report))["gross"]["sensitivity"] is None
    assert "-" in _shown(report)


def _shown(report: object) -> str:
    console = Console(width=110, file=io.StringIO(), force_terminal=False)
    console.print(to_table(report))  # type: ignore[arg-type]
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_table_shows_every_record(folders: tuple[Path, Path]) -> None:
    """One row a record, then gross and average, in per cent with two digits."""
    shown = _shown(evaluate_beats(*folders))
    for text in ("a ", "b ", "gross", "average", "100.00", "+4.0"):
        assert text in shown


def test_a_record_name_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    """Names come from a folder; markup and control characters in them are only text."""
    name = "[red]\x1b[2J"
    for folder, extension in (("ref", "atr"), ("det", "qrs")):
        _annotate(tmp_path / folder, "a", extension, BEATS)
        (tmp_path / folder / f"a.{extension}").rename(tmp_path / folder / f"{name}.{extension}")
    shown = _shown(evaluate_beats(tmp_path / "ref", tmp_path / "det"))
    assert "\x1b" not in shown
    assert "[red]" in shown
    (tmp_path / "ref" / f"{name}.atr").write_bytes(b"\xff" * 9)
    with pytest.raises(RecordError) as caught:
        evaluate_beats(tmp_path / "ref", tmp_path / "det")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("extension", ["", "../x", "a.b", "a b", "*"])
def test_extensions_are_plain(folders: tuple[Path, Path], extension: str) -> None:
    """An extension is letters and digits."""
    with pytest.raises(InvalidOption, match="malformed"):
        evaluate_beats(*folders, det_ext=extension)


@pytest.mark.parametrize("start_s", [-1.0, float("nan"), float("inf")])
def test_the_start_is_a_time(folders: tuple[Path, Path], start_s: float) -> None:
    """Not negative, not infinite."""
    with pytest.raises(InvalidOption, match="not a time"):
        evaluate_beats(*folders, start_s=start_s)


def test_folders_without_a_common_record(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """Nothing to compare is an error, not an empty table."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidOption, match="no record has both"):
        evaluate_beats(folders[0], tmp_path / "empty")
    with pytest.raises(InvalidOption, match="is not a folder"):
        evaluate_beats(folders[0], tmp_path / "nowhere")
    with pytest.raises(InvalidOption, match=r"holds no \.atr files itself; its folder .*ref does"):
        evaluate_beats(tmp_path, folders[1])


def test_a_pipe_is_no_annotation_file(tmp_path: Path) -> None:
    """It would block for ever."""
    os.mkfifo(tmp_path / "a.atr")
    with pytest.raises(RecordError, match="is not a regular file"):
        read_annotations(tmp_path / "a", "atr")


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(raw=st.binary(max_size=200))
def test_junk_annotations_are_read_or_refused(tmp_path: Path, raw: bytes) -> None:
    """Any bytes are annotations in order of time or a RecordError in one line."""
    (tmp_path / "a.atr").write_bytes(raw)
    said = ""
    try:
        annotations = read_annotations(tmp_path / "a", "atr")
        assert len(annotations.samples) == len(annotations.symbols)
        assert np.all(np.diff(annotations.samples) >= 0)
    except RecordError as error:
        said = str(error)
    assert said == "" or said.isprintable()
