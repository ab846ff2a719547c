"""Samples in, beats out: the segmenter of one patient's stream, with a state that can be saved.

Causal, with bounded memory; any cut of the same samples gives the same beats and events to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segmenter.bank import MAGIC, BankSegmented, SegmenterBank, saved_form
from segmenter.beat import Beats, BeatSpec
from segmenter.errors import InvalidSignal, InvalidState, SegmenterError
from segmenter.signs import Signs
from segmenter.state import unpack
from segmenter.tracker import SignalEvent


@dataclass(frozen=True)
class Segmented:
    """What an update made known.

    Attributes
    ----------
    beats : Beats
        Beats that closed, in order.
    events : tuple of SignalEvent
    r_samples : np.ndarray, shape (m,), int64
        R peaks that became known; their beats follow when the next R peak is known.
    seconds, seconds_quality : np.ndarray, shape (k,), int64 and uint16
        Seconds (of round(fs_hz) samples, counted from 0) that ended, and their `Quality` flags.
        Those inside a gap are left out after its first two seconds.
    signs : Signs
        Of the hops that ended; none where they are not measured.
    """

    beats: Beats
    events: tuple[SignalEvent, ...]
    r_samples: NDArray[np.int64]
    seconds: NDArray[np.int64]
    seconds_quality: NDArray[np.uint16]
    signs: Signs


class Segmenter:
    """Find the beats of one patient as samples of the leads arrive: a bank of one row.

    Parameters
    ----------
    fs_hz : float
        Sampling rate, 100 to 2000 Hz.
    spec : BeatSpec
        How beats are cut.
    leads : int
        1 to 64; a beat has one R peak in all of them.
    waves : int
        Pulse waves beside the leads.
    measure_signs : bool
        Whether hops are measured, for named alarms; otherwise waves are not looked at.

    Raises
    ------
    InvalidSignal
        If the sampling rate or the number of leads is out of bounds.

    Examples
    --------
    Twenty seconds of a peak every 0.8 s. The first two beats come before the detector has learnt
    its thresholds: they are found, and no verdict is given on them.

    >>> import numpy as np
    >>> from segmenter import BeatSpec, Segmenter
    >>> t = np.arange(20 * 250) / 250.0
    >>> signal = np.exp(-0.5 * ((t % 0.8 - 0.4) / 0.012) ** 2)  # mV
    >>> segmenter = Segmenter(fs_hz=250.0, spec=BeatSpec())
    >>> first = segmenter.update(signal[:2500]).beats
    >>> first.r_sample[:4].tolist(), first.judgeable[:4].tolist()
    ([100, 300, 500, 700], [False, False, True, True])
    >>> segmenter.update(signal[2500:]).beats.rr_before_ms[-1].item()
    800.0
    """

    def __init__(
        self,
        fs_hz: float,
        spec: BeatSpec,
        leads: int = 1,
        waves: int = 0,
        *,
        measure_signs: bool = False,
    ) -> None:
        self._bank = SegmenterBank(1, fs_hz, spec, leads, waves, measure_signs=measure_signs)
        self.fs_hz = self._bank.fs_hz
        self.spec, self.leads, self.waves = spec, leads, waves

    @property
    def position(self) -> int:
        """Samples seen so far."""
        return self._bank.position(0)

    def update(self, chunk: ArrayLike) -> Segmented:
        """Take the next samples; return what became known.

        Parameters
        ----------
        chunk : np.ndarray, shape (leads + waves, n), or (n,) where there is one lead; real
            ECG in millivolts at fs_hz, then pulse waves in any unit, continuing the previous chunk;
            NaN, infinity and what exceeds a million is missing. Used with single precision.

        Raises
        ------
        InvalidSignal
            If the chunk has not as many leads and waves or is not of real numbers.
        """
        samples, lines = np.asarray(chunk), self.leads + self.waves
        if samples.ndim == 1 and lines == 1:
            samples = samples[None]
        if samples.ndim != 2 or len(samples) != lines or samples.dtype.kind not in "fiu":
            raise InvalidSignal(
                f"a chunk must be real numbers of shape ({lines}, n), not {samples.dtype} of "
                f"shape {samples.shape}"
            )
        return _only_row(self._bank.update(samples[None]))

    def gap(self, n_samples: int) -> Segmented:
        """Take missing samples: update(np.full(n, np.nan)) in bounded time and memory."""
        return _only_row(self._bank.gap(n_samples))

    def flush(self) -> Segmented:
        """End the stream. The last beat has no next one: `rr_after_ms` is NaN.

        It is cut as if the next R peak were as far away as the one before; it is dropped where that
        window is not complete.
        """
        return _only_row(self._bank.flush())

    def to_bytes(self) -> bytes:
        """Return the whole state; `from_bytes` goes on from it as if nothing had happened."""
        return self._bank.to_bytes(0)

    @classmethod
    def from_bytes(cls, state: bytes) -> Segmenter:
        """Return a segmenter with a state that `to_bytes` gave.

        Raises
        ------
        InvalidState
            If the bytes are damaged, of another program or version, or out of bounds.
        """
        plain, _ = unpack(MAGIC, state)
        form = saved_form(plain)
        try:
            segmenter = cls(*form[:4], measure_signs=form.measure_signs)
        except SegmenterError as error:
            raise InvalidState(f"saved state: {error}") from error
        segmenter._bank.restore(0, state)
        return segmenter


def _only_row(found: BankSegmented) -> Segmented:
    return Segmented(
        beats=found.beats,
        events=tuple(event for _, event in found.events),
        r_samples=found.r_samples,
        seconds=found.seconds,
        seconds_quality=found.seconds_quality,
        signs=found.found_signs.signs,
    )
