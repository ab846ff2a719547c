"""`ecg-monitor evaluate alarms`: the named alarms on alarms of intensive care, in real time.

A record of the PhysioNet/CinC Challenge 2015 holds ECG leads, pulse waves, and at 5:00 the alarm of
a bedside monitor; its header says which kind, and whether experts found it true. Nothing after 5:00
is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from monitor.alarm_limits import RhythmLimits
from monitor.detection.rhythm.signs import RhythmMoment
from monitor.detection.rhythm.step import RhythmState, step
from monitor.errors import InvalidOption, MonitorError, RecordError
from monitor.offline.address import Address
from monitor.offline.at_hand import at_hand, headers_at_hand
from monitor.offline.chosen_records import chosen_records
from monitor.offline.evaluation.alarms_report import KINDS, AlarmResult
from monitor.offline.rhythm_signs import moments_of_signals, without_waves
from monitor.offline.workers import Shard, Workers, run_tasks
from monitor.sources.wfdb_record import WfdbRecord
from monitor.wire.messages import AlarmKind
from segmenter.errors import SegmenterError

ALARM_S = 300.0  # when the bedside monitor raised its alarm
BEFORE_S = 10.0  # what it is about lies so long before it at most (challenge of 2015)
MAX_COMMENT_BYTES = 1 << 16


@dataclass(frozen=True)
class AlarmsOptions:
    """What `ecg-monitor evaluate alarms` was asked for.

    Parameters
    ----------
    folder : Path or Address
        Records of the challenge.
    records : tuple of str
        Only these; none is all.
    workers : Workers
        Where records are judged.
    shard : Shard, optional
        Only this part of the records.
    """

    folder: Path | Address
    records: tuple[str, ...] = ()
    workers: Workers = Workers()  # noqa: RUF009  frozen
    shard: Shard | None = None


def run(options: AlarmsOptions, tell: Callable[[AlarmResult, int, int], None]) -> list[AlarmResult]:
    """Return what became of each record, in the order of their names.

    Raises
    ------
    InvalidOption
        If the folder has no such records, or none could be judged.
    StageFailed
        If a worker process died.
    """
    with headers_at_hand(options.folder) as folder:
        names = chosen_records(folder, options.records, options.shard)
    paths = [options.folder / name for name in names]
    results = run_tasks(
        _judge_or_say_why,
        paths,
        options.workers,
        tell,
        lambda path, why: AlarmResult(path.name, note=f"passed over: {why}"),
    )
    if all(one.note for one in results):
        raise InvalidOption(
            f"no record of {options.folder} could be judged: {results[0].record}: {results[0].note}"
        )
    return results


def _judge_or_say_why(path: Path | Address) -> AlarmResult:
    try:
        with at_hand(path) as here:
            here.fetch()
            return _judge(here.path)
    except (MonitorError, SegmenterError) as error:
        return AlarmResult(path.name, note=str(error))


def _judge(path: Path) -> AlarmResult:
    kind, true = read_alarm(path)
    read = read_moments(path)
    return AlarmResult(
        path.name,
        kind,
        true,
        ecg=was_raised(map(without_waves, read.moments), kind, read.fs_hz),
        ecg_and_pulse=was_raised(read.moments, kind, read.fs_hz),
        leads=read.leads,
        waves=read.waves,
    )


class Read(NamedTuple):
    """What the leads and pulse waves of a record show until 5:00; as `replay` would read them."""

    moments: list[RhythmMoment]
    fs_hz: float
    leads: tuple[str, ...]
    waves: tuple[str, ...]


def read_moments(path: Path) -> Read:
    """Return what a record shows until its alarm; RecordError if it has no ECG lead."""
    with WfdbRecord.open(path) as record:
        stop = min(round(ALARM_S * record.fs_hz), record.n_samples)
        leads, waves = record.read(0, stop), record.read_waves(0, stop)
        seen = list(moments_of_signals(leads, record.fs_hz, waves))
        return Read(seen, record.fs_hz, record.leads, record.waves)


def was_raised(
    seen: Iterable[RhythmMoment], kind: AlarmKind, fs_hz: float, limits: RhythmLimits | None = None
) -> bool:
    """Tell whether an alarm was on at any time within the 10 s before 5:00."""
    limits = limits or RhythmLimits()
    state = RhythmState()
    raised = False
    for moment in seen:
        state, _ = step(state, moment, fs_hz, limits)
        life = state.alarms.get(kind)
        in_time = (ALARM_S - BEFORE_S) * fs_hz <= moment.sample <= ALARM_S * fs_hz
        raised |= in_time and life is not None and life.active
    return raised


def read_alarm(path: Path) -> tuple[AlarmKind, bool]:
    """Return the kind of a record's alarm, and whether it was true, from its header's comments.

    Raises
    ------
    RecordError
        If the header does not say.
    """
    try:
        text = path.with_name(f"{path.name}.hea").read_bytes()[:MAX_COMMENT_BYTES].decode("utf-8")
    except (OSError, ValueError) as error:
        raise RecordError(f"header {path}.hea cannot be read: {error}") from error
    comments = [line[1:].strip() for line in text.splitlines() if line.startswith("#")]
    kinds = [KINDS[one] for one in comments if one in KINDS]
    truths = [one == "True alarm" for one in comments if one in ("True alarm", "False alarm")]
    if len(kinds) != 1 or len(truths) != 1:
        raise RecordError(
            f"header {path}.hea does not say which alarm it is about, and whether that was true; "
            "give records of the PhysioNet/CinC Challenge 2015"
        )
    return kinds[0], truths[0]
