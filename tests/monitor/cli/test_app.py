"""The command line: what each command does on a short record, and what bad input gets."""

from __future__ import annotations

import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb
from typer.testing import CliRunner, Result

from model import baselines as rivals
from model.checkpoint import load_checkpoint, save_checkpoint
from model.training import Epoch, Trainer
from monitor.cli.app import app
from monitor.offline import evaluation_run
from monitor.offline.evaluation import comparison
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.wire.messages import ALARM_KINDS
from segmenter.beat import BeatSpec
from tests.monitor.checkpoints import template_checkpoint, values_at
from tests.monitor.ports import free_port

COMMANDS = (
    "replay", "producer", "segmenter", "consumer", "view", "subscribe", "simulate", "train",
    "score", "evaluate", "annotate", "report",
)  # fmt: skip


def ecg_monitor(*arguments: object, env: dict[str, str] | None = None) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(one) for one in arguments], env=env)


def ecg_monitor_process(
    *arguments: object, timeout_s: float = 60.0, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own; fail if it leaves a process or a folder behind."""
    command = [sys.executable, "-m", "monitor", *(str(one) for one in arguments)]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=None if env is None else os.environ | env,
    ) as process:
        out, errors = process.communicate(timeout=timeout_s)
    assert not group_lives(process.pid)
    assert not folders_of(process.pid)
    return subprocess.CompletedProcess(command, process.returncode, out, errors)


def group_lives(group: int) -> bool:
    """Return whether a process of the group stays; init takes a second or so to reap orphans."""
    deadline_s = time.monotonic() + 5.0
    while time.monotonic() < deadline_s:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.02)
    return True


def folders_of(pid: int) -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob(f"ecgm-{pid}-*"))


def explains(exit_code: int, out: str, errors: str, *words: str) -> None:
    """Assert that one line on standard error says what, where and what to do, with exit code 2."""
    assert exit_code == 2, errors
    assert out == ""
    assert errors.startswith("ecg-monitor: ")
    assert errors.count("\n") == 1
    assert errors.endswith("\n")
    assert errors[:-1].isprintable()
    assert "Traceback" not in errors
    for word in words:
        assert word in errors


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """No command that runs in this process leaves a run's folder."""
    yield
    assert not folders_of(os.getpid())


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return two simulated minutes with anomalies."""
    path = tmp_path_factory.mktemp("records") / "sim"
    write_record(path, SimulationSettings(hours=2 / 60, seed=3, anomaly_rate=0.06))
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model of ECG5000's window whose losses can be told by hand."""
    path = tmp_path_factory.mktemp("models") / "rr.safetensors"
    save_checkpoint(template_checkpoint(spec=BeatSpec(window="rr")), path)
    return path


@pytest.fixture
def ecg5000(tmp_path: Path) -> Path:
    """Return a file of 140 normal beats near the template, and 20 anomalous ones far from it."""
    generator = np.random.default_rng(0)
    labels = np.repeat([1, 2, 4], [140, 15, 5])
    noise = 0.01 * generator.standard_normal((160, 140))
    beats = values_at(np.where(labels == 1, 0.05, 1.0)) + noise
    path = tmp_path / "beats.txt"
    np.savetxt(path, np.column_stack([labels, beats]), fmt="%.6f")
    return path


# --- what each command does ---------------------------------------------------------------------


def test_version() -> None:
    """`--version` prints name and number."""
    done = ecg_monitor("--version")
    assert done.exit_code == 0
    assert done.stdout.startswith("ecg-monitor ")
    assert done.stdout.split()[1][0].isdigit()


def test_no_argument_is_a_request_for_help() -> None:
    """The bare command lists the commands."""
    done = ecg_monitor()
    assert done.exit_code == 0
    assert all(name in done.stdout for name in COMMANDS)


@pytest.mark.parametrize(
    "command",
    [[name] for name in COMMANDS]
    + [["evaluate", kind] for kind in ("model", "beats", "patients", "noise", "alarms")],
)
def test_help_teaches_by_an_example(command: list[str]) -> None:
    """Every command's help says what to try."""
    done = ecg_monitor(*command, "--help")
    assert done.exit_code == 0
    words = " ".join(done.stdout.split())
    assert "Try: ecg-monitor " in words
    assert f"ecg-monitor {command[0]}" in words.partition("Try:")[2]


def test_the_help_of_evaluate_lists_what_it_takes_without_a_name() -> None:
    """`evaluate` is `evaluate model`: its options stand there, in words."""
    shown = ecg_monitor("evaluate", "--help").stdout
    for option in ("--ecg5000 FILE", "--protocol NAME", "--plot FILE", "--json"):
        assert option in shown
    assert "<" not in shown.partition("Options of")[2].replace("<=", "")


def test_simulate_writes_a_record(tmp_path: Path) -> None:
    """The record is where it was asked for; a second time it must be said to replace it."""
    arguments = ("simulate", tmp_path / "sim", "--hours", "0.01", "--seed", "5")
    assert ecg_monitor(*arguments).exit_code == 0
    assert wfdb.rdheader(str(tmp_path / "sim")).fs == 250
    explains(*seen(ecg_monitor(*arguments)), "sim", "exists already")
    assert ecg_monitor(*arguments, "--overwrite").exit_code == 0


def test_convert_writes_a_record(tmp_path: Path) -> None:
    """What a file does not say is asked for; a second time it must be said to replace it."""
    table = tmp_path / "ecg.csv"
    table.write_text("II\n" + "".join(f"{number % 250 / 250:.3f}\n" for number in range(1000)))
    out = tmp_path / "night"
    explains(*seen(ecg_monitor("convert", table, out)), "ecg.csv", "--fs", "--units")
    arguments = ("convert", table, out, "--fs", "250", "--units", "mV")
    done = ecg_monitor(*arguments)
    assert (done.exit_code, done.stdout) == (0, f"{out}: lead II, 250 Hz, 4.0 s\n")
    assert wfdb.rdheader(str(out)).sig_len == 1000
    explains(*seen(ecg_monitor(*arguments)), "night.hea", "exists")
    assert ecg_monitor(*arguments, "--overwrite").exit_code == 0
    explains(*seen(ecg_monitor("convert", "-", out)), "is a live source")


def test_replay_prints_alerts_and_a_summary(record: Path) -> None:
    """Off a terminal the summary comes last, and the exit code is 0."""
    alerts = f"tcp://127.0.0.1:{free_port()}"
    done = ecg_monitor_process("replay", record, "--speed", "max", "--json", "--alerts", alerts)
    assert done.returncode == 0
    assert done.stderr == "ecg-monitor: sim: leads ECG1, ECG2 at 250 Hz\n"
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    assert messages[-1]["type"] == "summary"
    assert messages[-1]["beats"] > 100
    alerts_begun = [
        one for one in messages if (one["type"], one.get("state")) == ("alert", "onset")
    ]
    assert messages[-1]["alerts"] == len(alerts_begun) > 0


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return what a replay of the scenario `night` says, without further options."""
    env = {"XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}
    alerts = f"tcp://127.0.0.1:{free_port()}"
    words = ("replay", "--scenario", "night", "--speed", "max", "--json", "--alerts", alerts)
    done = ecg_monitor_process(*words, env=env)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_scenario_is_replayed_by_its_name(night: list[dict[str, Any]]) -> None:
    """It is a patient of that name, with what the scenario holds: the leads come off at 1:34."""
    assert night[-1]["type"] == "summary"
    assert night[-1]["leads"] == {"night": ["ECG1", "ECG2"]}
    lead_off = [one for one in night if one.get("event") == "lead_off"]
    assert [one["state"] for one in lead_off] == ["onset", "cleared"]
    assert 94 <= lead_off[0]["time_s"] <= 97


def test_a_night_shows_one_of_each_named_alarm(night: list[dict[str, Any]]) -> None:
    """Within three minutes, without a loss; a bradycardia is absorbed by the extreme one."""
    begun = [
        one
        for one in night
        if one["type"] == "alert" and one["kind"] != "anomalous_beats"
        if one["state"] == "onset" and one["time_s"] <= 180
    ]
    assert {one["kind"] for one in begun} == {*ALARM_KINDS} - {"bradycardia"}
    assert {one["loss"] for one in begun} == {None}


@pytest.mark.parametrize(
    ("words", "leads"),
    [
        (["--lead", "ECG2"], ["ECG2"]),
        (["--lead", "ecg2", "--lead", "0"], ["ECG2", "ECG1"]),
        (["--leads", "1,0"], ["ECG2", "ECG1"]),
        (["--leads", "all"], ["ECG1", "ECG2"]),
    ],
)
def test_leads_are_chosen_by_name_index_or_all(
    record: Path, words: list[str], leads: list[str]
) -> None:
    """One or several; the first lines and the summary name those that are monitored."""
    alerts = f"tcp://127.0.0.1:{free_port()}"
    words += ["--speed", "max", "--json", "--duration", "20", "--alerts", alerts]
    done = ecg_monitor_process("replay", record, *words)
    assert json.loads(done.stdout.splitlines()[-1])["leads"] == {"sim": leads}
    named = f"lead{'s' if len(leads) > 1 else ''} {', '.join(leads)}"
    assert done.stderr.startswith(f"ecg-monitor: sim: {named} at 250 Hz\n")


def test_replay_passes_over_a_bad_record(record: Path, tmp_path: Path) -> None:
    """The others are replayed; it is named in the summary and on standard error; exit code 1."""
    alerts = f"tcp://127.0.0.1:{free_port()}"
    (tmp_path / "fast.hea").write_text("fast 1 5000 20000\nfast.dat 16 200/mV\n")
    (tmp_path / "fast.dat").write_bytes(bytes(40_000))
    words = ("--speed", "max", "--json", "--duration", "30", "--alerts", alerts)
    done = ecg_monitor_process("replay", record, tmp_path / "fast", *words)
    assert done.returncode == 1
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["records"] == 1
    (reason,) = summary["passed_over"]
    assert "fast: sampling rate 5000.0 Hz" in reason
    assert sorted(done.stderr.splitlines()) == [
        f"ecg-monitor: passed over: {reason}",
        "ecg-monitor: sim: leads ECG1, ECG2 at 250 Hz",
    ]


def test_a_run_in_which_nothing_was_monitored_has_its_exit_code(tmp_path: Path) -> None:
    """A flat lead: no beat is found, and none judged; 3 says so to a script."""
    alerts = f"tcp://127.0.0.1:{free_port()}"
    (tmp_path / "flat.hea").write_text("flat 1 250 5000\nflat.dat 16 200/mV\n")
    (tmp_path / "flat.dat").write_bytes(bytes(10_000))
    done = ecg_monitor_process("replay", tmp_path / "flat", "--speed", "max", "--alerts", alerts)
    assert done.returncode == 3
    assert "ecg-monitor: nothing was monitored: no beat was found in 00:00:20.0" in done.stderr


def test_stages_can_be_started_alone(record: Path, tmp_path: Path) -> None:
    """Producer, segmenter, consumer and view, each by its own command, make one run."""
    model = tmp_path / "model.safetensors"
    save_checkpoint(template_checkpoint(), model)
    ports = {name: f"tcp://127.0.0.1:{free_port()}" for name in ("samples", "beats", "wave")}
    alerts = f"tcp://127.0.0.1:{free_port()}"
    samples, beats, wave = (f"--{name}={at}" for name, at in ports.items())
    journal = tmp_path / "journal.sqlite"
    commands = (
        ("consumer", beats, f"--alerts={alerts}", f"--checkpoint={model}", f"--journal={journal}"),
        ("segmenter", samples, beats, wave),
        ("view", f"--alerts={alerts}", wave),
        ("producer", str(record), samples, "--speed=max"),
    )
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "monitor", *arguments],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                )
            )
            for arguments in commands
        ]
        try:
            told = ecg_monitor_process("subscribe", alerts, "--json", "--until-end")
            running[-1].wait(timeout=60)  # the producer leaves by itself
        finally:
            for process in running:
                process.send_signal(signal.SIGTERM)
        errors = [process.communicate(timeout=20)[1] for process in running]
    assert told.returncode == 0
    alerted = [json.loads(line) for line in told.stdout.splitlines()]
    assert {one["patient"] for one in alerted} == {"sim"}
    assert [process.returncode for process in running] == [0, 0, 0, 0], errors
    consumer, segmenter, _view, producer = (one.decode() for one in errors)
    assert f"ecg-monitor consumer: listens for beats on {ports['beats']}, publishes" in consumer
    assert f"ecg-monitor segmenter: listens for samples on {ports['samples']}, sends" in segmenter
    assert (
        "ecg-monitor producer: sends record sim, leads ECG1, ECG2, 250 Hz, as patient sim"
        in producer
    )
    for said in (consumer, segmenter):
        assert "patient sim came: record sim, leads ECG1, ECG2, 250 Hz" in said
        assert "patient sim has ended (complete) at sample 30000" in said


def test_train_on_ecg5000_then_score(ecg5000: Path, tmp_path: Path) -> None:
    """Normal beats are learnt; each beat gets its label, loss and verdict."""
    out = tmp_path / "model.safetensors"
    trained = ecg_monitor(
        "train", "--ecg5000", ecg5000, "--out", out, "--epochs", 4, "--embedding", 2
    )
    assert trained.exit_code == 0
    assert "epoch 2 of 4" in trained.stderr
    made = load_checkpoint(out)
    assert made.spec_identity == BeatSpec(window="rr").identity
    assert made.config.embedding == 2
    assert made.provenance["beats"] == 140
    assert f"threshold {made.threshold.value:.2f}" in trained.stderr.splitlines()[-1]
    scored = ecg_monitor("score", "--checkpoint", out, "--ecg5000", ecg5000, "--json")
    lines = [json.loads(line) for line in scored.stdout.splitlines()]
    assert [one["label"] for one in lines] == [1] * 140 + [2] * 15 + [4] * 5
    assert all(one["anomalous"] == (one["loss"] > made.threshold.value) for one in lines)


def test_train_writes_a_report_and_goes_on(ecg5000: Path, tmp_path: Path) -> None:
    """The page and its picture lie where asked; with nothing left, --resume says so."""
    out, page = tmp_path / "m.st", tmp_path / "report.html"
    arguments = ("train", "--ecg5000", ecg5000, "--out", out, "--epochs", 1, "--embedding", 2)
    done = ecg_monitor(*arguments, "--report", page, "--test", ecg5000)
    assert done.exit_code == 0, done.stderr
    assert "140 normal, 20 anomalous" in page.read_text()
    assert page.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    explains(*seen(ecg_monitor(*arguments, "--resume")), "no training can be continued", "--resume")


def test_an_interrupted_train_says_how_to_go_on(
    ecg5000: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C leaves the best so far and exit code 130; --resume ends the training."""
    out = tmp_path / "m.st"
    arguments = ("train", "--ecg5000", ecg5000, "--out", out, "--epochs", 3, "--embedding", 2)
    real = Trainer.train_epoch

    def interrupted(trainer: Trainer) -> Epoch:
        if trainer.history:
            raise KeyboardInterrupt
        return real(trainer)

    monkeypatch.setattr(Trainer, "train_epoch", interrupted)
    left = ecg_monitor(*arguments)
    assert left.exit_code == 130
    assert "epoch 1 of 3" in left.stderr.splitlines()[-1]
    assert "--resume" in left.stderr.splitlines()[-1]
    assert load_checkpoint(out).config.embedding == 2
    monkeypatch.undo()
    gone_on = ecg_monitor(*arguments, "--resume")
    assert gone_on.exit_code == 0, gone_on.stderr
    assert "epoch 2 of 3" in gone_on.stderr
    assert "epoch 1 of 3" not in gone_on.stderr


def test_evaluate_compares_with_others(
    ecg5000: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table for people, a JSON line a row for programs, a picture."""
    monkeypatch.setattr(comparison, "SIZES", {2: None})
    monkeypatch.setattr(rivals, "FOREST_TREES", 10)
    plot = tmp_path / "plot.png"
    files = ("--ecg5000", ecg5000, ecg5000)
    arguments = ("evaluate", "--compare", "--protocol", "official", *files, "--peer-steps", 1)
    done = ecg_monitor(*arguments, "--epochs", 1, "--plot", plot)
    assert done.exit_code == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2 + 8
    assert plot.read_bytes().startswith(b"\x89PNG")
    as_json = ecg_monitor(*arguments, "--epochs", 1, "--json")
    rows = [json.loads(line) for line in as_json.stdout.splitlines()]
    assert [row["contestant"] for row in rows][1:3] == ["1-NN distance", "5-NN distance"]
    explains(*seen(ecg_monitor("evaluate", "--compare")), "--compare", "--ecg5000")


def test_train_on_a_record(tmp_path: Path) -> None:
    """The usual beats of a record's first minutes are learnt, cut by the window asked for."""
    record, out = tmp_path / "sim", tmp_path / "model.safetensors"
    write_record(record, SimulationSettings(hours=0.08, seed=3, anomaly_rate=0.02))
    arguments = ("train", record, "--out", out, "--window", "midpoint", "--learn", "4:00")
    done = ecg_monitor(*arguments, "--epochs", 1, "--embedding", 2)
    assert done.exit_code == 0, done.stderr
    assert "leads ECG1, ECG2 of sim" in done.stderr
    made = load_checkpoint(out)
    assert made.spec["window"] == "midpoint"
    assert 300 < made.provenance["beats"] < 660  # of both leads
    explains(*seen(ecg_monitor(*arguments)), str(out), "exists already", "--overwrite")


def test_score_in_columns(ecg5000: Path, checkpoint: Path) -> None:
    """Without --json there is a heading, a line a beat, and a count on standard error."""
    done = ecg_monitor("score", "--checkpoint", checkpoint, "--ecg5000", ecg5000)
    lines = done.stdout.splitlines()
    assert len(lines) == 161
    assert lines[1].split()[::2] == ["1", "normal"]
    assert lines[160].split()[::2] == ["4", "anomalous"]
    assert "160 beats, 20 anomalous" in done.stderr


def test_evaluate_a_checkpoint_and_plot(ecg5000: Path, checkpoint: Path, tmp_path: Path) -> None:
    """Figures as JSON, densities as a picture; the command's name may be left out."""
    plot = tmp_path / "losses.png"
    done = ecg_monitor(
        "evaluate", "--ecg5000", ecg5000, "--checkpoint", checkpoint, "--plot", plot, "--json"
    )
    assert done.exit_code == 0, done.stderr
    figures = json.loads(done.stdout)
    assert (figures["protocol"], figures["auc"], figures["recall"]) == ("checkpoint", 1.0, 1.0)
    assert plot.read_bytes().startswith(b"\x89PNG")
    named = ecg_monitor("evaluate", "model", "--ecg5000", ecg5000, "--checkpoint", checkpoint)
    assert named.exit_code == 0
    assert "AUC" in named.stdout


def test_evaluate_trains_and_tests(ecg5000: Path) -> None:
    """Files without a checkpoint are split; several seeds are summed up; more files may follow."""
    done = ecg_monitor(
        "evaluate", "--ecg5000", ecg5000, ecg5000, "--protocol", "official", "--seeds", 2,
        "--epochs", 1, "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    *reports, over = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["seed"] for one in reports] == [0, 1]
    assert [one["n_trained"] for one in reports] == [140, 140]
    assert over["seeds"] == 2
    assert over["auc_mean"] == pytest.approx(np.mean([one["auc"] for one in reports]), abs=1e-5)


def test_evaluate_alone_judges_the_shipped_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without files, the model that ships is tested on a simulated record."""
    shorter = SimulationSettings(hours=0.1, seed=1007, anomaly_rate=0.1)
    monkeypatch.setattr(evaluation_run, "SIMULATION", shorter)
    done = ecg_monitor("evaluate")
    assert done.exit_code == 0, done.stderr
    figures = dict(line.split("  ", 1) for line in done.stdout.splitlines())
    assert float(figures["AUC"]) > 0.9


def test_annotate_then_compare_beats(record: Path, tmp_path: Path) -> None:
    """What `annotate` writes is what `evaluate beats` compares with the record's annotations."""
    model = tmp_path / "model.safetensors"
    save_checkpoint(template_checkpoint(), model)
    found, table = tmp_path / "found", tmp_path / "table.csv"
    done = ecg_monitor("annotate", record, "--out", found, "--checkpoint", model)
    assert done.exit_code == 0, done.stderr
    assert "anomalous" in done.stdout
    assert sorted(file.name for file in found.iterdir() if file.is_file()) == ["sim.alm", "sim.qrs"]
    again = ecg_monitor("annotate", record, "--out", found, "--checkpoint", model)
    assert again.exit_code == 0, again.stderr
    assert again.stdout == done.stdout.replace(" anomalous\n", " anomalous, done before\n")
    assert "wrote 0 of 1" in again.stderr
    assert "--again does them anew" in again.stderr
    arguments = ("evaluate", "beats", record.parent, found, "--ref-ext=ecg", "--start=10")
    compared = ecg_monitor(*arguments, "--json", "--csv", table)
    assert json.loads(compared.stdout)["gross"]["sensitivity"] > 0.98
    assert table.read_text().startswith("record,")
    plain = ecg_monitor(*arguments)
    assert "gross" in plain.stdout
    assert "…" not in plain.stdout


def test_evaluate_patients_and_noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By labels of the others as JSON; as tables for a page; noisy records by their names."""
    monkeypatch.setattr("model.learning.TRAINED_FLOP", 4e9)
    for name, seed in (("1e12", 5), ("2", 6)):
        settings = SimulationSettings(hours=0.1, seed=seed, anomaly_rate=0.1)
        write_record(tmp_path / name, settings)
    given = (tmp_path, "--ref-ext=ecg", "--learn=2:30", "--jobs=1")
    patients = ecg_monitor("evaluate", "patients", *given, "--leave-one-out", "--json")
    assert patients.exit_code == 0, patients.stderr
    document = json.loads(patients.stdout)
    assert "other records" in document["judged_by"]
    assert {*document["records"]} == {"1e12", "2"}
    assert document["averages"]["all, mean"]["f1"] > 0.5
    page = ecg_monitor(
        "evaluate", "patients", *given, "--record=2", "--by-quarter", "--from=3:00", "--markdown"
    )
    assert page.stdout.count("| record |") == 3
    assert "3 to 6 min, mean" in page.stdout
    noise = ecg_monitor("evaluate", "noise", *given)
    assert noise.exit_code == 0, noise.stderr
    assert "│ 1e12   │ 12 │" in noise.stdout
    assert "…" not in noise.stdout
    assert "leads ECG1, ECG2 of 1e12" in noise.stderr


def test_annotate_goes_on_after_a_broken_record(record: Path, tmp_path: Path) -> None:
    """One of a folder's records cannot be read: the others are written, the exit code is 1."""
    folder = tmp_path / "records"
    folder.mkdir()
    for suffix in (".hea", ".dat"):
        (folder / f"sim{suffix}").write_bytes(record.with_suffix(suffix).read_bytes())
    (folder / "broken.hea").write_text("broken 1 0 1000\nbroken.dat 16\n")
    done = ecg_monitor("annotate", folder, "--out", tmp_path / "found", "--jobs", 1)
    assert done.exit_code == 1
    assert (tmp_path / "found" / "sim.qrs").exists()
    assert [line for line in done.stderr.splitlines() if "broken" in line]


def test_evaluate_beats_goes_on_after_a_broken_record(tmp_path: Path) -> None:
    """It is named at the end, in no figure, and the exit code is 1."""
    for folder, extension in (("ref", "atr"), ("det", "qrs")):
        (tmp_path / folder).mkdir()
        for name in ("good", "broken"):
            at = np.arange(200, 150_000, 200)
            write = {"fs": 250, "write_dir": str(tmp_path / folder)}
            wfdb.wrann(name, extension, at, ["N"] * len(at), **write)
    (tmp_path / "det" / "broken.qrs").write_bytes(b"\xff" * 9)
    done = ecg_monitor("evaluate", "beats", tmp_path / "ref", tmp_path / "det", "--json")
    assert done.exit_code == 1
    assert list(json.loads(done.stdout)["records"]) == ["good"]
    (line,) = done.stderr.splitlines()
    assert line.startswith("ecg-monitor: annotation file ")
    assert "broken.qrs" in line


# --- what bad input gets ------------------------------------------------------------------------


def seen(done: Result) -> tuple[int, str, str]:
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["repaly"], ["repaly", "replay"]),
        (["replay", "--frobnicate"], ["--frobnicate", "`ecg-monitor replay --help`"]),
        (["evaluate", "beats", "--sed"], ["--sed", "`ecg-monitor evaluate beats --help`"]),
        (["replay", "--config", "{tmp}/x"], ["ecg-monitor --config FILE replay"]),
        (["replay", "--threshold", "high"], ["--threshold", "high"]),
        (["replay", "--threshold", "nan"], ["--threshold"]),
        (["replay", "--threshold", "-3"], ["--threshold"]),
        (["replay", "--speed", "fast"], ["--speed", "fast"]),
        (["replay", "--speed", "0"], ["--speed"]),
        (["replay", "--duration", "1:75"], ["--duration", "1:75"]),
        (["replay", "--start", "soon"], ["--start", "soon"]),
        (["replay", "--learn", "5m"], ["--learn", "5m"]),
        (["replay", "--live"], ["--live", "terminal"]),
        (["replay", "--scenario", "day"], ["day", "night", "file"]),
        (["replay", "mitdb/119", "--scenario", "night"], ["mitdb/119", "--scenario"]),
        (["replay", "--false-alerts-per-hour", "0"], ["--false-alerts-per-hour"]),
        (["segmenter", "--window", "wide"], ["wide", "midpoint"]),
        (["segmenter", "--samples", "127.0.0.1"], ["127.0.0.1", "tcp://"]),
        (["segmenter", "--samples", "tcp://0.0.0.0:5573"], ["0.0.0.0", "127.0.0.1"]),
        (["subscribe", "localhost:5571"], ["localhost:5571", "tcp://"]),
        (["subscribe", "tcp://127.0.0.1:99999"], ["99999"]),
        (["view", "--alerts", "udp://x:1"], ["udp://x:1"]),
        (["simulate", "{tmp}/x", "--hours", "long"], ["--hours"]),
        (["simulate", "{tmp}/x", "--hours", "0"], ["hours"]),
        (["simulate", "{tmp}/x", "--anomaly-rate", "2"], ["--anomaly-rate"]),
        (["simulate", "{tmp}/file/x"], ["{tmp}/file"]),
        (["train", "--out", "{tmp}/c"], ["--ecg5000"]),
        (["train", "--ecg5000", "{tmp}/no.txt"], ["--out"]),
        (["train", "--ecg5000", "{tmp}/no.txt", "--out", "{tmp}/c"], ["no.txt"]),
        (["train", "--ecg5000", "{tmp}/no.txt", "--out", "{tmp}/x/c"], ["{tmp}/x"]),
        (["train", "--ecg5000", "{tmp}/no.txt", "--out", "{tmp}"], ["{tmp}", "folder"]),
        (["train", "--ecg5000", "x.txt", "--out", "{tmp}/c", "--window", "midpoint"], ["rr"]),
        (["train", "--ecg5000", "x.txt", "--out", "{tmp}/c", "--learn", "60"], ["--learn"]),
        (["train", "no-such-record", "--out", "{tmp}/c"], ["no-such-record"]),
        (["train", "x", "--out", "{tmp}/c", "--window", "wide"], ["wide"]),
        (["train", "x", "--out", "{tmp}/c", "--learn", "0"], ["--learn"]),
        (["train", "x", "--out", "{tmp}/c", "--false-alert-share", "2"], ["--false-alert-share"]),
        (["score", "--checkpoint", "{tmp}/no", "--ecg5000", "{tmp}/b.txt"], ["{tmp}/no"]),
        (["evaluate", "beets", "a", "b"], ["beets", "beats, patients, noise, alarms"]),
        (["evaluate", "--protocol", "mine", "--ecg5000", "x.txt"], ["mine", "pooled"]),
        (["evaluate", "--seeds", "0", "--ecg5000", "x.txt"], ["seeds"]),
        (["evaluate", "--seeds", "3"], ["--seeds", "--ecg5000"]),
        (["evaluate", "--ecg5000", "{tmp}/no.xls"], ["no.xls", ".tsv"]),
        (["evaluate", "--plot", "{tmp}/no/p.png"], ["{tmp}/no"]),
        (["evaluate", "patients", "{tmp}/no"], ["{tmp}/no"]),
        (["evaluate", "patients", "{tmp}/records", "--learn", "0"], ["learn"]),
        (["evaluate", "patients", "{tmp}/records", "--from", "x"], ["--from"]),
        (["evaluate", "noise", "{tmp}/no"], ["{tmp}/no"]),
        (["evaluate", "beats", "{tmp}/no", "{tmp}"], ["{tmp}/no", "folder"]),
        (["evaluate", "beats", "{tmp}", "{tmp}", "--ref-ext", "../x"], ["../x"]),
        (["evaluate", "beats", "{tmp}", "{tmp}"], ["atr", "qrs"]),
        (["annotate", "x"], ["--out"]),
        (["annotate", "{tmp}/empty", "--out", "{tmp}/found"], ["no record"]),
        (["annotate", "{tmp}/records", "--out", "{tmp}/found", "--jobs", "0"], ["--jobs 0"]),
        (["annotate", "{tmp}/../no", "--out", "{tmp}/found"], ["no"]),
        (["annotate", "a/../../etc/passwd", "--out", "{tmp}/found"], ["etc"]),
        (["annotate", "a\x1b[31mred", "--out", "{tmp}/found"], ["red"]),
        (["annotate", "x" * 5000, "--out", "{tmp}/found"], ["xxx"]),
    ],
)  # fmt: skip
def test_misuse_gets_one_line(arguments: list[str], words: list[str], tmp_path: Path) -> None:
    """Options and names that cannot be used: what, where and what to do, exit code 2."""

    def filled(texts: list[str]) -> list[str]:
        return [text.replace("{tmp}", str(tmp_path)) for text in texts]

    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "r.hea").write_text("r 1 250 1000\nr.dat 16\n")
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    explains(*seen(ecg_monitor(*filled(arguments), env=env)), *filled(words))


def replaced(name: str, old: str, new: str) -> Callable[[Path], None]:
    """Return what breaks a record by another text in its header."""

    def breaks(path: Path) -> None:
        header = path.with_suffix(".hea")
        text = header.read_text()
        assert old in text, name
        header.write_text(text.replace(old, new))

    return breaks


def cut_short(path: Path) -> None:
    signal_file = path.with_suffix(".dat")
    signal_file.write_bytes(signal_file.read_bytes()[:1000])


def without_signals(path: Path) -> None:
    path.with_suffix(".dat").unlink()


def header_is_a_folder(path: Path) -> None:
    path.with_suffix(".hea").unlink()
    path.with_suffix(".hea").mkdir()


BROKEN = {
    "no signal file": (without_signals, "sim.dat"),
    "truncated": (cut_short, "sim.dat"),
    "header no file": (header_is_a_folder, "sim.hea"),
    "fs 0": (replaced("fs", " 250 ", " 0 "), "sim.hea"),
    "fs negative": (replaced("fs", " 250 ", " -250 "), "sim.hea"),
    "fs absurd": (replaced("fs", " 250 ", " 1e300 "), "sim.hea"),
    "samples negative": (replaced("length", " 250 30000", " 250 -5"), "sim.hea"),
    "samples absurd": (replaced("length", " 250 30000", " 250 1000000000000"), "sim"),
    "shorter than a beat": (replaced("length", " 250 30000", " 250 100"), "shorter"),
    "unknown format": (replaced("format", " 212 ", " 999 "), "999"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_broken_records_get_one_line(fault: str, record: Path, tmp_path: Path) -> None:
    """A record that cannot be read is named, with what is wrong; nothing is written."""
    broken = copied(record, tmp_path)
    breaks, word = BROKEN[fault]
    breaks(broken)
    done = ecg_monitor("annotate", broken, "--out", tmp_path / "found")
    explains(*seen(done), word)
    assert not list((tmp_path / "found").glob("*"))


def test_a_record_that_is_short_is_read_as_far_as_it_goes(record: Path, tmp_path: Path) -> None:
    """A warning says how much is missing, and what to do if that should be there."""
    short = copied(record, tmp_path)
    samples = short.with_suffix(".dat").read_bytes()
    short.with_suffix(".dat").write_bytes(samples[: len(samples) * 9 // 10])
    done = ecg_monitor("annotate", short, "--out", tmp_path / "found")
    assert done.exit_code == 0
    assert "sim.dat is short: its header says 30000 samples" in done.stderr
    assert "fetch it again" in done.stderr


def test_a_record_that_cannot_be_learnt_is_named(record: Path, tmp_path: Path) -> None:
    """Two minutes do not hold five: the line says of which record."""
    done = ecg_monitor("annotate", record, "--learn", "5:00", "--out", tmp_path / "found")
    explains(*seen(done), "sim", "before enough was learnt")


def copied(record: Path, folder: Path) -> Path:
    for suffix in (".hea", ".dat"):
        (folder / f"sim{suffix}").write_bytes(record.with_suffix(suffix).read_bytes())
    return folder / "sim"


def test_a_missing_lead_gets_the_leads_there_are(record: Path, tmp_path: Path) -> None:
    """The line names the lead asked for, and those of the record."""
    names = wfdb.rdheader(str(record)).sig_name
    done = ecg_monitor("annotate", record, "--lead", "V9", "--out", tmp_path / "found")
    explains(*seen(done), "V9", *names)


class Exploit:
    """What leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.trace,)


def corrupt(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps(Exploit(path.with_name("trace"))))


def foreign(path: Path) -> None:
    path.write_bytes(b"\x02\x00\x00\x00\x00\x00\x00\x00{}")


def emptied(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("breaks", [corrupt, truncated, pickled, foreign, emptied])
@pytest.mark.parametrize("command", ["score", "evaluate", "annotate"])
def test_broken_checkpoints_get_one_line(
    breaks: Callable[[Path], None], command: str, checkpoint: Path, ecg5000: Path, tmp_path: Path
) -> None:
    """A file that is no whole checkpoint of ours is named and never run."""
    model = tmp_path / "broken.safetensors"
    model.write_bytes(checkpoint.read_bytes())
    breaks(model)
    more = {
        "score": ("--ecg5000", ecg5000),
        "evaluate": (),
        "annotate": (tmp_path / "rec", "--out", tmp_path / "found"),
    }[command]
    (tmp_path / "rec.hea").write_text("rec 1 250 1000\nrec.dat 16\n")
    explains(*seen(ecg_monitor(command, "--checkpoint", model, *more)), "broken.safetensors")
    assert not (tmp_path / "trace").exists()


def test_checkpoints_of_another_spec_get_one_line(
    record: Path, checkpoint: Path, ecg5000: Path, tmp_path: Path
) -> None:
    """Beats cut otherwise than the model's are refused, with both windows named."""
    other = tmp_path / "other.safetensors"
    save_checkpoint(template_checkpoint(spec=BeatSpec(window="midpoint")), other)
    for command in ("score", "evaluate"):
        done = ecg_monitor(command, "--checkpoint", other, "--ecg5000", ecg5000)
        explains(*seen(done), "other.safetensors", "midpoint", "rr")
    arguments = ("annotate", record, "--checkpoint", checkpoint, "--window", "midpoint")
    explains(*seen(ecg_monitor(*arguments, "--out", tmp_path / "found")), str(checkpoint), "spec")


def test_an_unwritable_cache_gets_one_line(tmp_path: Path) -> None:
    """Where the cache folder should be is a file: no record can be kept there."""
    (tmp_path / "cache").write_text("a file, not a folder")
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    explains(*seen(ecg_monitor("replay", env=env)), str(tmp_path / "cache"), "simulate")
    fetched = ecg_monitor("annotate", "mitdb/208", "--out", tmp_path / "found", env=env)
    explains(*seen(fetched), "mitdb/208", str(tmp_path / "cache"))


@pytest.mark.parametrize("what", ["record", "checkpoint", "port"])
def test_errors_of_the_stages_come_out_of_replay(
    what: str, record: Path, checkpoint: Path, tmp_path: Path
) -> None:
    """What a stage's process finds is the command's one line, and nothing stays behind."""
    broken = copied(record, tmp_path)
    without_signals(broken)
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(checkpoint.read_bytes())
    corrupt(damaged)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        held = f"tcp://127.0.0.1:{holder.getsockname()[1]}"
        free = f"tcp://127.0.0.1:{free_port()}"
        arguments, words = {
            "record": ((broken, "--alerts", free), ["sim.dat"]),
            "checkpoint": ((record, "--alerts", free, "--checkpoint", damaged), ["damaged"]),
            "port": ((record, "--alerts", held), [held, "in use"]),
        }[what]
        done = ecg_monitor_process("replay", *arguments, "--json", timeout_s=20)
    explains(done.returncode, done.stdout, done.stderr, *words)


def test_sigterm_ends_annotate_with_its_workers(tmp_path: Path) -> None:
    """SIGTERM ends the command as Ctrl-C does: no worker, no part-written file, no traceback."""
    folder = tmp_path / "records"
    folder.mkdir()
    write_record(folder / "a", SimulationSettings(hours=2.0, seed=1))
    for suffix in (".hea", ".dat"):
        text = (folder / "a").with_suffix(suffix).read_bytes()
        (folder / f"b{suffix}").write_bytes(text)
    command = [sys.executable, "-m", "monitor", "annotate", str(folder), "--jobs", "2"]
    with subprocess.Popen(
        [*command, "--out", str(tmp_path / "found")],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        while not (tmp_path / "found").is_dir():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")
    assert not group_lives(process.pid)
    assert not list((tmp_path / "found").iterdir())
