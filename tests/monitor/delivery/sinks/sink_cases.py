"""The other side of each sink that ships."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from monitor.delivery.sinks.command import Command
from monitor.delivery.sinks.fhir import open_fhir
from monitor.delivery.sinks.mqtt import Mqtt
from monitor.delivery.sinks.sink import Sink
from monitor.delivery.sinks.webhook import Webhook
from tests.monitor.delivery.sinks.broker import Broker, Reader, broker, reader
from tests.monitor.delivery.sinks.conformance import LIMIT_S, OtherSide, SinkCase
from tests.monitor.delivery.sinks.web_server import WebServer, web_server

_SCRIPT = """
import sys, time
mode = open(sys.argv[1]).read()
if mode == "gone": sys.exit(75)
if mode == "refuse": sys.exit(1)
if mode == "hang": time.sleep(60)
open(sys.argv[2], "a").write(sys.stdin.read())
"""


class CommandSide:
    """A program that does what a file says."""

    def __init__(self, folder: Path) -> None:
        self._mode, self._out = folder / "mode", folder / "out"
        script = folder / "program.py"
        script.write_text(_SCRIPT)
        self._out.touch()
        self.come_back()
        self.sink: Sink = Command(
            f"'{sys.executable}' '{script}' '{self._mode}' '{self._out}'", LIMIT_S
        )

    def received(self) -> list[str]:
        return self._out.read_text().splitlines()

    def go(self) -> None:
        self._mode.write_text("gone")

    def come_back(self) -> None:
        self._mode.write_text("take")

    def hang(self) -> None:
        self._mode.write_text("hang")

    def refuse(self) -> None:
        self._mode.write_text("refuse")


class WebSide:
    """A web server."""

    def __init__(self, server: WebServer, sink: Sink) -> None:
        self._server, self.sink = server, sink

    def received(self) -> list[str]:
        return [one.body.decode() for one in self._server.taken()]

    def go(self) -> None:
        self._server.status = 503

    def come_back(self) -> None:
        self._server.status, self._server.mode = 200, "answer"

    def hang(self) -> None:
        self._server.mode = "silent"

    def refuse(self) -> None:
        self._server.status = 422


class FileSide:
    """A file in a folder that may be gone."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._away = folder / "disk", folder / "unmounted"
        self._folder.mkdir()
        self.sink: Sink = open_fhir(str(self._folder / "alerts.ndjson"))

    def received(self) -> list[str]:
        return (self._folder / "alerts.ndjson").read_text().splitlines()

    def go(self) -> None:
        self._folder.rename(self._away)

    def come_back(self) -> None:
        self._away.rename(self._folder)

    def hang(self) -> None:
        """Not of a file."""

    def refuse(self) -> None:
        """Not of a file."""


class BrokerSide:
    """A real broker, and who reads from it."""

    def __init__(self, running: Broker, reading: contextlib.ExitStack) -> None:
        self._broker, self._stack = running, reading
        self._reader: Reader = reading.enter_context(reader(running.port))
        self._heard: list[str] = []
        self.sink: Sink = Mqtt(f"{running.url}/ward", limit_s=LIMIT_S)

    def received(self) -> list[str]:
        marker = self._reader
        with reader(self._broker.port) as other:  # what is published before is heard before
            other._client.publish("end", b"", qos=1)
            while (heard := marker.next()).topic != "end":
                self._heard.append(heard.payload.decode())
        return self._heard

    def go(self) -> None:
        self._broker.kill()

    def come_back(self) -> None:
        self._broker.start()
        self._reader = self._stack.enter_context(reader(self._broker.port))

    def hang(self) -> None:
        self._broker.hold()

    def refuse(self) -> None:
        """Not of a broker: what it refuses is the address."""


@contextlib.contextmanager
def _command(folder: Path) -> Iterator[OtherSide]:
    yield CommandSide(folder)


@contextlib.contextmanager
def _webhook(folder: Path, template: str = "") -> Iterator[OtherSide]:
    with web_server() as server:
        yield WebSide(server, Webhook(f"{template}{server.url}/T0KEN", limit_s=LIMIT_S))


@contextlib.contextmanager
def _slack(folder: Path) -> Iterator[OtherSide]:
    with _webhook(folder, "slack:") as other:
        yield other


@contextlib.contextmanager
def _fhir_server(folder: Path) -> Iterator[OtherSide]:
    with web_server() as server:
        yield WebSide(server, open_fhir(f"{server.url}/fhir", limit_s=LIMIT_S))


@contextlib.contextmanager
def _fhir_file(folder: Path) -> Iterator[OtherSide]:
    yield FileSide(folder)


@contextlib.contextmanager
def _mqtt(folder: Path) -> Iterator[OtherSide]:
    with broker(folder) as running, contextlib.ExitStack() as stack:
        other = BrokerSide(running, stack)
        yield other
        other.sink.close()


SINK_CASES = (
    SinkCase("command", _command),
    SinkCase("webhook", _webhook, secret="T0KEN"),
    SinkCase("webhook-slack", _slack, secret="T0KEN"),
    SinkCase("fhir-server", _fhir_server),
    SinkCase("fhir-file", _fhir_file, hangs=False, refuses=False),
    SinkCase("mqtt", _mqtt, refuses=False),
)
