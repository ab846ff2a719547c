"""A terminal that cannot show drawings gets plain lines, and one notice."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.cli.terminal import never_fail_on_characters, why_plain
from tests.monitor.ports import free_port

ROOT = Path(__file__).resolve().parents[3]


def terminal(encoding: str = "utf-8") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"LANG": ""},
        {"LANG": "en_US.UTF-8"},
        {"LANG": "C.UTF-8"},
        {"LANG": "C", "LC_ALL": "de_DE.UTF-8"},
        {"LANG": "C", "PYTHONUTF8": "1"},
        {"LANG": "C", "PYTHONIOENCODING": "utf-8"},
    ],
)
def test_a_terminal_that_can_draw_is_drawn_on(environ: dict[str, str]) -> None:
    """Nothing said of the locale, as in a container, is no reason either."""
    assert why_plain(terminal(), {"TERM": "xterm", **environ}, utf8_mode=True) is None


@pytest.mark.parametrize(
    ("environ", "encoding", "said"),
    [
        ({"TERM": "dumb"}, "utf-8", "TERM=dumb"),
        ({"TERM": "unknown"}, "utf-8", "TERM=unknown"),
        ({}, "utf-8", "TERM="),
        ({"TERM": "xterm"}, "ascii", "ascii"),
        ({"TERM": "xterm"}, "iso8859-1", "iso8859-1"),
        ({"TERM": "xterm", "LANG": "C"}, "utf-8", "locale is C,"),
        ({"TERM": "xterm", "LANG": "C", "LC_CTYPE": "C.UTF-8"}, "utf-8", "locale is C,"),
        ({"TERM": "xterm", "LANG": "en_US.UTF-8", "LC_ALL": "POSIX"}, "utf-8", "locale is POSIX"),
    ],
)
def test_one_that_cannot_says_why(environ: dict[str, str], encoding: str, said: str) -> None:
    """TERM, the encoding, or the locale, which Python has taken for UTF-8."""
    reason = why_plain(terminal(encoding), environ, utf8_mode=True)
    assert reason is not None
    assert said in reason


def test_a_person_may_ask_for_utf_8_characters_alone() -> None:
    """LC_CTYPE goes before LANG where it was not Python that set it."""
    environ = {"TERM": "xterm", "LANG": "C", "LC_CTYPE": "C.UTF-8"}
    assert why_plain(terminal(), environ, utf8_mode=False) is None


def test_a_name_in_other_characters_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the encoding lacks is written as ?, not as a traceback."""
    out, errors = terminal("ascii"), terminal("utf-8")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", errors)
    never_fail_on_characters()
    for stream in (out, errors):
        stream.write("M\u00fcller")
        stream.flush()
    assert isinstance(out.buffer, io.BytesIO)
    assert isinstance(errors.buffer, io.BytesIO)
    assert out.buffer.getvalue() == b"M?ller"
    assert errors.buffer.getvalue() == "M\u00fcller".encode()


def test_replay_on_a_dumb_terminal_writes_plain_lines(tmp_path: Path) -> None:
    """The whole run, without one escape sequence, and one notice before it."""
    alerts = f"tcp://127.0.0.1:{free_port()}"
    words = ["replay", "--duration", "5", "--speed", "max", "--alerts", alerts]
    env = {**os.environ, "TERM": "dumb", "PYTHONPATH": str(ROOT)}
    control, terminal_end = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "monitor", *words],
        stdin=terminal_end, stdout=terminal_end, stderr=subprocess.PIPE, text=True, env=env,
    ) as process:  # fmt: skip
        os.close(terminal_end)
        assert process.stderr is not None
        errors = process.stderr.read()
        assert process.wait(60) == 0, errors
    written = os.read(control, 1 << 16).decode()
    os.close(control)
    assert "ENDED" in written
    assert "\x1b" not in written
    assert errors == (
        "ecg-monitor: plain lines instead of the live view: "
        "the terminal (TERM=dumb) can only write lines\n"
        "ecg-monitor: chf07-style-v1: leads ECG1, ECG2 at 250 Hz\n"
    )
