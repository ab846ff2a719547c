"""Feed every decoder what it must refuse: damaged frames, headers, rules, states and models.

    python -m tools.fuzz                                   # a million cases, each decoder its share
    python -m tools.fuzz --only checkpoints --cases 5000 --seed 7
    python -m tools.fuzz --only checkpoints --case FILE    # one case again
    python -m tools.fuzz --out docs/FUZZ.md                # writes the page's section

docs/FUZZ.md says what a case is, and what counts as a finding; with findings the exit code is 1.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from monitor.cli.progress import progress_bar
from tools.fuzz_decoders import DECODERS, Build, Decoder
from tools.measured import peak_mb
from tools.pages import command_line, section, table, write_sections

os.environ.setdefault("OMP_NUM_THREADS", "1")

BATCH = 2000  # cases drawn at once: Hypothesis remembers those it has drawn
MEMORY_DISK = "/dev/shm" if Path("/dev/shm").is_dir() else None
LIBRARIES = ("hypothesis", "msgspec", "numpy", "wfdb")


@dataclass
class Tally:
    """What became of one decoder's cases."""

    decoder: str
    cases: int = 0
    accepted: int = 0
    refused: int = 0
    slowest_ms: float = 0.0  # processor time
    grown_mb: float = 0.0  # of the process, at its most, over what it took for the seeds
    findings: list[str] = field(default_factory=list)


def fuzz_decoder(
    decoder: Decoder, cases: int, chance: str, tally: Tally, findings: Path, most_s: float = 0.0
) -> None:
    """Draw cases and let a decoder have them, up to the first finding, which is kept in a folder.

    Parameters
    ----------
    chance : str
        The same makes the same cases.
    most_s : float
        Processor time of a case after which this process is ended; 0: no limit.
    """
    current, smallest = (findings / f"{tally.decoder}.{of}" for of in ("current", "smallest"))

    def check(case: bytes) -> None:
        current.write_bytes(case)  # outlives this process: a hang or a crash will end it
        tally.cases += 1
        began_s = time.process_time()
        try:
            with warnings.catch_warnings(action="error"):  # a warning is a finding too
                signal.setitimer(signal.ITIMER_PROF, most_s)
                decoder.decode(case)
            tally.accepted += 1
        except decoder.refusals:
            tally.refused += 1
        except Exception:
            smallest.write_bytes(case)  # Hypothesis ends with the smallest it found
            raise
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0.0)
            tally.slowest_ms = max(tally.slowest_ms, 1e3 * (time.process_time() - began_s))

    for first in range(0, cases, BATCH):
        quiet = settings(
            max_examples=min(BATCH, cases - first), database=None, deadline=None,
            phases=(Phase.generate, Phase.shrink), report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        test = seed(f"{chance} {tally.decoder} {first}")(quiet(given(decoder.cases)(check)))
        try:
            test()
        except Exception as error:
            if not smallest.exists():  # the damage itself is wrong
                raise
            kept = smallest.rename(findings / f"{tally.decoder}.case")
            tally.findings.append(f"{type(error).__name__}: {str(error)[:200]} ({kept})")
            break
    current.unlink(missing_ok=True)


# --- a decoder's process ----------------------------------------------------------------------


def run_decoder(
    name: str, build: Build, cases: int, chance: int, findings: Path, tell: Connection
) -> None:
    """Fuzz one decoder, in a process of its own with bounded address space; sends the tally."""
    with tempfile.TemporaryDirectory(prefix="ecg-fuzz-", dir=MEMORY_DISK) as folder:
        decoder, tally = build(Path(folder)), Tally(name)
        for case in decoder.seeds:
            decoder.decode(case)
        before_mb = peak_mb()
        statm = Path("/proc/self/statm")
        if statm.exists():  # beyond it comes MemoryError
            now = int(statm.read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (now + (decoder.most_mb << 20),) * 2)
        fuzz_decoder(decoder, cases, str(chance), tally, findings, decoder.most_s)
        tally.grown_mb = peak_mb() - before_mb
    tell.send(tally)


def watch_decoder(name: str, build: Build, cases: int, chance: int, findings: Path) -> Tally:
    """Run one decoder's process to its end; one that dies has found something."""
    context = multiprocessing.get_context("forkserver")  # imports once; no threads to copy
    context.set_forkserver_preload([__name__])
    receive, tell = context.Pipe(duplex=False)
    process = context.Process(target=run_decoder, args=(name, build, cases, chance, findings, tell))
    process.start()
    tell.close()
    try:
        tally: Tally = receive.recv()
    except EOFError:
        tally = Tally(name)
    process.join()
    current = findings / f"{name}.current"
    if process.exitcode and not current.exists():
        tally.findings.append(f"the process could not begin, exit code {process.exitcode}")
    elif process.exitcode:
        kept = current.rename(findings / f"{name}.case")
        hung = process.exitcode == -signal.SIGPROF
        why = "too much processor time" if hung else f"ended the process ({process.exitcode})"
        tally.findings.append(f"{why} ({kept})")
    return tally


# --- all of them ------------------------------------------------------------------------------


def shares(names: Sequence[str], cases: int) -> dict[str, int]:
    """Divide cases among decoders by their weights, at least one each; no fewer in all."""
    total = sum(DECODERS[name][0] for name in names)
    return {name: max(1, -(-cases * DECODERS[name][0] // total)) for name in names}


def results(tallies: Sequence[Tally]) -> str:
    """Return the tallies as a table in Markdown, with their sum."""
    counts = [(one.cases, one.accepted, one.refused, len(one.findings)) for one in tallies]
    sums = [sum(column) for column in zip(*counts, strict=True)]
    rows = [
        [one.decoder, *(f"{n:,}" for n in n_of), f"{one.slowest_ms:.1f}", f"{one.grown_mb:.1f}"]
        for one, n_of in zip(tallies, counts, strict=True)
    ]
    rows.append(["all", *(f"{n:,}" for n in sums), "", ""])
    headings = ["decoder", "cases", "accepted", "refused", "findings", "slowest, ms"]
    return table([*headings, "grown by, MB"], rows)


def again(name: str, path: Path) -> int:
    """Let a decoder have one case that was kept; its traceback, if it has one, is shown."""
    with tempfile.TemporaryDirectory(prefix="ecg-fuzz-") as folder:
        decoder = DECODERS[name][1](Path(folder))
        try:
            decoder.decode(path.read_bytes())
        except decoder.refusals as refusal:
            print(f"refused: {refusal}")
        else:
            print("accepted")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz what was asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--cases", type=int, default=1_000_000, help="in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", choices=DECODERS, metavar="DECODER")
    parser.add_argument("--case", type=Path, help="try this one again; needs --only")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"), help="folder")
    parser.add_argument("--out", type=Path, help="write a section of this page")
    options = parser.parse_args(arguments)
    names = options.only or list(DECODERS)
    if options.case is not None:
        if len(names) != 1:
            parser.error("--case needs one --only")
        return again(names[0], options.case)
    findings: Path = options.findings
    findings.mkdir(parents=True, exist_ok=True)
    tallies: list[Tally] = []
    with progress_bar("fuzzing") as bar:
        for name, cases in shares(names, options.cases).items():
            bar(len(tallies) / len(names), name)
            build = DECODERS[name][1]
            tallies.append(watch_decoder(name, build, cases, options.seed, findings))
    print(results(tallies))
    for one in tallies:
        for finding in one.findings:
            print(f"{one.decoder}: {finding}", file=sys.stderr)
    if options.out is not None:
        measured = section(command_line("fuzz", arguments), results(tallies), LIBRARIES)
        write_sections(options.out, "Fuzzing", {"Measured": measured})
    if not any(findings.iterdir()):
        findings.rmdir()
    return int(any(one.findings for one in tallies))


if __name__ == "__main__":
    sys.exit(main())
