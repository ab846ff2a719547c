"""The Tab key completes commands and options, as the shell asks for it."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from monitor.cli.app import app


def completed(typed: str) -> list[str]:
    """Return what bash is told when Tab is pressed behind a line."""
    env = {
        "_ECG_MONITOR_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(typed.count(" ")),
    }
    done = CliRunner().invoke(app, [], env=env, prog_name="ecg-monitor")
    assert done.exit_code == 0
    return done.stdout.split()


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("ecg-monitor rep", ["replay", "report"]),
        ("ecg-monitor evaluate ", ["model", "beats", "patients", "noise", "alarms"]),
        ("ecg-monitor evaluate p", ["patients"]),
        ("ecg-monitor evaluate --pl", ["--plot"]),  # of `evaluate model`
        ("ecg-monitor evaluate --json --pl", ["--plot"]),
        ("ecg-monitor evaluate beats --det", ["--det-ext"]),
        ("ecg-monitor replay --sp", ["--speed"]),
        ("ecg-monitor mark j 12 ", ["normal", "anomalous", "undo"]),
        ("ecg-monitor mark j 12 a", ["anomalous"]),
        ("ecg-monitor replay mit", []),  # bash goes on with the names of files
    ],
)
def test_commands_and_options_are_completed(typed: str, found: list[str]) -> None:
    """Those that begin with what is typed; `evaluate` has the options of `evaluate model`, too."""
    assert completed(typed) == found


def test_the_help_says_how_it_is_switched_on() -> None:
    """docs/INSTALL.md says the same."""
    assert "--install-completion" in CliRunner().invoke(app, ["--help"]).stdout
