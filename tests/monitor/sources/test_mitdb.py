"""MIT-BIH's paced records are known by more than a number."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.sources.mitdb import is_paced_mitdb

OWN = "102 2 360 650000\n102.dat 212 200 11 1024 0 0 0 V5\n102.dat 212 200 11 1024 0 0 0 V2\n"
CUT = OWN.replace("650000", "108000")
FOREIGN = OWN.replace("360 650000", "250 15000")
LIST = "".join(f"{number}\n" for number in (100, 102, 104, 107, 208, 217, 234))


@pytest.mark.parametrize(
    ("folder", "header", "records", "paced"),
    [
        ("any", OWN, "", True),  # its length is no other's
        ("any", CUT, "", False),
        ("any", CUT, LIST, True),
        ("any", CUT, "\ufeff" + LIST, True),
        ("any", CUT, "102\n104\n", False),
        ("mitdb", CUT, "", True),
        ("mit-bih-arrhythmia-database-1.0.0", CUT, "", True),
        ("mitdb/1.0.0", CUT, "", True),
        ("mitdb+copy", CUT, "", False),
        ("any", FOREIGN, "", False),
        ("mitdb", FOREIGN, LIST, False),  # a record of one's own beside it
        ("any", "no header", "", False),
    ],
)
def test_name_rate_and_database_must_be_theirs(
    tmp_path: Path, folder: str, header: str, records: str, paced: bool
) -> None:
    """Another record of the same number is not left out."""
    base = tmp_path / folder
    base.mkdir(parents=True)
    (base / "102.hea").write_text(header)
    (base / "103.hea").write_text(header.replace("102", "103"))
    if records:
        (base / "RECORDS").write_text(records, encoding="utf-8")
    assert is_paced_mitdb(base / "102") == paced
    assert not is_paced_mitdb(base / "103")
