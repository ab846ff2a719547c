"""Learning of patients: its processor time, and how soon many of them are ready side by side.

    python -m tools.bench_learning                # sections of docs/learning.md
    python -m tools.bench_learning --only cpu
    python -m tools.bench_learning --quick        # simulated patients, few; writes nothing

`cpu` learns the first five minutes of each record, one at a time, in one thread. `ward` replays all
records in real time with `--learn 1:00` and listens: when each patient is monitored, counted from
when the first minute of the records is over, and how late the verdicts come meanwhile.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from model.checkpoint import load_shipped
from monitor.delivery.subscriber import AlertSubscriber
from monitor.detection.training_task import TrainingTask, learn
from monitor.offline.record_segmenter import segment
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.sources.wfdb_record import WfdbRecord, list_records
from monitor.wire.messages import BeatScored, Message, Status
from segmenter.beat import BeatSpec, joined_beats
from tools.measured import on_one_core
from tools.pages import PROGRAM, spread, table
from tools.parts import DATA, Found, NotMeasured, Plan, measure_parts, option
from tools.replays import private_endpoint

LEARN_S = 300.0
FIRST_S = 60.0  # of the ward
SETTLED_S = 5.0  # of verdicts, behind what waited for the training


@dataclass(frozen=True, kw_only=True)
class Learning(Plan):
    """Who is learnt."""

    records: Path = option(DATA / "mitdb", Path(), "folder of records; . is simulated ones")  # noqa: RUF009
    patients: int = option(22, 3, "the first so many of them")
    seconds: float = option(110.0, 75.0, "of the ward")


def records_of(plan: Learning) -> list[Path]:
    """Return the records to learn; simulated ones where the folder is this one."""
    if plan.records == Path():
        paths = [plan.folder / f"sim{seed}" for seed in range(plan.patients)]
        for seed, path in enumerate(paths):
            if not Path(f"{path}.hea").exists():
                write_record(path, SimulationSettings(hours=0.1, seed=seed))
        return paths
    if not plan.records.is_dir():
        raise NotMeasured(f"{plan.records} is not there")
    return [plan.records / name for name in list_records(plan.records)][: plan.patients]


def learning_cpu_s(path: Path) -> float:
    """Return the processor time of learning a record's first minutes."""
    base = load_shipped()
    spec = BeatSpec.from_mapping(base.spec)
    with WfdbRecord.open(path) as record:
        parts = list(segment(record, spec, round(LEARN_S * record.fs_hz)))
    beats = joined_beats(parts, spec.length)
    fit = beats.judgeable
    task = TrainingTask(beats.values[fit], beats.rr_before_ms[fit], base, 1.0)
    began_s = time.process_time()
    learn(task)
    return time.process_time() - began_s


def cpu_of_all(paths: Sequence[Path]) -> list[float]:
    """Return the times of all, after one that does not count: it imports torch."""
    return [learning_cpu_s(path) for path in [paths[0], *paths]][1:]


def cpu_part(plan: Learning) -> Found:
    """Learn five minutes of each record."""
    found = on_one_core(cpu_of_all, records_of(plan))
    return Found(
        f"The first five minutes of {len(found)} records, one at a time in one thread, CPU time "
        f"of a learning without the import of torch: {spread(found, '.2f')} s.",
        {},
    )


@dataclass
class WardSeen:
    """What a listener saw of patients who are learnt side by side.

    Attributes
    ----------
    ended_s : float or None
        When the first patient's first minute was over, on the listener's clock.
    ready_s : dict of str to float
        When each was first monitored.
    delays_ms : dict of str to list of (float, float)
        When each beat with a verdict was heard, and how long after its last sample was sent.
    """

    ended_s: float | None = None
    ready_s: dict[str, float] = field(default_factory=dict)
    delays_ms: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def hear(self, message: Message, now_s: float, now_ns: int) -> None:
        """Take a message in."""
        match message:
            case Status(patients=patients):
                for one in patients:
                    self.notes[one.patient] = one.note
                    if one.position >= FIRST_S * one.fs_hz and self.ended_s is None:
                        self.ended_s = now_s
                    if one.state == "monitoring":
                        self.ready_s.setdefault(one.patient, now_s)
            case BeatScored(loss=loss) if loss is not None:
                delay_ms = (now_ns - message.sent_ns) / 1e6
                self.delays_ms.setdefault(message.patient, []).append((now_s, delay_ms))

    def waits_s(self) -> Mapping[str, float]:
        """Return how long after the first minute each patient who is ready was so."""
        ended_s = self.ended_s or 0.0
        return {name: max(0.0, at_s - ended_s) for name, at_s in self.ready_s.items()}

    def delays_meanwhile_ms(self) -> list[float]:
        """Return the delays of verdicts of who was ready, until the last one was."""
        last_s = max(self.ready_s.values(), default=0.0)
        return [
            delay_ms
            for name, beats in self.delays_ms.items()
            for at_s, delay_ms in beats
            if self.ready_s.get(name, last_s) + SETTLED_S < at_s < last_s
        ]


def ward_part(plan: Learning) -> Found:
    """Replay all records in real time; listen."""
    paths = records_of(plan)
    endpoint = private_endpoint(plan.folder)
    options = ["--learn", f"{FIRST_S:g}", "--speed", "1", "--duration", f"{plan.seconds:g}"]
    command = [*PROGRAM, "replay", *map(str, paths), *options, "--json", "--no-live"]
    seen = WardSeen()
    with (
        subprocess.Popen([*command, "--alerts", endpoint], stdout=subprocess.DEVNULL) as process,
        AlertSubscriber(endpoint, ("status", "beat")) as subscriber,
    ):
        try:
            while process.poll() is None:
                message = subscriber.receive(0.5)
                if message is not None:
                    seen.hear(message, time.monotonic(), time.monotonic_ns())
        finally:
            process.terminate()
    waits_s, delays_ms = seen.waits_s(), seen.delays_meanwhile_ms()
    if not waits_s:
        raise NotMeasured("nobody was ready in time")
    rows = [
        [name, f"{waits_s[name]:.1f}" if name in waits_s else "-", note]
        for name, note in sorted(seen.notes.items())
    ]
    late = f"{np.percentile(delays_ms, 99):.0f} ms" if delays_ms else "none there were"
    return Found(
        f"{len(paths)} patients in real time, `--learn 1:00`: {len(waits_s)} ready, "
        f"{spread(list(waits_s.values()), '.1f')} s after the minute was over. 99th percentile of "
        f"the delay of verdicts on who was ready, while others were learnt: {late} "
        f"({len(delays_ms)} beats).\n\n{table(['record', 'ready after, s', 'what is said'], rows)}",
        {},
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    page, parts = ("learning.md", "Learning of patients"), {"cpu": cpu_part, "ward": ward_part}
    return measure_parts("bench_learning", __doc__, page, parts, Learning, arguments)


if __name__ == "__main__":
    sys.exit(main())
