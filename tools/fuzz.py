"""Feed every decoder what it must refuse: damaged frames, headers, rules, states and models.

    python -m tools.fuzz                                   # a million cases, each decoder its share
    python -m tools.fuzz --only checkpoints --cases 5000 --seed 7
    python -m tools.fuzz --only checkpoints --case FILE    # one case again
    python -m tools.fuzz --out docs/FUZZ.md                # writes the page

A case is a valid input, damaged as Hypothesis draws it: bytes and pieces; or, behind its lengths
and checksums, which are made right again, the values it holds. A decoder may accept a case (what it
then makes is used as the monitor would) or raise the errors it documents. Anything else is a
finding, as is a case that takes more processor time or memory than it may: the case, made as small
as Hypothesis can, is written to a file, and the exit code is 1. Each decoder runs in a process of
its own, whose address space is bounded; one that dies tells which case it died of. The same seed
makes the same cases.
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
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from monitor.cli.progress import progress_bar
from tools.fuzz_decoders import DECODERS, Build, Decoder
from tools.pages import command_line, table

os.environ.setdefault("OMP_NUM_THREADS", "1")

BATCH = 2000  # cases drawn at once: Hypothesis remembers those it has drawn
MAX_FINDINGS = 20  # of one decoder, each from another place


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
    """Draw cases and let a decoder have them; findings are written to a folder.

    Parameters
    ----------
    chance : str
        The same makes the same cases.
    most_s : float
        Processor time of a case after which this process is ended; 0: no limit.
    """
    known: set[str] = set()
    current, smallest = (findings / f"{tally.decoder}.{of}" for of in ("current", "smallest"))

    def try_case(case: bytes) -> None:
        current.write_bytes(case)  # outlives this process: a hang or a crash will end it
        began_s = time.process_time()
        tally.cases += 1
        try:
            with warnings.catch_warnings(action="error"):  # a warning is a finding too
                signal.setitimer(signal.ITIMER_PROF, most_s)
                decoder.decode(case)
            tally.accepted += 1
        except decoder.refusals:
            tally.refused += 1
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0.0)
            tally.slowest_ms = max(tally.slowest_ms, 1e3 * (time.process_time() - began_s))

    def check(case: bytes) -> None:
        try:
            try_case(case)
        except Exception as error:
            place = _place(error)
            if place.partition(": ")[0] not in known:
                smallest.write_bytes(case)
                raise

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
            known.add(_place(error).partition(": ")[0])
            path = findings / f"{tally.decoder}-{len(known)}.case"
            smallest.rename(path)
            tally.findings.append(f"{_place(error)} ({path})")
            if len(known) == MAX_FINDINGS:
                break
    current.unlink(missing_ok=True)


def _place(error: Exception) -> str:
    """Return what was raised and where: two cases of one place are one finding."""
    frames = [
        one
        for one in traceback.extract_tb(error.__traceback__)
        if "/tools/" not in one[0] and "/hypothesis/" not in one[0]
    ]
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "the fuzzer"
    return f"{type(error).__name__} at {where}: {str(error)[:200]}"


# --- a decoder's process ----------------------------------------------------------------------


def run_decoder(
    name: str, build: Build, cases: int, chance: int, findings: Path, tell: Connection
) -> None:
    """Fuzz one decoder, in a process of its own; tells the tally."""
    with tempfile.TemporaryDirectory(prefix="ecg-fuzz-", dir=_memory_disk()) as folder:
        decoder, tally = build(Path(folder)), Tally(name)
        for case in decoder.seeds:
            decoder.decode(case)
        before_mb = _peak_mb()
        _bound_memory(decoder.most_mb)
        fuzz_decoder(decoder, cases, str(chance), tally, findings, decoder.most_s)
        tally.grown_mb = _peak_mb() - before_mb
    tell.send(tally)


def _memory_disk() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def _bound_memory(most_mb: int) -> None:
    """Let this process take so much more address space; beyond it comes MemoryError."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        now = int(statm.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + (most_mb << 20),) * 2)


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
    if process.exitcode:
        tally.findings.append(_death(name, process.exitcode, findings))
    return tally


def _death(name: str, code: int, findings: Path) -> str:
    current = findings / f"{name}.current"
    if not current.exists():
        return f"the process could not begin: a seed was refused? (exit code {code})"
    kept = current.rename(findings / f"{name}-death.case")
    if code == -signal.SIGPROF:
        return f"takes too much processor time ({kept})"
    return f"ended the process, exit code {code} ({kept})"


# --- all of them ------------------------------------------------------------------------------


def shares(names: Sequence[str], cases: int) -> dict[str, int]:
    """Divide cases among decoders by their weights, at least one each; no fewer in all."""
    total = sum(DECODERS[name][0] for name in names)
    return {name: max(1, -(-cases * DECODERS[name][0] // total)) for name in names}


def results(tallies: Sequence[Tally]) -> str:
    """Return the tallies as a table in Markdown, with their sum."""
    rows = [
        [
            one.decoder,
            *(f"{n:,}" for n in (one.cases, one.accepted, one.refused, len(one.findings))),
            f"{one.slowest_ms:.1f}",
            f"{one.grown_mb:.1f}",
        ]
        for one in tallies
    ]
    sums = [sum(int(row[at].replace(",", "")) for row in rows) for at in range(1, 5)]
    rows.append(["all", *(f"{n:,}" for n in sums), "", ""])
    headings = ["decoder", "cases", "accepted", "refused", "findings", "slowest, ms"]
    return table([*headings, "grown by, MB"], rows)


def page(command: str, tallies: Sequence[Tally]) -> str:
    """Return the page for docs/."""
    idea = (__doc__ or "").partition("\n\nA case is")[2].rstrip()
    return (
        f"# Fuzzing\n\nA case is{idea}\n\nMeasured by `{command}`:\n\n{results(tallies)}\n\n"
        "Slowest is the processor time of one case; grown by is the peak of the process's memory\n"
        "over what it took to load and to decode the seeds. Cases of defects found so are kept\n"
        "in `tests/corpus/`, and the tests replay them.\n"
    )


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
    parser.add_argument("--out", type=Path, help="write a page in Markdown")
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
        options.out.write_text(page(command_line("fuzz", arguments), tallies))
    if not any(findings.iterdir()):
        findings.rmdir()
    return int(any(one.findings for one in tallies))


if __name__ == "__main__":
    sys.exit(main())
