"""The running system: sources, stages, alerts, views. The only package that knows sockets.

What a program that listens to a monitor needs can be imported from here:

    from monitor import Alert, AlertSubscriber

A name loads its module when it is first used: `import monitor` itself loads nothing.

Who takes the two ZeroMQ frames without AlertSubscriber, or reads the lines of `subscribe --json`,
has `text`, a JSON object of one of these types:

    >>> import msgspec
    >>> from monitor import Alert
    >>> alert = msgspec.json.decode(text, type=Alert)
    >>> alert.patient, alert.state, alert.loss, alert.threshold, len(alert.beat)
    ('119', 'onset', 52.0, 26.0, 140)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from monitor.delivery.inbox import Inbox
    from monitor.delivery.subscriber import AlertSubscriber
    from monitor.errors import (
        InboxFailed,
        InvalidEndpoint,
        InvalidKeys,
        InvalidMessage,
        MonitorError,
        PushRefused,
    )
    from monitor.sources.sample_pusher import SamplePusher
    from monitor.wire.curve_keys import Keys, load_keys
    from monitor.wire.messages import Alert, BeatScored, Message, Status, Technical

__all__ = [
    "Alert",
    "AlertSubscriber",
    "BeatScored",
    "Inbox",
    "InboxFailed",
    "InvalidEndpoint",
    "InvalidKeys",
    "InvalidMessage",
    "Keys",
    "Message",
    "MonitorError",
    "PushRefused",
    "SamplePusher",
    "Status",
    "Technical",
    "load_keys",
]

_HOMES = {
    "Alert": "monitor.wire.messages",
    "AlertSubscriber": "monitor.delivery.subscriber",
    "BeatScored": "monitor.wire.messages",
    "Inbox": "monitor.delivery.inbox",
    "InboxFailed": "monitor.errors",
    "InvalidEndpoint": "monitor.errors",
    "InvalidKeys": "monitor.errors",
    "InvalidMessage": "monitor.errors",
    "Keys": "monitor.wire.curve_keys",
    "Message": "monitor.wire.messages",
    "MonitorError": "monitor.errors",
    "PushRefused": "monitor.errors",
    "SamplePusher": "monitor.sources.sample_pusher",
    "Status": "monitor.wire.messages",
    "Technical": "monitor.wire.messages",
    "load_keys": "monitor.wire.curve_keys",
}

if not TYPE_CHECKING:  # a type checker would take every name for one that is there

    def __getattr__(name: str) -> object:
        """Import a public name from its home when it is first asked for."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
