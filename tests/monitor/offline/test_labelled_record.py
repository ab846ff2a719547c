"""Records beside their annotations: classes, missed beats, alerts that hold nothing."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import wfdb

from monitor.errors import RecordError
from monitor.offline.evaluation.ec57 import BEAT_SYMBOLS
from monitor.offline.labelled_record import AAMI_CLASSES, MISSED, UNKNOWN, Reference, read_reference
from monitor.offline.record_judge import Episode
from tests.monitor.offline.labelled import labelled

FS_HZ = 100.0
REACH = 15  # samples in 150 ms


def test_every_beat_symbol_has_a_class() -> None:
    """WFDB's beat codes, in EC57's classes."""
    assert set(AAMI_CLASSES) == BEAT_SYMBOLS
    assert [AAMI_CLASSES[symbol] for symbol in "NLAVF/"] == ["N", "N", "S", "V", "F", "Q"]


def annotated(folder: Path, samples: list[int], symbols: str) -> Path:
    wfdb.wrann("r", "atr", np.array(samples), list(symbols), fs=FS_HZ, write_dir=str(folder))
    return folder / "r"


def test_reference_beats_know_what_was_found_of_them(tmp_path: Path) -> None:
    """A change of rhythm beside a beat is none; what is missed has no row."""
    path = annotated(tmp_path, [98, 100, 200, 300], "+NVA")
    found = np.array([101, 150, 310], np.int64)
    reference = read_reference(path, "atr", found, FS_HZ, 400)
    assert reference.sample.tolist() == [100, 200, 300]
    assert reference.classes.tolist() == ["N", "V", "S"]
    assert reference.row.tolist() == [0, MISSED, 2]
    assert reference.classes_of_found(3).tolist() == ["N", UNKNOWN, "S"]


def test_annotations_that_are_missing_say_so(tmp_path: Path) -> None:
    """By the file's name."""
    with pytest.raises(RecordError, match=re.escape("r.atr")):
        read_reference(tmp_path / "r", "atr", np.zeros(0, np.int64), FS_HZ, 400)


@pytest.mark.parametrize(
    ("episode", "nothing"),
    [
        (Episode(100, 100), True),
        (Episode(100, 185), False),  # 150 ms before the V
        (Episode(100, 184), True),
        (Episode(215, 300), False),
        (Episode(216, 300), True),
        (Episode(100, 500), False),
        (Episode(560, 580), True),
        (Episode(560, 600), False),  # flutter: something, though no beat of it is annotated
        (Episode(650, 660), False),
        (Episode(715, 720), False),
        (Episode(716, 720), True),
    ],
)
def test_an_alert_holds_nothing_where_no_anomalous_beat_is_near(
    episode: Episode, nothing: bool
) -> None:
    """Missed beats count; 150 ms count; normal beats do not."""
    sample = np.array([100, 200, 300, 580], np.int64)
    classes = np.array(list("NVNN"), "U1")
    row = np.array([0, MISSED, 1, 2], np.int64)
    reference = Reference(sample, classes, row, [(600.0, 700.0)])
    assert reference.hold_nothing([episode], FS_HZ).tolist() == [nothing]


def test_no_alerts_hold_nothing() -> None:
    """A record without any, and one without reference beats."""
    none = np.zeros(0, np.int64)
    reference = Reference(none, np.zeros(0, "U1"), none)
    assert reference.hold_nothing([], FS_HZ).tolist() == []
    assert reference.hold_nothing([Episode(1, 2)], FS_HZ).tolist() == [True]


def test_only_judged_and_labelled_beats_behind_the_learning_are_tested() -> None:
    """What was learnt, withheld, or is no beat by reference is left out."""
    record = labelled("106", "NNV-NV", [0.5, 0.5, 2.0, 2.0, float("nan"), 0.1], learnt=2)
    assert record.is_learnt.tolist() == [True, True, False, False, False, False]
    assert record.tested.tolist() == [False, False, True, False, False, True]
    assert not replace(record, classes=np.full(6, UNKNOWN, "U1")).tested.any()
