"""The nights that a journal holds, one a patient; a record adds the trend and signals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monitor.detection.family_marks import family_statuses
from monitor.detection.patient import Saved
from monitor.detection.patient_state import read_saved
from monitor.errors import InvalidOption, JournalFailed
from monitor.journal.reader import JournalReader
from monitor.journal.run import JournaledRun
from monitor.journal.writer import decoded_progress
from monitor.offline.journal_export import is_named_alarm, signal_of
from monitor.offline.record_judge import without_values
from monitor.offline.record_segmenter import segment
from monitor.offline.report.night import DrawnAlert, Night, NightFold
from monitor.offline.report.trend import RhythmTrend, intervals_of, intervals_of_kept, rhythm_trend
from monitor.plain import MAX_TIME_S, clock
from monitor.sources.kinds import open_record
from monitor.sources.record_file import record_name
from monitor.sources.source import SourceOptions
from monitor.text import counted
from monitor.wire.messages import MONITOR, Alert, Stream
from segmenter.beat import BeatSpec, joined_beats

ONLY_KEPT = (
    "Only beats beside alerts are in the journal; --record RECORD draws the rhythm of the night."
)


@dataclass(frozen=True)
class _Known:
    """What a journal says of one patient beside the alerts."""

    stream: Stream | None
    saved: Saved | None
    position: int


@dataclass(frozen=True)
class _Source:
    """A journal that is open, and what belongs to all of its patients."""

    reader: JournalReader
    name: str
    records: Mapping[str, Path]  # by patient
    said: SourceOptions | None
    most_drawn: int
    figures: tuple[tuple[str, str], ...]


def journaled_nights(
    path: Path,
    records: Iterable[Path] = (),
    said: SourceOptions | None = None,
    most_drawn: int | None = None,
) -> list[Night]:
    """Return a night for each patient of a journal, in the order of their appearance.

    Parameters
    ----------
    records : iterable of Path
        Records that were monitored, found by their names: they add the rhythm of the whole night
        and the signal around named alarms.
    said : SourceOptions, optional
        Rate and unit of records that do not say their own.
    most_drawn : int, optional
        Alerts drawn of each; by default 10, and of many patients 3.

    Raises
    ------
    JournalFailed
        If the journal cannot be read.
    InvalidOption
        If a record was not monitored.
    RecordError
        If one cannot be read.
    """
    with JournalReader(path) as reader:
        folds: dict[str, NightFold] = {}
        for message in reader.alerts():
            folds.setdefault(message.patient, NightFold()).take(message)
        run = reader.run()
        known = _known(path, reader, run, folds)
        source = _Source(
            reader,
            path.name,
            _named(path, records, known),
            said,
            most_drawn or most_drawn_of(len(known)),
            (*_of_run(run), *_of_the_monitor(folds.get(MONITOR)), ("journal", reader.identity)),
        )
        return [
            _night(source, name, one, folds.get(name, NightFold())) for name, one in known.items()
        ]


MANY_PATIENTS, DRAWN_OF_MANY, DRAWN_OF_FEW = 20, 3, 10


def most_drawn_of(n_patients: int) -> int:
    """Return how many alerts are drawn of each: a page of many would be too long and too large."""
    return DRAWN_OF_MANY if n_patients > MANY_PATIENTS else DRAWN_OF_FEW


def _known(
    path: Path, reader: JournalReader, run: JournaledRun | None, folds: Mapping[str, NightFold]
) -> dict[str, _Known]:
    streams = {} if run is None else {one.patient: one for one in run.streams}
    progress = {one.patient: one for one in decoded_progress(path, reader.progress())}
    names = dict.fromkeys([*streams, *progress, *(name for name in folds if name != MONITOR)])
    found: dict[str, _Known] = {}
    for name in names:
        reached = progress.get(name)
        try:
            saved = None if reached is None else read_saved(reached.consumer_state, None)
        except JournalFailed as error:
            raise JournalFailed(f"{path}: {error}; restore a copy") from error
        position = 0 if reached is None else reached.position
        found[name] = _Known(streams.get(name), saved, position)
    return found


def _named(path: Path, records: Iterable[Path], known: Mapping[str, _Known]) -> dict[str, Path]:
    """Return the records by patient; one that was not monitored is refused."""
    found: dict[str, Path] = {}
    for record in records:
        name = record_name(record)
        of = [
            patient
            for patient, one in known.items()
            if name == (patient if one.stream is None else one.stream.record)
        ]
        if not of:
            raise InvalidOption(
                f"--record {record} is none that {path} monitored; name one that was: "
                f"{', '.join(list(known)[:5]) or 'there is none'}"
            )
        found |= dict.fromkeys(of, record)
    return found


def _night(source: _Source, name: str, known: _Known, fold: NightFold) -> Night:
    stream, saved, record = known.stream, known.saved, source.records.get(name)
    fs_hz = fold.fs_hz if stream is None else stream.fs_hz
    first_s = 0.0 if stream is None else stream.first_sample / stream.fs_hz
    last_s = max(fold.reached_s, min(known.position / fs_hz, MAX_TIME_S) if fs_hz else 0.0)
    alarms, technical = fold.spans(last_s)
    drawn = tuple(_drawn(source, alert, record) for alert in fold.telling.chosen(source.most_drawn))
    leads = tuple(stream.leads) if stream is not None else () if saved is None else saved.leads
    return Night(
        patient=name,
        record=fold.record if stream is None else stream.record,
        source=source.name,
        leads=leads or ((fold.lead,) if fold.lead else ()),
        fs_hz=fs_hz,
        first_s=first_s,
        last_s=last_s,
        alarms=alarms,
        technical=technical,
        acts=tuple(fold.acts),
        n_acts=fold.n_acts,
        n_unseen=fold.n_unseen,
        families=() if saved is None else (*family_statuses(saved.families, with_shapes=True),),
        n_families=0 if saved is None else saved.families.next_number - 1,
        drawn=drawn,
        trend=_trend(source, name, fs_hz, (first_s, last_s), leads),
        trend_says="" if record is not None else ONLY_KEPT,
        figures=(*_of_patient(saved), *source.figures),
        beats=0 if saved is None else saved.counts.beats,
        anomalous=0 if saved is None else saved.counts.anomalous,
        published=fold.published,
    )


def _drawn(source: _Source, alert: Alert, record: Path | None) -> DrawnAlert:
    reader = source.reader
    if is_named_alarm(alert):
        if record is None:
            return DrawnAlert(alert)
        return DrawnAlert(alert, signal=signal_of(reader, alert, record, source.said))
    around = reader.beats_around(alert.patient, alert.sample)
    return DrawnAlert(alert, tuple(one.in_lead(alert.lead) for one in around))


def _trend(
    source: _Source,
    patient: str,
    fs_hz: float | None,
    span_s: tuple[float, float],
    leads: tuple[str, ...],
) -> RhythmTrend | None:
    """Return the rhythm from the record, or else from the beats that were kept beside alerts."""
    if fs_hz is None:
        return None
    first_s, last_s = span_s
    record = source.records.get(patient)
    if record is None:
        at_s, rr_ms = intervals_of_kept(source.reader.kept_samples(patient), fs_hz)
    else:
        at_s, rr_ms = _intervals_of_record(record, last_s, leads, source.said)
    trend = rhythm_trend(at_s - first_s, rr_ms, max(last_s - first_s, 1.0))
    return None if trend.is_empty else trend


def _intervals_of_record(
    record: Path, last_s: float, leads: tuple[str, ...], said: SourceOptions | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    options = replace(said or SourceOptions(), leads=list(leads) or None)
    with open_record(record, options) as source:
        until = min(source.n_samples, round(last_s * source.fs_hz))
        parts = map(without_values, segment(source, BeatSpec(), until))
        return intervals_of(joined_beats(list(parts), 0, len(source.leads)), source.fs_hz)


def _of_patient(saved: Saved | None) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    if saved is not None:
        counts = saved.counts
        rows += [
            ("beats", f"{counts.beats:,}, {counts.judged:,} with a verdict"),
            ("anomalous", f"{counts.anomalous:,}"),
            ("withheld", f"{counts.withheld:,}, the signal was not good enough"),
            ("alerts", f"{counts.alerts:,}"),
        ]
        learnt = sum(one is not None for one in saved.learned)
        if learnt:
            rows.append(
                (
                    "learnt",
                    f"a model of {counted(learnt, 'lead')} of the patient's own",
                )
            )
        if saved.factor != 1:
            rows.append(("threshold", f"moved by a person, {saved.factor:.3g} times"))
        if saved.left_out:
            rows.append(("left out", ", ".join(saved.left_out)))
    return rows


def _of_run(run: JournaledRun | None) -> list[tuple[str, str]]:
    if run is None:
        return []
    return [
        ("model", run.model),
        ("learning", "nothing" if run.learn_s is None else clock(run.learn_s, 0)),
        ("verdict by", run.verdict),
        ("rules", run.rules),
    ]


def _of_the_monitor(fold: NightFold | None) -> tuple[tuple[str, str], ...]:
    """Return what the monitor reported of itself."""
    if fold is None or not fold.technical:
        return ()
    times = Counter(one.kind for one in fold.technical)
    told = ", ".join(f"{kind.replace('_', ' ')} {n}x" for kind, n in times.items())
    return (("the monitor itself", told),)
