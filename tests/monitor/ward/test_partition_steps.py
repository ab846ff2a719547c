"""A partition's steps say what one machine says, however often they are begun again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from model.checkpoint import load_shipped
from monitor.journal.writer import StoredProgress, stored
from monitor.settings import ConsumerSettings, ProducerSettings
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.stages.playback import Pacer, open_sources
from monitor.ward.bundle import decode_samples, encode_samples
from monitor.ward.common_segmenter import CommonSegmenter
from monitor.ward.partition_steps import PartitionSteps
from monitor.ward.stream_reader import Stored
from monitor.ward.ward_journal import PatientRow, WardModels
from monitor.wire.messages import Alert, SamplesMessage, Technical
from segmenter.beat import BeatSpec

SETTINGS = ConsumerSettings(beats="", alerts="", journal="")


class KeptRows:
    """What a ward's stream would keep, in memory."""

    def __init__(self) -> None:
        self.identity = self.origin = "w-000"
        self.newest_seq = 0
        self.rows: dict[str, PatientRow] = {}
        self.alerts: list[Alert | Technical] = []
        self.taken, self.needed = 0, 1

    def holds(self, identity: str, /) -> bool:
        return any(one.id == identity for one in self.alerts)

    def progress(self) -> list[StoredProgress]:
        import msgspec

        return [
            msgspec.msgpack.decode(one.progress, type=StoredProgress) for one in self.rows.values()
        ]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Stored]:
    """A stream of three patients, 4 s a block, 40 ms between two messages."""
    folder = tmp_path_factory.mktemp("records")
    for seed in range(3):
        write_record(folder / f"bed{seed}", SimulationSettings(
            hours=0.1, seed=seed, anomaly_rate=0.1, first_anomaly_s=10.0, lead_off_per_hour=30.0
        ))  # fmt: skip
    records = [str(folder / f"bed{seed}") for seed in range(3)]
    pacer = Pacer(
        open_sources(ProducerSettings(records=records, samples="", speed=20)).playbacks, 20, 0.0
    )
    stream: list[Stored] = []
    now_s = 0.0
    while pacer:
        now_s += 0.04
        due = pacer.take_due(now_s, round(1e9 * now_s))
        if due:
            content = encode_samples(due, {}, ended=False)
            stream.append(Stored("s", content, len(stream) + 1, round(1e9 * now_s), 0))
    return stream


def new_segmenter() -> CommonSegmenter:
    return CommonSegmenter(BeatSpec(), lambda _patient: False, measure_signs=True)


def serve(kept: KeptRows, stream: Sequence[Stored], every: int, until: int) -> None:
    """Judge what is needed up to a message, committing after every so many messages."""
    with ThreadPoolExecutor(1) as executor:
        steps = PartitionSteps(
            load_shipped(), SETTINGS, kept, WardModels("w"), executor, new_segmenter(),
            list(kept.rows.values()), kept.taken, kept.needed,
        )  # fmt: skip
        for place, message in enumerate(stream[kept.needed - 1 : until], 1):
            progress: dict[str, Any] = {}
            for slice_ in steps.sliced([message]):
                result = steps.step(slice_, 0)
                kept.alerts += result.alerts
                kept.newest_seq += len(result.alerts)
                progress |= {one.patient: one for one in result.progress}
                if result.alerts:
                    commit(kept, steps, progress.values())
                    progress = {}
            steps.took(message.number)
            if place % every == 0:
                commit(kept, steps, progress.values())


def commit(kept: KeptRows, steps: PartitionSteps, progress: Iterable[Any]) -> None:
    saved = steps.saved(progress)
    for one in saved:
        row = PatientRow(one.stream, one.taken, stored(one.progress))
        kept.rows[one.progress.patient] = row
    kept.taken = steps.taken
    kept.needed = steps.needed(kept.rows)
    steps.committed(saved)


def said(kept: KeptRows) -> list[tuple[str, str]]:
    return [(one.id, one.state) for one in kept.alerts]


def test_whoever_begins_again_says_the_rest_and_nothing_twice(samples: list[Stored]) -> None:
    """The alerts are those of one run, in order, without a hole in their numbers."""
    whole = KeptRows()
    serve(whole, samples, 1, len(samples))
    broken = KeptRows()
    for until in (*range(7, len(samples), 11), len(samples)):
        serve(broken, samples, 3, until)
    assert len(said(whole)) > 50
    assert said(broken) == said(whole)
    assert [one.seq for one in broken.alerts] == list(range(1, len(broken.alerts) + 1))


def test_little_is_read_again(samples: list[Stored]) -> None:
    """What a restart needs is never far behind what was judged, and at the end it is nothing."""
    kept = KeptRows()
    serve(kept, samples, 1, 40)
    assert 40 - kept.needed < 12
    serve(kept, samples, 1, len(samples))
    assert kept.needed == len(samples) + 1


def test_a_large_message_is_judged_in_parts(samples: list[Stored], tmp_path: Path) -> None:
    """So that what comes of a part fits one batch; nothing is lost between them."""
    write_record(tmp_path / "long", SimulationSettings(hours=0.3, seed=9, anomaly_rate=0.1))
    records = ProducerSettings(records=[str(tmp_path / "long")], samples="", speed=None)
    playbacks = open_sources(records).playbacks
    block = playbacks[0].take(10**9, 0)
    stream = [Stored("s", encode_samples([block], {}, ended=False), 1, 0, 0)]
    kept = KeptRows()
    serve(kept, stream, 1, 1)
    assert kept.alerts


def test_what_is_no_bundle_is_counted_and_dropped() -> None:
    """Whoever may write into the stream."""
    kept = KeptRows()
    with ThreadPoolExecutor(1) as executor:
        steps = PartitionSteps(
            load_shipped(), SETTINGS, kept, WardModels("w"), executor, new_segmenter()
        )
        for slice_ in steps.sliced([Stored("s", b"\xffnonsense", 1, 0, 0)]):
            steps.step(slice_, 0)
        segmenter = steps.status(0.0).stages[0]
        assert segmenter.malformed == 1


def test_one_who_is_quiet_holds_nothing_back_and_one_who_is_behind_everything(
    samples: list[Stored],
) -> None:
    """The stream's time tells them apart: a worker may be minutes behind the clock on the wall."""
    behind = KeptRows()
    serve(behind, samples, 7, 35)  # the stream took them decades ago
    states = min(row.taken for row in behind.rows.values())
    assert behind.needed == states + 1 <= 35
    later = [
        Stored("s", encode_samples([one], {}, ended=False), 100 + n, round(1e9 * (70 + n)), 0)
        for n, one in enumerate(samples_of(samples[35:], "bed1"))
    ]
    held = [*samples[:35], *later]
    quiet = KeptRows()
    with ThreadPoolExecutor(1) as executor:
        steps = PartitionSteps(
            load_shipped(), SETTINGS, quiet, WardModels("w"), executor, new_segmenter()
        )
        for message in held:
            progress: dict[str, Any] = {}
            for slice_ in steps.sliced([message]):
                result = steps.step(slice_, 0)
                quiet.newest_seq += len(result.alerts)
                progress |= {one.patient: one for one in result.progress}
            steps.took(message.number)
            commit(quiet, steps, progress.values())
    assert quiet.needed > 100


def test_who_gives_up_before_all_was_read_again_leaves_it_as_it_was(
    samples: list[Stored],
) -> None:
    """Nothing is passed over by the one after: the alerts are those of one run."""
    whole, broken = KeptRows(), KeptRows()
    serve(whole, samples, 1, len(samples))
    serve(broken, samples, 7, 35)
    needed = broken.needed
    assert needed < 35
    for n_read in (0, 1, 3):
        serve(broken, samples[: needed - 1 + n_read], 1, needed - 1 + n_read)
        with ThreadPoolExecutor(1) as executor:
            again = PartitionSteps(
                load_shipped(), SETTINGS, broken, WardModels("w"), executor, new_segmenter(),
                list(broken.rows.values()), broken.taken, broken.needed,
            )  # fmt: skip
            commit(broken, again, [])
        assert broken.needed <= needed + n_read
    serve(broken, samples, 3, len(samples))
    assert said(broken) == said(whole)


def samples_of(stream: Sequence[Stored], patient: str) -> list[SamplesMessage]:
    """Return the blocks of one patient."""
    messages = [one for stored in stream for one in decode_samples(stored.content).messages()]
    found = [one for one in messages if isinstance(one, SamplesMessage)]
    return [one for one in found if one.header.patient == patient]
