"""Each record judged by what the others' labels say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.checkpoint import load_shipped
from model.evidence_file import load_shipped_weights
from monitor.errors import InvalidOption
from monitor.offline.labelled_record import LabelledRecord, judge_labelled
from monitor.offline.leave_one_out import judged_by, judged_by_others
from monitor.offline.record_evidence import record_evidence
from monitor.offline.record_judge import JudgeSettings
from monitor.sources.simulated import ANNOTATION_EXTENSION, SimulationSettings, write_record
from tests.monitor.offline.labelled import labelled

LEARN_S = 90.0


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[LabelledRecord]:
    """Return two simulated records, learnt and judged by the evidence that ships."""
    folder, judged = tmp_path_factory.mktemp("records"), []
    for name, seed in (("a", 5), ("b", 6)):
        settings = SimulationSettings(hours=0.1, seed=seed, anomaly_rate=0.1)
        write_record(folder / name, settings)
        judged.append(judged_record(folder / name))
    return judged


def judged_record(path: Path) -> LabelledRecord:
    return judge_labelled(
        path, load_shipped(), JudgeSettings(learn_s=LEARN_S), ANNOTATION_EXTENSION
    )


def test_judged_anew_by_the_same_weights_a_record_is_what_the_monitor_made_of_it(
    records: list[LabelledRecord],
) -> None:
    """Verdicts, alerts and families, to the bit: offline and the engine are one rule."""
    for record in records:
        evidence = record_evidence(record.judged, record.fs_hz)
        anew = judged_by(record, evidence, load_shipped_weights())
        np.testing.assert_array_equal(anew.judged.ratio, record.judged.ratio)
        assert anew.judged.episodes == record.judged.episodes
        assert anew.families == record.families > 0
        assert len(record.judged.episodes) > 0


def test_each_record_is_judged_by_the_labels_of_the_others(records: list[LabelledRecord]) -> None:
    """A record's own labels change nothing of it; those of the others do."""
    first, second = records
    one, other, _ = judged_by_others([first, second, second])
    blind = replace(first, classes=np.full_like(first.classes, "N"))
    np.testing.assert_array_equal(
        judged_by_others([blind, second, second])[0].judged.ratio, one.judged.ratio
    )
    few = second.classes.copy()
    few[np.flatnonzero(few == "V")[1:]] = ""
    changed = judged_by_others([first, replace(second, classes=few)])[0]
    assert not np.array_equal(changed.judged.ratio, one.judged.ratio, equal_nan=True)
    assert np.isnan(one.judged.ratio[one.is_learnt]).all()
    assert other.judged.anomalous.any()


def test_one_record_has_no_others() -> None:
    """It says what is needed."""
    with pytest.raises(InvalidOption, match="--leave-one-out"):
        judged_by_others([labelled("a", "NV", [0.1, 2.0])])
