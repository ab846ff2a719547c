"""A sender for each live source: a program or a device, or what stands for it."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from monitor.sources.kinds import open_live
from monitor.sources.pipe import Pipe
from monitor.sources.sample_pusher import SamplePusher
from monitor.sources.source import LiveSource, SourceOptions
from tests.monitor.ports import free_port
from tests.monitor.sources.conformance import LiveCase, Sender, Signal
from tests.monitor.sources.lsl_outlet import OutletProcess

FS_HZ = 250.0
SENDERS = ExitStack()  # closes what a case has open, behind each test


def as_lines(samples: Signal) -> bytes:
    """Return samples as lines of numbers; 1/1024 mV has ten decimals at most."""
    return "".join(f"{one:.10f} {two:.10f}\n" for one, two in samples.T.tolist()).encode()


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
        """Push; behind a pause when the last sample was taken, as a device does."""
        time.sleep(samples.shape[1] / FS_HZ if self._paused else 0.0)
        self._paused = False
        self._pusher.push(samples)

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


LSL_CONFIG = "[multicast]\nResolveScope = machine\n[log]\nlevel = -3\n"  # this machine, quiet


def lsl_environ() -> dict[str, str]:
    """Have LSL, here and in outlets' processes, look on this machine alone."""
    folder = Path(SENDERS.enter_context(TemporaryDirectory()))
    (folder / "lsl_api.cfg").write_text(LSL_CONFIG)
    os.environ["LSLAPICFG"] = str(folder / "lsl_api.cfg")
    return dict(os.environ)


class LslSender:
    """A device's program: an outlet whose timestamps are the device's."""

    def __init__(self) -> None:
        self._environ = lsl_environ()
        self.name = f"strap-{os.getpid()}-{time.monotonic_ns()}"
        self._sent = 0
        self._began_s = 0.0
        self._open()
        SENDERS.callback(lambda: self._outlet.kill())

    def _open(self) -> None:
        self._outlet = OutletProcess(
            self._environ,
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
    LiveCase("lsl", opened_lsl, FS_HZ, needs="pylsl", settle_s=8.0),
    LiveCase("push", opened_push, FS_HZ),
    LiveCase("pipe", opened_pipe, FS_HZ, ends=True, waits=True),
]
