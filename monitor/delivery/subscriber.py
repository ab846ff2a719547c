"""The client of the alert socket: `AlertSubscriber` is what a user's program imports.

    from monitor import AlertSubscriber, Inbox

    with AlertSubscriber() as alerts:
        for alert in alerts:
            print(alert.patient, alert.time_s, alert.state)

    with Inbox(Path("mine.sqlite")) as inbox, AlertSubscriber(inbox=inbox) as alerts:
        ...  # continues where it stopped, however that was

PUB drops what a slow or late subscriber misses. Every alert carries a sequence number without
holes, and the heartbeat carries the newest: so the subscriber sees what it missed, asks for it, and
hands out each alert once and in order.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Self

import zmq

from monitor.delivery.inbox import Inbox
from monitor.delivery.position import Answered, JournalPosition, NoPast
from monitor.errors import InvalidMessage
from monitor.settings import DEFAULT_ALERTS
from monitor.wire.codec import decode_message, decode_reply, encode_json, topic_of
from monitor.wire.curve_keys import Keys
from monitor.wire.messages import (
    Alert,
    Found,
    Message,
    Page,
    Refused,
    Reply,
    Request,
    SeekRequest,
    Status,
    Technical,
)
from monitor.wire.sockets import Sockets, change_topics, requests_endpoint

NUMBERED = ("alert.", "technical.")  # topics that share the sequence
MAX_REFUSED = 8
REFUSED_LOOK_MS = 100  # while the key is refused: whether it is time to try again
TRUST_S = 5.0  # an open question that nobody answers does not hold up the alerts of our journal
ASK_AGAIN_S = 1.0  # a request without an answer is repeated after this long


@dataclass
class _Noted:
    """What the inbox is to note once all before it was handed out and kept."""

    note: Callable[[], None]
    again: list[Alert | Technical] = field(default_factory=list)  # that were had, and came again


class AlertSubscriber:
    """Alerts as an iterator, each once, in order, none missed since the journal's beginning.

    Parameters
    ----------
    endpoint : str
        The monitor's alert socket.
    topics : sequence of str
        Beginnings of the topics wanted: "alert", "technical", "alert.chf07", "beat", "status", …
    after : int or None
        Hand out alerts after this sequence number, those published before now too. None hands out
        only what happens from now on.
    since : str or None
        Hand out alerts since this wall time (UTC, as `wall_time` of messages) instead.
    inbox : Inbox or None
        Keeps each alert and the position. An alert counts as handled, and is kept, when the next
        one is asked for, or when the with-block ends well. Where the inbox has had alerts, it goes
        on behind them; `after` and `since` are for its first time.
    keys : Keys or None
        Where the monitor has keys: this client's, and the monitor's public one.

    Raises
    ------
    InvalidEndpoint
        If the endpoint is malformed.
    InboxFailed
        If another process writes the inbox.

    Examples
    --------
    `endpoint` is a monitor's alert socket, such as "tcp://127.0.0.1:5571".

    >>> from monitor import Alert, AlertSubscriber
    >>> with AlertSubscriber(endpoint, topics=["alert"]) as alerts:
    ...     for alert in alerts:
    ...         print(alert.patient, alert.time_s, alert.kind, alert.state)
    ...         break
    119 10.0 anomalous_beats onset
    """

    def __init__(
        self,
        endpoint: str = DEFAULT_ALERTS,
        topics: Sequence[str] = NUMBERED,
        after: int | None = 0,
        *,
        since: str | None = None,
        inbox: Inbox | None = None,
        keys: Keys | None = None,
    ) -> None:
        if inbox is not None:
            inbox.hold()
        self._topics = tuple(topics)
        self._sockets = Sockets(keys)
        self._seek = None if since is None else SeekRequest(since)
        self._inbox = inbox
        self._in_hand: Alert | Technical | None = None  # handed out, and not yet known as handled
        if inbox is not None and not inbox.is_new:
            self._seek = None
        self._position = JournalPosition(after, NoPast() if inbox is None else inbox)
        self._n_answered = 0  # connections that were made so far
        self._heard_s = time.monotonic()
        self.ever_heard = False  # whether a heartbeat has come
        self._asked_s = -ASK_AGAIN_S
        self._doubted_s = self._heard_s
        self._ready: deque[Message | _Noted] = deque()
        self.malformed = 0  # messages that are not of this protocol
        self.only = ""  # a journal: what others send on this endpoint is dropped; empty: nothing is
        self.foreign = 0  # messages that were dropped for it
        self._is_foreign = False  # what was heard last
        self.recovered = 0  # alerts that had to be requested
        # Why the monitor refused what `ask` requested: the newest reason; the caller takes it out.
        self.refused: deque[str] = deque(maxlen=MAX_REFUSED)
        # What happened to the journal that a person should know, for the caller to take out.
        self.notices: deque[str] = deque(maxlen=MAX_REFUSED)
        self.went_back = 0  # how often the journal lacked what was had: an older copy was restored
        self._truncated = 0
        self._closed = False
        try:
            requests = requests_endpoint(endpoint)
            self._messages = self._sockets.subscribe(endpoint, sorted(_heard(self._topics)))
            self._requests = self._sockets.ask(requests)
        except BaseException:
            self.close()
            raise
        self._poller = zmq.Poller()
        self._poller.register(self._messages, zmq.POLLIN)
        self._poller.register(self._requests, zmq.POLLIN)
        for made in (self._messages, self._requests):
            self._poller.register(self._sockets.events_of(made), zmq.POLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.handled()
        self.close()

    def close(self) -> None:
        """Close the sockets; the iterator then ends, and what it has not handed out is dropped."""
        self._closed = True
        self._sockets.__exit__(None, None, None)

    def __iter__(self) -> Iterator[Message]:
        while not self._closed:
            message = self.receive(timeout_s=1.0)
            if message is not None:
                yield message

    @property
    def sockets(self) -> tuple[zmq.Socket[bytes], zmq.Socket[bytes]]:
        """What to poll, for a program with a loop of its own: readable means `receive(0)`."""
        return self._messages, self._requests

    @property
    def waiting(self) -> bool:
        """Whether messages wait that `receive` has not yet handed out."""
        return any(not isinstance(one, _Noted) for one in self._ready)

    @property
    def last_seq(self) -> int:
        """The sequence number up to which everything has been handed out or is about to be."""
        return self._position.seq or 0

    @property
    def truncated(self) -> int:
        """How many alerts retention had removed before they could be requested."""
        return self._truncated

    @property
    def refusal(self) -> str:
        """Why the monitor does not let this client in, and what to do; empty if it does.

        The client tries again every few seconds, so it need not be made anew.
        """
        return self._sockets.refusal

    @property
    def silent_s(self) -> float:
        """How long no heartbeat has come; the monitor sends one a second."""
        return time.monotonic() - self._heard_s

    def receive(self, timeout_s: float) -> Message | None:
        """Return the next message that was asked for, or None if there is none in time.

        Raises
        ------
        InboxFailed
            If the alert before cannot be kept.
        """
        self.handled()
        deadline_s = time.monotonic() + timeout_s
        while (message := self._next_ready()) is None:
            remaining_ms = max(0, round(1000 * (deadline_s - time.monotonic())))
            most_ms = REFUSED_LOOK_MS if self.refusal else remaining_ms
            readable = dict(self._poller.poll(min(remaining_ms, most_ms)))
            self._look_after_sockets()
            if self._requests in readable:
                self._take_reply(self._requests.recv_multipart())
            if self._messages in readable:
                self._take(self._messages.recv_multipart())
            if not readable and remaining_ms == 0:
                return None
        if isinstance(message, Alert | Technical) and message.seq:
            self._in_hand = message
        return message

    def _next_ready(self) -> Message | None:
        """Return the next message; what is to be noted before it is noted."""
        while self._ready:
            message = self._ready.popleft()
            if not isinstance(message, _Noted):
                return message
            message.note()
        return None

    def _look_after_sockets(self) -> None:
        """Have the position confirmed by whoever was connected to: it may be another monitor."""
        self._sockets.look_after()
        if self._n_answered != self._sockets.n_answered:
            self._n_answered = self._sockets.n_answered
            self._doubt()

    def _doubt(self) -> None:
        self._position.doubt()
        if not self._position.settled:
            self._doubted_s = time.monotonic()
            self._asked_s = -ASK_AGAIN_S
            self._ask_for_missed()

    def handled(self) -> None:
        """Count what was handed out last as handled: the inbox keeps it now, not at `receive`.

        Raises
        ------
        InboxFailed
            If it cannot be kept.
        """
        if self._inbox is not None:
            if self._in_hand is not None:
                origin = self._position.origin_of(self._in_hand.journal)
                self._inbox.keep(self._in_hand, origin)
            self._inbox.look()
        self._in_hand = None

    def follow(self, topics: Sequence[str]) -> None:
        """Hand out other topics from now on; alerts stay without holes, whatever they are."""
        wanted = tuple(topics)
        if wanted != self._topics:
            change_topics(self._messages, _heard(self._topics), _heard(wanted))
            self._topics = wanted

    def take_notices(self) -> list[str]:
        """Take out what a person should know: why requests were refused, that a journal went back.

        Returns
        -------
        list of str
            In plain words, oldest first of each kind.
        """
        texts = [*self.refused, *self.notices]
        self.refused.clear()
        self.notices.clear()
        return texts

    def ask(self, request: Request) -> None:
        """Send a request; a Page's alerts come with `receive`, a refusal with `refused`.

        That the request cannot be sent is a refusal too.
        """
        if not self._sent(request):
            self.refused.append(self.refusal or "not asked: no monitor takes requests; try again")

    def _sent(self, request: Request) -> bool:
        with contextlib.suppress(zmq.Again):  # nobody is there to ask
            self._requests.send(encode_json(request), zmq.DONTWAIT)
            return True
        return False

    def _take(self, frames: list[bytes]) -> None:
        try:
            message = decode_message(frames)
        except InvalidMessage:
            self.malformed += 1
            return
        if self._sent_by_another(message):
            self.foreign += 1
            return
        match message:
            case Alert() | Technical():
                self._take_numbered(message)
            case Status():
                self._take_heartbeat(message)
            case _:
                self._hand_out(message)

    def _sent_by_another(self, message: Message | Page) -> bool:
        """Whether a monitor of another journal sends on this endpoint; beats name no journal."""
        if self.only and isinstance(message, Alert | Technical | Status | Page):
            self._is_foreign = message.journal != self.only
        return self._is_foreign

    def _take_numbered(self, message: Alert | Technical) -> None:
        if message.seq == 0:  # the journal cannot keep it: published, but without a number
            self._hand_out(message)
            return
        position = self._position
        position.hear(message.journal)
        unanswered_s = time.monotonic() - self._doubted_s
        if unanswered_s > TRUST_S and message.journal == position.journal:
            position.settled = True
        if self._seek is not None or not position.settled:
            self._ask_for_missed()
            return
        if position.seq is None:
            position.seq = message.seq - 1
        if message.seq == position.seq + 1:
            self._take_next(message)
        elif message.seq > position.seq:
            self._ask_for_missed()

    def _take_next(self, message: Alert | Technical) -> None:
        """Take the alert that comes next; what was had before the journal went back is passed."""
        if self._position.take(message):
            self._hand_out(message)
        elif self._inbox is not None:
            self._note_had_again(self._inbox, message)

    def _note_had_again(self, inbox: Inbox, message: Alert | Technical) -> None:
        """Have the inbox note it, with those of the same page in one transaction."""
        last = self._ready[-1] if self._ready else None
        if isinstance(last, _Noted) and last.again:
            last.again.append(message)
        else:
            again, origin = [message], self._position.origin_of(message.journal)
            self._ready.append(_Noted(partial(inbox.had_again, origin, again), again))

    def _take_heartbeat(self, status: Status) -> None:
        self._heard_s, self.ever_heard = time.monotonic(), True
        position = self._position
        position.hear(status.journal, status.origin)
        if position.settled and position.seq is None:
            position.seq = status.newest_seq
        if status.newest_seq < (position.seq or 0) and position.settled:
            self._doubt()
        if self._seek is not None or not position.settled or status.newest_seq > self.last_seq:
            self._ask_for_missed()
        self._hand_out(status)

    def _take_reply(self, frames: list[bytes]) -> None:
        try:
            reply: Reply = decode_reply(frames[-1])
        except InvalidMessage:
            self.malformed += 1
            return
        match reply:
            case Page() if self._sent_by_another(reply):
                self.foreign += 1
            case Page():
                self._take_page(reply)
            case Found() if self._seek is not None:
                self._seek = None
                self._position.begin(reply.journal, reply.after)
                self._asked_s = -ASK_AGAIN_S
                self._ask_for_missed()
            case Refused(text=text):
                self.refused.append(text)
            case _:
                pass

    def _take_page(self, page: Page) -> None:
        position, before = self._position, self._position.seq
        self._asked_s = -ASK_AGAIN_S
        if not position.settled or page.journal != position.journal:
            before = None
            self._settle(page)
        if position.settled and page.journal == position.journal:
            self._take_messages(page)
        if not position.settled or (position.seq != before and page.newest_seq > self.last_seq):
            self._ask_for_missed()

    def _take_messages(self, page: Page) -> None:
        if page.oldest_seq > self.last_seq + 1:
            self._truncated += page.oldest_seq - 1 - self.last_seq
            self._position.seq = page.oldest_seq - 1
        for message in page.messages:
            if message.seq == self.last_seq + 1:
                self._take_next(message)
                self.recovered += 1

    def _settle(self, page: Page) -> None:
        """Go on where the monitor's journal and what was had say, and note it in the inbox."""
        position, inbox = self._position, self._inbox
        before, had = position.journal, self.last_seq
        found = position.settle(page)
        if found is Answered.WENT_BACK:
            self.went_back += 1
            self.notices.append(
                f"the journal went back: alert {had} was had of it, and it lacks that one now; it "
                f"goes on behind alert {page.newest_seq} as {page.journal}, and nothing that was "
                "had comes again"
            )
        if inbox is None or found not in (Answered.WENT_BACK, Answered.RENAMED):
            return
        note = inbox.rename if found is Answered.RENAMED else inbox.set_aside
        self._ready.append(_Noted(partial(note, position.origin, before, position.place)))

    def _ask_for_missed(self) -> None:
        now_s = time.monotonic()
        if now_s - self._asked_s >= ASK_AGAIN_S:
            self._asked_s = now_s
            self._sent(self._seek or self._position.request())

    def _hand_out(self, message: Message) -> None:
        if _topic_wanted(message, self._topics):
            self._ready.append(message)


def _heard(topics: Sequence[str]) -> set[str]:
    """Return the topics asked for, and those by which missed alerts are noticed."""
    return {*NUMBERED, "status", *topics}


def _topic_wanted(message: Message, topics: tuple[str, ...]) -> bool:
    return topic_of(message).startswith(topics)
