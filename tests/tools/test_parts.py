"""Parts in turn: what fails is said, and the others are measured and written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.errors import MonitorError
from tools.figures import KEPT, read
from tools.pages import sections_of
from tools.parts import Found, NotMeasured, measure_parts

FIGURE = "view.share"


def fails(error: Exception) -> Callable[[None], Found]:
    def part(_plan: None) -> Found:
        raise error

    return part


def works(_plan: None) -> Found:
    return Found("all is well", {FIGURE: [7.0]})


def run(first: Callable[[None], Found], out: Path | None) -> int:
    parts: dict[str, Callable[[None], Found]] = {"first": first, "last-one": works}
    page = ("page.md", "A page")
    return measure_parts(
        "bench_x", page, parts, None, only=None, out=out, arguments=["--times", "2"]
    )


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (NotMeasured("no records"), 0, "not measured: no records"),
        (MonitorError("a stage died"), 1, "first failed: a stage died"),
        (ZeroDivisionError("of nothing"), 1, "first failed: of nothing"),
    ],
)
def test_what_fails_does_not_end_the_rest(
    error: Exception, code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said, in a line, and where it is a mistake with its traceback."""
    assert run(fails(error), tmp_path) == code
    told = capsys.readouterr().err
    assert said in told
    assert ("Traceback" in told) == isinstance(error, ZeroDivisionError)
    assert list(sections_of((tmp_path / "page.md").read_text())) == ["Last one"]
    kept = read(tmp_path / KEPT)[FIGURE]
    assert kept.command == "python -m tools.bench_x --only last-one --times 2"


def test_ctrl_c_ends_it_and_keeps_what_was_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback, and an exit code of its own."""

    def stopped(_plan: None) -> Found:
        raise KeyboardInterrupt

    parts: dict[str, Callable[[None], Found]] = {"first": works, "second": stopped, "third": works}
    code = measure_parts(
        "bench_x", ("page.md", "A page"), parts, None, only=None, out=tmp_path, arguments=[]
    )
    assert code == 130
    assert "stopped" in capsys.readouterr().err
    assert list(sections_of((tmp_path / "page.md").read_text())) == ["First"]


def test_a_part_without_a_value_has_failed(tmp_path: Path) -> None:
    """Its section says so; no figure is kept of it."""
    assert run(lambda _plan: Found("no score came", {"ward.delay": [float("nan")]}), tmp_path) == 1
    assert list(read(tmp_path / KEPT)) == [FIGURE]
    assert "no score came" in (tmp_path / "page.md").read_text()


def test_nothing_is_judged_where_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A quick run prints what it found, and holds no small run against what is asked for."""
    assert run(works, None) == 0
    said = capsys.readouterr().out
    assert "all is well" in said
    assert "at most" not in said
    assert list(tmp_path.iterdir()) == []
