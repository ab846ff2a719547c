"""The shape of a QRS complex beside the patient's own: width, likeness to the dominant one.

A ventricular beat does not run down the conduction system: its QRS complex is wide and of another
shape. Each beat is compared with the dominant shape of the patient, which is learnt without labels
as the shape that most beats have had.

Sources
-------
Hamilton: Open source ECG analysis. Computers in Cardiology 29 (2002) 101-104: beats are matched
against the patient's shapes, and the dominant one says what is usual.
Jekova, Bortolan, Christov: Assessment and comparison of different methods for heartbeat
classification. Med Eng Phys 30 (2008) 248-257: area and width of the complex against the usual.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segmenter.errors import InvalidState
from segmenter.hops import MAX_POSITION, HopWindows
from segmenter.state import listing, pack, unpack

MAGIC = b"ecgshap1"

BEFORE_S, AFTER_S = 0.16, 0.24  # around R: a QRS complex of 200 ms and what it turns into
FS_HZ = 125.0  # of a shape: 51 values
SHIFT = 3  # values by which R may lie differently in two beats of one shape: 24 ms
MOST_WAITING = 64  # R peaks that are not yet measured: more come only of noise
SHAPES = 6  # remembered of a patient
ALIKE = 0.90  # correlation of two beats of one shape
LEARN_RATE = 0.1  # of a shape at each beat that has it: the last ten or so count
FORGET = 0.998  # of how often a shape came, at each beat: 6 minutes at 80 a minute
ACTIVE = 0.15  # of the steepest slope: the complex is where the signal is steeper
WIDEST_GAP_S = 0.04  # within a complex: a notch


class QrsShape(NamedTuple):
    """How one beat looks beside the patient's dominant shape.

    Attributes
    ----------
    r_sample : int
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
    of_shape : int
        Which shape it has; the numbers are of no meaning.
    """

    r_sample: int
    width_ms: float
    usual_width_ms: float
    correlation: float
    height_ratio: float
    distance: float
    like_last: float
    dominant_share: float
    of_shape: int


class QrsShapes:
    """Measure the beats of one lead as they come.

    Parameters
    ----------
    fs_hz : float
        Sampling rate, 100 to 2000 Hz.
    """

    def __init__(self, fs_hz: float) -> None:
        self._windows = HopWindows(fs_hz)
        self._offsets = np.arange(-round(BEFORE_S * FS_HZ), round(AFTER_S * FS_HZ) + 1) / FS_HZ
        self._waiting: list[tuple[int, int]] = []  # R, and when it is measured
        self._shapes: list[NDArray[np.float64]] = []
        self._counts: list[float] = []
        self._widths_ms: list[float] = []
        self._last: NDArray[np.float64] | None = None

    def update(
        self, chunk: ArrayLike, r_samples: ArrayLike = (), known_samples: ArrayLike = ()
    ) -> list[QrsShape]:
        """Take the next samples, and the beats that became known with them.

        Parameters
        ----------
        chunk : np.ndarray, shape (n,), real
            mV; continues the previous chunk.
        r_samples, known_samples : np.ndarray, shape (m,), int
            R peaks, and the samples of the stream at which they were known: `r_sample` and
            `closed_sample` of `Beats`. A beat is measured at the end of the hop in which it was
            known, or of the one half a second after its R. One whose signal is then no longer at
            hand, or with a sample missing, is left out.
        """
        ready = np.maximum(np.asarray(r_samples, np.int64) + self._windows.hop, known_samples)
        new = zip(np.asarray(r_samples).tolist(), ready.tolist(), strict=True)
        self._waiting = [*self._waiting, *new][-MOST_WAITING:]
        found: list[QrsShape] = []
        for end, window in self._windows.update(chunk):
            for r_sample in sorted(r for r, at in self._waiting if at <= end):
                beat = self._cut(window, r_sample - (end - len(window)))
                if beat is not None:
                    found.append(self._measure(r_sample, beat))
            self._waiting = [(r, at) for r, at in self._waiting if at > end]
        return found

    def _cut(self, window: NDArray[np.float32], at: int) -> NDArray[np.float64] | None:
        """Return the signal around a sample, mean 0, at `FS_HZ`; none where it is not whole."""
        fs_hz = self._windows.fs_hz
        reach = max(1, round(fs_hz / FS_HZ / 2))
        margin = round((SHIFT + 1) / FS_HZ * fs_hz) + reach
        start, stop = at - round(BEFORE_S * fs_hz) - margin, at + round(AFTER_S * fs_hz) + margin
        if start < 0 or stop > len(window):
            return None
        around = window[start:stop].astype(np.float64)
        if not np.isfinite(around).all():
            return None
        smooth = np.convolve(around, np.full(2 * reach + 1, 1 / (2 * reach + 1)), "same")
        places = (at - start) + self._offsets * fs_hz
        beat = np.interp(places, np.arange(len(around)), smooth)
        centred: NDArray[np.float64] = beat - np.median(beat)
        return centred

    def _measure(self, r_sample: int, beat: NDArray[np.float64]) -> QrsShape:
        width_ms = _width_ms(beat)
        like_last = 0.0 if self._last is None else _best_match(beat, self._last)[0]
        dominant = int(np.argmax(self._counts)) if self._counts else -1
        if dominant >= 0:
            usual = self._shapes[dominant]
            correlation, distance = _best_match(beat, usual)
            height_ratio = float(np.abs(beat).max() / (np.abs(usual).max() + 1e-9))
            usual_width_ms = self._widths_ms[dominant]
            share = self._counts[dominant] / sum(self._counts)
        else:
            correlation, distance, height_ratio, usual_width_ms, share = 0.0, 1.0, 1.0, np.nan, 0.0
        shape = self._learn(beat, width_ms)
        self._last = beat
        return QrsShape(
            r_sample, width_ms, usual_width_ms, correlation, height_ratio, distance, like_last,
            share, shape,
        )  # fmt: skip

    def _learn(self, beat: NDArray[np.float64], width_ms: float) -> int:
        """Follow the shape that the beat has; one of none takes the rarest one's place."""
        self._counts = [FORGET * count for count in self._counts]
        matches = [_best_match(beat, shape)[0] for shape in self._shapes]
        if matches and max(matches) >= ALIKE:
            k = int(np.argmax(matches))
            self._shapes[k] = self._shapes[k] + LEARN_RATE * (beat - self._shapes[k])
            self._widths_ms[k] += LEARN_RATE * (width_ms - self._widths_ms[k])
            self._counts[k] += 1
            return k
        if len(self._shapes) < SHAPES:
            self._shapes.append(beat)
            self._counts.append(1.0)
            self._widths_ms.append(width_ms)
            return len(self._shapes) - 1
        k = int(np.argmin(self._counts))
        self._shapes[k], self._counts[k], self._widths_ms[k] = beat, 1.0, width_ms
        return k

    def to_bytes(self) -> bytes:
        """Return the whole state; `from_bytes` goes on from it as if nothing had happened."""
        plain, arrays = self._windows.lift()
        plain |= {
            "waiting": [list(pair) for pair in self._waiting],
            "has_last": self._last is not None,
        }
        nothing = np.zeros(len(self._offsets))
        arrays |= {
            "shapes": np.array(self._shapes, np.float64).reshape(-1, len(self._offsets)),
            "counts": np.array(self._counts, np.float64),
            "widths": np.array(self._widths_ms, np.float64),
            "last": nothing if self._last is None else self._last,
        }
        return pack(MAGIC, plain, arrays)

    @classmethod
    def from_bytes(cls, state: bytes) -> QrsShapes:
        """Return shapes with a state that `to_bytes` gave; InvalidState if it cannot be one."""
        plain, arrays = unpack(MAGIC, state)
        windows = HopWindows.settled(plain, arrays)
        shapes = cls(windows.fs_hz)
        shapes._windows = windows
        waiting = listing(plain, "waiting", MOST_WAITING)
        shapes._waiting = [_pair(one) for one in waiting]
        length, n = len(shapes._offsets), len(arrays.get("counts", ()))
        for name, shape in (("shapes", (n, length)), ("counts", (n,)), ("widths", (n,))):
            _check(arrays, name, shape)
        _check(arrays, "last", (length,))
        if n > SHAPES:
            raise InvalidState(f"saved state: {n} shapes are more than {SHAPES}")
        shapes._shapes = list(arrays["shapes"])
        shapes._counts, shapes._widths_ms = arrays["counts"].tolist(), arrays["widths"].tolist()
        shapes._last = arrays["last"] if plain.get("has_last") else None
        return shapes


def _pair(saved: object) -> tuple[int, int]:
    if isinstance(saved, list) and len(saved) == 2:
        r_sample, at = saved
        if type(r_sample) is int and type(at) is int and 0 <= r_sample <= at <= 2 * MAX_POSITION:
            return r_sample, at
    raise InvalidState("saved state: an R peak is not a sample")


def _check(arrays: Mapping[str, NDArray[Any]], name: str, shape: tuple[int, ...]) -> None:
    saved = arrays.get(name)
    if saved is None or saved.dtype != np.float64 or saved.shape != shape:
        raise InvalidState(f"saved state: {name} is missing or has another shape")
    if not np.isfinite(saved).all():
        raise InvalidState(f"saved state: {name} holds what is not a number")


def _width_ms(beat: NDArray[np.float64]) -> float:
    """Return the time from the first to the last steep part that is joined to R's."""
    slope = np.abs(np.gradient(beat))
    steep = slope > ACTIVE * slope[SHIFT:-SHIFT].max()
    centre = round(BEFORE_S * FS_HZ)
    gap = round(WIDEST_GAP_S * FS_HZ)
    first = last = centre
    flat = 0
    for k in range(centre, -1, -1):
        flat = 0 if steep[k] else flat + 1
        if flat > gap:
            break
        first = k if steep[k] else first
    flat = 0
    for k in range(centre, len(beat)):
        flat = 0 if steep[k] else flat + 1
        if flat > gap:
            break
        last = k if steep[k] else last
    return 1000 * (last - first + 1) / FS_HZ


def _best_match(beat: NDArray[np.float64], usual: NDArray[np.float64]) -> tuple[float, float]:
    """Return correlation and relative distance of two beats at the best shift."""
    inner = usual[SHIFT:-SHIFT]
    n = len(inner)
    shifted = np.lib.stride_tricks.sliding_window_view(beat, n)  # (2 SHIFT + 1, n)
    shifted = shifted - shifted.mean(axis=1, keepdims=True)
    inner = inner - inner.mean()
    energy = float(inner @ inner) + 1e-12
    energies = (shifted * shifted).sum(axis=1) + 1e-12
    products = shifted @ inner
    correlations = products / np.sqrt(energies * energy)
    k = int(np.argmax(correlations))
    distance = np.sqrt(max(0.0, float(energies[k] + energy - 2 * products[k])) / energy)
    return float(correlations[k]), float(distance)
