"""The last ten seconds of a stream, for views that come later."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.delivery.wave_client import Waves
from monitor.settings import Resume
from monitor.stages.host import Counters
from monitor.stages.recent_signal import RecentSignal
from monitor.stages.segmenter import HISTORIES, SampleSegmenter, WaveAudience
from monitor.view.snapshot import Snapshot, apply
from monitor.wire.messages import BeatsMessage, Stream, Wave
from monitor.wire.sockets import Sockets
from segmenter.beat import BeatSpec
from tests.monitor.stages.test_segmenter import end, message


def signal(n: int) -> NDArray[np.float32]:
    """Return samples of one lead that name their own place: shape (1, n)."""
    return np.arange(n, dtype=np.float32)[None]


@given(st.sampled_from([100.0, 250.0, 360.0, 1000.0]), st.integers(0, 5000), st.integers(0, 12_000))
def test_values_lie_on_a_grid_fixed_in_the_record(fs_hz: float, origin: int, n: int) -> None:
    """Wherever the stream began and has come to; of more than ten seconds the last."""
    stop, step = origin + n, max(1, round(fs_hz / 125))
    recent = RecentSignal(fs_hz, signal(stop)[:, origin:], stop)
    expected = [k for k in range(0, stop, step) if k >= origin][-round(10 * fs_hz / step) :]
    first, values = recent.since(0)
    assert values[0].tolist() == expected
    assert not expected or first == expected[0]
    first, values = recent.since(stop - 100)
    assert values[0].tolist() == [k for k in expected if k >= stop - 100]


def test_nothing_yet() -> None:
    """No values, and no error."""
    nothing = np.empty((2, 0), np.float32)
    assert RecentSignal(250.0, nothing, 0).since(77)[1].shape == (2, 0)


# --- in the stage -----------------------------------------------------------------------------


def stage_of(*patients: str) -> SampleSegmenter:
    """Return a stage nobody has looked at, after twenty seconds of each patient."""
    stage = SampleSegmenter(BeatSpec(), [], [], Counters("segmenter", 0))
    for start in range(0, 5000, 50):
        block = signal(5000)[:, start : start + 50]
        stage.step([message(block, start, patient=name) for name in patients], start / 250)
    return stage


def test_a_patient_who_is_shown_brings_the_last_ten_seconds() -> None:
    """Of the patient that is named, not of others whose names begin alike; also when ended."""
    stage = stage_of("p1", "p10")
    assert stage.followed("wave.p1") == ["p1"]
    assert set(stage.followed("wave.")) == {"p1", "p10"}
    (wave,) = stage.recent_waves(["p1"])
    assert (wave.patient, wave.sample, wave.fs_hz, wave.record_fs_hz) == ("p1", 2500, 125.0, 250.0)
    assert wave.values == list(range(2500, 5000, 2))
    stage.step([msgspec.structs.replace(end(5000), patient="p1")], 30.0)
    assert stage.recent_waves(["p1"]) == [wave]
    assert stage.recent_waves(["nobody"]) == []


def test_what_never_came_is_missing() -> None:
    """A hole is no value, also one longer than what is kept, and is not what was there before."""
    stage = SampleSegmenter(BeatSpec(), [], [], Counters("segmenter", 0))
    stage.step([message(signal(1000), 0)], 0.0)
    stage.step([message(signal(100), 1200)], 0.0)
    (wave,) = stage.recent_waves(["p"])
    assert wave.values == [*range(0, 1000, 2), *[None] * 100, *range(0, 100, 2)]
    stage.step([message(signal(10), 500_000)], 0.0)
    (wave,) = stage.recent_waves(["p"])
    assert (wave.sample, len(wave.values)) == (500_010 - 2500, 1250)
    assert wave.values[-6:] == [None, 0, 2, 4, 6, 8]


def test_a_patient_who_goes_on_brings_what_was_before_the_restart() -> None:
    """The state holds the last ten seconds of the signal."""
    (before,) = stage_of("p").recent_waves(["p"])
    stage = SampleSegmenter(BeatSpec(), [], [], Counters("segmenter", 0))
    result = stage.step([message(signal(5000), 0)], 0.0)
    (sent,) = [one for one in result.messages if isinstance(one, BeatsMessage) and one.state]
    stream = Stream("p", sent.header.record, sent.header.leads, 250.0, 0, None)
    resumed = SampleSegmenter(
        BeatSpec(), [stream], [Resume("p", 5000, sent.state)], Counters("segmenter", 0)
    )
    assert resumed.recent_waves(["p"]) == [before]


def test_a_view_draws_them_before_the_first_heartbeat() -> None:
    """And joins what comes next, without a hole or a doubled stretch."""
    stage = stage_of("p1")
    (before,) = stage.recent_waves(["p1"])
    scene = apply(Snapshot(), before)
    scene = apply(scene, before)  # another view has come: it is heard twice
    assert len(scene.patients["p1"].waveform.values) == 1250
    watched = SampleSegmenter(BeatSpec(), [], [], Counters("segmenter", 0), lambda _: True)
    (after,) = watched.step([message(signal(50), 5000, patient="p1")], 0.0).waves
    waveform = apply(scene, after).patients["p1"].waveform
    assert (waveform.first_index, len(waveform.values)) == (1250, 1275)
    assert not np.isnan(waveform.values).any()


def test_each_who_begins_to_listen_is_heard(tmp_path: Path) -> None:
    """The second view of a patient too, and one that comes back; not while the stage is behind."""
    endpoint = f"ipc://{tmp_path}/w"
    with Sockets() as sockets:
        audience = WaveAudience(sockets.publish(endpoint, 100, each=True))
        first = Waves(sockets, endpoint, ("wave.p1",))
        assert asked(audience, 1) == ["wave.p1"]
        second = Waves(sockets, endpoint, ("wave.p1",))
        assert asked(audience, 1) == ["wave.p1"]
        first.follow(("wave.p2",))
        assert asked(audience, 1) == ["wave.p2"]
        audience.is_shed = True
        first.follow(("wave.p1",))
        assert audience.newly_asked() == []
        audience.is_shed = False
        assert asked(audience, 1) == ["wave.p1"]
        audience.show(stage_of("p1").recent_waves(["p1"]))
        for one in (first, second):
            assert one.socket.poll(5000)
            (wave,) = one.receive()
            assert isinstance(wave, Wave)
            assert len(wave.values) == 1250


def asked(audience: WaveAudience, n: int) -> list[str]:
    """Return the topics that were asked for, once there are so many."""
    found: list[str] = []
    while len(found) < n:
        audience.listen()
        found += audience.newly_asked()
    return found


@pytest.mark.parametrize("n_patients", [3, 40])
def test_who_asks_for_everybody_is_not_sent_a_ward(n_patients: int) -> None:
    """A view of so many shows one alone; memory and time are bounded."""
    stage = SampleSegmenter(BeatSpec(), [], [], Counters("segmenter", 0))
    stage.step([message(signal(50), 0, patient=f"p{n}") for n in range(n_patients)], 0.0)
    waves = stage.recent_waves(stage.followed("wave.")[:HISTORIES])
    assert len(waves) == min(n_patients, HISTORIES)


def test_views_beyond_the_bound_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more topics than there may be patients none is kept, and the monitor reports it."""
    monkeypatch.setattr("monitor.stages.segmenter.MAX_PATIENTS", 2)
    endpoint = f"ipc://{tmp_path / 'w'}"
    with Sockets() as sockets:
        publications = sockets.publish(endpoint, 100, each=True)
        audience = WaveAudience(publications)
        subscription = sockets.subscribe(endpoint, ["wave.a", "wave.b", "wave.c"])
        while audience.refused == 0 and publications.poll(10_000):
            audience.listen()
        assert audience.refused == 1
        assert (audience.wants("a"), audience.wants("c")) == (True, False)
        subscription.setsockopt(zmq.UNSUBSCRIBE, b"wave.a")  # one leaves, and there is room
        subscription.setsockopt(zmq.SUBSCRIBE, b"wave.d")
        while not audience.wants("d") and publications.poll(10_000):
            audience.listen()
        assert audience.wants("d")
        assert audience.refused == 1
