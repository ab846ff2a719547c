"""The shape of a QRS complex beside the patient's own: width, likeness to the dominant one.

A ventricular beat does not run down the conduction system: its QRS complex is wide and of another
shape. Each beat is compared with the dominant shape of the lead, which is learnt without labels as
the shape that most beats have had. Beats of many leads are measured side by side; each gives to
the bit what it gives alone.

Sources
-------
Hamilton: Open source ECG analysis. Computers in Cardiology 29 (2002) 101-104: beats are matched
against the patient's shapes, and the dominant one says what is usual.
Jekova, Bortolan, Christov: Assessment and comparison of different methods for heartbeat
classification. Med Eng Phys 30 (2008) 248-257: area and width of the complex against the usual.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from segmenter.errors import InvalidState
from segmenter.signs import SHAPE_COLUMNS

BEFORE_S, AFTER_S = 0.16, 0.24  # around R: a QRS complex of 200 ms and what it turns into
FS_HZ = 125.0  # of a shape: 51 values
SHIFT = 3  # values by which R may lie differently in two beats of one shape: 24 ms
SHAPES = 6  # remembered of a lead
ALIKE = 0.90  # correlation of two beats of one shape
LEARN_RATE = 0.1  # of a shape at each beat that has it: the last ten or so count
FORGET = 0.998  # of how often a shape came, at each beat: 6 minutes at 80 a minute
ACTIVE = 0.15  # of the steepest slope: the complex is where the signal is steeper
WIDEST_GAP_S = 0.04  # within a complex: a notch

OFFSETS = np.arange(-round(BEFORE_S * FS_HZ), round(AFTER_S * FS_HZ) + 1)  # of a shape's values
N = len(OFFSETS)
N_INNER = N - 2 * SHIFT  # that lie in both of two shifted beats
CENTRE, WIDEST_GAP = round(BEFORE_S * FS_HZ), round(WIDEST_GAP_S * FS_HZ)
TINY = np.float32(1e-12)


class QrsShape(NamedTuple):
    """How one beat looks beside the lead's dominant shape: a row of SHAPE_COLUMNS, by name.

    Attributes
    ----------
    width_ms : float
        From the first to the last steep part around R.
    usual_width_ms : float
        Of the dominant shape; NaN before there is one.
    correlation : float
        With the dominant shape, at the best shift.
    height_ratio : float
        Largest deflection over that of the dominant shape.
    distance : float
        Root of the squared difference over that of the dominant shape's square.
    like_last : float
        Correlation with the beat before.
    dominant_share : float
        Of the beats so far, those that have the dominant shape.
    of_shape : float
        Which shape it has; the numbers are of no meaning.
    """

    width_ms: float
    usual_width_ms: float
    correlation: float
    height_ratio: float
    distance: float
    like_last: float
    dominant_share: float
    of_shape: float


class ComplexCutter:
    """Cuts QRS complexes out of a signal: smoothed, at `FS_HZ`, median 0.

    Parameters
    ----------
    fs_hz : float
        Sampling rate, 100 to 2000 Hz.

    Attributes
    ----------
    before, after : int
        Samples around R that are read, R itself among those after it.
    """

    def __init__(self, fs_hz: float) -> None:
        reach = max(1, round(fs_hz / FS_HZ / 2))
        places = OFFSETS * fs_hz / FS_HZ
        first = np.floor(places).astype(np.int64)
        part = (places - first).astype(np.float32)
        # A value lies between two samples, each the mean of `reach` to either side of it.
        self._taps = [first + k for k in range(-reach, reach + 2)]
        mean = np.float32(1 / (2 * reach + 1))
        self._weights = [
            mean * ((k <= reach) * (1 - part) + (k > -reach) * part)
            for k in range(-reach, reach + 2)
        ]
        self.before = -int(self._taps[0][0])
        self.after = int(self._taps[-1][-1]) + 1

    def cut(self, signal: NDArray[np.float32], r_indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the complexes around R peaks, given as indices of a signal: shape (b, N)."""
        r_indices = r_indices[:, None]
        beats = np.zeros((len(r_indices), N), np.float32)
        for taps, weights in zip(self._taps, self._weights, strict=True):
            beats += signal.take(r_indices + taps) * weights
        beats -= np.partition(beats, N // 2, axis=1)[:, N // 2, None]
        return beats


class ShapeMemory:
    """The shapes that leads have shown; a place for each lead.

    Parameters
    ----------
    places : int
    """

    def __init__(self, places: int) -> None:
        self._shapes = np.zeros((places, SHAPES, N), np.float32)
        self._widths_ms = np.zeros((places, SHAPES), np.float32)
        self._counts = np.zeros((places, SHAPES))  # of beats that had it of late; 0: there is none
        self._last = np.zeros((places, N), np.float32)
        # What beats are compared with, of each shape: once for all of them.
        self._centred = np.zeros((places, SHAPES, N_INNER), np.float32)
        self._energies = np.full((places, SHAPES), TINY)
        self._heights = np.zeros((places, SHAPES), np.float32)

    def arrays(self, place: int) -> dict[str, NDArray[Any]]:
        """Return views of what is known of a place; `check` it once they were changed."""
        return {
            "shapes": self._shapes[place],
            "shape_widths": self._widths_ms[place],
            "shape_counts": self._counts[place],
            "last_shape": self._last[place],
        }

    def check(self, place: int) -> None:
        """Take in what was put at a place; InvalidState where it cannot be a memory of shapes."""
        if (self._counts[place] < 0).any() or (self._widths_ms[place] < 0).any():
            raise InvalidState(
                "saved state: a shape came a negative number of times, or is as wide"
            )
        self._put(np.full(SHAPES, place), np.arange(SHAPES), self._shapes[place].copy())

    def forget(self, place: int) -> None:
        """Let a place be as that of a lead that begins."""
        for array in self.arrays(place).values():
            array[...] = 0
        self.check(place)

    def moved_to(self, places: int) -> ShapeMemory:
        """Return the same in other memory, for at least as many places."""
        other = ShapeMemory(places)
        for new, old in zip(vars(other).values(), vars(self).values(), strict=True):
            new[: len(old)] = old
        return other

    def measure(self, places: NDArray[np.intp], beats: NDArray[np.float32]) -> NDArray[Any]:
        """Measure beats of some places, those of each in their order, and learn from them.

        Parameters
        ----------
        places : np.ndarray, shape (b,)
        beats : np.ndarray, shape (b, N)
            As `ComplexCutter.cut` gives them.

        Returns
        -------
        np.ndarray, shape (b,), SHAPE_COLUMNS
        """
        measured = np.zeros(len(places), SHAPE_COLUMNS)
        if not len(places):
            return measured
        rounds, before = _in_turn(places)
        shifted = _Shifted.of(beats)
        last = np.where(before[:, None] >= 0, beats[before], self._last[places])
        centred, energies = _centred(last)
        like_last, _ = shifted.compared(centred[:, None], energies[:, None])
        measured["width_ms"] = widths_ms = _widths_ms(beats)
        measured["like_last"] = like_last[:, 0].max(axis=1)
        heights = np.abs(beats).max(axis=1)
        for which in rounds:  # what is learnt of a beat, the place's next one is compared with
            part = slice(None) if len(rounds) == 1 else which
            self._measure_round(
                places[part], beats[part], widths_ms[part], heights[part], shifted.rows(part),
                measured, part,
            )  # fmt: skip
        return measured

    def _measure_round(
        self,
        places: NDArray[np.intp],
        beats: NDArray[np.float32],
        widths_ms: NDArray[np.float32],
        heights: NDArray[np.float32],
        shifted: _Shifted,
        measured: NDArray[Any],
        which: slice | NDArray[np.intp],
    ) -> None:
        """Compare a beat of each of some places with their shapes, and learn it."""
        rows, counts = np.arange(len(places)), self._counts[places]
        usual = counts.argmax(axis=1)
        correlations, products = shifted.compared(self._centred[places], self._energies[places])
        of_usual = correlations[rows, usual]  # (b, shifts)
        best = of_usual.argmax(axis=1)
        energies = self._energies[places, usual]
        apart = shifted.energies[rows, best] + energies - 2 * products[rows, usual, best]
        came = counts.sum(axis=1)
        is_new = came == 0
        columns = {
            "usual_width_ms": (self._widths_ms[places, usual], np.nan),
            "correlation": (of_usual[rows, best], 0),
            "height_ratio": (heights / (self._heights[places, usual] + np.float32(1e-9)), 1),
            "distance": (np.sqrt(np.maximum(apart, 0) / energies), 1),
            "dominant_share": (counts[rows, usual] / np.where(is_new, 1, came), 0),
        }
        any_new = is_new.any()
        for name, (values, of_new) in columns.items():
            if any_new:
                values[is_new] = of_new
            measured[name][which] = values
        matches = np.where(counts > 0, correlations.max(axis=2), -1)
        measured["of_shape"][which] = self._learn(places, beats, widths_ms, matches)

    def _learn(
        self,
        places: NDArray[np.intp],
        beats: NDArray[np.float32],
        widths_ms: NDArray[np.float32],
        matches: NDArray[np.float32],
    ) -> NDArray[np.intp]:
        """Follow the shape that each beat has; one of none takes the rarest one's place."""
        best = matches.argmax(axis=1)
        is_alike = matches[np.arange(len(places)), best] >= ALIKE
        self._counts[places] *= FORGET
        which: NDArray[np.intp] = np.where(is_alike, best, self._counts[places].argmin(axis=1))
        rate = np.where(is_alike, np.float32(LEARN_RATE), np.float32(1))
        shapes, shape_widths = self._shapes[places, which], self._widths_ms[places, which]
        self._put(places, which, shapes + rate[:, None] * (beats - shapes))
        self._widths_ms[places, which] = shape_widths + rate * (widths_ms - shape_widths)
        self._counts[places, which] = np.where(is_alike, self._counts[places, which], 0) + 1
        self._last[places] = beats
        return which

    def _put(
        self, places: NDArray[np.intp], which: NDArray[np.intp], shapes: NDArray[np.float32]
    ) -> None:
        """Take a shape of each of some places in, and what beats are compared with."""
        self._shapes[places, which] = shapes
        self._centred[places, which], self._energies[places, which] = _centred(shapes)
        self._heights[places, which] = np.abs(shapes).max(axis=1)


class _Shifted(NamedTuple):
    """Beats at every shift, means taken out.

    Attributes
    ----------
    values : np.ndarray, shape (b, 2 SHIFT + 1, N_INNER)
    energies, roots : np.ndarray, shape (b, 2 SHIFT + 1)
        Of each, and their square roots.
    """

    values: NDArray[np.float32]
    energies: NDArray[np.float32]
    roots: NDArray[np.float32]

    @classmethod
    def of(cls, beats: NDArray[np.float32]) -> _Shifted:
        """Shift beats, shape (b, N)."""
        values = sliding_window_view(beats, N_INNER, axis=1)
        values = values - values.mean(axis=2, keepdims=True)
        energies = (values * values).sum(axis=2) + TINY
        return cls(values, energies, np.sqrt(energies))

    def rows(self, which: slice | NDArray[np.intp]) -> _Shifted:
        """Return some of the beats."""
        return _Shifted(self.values[which], self.energies[which], self.roots[which])

    def compared(
        self, centred: NDArray[np.float32], energies: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return correlations and products with k shapes: shape (b, k, 2 SHIFT + 1).

        `centred` (b, k, N_INNER) and `energies` (b, k) are the shapes'.
        """
        # No product of matrices: its bits depend on how many there are.
        products = (centred[:, :, None] * self.values[:, None]).sum(axis=3)
        return products / (self.roots[:, None] * np.sqrt(energies)[:, :, None]), products


def _centred(shapes: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the inner part of shapes (b, N) with the mean taken out, and its energy."""
    inner = shapes[:, SHIFT:-SHIFT]
    inner = inner - inner.mean(axis=1, keepdims=True)
    return inner, (inner * inner).sum(axis=1) + TINY


def _in_turn(places: NDArray[np.intp]) -> tuple[list[NDArray[np.intp]], NDArray[np.intp]]:
    """Divide indices, in order, so that no place stands twice in a round.

    The second value is the index of each one's place before; -1 where it is the first.
    """
    came: dict[int, tuple[int, int]] = {}
    rounds: list[list[int]] = []
    before: list[int] = []
    for index, place in enumerate(places.tolist()):
        turn, last = came.get(place, (0, -1))
        came[place] = turn + 1, index
        before.append(last)
        if turn == len(rounds):
            rounds.append([])
        rounds[turn].append(index)
    return [np.array(one, np.intp) for one in rounds], np.array(before, np.intp)


def _widths_ms(beats: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the time from the first to the last steep part that is joined to R's: shape (b,)."""
    slopes = np.abs(np.gradient(beats, axis=1))
    steep = slopes > ACTIVE * slopes[:, SHIFT:-SHIFT].max(axis=1, keepdims=True)
    before, after = _steep_for(steep[:, CENTRE::-1]), _steep_for(steep[:, CENTRE:])
    return ((before + after + 1) * (1000 / FS_HZ)).astype(np.float32)


def _steep_for(steep: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return how far from R the last steep value lies before the first wide gap: shape (b,)."""
    places = np.arange(steep.shape[1])
    reached = np.maximum.accumulate(np.where(steep, places, -1), axis=1)
    is_over = places - reached > WIDEST_GAP
    is_over[:, -1] = True
    ends: NDArray[np.intp] = reached[np.arange(len(steep)), is_over.argmax(axis=1)]
    return np.maximum(ends, 0)
