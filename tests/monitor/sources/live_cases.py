"""A sender for each live source: a program or a device, or what stands for it."""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from monitor.sources.kinds import open_live
from monitor.sources.pipe import Pipe
from monitor.sources.sample_pusher import SamplePusher
from monitor.sources.source import LiveSource, SourceOptions
from tests.monitor.ports import free_port
from tests.monitor.sources.conformance import LiveCase, Sender, Signal
from tests.monitor.sources.lsl_outlet import OutletProcess

FS_HZ = 250.0
FOUND_S = 1.2  # within which a serial line that is plugged in again is opened
SENDERS = ExitStack()  # closes what a case has open, behind each test


def as_lines(samples: Signal) -> bytes:
    """Return samples as lines of numbers; 1/1024 mV has ten decimals at most."""
    return "".join(f"{one:.10f} {two:.10f}\n" for one, two in samples.T.tolist()).encode()


def paced(samples: Signal, is_paced: bool) -> Iterator[Signal]:
    """Yield samples at once, or a tenth of a second at a time, each when its last was taken."""
    if not is_paced:
        yield samples
        return
    due_s = time.monotonic()
    for part in np.array_split(samples, round(10 * samples.shape[1] / FS_HZ), axis=1):
        due_s += part.shape[1] / FS_HZ
        time.sleep(max(0.0, due_s - time.monotonic()))
        yield part


class PipeSender:
    """A program that writes into a pipe."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def send(self, samples: Signal) -> None:
        """Write lines; a pipe holds 64 KiB, so not too many at once."""
        os.write(self._descriptor, as_lines(samples))

    def pause(self, seconds: float) -> None:
        """Not of a pipe."""
        raise NotImplementedError

    def end(self) -> None:
        """Close the pipe."""
        os.close(self._descriptor)


def opened_pipe() -> tuple[LiveSource, Sender]:
    read, write = os.pipe()
    os.write(write, b"II V5\n# a comment\n")
    return Pipe(read, SourceOptions(fs_hz=FS_HZ)), PipeSender(write)


class Pusher:
    """A program that pushes samples; it counts them."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._paused = False
        self._open()
        SENDERS.callback(self.end)

    def _open(self) -> None:
        self._pusher = SamplePusher(self._endpoint, leads=["II", "V5"], fs_hz=FS_HZ)

    def send(self, samples: Signal) -> None:
        """Push; behind a pause as a device does."""
        for part in paced(samples, self._paused):
            self._pusher.push(part)
        self._paused = False

    def pause(self, seconds: float) -> None:
        """End, and begin anew."""
        self._pusher.close()
        time.sleep(seconds)
        self._paused = True
        self._open()

    def end(self) -> None:
        """Leave; no sender ends the source."""
        self._pusher.close()


def opened_push() -> tuple[LiveSource, Sender]:
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    source = open_live(f"push:{endpoint}", SourceOptions())
    sender = Pusher(endpoint)
    while not source.streams:
        time.sleep(0.005)
    return source, sender


class TcpBoard:
    """A board that serves lines over TCP to one client."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        SENDERS.callback(self._server.close)
        self.port = int(self._server.getsockname()[1])
        self._client: socket.socket | None = None
        self._paused = False
        threading.Thread(target=self._accept, daemon=True).start()
        SENDERS.callback(self.end)

    def _accept(self) -> None:
        self._client, _ = self._server.accept()
        self._client.sendall(b"II V5\n")

    def send(self, samples: Signal) -> None:
        """Send lines; behind a pause as a board does."""
        assert self._client is not None
        for part in paced(samples, self._paused):
            self._client.sendall(as_lines(part))
        self._paused = False

    def pause(self, seconds: float) -> None:
        """Lose the client, and let it come back."""
        self.end()
        self._accept()
        time.sleep(max(0.0, seconds))
        self._paused = True

    def end(self) -> None:
        """Close the connection; the client comes back."""
        if self._client is not None:
            self._client.close()


def opened_tcp() -> tuple[LiveSource, Sender]:
    board = TcpBoard()
    return open_live(f"tcp://127.0.0.1:{board.port}", SourceOptions(fs_hz=FS_HZ)), board


class WsBoard:
    """A board that serves lines over a WebSocket to one client."""

    def __init__(self) -> None:
        from websockets.sync.server import serve

        self._clients: queue.Queue[Any] = queue.Queue()
        self._leave = threading.Event()
        self._server = serve(self._serve, "127.0.0.1", 0)
        self.port = int(self._server.socket.getsockname()[1])
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self._client: Any = None
        self._paused = False
        SENDERS.callback(self._stop)

    def _serve(self, client: Any) -> None:
        client.send("II V5")
        self._clients.put(client)
        client.wait_closed() if hasattr(client, "wait_closed") else self._leave.wait()

    def _stop(self) -> None:
        self._leave.set()
        self.end()
        self._server.shutdown()
        self._thread.join()

    def send(self, samples: Signal) -> None:
        """Send lines, some in a message; behind a pause as a board does."""
        if self._client is None:
            self._client = self._clients.get(timeout=10)
        for part in paced(samples, self._paused):
            self._client.send(as_lines(part).decode())
        self._paused = False

    def pause(self, seconds: float) -> None:
        """Lose the client, and let it come back."""
        self.end()
        began_s = time.monotonic()
        self._client = self._clients.get(timeout=10)
        time.sleep(max(0.0, seconds - (time.monotonic() - began_s)))
        self._paused = True

    def end(self) -> None:
        """Close the connection; the client comes back."""
        if self._client is not None:
            self._client.close()
            self._client = None


def opened_ws() -> tuple[LiveSource, Sender]:
    board = WsBoard()
    return open_live(f"ws://127.0.0.1:{board.port}/ecg", SourceOptions(fs_hz=FS_HZ)), board


class SerialBoard:
    """A board behind a pseudo-terminal, which a link names as udev would."""

    def __init__(self) -> None:
        folder = Path(SENDERS.enter_context(TemporaryDirectory()))
        self.path = folder / "ttyUSB0"
        self._paused = False
        self._plug_in()
        SENDERS.callback(self.end)

    def _plug_in(self) -> None:
        self._board, line = os.openpty()
        tty.setraw(self._board)
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(line))
        self._line: int | None = line
        self._plugged = True

    def greet(self) -> None:
        """Send the rest of a line, and names."""
        os.write(self._board, b"4 0.0\nII V5\n")

    def send(self, samples: Signal) -> None:
        """Send lines, as fast as the line takes them; behind a pause as a board does."""
        for part in paced(samples, self._paused):
            text = as_lines(part)
            while text:
                text = text[os.write(self._board, text[:1024]) :]
        self._paused = False

    def pause(self, seconds: float) -> None:
        """Unplug the board, and plug it in again."""
        self.end()
        time.sleep(seconds - FOUND_S)
        self._plug_in()
        time.sleep(FOUND_S)
        self.greet()
        self._paused = True

    def end(self) -> None:
        """Unplug it."""
        if self._plugged:
            self._plugged = False
            self.path.unlink()
            for descriptor in (self._board, self._line):
                if descriptor is not None:
                    os.close(descriptor)


def opened_serial() -> tuple[LiveSource, Sender]:
    board = SerialBoard()
    board.greet()
    return open_live(f"serial:{board.path}", SourceOptions(fs_hz=FS_HZ)), board


class LslSender:
    """A device's program: an outlet whose timestamps are the device's."""

    def __init__(self) -> None:
        self.name = f"strap-{os.getpid()}-{time.monotonic_ns()}"
        self._sent = 0
        self._began_s = 0.0
        self._open()
        SENDERS.callback(lambda: self._outlet.kill())

    def _open(self) -> None:
        self._outlet = OutletProcess(
            name=self.name,
            rate=FS_HZ,
            labels=["II", "V5"],
            units="mV",
            source_id=self.name,
            began_s=self._began_s,
        )
        self._began_s = self._outlet.began_s

    def send(self, samples: Signal) -> None:
        """Push one chunk; not the next at once, or LSL itself drops what lies ahead of its time."""
        self._outlet.push(samples, self._sent / FS_HZ)
        time.sleep(0.02)
        self._sent += samples.shape[1]

    def pause(self, seconds: float) -> None:
        """Crash, and be started again."""
        self._outlet.kill()
        gone_s = time.monotonic()
        self._open()
        self._outlet.wait_for_consumer()
        time.sleep(max(0.0, seconds - (time.monotonic() - gone_s)))
        self._sent += round(seconds * FS_HZ)

    def end(self) -> None:
        """No outlet ends a stream: it may come back."""


def opened_lsl() -> tuple[LiveSource, Sender]:
    sender = LslSender()
    return open_live(f"lsl:{sender.name}", SourceOptions()), sender


LIVE_CASES = [
    LiveCase("tcp", opened_tcp, FS_HZ),
    LiveCase("ws", opened_ws, FS_HZ, needs="websockets"),
    LiveCase("serial", opened_serial, FS_HZ),
    LiveCase("lsl", opened_lsl, FS_HZ, needs="pylsl", settle_s=8.0),
    LiveCase("push", opened_push, FS_HZ),
    LiveCase("pipe", opened_pipe, FS_HZ, ends=True, waits=True),
]
