"""What a Polar H10 sends over Bluetooth: the frames of its measurement service (PMD).

By Polar's own description (github.com/polarofficial/polar-ble-sdk, "Polar Measurement Data
Specification"): a frame of ECG is a byte 0, the time of its last sample in ns (8 bytes), a byte of
the frame's form, 0, and samples of 3 bytes in microvolts; all little-endian, samples signed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.errors import RecordError

SERVICE = "fb005c80-02e7-f387-1cad-8acd2d8df0c8"
CONTROL = "fb005c81-02e7-f387-1cad-8acd2d8df0c8"
DATA = "fb005c82-02e7-f387-1cad-8acd2d8df0c8"
FS_HZ = 130.0
ECG = 0  # kind of measurement
# Start ECG; sampling rate: 1 value, 130; resolution: 1 value, 14 bits.
START_ECG = bytes([0x02, ECG, 0x00, 0x01, 0x82, 0x00, 0x01, 0x01, 0x0E, 0x00])
STOP_ECG = bytes([0x03, ECG])
RESPONSE = 0xF0
STARTED = frozenset({0, 6})  # success; already in that state
ERRORS = {
    1: "it does not know the command",
    2: "it has no ECG",
    3: "it does not support that",
    5: "it does not know a parameter",
    7: "it has no such resolution",
    8: "it has no such sampling rate",
    10: "the connection's packets are too small (MTU)",
    12: "it is in no state to",
    13: "it is charging",
}
_HEAD_BYTES, _SAMPLE_BYTES = 10, 3


class EcgFrame(NamedTuple):
    """A frame of ECG.

    Attributes
    ----------
    last_ns : int
        When the last sample was taken, on the strap's clock, which nobody may have set.
    microvolts : np.ndarray, shape (n,), int32
        Samples.
    """

    last_ns: int
    microvolts: NDArray[np.int32]


def decode_frame(frame: bytes) -> EcgFrame | None:
    """Return a frame of ECG; None if it is another measurement's, of another form, or cut.

    Examples
    --------
    >>> frame = bytes([0, *(1000).to_bytes(8, "little"), 0, 0xFF, 0xFF, 0xFF, 0x10, 0x27, 0])
    >>> decode_frame(frame).microvolts.tolist()
    [-1, 10000]
    """
    n_bytes = len(frame) - _HEAD_BYTES
    if n_bytes <= 0 or n_bytes % _SAMPLE_BYTES or frame[0] != ECG or frame[9] != 0:
        return None
    widened = np.zeros((n_bytes // _SAMPLE_BYTES, 4), np.uint8)
    widened[:, 1:] = np.frombuffer(frame, np.uint8, offset=_HEAD_BYTES).reshape(-1, _SAMPLE_BYTES)
    microvolts = widened.reshape(-1).view("<i4") >> 8
    return EcgFrame(int.from_bytes(frame[1:9], "little"), microvolts)


def stamps_s(frame: EcgFrame) -> NDArray[np.float64]:
    """Return when each sample was taken, in s of the strap's clock."""
    n = len(frame.microvolts)
    return frame.last_ns / 1e9 - np.arange(n - 1, -1, -1) / FS_HZ


def require_started(where: str, answer: bytes) -> None:
    """Check what the strap answers to the command to start.

    Raises
    ------
    RecordError
        If it does not start.
    """
    if len(answer) < 4 or answer[0] != RESPONSE:
        raise RecordError(f"{where} answers {answer.hex() or 'nothing'} to the start of its ECG")
    if answer[3] not in STARTED:
        reason = ERRORS.get(answer[3], f"error {answer[3]}")
        raise RecordError(
            f"{where} does not start its ECG: {reason}; wear it, moisten its electrodes, and end "
            "other programs that read it"
        )
