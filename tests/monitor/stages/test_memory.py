"""What the stages hold does not grow with the hours: counted, over a ward of half an hour.

The objects that a stage can reach are counted and sized after some minutes and at the end. A byte
kept for each beat, or a list that keeps them, would show: thousands of beats lie between.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import NamedTuple

import pytest

from model.checkpoint import load_shipped
from monitor.detection.engine import Engine
from monitor.detection.model_store import ModelStore
from monitor.journal.buffer import JournalBuffer
from monitor.journal.writer import Journal
from monitor.settings import ConsumerSettings, ProducerSettings, Ward
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.stages.host import Counters
from monitor.stages.playback import Pacer, open_sources
from monitor.stages.segmenter import SampleSegmenter
from monitor.view.snapshot import Snapshot, apply
from monitor.wire.codec import all_encoded
from monitor.wire.messages import BeatsMessage
from segmenter.beat import BeatSpec

PATIENTS = 16
MINUTES = 30
SETTLED_MINUTES = 10  # every row, ring and list is full: waveforms, heart rates, the view's rows
SHARED = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType)  # code, not data
ELSEWHERE = (Executor, Journal)  # the journal is a file; its size is another test's


class Held(NamedTuple):
    """What an object holds."""

    objects: int
    bytes: int


def held_by(root: object) -> Held:
    """Count and size all that an object can reach, itself included."""
    seen = {id(root): root}
    waiting = [root]
    while waiting:
        for one in gc.get_referents(waiting.pop()):
            if id(one) not in seen and not isinstance(one, (*SHARED, *ELSEWHERE)):
                seen[id(one)] = one
                waiting.append(one)
    return Held(len(seen), sum(map(sys.getsizeof, seen.values())))


def test_what_an_object_holds_is_counted() -> None:
    """Nested, once each; a list that keeps what it is given grows with it."""
    keeps: dict[str, list[bytes]] = {"all": []}
    before = held_by(keeps)
    keeps["all"] += [bytes(100) + bytes([number]) for number in range(50)]
    after = held_by(keeps)
    assert after.objects == before.objects + 50
    assert after.bytes > before.bytes + 50 * 100


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[Held]]]:
    """What each part holds once it has settled, and at the end."""
    folder = tmp_path_factory.mktemp("ward")
    records = []
    for seed in range(2):
        write_record(folder / f"sim{seed}", SimulationSettings(hours=0.05, seed=seed))
        records.append(str(folder / f"sim{seed}"))
    ward = Ward(PATIENTS, block_s=(4.0,))
    opened = open_sources(ProducerSettings(records=records, samples="ipc:///x", ward=ward))
    pacer = Pacer(opened.playbacks, 1.0, now_s=0.0)
    segmenter = SampleSegmenter(BeatSpec(), [], [], Counters("segmenter", 0), lambda patient: True)
    settings = ConsumerSettings(beats="ipc:///b", alerts="ipc:///a", journal=str(folder / "j"))
    found: dict[str, list[Held]] = {}
    with Journal(Path(settings.journal)) as journal, ThreadPoolExecutor(1) as learner:
        engine = Engine(
            load_shipped(),
            settings,
            journal,
            ModelStore(folder, journal.identity),
            learner,
            lambda: "2026-01-01T00:00:00Z",
        )
        engine.expect([playback.stream() for playback in opened.playbacks])
        buffer, view = JournalBuffer(journal), Snapshot()
        for now_s in range(4, 60 * MINUTES + 1, 4):
            produced = segmenter.step(pacer.take_due(now_s, None), now_s)
            beats = [one for one in produced.messages if isinstance(one, BeatsMessage)]
            for one in beats:
                engine.admission.check(one)
                engine.admission.hole_before(one)
            result = engine.step(beats, now_s * 1_000_000_000)
            buffer.add(all_encoded(result.alerts), result.progress, result.kept)
            buffer.commit(now_s)
            for message in [*result.messages, *produced.waves]:
                view = apply(view, message)
            if now_s in (60 * SETTLED_MINUTES, 60 * MINUTES):
                parts = {"producer": pacer, "segmenter": segmenter, "engine": engine}
                for name, part in {**parts, "buffer": buffer, "view": view}.items():
                    found.setdefault(name, []).append(held_by(part))
        assert engine.report().ward.beats > PATIENTS * MINUTES * 50  # the ward lived
        yield found


@pytest.mark.parametrize("part", ["producer", "segmenter", "engine", "buffer", "view"])
def test_nothing_is_kept_for_each_beat(sizes: dict[str, list[Held]], part: str) -> None:
    """Twenty more minutes of a ward leave no more objects, and no more bytes."""
    settled, at_end = sizes[part]
    beats = PATIENTS * (MINUTES - SETTLED_MINUTES) * 60  # about
    assert at_end.objects - settled.objects < beats / 50
    assert at_end.bytes - settled.bytes < beats
