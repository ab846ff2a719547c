"""The files of docs/operations/ward run as they stand: three servers, keys, permissions, a loss."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from monitor.cli.app import app
from monitor.errors import MonitorError
from monitor.ward.link import WardAccess, connected
from monitor.ward.names import SAMPLES, WARD
from monitor.ward.past import past_alerts
from monitor.ward.server import server_program
from tests.monitor.ward.servers import PROGRAM, require_nats
from tests.monitor.ward.test_ward_run import ids, on_one_machine, records, started

OPERATIONS = Path(__file__).resolve().parents[3] / "docs" / "operations"
FOLDER = OPERATIONS / "ward"
NAMES = ("n1", "n2", "n3")
SERVERS = "tls://n1:4222,tls://n2:4222,tls://n3:4222"
COMES_S = 60.0


def variables(text: str) -> dict[str, str]:
    """Return the settings of an environment file."""
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def command_of(unit: str) -> list[str]:
    """Return what a unit of systemd starts."""
    (started_,) = re.findall(r"^ExecStart=(.+)$", (FOLDER / unit).read_text(), re.MULTILINE)
    return list(started_.split())


def parses(words: list[str]) -> None:
    """Fail unless a command line of ecg-monitor exists with these options."""
    command: Any = typer.main.get_command(app)
    while words[0] in getattr(command, "commands", {}):
        command = command.commands[words[0]]
        words = words[1:]
    command.make_context(command.name, list(words))


class Site:
    """Three servers on addresses of this machine's loopback, each in a folder as /etc/nats."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        base = f"127.{random.randint(2, 250)}.{random.randint(0, 250)}"
        self.addresses = {name: f"{base}.{place}" for place, name in enumerate(NAMES, 1)}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        for file in FOLDER.iterdir():
            if file.is_file():
                shutil.copy(file, folder)
        hosts = [f"{name}={address}" for name, address in self.addresses.items()]
        subprocess.run(["sh", "keys.sh", *hosts], cwd=folder, check=True)
        for name in NAMES:
            etc = folder / f"etc-{name}"
            etc.mkdir()
            shutil.copy(folder / "nats-server.conf", etc)
            shutil.copy(folder / "keys" / "permissions.conf", etc)
            shutil.copytree(folder / "keys" / name, etc / "tls")

    def here(self, text: str) -> str:
        """Return a setting with this machine's addresses in place of the site's names."""
        for name, address in self.addresses.items():
            text = re.sub(rf"\b{name}:", f"{address}:", text)
        return text

    @property
    def servers(self) -> str:
        return self.here(SERVERS)

    def access(self, role: str) -> WardAccess:
        return WardAccess(self.servers, self.folder / "keys" / role)

    def start(self, name: str) -> None:
        """Start a server as its unit does."""
        own = {
            "WARD_SERVER": name,
            "WARD_HOST": self.addresses[name],
            "WARD_LOOK": f"{self.addresses[name]}:8222",
            "WARD_STORE": str(self.store(name)),
        }
        given = variables((FOLDER / "ward.env").read_text())
        settings = {key: self.here(value) for key, value in given.items()} | own
        _, *options = command_of("nats-server.service")
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [server_program(), *options],
                cwd=self.folder / f"etc-{name}",
                env=os.environ | settings,
                stdout=log,
                stderr=log,
            )

    def store(self, name: str) -> Path:
        return self.folder / f"store-{name}"

    def kill(self, name: str) -> None:
        self._running[name].kill()
        self._running[name].wait()

    def stop(self) -> None:
        for name in NAMES:
            with contextlib.suppress(KeyError):
                self.kill(name)

    def init(self) -> None:
        """Make the ward with the command of compose.yaml, as soon as there is a leader."""
        command = [*PROGRAM, *self.shown("init", "admin")]
        deadline_s = time.monotonic() + COMES_S
        while True:
            made = subprocess.run(command, capture_output=True, text=True, check=False)
            if made.returncode == 0:
                return
            assert time.monotonic() < deadline_s, made.stderr
            time.sleep(0.5)

    def shown(self, service: str, role: str) -> list[str]:
        """Return the command of a service of compose.yaml, for this machine."""
        keys = str(self.folder / "keys" / role)
        words = [self.here(one) for one in compose()["services"][service]["command"]]
        words = [keys if one == "/keys" else one for one in words]
        if "--metrics" in words:
            words = words[: words.index("--metrics")]  # both workers stand on this machine
        return words

    def to(self, role: str) -> list[str]:
        return ["--ward", self.servers, "--keys", str(self.folder / "keys" / role)]

    def until(self, wanted: Any) -> None:
        """Wait until the ward holds these alerts."""
        deadline_s = time.monotonic() + COMES_S
        found: Any = None
        while found != wanted:
            assert time.monotonic() < deadline_s, found
            time.sleep(0.5)
            with contextlib.suppress(MonitorError):  # no leader yet
                found = ids(past_alerts(self.access("listener")))


def compose() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml", reason="PyYAML, to read compose.yaml with")
    found: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    return found


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    require_nats()
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux has all of 127.0.0.0/8 on its loopback")
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which keys.sh runs, is not installed")
    one = Site(tmp_path)
    try:
        for name in NAMES:
            one.start(name)
        one.init()
        yield one
    finally:
        one.stop()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_ward_of_the_folder_keeps_all_alerts_over_losses(site: Site, tmp_path: Path) -> None:
    """A worker and a server are killed, a server loses its disk, all are restored from copies."""
    paths = records(tmp_path, 2, hours=0.2)
    wanted = on_one_machine(paths, tmp_path)
    workers = [site.shown(name, "worker") for name in ("worker-1", "worker-2")]
    sending = ["producer", *paths, "--speed", "40", *site.to("producer"), "--name", "t"]
    with started(*workers[0]) as first, started(*workers[1]), started(*sending) as producer:
        time.sleep(6.0)
        first.kill()
        site.kill("n1")
        time.sleep(4.0)
        shutil.rmtree(site.store("n1"))
        site.start("n1")
        assert producer.wait(COMES_S) == 0
        site.until(wanted)
    wait_until_well(site, "n1")
    site.kill("n2")  # n1, which was empty, and n3 hold all of it
    site.until(wanted)
    site.stop()
    for name in NAMES:
        shutil.copytree(site.store(name), tmp_path / f"copy-{name}")
        shutil.rmtree(site.store(name))
        shutil.move(tmp_path / f"copy-{name}", site.store(name))
        site.start(name)
    site.until(wanted)


def wait_until_well(site: Site, name: str) -> None:
    """Wait until a server says that it is well, as docs/SCALE.md asks it."""
    deadline_s = time.monotonic() + COMES_S
    while True:
        address = f"http://{site.addresses[name]}:8222/healthz"
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=2) as answer:
            if json.load(answer)["status"] == "ok":
                return
        assert time.monotonic() < deadline_s
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_alerts_are_backed_up_while_it_runs(site: Site, tmp_path: Path) -> None:
    """By what `nats stream backup` and `restore` ask for; a stream that was removed is back."""
    paths = records(tmp_path, 1, hours=0.1)
    wanted = on_one_machine(paths, tmp_path)
    with started(*site.shown("worker-1", "worker")):
        sending = ["producer", *paths, "--speed", "60", *site.to("producer")]
        subprocess.run([*PROGRAM, *sending], check=True, capture_output=True)
        site.until(wanted)
        config, content = asyncio.run(snapshot(site.access("admin")))
    asyncio.run(restore(site.access("admin"), config, content))
    site.until(wanted)


async def snapshot(access: WardAccess) -> tuple[dict[str, Any], bytes]:
    """Return a stream's settings, and its content as the server hands it out."""
    async with connected(access, "test") as link:
        chunks: list[bytes] = []
        done = asyncio.Event()

        async def take(message: Any) -> None:
            if message.data:
                chunks.append(message.data)
                await link.client.publish(message.reply, b"")
            else:
                done.set()

        inbox = link.client.new_inbox()
        await link.client.subscribe(inbox, cb=take)
        asked = {"deliver_subject": inbox, "no_consumers": True}
        answer = await link.jetstream(f"STREAM.SNAPSHOT.{WARD}", asked)
        await asyncio.wait_for(done.wait(), COMES_S)
        return answer, b"".join(chunks)


async def restore(access: WardAccess, told: dict[str, Any], content: bytes) -> None:
    """Remove the stream, and put it back."""
    async with connected(access, "test") as link:
        await link.jetstream(f"STREAM.DELETE.{WARD}")
        given = {"config": told["config"], "state": told["state"]}
        answer = await link.jetstream(f"STREAM.RESTORE.{WARD}", given)
        for first in range(0, len(content), 1 << 17):
            await link.ask(answer["deliver_subject"], content[first : first + (1 << 17)])
        await link.ask(answer["deliver_subject"], b"", timeout_s=COMES_S)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_each_role_may_do_its_own_and_nothing_else(site: Site) -> None:
    """A producer writes no alert and reads none; a listener reads no samples; nobody removes."""

    async def answer(role: str, subject: str, content: bytes = b"") -> bool:
        async with connected(site.access(role), "test") as link:
            try:
                await link.ask(subject, content, timeout_s=1.0)
            except Exception:
                return False
            return True

    def may(role: str, subject: str, content: bytes = b"{}") -> bool:
        return asyncio.run(answer(role, subject, content))

    assert may("producer", "ecg.samples.0.t")
    assert may("worker", "ecg.alert.0.t")
    assert may("listener", f"$JS.API.STREAM.INFO.{WARD}")
    for role in ("producer", "listener"):
        assert not may(role, "ecg.alert.0.t")
        assert not may(role, "ecg.head.0")
        assert not may(role, f"$JS.API.STREAM.PURGE.{WARD}")
        assert not may(role, f"$JS.API.CONSUMER.LIST.{SAMPLES}")
    assert not may("listener", "ecg.samples.0.t")
    newest = b'{"last_by_subj":"ecg.alert.0.t"}'
    assert may("listener", f"$JS.API.STREAM.MSG.GET.{WARD}", newest)
    for role, stream in (("producer", WARD), ("listener", SAMPLES)):
        assert not may(role, f"$JS.API.STREAM.MSG.GET.{stream}", newest)
        assert not may(role, f"$JS.API.DIRECT.GET.{stream}", newest)
        assert not may(role, f"$JS.API.CONSUMER.CREATE.{stream}")
    for role in ("producer", "listener", "worker"):
        assert not may(role, f"$JS.API.STREAM.DELETE.{WARD}")
    assert may("admin", f"$JS.API.STREAM.DELETE.{WARD}")


def test_each_variable_of_the_server_is_given() -> None:
    """By ward.env for the unit, and for each server of compose.yaml."""
    used = set(re.findall(r"\$(WARD_\w+)", (FOLDER / "nats-server.conf").read_text()))
    assert set(variables((FOLDER / "ward.env").read_text())) == used
    for name in NAMES:
        given = compose()["services"][name]["environment"]
        assert set(given) == used
        assert given["WARD_SERVER"] == name


def test_the_commands_shown_exist() -> None:
    """Of compose.yaml and of the worker's unit, with these options."""
    services = compose()["services"]
    for name in ("init", "worker-1", "worker-2"):
        parses(services[name]["command"])
    _, *words = command_of("ecg-ward-worker.service")
    parses(words)


def test_what_compose_mounts_is_there() -> None:
    """Files of the folder; those of keys/ are made by keys.sh. The image is built of ours."""
    found = compose()
    for service in found["services"].values():
        for mounted in service.get("volumes", []):
            source = mounted.split(":")[0]
            if source.startswith("./keys/"):
                continue
            assert (FOLDER / source).exists() if source.startswith(".") else source in NAMES
    build = found["services"]["worker-1"]["build"]
    assert (FOLDER / build["context"] / build["dockerfile"]).exists()
    assert "ARG EXTRAS=" in (OPERATIONS / "Dockerfile").read_text()


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="no docker-compose to ask")
def test_compose_takes_the_file(tmp_path: Path) -> None:
    """As it stands."""
    shutil.copytree(FOLDER, tmp_path / "a" / "b" / "ward")
    asked = subprocess.run(
        ["docker-compose", "-f", "a/b/ward/compose.yaml", "config", "--quiet"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (asked.returncode, asked.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd to ask")
@pytest.mark.parametrize("unit", ["nats-server.service", "ecg-ward-worker.service"])
def test_systemd_takes_the_units(unit: str, tmp_path: Path) -> None:
    """Without a remark, where the command is there."""
    program = command_of(unit)[0]
    here = tmp_path / unit
    here.write_text((FOLDER / unit).read_text().replace(program, sys.executable))
    asked = subprocess.run(
        ["systemd-analyze", "verify", str(here)], capture_output=True, text=True, timeout=60
    )
    assert (asked.returncode, asked.stderr) == (0, "")


def test_ports_are_those_shown() -> None:
    """Of the servers and of the addresses in units, compose.yaml and ward.env."""
    text = (FOLDER / "nats-server.conf").read_text()
    assert "port: 4222" in text
    assert "port: 6222" in text
    for file in FOLDER.iterdir():
        if file.is_file():
            named = re.findall(r"(?:nats|tls)://n\d:(\d+)", file.read_text())
            assert set(named) <= {"4222", "6222"}, file
