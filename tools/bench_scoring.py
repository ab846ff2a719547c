"""The network as the monitor runs it, beside this machine's rate of matrix products.

    python -m tools.bench_scoring                # a section of docs/scoring.md
    python -m tools.bench_scoring --quick        # one round; writes nothing

Measured in one process, round by round, the matrix product in each, so that what else the machine
does hits both alike. Counted are the multiplications and additions of the matrix products alone. In
one thread CPU time counts, in two wall time: with two threads let nothing else compute meanwhile.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from model.checkpoint import Checkpoint, load_shipped
from model.scoring import MAX_BATCH, Scorer
from model.trained import TrainedAutoencoder
from segmenter.beat import BeatSpec
from tools.build_checkpoint import simulate
from tools.measured import on_one_core
from tools.pages import spread, table
from tools.parts import Found, Plan, measure_parts, option

Beats = NDArray[np.float32]
Reconstruct = Callable[[Beats], Beats]

BATCHES = (1, 64, 256, 1024)
THREADS = (1, 2)
PRODUCT_SIZE = 1024  # of the square matrices: fast, and in the cache
MEASURED_S = 0.05  # of computing in one measurement, at least
BEATS_HOURS, BEATS_SEED = 0.5, 2007


@dataclass(frozen=True, kw_only=True)
class Rounds(Plan):
    """How often all is measured."""

    times: int = option(5, 1, "rounds")


def ours(autoencoder: TrainedAutoencoder) -> Reconstruct:
    """Return what the monitor runs; with two threads, two that each take half of the beats."""
    scorer = Scorer(autoencoder)
    threads = ThreadPoolExecutor(2)

    def reconstruct(beats: Beats) -> Beats:
        if torch.get_num_threads() == 1 or len(beats) < 2:
            return scorer.reconstruct(beats)
        return np.concatenate([*threads.map(scorer.reconstruct, np.array_split(beats, 2))])

    return reconstruct


@dataclass(frozen=True)
class Measurement:
    """What was measured, round by round.

    Attributes
    ----------
    product_flops : dict of int to list of float
        Rates of the matrix product, by threads.
    times_s : dict of (threads, batch) to list of float
        Of one beat.
    """

    checkpoint: Checkpoint
    product_flops: dict[int, list[float]]
    times_s: dict[tuple[int, int], list[float]]

    def shares(self, threads: int, batch: int) -> list[float]:
        """Return which part of the matrix product's rate is reached, in %, each round."""
        flop = 100 * self.checkpoint.config.flop_per_beat
        pairs = zip(self.times_s[threads, batch], self.product_flops[threads], strict=True)
        return [flop / time_s / rate for time_s, rate in pairs]

    def worst_shares(self, threads: int) -> list[float]:
        """Return our smallest share of the batches of 64 and more, for each round."""
        of_each = [self.shares(threads, batch) for batch in BATCHES[1:]]
        return [min(of_round) for of_round in zip(*of_each, strict=True)]


def measure(checkpoint: Checkpoint, rounds: int) -> Measurement:
    """Measure on beats of a simulated record."""
    simulated = simulate(BeatSpec.from_mapping(checkpoint.spec), BEATS_HOURS, BEATS_SEED).beats[
        :, 0
    ]
    reconstruct = ours(checkpoint.autoencoder)
    found = Measurement(checkpoint, {threads: [] for threads in THREADS}, {})
    for _ in range(rounds):
        for threads in THREADS:
            torch.set_num_threads(threads)
            found.product_flops[threads].append(_product_flops(threads))
            for batch in BATCHES:
                beats = np.resize(simulated, (batch, simulated.shape[1]))
                spent_s = _time_s(partial(reconstruct, beats), threads)
                found.times_s.setdefault((threads, batch), []).append(spent_s / batch)
    return found


def _product_flops(threads: int) -> float:
    """Return the fastest rate of a matrix product: torch's, numpy's, numpy's in each thread."""
    left = np.random.default_rng(0).standard_normal((PRODUCT_SIZE, PRODUCT_SIZE), np.float32)
    of_torch = torch.from_numpy(left)
    flop = 2 * PRODUCT_SIZE**3
    found = [flop / _time_s(lambda: of_torch @ of_torch, threads)]
    if threads == 1:
        return max(found[0], flop / _time_s(lambda: left @ left, threads))
    with ThreadPoolExecutor(threads) as pool:  # numpy itself has one thread here
        each = [left] * threads
        together_s = _time_s(lambda: [*pool.map(np.matmul, each, each)], threads)
    return max(found[0], threads * flop / together_s)


def _time_s(run: Callable[[], object], threads: int) -> float:
    """Return how long one run takes, warm: CPU time of one thread, wall time of several."""
    clock = time.process_time if threads == 1 else time.perf_counter
    run()
    n, spent_s = 1, 0.0
    while True:
        began_s = clock()
        for _ in range(n):
            run()
        spent_s = clock() - began_s
        if spent_s >= MEASURED_S:
            return spent_s / n
        n *= max(2, round(MEASURED_S / max(spent_s, 1e-6)))


def rate_part(plan: Rounds) -> Found:
    """Compare with the matrix product: shares of its rate, and times."""
    found = on_one_core(measure, load_shipped(), plan.times)
    config = found.checkpoint.config
    rates = ", ".join(
        f"{spread([rate / 1e9 for rate in rates], '.0f')} GFLOP/s in {threads} thread(s)"
        for threads, rates in found.product_flops.items()
    )
    rows = [
        [
            f"{batch}",
            *(spread(found.shares(threads, batch), ".0f") for threads in THREADS),
            spread([1e3 * batch * one_s for one_s in found.times_s[1, batch]], ".2f"),
        ]
        for batch in BATCHES
    ]
    headings = ["beats of a call", "% of that rate, 1 thread", "2 threads", "ms of CPU, 1 thread"]
    return Found(
        f"Embedding {config.embedding}, {config.samples_per_step} samples a step, "
        f"{config.flop_per_beat / 1e6:.2f} MFLOP of matrix products a beat. The machine's matrix "
        f"product of {PRODUCT_SIZE} x {PRODUCT_SIZE} in the same rounds: {rates}. Medians of "
        f"{plan.times} rounds.\n\n{table(headings, rows)}\n\n"
        f"Ours takes {MAX_BATCH} beats at once, whatever the call.",
        {
            "scoring.share_one_thread": found.worst_shares(1),
            "scoring.share_two_threads": found.worst_shares(2),
            "scoring.one_beat": [1e3 * one_s for one_s in found.times_s[1, 1]],
        },
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    page, parts = ("scoring.md", "Ways to score"), {"rate": rate_part}
    return measure_parts("bench_scoring", __doc__, page, parts, Rounds, arguments)


if __name__ == "__main__":
    sys.exit(main())
