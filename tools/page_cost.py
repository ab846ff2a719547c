"""What the page for browsers costs: CPU time of `ecg-monitor web` beside a ward of live patients.

    python -m tools.page_cost                        # 200 patients, one page that shows all
    python -m tools.page_cost --patients 50 --pages 4 --seconds 20
    python -m tools.page_cost --browser /usr/bin/chromium    # and a real one, driven by Playwright
    python -m tools.page_cost --nats                 # a ward on NATS with a worker (extra [nats])
    python -m tools.page_cost --quick                # a small ward for a moment

The ward is that of `ecg-monitor bench ward`, or with `--nats` the same patients on NATS. A page is
a WebSocket that looks at 200 patients and reads all it is sent.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket
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
from tools.pages import PROGRAM

OPEN_S = 60.0
WARM_UP_S = 10.0
PORT = 8579


@dataclass
class Heard:
    """What a page was sent."""

    frames: int = 0
    signal_bytes: int = 0
    text_bytes: int = 0
    patients: set[int] = field(default_factory=set)


@dataclass
class Cost:
    """What was measured.

    Attributes
    ----------
    cores : dict of str to float
        CPU time over time, of the server (`web`) and the stages.
    memory_mb : float
        Resident, of the server.
    pages : list of Heard
    seconds : float
    """

    cores: dict[str, float]
    memory_mb: float
    pages: list[Heard]
    seconds: float

    def lines(self) -> Iterator[str]:
        """Yield it for people."""
        for name, cores in self.cores.items():
            yield f"{name:<10} {100 * cores:5.1f} % of a core"
        yield f"web        {self.memory_mb:.0f} MB resident"
        for one in self.pages:
            signal_kb, text_kb = (
                size / 1000 / self.seconds for size in (one.signal_bytes, one.text_bytes)
            )
            yield (
                f"page       {one.frames / self.seconds:.1f} frames/s of signal, "
                f"{signal_kb:.0f} kB/s, {text_kb:.0f} kB/s of text, of {len(one.patients)} patients"
            )


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--patients", type=int, default=200)
    parser.add_argument("--pages", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--port", type=int, default=PORT, help="of the page")
    parser.add_argument("--browser", help="path of a Chromium that shows the ward too")
    parser.add_argument("--picture", help="where its screenshot goes")
    parser.add_argument("--nats", action="store_true", help="of `web --ward`")
    parser.add_argument("--store", type=Path, help="with --nats: where the server's files lie")
    parser.add_argument("--quick", action="store_true", help="5 patients for 2 s")
    given = parser.parse_args(arguments)
    if given.quick:
        given.patients, given.seconds = 5, 2.0
    warm_up_s = 3.0 if given.quick else WARM_UP_S
    url = f"127.0.0.1:{given.port}"
    lives = nats_ward(given.patients, given.store) if given.nats else ward(given.patients)
    with lives as (source, stages), page_server(url, source, warm_up_s) as server:
        shown = browser(given.browser, url, given.seconds + warm_up_s, given.picture)
        with shown:
            cost = asyncio.run(_measured(url, server, stages, given.pages, given.seconds))
    for line in cost.lines():
        print(line)


async def _measured(
    url: str, server: int, stages: dict[str, int], n_pages: int, seconds: float
) -> Cost:
    """Open pages, and measure once they have looked around."""
    heard = [Heard() for _ in range(n_pages)]
    pages = [asyncio.create_task(_page(one, url)) for one in heard]
    while not all(one.frames for one in heard):
        await asyncio.sleep(0.1)
        for page in pages:
            if page.done():
                page.result()
    await asyncio.sleep(1.0)
    before = _cpu_s(server, stages)
    for one in heard:
        one.frames = one.signal_bytes = one.text_bytes = 0
    await asyncio.sleep(seconds)
    after = _cpu_s(server, stages)
    for page in pages:
        page.cancel()
    await asyncio.gather(*pages, return_exceptions=True)
    cores = {name: (after[name] - used_s) / seconds for name, used_s in before.items()}
    return Cost(cores, _memory_mb(server), heard, seconds)


@contextlib.contextmanager
def nats_ward(patients: int, store: Path | None) -> Iterator[tuple[list[str], dict[str, int]]]:
    """Let a ward on NATS live; the value is what the page's server is to show, and processes."""
    from tools.ward_cost import running

    with (
        tempfile.TemporaryDirectory(prefix="ecgm-nats-", dir=store) as folder,
        running(Path(folder), patients, 1, 1) as (access, pids),
    ):
        yield ["--ward", access.servers], pids


@contextlib.contextmanager
def page_server(url: str, source: list[str], warm_up_s: float) -> Iterator[int]:
    """Run the page's server for the block; the value is its process."""
    server = subprocess.Popen([*PROGRAM, "web", *source, "--listen", url])
    try:
        _await_server(url)
        time.sleep(warm_up_s)
        yield server.pid
    finally:
        server.terminate()
        server.wait()


@contextlib.contextmanager
def ward(patients: int) -> Iterator[tuple[list[str], dict[str, int]]]:
    """Let a ward live; the value is what the page's server is to show, and the stages."""
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
        pids = {str(name): pid for name, pid in supervisor.pids.items()}
        yield [settings[2].alerts, "--wave", settings[1].wave], pids


def _await_server(url: str) -> None:
    """Wait until the server listens."""
    host, _, port = url.partition(":")
    deadline_s = time.monotonic() + OPEN_S
    while time.monotonic() < deadline_s:
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1.0):
            return
        time.sleep(0.1)
    raise SystemExit(f"no page at {url} within {OPEN_S:.0f} s")


async def _page(heard: Heard, url: str) -> None:
    """Look at all patients that are told, and count what comes."""
    async with connect(f"ws://{url}/live", max_size=None, compression=None) as line:
        async for message in line:
            if isinstance(message, bytes):
                heard.frames += 1
                heard.signal_bytes += len(message)
                continue
            heard.text_bytes += len(message)
            order = msgspec.json.decode(message).get("order")
            if order and set(order[:MAX_SHOWN]) != heard.patients:
                heard.patients = set(order[:MAX_SHOWN])
                looks = {"type": "looks", "tiles": order[:MAX_SHOWN], "page": None}
                await line.send(msgspec.json.encode(looks).decode())


@contextlib.contextmanager
def browser(path: str | None, url: str, seconds: float, picture: str | None) -> Iterator[None]:
    """Show the ward in a real browser while the block lasts, and say how it kept up."""
    if path is None:
        yield
        return
    script = [sys.executable, __file__, "show", path, url, str(seconds), picture or ""]
    shown = subprocess.Popen(script)
    try:
        yield
    finally:
        shown.wait(timeout=120)


def show(path: str, url: str, seconds: float, picture: str) -> None:
    """Open the page in a tall window, in which all tiles are seen, and count its frames."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1920, "height": 1600})
        page.goto(f"http://{url}/")
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
        show(sys.argv[2], sys.argv[3], float(sys.argv[4]), sys.argv[5])
    else:
        main()
