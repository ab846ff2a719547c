"""What `ecg-monitor doctor` finds on a machine."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from monitor.run import checkup
from monitor.run.checkup import Check, checks, exit_code, extras
from tests.monitor.ports import free_port


def found(why_plain: str | None = None) -> dict[str, Check]:
    return {one.about: one for one in checks(why_plain, 120, 40)}


def test_a_machine_that_can_run_a_monitor_has_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Versions, model, terminal, ports and folders are named, each in one line of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "not" / "yet"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    seen = found()
    assert {"ecg-monitor", "libraries", "model", "[learn]", "terminal", "ports"} <= seen.keys()
    assert exit_code(seen.values()) == 0
    assert seen["cache"].text.startswith(str(tmp_path / "not" / "yet" / "ecg-monitor"))
    assert seen["terminal"] == Check("ok", "terminal", "120 x 40, shows the live view")
    assert not [one for one in seen.values() if "\n" in one.text]


def test_a_terminal_that_shows_lines_alone_is_no_fault() -> None:
    """The reason is passed on."""
    assert found("TERM is dumb")["terminal"].state == "note"
    assert "TERM is dumb" in found("TERM is dumb")["terminal"].text


def test_a_cache_that_cannot_be_made_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file where the folder should lie; the line names the folder."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    seen = found()
    assert seen["cache"].state == "fault"
    assert "cannot be written" in seen["cache"].text
    assert exit_code(seen.values()) == 1


def test_a_port_that_is_held_is_named_with_its_holder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another monitor can still run, on another address."""
    port = free_port()
    monkeypatch.setitem(checkup.PORTS, "alerts", f"tcp://127.0.0.1:{port}")
    with socket.create_server(("127.0.0.1", port)):
        seen = found()["ports"]
    assert seen.state == "note"
    assert f"alerts ({port})" in seen.text
    assert "process" in seen.text


def test_extras_are_those_of_the_package_s_metadata() -> None:
    """With any spelling of the marker; what developers need is left out, and extras of extras."""
    metadata = [
        "numpy>=1.26",
        "torch>=2.4; extra == 'learn'",
        'bleak>=3; sys_platform == "linux" and extra == "ble"',
        "ecg-monitor[learn]; extra == 'all'",
        "pytest>=8; extra == 'dev'",
    ]
    assert extras(metadata) == {"learn": ["torch"], "ble": ["bleak"]}


def test_all_is_named_for_what_no_smaller_extra_brings() -> None:
    """Extras of extras stand spelt out in the metadata: PyTorch alone is no reason for all."""
    metadata = [
        "torch>=2.4; extra == 'all'",
        "torch>=2.4; extra == 'learn'",
        "bleak>=3; extra == 'ble'",
    ]
    assert extras(metadata) == {"learn": ["torch"], "ble": ["bleak"]}
    more = [*metadata, "scikit-learn>=1.5; extra == 'all'"]
    assert extras(more) == {"learn": ["torch"], "ble": ["bleak"], "all": ["scikit-learn"]}


def test_of_an_extra_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not what is there, and the extra that brings it."""
    wanted = ["numpy>=1; extra == 'web'", "no-such-a>=1; extra == 'web'"]
    monkeypatch.setattr(checkup, "requires", lambda _name: [*wanted, "no-b; extra == 'ble'"])
    seen = found()
    assert seen["[web]"] == Check(
        "note", "[web]", "no-such-a not installed; pip install 'ecg-monitor[web]' brings it"
    )
    monkeypatch.setattr(checkup, "requires", lambda _name: [*wanted, "no-b; extra == 'web'"])
    assert found()["[web]"].text.startswith("no-such-a and no-b not installed; ")
