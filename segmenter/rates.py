"""Which sampling rates can be segmented; without scipy, for who only wants to know."""

from __future__ import annotations

from segmenter.errors import InvalidSignal

FS_MIN_HZ, FS_MAX_HZ = 100.0, 2000.0


def check_rate(fs_hz: float) -> None:
    """Raise InvalidSignal if a signal of this sampling rate cannot be segmented."""
    if not FS_MIN_HZ <= fs_hz <= FS_MAX_HZ:  # NaN fails too
        raise InvalidSignal(
            f"sampling rate {fs_hz!r} Hz is outside {FS_MIN_HZ:g} to {FS_MAX_HZ:g} Hz; "
            "resample the record"
        )
