"""What the pages share."""

from __future__ import annotations

from tools.pages import spread, table


def test_several_runs_show_median_and_extremes() -> None:
    """One run shows its figure alone."""
    assert spread([3.0, 1.0, 2.0], ".1f") == "2.0 (1.0 to 3.0)"
    assert spread([1234.0], ",.0f") == "1,234"


def test_tables_are_markdown() -> None:
    """The first column is a name, the others are numbers."""
    assert table(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"
