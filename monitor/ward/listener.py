"""A ward's alerts, for one process: what an `AlertSubscriber` is to a monitor.

    with WardListener(WardAccess("nats://127.0.0.1:4222")) as alerts:
        message = alerts.receive(1.0)

A thread of its own holds the connection; the stream has every alert, in order, so nothing is asked
for again. Of each partition numbers count without holes. Heartbeats of partitions come as one.
"""

from __future__ import annotations

import asyncio
import json
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

import msgspec

from monitor.delivery.inbox import Inbox
from monitor.delivery.position import Place
from monitor.errors import InvalidMessage, MonitorError
from monitor.settings import wall_time_text
from monitor.ward.asking import asked
from monitor.ward.link import JetStreamError, Unanswered, WardAccess, WardLink, connected
from monitor.ward.names import WARD, WATCH, WardIdentity
from monitor.ward.setup import require_ward
from monitor.ward.stream_reader import StreamReader
from monitor.wire.codec import decode_numbered, topic_of
from monitor.wire.messages import (
    Alert,
    BeatScored,
    ControlRequest,
    Done,
    Message,
    PatientStatus,
    Refused,
    StageHealth,
    StageName,
    Status,
    Technical,
    WardCounts,
    Wave,
)

NOBODYS_S = 3.0  # without a heartbeat of a partition: nobody serves it
FIRST_S = 5.0  # for the first heartbeats to be heard
STATUS_S = 1.0
WATCH_S = 5.0
MOST_WAITING = 20_000  # messages that wait to be taken in
MOST_NOTICES = 16
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
    ) -> None:
        self._had = None if inbox is None else Had(inbox)
        self._access, self._since, self._after = access, since, after
        self._topics = tuple(topics)
        self._shown: tuple[str, ...] = ()
        self._queue: queue.Queue[Message] = queue.Queue(MOST_WAITING)
        self._waves: deque[Wave] = deque(maxlen=1000)
        self._notices: deque[str] = deque(maxlen=MOST_NOTICES)
        self._merged = MergedStatus()
        self._heard_s = time.monotonic()
        self.ever_heard = False
        self.refusal = ""
        self._opened: queue.Queue[MonitorError | None] = queue.Queue()
        self._loop = asyncio.new_event_loop()
        self._stop: asyncio.Event = asyncio.Event()
        self._link: WardLink | None = None
        self._ward: WardIdentity | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="ward listener")
        self._thread.start()
        error = self._opened.get()
        if error is not None:
            self._thread.join()
            raise error

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
            try:
                message = self._queue.get(timeout=max(deadline_s - time.monotonic(), 0.001))
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
        """Ask for the signal and the beats of patients: `wave.<patient>`."""
        self._shown = tuple(topics)

    def take_notices(self) -> list[str]:
        """Take out what a person should know."""
        texts = list(self._notices)
        self._notices.clear()
        return texts

    def ask(self, request: ControlRequest) -> None:
        """Have the patient's worker do something; a refusal is a notice."""
        asyncio.run_coroutine_threadsafe(self._ask(request), self._loop)

    async def _ask(self, request: ControlRequest) -> None:
        assert self._link is not None
        assert self._ward is not None
        match await asked(self._link, self._ward, request):
            case Refused(text=text):
                self._notices.append(text)
            case Done():
                pass

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._listen())
        except MonitorError as error:
            self._opened.put(error)
        finally:
            self._loop.close()

    async def _listen(self) -> None:
        async with connected(self._access, "subscriber", self._notices.append) as link:
            self._link, self._ward = link, await require_ward(link)
            if self._had is not None and (since := self._had.since(self._ward)):
                self._since = since
            first = await self._first(link)
            reader = StreamReader(link, WARD, "ecg.alert.>", first, since=self._since or "")
            for kind in ("status", "beat", "wave"):
                await link.client.subscribe(f"ecg.{kind}.>", cb=self._hear)
            self._merged.begin(self._ward, time.monotonic(), knows_past=first == 1)
            self._opened.put(None)
            tasks = [
                asyncio.create_task(one)
                for one in (self._read(reader), self._tell(), self._watch())
            ]
            await self._stop.wait()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _first(self, link: WardLink) -> int:
        """Return which number of the stream to begin with."""
        if self._after == 0 or self._since:
            return 1
        with suppress(JetStreamError, Unanswered):
            info = await link.jetstream(f"STREAM.INFO.{WARD}")
            return int(info["state"]["last_seq"]) + 1
        return 1

    async def _read(self, reader: StreamReader) -> None:
        while True:
            for stored in await reader.read(256, 1.0):
                with suppress(InvalidMessage):
                    await self._put(decode_numbered(stored.content))

    async def _put(self, message: Message) -> None:
        while True:
            try:
                self._queue.put_nowait(message)
            except queue.Full:
                await asyncio.sleep(0.01)
            else:
                return

    async def _hear(self, heard: Any) -> None:  # noqa: ANN401
        try:
            message = _unkept.decode(heard.data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        if isinstance(message, Status):
            self._heard_s, self.ever_heard = time.monotonic(), True
            self._merged.take(heard.subject.rsplit(".", 1)[1], message, self._heard_s)
        elif isinstance(message, Wave):
            self._waves.append(message)
        elif topic_of(message).startswith(self._topics):
            with suppress(queue.Full):  # a beat can be missed
                self._queue.put_nowait(message)

    async def _tell(self) -> None:
        """Hand out one heartbeat of all partitions a second; say which nobody serves."""
        while True:
            await asyncio.sleep(STATUS_S)
            now_s = time.monotonic()
            hears = self._link is not None and self._link.client.is_connected
            for text in self._merged.look(now_s, hears=hears):
                self._notices.append(text)
            if self.ever_heard and self.silent_s < NOBODYS_S:
                await self._put(self._merged.status())

    async def _watch(self) -> None:
        """Say whom views show."""
        while True:
            names = [one.partition(".")[2] for one in self._shown]
            names = [one for one in names if one] or self._merged.some_patients(self._shown)
            if names and self._link is not None:
                await self._link.publish(WATCH, json.dumps(names[:1000]).encode())
            await asyncio.sleep(min(WATCH_S, 1.0))


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


class MergedStatus:
    """What the heartbeats of all partitions say together, and which partitions are nobody's."""

    def __init__(self) -> None:
        self._newest: dict[int, tuple[Status, float]] = {}
        self._patients: dict[str, PatientStatus] = {}
        self._of: dict[int, int] = {}  # patients of partitions
        self._had: dict[str, int] = {}  # newest number handed out, by journal
        self._nobodys: set[int] = set()
        self._ward = WardIdentity("", 0)
        self._began_s = 0.0
        self._looked_s = 0.0
        self._knows_past = True

    def begin(self, ward: WardIdentity, now_s: float, *, knows_past: bool) -> None:
        """Begin to listen."""
        self._ward, self._began_s, self._looked_s = ward, now_s, now_s
        self._knows_past = knows_past

    def take(self, partition: str, status: Status, now_s: float) -> None:
        """Take a partition's heartbeat in."""
        if not partition.isdecimal() or int(partition) >= self._ward.partitions:
            return
        self._newest[int(partition)] = status, now_s
        if not self._knows_past:
            self._had.setdefault(status.journal, status.newest_seq)

    def take_alert(self, message: Alert | Technical) -> None:
        """Take note of an alert that was handed out."""
        self._had[message.journal] = message.seq

    @property
    def had(self) -> int:
        """How many alerts were handed out or passed over."""
        return sum(self._had.values())

    def look(self, now_s: float, *, hears: bool) -> list[str]:
        """Return what has changed about who serves which partition."""
        passed_s, self._looked_s = now_s - self._looked_s, now_s
        if not hears or passed_s > 3 * STATUS_S:  # nothing could be heard
            self._began_s = now_s
            self._newest = {one: (status, now_s) for one, (status, _) in self._newest.items()}
        if now_s - self._began_s < FIRST_S:
            return []
        nobodys = {
            one
            for one in range(self._ward.partitions)
            if one not in self._newest or now_s - self._newest[one][1] > NOBODYS_S
        }
        new, over = nobodys - self._nobodys, self._nobodys - nobodys
        self._nobodys = nobodys
        texts = []
        if new:
            n = sum(_count(self._newest[one][0].ward) for one in new if one in self._newest)
            texts.append(
                f"nobody serves partitions {_listed(new)} ({n} patients): they are not monitored "
                "until a worker takes them over"
            )
        if over:
            texts.append(f"partitions {_listed(over)} are served again")
        return texts

    def some_patients(self, topics: Sequence[str]) -> list[str]:
        """Return whom `wave.` alone stands for: the first patients."""
        if not topics:
            return []
        return [one.patient for status, _ in self._newest.values() for one in status.patients][:16]

    def status(self) -> Status:
        """Return one heartbeat of all."""
        all_ = [self._newest[one][0] for one in sorted(self._newest)]
        served = [one for at, (one, _) in sorted(self._newest.items()) if at not in self._nobodys]
        return Status(
            schema=1,
            newest_seq=sum(one.newest_seq for one in all_),
            journal=self._ward.identity,
            origin=self._ward.identity,
            wall_time=max(one.wall_time for one in all_),
            speed=max((one.speed or 0.0 for one in served), default=None),
            patients=[patient for one in served for patient in one.patients],
            ward=_summed([one.ward for one in all_]),
            stages=_stages(served),
            model=all_[0].model,
        )


def _listed(partitions: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(partitions)))


def _count(ward: WardCounts) -> int:
    return ward.monitoring + ward.learning


def _summed(counts: Sequence[WardCounts]) -> WardCounts:
    names = ("learning", "monitoring", "ended", "technical", "latched", "shed", "beats")
    sums = {name: sum(getattr(one, name) for one in counts) for name in names}
    return WardCounts(**sums, lag_s=max((one.lag_s for one in counts), default=0.0))


def _stages(statuses: Sequence[Status]) -> list[StageHealth]:
    """Return the counters of all workers together."""
    of: dict[StageName, list[StageHealth]] = {}
    for status in statuses:
        for one in status.stages:
            of.setdefault(one.stage, []).append(one)
    names = ("messages_in", "messages_out", "malformed", "gaps", "dropped", "refused_patients")
    return [
        StageHealth(
            stage=stage,
            restarts=0,
            age_s=max(one.age_s for one in each),
            **{name: sum(getattr(one, name) for one in each) for name in names},
        )
        for stage, each in of.items()
    ]
