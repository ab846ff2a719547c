"""Partitions that share a segmenter get what each would get of one of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from monitor.settings import ProducerSettings, Resume
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.stages.host import Counters
from monitor.stages.playback import open_sources
from monitor.step_result import StepResult
from monitor.ward.common_segmenter import CommonSegmenter
from monitor.wire.codec import encode_bundle
from monitor.wire.messages import BeatsMessage, SamplesMessage, StageMessage, Stream
from segmenter.beat import BeatSpec

BEDS = ("bed0", "bed1", "bed2")


def new_segmenter() -> CommonSegmenter:
    return CommonSegmenter(BeatSpec(), lambda patient: patient == "bed1", measure_signs=True)


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, SamplesMessage]]:
    """Two seconds a block, of each patient."""
    folder = tmp_path_factory.mktemp("records")
    for seed, bed in enumerate(BEDS):
        write_record(folder / bed, SimulationSettings(hours=0.01, seed=seed))
    records = ProducerSettings(records=[str(folder / bed) for bed in BEDS], samples="")
    playbacks = open_sources(records).playbacks
    taken = [{one.patient: one.take(500, 7) for one in playbacks} for _ in range(15)]
    return [
        {bed: one for bed, one in block.items() if isinstance(one, SamplesMessage)}
        for block in taken
    ]


def of_beats(results: Sequence[StepResult[StageMessage]]) -> list[list[bytes]]:
    """Return what was said, without the states, whose turns depend on who else is there."""
    return [
        encode_bundle([BeatsMessage(one.header, one.beats, b"", 0, one.signs)])
        for result in results
        for one in result.messages
        if isinstance(one, BeatsMessage) and (one.header.n_beats or one.signs is not None)
    ]


def test_sharing_changes_nothing(blocks: list[dict[str, SamplesMessage]]) -> None:
    """Beats, events and signs are those of a segmenter of its own, to the bit."""

    async def together() -> dict[str, list[StepResult[StageMessage]]]:
        shared = new_segmenter()
        found: dict[str, list[StepResult[StageMessage]]] = {bed: [] for bed in BEDS}
        for number, block in enumerate(blocks):
            asked = (shared.gathered([block[bed]], 2.0 * number) for bed in BEDS)
            for bed, result in zip(BEDS, await asyncio.gather(*asked), strict=True):
                found[bed].append(result)
        return found

    shared = asyncio.run(together())
    for bed in BEDS:
        own = new_segmenter()
        alone = [own.step([block[bed]], 2.0 * n) for n, block in enumerate(blocks)]
        assert len(of_beats(alone)) > 10
        assert of_beats(shared[bed]) == of_beats(alone)
    assert any(one.waves for one in shared["bed1"])
    assert not any(one.waves for one in shared["bed0"])


def test_who_is_far_behind_is_told_apart(blocks: list[dict[str, SamplesMessage]]) -> None:
    """A partition that catches up has a clock of its own: its senders do not overlap."""

    async def both() -> int:
        shared, counters = new_segmenter(), Counters("segmenter", 0)
        for number in range(3):
            other = blocks[number]["bed1"]
            header = type(other.header)(
                **{name: getattr(other.header, name) for name in other.header.__struct_fields__}
                | {"sender": 5 + number}
            )
            await asyncio.gather(
                shared.gathered([blocks[number]["bed0"]], 1000.0 + number),
                # Senders take turns, 10 s apart as the stream took their samples.
                shared.gathered([SamplesMessage(header, other.samples)], 10.0 * number),
            )
        shared.count_for(counters)
        return counters.malformed + counters.dropped

    assert asyncio.run(both()) == 0


def test_a_partition_that_is_given_up_leaves_nothing_behind(
    blocks: list[dict[str, SamplesMessage]],
) -> None:
    """Taken over again, its patients go on from the committed state, not from what was known."""
    shared = new_segmenter()
    states: list[tuple[int, bytes]] = []
    for number, block in enumerate(blocks[:8]):
        for one in shared.step([block["bed0"]], 2.0 * number).messages:
            if isinstance(one, BeatsMessage) and one.state:
                states.append((number, one.state))
    shared.forget(["bed0", "unknown"])
    at, state = states[0]
    header = blocks[0]["bed0"].header
    stream = Stream(
        patient="bed0", record=header.record, leads=header.leads, fs_hz=header.fs_hz,
        first_sample=0, n_samples=None,
    )  # fmt: skip
    shared.expect([stream], [Resume("bed0", header.n_samples * (at + 1), state)])
    counters = Counters("segmenter", 0)
    for number, block in enumerate(blocks[at + 1 :], at + 1):
        shared.step([block["bed0"]], 2.0 * number)
    shared.count_for(counters)
    assert counters.gaps == 0
    assert counters.dropped == 0


def test_who_is_told_of_an_error_is_who_waits(blocks: list[dict[str, SamplesMessage]]) -> None:
    """A partition that gave up meanwhile waits no more, and the others get theirs."""

    async def one_is_cancelled() -> StepResult[StageMessage]:
        shared = new_segmenter()
        given_up = asyncio.create_task(shared.gathered([blocks[0]["bed0"]], 0.0))
        other = asyncio.create_task(shared.gathered([blocks[0]["bed1"]], 0.0))
        await asyncio.sleep(0)
        given_up.cancel()
        return await other

    assert asyncio.run(one_is_cancelled()).messages
