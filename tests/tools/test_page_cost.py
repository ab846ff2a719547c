"""The benchmark of the page measures a real ward."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.monitor.ports import free_port
from tests.monitor.ward.servers import require_nats

pytest.importorskip("starlette", reason="the extra web is not installed")
pytest.importorskip("websockets", reason="the extra web is not installed")

from tools.page_cost import main


def test_a_small_ward_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """`--quick` starts monitor and server, opens a page, and says what both cost."""
    main(["--quick", "--port", str(free_port())])
    said = capsys.readouterr().out
    assert re.search(r"^web +\d+\.\d % of a core$", said, re.MULTILINE)
    assert "of 5 patients" in said


def test_a_small_ward_on_nats_is_measured(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The same, of `web --ward`."""
    require_nats()
    main(["--quick", "--nats", "--store", str(tmp_path), "--port", str(free_port())])
    said = capsys.readouterr().out
    assert re.search(r"^web +\d+\.\d % of a core$", said, re.MULTILINE)
    assert re.search(r"^worker 1 +\d+\.\d % of a core$", said, re.MULTILINE)
    assert "of 5 patients" in said
