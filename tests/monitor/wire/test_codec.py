"""Messages survive the wire unchanged, and nothing else passes for a message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import InvalidMessage
from monitor.wire.codec import (
    BUNDLE_BYTES,
    decode_bundle,
    decode_lifecycle,
    decode_message,
    decode_reply,
    decode_request,
    encode_bundle,
    encode_json,
    encode_lifecycle,
    encode_message,
    in_bundles,
    quality_names,
    topic_of,
)
from monitor.wire.messages import (
    MAX_BUNDLE,
    MAX_JSON_BYTES,
    MAX_LEADS,
    MAX_SAMPLES,
    MAX_STATE_BYTES,
    MAX_WINDOWS,
    AckRequest,
    BeatsHeader,
    BeatsMessage,
    EndHeader,
    FamilyStatus,
    HealthHeader,
    MarkRequest,
    RecordEvent,
    ReplayRequest,
    SamplesHeader,
    SamplesMessage,
    ShedHeader,
    StageHealth,
    StageMessage,
    Start,
    Stop,
    Stream,
    ThresholdRequest,
)
from segmenter.beat import Beats, Quality
from segmenter.signs import (
    COMPLEX_COLUMNS,
    PULSE_COLUMNS,
    SHAPE_COLUMNS,
    WINDOW_COLUMNS,
    Signs,
)
from tests.messages import alert, beat_scored, patient_status, status, technical, wave

FIXTURES = Path(__file__).parent / "fixtures"


SAMPLES = np.array([[0.5, np.nan, -1.25], [1.0, 2.0, 3.0]], np.float32)
LEADS = ["MLII", "V1"]


def samples_header(n_samples: int = 3, **changes: object) -> SamplesHeader:
    header = SamplesHeader(
        version=5,
        patient="119",
        record="119",
        sequence=7,
        sent_ns=123,
        position=1000,
        leads=LEADS,
        fs_hz=360.0,
        n_samples=n_samples,
        sender=11,
    )
    return msgspec.structs.replace(header, **changes)


def beats_header(
    n_beats: int, length: int = 140, leads: Sequence[str] = LEADS, **changes: object
) -> BeatsHeader:
    header = BeatsHeader(
        version=5,
        patient="119",
        record="119",
        sequence=3,
        sent_ns=5,
        position=2000,
        leads=list(leads),
        fs_hz=360.0,
        spec="0123abcd",
        length=length,
        n_beats=n_beats,
        events=[RecordEvent("noisy", "onset", 1500)],
        stretch=12,
        first_sample=40,
    )
    return msgspec.structs.replace(header, **changes)


def some_beats(n_beats: int, length: int = 140, leads: int = 2) -> Beats:
    rng = np.random.default_rng(0)
    return Beats(
        r_sample=np.arange(n_beats, dtype=np.int64) * 300 + 100,
        rr_before_ms=np.full(n_beats, 800.0, np.float32),
        rr_after_ms=np.full(n_beats, np.nan, np.float32),
        quality=np.zeros(n_beats, np.uint16),
        delay_ms=np.full(n_beats, 120.0, np.float32),
        closed_sample=np.arange(n_beats, dtype=np.int64) * 300 + 400,
        values=rng.standard_normal((n_beats, leads, length)).astype(np.float32),
        lead_quality=rng.integers(0, 4, (n_beats, leads)).astype(np.uint16),
    )


def samples_message(**changes: object) -> SamplesMessage:
    return SamplesMessage(samples_header(**changes), SAMPLES)  # type: ignore[arg-type]


def beats_message(n_beats: int, state: bytes = b"", leads: Sequence[str] = LEADS) -> BeatsMessage:
    header = beats_header(n_beats, leads=leads)
    return BeatsMessage(header, some_beats(n_beats, leads=len(leads)), state)


WAVES = ["PLETH", "ABP"]


def some_signs(leads: int = 2, waves: int = 2) -> Signs:
    """Return three hops, of three complexes (the last without shapes) and two pulses."""
    rng = np.random.default_rng(1)
    windows = rng.random((3, leads, WINDOW_COLUMNS.itemsize // 4), np.float32)
    windows[0, :, 2:] = np.nan  # too much of it is missing
    shapes = rng.random((3, leads, SHAPE_COLUMNS.itemsize // 4), np.float32)
    shapes[2] = np.nan
    first = [(500, 200, np.nan, 800.0, 64, 0), (500, 300, 800.0, 800.0, 0, 3)]
    pulses = [(500, 310, 1), (1000, 800, 0)][:waves]
    return Signs(
        end_sample=np.array([500, 1000, 1500], np.int64),
        windows=windows.view(WINDOW_COLUMNS)[..., 0],
        complexes=np.array([*first, (1000, 600, 800.0, np.nan, 2, 1)], COMPLEX_COLUMNS),
        shapes=shapes.view(SHAPE_COLUMNS)[..., 0],
        readable=rng.random((3, waves)) < 0.5,
        pulses=np.array(pulses, PULSE_COLUMNS),
    )


def signs_message(
    signs: Signs, leads: Sequence[str] = LEADS, waves: Sequence[str] = WAVES, **changes: object
) -> BeatsMessage:
    """Return a message with two beats and signs."""
    counts: dict[str, object] = {
        "n_hops": len(signs.end_sample),
        "n_complexes": len(signs.complexes),
        "n_pulses": len(signs.pulses),
    }
    header = msgspec.structs.replace(
        beats_header(2, leads=leads, waves=list(waves)), **{**counts, **changes}
    )
    return BeatsMessage(header, some_beats(2, leads=len(leads)), b"s", 0, signs)


def assert_same(decoded: StageMessage, sent: StageMessage) -> None:
    """Assert that a message came back to the bit."""
    assert type(decoded) is type(sent)
    match decoded, sent:
        case SamplesMessage(), SamplesMessage():
            assert decoded.header == sent.header
            np.testing.assert_array_equal(decoded.samples, sent.samples)
        case BeatsMessage(), BeatsMessage():
            assert (decoded.header, decoded.state) == (sent.header, sent.state)
            for name in (
                "r_sample",
                "rr_before_ms",
                "rr_after_ms",
                "quality",
                "delay_ms",
                "closed_sample",
                "values",
                "lead_quality",
            ):
                np.testing.assert_array_equal(
                    getattr(decoded.beats, name), getattr(sent.beats, name)
                )
            assert (decoded.signs is None) is (sent.signs is None)
            if sent.signs is not None:
                for name in vars(sent.signs):
                    got, given = getattr(decoded.signs, name), getattr(sent.signs, name)
                    assert (got.dtype, got.shape) == (given.dtype, given.shape)
                    assert got.tobytes() == given.tobytes()
        case _:
            assert decoded == sent


END = EndHeader(5, "119", "119", 9, 1, 650_000, "complete", last=True)
SHED = ShedHeader(5, "121", "119", 9, 1, 650_000, LEADS, 360.0)
HEALTH = HealthHeader(5, StageHealth("producer", 0, 3, 0, 0, 0, 1))
MESSAGES: list[StageMessage] = [
    samples_message(),
    beats_message(5, b"state"),
    END,
    beats_message(0),
    SamplesMessage(samples_header(patient="120", leads=["V5"]), SAMPLES[:1]),
    HEALTH,
    beats_message(1, b"another", ["V5"]),
    beats_message(2, b"", ["I", "II", "V1"]),
    signs_message(some_signs()),
    signs_message(some_signs(1, 0), ["I"], []),
    SamplesMessage(samples_header(leads=["II"], waves=["PLETH"]), SAMPLES),
    signs_message(some_signs()),
]


@pytest.mark.parametrize(
    "messages",
    [[], *([one] for one in [*MESSAGES, SHED]), [*MESSAGES, SHED], [SHED, *MESSAGES[::-1]]],
)
def test_bundles_survive(messages: list[StageMessage]) -> None:
    """Samples with their gaps, beats, events, states and headers alone come back, in order."""
    decoded = decode_bundle(encode_bundle(messages))
    assert len(decoded) == len(messages)
    for one, sent in zip(decoded, messages, strict=True):
        assert_same(one, sent)


def test_samples_and_beats_of_several_leads_are_lead_after_lead() -> None:
    """Whoever writes or reads them in another language needs no more than the protocol."""
    _, samples, _, quality, beats, _, _ = encode_bundle([samples_message(), beats_message(2)])
    assert np.frombuffer(samples, "<f4")[3:].tolist() == [1.0, 2.0, 3.0]
    sent = some_beats(2)
    np.testing.assert_array_equal(np.frombuffer(beats, "<f4"), sent.values.ravel())
    assert np.frombuffer(quality, "<u2").tolist() == sent.lead_quality.ravel().tolist()


def test_events_say_which_leads_they_are_of() -> None:
    """Of none: of all."""
    event = RecordEvent("lead_left_out", "onset", 1500, ["V1"])
    message = BeatsMessage(beats_header(1, events=[event]), some_beats(1), b"")
    (decoded,) = decode_bundle(encode_bundle([message]))
    assert_same(decoded, message)


def test_bundles_are_bounded() -> None:
    """What is sent at once is divided by number and by size, in order; a large message is alone."""
    few = [*in_bundles([END] * (2 * MAX_BUNDLE + 1))]
    assert [len(one) for one in few] == [MAX_BUNDLE, MAX_BUNDLE, 1]
    large = SamplesMessage(
        samples_header(MAX_SAMPLES // 2), np.zeros((2, MAX_SAMPLES // 2), np.float32)
    )
    states = [beats_message(0, bytes(BUNDLE_BYTES // 2))] * 3
    divided = [*in_bundles([END, large, END, *states])]
    assert [len(one) for one in divided] == [1, 1, 3, 1]
    assert [one for bundle in divided for one in bundle] == [END, large, END, *states]
    assert [*in_bundles([])] == []
    with pytest.raises(InvalidMessage):
        decode_bundle(encode_bundle([END] * (MAX_BUNDLE + 1)))


def test_bytes_of_an_older_build_are_still_read() -> None:
    """A bundle kept as a file since this version of it was new is decoded."""
    frames = msgspec.msgpack.decode((FIXTURES / "bundle-v5.msgpack").read_bytes(), type=list[bytes])
    for one, sent in zip(decode_bundle(frames), MESSAGES, strict=True):
        assert_same(one, sent)


@pytest.mark.parametrize("version", [2, 3, 4])
def test_bytes_of_an_older_version_are_refused(version: int) -> None:
    """Version 2 did not say who sends, version 3 was of one lead, version 4 had no signs."""
    file = FIXTURES / f"bundle-v{version}.msgpack"
    frames = msgspec.msgpack.decode(file.read_bytes(), type=list[bytes])
    with pytest.raises(InvalidMessage, match="frames; a bundle has headers, samples"):
        decode_bundle(frames)


@pytest.mark.parametrize("closed", [99, 2001])
def test_a_beat_closes_behind_its_r_peak_and_within_the_signal_seen(closed: int) -> None:
    """What is absurd would let a watch on verdicts wait for ever."""
    beats = replace(some_beats(1), closed_sample=np.array([closed], np.int64))
    frames = encode_bundle([BeatsMessage(beats_header(1), beats, b"")])
    with pytest.raises(InvalidMessage, match="closed"):
        decode_bundle(frames)


def test_messages_of_version_1_are_refused() -> None:
    """They came alone, in frames of their own."""
    header = msgspec.msgpack.decode(encode_bundle([samples_message()])[0])[0]
    alone = [msgspec.msgpack.encode({**header, "version": 1}), SAMPLES.tobytes()]
    with pytest.raises(InvalidMessage, match="2 frames; a bundle has headers, samples"):
        decode_bundle(alone)


SENT = encode_bundle([samples_message()])
OF_ANOTHER = RecordEvent("lead_left_out", "onset", 1500, ["V5"])
SIGNS = encode_bundle([signs_message(some_signs())])
TWO_BEATS = encode_bundle([beats_message(2, b"s")])


def with_frame(frames: list[bytes], index: int, frame: bytes) -> list[bytes]:
    return [*frames[:index], frame, *frames[index + 1 :]]


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b""],
        [b"\x80"],
        [b"junk", b"junk"],
        [b"\x81" * 100_000],  # deep nesting
        with_frame(SENT, 0, b"\x91" * 100_000),
        with_frame(SENT, 0, b""),
        with_frame(SENT, 0, SENT[0][1:]),  # a header, not a list of them
        with_frame(SENT, 1, bytes(28)),  # more than announced
        with_frame(SENT, 1, b""),  # no data
        with_frame(SENT, 1, SENT[1][:-1]),
        with_frame(SENT, 2, bytes(30)),  # columns of no beat
        with_frame(SENT, 3, bytes(2)),
        with_frame(SENT, 4, bytes(4)),
        with_frame(SENT, 5, bytes(72)),  # signs of no hop
        with_frame(SENT, 6, b""),
        with_frame(SENT, 6, b"\x91\xa1s"),  # a text
        SENT[:6],
        [*SENT, b"more"],
        encode_bundle([samples_message(position=-1)]),
        encode_bundle([samples_message(fs_hz=0.0)]),
        encode_bundle([samples_message(fs_hz=float("nan"))]),
        encode_bundle([samples_message(n_samples=MAX_SAMPLES + 1)]),
        encode_bundle([samples_message(n_samples=MAX_SAMPLES)]),  # of each of two leads
        encode_bundle([samples_message(leads=[])]),
        encode_bundle([samples_message(leads=["V1", "V1"])]),
        encode_bundle([samples_message(leads=["MLII", "V1", "V2"])]),  # one of which is not there
        encode_bundle([samples_message(leads=[f"V{n}" for n in range(MAX_LEADS + 1)])]),
        encode_bundle([samples_message(leads=["MLII", "V1\n"])]),
        encode_bundle([msgspec.structs.replace(SHED, leads=["V1", "V1"])]),
        encode_bundle([samples_message(n_samples=10**15)]),
        encode_bundle([samples_message(patient="a\x1b[31m")]),
        encode_bundle([samples_message(patient="119\n")]),
        encode_bundle([samples_message(patient="x" * 129)]),
        encode_bundle([samples_message(version=1)]),
        encode_bundle([samples_message(), samples_message(n_samples=4)]),  # the second is short
        TWO_BEATS[:3],
        with_frame(TWO_BEATS, 2, b""),
        with_frame(TWO_BEATS, 3, TWO_BEATS[3][:-2]),
        with_frame(TWO_BEATS, 4, TWO_BEATS[4][:-4]),
        with_frame(TWO_BEATS, 6, msgspec.msgpack.encode([])),  # no state
        with_frame(TWO_BEATS, 6, msgspec.msgpack.encode([b"", b""])),
        with_frame(TWO_BEATS, 6, msgspec.msgpack.encode([bytes(MAX_STATE_BYTES + 1)])),
        encode_bundle([BeatsMessage(beats_header(2, leads=["V1", "V1"]), some_beats(2), b"")]),
        encode_bundle([BeatsMessage(beats_header(2, leads=["V1"]), some_beats(2), b"")]),
        encode_bundle([BeatsMessage(beats_header(2, events=[OF_ANOTHER]), some_beats(2), b"")]),
        encode_bundle([BeatsMessage(beats_header(3), some_beats(2), b"")]),
        encode_bundle([BeatsMessage(beats_header(2, length=139), some_beats(2), b"")]),
        with_frame(SIGNS, 5, SIGNS[5][:-1]),
        with_frame(SIGNS, 5, b""),
        encode_bundle([signs_message(some_signs(), n_hops=2)]),
        encode_bundle([signs_message(some_signs(), n_hops=0)]),
        encode_bundle([signs_message(some_signs(), n_hops=MAX_WINDOWS)]),  # of each of two leads
        encode_bundle([signs_message(some_signs(), n_complexes=10**12)]),
        encode_bundle([signs_message(some_signs(), n_pulses=-1)]),
        encode_bundle([signs_message(some_signs(), waves=["PLETH"])]),
        encode_bundle([signs_message(some_signs(), waves=["PLETH", "V1"])]),  # a lead's name
        encode_bundle([samples_message(waves=["PLETH"])]),  # which is not there
        encode_bundle([samples_message(leads=["V1"], waves=["V1"])]),
        encode_bundle([samples_message(leads=["V1"], waves=[f"P{n}" for n in range(9)])]),
    ],
)
def test_malformed_bundles_are_refused(frames: list[bytes]) -> None:
    """Whatever is not whole and within bounds raises InvalidMessage, and nothing else."""
    with pytest.raises(InvalidMessage):
        decode_bundle(frames)


def test_beats_out_of_order_or_not_finite_are_refused() -> None:
    """R peaks rise within a message, and a cut beat is finite; else the bundle is none."""
    beats = some_beats(2)
    header = beats_header(2)
    before = beats_message(5)  # whose R peaks are later than the first of the next message
    backwards = BeatsMessage(header, beats.rows(slice(None, None, -1)), b"")
    twice = BeatsMessage(header, beats.rows(np.array([1, 1])), b"")
    for broken in ([backwards], [before, backwards], [twice, before]):
        with pytest.raises(InvalidMessage, match="rising"):
            decode_bundle(encode_bundle(broken))
    assert len(decode_bundle(encode_bundle([before, BeatsMessage(header, beats, b"")]))) == 2
    early = msgspec.structs.replace(header, position=399)  # the second R is at 400
    negative = beats.moved(-101)
    for outside in (BeatsMessage(early, beats, b""), BeatsMessage(header, negative, b"")):
        with pytest.raises(InvalidMessage, match="outside"):
            decode_bundle(encode_bundle([before, outside]))
    beats.values[1, 1, 3] = np.inf
    with pytest.raises(InvalidMessage, match="finite"):
        decode_bundle(encode_bundle([before, BeatsMessage(header, beats, b"")]))


def changed(name: str, column: str | None, at: object, value: object) -> Signs:
    """Return signs of which one value is another."""
    array = getattr(some_signs(), name).copy()
    (array if column is None else array[column])[at] = value
    return replace(some_signs(), **{name: array})


@pytest.mark.parametrize(
    ("signs", "what"),
    [
        (changed("end_sample", None, 0, 0), "hop that ends outside"),
        (changed("end_sample", None, 2, 2001), "hop that ends outside"),
        (changed("end_sample", None, 1, 1500), "hops are not in rising"),
        (changed("windows", "missing", (0, 1), np.nan), "missing of a window is not a share"),
        (changed("windows", "still", (0, 0), 1.5), "still of a window is not a share"),
        (changed("windows", "leakage", (1, 1), np.inf), "infinite"),
        (changed("windows", "qrs_mv", (1, 1, 7), -np.inf), "infinite"),
        (changed("complexes", "end_sample", 1, 750), "r_sample of a hop that is not there"),
        (changed("complexes", "end_sample", 1, 1 << 60), "r_sample that is not before"),
        (changed("complexes", "end_sample", 0, 1000), "not in the order of their hops"),
        (changed("complexes", "r_sample", 0, -1), "r_sample that is not before"),
        (changed("complexes", "r_sample", 1, 501), "r_sample that is not before"),
        (changed("complexes", "r_sample", 1, 200), "not in the order of their R peaks"),
        (changed("complexes", "rr_after_ms", 1, np.inf), "infinite"),
        (changed("shapes", "distance", (1, 1), np.inf), "infinite"),
        (changed("pulses", "end_sample", 1, 1200), "sample of a hop that is not there"),
        (changed("pulses", "sample", 1, 1001), "sample that is not before"),
        (changed("pulses", "wave", 1, 2), "wave that is not there"),
    ],
)
def test_absurd_signs_are_refused(signs: Signs, what: str) -> None:
    """Signs are in order, within the signal seen, of hops and waves that are there, and finite."""
    before = signs_message(some_signs())
    with pytest.raises(InvalidMessage, match=what):
        decode_bundle(encode_bundle([before, signs_message(signs)]))


@given(st.lists(st.binary(max_size=200), max_size=7))
def test_any_bytes_are_refused_or_decoded(frames: list[bytes]) -> None:
    """No bytes make a decoder raise anything but InvalidMessage."""
    with pytest.raises(InvalidMessage):
        decode_bundle(frames)
    with pytest.raises(InvalidMessage):
        decode_message(frames)
    for decode in (decode_lifecycle, decode_request, decode_reply):
        with pytest.raises(InvalidMessage):
            decode(frames[0] if frames else b"")


@given(st.data())
def test_a_flipped_byte_is_harmless(data: st.DataObject) -> None:
    """One changed byte of a true message is refused or decoded, never an error of another kind."""
    frames = encode_bundle(MESSAGES)
    which = data.draw(st.integers(0, len(frames) - 1))
    at = data.draw(st.integers(0, len(frames[which]) - 1))
    changed = bytearray(frames[which])
    changed[at] = data.draw(st.integers(0, 255))
    frames[which] = bytes(changed)
    try:
        decode_bundle(frames)
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
    for request in (
        ReplayRequest(after=3),
        ThresholdRequest(patient="119", factor=1.05),
        MarkRequest(patient="119", family=3, word="always", by="ana", journal="9f2c41aa"),
        AckRequest(patient="119", by="ana"),
    ):
        assert decode_request(encode_json(request)) == request
    nameless = b'{"type":"ack","patient":"119"}'  # as clients sent it before
    assert decode_request(nameless) == AckRequest("119")
    stream = Stream("119", "119", LEADS, 360.0, 0, 650_000)
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


@pytest.mark.parametrize(
    "changes", [{"family": 0}, {"word": "fine"}, {"patient": None}, {"by": "n" * 129}]
)
def test_absurd_words_are_refused(changes: dict[str, object]) -> None:
    """A word is of one family of one patient, and one of three."""
    asked = {"type": "mark", "patient": "119", "family": 3, "word": "normal", **changes}
    with pytest.raises(InvalidMessage):
        decode_request(msgspec.json.encode(asked))


def test_families_survive_and_take_little_room() -> None:
    """What is usual of a family is not sent: of a ward's patients most tell none at all."""
    families = [FamilyStatus(3, 120, 12), FamilyStatus(4, 2, 1, "normal", True, [0, 100, -20])]
    sent = status(patients=[patient_status(families=families), patient_status(patient="q")])
    topic, body = encode_message(sent)
    assert decode_message([topic, body]) == sent
    assert b'{"number":3,"beats":120,"per_minute":12}' in body


def test_quality_is_named() -> None:
    """Flags have names; a good beat has none."""
    assert quality_names(0) == []
    assert quality_names(int(Quality.NOISY | Quality.MISSING)) == ["noisy", "missing"]
