"""One HTML page, with a picture or without: it needs no other file, all text in it is escaped."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The page may show its own picture and style, and load or run nothing whatever.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = (
    "body{font-family:sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}"
    "td,th{padding:.2rem .8rem;text-align:left}img{max-width:100%}"
)


def html_page(title: str, tables: str, picture: bytes | None, picture_says: str) -> str:
    """Return the page.

    Parameters
    ----------
    title, picture_says : str
        Any text; escaped here.
    tables : str
        HTML, as `facts_table` returns it.
    picture : bytes or None
        A PNG.
    """
    image = ""
    if picture is not None:
        data = base64.b64encode(picture).decode()
        image = f'<img alt="{html.escape(picture_says)}" src="data:image/png;base64,{data}">\n'
    return whole_page(title, f"<h1>{html.escape(title)}</h1>\n{tables}\n{image}", _STYLE)


def whole_page(title: str, body: str, style: str) -> str:
    """Return a page of HTML that was made here, with nothing unescaped in it."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{html.escape(title)}</title><style>{style}</style></head><body>\n"
        f"{body}<p>Research software, not a medical device.</p>\n</body></html>\n"
    )


def facts_table(rows: Iterable[tuple[str, str]]) -> str:
    """Return names and values as an HTML table, escaped."""
    cells = (
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
        for name, value in rows
    )
    return f"<table>{''.join(cells)}</table>"


def png(figure: Figure, dpi: int = 110) -> bytes:
    """Return a figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=dpi, format="png")
    return buffer.getvalue()
