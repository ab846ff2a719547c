"""The benchmark of the page measures a real ward."""

from __future__ import annotations

import re

import pytest

from tests.monitor.ports import free_port

pytest.importorskip("starlette", reason="the extra web is not installed")
pytest.importorskip("websockets", reason="the extra web is not installed")

from tools.page_cost import main


def test_a_small_ward_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """`--quick` starts monitor and server, opens a page, and says what both cost."""
    main(["--quick", "--port", str(free_port())])
    said = capsys.readouterr().out
    assert re.search(r"^web +\d+\.\d % of a core$", said, re.MULTILINE)
    assert "of 5 patients" in said
