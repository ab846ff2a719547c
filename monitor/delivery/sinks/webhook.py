"""A web address that is posted each alert: as it is, or as a template says."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable

from monitor.delivery.sinks.http_post import HttpPost, checked_host
from monitor.delivery.sinks.sink import LIMIT_S, SinkOptions
from monitor.delivery.sinks.templates import SHIPPED, Template, load_template
from monitor.errors import InvalidOption
from monitor.plain import json_line
from monitor.wire.messages import Alert, Technical

HEADERS = {"Content-Type": "application/json"}
_TEMPLATE = re.compile(r"(.+?):(https?://.*)", re.DOTALL | re.IGNORECASE)


class Webhook:
    """`[TEMPLATE:]URL`; the template is one that ships, or a file.

    Raises
    ------
    InvalidOption
        If the address or the template cannot be used.
    """

    def __init__(
        self, text: str, options: SinkOptions | None = None, limit_s: float = LIMIT_S
    ) -> None:
        match = _TEMPLATE.fullmatch(text)
        name, url = match.groups() if match else ("", text)
        self._body: Callable[[Alert | Technical], bytes] = _as_it_is
        if name:
            self._body = load_template(name).body
        if name == "ntfy":
            url, template = _of_topic(url)
            self._body = template.body
        self._post = HttpPost(url, "--webhook", options or SinkOptions(), limit_s)

    def __str__(self) -> str:
        return self._post.host  # a token may be in the path

    def close(self) -> None:
        """Do nothing: a try that waits for its answer ends with the process."""

    def send(self, message: Alert | Technical) -> None:
        """Post once."""
        self._post.post(self._body(message), HEADERS)


def _as_it_is(message: Alert | Technical) -> bytes:
    return json_line(message).encode()


def _of_topic(url: str) -> tuple[str, Template]:
    """Return where ntfy takes JSON, its root, and the template with the topic in it."""
    checked_host(url, "--webhook")
    parts = urllib.parse.urlsplit(url)
    topic = urllib.parse.unquote(parts.path.strip("/"))
    if not re.fullmatch(r"[-_A-Za-z0-9]{1,64}", topic):
        raise InvalidOption(
            f"--webhook ntfy: {topic[:80]!r} is no topic; write ntfy:https://ntfy.sh/TOPIC, with "
            "letters, digits, _ and -"
        )
    root = urllib.parse.urlunsplit((parts.scheme, parts.netloc, "/", "", ""))
    return root, SHIPPED["ntfy"].with_values(topic=topic)
