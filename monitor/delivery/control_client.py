"""One request to a monitor that runs elsewhere, and its answer."""

from __future__ import annotations

import time

from monitor.errors import InvalidMessage, InvalidOption, MonitorSilent
from monitor.wire.codec import decode_reply, encode_json
from monitor.wire.curve_keys import Keys
from monitor.wire.messages import ControlRequest, Done, Refused
from monitor.wire.sockets import Sockets, parse_endpoint, requests_endpoint

ANSWER_WITHIN_S = 5.0
LOOK_MS = 50  # between two looks whether the key was refused


def or_keys(endpoint: str, keys: Keys | None) -> str:
    """Return what else may be the reason that nothing was ever heard of a monitor."""
    if parse_endpoint(endpoint).path:  # the file system says who may use it
        return ""
    if keys is None:
        return ", or it needs --keys"
    return ", or server.public of --keys is not that monitor's"


def carry_out(
    endpoint: str,
    request: ControlRequest,
    keys: Keys | None = None,
    within_s: float = ANSWER_WITHIN_S,
) -> str:
    """Have a monitor do something and return its answer: what was done.

    Raises
    ------
    InvalidOption
        If it refuses; the words are its own.
    MonitorSilent
        If it does not answer in time, or in another language, or refuses this client's key.
    """
    deadline_s = time.monotonic() + within_s
    with Sockets(keys) as sockets:
        asking = sockets.ask(requests_endpoint(endpoint))
        sockets.close_ms = 0  # no monitor may be there
        asking.send(encode_json(request))
        while not asking.poll(LOOK_MS):
            sockets.look_after()
            if sockets.refusal:
                raise MonitorSilent(sockets.refusal)
            if time.monotonic() >= deadline_s:
                raise MonitorSilent(_silence(endpoint, within_s, keys))
        try:
            reply = decode_reply(asking.recv_multipart()[-1])
        except InvalidMessage as error:
            raise MonitorSilent(
                f"{endpoint}: the answer is not a monitor's; check --alerts"
            ) from error
    match reply:
        case Done(text=text):
            return text
        case Refused(text=text):
            raise InvalidOption(text)
        case _:
            raise MonitorSilent(f"{endpoint}: the answer is to another request; try again")


def _silence(endpoint: str, within_s: float, keys: Keys | None) -> str:
    return (
        f"{endpoint}: no answer in {within_s:g} s; check that a monitor runs there"
        f"{or_keys(endpoint, keys)}"
    )
