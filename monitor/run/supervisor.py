"""Start, readiness, signs of life, restart, orderly stop of the three stages.

When a stage dies or hangs, all three are started again from the position in the journal: what lay
between them is then the same as if nothing had happened, and no stage needs to know how another
died.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import zmq

from monitor.errors import InvalidMessage, StageFailed, StageRefused
from monitor.journal.writer import Journal
from monitor.run.liveness import AWAKE_S, HEAL_S, HUNG_S, MAX_RESTARTS, RestartBudget
from monitor.run.stage_process import StageProcess
from monitor.settings import (
    LEAVE_S,
    ConsumerSettings,
    ProducerSettings,
    Resume,
    SegmenterSettings,
)
from monitor.wire.codec import decode_lifecycle, encode_lifecycle
from monitor.wire.messages import (
    Failed,
    Finished,
    Lifecycle,
    PassedOver,
    Pause,
    Ready,
    StageName,
    StageNotice,
    Start,
    Stop,
    Stream,
)
from monitor.wire.sockets import Sockets, receive_waiting

_log = logging.getLogger(__name__)

MOST_NOTICES = 20  # of stages at a time; they are all in the log
WORD_MS = 200  # for a last word of a process that has just gone


class Supervisor:
    """The three stages of a replay, in a with-block that leaves no process behind.

    Parameters
    ----------
    settings : sequence of stage settings
        One for each stage, with the same endpoints.
    folder : Path
        A private folder for the lifecycle socket.
    locks : tuple of int
        Descriptors of locks, which the stages keep until they have gone.
    log : Path or None
        File to which what stages write to standard error is appended; by default in the folder.
    hung_s : float
        Silence after which a stage is killed, and all are restarted.
    """

    def __init__(
        self,
        settings: tuple[ProducerSettings, SegmenterSettings, ConsumerSettings],
        folder: Path,
        locks: tuple[int, ...] = (),
        log: Path | None = None,
        hung_s: float = HUNG_S,
    ) -> None:
        self._hung_s = hung_s
        self._settings = settings
        self._folder = folder
        self._log = folder / "stages.log" if log is None else log
        self._log_size = 0
        self._locks = locks
        self._sockets = Sockets()
        self._endpoint = f"ipc://{folder / 'lifecycle'}"
        self.lifecycle: zmq.Socket[bytes] = self._sockets.serve(self._endpoint)
        self._processes: dict[StageName, StageProcess] = {}
        self._addresses: dict[StageName, bytes] = {}
        self._ready: dict[StageName, Ready] = {}
        self._stopping = False
        self._paused = False
        self._begun = False
        self._notices: list[str] = []  # of stages, for a person
        self._budget = RestartBudget()
        self._looked_s = time.monotonic()
        self.streams: list[Stream] = []
        self.passed_over: dict[str, str] = {}  # records, and why the producer could not replay them
        self.journal = ""  # the identity of the consumer's, once that is ready
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
        """Whether all stages were ready and were told to start; maybe with no stream yet."""
        return self._begun

    @property
    def pids(self) -> dict[StageName, int]:
        """The stages' process identities, for tests that kill them."""
        return {stage: process.pid for stage, process in self._processes.items()}

    def poll(self) -> list[str]:
        """Take in what the stages said, restart what died or hangs; return news for a person.

        To be called at least once a second.

        Raises
        ------
        StageRefused
            If a stage cannot do what it was asked: another start would not help.
        StageFailed
            If stages died or hung more often than they may, or one cannot be killed.
        """
        now_s = time.monotonic()
        self._take_waiting()
        told, self._notices = self._notices[:MOST_NOTICES], []
        for stage, process in self._processes.items():
            process.look(stage in self._ready, now_s)
        elapsed_s, self._looked_s = now_s - self._looked_s, now_s
        if self.finished or self._stopping:
            return told
        for process in self._processes.values():
            fault = process.fault()
            if fault is not None:
                return [*told, self._restart(f"the {process.stage} {fault}")]
        silent = any(one.liveness.silent for one in self._processes.values())
        if self.started and self.ready and not silent:
            self._budget.heal(min(elapsed_s, AWAKE_S))
        return told + self._news_of_silence()

    def pause(self, paused: bool) -> None:
        """Have the producer hold, or go on."""
        self._paused = paused
        self._tell(["producer"], Pause(paused))

    def stop(self) -> None:
        """Have the producer stop; what it has sent is still scored, then `finished` is set."""
        self._stopping = True
        self._tell(["producer"], Stop())

    def _start_all(self, resume: list[Resume], restarted: str = "") -> None:
        self._addresses.clear()
        self._ready.clear()
        self._log_size = _size(self._log)
        for settings in self._settings:
            told = msgspec.structs.replace(
                settings,
                lifecycle=self._endpoint,
                parent=os.getpid(),
                restarts=self.restarts,
                restarted=restarted,
                resume=resume,
            )
            process = StageProcess(told, self._log, self._locks, self._hung_s)
            self._processes[process.stage] = process

    def _take(self, address: bytes, message: Lifecycle) -> None:
        match message:
            case Ready(stage=stage):
                self._addresses[stage] = address
                self._ready[stage] = message
                self.journal = message.journal or self.journal
                if self.ready and self.started:  # again, after a restart
                    self.begin()
            case Finished(stage="consumer"):
                self.finished = True
            case PassedOver(record=record, text=reason):
                self.passed_over.setdefault(record, reason)  # again, after a restart
            case StageNotice(text=text):
                self._notices.append(text)
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
        self._begun = True
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

    def _restart(self, reason: str) -> str:
        if self.lifecycle.poll(WORD_MS):  # why it left may come after it was seen to be gone
            self._take_waiting()
        wrote = f"; what the stages wrote is in {self._log}" if self._log_grew() else ""
        _log.warning("%s", reason)
        if not self._budget.take():
            raise StageFailed(
                f"{reason}; given up: {MAX_RESTARTS} restarts in a row did not bring "
                f"{HEAL_S:.0f} s without a fault{wrote}"
            )
        self.restarts += 1
        for other in self._processes.values():
            other.kill()
        wrote += self._restore_folder()
        self._start_all(self._resume(), reason)
        return (
            f"{reason}; restarted from the journal (restart {self.restarts}; {self._budget.left} "
            f"left, one comes back every {HEAL_S:.0f} s without a fault){wrote}"
        )

    def _restore_folder(self) -> str:
        """Make the run's folder again if somebody removed it; return what a person should know."""
        if self._folder.is_dir():
            return ""
        self._folder.mkdir(parents=True, mode=0o700)
        self.lifecycle.unbind(self._endpoint)
        self.lifecycle.bind(self._endpoint)
        own_journal = self._folder == Path(self._settings[2].journal).parent
        lost = ", with the run's own journal: it begins anew" if own_journal else ""
        return f"; {self._folder} was removed by somebody{lost}"

    def _log_grew(self) -> bool:
        """Whether anything was written since the stages were started."""
        return _size(self._log) > self._log_size

    def _news_of_silence(self) -> list[str]:
        """Return which stage has fallen silent, or is heard again."""
        news = []
        for stage, process in self._processes.items():
            silent = process.liveness.silent
            if silent and not process.told_silent:
                silent_s = process.liveness.silent_s
                news.append(
                    f"no sign of life from the {stage} for {silent_s:.0f} s; "
                    f"after {self._hung_s:.0f} s it is killed, and all stages are restarted"
                )
            elif process.told_silent and not silent:
                news.append(f"the {stage} shows signs of life again")
            process.told_silent = silent
        for one in news:
            _log.warning("%s", one)
        return news

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

    def _close(self) -> None:
        self._tell(self._addresses, Stop())
        deadline_s = time.monotonic() + (LEAVE_S if self._addresses else 0.0)
        try:
            for process in self._processes.values():
                process.wait(max(0.0, deadline_s - time.monotonic()))
        finally:  # also when a second Ctrl-C ends the waiting
            with contextlib.ExitStack() as stack:
                stack.callback(self._sockets.__exit__, None, None, None)
                for process in self._processes.values():
                    stack.callback(process.kill)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
