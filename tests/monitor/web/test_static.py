"""The page's own files: text stays text, colours can be read, licences are named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
STATIC = ROOT / "monitor" / "web" / "static"
OWN = sorted(path for path in STATIC.glob("*.js") if not path.name.startswith("uPlot"))
MARKUP = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function")
CSS = (STATIC / "station.css").read_text()
NAMED = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", CSS.split("}")[0]))


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_text_never_becomes_markup(path: Path) -> None:
    """No way of the browser that would read a patient's name as part of the page."""
    assert MARKUP.search(path.read_text()) is None


def luminance(colour: str) -> float:
    """Return the relative luminance of WCAG 2.2."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, 1 to 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("ink", ["ink", "dim", "trace", "high", "medium", "low", "technical"])
def test_text_can_be_read_on_the_ground(ink: str) -> None:
    """4.5 to 1 at least (WCAG 2.2, 1.4.3), on page and panel."""
    for ground in ("ground", "panel"):
        assert contrast(NAMED[ink], NAMED[ground]) >= 4.5


@pytest.mark.parametrize("rank", ["high", "medium", "low", "technical"])
def test_what_stands_can_be_read_on_its_colour(rank: str) -> None:
    """The words of a priority on its colour; each has another frame, too."""
    (found,) = re.findall(rf"\.said\.{rank} {{ background: (#\w+); color: (#\w+); }}", CSS)
    assert contrast(*found) >= 4.5
    assert found[0] == NAMED[rank]


def test_what_others_wrote_is_named_with_its_licence() -> None:
    """UPlot ships as it was published."""
    notice = (ROOT / "NOTICE").read_text()
    script = (STATIC / "uPlot.iife.min.js").read_text()
    (version,) = set(re.findall(r"uPlot (\d+\.\d+\.\d+)", notice))
    assert f"v{version}" in script[:300]
    assert "MIT License" in (STATIC / "uPlot.LICENSE").read_text()
