"""Curves as Braille characters: two dots across and four down in every cell of the terminal.

Dots are counted from the left and from the bottom. NaN draws nothing: a gap stays a gap.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DOTS_ACROSS = 2
DOTS_DOWN = 4
_BLANK = 0x2800
# Bit of each dot of a cell, as Unicode numbers them: rows from the top, columns from the left.
_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], np.uint32)


def envelope(values: NDArray[np.float32], n_dots: int) -> NDArray[np.float32]:
    """Return the lowest and the highest value that falls on each dot across.

    Parameters
    ----------
    values : np.ndarray, shape (n,), float32
        Evenly spaced, over the whole width; NaN where missing.
    n_dots : int
        Dots across; more than n repeat values.

    Returns
    -------
    np.ndarray, shape (2, n_dots), float32
        NaN where all the values of a dot are missing.
    """
    if len(values) == 0 or n_dots == 0:
        return np.full((2, n_dots), np.nan, np.float32)
    starts = np.arange(n_dots) * len(values) // n_dots
    # fmin and fmax pass over NaN, and reduceat repeats the value where two starts are equal.
    return np.stack([np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)])


def curve(
    columns: NDArray[np.float32], bottom: float, top: float, n_rows: int
) -> NDArray[np.bool_]:
    """Return the dots of a connected curve.

    Parameters
    ----------
    columns : np.ndarray, shape (2, n_dots), float32
        Lowest and highest value on each dot across (see `envelope`).
    bottom, top : float
        Values at the lower and the upper edge; what lies outside is drawn at the edge.
    n_rows : int
        Rows of cells.

    Returns
    -------
    np.ndarray, shape (4 * n_rows, n_dots), bool
        First row on top.
    """
    n_dots_down = n_rows * DOTS_DOWN
    n_dots = columns.shape[1]
    present: NDArray[np.bool_] = ~np.any(np.isnan(columns), axis=0)
    if not present.any() or n_dots_down == 0:
        return np.zeros((n_dots_down, n_dots), np.bool_)
    scaled = (np.nan_to_num(columns) - bottom) * ((n_dots_down - 1) / (top - bottom))
    low, high = np.clip(np.rint(scaled), 0, n_dots_down - 1).astype(np.int64)
    # Reach to the previous dot where the two do not touch, or a steep edge would be a dotted one.
    both = present[1:] & present[:-1]
    rises = both & (low[1:] > high[:-1] + 1)
    falls = both & (high[1:] < low[:-1] - 1)
    low[1:] = np.where(rises, high[:-1] + 1, low[1:])
    high[1:] = np.where(falls, low[:-1] - 1, high[1:])
    level = np.arange(n_dots_down - 1, -1, -1)[:, None]
    dots: NDArray[np.bool_] = (level >= low) & (level <= high) & present
    return dots


def characters(dots: NDArray[np.bool_]) -> list[str]:
    """Return the rows of cells as text; a cell without a dot is a space.

    Parameters
    ----------
    dots : np.ndarray, shape (4 * n_rows, 2 * n_columns), bool
        First row on top.
    """
    n_rows, n_columns = dots.shape[0] // DOTS_DOWN, dots.shape[1] // DOTS_ACROSS
    cells = dots.reshape(n_rows, DOTS_DOWN, n_columns, DOTS_ACROSS)
    codes = _BLANK + np.einsum("rdca,da->rc", cells.astype(np.uint32), _BITS)
    codes = np.where(codes == _BLANK, ord(" "), codes).astype("<u4")
    return [row.tobytes().decode("utf-32-le") for row in codes]
