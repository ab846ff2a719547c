"""The producer's plan: what is read, in which blocks, and when it is due."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.errors import InvalidOption, RecordError
from monitor.settings import ProducerSettings, Resume
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.stages.playback import (
    Pacer,
    Playback,
    open_sources,
    patient_names,
)
from monitor.wire.messages import EndHeader, SamplesMessage


class CountingSource:
    """A source whose samples are their own positions; in its second lead, negative."""

    record, leads, fs_hz = "count", ("I", "II"), 250.0
    warnings: tuple[str, ...] = ()

    def __init__(self, n_samples: int) -> None:
        self.n_samples = n_samples

    def close(self) -> None:
        """Nothing is open."""

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        assert 0 <= start <= stop <= self.n_samples
        samples = np.arange(start, stop, dtype=np.float32)
        return np.stack([samples, -samples])


class WithWaves(CountingSource):
    """The same with a pulse wave: ten times the position."""

    waves = ("PLETH",)

    def read_waves(self, start: int, stop: int) -> NDArray[np.float32]:
        return 10 * self.read(start, stop)[:1]


def test_pulse_waves_are_sent_behind_the_leads() -> None:
    """The header names them; a source without any needs not say so."""
    one = Playback(WithWaves(1000), "p", 0, 1000, False, 0)
    sent = one.take(250, 0)
    assert (sent.header.leads, sent.header.waves) == (["I", "II"], ["PLETH"])
    assert sent.samples.shape == (3, 250)
    assert np.array_equal(sent.samples[2], 10 * sent.samples[0])
    assert one.stream().waves == ["PLETH"]
    assert playback().take(250, 0).header.waves == playback().stream().waves == []


def playback(n_samples: int = 1000, first: int = 0, loop: bool = False) -> Playback:
    return Playback(CountingSource(n_samples), "p", first, n_samples, loop, first)


def read_all(one: Playback, block: int, blocks: int = 10**6) -> list[tuple[int, list[float]]]:
    read: list[tuple[int, list[float]]] = []
    while not one.exhausted and len(read) < blocks:
        position, samples = one.next_block(block)
        assert np.array_equal(samples[1], -samples[0])
        read.append((position, samples[0].tolist()))
    return read


@pytest.mark.parametrize("block", [1, 7, 250, 999, 1000, 5000])
def test_blocks_cover_the_record_once(block: int) -> None:
    """Every sample is read once, in order, whatever the block's size."""
    read = read_all(playback(), block)
    assert [sample for _, samples in read for sample in samples] == list(range(1000))
    assert [position for position, _ in read] == list(range(0, 1000, block))


def test_a_loop_goes_on_counting() -> None:
    """With --loop the samples begin again at --start, the positions keep rising."""
    read = read_all(playback(10, first=4, loop=True), block=4, blocks=4)
    assert read == [(4, [4, 5, 6, 7]), (8, [8, 9]), (10, [4, 5, 6, 7]), (14, [8, 9])]


def test_due_times_do_not_drift() -> None:
    """A block is due when its last sample would have been taken, however late the last one was."""
    one = playback(n_samples=250 * 3600)
    pacer = Pacer([one], 2.0, now_s=100.0)
    assert pacer.block_samples(0) == 100  # 0.2 s of real time at twice the speed
    for number in range(1, 9001):
        assert pacer.wait_s(100.0, paused=False) == pytest.approx(number * 0.2, abs=1e-6)
        assert pacer.take_due(100.0 + number * 0.2 - 0.001, 0) == []
        (sent,) = pacer.take_due(100.0 + number * 0.2 + 0.1, 0)
        assert isinstance(sent, SamplesMessage)
        assert sent.header.position == 100 * (number - 1)


def test_a_pause_moves_everything_on() -> None:
    """While paused nothing is due; afterwards everything is due later by the pause."""
    pacer = Pacer([playback()], 1.0, now_s=0.0)
    assert pacer.wait_s(0.1, paused=False) == pytest.approx(0.1)
    assert pacer.wait_s(0.1, paused=True) == float("inf")
    assert pacer.wait_s(50.0, paused=True) == float("inf")
    assert pacer.wait_s(60.0, paused=False) == pytest.approx(0.1)


def test_at_full_speed_streams_advance_side_by_side() -> None:
    """No record runs ahead of the others."""
    ones = [playback(250 * 600), playback(250 * 600)]
    pacer = Pacer(ones, None, now_s=0.0)
    for number in range(1, 4):
        assert len(pacer.take_due(1.0, 0)) == 2
        assert [one.position for one in ones] == [number * 7500] * 2  # 30 s of each
        assert pacer.wait_s(1.0, paused=False) == 0.0


def test_of_what_is_due_each_stream_gives_one_block() -> None:
    """A stream that is behind catches up a block at a time; each says when it was due, or sent."""
    ones = [playback(250 * 60), playback(250 * 60)]
    pacer = Pacer(ones, 1.0, now_s=0.0)  # the second begins half a block later
    behind = pacer.take_due(1.0, None)
    assert [one.header.position for one in behind if isinstance(one, SamplesMessage)] == [0, 0]
    stamps = [one.header.sent_ns for one in behind if isinstance(one, SamplesMessage)]
    assert stamps == pytest.approx([0.2e9, 0.3e9])
    (*_, newest) = pacer.take_due(1.0, 77)
    assert isinstance(newest, SamplesMessage)
    assert (newest.header.position, newest.header.sent_ns) == (50, 77)


def test_the_last_stream_to_end_says_so() -> None:
    """Each stream's end is sent once; only the last one tells that nothing else will come."""
    pacer = Pacer([playback(250 * 40), playback(250 * 100), playback(250 * 100)], None, now_s=0.0)
    ends = []
    while pacer:
        taken = pacer.take_due(1.0, 0)
        ends += [one for one in taken if isinstance(one, EndHeader)]
    assert [one.position for one in ends] == [10_000, 25_000, 25_000]
    assert [one.last for one in ends] == [False, False, True]
    assert pacer.take_due(1.0, 0) == []
    assert pacer.wait_s(1.0, paused=False) == float("inf")


def test_messages_say_where_they_are() -> None:
    """Position is the block's first sample, the sequence has no holes, the end says it is last."""
    one = playback(250)
    first, second = one.take(100, sent_ns=5), one.take(100, sent_ns=6)
    assert (first.header.position, second.header.position) == (0, 100)
    assert (first.header.sequence, second.header.sequence) == (0, 1)
    end = one.end("complete", last=True, sent_ns=7)
    assert one.ended
    assert (end.position, end.last, end.reason) == (200, True, "complete")


def test_patients_are_named_after_their_records() -> None:
    """Equal names get a number; what a terminal would obey is made harmless."""
    assert patient_names(["119", "119", "119"]) == ["119", "119#2", "119#3"]
    (name,) = patient_names(["a\x1b[31m b"])
    assert "\x1b" not in name
    assert " " not in name


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("records") / "sim"
    write_record(path, SimulationSettings(hours=20 / 3600, seed=1))
    return str(path)


def producer_settings(record: str, **changes: object) -> ProducerSettings:
    return ProducerSettings(records=[record], samples="ipc:///unused", **changes)  # type: ignore[arg-type]


def test_start_and_duration_choose_a_part(record: str) -> None:
    """Positions count from the record's start, not from --start."""
    (one,) = open_sources(producer_settings(record, start_s=5.0, duration_s=4.0)).playbacks
    assert (one.first_sample, one.stop_sample, one.position) == (1250, 2250, 1250)
    assert one.stream().n_samples == 2250


def test_a_restart_goes_on_where_the_journal_says(record: str) -> None:
    """The position journaled is the next sample to be read."""
    settings = producer_settings(record, resume=[Resume("sim", 777, b"")])
    (one,) = open_sources(settings).playbacks
    assert (one.first_sample, one.position) == (0, 777)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"start_s": 20.0}, InvalidOption, "--start"),
        ({"start_s": 1e8}, InvalidOption, "--start"),
        ({"duration_s": 0.5}, InvalidOption, "--duration"),
        ({"leads": ["MLII"]}, RecordError, "ECG1"),
        ({"leads": ["7"]}, RecordError, "ECG1"),
    ],
)
def test_what_cannot_be_replayed_is_said(
    record: str, changes: dict[str, object], error: type[Exception], words: str
) -> None:
    """The message names the option, or the leads there are."""
    with pytest.raises(error, match=words):
        open_sources(producer_settings(record, **changes))


def test_of_several_records_a_bad_one_is_passed_over(record: str, tmp_path: Path) -> None:
    """A rate that cannot be segmented, a missing record, a signal that ends too early to begin."""
    fast = write_fast(tmp_path)
    told: list[tuple[str, str]] = []
    records = [fast, record, str(tmp_path / "none"), record]
    settings = ProducerSettings(records=records, samples="ipc:///unused")
    playbacks = open_sources(settings, lambda *one: told.append(one)).playbacks
    assert [one.patient for one in playbacks] == ["sim", "sim#2"]
    assert [name for name, _ in told] == [fast, str(tmp_path / "none")]
    assert told[0][1].startswith(f"record {fast}: sampling rate 5000.0 Hz is outside 100 to 2000")
    with pytest.raises(RecordError, match=r"fast: sampling rate"):
        open_sources(ProducerSettings(records=[fast, fast], samples="ipc:///unused"))


def write_fast(folder: Path) -> str:
    (folder / "fast.hea").write_text("fast 1 5000 20000\nfast.dat 16 200/mV\n")
    (folder / "fast.dat").write_bytes(bytes(40_000))
    return str(folder / "fast")


class Ending(CountingSource):
    """A source that cannot be read beyond its half."""

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        if stop > self.n_samples // 2:
            raise RecordError("record count cannot be decoded from sample 500 on")
        return super().read(start, stop)


def test_a_record_that_cannot_be_read_on_ends_and_the_others_go_on() -> None:
    """It is reported once; the run's last end is the last that comes."""
    bad = Playback(Ending(1000), "bad", 0, 1000, False, 0)
    pacer = Pacer([playback(1000), bad], None, now_s=0.0)
    sent = [one for _ in range(10) for one in pacer.take_due(1.0, 0)]
    ends = [one for one in sent if isinstance(one, EndHeader)]
    assert [(one.patient, one.reason, one.last) for one in ends] == [
        ("bad", "stopped", False),
        ("p", "complete", True),
    ]
    assert pacer.failed == [("bad", "record count cannot be decoded from sample 500 on")]
    assert not pacer
    alone = Pacer([Playback(Ending(1000), "bad", 0, 1000, False, 0)], None, now_s=0.0)
    with pytest.raises(RecordError):
        alone.take_due(1.0, 0)


def test_a_missing_record_is_said(tmp_path: Path) -> None:
    """The message names the path."""
    with pytest.raises(RecordError, match="nothing-here"):
        open_sources(producer_settings(str(tmp_path / "nothing-here")))
