"""A monitor as the page hears it: heartbeats, beats, signal of made patients; obeys requests."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import zmq

from monitor.settings import wall_time_text
from monitor.wire.codec import encode_json, encode_message
from monitor.wire.messages import (
    AckRequest,
    Alert,
    Done,
    Found,
    MarkRequest,
    Message,
    Page,
    PatientStatus,
    Refused,
    RelearnRequest,
    ReplayRequest,
    Request,
    SeekRequest,
    Technical,
    ThresholdRequest,
    Wave,
)
from monitor.wire.sockets import Sockets, receive_requests, receive_waiting, requests_endpoint
from tests.messages import alert, beat_scored, patient_status, status
from tests.monitor.ports import free_port

FS_HZ = 120.0
STEP_S = 0.1
STATUS_EVERY_S = 0.4


@dataclass
class FakeMonitor:
    """What is published until `stop`; each patient's signal is a wave of 1 Hz."""

    names: list[str]
    alerts: str = field(default_factory=lambda: f"tcp://127.0.0.1:{free_port()}")
    wave: str = field(default_factory=lambda: f"tcp://127.0.0.1:{free_port()}")
    asked: list[Any] = field(default_factory=list)
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)
    said: list[Alert | Technical] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _to_say: list[Message] = field(default_factory=list)

    def say(self, message: Alert | Technical) -> None:
        """Publish an alert, with the next number."""
        numbered = msgspec.structs.replace(message, seq=len(self.said) + 1, wall_time=_now())
        self.said.append(numbered)
        self._to_say.append(numbered)

    def stop(self) -> None:
        """Fall silent at once, as one that is killed."""
        self._stop.set()
        self._thread.join()

    def start(self) -> None:
        """Begin, or begin again, at the same endpoints."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with Sockets() as sockets:
            alerts, requests = (
                sockets.publish(self.alerts),
                sockets.serve(requests_endpoint(self.alerts)),
            )
            waves = sockets.publish(self.wave, 1000, each=True)
            sockets.close_ms = 0
            began_s, n, status_due_s = time.monotonic(), 0, 0.0
            while not self._stop.wait(max(0.0, began_s + n * STEP_S - time.monotonic())):
                for _ in receive_waiting(waves):
                    pass
                for name in self.names:
                    waves.send_multipart(encode_message(_signal(name, n)), zmq.DONTWAIT)
                    if n % 8 == 0:
                        sample = round(n * STEP_S * FS_HZ)
                        beat = beat_scored(
                            patient=name, record=name, sample=sample, loss=10.0 + n % 5
                        )
                        alerts.send_multipart(encode_message(beat))
                while self._to_say:
                    alerts.send_multipart(encode_message(self._to_say.pop(0)))
                for frames, _ in receive_requests(requests):
                    answer = self._answer(msgspec.json.decode(frames[-1], type=Request))
                    requests.send_multipart([frames[0], encode_json(answer)])
                if n * STEP_S >= status_due_s:
                    status_due_s += STATUS_EVERY_S
                    patients = [self._patient(name, n) for name in self.names]
                    told = status(patients=patients, newest_seq=len(self.said), wall_time=_now())
                    alerts.send_multipart(encode_message(told))
                n += 1

    def _patient(self, name: str, n: int) -> PatientStatus:
        position = round(n * STEP_S * FS_HZ)
        changes = {"fs_hz": FS_HZ, "position": position, **self.changes.get(name, {})}
        return patient_status(patient=name, record=name, leads=["MLII"], **changes)

    def _answer(self, request: Any) -> Any:
        match request:
            case ReplayRequest():
                return Page("j1", 1, len(self.said), self.said[request.after :], "", True)
            case SeekRequest():
                return Found("j1", 0)
            case AckRequest(patient=name) if name is not None:
                self.asked.append(request)
                self.changes.setdefault(name, {})["latched"] = False
                return Done(f"acknowledged {name}")
            case MarkRequest() | ThresholdRequest() | RelearnRequest():
                self.asked.append(request)
                return Done("done")
            case _:
                return Refused("not of this fake")


def _now() -> str:
    return wall_time_text(datetime.now(UTC))


def _signal(name: str, n: int) -> Wave:
    n_values = round(STEP_S * FS_HZ)
    first = n * n_values
    values: list[float | None] = [
        math.sin(2 * math.pi * (first + i) / FS_HZ) for i in range(n_values)
    ]
    return Wave(1, name, first, FS_HZ, values, [], FS_HZ, "MLII")


def high_alert(name: str) -> Alert:
    """Return the onset of a high alert of a patient."""
    return alert(patient=name, record=name, priority="high", episode_beats=3)


@contextlib.contextmanager
def fake_monitor(*names: str) -> Iterator[FakeMonitor]:
    """Let a monitor of these patients run."""
    monitor = FakeMonitor(list(names))
    monitor.start()
    try:
        yield monitor
    finally:
        monitor.stop()
