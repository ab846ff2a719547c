"""A module of the working directory is never run, wherever the program itself lies."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.delivery.sinks.command import Command
from monitor.safe_imports import (
    PYTHON,
    environment,
    home,
    leave_working_directory_out,
    safe_environment,
)
from tests.messages import alert

FOREIGN = "raise SystemExit('the working directory was imported from')\n"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder that holds modules of the names of ours, of libraries and of Python's."""
    for name in ("numpy", "queue", "model", "msgspec", "secrets", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text(FOREIGN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("given", ["", ":", ".:", "::{home}:", None])
def test_our_interpreters_import_what_is_installed(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    """Whatever PYTHONPATH says of the working directory; the program itself is found."""
    if given is None:
        monkeypatch.delenv("PYTHONPATH", raising=False)
    else:
        monkeypatch.setenv("PYTHONPATH", given.format(home=home()))
    code = "import queue, secrets, numpy, model.errors; print(model.errors.__file__)"
    ran = subprocess.run(
        [*PYTHON, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert Path(ran.stdout.strip()).is_relative_to(home())


def test_places_that_are_named_in_full_stay(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a folder under the working directory, and the working directory where it is named."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([".", "lib", str(elsewhere), "/opt/deps"]))
    expected = [str(elsewhere / "lib"), str(elsewhere), "/opt/deps"]
    assert environment()["PYTHONPATH"].split(os.pathsep)[:3] == expected


def test_this_process_leaves_the_working_directory_out(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `-m` and an empty entry of PYTHONPATH put it there; a checkout's own stays."""
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr(sys, "path", [str(elsewhere), "/usr/lib", ""])
    leave_working_directory_out()
    assert sys.path == ["/usr/lib"]
    monkeypatch.chdir(home())
    monkeypatch.setattr(sys, "path", [home(), "/usr/lib"])
    leave_working_directory_out()
    assert sys.path == [home(), "/usr/lib"]


def test_a_working_directory_that_is_gone_is_no_error(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody removed the folder that the program runs in."""
    monkeypatch.setenv("PYTHONPATH", "lib:")
    for path in elsewhere.iterdir():
        path.unlink()
    elsewhere.rmdir()
    leave_working_directory_out()
    assert home() in environment()["PYTHONPATH"]


def test_commands_of_the_user_keep_the_user_s_environment(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is set for our interpreters is not handed to `--on-alert`, nor left behind."""
    monkeypatch.setenv("PYTHONPATH", ".")
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    with safe_environment():
        assert os.environ["PYTHONSAFEPATH"] == "1"
    Command("sh -c 'env > seen'").send(alert())
    seen = (elsewhere / "seen").read_text().splitlines()
    assert "PYTHONPATH=." in seen
    assert not [one for one in seen if one.startswith("PYTHONSAFEPATH")]
