"""What the README shows works: commands parse, Python runs, files and targets are there."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main
from numpy.typing import NDArray

from monitor.cli.app import app
from monitor.sources.wfdb_record import WfdbRecord
from monitor.wire.messages import Message
from tests.messages import alarm, alert, technical
from tests.monitor.delivery.test_subscriber import beating, publish, served

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = sorted(
    {
        match.group(1).split("#")[0].split("|")[0].strip()
        for match in re.finditer(r"^ {4}ecg-monitor (.+)$", README, re.MULTILINE)
    }
)
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
FROM_CSV, FROM_EDF, SUBSCRIBE, NO_SOCKETS = PYTHON
# What packaging can rewrite so that it holds outside the repository: one plain form.
PACKAGED_LINK = re.compile(r"(?:docs/[\w./-]*|[A-Z]+(?:\.md)?)(?:#[\w-]+)?")


def test_the_readme_shows_something() -> None:
    """The patterns of this test find what they look for."""
    assert len(COMMANDS) > 15
    assert "AlertSubscriber" in SUBSCRIBE


@pytest.fixture(scope="module")
def ecg() -> NDArray[np.float64]:
    """Ten seconds in millivolts at 360 Hz, with a spike a second."""
    seconds = np.arange(3600) / 360
    return 0.1 * np.sin(2 * np.pi * seconds) + 1.2 * (np.arange(3600) % 360 < 20)


def samples_of(path: Path) -> NDArray[np.float32]:
    """Read a record as the monitor does."""
    with WfdbRecord.open(path) as record:
        assert record.fs_hz == 360
        (lead,) = record.read(0, record.n_samples)
        return np.asarray(lead)


def edf_of(ecg: NDArray[np.float64]) -> bytes:
    """One signal of -5 to 5 mV as EDF, a second a data record (Kemp et al. 1992)."""

    def field(value: str | int, width: int) -> bytes:
        return str(value).encode().ljust(width)

    recording: list[tuple[str | int, int]]
    signal: list[tuple[str | int, int]]
    recording = [("0", 8), ("X", 80), ("X", 80), ("01.01.26", 8), ("00.00.00", 8), (512, 8)]
    recording += [("", 44), (len(ecg) // 360, 8), (1, 8), (1, 4)]
    signal = [("II", 16), ("", 80), ("mV", 8), (-5, 8), (5, 8), (-32768, 8), (32767, 8)]
    signal += [("", 80), (360, 8), ("", 32)]
    digital = np.round((ecg + 5) / 10 * 65535 - 32768).astype("<i2")
    return b"".join(field(*each) for each in [*recording, *signal]) + digital.tobytes()


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_parse(line: str) -> None:
    """Every command shown exists, with these options and arguments."""
    command: Any = typer.main.get_command(app)
    words = shlex.split(line)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    assert command.name != "ecg-monitor", f"no such command: {line}"
    command.make_context(command.name, words)  # parses, does not run


@pytest.mark.parametrize("code", PYTHON)
def test_imports_shown_exist(code: str) -> None:
    """Every name that an example imports is there."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom):
            assert node.module is not None
            module = importlib.import_module(node.module)
            assert all(hasattr(module, alias.name) for alias in node.names)


def test_the_example_without_sockets_runs() -> None:
    """Segmenter and scorer are used as shown."""
    exec(compile(NO_SOCKETS, "README.md", "exec"), {})


def test_the_subscriber_shown_hears_all_of_it(tmp_path: Path) -> None:
    """Alerts of beats, named alarms and technical alerts, each with what it is called."""
    ended = alarm(seq=4, id="x", state="cleared")
    said: list[Message] = [alert(seq=1), alarm(seq=2), technical(seq=3), ended]
    lines: list[tuple[object, ...]] = []

    class Enough(Exception):
        pass

    def printed(*words: object) -> None:
        lines.append(words)
        if len(lines) == len(said):
            raise Enough

    endpoint = f"ipc://{tmp_path / 'alerts'}"
    code = SUBSCRIBE.replace("tcp://127.0.0.1:5571", endpoint)
    with served(endpoint, tmp_path / "journal") as server, beating(server, len(said)):
        server.do(publish(*said))
        with pytest.raises(Enough):
            exec(compile(code, "README.md", "exec"), {"print": printed})
    assert [words[2:] for words in lines] == [
        ("anomalous_beats", "onset"),
        ("asystole", "onset"),
        ("noisy", "onset"),
        ("asystole", "cleared"),
    ]


def test_a_csv_file_becomes_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ecg: NDArray[np.float64]
) -> None:
    """The lines shown for CSV write a record that the monitor reads: the same signal, in mV."""
    monkeypatch.chdir(tmp_path)
    np.savetxt("ecg.csv", ecg, fmt="%.4f", header="II", comments="")
    exec(compile(FROM_CSV, "README.md", "exec"), {})
    assert np.abs(samples_of(tmp_path / "mine") - ecg).max() < 0.001


def test_an_edf_file_becomes_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ecg: NDArray[np.float64]
) -> None:
    """The lines shown for EDF do so too."""
    monkeypatch.chdir(tmp_path)
    Path("ecg.edf").write_bytes(edf_of(ecg))
    exec(compile(FROM_EDF, "README.md", "exec"), {})
    assert np.abs(samples_of(tmp_path / "mine") - ecg).max() < 0.001


def test_files_linked_exist() -> None:
    """No link leads nowhere."""
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in target:
            assert (ROOT / target).exists(), target
            assert PACKAGED_LINK.fullmatch(target), target


def test_figures_shown_are_those_measured() -> None:
    """Each figure with its spread, and its command, stands in a page that a benchmark writes."""
    table = README.split("## Five figures")[1].split("## How it is built")[0]
    written = ("BENCH", "program", "detectors")
    pages = "".join((ROOT / "docs" / f"{name}.md").read_text() for name in written)
    shown = re.findall(r"([\d.,]+) (?:ms|times faster) \(([\d.,]+) to ([\d.,]+)", table)
    assert len(shown) == 4
    for median, smallest, largest in shown:
        assert f" {median} ({smallest} to {largest}) " in pages
    for command in re.findall(r"`(python -m tools[^`]*)`", table):
        assert command in pages
    sensitivity, predictivity = re.findall(r"(?:Se|\+P) ([\d.]+) %", table)
    assert f"| {sensitivity} | {predictivity} |" in pages


def test_make_targets_shown_exist() -> None:
    """`make WORD` in the README is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = set(re.findall(r"make ([a-z]+)\b", README)) - {"it"}
    assert {"replay", "test"} <= shown <= targets | {"here"}
