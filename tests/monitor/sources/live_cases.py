"""A sender for each live source: a program or a device, or what stands for it."""

from __future__ import annotations

import os

from monitor.sources.pipe import Pipe
from monitor.sources.source import LiveSource, SourceOptions
from tests.monitor.sources.conformance import LiveCase, Sender, Signal

FS_HZ = 250.0


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


LIVE_CASES = [LiveCase("pipe", opened_pipe, FS_HZ, ends=True, waits=True)]
