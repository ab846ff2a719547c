"""Scoring's benchmark: shares are of the same round's matrix product."""

from __future__ import annotations

import pytest

from model.checkpoint import load_shipped
from tools.bench_scoring import BATCHES, Measurement


def test_share_is_that_of_the_matrix_product_of_the_same_round() -> None:
    """A round in which the machine is slow slows both; the headline is its worst batch of many."""
    checkpoint = load_shipped()
    flop = checkpoint.config.flop_per_beat
    times_s = {
        (1, batch): [flop / (rate * 1e9)] * 2
        for batch, rate in zip(BATCHES, (1, 60, 40, 50), strict=True)
    }
    found = Measurement(checkpoint, {1: [100e9, 80e9]}, times_s)
    assert found.shares(1, 64) == pytest.approx([60, 75])
    assert found.worst_shares(1) == pytest.approx([40, 50])
