"""Messages survive the wire unchanged, and nothing else passes for a message."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.codec import (
    decode_lifecycle,
    decode_message,
    decode_reply,
    decode_request,
    decode_stage_message,
    encode_beats,
    encode_header,
    encode_json,
    encode_lifecycle,
    encode_message,
    encode_samples,
    number_or_none,
    quality_names,
    topic_of,
)
from monitor.errors import InvalidMessage
from monitor.wire import (
    MAX_JSON_BYTES,
    MAX_SAMPLES,
    BeatsHeader,
    BeatsMessage,
    EndHeader,
    HealthHeader,
    ReplayRequest,
    SamplesHeader,
    SamplesMessage,
    SignalEvent,
    StageHealth,
    Start,
    Stop,
    Stream,
    ThresholdRequest,
)
from segmenter.beat import Beats, Quality
from tests.monitor.messages import alert, beat_scored, status, technical, wave

FIXTURES = Path(__file__).parent / "fixtures"


def samples_header(n_samples: int = 3, **changes: object) -> SamplesHeader:
    header = SamplesHeader(
        version=1,
        patient="119",
        record="119",
        sequence=7,
        sent_ns=123,
        position=1000,
        lead="MLII",
        fs_hz=360.0,
        n_samples=n_samples,
    )
    return msgspec.structs.replace(header, **changes)


def beats_header(n_beats: int, length: int = 140) -> BeatsHeader:
    return BeatsHeader(
        version=1,
        patient="119",
        record="119",
        sequence=3,
        sent_ns=5,
        position=2000,
        lead="MLII",
        fs_hz=360.0,
        spec="0123abcd",
        length=length,
        n_beats=n_beats,
        events=[SignalEvent("noisy", "onset", 1500)],
    )


def some_beats(n_beats: int, length: int = 140) -> Beats:
    rng = np.random.default_rng(0)
    return Beats(
        r_sample=np.arange(n_beats, dtype=np.int64) * 300 + 100,
        rr_before_ms=np.full(n_beats, 800.0, np.float32),
        rr_after_ms=np.full(n_beats, np.nan, np.float32),
        quality=np.zeros(n_beats, np.uint16),
        delay_ms=np.full(n_beats, 120.0, np.float32),
        values=rng.standard_normal((n_beats, length)).astype(np.float32),
    )


def test_samples_survive_with_their_gaps() -> None:
    """A block comes back to the bit; a gap is NaN, never zero."""
    samples = np.array([0.5, np.nan, -1.25], np.float32)
    decoded = decode_stage_message(encode_samples(samples_header(), samples))
    assert isinstance(decoded, SamplesMessage)
    assert decoded.header == samples_header()
    np.testing.assert_array_equal(decoded.samples, samples)


@pytest.mark.parametrize("n_beats", [0, 1, 5])
def test_beats_survive(n_beats: int) -> None:
    """Beats, their columns, events and the segmenter's state come back to the bit."""
    beats = some_beats(n_beats)
    decoded = decode_stage_message(encode_beats(beats_header(n_beats), beats, b"state"))
    assert isinstance(decoded, BeatsMessage)
    assert decoded.header == beats_header(n_beats)
    assert decoded.state == b"state"
    for name in ("r_sample", "rr_before_ms", "rr_after_ms", "quality", "delay_ms", "values"):
        np.testing.assert_array_equal(getattr(decoded.beats, name), getattr(beats, name))


def test_headers_alone_survive() -> None:
    """The end of a stream and a stage's health are headers without data."""
    end = EndHeader(1, "119", "119", 9, 1, 650_000, "complete", last=True)
    health = HealthHeader(1, StageHealth("producer", 0, 3, 0, 0, 0, 1))
    assert decode_stage_message(encode_header(end)) == end
    assert decode_stage_message(encode_header(health)) == health


def test_bytes_of_an_older_build_are_still_read() -> None:
    """A message kept as a file since the first version is decoded."""
    frames = msgspec.msgpack.decode(
        (FIXTURES / "samples-v1.msgpack").read_bytes(), type=list[bytes]
    )
    decoded = decode_stage_message(frames)
    assert isinstance(decoded, SamplesMessage)
    assert decoded.header == samples_header()
    np.testing.assert_array_equal(decoded.samples, np.array([0.5, np.nan, -1.25], np.float32))


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b""],
        [b"\x80"],
        [b"junk", b"junk"],
        [b"\x81" * 100_000],  # deep nesting
        encode_samples(samples_header(), np.zeros(4, np.float32)),  # more than announced
        encode_samples(samples_header(), np.zeros(3, np.float32))[:1],  # no data
        [*encode_samples(samples_header(), np.zeros(3, np.float32)), b"more"],
        encode_samples(samples_header(position=-1), np.zeros(3, np.float32)),
        encode_samples(samples_header(fs_hz=0.0), np.zeros(3, np.float32)),
        encode_samples(samples_header(fs_hz=float("nan")), np.zeros(3, np.float32)),
        encode_samples(samples_header(n_samples=MAX_SAMPLES + 1), np.zeros(3, np.float32)),
        encode_samples(samples_header(n_samples=10**15), np.zeros(3, np.float32)),
        encode_samples(samples_header(patient="a\x1b[31m"), np.zeros(3, np.float32)),
        encode_samples(samples_header(patient="119\n"), np.zeros(3, np.float32)),
        encode_samples(samples_header(patient="x" * 129), np.zeros(3, np.float32)),
        encode_samples(samples_header(version=2), np.zeros(3, np.float32)),
        encode_beats(beats_header(2), some_beats(2), b"")[:3],
        encode_beats(beats_header(3), some_beats(2), b""),
        encode_beats(beats_header(2, length=139), some_beats(2), b""),
    ],
)
def test_malformed_stage_messages_are_refused(frames: list[bytes]) -> None:
    """Whatever is not whole and within bounds raises InvalidMessage, and nothing else."""
    with pytest.raises(InvalidMessage):
        decode_stage_message(frames)


def test_beats_out_of_order_or_not_finite_are_refused() -> None:
    """R peaks rise, and a cut beat is finite; else the message is no message."""
    beats = some_beats(2)
    backwards = beats.rows(slice(None, None, -1))
    with pytest.raises(InvalidMessage, match="rising"):
        decode_stage_message(encode_beats(beats_header(2), backwards, b""))
    header = msgspec.structs.replace(beats_header(2), position=399)  # the second R is at 400
    with pytest.raises(InvalidMessage, match="behind"):
        decode_stage_message(encode_beats(header, beats, b""))
    beats.values[1, 3] = np.inf
    with pytest.raises(InvalidMessage, match="finite"):
        decode_stage_message(encode_beats(beats_header(2), beats, b""))


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_any_bytes_are_refused_or_decoded(frames: list[bytes]) -> None:
    """No bytes make a decoder raise anything but InvalidMessage."""
    with pytest.raises(InvalidMessage):
        decode_stage_message(frames)
    with pytest.raises(InvalidMessage):
        decode_message(frames)
    for decode in (decode_lifecycle, decode_request, decode_reply):
        with pytest.raises(InvalidMessage):
            decode(frames[0] if frames else b"")


@given(st.data())
def test_a_flipped_byte_is_harmless(data: st.DataObject) -> None:
    """One changed byte of a true message is refused or decoded, never an error of another kind."""
    frames = encode_beats(beats_header(2), some_beats(2), b"s")
    which = data.draw(st.integers(0, 1))
    at = data.draw(st.integers(0, len(frames[which]) - 1))
    changed = bytearray(frames[which])
    changed[at] = data.draw(st.integers(0, 255))
    frames[which] = bytes(changed)
    try:
        decode_stage_message(frames)
    except InvalidMessage:
        return


@pytest.mark.parametrize("message", [alert(), technical(), beat_scored(), status(), wave()])
def test_messages_to_the_world_survive(message: object) -> None:
    """Topic and JSON come back as the same message."""
    frames = encode_message(message)  # type: ignore[arg-type]
    assert len(frames) == 2
    assert decode_message(frames) == message


def test_topics() -> None:
    """The topic is the type and the patient; the heartbeat has none."""
    assert topic_of(alert(patient="a b")) == "alert.a b"
    assert topic_of(technical()) == "technical.119"
    assert topic_of(status()) == "status"


def test_newer_senders_may_add_fields() -> None:
    """A reader ignores what it does not know in a message to the world."""
    topic, body = encode_message(technical())
    newer = msgspec.json.encode({**msgspec.json.decode(body), "colour": "red"})
    assert decode_message([topic, newer]) == technical()


def test_a_message_under_a_foreign_topic_is_refused() -> None:
    """Topic and JSON must agree, or a filter by topic would be fooled."""
    _, body = encode_message(alert())
    with pytest.raises(InvalidMessage, match="topic"):
        decode_message([b"alert.other", body])


def test_an_oversized_json_is_refused_before_it_is_parsed() -> None:
    """Memory is bounded by a length, not by trust."""
    with pytest.raises(InvalidMessage):
        decode_message([b"status", b" " * (MAX_JSON_BYTES + 1)])


def test_requests_and_orders_survive() -> None:
    """Requests are JSON, orders msgpack; both come back as they were."""
    for request in (ReplayRequest(after=3), ThresholdRequest(patient="119", factor=1.05)):
        assert decode_request(encode_json(request)) == request
    stream = Stream("119", "119", "MLII", 360.0, 0, 650_000)
    for order in (Start([stream], {"window": "rr"}), Stop()):
        assert decode_lifecycle(encode_lifecycle(order)) == order


@pytest.mark.parametrize("body", [{"after": -1}, {"after": 0, "limit": 10**9}, {"after": "x"}])
def test_requests_out_of_bounds_are_refused(body: dict[str, object]) -> None:
    """A page is bounded, a sequence number is a count."""
    with pytest.raises(InvalidMessage):
        decode_request(msgspec.json.encode({"type": "replay", **body}))


@pytest.mark.parametrize("factor", [0, -1, 1e9])
def test_absurd_thresholds_are_refused(factor: float) -> None:
    """A threshold can be moved, not switched off by a huge factor."""
    with pytest.raises(InvalidMessage):
        decode_request(msgspec.json.encode({"type": "threshold", "factor": factor}))


def test_quality_and_numbers_for_json() -> None:
    """Flags are named; NaN, which JSON cannot say, is none."""
    assert quality_names(0) == []
    assert quality_names(int(Quality.NOISY | Quality.MISSING)) == ["noisy", "missing"]
    assert number_or_none(float("nan")) is None
    assert number_or_none(1.5) == 1.5
