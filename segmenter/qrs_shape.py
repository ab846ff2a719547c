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

    def arrays(self, place: int) -> dict[str, NDArray[Any]]:
        """Return views of what is known of a place."""
        return {
            "shapes": self._shapes[place],
            "shape_widths": self._widths_ms[place],
            "shape_counts": self._counts[place],
            "last_shape": self._last[place],
        }

    def check(self, place: int) -> None:
        """Raise InvalidState where what was put at a place cannot be a memory of shapes."""
        if (self._counts[place] < 0).any() or (self._widths_ms[place] < 0).any():
            raise InvalidState(
                "saved state: a shape came a negative number of times, or is as wide"
            )

    def forget(self, place: int) -> None:
        """Let a place be as that of a lead that begins."""
        for array in self.arrays(place).values():
            array[...] = 0

    def moved_to(self, places: int) -> ShapeMemory:
        """Return the same in other memory, for at least as many places."""
        other = ShapeMemory(places)
        for place in range(len(self._last)):
            for new, old in zip(
                other.arrays(place).values(), self.arrays(place).values(), strict=True
            ):
                new[...] = old
        return other

    def measure(self, places: NDArray[np.intp], beats: NDArray[np.float32]) -> NDArray[Any]:
        """Measure beats of places, in order for each of them, and learn from them.

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
        measured["width_ms"] = _widths_ms(beats)
        shifted = _shifted(beats)
        for which in _rounds(places):  # of each place a beat
            part = measured[which]
            self._measure(places[which], beats[which], shifted[which], part)
            measured[which] = part
        return measured

    def _measure(
        self,
        places: NDArray[np.intp],
        beats: NDArray[np.float32],
        shifted: NDArray[np.float32],
        measured: NDArray[Any],
    ) -> None:
        """Measure a beat of each of some places, but for its width, which is known; learn."""
        rows = np.arange(len(places))
        counts = self._counts[places]
        came = counts.sum(axis=1)
        usual = counts.argmax(axis=1)
        is_known = came > 0
        known = np.concatenate((self._shapes[places], self._last[places, None]), axis=1)
        correlations, distances = _best_matches(shifted, known)  # (b, SHAPES + 1)
        heights = np.abs(known[rows, usual]).max(axis=1)
        measured["usual_width_ms"] = np.where(
            is_known, self._widths_ms[places, usual], np.float32(np.nan)
        )
        measured["correlation"] = np.where(is_known, correlations[rows, usual], 0)
        measured["height_ratio"] = np.where(
            is_known, np.abs(beats).max(axis=1) / (heights + np.float32(1e-9)), 1
        )
        measured["distance"] = np.where(is_known, distances[rows, usual], 1)
        measured["like_last"] = correlations[:, SHAPES]
        measured["dominant_share"] = counts[rows, usual] / np.where(is_known, came, 1)
        matches = np.where(counts > 0, correlations[:, :SHAPES], -1)
        measured["of_shape"] = self._learn(places, beats, measured["width_ms"], matches)

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
        self._shapes[places, which] = shapes + rate[:, None] * (beats - shapes)
        self._widths_ms[places, which] = shape_widths + rate * (widths_ms - shape_widths)
        self._counts[places, which] = np.where(is_alike, self._counts[places, which], 0) + 1
        self._last[places] = beats
        return which


def _rounds(places: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Divide indices, in order, so that no place stands twice in a round."""
    came: dict[int, int] = {}
    rounds: list[list[int]] = []
    for index, place in enumerate(places.tolist()):
        turn = came.get(place, 0)
        came[place] = turn + 1
        if turn == len(rounds):
            rounds.append([])
        rounds[turn].append(index)
    return [np.array(one, np.intp) for one in rounds]


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


def _shifted(beats: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the middles of beats at each shift, mean 0: shape (b, 2 SHIFT + 1, N - 2 SHIFT)."""
    middles = np.lib.stride_tricks.sliding_window_view(beats, N - 2 * SHIFT, axis=1)
    shifted: NDArray[np.float32] = middles - middles.mean(axis=2, keepdims=True)
    return shifted


def _best_matches(
    shifted: NDArray[np.float32], known: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return correlations and relative distances of beats and what is known, at the best shifts.

    What `_shifted` returns of b beats and known (b, k, N) give two arrays (b, k).
    """
    inner = known[:, :, SHIFT:-SHIFT]
    inner = inner - inner.mean(axis=2, keepdims=True)
    energy = (inner * inner).sum(axis=2)[:, :, None] + TINY
    energies = (shifted * shifted).sum(axis=2)[:, None] + TINY
    # No product of matrices: its bits depend on how many there are.
    products = (inner[:, :, None] * shifted[:, None]).sum(axis=3)  # (b, k, 2 SHIFT + 1)
    correlations = products / (np.sqrt(energies) * np.sqrt(energy))
    best = correlations.argmax(axis=2)[:, :, None]
    apart = np.take_along_axis(energies + energy - 2 * products, best, axis=2)
    distances = np.sqrt(np.maximum(apart, 0) / energy)[:, :, 0]
    return np.take_along_axis(correlations, best, axis=2)[:, :, 0], distances
