"""Ways to score: the one that was tried agrees; shares are of the same round's matrix product."""

from __future__ import annotations

import numpy as np
import pytest

from model.autoencoder import LstmAutoencoder
from model.checkpoint import load_shipped
from model.config import AutoencoderConfig
from model.scoring import Scorer
from tools.bench_scoring import (
    BATCHES,
    OURS,
    THREADS,
    Measurement,
    Result,
    Way,
    figures_of,
    measure,
    ours,
    to_markdown,
)
from tools.tried import FusedAutoencoder


@pytest.mark.parametrize("reverse", [False, True])
def test_numpy_writes_what_the_scorer_writes(reverse: bool) -> None:
    """Across blocks, the last of them not full."""
    config = AutoencoderConfig(length=24, embedding=3, samples_per_step=4, reverse=reverse)
    autoencoder = LstmAutoencoder(config, seed=2).trained()
    beats = np.random.default_rng(0).standard_normal((7, 24), np.float32)
    written = FusedAutoencoder(autoencoder, block=3).reconstruct(beats)
    np.testing.assert_allclose(written, Scorer(autoencoder).reconstruct(beats), atol=1e-5)


def test_share_is_that_of_the_matrix_product_of_the_same_round() -> None:
    """A round in which the machine is slow slows both, and the share stays."""
    checkpoint = load_shipped()
    flop = checkpoint.config.flop_per_beat
    result = Result("a way", {(1, 64): [flop / 50e9, flop / 25e9, flop / 40e9]})
    found = Measurement(checkpoint, 10, {1: [100e9, 50e9, 100e9]}, [result])
    assert found.share(result, 1, 64) == pytest.approx(0.5)
    assert found.shares(result, 1, 64) == pytest.approx([0.5, 0.5, 0.4])


def test_the_headline_is_the_worst_batch_of_each_round() -> None:
    """Of 64 beats and more; one beat alone is a headline of its own."""
    checkpoint = load_shipped()
    flop = checkpoint.config.flop_per_beat
    times_s = {
        (threads, batch): [flop / (rate * 1e9)] * 2
        for threads in THREADS
        for batch, rate in zip(BATCHES, (1, 60, 40, 50), strict=True)
    }
    found = Measurement(
        checkpoint, 10, {1: [100e9, 80e9], 2: [200e9, 100e9]}, [Result(OURS, times_s)]
    )
    figures = figures_of(found)
    assert figures["scoring.share_one_thread"] == pytest.approx([40, 50])
    assert figures["scoring.share_two_threads"] == pytest.approx([20, 40])
    assert figures["scoring.one_beat"] == pytest.approx([1e3 * flop / 1e9] * 2)


def test_a_way_that_cannot_be_had_is_named_as_absent() -> None:
    """It ends nothing; the others are measured, and the page says why it is missing."""

    def broken(_autoencoder: object) -> object:
        raise RuntimeError("no compiler\nand more")

    ways = [Way("ours", ours), Way("broken", broken)]  # type: ignore[arg-type]
    found = measure(load_shipped(), ways, rounds=1)
    measured, absent = found.results
    assert set(measured.times_s) == {(t, n) for t in THREADS for n in BATCHES}
    assert measured.n_other_verdicts == 0
    assert measured.loss_error < 1e-4
    assert absent.absent == "RuntimeError: no compiler"
    assert "absent: RuntimeError: no compiler" in to_markdown(found)
