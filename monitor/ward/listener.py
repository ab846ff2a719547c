"""A ward's alerts, for one process: what an `AlertSubscriber` is to a monitor.

    with WardListener(WardAccess("nats://127.0.0.1:4222")) as alerts:
        message = alerts.receive(1.0)

A thread of its own holds the connection; the stream has every alert, in order, so nothing is asked
for again. Of each partition numbers count without holes. Heartbeats of partitions come as one.
Where the connection ends for good, or the server comes back with another ward or an older copy of
this one, it begins anew behind what it had.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

import msgspec

from monitor.delivery.inbox import Inbox
from monitor.delivery.position import Place
from monitor.errors import InvalidMessage, MonitorError, MonitorSilent, WardUnreachable
from monitor.settings import wall_time_text
from monitor.text import counted
from monitor.ward.asking import ANSWER_S, asked, text_of
from monitor.ward.link import WardAccess, WardLink, connected, unreachable_if_closed
from monitor.ward.merged_status import NOBODYS_S, STATUS_S, MergedStatus
from monitor.ward.names import WARD, WATCH, WardIdentity, token
from monitor.ward.setup import find_ward, newest_number, require_ward
from monitor.ward.stream_reader import StreamReader
from monitor.ward.watched import MOST_WATCHED, Watched, encode_watched
from monitor.wire.codec import decode_numbered, topic_of
from monitor.wire.messages import (
    ALL_WAVES,
    Alert,
    BeatScored,
    ControlRequest,
    Done,
    Message,
    Refused,
    Status,
    Technical,
    Wave,
)

WATCH_S = 1.0  # between two words of whom is shown
LOOK_S = 0.5  # between two looks whether the connection has ended for good
AGAIN_S = 1.0  # between two tries to connect anew
MOST_WAITING = 20_000  # messages that wait to be taken in
MOST_NOTICES = 16
MOST_READ_LATELY = 10_000  # alerts
# Behind the newest alert that an inbox has had: the clocks of workers and servers may differ.
MARGIN_DAYS = 1
_unkept: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Status | BeatScored | Wave)
NUMBERED = ("alert.", "technical.")


class WardListener:
    """Alerts of a ward, each once, in order; heartbeats, and of patients who are shown beats.

    Parameters
    ----------
    access : WardAccess
    topics : sequence of str
        As of an `AlertSubscriber`.
    after : int or None
        0 begins with the oldest alert that is kept; None with what comes from now on.
    since : str or None
        Wall time (UTC) to begin at instead.
    inbox : Inbox or None
        Keeps each alert that was handled, that is when the next message is asked for, or when the
        with-block ends well. Where it has had alerts, those that follow them are handed out.
    waits : bool
        Wait for a ward that cannot be reached yet: `trouble` says why it cannot.

    Raises
    ------
    MonitorError
        If the ward cannot be reached, or another process writes the inbox.
    """

    def __init__(
        self,
        access: WardAccess,
        topics: Sequence[str] = NUMBERED,
        after: int | None = 0,
        *,
        since: str | None = None,
        inbox: Inbox | None = None,
        waits: bool = False,
    ) -> None:
        self._waits = waits
        self._had = None if inbox is None else Had(inbox)
        self._access, self._since, self._after = access, since, after
        self._topics = tuple(topics)
        self._shown: tuple[str, ...] = ()
        self._tokens: frozenset[str] | None = None  # of whom is shown; none: of all
        self._queue: queue.Queue[Message] = queue.Queue(MOST_WAITING)
        self._waves: deque[Wave] = deque(maxlen=1000)
        self._notices: deque[str] = deque(maxlen=MOST_NOTICES)
        self._merged = MergedStatus()
        self._heard_s = time.monotonic()
        self.ever_heard = False
        self.refusal = ""
        self._opened: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._loop = asyncio.new_event_loop()
        self._stop: asyncio.Event = asyncio.Event()
        self._link: WardLink | None = None
        self._ward: WardIdentity | None = None
        self._next: int | None = None  # number of the stream's next alert; none: nothing was read
        # Alerts that were read lately, and when the stream took them: what an older copy holds of
        # them, or has raised again, is not handed out twice.
        self._read_lately: dict[tuple[str, str], int] = {}
        self._went_back = False
        self._checked = 0  # connections of the link after which it was still this ward
        self._anew = asyncio.Event()
        self._looked = asyncio.Event()
        self._trouble = ""
        self._thread = threading.Thread(target=self._run, daemon=True, name="ward listener")
        self._thread.start()
        try:
            self._opened.result()
        except MonitorError:
            self._thread.join()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._had is not None and error is None:
            self._had.keep()
        self.close()

    def close(self) -> None:
        """End the connection."""
        with suppress(RuntimeError):  # it ended by itself
            self._loop.call_soon_threadsafe(self._stop.set)
        with suppress(queue.Empty):
            while True:  # who puts may wait for room
                self._queue.get_nowait()
        self._thread.join(5.0)

    @property
    def silent_s(self) -> float:
        """How long no heartbeat of any partition has come."""
        return time.monotonic() - self._heard_s

    @property
    def trouble(self) -> str:
        """Why nothing comes, as far as that is known here; empty while it is connected."""
        link = self._link
        if self._trouble or link is None or link.client.is_connected:
            return self._trouble
        why = f" ({link.trouble})" if link.trouble else ""
        return f"no connection to {self._access.servers}{why}; it is tried again"

    @property
    def faults(self) -> list[str]:
        """What is wrong while it lasts: partitions that nobody serves, what is not allowed."""
        refused = [] if self._link is None else self._link.refused
        return [one for one in (self._merged.unserved, *refused) if one]

    @property
    def truncated(self) -> int:
        """How many alerts the stream kept no longer when an inbox's owner came back."""
        return 0 if self._had is None else self._had.missing

    @property
    def last_seq(self) -> int:
        """How many alerts were handed out or passed over, of all partitions."""
        return self._merged.had

    @property
    def waiting(self) -> bool:
        """Whether something waits to be handed out."""
        return not self._queue.empty()

    def receive(self, timeout_s: float) -> Message | None:
        """Return the next message; None if none comes in time."""
        if self._had is not None:
            self._had.keep()
        deadline_s = time.monotonic() + timeout_s
        while True:
            left_s = deadline_s - time.monotonic()
            try:
                message = self._queue.get(left_s > 0, max(left_s, 0.0))
            except queue.Empty:
                return None
            if isinstance(message, Alert | Technical):
                self._merged.take_alert(message)
                if self._had is not None and not self._had.is_new(message, self._notices.append):
                    continue
            return message

    def handled(self) -> None:
        """Count what was handed out last as handled: an inbox, where there is one, keeps it now."""
        if self._had is not None:
            self._had.keep()

    def waves(self) -> Iterable[Wave]:
        """Take out the stretches of signal that wait."""
        while self._waves:
            yield self._waves.popleft()

    def follow(self, topics: Sequence[str]) -> None:
        """Hand out other topics from now on."""
        self._topics = tuple(topics)

    def show(self, topics: Sequence[str]) -> None:
        """Ask for the signal and the beats of patients, `wave.<patient>`, or of all: `wave.`.

        Whom a topic names that was not asked for before comes with the last ten seconds.
        """
        wanted = tuple(topics)
        if wanted == self._shown:
            return
        takes_all = ALL_WAVES in wanted
        tokens = frozenset(token(_name(one)) for one in wanted)
        self._tokens = None if takes_all or not wanted else tokens
        self._shown = wanted
        with suppress(RuntimeError):  # it ended by itself
            self._loop.call_soon_threadsafe(self._looked.set)

    def take_notices(self) -> list[str]:
        """Take out what a person should know."""
        texts = list(self._notices)
        self._notices.clear()
        return texts

    def ask(self, request: ControlRequest) -> None:
        """Have the patient's worker do something; a refusal is a notice."""

        async def ask() -> None:
            try:
                text_of(await self._asked(request))
            except MonitorError as error:
                self._notices.append(str(error))

        if self._loop.is_closed():
            self._notices.append(f"not asked: {self._trouble}")
        else:
            asyncio.run_coroutine_threadsafe(ask(), self._loop)

    def carry_out(self, request: ControlRequest) -> str:
        """Have the patient's worker do something and return what was done; from any thread.

        Raises
        ------
        InvalidOption
            If it refuses; the words are its own.
        MonitorSilent
            If nobody serves the patient, or there is no connection.
        """
        if self._loop.is_closed():
            raise MonitorSilent(f"not asked: {self._trouble}")
        answer = asyncio.run_coroutine_threadsafe(self._asked(request), self._loop)
        try:
            return text_of(answer.result(2 * ANSWER_S))
        except (TimeoutError, concurrent.futures.CancelledError) as error:
            raise MonitorSilent("no answer: the connection to the ward has ended") from error

    async def _asked(self, request: ControlRequest) -> Done | Refused:
        link, ward = self._link, self._ward
        if link is None or ward is None or self.trouble:
            raise MonitorSilent(f"not asked: {self.trouble or 'not connected yet'}")
        return await asked(link, ward, request)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._listen())
        except MonitorError as error:
            self._trouble = str(error)
            self._let_in(error)
        except Exception as error:  # a fault of ours: who asks is told that nothing comes any more
            self._trouble = f"listening has ended ({type(error).__name__})"
            self._let_in(WardUnreachable(self._trouble))
            raise
        finally:
            left = asyncio.all_tasks(self._loop)  # requests that nobody answered
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.close()

    def _let_in(self, error: MonitorError | None = None) -> None:
        """Let who opened this go on, or raise an error there; once."""
        if self._opened.done():
            return
        if error is None:
            self._opened.set_result(None)
        else:
            self._opened.set_exception(error)

    async def _listen(self) -> None:
        """Listen until stopped; anew where the connection has ended, or another ward is there."""
        while not self._stop.is_set():
            try:
                async with connected(self._access, "subscriber", self._notices.append) as link:
                    with unreachable_if_closed(self._access):
                        await self._over(link)
            except WardUnreachable as error:
                if self._ward is None and not self._waits:
                    raise
                if not self._trouble:
                    self._notices.append(str(error))
                self._trouble = str(error)
                self._let_in()
                await _soon(self._stop, AGAIN_S)

    async def _over(self, link: WardLink) -> None:
        """Listen over a connection until stopped, or until it is time to begin anew."""
        ward = await require_ward(link)
        first = await self._first(link, ward)
        self._ward, self._link = ward, link
        self._checked, self._trouble = link.times_connected, ""
        self._anew.clear()
        reader = StreamReader(
            link, WARD, "ecg.alert.>", first, since=self._since or "", may_begin=self._is_the_same
        )
        for kind in ("status", "beat", "wave"):
            await link.client.subscribe(f"ecg.{kind}.>", cb=self._hear)
        self._let_in()
        work = (self._read(reader), self._tell(link), self._watch(link), self._end_of(link))
        tasks = [asyncio.create_task(one) for one in (*work, self._anew.wait(), self._stop.wait())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _first(self, link: WardLink, ward: WardIdentity) -> int:
        """Return which number of the stream to begin with, as what is there now says."""
        is_other = self._ward not in (None, ward)
        if is_other:
            self._notices.append(
                f"{self._access.servers} holds another ward now, {ward.identity} of "
                f"{counted(ward.partitions, 'partition')}: its alerts come from the beginning"
            )
        if self._ward != ward:
            if self._had is not None:
                self._since = self._had.since(ward) or self._since
            from_all = is_other or self._after == 0 or bool(self._since)
            self._merged.begin(ward, time.monotonic(), knows_past=from_all)
            self._next = None if from_all else await newest_number(link) + 1
        if self._next is None:
            return 1
        if await newest_number(link) < self._next - 1:
            self._notices.append(
                "the ward's stream went back: an older copy was restored; what comes now goes on "
                "behind it, and nothing that was had comes again"
            )
            # Where the copy ends cannot be told from what others have written behind it since.
            oldest_ns = min(self._read_lately.values(), default=time.time_ns())
            self._since = wall_time_text(datetime.fromtimestamp(oldest_ns / 1e9, UTC))
            self._next, self._went_back = None, True
            return 1
        self._since = None
        return self._next

    async def _is_the_same(self) -> bool:
        """Tell whether the server that was connected to again holds this ward, and all of it."""
        link = self._link
        assert link is not None
        connection = link.times_connected
        if self._checked == connection:
            return True
        try:
            found, newest = await find_ward(link), await newest_number(link)
        except WardUnreachable:
            return False
        if found is None:
            self._trouble = f"{self._access.servers} holds no ward now"
            return False
        if found != self._ward or newest < (self._next or 1) - 1:
            self._anew.set()
            return False
        self._checked, self._trouble = connection, ""
        return True

    async def _end_of(self, link: WardLink) -> None:
        """Return when the connection has ended for good, as where the server has shut us out."""
        while not link.client.is_closed:
            await asyncio.sleep(LOOK_S)
        self._trouble = f"{self._access.servers} has shut this connection ({link.trouble})"
        self._notices.append(f"{self._trouble}; it is tried again")

    async def _read(self, reader: StreamReader) -> None:
        while True:
            for stored in await reader.read(256, 1.0):
                with suppress(InvalidMessage):
                    await self._take(decode_numbered(stored.content), stored.time_ns)
                self._next = stored.number + 1

    async def _take(self, message: Alert | Technical, time_ns: int) -> None:
        """Hand an alert out, unless it was had before the stream went back."""
        lately, key = self._read_lately, (message.id, message.state)
        if self._went_back and key in lately:
            return
        await self._put(message)
        lately[key] = time_ns
        if len(lately) > MOST_READ_LATELY:
            del lately[next(iter(lately))]

    async def _put(self, message: Message) -> None:
        while True:
            try:
                self._queue.put_nowait(message)
            except queue.Full:
                await asyncio.sleep(0.01)
            else:
                return

    async def _hear(self, heard: Any) -> None:  # noqa: ANN401
        kind, _, of = heard.subject.removeprefix("ecg.").partition(".")
        if kind == "wave" and not self._shown:
            return
        tokens = self._tokens
        if kind != "status" and tokens is not None and of.rpartition(".")[2] not in tokens:
            return  # another view shows it
        try:
            message = _unkept.decode(heard.data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        if isinstance(message, Status):
            self._heard_s, self.ever_heard = time.monotonic(), True
            self._merged.take(of, message, self._heard_s)
        elif isinstance(message, Wave):
            self._waves.append(message)
        elif topic_of(message).startswith(self._topics):
            with suppress(queue.Full):  # a beat can be missed
                self._queue.put_nowait(message)

    async def _tell(self, link: WardLink) -> None:
        """Hand out one heartbeat of all partitions a second; say which nobody serves."""
        while True:
            await asyncio.sleep(STATUS_S)
            now_s = time.monotonic()
            for text in self._merged.look(now_s, hears=link.client.is_connected):
                self._notices.append(text)
            if self.ever_heard and self.silent_s < NOBODYS_S:
                await self._put(self._merged.status())

    async def _watch(self, link: WardLink) -> None:
        """Say whom views show, at once where that has changed."""
        before: frozenset[str] = frozenset()
        topics_before: frozenset[str] = frozenset()
        while True:
            self._looked.clear()
            topics = self._shown
            named = [name for one in topics if (name := _name(one))]
            begun = [_name(one) for one in topics if one not in topics_before and _name(one)]
            others = self._merged.patients if ALL_WAVES in topics else []
            names = [*dict.fromkeys([*named, *others])][:MOST_WATCHED]
            begun += [name for name in names if name not in before and name not in begun]
            if names:
                watched = Watched(names, begun[:MOST_WATCHED])
                await link.publish(WATCH, encode_watched(watched))
            before, topics_before = frozenset(names), frozenset(topics)
            await _soon(self._looked, WATCH_S)


async def _soon(event: asyncio.Event, within_s: float) -> None:
    """Wait for an event, for so long at most."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), within_s)


def _name(topic: str) -> str:
    """Return whom `wave.<patient>` names; empty: nobody."""
    return topic.partition(".")[2]


class Had:
    """Which of a ward's alerts an inbox has had: of each partition up to a number."""

    def __init__(self, inbox: Inbox) -> None:
        inbox.hold()
        self._inbox = inbox
        self._seqs: dict[str, int] = {}
        self._ids: dict[str, dict[int, str]] = {}
        self._in_hand: Alert | Technical | None = None
        self._newest = inbox.newest_alert()
        self.missing = 0

    def since(self, ward: WardIdentity) -> str:
        """Return from which wall time on the ward's alerts are wanted; empty: from the oldest."""
        newest = self._newest
        if newest is None or newest.journal.rpartition("-")[0] != ward.identity:
            return ""
        moment = datetime.fromisoformat(newest.wall_time) - timedelta(days=MARGIN_DAYS)
        return wall_time_text(moment)

    def is_new(self, message: Alert | Technical, say: Callable[[str], None]) -> bool:
        """Tell whether an alert is to be handed out; it is kept with the next `keep`."""
        journal, seq = message.journal, message.seq
        had = self._seqs.setdefault(journal, self._inbox.last_seq_in(journal))
        if seq <= had:
            ids = self._ids.setdefault(journal, self._inbox.ids(journal))
            if ids.get(seq, message.id) == message.id:
                return False
            say(f"the ward's stream went back to alert {seq - 1} of {journal}: it was restored")
            self._inbox.set_aside(journal, journal, Place(journal, seq - 1, ""))
            self._ids[journal] = {}
        elif had:
            self.missing += seq - had - 1
        self._seqs[journal], self._in_hand = seq, message
        return True

    def keep(self) -> None:
        """Keep what was handed out last: it was handled."""
        if self._in_hand is not None:
            self._inbox.keep(self._in_hand)
            self._in_hand = None
        self._inbox.look()
