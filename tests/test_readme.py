"""What the README shows works: commands parse, Python runs, files and targets are there."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main

from monitor.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = sorted(
    {
        match.group(1).split("#")[0].split("|")[0].strip()
        for match in re.finditer(r"^ {4}ecg-monitor (.+)$", README, re.MULTILINE)
    }
)
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_readme_shows_something() -> None:
    """The patterns of this test find what they look for."""
    assert len(COMMANDS) > 15
    assert len(PYTHON) == 2


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
    exec(compile(PYTHON[1], "README.md", "exec"), {})


def test_files_linked_exist() -> None:
    """No link leads nowhere."""
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in target:
            assert (ROOT / target).exists(), target


def test_make_targets_shown_exist() -> None:
    """`make WORD` in the README is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = set(re.findall(r"make ([a-z]+)\b", README)) - {"it"}
    assert {"replay", "test"} <= shown <= targets | {"here"}
