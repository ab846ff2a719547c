"""Options from a file: what they do, what is refused, and what `config` shows of them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from monitor.cli.app import app

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file with options for all commands, for one, and for one of a group."""
    path = tmp_path / "ward.toml"
    path.write_text(
        'keys = "ward-keys"\n'
        '[replay]\nlearn = "5:00"\nlead = ["II", "V5"]\nspeed = 4\nloop = true\n'
        "[evaluate.patients]\njobs = 3\n"
    )
    return path


def config(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["--config", *map(str, arguments)])


def shown(*arguments: object) -> dict[str, dict[str, Any]]:
    result = config(*arguments)
    assert result.exit_code == 0, result.output
    return tomllib.loads(result.stdout)


def test_values_of_the_file_are_in_force(file: Path) -> None:
    """A table's for its command, the others for every command that has such an option."""
    found = shown(file, "config")
    assert found["replay"]["learn"] == "5:00"
    assert found["replay"]["leads"] == ["II", "V5"]
    assert found["replay"]["speed"] == "4"
    assert found["replay"]["loop"] is True
    assert {name for name, table in found.items() if table.get("keys") == "ward-keys"} >= {
        "replay", "view", "subscribe", "consumer",
    }  # fmt: skip
    assert shown(file, "config", "evaluate", "patients")["evaluate"]["patients"]["jobs"] == 3


def test_the_command_line_wins_and_each_value_says_where_it_is_from(file: Path) -> None:
    """Beside the file and the defaults."""
    lines = config(file, "config", "replay", "--learn", "2:00").stdout.splitlines()
    of = {line.split(" = ")[0]: " ".join(line.split()) for line in lines}
    assert of["learn"] == 'learn = "2:00" # from the command line'
    assert of["speed"] == 'speed = "4" # from the file'
    assert of["verdict"] == 'verdict = "evidence" # default'


def test_what_is_printed_can_be_read_again(file: Path, tmp_path: Path) -> None:
    """And means the same."""
    printed = config(file, "config").stdout
    again = tmp_path / "again.toml"
    again.write_text(printed)
    assert shown(again, "config") == tomllib.loads(printed)


def test_a_command_takes_its_options_from_the_file(tmp_path: Path) -> None:
    """Required ones, too; the record is as long as the file says."""
    file = tmp_path / "short.toml"
    file.write_text("[simulate]\nhours = 0.01\n")
    made = config(file, "simulate", tmp_path / "rec")
    assert made.exit_code == 0, made.output
    assert "rec 2 250 9000" in (tmp_path / "rec.hea").read_text()
    file.write_text(f'[annotate]\nout = "{tmp_path / "found"}"\njobs = 1\n')
    assert config(file, "annotate", tmp_path / "rec").exit_code == 0
    assert (tmp_path / "found" / "rec.qrs").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[replya]\nspeed = 4", "[replya] is no command; did you mean replay?"),
        ("[evaluate.patient]\njobs = 4", "[evaluate.patient] is no command"),
        ("[replay]\nsped = 4", "[replay] sped is no option; did you mean speed?"),
        ("kyes = 'k'", "kyes is no option of any command; did you mean keys?"),
        ("[replay]\nloop = 1", "[replay] loop is 1; give true or false"),
        ("[replay]\nspeed = true", "[replay] speed is true; give a text or a number"),
        ("[replay]\nspeed = [1, 2]", "[replay] speed is [1, 2]; give a text or a number"),
        ("[replay]\nleads = [[1]]", "or a list of them"),
        ("[evaluate]\npatients = 4", "give a table, [evaluate.patients]"),
        ("replay = {", "prints such a file"),
        ("# " + "x" * (1 << 16), "no file of options"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """In one line that names the file, before anything is done."""
    file = tmp_path / "bad.toml"
    file.write_text(text)
    result = config(file, "replay", tmp_path / "nothing")
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.startswith(f"ecg-monitor: --config {file}: ")
    assert result.stderr.count("\n") == 1


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """With what prints one."""
    result = config(tmp_path / "no.toml", "config")
    assert result.exit_code == 2
    assert "cannot be read" in result.stderr


def test_an_absurd_value_is_refused_by_its_command(tmp_path: Path) -> None:
    """As on the command line."""
    file = tmp_path / "bad.toml"
    file.write_text('[replay]\nspeed = "fast"\n')
    result = config(file, "replay", "--no-live")
    assert result.exit_code == 2
    assert "fast" in result.stderr


def test_sinks_from_a_file_and_secrets_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So no command line shows an address that holds a token."""
    file = tmp_path / "desk.toml"
    file.write_text(
        '[subscribe]\ndurable = "desk"\npriority = "high"\n'
        'webhook = ["slack:https://hooks.example/T0KEN", "https://other.example/"]\n'
    )
    monkeypatch.setenv("ECG_MONITOR_SECRETS", "/etc/ecg-monitor/secrets.toml")
    found = shown(file, "config", "subscribe")["subscribe"]
    assert found["webhook"] == ["slack:https://hooks.example/T0KEN", "https://other.example/"]
    assert found["priority"] == ["high"]
    lines = config(file, "config", "subscribe").stdout.splitlines()
    (secrets,) = [line for line in lines if line.startswith("secrets")]
    assert " ".join(secrets.split()) == (
        'secrets = "/etc/ecg-monitor/secrets.toml" # from the environment'
    )


def test_the_service_starts_with_options_that_exist() -> None:
    """The file of options and the unit of docs/operations fit this version."""
    found = shown(OPERATIONS / "monitor.toml", "config", "replay")["replay"]
    assert found["log"] == "/var/lib/ecg-monitor/monitor.log"
    assert found["metrics"] == "9464"
    unit = (OPERATIONS / "ecg-monitor.service").read_text()
    started = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    options = started.split("replay ", 1)[1].split()
    assert (
        shown(OPERATIONS / "monitor.toml", "config", "replay", *options)["replay"]["live"] is False
    )


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd to ask")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """Without a remark, where the command is there."""
    unit = (OPERATIONS / "ecg-monitor.service").read_text()
    here = tmp_path / "ecg-monitor.service"
    here.write_text(unit.replace("/opt/ecg-monitor/bin/ecg-monitor", sys.executable))
    asked = subprocess.run(
        ["systemd-analyze", "verify", str(here)], capture_output=True, text=True, timeout=60
    )
    assert (asked.returncode, asked.stderr) == (0, "")
