"""What the page for browsers costs: CPU time of `ecg-monitor web` beside a ward of live patients.

    python -m tools.bench_web                        # 200 patients, one page that shows all
    python -m tools.bench_web --patients 50 --pages 4 --seconds 20
    python -m tools.bench_web --browser /usr/bin/chromium    # and a real one, driven by Playwright

The ward is that of `ecg-monitor bench ward`. A page is a WebSocket that looks at 200 patients and
reads all it is sent.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from websockets.asyncio.client import connect

from monitor.run.short_folder import base_folder
from monitor.run.supervisor import Supervisor
from monitor.run.ward_bench import ward_settings
from monitor.web.station import MAX_SHOWN

OPEN_S = 60.0
WARM_UP_S = 10.0
PORT = 8579
URL = f"127.0.0.1:{PORT}"


@dataclass
class Heard:
    """What a page was sent."""

    frames: int = 0
    texts: int = 0
    signal_bytes: int = 0
    text_bytes: int = 0
    patients: set[int] = field(default_factory=set)


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--patients", type=int, default=200)
    parser.add_argument("--pages", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--browser", help="path of a Chromium that shows the ward too")
    parser.add_argument("--picture", help="where its screenshot goes")
    given = parser.parse_args(arguments)
    with ward(given.patients) as (server, stages):
        heard = [Heard() for _ in range(given.pages)]
        before: dict[str, float] = {}

        def begin() -> None:
            before.update(_cpu_s(server, stages))
            for one in heard:
                one.frames = one.texts = one.signal_bytes = one.text_bytes = 0

        with browser(given.browser, given.seconds + WARM_UP_S, given.picture):
            asyncio.run(_look(heard, given.seconds, begin))
        after = _cpu_s(server, stages)
        memory_mb = _memory_mb(server)
    for name, used_s in before.items():
        print(f"{name:<10} {100 * (after[name] - used_s) / given.seconds:5.1f} % of a core")
    print(f"web        {memory_mb:.0f} MB resident")
    for one in heard:
        signal_kb, text_kb = one.signal_bytes / 1000, one.text_bytes / 1000
        print(
            f"page       {one.frames / given.seconds:.1f} frames/s of signal, "
            f"{signal_kb / given.seconds:.0f} kB/s, {text_kb / given.seconds:.0f} kB/s of text, "
            f"of {len(one.patients)} patients"
        )


@contextlib.contextmanager
def ward(patients: int) -> Iterator[tuple[int, dict[str, int]]]:
    """Let a ward live, with the web server beside it; the value is its process and the stages'."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=base_folder())))
        settings = ward_settings(folder, patients, 1)
        supervisor = stack.enter_context(Supervisor(settings, folder))
        deadline_s = time.monotonic() + OPEN_S
        while not supervisor.ready:
            supervisor.poll()
            time.sleep(0.05)
            if time.monotonic() > deadline_s:
                raise SystemExit(f"the stages were not ready within {OPEN_S:.0f} s")
        supervisor.begin()
        stopped = threading.Event()

        def attend() -> None:
            while not stopped.wait(0.1):
                supervisor.poll()

        attending = threading.Thread(target=attend)
        attending.start()
        stack.callback(attending.join)
        stack.callback(stopped.set)
        command = [sys.executable, "-m", "monitor", "web", settings[2].alerts]
        command += ["--wave", settings[1].wave, "--listen", URL]
        server = subprocess.Popen(command)
        stack.callback(server.wait)
        stack.callback(server.terminate)
        time.sleep(WARM_UP_S)
        pids = {str(name): pid for name, pid in supervisor.pids.items()}
        yield server.pid, pids


async def _look(heard: list[Heard], seconds: float, begin: object) -> None:
    pages = [asyncio.create_task(_page(one)) for one in heard]
    await asyncio.sleep(WARM_UP_S)
    assert callable(begin)
    begin()
    await asyncio.sleep(seconds)
    for page in pages:
        page.cancel()
    for ended in await asyncio.gather(*pages, return_exceptions=True):
        if isinstance(ended, Exception):
            raise ended


async def _page(heard: Heard) -> None:
    """Look at all patients that are told, and count what comes."""
    async with connect(f"ws://{URL}/live", max_size=None, compression=None) as socket:
        async for message in socket:
            if isinstance(message, bytes):
                heard.frames += 1
                heard.signal_bytes += len(message)
                continue
            heard.texts += 1
            heard.text_bytes += len(message)
            order = msgspec.json.decode(message).get("order")
            if order and set(order[:MAX_SHOWN]) != heard.patients:
                heard.patients = set(order[:MAX_SHOWN])
                looks = {"type": "looks", "tiles": order[:MAX_SHOWN], "page": None}
                await socket.send(msgspec.json.encode(looks).decode())


@contextlib.contextmanager
def browser(path: str | None, seconds: float, picture: str | None) -> Iterator[None]:
    """Show the ward in a real browser while the block lasts, and say how it kept up."""
    if path is None:
        yield
        return
    script = [sys.executable, __file__, "show", path, str(seconds), picture or ""]
    shown = subprocess.Popen(script)
    try:
        yield
    finally:
        shown.wait(timeout=120)


def show(path: str, seconds: float, picture: str) -> None:
    """Open the page in a tall window, in which all tiles are seen, and count its frames."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1920, "height": 1600})
        page.goto(f"http://{URL}/")
        page.click("#small-button")
        time.sleep(5)
        frames = page.evaluate(
            "(ms) => new Promise((done) => { let n = 0; const from = performance.now();"
            "const one = (now) => { n += 1; if (now - from > ms) done(1000 * n / (now - from));"
            "else requestAnimationFrame(one); }; requestAnimationFrame(one); })",
            1000 * max(1.0, seconds - 10),
        )
        behind = page.evaluate("() => window.ecgMonitor.behind()")
        print(f"browser    {frames:.0f} screen frames/s, {behind['traces']} signals, ", end="")
        print(f"{behind['behind_s']:.2f} s not drawn yet at most")
        if picture:
            page.screenshot(path=picture)
        chromium.close()


def _cpu_s(server: int, stages: dict[str, int]) -> dict[str, float]:
    ticks = os.sysconf("SC_CLK_TCK")
    found = {}
    for name, pid in {"web": server, **stages}.items():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        found[name] = (int(fields[11]) + int(fields[12])) / ticks
    return found


def _memory_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    if sys.argv[1:2] == ["show"]:
        show(sys.argv[2], float(sys.argv[3]), sys.argv[4])
    else:
        main()
