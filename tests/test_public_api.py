"""What users import: it is there, it costs nothing until it is used, and its examples run."""

from __future__ import annotations

import ast
import doctest
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import model
import monitor
import segmenter
from monitor.wire.codec import encode_json
from tests.messages import alert
from tests.monitor.delivery.test_subscriber import beating, publish, served

PACKAGES = [model, monitor, segmenter]
PUBLIC = [(package, name) for package in PACKAGES for name in package.__all__]
WITH_EXAMPLES = {
    "AlertSubscriber", "BeatSpec", "Checkpoint", "Inbox", "Quality", "SamplePusher", "Scorer",
    "Segmenter", "SegmenterBank", "monitor",
}  # fmt: skip
# What the first line of a program must not pay for: each takes 20 ms or more, torch a second.
HEAVY = {"numpy", "scipy", "torch", "onnxruntime", "onnx", "zmq", "msgspec", "rich", "matplotlib"}


@pytest.mark.parametrize(("package", "name"), PUBLIC, ids=lambda one: getattr(one, "__name__", one))
def test_what_is_public_is_there(package: ModuleType, name: str) -> None:
    """Each name of `__all__` is the object of that name in its home, with a docstring."""
    found = getattr(package, name)
    if name != "Message":  # a union of types
        assert found.__name__ == name
        assert found.__doc__
        assert found is getattr(importlib.import_module(found.__module__), name)
    assert name in dir(package)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: str(package.__name__))
def test_a_type_checker_sees_the_same_names(package: ModuleType) -> None:
    """What is imported under TYPE_CHECKING comes from where the lazy import takes it."""
    assert package.__file__ is not None
    tree = ast.parse(Path(package.__file__).read_text())
    seen = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted(seen) == sorted(package.__all__)
    for name, home in seen.items():
        assert getattr(importlib.import_module(str(home)), name) is getattr(package, name)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: str(package.__name__))
def test_a_name_that_is_not_there_is_an_attribute_error(package: ModuleType) -> None:
    """So that hasattr, and `from monitor import typo`, behave as with any module."""
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = package.Nothing


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: str(package.__name__))
def test_importing_a_package_loads_nothing(package: ModuleType) -> None:
    """A name's module is loaded when the name is first used, and no other."""
    script = (
        f"import sys, {package.__name__}; print(*(set({sorted(HEAVY)!r}) & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_a_program_that_listens_loads_no_model() -> None:
    """AlertSubscriber and Inbox need sockets, messages and SQLite, no torch and no ONNX Runtime."""
    script = (
        "import sys; from monitor import Alert, AlertSubscriber, Inbox; "
        "print(*({'torch', 'onnxruntime', 'onnx', 'matplotlib', 'wfdb', 'rich', 'scipy'} "
        "& sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    """The alert socket of a publisher that has told of one alert, and whose heart beats."""
    address = f"ipc://{tmp_path / 'alerts'}"
    with served(address, tmp_path / "journal") as server:
        server.do(publish(alert(seq=1)))
        with beating(server, 1):
            yield address


@pytest.mark.parametrize("name", sorted(WITH_EXAMPLES))
def test_the_example_runs(name: str, tmp_path: Path, endpoint: str) -> None:
    """The example of a class's docstring, or a package's, gives what it shows."""
    described = next((getattr(one, name) for one in PACKAGES if name in one.__all__), monitor)
    given: dict[str, Any] = {
        "endpoint": endpoint,
        "folder": tmp_path,
        "alert": alert(),
        "text": encode_json(alert()),
    }
    (example,) = [
        found
        for found in doctest.DocTestFinder(recurse=False).find(described, name)
        if found.examples
    ]
    example.globs = given
    printed: list[str] = []
    result = doctest.DocTestRunner().run(example, out=printed.append)
    assert result.failed == 0, "".join(printed)
    assert result.attempted >= 2


def test_every_example_is_run() -> None:
    """No public docstring shows an example that no test runs."""
    described = {name: getattr(package, name) for package, name in PUBLIC}
    described |= {package.__name__: package for package in PACKAGES}
    shown = {name for name, one in described.items() if ">>>" in (one.__doc__ or "")}
    assert shown == WITH_EXAMPLES
