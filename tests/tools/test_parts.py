"""Parts in turn: what fails is said, and the others are measured and written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from monitor.errors import MonitorError
from tools.figures import KEPT, read
from tools.pages import sections_of
from tools.parts import Found, NotMeasured, Plan, measure_parts, option

FIGURE = "view.share"
PAGE = ("page.md", "A page")


@dataclass(frozen=True, kw_only=True)
class Sized(Plan):
    size: int = option(100, 3, "of what is measured")
    sizes: tuple[float, ...] = option((1.0, 2.0), (1.0,))


def fails(error: Exception) -> Callable[[Sized], Found]:
    def part(_plan: Sized) -> Found:
        raise error

    return part


def works(_plan: Sized) -> Found:
    return Found("all is well", {FIGURE: [7.0]})


def run(first: Callable[[Sized], Found], out: Path, *options: str) -> int:
    parts = {"first": first, "last-one": works}
    given = [*options, "--times", "2", "--out", str(out)]
    return measure_parts("bench_x", "What it does.", PAGE, parts, Sized, given)


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
    assert kept.command.startswith("python -m tools.bench_x --only last-one --times 2 ")


def test_ctrl_c_ends_it_and_keeps_what_was_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback, and an exit code of its own."""

    def stopped(_plan: Sized) -> Found:
        raise KeyboardInterrupt

    parts: dict[str, Callable[[Sized], Found]] = {"first": works, "second": stopped, "third": works}
    code = measure_parts("bench_x", None, PAGE, parts, Sized, ["--out", str(tmp_path)])
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
    assert run(works, tmp_path, "--quick") == 0
    said = capsys.readouterr().out
    assert "all is well" in said
    assert "at most" not in said
    assert list(tmp_path.iterdir()) == []


def test_options_are_those_of_the_plan(tmp_path: Path) -> None:
    """By --quick they are small; what is given counts in both; headlines are of the usual ones."""
    plans: list[Sized] = []

    def part(plan: Sized) -> Found:
        plans.append(plan)
        return Found("", {})

    out = ["--out", str(tmp_path)]
    for given in (out, ["--quick"], ["--quick", "--size", "7", "--sizes", "4", "5"]):
        assert measure_parts("bench_x", None, PAGE, {"one": part}, Sized, given) == 0
    assert [(one.size, one.sizes, one.times) for one in plans] == [
        (100, (1.0, 2.0), 3),
        (3, (1.0,), 1),
        (7, (4.0, 5.0), 1),
    ]
    assert [one.is_whole("size", "sizes") for one in plans] == [True, False, False]
    assert [one.out for one in plans] == [tmp_path, None, None]
    assert not plans[0].folder.exists()
