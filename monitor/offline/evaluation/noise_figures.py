"""What noise does to verdicts and alerts: figures of the noisy and the clean stretches of a record.

The records of the MIT-BIH Noise Stress Test Database: a clean record to which the noise of a moving
electrode was added from 5:00 on, two minutes noisy, two minutes clean, and so on. The annotations
are those of the clean record, so the heart's part in what is marked is known.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.offline.evaluation.patient_figures import (
    Span,
    compared_beats,
    heard_alerts,
    inside,
    make_figures,
    share,
)
from monitor.offline.labelled_record import MISSED, LabelledRecord

NOISE_FROM_S = 300.0
NOISY_S = CLEAN_S = 120.0
_OF_PATIENTS = (
    "onsets_per_hour", "false_onsets_per_hour", "false_episodes_per_hour", "precision", "recall",
    "recall_v",
)  # fmt: skip
_NAME = re.compile(r"(?P<clean>.+)e(?P<sign>_?)(?P<db>\d{1,2})", re.ASCII)  # 118e24, 118e_6


@dataclass(frozen=True)
class StretchFigures:
    """Figures of the noisy or of the clean stretches; NaN where there are no such beats.

    Attributes
    ----------
    hours : float
        How long they are together.
    onsets_per_hour, false_onsets_per_hour : float
        Alerts begun in them, and those that hold no beat anomalous by reference.
    false_episodes_per_hour : float
        Runs of normal beats that are marked.
    precision : float
        Share of the marked beats that are anomalous by reference: an alert that lasts through all
        of the noise begins once, and shows here.
    recall, recall_v : float
        Share of the anomalous beats, and of the V beats, with a verdict that are marked.
    missed, withheld : float
        Share of the reference beats that no beat was found for, and of those that one was found for
        and not judged.
    unjudged_v : float
        Share of the reference V beats that were missed or not judged.
    n_reference, n_v : float
        Reference beats, and those of them that are V.
    """

    hours: float
    onsets_per_hour: float
    false_onsets_per_hour: float
    false_episodes_per_hour: float
    precision: float
    recall: float
    recall_v: float
    missed: float
    withheld: float
    unjudged_v: float
    n_reference: float
    n_v: float


@dataclass(frozen=True)
class NoiseResult:
    """What became of one noisy record.

    Attributes
    ----------
    clean_record : str
        What the noise was added to.
    snr_db : float
        Signal-to-noise ratio in the noisy stretches.
    false_episodes_per_hour : float
        Over all behind what was learnt, as `evaluate patients` counts them.
    noisy, clean : StretchFigures or None
    note : str
        What the learning reported, or why there are no figures.
    """

    record: str
    clean_record: str
    snr_db: float
    false_episodes_per_hour: float = math.nan
    noisy: StretchFigures | None = None
    clean: StretchFigures | None = None
    note: str = ""
    leads: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def noise_of(name: str) -> tuple[str, float] | None:
    """Return the clean record and the signal-to-noise ratio in dB that a record's name says.

    None of a name that says none.

    Examples
    --------
    >>> noise_of("118e_6"), noise_of("118")
    (('118', -6.0), None)
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    return match["clean"], float(match["db"]) * (-1.0 if match["sign"] else 1.0)


def noisy_spans_s(stop_s: float) -> list[tuple[float, float]]:
    """Return the noisy stretches of a record that lasts so long, start and stop in s."""
    starts = np.arange(NOISE_FROM_S, stop_s, NOISY_S + CLEAN_S).tolist()
    return [(start, min(start + NOISY_S, stop_s)) for start in starts]


def noise_result(record: LabelledRecord) -> NoiseResult:
    """Return the figures of a noisy record that was judged."""
    fs_hz, learnt = record.fs_hz, record.judged.learnt_until
    clean_record, snr_db = noise_of(record.name) or (record.name, math.nan)
    noisy, clean = [], []
    at = learnt / fs_hz
    for start_s, stop_s in noisy_spans_s(record.n_samples / fs_hz):
        if stop_s <= at:
            continue
        clean.append((at, start_s))
        noisy.append((max(at, start_s), stop_s))
        at = stop_s
    clean.append((at, record.n_samples / fs_hz))
    hours = (record.n_samples - learnt) / fs_hz / 3600
    whole = make_figures(compared_beats(record), heard_alerts(record), hours)
    return NoiseResult(
        record=record.name,
        clean_record=clean_record,
        snr_db=snr_db,
        false_episodes_per_hour=whole.false_episodes_per_hour,
        noisy=_stretches(record, noisy),
        clean=_stretches(record, clean),
        note=record.judged.note,
        leads=record.leads,
        warnings=record.warnings,
    )


def _stretches(record: LabelledRecord, spans_s: Sequence[tuple[float, float]]) -> StretchFigures:
    spans_s = [(start, stop) for start, stop in spans_s if stop > start]
    hours = sum(stop - start for start, stop in spans_s) / 3600
    spans: list[Span] = [(start * record.fs_hz, stop * record.fs_hz) for start, stop in spans_s]
    beats, heard = compared_beats(record).during(spans), heard_alerts(record).during(spans)
    figures = make_figures(beats, heard, hours) if hours else None
    there = inside(record.reference.sample, spans)
    missed = record.reference.row[there] == MISSED
    judged, is_v = record.has_verdict[there], record.reference.classes[there] == "V"
    return StretchFigures(
        hours=hours,
        **{name: getattr(figures, name, math.nan) for name in _OF_PATIENTS},
        missed=share(missed),
        withheld=share(~missed & ~judged),
        unjudged_v=share(~judged[is_v]),
        n_reference=float(len(missed)),
        n_v=float(is_v.sum()),
    )
