"""Evidence weighed on other patients: each record judged anew by what the labels of all others say.

Records are learnt and judged once; what was decided about each beat is kept. Then, for each record,
evidence is fitted to all others, each beat gets a new verdict from it, and the alerts are those
that the monitor's alert machine makes of these verdicts. No label of a record judges that record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from monitor.detection.alert_machine import AlertMachine, AlertState, Verdict
from monitor.errors import InvalidOption
from monitor.offline.evaluation.patient_figures import MANY, f1_of
from monitor.offline.labelled_record import NORMAL, LabelledRecord
from monitor.offline.record_judge import Episode, Judged
from monitor.settings import AlertRule


class WeighedEvidence(Protocol):
    """What evidence is worth, weighed on some patients."""

    def scores(self, record: LabelledRecord, /) -> NDArray[np.float64]:
        """Return what each beat of a record is held against 1 by, shape (n,); reads no label.

        NaN where a beat has no verdict; a beat above 1 is anomalous.
        """
        ...


class EvidenceWeigher(Protocol):
    """Weighs evidence on labelled patients."""

    @property
    def name(self) -> str:
        """What the report says the records were judged by."""
        ...

    def fit(self, records: Sequence[LabelledRecord], /) -> WeighedEvidence:
        """Weigh on these records' labels."""
        ...


def judged_by_others(
    records: Sequence[LabelledRecord], evidence: EvidenceWeigher, rule: AlertRule | None = None
) -> list[LabelledRecord]:
    """Return each record as evidence judges it that was weighed on all others.

    Raises
    ------
    InvalidOption
        If there is no other record.
    """
    check_others(len(records))
    return [
        judged_by(record, evidence.fit([other for other in records if other is not record]), rule)
        for record in records
    ]


def check_others(n_records: int) -> None:
    """Raise InvalidOption if there are no other records to weigh evidence on."""
    if n_records < 2:
        raise InvalidOption(
            "--leave-one-out weighs evidence on the other records, and there is none; give a "
            "folder of two and more that can be learnt"
        )


def judged_by(
    record: LabelledRecord, weights: WeighedEvidence, rule: AlertRule | None = None
) -> LabelledRecord:
    """Return a record with the verdicts and alerts that come of evidence weighed elsewhere."""
    judged = record.judged
    ratio = np.where(np.isnan(judged.ratio), np.nan, weights.scores(record))
    judged = replace(judged, ratio=ratio, anomalous=ratio > 1)
    return replace(record, judged=replace(judged, episodes=episodes_of(judged, rule)))


def episodes_of(judged: Judged, rule: AlertRule | None = None) -> tuple[Episode, ...]:
    """Return the alerts that verdicts begin, by the monitor's alert machine."""
    machine, state = AlertMachine(rule), AlertState()
    first, last = [], []
    columns = (judged.beats.r_sample, judged.ratio, judged.loss)
    for sample, ratio, loss in zip(*(column.tolist() for column in columns), strict=True):
        known = ratio == ratio
        verdict = Verdict(sample, ratio > 1, loss, ratio) if known else Verdict(sample, None, 0.0)
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

    def scores(self, record: LabelledRecord, /) -> NDArray[np.float64]:
        """Return each beat's score over the cut."""
        return record.judged.ratio / self.at
