"""One run, watched: the supervisor's stages on one side, a screen on the other.

stages --alerts, waves--> this loop --messages--> screen
stages <--pause, stop, requests-- this loop <--keys, signals-- person
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import zmq

from monitor.delivery.subscriber import AlertSubscriber
from monitor.delivery.wave_client import Waves
from monitor.interrupts import Interrupts
from monitor.journal.leader import led
from monitor.journal.lock import real_path
from monitor.journal.writer import newest_seq
from monitor.log import note_to_stderr, run_log
from monitor.run.folder import run_folder
from monitor.run.free_endpoints import require_free
from monitor.run.leads import opening_lines, warnings
from monitor.run.supervisor import Supervisor
from monitor.settings import (
    DRAIN_S,
    KEEP_DAYS,
    KEEP_MB,
    ConsumerSettings,
    ProducerSettings,
    Rules,
    SegmenterSettings,
    VerdictBy,
)
from monitor.sources.kinds import cannot_wait, is_live
from monitor.sources.source import SourceOptions
from monitor.text import counted, harmless
from monitor.view.screens import Screen
from monitor.wire.codec import topic_of
from monitor.wire.curve_keys import load_optional_keys
from monitor.wire.messages import (
    ALARM_KINDS,
    AlarmKind,
    Alert,
    ControlRequest,
    FamilyStatus,
    Message,
    PatientStatus,
    Status,
    Stream,
    Technical,
)
from monitor.wire.sockets import Sockets

LOOP_S = 0.1  # the longest wait: keys and signals are looked at after it
OPEN_WITHIN_S = 2.0  # then it begins though nothing was heard
CATCH_UP_S = 5.0  # how long the last alerts may take to arrive when the record has ended
# A patient who was not learnt and has more anomalous beats than this, of so many: said at the end.
FEWEST_JUDGED, MANY_ANOMALOUS = 100, 0.1
NOTHING_LEFT = (
    "nothing was left to judge: the journal holds this run to its end; to judge the records "
    "again, name another --journal"
)
TAKEN_AT_ONCE = 2_000  # messages a turn of the loop, so that keys are looked at in between

FOREIGN = (
    "another monitor sends on this one's address for alerts; its messages are dropped and counted"
)


class Summary(msgspec.Struct, frozen=True, tag_field="type", tag="summary"):
    """What a run came to."""

    records: int
    leads: dict[str, list[str]]  # that were monitored, by patient
    signal_s: float  # judged, summed over the records
    elapsed_s: float  # real time from the start of the replay
    real_time_factor: float
    beats: int
    judged: int  # beats with a verdict: with none, nothing was monitored
    anomalous: int
    withheld: int  # beats without a verdict
    alerts: int  # episodes and named alarms that began
    alerts_per_hour: float
    technical: int
    lag_max_s: float  # the largest of the heartbeats'
    malformed: int
    foreign: int  # messages of another monitor, on an endpoint that it took over
    gaps: int
    dropped: int
    restarts: int
    notes: list[str]
    passed_over: list[str]  # why records could not be replayed, or not to their end
    stopped: bool  # by a person, before the records' end
    families: dict[str, list[FamilyStatus]] = {}  # of beats that look alike, by patient
    alarms: dict[AlarmKind, int] = {}  # how many of each began, the most urgent first
    resumed: bool = False  # by its journal: alarms, technical, lag are those since then
    not_kept: str = ""  # why the newest alerts are not in the journal; empty where all are


class Tally:
    """What the summary is made of, gathered as the run goes on."""

    def __init__(self) -> None:
        self.started_s = time.monotonic()
        self.status: Status | None = None
        self._patients: dict[str, PatientStatus] = {}  # a heartbeat speaks of some of them
        self._ended_s = self.started_s
        self._technical = 0
        self._alarms: Counter[str] = Counter()
        self._lag_max_s = 0.0

    def start(self) -> None:
        """The stages are ready: real time counts from here."""
        self.started_s = self._ended_s = time.monotonic()

    def take(self, message: Message) -> None:
        """Take a message in."""
        if isinstance(message, Technical):
            self._technical += message.state == "onset"
        if isinstance(message, Alert):
            self._alarms[message.kind] += message.state == "onset"
        if isinstance(message, Status):
            self.status, self._ended_s = message, time.monotonic()
            self._patients |= {one.patient: self._with_families(one) for one in message.patients}
            self._lag_max_s = max([self._lag_max_s, *(one.lag_s for one in message.patients)])

    def _with_families(self, told: PatientStatus) -> PatientStatus:
        """Return a status with the families told last, where this one tells none."""
        before = self._patients.get(told.patient)
        if told.families is not None or before is None:
            return told
        return msgspec.structs.replace(told, families=before.families)

    def complete(self, last_seq: int, n_streams: int) -> bool:
        """Whether all patients have ended and all their alerts have come.

        A heartbeat from before the first beats knows of no patient: the last one is still to come.
        """
        status = self.status
        return (
            status is not None
            and status.ward.learning + status.ward.monitoring == 0
            and status.ward.ended >= n_streams
            and last_seq >= status.newest_seq
        )

    @property
    def waits_for_the_journal(self) -> str:
        """Why the journal does not take the last alerts though all has ended; empty where it does.

        The consumer tries again until it does: a disk may be given room.
        """
        status = self.status
        if status is None or status.ward.learning + status.ward.monitoring or not status.ward.ended:
            return ""
        return status.journal_failing

    def summary(
        self,
        streams: list[Stream],
        restarts: int,
        before: dict[str, int] | None = None,
        passed_over: Sequence[str] = (),
        stopped: bool = False,
        foreign: int = 0,
        live: Collection[str] = (),
    ) -> Summary:
        """Return what the run came to.

        Parameters
        ----------
        streams : list of Stream
            Those that were announced at the start.
        before : dict, optional
            Positions at which a resumed run began, by patient.
        live : collection of str
            Records that are live: their patients may come later.
        """
        first = {one.patient: 0 for one in self._patients.values() if one.record in live}
        first |= {one.patient: one.first_sample for one in streams}
        patients = [one for one in self._patients.values() if one.patient in first]
        leads = {one.patient: one.leads for one in patients}
        leads |= {one.patient: one.leads for one in streams}
        stages = self.status.stages if self.status is not None else []
        signal_s = sum((one.position - first[one.patient]) / one.fs_hz for one in patients)
        new_s = sum(
            (one.position - (before or {}).get(one.patient, first[one.patient])) / one.fs_hz
            for one in patients
        )
        elapsed_s = self._ended_s - self.started_s
        alerts = sum(one.alerts for one in patients)
        return Summary(
            records=len(leads),
            leads=leads,
            signal_s=round(signal_s, 3),
            elapsed_s=round(elapsed_s, 3),
            real_time_factor=round(new_s / elapsed_s, 2) if elapsed_s > 0 else 0.0,
            beats=sum(one.beats for one in patients),
            judged=sum(one.judged for one in patients),
            anomalous=sum(one.anomalous for one in patients),
            withheld=sum(one.withheld for one in patients),
            alerts=alerts,
            alerts_per_hour=round(alerts / signal_s * 3600, 2) if signal_s else 0.0,
            technical=self._technical,
            lag_max_s=round(self._lag_max_s, 3),
            malformed=sum(one.malformed for one in stages),
            foreign=foreign,
            gaps=sum(one.gaps for one in stages),
            dropped=sum(one.dropped for one in stages),
            restarts=restarts,
            alarms={kind: self._alarms[kind] for kind in ALARM_KINDS if self._alarms[kind]},
            families={
                one.patient: [msgspec.structs.replace(each, shape=[]) for each in one.families]
                for one in patients
                if one.families
            },
            notes=[
                *warnings(streams),
                *([NOTHING_LEFT] if before and patients and new_s <= 0 else []),
                *(f"{one.patient}: {one.note}" for one in patients if one.note),
                *(f"{one.patient}: {text}" for one in patients if (text := _fit_note(one))),
            ],
            passed_over=list(passed_over),
            stopped=stopped,
            resumed=bool(before),
            not_kept="" if self.status is None else self.status.journal_failing,
        )


def _fit_note(patient: PatientStatus) -> str:
    """Return what to do about a model that knows too little of a patient; empty: nothing."""
    if "model_unfit" in patient.technical:
        return (
            "this model does not fit this record, or every beat is anomalous; learn the patient: "
            "--learn 5:00"
        )
    share = patient.anomalous / max(1, patient.judged)
    if patient.note or patient.judged < FEWEST_JUDGED or share <= MANY_ANOMALOUS:
        return ""  # a patient who was learnt may have as many
    return (
        f"{share:.0%} of the beats are anomalous to this model, which has not learnt the patient; "
        "with --learn 5:00 it is the patient's own normal that counts"
    )


class Replay:
    """The loop between stages and screen; also what the screen's keys act on."""

    def __init__(
        self,
        supervisor: Supervisor,
        subscriber: AlertSubscriber,
        waves: Waves | None,
        screen: Screen,
        live: Collection[str] = (),
    ) -> None:
        self._live = live
        self._supervisor = supervisor
        self._subscriber = subscriber
        self._waves = waves
        self._screen = screen
        self._tally = Tally()
        self._passed_over: list[str] = []
        self._told_foreign = False
        self._told_waiting = False
        self._quit_s: float | None = None
        self._ready_s: float | None = None
        self._poller = zmq.Poller()
        heard = None if waves is None else waves.socket
        for readable in (supervisor.lifecycle, *subscriber.sockets, heard, screen.fileno()):
            if readable is not None:
                self._poller.register(readable, zmq.POLLIN)

    def run(self, interrupted: Interrupts, not_fetched: Sequence[str] = ()) -> Summary:
        """Go on until the records end, or someone wants to leave."""
        started = False
        while not self._over():
            self._poller.poll(round(1000 * LOOP_S))
            for notice in self._supervisor.poll():
                self._screen.notice(notice)
            self._report_passed_over()
            self._subscriber.only = self._supervisor.journal
            if self._supervisor.ready and not started and self._line_is_open():
                started = True
                self._supervisor.begin()
                self._tally.start()
                for text in opening_lines(self._supervisor.streams):
                    self._screen.notice(text)
            self._take_messages()
            self._report_waiting()
            self._screen.refresh(self)
            self._follow()
            if interrupted.happened:
                self.quit()
        self._catch_up()
        supervisor, foreign = self._supervisor, self._subscriber.foreign
        return self._tally.summary(
            supervisor.streams,
            supervisor.restarts,
            supervisor.resumed,
            [*not_fetched, *self._passed_over],
            self._quit_s is not None,
            foreign,
            self._live,
        )

    def _report_passed_over(self) -> None:
        """Report each record that cannot be replayed once; the summary repeats it."""
        said = len(self._passed_over)
        for reason in list(self._supervisor.passed_over.values())[said:]:
            self._passed_over.append(reason)
            self._screen.notice(f"passed over: {reason}")

    def _report_waiting(self) -> None:
        """Report once why a run whose records have ended does not end."""
        reason = self._tally.waits_for_the_journal
        if reason and not self._told_waiting:
            self._told_waiting = True
            self._screen.notice(
                f"all records have ended, but the newest alerts are not kept: {reason}, and they "
                "will be; or leave without them (Ctrl-C)"
            )

    def _follow(self) -> None:
        """Ask for what the screen needs now."""
        self._subscriber.follow((*self._screen.topics, "status"))
        if self._waves is not None:
            self._waves.follow(self._screen.wave_topics)

    def request(self, request: ControlRequest) -> None:
        """Have the consumer change something."""
        if self._supervisor.started:
            self._subscriber.ask(request)
        else:
            self._screen.notice("not asked: the stages are still starting; try again")

    def pause(self, paused: bool) -> bool:
        """Hold the producer, or let it go on."""
        self._supervisor.pause(paused)
        return True

    def quit(self) -> None:
        """Stop the producer; what it has sent is still judged, for a while."""
        if self._quit_s is None:
            self._quit_s = time.monotonic()
            self._supervisor.stop()

    def _line_is_open(self) -> bool:
        """Whether the consumer has been heard; what is sent before would be lost on us."""
        self._ready_s = self._ready_s or time.monotonic()
        heard = self._subscriber.receive(timeout_s=0) is not None
        return heard or time.monotonic() - self._ready_s > OPEN_WITHIN_S

    def _over(self) -> bool:
        quit_for_s = 0.0 if self._quit_s is None else time.monotonic() - self._quit_s
        never_began = self._quit_s is not None and not self._supervisor.started
        return self._supervisor.finished or quit_for_s > DRAIN_S or never_began

    def _take_messages(self) -> None:
        if not self._supervisor.started:
            return  # what is heard now would be another monitor's, on the same endpoint
        for text in self._subscriber.take_notices():
            self._screen.notice(text)
        if self._subscriber.foreign and not self._told_foreign:
            self._told_foreign = True
            self._screen.notice(FOREIGN)
        if self._waves is not None:
            for stretch in self._waves.receive():
                self._screen.take(stretch)
        for _ in range(TAKEN_AT_ONCE):
            message = self._subscriber.receive(timeout_s=0)
            if message is None:
                return
            self._tally.take(message)
            if topic_of(message).startswith(self._screen.topics):
                self._screen.take(message)

    def _catch_up(self) -> None:
        """Take in the last alerts, which may still be on their way."""
        deadline_s = time.monotonic() + CATCH_UP_S
        while time.monotonic() < deadline_s and self._supervisor.finished:
            self._take_messages()
            n_streams = len(self._supervisor.streams)
            if self._tally.complete(self._subscriber.last_seq, n_streams):
                return
            self._poller.poll(round(1000 * LOOP_S))


@dataclass(frozen=True)
class ReplayOptions:
    """What `ecg-monitor replay` was asked for."""

    records: list[str]
    alerts: str
    leads: tuple[str, ...] = ()  # as asked for; none are all ECG leads
    fs_hz: float | None = None  # of what does not say its own rate, or unit
    units: str | None = None
    record: Path | None = None  # where what a live source sends is kept
    speed: float | None = 1.0
    start_s: float = 0.0
    duration_s: float | None = None
    loop: bool = False
    checkpoint: str | None = None
    threshold: float | None = None
    learn_s: float | None = None
    false_alerts_per_hour: float = 1.0
    verdict: VerdictBy = "evidence"
    journal: Path | None = None
    rules: Rules = field(default_factory=Rules)
    keep_days: float = KEEP_DAYS
    keep_mb: float = KEEP_MB
    keys: str | None = None
    metrics: str | None = None  # PORT or HOST:PORT
    wave: str | None = None  # where waveforms are published; none: for this run's view alone
    passed_over: tuple[str, ...] = ()  # why records that were named are not among `records`
    log: Path | None = None
    verbose: bool = False


def replay(options: ReplayOptions, screen: Screen) -> Summary:
    """Start the stages, show what they say until the end, and leave nothing behind.

    Raises
    ------
    MonitorError
        If something given cannot be used, or a stage died too often.
    """
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(run_folder())
        journal = journal_path(options.journal, folder)
        lock = stack.enter_context(led(journal, screen.notice))
        require_free(options.alerts)  # when the processes of a run that was killed have left
        interrupts = stack.enter_context(Interrupts())
        is_new = not journal.exists()
        named = None if options.journal is None else journal
        spare = folder / "stages.log"
        log = stack.enter_context(run_log(options.log, named, spare, verbose=options.verbose))
        if options.verbose and screen.fileno() is None:
            note_to_stderr(verbose=True)
        settings = stage_settings(options, folder)
        supervisor = Supervisor(settings, folder, (lock,), log)
        if is_new:
            stack.callback(_remove_unused, journal, supervisor)
        before_seq = 0 if is_new else newest_seq(journal)
        stack.enter_context(supervisor)
        keys = load_optional_keys(Path(options.keys) if options.keys else None)
        topics = (*screen.topics, "status")
        subscriber = AlertSubscriber(options.alerts, topics, before_seq, keys=keys)
        stack.enter_context(subscriber)
        sockets = stack.enter_context(Sockets(keys))
        wanted = screen.wave_topics
        waves = Waves(sockets, settings[1].wave, wanted) if wanted else None
        stack.enter_context(screen)
        if not is_new:
            screen.notice(f"{journal} goes on behind its {counted(before_seq, 'alert')}")
        for reason in options.passed_over:
            screen.notice(f"passed over: {reason}")
        live = {harmless(one, 100) for one in options.records if is_live(one)}
        replay = Replay(supervisor, subscriber, waves, screen, live)
        return replay.run(interrupts, options.passed_over)


def stage_settings(
    options: ReplayOptions, folder: Path
) -> tuple[ProducerSettings, SegmenterSettings, ConsumerSettings]:
    """Return what the three stages are told, with private endpoints between them.

    Raises
    ------
    InvalidOption
        If the sampling rate is none.
    """
    SourceOptions(options.leads, options.fs_hz, options.units)  # or a stage would die of it
    live = any(map(cannot_wait, options.records))
    samples, beats, wave = (f"ipc://{folder / name}" for name in ("samples", "beats", "wave"))
    journal = journal_path(options.journal, folder)
    producer = ProducerSettings(
        records=options.records,
        samples=samples,
        keys=options.keys if any(map(is_live, options.records)) else None,
        leads=list(options.leads),
        speed=options.speed,
        start_s=options.start_s,
        duration_s=options.duration_s,
        fs_hz=options.fs_hz,
        units=options.units,
        record=None if options.record is None else str(options.record.absolute()),
        loop=options.loop,
        live=live,
        began_unix_s=time.time(),
        verbose=options.verbose,
    )
    segmenter = SegmenterSettings(
        samples=samples,
        beats=beats,
        wave=options.wave or wave,
        keys=None if options.wave is None else options.keys,
        measure_signs=bool(options.rules.alarms.on),
        live=live,
        verbose=options.verbose,
    )
    consumer = ConsumerSettings(
        beats=beats,
        alerts=options.alerts,
        journal=str(journal),
        checkpoint=options.checkpoint,
        threshold=options.threshold,
        learn_s=options.learn_s,
        false_alerts_per_hour=options.false_alerts_per_hour,
        verdict=options.verdict,
        keys=options.keys,
        rules=options.rules,
        live=live,
        real_time=options.speed is not None,
        keep_s=options.keep_days * 86_400,
        keep_bytes=round(options.keep_mb * 1e6),
        metrics=options.metrics,
        verbose=options.verbose,
    )
    return producer, segmenter, consumer


def journal_path(path: Path | None, folder: Path) -> Path:
    """Return where a run's journal is: the file that was named, or one of the run's own.

    By its real name: what lies beside it (log, lock, learnt models) is then the same for all.
    """
    return folder / "journal.sqlite" if path is None else real_path(path)


def _remove_unused(journal: Path, supervisor: Supervisor) -> None:
    """Remove the journal of a run that was refused before it began: it can be named again.

    The lock's file stays: who waits for it has it open, and would hold one that no other can see.
    """
    if not supervisor.started:
        for suffix in ("", "-wal", "-shm"):
            journal.with_name(journal.name + suffix).unlink(missing_ok=True)
