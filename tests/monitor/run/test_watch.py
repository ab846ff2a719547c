"""`subscribe --until-end` ends with the records, or says that the monitor the monitor stopped."""

from __future__ import annotations

import io
import json
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from monitor.delivery.control_client import or_keys
from monitor.delivery.sinks.sink import Route
from monitor.errors import MonitorSilent
from monitor.run.watch import FollowOptions, Hearing, Unheard, follow
from monitor.view.screens import JsonScreen
from monitor.wire.curve_keys import init_keys, load_keys
from monitor.wire.messages import Alert, Technical, WardCounts
from tests.messages import alert, patient_status, status
from tests.monitor.delivery.test_subscriber import Server, beat_heart, publish, served


def _printed(endpoint: str) -> list[int]:
    out = io.StringIO()
    screen = JsonScreen(out, io.StringIO(), ("alert",))
    follow(FollowOptions(endpoint, ("alert",), until_end=True), screen)
    return [json.loads(line)["seq"] for line in out.getvalue().splitlines()]


def _in_the_background(
    server: Server, ended: bool, stop: threading.Event, newest: int = 3
) -> threading.Thread:
    state = "ended" if ended else "monitoring"
    heartbeat = msgspec.structs.replace(
        status(newest_seq=newest, ward=WardCounts(ended=int(ended), monitoring=int(not ended))),
        patients=[patient_status(state=state)],
    )

    def beat() -> None:
        while not stop.is_set():
            server.do(publish(heartbeat, journaled=False))
            time.sleep(0.05)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    return thread


def test_it_ends_when_all_has_come(tmp_path: Path) -> None:
    """The last heartbeat may come before the alerts it speaks of: those are waited for."""
    endpoint, stop = f"ipc://{tmp_path / 'a'}", threading.Event()
    with served(endpoint, tmp_path / "j") as server:
        server.do(publish(*[alert(seq=n, id=str(n)) for n in (1, 2, 3)], sent=False))
        thread = _in_the_background(server, ended=True, stop=stop)
        assert _printed(endpoint) == [1, 2, 3]
        stop.set()
        thread.join()


def test_a_monitor_that_goes_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silence before the end is an error, not a wait without end."""
    monkeypatch.setattr("monitor.run.watch.GONE_S", 0.5)
    endpoint, stop = f"ipc://{tmp_path / 'a'}", threading.Event()
    with served(endpoint, tmp_path / "j") as server:
        server.do(beat_heart(0))
        thread = _in_the_background(server, ended=False, stop=stop)

        class StopsTheMonitor(io.StringIO):
            def write(self, text: str) -> int:
                stop.set()  # once it is heard
                return super().write(text)

        topics = ("alert", "status")
        screen = JsonScreen(StopsTheMonitor(), io.StringIO(), topics)
        with pytest.raises(MonitorSilent, match="the monitor stopped"):
            follow(FollowOptions(endpoint, topics, until_end=True), screen)
        thread.join()


def test_a_slow_delivery_is_not_taken_for_a_silent_monitor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heartbeats that came while a web address was waited for count before silence is judged."""
    monkeypatch.setattr("monitor.run.watch.GONE_S", 0.5)
    monkeypatch.setattr("monitor.run.watch.SILENT_S", 0.4)
    endpoint, stop = f"ipc://{tmp_path / 'a'}", threading.Event()

    class Slow:
        def send(self, message: Alert | Technical) -> None:
            time.sleep(0.7)

        def close(self) -> None:
            return

    errors = io.StringIO()
    screen = JsonScreen(io.StringIO(), errors, ("alert",))
    with served(endpoint, tmp_path / "j") as server:
        server.do(publish(*[alert(seq=n, id=str(n)) for n in (1, 2)], sent=False))
        thread = _in_the_background(server, ended=True, stop=stop, newest=2)
        routes = (Route("slow", Slow()),)
        follow(FollowOptions(endpoint, ("alert",), until_end=True, routes=routes), screen)
        stop.set()
        thread.join()
    assert "no heartbeat" not in errors.getvalue()


class Heard:
    """What `Hearing` asks of a subscriber."""

    silent_s = 0.0
    truncated = 0
    refusal = ""
    ever_heard = False


def test_silence_and_truncation_are_said_once() -> None:
    """Each change is told to the person, and nothing while nothing changes."""
    said: list[str] = []
    hearing, heard = Hearing(said.append), Heard()
    heard.ever_heard = True
    for heard.silent_s, heard.truncated in (
        (0.5, 0),
        (4.0, 0),
        (5.0, 0),
        (0.1, 0),
        (0.2, 7),
        (0, 7),
    ):
        hearing.look(heard, idle=True)
    assert [text.split(":")[0] for text in said] == [
        "no heartbeat for 3 s",
        "the monitor is heard again",
        "truncated",
    ]
    assert "7 alerts" in said[-1]


def test_silence_is_heard_only_where_nothing_waits() -> None:
    """Who was held up has not listened; once it was said, it lasts until a heartbeat comes."""
    said: list[str] = []
    hearing, heard = Hearing(said.append), Heard()
    heard.silent_s = 9.0
    hearing.look(heard, idle=False)
    assert said == []
    hearing.look(heard, idle=True)
    hearing.look(heard, idle=False)
    assert len(said) == 1


def test_that_the_monitor_is_not_heard_is_an_alert() -> None:
    """For sinks, once when it begins and once when it ends."""
    unheard, heard = Unheard(lambda: datetime(2026, 1, 1, tzinfo=UTC)), Heard()
    told = []
    for heard.silent_s, idle in (
        (0.5, True),
        (9.0, True),
        (11.0, False),  # held up: what came is not taken in yet
        (11.0, True),
        (12.0, True),
        (0.1, False),
        (0.2, True),
    ):
        alert = unheard.look(heard, idle=idle)
        if alert is not None:
            told.append((heard.silent_s, alert))
    (began_s, begins), (ended_s, ends) = told
    assert (began_s, ended_s) == (11.0, 0.1)
    assert (begins.patient, begins.event) == ("monitor", "stage_down")
    assert "was not heard for 10 s" in begins.text
    assert (begins.state, ends.state) == ("onset", "cleared")
    assert begins.id == "unheard-2026-01-01T00:00:00.000Z-onset"
    assert ends.id == "unheard-2026-01-01T00:00:00.000Z-cleared"
    assert begins.seq == 0
    heard.silent_s, heard.refusal = 20.0, "not authorised"
    refused = Unheard().look(heard, idle=True)
    assert refused is not None
    assert "not authorised" in refused.text


def test_silence_says_what_keys_may_have_to_do_with_it(tmp_path: Path) -> None:
    """A monitor with keys is silent to who has none, or another monitor's; not on an ipc path."""
    said: list[str] = []
    heard = Heard()
    heard.silent_s = 9.0
    init_keys(tmp_path / "keys")
    endpoint, keys = "tcp://127.0.0.1:5571", load_keys(tmp_path / "keys")
    for hint in (or_keys(endpoint, None), or_keys(endpoint, keys), or_keys("ipc:///a", None)):
        Hearing(said.append, hint).look(heard, idle=True)
    heard.ever_heard = True
    Hearing(said.append, or_keys(endpoint, None)).look(heard, idle=True)
    assert [text.partition(": ")[2] for text in said] == [
        "none is heard yet, or it needs --keys; Ctrl-C ends this",
        "none is heard yet, or server.public of --keys is not that monitor's; Ctrl-C ends this",
        "none is heard yet; Ctrl-C ends this",
        "the monitor is gone or stalled",
    ]


def test_where_no_monitor_ever_was_it_says_that_it_waits() -> None:
    """For a monitor at that address, how to stop, and, later, that one has come; each once."""
    said: list[str] = []
    hearing, heard = Hearing(said.append, where=" at ipc:///a"), Heard()
    for heard.silent_s in (0.5, 1.0, 1.6, 9.0):
        hearing.look(heard, idle=True)
    heard.silent_s, heard.ever_heard = 0.1, True
    hearing.look(heard, idle=True)
    assert said == [
        "waiting for a monitor at ipc:///a: none is heard yet; Ctrl-C ends this",
        "the monitor is heard",
    ]


def test_a_refused_key_is_said_again_each_minute() -> None:
    """In place of the silence that comes of it; until the monitor is heard."""
    said: list[str] = []
    now_s = [0.0]
    hearing, heard = Hearing(said.append, clock=lambda: now_s[0]), Heard()
    for now_s[0], heard.refusal, heard.silent_s in (
        (0.0, "not authorised", 0.1),
        (30.0, "not authorised", 30.0),
        (61.0, "not authorised", 61.0),
        (62.0, "", 62.0),  # let in, and no heartbeat yet
        (63.0, "", 0.1),
        (64.0, "", 0.1),
    ):
        hearing.look(heard, idle=True)
    again = "not authorised; it is tried again every 3 s"
    assert said == [again, again, "the monitor is heard"]
