"""Small drawings as text: SVG that stretches with the page, and a PNG of a density.

A drawing is stretched to its box and its strokes are not; so it holds no letters. Labels are HTML.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from monitor.plain import clock

WIDE, HIGH = 1000, 100  # of every drawing, in its own units
TICK_S = (1, 2, 5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600, 43200)
MOST_TICKS = 7
_DENSEST = np.array([0, 62, 52], np.float64)  # from white to this


def drawing(inside: Iterable[str], label: str) -> str:
    """Return an SVG of parts; `label`, which says what is seen, must be escaped."""
    return (
        f'<svg viewBox="0 0 {WIDE} {HIGH}" preserveAspectRatio="none" role="img" '
        f'aria-label="{label}">{"".join(inside)}</svg>'
    )


def points(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    """Return finite points as SVG takes them, to a tenth."""
    return " ".join(
        f"{a:.1f},{b:.1f}"
        for a, b in zip(x.tolist(), y.tolist(), strict=True)
        if np.isfinite(a) and np.isfinite(b)
    )


def line(x: NDArray[np.float64], y: NDArray[np.float64], name: str) -> str:
    """Return a line of a class, broken where y is NaN."""
    known = np.isfinite(y)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(np.int8)))
    parts = [
        f'<polyline class="{name}" points="{points(x[start:stop], y[start:stop])}"/>'
        for start, stop in edges.reshape(-1, 2).tolist()
    ]
    return "".join(parts)


def band(
    x: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64], name: str
) -> str:
    """Return the area between two lines, broken where either is NaN."""
    known = np.isfinite(low) & np.isfinite(high)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(np.int8)))
    parts = [
        f'<polygon class="{name}" points="{points(x[start:stop], high[start:stop])} '
        f'{points(x[start:stop][::-1], low[start:stop][::-1])}"/>'
        for start, stop in edges.reshape(-1, 2).tolist()
    ]
    return "".join(parts)


def box(x: float, y: float, width: float, height: float, name: str) -> str:
    """Return a filled rectangle."""
    return (
        f'<rect class="{name}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
    )


def upright(x: float, name: str) -> str:
    """Return a vertical line."""
    return f'<line class="{name}" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{HIGH}"/>'


def across(y: float, name: str) -> str:
    """Return a horizontal line."""
    return f'<line class="{name}" x1="0" x2="{WIDE}" y1="{y:.1f}" y2="{y:.1f}"/>'


def scaled(values: NDArray[np.floating], bottom: float, top: float) -> NDArray[np.float64]:
    """Return heights from the drawing's upper edge; what lies outside is drawn at the edge."""
    share = (np.asarray(values, np.float64) - bottom) / max(top - bottom, 1e-9)
    return np.asarray(HIGH * (1 - np.clip(share, 0, 1)))


def ticks(first_s: float, length_s: float) -> list[tuple[float, str]]:
    """Return where a time axis has labels, as shares of its length, and the labels.

    Examples
    --------
    >>> [label for _, label in ticks(0, 24 * 3600)]
    ['00:00', '04:00', '08:00', '12:00', '16:00', '20:00', '24:00']
    >>> ticks(0, 10)[1]
    (0.2, '00:00:02')
    """
    most = MOST_TICKS - 1
    step_s = next((one for one in TICK_S if length_s <= most * one), 0)
    if not step_s:
        step_s = 86_400 * int(-(-length_s // (86_400 * most)))
    begin = -(-first_s // step_s)
    times = [step_s * (begin + place) for place in range(MOST_TICKS + 1)]
    short = step_s >= 60
    return [
        ((at - first_s) / length_s, clock(at, 0)[: -3 if short else None])
        for at in times
        if at <= first_s + length_s
    ]


def density_png(density: NDArray[np.integer]) -> str:
    """Return counts as a PNG in a `data:` address: the more, the darker; the first row below.

    Each column is darkest where most of its counts are.
    """
    counts = density[::-1].astype(np.float64)
    most = np.maximum(counts.max(axis=0, keepdims=True), 1.0)
    dark = np.sqrt(counts / most)
    dark[(counts > 0) & (dark < 0.25)] = 0.25  # a single interval is seen
    colours = np.rint(255 + dark[..., None] * (_DENSEST - 255)).astype(np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in colours)
    height, width = density.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return "data:image/png;base64," + base64.b64encode(_png(parts)).decode()


def _png(parts: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return a PNG of its chunks (ISO/IEC 15948)."""
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
