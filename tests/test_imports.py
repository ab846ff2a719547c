"""Who may import whom, read from the sources."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OWN = {"monitor", "segmenter", "model", "tools", "tests"}

# What each package may import beside the standard library and itself.
ALLOWED = {
    "segmenter": {"numpy", "scipy"},
    "model": {"numpy", "scipy", "onnx", "onnxruntime", "torch", "safetensors"},
    "monitor": {
        "segmenter", "model", "numpy", "scipy", "wfdb", "zmq", "msgspec", "rich", "typer",
        "platformdirs", "matplotlib", "soundfile", "prometheus_client", "dask", "distributed",
        "pylsl", "brainflow", "bleak", "websockets",
        "starlette", "uvicorn",
        "nats", "paho", "fsspec", "aiohttp", "paramiko",
    },
}  # fmt: skip

# The floors of monitor, lowest first: a room imports its own and those on lower floors, never up
# and never across. What stands on one line does not know of each other.
FLOORS = [
    {"errors", "text_file"},
    {"wire", "text", "interrupts", "safe_imports", "log", "alarm_limits", "freed_memory"},
    {"sources"},
    {"settings", "journal", "plain"},
    {"step_result"},
    {"detection", "delivery"},
    {"stages", "view"},
    {"run", "offline", "web"},
    {"ward"},
    {"cli"},
    {"__main__", "__init__"},
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

# Where libraries with one home may stand.
HOMES = {
    "wfdb": {"sources", "offline"},
    "soundfile": {"sources"},
    "prometheus_client": {"delivery"},
    "paho": {"delivery"},
    "starlette": {"web"},
    "uvicorn": {"web"},
    "distributed": {"offline"},
    "dask": {"offline"},
    "fsspec": {"offline"},
    "aiohttp": {"offline"},
    "paramiko": {"offline"},
    "nats": {"ward"},
    "matplotlib": {"offline"},
    "pylsl": {"sources"},
    "brainflow": {"sources"},
    "bleak": {"sources"},
    "websockets": {"sources"},
    "torch": set(),
    "sqlite3": {"journal", "delivery"},
    "zmq": {"wire", "sources", "stages", "delivery", "run", "view"},
    "rich": {"view", "plain", "text", "cli", "run", "offline"},
    "typer": {"cli"},
}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Yield the dotted names of all modules a file imports, in functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_packages_import_only_what_they_may(package: str) -> None:
    """The segmenter and the model never import each other, monitor or tools."""
    for path in sources(package):
        for name in imported(path):
            top = name.split(".")[0]
            if top == package or top in sys.stdlib_module_names:
                continue
            assert top in ALLOWED[package], f"{path.relative_to(ROOT)} imports {name}"


def test_nothing_but_tests_imports_tools() -> None:
    """Tools are scripts for developers, not a library."""
    for package in ("monitor", "segmenter", "model"):
        for path in sources(package):
            assert not [name for name in imported(path) if name.split(".")[0] in {"tools", "tests"}]


def test_segmenter_has_no_io_and_no_clock() -> None:
    """The segmenter is pure: no files, sockets, time, threads, chance."""
    impure = {"os", "io", "pathlib", "socket", "time", "datetime", "threading", "random"}
    for path in sources("segmenter"):
        assert not impure & {name.split(".")[0] for name in imported(path)}, path


def room_of(path: Path) -> str:
    """Return the folder of `monitor/` that a file lies in, or the name of one that lies there."""
    return path.relative_to(ROOT / "monitor").parts[0].removesuffix(".py")


def test_imports_run_down_the_floors() -> None:
    """A room imports itself and lower floors."""
    for path in sources("monitor"):
        room = room_of(path)
        for name in imported(path):
            if name.startswith("monitor."):
                other = name.split(".")[1]
                assert other == room or FLOOR_OF[other] < FLOOR_OF[room], (
                    f"{path.relative_to(ROOT)} imports {name}, which lies on a floor not below"
                )


def test_what_draws_has_no_clock() -> None:
    """The view draws a snapshot: the time is passed in, only the screen that is live has one."""
    for path in sources("monitor"):
        if room_of(path) == "view" and path.stem not in {"live", "screens", "keyboard"}:
            assert not {"time", "zmq"} & set(imported(path)), path


@pytest.mark.parametrize("library", sorted(HOMES))
def test_libraries_stay_in_their_rooms(library: str) -> None:
    """What is heavy or foreign has one home, so that a process loads only what it needs."""
    for path in sources("monitor"):
        if library in {name.split(".")[0] for name in imported(path)}:
            assert room_of(path) in HOMES[library], f"{path.relative_to(ROOT)} imports {library}"


def test_zmq_sockets_are_made_in_one_place() -> None:
    """Only sockets.py makes sockets and contexts: limits and linger are set nowhere else.

    descriptors.py sets the filter of a system's socket that ZeroMQ made, tcp_lines.py those
    of one that has nothing to do with ZeroMQ.
    """
    for package in ("monitor", "tools"):
        for path in sources(package):
            if path.name not in ("sockets.py", "descriptors.py", "tcp_lines.py"):
                text = path.read_text()
                assert "zmq.Context" not in text, path
                assert ".setsockopt(" not in text, path


def test_no_pickle() -> None:
    """Nothing that comes from outside is unpickled: no module for it is imported at all."""
    for package in ("monitor", "segmenter", "model"):
        for path in sources(package):
            assert not {"pickle", "marshal", "shelve", "dill"} & set(imported(path)), path


def test_a_class_name_stands_once() -> None:
    """Two classes of one name would be two meanings of it; private ones are their file's own."""
    homes: dict[str, list[str]] = {}
    for package in ("monitor", "segmenter", "model"):
        for path in sources(package):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    homes.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: files for name, files in homes.items() if len(files) > 1} == {}


def test_every_test_folder_is_a_package() -> None:
    """Test modules of the same name in two folders do not clash."""
    for folder in [ROOT / "tests", *(ROOT / "tests").rglob("*/")]:
        if folder.is_dir() and list(folder.glob("test_*.py")):
            assert (folder / "__init__.py").exists(), folder


HEAVY = {"torch", "pandas", "scipy.stats", "matplotlib", "wfdb", "soundfile"}
PROCESSES = {  # and what of it each process needs
    "monitor.run.replay": set(),
    "monitor.stages.consumer": set(),
    "monitor.stages.segmenter": {"scipy.stats"},  # scipy.signal imports it
    "monitor.stages.producer": {"wfdb", "pandas"},  # wfdb imports it
    "monitor.web.server": set(),
}


@pytest.mark.parametrize("module", sorted(PROCESSES))
def test_a_process_loads_no_heavy_library_that_it_does_not_need(module: str) -> None:
    """Each costs start-up and memory; torch alone more than a second and 200 MB."""
    script = f"import sys, {module}; print(*(set({sorted(HEAVY)!r}) & sys.modules.keys()))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set(run.stdout.split()) <= PROCESSES[module]


def test_the_runtime_reports_to_nobody(tmp_path: Path) -> None:
    """ONNX Runtime would keep an identity and its reports in the home folder, and send them."""
    script = (
        "import numpy as np; from model.checkpoint import load_shipped; "
        "from model.scoring import Scorer; "
        "Scorer(load_shipped().autoencoder).losses(np.zeros((1, 140), np.float32))"
    )
    silencing = {"CI", "ORT_RUNNING_UNIT_TESTS", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME"}
    asked = {name: value for name, value in os.environ.items() if name not in silencing}
    command = [sys.executable, "-c", script]
    subprocess.run(command, env=asked | {"HOME": str(tmp_path)}, check=True, cwd=ROOT)
    assert list(tmp_path.iterdir()) == []
