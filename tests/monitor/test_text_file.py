"""Text files are read whatever editor wrote them."""

from __future__ import annotations

import pytest

from monitor.text_file import unmarked


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_text_is_the_same_with_and_without_its_mark(encoding: str) -> None:
    """What follows the mark stays byte for byte as UTF-8."""
    assert unmarked("n = 2  # ½\n".encode(encoding)) == "n = 2  # ½\n".encode()


@pytest.mark.parametrize(
    "content", [b"", b"\xef\xbb", b"\xff", b"\xff\xfe", b"\xff\xfea", b"caf\xe9"]
)
def test_what_is_no_marked_text_raises_nothing(content: bytes) -> None:
    """Half a mark, a mark alone and Latin-1 are for the reader to judge."""
    assert isinstance(unmarked(content), bytes)
