"""One POST within a time limit, and what its answer means for the alert."""

from __future__ import annotations

import email.utils
import http.client
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping

from monitor.delivery.sinks.sink import LIMIT_S, DeliveryFailed, Rejected, SinkOptions
from monitor.errors import InvalidOption

MAX_LEFT_BEHIND = 4  # tries that a server still trickles answers to
MAX_DETAIL_BYTES = 500  # looked at, of what a server answered to what it refused
MAX_AFTER_S = 300.0  # what a server may ask for with Retry-After
# Of the content, not of the address, the credentials or the server's state: RFC 9110 and 4918.
CONTENT_REFUSED = frozenset({400, 406, 409, 411, 412, 413, 414, 415, 422, 431})


class HttpPost:
    """An http or https address that takes bodies; redirects are failures.

    Raises
    ------
    InvalidOption
        If it is no such address; `option` is what it was given by.
    """

    def __init__(
        self, url: str, option: str, options: SinkOptions, limit_s: float = LIMIT_S
    ) -> None:
        self.url = url
        self.host = checked_host(url, option)
        credentials = options.credentials(self.host)
        self._headers = credentials.http_headers()
        handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
        if url.startswith("https:"):
            handlers.append(urllib.request.HTTPSHandler(context=credentials.tls()))
        self._opener = urllib.request.build_opener(*handlers)
        self._limit_s = limit_s
        self._silent = f"no answer in {limit_s:g} s"
        self._left_behind: list[threading.Thread] = []

    def post(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Post once; a server that trickles its answer is given up after the limit, too.

        Raises
        ------
        DeliveryFailed
            If the answer is not one of success, or none comes.
        """
        self._left_behind = [one for one in self._left_behind if one.is_alive()]
        if len(self._left_behind) >= MAX_LEFT_BEHIND:
            raise DeliveryFailed(f"{MAX_LEFT_BEHIND} earlier tries still wait for an answer")
        outcome: list[DeliveryFailed | None] = []
        # A socket's time limit is for each of its reads: the thread is left behind instead.
        given = (body, {**headers, **self._headers}, outcome)
        thread = threading.Thread(target=self._post, args=given, daemon=True)
        thread.start()
        thread.join(self._limit_s)
        if not outcome:
            self._left_behind.append(thread)
            raise DeliveryFailed(self._silent)
        if outcome[0] is not None:
            raise outcome[0]

    def _post(
        self, body: bytes, headers: dict[str, str], outcome: list[DeliveryFailed | None]
    ) -> None:
        request = urllib.request.Request(self.url, body, headers, method="POST")  # noqa: S310  http or https only, see above
        try:
            with self._opener.open(request, timeout=self._limit_s):
                outcome.append(None)  # what it answers with is not read
        except urllib.error.HTTPError as error:
            with error:
                outcome.append(_refusal(error))
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            is_silent = isinstance(reason, TimeoutError)
            text = getattr(reason, "strerror", None) or str(reason) or type(error).__name__
            outcome.append(DeliveryFailed(self._silent if is_silent else text))
        except http.client.HTTPException as error:
            outcome.append(DeliveryFailed(f"no proper answer ({type(error).__name__})"))


def checked_host(url: str, option: str) -> str:
    """Return the host of an http or https address; InvalidOption where it is none."""
    shown = url[:100]
    try:
        parts = urllib.parse.urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise InvalidOption(
            f"{option} {shown!r} is not an address: {error}; write https://host/path"
        ) from error
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable():
        raise InvalidOption(
            f"{option} {shown!r} is not an http or https address; write https://host/path"
        )
    if parts.username is not None:
        raise InvalidOption(
            f"{option}: user and password would be seen by all who see the command line; put them "
            f'into a file, ["{parts.hostname}"] user = …, password = …, for --secrets'
        )
    return parts.hostname


def _refusal(error: urllib.error.HTTPError) -> DeliveryFailed:
    """Return what an answer that is no success means."""
    reason = f"{error.code} {error.reason}".strip()
    if error.code not in CONTENT_REFUSED:
        return DeliveryFailed(reason, _beginning(error), _after_s(error.headers.get("Retry-After")))
    return Rejected(reason, _beginning(error))


def _beginning(error: urllib.error.HTTPError) -> str:
    """Return the first words of an answer, however long it is."""
    try:
        content = error.read(MAX_DETAIL_BYTES)
    except (OSError, http.client.HTTPException):
        return ""
    return " ".join(content.decode(errors="replace").split())


def _after_s(text: str | None) -> float:
    """Return how long a server wants to be left alone, of a Retry-After header."""
    if text is None:
        return 0.0
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_AFTER_S)
    try:
        until_s = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(0.0, until_s - time.time()), MAX_AFTER_S)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *given: object) -> None:
        return None
