"""Commands get alerts on their standard input, within a time, and leave nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from monitor.delivery.sinks.command import Command
from monitor.delivery.sinks.sink import DeliveryFailed, Rejected
from monitor.errors import InvalidOption
from tests.messages import alarm, alert

PYTHON = f"{sys.executable} -c"


def test_a_command_gets_the_alert_on_its_stdin(tmp_path: Path) -> None:
    """As one line of JSON; words are split as a shell would, and no shell runs."""
    out = tmp_path / "it's here; echo"
    copy = "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())"
    sink = Command(f'{PYTHON} "{copy}" "{out}"')
    sink.send(alert(id="aa"))
    assert json.loads(out.read_text())["id"] == "aa"
    sink.send(alarm(id="bb"))
    told = json.loads(out.read_text())
    assert [told[name] for name in ("id", "kind", "priority", "loss")] == [
        "bb", "asystole", "high", None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "said", "is_refusal"),
    [
        (f"{PYTHON} 'raise SystemExit(3)'", "exit code 3", True),
        (f"{PYTHON} 'import time; time.sleep(60)'", "did not end within", True),
        (f"{PYTHON} 'raise SystemExit(75)'", "exit code 75", False),
        ("sh -c 'kill -9 $$'", "signal 9", False),
        ("/nowhere/at/all", "No such file", False),
    ],
)
def test_what_fails_says_whether_it_is_the_alert(line: str, said: str, is_refusal: bool) -> None:
    """A program that cannot run, was killed or asks for later is no refusal of the alert."""
    with pytest.raises(DeliveryFailed, match=said) as caught:
        Command(line, limit_s=0.3).send(alert())
    assert isinstance(caught.value, Rejected) == is_refusal


@pytest.mark.parametrize(
    ("line", "operator"), [("cat >> alerts.json", ">>"), ("jq .kind|mail ada", "|"), ("a; b", ";")]
)
def test_what_only_a_shell_obeys_is_refused(line: str, operator: str) -> None:
    """As an argument it would fail at each alert, hours later."""
    with pytest.raises(InvalidOption, match="sh -c") as refused:
        Command(line)
    assert f": {operator} is a shell's" in str(refused.value)


@pytest.mark.parametrize("line", ["cut -d '|'", "sh -c 'cat >> a; true'", "say it\\'s", "x #1"])
def test_in_quotes_it_is_an_argument(line: str) -> None:
    """Such as of a shell that is named."""
    assert str(Command(line)) == line.split()[0]


def test_a_command_s_error_is_its_last_line() -> None:
    """Of what it wrote to standard error."""
    script = "import sys; sys.stderr.write('Traceback\\nboom \\x1b[2J\\n'); sys.exit(3)"
    with pytest.raises(DeliveryFailed, match="exit code 3") as caught:
        Command(f'{PYTHON} "{script}"').send(alert())
    assert caught.value.detail == "boom \x1b[2J"  # a screen makes it harmless


def test_a_command_may_leave_something_running() -> None:
    """What it left behind holds its standard error open; it is not waited for."""
    Command("sh -c 'sleep 3 & exit 0'", limit_s=1.0).send(alert())


def test_without_space_for_its_errors_a_command_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk keeps no alert from being handed on; what the command wrote is lost."""

    def full() -> None:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(DeliveryFailed, match="exit code 3") as caught:
        Command("sh -c 'echo boom >&2; exit 3'").send(alert())
    assert caught.value.detail == ""


def test_a_command_that_does_not_read_is_no_failure() -> None:
    """What it makes of its input is its own affair."""
    Command(f"{PYTHON} pass").send(alert(beat=[0.123456] * 100_000))


@pytest.mark.parametrize("line", ["", "  ", "''", "'open"])
def test_what_is_no_command(line: str) -> None:
    """An empty or unfinished line is refused before anything runs."""
    with pytest.raises(InvalidOption, match="--on-alert"):
        Command(line)


def test_closing_kills_the_command_and_what_it_began(tmp_path: Path) -> None:
    """A second Ctrl-C leaves nothing of --on-alert behind."""
    pids = tmp_path / "pids"
    child = "import subprocess as s, sys, os; p = s.Popen(['sleep', '60']); "
    child += f"open({str(pids)!r} + '~', 'w').write(str(p.pid)); "
    child += f"os.rename({str(pids)!r} + '~', {str(pids)!r}); p.wait()"
    sink = Command(f'{PYTHON} "{child}"', limit_s=60)

    def sends() -> None:
        with pytest.raises(DeliveryFailed, match="signal 9"):
            sink.send(alert())

    thread = threading.Thread(target=sends)
    thread.start()
    while not pids.exists():
        time.sleep(0.01)
    sink.close()
    thread.join(10)
    deadline_s = time.monotonic() + 10
    while _runs(int(pids.read_text())):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_ctrl_c_in_the_middle_kills_it(tmp_path: Path) -> None:
    """Where a program of one's own calls it in the main thread."""
    pid = tmp_path / "pid"
    command = Command(f"sh -c 'echo $$ > {pid}~; mv {pid}~ {pid}; sleep 60'", limit_s=60)

    def interrupt() -> None:
        while not pid.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    interrupting = threading.Thread(target=interrupt, daemon=True)
    # Where the tests run in the background of a shell, it has had SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        interrupting.start()
        with pytest.raises(KeyboardInterrupt):
            command.send(alert())
    finally:
        signal.signal(signal.SIGINT, before)
    interrupting.join()
    assert not _runs(int(pid.read_text()))


def _runs(pid: int) -> bool:
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return listed.stdout.strip()[:1] not in ("", "Z")
