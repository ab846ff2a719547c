"""Records with verdicts and classes that can be told by hand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.detection.alert_machine import AlertMachine, AlertState, Verdict
from monitor.offline.labelled_record import MISSED, LabelledRecord, Reference
from monitor.offline.record_judge import Episode, Judged
from monitor.settings import AlertRule
from tests.messages import patient_status
from tests.monitor.checkpoints import beats_of_loss, template_checkpoint

FS_HZ = 250.0
RR_SAMPLES = 250
FIRST_SAMPLE = 100


def labelled(
    name: str, classes: str, ratio: list[float], *, learnt: int = 0, every_samples: int = RR_SAMPLES
) -> LabelledRecord:
    """Return a record of a beat a letter: its AAMI class, "-" where none matches, its score.

    Parameters
    ----------
    learnt : int
        So many of the first beats were learnt.
    every_samples : int
        From one R peak to the next, from FIRST_SAMPLE on.
    """
    n = len(classes)
    scores = np.array(ratio, np.float64)
    beats = beats_of_loss(ratio, FIRST_SAMPLE, every_samples)
    scores[:learnt] = np.nan
    judged = Judged(
        beats=beats,
        losses=scores[:, None] / 2,
        worst=np.zeros(n, np.intp),
        ratio=scores,
        anomalous=scores > 1,
        models=(template_checkpoint(),),
        thresholds=np.ones(1),
        learnt_until=FIRST_SAMPLE + learnt * every_samples - 1 if learnt else 0,
        note="",
        learning_cpu_s=0.0,
        episodes=(),
        n_families=0,
        status=patient_status(),
    )
    rows = np.array([row for row, one in enumerate(classes) if one != "-"], np.int64)
    of_rows = np.array([classes[row] for row in rows], "U1")
    reference = Reference(beats.r_sample[rows], of_rows, rows)
    n_samples = FIRST_SAMPLE + n * every_samples
    found = reference.classes_of_found(n)
    return LabelledRecord(name, FS_HZ, n_samples, ("MLII",), judged, reference, found)


def episodes_of(
    r_sample: NDArray[np.int64], ratio: NDArray[np.float64], rule: AlertRule | None = None
) -> tuple[Episode, ...]:
    """Return the alerts that verdicts begin, by the monitor's alert machine; NaN is no verdict."""
    machine, state = AlertMachine(rule), AlertState()
    first, last = list[int](), list[int]()
    for sample, one in zip(r_sample.tolist(), ratio.tolist(), strict=True):
        verdict = Verdict(sample, None if np.isnan(one) else one > 1, 0.0, one)
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


def with_missed(record: LabelledRecord, sample: int, aami_class: str) -> Reference:
    """Return a record's reference with one more beat, which was not found."""
    reference = record.reference
    at = int(np.searchsorted(reference.sample, sample))
    return Reference(
        np.insert(reference.sample, at, sample),
        np.insert(reference.classes, at, aami_class),
        np.insert(reference.row, at, MISSED),
        reference.flutter,
    )
