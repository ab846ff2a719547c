"""A ward's servers are reached on this machine, or with keys."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from monitor.errors import InvalidKeys, InvalidOption, WardUnreachable
from monitor.ward.link import WardAccess, connected, server_addresses
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


def test_a_server_with_certificates_lets_in_who_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has none is told that nobody answers."""
    import shutil

    from monitor.ward.server import server_program
    from monitor.ward.setup import WardSize
    from monitor.ward.ward_up import init

    require_nats()
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    certified(tmp_path)
    port = free_port()
    (tmp_path / "server.conf").write_text(
        f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{tmp_path}/js" }}\n'
        f'tls {{ cert_file: "{tmp_path}/server.pem", key_file: "{tmp_path}/server-key.pem", '
        f'ca_file: "{tmp_path}/ca.pem", verify: true }}\n'
    )
    with subprocess.Popen(
        [server_program(), "-c", str(tmp_path / "server.conf")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=dict(os.environ),
    ) as process:
        try:
            made = init(WardAccess(f"tls://127.0.0.1:{port}", tmp_path), WardSize(2))
            assert made.partitions == 2
            monkeypatch.setattr("monitor.ward.link.CONNECT_S", 1.0)
            with pytest.raises(WardUnreachable):
                asyncio.run(reach(WardAccess(f"nats://127.0.0.1:{port}")))
        finally:
            process.kill()
