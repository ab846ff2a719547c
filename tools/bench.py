"""Measure everything again: each benchmark in a process of its own, then the page of figures.

    make bench                                # an hour and a half; docs/BENCH.md, pages, plots
    make bench ARGS="--only record archive"   # some of them
    make bench ARGS=--quick                   # minutes: that all of it runs; writes nothing

Let nothing else compute meanwhile. Each benchmark can be run alone, with options of its own:
`python -m tools.bench_ward --help`. What fails is said, and does not end the rest.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.figures import KEPT, page, read
from tools.pages import DOCS
from tools.parts import STOPPED, say

BENCHES = ("program", "record", "archive", "scoring", "learning", "view", "detectors", "ward")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 1 if a benchmark failed, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", nargs="+", choices=BENCHES, default=BENCHES)
    parser.add_argument("--quick", action="store_true", help="small, once; writes nothing")
    parser.add_argument("--out", type=Path, default=DOCS, help="folder of pages and plots")
    options = parser.parse_args(arguments)
    given = [] if options.out == DOCS else ["--out", str(options.out)]
    if options.quick:
        given = ["--quick"]
    failed = []
    for name in options.only:
        say(f"benchmark: {name}")
        command = [sys.executable, "-m", f"tools.bench_{name}", *given]
        try:
            code = subprocess.run(command, check=False).returncode
        except KeyboardInterrupt:  # the benchmark has heard it too
            code = STOPPED
        if code == STOPPED:
            say(f"stopped at: {name}")
            return STOPPED
        if code:
            failed.append(name)
    if not options.quick:
        print(page(read(options.out / KEPT)))
    if failed:
        say(f"failed: {', '.join(failed)}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
