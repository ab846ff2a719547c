"""A stage alone tells who came, who has ended, and whether the next one takes what it sends."""

from __future__ import annotations

import numpy as np

from monitor.stages.arrivals import BLOCKED_S, MAX_NAMED, Arrivals, NextStage
from monitor.wire.messages import EndHeader, SamplesHeader, SamplesMessage


def samples(patient: str, position: int) -> SamplesMessage:
    header = SamplesHeader(
        version=5, patient=patient, record="r", sequence=0, sent_ns=0, position=position,
        leads=["II", "V"], fs_hz=250.0, n_samples=2, sender=1,
    )  # fmt: skip
    return SamplesMessage(header, np.zeros((2, 2), np.float32))


def end(patient: str) -> EndHeader:
    return EndHeader(
        version=5, patient=patient, record="r", sequence=1, sent_ns=0, position=500,
        reason="complete", last=True,
    )  # fmt: skip


def test_each_patient_is_told_once_when_it_comes_and_when_it_ends() -> None:
    """One that comes again after its end is told again; an end of nobody is not."""
    told: list[str] = []
    arrivals = Arrivals(told.append)
    arrivals.look([samples("p", 0), samples("p", 2), end("q")])
    arrivals.look([samples("p", 4), end("p"), samples("p", 500)])
    assert told == [
        "patient p came: record r, leads II, V, 250 Hz, at sample 0",
        "patient p has ended (complete) at sample 500",
        "patient p came: record r, leads II, V, 250 Hz, at sample 500",
    ]


def test_a_ward_does_not_fill_the_terminal() -> None:
    """Beyond twenty one line says that there are more."""
    told: list[str] = []
    arrivals = Arrivals(told.append)
    for _ in range(2):
        arrivals.look([samples(f"p{number}", 0) for number in range(1000)])
    assert len(told) == MAX_NAMED + 1
    assert told[-1] == "more than 20 patients came; those beyond are not named"


def test_a_next_stage_that_takes_nothing_is_told_once_and_so_is_its_coming() -> None:
    """A wrong endpoint does not look like a right one; a stage that is only behind is not told."""
    told: list[str] = []
    stage = NextStage(told.append)
    stage.takes_nothing(0.0, "tcp://127.0.0.1:1")
    stage.takes_nothing(BLOCKED_S / 2, "tcp://127.0.0.1:1")
    stage.takes()
    stage.takes_nothing(BLOCKED_S, "tcp://127.0.0.1:1")
    assert told == []
    for after_s in (2 * BLOCKED_S, 3 * BLOCKED_S):
        stage.takes_nothing(after_s, "tcp://127.0.0.1:1")
    assert told == [
        "for 3 s nothing was taken at tcp://127.0.0.1:1: does the next stage run and listen there?"
    ]
    stage.takes()
    stage.takes()
    assert told[1:] == ["the next stage takes what is sent"]
