"""Alerts on an MQTT broker: QoS 1, MQTT 5, over TLS with `mqtts:`. Extra `[mqtt]`.

    mqtt://HOST[:PORT]/TOPIC[?retain=1][&client=NAME]

An alert of patient 119 goes to `TOPIC/alert/119`, a technical one to `TOPIC/technical/119`, as JSON
of docs/schema. With `retain=1` `TOPIC/status` tells all who come whether this subscriber is there:
`{"state": "online"}`, and `offline` by the broker itself when it is not.

MQTT 5 and no older one: a broker of MQTT 3.1.1 acknowledges what it does not let this client
publish, and throws it away (findings/mosquitto_denied_publish.sh).
"""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import threading
import urllib.parse
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from monitor.delivery.sinks.sink import (
    LIMIT_S,
    DeliveryFailed,
    Rejected,
    SinkOptions,
)
from monitor.errors import InvalidOption
from monitor.plain import json_line
from monitor.wire.messages import Alert, Technical

if TYPE_CHECKING:
    from paho.mqtt.client import Client

PORTS = {"mqtt": 1883, "mqtts": 8883}
KEEPALIVE_S = 15  # the broker says that we are gone after one and a half of it
SESSION_S = 86_400  # for how long the broker remembers a durable subscriber
MAX_TOPIC_BYTES = 1000
RETRY_S = (1, 60)  # of a connection that is lost while no alert comes
# Reasons of MQTT 5 that are about this message, not about the connection or its rights.
MESSAGE_REFUSED = frozenset({0x90, 0x95, 0x99})  # topic name, packet too large, payload format
_QUERY = ("client", "retain")
_Found = TypeVar("_Found")


class BrokerTopic(NamedTuple):
    """Where to publish."""

    host: str
    port: int
    is_tls: bool
    topic: str
    client: str
    retain: bool


def parse_topic(url: str) -> BrokerTopic:
    """Read what --mqtt was given.

    Raises
    ------
    InvalidOption
        If it is no such address.

    Examples
    --------
    >>> parse_topic("mqtts://broker.example/ecg/ward-7?retain=1")[:4]
    ('broker.example', 8883, True, 'ecg/ward-7')
    """
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
        query = urllib.parse.parse_qs(
            parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)
        )
    except ValueError as error:
        raise _no_topic(url, str(error)) from error
    if parts.scheme not in PORTS or not parts.hostname or not url.isprintable():
        raise _no_topic(url, "it is no mqtt or mqtts address")
    if parts.username is not None:
        raise _no_topic(
            url.rpartition("@")[2],
            "user and password would be seen by all who see the command line; put them into a "
            f'file, ["{parts.hostname}"] user = …, password = …, for --secrets',
        )
    topic = urllib.parse.unquote(parts.path.strip("/"))
    if not topic or "#" in url or set(topic) & set("+#") or topic.startswith("$"):
        raise _no_topic(url, "a topic to publish to has no + and no #, and begins with no $")
    if len(topic.encode()) > MAX_TOPIC_BYTES or not topic.isprintable():
        raise _no_topic(url, f"the topic is longer than {MAX_TOPIC_BYTES} bytes, or no text")
    unknown = [name for name in query if name not in _QUERY]
    if unknown or any(len(given) > 1 for given in query.values()):
        raise _no_topic(url, f"behind ? stand {' and '.join(_QUERY)}, each once")
    retain = query.get("retain", ["0"])[0]
    if retain not in ("0", "1"):
        raise _no_topic(url, "retain is 0 or 1")
    client = query.get("client", [""])[0]
    is_tls = parts.scheme == "mqtts"
    return BrokerTopic(
        parts.hostname, port or PORTS[parts.scheme], is_tls, topic, client, retain == "1"
    )


def _no_topic(url: str, why: str) -> InvalidOption:
    return InvalidOption(f"--mqtt {url[:100]}: {why}; write mqtt://HOST/TOPIC")


class Mqtt:
    """A topic of a broker.

    Parameters
    ----------
    url : str
    options : SinkOptions
    limit_s : float
        For a connection, and for an acknowledgement.

    Raises
    ------
    InvalidOption
        If the address cannot be used, or the extra is missing.
    """

    def __init__(
        self, url: str, options: SinkOptions | None = None, limit_s: float = LIMIT_S
    ) -> None:
        options = options or SinkOptions()
        try:
            import paho.mqtt.client  # noqa: F401
        except ImportError as error:
            raise InvalidOption(
                "--mqtt needs paho-mqtt; install it: pip install 'ecg-monitor[mqtt]'"
            ) from error
        self._at = parse_topic(url)
        self._credentials = options.credentials(self._at.host)
        self._tls: ssl.SSLContext | None = self._credentials.tls() if self._at.is_tls else None
        self._limit_s = limit_s
        self._is_kept = bool(options.session or self._at.client)
        self._client_name = self._at.client or _client_name(self._at, options.session)
        self._client: Client | None = None
        self._changed = threading.Condition()
        self._refused = ""  # why the broker does not let us in
        self._acknowledged: dict[int, Any] = {}  # reasons, by packets' numbers
        self._is_closed = False

    def __str__(self) -> str:
        return f"{self._at.host}/{self._at.topic}"

    def send(self, message: Alert | Technical) -> None:
        """Publish, and wait until the broker has it."""
        kind = "alert" if isinstance(message, Alert) else "technical"
        topic = f"{self._at.topic}/{kind}/{level(message.patient)}"
        try:
            self._publish(self._connected(), topic, json_line(message))
        except Rejected:
            raise
        except DeliveryFailed:
            self._drop()  # what it holds would come twice: the next try begins anew
            raise

    def stand_by(self) -> None:
        """Be connected, where that is told to others."""
        if self._at.retain:
            try:
                self._connected()
            except DeliveryFailed:
                self._drop()
                raise

    def close(self) -> None:
        """Say that this subscriber leaves, and end the connection."""
        self._is_closed = True
        with self._changed:
            self._changed.notify_all()
        client = self._client
        if client is not None and self._at.retain and client.is_connected():
            client.publish(self._status_topic, _status("offline"), qos=1, retain=True)
        self._drop()

    @property
    def _status_topic(self) -> str:
        return f"{self._at.topic}/status"

    def _publish(self, client: Client, topic: str, payload: str) -> None:
        sent = client.publish(topic, payload.encode(), qos=1)
        if sent.rc:
            raise DeliveryFailed("the connection to the broker was lost")
        reason = self._waited_for(lambda: self._acknowledged.pop(sent.mid, None))
        if reason is None:
            lost = "" if client.is_connected() else ", and the connection is lost"
            raise DeliveryFailed(f"no acknowledgement in {self._limit_s:g} s{lost}")
        if reason.is_failure:
            kind = Rejected if reason.value in MESSAGE_REFUSED else DeliveryFailed
            raise kind(f"the broker does not take it: {reason}")

    def _connected(self) -> Client:
        if self._client is not None and self._client.is_connected():
            return self._client
        self._drop()
        client = self._client = self._new_client()
        self._refused = ""
        try:
            client.connect(
                self._at.host,
                self._at.port,
                keepalive=KEEPALIVE_S,
                clean_start=not self._is_kept,
                properties=_session(SESSION_S if self._is_kept else 0),
            )
        except TimeoutError as error:
            raise DeliveryFailed(f"no connection in {self._limit_s:g} s") from error
        except ssl.SSLError as error:
            raise DeliveryFailed(f"no TLS: {error.reason or error}") from error
        except (OSError, ValueError) as error:
            text = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise DeliveryFailed(text) from error
        client.loop_start()
        if not self._waited_for(lambda: self._refused or client.is_connected()):
            raise DeliveryFailed(f"the broker does not answer in {self._limit_s:g} s")
        if self._refused:
            raise DeliveryFailed(self._refused)
        return client

    def _new_client(self) -> Client:
        from paho.mqtt.client import Client, MQTTv5
        from paho.mqtt.enums import CallbackAPIVersion

        client = Client(CallbackAPIVersion.VERSION2, self._client_name, protocol=MQTTv5)
        client.connect_timeout = self._limit_s
        client.reconnect_delay_set(*RETRY_S)
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        if self._credentials.user:
            client.username_pw_set(self._credentials.user, self._credentials.password or None)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        if self._at.retain:
            client.will_set(self._status_topic, _status("offline"), qos=1, retain=True)
        return client

    def _on_connect(self, client: Client, _: Any, flags: Any, reason: Any, properties: Any) -> None:  # noqa: ANN401
        if reason.is_failure:
            with self._changed:
                self._refused = f"the broker refuses this client: {reason}"
                self._changed.notify_all()
            return
        if self._at.retain:
            client.publish(self._status_topic, _status("online"), qos=1, retain=True)
        with self._changed:
            self._changed.notify_all()

    def _on_publish(
        self,
        client: Client,
        _: Any,  # noqa: ANN401  as paho gives them
        number: int,
        reason: Any,  # noqa: ANN401
        properties: Any,  # noqa: ANN401
    ) -> None:
        with self._changed:
            self._acknowledged = {number: reason, **self._acknowledged}
            while len(self._acknowledged) > 8:  # those of the status are not waited for
                self._acknowledged.popitem()
            self._changed.notify_all()

    def _waited_for(self, found: Callable[[], _Found]) -> _Found | None:
        """Return what `found` returns once that is true; None when time is over."""
        value: list[_Found] = []

        def look() -> bool:
            if not self._is_closed and (now := found()):
                value.append(now)
            return self._is_closed or bool(value)

        with self._changed:
            self._changed.wait_for(look, self._limit_s)
        return value[0] if value else None

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()


def level(name: str) -> str:
    """Return a patient's name as one level of a topic: what MQTT reads otherwise as %XX.

    Examples
    --------
    >>> level("119"), level("ward/7 #2")
    ('119', 'ward%2F7 %232')
    """
    return "".join(f"%{ord(one):02X}" if one in "%/+#" else one for one in name)


def _client_name(at: BrokerTopic, session: str) -> str:
    if not session:
        return f"ecg-monitor-{uuid.uuid4().hex[:12]}"
    same = "\0".join((socket.gethostname(), at.topic, session))
    return f"ecg-monitor-{hashlib.sha256(same.encode()).hexdigest()[:12]}"


def _status(state: str) -> str:
    return json.dumps({"state": state})


def _session(seconds: int) -> Any:  # noqa: ANN401
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call, unused-ignore]
    properties.SessionExpiryInterval = seconds
    return properties
