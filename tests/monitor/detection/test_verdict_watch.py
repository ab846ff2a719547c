"""Silence is reported: no five seconds without a verdict pass without a word."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.detection.verdict_watch import Report, reports
from monitor.wire.messages import BeatScored, Message, PatientStatus, Technical
from tests.monitor.detection.test_engine import Bench, Trainer, beats_message
from tests.monitor.in_process import in_process

FS_HZ = 250.0
Signal = NDArray[np.float64]


@pytest.mark.parametrize(
    ("newest", "silent", "now", "is_verdict", "expected"),
    [
        (100, False, 1349, False, []),
        (100, False, 1350, False, [("onset", 1350)]),
        (100, False, 9000, False, [("onset", 1350)]),
        (100, True, 9000, False, []),
        (100, False, 1349, True, []),
        (100, False, 9000, True, [("onset", 1350), ("cleared", 9000)]),
        (100, True, 9000, True, [("cleared", 9000)]),
    ],
)
def test_a_silence_begins_after_its_limit_and_ends_with_a_verdict(
    newest: int, silent: bool, now: int, is_verdict: bool, expected: list[tuple[str, int]]
) -> None:
    """Its onset is where the limit was reached, however late it is looked at."""
    found = reports(newest, silent, 1250, now, is_verdict)
    assert [tuple(one) for one in found] == expected
    assert all(isinstance(one, Report) for one in found)


def beats(seconds: float, rng: np.random.Generator, rr_s: float = 0.8, width_s: float = 0.012,
          height: float = 1.0) -> Signal:  # fmt: skip
    t = np.arange(round(seconds * FS_HZ)) / FS_HZ
    phase = (t + rr_s / 2) % rr_s - rr_s / 2
    shape = np.exp(-0.5 * (phase / width_s) ** 2) + 0.2 * np.exp(-0.5 * ((phase - 0.3) / 0.05) ** 2)
    noise: Signal = 0.005 * rng.standard_normal(len(t))
    return height * shape + noise


def fibrillation(seconds: float, rng: np.random.Generator) -> Signal:
    t = np.arange(round(seconds * FS_HZ)) / FS_HZ
    rate_hz = 5.0 + rng.uniform(0, 2) + 0.7 * np.sin(2 * np.pi * 0.23 * t)
    swing = 0.6 + 0.3 * np.sin(2 * np.pi * 0.31 * t)
    wave: Signal = swing * np.sin(2 * np.pi * np.cumsum(rate_hz) / FS_HZ)
    return wave + 0.01 * rng.standard_normal(len(t))


def noise(seconds: float, rng: np.random.Generator) -> Signal:
    size = round(seconds * FS_HZ)
    return np.asarray(rng.uniform(0.05, 1.0) * rng.standard_normal(size))


def flat(seconds: float, rng: np.random.Generator) -> Signal:
    return np.full(round(seconds * FS_HZ), rng.uniform(-1, 1))


def gap(seconds: float, rng: np.random.Generator) -> Signal:
    return np.full(round(seconds * FS_HZ), np.nan)


def saturated(seconds: float, rng: np.random.Generator) -> Signal:
    return np.clip(20 * beats(seconds, rng), -5.0, 5.0)


def small(seconds: float, rng: np.random.Generator) -> Signal:
    return beats(seconds, rng, height=0.03)


def wide(seconds: float, rng: np.random.Generator) -> Signal:
    return beats(seconds, rng, rr_s=rng.uniform(0.3, 1.2), width_s=0.06)


def slow(seconds: float, rng: np.random.Generator) -> Signal:
    return beats(seconds, rng, rr_s=rng.uniform(2.0, 7.0))


KINDS: list[Callable[[float, np.random.Generator], Signal]] = [
    beats, fibrillation, noise, flat, gap, saturated, small, wide, slow,
]  # fmt: skip
MIXTURES = st.lists(st.tuples(st.sampled_from(KINDS), st.floats(0.5, 12.0)), min_size=1, max_size=8)


class Heard:
    """What was reported when: for each sample of the signal that had been sent."""

    def __init__(self) -> None:
        self.spoken: list[tuple[int, int]] = []  # stretches with a technical alert that lasts
        self.verdicts: list[int] = []
        self.identities: list[tuple[str, str, int]] = []
        self._open: dict[str, int] = {}

    def take(self, messages: list[Message], seen: int) -> None:
        for one in messages:
            if isinstance(one, Technical):
                self.identities.append((one.event, one.state, one.sample))
                if one.state == "onset":
                    self._open[one.event] = seen
                else:
                    self.spoken.append((self._open.pop(one.event), seen))
            elif isinstance(one, BeatScored) and one.loss is not None:
                self.verdicts.append(seen)

    def longest_silence_s(self, end: int) -> float:
        """Return the longest stretch with neither a verdict nor a technical alert, in s."""
        spoken = [*self.spoken, *((begin, end) for begin in self._open.values())]
        spoken += [(at, at) for at in self.verdicts]
        covered = longest = 0
        for begin, stop in sorted([*spoken, (end, end)]):
            longest = max(longest, begin - covered)
            covered = max(covered, stop)
        return longest / FS_HZ


def listen(signal: Signal, block: int, learn_s: float | None = None) -> tuple[Heard, PatientStatus]:
    heard = Heard()
    with in_process(FS_HZ, learn_s=learn_s) as patient:
        for start in range(0, len(signal), block):
            heard.take(patient.send(signal[start : start + block]), patient.position)
        (status,) = patient.engine.report().patients
        heard.take(patient.end(), patient.position)
    return heard, status


def mixed(parts: list[tuple[Callable[[float, np.random.Generator], Signal], float]]) -> Signal:
    rng = np.random.default_rng(len(parts))
    return np.concatenate([kind(seconds, rng) for kind, seconds in parts])


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(parts=MIXTURES)
def test_no_stretch_over_six_seconds_passes_in_silence(
    parts: list[tuple[Callable[[float, np.random.Generator], Signal], float]],
) -> None:
    """Whatever the signal is made of, and whatever came before."""
    signal = mixed(parts)
    heard, _ = listen(signal, block=50)
    assert heard.longest_silence_s(len(signal)) <= 6.0


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(parts=MIXTURES, block=st.integers(40, 5000))
def test_the_cut_into_blocks_does_not_matter(
    parts: list[tuple[Callable[[float, np.random.Generator], Signal], float]], block: int
) -> None:
    """The same samples give the same reports, at the same samples."""
    signal = mixed(parts)
    whole, _ = listen(signal, len(signal))
    cut, _ = listen(signal, block)
    assert sorted(cut.identities) == sorted(whole.identities)


def test_fibrillation_is_reported_within_six_seconds_and_has_no_heart_rate() -> None:
    """A minute of it after a normal rhythm; the report ends when beats are judged again."""
    rng = np.random.default_rng(1)
    before = beats(60, rng)
    heard, _ = listen(np.concatenate([before, fibrillation(60, rng)]), block=50)
    said = [one for one in heard.identities if one[2] >= len(before)]
    assert said
    assert said[0][2] <= len(before) + 6 * FS_HZ
    assert heard.longest_silence_s(len(before) + round(60 * FS_HZ)) <= 6.0


def test_what_lasts_blanks_the_heart_rate() -> None:
    """A rate of beats long past is none; with the next verdict it comes again."""
    rng = np.random.default_rng(2)
    normal = beats(20, rng)
    _, status = listen(normal, 50)
    assert status.heart_rate_bpm == pytest.approx(75, abs=1)
    _, status = listen(np.concatenate([normal, flat(8, rng)]), 50)
    assert (status.heart_rate_bpm, "no_verdict" in status.technical) == (None, True)
    _, status = listen(np.concatenate([normal, flat(8, rng), normal]), 50)
    assert status.heart_rate_bpm == pytest.approx(75, abs=1)
    assert "no_verdict" not in status.technical


@pytest.mark.parametrize("block", [1, 3, 60])
def test_beats_that_wait_for_a_training_are_no_silence(block: int) -> None:
    """However long the message is in which the learning ends: they will have a verdict."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        trainer = Trainer()
        engine = Bench(folder, stack).engine(learner=trainer, learn_s=10.0)
        said: list[Message] = []
        for first in range(0, 60, block):
            message = beats_message([5.0] * block, 100 + 250 * first)
            said += engine.step([message], 0).messages
        trainer.learnt(threshold=35.0)
        said += engine.step([], 0).messages
    assert sum(isinstance(one, BeatScored) for one in said) == 60
    assert [one for one in said if isinstance(one, Technical)] == []


def test_silence_while_learning_is_reported_too() -> None:
    """Beats that are learnt have no verdict, and count; what cannot be learnt does not."""
    rng = np.random.default_rng(3)
    heard, status = listen(np.concatenate([beats(30, rng), gap(9, rng)]), 50, learn_s=60)
    assert status.state == "learning"
    assert "no_verdict" in [event for event, _, _ in heard.identities]
    heard, _ = listen(beats(30, rng), 50, learn_s=60)
    assert heard.identities == []
