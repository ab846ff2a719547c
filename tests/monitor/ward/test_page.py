"""`web --ward` in a real browser, over a real ward; what is wrong with it, in a line."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from monitor.sources.simulated import SimulationSettings, write_record
from monitor.sources.simulated_events import Event
from monitor.ward.link import WardLink
from monitor.ward.names import WardIdentity, status_subject
from monitor.ward.past import past_alerts
from monitor.wire.codec import encode_json
from monitor.wire.messages import Alert, WardCounts
from tests.messages import patient_status, status
from tests.monitor.ward.servers import PROGRAM, WardServer, ward_server
from tests.monitor.ward.test_ward_run import started
from tests.monitor.web.page_server import (
    TOKEN,
    PageServer,
    page_server_of,
    token_file,
    wait_until,
)
from tests.monitor.web.seen import Seen, chromium_or_skip

pytest.importorskip("starlette", reason="the extra web is not installed")
pytest.importorskip("uvicorn", reason="the extra web is not installed")
WITHIN_S = 60.0


def web(*options: str) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, "web", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_what_cannot_be_shown_is_said_in_a_line(tmp_path: Path) -> None:
    """Before the page is open: no such address, keys missing, a monitor named too, no server."""
    for options, words in [
        (("--ward", "http://x"), "is no address of NATS"),
        (("--ward", "nats://10.0.0.9:4222"), "give --keys FOLDER"),
        (("--ward", "nats://127.0.0.1:1", "--keys", str(tmp_path)), "holds no keys of a ward"),
        (("tcp://127.0.0.1:1", "--ward", "nats://127.0.0.1:1"), "leave ENDPOINT and --wave out"),
    ]:
        run = web(*options)
        assert run.returncode == 2, run.stderr
        assert words in run.stderr
        assert len(run.stderr.splitlines()) == 1


class Ward:
    """A ward of two simulated patients, one worker, and its page's server.

    At twice real time; bed1 has an asystole at 25 s.
    """

    def __init__(self, nats: WardServer, folder: Path, stack: contextlib.ExitStack) -> None:
        self.nats, self._stack = nats, stack
        self.to = ("--ward", nats.access.servers)
        paths = [folder / f"bed{number}" for number in range(2)]
        for seed, path in enumerate(paths):
            asystole = (Event("asystole", 25.0, 8.0),) if seed == 1 else ()
            write_record(path, SimulationSettings(hours=1.0, seed=seed, scenario=asystole))
        self.work()
        names = [str(path) for path in paths]
        stack.enter_context(started("producer", *names, "--speed", "2", *self.to))
        token = ("--token", str(token_file(folder)))
        self.page: PageServer = stack.enter_context(page_server_of(folder, *self.to, *token))

    def work(self) -> None:
        """Start a worker."""
        self.worker = self._stack.enter_context(started("worker", *self.to))


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Ward]:
    with ward_server(partitions=2) as nats, contextlib.ExitStack() as stack:
        yield Ward(nats, tmp_path, stack)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with chromium_or_skip() as browser:
        yield browser


@pytest.mark.slow
def test_a_ward_is_watched_and_acted_on(chromium: Any, shown: Ward) -> None:
    """Signal moves, an alert appears and is acknowledged by name, a threshold is moved."""
    seen = Seen(chromium, shown.page.url)
    wait_until(lambda: seen.values() > 500, WITHIN_S)
    before = seen.picture()
    wait_until(lambda: seen.picture() != before)
    seen.page.wait_for_selector(".tile.high >> text=HIGH")
    seen.page.wait_for_selector(".tile .rate >> text=/[0-9]+/")
    name = "bed1"
    assert seen.text("li:first-child .tile .name") == name
    seen.page.click("li:first-child .tile")
    wait_until(lambda: seen.text("#patient-name") == name)
    # With the last seconds of before it was opened, which alone would take five to come.
    wait_until(lambda: seen.values() > 1000, 3.0)
    assert seen.page.locator(".lead canvas").count() == 2
    wait_until(lambda: "latest beats" in seen.text("#losses-said"))
    assert seen.page.is_disabled("[data-act=ack]")
    assert shown.page.act("wrong", patient=name, what="ack")[0] == 401
    seen.enter_token(TOKEN)
    seen.page.wait_for_selector("[data-act=ack]:enabled")
    seen.page.keyboard.press("a")
    seen.page.wait_for_selector("#answer >> text=acknowledged")
    with ThreadPoolExecutor(1) as thread:  # Playwright has a loop in this one
        kept = thread.submit(past_alerts, shown.nats.access).result()
    acknowledged = [
        (one.patient, one.by)
        for one in kept
        if isinstance(one, Alert) and one.state == "acknowledged"
    ]
    assert acknowledged == [(name, "Ada")]
    seen.page.keyboard.press("+")
    seen.page.wait_for_selector(f"#answer >> text=/{name}: [0-9.]+/")
    seen.page.keyboard.press("r")
    seen.page.click("#confirm button[value=ok]")
    seen.page.wait_for_selector("#patient >> text=learning")
    answer, text = shown.page.act(patient=name, what="mark", family=3, word="normal")
    assert (answer, "the patient has no family 3" in text) == (409, True)
    answer, text = shown.page.act(patient="who", what="ack")
    assert (answer, "no patient 'who'" in text) == (409, True)
    assert seen.errors == []


@pytest.mark.slow
def test_what_is_old_is_said_and_comes_back(chromium: Any, shown: Ward) -> None:
    """No worker, then no server: seconds, large, no heart rate, and why; then all goes on."""
    seen = Seen(chromium, shown.page.url)
    wait_until(lambda: seen.values() > 300, WITHIN_S)
    seen.page.wait_for_selector(".tile .rate >> text=/[0-9]+/")
    shown.worker.send_signal(signal.SIGKILL)
    seen.page.wait_for_selector("#stale:visible")
    seen.page.wait_for_selector("#stale-text >> text=No worker of the ward")
    assert seen.page.locator(".tile .rate >> text=/[0-9]+/").count() == 0
    shown.work()
    seen.page.wait_for_selector("#stale", state="hidden")
    seen.page.wait_for_selector(".tile .rate >> text=/[0-9]+/")
    shown.nats.kill()
    seen.page.wait_for_selector("#stale-text >> text=No connection to nats://")
    wait_until(lambda: int(seen.text("#stale-seconds").removesuffix(" s")) >= 5)
    answer, text = shown.page.act(patient="bed0", what="ack")
    assert (answer, "not asked: no connection to" in text) == (409, True)
    values = seen.values()
    shown.nats.start()
    seen.page.wait_for_selector("#stale", state="hidden")
    wait_until(lambda: seen.values() > values + 200, WITHIN_S)
    assert seen.errors == []


@pytest.mark.slow
def test_a_ward_that_is_not_there_yet_is_waited_for(chromium: Any, tmp_path: Path) -> None:
    """The page is served, and says why nothing comes; the ward's patients are seen when it does."""
    with ward_server(partitions=1) as nats:
        nats.kill()
        with page_server_of(tmp_path, "--ward", nats.access.servers) as page:
            seen = Seen(chromium, page.url, has_patients=False)
            seen.page.wait_for_selector("#stale-text >> text=No NATS server answers")
            nats.start()
            with heartbeats(nats, {0: "bed-a"}):
                seen.page.wait_for_selector(".tile .rate >> text=75")
                seen.page.wait_for_selector("#stale", state="hidden")
            assert seen.errors == []


@contextlib.contextmanager
def heartbeats(nats: WardServer, served: dict[int, str]) -> Iterator[None]:
    """Send heartbeats of partitions, each with one patient, as workers do, for the block."""
    over = threading.Event()

    async def work(link: WardLink, ward: WardIdentity) -> None:
        while not over.is_set():
            for partition, name in list(served.items()):
                patient = patient_status(patient=name, record=name, heart_rate_bpm=75.0)
                told = status(
                    patients=[patient],
                    journal=ward.journal(partition),
                    ward=WardCounts(monitoring=1),
                    newest_seq=0,
                )
                await link.publish(status_subject(partition), encode_json(told))
            await asyncio.sleep(0.3)

    thread = threading.Thread(target=nats.run, args=(work,))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.slow
def test_a_patient_whom_nobody_serves_is_shown_as_such(chromium: Any, tmp_path: Path) -> None:
    """One of two partitions has no worker: its patient has no heart rate, the other goes on."""
    served = {0: "bed-a", 1: "bed-b"}
    with (
        ward_server(partitions=2) as nats,
        heartbeats(nats, served),
        page_server_of(tmp_path, "--ward", nats.access.servers) as page,
    ):
        seen = Seen(chromium, page.url)
        rates = seen.page.locator(".tile .rate >> text=75")
        wait_until(lambda: rates.count() == 2)
        wait_until(lambda: seen.page.locator("#faults li").count() == 0)
        del served[1]
        seen.page.wait_for_selector("#faults >> text=nobody serves partitions 1 (1 patient)")
        seen.page.wait_for_selector(".tile.technical >> text=no worker of the ward serves")
        assert rates.count() == 1
        assert seen.page.is_hidden("#stale")
        served[1] = "bed-b"
        wait_until(lambda: rates.count() == 2)
        wait_until(lambda: seen.page.locator("#faults li").count() == 0)
        assert seen.errors == []
