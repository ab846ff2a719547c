"""The alert socket's serving side: publishes, answers what was missed, passes commands on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import zmq

from monitor.delivery.audience import Audience
from monitor.delivery.rate_limit import Budget, RateLimit
from monitor.delivery.reply_memory import ReplyMemory
from monitor.errors import InvalidMessage, JournalFailed
from monitor.journal.writer import Journal
from monitor.wire.codec import Encoded, decode_request, encode_json
from monitor.wire.messages import (
    ALL_BEATS,
    MAX_REQUEST_BYTES,
    AckRequest,
    Alert,
    ControlRequest,
    Done,
    Found,
    MarkRequest,
    Message,
    Page,
    Refused,
    RelearnRequest,
    ReplayRequest,
    Reply,
    Request,
    SeekRequest,
    Technical,
    ThresholdRequest,
)
from monitor.wire.sockets import Sockets, receive_requests, receive_waiting, requests_endpoint

# In messages of a page, each about 50 us of one core: a page has at most 500 of them.
REQUEST_COST = 2.0  # of any request, beside what its page holds
COMMAND_COST = 600.0  # of a command: it is committed before it is answered, and a disk syncs
CLIENT_BUDGET = Budget(per_s=5_000, burst=5_000)
TOTAL_BUDGET = Budget(per_s=10_000, burst=10_000)  # half a core; a flood delays beats by 0.5 s


class Publisher:
    """XPUB for what happens, ROUTER for requests.

    Parameters
    ----------
    sockets : Sockets
        Owner of the sockets made here.
    endpoint : str
        Where alerts are published; requests are answered at `requests_endpoint(endpoint)`.
    journal : Journal
        Where missed alerts are read from.
    carry_out : callable
        Carries out a request and returns what it did; LookupError if it cannot.
    commanders : frozenset of str or None
        Public keys of clients whose requests are carried out; None is everybody who can connect.
    clock : callable
        Returns monotonic seconds, for the limit on what clients may ask for.
    memory : ReplyMemory, optional
        Bounds the replies that wait for clients to read them.
    audience : Audience, optional
        Is told whose beats subscribers ask for.
    """

    def __init__(
        self,
        sockets: Sockets,
        endpoint: str,
        journal: Journal,
        carry_out: Callable[[ControlRequest], str],
        commanders: frozenset[str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        memory: ReplyMemory | None = None,
        audience: Audience | None = None,
    ) -> None:
        self._clock = clock
        self._limit: RateLimit[str | bytes] = RateLimit(CLIENT_BUDGET, TOTAL_BUDGET)
        self._commanders = commanders
        self._journal = journal
        self._carry_out = carry_out
        self._publications = sockets.publish(endpoint)
        self._audience = audience or Audience(ALL_BEATS)
        self.requests: zmq.Socket[bytes] = sockets.serve_strangers(
            requests_endpoint(endpoint), MAX_REQUEST_BYTES
        )
        self._memory = memory or ReplyMemory()
        self._published_seq = 0  # the newest number published since this process began
        self.malformed = 0
        self.limited = 0  # requests that were refused as too many
        self.dropped = 0  # replies for which there was no room, since clients do not read

    def publish(self, messages: Iterable[Encoded[Message]]) -> None:
        """Send to whoever listens; never blocks."""
        for message in messages:
            if isinstance(message.message, Alert | Technical):
                self._published_seq = max(self._published_seq, message.message.seq)
            self._publications.send_multipart(message.frames, zmq.DONTWAIT)

    def listen(self) -> None:
        """Take note of subscriptions that began or ended."""
        for frames in receive_waiting(self._publications):
            self._audience.take(frames[0])

    def answer_waiting(self) -> None:
        """Answer the requests that wait; anything else is counted and refused."""
        for frames, sender in receive_requests(self.requests):
            *envelope, body = frames
            if len(envelope) == 1 or (len(envelope) == 2 and not envelope[1]):  # DEALER or REQ
                self._reply(envelope, self._answer_in_bounds(body, sender, envelope[0]))
            else:
                self.malformed += 1

    def _answer_in_bounds(self, body: bytes, sender: str | None, connection: bytes) -> Reply:
        """Answer clients within their limit; a client is its key, or else its connection."""
        client, now_s = sender or connection, self._clock()
        if not self._limit.admits(client, now_s):
            self.limited += 1
            return Refused("too many requests; ask again in a second")
        reply = self._answer(body, sender)
        cost = REQUEST_COST
        match reply:
            case Page(messages=messages):
                cost += len(messages)
            case Done():
                cost += COMMAND_COST
        self._limit.charge(client, cost, now_s)
        return reply

    def _answer(self, body: bytes, sender: str | None) -> Reply:
        try:
            return self._carried_out(decode_request(body), sender)
        except InvalidMessage as error:
            self.malformed += 1
            return Refused(f"not a request of this protocol: {error}")
        except JournalFailed as error:  # judging continues though the disk cannot be read
            return Refused(str(error))

    def _carried_out(self, request: Request, sender: str | None) -> Reply:
        match request:
            case ReplayRequest():
                return self._page(request)
            case SeekRequest(since=since):
                return Found(self._journal.identity, self._journal.seq_before(since))
            case ThresholdRequest() | RelearnRequest() | AckRequest() | MarkRequest():
                if self._commanders is not None and sender not in self._commanders:
                    self.malformed += 1
                    return Refused("this client may listen, not command; see control/ of --keys")
                try:
                    return Done(self._carry_out(request))
                except LookupError as error:
                    return Refused(str(error.args[0]))

    def _page(self, asked: ReplayRequest) -> Page:
        """Return a page; the journal gets another identity if a client had more of it than it has.

        The client's word is taken for it, once: numbers go on, and those who know the identity of
        before are told that it is the same journal.
        """
        journal = self._journal
        continues = self._continues(asked)
        if not continues and asked.journal == journal.identity:
            journal.renew(f"the journal went back: a client had alert {asked.after} of it")
        missed = journal.alerts_after(asked.after, asked.limit) if continues else []
        return Page(
            journal.identity,
            journal.oldest_seq,
            journal.newest_seq,
            missed,
            journal.origin,
            continues,
        )

    def _continues(self, asked: ReplayRequest) -> bool:
        """Whether the journal holds what a client had last, as far as can be known."""
        newest = self._journal.newest_seq
        if asked.after > newest:  # unless it was published and waits for the journal
            return asked.after <= self._published_seq
        if not asked.id or asked.after < self._journal.oldest_seq:
            return True
        return self._journal.id_of(asked.after) == asked.id

    def _reply(self, envelope: list[bytes], reply: Reply) -> None:
        """Send a reply, unless too many bytes wait already for clients that do not read."""
        body = encode_json(reply)
        if not self._memory.has_room(len(body)):
            self.dropped += 1
            body = encode_json(Refused("too many answers wait to be read; ask again in a second"))
        try:
            sent = self.requests.send_multipart(
                [*envelope, body], zmq.DONTWAIT, copy=False, track=True
            )
            if sent is not None:
                self._memory.add(sent, len(body))
        except zmq.Again:  # a client that asks and does not read; it may ask again
            self.dropped += 1
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:  # it has gone
                raise
