"""A ward's servers are reached on this machine, or with keys."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.errors import InvalidKeys, InvalidOption, WardUnreachable
from monitor.ward.link import Reasons, WardAccess, connected, server_addresses
from monitor.ward.setup import require_ward
from tests.monitor.ports import free_port
from tests.monitor.ward.servers import require_nats


async def reach(access: WardAccess) -> None:
    async with connected(access, "test") as link:
        await require_ward(link)


@pytest.mark.parametrize("server", ["nats://10.0.0.9:4222", "nats://ward.example:4222"])
def test_a_server_elsewhere_needs_keys(server: str) -> None:
    """Others could listen on the way; it says which files are needed."""
    with pytest.raises(InvalidOption, match="--keys"):
        server_addresses(WardAccess(f"nats://127.0.0.1:4222,{server}"))


@pytest.mark.parametrize("text", ["", "127.0.0.1", "http://127.0.0.1", "nats://127.0.0.1:x"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """It says how one is written."""
    with pytest.raises(InvalidOption, match="write nats://"):
        server_addresses(WardAccess(text))


def test_several_servers_are_a_cluster() -> None:
    """With commas between them."""
    assert server_addresses(WardAccess("nats://localhost:1, nats://[::1]:2")) == [
        "nats://localhost:1",
        "nats://[::1]:2",
    ]


def test_nobody_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to start."""
    require_nats()
    monkeypatch.setattr("monitor.ward.link.CONNECT_S", 0.5)
    with pytest.raises(WardUnreachable, match="ward up"):
        asyncio.run(reach(WardAccess(f"nats://127.0.0.1:{free_port()}")))


def test_a_folder_without_keys_is_refused(tmp_path: Path) -> None:
    """It says what it must hold."""
    with pytest.raises(InvalidKeys, match=r"ca\.pem"):
        asyncio.run(reach(WardAccess("nats://127.0.0.1:1", tmp_path)))


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """Before anything is sent."""
    for name in ("ca.pem", "client.pem", "client-key.pem"):
        (tmp_path / name).write_text("x")
    (tmp_path / "client-key.pem").chmod(0o644)
    with pytest.raises(InvalidKeys, match="chmod 600"):
        asyncio.run(reach(WardAccess("nats://127.0.0.1:1", tmp_path)))


def openssl(*arguments: str, folder: Path) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def certified(folder: Path) -> None:
    """Make a site's authority, and a server's and a client's certificates."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=site",
            "-keyout", "ca-key.pem", "-out", "ca.pem", folder=folder)  # fmt: skip
    for name in ("server", "client"):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
                "-keyout", f"{name}-key.pem", "-out", f"{name}.csr", folder=folder)  # fmt: skip
        (folder / "ext").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca-key.pem",
                "-CAcreateserial", "-days", "2", "-extfile", "ext", "-out", f"{name}.pem",
                folder=folder)  # fmt: skip
        (folder / f"{name}-key.pem").chmod(0o600)


@contextlib.contextmanager
def nats_server(folder: Path, port: int, more: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server with these further settings."""
    from monitor.ward.server import server_program

    require_nats()
    config = folder / "server.conf"
    config.write_text(
        f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{folder}/js" }}\n{more}\n'
    )
    with subprocess.Popen(
        [server_program(), "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def secret(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    return path


def is_let_in(port: int, keys: Path, scheme: str = "nats") -> bool:
    from monitor.ward.setup import WardSize
    from monitor.ward.ward_up import init

    return init(WardAccess(f"{scheme}://127.0.0.1:{port}", keys), WardSize(2)).partitions == 2


def test_user_and_password(tmp_path: Path) -> None:
    """In a file of the folder; a wrong one is said to be wrong, and no password is printed.

    At once: the server's word is not tried against for the time that one that is down is given.
    """
    port, keys = free_port(), tmp_path / "keys"
    allowed = 'authorization { users: [{ user: "worker", password: "a:b c" }] }'
    with nats_server(tmp_path, port, allowed):
        secret(keys / "ward.user", "worker:a:b c\n")
        assert is_let_in(port, keys)
        secret(keys / "ward.user", "worker:hush\n")
        with pytest.raises(WardUnreachable, match=r"(?i)authorization violation") as refused:
            is_let_in(port, keys)
        assert "hush" not in str(refused.value)


@pytest.mark.parametrize("word_at", [1, 3])
def test_a_refusal_is_told_and_no_lost_connection(tmp_path: Path, word_at: int) -> None:
    """A server that refuses closes at once, which may be seen before its word: that is waited for.

    Heard once it counts, and is not tried against.
    """
    require_nats()
    secret(tmp_path / "ward.user", "worker:hush")
    tries: list[asyncio.Task[None]] = []

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tries.append(task)
        writer.write(b'INFO {"server_id":"x","version":"2.12.0","max_payload":1000}\r\n')
        await reader.readline()
        if len(tries) < word_at:
            writer.transport.abort()
            return
        writer.write(b"-ERR 'Authorization Violation'\r\n")
        writer.close()
        await writer.wait_closed()

    async def meet() -> None:
        server = await asyncio.start_server(speak, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            try:
                await reach(WardAccess(f"nats://127.0.0.1:{port}", tmp_path))
            finally:
                await asyncio.gather(*tries, return_exceptions=True)

    with pytest.raises(WardUnreachable, match="Authorization Violation") as refused:
        asyncio.run(meet())
    assert "hush" not in str(refused.value)
    assert len(tries) == word_at


def test_what_was_refused_once_stays_the_reason() -> None:
    """Of several servers each is asked; resets that follow do not take its place."""
    reasons = Reasons(servers=2)
    reasons.take("[Errno 111] Connect call failed")
    assert "111" in reasons.text
    reasons.take("nats: 'Authorization Violation'")
    reasons.take("[Errno 104] Connection reset by peer")
    assert reasons.text == "nats: 'Authorization Violation'"
    assert not reasons.is_final
    reasons.take("nats: 'Authorization Violation'")
    assert reasons.is_final


def test_an_nkey(tmp_path: Path) -> None:
    """Its seed is in the folder, and signs what the server asks."""
    require_nats()
    nkeys = pytest.importorskip("nkeys", reason="the extra nats is not installed")
    pair = nkeys.from_seed(nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER))
    port, keys = free_port(), tmp_path / "keys"
    known = f"authorization {{ users: [{{ nkey: {pair.public_key.decode()} }}] }}"
    with nats_server(tmp_path, port, known):
        secret(keys / "ward.nk", pair.seed.decode())
        assert is_let_in(port, keys)
        for name in ("ward.nk", "ward.creds"):
            (keys / "ward.nk").unlink(missing_ok=True)
            secret(keys / name, "no secret")
            with pytest.raises(InvalidKeys, match="seed"):
                is_let_in(port, keys)


def test_a_password_over_tls(tmp_path: Path) -> None:
    """The server is known by ca.pem, and we by the password: no certificate of ours is needed."""
    certified(tmp_path)
    port, keys = free_port(), tmp_path / "keys"
    settings = (
        f'tls {{ cert_file: "{tmp_path}/server.pem", key_file: "{tmp_path}/server-key.pem" }}\n'
        'authorization { users: [{ user: "worker", password: "hush" }] }'
    )
    secret(keys / "ward.user", "worker:hush")
    with nats_server(tmp_path, port, settings):
        shutil.copy(tmp_path / "ca.pem", keys)
        assert is_let_in(port, keys, "tls")


def test_nothing_is_sent_to_a_server_without_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where ca.pem is given: someone on the way could have taken TLS out of its first line."""
    require_nats()
    certified(tmp_path)
    secret(tmp_path / "ward.user", "worker:hush")
    monkeypatch.setattr("monitor.ward.link.CONNECT_S", 1.0)
    sent: list[bytes] = []

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.12.0","max_payload":1000}\r\n')
        sent.append(await reader.read(1000))
        writer.close()

    async def meet() -> None:
        server = await asyncio.start_server(speak, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            await reach(WardAccess(f"tls://127.0.0.1:{port}", tmp_path))

    with pytest.raises(WardUnreachable, match="offers no TLS"):
        asyncio.run(meet())
    assert sent
    assert set(sent) == {b""}


def test_a_password_goes_nowhere_without_a_known_server(tmp_path: Path) -> None:
    """Beyond this machine without ca.pem, in an address, beside another secret, in two lines."""
    secret(tmp_path / "ward.user", "worker:hush")
    with pytest.raises(InvalidKeys, match=r"no ca\.pem"):
        asyncio.run(reach(WardAccess("nats://10.0.0.9:4222", tmp_path)))
    with pytest.raises(InvalidOption, match=r"ward\.user") as refused:
        server_addresses(WardAccess("nats://worker:hush@127.0.0.1:4222"))
    assert "hush" not in str(refused.value)
    secret(tmp_path / "ward.user", "worker")
    with pytest.raises(InvalidKeys, match="USER:PASSWORD"):
        asyncio.run(reach(WardAccess("nats://127.0.0.1:4222", tmp_path)))
    secret(tmp_path / "ward.nk", "x")
    with pytest.raises(InvalidKeys, match="remove the others"):
        asyncio.run(reach(WardAccess("nats://127.0.0.1:4222", tmp_path)))


def test_a_server_with_certificates_lets_in_who_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has none is told that nobody lets them in."""
    certified(tmp_path)
    port = free_port()
    settings = (
        f'tls {{ cert_file: "{tmp_path}/server.pem", key_file: "{tmp_path}/server-key.pem", '
        f'ca_file: "{tmp_path}/ca.pem", verify: true }}'
    )
    with nats_server(tmp_path, port, settings):
        assert is_let_in(port, tmp_path, "tls")
        monkeypatch.setattr("monitor.ward.link.CONNECT_S", 1.0)
        with pytest.raises(WardUnreachable):
            asyncio.run(reach(WardAccess(f"nats://127.0.0.1:{port}")))
