"""Feed every decoder what it must refuse: damaged frames, headers, rules, states and models.

    python -m tools.fuzz                                   # a million cases, each decoder its share
    python -m tools.fuzz --only checkpoints --cases 5000 --seed 7
    python -m tools.fuzz --only checkpoints --case FILE    # one case again
    python -m tools.fuzz --out docs/FUZZ.md                # writes the page

A case is a valid input, damaged by chance: bits, bytes and pieces; or, behind its lengths and
checksums, which are made right again, the values it holds. A decoder may accept a case (what it
then makes is used as the monitor would) or raise the errors it documents. Anything else is a
finding, as is a case that takes more processor time or memory than it may: the case is written to a
file, and the exit code is 1. Each decoder runs in a process of its own, whose address space is
bounded; one that dies tells which case it died of. The same seed makes the same cases.
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

from monitor.cli.progress import progress_bar
from tools import fuzz_decoders, fuzz_states
from tools.fuzz_decoder import Decoder

os.environ.setdefault("OMP_NUM_THREADS", "1")

# Each decoder and its share of the cases, in thousandths: the cheap ones get most.
Build = Callable[[Path], Decoder]  # of a module, so that another process finds it
DECODERS: dict[str, tuple[int, Build]] = {
    "bundles": (180, fuzz_decoders.bundles),
    "world-messages": (130, fuzz_decoders.world_messages),
    "kept-alerts": (80, fuzz_decoders.kept_alerts),
    "requests": (100, fuzz_decoders.requests),
    "replies": (70, fuzz_decoders.replies),
    "lifecycle": (70, fuzz_decoders.lifecycle),
    "stage-settings": (60, fuzz_decoders.stage_settings),
    "rules": (50, fuzz_decoders.rules),
    "wfdb-headers": (90, fuzz_decoders.wfdb_headers),
    "wfdb-records": (20, fuzz_decoders.wfdb_records),
    "keys": (20, fuzz_decoders.keys),
    "ecg5000-txt": (15, fuzz_decoders.ecg5000_txt),
    "ecg5000-arff": (10, fuzz_decoders.ecg5000_arff),
    "ecg5000-ts": (10, fuzz_decoders.ecg5000_ts),
    "segmenter-states": (30, fuzz_states.segmenter_states),
    "judged-beats": (15, fuzz_states.judged_beats),
    "journaled-patients": (15, fuzz_states.journaled_patients),
    "checkpoints": (25, fuzz_states.checkpoints),
    "trainings": (10, fuzz_states.trainings),
}
TELL_EVERY_S = 0.2
MAX_FINDINGS = 20  # of one decoder, each from another place


@dataclass
class Tally:
    """What became of one decoder's cases."""

    decoder: str
    cases: int = 0
    accepted: int = 0
    slowest_ms: float = 0.0  # processor time
    grown_mb: float = 0.0  # of the process, at its most, over what it took for the seeds
    findings: list[str] = field(default_factory=list)

    @property
    def refused(self) -> int:
        """Cases that were refused as they should."""
        return self.cases - self.accepted - len(self.findings)


def try_case(
    decoder: Decoder, case: bytes, tally: Tally, found: Callable[[bytes, str], None]
) -> None:
    """Let a decoder have one case; `found` is told of what it must not do."""
    began_s = time.process_time()
    tally.cases += 1
    try:
        decoder.decode(case)
        tally.accepted += 1
    except decoder.refusals:
        pass
    except Exception as error:
        found(case, _place(error))
    tally.slowest_ms = max(tally.slowest_ms, 1e3 * (time.process_time() - began_s))


def _place(error: Exception) -> str:
    """Return what was raised and where: two cases of one place are one finding."""
    frames = [one for one in traceback.extract_tb(error.__traceback__) if "/tools/" not in one[0]]
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "the fuzzer"
    return f"{type(error).__name__} at {where}: {str(error)[:200]}"


# --- a decoder's process ----------------------------------------------------------------------


def run_decoder(
    name: str, build: Build, cases: int, seed: int, findings: Path, tell: Connection
) -> None:
    """Fuzz one decoder, in a process of its own; tells the tally so far, at last the whole."""
    with tempfile.TemporaryDirectory(prefix="ecg-fuzz-", dir=_memory_disk()) as folder:
        decoder = build(Path(folder))
        warnings.simplefilter("error")  # a warning is a finding too
        tally, warm_up = Tally(name), Tally(name)
        places: set[str] = set()

        def found(case: bytes, place: str) -> None:
            where = place.partition(": ")[0]
            if where in places or len(places) >= MAX_FINDINGS:
                return
            places.add(where)
            path = findings / f"{name}-{len(places)}.case"
            path.write_bytes(case)
            tally.findings.append(f"{place} ({path})")

        for case in decoder.seeds:
            try_case(decoder, case, warm_up, found)
        if warm_up.accepted < len(decoder.seeds):
            tally.findings.append("a seed was refused: it is not valid, or the decoder is wrong")
        before_mb = _peak_mb()
        _bound_memory(decoder.most_mb)
        chance = Random(f"{seed} {name}")
        current, told_s = (findings / f"{name}.current").open("w+b"), time.monotonic()
        for _ in range(cases):
            case = decoder.damage(chance.choice(decoder.seeds), chance)
            _note(current.fileno(), case)
            signal.setitimer(signal.ITIMER_PROF, decoder.most_s)  # ends the process: see below
            try_case(decoder, case, tally, found)
            signal.setitimer(signal.ITIMER_PROF, 0.0)
            if time.monotonic() - told_s > TELL_EVERY_S:
                told_s = time.monotonic()
                tell.send(tally)
        tally.grown_mb = _peak_mb() - before_mb
        current.close()
        (findings / f"{name}.current").unlink()
        tell.send(tally)
        tell.close()


def _note(file: int, case: bytes) -> None:
    """Keep the case at hand where it outlives this process: a hang or a crash will end it."""
    os.pwrite(file, case, 0)
    os.ftruncate(file, len(case))


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


# --- all of them ------------------------------------------------------------------------------


def shares(names: Sequence[str], cases: int) -> dict[str, int]:
    """Divide cases among decoders by their weights, at least one each; no fewer in all."""
    total = sum(DECODERS[name][0] for name in names)
    return {name: max(1, -(-cases * DECODERS[name][0] // total)) for name in names}


def watch_decoder(
    name: str, build: Build, cases: int, seed: int, findings: Path, show: Callable[[int], None]
) -> Tally:
    """Run one decoder's process to its end; one that dies has found something."""
    context = multiprocessing.get_context("forkserver")  # imports once; no threads to copy
    context.set_forkserver_preload([fuzz_states.__name__])
    receive, tell = context.Pipe(duplex=False)
    process = context.Process(target=run_decoder, args=(name, build, cases, seed, findings, tell))
    process.start()
    tell.close()
    tally = Tally(name)
    try:
        while True:
            tally = receive.recv()
            show(tally.cases)
    except EOFError:
        process.join()
    if process.exitcode != 0:
        tally.findings.append(_death(name, process.exitcode or 0, findings))
    return tally


def _death(name: str, code: int, findings: Path) -> str:
    current = findings / f"{name}.current"
    if not current.exists():
        return f"the process could not begin (exit code {code})"
    kept = current.rename(findings / f"{name}-death.case")
    if code == -signal.SIGPROF:
        return f"takes too much processor time ({kept})"
    return f"ended the process, exit code {code} ({kept})"


def table(tallies: Sequence[Tally]) -> str:
    """Return the tallies as a table in Markdown, with their sum."""
    head = "| decoder | cases | accepted | refused | findings | slowest, ms | grown by, MB |"
    rows = [head, "| --- |" + " ---: |" * 6]
    for one in tallies:
        rows.append(
            f"| {one.decoder} | {one.cases:,} | {one.accepted:,} | {one.refused:,} | "
            f"{len(one.findings)} | {one.slowest_ms:.1f} | {one.grown_mb:.1f} |"
        )
    cases, accepted, refused, findings = (
        sum(values)
        for values in zip(
            *((one.cases, one.accepted, one.refused, len(one.findings)) for one in tallies),
            strict=True,
        )
    )
    rows.append(f"| all | {cases:,} | {accepted:,} | {refused:,} | {findings} | | |")
    return "\n".join(rows)


def page(command: str, tallies: Sequence[Tally]) -> str:
    """Return the page for docs/."""
    idea = (__doc__ or "").partition("\n\nA case is")[2].rstrip()
    return (
        f"# Fuzzing\n\nA case is{idea}\n\nMeasured by `{command}`:\n\n{table(tallies)}\n\n"
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
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--cases", type=int, default=1_000_000, help="in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", choices=DECODERS, metavar="DECODER")
    parser.add_argument("--case", type=Path, help="try this one again; needs --only")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"), help="folder")
    parser.add_argument("--out", type=Path, help="write a page in Markdown")
    options = parser.parse_args(given)
    names = options.only or list(DECODERS)
    if options.case is not None:
        if len(names) != 1:
            parser.error("--case needs one --only")
        return again(names[0], options.case)
    options.findings.mkdir(parents=True, exist_ok=True)
    cases_of = shares(names, options.cases)
    tallies: list[Tally] = []
    with progress_bar("fuzzing") as bar:
        for name in names:
            before, whole = sum(one.cases for one in tallies), sum(cases_of.values())

            def show(done: int, name: str = name, before: int = before, whole: int = whole) -> None:
                bar((before + done) / whole, name)

            tallies.append(
                watch_decoder(
                    name, DECODERS[name][1], cases_of[name], options.seed, options.findings, show
                )
            )
    print(table(tallies))
    for one in tallies:
        for finding in one.findings:
            print(f"{one.decoder}: {finding}", file=sys.stderr)
    if options.out is not None:
        options.out.write_text(page(" ".join(["python -m tools.fuzz", *given]), tallies))
    if not any(one.findings for one in tallies):
        if not any(options.findings.iterdir()):
            options.findings.rmdir()
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
