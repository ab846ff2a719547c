"""Whole runs on live sources: the commands as a person types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor import SamplePusher
from monitor.sources.kinds import open_record
from monitor.sources.simulated import SimulationSettings, write_record
from tests.monitor.ports import free_port

ROOT = Path(__file__).resolve().parents[3]
SECONDS = 60


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated minute with anomalous beats."""
    path = tmp_path_factory.mktemp("sim") / "sim"
    write_record(path, SimulationSettings(hours=SECONDS / 3600, seed=5, anomaly_rate=0.1))
    return path


def command(*words: object) -> subprocess.Popen[bytes]:
    """Start `ecg-monitor`, with an address for alerts of its own."""
    given = [str(one) for one in words]
    return subprocess.Popen(
        [sys.executable, "-m", "monitor", *given, "--alerts", f"tcp://127.0.0.1:{free_port()}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def told(run: subprocess.Popen[bytes], given: bytes = b"") -> list[dict[str, Any]]:
    """Return what a run prints as JSON until its end, which is in order."""
    out, errors = run.communicate(given, timeout=90)
    assert run.returncode == 0, errors.decode()
    return [json.loads(line) for line in out.splitlines()]


def beats_of(messages: list[dict[str, Any]]) -> list[tuple[int, str, float]]:
    return [
        (one["sample"], one["state"], one["loss"]) for one in messages if one["type"] == "alert"
    ]


def test_a_pipe_raises_the_alerts_of_the_record(path: Path) -> None:
    """The same samples, the same beats, the same losses."""
    with open_record(path) as record:
        rows = record.read(0, record.n_samples).T.astype(np.float64).tolist()
        names, fs_hz = " ".join(record.leads), record.fs_hz
    lines = f"{names}\n" + "".join(f"{one!r} {two!r}\n" for one, two in rows)
    with command("replay", path, "--speed", "max", "--json") as run:
        of_record = told(run)
    with command("replay", "-", "--fs", fs_hz, "--json") as run:
        of_pipe = told(run, lines.encode())
    assert len(beats_of(of_record)) > 3
    assert beats_of(of_pipe) == beats_of(of_record)
    assert of_pipe[-1]["leads"] == {"stdin": names.split()}
    assert of_pipe[-1]["beats"] == of_record[-1]["beats"]


def test_a_run_waits_for_programs_that_push(path: Path) -> None:
    """It begins without a patient, and its summary has those who came."""
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    with open_record(path) as record:
        signal, leads, fs_hz = record.read(0, record.n_samples), record.leads, record.fs_hz
    with command("replay", f"push:{endpoint}", "--duration", "30", "--json") as run:
        with SamplePusher(endpoint, leads=leads, fs_hz=fs_hz, patient="bed 1") as pusher:
            block = round(fs_hz)
            until_s = time.monotonic() + 90
            while run.poll() is None:  # what is pushed before it listens may be dropped
                assert time.monotonic() < until_s
                pusher.push(signal[:, :block])
                signal = np.roll(signal, -block, axis=1)
                time.sleep(0.25)
        messages = told(run)
    summary = messages[-1]
    assert summary["leads"] == {"bed_1": list(leads)}
    assert summary["judged"] > 15


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("replay", "-"), "give it: --fs 250"),
        (("replay", "tcp://127.0.0.1:1", "--fs", "250"), "is it there, and on?"),
        (("replay", "-", "-", "--fs", "250"), "is named twice"),
        (("replay", "tcp://nowhere"), "use tcp://HOST:PORT"),
        (("replay", "serial:/dev/no-such", "--fs", "250"), "No such file or directory"),
        (("replay", "push:nonsense"), "'nonsense' is not an endpoint"),
        (("record", "mitdb/119", "out"), "`ecg-monitor convert mitdb/119 out`"),
    ],
)
def test_what_cannot_be_opened_is_said_in_one_line(words: tuple[str, ...], error: str) -> None:
    """With exit code 2, and no traceback."""
    with command(*words) as run:
        _, errors = run.communicate(b"0.1\n0.2\n", timeout=60)
    assert run.returncode == 2
    assert error in errors.decode()
    assert len(errors.decode().strip().splitlines()) == 1


def test_what_happens_to_a_source_is_told(path: Path) -> None:
    """As it happens, on standard error: here lines that are no samples."""
    with open_record(path) as record:
        rows = record.read(0, record.n_samples)[0].tolist()
    lines = "".join(f"{one!r}\n" for one in rows)
    with command("replay", "-", "--fs", 250, "--json") as run:
        _, errors = run.communicate(f"0.5\nrubbish\n{lines}".encode(), timeout=60)
    assert run.returncode == 0
    assert "line 2 is no sample, 'rubbish': no number" in errors.decode()
