"""A batch's beats as rows of plain numbers, and messages that share a bundle's arrays."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import msgspec
import numpy as np
import pytest

from model.prematurity import Timing
from monitor.detection.model_fit import FITS
from monitor.detection.scored_beats import Batch, scored_beats
from monitor.detection.weighing import worst_leads
from monitor.wire.codec import decode_bundle, encode_bundle
from monitor.wire.messages import BeatsHeader, BeatsMessage, joined_messages
from segmenter.beat import Beats, BeatSpec

NAN = float("nan")
COLUMNS = (
    "r_sample",
    "rr_before_ms",
    "rr_after_ms",
    "quality",
    "delay_ms",
    "closed_sample",
    "values",
    "lead_quality",
)


def some_beats(n_beats: int, length: int = 140, seed: int = 0, leads: int = 1) -> Beats:
    rng = np.random.default_rng(seed)
    quality = rng.integers(0, 256, n_beats).astype(np.uint16)
    return Beats(
        r_sample=np.arange(n_beats, dtype=np.int64) * 200 + 100,
        rr_before_ms=rng.uniform(300, 2000, n_beats).astype(np.float32),
        rr_after_ms=rng.uniform(300, 2000, n_beats).astype(np.float32),
        quality=quality,
        delay_ms=rng.uniform(0, 300, n_beats).astype(np.float32),
        closed_sample=np.arange(n_beats, dtype=np.int64) * 200 + 300,
        values=rng.standard_normal((n_beats, leads, length)).astype(np.float32),
        lead_quality=np.repeat(quality[:, None], leads, axis=1),
    )


def message(n_beats: int, patient: str = "p", length: int = 140, seed: int = 0) -> BeatsMessage:
    header = BeatsHeader(
        version=5,
        patient=patient,
        record="r",
        sequence=0,
        sent_ns=0,
        position=100_000,
        leads=["I"],
        fs_hz=250,
        spec=BeatSpec().identity,
        length=length,
        n_beats=n_beats,
        events=[],
        stretch=0,
        first_sample=0,
    )
    return BeatsMessage(header, some_beats(n_beats, length, seed), b"")


def received(messages: list[BeatsMessage]) -> list[Any]:
    return decode_bundle(encode_bundle(messages))


def assert_same(found: Beats, expected: Beats) -> None:
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), strict=True)


def batch(beats: Beats, losses: list[list[float]]) -> Batch:
    """Return beats of these losses in each lead, by thresholds of 2."""
    n_beats, of_leads = len(beats), np.array(losses, np.float64).reshape(-1, 2)
    scores = np.fmax.reduce(of_leads, axis=1) / 2
    return Batch(
        beats,
        beats.values,
        np.zeros_like(beats.values),
        of_leads,
        worst_leads(of_leads, np.full_like(of_leads, 2)),
        scores,
        np.full(n_beats, np.nan),
        np.zeros(n_beats, np.bool_),
        np.isfinite(scores),
        [Timing(float(row), 1.0 + row) for row in range(n_beats)],
        [(FITS, FITS)] * n_beats,
    )


def test_messages_of_a_bundle_share_its_arrays() -> None:
    """Beats received together lie together: joining them again copies nothing."""
    sent = [message(n, f"p{n}", seed=n) for n in (2, 0, 1, 3)]
    decoded = received(sent)
    together = joined_messages(decoded, 140)
    assert np.shares_memory(together.values, decoded[0].together.values)
    assert_same(together, joined_messages(sent, 140))
    for one, as_sent in zip(decoded, sent, strict=True):
        assert_same(one.beats, as_sent.together)


@pytest.mark.parametrize("chosen", [[0, 2], [3, 0, 1], [1, 1], [2], []])
def test_some_messages_of_a_bundle_are_joined_in_the_order_given(chosen: list[int]) -> None:
    """Others may be left out, come twice or in another order: each brings its own rows."""
    decoded = received([message(n, f"p{n}", seed=n) for n in (2, 1, 1, 3)])
    some = [decoded[index] for index in chosen]
    joined = joined_messages(some, 140)
    values = [row for one in some for row in one.beats.values.tolist()]
    assert joined.values.tolist() == values
    assert joined.values.shape == (len(values), 1, 140)
    assert joined.r_sample.tolist() == [r for one in some for r in one.beats.r_sample.tolist()]


def test_messages_of_two_bundles_are_joined_in_order() -> None:
    """What waited from two bundles is scored as one batch."""
    bundles = [received([message(2, "a", seed=seed), message(1, "b")]) for seed in (1, 2)]
    waiting = [one for bundle in bundles for one in bundle]
    joined = joined_messages(waiting, 140)
    assert_same(joined.rows(slice(0, 2)), bundles[0][0].beats)
    assert_same(joined.rows(slice(3, 5)), bundles[1][0].beats)


def test_beats_of_several_lengths_come_in_one_bundle() -> None:
    """Each message keeps its own length, whatever the others' is."""
    sent = [message(2, length=140), message(1, length=16), message(0, length=16), message(3)]
    for one, as_sent in zip(received(sent), sent, strict=True):
        assert_same(one.beats, as_sent.together)


def test_ends_of_a_message() -> None:
    """The first and last R peak are those of the message, not of its bundle."""
    _, one = received([message(3), message(2)])
    assert (one.first_r_sample, one.last_r_sample) == (100, 300)


def test_a_beat_is_plain_numbers() -> None:
    """A row says what the columns say; what is not finite becomes None."""
    beats = some_beats(3, leads=2)
    beats.rr_before_ms[0], beats.rr_after_ms[2] = NAN, np.inf
    rows = scored_beats(batch(beats, [[1.5, 1.0], [NAN, NAN], [NAN, 3.25]]))
    assert [row.losses for row in rows] == [(1.5, 1.0), (None, None), (None, 3.25)]
    assert [(row.lead, row.loss, row.score) for row in rows] == [
        (0, 1.5, 0.75),
        (0, None, None),
        (1, 3.25, 1.625),
    ]
    assert [row.readable for row in rows] == [True, False, True]
    assert [row.sample for row in rows] == [100, 300, 500]
    assert [row.rr_before_ms for row in rows] == [None, *beats.rr_before_ms[1:].tolist()]
    assert [row.rr_after_ms for row in rows] == [*beats.rr_after_ms[:2].tolist(), None]
    assert [row.quality for row in rows] == beats.quality.tolist()
    assert [row.timing.factor for row in rows] == [1.0, 2.0, 3.0]
    for row in rows:
        values = np.frombuffer(row.values, "<f4").reshape(2, -1)
        np.testing.assert_array_equal(values, beats.values[row.row])
    msgspec.json.encode([row[:9] for row in rows])  # no numpy scalars
    assert scored_beats(batch(some_beats(0, leads=2), [])) == []


def test_a_kept_beat_keeps_no_batch() -> None:
    """The bytes of one beat are its own: the batch's arrays go."""
    beats = some_beats(50, leads=2)
    of_batch = weakref.ref(beats)
    kept = scored_beats(batch(beats, [[1.0, 1.0]] * 50))[7].values
    del beats
    gc.collect()
    assert of_batch() is None
    assert len(kept) == 2 * 4 * 140
