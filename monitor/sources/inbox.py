"""What came of a live source and waits to be taken: bounded, safe between two threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable

from monitor.errors import RecordError
from monitor.sources.source import OPEN_S, LiveBlock, LiveStream
from monitor.text import counted, were

MOST_WAITING_S = 30.0  # of a stream
MOST_NOTICES = 100


class SampleInbox:
    """Blocks, notices and an error, from the thread that receives to the one that takes.

    Of a stream of which more than `MOST_WAITING_S` waits, the oldest blocks go: the next one that
    is taken lies further on.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._blocks: deque[LiveBlock] = deque()
        self._waiting: dict[LiveStream, int] = {}  # samples of each stream
        self._dropped = 0
        self._streams: tuple[LiveStream, ...] = ()
        self._announced = False
        self._warnings: tuple[str, ...] = ()
        self._notices: deque[str] = deque(maxlen=MOST_NOTICES)
        self._error: Exception | None = None
        self._ended = False
        self.closing = threading.Event()  # whoever receives leaves when it is set

    # --- of the thread that receives ---------------------------------------------------------

    def announce(self, streams: Iterable[LiveStream], warnings: Iterable[str] = ()) -> None:
        """Say which streams there are now."""
        with self._changed:
            self._streams, self._warnings = tuple(streams), tuple(warnings)
            self._announced = True
            self._changed.notify_all()

    def put(self, blocks: Iterable[LiveBlock]) -> None:
        """Let blocks wait."""
        with self._lock:
            for block in blocks:
                self._blocks.append(block)
                n_samples = block.samples.shape[1]
                self._waiting[block.stream] = self._waiting.get(block.stream, 0) + n_samples
                while self._waiting[
                    block.stream
                ] > MOST_WAITING_S * block.stream.fs_hz and self._drop_oldest(block.stream):
                    pass

    def notice(self, text: str) -> None:
        """Report what a person should know."""
        with self._lock:
            self._notices.append(text)

    def fail(self, error: Exception) -> None:
        """End with an error, behind what waits."""
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def end(self) -> None:
        """Say that no more will come."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    # --- of the one that takes ---------------------------------------------------------------

    @property
    def streams(self) -> tuple[LiveStream, ...]:
        """The streams so far."""
        with self._lock:
            return self._streams

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong and is taken all the same."""
        with self._lock:
            return self._warnings

    @property
    def ended(self) -> bool:
        """Whether no more will come and all that came was taken."""
        with self._lock:
            return self._ended and not self._blocks and self._error is None

    def take(self) -> list[LiveBlock]:
        """Return what waits; raise the error once nothing does."""
        with self._lock:
            blocks = list(self._blocks)
            self._blocks.clear()
            self._waiting.clear()
            if not blocks and self._error is not None:
                raise self._error
            return blocks

    def take_notices(self) -> list[str]:
        """Return what was reported since."""
        with self._lock:
            notices = list(self._notices)
            self._notices.clear()
            if self._dropped:
                n = self._dropped
                notices.append(
                    f"{counted(n, 'sample')} {were(n)} dropped: nobody took them in time"
                )
                self._dropped = 0
            return notices

    def wait_until_open(
        self, where: str, advice: str, *, may_be_empty: bool = False, timeout_s: float = OPEN_S
    ) -> None:
        """Wait until streams were announced, perhaps none yet.

        Raises
        ------
        RecordError
            What was reported as an error, or that nothing came in time.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._announced or self._error is not None or self._ended, timeout_s
            )
            if self._error is not None:
                raise self._error
            if not (self._streams or (may_be_empty and self._announced)):
                why = "it ended" if self._ended else f"nothing came within {timeout_s:g} s"
                raise RecordError(f"source {where}: {why}; {advice}")

    def _drop_oldest(self, stream: LiveStream) -> bool:
        """Drop the oldest block of a stream, unless it is the newest; return whether one went."""
        place = next(n for n, one in enumerate(self._blocks) if one.stream == stream)
        if place == len(self._blocks) - 1:
            return False
        n_samples = self._blocks[place].samples.shape[1]
        del self._blocks[place]
        self._waiting[stream] -= n_samples
        self._dropped += n_samples
        return True


class Received:
    """A live source that a thread of its own receives.

    Parameters
    ----------
    receive : callable
        Runs in the thread: announces streams, puts blocks, and leaves soon after `closing` is set.
        What it raises as RecordError ends the source.
    where, advice : str
        The source as a person named it, and what to do if nothing comes, for messages.
    may_be_empty : bool
        Whether it is open before there is any stream.
    """

    def __init__(
        self,
        receive: Callable[[SampleInbox], None],
        where: str,
        advice: str,
        *,
        may_be_empty: bool = False,
    ) -> None:
        self._inbox = SampleInbox()
        self._receive = receive
        self._thread = threading.Thread(target=self._run, name=f"receives {where}", daemon=True)
        self._thread.start()
        try:
            self._inbox.wait_until_open(where, advice, may_be_empty=may_be_empty)
        except BaseException:
            self.close()
            raise

    @property
    def streams(self) -> tuple[LiveStream, ...]:
        """The streams so far."""
        return self._inbox.streams

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with the source and is taken all the same."""
        return self._inbox.warnings

    @property
    def ended(self) -> bool:
        """Whether no more will come and all was taken."""
        return self._inbox.ended

    def take(self) -> list[LiveBlock]:
        """Return what came since."""
        return self._inbox.take()

    def take_notices(self) -> list[str]:
        """Return what a person should know that happened since."""
        return self._inbox.take_notices()

    def close(self, timeout_s: float = 1.0) -> None:
        """Have the thread leave, and wait for it a while."""
        self._inbox.closing.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self._receive(self._inbox)
        except Exception as error:  # whoever takes is told of it, as if it had happened there
            self._inbox.fail(error)
        else:
            self._inbox.end()
