"""`ecg-monitor evaluate alarms`: the named alarms on alarms of intensive care, in real time.

A record of the PhysioNet/CinC Challenge 2015 holds ECG leads, pulse waves, and at 5:00 the alarm of
a bedside monitor; its header says which kind, and whether experts found it true. Nothing after 5:00
is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import wfdb
from numpy.typing import NDArray

from monitor.detection.rhythm.life_cycle import AlarmKind
from monitor.detection.rhythm.limits import RhythmLimits
from monitor.detection.rhythm.signs import RhythmMoment
from monitor.detection.rhythm.step import RhythmState, step
from monitor.errors import InvalidOption, MonitorError, RecordError
from monitor.offline.chosen_records import chosen_records
from monitor.offline.evaluation.alarms_report import KINDS, AlarmResult
from monitor.offline.rhythm_signs import findings, moments
from monitor.offline.workers import run_tasks
from monitor.sources.kinds import open_record
from monitor.sources.source import SourceOptions
from monitor.sources.wfdb_header import RecordHeader, read_header
from segmenter.errors import SegmenterError

ALARM_S = 300.0  # when the bedside monitor's alarm rang
BEFORE_S = 10.0  # what it is about lies so long before it at most (challenge of 2015)
PULSE_WAVES = ("PLETH", "ABP")
MAX_COMMENT_BYTES = 1 << 16


@dataclass(frozen=True)
class AlarmsOptions:
    """What `ecg-monitor evaluate alarms` was asked for.

    Parameters
    ----------
    folder : Path
        Records of the challenge.
    records : tuple of str
        Only these; none is all.
    jobs : int, optional
        Processes; none is one a core.
    """

    folder: Path
    records: tuple[str, ...] = ()
    jobs: int | None = None


def run(options: AlarmsOptions, tell: Callable[[AlarmResult, int, int], None]) -> list[AlarmResult]:
    """Return what became of each record, in the order of their names.

    Raises
    ------
    InvalidOption
        If the folder has no such records, or none could be judged.
    StageFailed
        If a worker process died.
    """
    names = chosen_records(options.folder, options.records)
    paths = [options.folder / name for name in names]
    results = run_tasks(_judge_or_say_why, paths, options.jobs, tell)
    if all(one.note for one in results):
        raise InvalidOption(
            f"no record of {options.folder} could be judged: {results[0].record}: {results[0].note}"
        )
    return results


def _judge_or_say_why(path: Path) -> AlarmResult:
    try:
        return _judge(path)
    except (MonitorError, SegmenterError) as error:
        return AlarmResult(path.name, note=str(error))


def _judge(path: Path) -> AlarmResult:
    kind, true = read_alarm(path)
    header = read_header(path)
    n_samples = round(ALARM_S * header.fs_hz)
    leads = {
        one.name: _read_lead(path, k, n_samples)
        for k, one in enumerate(header.signals)
        if one.millivolts_per_unit is not None
    }
    if not leads:
        raise RecordError(f"record {path} has no ECG lead; give records of the challenge of 2015")
    waves = {
        one.name: _read_wave(header, k, n_samples)
        for k, one in enumerate(header.signals)
        if one.name.upper() in PULSE_WAVES
    }
    found = findings(list(leads.values()), list(waves.values()), header.fs_hz)
    seen = list(moments(found))
    alone = [replace_waves(moment) for moment in seen]
    return AlarmResult(
        path.name,
        kind,
        true,
        ecg=rang(alone, kind, header.fs_hz),
        ecg_and_pulse=rang(seen, kind, header.fs_hz),
        leads=tuple(leads),
        waves=tuple(waves),
    )


def replace_waves(moment: RhythmMoment) -> RhythmMoment:
    """Return a moment without its pulse waves."""
    return RhythmMoment(moment.sample, moment.series, moment.leads)


def rang(
    seen: Iterable[RhythmMoment], kind: AlarmKind, fs_hz: float, limits: RhythmLimits | None = None
) -> bool:
    """Tell whether an alarm was on at any time within the 10 s before 5:00."""
    limits = limits or RhythmLimits()
    state = RhythmState()
    rung = False
    for moment in seen:
        state, _ = step(state, moment, fs_hz, limits)
        life = state.alarms.get(kind)
        in_time = (ALARM_S - BEFORE_S) * fs_hz <= moment.sample <= ALARM_S * fs_hz
        rung |= in_time and life is not None and life.active
    return rung


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


def _read_lead(path: Path, channel: int, n_samples: int) -> NDArray[np.float32]:
    with open_record(path, SourceOptions([channel])) as record:
        lead: NDArray[np.float32] = record.read(0, min(n_samples, record.n_samples))[0]
        return lead


def _read_wave(header: RecordHeader, channel: int, n_samples: int) -> NDArray[np.float32]:
    """Return a pulse wave in its own unit; what sizes it has was checked with the header."""
    record = wfdb.rdrecord(
        str(header.path), channels=[channel], sampto=min(n_samples, header.n_frames or n_samples)
    )
    wave: NDArray[np.float32] = record.p_signal[:, 0].astype(np.float32)
    return wave
