"""The segmenter's stage: holes are gaps, overlaps are dropped, restarts change nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.settings import Resume
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.sources.wfdb_record import WfdbRecord
from monitor.stages.host import Counters
from monitor.stages.segmenter import MAX_PATIENTS, SampleSegmenter
from monitor.step_result import StepResult
from monitor.wire.codec import decode_bundle, encode_bundle
from monitor.wire.messages import (
    BeatsHeader,
    BeatsMessage,
    EndHeader,
    HealthHeader,
    RecordEvent,
    SamplesHeader,
    SamplesMessage,
    ShedHeader,
    StageHealth,
    StageMessage,
    Stream,
)
from segmenter.beat import BeatSpec
from segmenter.errors import InvalidState
from segmenter.signs import Signs, joined_signs

FS_HZ = 250.0
STREAM = Stream("p", "r", ["I"], FS_HZ, 0, None)


@pytest.fixture(scope="module")
def ecg(tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.float32]:
    """Return 30 s of a simulated ECG, in mV, of its first lead: shape (n,)."""
    path = tmp_path_factory.mktemp("records") / "sim"
    write_record(path, SimulationSettings(hours=30 / 3600, seed=1))
    first: NDArray[np.float32] = WfdbRecord.open(path, 0).read(0, 7500)[0]
    return first


@pytest.fixture(scope="module")
def two_leads(tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.float32]:
    """Return the same of both leads: shape (2, n)."""
    path = tmp_path_factory.mktemp("records") / "sim"
    write_record(path, SimulationSettings(hours=30 / 3600, seed=1))
    return WfdbRecord.open(path).read(0, 7500)


def message(samples: NDArray[np.float32], position: int, **changes: Any) -> SamplesMessage:
    block = np.atleast_2d(samples)
    values: dict[str, Any] = {
        "version": 5,
        "patient": "p",
        "record": "r",
        "sequence": 0,
        "sent_ns": 11,
        "position": position,
        "leads": ["I", "II"][: len(block)],
        "fs_hz": FS_HZ,
        "n_samples": block.shape[1],
        "sender": 7,
    }
    return SamplesMessage(SamplesHeader(**{**values, **changes}), block)


def end(position: int) -> EndHeader:
    return EndHeader(5, "p", "r", 99, 12, position, "complete", last=True)


def new_stage(resume: list[Resume] | None = None) -> tuple[SampleSegmenter, Counters]:
    counters = Counters("segmenter", 0)
    stage = SampleSegmenter(BeatSpec(), [STREAM], resume or [], counters, lambda patient: True)
    return stage, counters


def beats_of(produced: list[StepResult[StageMessage]]) -> list[BeatsMessage]:
    messages = [message for one in produced for message in one.messages]
    return [one for one in messages if isinstance(one, BeatsMessage)]


def r_samples(produced: list[StepResult[StageMessage]]) -> list[int]:
    return [int(r) for one in beats_of(produced) for r in one.beats.r_sample]


def test_blocks_of_any_size_give_the_same_beats(ecg: NDArray[np.float32]) -> None:
    """The stage adds nothing of its own to the segmenter's law."""
    results = []
    for block in (50, 333, len(ecg)):
        stage, _ = new_stage()
        produced = [
            stage.step([message(ecg[i : i + block], i)], 0.0) for i in range(0, len(ecg), block)
        ]
        produced.append(stage.step([end(len(ecg))], 0.0))
        results.append(r_samples(produced))
    assert len(results[0]) > 25
    assert results[0] == results[1] == results[2]


def test_positions_count_from_the_record_start(ecg: NDArray[np.float32]) -> None:
    """A stream that begins in the middle of a record gives positions of the record."""
    stage, _ = new_stage()
    here = r_samples([stage.step([message(ecg, 0)], 0.0)])
    stage, _ = new_stage()
    there = r_samples([stage.step([message(ecg, 100_000)], 0.0)])
    assert there == [r + 100_000 for r in here]


def test_a_hole_is_a_gap_and_counted(ecg: NDArray[np.float32]) -> None:
    """Lost samples are missing, not skipped: later beats stay where they are in the record."""
    whole, _ = new_stage()
    expected = r_samples([whole.step([message(ecg, 0)], 0.0)])
    stage, counters = new_stage()
    lost = slice(2500, 4000)
    produced = [
        stage.step([message(ecg[: lost.start], 0)], 0.0),
        stage.step([message(ecg[lost.stop :], lost.stop)], 0.0),
    ]
    found = set(r_samples(produced))
    assert (counters.gaps, counters.dropped) == (1, 1500)
    later = {r for r in expected if r > lost.stop + 3 * FS_HZ}
    assert later <= found
    events = [event.event for one in beats_of(produced) for event in one.header.events]
    assert "signal_lost" in events


def test_a_hole_that_a_source_announced_is_no_event(ecg: NDArray[np.float32]) -> None:
    """Of who is shed one alert speaks of all; the announcement is passed on, the hole counted."""
    stage, counters = new_stage()
    shed = ShedHeader(5, "p", "r", 1, 11, 2500, ["I"], FS_HZ)
    produced = [
        stage.step([message(ecg[:2500], 0)], 0.0),
        stage.step([shed], 1.0),
        stage.step([shed], 11.0),  # it is repeated
        stage.step([message(ecg[4000:5000], 4000)], 20.0),
    ]
    assert [one.messages for one in produced[1:3]] == [[shed], [shed]]
    assert (counters.gaps, counters.dropped) == (1, 1500)
    onsets = [
        event.event
        for one in beats_of(produced)
        for event in one.header.events
        if event.state == "onset"
    ]
    assert onsets == []
    assert beats_of(produced[3:])[0].header.position == 4000  # said at once, behind the hole
    again = stage.step([message(ecg[6500:], 6500)], 26.0)
    assert "signal_lost" in [e.event for one in headers(again) for e in one.events]
    stranger = ShedHeader(5, "q", "r", 1, 11, 2500, ["I"], FS_HZ)
    assert stage.step([stranger], 27.0).messages == [stranger]
    assert counters.malformed == 0


def test_samples_sent_twice_are_dropped(ecg: NDArray[np.float32]) -> None:
    """Overlapping and doubled blocks change nothing but the counters."""
    whole, _ = new_stage()
    expected = r_samples([whole.step([message(ecg, 0)], 0.0)])
    stage, counters = new_stage()
    produced = [
        stage.step([message(ecg[:3000], 0)], 0.0),
        stage.step([message(ecg[2000:3000], 2000)], 0.0),  # wholly received before
        stage.step([message(ecg[2500:], 2500)], 0.0),  # half of it
    ]
    assert r_samples(produced) == expected
    assert (counters.gaps, counters.dropped) == (2, 1500)


def test_a_stream_goes_on_after_a_restart(ecg: NDArray[np.float32]) -> None:
    """From the state that went with a message, another process cuts the same beats."""
    whole, _ = new_stage()
    expected = r_samples([whole.step([message(ecg, 700)], 0.0), whole.step([end(0)], 0.0)])
    first, _ = new_stage()
    before = [first.step([message(ecg[:3210], 700)], 0.0)]
    state = beats_of(before)[-1].state
    second, _ = new_stage([Resume("p", 3910, state)])
    after = [second.step([message(ecg[3210:], 3910)], 0.0), second.step([end(0)], 0.0)]
    assert r_samples(before) + r_samples(after) == expected


def test_a_restart_at_the_very_end_still_gives_the_last_beats(ecg: NDArray[np.float32]) -> None:
    """When only the end is left to send, what the state holds is flushed."""
    whole, _ = new_stage()
    expected = r_samples([whole.step([message(ecg, 0)], 0.0), whole.step([end(len(ecg))], 0.0)])
    first, _ = new_stage()
    before = [first.step([message(ecg, 0)], 0.0)]
    second, _ = new_stage([Resume("p", len(ecg), beats_of(before)[-1].state)])
    after = [second.step([end(len(ecg))], 0.0)]
    assert r_samples(before) + r_samples(after) == expected


def test_a_damaged_state_is_refused(ecg: NDArray[np.float32]) -> None:
    """However short it is: the journal may be damaged anywhere."""
    stage, _ = new_stage()
    state = beats_of([stage.step([message(ecg, 0)], 0.0)])[-1].state
    for broken in (b"", b"1234567", state[:8], state[:-1], bytes([255]) * len(state)):
        with pytest.raises(InvalidState):
            new_stage([Resume("p", len(ecg), broken)])


@pytest.mark.parametrize(
    "stream",
    [
        msgspec.structs.replace(STREAM, leads=["I", "II"]),
        msgspec.structs.replace(STREAM, fs_hz=360.0),
    ],
)
def test_a_state_of_other_leads_is_left_for_the_consumer_to_refuse(
    ecg: NDArray[np.float32], stream: Stream
) -> None:
    """It knows how the run differs; which of the two is refused first is chance."""
    stage, _ = new_stage()
    state = beats_of([stage.step([message(ecg, 0)], 0.0)])[-1].state
    resume, counters = [Resume("p", len(ecg), state)], Counters("segmenter", 0)
    SampleSegmenter(BeatSpec(), [stream], resume, counters)
    SampleSegmenter(BeatSpec(window="rr"), [STREAM], resume, counters)


def headers(result: StepResult[StageMessage]) -> list[BeatsHeader]:
    return [one.header for one in beats_of([result])]


@pytest.mark.parametrize(
    ("position", "changes"),
    [
        (0, {}),  # the sender was started again
        (1000, {}),  # its counter went back
        (3000 + 3601 * 250, {}),  # it skipped more than an hour
        (3000, {"fs_hz": 360.0}),
        (3000, {"leads": ["V1"]}),
    ],
)
def test_another_stretch_of_samples_is_cut_from_its_own_beginning(
    ecg: NDArray[np.float32], position: int, changes: dict[str, Any]
) -> None:
    """Nothing of it is dropped, and its headers say that it is another, and where it began."""
    stage, counters = new_stage()
    (first, *_) = headers(stage.step([message(ecg[:3000], 0)], 0.0))
    again = message(ecg[3000:], position, sent_ns=12, sequence=5, **changes)
    result = stage.step([again], 0.2)
    *closing, last = headers(result)
    assert {one.stretch for one in closing} <= {first.stretch}
    assert last.stretch != first.stretch
    assert (last.first_sample, last.position) == (position, position + len(ecg) - 3000)
    assert [one.sequence for one in (first, *closing, last)] == [0, *range(1, len(closing) + 2)]
    alone, _ = new_stage()
    expected = r_samples([alone.step([again], 0.2)])
    assert [r for r in r_samples([result]) if r >= position][-len(expected) :] == expected
    assert (counters.malformed, counters.dropped, counters.gaps) == (0, 0, 1)


def test_a_gap_of_minutes_is_no_other_stretch(ecg: NDArray[np.float32]) -> None:
    """A gateway that was out of reach and counts on says itself where its samples lie."""
    stage, _ = new_stage()
    first = headers(stage.step([message(ecg[:3000], 0)], 0.0))
    after = headers(stage.step([message(ecg[3000:], 3000 + 600 * 250)], 0.2))
    assert {one.stretch for one in first} == {one.stretch for one in after}
    assert after[-1].position == 3000 + 600 * 250 + len(ecg) - 3000


def test_two_senders_of_one_patient_are_reported(ecg: NDArray[np.float32]) -> None:
    """The first is believed while it lives, the second refused; that is an event of the patient."""
    stage, counters = new_stage()
    stage.step([message(ecg[:250], 0)], 0.0)
    stage.step([message(ecg[:250], 10**12, sender=8)], 0.1)
    assert (counters.malformed, counters.dropped) == (1, 250)
    said = headers(stage.step([message(ecg[250:500], 250)], 1.1))
    assert said[-1].position == 500
    assert [one for header in said for one in header.events] == [
        RecordEvent("two_senders", "onset", 250)
    ]
    said = headers(stage.step([message(ecg[500:750], 500)], 12.0))
    assert [one.state for header in said for one in header.events] == ["cleared"]


def test_another_sender_takes_over_when_the_first_is_gone(ecg: NDArray[np.float32]) -> None:
    """It need not wait for long, and nobody else's samples are refused."""
    stage, counters = new_stage()
    stage.step([message(ecg[:3000], 0)], 0.0)
    (taken,) = headers(stage.step([message(ecg[3000:], 3000, sender=8)], 3.1))
    assert (taken.position, counters.malformed) == (len(ecg), 0)


def test_a_rate_that_cannot_be_segmented_is_refused(ecg: NDArray[np.float32]) -> None:
    """A stranger's message with an absurd rate does not end the stage."""
    stage, counters = new_stage()
    assert stage.step([message(ecg, 0, fs_hz=10.0)], 0.0).messages == []
    assert counters.malformed == 1


def test_beats_are_refused_here() -> None:
    """The segmenter takes samples."""
    stage, counters = new_stage()
    health = HealthHeader(5, StageHealth("producer", 0, 1, 0, 0, 0, 0))
    assert len(stage.step([health], 0.0).messages) == 1  # passed on
    produced = stage.step([message(np.zeros(300, np.float32), 0)], 0.0)
    (beats,) = beats_of([produced])
    assert stage.step([beats], 0.0).messages == []
    assert (counters.gaps, counters.malformed) == (0, 1)


def test_patients_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """More names than a ward has patients are an attack on memory."""
    assert MAX_PATIENTS <= 100_000
    monkeypatch.setattr("monitor.stages.segmenter.MAX_PATIENTS", 3)
    stage, counters = new_stage()
    samples = np.zeros(10, np.float32)
    for number in range(3):
        stage.step([message(samples, 0, patient=f"p{number}")], 0.0)
    assert counters.malformed == 0
    assert stage.step([message(samples, 0, patient="p3")], 0.0).messages == []
    assert counters.malformed == 1
    assert counters.health().refused_patients == 1  # of which the consumer makes an alert


def test_waves_are_thinned_on_a_fixed_grid(ecg: NDArray[np.float32]) -> None:
    """Stretches of the waveform join, whatever the blocks; a gap is null."""
    stage, _ = new_stage()
    broken = ecg.copy()
    broken[600:700] = np.nan
    shown: dict[int, float | None] = {}
    for number, start in enumerate(range(0, 3000, 101)):
        produced = stage.step([message(broken[start : start + 101], start)], now_s=float(number))
        for wave in produced.waves:
            step = round(FS_HZ / wave.fs_hz)
            shown.update({wave.sample + i * step: v for i, v in enumerate(wave.values)})
    assert sorted(shown) == list(range(0, 3030, 2))
    assert shown[650] is None
    assert shown[1000] == pytest.approx(float(ecg[1000]), abs=1e-3)


def test_waves_do_not_flood(ecg: NDArray[np.float32]) -> None:
    """Faster than ten times a second, no view needs them."""
    stage, _ = new_stage()
    waves = [
        wave
        for start in range(0, 7500, 25)
        for wave in stage.step([message(ecg[start : start + 25], start)], now_s=0.0).waves
    ]
    assert len(waves) == 1


def test_waves_join_where_two_blocks_come_at_once(ecg: NDArray[np.float32]) -> None:
    """The second, for which it is too early, goes with the next; its R peaks, too."""
    stage, _ = new_stage()
    shown: set[int] = set()
    peaks: list[int] = []
    for number, start in enumerate(range(0, 5000, 50)):
        now_s = 0.4 * (number // 2)
        for wave in stage.step([message(ecg[start : start + 50], start)], now_s).waves:
            shown |= {wave.sample + 2 * i for i in range(len(wave.values))}
            peaks += wave.r_samples
    assert shown == set(range(0, 4950, 2))
    each, _ = new_stage()
    wanted: list[int] = []
    for number, start in enumerate(range(0, 5000, 50)):
        now_s = 0.2 * number
        for wave in each.step([message(ecg[start : start + 50], start)], now_s).waves:
            wanted += wave.r_samples
    assert peaks == [r for r in wanted if r <= peaks[-1]]
    assert len(peaks) > 10


def moved(ecg: NDArray[np.float32], bed: int) -> NDArray[np.float32]:
    """Return a signal of a patient's own, some with a gap."""
    signal = np.roll(ecg, 731 * bed).copy()
    if bed % 3 == 0:
        signal[2000 : 2000 + 400 * bed] = np.nan
    return signal


def told(stage: SampleSegmenter, steps: list[list[StageMessage]]) -> dict[str, list[bytes]]:
    """Return the bytes of each patient's beats and events, message after message joined."""
    said: dict[str, list[bytes]] = {}
    for number, messages in enumerate(steps):
        for one in beats_of([stage.step(messages, float(number))]):
            rows = said.setdefault(one.header.patient, [])
            rows += [repr(event).encode() for event in one.header.events]
            columns = (one.beats.r_sample, one.beats.rr_before_ms, one.beats.quality)
            for row, values in enumerate(one.beats.values):
                rows.append(b"".join(column[row].tobytes() for column in columns))
                rows.append(values.tobytes())
    return said


def test_many_patients_at_once_are_as_each_alone(ecg: NDArray[np.float32]) -> None:
    """Interleaved, of several lengths and rates, with holes: each says, to the bit, the same."""
    rng = np.random.default_rng(3)
    rates = {f"p{bed}": 360.0 if bed % 4 == 0 else FS_HZ for bed in range(9)}
    streams: dict[str, list[StageMessage]] = {}
    for bed, (patient, fs_hz) in enumerate(rates.items()):
        signal, position, n = moved(ecg, bed), 0, (50, 250, 333)[bed % 3]
        blocks: list[StageMessage] = []
        while position < len(signal):
            if rng.random() > 0.03:  # the others are lost
                block = signal[position : position + n]
                blocks.append(message(block, position, patient=patient, fs_hz=fs_hz))
            position += n
        streams[patient] = [*blocks, msgspec.structs.replace(end(len(signal)), patient=patient)]
    alone = {
        patient: told(SampleSegmenter(BeatSpec(), [], [], Counters("segmenter", 0)), [blocks])
        for patient, blocks in streams.items()
    }
    waiting = {patient: list(blocks) for patient, blocks in streams.items()}
    steps: list[list[StageMessage]] = []
    while waiting:
        step = []
        for patient in list(waiting):
            taken = int(rng.integers(0, 4))
            step += waiting[patient][:taken]
            waiting[patient] = waiting[patient][taken:]
            if not waiting[patient]:
                del waiting[patient]
        steps.append(step)
    counters = Counters("segmenter", 0)
    together = told(SampleSegmenter(BeatSpec(), [], [], counters), steps)
    assert counters.gaps > 5
    assert all(len(rows) > 20 for rows in together.values())
    assert together == {patient: rows for one in alone.values() for patient, rows in one.items()}


def test_states_go_along_in_turn(ecg: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch) -> None:
    """The first with a patient's first message, then so many a second, everybody's in turn."""
    monkeypatch.setattr("monitor.stages.segmenter.STATES_PER_S", 4.0)
    counters = Counters("segmenter", 0)
    stage, beds, states = SampleSegmenter(BeatSpec(), [], [], counters), 20, list[str]()
    for tenth in range(30 * 10):  # every patient sends a block every second
        bed = tenth % 10
        start = 250 * (tenth // 10)
        produced = stage.step(
            [
                message(ecg[start : start + 250], start, patient=f"p{number}")
                for number in (bed, bed + 10)
            ],
            tenth / 10,
        )
        states += [one.header.patient for one in beats_of([produced]) if one.state]
    assert set(states[:beds]) == {f"p{number}" for number in range(beds)}
    later = states[beds:]
    assert set(later) == set(states)
    assert 4.0 * 30 - beds <= len(later) <= 4.0 * 30 + beds


def test_leads_go_together(two_leads: NDArray[np.float32]) -> None:
    """Beats have a window of each lead, and one R peak; any blocks give the same to the bit."""
    results = []
    for block in (250, 777, 7500):
        stage, _ = new_stage()
        blocks = [two_leads[:, i : i + block] for i in range(0, 7500, block)]
        said = [stage.step([message(one, i * block)], 0.0) for i, one in enumerate(blocks)]
        results.append([one for one in beats_of(said) if one.header.n_beats])
    assert all(one.header.leads == ["I", "II"] for one in results[0])
    first, *others = (np.concatenate([one.beats.values for one in found]) for found in results)
    assert first.shape[1:] == (2, BeatSpec().length)
    assert len(first) > 25
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_a_lead_that_cannot_be_read_is_an_event_of_that_lead(
    two_leads: NDArray[np.float32],
) -> None:
    """It names the lead; beats of the other go on."""
    signal = two_leads.copy()
    signal[1, 500:4000] = 0.0
    stage, _ = new_stage()
    said = [stage.step([message(signal[:, i : i + 250], i)], 0.0) for i in range(0, 7500, 250)]
    events = [event for one in beats_of(said) for event in one.header.events]
    assert [(one.event, one.state, one.leads) for one in events] == [
        ("lead_left_out", "onset", ["II"]),
        ("lead_left_out", "cleared", ["II"]),
    ]
    during = [r for r in r_samples(said) if 1000 < r < 4000]
    assert len(during) > 10


def test_other_leads_are_another_stretch(two_leads: NDArray[np.float32]) -> None:
    """A device that is given a second electrode, or another one, begins anew."""
    stage, counters = new_stage()
    stage.step([message(two_leads[:1, :3000], 0)], 0.0)
    *_, both = headers(stage.step([message(two_leads[:, 3000:5000], 3000)], 0.2))
    again = message(two_leads[:, 5000:], 5000, leads=["I", "V1"])
    *_, other = headers(stage.step([again], 0.4))
    assert (both.leads, both.first_sample) == (["I", "II"], 3000)
    assert (other.leads, other.first_sample) == (["I", "V1"], 5000)
    assert (counters.malformed, counters.gaps) == (0, 2)


def test_leads_go_on_after_a_restart(two_leads: NDArray[np.float32]) -> None:
    """From the state that went with a message, both leads are cut as they would have been."""
    whole, _ = new_stage()
    expected = r_samples([whole.step([message(two_leads, 0)], 0.0)])
    first, _ = new_stage()
    before = [first.step([message(two_leads[:, :3210], 0)], 0.0)]
    stream = msgspec.structs.replace(STREAM, leads=["I", "II"])
    resume = [Resume("p", 3210, beats_of(before)[-1].state)]
    second = SampleSegmenter(BeatSpec(), [stream], resume, Counters("segmenter", 0))
    after = [second.step([message(two_leads[:, 3210:], 3210)], 0.0)]
    assert r_samples(before) + r_samples(after) == expected


def test_a_waveform_has_all_leads(two_leads: NDArray[np.float32]) -> None:
    """The first in `values`, the others by name."""
    stage, _ = new_stage()
    (shown,) = stage.step([message(two_leads[:, :500], 0)], 0.0).waves
    assert shown.lead == "I"
    (other,) = shown.others
    assert (other.lead, len(other.values)) == ("II", len(shown.values))
    assert other.values[50] == pytest.approx(float(two_leads[1, 100]), abs=1e-3)


def test_a_message_that_says_nothing_is_not_sent() -> None:
    """A flat line is told of once a second; what has no beats need not be sent more often."""
    stage = SampleSegmenter(BeatSpec(), [], [], Counters("segmenter", 0), measure_signs=False)
    flat = np.zeros(10, np.float32)
    sent = [
        stage.step([message(flat, 10 * number)], number * 0.04).messages for number in range(100)
    ]
    assert 4 <= sum(map(len, sent)) <= 8


def signs_of(produced: list[StepResult[StageMessage]]) -> list[Signs]:
    """Return the signs that came over the wire."""
    received = decode_bundle(encode_bundle([m for one in produced for m in one.messages]))
    return [m.signs for m in received if isinstance(m, BeatsMessage) and m.signs is not None]


def in_blocks(
    stage: SampleSegmenter, samples: NDArray[np.float32], block: int, origin: int = 0
) -> list[StepResult[StageMessage]]:
    return [
        stage.step([message(samples[:, at : at + block], origin + at)], at / FS_HZ)
        for at in range(0, samples.shape[1], block)
    ]


def test_signs_come_with_the_block_in_which_their_hop_ended(
    two_leads: NDArray[np.float32],
) -> None:
    """In samples of the record, each half second of the stretch, whatever the blocks are."""
    whole = joined_signs(signs_of(in_blocks(new_stage()[0], two_leads, 7500, 1000)), 2)
    assert whole.end_sample.tolist() == [*range(1125, 8501, 125)]
    assert len(whole.complexes) > 25
    produced = in_blocks(new_stage()[0], two_leads, 50, 1000)
    for one in beats_of(produced):
        if one.signs is not None:
            assert 0 <= one.header.position - one.signs.end_sample[-1] < 50
    parts = joined_signs(signs_of(produced), 2)
    for name, array in vars(whole).items():
        assert getattr(parts, name).tobytes() == array.tobytes(), name
    r_samples = {int(r) for one in beats_of(produced) for r in one.beats.r_sample}
    assert {*whole.complexes["r_sample"].tolist()} <= r_samples


def test_signs_go_on_after_a_restart(two_leads: NDArray[np.float32]) -> None:
    """From the state that went with a message; one without signs begins them anew."""
    stream = msgspec.structs.replace(STREAM, leads=["I", "II"])
    whole = joined_signs(signs_of(in_blocks(new_stage()[0], two_leads, 250)), 2)
    first, _ = new_stage()
    before = in_blocks(first, two_leads[:, :3210], 3210)
    counters = Counters("segmenter", 0)
    resume = [Resume("p", 3210, beats_of(before)[-1].state)]
    second = SampleSegmenter(BeatSpec(), [stream], resume, counters)
    after = in_blocks(second, two_leads[:, 3210:], 250, 3210)
    both = joined_signs([*signs_of(before), *signs_of(after)], 2)
    for name, array in vars(whole).items():
        assert getattr(both, name).tobytes() == array.tobytes(), name
    silent = SampleSegmenter(BeatSpec(), [stream], resume, counters, measure_signs=False)
    unmeasured = in_blocks(silent, two_leads[:, 3210:], 250, 3210)
    assert signs_of(unmeasured) == []
    resume = [Resume("p", 7500, beats_of(unmeasured)[-1].state)]
    third = SampleSegmenter(BeatSpec(), [stream], resume, counters)
    again = joined_signs(signs_of(in_blocks(third, two_leads[:, 3000:], 250, 7500)), 2)
    assert again.shapes["dominant_share"][0].tolist() == [0, 0]


def test_pulse_waves_are_searched_and_not_shown(two_leads: NDArray[np.float32]) -> None:
    """Their pulses are in samples of the record; a view shows the leads. Other waves: a stretch."""
    t = np.arange(7500) / FS_HZ
    wave = (80 + 20 * np.maximum(0, np.sin(2 * np.pi * 1.25 * t)) ** 3).astype(np.float32)
    samples = np.concatenate((two_leads, wave[None]))
    stage, counters = new_stage()
    sent = [
        message(samples[:, at : at + 500], 700 + at, leads=["I", "II"], waves=["ABP"])
        for at in range(0, 7500, 500)
    ]
    produced = [stage.step([one], 0.0) for one in sent]
    found = joined_signs(signs_of(produced), 2, 1)
    assert found.readable[8:].all()
    assert 33 <= len(found.pulses) <= 38
    assert set(np.diff(found.pulses["sample"]).tolist()) <= {199, 200, 201}
    steepest = (found.pulses["sample"] - 700) / FS_HZ % 0.8
    assert ((steepest > 0.05) & (steepest < 0.25)).all()
    assert all(header.waves == ["ABP"] for one in produced for header in headers(one))
    assert {len(wave.others) for one in produced for wave in one.waves} == {1}
    assert counters.malformed == 0
    changed = stage.step([message(two_leads[:, :500], 8200, sent_ns=99)], 0.0)
    assert len({header.stretch for header in headers(changed)}) == 2


def test_a_long_hole_has_the_hops_of_its_first_ten_seconds(ecg: NDArray[np.float32]) -> None:
    """An hour without samples takes no time; what comes next says how long it was."""
    stage, _ = new_stage()
    produced = [
        stage.step([message(ecg[:2500], 0)], 0.0),
        stage.step([message(ecg[2500:], 2500 + 3600 * 250)], 1.0),
    ]
    found = joined_signs(signs_of(produced))
    hole = 3600 * 250
    assert np.diff(found.end_sample).max() == hole - 2500 + 2 * 125
    in_hole = (found.end_sample > 2500) & (found.end_sample <= 2500 + hole)
    assert np.count_nonzero(in_hole) == 19  # of a hop that ends 10 s on, no sample is left
    unknown = found.windows["missing"][in_hole, 0] > 0.5
    assert np.isnan(found.windows["leakage"][in_hole, 0][unknown]).all()
    assert unknown.sum() >= 15


def test_waveforms_nobody_looks_at_are_not_made(ecg: NDArray[np.float32]) -> None:
    """With a view of one patient, only that one's is thinned and sent."""
    stage = SampleSegmenter(
        BeatSpec(), [], [], Counters("segmenter", 0), lambda patient: patient == "p1"
    )
    both = [message(ecg[:250], 0, patient=name) for name in ("p1", "p2")]
    assert [wave.patient for wave in stage.step(both, 0.0).waves] == ["p1"]
