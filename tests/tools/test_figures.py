"""The figures: what is asked of each, and what is kept of them."""

from __future__ import annotations

import shlex
from importlib import import_module
from pathlib import Path

import pytest

from tools import figures
from tools.figures import KEPT, PAGE, Headline, keep, read, show


@pytest.mark.parametrize(
    ("headline", "median", "asked", "verdict"),
    [
        (Headline("", ".1f", at_least=1.8), 1.8, "at least 1.8", "met"),
        (Headline("", ".1f", at_least=1.8), 1.79, "at least 1.8", "missed"),
        (Headline("", ".0f", at_most=250), 250, "at most 250", "met"),
        (Headline("", ".0f", at_most=250), 250.4, "at most 250", "missed"),
        (Headline("", ",.0f", 2000, aim=10_000), 2500, "at least 2,000, aim 10,000", "met"),
        (Headline("", ",.0f", 2000, aim=10_000), 10_000, "at least 2,000, aim 10,000", "aim met"),
        (Headline("", ".0f", 35, aim=60), float("nan"), "at least 35, aim 60", "missed"),
        (Headline("", ".0f"), 7, "", ""),
    ],
)
def test_a_median_is_held_against_what_is_asked(
    headline: Headline, median: float, asked: str, verdict: str
) -> None:
    """Missed, met, or better: the aim met; what was not measured is missed."""
    assert headline.asked() == asked
    assert headline.verdict(median) == verdict


def test_figures_are_kept_beside_older_ones(tmp_path: Path) -> None:
    """Those of the same name are replaced; the page has ratios first, each with its command."""
    keep({"ward.delay": [170.0, 180.0, 300.0], "archive.times_faster": [1.9]}, "a tool", tmp_path)
    keep({"ward.delay": [200.0]}, "another", tmp_path)
    kept = read(tmp_path / KEPT)
    assert kept["ward.delay"].values == [200.0]
    assert kept["archive.times_faster"].command == "a tool"
    page = (tmp_path / PAGE).read_text()
    ratio, absolute = (
        page.index("| 1.90 | 1 | at least 1.80 | met | `a tool` |"),
        page.index("| 200 |"),
    )
    assert page.index("## Ratios") < ratio < page.index("## Absolutes") < absolute
    assert "| at most 250 | met | `another` |" in page
    assert "scoring.one_beat" in page[page.index("## Not measured") :]


def test_a_figure_without_a_headline_is_no_figure(tmp_path: Path) -> None:
    """A wrong name is a mistake, and nothing is written."""
    with pytest.raises(KeyError):
        keep({"no.such": [1.0]}, "a tool", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("values", [[], [float("nan")], [1.0, float("inf")]])
def test_a_run_without_a_value_is_no_figure(values: list[float], tmp_path: Path) -> None:
    """A run of which nothing came must not be left out of a median; what was kept stays."""
    keep({"view.share": [9.0]}, "a tool", tmp_path)
    with pytest.raises(ValueError, match="gave no value"):
        keep({"ward.delay": values, "view.share": [1.0]}, "another", tmp_path)
    assert read(tmp_path / KEPT)["view.share"].values == [9.0]


def test_figures_are_shown_with_their_verdict() -> None:
    """Ratios first, whatever the order in which they were measured."""
    shown = show({"startup.first_beat": [3.5], "view.share": [9.0, 8.0, 10.0]}).splitlines()
    assert shown[0].endswith("% of a core: 9.0 (8.0 to 10.0) (at most 15.0: met)")
    assert shown[1].endswith("s: 3.50 (at most 3.00: missed)")


def test_the_page_of_the_project_is_that_of_its_figures() -> None:
    """docs/BENCH.md is written by the tools, and by them alone."""
    docs = Path(figures.__file__).resolve().parents[1] / "docs"
    assert (docs / PAGE).read_text() == figures.page(read(docs / KEPT))


def test_every_command_of_the_page_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Its tool is there, with these parts and options: a wrong one ends before the help does."""
    docs = Path(figures.__file__).resolve().parents[1] / "docs"
    for command in sorted({one.command for one in read(docs / KEPT).values()}):
        python, dash_m, module, *options = shlex.split(command)
        assert (python, dash_m) == ("python", "-m")
        with pytest.raises(SystemExit) as ended:
            import_module(module).main([*options, "--help"])
        assert ended.value.code == 0, (command, capsys.readouterr().err)
