"""The connection to NATS, opened with keys or on this machine alone; what JetStream is asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from monitor.errors import InvalidKeys, InvalidOption, WardUnreachable
from monitor.text import harmless

if TYPE_CHECKING:
    from nats.aio.client import Client

DEFAULT_WARD = "nats://127.0.0.1:4222"
CONNECT_S = 15.0
ASK_S = 2.0  # for an answer; a cluster that elects a leader gives none for some seconds
NATS_MISSING = "a ward needs the client of NATS; install it: pip install 'ecg-monitor[nats]'"
SEED = "SU[A-Z2-7]{56}"  # a user's, in base 32
CREDENTIALS = ("ward.creds", "ward.nk", "ward.user")
MOST_REFUSED = 8
_REFUSES = "authorization violation"  # NATS to a user whom it does not know
NOT_FOUND = frozenset({10059, 10037, 10014})  # stream, message, consumer


@dataclass(frozen=True)
class WardAccess:
    """Where a ward's NATS is, and with what it lets us in.

    Attributes
    ----------
    servers : str
        One address, or several with commas between them.
    keys : Path or None
        Folder of `ca.pem`, which encrypts and is needed beyond this machine, and of what says who
        we are: `client.pem` with `client-key.pem`, and at most one of `ward.creds` (JWT and seed),
        `ward.nk` (the seed of an NKey) and `ward.user` (USER:PASSWORD).
    """

    servers: str
    keys: Path | None = None


class JetStreamError(Exception):
    """JetStream refused; `code` is its error code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{text} ({code})")
        self.code = code


class Unanswered(Exception):
    """JetStream did not answer in time: what was asked may have been done, or not."""


class WardLink:
    """A connection that comes back by itself; who waited for an answer asks again."""

    def __init__(self, client: Client, address: str) -> None:
        self.client = client
        self.address = address
        self.times_connected = 1
        self.trouble = ""  # what was said last while there was no connection
        self.refused: list[str] = []  # what this user may not do, as the server says

    async def ask(
        self,
        subject: str,
        content: bytes = b"",
        headers: dict[str, str] | None = None,
        timeout_s: float = ASK_S,
    ) -> bytes:
        """Return the answer; Unanswered where none comes."""
        from nats.errors import Error

        try:
            message = await self.client.request(
                subject, content, timeout=timeout_s, headers=headers
            )
        except (TimeoutError, Error, OSError) as error:
            raise Unanswered(f"{subject}: {type(error).__name__}") from error
        return bytes(message.data)

    async def jetstream(self, what: str, given: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask JetStream's API.

        Raises
        ------
        JetStreamError
            If it refuses.
        Unanswered
            If nothing is heard.
        """
        content = b"" if given is None else json.dumps(given).encode()
        return answer_of(await self.ask(f"$JS.API.{what}", content))

    async def publish(
        self, subject: str, content: bytes, headers: dict[str, str] | None = None
    ) -> None:
        """Send without an answer; what cannot be sent is lost."""
        from nats.errors import Error

        with contextlib.suppress(Error, OSError):
            await self.client.publish(subject, content, headers=headers)

    async def last(self, stream: str, subject: str) -> dict[str, Any] | None:
        """Return the newest message of a subject, as JetStream's API says it; None if none."""
        try:
            found = await self.jetstream(f"STREAM.MSG.GET.{stream}", {"last_by_subj": subject})
        except JetStreamError as error:
            if error.code in NOT_FOUND:
                return None
            raise
        message: dict[str, Any] = found["message"]
        return message

    async def until_connected(self) -> None:
        """Wait while the connection is down."""
        while not self.client.is_connected:
            await asyncio.sleep(0.05)


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """Whether asyncio has something to say: nats-py returns from `eof_received` as without TLS."""
    return "eof_received" not in record.getMessage()


logging.getLogger("asyncio").addFilter(_is_worth_a_line)


def answer_of(content: bytes) -> dict[str, Any]:
    """Return what JetStream answered; JetStreamError if it refused."""
    answer: dict[str, Any] = json.loads(content)
    error = answer.get("error")
    if error is not None:
        raise JetStreamError(int(error.get("err_code", 0)), str(error.get("description", "")))
    return answer


@contextlib.asynccontextmanager
async def connected(
    access: WardAccess, name: str, say: Callable[[str], None] = lambda _text: None
) -> AsyncIterator[WardLink]:
    """Connect to a ward's NATS, and tell when the connection is lost and is back.

    Raises
    ------
    InvalidOption
        If the address cannot be used, the client of NATS is not installed, or the server is on
        another machine and no keys are given.
    WardUnreachable
        If no server answers.
    """
    servers = server_addresses(access)
    options = {} if access.keys is None else _options(access.keys, servers)
    try:
        from nats.errors import Error
    except ImportError as error:
        raise InvalidOption(NATS_MISSING) from error
    reasons = Reasons(len(servers))
    made: list[WardLink] = []

    async def lost() -> None:
        if made:
            say(f"the connection to {access.servers} is lost; it is tried again")

    async def back() -> None:
        made[0].times_connected += 1
        made[0].trouble = ""
        say(f"connected to {access.servers} again")

    async def unheard(error: Exception) -> None:
        """Leave it to who waits for an answer; say what this user may not do, once each."""
        text = harmless(str(error) or type(error).__name__, 300)
        if not made:
            if not reasons.text:
                say(f"not connected to {access.servers} yet; it is tried for {CONNECT_S:.0f} s")
            reasons.take(text)
            if reasons.is_final:
                raise Error(text)  # out of `connect`, which would try on
        elif "permissions violation" in text.lower():
            if text not in made[0].refused and len(made[0].refused) < MOST_REFUSED:
                say(f"{access.servers} does not allow it: {text}")
                made[0].refused.append(text)
        else:
            made[0].trouble = text

    client = _client()
    try:
        await asyncio.wait_for(
            client.connect(
                servers,
                name=f"ecg-monitor {name}",
                connect_timeout=2,
                reconnect_time_wait=0.25,
                max_reconnect_attempts=-1,
                ping_interval=2,
                max_outstanding_pings=2,
                pending_size=1 << 26,
                error_cb=unheard,
                disconnected_cb=lost,
                reconnected_cb=back,
                **options,
            ),
            CONNECT_S,
        )
    except ImportError as error:  # what signs with an NKey
        raise InvalidOption(NATS_MISSING) from error
    except (TimeoutError, OSError, Error, ssl.SSLError) as error:
        with contextlib.suppress(Exception):
            await asyncio.wait_for(client.close(), 2.0)
        why = reasons.text or harmless(str(error) or type(error).__name__)
        raise WardUnreachable(
            f"no NATS server answers at {access.servers}, or none lets us in ({why}); start "
            "one: ecg-monitor ward up, or look at --keys"
        ) from error
    made.append(WardLink(client, access.servers))
    try:
        yield made[0]
    finally:
        client.options["disconnected_cb"] = None
        with contextlib.suppress(Exception):
            client._disconnected_cb = None
            await asyncio.wait_for(client.close(), 2.0)


@contextlib.contextmanager
def unreachable_if_closed(access: WardAccess) -> Iterator[None]:
    """Raise WardUnreachable in the place of what nats-py raises once a connection has ended."""
    from nats.errors import Error

    try:
        yield
    except (Error, OSError) as error:
        why = harmless(str(error) or type(error).__name__)
        raise WardUnreachable(f"{access.servers} has ended the connection ({why})") from error


class Reasons:
    """Why servers do not let us in, while it is tried.

    A server that refuses a user says so and closes the connection, which may be seen as a reset
    before its words are read; so what one said once counts more than what was seen later.
    """

    def __init__(self, servers: int) -> None:
        self._servers = servers
        self._refusals = 0
        self.text = ""

    @property
    def is_final(self) -> bool:
        """Whether as many tries as there are servers were refused: another would not help."""
        return self._refusals >= self._servers

    def take(self, text: str) -> None:
        """Take note of what a try came to."""
        if _REFUSES in text.lower():
            self._refusals += 1
            self.text = text
        elif not self._refusals:
            self.text = text


def _client() -> Client:
    """Return a client that, told to encrypt, tells nothing to a server that does not.

    nats-py 2.16 goes on in plain text, password and all, where the server's first line, which
    anyone on the way may change, asks for no TLS (findings/nats_py_tls_not_required.sh). It also
    returns from `connect` where the server closed the connection in the place of its first answer.
    """
    from nats.aio.client import Client
    from nats.errors import Error

    class Careful(Client):  # type: ignore[misc]
        async def _process_info(
            self, info: dict[str, Any], initial_connection: bool = False
        ) -> None:
            if self.options.get("tls") is not None and not info.get("tls_required"):
                raise Error("the server offers no TLS, and --keys holds ca.pem: nothing was sent")
            await super()._process_info(info, initial_connection)

        async def _process_connect_init(self) -> None:
            await super()._process_connect_init()
            if not self.is_connected:
                for task in (self._reading_task, self._ping_interval_task, self._flusher_task):
                    task.cancel()
                raise Error("the server closed the connection without a word")

    return Careful()


def server_addresses(access: WardAccess) -> list[str]:
    """Return the addresses of a ward's servers.

    Raises
    ------
    InvalidOption
        If one cannot be used, or lies on another machine and no keys are given.
    """
    servers = [one.strip() for one in access.servers.split(",") if one.strip()]
    for one in servers:
        parts = urlsplit(one)
        try:
            usable = parts.scheme in ("nats", "tls") and parts.hostname and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise InvalidOption(f"--ward {one!r} is no address of NATS; write {DEFAULT_WARD}")
        if parts.password is not None or parts.username is not None:
            raise InvalidOption(
                f"--ward {parts.scheme}://{parts.hostname}: everyone on this machine could read "
                "that password; write it into ward.user of a folder for --keys, as USER:PASSWORD"
            )
        if access.keys is None and not _is_here(parts.hostname or ""):
            raise InvalidOption(
                f"--ward {one}: it is on another machine, where others could listen; give --keys "
                "FOLDER with ca.pem and client.pem, client-key.pem or ward.creds (docs/SCALE.md)"
            )
    if not servers:
        raise InvalidOption(f"--ward names no server; write {DEFAULT_WARD}")
    return servers


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _options(keys: Path, servers: list[str]) -> dict[str, Any]:
    """Return what encrypts, and what says who we are, as options of nats-py."""
    ca, own, secret = (keys / name for name in ("ca.pem", "client.pem", "client-key.pem"))
    there = [keys / name for name in CREDENTIALS if (keys / name).exists()]
    if not (own.exists() or there):
        raise InvalidKeys(
            f"{keys} holds no keys of a ward: it needs ca.pem, and client.pem with client-key.pem "
            f"or one of {', '.join(CREDENTIALS)}"
        )
    if len(there) > 1:
        names = " and ".join(one.name for one in there)
        raise InvalidKeys(f"{keys} holds {names}; a server takes one of them: remove the others")
    for one in (secret, *there):
        if one.exists() and one.stat().st_mode & 0o077:
            raise InvalidKeys(f"{one} can be read by others; chmod 600 it")
    elsewhere = [one for one in servers if not _is_here(urlsplit(one).hostname or "")]
    if not ca.exists() and (own.exists() or elsewhere):
        raise InvalidKeys(
            f"{keys} holds no ca.pem, by which the server is known; nothing is sent to "
            f"{elsewhere[0] if elsewhere else servers[0]} without TLS"
        )
    options = _credentials(there[0]) if there else {}
    return options | ({"tls": _tls(ca, own, secret)} if ca.exists() else {})


def _credentials(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidKeys(f"{file} cannot be read ({error})") from error
    if file.name == "ward.user":
        user, _, password = text.partition(":")
        if not (user and password) or "\n" in text:
            raise InvalidKeys(f"{file} holds no USER:PASSWORD in one line")
        return {"user": user, "password": password}
    if file.name == "ward.nk":
        if not re.fullmatch(SEED, text):
            raise InvalidKeys(f"{file} holds no seed of a user's NKey, which begins with SU")
        return {"nkeys_seed": str(file)}
    if not re.search(rf"-----BEGIN NATS USER JWT-----(?s:.)*^{SEED}$", text, re.MULTILINE):
        raise InvalidKeys(f"{file} holds no JWT and seed of a user, as `nsc generate creds` writes")
    return {"user_credentials": str(file)}


def _tls(ca: Path, own: Path, secret: Path) -> ssl.SSLContext:
    """Return what encrypts: the server is checked by `ca.pem`, and we show `client.pem`."""
    try:
        context = ssl.create_default_context(cafile=str(ca))
        if own.exists():
            context.load_cert_chain(str(own), str(secret))
    except (OSError, ssl.SSLError) as error:
        raise InvalidKeys(f"{ca.parent}: its certificates cannot be used ({error})") from error
    return context
