"""Evidence weighed on other patients: each record judged anew by what the labels of all others say.

Records are learnt and judged once; what was decided about each beat is kept. Then, for each record,
evidence is fitted to all others, each beat gets a new verdict from it, and the alerts are those
that the monitor's alert machine makes of these verdicts. No label of a record judges that record.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from monitor.detection.alert_machine import AlertMachine, AlertState, Verdict
from monitor.errors import InvalidOption
from monitor.offline.evaluation.patient_figures import MANY, f1_of
from monitor.offline.labelled_record import NORMAL, LabelledRecord
from monitor.offline.record_judge import Episode
from monitor.settings import AlertRule


class EvidenceVerdicts(NamedTuple):
    """What weighed evidence decides about a record: n rows in the order of the R peaks.

    Attributes
    ----------
    ratio : np.ndarray, shape (n,), float64
        Above 1 a beat is anomalous; NaN where it has no verdict.
    episodes : tuple of Episode
        Alerts that began, in order; those that were absorbed are none.
    families : float
        Families of beats alike that the anomalous ones fell into; NaN where none are made.
    """

    ratio: NDArray[np.float64]
    episodes: tuple[Episode, ...]
    families: float = math.nan


class WeighedEvidence(Protocol):
    """What evidence is worth, weighed on some patients."""

    def judge(self, record: LabelledRecord, /) -> EvidenceVerdicts:
        """Return the verdicts and alerts of a record; reads none of its labels."""
        ...


class EvidenceWeigher(Protocol):
    """Weighs evidence on labelled patients."""

    @property
    def name(self) -> str:
        """What the report says the records were judged by."""
        ...

    def observe(self, record: LabelledRecord, /) -> object:
        """Return what is weighed of a record, made once, and kept as the record's `evidence`."""
        ...

    def fit(self, records: Sequence[LabelledRecord], /) -> WeighedEvidence:
        """Weigh on the labels of records that were observed."""
        ...


def judged_by_others(
    records: Sequence[LabelledRecord], evidence: EvidenceWeigher
) -> list[LabelledRecord]:
    """Return each observed record as evidence judges it that was weighed on all others.

    Raises
    ------
    InvalidOption
        If there is no other record.
    """
    check_others(len(records))
    return [
        judged_by(record, evidence.fit([other for other in records if other is not record]))
        for record in records
    ]


def check_others(n_records: int) -> None:
    """Raise InvalidOption if there are no other records to weigh evidence on."""
    if n_records < 2:
        raise InvalidOption(
            "--leave-one-out weighs evidence on the other records, and there is none; give a "
            "folder of two and more that can be learnt"
        )


def judged_by(record: LabelledRecord, weighed: WeighedEvidence) -> LabelledRecord:
    """Return a record with the verdicts and alerts that come of evidence weighed elsewhere."""
    ratio, episodes, families = weighed.judge(record)
    judged = replace(record.judged, ratio=ratio, anomalous=ratio > 1, episodes=episodes)
    return replace(record, judged=judged, families=families)


def episodes_of(
    r_sample: NDArray[np.int64], ratio: NDArray[np.float64], rule: AlertRule | None = None
) -> tuple[Episode, ...]:
    """Return the alerts that verdicts begin, by the monitor's alert machine.

    Parameters
    ----------
    r_sample, ratio : np.ndarray, shape (n,)
        R peaks in order, and what is held against 1; NaN where there is no verdict.
    """
    machine, state = AlertMachine(rule), AlertState()
    first, last = list[int](), list[int]()
    for sample, one in zip(r_sample.tolist(), ratio.tolist(), strict=True):
        verdict = Verdict(sample, None if math.isnan(one) else one > 1, 0.0, one)
        state, transition = machine.beat(state, verdict)
        if transition is not None and transition.state == "onset":
            first.append(transition.episode_start_sample)
            last.append(transition.episode_last_sample)
        elif transition is not None:
            last[-1] = transition.episode_last_sample
    _, transition = machine.finish(state)
    if transition is not None:
        last[-1] = transition.episode_last_sample
    return tuple(map(Episode, first, last))


CUTS = np.geomspace(0.25, 4.0, 49)  # shares of a record's own threshold that are tried


@dataclass(frozen=True)
class CommonCut:
    """The simplest evidence: each record's own score, over the one cut that is best for all.

    Best is the largest mean F1 over the records with MANY anomalous beats and more; the lowest of
    several.
    """

    name: str = "its score over a cut chosen on the other records"

    def observe(self, _record: LabelledRecord, /) -> None:
        """Return nothing: the score is there."""

    def fit(self, records: Sequence[LabelledRecord], /) -> Cut:
        """Return the best cut."""
        of_f1 = []
        for record in records:
            scores = record.judged.ratio[record.tested]
            anomalous = record.classes[record.tested] != NORMAL
            if anomalous.sum() >= MANY:
                of_f1.append([f1_of(scores > cut, anomalous) for cut in CUTS])
        return Cut(float(CUTS[np.mean(of_f1, axis=0).argmax()]) if of_f1 else 1.0)


@dataclass(frozen=True)
class Cut:
    """Scores over a cut."""

    at: float

    def judge(self, record: LabelledRecord, /) -> EvidenceVerdicts:
        """Return each beat's score over the cut, and the alerts that come of it."""
        ratio = record.judged.ratio / self.at
        return EvidenceVerdicts(ratio, episodes_of(record.judged.beats.r_sample, ratio))
