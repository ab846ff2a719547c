"""What is noted of an alert in a WFDB annotation file, by `history --alm` and by `record`."""

from __future__ import annotations

from typing import NamedTuple

from monitor.offline.annotation_files import ANOMALY, COMMENT, loss_note
from monitor.wire.messages import Alert, measured


class Annotation(NamedTuple):
    """One annotation of a WFDB file."""

    sample: int
    symbol: str
    note: str


def annotation_of(alert: Alert) -> Annotation | None:
    """Return what is noted of an alert; None of one that is neither of a beat nor of an alarm.

    A named alarm is a comment where it began, with its kind first, and another where it ended.
    """
    of_beat, is_named = measured(alert), alert.kind != "anomalous_beats"
    if of_beat is not None and alert.state in ("onset", "ongoing"):
        return Annotation(
            alert.sample, ANOMALY, loss_note(of_beat.loss, of_beat.threshold, of_beat.score)
        )
    if is_named and alert.state == "onset":
        note = f"{alert.kind} priority={alert.priority} raised_s={alert.time_s:.3f}"
        return Annotation(alert.episode_start_sample, COMMENT, note)
    if is_named and alert.state == "cleared":
        return Annotation(alert.sample, COMMENT, f"{alert.kind} over")
    return None
