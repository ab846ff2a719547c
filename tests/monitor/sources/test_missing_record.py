"""A name that is no record: the message is true, and says which name is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.errors import RecordError
from monitor.sources.missing_record import where_records_are, why_no_record
from monitor.sources.wfdb_record import WfdbRecord

HEADER = "{0} 1 250 500\n{0}_1.mat 16 200/mV\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working directory, with a record and other files."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "A1.hea").write_text(HEADER.format("A1"))
    for name in ("A1.mat", "A1.atr", "A1_1.mat", "night.edf", "ecg.csv", "lost.dat", "two.one.txt"):
        (tmp_path / name).write_bytes(b"x")
    for folder in ("db/p1/deep", "db/p0", "empty/er", "holter"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("a.edf", "b.CSV"):
        (tmp_path / "holter" / name).write_bytes(b"x")
    (tmp_path / "db/p1/deep/B1.hea").write_text(HEADER.format("B1"))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("A1.mat", "A1.mat is a file of record A1: name the record, A1"),
        ("A1.atr", "A1.atr is a file of record A1: name the record, A1"),
        ("A1_1.mat", "A1_1.mat is a file of record A1: name the record, A1"),
        ("night.edf", "night.edf is in no format that can be read (WFDB), nor is there a header"),
        ("ecg.csv", "nor is there a header ecg.hea beside it; docs/SOURCES.md says what each"),
        ("lost.dat", "lost.dat is in no format that can be read (WFDB), nor is there a header"),
        ("two.one.txt", "nor is there a header two.one.hea beside it"),
        ("night", "no record night: there is night.edf, but no night.hea"),
        ("lost", "no record lost: there is lost.dat, but no lost.hea"),
        ("A2", "record A2 does not exist; . holds A1"),
        ("A2.hea", "record A2.hea does not exist; . holds A1"),
        ("db/p0/B1", "record db/p0/B1 does not exist; db/p0 holds no records"),
        ("none/A1", "record none/A1: there is no folder none"),
        (".", ". is a folder; it holds A1: name one, such as A1"),
        ("db/p1/deep", "db/p1/deep is a folder; it holds B1: name one, such as db/p1/deep/B1"),
        (
            "db",
            "db is a folder that holds no records itself, its folder db/p1/deep does: name one, "
            "such as db/p1/deep/B1",
        ),
        ("empty", "empty is a folder that holds no records (*.hea)"),
        (
            "holter",
            "holter is a folder that holds no WFDB records; it holds a.edf, b.CSV: ",
        ),
    ],
)
def test_the_message_is_true_and_names_what_is_meant(here: Path, name: str, said: str) -> None:
    """Of a file that exists it is never said that it does not; opening says the same."""
    assert said in why_no_record(Path(name))
    assert said in why_no_record(here / name), "paths that are absolute are shown from here"
    with pytest.raises(RecordError) as caught:
        WfdbRecord.open(name)
    assert said in str(caught.value)


def test_what_lies_elsewhere_keeps_its_whole_path(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path would lead nowhere from here."""
    monkeypatch.chdir(here / "empty")
    assert f"name the record, {here / 'A1'}" in why_no_record(here / "A1.mat")


def test_a_folder_of_folders_says_which_of_them(here: Path) -> None:
    """For who wants all records of a folder, or all annotations."""
    assert where_records_are(Path("db")) == (
        "db holds no records itself; its folder db/p1/deep does: name that"
    )
    assert where_records_are(Path("db"), ".atr").startswith("db holds no .atr files (*.atr), nor")


@pytest.mark.parametrize("name", ["tpc://host:1", "brianflow:cyton"])
def test_a_live_source_that_is_mistyped_is_named_as_one(name: str) -> None:
    """Nobody asked for its folder."""
    scheme = name.partition(":")[0]
    said = f"neither a file nor a live source ({scheme}: is unknown); `ecg-monitor sources`"
    assert said in why_no_record(Path(name))
