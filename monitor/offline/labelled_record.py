"""A record judged as a monitor judges it, laid beside the annotations of people.

Classes are those of AAMI EC57: N against S, V, F and Q. A beat has the class of the reference beat
that it matches within 150 ms; one that matches none has no class.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.checkpoint import Checkpoint
from model.errors import CannotLearn
from model.evidence_fit import LabelledEvidence
from monitor.errors import InvalidOption
from monitor.offline.evaluation.beats_report import read_annotations
from monitor.offline.evaluation.ec57 import (
    BEAT_SYMBOLS,
    MATCH_WINDOW_S,
    beats_and_flutter,
    compare_beats,
)
from monitor.offline.record_evidence import RecordEvidence
from monitor.offline.record_judge import Episode, Judged, JudgeSettings, judge_record
from monitor.sources.electrode_motion import MovingElectrodes
from monitor.sources.kinds import open_record

AAMI_CLASSES: Mapping[str, str] = {  # WFDB symbol to EC57's class
    **dict.fromkeys("NLRBej", "N"),
    **dict.fromkeys("AaJSn", "S"),
    **dict.fromkeys("VEr", "V"),
    "F": "F",
    **dict.fromkeys("/fQ?", "Q"),
}
NORMAL = "N"
UNKNOWN = ""  # class of a beat that no reference beat belongs to
MISSED = -1  # row of a reference beat that no beat belongs to


class Reference(NamedTuple):
    """The reference beats of a record, beside the beats that were found: m rows in order of time.

    Attributes
    ----------
    sample : np.ndarray, shape (m,), int64
    classes : np.ndarray, shape (m,), str
        AAMI class.
    row : np.ndarray, shape (m,), int64
        The beat found that matches; MISSED where there is none.
    flutter : list of (start, stop)
        Samples of the periods of ventricular flutter or fibrillation, which hold no beats.
    """

    sample: NDArray[np.int64]
    classes: NDArray[np.str_]
    row: NDArray[np.int64]
    flutter: Sequence[tuple[float, float]] = ()

    def classes_of_found(self, n_beats: int) -> NDArray[np.str_]:
        """Return the class of each beat found, shape (n_beats,); UNKNOWN where none matches."""
        classes = np.full(n_beats, UNKNOWN, "U1")
        matched = self.row != MISSED
        classes[self.row[matched]] = self.classes[matched]
        return classes

    def hold_nothing(self, episodes: Sequence[Episode], fs_hz: float) -> NDArray[np.bool_]:
        """Return which alerts hold no anomalous beat by reference, shape (n_episodes,).

        One counts that lies within 150 ms of the stretch from the alert's first to its last
        anomalous beat, whether the monitor found it or not. So does flutter, of which no beat is
        annotated.
        """
        reach = math.floor(MATCH_WINDOW_S * fs_hz + 0.5)
        first, last = np.array(episodes, np.int64).reshape(-1, 2).T
        first, last = first - reach, last + reach
        anomalous = self.sample[self.classes != NORMAL]
        n_before = np.searchsorted(anomalous, first, "left")
        nothing = np.asarray(np.searchsorted(anomalous, last, "right") == n_before)
        for start, stop in self.flutter:
            nothing &= (last < start) | (first > stop)
        return nothing


@dataclass(frozen=True)
class LabelledRecord:
    """What is kept of a record that was judged once: enough to weigh it anew and to compare.

    Attributes
    ----------
    name : str
    fs_hz : float
    n_samples : int
    leads : tuple of str
        Names of the leads that were read.
    judged : Judged
        With the cut beats.
    reference : Reference
    classes : np.ndarray, shape (n,), str
        AAMI class of each beat of `judged`; UNKNOWN where no reference beat matches.
    warnings : tuple of str
        What is wrong with the record and was read all the same.
    peers : mapping of str to np.ndarray, shape (n,), float32
        What other scorers make of the beats, by name; NaN where they were not asked.
    evidence : RecordEvidence, optional
        What the beats are weighed by, where they are weighed anew.
    noisy : LabelledEvidence, optional
        What its beats under added noise can be weighed by, where others are weighed on them.
    families : float
        Families of beats alike that the anomalous ones fell into; NaN where none are made.
    """

    name: str
    fs_hz: float
    n_samples: int
    leads: tuple[str, ...]
    judged: Judged
    reference: Reference
    classes: NDArray[np.str_]
    warnings: tuple[str, ...] = ()
    peers: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    evidence: RecordEvidence | None = None
    noisy: LabelledEvidence | None = None
    families: float = math.nan

    @property
    def is_learnt(self) -> NDArray[np.bool_]:
        """Which beats lie in what was learnt, shape (n,)."""
        learnt: NDArray[np.bool_] = self.judged.beats.r_sample < self.judged.learnt_until
        return learnt

    @property
    def has_verdict(self) -> NDArray[np.bool_]:
        """Which reference beats were found and got a verdict, shape (m,)."""
        row = self.reference.row
        judged: NDArray[np.bool_] = row != MISSED
        judged[judged] = np.isfinite(self.judged.ratio[row[judged]])
        return judged

    @property
    def tested(self) -> NDArray[np.bool_]:
        """Which beats have both a verdict and a class, behind what was learnt, shape (n,)."""
        has_verdict = np.isfinite(self.judged.ratio)
        tested: NDArray[np.bool_] = has_verdict & (self.classes != UNKNOWN) & ~self.is_learnt
        return tested


def judge_labelled(
    path: Path,
    base: Checkpoint,
    settings: JudgeSettings,
    ref_ext: str,
    from_s: float = 0.0,
    snr_db: float | None = None,
) -> LabelledRecord:
    """Learn a record's first minutes, judge the rest, and lay it beside its annotations.

    Parameters
    ----------
    from_s : float
        From when on it will be compared; the record must last longer.
    snr_db : float, optional
        Add noise behind what is to be learnt.

    Raises
    ------
    CannotLearn
        If nothing is left to judge, or not enough can be learnt.
    InvalidOption
        If nothing is left to compare.
    RecordError, SegmenterError
        If record or annotations cannot be read.
    """
    with open_record(path) as record:
        fs_hz, n_samples, learn_s = record.fs_hz, record.n_samples, settings.learn_s or 0.0
        if n_samples <= learn_s * fs_hz:
            raise CannotLearn(
                f"the record lasts {math.floor(n_samples / fs_hz)} s, and {learn_s:g} s of "
                "it were to be learnt: nothing is left to judge; use a shorter --learn"
            )
        if n_samples <= from_s * fs_hz:
            raise InvalidOption(
                f"the record lasts {math.floor(n_samples / fs_hz)} s: nothing is left to compare "
                f"from {from_s:g} s on; use an earlier --from"
            )
        source = record if snr_db is None else MovingElectrodes(record, snr_db, learn_s)
        judged = judge_record(source, base, settings, keep_values=True)
        families = math.nan if settings.verdict == "loss" else judged.n_families
        leads, warnings = tuple(record.leads), record.warnings
    reference = read_reference(path, ref_ext, judged.beats.r_sample, fs_hz, n_samples)
    classes = reference.classes_of_found(len(judged.beats))
    return LabelledRecord(
        path.name,
        fs_hz,
        n_samples,
        leads,
        judged,
        reference,
        classes,
        warnings,
        families=families,
    )


def read_reference(
    path: Path, ref_ext: str, found: NDArray[np.int64], fs_hz: float, n_samples: int
) -> Reference:
    """Read a record's reference beats and match them with those found.

    Parameters
    ----------
    path : Path
        The record, without suffix.
    ref_ext : str
        Suffix of its annotations.
    found : np.ndarray, shape (n,), int64
        R peaks, in order of time.

    Raises
    ------
    RecordError
        If the annotations cannot be read.
    """
    annotations = read_annotations(path, ref_ext)
    beats, flutter = beats_and_flutter(annotations.samples, annotations.symbols)
    class_at = {
        sample: AAMI_CLASSES[symbol]
        for sample, symbol in zip(annotations.samples.tolist(), annotations.symbols, strict=True)
        if symbol in BEAT_SYMBOLS
    }
    matches = compare_beats(
        annotations.samples, annotations.symbols, found, fs_hz, n_samples, start_s=0.0
    )
    row = np.full(len(beats), MISSED, np.int64)
    of_matched = np.searchsorted(beats, matches.matched_reference)
    row[of_matched] = np.searchsorted(found, matches.matched_detection)
    classes = np.array([class_at[sample] for sample in beats.tolist()], "U1")
    return Reference(beats, classes, row, flutter)
