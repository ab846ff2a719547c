"""The alert socket's serving side: publishes, answers what was missed, passes commands on."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import zmq

from monitor.codec import decode_request, encode_json, encode_message
from monitor.errors import InvalidMessage
from monitor.journal import Journal
from monitor.sockets import Sockets, receive_waiting, requests_endpoint
from monitor.wire import (
    ControlRequest,
    Done,
    Message,
    Page,
    Refused,
    RelearnRequest,
    ReplayRequest,
    Reply,
    Request,
    ThresholdRequest,
)


class Publisher:
    """PUB for what happens, ROUTER for what is asked.

    Parameters
    ----------
    sockets : Sockets
        Owner of the sockets made here.
    endpoint : str
        Where alerts are published; requests are answered at `requests_endpoint(endpoint)`.
    journal : Journal
        Where missed alerts are read from.
    carry_out : callable
        Carries out a request and says what it did; LookupError if it cannot.
    """

    def __init__(
        self,
        sockets: Sockets,
        endpoint: str,
        journal: Journal,
        carry_out: Callable[[ControlRequest], str],
    ) -> None:
        self._journal = journal
        self._carry_out = carry_out
        self._publications = sockets.publish(endpoint)
        self.requests: zmq.Socket[bytes] = sockets.serve(requests_endpoint(endpoint))
        self.malformed = 0

    def publish(self, messages: Iterable[Message]) -> None:
        """Send to whoever listens; never blocks."""
        for message in messages:
            self._publications.send_multipart(encode_message(message), zmq.DONTWAIT)

    def answer_waiting(self) -> None:
        """Answer the requests that wait; what is no request is counted and refused."""
        for frames in receive_waiting(self.requests):
            *envelope, body = frames
            if len(envelope) == 1 or (len(envelope) == 2 and not envelope[1]):  # DEALER or REQ
                self._reply(envelope, self._answer(body))
            else:
                self.malformed += 1

    def _answer(self, body: bytes) -> Reply:
        try:
            request: Request = decode_request(body)
        except InvalidMessage as error:
            self.malformed += 1
            return Refused(f"not a request of this protocol: {error}")
        match request:
            case ReplayRequest(after=after, limit=limit):
                missed = self._journal.alerts_after(after, limit)
                return Page(self._journal.identity, self._journal.newest_seq, missed)
            case ThresholdRequest() | RelearnRequest():
                try:
                    return Done(self._carry_out(request))
                except LookupError as error:
                    return Refused(str(error.args[0]))

    def _reply(self, envelope: list[bytes], reply: Reply) -> None:
        frames = [*envelope, encode_json(reply)]
        try:
            self.requests.send_multipart(frames, zmq.DONTWAIT)
        except zmq.Again:  # a client that asks and does not read; it may ask again
            return
