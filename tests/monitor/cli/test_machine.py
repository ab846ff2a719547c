"""`ecg-monitor doctor` and `sources`: what a person sees."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from monitor.cli.app import app
from monitor.run import found_sources
from monitor.run.found_sources import look_around
from monitor.sources.kinds import schemes
from tests.monitor.ports import free_port


def test_doctor_fits_on_a_screen() -> None:
    """A line a check, which begins with how it is."""
    done = CliRunner().invoke(app, ["doctor"])
    lines = done.stdout.splitlines()
    assert done.exit_code == 0, done.stdout
    assert 8 <= len(lines) <= 24
    assert {line.split()[0] for line in lines} <= {"ok", "note", "fault"}


def test_every_kind_is_listed_with_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose extra is missing says how to install it, and is not looked for."""
    monkeypatch.setattr(
        found_sources, "requires", lambda _name: ["no-such-package>=1; extra == 'boards'"]
    )
    found = {one.scheme: one for one in look_around()}
    assert found.keys() == set(schemes())
    assert found["brainflow"].missing == "pip install 'ecg-monitor[boards]'"
    assert found["stdin"].example == "-"


def test_a_source_is_opened_and_described() -> None:
    """One that nobody sends to is said to be open."""
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    done = CliRunner().invoke(app, ["sources", f"push:{endpoint}"])
    assert done.exit_code == 0
    assert done.stdout == f"push:{endpoint}: open, nobody sends yet\n"
    refused = CliRunner().invoke(app, ["sources", "push:nonsense"])
    assert refused.exit_code == 2
