"""What may be written where: a new file, one that may be replaced, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from monitor.errors import InvalidOption
from monitor.offline.output_files import check_replaceable, check_writable


def test_where_a_checkpoint_may_be_written(tmp_path: Path) -> None:
    """A new name in a folder that is there; an old one only if it may be replaced."""
    there = tmp_path / "there"
    check_writable(there, overwrite=False)
    assert not there.exists()
    there.write_text("mine")
    with pytest.raises(InvalidOption, match="exists already"):
        check_writable(there, overwrite=False)
    check_writable(there, overwrite=True)
    assert there.read_text() == "mine"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidOption, match="a device or a pipe, not a file"):
        check_writable(tmp_path / "pipe", overwrite=True)
    for out, match in ((tmp_path, "folder"), (tmp_path / "no/c", "no"), (there / "c", "there")):
        with pytest.raises(InvalidOption, match=match):
            check_writable(out, overwrite=True)


@pytest.mark.parametrize(
    ("content", "is_replaced"),
    [
        (b"<!DOCTYPE html><p>of yesterday</p>", True),
        (b"\x89PNG\r\n\x1a\n", True),
        (b"%PDF-1.4", True),
        (b"", True),
        (b"SQLite format 3\0", False),
        (b"100 2 360 650000\n", False),
        (b"<", False),
    ],
)
def test_a_page_replaces_no_file_of_another_kind(
    tmp_path: Path, content: bytes, is_replaced: bool
) -> None:
    """A page of yesterday goes; a journal or a record that was named by mistake stays."""
    there = tmp_path / "there"
    check_replaceable(there)
    there.write_bytes(content)
    if is_replaced:
        check_replaceable(there)
    else:
        with pytest.raises(InvalidOption, match="no page, picture or PDF"):
            check_replaceable(there)
    assert there.read_bytes() == content
