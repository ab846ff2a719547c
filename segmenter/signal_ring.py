"""The latest signal of many patients, each as far as it has come; the oldest samples fall off."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


def stretches_of(memory: NDArray[Scalar], n: int) -> NDArray[Scalar]:
    """Return all stretches of n values, by where each begins: a view, shape (len - n + 1, n)."""
    # As sliding_window_view, in a tenth of the time.
    return np.ndarray((len(memory) - n + 1, n), memory.dtype, memory, 0, 2 * memory.strides)


class SignalRing:
    """Places of signal that grow at one end, in memory of a fixed size.

    Each place has an end of its own, so that a patient who has sent more than others, or nothing,
    costs no copy of ten seconds. A place at which nothing was written yet is missing, and 0.

    Parameters
    ----------
    places : int
        Patients there is room for.
    keep : int
        Samples of the past that are always at hand.
    room : int
        Samples that `append` may add at once.

    Attributes
    ----------
    signal : np.ndarray, shape (places * width,), float32
        mV, held where missing; place after place.
    missing : np.ndarray, shape (places * width,), bool
    ends : np.ndarray, shape (places,), int64
        Index behind the newest sample of each place.
    """

    def __init__(self, places: int, keep: int, room: int) -> None:
        self.keep, self.room = keep, max(keep, room)
        self._width = keep + self.room
        self.signal: NDArray[np.float32] = np.zeros(places * self._width, np.float32)
        self.missing: NDArray[np.bool_] = np.ones(places * self._width, np.bool_)
        self.ends = np.arange(places) * self._width + keep

    def append(
        self,
        places: NDArray[np.int64],
        held: NDArray[np.float32],
        missing: NDArray[np.bool_] | None = None,
    ) -> None:
        """Add samples, shape (len(places), n); None is missing by default.

        Raises
        ------
        ValueError
            If they are more than `room`: they would lie in the next place.
        """
        n = held.shape[1]
        if n > self.room:
            raise ValueError(
                f"{n} samples do not fit: there is room for {self.room}; give them in smaller parts"
            )
        ends = self.ends[places]
        for k in np.flatnonzero(ends + n > (places + 1) * self._width).tolist():
            ends[k] = self._to_the_front(int(places[k]))
        stretches_of(self.signal, n)[ends] = held
        stretches_of(self.missing, n)[ends] = False if missing is None else missing
        self.ends[places] = ends + n

    def _to_the_front(self, place: int) -> int:
        """Move what is kept to the front of its place; return its new end."""
        start, kept = place * self._width, self.latest(place)
        for memory, latest in zip((self.signal, self.missing), kept, strict=True):
            memory[start : start + self.keep] = latest
        return start + self.keep

    def latest(self, place: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return views of a place's past, signal and missing: shape (keep,) each."""
        end = self.ends[place]
        return self.signal[end - self.keep : end], self.missing[end - self.keep : end]

    def forget(self, place: int) -> None:
        """Let a place be as one at which nothing was written yet."""
        signal, missing = self.latest(place)
        signal[...], missing[...] = 0, True

    def moved_to(self, places: int, room: int) -> SignalRing:
        """Return the same in other memory, for at least as many places."""
        other = SignalRing(places, self.keep, room)
        for place in range(len(self.ends)):
            for new, old in zip(other.latest(place), self.latest(place), strict=True):
                new[...] = old
        return other
