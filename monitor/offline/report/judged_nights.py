"""The night of a record: judged at full speed by the monitor's engine, with its named alarms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from model.checkpoint import Checkpoint, load_checkpoint, load_shipped
from model.errors import ModelError
from monitor.errors import MonitorError
from monitor.journal.kept_beats import BEATS_AROUND, KeptBeat, LeadBeat
from monitor.offline.alarm_signal import alarm_signal
from monitor.offline.journal_export import is_named_alarm
from monitor.offline.record_judge import Judged, JudgeSettings, judge_record
from monitor.offline.report.night import DrawnAlert, Night, NightFold
from monitor.offline.report.trend import intervals_of, rhythm_trend
from monitor.plain import clock
from monitor.settings import VerdictBy
from monitor.sources.kinds import open_record
from monitor.sources.record_file import record_name
from monitor.sources.source import RecordFile, SourceOptions
from monitor.step_result import StepResult
from monitor.wire.messages import Alert, Message
from segmenter.errors import SegmenterError

MOST_KEPT = 20_000  # beats beside alerts: 25 MB of two leads; beyond, those of candidates stay
AROUND_S = 30.0  # a candidate's ten beats on either side lie within


@dataclass(frozen=True)
class RecordTask:
    """One record to be judged, and how.

    Attributes
    ----------
    record : str
    options : SourceOptions
    checkpoint : Path or None
        None is the model that ships.
    learn_s : float or None
    verdict : {"evidence", "loss"}
    most_drawn : int
    """

    record: str
    options: SourceOptions
    checkpoint: Path | None
    learn_s: float | None
    verdict: VerdictBy
    most_drawn: int


@dataclass(frozen=True)
class NoNight:
    """A record or a journal that could not be read, and why."""

    source: str
    why: str


def night_or_why(task: RecordTask) -> Night | NoNight:
    """Return a record's night, or why there is none."""
    try:
        with open_record(task.record, task.options) as record:
            return _night(task, record)
    except (MonitorError, SegmenterError, ModelError) as error:
        return NoNight(task.record, str(error))
    except MemoryError:
        return NoNight(task.record, "not enough memory")


def gave_up(task: RecordTask, why: str) -> Night | NoNight:
    """Return what becomes of a record over which workers died."""
    return NoNight(task.record, f"passed over: {why}")


class _Listener:
    """Hears the engine's steps: folds the alerts, keeps the beats beside the telling ones."""

    def __init__(self, fs_hz: float) -> None:
        self.fold = NightFold()
        self._around = round(AROUND_S * fs_hz)
        self._kept: list[KeptBeat] = []
        self._bound = MOST_KEPT

    def hear(self, result: StepResult[Message]) -> None:
        for alert in result.alerts:
            self.fold.take(alert)
        self._kept += result.kept
        if len(self._kept) > self._bound:
            near = [one.sample for one in self.fold.telling.candidates()]
            self._kept = [
                beat
                for beat in self._kept
                if any(abs(beat.sample - sample) < self._around for sample in near)
            ]
            self._bound = len(self._kept) + MOST_KEPT

    def around(self, alert: Alert) -> tuple[LeadBeat, ...]:
        before = [one for one in self._kept if one.sample <= alert.sample][-BEATS_AROUND - 1 :]
        after = [one for one in self._kept if one.sample > alert.sample][:BEATS_AROUND]
        return tuple(one.in_lead(alert.lead) for one in (*before, *after))


def _night(task: RecordTask, record: RecordFile) -> Night:
    base = load_shipped() if task.checkpoint is None else load_checkpoint(task.checkpoint)
    listener = _Listener(record.fs_hz)
    settings = JudgeSettings(learn_s=task.learn_s, verdict=task.verdict)
    judged = judge_record(record, base, settings, hear=listener.hear)
    fold, last_s = listener.fold, record.n_samples / record.fs_hz
    alarms, technical = fold.spans(last_s)
    trend = rhythm_trend(*intervals_of(judged.beats, record.fs_hz), last_s)
    name = record_name(Path(task.record))
    return Night(
        patient=name,
        record=record.record,
        source=Path(task.record).name,
        leads=record.leads,
        fs_hz=record.fs_hz,
        last_s=last_s,
        alarms=alarms,
        technical=technical,
        n_unseen=0,  # nobody was there
        families=(*(judged.status.families or ()),),
        n_families=judged.n_families,
        drawn=tuple(
            _drawn(task, record, listener, one) for one in fold.telling.chosen(task.most_drawn)
        ),
        trend=None if trend.is_empty else trend,
        figures=(*_figures(task, judged, base), *(("warning", one) for one in record.warnings)),
        beats=judged.status.beats,
        anomalous=judged.status.anomalous,
    )


def _drawn(task: RecordTask, record: RecordFile, listener: _Listener, alert: Alert) -> DrawnAlert:
    if not is_named_alarm(alert):
        return DrawnAlert(alert, listener.around(alert))
    signal = alarm_signal(Path(task.record), alert, record.leads, record.fs_hz, task.options)
    return DrawnAlert(alert, signal=signal)


def _figures(task: RecordTask, judged: Judged, base: Checkpoint) -> list[tuple[str, str]]:
    status = judged.status
    rows = [
        ("beats", f"{status.beats:,}, {status.judged:,} with a verdict"),
        ("anomalous", f"{status.anomalous:,}"),
        ("withheld", f"{status.withheld:,}, the signal was not good enough"),
        ("alerts", f"{status.alerts:,}"),
        ("threshold", "none" if status.threshold is None else f"{status.threshold:.1f}"),
        ("model", base.identity),
        ("learning", "nothing" if task.learn_s is None else clock(task.learn_s, 0)),
        ("verdict by", "loss" if task.learn_s is None else task.verdict),
    ]
    if judged.note:
        rows.append(("learnt", judged.note))
    if status.left_out:
        rows.append(("left out", ", ".join(status.left_out)))
    return rows
