"""Samples that other programs send here: `ecg-monitor replay push:`; `monitor.SamplePusher` sends.

Any number of programs and patients, over ZeroMQ; the message is in `wire.pushed_samples`. A patient
has one sender at a time. Who connects again begins anew: the hole is measured on this machine's
clock. What is no such message is refused, and its sender reads why.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import zmq

from monitor.errors import InvalidMessage, MonitorError, RecordError
from monitor.sources.arrival_positions import ArrivalPositions
from monitor.sources.given import refuse_rate, refuse_units
from monitor.sources.inbox import Received, SampleInbox
from monitor.sources.source import LiveBlock, LiveKind, LiveSource, LiveStream, SourceOptions
from monitor.sources.units import millivolts_per
from monitor.wire.curve_keys import Keys, load_optional_keys
from monitor.wire.pushed_samples import (
    DEFAULT_PUSH,
    MAX_PUSH_BYTES,
    Pushed,
    PushRefusal,
    PushReply,
    PushTaken,
    decode_pushed,
    encode_reply,
)
from monitor.wire.sockets import Sockets, receive_waiting

WAIT_MS = 200
RIVAL_S = 1.0  # another sender of a patient is refused for as long as the first was heard so lately
MAX_PATIENTS = 10_000


@dataclass
class _Patient:
    """Where one patient's stream is."""

    stream: LiveStream
    clock: ArrivalPositions
    sender: str
    heard_s: float


class PushedStreams:
    """What senders sent, as blocks: the source without its socket.

    Parameters
    ----------
    inbox : SampleInbox
        Takes blocks, and the streams as they come.
    """

    def __init__(self, inbox: SampleInbox) -> None:
        self._inbox = inbox
        self._patients: dict[str, _Patient] = {}

    def take(self, connection: bytes, frames: list[bytes], now_s: float) -> PushReply | None:
        """Take a message; return what is to be answered."""
        try:
            pushed = decode_pushed(frames)
            block = self._block(pushed.header.sender or connection.hex(), pushed, now_s)
        except InvalidMessage as error:
            return PushRefusal(1, str(error))
        if block is not None:
            self._inbox.put([block])
        return PushTaken(1, pushed.samples.shape[1]) if pushed.header.reply else None

    def _block(self, sender: str, pushed: Pushed, now_s: float) -> LiveBlock | None:
        """Return what is new; raise InvalidMessage for what cannot follow."""
        header, scale = pushed.header, millivolts_per(pushed.header.units)
        if scale is None:
            raise InvalidMessage(f"unit {header.units!r} is no voltage; use V, mV, uV or nV")
        patient = self._patient(sender, pushed, now_s)
        samples = pushed.samples.astype(np.float64) * scale
        n_samples = samples.shape[1]
        patient.heard_s = now_s
        if not n_samples:
            return None
        first, n_old = patient.clock.place_counted(header.position, n_samples, now_s)
        if n_old >= n_samples:
            return None
        samples = samples[:, n_old:]
        with np.errstate(over="ignore"):
            millivolts = samples.astype(np.float32)
        millivolts[~np.isfinite(millivolts)] = np.nan
        return LiveBlock(patient.stream, first, millivolts, round(1e9 * now_s))

    def _patient(self, sender: str, pushed: Pushed, now_s: float) -> _Patient:
        header = pushed.header
        stream = LiveStream(tuple(header.leads), header.fs_hz, header.patient)
        patient = self._patients.get(header.patient)
        if patient is None:
            if len(self._patients) >= MAX_PATIENTS:
                raise InvalidMessage(f"more than {MAX_PATIENTS} patients; start another monitor")
            patient = _Patient(stream, ArrivalPositions(header.fs_hz), sender, now_s)
            self._patients[header.patient] = patient
            self._inbox.announce([one.stream for one in self._patients.values()])
            return patient
        if sender != patient.sender and now_s - patient.heard_s < RIVAL_S:
            raise InvalidMessage(
                f"patient {header.patient!r} has another sender now, or had one less than "
                f"{RIVAL_S:.0f} s ago; stop that one, or send under another name"
            )
        if stream != patient.stream:
            before = patient.stream
            raise InvalidMessage(
                f"patient {header.patient!r} has leads {', '.join(before.leads)} at "
                f"{before.fs_hz:g} Hz until the monitor is started anew; send those, or under "
                "another name"
            )
        if sender != patient.sender:
            patient.sender = sender
            patient.clock.lost()
            self._inbox.notice(f"patient {header.patient or '(unnamed)'}: its sender is back")
        return patient


def _receive(endpoint: str, keys: Keys | None, inbox: SampleInbox) -> None:
    """Listen until the source is closed."""
    try:
        with Sockets(keys) as sockets:
            door = sockets.serve_strangers(endpoint, MAX_PUSH_BYTES, senders=True)
            streams = PushedStreams(inbox)
            inbox.announce([])
            while not inbox.closing.is_set():
                sockets.look_for_room()
                sockets.refused()
                if not door.poll(WAIT_MS):
                    continue
                for sender, *frames in receive_waiting(door):
                    reply = streams.take(sender, frames, time.monotonic())
                    if reply is not None:
                        _answer(door, sender, reply)
    except MonitorError as error:  # an endpoint that is malformed or taken, keys that are missing
        raise RecordError(f"source push:{endpoint}: {error}") from error


def _answer(door: zmq.Socket[bytes], sender: bytes, reply: PushReply) -> None:
    try:
        door.send_multipart([sender, encode_reply(reply)], zmq.DONTWAIT)
    except zmq.ZMQError:
        return  # it has gone, or does not read: nobody waits for it


def _open(rest: str, options: SourceOptions) -> LiveSource:
    endpoint = rest or DEFAULT_PUSH
    refuse_rate(f"push:{endpoint}", options)
    refuse_units(f"push:{endpoint}", options)
    if options.leads:
        raise RecordError("push: its senders choose the leads; leave --lead out")
    keys = load_optional_keys(None if options.keys is None else Path(options.keys))
    receive = partial(_receive, endpoint, keys)
    return Received(receive, f"push:{endpoint}", "is its address free?", may_be_empty=True)


LIVE = LiveKind("samples that programs send (monitor.SamplePusher)", _open, example="push:")
