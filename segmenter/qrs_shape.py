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
LEARN_RATE = np.float32(0.1)  # of a shape at each beat that has it: the last ten or so count
FORGET = 0.998  # of how often a shape came, at each beat: 6 minutes at 80 a minute
ACTIVE = 0.15  # of the steepest slope: the complex is where the signal is steeper
WIDEST_GAP_S = 0.04  # within a complex: a notch

OFFSETS = np.arange(-round(BEFORE_S * FS_HZ), round(AFTER_S * FS_HZ) + 1)  # of a shape's values
N = len(OFFSETS)
N_INNER = N - 2 * SHIFT  # that lie in both of two shifted beats
CENTRE, WIDEST_GAP = round(BEFORE_S * FS_HZ), round(WIDEST_GAP_S * FS_HZ)
TINY = np.float32(1e-12)
Which = slice | NDArray[np.intp] | tuple[NDArray[np.intp], ...]


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
        self._shapes = _Shapes.of(np.zeros((places * SHAPES, N + 1), np.float32))
        self._counts = np.zeros((places, SHAPES))  # of beats that had it of late; 0: there is none
        self._last = np.zeros((places, N), np.float32)

    def arrays(self, place: int) -> dict[str, NDArray[Any]]:
        """Return views of what is known of a place; `check` it once they were changed."""
        shapes = self._shapes.values[_of_place(place)]
        return {
            "shapes": shapes[:, :N],
            "shape_widths": shapes[:, N],
            "shape_counts": self._counts[place],
            "last_shape": self._last[place],
        }

    def check(self, place: int) -> None:
        """Take in what was put at a place; InvalidState where it cannot be a memory of shapes."""
        shapes = self._shapes.values[_of_place(place)]
        if (self._counts[place] < 0).any() or (shapes[:, N] < 0).any():
            raise InvalidState(
                "saved state: a shape came a negative number of times, or is as wide"
            )
        self._shapes.put(_of_place(place), _Shapes.of(shapes.copy()))

    def forget(self, place: int) -> None:
        """Let a place be as that of a lead that begins."""
        for array in self.arrays(place).values():
            array[...] = 0
        self.check(place)

    def moved_to(self, places: int) -> ShapeMemory:
        """Return the same in other memory, for at least as many places."""
        other = ShapeMemory(places)
        other._shapes.put(slice(len(self._counts) * SHAPES), self._shapes)
        other._counts[: len(self._counts)] = self._counts
        other._last[: len(self._last)] = self._last
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
        lanes, turns, before = _in_turn(places)
        shifted, widths_ms = _Shifted.of(beats), _widths_ms(beats)
        last = np.where(before[:, None] >= 0, beats[before], self._last[places])
        centred, energies = _centred(last)
        like_last, _ = shifted.compared(centred[:, None], energies[:, None])
        measured["width_ms"] = widths_ms
        measured["like_last"] = like_last[:, 0].max(axis=1)
        self._last[places] = beats  # of several of a place the last one stays
        shown = np.concatenate((beats, widths_ms[:, None]), axis=1)
        order = np.array([index for turn in turns for index in turn])
        in_order = self._measure_turns(
            lanes, [len(turn) for turn in turns], shown[order], shifted.rows(order)
        )
        for name, values in in_order.items():
            measured[name][order] = values
        return measured

    def _measure_turns(
        self,
        places: NDArray[np.intp],
        sizes: list[int],
        shown: NDArray[np.float32],
        shifted: _Shifted,
    ) -> dict[str, NDArray[Any]]:
        """Measure beats turn after turn; return columns.

        Parameters
        ----------
        places : np.ndarray, shape (k,)
            Those of the first turn; a later one has the first of them.
        sizes : list of int
            How many beats each turn has.
        shown : np.ndarray, shape (b, N + 1)
            Beats and their widths.
        shifted : _Shifted
            The beats.
        """
        known = self._shapes.rows(places[:, None] * SHAPES + np.arange(SHAPES))  # (k, SHAPES)
        course = _Course.of(known, self._counts[places], sizes, shown, shifted)
        learnt = _Shapes.of(course.learnt)
        self._counts[places] = course.counts_at_end
        changed, which = np.nonzero(course.at_end >= 0)
        at = course.at_end[changed, which]
        self._shapes.put(places[changed] * SHAPES + which, learnt.rows(at))

        rows = np.arange(len(shown))
        usual = course.counts.argmax(axis=1)
        lanes = np.concatenate([np.arange(size) for size in sizes])
        shapes, at = known.rows((lanes, usual)), course.at[rows, usual]
        later = np.flatnonzero(at >= 0)
        shapes.put(later, learnt.rows(at[later]))
        products = course.products[rows, usual]  # (b, shifts)
        correlations = products / (shifted.roots * np.sqrt(shapes.energies)[:, None])
        shift = correlations.argmax(axis=1)
        apart = shifted.energies[rows, shift] + shapes.energies - 2 * products[rows, shift]
        came = course.counts.sum(axis=1)
        is_new = came == 0
        heights = np.abs(shown[:, :N]).max(axis=1)
        columns = {
            "usual_width_ms": (shapes.values[:, N], np.nan),
            "correlation": (correlations[rows, shift], 0),
            "height_ratio": (heights / (shapes.heights + np.float32(1e-9)), 1),
            "distance": (np.sqrt(np.maximum(apart, 0) / shapes.energies), 1),
            "dominant_share": (course.counts[rows, usual] / np.where(is_new, 1, came), 0),
        }
        if is_new.any():
            for values, of_new in columns.values():
                values[is_new] = of_new
        return {**{name: values for name, (values, _) in columns.items()}, "of_shape": course.which}


def _of_place(place: int) -> slice:
    return slice(place * SHAPES, (place + 1) * SHAPES)


class _Shapes(NamedTuple):
    """Shapes, of whatever places, and what beats are compared with.

    Attributes
    ----------
    values : np.ndarray, shape (..., N + 1)
        The last of them is the width in ms.
    centred : np.ndarray, shape (..., N_INNER)
    energies, heights : np.ndarray, shape (...)
    """

    values: NDArray[np.float32]
    centred: NDArray[np.float32]
    energies: NDArray[np.float32]
    heights: NDArray[np.float32]

    @classmethod
    def of(cls, values: NDArray[np.float32]) -> _Shapes:
        """Return shapes (n, N + 1)."""
        shapes = values[..., :N]
        return cls(values, *_centred(shapes), np.abs(shapes).max(axis=1))

    def rows(self, which: Which) -> _Shapes:
        """Return copies of some of them."""
        return _Shapes(*(column[which] for column in self))

    def put(self, which: Which, shapes: _Shapes) -> None:
        """Put others in the place of some of them."""
        for mine, others in zip(self, shapes, strict=True):
            mine[which] = others


class _Course(NamedTuple):
    """What the beats of k places make of their shapes, turn after turn.

    Attributes
    ----------
    which : np.ndarray, shape (b,)
        The shape that each beat is taken for.
    products : np.ndarray, shape (b, SHAPES, 2 SHIFT + 1)
        Of each beat, at every shift, with its place's shapes before it.
    learnt : np.ndarray, shape (b, N + 1)
        The shape it is taken for, learnt from it.
    at : np.ndarray, shape (b, SHAPES)
        Before each beat: the number of the beat that a shape was last learnt from; -1 for none.
    counts : np.ndarray, shape (b, SHAPES)
        Before each beat: how often its place's shapes came.
    at_end, counts_at_end : np.ndarray, shape (k, SHAPES)
        The same behind all turns.
    """

    which: NDArray[np.intp]
    products: NDArray[np.float32]
    learnt: NDArray[np.float32]
    at: NDArray[np.intp]
    counts: NDArray[np.float64]
    at_end: NDArray[np.intp]
    counts_at_end: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        known: _Shapes,
        counts: NDArray[np.float64],
        sizes: list[int],
        shown: NDArray[np.float32],
        shifted: _Shifted,
    ) -> _Course:
        """Let beats follow the shapes they have; one of none takes the rarest one's place.

        Here are only the steps that need the one before, and these without a copy: a chunk of one
        record has some forty turns of a beat a lead.

        Parameters
        ----------
        known : _Shapes
            Of the first turn's places, (k, SHAPES).
        counts : np.ndarray, shape (k, SHAPES)
        sizes, shown, shifted
            As `ShapeMemory._measure_turns` takes them.
        """
        n, k = len(shown), len(counts)
        values = known.values.reshape(k * SHAPES, N + 1).copy()
        centred, roots = known.centred.copy(), np.sqrt(known.energies)
        all_centred, all_roots = centred.reshape(k * SHAPES, N_INNER), roots.reshape(-1)
        all_counts, at = counts.reshape(-1), np.full((k, SHAPES), -1)
        all_at, firsts, numbers = at.reshape(-1), np.arange(k) * SHAPES, np.arange(n)
        which, learnt = np.empty(n, np.intp), np.empty_like(shown)
        counts_before, at_before = np.empty((n, SHAPES)), np.empty((n, SHAPES), np.intp)
        products = np.empty((n, SHAPES, 2 * SHIFT + 1), np.float32)
        begin = 0
        for size in sizes:
            turn = slice(begin, begin + size)
            begin += size
            # No product of matrices: its bits depend on how many there are.
            of_shapes = centred[:size, :, None] * shifted.values[turn, None]
            of_shapes = np.add.reduce(of_shapes, axis=3, out=products[turn])
            scales = shifted.roots[turn, None] * roots[:size, :, None]
            matches = np.maximum.reduce(of_shapes / scales, axis=2)
            best = matches.argmax(axis=1)
            is_alike = np.maximum.reduce(matches, axis=1) >= ALIKE
            counts_before[turn], at_before[turn] = counts[:size], at[:size]
            counts[:size] *= FORGET
            rate: Any = LEARN_RATE
            if not is_alike.all():
                best = np.where(is_alike, best, counts[:size].argmin(axis=1))
                rate = np.where(is_alike, LEARN_RATE, np.float32(1))[:, None]
                all_counts[(firsts[:size] + best)[~is_alike]] = 0
            which[turn] = best
            places = firsts[:size] + best
            all_counts[places] += 1
            all_at[places] = numbers[turn]
            old = values.take(places, axis=0)
            new = np.subtract(shown[turn], old, out=learnt[turn])
            new *= rate
            new += old
            values[places] = new
            all_centred[places], energies = _centred(new[:, :N])
            all_roots[places] = np.sqrt(energies)
        return cls(which, products, learnt, at_before, counts_before, at, counts)


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
    # As `mean` and `sum`, in half the time where there are few.
    sums: NDArray[np.float32] = np.add.reduce(inner, axis=1, keepdims=True)
    centred = inner - sums / np.float32(N_INNER)
    energies: NDArray[np.float32] = np.add.reduce(centred * centred, axis=1) + TINY
    return centred, energies


def _in_turn(
    places: NDArray[np.intp],
) -> tuple[NDArray[np.intp], list[list[int]], NDArray[np.intp]]:
    """Divide indices, in order, into turns in which no place stands twice.

    Return the places, those that come most often first, so that those of a turn are the first of
    them and in their order; the turns; and for each index that of its place before, -1 for none.
    """
    came: dict[int, list[int]] = {}
    before: list[int] = []
    for index, place in enumerate(places.tolist()):
        of_place = came.setdefault(place, [])
        before.append(of_place[-1] if of_place else -1)
        of_place.append(index)
    most_first = sorted(came, key=lambda place: -len(came[place]))
    turns: list[list[int]] = [[] for _ in came[most_first[0]]]
    for place in most_first:
        for turn, index in zip(turns, came[place], strict=False):
            turn.append(index)
    return np.array(most_first, np.intp), turns, np.array(before, np.intp)


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
