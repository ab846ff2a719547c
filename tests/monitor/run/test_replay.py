"""The whole system with real processes: records in, alerts out, nothing left behind."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import wfdb

from monitor.delivery.subscriber import AlertSubscriber
from monitor.delivery.wave_client import Waves
from monitor.errors import InvalidOption, StageFailed, StageRefused
from monitor.interrupts import Interrupts
from monitor.run import replay
from monitor.run.folder import run_folder
from monitor.run.liveness import HUNG_S
from monitor.run.replay import NOTHING_LEFT, Replay, ReplayOptions, Summary, Tally, stage_settings
from monitor.run.supervisor import Supervisor
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.view.screens import Controls, OffTerminal
from monitor.wire.messages import (
    Alert,
    BeatScored,
    Message,
    PatientStatus,
    StageName,
    Status,
    Stream,
    Technical,
    ThresholdRequest,
    WardCounts,
)
from monitor.wire.sockets import Sockets
from tests.messages import alarm, alert, patient_status, status
from tests.monitor.ports import free_port
from tests.real_data import MITDB

ANOMALOUS = {"r", "V", "S", "Q"}
WITHIN_S = 0.15  # of the annotation, as EC57 has it
# Each run has a socket of its own; a port might be another program's.
SOCKETS, NUMBERS = tempfile.TemporaryDirectory(prefix="ecgt-"), itertools.count()

Act = Callable[["Collected", Controls], None]


class Collected(OffTerminal):
    """A screen that keeps what it is shown; `act` stands for the person before it."""

    topics: tuple[str, ...] = ("alert", "technical", "beat", "status")
    wave_topics: tuple[str, ...] = ("wave.",)

    def __init__(self, act: Act | None = None) -> None:
        self.messages: list[Message] = []
        self.notices: list[str] = []
        self.supervisor: Supervisor | None = None
        self._act = act

    def take(self, message: Message) -> None:
        self.messages.append(message)

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def refresh(self, controls: Controls) -> None:
        if self._act is not None:
            self._act(self, controls)

    def alerts(self) -> list[Alert]:
        return [one for one in self.messages if isinstance(one, Alert)]

    def numbered(self) -> list[Alert | Technical]:
        return [one for one in self.messages if isinstance(one, Alert | Technical)]

    def beats(self) -> list[BeatScored]:
        return [one for one in self.messages if isinstance(one, BeatScored)]

    def newest(self) -> list[PatientStatus]:
        statuses = [one for one in self.messages if isinstance(one, Status)]
        return statuses[-1].patients if statuses else []


def options(*records: str | Path, **changes: object) -> ReplayOptions:
    values: dict[str, object] = {
        "records": [str(one) for one in records],
        "alerts": f"ipc://{SOCKETS.name}/{next(NUMBERS)}",
        "speed": None,
    }
    return ReplayOptions(**{**values, **changes})  # type: ignore[arg-type]


def run(given: ReplayOptions, screen: Collected, hung_s: float = HUNG_S) -> Summary:
    """Replay as `monitor.run.replay.replay` does, with the supervisor within the test's reach."""
    with (
        run_folder() as folder,
        Interrupts() as interrupts,
        Supervisor(stage_settings(given, folder), folder, hung_s=hung_s) as supervisor,
        AlertSubscriber(given.alerts, (*screen.topics, "status")) as subscriber,
        Sockets() as sockets,
    ):
        screen.supervisor = supervisor
        waves = Waves(sockets, f"ipc://{folder / 'wave'}", screen.wave_topics)
        return Replay(supervisor, subscriber, waves, screen).run(interrupts)


def told(alerts: list[Alert]) -> list[tuple[str, str, int]]:
    return [(one.id, one.state, one.sample) for one in alerts]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return four simulated minutes with anomalies."""
    path = tmp_path_factory.mktemp("records") / "sim"
    settings = SimulationSettings(hours=4 / 60, seed=3, anomaly_rate=0.06, first_anomaly_s=10.0)
    write_record(path, settings)
    return path


@pytest.fixture(scope="module")
def undisturbed(record: Path) -> Collected:
    """Return what a run says to which nothing happens."""
    screen = Collected()
    run(options(record), screen)
    return screen


@pytest.fixture(autouse=True)
def nothing_left_behind() -> object:
    """Every test ends without a stage's process and without a run's folder."""
    yield
    assert not list(Path(tempfile.gettempdir()).glob(f"ecgm-{os.getpid()}-*"))
    children = subprocess.run(
        ["pgrep", "-f", "-P", str(os.getpid()), "monitor.stages"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert children.stdout == ""


def test_alerts_agree_with_the_annotations(record: Path, undisturbed: Collected) -> None:
    """Most anomalous beats are alerted, few others, and every beat is told once, in order."""
    annotation = wfdb.rdann(str(record), "ecg")
    anomalous = annotation.sample[np.isin(annotation.symbol, list(ANOMALOUS))]
    alerted = [one.sample for one in undisturbed.alerts() if one.state != "cleared"]
    beats = [one.sample for one in undisturbed.beats()]
    assert beats == sorted(set(beats))
    assert len(beats) == pytest.approx(len(annotation.sample), abs=3)
    recall = np.mean([_near(sample, alerted) for sample in anomalous])
    false = [one for one in alerted if not _near(one, anomalous)]
    assert len(anomalous) >= 10
    assert recall >= 0.8
    assert len(false) <= 0.02 * len(beats)


def _near(sample: int, others: object) -> bool:
    return bool(np.min(np.abs(np.asarray(others) - sample), initial=10**9) <= WITHIN_S * 250)


def test_the_summary_tells_that_a_model_did_not_fit() -> None:
    """Whose beats were all called anomalous, and what to do; nobody else is named."""
    tally = Tally()
    unfit = patient_status(patient="119", technical=["model_unfit"])
    tally.take(status(patients=[unfit, patient_status(patient="120", technical=["noisy"])]))
    streams = [Stream(name, name, ["MLII"], 360.0, 0, None) for name in ("119", "120")]
    (note,) = tally.summary(streams, restarts=0).notes
    assert note.startswith("119: this model does not fit this record, or every beat is anomalous")
    assert "--learn 5:00" in note


def test_the_summary_tells_that_many_beats_are_anomalous_to_a_model_of_others() -> None:
    """With how many, and what to do; not of a patient who was learnt, or of few beats."""
    tally = Tally()
    seen = {
        "many": patient_status(patient="many", judged=1000, anomalous=400),
        "few": patient_status(patient="few", judged=1000, anomalous=100),
        "short": patient_status(patient="short", judged=99, anomalous=99),
        "learnt": patient_status(patient="learnt", judged=1000, anomalous=400, note="learnt"),
    }
    tally.take(status(patients=[*seen.values()]))
    streams = [Stream(name, name, ["MLII"], 360.0, 0, None) for name in seen]
    notes = tally.summary(streams, restarts=0).notes
    assert notes[0] == "learnt: learnt"
    assert notes[1].startswith("many: 40% of the beats are anomalous to this model")
    assert "--learn 5:00" in notes[1]
    assert len(notes) == 2


def test_the_summary_tells_that_nothing_was_left_to_judge() -> None:
    """A run that goes on behind its records' end; what to do to judge them again."""
    tally = Tally()
    tally.take(status(patients=[patient_status(patient="119", position=7200, state="ended")]))
    streams = [Stream("119", "119", ["MLII"], 360.0, 0, None)]
    for before, told in ((None, []), ({"119": 3600}, []), ({"119": 7200}, [NOTHING_LEFT])):
        assert tally.summary(streams, 0, before).notes == told
    assert "--journal" in NOTHING_LEFT


def test_a_heartbeat_that_knows_of_no_patient_is_not_the_last() -> None:
    """It was sent before the first beats; the summary waits for the one that has their end."""
    tally = Tally()
    assert not tally.complete(0, n_streams=1)
    tally.take(status(patients=[]))
    assert not tally.complete(0, n_streams=1)
    ended = WardCounts(ended=1)
    tally.take(status(patients=[patient_status(state="ended")], newest_seq=3, ward=ended))
    assert not tally.complete(2, n_streams=1)
    assert tally.complete(3, n_streams=1)


def test_a_run_that_waits_for_its_journal_says_why() -> None:
    """A full disk keeps it from ending; while records run, the alert about it is enough."""
    tally = Tally()
    for ward, waits in ((WardCounts(monitoring=1), ""), (WardCounts(ended=1), "disk full")):
        tally.take(status(patients=[patient_status()], ward=ward, journal_failing="disk full"))
        assert tally.waits_for_the_journal == waits
    assert tally.summary([], restarts=0).not_kept == "disk full"
    tally.take(status(patients=[patient_status(state="ended")], ward=WardCounts(ended=1)))
    assert (tally.waits_for_the_journal, tally.summary([], restarts=0).not_kept) == ("", "")


def test_the_summary_counts_the_named_alarms_that_began() -> None:
    """By kind, the most urgent first; neither their ends nor alerts of beats."""
    tally = Tally()
    for kind, state in (("pause", "onset"), ("asystole", "onset"), ("pause", "cleared")):
        tally.take(alarm(kind=kind, state=state))
    tally.take(alarm(kind="pause"))
    tally.take(alert())
    assert [*tally.summary([], restarts=0).alarms.items()] == [("asystole", 1), ("pause", 2)]


def test_the_summary_adds_up(record: Path) -> None:
    """Beats, alerts and signal are those of the messages; the end is exit 0's reason."""
    screen = Collected()
    summary = run(options(record, duration_s=60.0), screen)
    assert summary.records == 1
    assert summary.leads == {record.name: ["ECG1", "ECG2"]}
    assert screen.notices == [f"{record.name}: leads ECG1, ECG2 at 250 Hz"]
    assert summary.signal_s == pytest.approx(60.0)
    assert summary.beats == len(screen.beats())
    assert summary.alerts == sum(one.state == "onset" for one in screen.alerts())
    assert summary.alerts_per_hour == pytest.approx(60 * summary.alerts, abs=0.1)
    assert summary.real_time_factor > 1
    assert (summary.malformed, summary.gaps, summary.dropped, summary.restarts) == (0, 0, 0, 0)
    assert [one.seq for one in screen.numbered()] == list(range(1, len(screen.numbered()) + 1))


def test_another_process_receives_every_alert(record: Path) -> None:
    """`ecg-monitor subscribe` in its own process prints the alerts of the run, of both kinds."""
    # Slow enough for the other process to start meanwhile.
    given = options(record, speed=30.0, duration_s=120.0)
    command = [sys.executable, "-m", "monitor", "subscribe", given.alerts, "--json", "--until-end"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as subscriber:
        screen = Collected()
        run(given, screen)
        out, _ = subscriber.communicate(timeout=30)
    printed = [json.loads(line) for line in out.splitlines()]
    assert [one["id"] for one in printed] == [one.id for one in screen.numbered()]


def test_a_killed_stage_loses_and_doubles_nothing(record: Path, undisturbed: Collected) -> None:
    """After kill -9 of each stage in turn the run continues: the same alerts in the same order."""
    stages: tuple[StageName, ...] = ("producer", "segmenter", "consumer")
    killed: list[StageName] = []

    def kill_in_turn(screen: Collected, controls: Controls) -> None:
        assert screen.supervisor is not None
        if len(killed) < len(stages) and len(screen.alerts()) >= 3 * (len(killed) + 1):
            killed.append(stages[len(killed)])
            os.kill(screen.supervisor.pids[killed[-1]], signal.SIGKILL)

    screen = Collected(kill_in_turn)
    summary = run(options(record, speed=60.0), screen)
    assert summary.restarts == len(killed) == len(stages)
    for stage in stages:
        assert any(stage in notice and "signal 9" in notice for notice in screen.notices)
    assert told(screen.alerts()) == told(undisturbed.alerts())


def test_a_patient_of_another_run_does_not_end_the_summary(undisturbed: Collected) -> None:
    """Nor is counted in it."""
    tally = Tally()
    statuses = [one for one in undisturbed.messages if isinstance(one, Status)]
    stranger = msgspec.structs.replace(statuses[-1].patients[0], patient="stranger")
    tally.take(statuses[-1])
    alone = tally.summary([stream("sim")], 0)
    tally.take(msgspec.structs.replace(statuses[-1], patients=[stranger]))
    both = tally.summary([stream("sim")], 0, foreign=1)
    assert both.beats == alone.beats > 0
    assert (alone.foreign, both.foreign) == (0, 1)


def stream(patient: str) -> Stream:
    return Stream(patient, patient, ["I"], 250.0, 0, None)


@pytest.mark.parametrize(("stage", "begun"), [("consumer", True), ("segmenter", False)])
def test_a_hung_stage_is_restarted_like_a_dead_one(
    record: Path, undisturbed: Collected, stage: StageName, begun: bool
) -> None:
    """Stopped for ever, at work or while it starts: killed, reported to all; no alert is lost."""
    stopped: list[int] = []

    def stop_once(screen: Collected, controls: Controls) -> None:
        assert screen.supervisor is not None
        if not stopped and (len(screen.alerts()) >= 3 or not begun):
            stopped.append(screen.supervisor.pids[stage])
            os.kill(stopped[0], signal.SIGSTOP)

    screen = Collected(stop_once)
    summary = run(options(record, speed=30.0), screen, hung_s=4.0)
    assert not is_alive(stopped[0])
    assert summary.restarts == 1
    assert any(f"the {stage} hangs" in notice for notice in screen.notices)
    reported = [one.text for one in screen.messages if isinstance(one, Technical)]
    assert any(f"the {stage} hangs" in text for text in reported)
    assert told(screen.alerts()) == told(undisturbed.alerts())


def test_a_folder_that_was_removed_ends_no_run(
    record: Path, undisturbed: Collected, tmp_path: Path
) -> None:
    """With a journal elsewhere nothing is lost; neither its folder nor its log are needed."""
    done: list[Path] = []
    given = options(record, speed=30.0, journal=tmp_path / "j.sqlite")
    screen = Collected()
    with (
        run_folder() as folder,
        Interrupts() as interrupts,
        Supervisor(stage_settings(given, folder), folder) as supervisor,
        AlertSubscriber(given.alerts, (*screen.topics, "status")) as subscriber,
    ):

        def remove_and_kill(screen: Collected, controls: Controls) -> None:
            if not done and len(screen.alerts()) >= 3:
                done.append(folder)
                shutil.rmtree(folder)
                os.kill(supervisor.pids["producer"], signal.SIGKILL)

        screen = Collected(remove_and_kill)
        Replay(supervisor, subscriber, None, screen).run(interrupts)
    assert any("was removed by somebody" in notice for notice in screen.notices)
    assert told(screen.alerts()) == told(undisturbed.alerts())


def test_restarts_are_bounded(record: Path) -> None:
    """A stage that keeps dying ends the run with an error, and nothing stays behind."""

    def kill_always(screen: Collected, controls: Controls) -> None:
        assert screen.supervisor is not None
        os.kill(screen.supervisor.pids["segmenter"], signal.SIGKILL)

    with pytest.raises(StageFailed, match="segmenter died"):
        run(options(record, speed=1.0), Collected(kill_always))


def test_quitting_scores_what_was_sent_and_then_ends(
    record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`q` stops the producer first; once what it had sent is judged, nothing is waited for."""
    monkeypatch.setattr(replay, "DRAIN_S", 60.0)  # a loaded machine may need more than usual
    asked: list[float] = []

    def quit_after_beats(screen: Collected, controls: Controls) -> None:
        if not asked and len(screen.beats()) >= 5:
            asked.append(time.monotonic())
            controls.quit()

    screen = Collected(quit_after_beats)
    summary = run(options(record, speed=10.0), screen)
    assert time.monotonic() - asked[0] < 60.0
    assert summary.signal_s < 200
    assert summary.beats >= 5
    assert screen.newest()[0].state == "ended"


def test_quitting_at_once_still_lists_the_patient(
    record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped within its first second, before all is judged, the run knows whose it is."""
    monkeypatch.setattr(replay, "DRAIN_S", 0.2)

    def quit_at_a_beat(screen: Collected, controls: Controls) -> None:
        if screen.beats():
            controls.quit()

    screen = Collected(quit_at_a_beat)
    run(options(record, speed=100.0), screen)
    assert [one.patient for one in screen.newest()] == ["sim"]


def test_pausing_holds_the_producer(record: Path) -> None:
    """While paused no beat comes; afterwards the run goes on to its end."""
    seen: dict[str, float] = {}

    def pause_for_a_second(screen: Collected, controls: Controls) -> None:
        now_s, beats = time.monotonic(), len(screen.beats())
        if "paused" not in seen and beats >= 5:
            assert controls.pause(True)
            seen.update(paused=now_s)
        elif "paused" in seen and "drained" not in seen and now_s > seen["paused"] + 0.5:
            seen.update(drained=now_s, before=beats)
        elif "drained" in seen and "after" not in seen and now_s > seen["drained"] + 0.7:
            seen.update(after=beats)
            controls.pause(False)

    summary = run(options(record, speed=20.0, duration_s=60.0), Collected(pause_for_a_second))
    assert seen["before"] == seen["after"]
    assert summary.signal_s == pytest.approx(60.0)


def test_a_pause_survives_a_restart(record: Path) -> None:
    """A stage that dies while paused does not set the replay going again."""
    seen: dict[str, float] = {}

    def kill_while_paused(screen: Collected, controls: Controls) -> None:
        assert screen.supervisor is not None
        now_s = time.monotonic()
        if "paused" not in seen and len(screen.beats()) >= 5:
            controls.pause(True)
            seen["paused"] = now_s
        elif "paused" in seen and "killed" not in seen and now_s > seen["paused"] + 1.5:
            os.kill(screen.supervisor.pids["segmenter"], signal.SIGKILL)
            seen.update(killed=now_s, before=screen.newest()[0].position)
        elif "killed" in seen and now_s > seen["killed"] + 6.0 and screen.newest():
            seen.setdefault("after", screen.newest()[0].position)
            controls.quit()

    summary = run(options(record, speed=5.0), Collected(kill_while_paused))
    assert summary.restarts == 1
    # At most back to the state that went along a second before, at five times real time.
    assert -5 * 250 <= seen["after"] - seen["before"] <= 250


def test_another_monitor_on_the_endpoint_is_not_listened_to(record: Path) -> None:
    """With the port taken by another run, the second says so and shows none of its alerts."""
    port = f"tcp://127.0.0.1:{free_port()}"
    first = options(record, alerts=port, speed=40.0, duration_s=120.0)
    command = [sys.executable, "-m", "monitor", "replay", str(record), "--alerts", first.alerts]
    second: list[subprocess.CompletedProcess[str]] = []

    def start_second(screen: Collected, controls: Controls) -> None:
        if not second and len(screen.alerts()) >= 3:
            second.append(
                subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
            )

    run(first, Collected(start_second))
    assert second[0].returncode == 2
    assert second[0].stdout == ""
    assert "in use" in second[0].stderr


def test_a_threshold_takes_effect_in_the_consumer(record: Path) -> None:
    """Raised above every loss, no further alert comes."""
    moved: list[int] = []

    def raise_threshold(screen: Collected, controls: Controls) -> None:
        if not moved and screen.beats():
            controls.request(ThresholdRequest(value=5000.0))
            moved.append(screen.beats()[-1].sample)

    screen = Collected(raise_threshold)
    summary = run(options(record, speed=60.0), screen)
    assert screen.newest()[0].threshold == 5000.0
    assert summary.alerts <= 1


def test_what_the_consumer_refuses_is_shown(record: Path) -> None:
    """A key that the monitor cannot obey is answered with the reason, not with silence."""
    asked: list[bool] = []

    def ask(screen: Collected, controls: Controls) -> None:
        if not asked and screen.beats():
            controls.request(ThresholdRequest("nobody", factor=1.1))
            asked.append(True)
        if refusal in screen.notices:
            controls.quit()

    refusal = "no patient 'nobody' is monitored"
    screen = Collected(ask)
    summary = run(options(record, speed=60.0), screen)
    assert screen.notices[-1] == refusal
    assert summary.stopped


def test_several_records_side_by_side(record: Path, undisturbed: Collected) -> None:
    """Two patients in one run say what each says alone."""
    screen = Collected()
    summary = run(options(record, record), screen)
    assert summary.records == 2
    assert [one.patient for one in screen.newest()] == ["sim", "sim#2"]
    for patient in ("sim", "sim#2"):
        of_patient = [one for one in screen.alerts() if one.patient == patient]
        alone = [(state, sample) for _, state, sample in told(undisturbed.alerts())]
        assert [(one.state, one.sample) for one in of_patient] == alone


def test_malformed_messages_are_counted_and_dropped(record: Path, undisturbed: Collected) -> None:
    """Junk on the sockets between the stages changes nothing but a counter."""
    given = options(record, speed=60.0)
    screen = Collected()
    with (
        run_folder() as folder,
        Interrupts() as interrupts,
        Sockets() as sockets,
        Supervisor(stage_settings(given, folder), folder) as supervisor,
        AlertSubscriber(given.alerts, screen.topics) as subscriber,
    ):
        for name in ("samples", "beats"):
            stranger = sockets.push(f"ipc://{folder / name}")
            for junk in ([b""], [b"\x81\xa1"], [b"x" * 1000, b"y"], [b"\xff"] * 7):
                stranger.send_multipart(junk)
        sockets.ask(f"ipc://{folder / 'lifecycle'}").send(b"\xc1 nonsense")
        summary = Replay(supervisor, subscriber, None, screen).run(interrupts)
    assert summary.malformed == 8
    assert told(screen.alerts()) == told(undisturbed.alerts())


def test_a_refusal_of_a_stage_is_the_run_s_error(tmp_path: Path) -> None:
    """What a stage cannot use is said once, in its words, without restarts."""
    with pytest.raises(StageRefused, match="nothing-here"):
        run(options(tmp_path / "nothing-here"), Collected())


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_the_command_in_order(record: Path, sent: signal.Signals) -> None:
    """Ctrl-C, SIGTERM and SIGHUP end `ecg-monitor replay` within two seconds, with a summary."""
    given = options(record)
    command = [sys.executable, "-m", "monitor", "replay", str(record), "--alerts", given.alerts]
    with (
        subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE) as process,
        AlertSubscriber(given.alerts, ["beat"]) as subscriber,
    ):
        assert subscriber.receive(timeout_s=30) is not None
        began_s = time.monotonic()
        process.send_signal(sent)
        out, _ = process.communicate(timeout=10)
        assert time.monotonic() - began_s < 3.0
    assert process.returncode == 0
    assert json.loads(out.splitlines()[-1])["type"] == "summary"
    assert not list(Path(tempfile.gettempdir()).glob(f"ecgm-{process.pid}-*"))


def test_a_killed_parent_leaves_no_process(record: Path) -> None:
    """When the supervisor is killed outright, its stages see it and leave."""
    given = options(record)
    command = [sys.executable, "-m", "monitor", "replay", str(record), "--alerts", given.alerts]
    with (
        subprocess.Popen([*command, "--json"], stdout=subprocess.DEVNULL) as process,
        AlertSubscriber(given.alerts, ["beat"]) as subscriber,
    ):
        assert subscriber.receive(timeout_s=30) is not None
        stages = subprocess.run(
            ["pgrep", "-P", str(process.pid)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        assert len(stages) == 3
        if sys.platform == "linux":
            os.kill(int(stages[0]), signal.SIGSTOP)  # one hangs, and cannot notice
        process.kill()
    deadline_s = time.monotonic() + 5
    while any(is_alive(int(pid)) for pid in stages):
        assert time.monotonic() < deadline_s, "a stage outlived its supervisor"
    with run_folder():  # the next run removes what the killed one left
        assert not list(Path(tempfile.gettempdir()).glob(f"ecgm-{process.pid}-*"))


@pytest.mark.skipif(not MITDB.is_dir(), reason="needs ../shared/data/mitdb")
def test_a_real_record_is_learnt_and_monitored() -> None:
    """On MIT-BIH 119, most premature ventricular beats after the learning phase are anomalous.

    They look alike: the first begins an alert, the others but a few are absorbed.
    """
    screen = Collected()
    run(options(MITDB / "119", learn_s=300.0, duration_s=900.0), screen)
    annotation = wfdb.rdann(str(MITDB / "119"), "atr", sampto=900 * 360)
    symbols = np.array(annotation.symbol)
    premature = [r for r in annotation.sample[symbols == "V"] if r > 301 * 360]
    beats = [one for one in screen.messages if isinstance(one, BeatScored)]
    anomalous = np.array([one.sample for one in beats if one.anomalous])
    found = [np.min(np.abs(anomalous - r), initial=10**9) <= WITHIN_S * 360 for r in premature]
    assert len(premature) > 50
    assert np.mean(found) >= 0.9
    onsets = [one for one in screen.alerts() if one.state == "onset"]
    assert 0 < len(onsets) < len(premature) / 4


def test_waveforms_are_private_unless_an_endpoint_is_given(tmp_path: Path) -> None:
    """`--wave` lets `web` and `view` have them; on tcp with the run's keys."""
    alone = stage_settings(options("r"), tmp_path)[1]
    assert alone.wave == f"ipc://{tmp_path / 'wave'}"
    given = options("r", wave="tcp://127.0.0.1:5575", keys="/keys")
    shared = stage_settings(given, tmp_path)[1]
    assert (shared.wave, shared.keys) == ("tcp://127.0.0.1:5575", "/keys")


@pytest.mark.parametrize("fs_hz", [-250.0, 0.0, 1e9, float("nan")])
def test_a_sampling_rate_that_is_none_is_refused_before_a_stage_begins(fs_hz: float) -> None:
    """As every other command does; a stage would die of it, again and again."""
    with run_folder() as folder, pytest.raises(InvalidOption, match="use 100 to 2000 Hz"):
        stage_settings(options("ecg.csv", fs_hz=fs_hz), folder)
