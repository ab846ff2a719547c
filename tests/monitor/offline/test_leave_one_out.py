"""Each record judged by what the others' labels say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.errors import InvalidOption
from monitor.offline.labelled_record import LabelledRecord
from monitor.offline.leave_one_out import (
    CommonCut,
    EvidenceVerdicts,
    episodes_of,
    judged_by_others,
)
from monitor.offline.record_judge import Episode
from monitor.settings import AlertRule
from tests.monitor.offline.labelled import FIRST_SAMPLE, RR_SAMPLES, labelled


@dataclass(frozen=True)
class Doubling:
    """Evidence that finds every score to be worth twice as much."""

    name: str = "twice the score"
    fitted: list[list[str]] = field(default_factory=list)

    def observe(self, record: LabelledRecord, /) -> NDArray[np.float64]:
        return 2 * record.judged.ratio

    def fit(self, records: Sequence[LabelledRecord], /) -> Doubling:
        self.fitted.append([one.name for one in records])
        return self

    def judge(self, record: LabelledRecord, /) -> EvidenceVerdicts:
        return EvidenceVerdicts(
            record.evidence, episodes_of(record.judged.beats.r_sample, record.evidence), 3.0
        )


def at(beat: int) -> int:
    return FIRST_SAMPLE + beat * RR_SAMPLES


def test_each_record_is_judged_by_all_others() -> None:
    """Verdicts and alerts are of the evidence; a beat without a verdict gets none."""
    records = [
        labelled("a", "NVNNN", [0.1, 0.6, float("nan"), 0.2, 0.3]),
        labelled("b", "NV", [0.1, 0.2]),
        labelled("c", "NV", [0.1, 3.0]),
    ]
    evidence = Doubling()
    observed = [replace(one, evidence=evidence.observe(one)) for one in records]
    anew = judged_by_others(observed, evidence)
    assert evidence.fitted == [["b", "c"], ["a", "c"], ["a", "b"]]
    assert anew[0].judged.anomalous.tolist() == [False, True, False, False, False]
    assert np.isnan(anew[0].judged.ratio[2])
    assert [one.judged.episodes for one in anew] == [
        (Episode(at(1), at(1)),),
        (),
        (Episode(at(1), at(1)),),
    ]
    assert anew[0].families == 3.0
    np.testing.assert_array_equal(anew[0].judged.loss, records[0].judged.loss)


def test_one_record_has_no_others() -> None:
    """It says what is needed."""
    with pytest.raises(InvalidOption, match="--leave-one-out"):
        judged_by_others([labelled("a", "NV", [0.1, 2.0])], Doubling())


def test_alerts_are_those_of_the_alert_machine() -> None:
    """One lasts until so many calm beats; what the record's end cuts off counts."""
    record = labelled("a", "N" * 9, [2.0, 0.1, 3.0, 0.1, 0.1, 0.1, 0.1, 0.1, 2.0])
    verdicts = record.judged.beats.r_sample, record.judged.ratio
    assert episodes_of(*verdicts) == (Episode(at(0), at(2)), Episode(at(8), at(8)))
    rule = AlertRule(clear_after=1)
    of_each = tuple(Episode(at(beat), at(beat)) for beat in (0, 2, 8))
    assert episodes_of(*verdicts, rule) == of_each


def test_a_common_cut_is_the_best_of_the_others() -> None:
    """Where the anomalous beats of others lie above half of their thresholds, so is this one's."""
    others = [
        labelled("a", "N" * 30 + "V" * 30, [0.3] * 30 + [0.6] * 30),
        labelled("b", "N" * 30 + "V" * 30, [0.4] * 30 + [0.7] * 30),
    ]
    weights = CommonCut().fit(others)
    assert 0.4 <= weights.at < 0.6
    mine = labelled("c", "NV", [0.35, 0.62])
    assert (weights.judge(mine).ratio > 1).tolist() == [False, True]
    assert weights.judge(mine).episodes == (Episode(at(1), at(1)),)


def test_few_anomalous_beats_choose_no_cut() -> None:
    """Without a record of twenty the score stands as it is."""
    assert CommonCut().fit([labelled("a", "NV", [0.1, 0.2])]).at == 1.0
