"""Evidence weighed on other patients: each record judged anew by what the labels of all others say.

Records are learnt and judged once; what was decided about each beat is kept. Then, for each record,
evidence is weighed on all others, each beat gets a new verdict from it, and the alerts are those
that the monitor would have raised. No label of a record judges that record.

The others are weighed with noise added too (`noisy_evidence`), so that noise counts for what it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.checkpoint import Checkpoint
from model.errors import CannotLearn
from model.evidence import EvidenceWeights
from model.evidence_fit import LabelledEvidence, fit_weights
from monitor.errors import InvalidOption
from monitor.offline.labelled_record import UNKNOWN, LabelledRecord, judge_labelled
from monitor.offline.record_evidence import RecordEvidence, record_evidence
from monitor.offline.record_judge import Episode, JudgeSettings

ADDED_NOISE_DB = 12.0
BY_OTHERS = "evidence weighed on the other records"


def judged_by_others(records: Sequence[LabelledRecord]) -> list[LabelledRecord]:
    """Return each record as evidence judges it that was weighed on all others.

    Raises
    ------
    InvalidOption
        If there is no other record.
    InvalidBeats
        If the others hold no anomalous beat, or no normal one.
    """
    check_others(len(records))
    evidence = [one.evidence or record_evidence(one.judged, one.fs_hz) for one in records]
    labelled = [
        replace(labelled_evidence(one, record.classes), noisy=record.noisy)
        for one, record in zip(evidence, records, strict=True)
    ]
    return [
        judged_by(record, evidence[place], fit_weights([*labelled[:place], *labelled[place + 1 :]]))
        for place, record in enumerate(records)
    ]


def check_others(n_records: int) -> None:
    """Raise InvalidOption if there are no other records to weigh evidence on."""
    if n_records < 2:
        raise InvalidOption(
            "--leave-one-out weighs evidence on the other records, and there is none; give a "
            "folder of two or more that can be learnt, or name as many with --record"
        )


def noisy_evidence(
    path: Path, base: Checkpoint, settings: JudgeSettings, ref_ext: str
) -> LabelledEvidence | None:
    """Judge a record under noise that begins behind what is to be learnt; return its evidence.

    None where not enough was learnt before the noise.

    Raises
    ------
    RecordError, SegmenterError
        If record or annotations cannot be read.
    """
    try:
        record = judge_labelled(path, base, settings, ref_ext, snr_db=ADDED_NOISE_DB)
    except CannotLearn:
        return None
    return labelled_evidence(record_evidence(record.judged, record.fs_hz), record.classes)


def labelled_evidence(evidence: RecordEvidence, classes: NDArray[np.str_]) -> LabelledEvidence:
    """Return what a record's beats are weighed by, of those that have a class, shape (n,)."""
    measures = evidence.measured.measures
    rows = np.isfinite(measures).all(axis=1) & (classes != UNKNOWN)
    return LabelledEvidence(measures[rows], classes[rows])


def judged_by(
    record: LabelledRecord, evidence: RecordEvidence, weights: EvidenceWeights
) -> LabelledRecord:
    """Return a record with the verdicts, alerts and families that come of weights."""
    heard = evidence.heard(weights)
    episodes = tuple(map(Episode, heard.begun, heard.ended))
    judged = replace(record.judged, ratio=heard.ratio, anomalous=heard.ratio > 1, episodes=episodes)
    return replace(record, judged=judged, families=heard.n_families)
