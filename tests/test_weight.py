"""What is installed without PyTorch monitors and judges; what would learn says how to get it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from model.libraries import TORCH_MISSING
from monitor.delivery.subscriber import AlertSubscriber
from monitor.run.watch import watch
from monitor.view.screens import Controls, OffTerminal
from monitor.wire.messages import Message, RelearnRequest, Status

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
INSTALL = (ROOT / "docs" / "INSTALL.md").read_text()
# Read by each interpreter when it starts, by those of the stages too: they look for torch in vain.
SITECUSTOMIZE = """
import sys
from importlib.machinery import PathFinder

class WithoutTorch(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] == "torch" else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutTorch
"""
LEARNING = [
    "replay nowhere --learn 5:00",
    "consumer --learn 5:00",
    "train nowhere --out model.st",
    "train --ecg5000 nowhere.txt --out model.st",
    "annotate nowhere --learn 5:00 --out found",
    "evaluate patients nowhere",
    "evaluate --ecg5000 nowhere.txt elsewhere.txt",
    "evaluate --ecg5000 nowhere.txt elsewhere.txt --compare",
]
# Modules of commands that learn in some cases and not in others; imported by each of them.
JUDGING = [
    "model.learning",
    "monitor.offline.annotate",
    "monitor.offline.evaluation_run",
    "monitor.offline.scoring_run",
]


@pytest.fixture
def without_torch(tmp_path: Path) -> dict[str, str]:
    """Return an environment whose interpreters find no torch."""
    folder = tmp_path / "without-torch"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SITECUSTOMIZE)
    return {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}


def ended(
    arguments: list[str], env: dict[str, str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run an interpreter to its end."""
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=env, cwd=folder, timeout=60, check=False
    )


@contextmanager
def replaying(
    arguments: list[str], env: dict[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], AlertSubscriber]]:
    """A replay of the simulated record in real time, once it is heard; it is stopped in the end."""
    endpoint = arguments[arguments.index("--alerts") + 1]
    command = [sys.executable, "-m", "monitor", "replay", "--json", *arguments]
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL) as process:
        try:
            with AlertSubscriber(endpoint, ("status",)) as subscriber:
                until(subscriber, lambda status: bool(status.patients))
                yield process, subscriber
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0


def until(subscriber: AlertSubscriber, holds: Callable[[Status], bool]) -> None:
    """Wait for a heartbeat of which something holds."""
    deadline_s = time.monotonic() + 30
    while time.monotonic() < deadline_s:
        message = subscriber.receive(0.5)
        if isinstance(message, Status) and holds(message):
            return
    pytest.fail("no such heartbeat came")


def test_a_record_is_monitored_without_torch(without_torch: dict[str, str], tmp_path: Path) -> None:
    """The shipped model raises its alerts on the simulated record."""
    words = ["--duration", "2:00", "--speed", "max", "--json"]
    endpoint = f"ipc://{tmp_path / 'a'}"
    run = ended(["-m", "monitor", "replay", *words, "--alerts", endpoint], without_torch, tmp_path)
    assert run.returncode == 0, run.stderr
    said = [json.loads(line) for line in run.stdout.splitlines()]
    assert [one["state"] for one in said if one["type"] == "alert"].count("onset") >= 3


def test_what_would_learn_says_so_first(without_torch: dict[str, str], tmp_path: Path) -> None:
    """One line, exit code 2, before any file is looked for: the paths given lead nowhere."""
    script = (
        "import sys\n"
        "from monitor.cli.app import app\n"
        f"for line in {LEARNING}:\n"
        "    try:\n"
        "        app(line.split())\n"
        "    except SystemExit as ended:\n"
        "        sys.stderr.write(f'{line}: {ended.code}\\n')\n"
    )
    run = ended(["-c", script], without_torch, tmp_path)
    expected = [
        words for line in LEARNING for words in (f"ecg-monitor: {TORCH_MISSING}", f"{line}: 2")
    ]
    assert run.stderr.splitlines() == expected
    assert (run.returncode, run.stdout) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["without-torch"]


def test_a_program_that_would_learn_is_told(without_torch: dict[str, str], tmp_path: Path) -> None:
    """`learn_patient` can be imported, and raises the same sentence when it is called."""
    script = (
        "from model import MissingLibrary, learn_patient\n"
        "try:\n"
        "    learn_patient([], {}, '00000000')\n"
        "except MissingLibrary as error:\n"
        "    print(error)\n"
    )
    assert ended(["-c", script], without_torch, tmp_path).stdout == f"{TORCH_MISSING}\n"


def test_what_judges_loads_no_torch() -> None:
    """Where torch is installed, too: it costs more than a second and 200 MB."""
    script = (
        "import importlib, sys\n"
        f"for module in {JUDGING}:\n"
        "    importlib.import_module(module)\n"
        "    print(module, 'torch' in sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == [f"{module} False" for module in JUDGING]


class AsksToRelearn(OffTerminal):
    """A person who presses r, reads what the view says, and leaves."""

    topics: tuple[str, ...] = ("status",)

    def __init__(self) -> None:
        self.notices: list[str] = []
        self._asked = self._heard = False

    def take(self, message: Message) -> None:
        self._heard = True

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def refresh(self, controls: Controls) -> None:
        if self._heard and not self._asked:
            self._asked = True
            controls.request(RelearnRequest())
        if self.notices:
            controls.quit()


def test_key_r_is_refused_with_the_same_sentence(
    without_torch: dict[str, str], tmp_path: Path
) -> None:
    """In the view of another process; the monitor goes on and nobody is learnt."""
    endpoint, wave = f"ipc://{tmp_path / 'a'}", f"ipc://{tmp_path / 'w'}"
    with replaying(["--alerts", endpoint], without_torch) as (_, subscriber):
        screen = AsksToRelearn()
        watch(endpoint, wave, screen)
        assert screen.notices == [TORCH_MISSING]
        until(subscriber, lambda status: status.ward.monitoring == 1)


def test_a_learning_that_was_begun_with_torch_is_not_gone_on_without(
    without_torch: dict[str, str], tmp_path: Path
) -> None:
    """The run whose journal holds a patient being learnt anew ends at once, with the sentence."""
    options = ["--alerts", f"ipc://{tmp_path / 'a'}", "--journal", str(tmp_path / "j.sqlite")]
    with replaying(options, {**os.environ, "PYTHONPATH": str(ROOT)}) as (_, subscriber):
        until(subscriber, lambda status: status.ward.monitoring == 1)
        subscriber.ask(RelearnRequest())
        until(subscriber, lambda status: status.ward.learning == 1)
        until(subscriber, lambda status: status.ward.learning == 1)
    run = ended(["-m", "monitor", "replay", "--json", *options], without_torch, tmp_path)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.splitlines()[-1] == f"ecg-monitor: {TORCH_MISSING}"


def test_extras_named_exist() -> None:
    """The page and the error messages name extras that can be installed."""
    extras = PROJECT["project"]["optional-dependencies"]
    sources = [path.read_text() for package in ("model", "monitor") for path in files_of(package)]
    named = set(re.findall(r"(?:ecg-monitor|\.)\[(\w+)\]", "\n".join([INSTALL, *sources])))
    assert {"learn", "all", "dev"} <= named <= extras.keys()


def files_of(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def test_only_extras_need_torch() -> None:
    """What monitors is installed without it."""
    project = PROJECT["project"]
    assert not [one for one in project["dependencies"] if one.startswith(("torch", "scikit"))]
    assert project["optional-dependencies"]["learn"] == ["torch>=2.4"]


def test_the_sizes_that_make_prints_are_those_measured() -> None:
    """The differences between the rows of the page's table, rounded to tens of megabytes."""
    rows = re.findall(r"^\| `[^`]+` \| (\d+) \| ([\d,]+) MB \|$", INSTALL, re.MULTILINE)
    (base, mb), (_, learn_mb), (dev, dev_mb) = [
        (int(n), int(size.replace(",", ""))) for n, size in rows
    ]
    learn = int(rows[1][0])
    makefile = (ROOT / "Makefile").read_text()
    assert f"{base} packages, about {round(mb, -1)} MB" in makefile
    assert f"about {round(learn_mb - mb, -1)} MB on disk as CPU build" in makefile
    assert f"{dev - learn} packages, about {round(dev_mb - learn_mb, -1)} MB" in makefile


def test_the_readme_of_a_wheel_leads_nowhere_that_is_not_there() -> None:
    """Outside the repository a picture or a relative link would be broken; the names stay."""
    text = readme = (ROOT / "README.md").read_text()
    hook = PROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    for substitution in hook["substitutions"]:  # as the build does it
        text = re.sub(substitution["pattern"], substitution["replacement"], text)
    assert not re.findall(r"\]\((?!\w+:)", text)
    for target in re.findall(r"(?<!!)\[[^\]]+\]\((?!\w+:)([^)#]+)\)", readme):
        assert f"`{target}`" in text
