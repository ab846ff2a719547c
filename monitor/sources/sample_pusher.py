"""What a program sends samples to a monitor with: `monitor.SamplePusher`."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import msgspec
import numpy as np
import zmq
from numpy.typing import ArrayLike, NDArray

from monitor.errors import InvalidMessage, PushRefused
from monitor.wire.curve_keys import Keys
from monitor.wire.pushed_samples import (
    DEFAULT_PUSH,
    MAX_PUSH_BYTES,
    PushedSamples,
    PushRefusal,
    decode_pushed,
    decode_reply,
    encode_pushed,
)
from monitor.wire.sockets import Sockets, receive_waiting


class SamplePusher:
    """Sends one patient's samples to `ecg-monitor replay push:ENDPOINT`, in a with-block.

    It never waits: while the monitor is away or behind, some messages wait here, and what is
    pushed beyond them is dropped, counted, and is a gap in the signal. Of one thread.

    Parameters
    ----------
    endpoint : str
        Where the monitor listens.
    leads : sequence of str
        Names of the leads.
    fs_hz : float
        Sampling rate.
    patient : str
        Whose the samples are; different ones where several are sent.
    units : str
        Of the samples: mV, uV, V or nV.
    keys : Keys, optional
        For an endpoint on another machine, as `load_keys` returns them.

    Attributes
    ----------
    dropped : int
        Samples of each lead that could not be sent.

    Raises
    ------
    InvalidEndpoint
        If the endpoint is malformed.
    InvalidMessage
        If leads, rate or patient cannot be sent.

    Examples
    --------
    >>> from monitor import SamplePusher
    >>> with SamplePusher(leads=["II"], fs_hz=250, patient="bed-1") as pusher:
    ...     pusher.push([0.12, 0.13, 0.15])
    ...     pusher.dropped
    0
    """

    def __init__(
        self,
        endpoint: str = DEFAULT_PUSH,
        *,
        leads: Sequence[str],
        fs_hz: float,
        patient: str = "",
        units: str = "mV",
        keys: Keys | None = None,
    ) -> None:
        if isinstance(leads, str):  # its letters would be the leads
            raise InvalidMessage(f"leads is the text {leads[:40]!r}; give a list of names")
        self._header = PushedSamples(
            schema=1,
            leads=list(leads),
            fs_hz=float(fs_hz),
            patient=patient,
            units=units,
            position=0,
            sender=secrets.token_hex(8),
        )
        nothing = np.zeros((len(self._header.leads), 0))
        decode_pushed(encode_pushed(self._header, nothing))  # what cannot be sent is refused here
        self._position = 0
        self.dropped = 0
        self._sockets = Sockets(keys)
        try:
            self._socket = self._sockets.ask(endpoint, sends=True)
            self._send(nothing)
        except BaseException:
            self._sockets.__exit__(None, None, None)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def push(self, samples: ArrayLike) -> None:
        """Send samples that follow the ones before.

        Parameters
        ----------
        samples : array-like, shape (leads, n), or (n,) of one lead
            In `units`; NaN where there is none.

        Raises
        ------
        ValueError
            If it has another shape.
        PushRefused
            If the monitor refused what was sent before: its reason.
        """
        self.check()
        chunk = np.atleast_2d(np.asarray(samples, np.float32))
        n_leads = len(self._header.leads)
        if chunk.ndim != 2 or chunk.shape[0] != n_leads:
            raise ValueError(f"samples of shape {chunk.shape}; send ({n_leads}, n)")
        most = MAX_PUSH_BYTES // (8 * n_leads)
        for start in range(0, chunk.shape[1], most):
            self._send(chunk[:, start : start + most])

    def skip(self, n_samples: int) -> None:
        """Say that so many samples are missing before the next."""
        self._position += n_samples

    def check(self) -> None:
        """Raise PushRefused if the monitor refused something; never waits."""
        self._sockets.look_after()
        if self._sockets.refusal:
            raise PushRefused(self._sockets.refusal)
        for frames in receive_waiting(self._socket):
            try:
                reply = decode_reply(frames[-1])
            except InvalidMessage:
                continue
            if isinstance(reply, PushRefusal):
                raise PushRefused(reply.reason)

    def close(self) -> None:
        """Give what waits half a second to be sent, and close."""
        self._sockets.__exit__(None, None, None)

    def _send(self, chunk: NDArray[np.floating]) -> None:
        header = msgspec.structs.replace(self._header, position=self._position)
        self._position += chunk.shape[1]
        try:
            self._socket.send_multipart(encode_pushed(header, chunk), zmq.DONTWAIT)
        except zmq.Again:
            self.dropped += chunk.shape[1]
