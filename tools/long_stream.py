"""Hours of a live stream on a simulated clock: what its gaps, drift and restarts cost.

    python -m tools.long_stream                  # two hours, about half a minute
    python -m tools.long_stream --minutes 10 --drift-ppm 200 --json

A simulated record is sent as an LSL outlet sends it: a tenth of a second at a time, with timestamps
of a clock that is 50 parts in a million off the one here and jitters. It stops for 5 s, and later
is started again, after 3 s, on a clock that begins anew and is corrected to within .2 ms. What
`monitor.sources.lsl` does with timestamps (`StampedSamples`) places the samples; segmenter and
engine judge them. The same record, undisturbed, is the truth. Reported are verdicts that are
missing, how far R peaks lie from where they should, and for how long samples were held.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.checkpoint import load_shipped
from monitor.detection.engine import Engine
from monitor.detection.model_store import ModelStore
from monitor.journal.writer import Journal
from monitor.settings import ConsumerSettings
from monitor.sources.kinds import open_record
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.sources.source import LiveBlock, LiveStream
from monitor.sources.stamped_samples import StampedSamples
from monitor.stages.host import Counters
from monitor.stages.segmenter import SampleSegmenter
from monitor.wire.messages import (
    BeatScored,
    BeatsMessage,
    SamplesHeader,
    SamplesMessage,
    Stream,
)
from segmenter.beat import BeatSpec

CHUNK_S = 0.1
JITTER_S = 0.001  # of timestamps, on average
CORRECTION_S = 0.0002  # how exactly the other clock is known
TRAVEL_S = 0.01
STOP_S, RESTART_S = 5.0, 3.0
PAIR_MS = 150  # beats so far apart are one, as EC57 pairs them
NEAR_S = 6.0  # behind a gap the detector learns its levels anew, and no beat is judged


class Loss(NamedTuple):
    """A stretch that never comes."""

    start_s: float
    length_s: float


@dataclass(frozen=True)
class Found:
    """What a run came to."""

    minutes: float
    drift_ppm: float
    learnt_drift_ppm: float
    gaps_s: list[float]
    verdicts: int
    lost_in_gaps: int  # or behind one, until the detector has learnt its levels
    lost_elsewhere: int
    r_error_ms_max: float
    held_s_max: float


@dataclass
class Sent:
    """Samples on their way: when each was taken, by both clocks, and what came when."""

    samples: NDArray[np.float32]
    stamps_s: NDArray[np.float64]
    received_s: float


def losses_of(minutes: float) -> list[Loss]:
    """Return what is lost: a stop at 30 % of the time, a restart at 70 %."""
    return [Loss(18 * minutes, STOP_S), Loss(42 * minutes, RESTART_S)]


def sent(
    signal: NDArray[np.float32], fs_hz: float, drift: float, losses: Sequence[Loss], seed: int
) -> Iterator[Sent]:
    """Yield the chunks that arrive."""
    rng = np.random.default_rng(seed)
    period_s, size = (1 + drift) / fs_hz, round(CHUNK_S * fs_hz)
    correction_s = 0.0
    for start in range(0, signal.shape[1], size):
        chunk = signal[:, start : start + size]
        taken_s = (start + np.arange(chunk.shape[1])) / fs_hz
        lost = [one for one in losses if one.start_s <= taken_s[0] < one.start_s + one.length_s]
        if lost:
            correction_s = float(rng.normal(0, CORRECTION_S))
            continue
        jitter_s = float(rng.exponential(JITTER_S))
        n = np.arange(start, start + chunk.shape[1], dtype=np.float64)
        stamps_s = n * period_s + (jitter_s + correction_s)
        yield Sent(chunk, stamps_s, float(stamps_s[-1]) + TRAVEL_S)


class Judge:
    """Segmenter and engine in this process; remembers each beat that got a verdict."""

    def __init__(self, stream: LiveStream, journal: Journal, pool: ThreadPoolExecutor) -> None:
        checkpoint = load_shipped()
        spec = BeatSpec.from_mapping(checkpoint.spec)
        settings = ConsumerSettings(beats="ipc:///b", alerts="ipc:///a", journal="unused")
        store = ModelStore(Path("unused"), journal.identity)
        self._engine = Engine(checkpoint, settings, journal, store, pool, lambda: "")
        described = Stream("p", "r", list(stream.leads), stream.fs_hz, 0, None)
        self._engine.expect([described])
        self._segmenter = SampleSegmenter(spec, [described], [], Counters("segmenter", 0))
        self._leads, self._fs_hz, self._sequence = list(stream.leads), stream.fs_hz, 0
        self.judged: list[int] = []

    def take(self, block: LiveBlock) -> None:
        """Judge a block."""
        n_samples = block.samples.shape[1]
        header = SamplesHeader(
            version=4,
            patient="p",
            record="r",
            sequence=self._sequence,
            sent_ns=1,
            position=block.first_sample,
            leads=self._leads,
            fs_hz=self._fs_hz,
            n_samples=n_samples,
            sender=1,
        )
        self._sequence += 1
        message = SamplesMessage(header, block.samples)
        now_s = block.first_sample / self._fs_hz
        found = self._segmenter.step([message], now_s).messages
        beats = [one for one in found if isinstance(one, BeatsMessage)]
        for told in self._engine.step(beats, 0).messages:
            if isinstance(told, BeatScored) and told.loss is not None:
                self.judged.append(told.sample)


def run(minutes: float, drift_ppm: float, seed: int) -> Found:
    """Send a stream and judge it; compare with the same one undisturbed."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        pool = stack.enter_context(ThreadPoolExecutor(1))
        write_record(folder / "sim", SimulationSettings(hours=minutes / 60, seed=seed))
        with open_record(folder / "sim") as record:
            stream = LiveStream(record.leads, record.fs_hz)
            signal = record.read(0, record.n_samples)
        truth = Judge(stream, stack.enter_context(Journal(folder / "truth")), pool)
        for start in range(0, signal.shape[1], 2500):
            truth.take(LiveBlock(stream, start, signal[:, start : start + 2500], 0))
        losses = losses_of(minutes)
        live = Judge(stream, stack.enter_context(Journal(folder / "live")), pool)
        samples = StampedSamples(stream)
        gaps: list[float] = []
        reached, held_s, since_s = 0, 0.0, 0.0
        for one in sent(signal, stream.fs_hz, drift_ppm * 1e-6, losses, seed):
            since_s = since_s if samples.n_held else one.received_s
            for block in samples.put(one.samples, one.stamps_s, one.received_s):
                if block.first_sample > reached:
                    gaps.append((block.first_sample - reached) / stream.fs_hz)
                reached = block.first_sample + block.samples.shape[1]
                live.take(block)
                held_s = max(held_s, one.received_s - since_s)
    in_gaps, elsewhere, error_ms = compared(truth.judged, live.judged, losses, stream.fs_hz)
    return Found(
        minutes=minutes,
        drift_ppm=drift_ppm,
        learnt_drift_ppm=round(samples.drift * 1e6, 1),
        gaps_s=[round(one, 3) for one in gaps],
        verdicts=len(live.judged),
        lost_in_gaps=in_gaps,
        lost_elsewhere=elsewhere,
        r_error_ms_max=round(error_ms, 2),
        held_s_max=round(held_s, 3),
    )


def compared(
    truth: Sequence[int], live: Sequence[int], losses: Sequence[Loss], fs_hz: float
) -> tuple[int, int, float]:
    """Compare R peaks that got a verdict; return those lost in gaps, elsewhere, and an error.

    The error is the largest of all pairs, in ms.
    """
    found = np.array(live)
    lost_in_gaps = lost_elsewhere = 0
    error_ms = 0.0
    for r_sample in truth:
        off_ms = float(np.abs(found - r_sample).min()) / fs_hz * 1e3
        if off_ms <= PAIR_MS:
            error_ms = max(error_ms, off_ms)
        elif any(
            one.start_s - NEAR_S / 2 <= r_sample / fs_hz <= one.start_s + one.length_s + NEAR_S
            for one in losses
        ):
            lost_in_gaps += 1
        else:
            lost_elsewhere += 1
    return lost_in_gaps, lost_elsewhere, error_ms


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.long_stream", description=__doc__)
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--drift-ppm", type=float, default=50.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    found = run(options.minutes, options.drift_ppm, options.seed)
    if options.json:
        sys.stdout.write(json.dumps(asdict(found)) + "\n")
    else:
        for name, value in asdict(found).items():
            sys.stdout.write(f"{name:18} {value}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
