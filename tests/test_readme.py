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

from monitor.cli.app import app
from monitor.sources.kinds import open_record
from monitor.sources.source import SourceOptions
from monitor.wire.messages import Message
from tests.messages import alarm, alert, technical
from tests.monitor.delivery.test_subscriber import beating, publish, served
from tests.monitor.sources.edf_files import EdfLead, write_edf
from tests.monitor.sources.record_cases import FS_HZ, ecg

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = sorted(
    {
        match.group(1).split("#")[0].split("|")[0].strip()
        for match in re.finditer(r"^ {4}ecg-monitor (.+)$", README, re.MULTILINE)
    }
)
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
PUSH, SUBSCRIBE, NO_SOCKETS = PYTHON
# What packaging can rewrite so that it holds outside the repository: one plain form.
PACKAGED_LINK = re.compile(r"(?:docs/[\w./-]*|[A-Z]+(?:\.md)?)(?:#[\w-]+)?")


def test_the_readme_shows_something() -> None:
    """The patterns of this test find what they look for."""
    assert len(COMMANDS) > 15
    assert "AlertSubscriber" in SUBSCRIBE


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


def test_files_of_every_kind_are_read_as_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line under *Your own data* that names a file opens one of that kind."""
    monkeypatch.chdir(tmp_path)
    section = README.split("## Your own data")[1].split("## Commands")[0]
    lines = [line for line in COMMANDS if re.search(r"\.(edf|csv|txt|npy)\b", line)]
    lines = [line for line in lines if line in section]
    assert len(lines) == 7
    for line in lines:
        words = shlex.split(line)
        file = Path(words[1])
        write_kind(file, "--fs" in words)
        command: Any = typer.main.get_command(app)
        options = command.commands[words[0]].make_context(words[0], words[1:]).params
        asked = options["leads"]
        with open_record(file, SourceOptions(asked, options["fs"], options["units"])) as record:
            assert record.n_samples >= 10 * record.fs_hz
            assert 0.5 < np.nanmax(record.read(0, record.n_samples)) < 2, "in millivolts"
            assert not asked or record.leads == ("II", "V5")


def write_kind(file: Path, is_bare: bool) -> None:
    """Write ten seconds of ECG in the format that a name in the README stands for."""
    lead = ecg()[0]
    if file.suffix == ".edf":
        samples = np.round(1000 * lead).astype(np.int16)
        one = EdfLead("ECG II", "uV", (-32768, 32767), (-32768, 32767), samples)
        write_edf(file, [one], FS_HZ, 1.0, None)
    elif file.suffix == ".npy":
        np.save(file, 1000 * lead)
    elif "2026" in file.name:
        above = "Name,X\nSample Rate,512 hertz\n\nLead,Lead I\nUnit,µV\n\n"
        file.write_text(above + "\n".join(f"{1000 * one:.3f}" for one in lead) + "\n")
    elif file.suffix == ".txt":
        rows = [
            f"2026-04-24T14:10:15.270;{599616050941733632 + number * 7692307};{1000 * one:.0f}\n"
            for number, one in enumerate(lead)
        ]
        file.write_text("Phone timestamp;sensor timestamp [ns];ecg [uV]\n" + "".join(rows))
    elif is_bare:
        file.write_text("II\n" + "".join(f"{one:.4f}\n" for one in lead))
    else:
        rows = [f"{number / 250:.3f};{one:.4f};{one:.4f}" for number, one in enumerate(lead)]
        text = "\n".join(["time [s];II [mV];V5 [mV]", *rows]) + "\n"
        file.write_text(text.replace(".", ","))


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
