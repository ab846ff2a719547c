"""What the pages share: tables, spread, sections that are replaced one by one."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from tools.pages import again, command_line, machine, page_of, sections_of, spread, table
from tools.pages import write_sections as write


def test_several_runs_show_median_and_extremes() -> None:
    """One run shows its figure alone; a run without a value shows none."""
    assert spread([3.0, 1.0, 2.0], ".1f") == "2.0 (1.0 to 3.0)"
    assert spread([1234.0], ",.0f") == "1,234"
    assert spread([float("nan"), 2.0], ".0f") == "2"
    assert spread([float("nan")], ".0f") == "-"


def test_tables_are_markdown() -> None:
    """The first column is a name, the others are numbers."""
    assert table(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"


def test_the_machine_is_named() -> None:
    """What a figure depends on."""
    named = machine(["numpy"])
    assert f"{os.cpu_count()} cores" in named
    assert platform.python_version() in named
    assert "numpy " in named


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], "--only growth"),
        (["--times", "2"], "--only growth --times 2"),
        (["--only", "growth", "--only", "steps", "--times", "2"], "--only growth --times 2"),
        (["--records", "a folder"], "--only growth --records 'a folder'"),
    ],
)
def test_a_part_is_measured_again_alone(given: list[str], expected: str) -> None:
    """With the options that it was measured with."""
    assert again("bench_ward", "growth", given) == f"python -m tools.bench_ward {expected}"
    assert command_line("bench_view", []) == "python -m tools.bench_view"


def test_sections_are_replaced_one_by_one(tmp_path: Path) -> None:
    """The others stay as they are, in their order; a new one comes last."""
    file = tmp_path / "page.md"
    write(file, "A page", {"One": "    first", "Two": "text\n\n### deeper\n\nmore"})
    assert file.read_text().startswith("# A page\n\n## One\n\n    first\n\n## Two\n")
    write(file, "A page", {"Three": "third"})
    assert sections_of(file.read_text())["One"] == "    first"
    write(file, "A page", {"One": "again"})
    sections = sections_of(file.read_text())
    assert list(sections) == ["One", "Two", "Three"]
    assert sections["One"] == "again"
    assert sections["Two"].endswith("### deeper\n\nmore")
    assert file.read_text() == page_of("A page", sections)
