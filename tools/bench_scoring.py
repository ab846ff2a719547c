"""Ways to run the autoencoder side by side, beside this machine's rate of matrix products.

    python -m tools.bench_scoring                # a page, docs/scoring.md, and a plot
    python -m tools.bench_scoring --quick        # few repetitions; writes nothing

All ways run in one process and in turn, round by round, the matrix product among them, so that
what else the machine does hits all alike. Counted are the multiplications and additions of the
matrix products alone. In one thread CPU time counts, in two wall time: with two threads let nothing
else compute meanwhile. A way that needs what is not here (a compiler) is named as absent.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from model.autoencoder import LstmAutoencoder
from model.checkpoint import Checkpoint, load_checkpoint, load_shipped
from model.graph import INPUT, onnx_graph
from model.scoring import MAX_BATCH, Scorer, reconstruction_losses
from model.trained import TrainedAutoencoder
from segmenter.beat import BeatSpec
from tools.build_checkpoint import simulate
from tools.figures import RATIOS, Headline
from tools.measured import on_one_core
from tools.pages import DOCS, spread, table
from tools.parts import Found, measure_parts
from tools.tried import FusedAutoencoder

Beats = NDArray[np.float32]
Reconstruct = Callable[[Beats], Beats]

OURS = "ONNX Runtime (ours)"
INEXACT = 1e-3  # a loss this far off, relative, marks a way in the plot
BATCHES = (1, 64, 256, 1024)
THREADS = (1, 2)
PRODUCT_SIZE = 1024  # of the square matrices: fast, and in the cache
MEASURED_S = 0.05  # of computing in one measurement, at least
CHECK_HOURS, CHECK_SEED = 0.5, 2007


@dataclass(frozen=True)
class Way:
    """A way to run the autoencoder: `make` builds it, or raises where it cannot be had."""

    name: str
    make: Callable[[TrainedAutoencoder], Reconstruct]


# --- the ways -----------------------------------------------------------------------------------


def ours(autoencoder: TrainedAutoencoder) -> Reconstruct:
    """Return what the monitor runs; with two threads, two that each take half of the beats."""
    scorer = Scorer(autoencoder)
    threads = ThreadPoolExecutor(2)

    def reconstruct(beats: Beats) -> Beats:
        if torch.get_num_threads() == 1 or len(beats) < 2:
            return scorer.reconstruct(beats)
        return np.concatenate([*threads.map(scorer.reconstruct, np.array_split(beats, 2))])

    return reconstruct


def eager(autoencoder: TrainedAutoencoder) -> Reconstruct:
    """Return torch's own layers, which call oneDNN."""
    return _of_torch(LstmAutoencoder.of(autoencoder).eval())


def native(autoencoder: TrainedAutoencoder) -> Reconstruct:
    """Return torch's own layers without oneDNN."""
    run = eager(autoencoder)

    def reconstruct(beats: Beats) -> Beats:
        with torch.backends.mkldnn.flags(enabled=False):
            return run(beats)

    return reconstruct


def compiled(autoencoder: TrainedAutoencoder) -> Reconstruct:
    """Return torch.compile of the layers; it needs a C++ compiler."""
    return _of_torch(torch.compile(LstmAutoencoder.of(autoencoder).eval()))


def bfloat16(autoencoder: TrainedAutoencoder) -> Reconstruct:
    """Return the layers with weights and beats of 16 bits."""
    return _of_torch(LstmAutoencoder.of(autoencoder).eval().to(torch.bfloat16), torch.bfloat16)


def int8(autoencoder: TrainedAutoencoder) -> Reconstruct:
    """Return the layers with weights of 8 bits, quantised as they are used."""
    layers = {torch.nn.LSTM, torch.nn.Linear}
    network = LstmAutoencoder.of(autoencoder).eval()
    quantised = torch.ao.quantization.quantize_dynamic(  # type: ignore[no-untyped-call]
        network, layers, dtype=torch.qint8
    )
    return _of_torch(quantised)


def onnx_int8(autoencoder: TrainedAutoencoder) -> Reconstruct:
    """Return ONNX Runtime with weights of 8 bits."""
    import onnxruntime  # after the model's package, which keeps it from reporting to its maker
    from onnxruntime import quantization

    with tempfile.TemporaryDirectory() as folder:
        whole, quantised = f"{folder}/whole.onnx", f"{folder}/quantised.onnx"
        onnx.save(onnx_graph(autoencoder), whole)
        quantization.quantize_dynamic(whole, quantised, weight_type=quantization.QuantType.QInt8)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(quantised, options)
    return lambda beats: np.asarray(session.run(None, {INPUT: beats})[0])


def fused(autoencoder: TrainedAutoencoder) -> Reconstruct:
    """Return numpy with one product a step and layer, gates in place."""
    return FusedAutoencoder(autoencoder).reconstruct


def _of_torch(network: Callable[..., torch.Tensor], kind: torch.dtype | None = None) -> Reconstruct:
    def reconstruct(beats: Beats) -> Beats:
        with torch.inference_mode():
            written: Beats = network(torch.from_numpy(beats).to(kind)).float().numpy()
        return written

    return reconstruct


WAYS = (
    Way(OURS, ours),
    Way("torch eager, oneDNN", eager),
    Way("torch eager, without oneDNN", native),
    Way("torch.compile", compiled),
    Way("torch bfloat16", bfloat16),
    Way("torch int8, dynamic", int8),
    Way("ONNX Runtime int8, dynamic", onnx_int8),
    Way("numpy, fused gates", fused),
)
ONE_THREAD_ONLY = {"numpy, fused gates", "ONNX Runtime int8, dynamic"}


# --- measuring ----------------------------------------------------------------------------------


@dataclass
class Result:
    """What a way did.

    Attributes
    ----------
    times_s : dict of (threads, batch) to list of float
        Of one beat, in each round.
    loss_error : float
        The largest relative difference of a loss from the plain network's.
    n_other_verdicts : int
        Beats on the other side of the threshold.
    absent : str or None
        Why it could not be measured.
    """

    name: str
    times_s: dict[tuple[int, int], list[float]] = field(default_factory=dict)
    loss_error: float = float("nan")
    n_other_verdicts: int = 0
    absent: str | None = None


@dataclass(frozen=True)
class Measurement:
    """All ways, and the rates of the matrix product in the same rounds, by threads."""

    checkpoint: Checkpoint
    n_checked: int
    product_flops: dict[int, list[float]]
    results: list[Result]

    def share(self, result: Result, threads: int, batch: int) -> float:
        """Return which part of the matrix product's rate a way reaches; median over the rounds."""
        return statistics.median(self.shares(result, threads, batch))

    def shares(self, result: Result, threads: int, batch: int) -> list[float]:
        """Return the same for each round, against the product of that round."""
        flop = self.checkpoint.config.flop_per_beat
        pairs = zip(result.times_s[threads, batch], self.product_flops[threads], strict=True)
        return [flop / time_s / rate for time_s, rate in pairs]

    def worst_shares(self, result: Result, threads: int) -> list[float]:
        """Return the smallest share of the batches of 64 and more, for each round."""
        of_each = [self.shares(result, threads, batch) for batch in BATCHES[1:]]
        return [min(of_round) for of_round in zip(*of_each, strict=True)]


def measure(checkpoint: Checkpoint, ways: Sequence[Way], rounds: int) -> Measurement:
    """Measure ways in turn, and check their losses on beats of a simulated record."""
    checked = simulate(BeatSpec.from_mapping(checkpoint.spec), CHECK_HOURS, CHECK_SEED).beats
    built = dict(_built(checkpoint, ways, checked))
    results = [result for result, _ in built.values()]
    product_flops: dict[int, list[float]] = {threads: [] for threads in THREADS}
    for _ in range(rounds):
        for threads in THREADS:
            torch.set_num_threads(threads)
            product_flops[threads].append(_product_flops(threads))
            for result, reconstruct in built.values():
                if reconstruct is None or (threads > 1 and result.name in ONE_THREAD_ONLY):
                    continue
                for batch in BATCHES:
                    beats = np.resize(checked, (batch, checked.shape[1]))
                    spent_s = _time_s(lambda r=reconstruct, b=beats: r(b), threads)  # type: ignore[misc]
                    result.times_s.setdefault((threads, batch), []).append(spent_s / batch)
    return Measurement(checkpoint, len(checked), product_flops, results)


def _built(
    checkpoint: Checkpoint, ways: Sequence[Way], checked: Beats
) -> Iterator[tuple[str, tuple[Result, Reconstruct | None]]]:
    torch.set_num_threads(1)
    threshold = checkpoint.threshold.value
    plain = reconstruction_losses(checked, eager(checkpoint.autoencoder)(checked))
    for way in ways:
        result = Result(way.name)
        try:
            with warnings.catch_warnings(action="ignore"):
                reconstruct = way.make(checkpoint.autoencoder)
                losses = reconstruction_losses(checked, reconstruct(checked))
        except Exception as error:  # one way's trouble must not end the comparison
            result.absent = f"{type(error).__name__}: {str(error).splitlines()[0][:80]}"
            yield way.name, (result, None)
            continue
        result.loss_error = float((np.abs(losses - plain) / plain).max())
        result.n_other_verdicts = int(((losses > threshold) != (plain > threshold)).sum())
        yield way.name, (result, reconstruct)


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


# --- showing ------------------------------------------------------------------------------------


def to_markdown(found: Measurement) -> str:
    """Return the section: shares of the matrix product's rate, then times."""
    config = found.checkpoint.config
    rates = ", ".join(
        f"{statistics.median(rates) / 1e9:.0f} GFLOP/s in {threads} thread{'s' * (threads > 1)} "
        f"({min(rates) / 1e9:.0f} to {max(rates) / 1e9:.0f})"
        for threads, rates in found.product_flops.items()
    )
    shares = [f"N = {batch}, {threads} thr." for threads in THREADS for batch in BATCHES[1:]]
    of_share = [
        [_percent(found, result, threads, batch) for threads in THREADS for batch in BATCHES[1:]]
        for result in found.results
    ]
    quality = [_quality(result) for result in found.results]
    rows = [[r.name, *s, *q] for r, s, q in zip(found.results, of_share, quality, strict=True)]
    times = [
        [r.name, *(_milliseconds(r, batch) for batch in BATCHES), _beats_per_s(r)]
        for r in found.results
    ]
    return (
        f"Embedding {config.embedding}, {config.samples_per_step} samples a step, "
        f"{config.flop_per_beat / 1e6:.2f} MFLOP of matrix products a beat. The machine's matrix "
        f"product of {PRODUCT_SIZE} x {PRODUCT_SIZE} in the same rounds: {rates}. Medians of "
        f"{len(found.product_flops[1])} rounds.\n\n"
        "Share of that rate, by the beats N of a call; how far losses are from the plain network's "
        f"on {found.n_checked:,} beats of a simulated record, and how many verdicts change (its "
        f"threshold of {found.checkpoint.threshold.value:.0f} lies far from most losses, so few "
        "can):\n\n"
        + table(["way", *shares, "loss error", "other verdicts"], rows)
        + "\n\nOne call in one thread, ms of CPU (smallest to largest of the rounds):\n\n"
        + table(["way", *(f"N = {batch}" for batch in BATCHES), "beats/s"], times)
        + f"\n\nOurs takes {MAX_BATCH} beats at once, whatever the call. "
        "![Share of the matrix product's rate](scoring.png)\n"
    )


def _percent(found: Measurement, result: Result, threads: int, batch: int) -> str:
    if (threads, batch) not in result.times_s:
        return "-"
    return f"{100 * found.share(result, threads, batch):.0f} %"


def _quality(result: Result) -> list[str]:
    if result.absent is not None:
        return [f"absent: {result.absent}", "-"]
    return [f"{result.loss_error:.0e}", str(result.n_other_verdicts)]


def _milliseconds(result: Result, batch: int) -> str:
    if (1, batch) not in result.times_s:
        return "-"
    times_ms = [1e3 * batch * one for one in result.times_s[1, batch]]
    return spread(times_ms, ".2f")


def _beats_per_s(result: Result) -> str:
    if not result.times_s:
        return "-"
    return f"{max(1 / statistics.median(result.times_s[1, batch]) for batch in BATCHES):,.0f}"


def figures_of(found: Measurement) -> dict[str, list[float]]:
    """Return the headlines: of the way that the monitor goes."""
    (result,) = (one for one in found.results if one.name == OURS)
    return {
        "scoring.share_one_thread": [100 * share for share in found.worst_shares(result, 1)],
        "scoring.share_two_threads": [100 * share for share in found.worst_shares(result, 2)],
        "scoring.one_beat": [1e3 * one_s for one_s in result.times_s[1, 1]],
    }


def plot(found: Measurement, file: Path) -> None:
    """Draw the shares of the matrix product's rate against the size of the batch."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    for axes, threads in zip(figure.subplots(1, 2, sharey=True), THREADS, strict=True):
        for result in found.results:
            batches = [batch for batch in BATCHES if (threads, batch) in result.times_s]
            shares = [100 * found.share(result, threads, batch) for batch in batches]
            inexact = result.loss_error > INEXACT
            label = f"{result.name} (losses off)" if inexact else result.name
            axes.plot(batches, shares, "x:" if inexact else "o-", label=label)
        _draw_asked(axes, RATIOS[f"scoring.share_{('one_thread', 'two_threads')[threads - 1]}"])
        axes.set(xscale="log", xlabel="beats a call", title=f"{threads} thread{'s'[: threads - 1]}")
        axes.set_xticks(BATCHES, [str(batch) for batch in BATCHES])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("% of the matrix product's rate")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize="small")
    figure.savefig(file, dpi=120, metadata={"Software": None})


def _draw_asked(axes: Axes, headline: Headline) -> None:
    for share, name in ((headline.at_least, "asked for"), (headline.aim, "aim")):
        assert share is not None
        axes.axhline(share, color="0.6", linestyle=":")
        axes.annotate(f"{name}: {share:g} %", (1, share + 1), color="0.4", fontsize="small")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench_scoring", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, help="the one that ships by default")
    parser.add_argument("--quick", action="store_true", help="one round; writes nothing")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=DOCS, help="folder of page and plot")
    options = parser.parse_args(arguments)
    given = options.checkpoint
    checkpoint = load_shipped() if given is None else load_checkpoint(given)
    ways = [way for way in WAYS if not (options.quick and way.make is compiled)]
    out = None if options.quick else options.out

    def compare(rounds: int) -> Found:
        found = on_one_core(measure, checkpoint, ways, rounds)
        if out is not None:
            plot(found, out / "scoring.png")
        return Found(to_markdown(found), figures_of(found) if given is None else {})

    return measure_parts(
        "bench_scoring",
        ("scoring.md", "Ways to score"),
        {"side-by-side": compare},
        1 if options.quick else options.rounds,
        only=None,
        out=out,
        arguments=arguments,
    )


if __name__ == "__main__":
    sys.exit(main())
