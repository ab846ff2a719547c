"""Processor time of the named alarms: what half a second of one patient costs.

python -m tools.moment_cost [--leads 2]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from monitor.detection.rhythm.moments import hops
from monitor.detection.rhythm.patient_alarms import AlarmsState, take
from monitor.settings import AlarmRules
from tests.monitor.hearts import FS_HZ, HOP, Heart

MOMENTS = 1000
REPEATS = 7  # the fastest counts: others had the caches


def fastest_us(work: Callable[[], object], moments: int) -> float:
    """Return the processor time of a moment, in microseconds."""
    took_ns = []
    for _ in range(REPEATS):
        began_ns = time.process_time_ns()
        work()
        took_ns.append(time.process_time_ns() - began_ns)
    return min(took_ns) / moments / 1000


def main() -> None:
    """Print what a moment costs: to be read from arrays, and to be decided."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--leads", type=int, default=2)
    leads = parser.parse_args().leads
    heart = Heart([0.8] * round(MOMENTS / 1.6), MOMENTS / 2, leads=leads)
    messages = [heart.signs(k * HOP, (k + 1) * HOP) for k in range(200)]
    moments, rules = list(hops(heart.signs())), AlarmRules()

    def read() -> None:
        for signs in messages:
            list(hops(signs))

    def decide() -> None:
        state = AlarmsState()
        for one in moments:
            state, _ = take(state, one, FS_HZ, rules)

    print(f"a moment of {leads} leads, 75 beats a minute, a message each")
    print(f"read from arrays: {fastest_us(read, len(messages)):.1f} us")
    print(f"decided: {fastest_us(decide, len(moments)):.1f} us")


if __name__ == "__main__":
    main()
