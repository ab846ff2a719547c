"""Tasks on a Dask cluster: the same results, whoever dies."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from monitor.errors import InvalidOption, StageFailed
from monitor.offline.annotate import annotate_records
from monitor.offline.worker_processes import MOST_DEATHS
from monitor.offline.workers import Workers, run_tasks
from monitor.sources.simulated import SimulationSettings, write_record
from tests.monitor.offline.stores import Answer, web
from tests.monitor.offline.test_workers import (
    doubled,
    killed_if_one,
    killed_twice,
    passed_over,
    quietly,
)

pytest.importorskip("distributed", reason="the extra dask is not installed")
import psutil  # distributed needs it

LOCAL = Workers(2, "local")
ROOT = Path(__file__).resolve().parents[3]


def test_results_come_in_the_tasks_order() -> None:
    """Each is told once."""
    told: list[tuple[int, int, int]] = []
    results = run_tasks(doubled, [3, 1, 2], LOCAL, lambda *one: told.append(one), passed_over)
    assert results == [6, 2, 4]
    assert [one[1:] for one in told] == [(1, 3), (2, 3), (3, 3)]


def test_the_environment_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Dask sets for its workers is not for what this process starts later."""
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    before = dict(os.environ)
    assert run_tasks(doubled, [1, 2], LOCAL, quietly, passed_over) == [2, 4]
    assert dict(os.environ) == before


def test_a_worker_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    """Its task is done again by another."""
    tasks = [tmp_path / "twice", tmp_path / "never"]
    assert run_tasks(killed_twice, tasks, LOCAL, quietly, passed_over) == [2, 0]


def test_a_task_over_which_workers_die_is_passed_over() -> None:
    """The rest is done."""
    results = run_tasks(killed_if_one, [0, 1, 2], LOCAL, quietly, lambda _task, _why: -1)
    assert results == [0, -1, 2]


def noted(file: Path) -> int:
    """Note that it is done; die over a task whose name says so, once or always."""
    with file.open("a") as notes:
        notes.write("done\n")
    if file.name == "always" or (file.name == "once" and len(file.read_text()) == len("done\n")):
        time.sleep(1)  # results of others have long been fetched
        os.kill(os.getpid(), signal.SIGKILL)
    return len(file.read_text().splitlines())


def test_a_task_that_waits_behind_a_killer_is_done(tmp_path: Path) -> None:
    """Dask counts a worker's death against all tasks that wait there, though they never began."""
    tasks = [tmp_path / "always", tmp_path / "waits"]
    results = run_tasks(noted, tasks, Workers(1, "local"), quietly, lambda _task, _why: -1)
    assert results == [-1, 1]
    assert (tmp_path / "always").read_text().count("done") == MOST_DEATHS


def test_what_is_done_is_not_done_again_when_its_worker_dies(tmp_path: Path) -> None:
    """Results do not stay with who made them."""
    tasks = [tmp_path / name for name in ("a", "b", "c", "once", "d")]
    results = run_tasks(noted, tasks, Workers(1, "local"), quietly, passed_over)
    assert results == [1, 1, 1, 2, 1]
    assert [len(task.read_text().splitlines()) for task in tasks] == [1, 1, 1, 2, 1]


def test_a_cluster_writes_what_one_process_writes(tmp_path: Path) -> None:
    """Byte for byte."""
    paths = [simulated(tmp_path / name, seed) for seed, name in enumerate("ab")]
    for out, workers in (("one", Workers(1)), ("dask", LOCAL)):
        annotate_records(paths, tmp_path / out, workers=workers)
    for name in ("a.qrs", "b.qrs"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "dask" / name).read_bytes()


def test_a_scheduler_that_does_not_answer_is_an_error() -> None:
    """It says what an address is."""
    nobody = Workers(dask="tcp://127.0.0.1:9")
    with pytest.raises(InvalidOption, match="no Dask scheduler answers"):
        run_tasks(doubled, [1], nobody, quietly, passed_over)


def test_a_scheduler_file_that_never_comes_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for: a scheduler may be started beside the command."""
    monkeypatch.setattr("monitor.offline.dask_cluster.FILE_S", 0.2)
    with pytest.raises(InvalidOption, match="no such scheduler file"):
        run_tasks(doubled, [1], Workers(dask=str(tmp_path / "x")), quietly, passed_over)


def test_workers_with_several_threads_are_refused(scheduler: str) -> None:
    """Two records at a time would share what learning draws by chance."""
    with (
        started("dask worker", scheduler, "--nthreads", "2", "--no-dashboard"),
        pytest.raises(StageFailed, match="--nthreads 1"),
    ):
        run_tasks(doubled, [1], Workers(dask=scheduler), quietly, passed_over)


def test_a_cluster_that_is_there_is_used(scheduler: str) -> None:
    """By its address or its scheduler file."""
    with started("dask worker", scheduler, "--nthreads", "1", "--no-dashboard"):
        results = run_tasks(doubled, [1, 2], Workers(dask=scheduler), quietly, passed_over)
    assert results == [2, 4]


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """Yield the scheduler file of a cluster without workers."""
    file = tmp_path / "scheduler.json"
    at = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    with started("dask scheduler", "", "--scheduler-file", str(file), *at):
        while not file.exists() or not file.read_text():
            time.sleep(0.05)
        yield str(file)


@contextmanager
def started(command: str, scheduler_file: str, *options: str) -> Iterator[None]:
    """Have a process of Dask's while the block lasts."""
    module = f"distributed.cli.{command.replace(' ', '_')}"
    where = ("--scheduler-file", scheduler_file) if scheduler_file else ()
    process = subprocess.Popen(
        [sys.executable, "-m", module, *where, *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def simulated(path: Path, seed: int) -> Path:
    """Write twenty seconds of ECG."""
    write_record(path, SimulationSettings(hours=20 / 3600, seed=seed))
    return path


def killer_of(path: str, times: int) -> Answer:
    """Return an answer that kills the process which asks for a file, so many times."""
    left = [times]

    def answer(handler: SimpleHTTPRequestHandler) -> bool:
        left[0] -= 1
        if left[0] >= 0:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(Path(path).read_bytes())))
            handler.end_headers()
            handler.wfile.write(Path(path).read_bytes()[:1000])
            handler.wfile.flush()
            os.kill(asking(handler.client_address[1]), signal.SIGKILL)
        return left[0] >= 0

    return answer


def asking(port: int) -> int:
    """Return the process that has a connection from a port of this machine."""
    (one,) = (
        found.pid
        for found in psutil.net_connections("tcp4")
        if found.laddr.port == port and found.pid not in (None, os.getpid())
    )
    assert isinstance(one, int)
    return one


@pytest.mark.slow
def test_a_worker_killed_in_mid_record_costs_no_record(tmp_path: Path) -> None:
    """Two worker processes of a LocalCluster; one dies while it reads a record, again and again.

    A record over which one worker died is done by the next; one over which all die is told and
    passed over, and the rest are written as one process writes them. Workers need no folder that
    this process sees.
    """
    archive = tmp_path / "archive"
    for seed, name in enumerate("abcd"):
        simulated(archive / name, seed)
    annotate_records([archive], tmp_path / "one", workers=Workers(1))
    with web(archive) as server:
        server.answers["/b.dat"] = killer_of(str(archive / "b.dat"), 1)
        server.answers["/c.dat"] = killer_of(str(archive / "c.dat"), 99)
        results = annotate_records([server.url], tmp_path / "dask", workers=LOCAL)
        n_deaths = server.requested.count("GET /c.dat")
    assert [one.error is None for one in results] == [True, True, False, True]
    assert "record c is passed over: workers of the cluster died" in str(results[2].error)
    assert n_deaths == MOST_DEATHS
    names = {file.name for file in (tmp_path / "dask").iterdir() if file.is_file()}
    assert names == {"a.qrs", "b.qrs", "d.qrs"}
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "dask" / name).read_bytes()


def scripts() -> list[str]:
    """Return the scripts for SLURM that docs/SCALE.md shows: with Dask, and without."""
    page = (ROOT / "docs" / "SCALE.md").read_text()
    section = page.split("## An archive on SLURM")[1].split("\n## ")[0]
    blocks = re.findall(r"((?:^    .*\n)+)", section, re.MULTILINE)
    return [textwrap.dedent(block) for block in blocks if "#!/bin/sh" in block]


@pytest.mark.slow
def test_the_scripts_for_slurm_do_what_they_say(tmp_path: Path) -> None:
    """As they stand in the docs, where `srun` starts two of what it is given."""
    for seed, name in enumerate("abc"):
        simulated(tmp_path / "archive" / name, seed)
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, does in (
        ("srun", '"$@" & "$@" & wait'),
        ("dask", f'exec {sys.executable} -m dask "$@"'),
        ("ecg-monitor", f'exec {sys.executable} -m monitor "$@"'),
    ):
        (commands / name).write_text(f"#!/bin/sh\n{does}\n")
        (commands / name).chmod(0o755)
    env = os.environ | {"PATH": f"{commands}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    env["PYTHONPATH"] = str(ROOT)
    with_dask, without = scripts()
    assert ran(with_dask, tmp_path, env) == 0
    assert sorted(file.name for file in (tmp_path / "found").glob("*")) == [
        ".annotated", "a.qrs", "b.qrs", "c.qrs",
    ]  # fmt: skip
    whole = (tmp_path / "found" / "b.qrs").read_bytes()
    shutil.rmtree(tmp_path / "found")
    assert ran(without, tmp_path, env | {"SLURM_ARRAY_TASK_ID": "2"}) == 0
    assert [file.name for file in (tmp_path / "found").glob("*.qrs")] == ["b.qrs"]
    assert (tmp_path / "found" / "b.qrs").read_bytes() == whole


def ran(script: str, folder: Path, env: dict[str, str]) -> int:
    """Run a job; when its script has ended all that it started is ended, as SLURM does."""
    with subprocess.Popen(
        ["sh", "-c", script],
        cwd=folder,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as job:
        try:
            return job.wait(timeout=100)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(job.pid, signal.SIGKILL)


def test_workers_import_nothing_from_the_working_directory(tmp_path: Path) -> None:
    """As those without Dask: a folder of records may hold any file."""
    for name in ("queue", "numpy", "secrets", "tempfile", "multiprocessing", "distributed"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w'); raise SystemExit(3)\n")
    program = (
        "import os\n"
        "from monitor.safe_imports import leave_working_directory_out\n"
        "from monitor.offline.workers import Workers, run_tasks\n"
        "from tests.monitor.offline.test_workers import doubled, passed_over, quietly\n"
        "if __name__ == '__main__':\n"
        f"    os.chdir({str(tmp_path)!r})\n"
        "    leave_working_directory_out()\n"
        "    print(run_tasks(doubled, [1, 2], Workers(2, 'local'), quietly, passed_over))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}"},
    )
    assert ran.stdout.strip() == "[2, 4]", ran.stderr
    assert not (tmp_path / "ran").exists()
