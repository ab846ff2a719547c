"""Alerts are handed on to commands and web addresses, within a time, and counted."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path

import pytest

from monitor.delivery.sinks import (
    MAX_LEFT_BEHIND,
    Command,
    Delivery,
    DeliveryFailed,
    Target,
    Webhook,
)
from monitor.errors import InvalidOption
from tests.messages import alarm, alert, beat_scored, technical

PYTHON = f"{sys.executable} -c"


class Handler(BaseHTTPRequestHandler):
    """Answers as the path says."""

    bodies: list[bytes] = []  # noqa: RUF012  of the one server that runs at a time

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        match self.path:
            case "/ok":
                self.bodies.append(body)
                self.send_response(204)
            case "/moved":
                self.send_response(302)
                self.send_header("Location", "/ok")
            case "/silent":
                threading.Event().wait(1.0)
                return
            case "/nonsense":
                self.wfile.write(b"this is no HTTP\r\n\r\n")
                return
            case _:
                self.send_response(500)
        self.end_headers()

    def log_message(self, *given: object) -> None:
        return


@contextmanager
def server() -> Iterator[str]:
    """Serve on a free port of this machine."""
    with HTTPServer(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()
        thread.join()


def test_a_command_gets_the_alert_on_its_stdin(tmp_path: Path) -> None:
    """As one line of JSON; words are split as a shell would, and no shell runs."""
    out = tmp_path / "it's here; echo"
    copy = "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())"
    target = Command(f'{PYTHON} "{copy}" "{out}"')
    delivery = Delivery([target], pytest.fail)
    delivery.take(alert(id="aa"))
    assert json.loads(out.read_text())["id"] == "aa"
    delivery.take(alarm(id="bb"))
    told = json.loads(out.read_text())
    assert [told[name] for name in ("id", "kind", "priority", "loss")] == [
        "bb", "asystole", "high", None,
    ]  # fmt: skip
    assert (delivery.delivered, delivery.failed) == (2, 0)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"{PYTHON} 'raise SystemExit(3)'", "exit code 3"),
        (f"{PYTHON} 'import time; time.sleep(60)'", "did not end within"),
        ("/nowhere/at/all", "No such file"),
    ],
)
def test_a_command_that_fails_is_counted_and_said(line: str, said: str) -> None:
    """After three tries; the alert is named, and the next one is tried again."""
    told: list[str] = []
    delivery = Delivery([Command(line, limit_s=0.3)], told.append)
    delivery.take(alert(id="aa"))
    delivery.take(technical(id="bb"))
    assert (delivery.delivered, delivery.failed) == (0, 2)
    assert said in told[0]
    assert "alert aa" in told[0]


def test_a_command_s_error_is_shown_once_then_counted() -> None:
    """The last line it wrote; then counts at 10, 100 and so on, and at the end."""
    told: list[str] = []
    script = "import sys; sys.stderr.write('Traceback\\nboom \\x1b[2J\\n'); sys.exit(3)"
    command = Command(f'{PYTHON} "{script}"')
    with pytest.raises(DeliveryFailed, match="exit code 3") as caught:
        command.send("{}")
    assert caught.value.detail == "boom \x1b[2J"  # a screen makes it harmless

    class Failing:
        def __str__(self) -> str:
            return "pager"

        def send(self, line: str) -> None:
            raise caught.value

    delivery = Delivery([Failing()], told.append)
    for number in range(12):
        delivery.take(alert(id=f"{number:02d}"))
    first, *rest = told
    assert "alert 00 could not be handed on (exit code 3: boom" in first
    assert rest == ["pager: 10 alerts could not be handed on, 0 were"]
    delivery.finish()
    delivery.finish()
    assert told[2:] == ["pager: 12 alerts could not be handed on, 0 were"]


def test_each_kind_of_failure_is_shown_and_its_end() -> None:
    """Another error is news; so is that alerts are taken again."""
    told: list[str] = []
    outcomes = ["refused"] * 3 + ["exit code 1"] + [""] * 2

    class Mending:
        def __str__(self) -> str:
            return "pager"

        def send(self, line: str) -> None:
            outcome = outcomes[int(json.loads(line)["id"])]
            if outcome:
                raise DeliveryFailed(outcome)

    delivery = Delivery([Mending()], told.append)
    for number in range(len(outcomes)):
        delivery.take(alert(id=f"{number:02d}"))
    delivery.finish()
    assert [one.partition(";")[0] for one in told] == [
        "pager: alert 00 could not be handed on (refused)",
        "pager: alert 03 could not be handed on (exit code 1)",
        "pager: 4 alerts could not be handed on, 1 were",
    ]
    assert (delivery.delivered, delivery.failed) == (2, 4)


def test_a_command_may_leave_something_running() -> None:
    """What it left behind holds its standard error open; it is not waited for."""
    Command("sh -c 'sleep 3 & exit 0'", limit_s=1.0).send("{}")


def test_without_space_for_its_errors_a_command_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk keeps no alert from being handed on; what the command wrote is lost."""

    def full() -> None:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(DeliveryFailed, match="exit code 3") as caught:
        Command("sh -c 'echo boom >&2; exit 3'").send("{}")
    assert caught.value.detail == ""


def test_a_command_that_does_not_read_is_no_failure() -> None:
    """What it makes of its input is its own affair."""
    Command(f"{PYTHON} pass").send("x" * 1_000_000)


def test_a_second_try_delivers() -> None:
    """What fails once is tried again."""

    class Flaky:
        tries = 0

        def send(self, line: str) -> None:
            self.tries += 1
            if self.tries < 3:
                raise DeliveryFailed("not yet")

    flaky: Target = Flaky()
    delivery = Delivery([flaky], pytest.fail)
    delivery.take(alert())
    delivery.take(beat_scored())  # no alert
    assert (delivery.delivered, delivery.failed) == (1, 0)


def test_a_web_address_gets_the_alert() -> None:
    """As the body of a POST."""
    with server() as url:
        Webhook(f"{url}/ok").send('{"id":"aa"}')
        assert Handler.bodies.pop() == b'{"id":"aa"}'


@pytest.mark.parametrize(
    ("path", "said"),
    [("/gone", "Error"), ("/moved", "302|Found"), ("/silent", "no answer"), ("/nonsense", "no ")],
)
def test_a_web_address_that_fails(path: str, said: str) -> None:
    """Errors, redirects, silence and nonsense are failures, and none blocks."""
    with server() as url, pytest.raises(DeliveryFailed, match=said):
        Webhook(url + path, limit_s=0.3).send("{}")


def test_nobody_there() -> None:
    """A refused connection is a failure like others."""
    with server() as url:
        pass
    with pytest.raises(DeliveryFailed, match="refused"):
        Webhook(url, limit_s=5).send("{}")


@pytest.mark.parametrize("url", ["", "ftp://x/", "file:///etc/passwd", "http://", "http://a\nb/"])
def test_what_is_no_web_address(url: str) -> None:
    """Only http and https, with a host."""
    with pytest.raises(InvalidOption, match="--webhook"):
        Webhook(url)


@pytest.mark.parametrize("line", ["", "  ", "'open"])
def test_what_is_no_command(line: str) -> None:
    """An empty or unfinished line is refused before anything runs."""
    with pytest.raises(InvalidOption, match="--on-alert"):
        Command(line)


def test_tries_that_are_given_up_do_not_pile_up() -> None:
    """While a server holds so many tries open, a further one fails at once, without a thread."""
    over = threading.Event()

    class Trickling(Handler):
        def do_POST(self) -> None:
            with contextlib.suppress(OSError):
                while not over.wait(0.02):  # of a line without end
                    self.wfile.write(b"H")

    with ThreadingHTTPServer(("127.0.0.1", 0), Trickling) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        target = Webhook(f"http://127.0.0.1:{serving.server_port}", limit_s=0.2)
        for _ in range(MAX_LEFT_BEHIND):
            with pytest.raises(DeliveryFailed, match="no answer"):
                target.send("{}")
        with pytest.raises(DeliveryFailed, match="still wait for an answer"):
            target.send("{}")
        over.set()
        serving.shutdown()
        thread.join()


def test_a_command_is_killed_when_it_is_left(tmp_path: Path) -> None:
    """A second Ctrl-C leaves nothing of --on-alert behind: not the command, nor what it began."""
    pids = tmp_path / "pids"
    child = "import subprocess as s, sys, os; p = s.Popen(['sleep', '60']); "
    child += f"open({str(pids)!r} + '~', 'w').write(str(p.pid)); "
    child += f"os.rename({str(pids)!r} + '~', {str(pids)!r}); p.wait()"

    def interrupt() -> None:
        while not pids.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    interrupting = threading.Thread(target=interrupt, daemon=True)
    # Where the tests run in the background of a shell, it has had SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        interrupting.start()
        with pytest.raises(KeyboardInterrupt):
            Command(f'{PYTHON} "{child}"', limit_s=60).send("{}")
    finally:
        signal.signal(signal.SIGINT, before)
    interrupting.join()
    deadline_s = time.monotonic() + 10
    while _runs(int(pids.read_text())):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return listed.stdout.strip()[:1] not in ("", "Z")
