"""Reading ECG5000: its published forms, and files that are none of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from model import ecg5000
from model.ecg5000 import read_ecg5000
from model.errors import InvalidDataset
from tests.real_data import ECG5000_TRAIN

LABELS = np.array([1, 5, 2])
BEATS = np.round(np.random.default_rng(0).standard_normal((3, 6)), 4).astype(np.float32)


def as_txt(labels: NDArray[np.int64], beats: NDArray[np.float32]) -> str:
    rows = zip(labels, beats, strict=True)
    return "".join(
        f"  {label:.7e}   " + "  ".join(f"{value:.7e}" for value in beat) + "\n"
        for label, beat in rows
    )


def as_tsv(labels: NDArray[np.int64], beats: NDArray[np.float32]) -> str:
    rows = zip(labels, beats, strict=True)
    return "".join(f"{label}\t" + "\t".join(map(str, beat.tolist())) + "\n" for label, beat in rows)


def as_arff(labels: NDArray[np.int64], beats: NDArray[np.float32]) -> str:
    names = "".join(f"@attribute att{i} numeric\n" for i in range(beats.shape[1]))
    rows = zip(labels, beats, strict=True)
    values = "".join(",".join(map(str, beat.tolist())) + f",{label}\n" for label, beat in rows)
    return (
        f"% Donald, Müller\n@relation ECG5000\n{names}@attribute target {{1,2,3,4,5}}\n\n@DATA\n"
        + values
    )


def as_ts(labels: NDArray[np.int64], beats: NDArray[np.float32]) -> str:
    rows = zip(labels, beats, strict=True)
    values = "".join(",".join(map(str, beat.tolist())) + f":{label}\n" for label, beat in rows)
    return "# a comment\n@problemName ECG5000\n@classLabel true 1 2 3 4 5\n@data\n" + values


def as_csv(labels: NDArray[np.int64], beats: NDArray[np.float32]) -> str:
    return as_tsv(labels, beats).replace("\t", ",")


FORMS = [
    ("ECG5000_TRAIN.txt", as_txt),
    ("ECG5000_TRAIN.tsv", as_tsv),
    ("ECG5000_TRAIN.arff", as_arff),
    ("ECG5000_TRAIN.ts", as_ts),
    ("ECG5000_TRAIN", as_csv),  # the archive of 2015
    ("ECG5000_TRAIN", as_txt),
    ("ECG5000_TRAIN.txt", as_csv),
    ("ECG5000_TRAIN.csv", as_csv),
]
MARKED = ["utf-8", "utf-8-sig", "utf-16"]  # the latter two with a byte-order mark


@pytest.mark.parametrize("encoding", MARKED)
@pytest.mark.parametrize(("name", "form"), FORMS)
def test_every_published_form_gives_the_same_beats(
    tmp_path: Path, name: str, form: Callable[..., str], encoding: str
) -> None:
    """Label first or last, spaces, tabs or commas, a byte-order mark or none: the same arrays."""
    path = tmp_path / name
    path.write_text(form(LABELS, BEATS), encoding=encoding)
    labels, beats = read_ecg5000(path, length=6)
    np.testing.assert_array_equal(labels, LABELS)
    np.testing.assert_array_equal(beats, BEATS)
    assert beats.dtype == np.float32


def test_line_ends_and_blank_lines_do_not_matter(tmp_path: Path) -> None:
    """A file that went through Windows or an editor reads the same."""
    path = tmp_path / "a.txt"
    path.write_bytes(as_txt(LABELS, BEATS).replace("\n", "\r\n\r\n").encode())
    np.testing.assert_array_equal(read_ecg5000(path, length=6)[1], BEATS)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "1 0 0 0\n1 0 0\n", "line 2: 2 samples instead of 3"),
        ("a.txt", "1 0 0 0 0\n", "line 1: 4 samples instead of 3"),
        ("a.txt", "1 0 zero 0\n", "line 1: sample 'zero' is not a number"),
        ("a.txt", "1 0 nan 0\n", "line 1: a sample is NaN"),
        ("a.txt", "1 0 1e999 0\n", "line 1: a sample is NaN or infinite"),
        ("a.txt", "1 0 1e39 0\n", "line 1: a sample is NaN or infinite"),
        ("a.txt", "6 0 0 0\n", "line 1: label '6' is not one of 1 to 5"),
        ("a.txt", "0 0 0 0\n", "label '0' is not one of 1 to 5"),
        ("a.txt", "1.5 0 0 0\n", "label '1.5' is not one of 1 to 5"),
        ("a.txt", "nan 0 0 0\n", "label 'nan' is not one of 1 to 5"),
        ("a.txt", "one 0 0 0\n", "label 'one' is not a number"),
        ("a.txt", "", "holds no beats"),
        ("a.txt", "\n \n", "holds no beats"),
        ("a.txt", "1,0,,0\n", "line 1: sample '' is not a number"),
        ("a.txt", "1,0,0,0,\n", "line 1: 4 samples instead of 3"),
        ("a.txt", "1 0 \u0661 0\n", "line 1: sample '.' is not a number"),
        ("a.arff", "@relation x\n", "no @data"),
        ("a.arff", "@relation x\n@data\n", "holds no beats"),
        ("a.arff", "0,0,0,1\n", "line 1: values before @data"),
        ("a.ts", "@data\n0,0,0\n", "line 2: no colon"),
        ("a.ts", "@data\n0,0,0:9\n", "line 2: label '9' is not one of 1 to 5"),
        ("a.xlsx", "1,0,0,0\n", "unknown form"),
    ],
)
def test_malformed_file_is_named_with_its_line(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    """The message says which file, which line and what is wrong with it."""
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidDataset, match=message) as caught:
        read_ecg5000(path, length=3)
    assert str(path) in str(caught.value)


def test_missing_file_and_folder_are_one_line(tmp_path: Path) -> None:
    """The system's reason is passed on."""
    with pytest.raises(InvalidDataset, match="No such file"):
        read_ecg5000(tmp_path / "none.txt")
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(InvalidDataset, match="directory"):
        read_ecg5000(tmp_path / "folder.txt")


def test_too_large_a_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size is looked at before anything is read."""
    monkeypatch.setattr(ecg5000, "MAX_FILE_BYTES", 10)
    path = tmp_path / "a.txt"
    path.write_text("1 0 0 0 0 0 0\n")
    with pytest.raises(InvalidDataset, match="more than the 10"):
        read_ecg5000(path, length=6)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(junk=st.binary(max_size=300), suffix=st.sampled_from(["", ".txt", ".tsv", ".arff", ".ts"]))
def test_binary_junk_is_refused_and_harmless_to_a_terminal(
    tmp_path: Path, junk: bytes, suffix: str
) -> None:
    """Whatever the bytes, one error of ours, without control characters."""
    path = tmp_path / f"junk{suffix}"
    path.write_bytes(junk)
    with pytest.raises(InvalidDataset) as caught:
        read_ecg5000(path)
    assert str(caught.value).isprintable()


@pytest.mark.skipif(
    not ECG5000_TRAIN.exists(), reason="the real ECG5000 files are not beside the repository"
)
def test_real_training_file() -> None:
    """The official training file holds 500 beats, 292 of them normal, and they are standardised."""
    labels, beats = read_ecg5000(ECG5000_TRAIN)
    assert beats.shape == (500, 140)
    assert np.bincount(labels).tolist() == [0, 292, 177, 10, 19, 2]
    np.testing.assert_allclose(beats.std(axis=1, ddof=1), 1, atol=1e-3)
