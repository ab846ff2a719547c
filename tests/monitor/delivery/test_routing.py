"""`ecg-monitor subscribe` as a process: filters and sinks, killed in the middle, told wrongly."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import typer.main

from monitor.cli.app import app
from monitor.delivery.alert_filter import parse_filter
from monitor.delivery.sinks.kinds import open_routes
from monitor.delivery.sinks.sink import SinkOptions
from monitor.wire.messages import Alert, Technical, WardCounts
from tests.messages import alarm, alert, patient_status, status, technical
from tests.monitor.delivery.sinks.broker import broker, reader
from tests.monitor.delivery.sinks.web_server import web_server
from tests.monitor.delivery.test_subscriber import Server, beating, publish, served
from tests.monitor.ports import free_port
from tests.monitor.ward.servers import require_nats, ward_server

N = 60


@contextlib.contextmanager
def subscribing(
    *options: str, home: Path, out: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    env = os.environ | {"XDG_STATE_HOME": str(home)}
    command = [sys.executable, "-m", "monitor", "subscribe", *options]
    with contextlib.ExitStack() as stack:
        output = subprocess.PIPE if out is None else stack.enter_context(out.open("w"))
        run = subprocess.Popen(
            command, env=env, stdout=output, stderr=subprocess.PIPE, text=True,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        process = stack.enter_context(run)
        stack.callback(process.kill)
        yield process


class Receiver(NamedTuple):
    """Who gets alerts: what `subscribe` is told, and the identities that came so far."""

    options: tuple[str, ...]
    ids: Callable[[], list[str]]


@contextlib.contextmanager
def web_receiver(folder: Path) -> Iterator[Receiver]:
    with web_server() as web:
        yield Receiver(
            ("--webhook", f"{web.url}/x"),
            lambda: [json.loads(one.body)["id"] for one in web.taken()],
        )


@contextlib.contextmanager
def mqtt_receiver(folder: Path) -> Iterator[Receiver]:
    with broker(folder) as running, reader(running.port) as reading:
        heard: list[str] = []

        def ids() -> list[str]:
            heard.extend(json.loads(one.payload)["id"] for one in reading.waiting())
            return heard

        yield Receiver(("--mqtt", f"{running.url}/ward"), ids)


@contextlib.contextmanager
def file_receiver(folder: Path) -> Iterator[Receiver]:
    path = folder / "alerts.ndjson"

    def ids() -> list[str]:
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        whole = [json.loads(line) for line in lines if line.endswith("\n")]
        return [one["identifier"][0]["value"].partition(":")[2] for one in whole]

    yield Receiver(("--fhir", str(path)), ids)


@contextlib.contextmanager
def command_receiver(folder: Path) -> Iterator[Receiver]:
    path = folder / "lines"
    path.touch()
    yield Receiver(
        ("--on-alert", f"sh -c 'cat >> {path}'"),
        lambda: [json.loads(line)["id"] for line in path.read_text().splitlines(keepends=True)
                 if line.endswith("\n")],
    )  # fmt: skip


def until(receiver: Receiver, n: int, process: subprocess.Popen[str]) -> None:
    """Wait for n different alerts at least."""
    until_s = time.monotonic() + 40
    while len({*receiver.ids()}) < n:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until_s
        time.sleep(0.005)


def until_heard(printed: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a subscriber has printed heartbeats: it is up, and has offered what it kept."""
    until_s = time.monotonic() + 60
    while printed.read_text().count('"type":"status"') < 20:  # a second of them
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until_s
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    "opened", [web_receiver, mqtt_receiver, file_receiver, command_receiver],
    ids=lambda one: one.__name__,
)  # fmt: skip
def test_nothing_is_lost_when_it_is_killed_in_mid_delivery(
    opened: Callable[[Path], AbstractContextManager[Receiver]], tmp_path: Path
) -> None:
    """With --durable: each alert is handed on, in order, whenever the process died; few twice."""
    endpoint = f"ipc://{tmp_path / 'a'}"
    messages = [alert(seq=n, id=f"a{n:03}") for n in range(1, N + 1)]
    with (
        served(endpoint, tmp_path / "j") as server,
        beating(server, N),
        opened(tmp_path) as receiver,
    ):
        server.do(publish(*messages, sent=False))
        options = (endpoint, "--durable", "desk", *receiver.options, "--json")
        for part in (5, 20, 40):
            with subscribing(*options, home=tmp_path, out=tmp_path / "out") as process:
                until(receiver, part, process)
                process.send_signal(signal.SIGKILL)
                process.wait()
        listening = ("--topic", "alert", "--topic", "status")
        with subscribing(*options, *listening, home=tmp_path, out=tmp_path / "out") as process:
            until(receiver, N, process)
            until_heard(tmp_path / "out", process)  # the one before may have done it all
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        got = list(receiver.ids())
        with subscribing(*options, *listening, home=tmp_path, out=tmp_path / "out") as process:
            until_heard(tmp_path / "out", process)
            process.send_signal(signal.SIGINT)
            process.wait(20)
        assert list(receiver.ids()) == got  # all was noted: nothing comes again
    assert list(dict.fromkeys(got)) == [one.id for one in messages]


@pytest.mark.slow
def test_what_failed_in_one_life_comes_in_the_next(tmp_path: Path) -> None:
    """A dead address holds nothing up; --until-end says what was not handed on, exit code 1."""
    endpoint = f"ipc://{tmp_path / 'a'}"
    out = tmp_path / "fhir.ndjson"
    dead = f"http://127.0.0.1:{free_port()}/"
    with served(endpoint, tmp_path / "j") as server, ended(server, 3):
        server.do(publish(*[alert(seq=n, id=str(n)) for n in (1, 2, 3)], sent=False))
        options = (endpoint, "--durable", "d", "--until-end", "--json")
        with subscribing(*options, "--webhook", dead, "--fhir", str(out), home=tmp_path) as process:
            printed, told = process.communicate(timeout=60)
        assert process.returncode == 1
        assert len(printed.splitlines()) == len(out.read_text().splitlines()) == 3
        assert "Connection refused); it is tried until it is taken" in told
        assert "wait for the next time" in told
        assert "alerts were not handed on; what waits is tried again" in told
        with subscribing(*options, "--fhir", str(out), home=tmp_path) as process:
            printed, told = process.communicate(timeout=60)
        assert (process.returncode, printed) == (0, "")
        assert "fhir.ndjson: 0 alerts were handed on\n" in told
        assert "not handed on" not in told


@contextlib.contextmanager
def ended(server: Server, newest: int) -> Iterator[None]:
    """Have heartbeats say that all records have ended."""
    leaving = threading.Event()
    heartbeat = msgspec.structs.replace(
        status(newest_seq=newest, ward=WardCounts(ended=1)),
        patients=[patient_status(state="ended")],
    )

    def beat() -> None:
        while not leaving.wait(0.05):
            server.do(publish(heartbeat, journaled=False))

    heart = threading.Thread(target=beat, daemon=True)
    heart.start()
    try:
        yield
    finally:
        leaving.set()
        heart.join()


def mixed() -> list[Alert | Technical]:
    return [
        alert(seq=1, id="beats"),
        technical(seq=2, id="noise"),
        alarm(seq=3, id="asystole"),
        alarm(seq=4, id="over", state="cleared"),
        alarm(seq=5, id="bed", patient="bed-2"),
        alert(seq=6, id="low", priority="low", patient="bed-2"),
    ]


@pytest.mark.parametrize(
    ("options", "passes"),
    [
        (["--priority", "high", "--state", "onset"], ["asystole", "bed"]),
        (["--kind", "noisy,anomalous_beats", "--patient", "119"], ["beats", "noise"]),
        (["--topic", "alert", "--patient", "bed-*"], ["bed", "low"]),
    ],
)
def test_filters_stand_behind_the_sequence(
    options: list[str], passes: list[str], tmp_path: Path
) -> None:
    """What is left out is kept and numbered all the same: no hole is seen, nothing comes twice."""
    endpoint = f"ipc://{tmp_path / 'a'}"
    out = tmp_path / "fhir.ndjson"
    with served(endpoint, tmp_path / "j") as server, ended(server, 6):
        server.do(publish(*mixed(), sent=False))
        told = []
        for _ in range(2):
            with subscribing(
                endpoint, "--durable", "d", "--until-end", "--json", "--fhir", str(out), *options,
                home=tmp_path,
            ) as process:  # fmt: skip
                printed, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors
            assert "truncated" not in errors
            told.append([json.loads(line)["id"] for line in printed.splitlines()])
    assert told == [passes, []]
    values = [json.loads(line)["identifier"][0]["value"] for line in out.read_text().splitlines()]
    assert [value.partition(":")[2] for value in values] == passes


def test_left_out_technical_alerts_are_said(tmp_path: Path) -> None:
    """Who asks for a priority is told that technical alerts have none."""
    endpoint = f"ipc://{tmp_path / 'a'}"
    with served(endpoint, tmp_path / "j") as server, ended(server, 6):
        server.do(publish(*mixed(), sent=False))
        for options, is_said in (([], True), (["--topic", "alert"], False)):
            with subscribing(
                endpoint, "--until-end", "--priority", "high", *options, home=tmp_path
            ) as process:
                _, told = process.communicate(timeout=60)
            assert ("technical alerts have none and are left out" in told) == is_said


@pytest.mark.slow
def test_filters_and_sinks_of_a_ward(tmp_path: Path) -> None:
    """The same options, the same alerts."""
    require_nats()
    from tests.monitor.conformance.stores import WardStore

    out = tmp_path / "fhir.ndjson"
    with ward_server(partitions=1) as server:
        writer = WardStore(server).writer()
        writer.commit(
            [msgspec.structs.replace(one, journal=writer.identity) for one in mixed()],
            [],
        )
        with subscribing(
            "--ward", server.access.servers, "--json", "--priority", "high", "--state", "onset",
            "--fhir", str(out), home=tmp_path, out=tmp_path / "out",
        ) as process:  # fmt: skip
            until_s = time.monotonic() + 30
            while not out.exists() or out.read_text().count("\n") < 2:
                assert process.poll() is None
                assert time.monotonic() < until_s
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        writer.close()
    lines = (tmp_path / "out").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["asystole", "bed"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--webhook", "TEMPLATE:https://host/"], r"\$nobody is no name of an alert; there are"),
        (["--webhook", "https://nurse:s3cret@host/"], "--secrets"),
        (["--mqtt", "mqtt://host"], "topic"),
        (["--fhir", "/nowhere/at/all"], "cannot be written"),
        (["--sink", "kafka:host"], "the sink of no package"),
        (["--on-alert", "'"], "quotes"),
        (["--secrets", "/nowhere"], "/nowhere"),
        (["--kind", "vf"], "ventricular_fibrillation"),
        (["--metrics", "x"], "no port"),
    ],
)
def test_what_cannot_be_used_is_said_before_anything_starts(
    options: list[str], said: str, tmp_path: Path
) -> None:
    """On one line, with exit code 2."""
    template = tmp_path / "t.json"
    template.write_text('{"text": "$nobody"}')
    given = [one.replace("TEMPLATE", str(template)) for one in options]
    with subscribing(*given, home=tmp_path) as process:
        printed, told = process.communicate(timeout=60)
    assert (process.returncode, printed) == (2, "")
    assert len(told.splitlines()) == 1
    assert said.replace("\\", "") in told
    assert "s3cret" not in told


PAGE = Path(__file__).parents[3] / "docs" / "ROUTING.md"
SHOWN = re.findall(r"^    ecg-monitor (subscribe .*?)(?:  +#.*)?$", PAGE.read_text(), re.MULTILINE)


@pytest.mark.parametrize("line", SHOWN)
def test_what_the_page_shows_can_be_used(line: str, tmp_path: Path) -> None:
    """Options parse, sinks open."""
    words = shlex.split(line)[1:]
    command: Any = typer.main.get_command(app)
    given = command.commands["subscribe"].make_context("subscribe", words).params
    parse_filter(*(given[name] or [] for name in ("state", "priority", "kind", "patient")))
    sinks = {f"--{name.replace('_', '-')}": given[name] or []
             for name in ("on_alert", "webhook", "mqtt", "fhir")}  # fmt: skip
    assert len(open_routes(sinks, SinkOptions())) == 1


def test_the_page_shows_each_kind() -> None:
    """The pattern finds what it looks for."""
    assert len(SHOWN) == 6


def test_metrics_of_a_subscriber(tmp_path: Path) -> None:
    """Prometheus reads what became of alerts."""
    pytest.importorskip("prometheus_client", reason="the extra metrics is not installed")
    endpoint, port = f"ipc://{tmp_path / 'a'}", free_port()
    line = 'ecg_monitor_sink_alerts_total{sink="127.0.0.1"} 3.0'
    with served(endpoint, tmp_path / "j") as server, beating(server, 3), web_server() as web:
        server.do(publish(*[alert(seq=n, id=str(n)) for n in (1, 2, 3)], sent=False))
        with subscribing(
            endpoint, "--webhook", web.url, "--metrics", str(port), home=tmp_path,
            out=tmp_path / "out",
        ):  # fmt: skip
            until_s = time.monotonic() + 40
            while len(web.taken()) < 3 and time.monotonic() < until_s:
                time.sleep(0.02)
            until_s = time.monotonic() + 10
            text = ""
            while line not in text and time.monotonic() < until_s:
                url = f"http://127.0.0.1:{port}/metrics"
                text = urllib.request.urlopen(url, timeout=10).read().decode()
    assert line in text
    assert 'ecg_monitor_sink_waiting{sink="127.0.0.1"} 0.0' in text
