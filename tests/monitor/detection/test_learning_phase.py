"""What a learning phase keeps; how it learns is tested with the judge."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import Future
from typing import Any

import numpy as np

from monitor.detection.learning_phase import LearningPhase
from monitor.wire.codec import decode_bundle, encode_bundle
from monitor.wire.messages import BeatsHeader, BeatsMessage
from segmenter.beat import Beats, BeatSpec

BUNDLED, FS_HZ = 200, 250


def bundle(number: int) -> list[Any]:
    """Return the messages of many patients, a beat each, as the consumer receives them."""
    r_sample = FS_HZ * (number + 1)
    beats = Beats(
        r_sample=np.array([r_sample]),
        rr_before_ms=np.full(1, 1000, np.float32),
        rr_after_ms=np.full(1, 1000, np.float32),
        quality=np.zeros(1, np.uint16),
        delay_ms=np.full(1, 250, np.float32),
        closed_sample=np.array([r_sample + FS_HZ]),
        values=np.zeros((1, 1, 140), np.float32),
        lead_quality=np.zeros((1, 1), np.uint16),
    )
    header = BeatsHeader(
        version=5,
        patient="p",
        record="r",
        sequence=number,
        sent_ns=0,
        position=r_sample + FS_HZ,
        leads=["I"],
        fs_hz=FS_HZ,
        spec=BeatSpec().identity,
        length=140,
        n_beats=1,
        events=[],
        stretch=0,
        first_sample=0,
    )
    return decode_bundle(encode_bundle([BeatsMessage(header, beats, b"")] * BUNDLED))


def kept_bytes(phase: LearningPhase, n_bundles: int) -> int:
    """Let one patient of each bundle learn; return the memory that this keeps."""
    tracemalloc.start()
    try:
        for number in range(n_bundles):
            phase.admit(bundle(number)[7])
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def test_a_beat_that_is_learnt_keeps_none_of_the_others() -> None:
    """A patient who learns among many who do not keeps its own beats, not whole bundles."""
    of_a_bundle = BUNDLED * 140 * 4
    phase = LearningPhase(1_000_000, lambda beats, rr_ms: Future())
    assert kept_bytes(phase, 100) < 4 * of_a_bundle  # 100 beats are less than one


def test_nor_does_one_that_waits_for_the_training() -> None:
    """The messages that are held meanwhile are its own as well."""
    of_a_bundle = BUNDLED * 140 * 4
    phase = LearningPhase(0, lambda beats, rr_ms: Future())
    phase.admit(bundle(0)[7])
    assert phase.training
    assert kept_bytes(phase, 100) < 4 * of_a_bundle
    assert len(phase.held) == 101
