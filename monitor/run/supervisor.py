"""Start, readiness, bounded restart, orderly stop of the three stages.

When a stage dies, all three are started again from the position in the journal: what lay between
them is then the same as if nothing had happened, and no stage needs to know how another died.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import zmq

from monitor.errors import InvalidMessage, StageFailed, StageRefused
from monitor.journal.writer import Journal
from monitor.safe_imports import PYTHON, environment
from monitor.settings import (
    LEAVE_S,
    MAX_RESTARTS,
    AnyStageSettings,
    ConsumerSettings,
    ProducerSettings,
    Resume,
    SegmenterSettings,
    encode_settings,
)
from monitor.stages.host import stage_name
from monitor.text import harmless
from monitor.wire.codec import decode_lifecycle, encode_lifecycle
from monitor.wire.messages import (
    Failed,
    Finished,
    Lifecycle,
    Pause,
    Ready,
    StageName,
    Start,
    Stop,
    Stream,
)
from monitor.wire.sockets import Sockets, receive_waiting

WORD_MS = 200  # for a last word of a process that has just gone


class Supervisor:
    """The three stages of a replay, in a with-block that leaves no process behind.

    Parameters
    ----------
    settings : sequence of stage settings
        One for each stage, with the same endpoints.
    folder : Path
        A private folder for the lifecycle socket and the stages' error output.
    lock : int or None
        Descriptor of the journal's lock, which the stages keep until they have gone.
    """

    def __init__(
        self,
        settings: tuple[ProducerSettings, SegmenterSettings, ConsumerSettings],
        folder: Path,
        lock: int | None = None,
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._inherited = () if lock is None else (lock,)
        self._sockets = Sockets()
        self._endpoint = f"ipc://{folder / 'lifecycle'}"
        self.lifecycle: zmq.Socket[bytes] = self._sockets.serve(self._endpoint)
        self._processes: dict[StageName, subprocess.Popen[bytes]] = {}
        self._addresses: dict[StageName, bytes] = {}
        self._ready: dict[StageName, Ready] = {}
        self._stopping = False
        self._paused = False
        self.streams: list[Stream] = []
        self.restarts = 0
        self.finished = False
        self.resumed: dict[str, int] = {}  # where patients began, in a run that goes on

    def __enter__(self) -> Self:
        try:
            resume = self._resume()
            self.resumed = {one.patient: one.position for one in resume}
            self._start_all(resume)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    @property
    def started(self) -> bool:
        """Whether all stages are ready and were told to start."""
        return bool(self.streams)

    @property
    def pids(self) -> dict[StageName, int]:
        """The stages' process identities, for tests that kill them."""
        return {stage: process.pid for stage, process in self._processes.items()}

    def poll(self) -> list[str]:
        """Take in what the stages said; restart what died; return what a person should know.

        Raises
        ------
        StageRefused
            If a stage cannot do what it was asked: another start would not help.
        StageFailed
            If stages died more often than they may.
        """
        self._take_waiting()
        if self.finished or self._stopping:
            return []
        dead = [name for name, one in self._processes.items() if one.poll() is not None]
        return [self._restart(dead[0])] if dead else []

    def pause(self, paused: bool) -> None:
        """Have the producer hold, or go on."""
        self._paused = paused
        self._tell(["producer"], Pause(paused))

    def stop(self) -> None:
        """Have the producer stop; what it has sent is still scored, then `finished` is set."""
        self._stopping = True
        self._tell(["producer"], Stop())

    def _start_all(self, resume: list[Resume]) -> None:
        self._addresses.clear()
        self._ready.clear()
        for settings in self._settings:
            self._start(
                msgspec.structs.replace(
                    settings,
                    lifecycle=self._endpoint,
                    parent=os.getpid(),
                    restarts=self.restarts,
                    resume=resume,
                )
            )

    def _start(self, settings: AnyStageSettings) -> None:
        name = stage_name(settings)
        with self._error_file(name).open("wb") as errors:
            process = subprocess.Popen(
                [*PYTHON, "-m", "monitor.stages", name],  # the name is for `ps`
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=self._inherited,
                process_group=0,  # a terminal's Ctrl-C is the supervisor's to handle
            )
        self._processes[name] = process
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
            pipe.write(encode_settings(settings))

    def _take(self, address: bytes, message: Lifecycle) -> None:
        match message:
            case Ready(stage=stage):
                self._addresses[stage] = address
                self._ready[stage] = message
                if self.ready and self.started:  # again, after a restart
                    self.begin()
            case Finished(stage="consumer"):
                self.finished = True
            case Failed(text=text, exit_code=exit_code):
                raise StageRefused(text, exit_code)
            case _:
                pass

    @property
    def ready(self) -> bool:
        """Whether all stages have their sockets and files open."""
        return len(self._ready) == len(self._settings)

    def begin(self) -> None:
        """Have the stages start, once all are ready."""
        self.streams = self._ready["producer"].streams
        self._tell(self._ready, Start(self.streams, self._ready["consumer"].spec))
        self._tell(["producer"], Pause(self._paused))  # asked for too early, or before a restart

    def _tell(self, stages: Iterable[StageName], message: Lifecycle) -> None:
        for stage in stages:
            address = self._addresses.get(stage)
            if address is not None:
                with contextlib.suppress(zmq.Again):
                    self.lifecycle.send_multipart(
                        [address, encode_lifecycle(message)], zmq.DONTWAIT
                    )

    def _restart(self, dead: StageName) -> str:
        process = self._processes[dead]
        if self.lifecycle.poll(WORD_MS):  # why it left may come after it was seen to be gone
            self._take_waiting()
        reason = f"the {dead} died ({_exit_text(process.returncode)}){self._last_error(dead)}"
        self.restarts += 1
        if self.restarts > MAX_RESTARTS:
            raise StageFailed(f"{reason}; given up after {MAX_RESTARTS} restarts")
        for other in self._processes.values():
            other.kill()
            other.wait()
        self._start_all(self._resume())
        return f"{reason}; restarted from the journal ({self.restarts} of {MAX_RESTARTS})"

    def _take_waiting(self) -> None:
        for frames in receive_waiting(self.lifecycle):
            with contextlib.suppress(InvalidMessage):
                self._take(frames[0], decode_lifecycle(frames[-1]))

    def _resume(self) -> list[Resume]:
        consumer = self._settings[2]
        path = Path(consumer.journal)
        if not path.exists():
            return []
        with Journal(path) as journal:
            return [
                Resume(one.patient, one.position, one.segmenter_state) for one in journal.progress()
            ]

    def _last_error(self, stage: StageName) -> str:
        lines = self._error_file(stage).read_text(errors="replace").strip().splitlines()
        return f": {harmless(lines[-1])}" if lines else ""

    def _error_file(self, stage: StageName) -> Path:
        return self._folder / f"{stage}.err"

    def _close(self) -> None:
        self._tell(self._addresses, Stop())
        deadline_s = time.monotonic() + (LEAVE_S if self._addresses else 0.0)
        try:
            for process in self._processes.values():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, deadline_s - time.monotonic()))
        finally:  # also when a second Ctrl-C ends the waiting
            for process in self._processes.values():
                process.kill()
                process.wait()
            self._sockets.__exit__(None, None, None)


def _exit_text(returncode: int) -> str:
    return f"signal {-returncode}" if returncode < 0 else f"exit code {returncode}"
