"""One stage's process as its supervisor sees it: started, looked at, killed."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import IO

import msgspec

from monitor.errors import StageFailed
from monitor.run.liveness import Liveness
from monitor.safe_imports import PYTHON, environment
from monitor.settings import AnyStageSettings, ProducerSettings, encode_settings
from monitor.sources.kinds import PIPE
from monitor.stages.host import stage_name
from monitor.stages.pulse import WHERE_SIGNAL
from monitor.text import harmless

_log = logging.getLogger(__name__)

WHERE_S = 0.2  # for a hung process to write where it is
KILLED_S = 5.0  # a process that is killed is gone at once, unless it waits for a disk
PIPE_BYTES = 1 << 16


class StageProcess:
    """A stage in an interpreter of its own, with a pipe for its signs of life.

    Parameters
    ----------
    settings : stage settings
        What it is told; the pipe is added.
    log : Path
        File to which all that it writes to standard error is appended.
    inherited : tuple of int
        Descriptors that it keeps open until it has gone: locks.
    hung_s : float
        Silence after which it hangs.
    """

    def __init__(
        self, settings: AnyStageSettings, log: Path, inherited: tuple[int, ...], hung_s: float
    ) -> None:
        self.stage = stage_name(settings)
        self.told_silent = False
        self._signs, pulse = os.pipe()
        os.set_blocking(self._signs, False)
        errors = _open_log(log)
        # Its own standard input is where it is told its settings.
        pipe = os.dup(0) if _reads_pipe(settings) else None
        kept = inherited if pipe is None else (*inherited, pipe)
        try:
            self._process = subprocess.Popen(
                [*PYTHON, "-m", "monitor.stages", self.stage],  # the name is for `ps`
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=(pulse, *kept),
                process_group=0,  # a terminal's Ctrl-C is the supervisor's to handle
            )
        except BaseException:
            os.close(self._signs)
            raise
        finally:
            for descriptor in (pulse, errors, *([] if pipe is None else [pipe])):
                os.close(descriptor)
        self.liveness = Liveness(time.monotonic(), hung_s)
        told = encode_settings(msgspec.structs.replace(settings, pulse=pulse, pipe=pipe))
        assert self._process.stdin is not None
        # From a thread: a pipe takes 64 KiB, the states of a ward are tens of MB, and the process
        # may hang before it reads them.
        threading.Thread(target=_tell, args=(self._process.stdin, told), daemon=True).start()
        _log.info("started the %s as process %d", self.stage, self.pid)

    @property
    def pid(self) -> int:
        """The process's identity."""
        return self._process.pid

    def look(self, ready: bool, now_s: float) -> None:
        """Take in its signs of life; `ready` says whether its loop must go round."""
        signs = b""
        with contextlib.suppress(BlockingIOError):  # it wrote nothing
            signs = os.read(self._signs, PIPE_BYTES)
        self.liveness.look(signs, ready, now_s)

    def fault(self) -> str | None:
        """Return what is wrong with it, as the rest of a sentence about it; None if nothing is."""
        code = self._process.poll()
        if code is None:
            if not self.liveness.hangs:
                return None
            self._process.send_signal(WHERE_SIGNAL)  # for the log, unless the process is stopped
            self.wait(WHERE_S)
            return f"hangs (no sign of life for {self.liveness.silent_s:.0f} s)"
        self.look(True, time.monotonic())  # for its last words
        words = harmless(self.liveness.last_words)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"died ({how}){': ' if words else ''}{words}"

    def wait(self, timeout_s: float) -> None:
        """Give it so long to leave by itself."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)

    def kill(self) -> None:
        """End it, hung or not.

        Raises
        ------
        StageFailed
            If the system cannot end it, as while it waits for a disk that does not answer.
        """
        self._process.kill()
        try:
            self._process.wait(KILLED_S)
        except subprocess.TimeoutExpired as error:
            raise StageFailed(
                f"the {self.stage} (process {self.pid}) cannot be killed: it waits for a disk or a "
                "network share that does not answer; see to that, then start again"
            ) from error
        finally:
            if self._signs >= 0:
                os.close(self._signs)
                self._signs = -1


def _tell(pipe: IO[bytes], told: bytes) -> None:
    with contextlib.suppress(OSError), pipe:  # it died before it had read all
        pipe.write(told)


def _reads_pipe(settings: AnyStageSettings) -> bool:
    return isinstance(settings, ProducerSettings) and PIPE in settings.records


def _open_log(path: Path) -> int:
    """Open the log for appending; where that fails, the run goes on without."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)
