"""The page in a real browser: what a person sees of a monitor, and does.

Debian's Chromium, driven by Playwright; skipped where there is none.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitor.wire.messages import FamilyStatus
from tests.messages import alert
from tests.monitor.ports import free_port
from tests.monitor.web.fake_monitor import FakeMonitor, fake_monitor, high_alert
from tests.monitor.web.page_server import TOKEN, PageServer, page_server, token_file, wait_until
from tests.monitor.web.seen import Seen, chromium_or_skip

pytest.importorskip("starlette", reason="the extra web is not installed")

HOSTILE = "<img src=x onerror=alert(1)>"
NARROW = (390, 844)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with chromium_or_skip() as browser:
        yield browser


@pytest.fixture
def monitor() -> Iterator[FakeMonitor]:
    with fake_monitor("bed-1", "bed-2", HOSTILE) as running:
        yield running


@pytest.fixture
def server(monitor: FakeMonitor, tmp_path: Path) -> Iterator[PageServer]:
    token = token_file(tmp_path)
    with page_server(monitor.alerts, monitor.wave, tmp_path, "--token", str(token)) as running:
        yield running


def test_the_signal_moves(chromium: Any, server: PageServer) -> None:
    """In the tiles and on a patient's page; nothing is wrong in the console."""
    seen = Seen(chromium, server.url)
    wait_until(lambda: seen.values() > 0)
    before = seen.picture()
    wait_until(lambda: seen.picture() != before)
    seen.page.click(".tile >> text=bed-1")
    seen.page.wait_for_selector(".lead canvas")
    wait_until(lambda: seen.values() > 120)
    before = seen.picture(".lead canvas")
    wait_until(lambda: seen.picture(".lead canvas") != before)
    wait_until(lambda: "latest beats" in seen.text("#losses-said"))
    seen.page.keyboard.press("Escape")
    seen.page.wait_for_selector("#patient", state="hidden")
    assert seen.errors == []


def test_an_alert_appears_and_is_acknowledged(
    chromium: Any, server: PageServer, monitor: FakeMonitor
) -> None:
    """It comes first, in words; who has the token acknowledges it, who has not cannot."""
    seen = Seen(chromium, server.url)
    monitor.changes["bed-2"] = {"latched": True}
    monitor.say(high_alert("bed-2"))
    seen.page.wait_for_selector("li:first-child .tile.high >> text=ALERT high")
    seen.page.click("li:first-child .tile")
    wait_until(lambda: seen.text("#patient-name") == "bed-2")
    assert seen.page.is_disabled("[data-act=ack]")
    seen.page.keyboard.press("a")
    assert monitor.asked == []
    seen.enter_token("wrong")
    seen.page.wait_for_selector("#token-answer >> text=wrong token")
    seen.page.click("#token-cancel")
    seen.enter_token(TOKEN)
    seen.page.wait_for_selector("#token-dialog", state="hidden")
    seen.page.wait_for_selector("[data-act=ack]:enabled")
    seen.page.keyboard.press("a")
    seen.page.wait_for_selector("#answer >> text=acknowledged bed-2")
    seen.page.wait_for_selector("[data-act=ack]:disabled")
    assert [one.patient for one in monitor.asked] == ["bed-2"]
    assert TOKEN not in seen.page.url
    assert [text for text in seen.errors if "401" not in text] == []


def test_a_family_is_marked_after_a_question(
    chromium: Any, server: PageServer, monitor: FakeMonitor
) -> None:
    """The anomalous beat stands over its reconstruction; its family can be called normal."""
    monitor.changes["bed-1"] = {"families": [FamilyStatus(4, 12, 3, shape=[0, 100, -20, 0])]}
    beat = [0.01 * i for i in range(140)]
    monitor.say(
        msgspec.structs.replace(alert(patient="bed-1", record="bed-1"), family=4, beat=beat)
    )
    seen = Seen(chromium, server.url)
    seen.page.goto(f"{server.url}/#patient=bed-1")
    seen.page.wait_for_selector("#latest canvas")
    seen.enter_token(TOKEN)
    seen.page.click("#families button:enabled >> text=Normal")
    seen.page.click("#confirm button >> text=Yes")
    wait_until(lambda: bool(monitor.asked))
    (asked,) = monitor.asked
    assert (asked.family, asked.word, asked.by) == (4, "normal", "Ada")
    assert seen.errors == []


def test_what_is_old_is_said_in_seconds(
    chromium: Any, server: PageServer, monitor: FakeMonitor
) -> None:
    """When the monitor falls silent: large, with the seconds, no heart rate; until it is heard."""
    seen = Seen(chromium, server.url)
    seen.page.wait_for_selector(".tile .rate >> text=75")
    assert seen.page.is_hidden("#stale")
    monitor.stop()
    seen.page.wait_for_selector("#stale:visible")
    assert "No word from the monitor" in seen.text("#stale-text")
    seconds = int(seen.text("#stale-seconds").removesuffix(" s"))
    assert seconds >= 3
    wait_until(lambda: int(seen.text("#stale-seconds").removesuffix(" s")) > seconds)
    height = seen.page.eval_on_selector(
        "#stale-seconds", "one => one.getBoundingClientRect().height"
    )
    assert height > 40
    assert seen.page.locator(".tile .rate >> text=75").count() == 0
    monitor.start()
    seen.page.wait_for_selector("#stale", state="hidden")
    assert seen.errors == []


def test_the_page_connects_again(chromium: Any, monitor: FakeMonitor, tmp_path: Path) -> None:
    """When its server is gone it says so; when the server is back it goes on by itself."""
    with page_server(monitor.alerts, monitor.wave, tmp_path) as server:
        seen = Seen(chromium, server.url)
        wait_until(lambda: seen.values() > 0)
    seen.page.wait_for_selector("#stale:visible")
    assert "No word from this page's server" in seen.text("#stale-text")
    with page_server(monitor.alerts, monitor.wave, tmp_path, port=server.port):
        seen.page.wait_for_selector("#stale", state="hidden")
        before = seen.values()
        wait_until(lambda: seen.values() > before)
        seen.page.close()


def test_a_name_is_text_whatever_it_says(chromium: Any, server: PageServer) -> None:
    """No markup of a patient's name becomes part of the page, in tile and page alike."""
    seen = Seen(chromium, server.url)
    seen.page.click(f".tile >> text={HOSTILE}")
    wait_until(lambda: seen.text("#patient-name") == HOSTILE)
    assert seen.page.locator("img").count() == 0
    assert seen.errors == []


def test_keys_do_what_a_hand_would(chromium: Any, server: PageServer) -> None:
    """`/` searches, Enter goes to what was found and opens it, Escape goes back."""
    seen = Seen(chromium, server.url)
    wait_until(lambda: seen.page.locator(".tile").count() == 3)
    seen.page.keyboard.press("/")
    seen.page.keyboard.type("bed-2")
    wait_until(lambda: seen.page.locator(".tile:visible").count() == 1)
    seen.page.keyboard.press("Enter")
    seen.page.keyboard.press("Enter")
    wait_until(lambda: seen.text("#patient-name") == "bed-2")
    seen.page.keyboard.press("Escape")
    seen.page.wait_for_selector("#patient", state="hidden")
    seen.page.keyboard.press("/")
    seen.page.keyboard.press("Escape")
    wait_until(lambda: seen.page.locator(".tile:visible").count() == 3)
    seen.page.keyboard.press("ArrowDown")
    seen.page.keyboard.press("ArrowRight")
    assert seen.page.evaluate("document.activeElement.className").startswith("tile")
    assert seen.errors == []


def test_a_small_screen_needs_no_sideways_scrolling(
    chromium: Any, server: PageServer, monitor: FakeMonitor
) -> None:
    """At 390 points, ward and page."""
    monitor.say(high_alert("bed-1"))
    seen = Seen(chromium, server.url, NARROW)
    for part in ("", "#patient=bed-1"):
        seen.page.goto(f"{server.url}/{part}")
        seen.page.wait_for_timeout(500)
        wide = seen.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= NARROW[0]


@pytest.mark.slow
def test_a_monitor_that_is_killed_is_seen_as_old(chromium: Any, tmp_path: Path) -> None:
    """A real run: its signal moves and is judged; killed, the page says how old all is."""
    alerts, wave = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
    command = [sys.executable, "-m", "monitor", "replay", "--no-live", "--loop"]
    command += ["--alerts", alerts, "--wave", wave, "--log", str(tmp_path / "log")]
    with (tmp_path / "replay.txt").open("w") as said:
        run = subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True)
    try:
        with page_server(alerts, wave, tmp_path) as server:
            seen = Seen(chromium, server.url)
            wait_until(lambda: seen.values() > 250, 60.0)
            seen.page.wait_for_selector(".tile >> text=MONITORING")
            os.killpg(run.pid, signal.SIGKILL)
            seen.page.wait_for_selector("#stale:visible")
            began_s = time.monotonic()
            wait_until(lambda: int(seen.text("#stale-seconds").removesuffix(" s")) >= 5)
            assert time.monotonic() - began_s < 60
            assert seen.errors == []
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
        run.wait(timeout=30)
