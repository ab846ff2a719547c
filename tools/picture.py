"""Take a picture of the live view during a real run, as SVG.

    python -m tools.picture docs/live-view.svg
    python -m tools.picture OUT.svg RECORD --at 6:00 --learn 5:00 --speed 20 --size 120x36

Rich's own export leaves Braille to whatever font the reader has, and its dots then miss their
columns; here dots and blocks are drawn as shapes and words are set at their column.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from rich.color import Color
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import SVG_EXPORT_THEME

from monitor.run.replay import ReplayOptions, replay
from monitor.settings import parse_duration, parse_speed
from monitor.sources.simulated import default_record
from monitor.view.layout import render
from monitor.view.screens import Controls, OffTerminal
from monitor.view.snapshot import Snapshot, apply
from monitor.wire.messages import ALL_BEATS, ALL_WAVES, Message, Status

CELL_WIDTH, CELL_HEIGHT = 9, 18
FONT_PX = 15
BASELINE_PX = 13.5  # below the upper edge of a cell
DOT_PX = 3.2
BACKGROUND, FOREGROUND = "#0c0e10", "#c8cdd2"
FONTS = "Menlo, 'DejaVu Sans Mono', 'Liberation Mono', Consolas, monospace"
# Centres of a Braille cell's eight dots, in the order of the bits of its code point.
_DOT_PLACES = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3)]


class PictureScreen(OffTerminal):
    """A screen that nobody watches: it keeps the state of one moment and then ends the run."""

    topics: tuple[str, ...] = ("alert", "technical", ALL_BEATS, "status")
    wave_topics: tuple[str, ...] = (ALL_WAVES,)

    def __init__(self, at_s: float) -> None:
        self._at_s = at_s
        self.is_taken = False
        self.snapshot = Snapshot()

    def take(self, message: Message) -> None:
        """Take a message in, up to the moment of the picture."""
        if self.is_taken:
            return
        self.snapshot = apply(self.snapshot, message)
        if isinstance(message, Status):
            places_s = [patient.position_s or 0.0 for patient in self.snapshot.patients.values()]
            self.is_taken = bool(places_s) and min(places_s) >= self._at_s

    def notice(self, text: str) -> None:
        """Leave notices out of the picture."""

    def refresh(self, controls: Controls) -> None:
        """End the run once the picture is taken."""
        if self.is_taken:
            controls.quit()


def picture(snapshot: Snapshot, width: int, height: int) -> str:
    """Return the screen of a snapshot as an SVG document."""
    with tempfile.TemporaryFile("w") as nowhere:
        console = Console(width=width, height=height, force_terminal=True, file=nowhere)
        lines = console.render_lines(render(snapshot, width, height), pad=False)
    return svg(lines, width, height)


def svg(lines: Iterable[Sequence[Segment]], width: int, height: int) -> str:
    """Return lines of a terminal as an SVG document."""
    size = f"{width * CELL_WIDTH} {height * CELL_HEIGHT}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}"'
        f' font-family="{FONTS}" font-size="{FONT_PX}" xml:space="preserve">',
        f'<rect width="100%" height="100%" fill="{BACKGROUND}"/>',
    ]
    words: list[str] = []
    dots: dict[str, list[str]] = defaultdict(list)
    blocks: dict[str, list[str]] = defaultdict(list)
    for row, line in enumerate(lines):
        column = 0
        for segment in line:
            style = segment.style or Style.null()
            colour = _hex(style.color, FOREGROUND)
            if style.bgcolor is not None and not style.bgcolor.is_default:
                full = _rectangle(column, row, segment.cell_length, 8)
                blocks[_hex(style.bgcolor, BACKGROUND)].append(full)
            for start, word in _words(segment.text):
                words.append(_text(column + start, row, word, colour, bool(style.bold)))
            for place, cell in enumerate(segment.text):
                if "\u2800" <= cell <= "\u28ff":
                    dots[colour].append(_dots(column + place, row, ord(cell)))
                elif "▁" <= cell <= "█":
                    eighths = ord(cell) - ord("▁") + 1
                    blocks[colour].append(_rectangle(column + place, row, 1, eighths))
            column += segment.cell_length
    parts += [f'<path fill="{colour}" d="{"".join(path)}"/>' for colour, path in blocks.items()]
    parts += [
        f'<path stroke="{colour}" stroke-width="{DOT_PX}" stroke-linecap="round"'
        f' d="{"".join(path)}"/>'
        for colour, path in dots.items()
    ]
    return "\n".join([*parts, *words, "</svg>", ""])


def _hex(colour: Color | None, default: str) -> str:
    if colour is None or colour.is_default:
        return default
    return colour.get_truecolor(SVG_EXPORT_THEME).hex


def _words(text: str) -> list[tuple[int, str]]:
    """Return the words of a text with the column each begins at; shapes are blanks here."""
    blank = "".join(" " if "▁" <= c <= "█" or "\u2800" <= c <= "\u28ff" else c for c in text)
    words, start = [], 0
    for word in blank.split(" "):
        if word:
            words.append((start, word))
        start += len(word) + 1
    return words


def _text(column: int, row: int, word: str, colour: str, is_bold: bool) -> str:
    place = f'x="{column * CELL_WIDTH}" y="{row * CELL_HEIGHT + BASELINE_PX}"'
    length = f'textLength="{len(word) * CELL_WIDTH}" lengthAdjust="spacingAndGlyphs"'
    weight = ' font-weight="bold"' if is_bold else ""
    return f'<text {place} {length} fill="{colour}"{weight}>{escape(word)}</text>'


def _dots(column: int, row: int, code: int) -> str:
    """Return a path with a round cap at every dot of a Braille cell."""
    path = []
    for bit, (across, down) in enumerate(_DOT_PLACES):
        if (code - 0x2800) >> bit & 1:
            x = column * CELL_WIDTH + (across + 0.5) * CELL_WIDTH / 2
            y = row * CELL_HEIGHT + (down + 0.5) * CELL_HEIGHT / 4
            path.append(f"M{x:g} {y:g}h0")
    return "".join(path)


def _rectangle(column: int, row: int, n_columns: int, eighths: int) -> str:
    """Return a path that fills cells from the bottom up to some eighths of their height."""
    width, height = n_columns * CELL_WIDTH, CELL_HEIGHT * eighths / 8
    top = (row + 1) * CELL_HEIGHT - height
    return f"M{column * CELL_WIDTH} {top:g}h{width}v{height:g}h-{width}z"


def main() -> None:
    """Run a replay up to the moment, and write the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("records", nargs="*", help="WFDB records; none is the simulated one")
    parser.add_argument("--at", default="60", help="time in the record, as 90 or 1:30")
    parser.add_argument("--speed", default="10")
    parser.add_argument("--learn", help="learn the patient's normal from the first minutes")
    parser.add_argument("--checkpoint", help="none is the one that ships")
    parser.add_argument("--size", default="120x36", help="columns and rows")
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    screen = PictureScreen(parse_duration(arguments.at, "--at"))
    with tempfile.TemporaryDirectory() as folder:
        options = ReplayOptions(
            records=arguments.records or [str(default_record())],
            alerts=f"ipc://{folder}/alerts",
            speed=parse_speed(arguments.speed),
            checkpoint=arguments.checkpoint,
            learn_s=None if arguments.learn is None else parse_duration(arguments.learn, "--learn"),
        )
        replay(options, screen)
    if not screen.is_taken:
        parser.error(f"the run ended before {arguments.at}, the moment of the picture; see --at")
    arguments.out.write_text(picture(screen.snapshot, width, height), encoding="utf-8")


if __name__ == "__main__":
    main()
