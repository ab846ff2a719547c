"""The bytes of every message in `wire`; every decoder raises InvalidMessage and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, groupby, islice
from typing import Annotated, Any, Generic, NamedTuple, Protocol, TypeVar

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from monitor.errors import InvalidMessage
from monitor.wire.bytes_of_signs import decode_signs, encode_signs, sign_bytes
from monitor.wire.messages import (
    BEAT_COLUMNS,
    MAX_BEAT_VALUE,
    MAX_BUNDLE,
    MAX_JSON_BYTES,
    MAX_REPLY_BYTES,
    MAX_SAMPLES,
    MAX_STATE_BYTES,
    MAX_WINDOWS,
    Alert,
    BeatsHeader,
    BeatsMessage,
    EndHeader,
    HealthHeader,
    Lifecycle,
    Message,
    Reply,
    Request,
    SamplesHeader,
    SamplesMessage,
    ShedHeader,
    StageMessage,
    Status,
    Technical,
    stretches,
)
from segmenter.beat import Beats, Quality

BUNDLE_BYTES = 1 << 22  # beside headers; a single message may be larger
BUNDLE_FRAMES = ("headers", "samples", "columns", "lead_quality", "beats", "signs", "states")

T_co = TypeVar("T_co", covariant=True)
Sent = TypeVar("Sent", bound=Message)

_msgpack = msgspec.msgpack.Encoder()
_json = msgspec.json.Encoder()
_StageHeader = SamplesHeader | BeatsHeader | EndHeader | ShedHeader | HealthHeader
_headers = msgspec.msgpack.Decoder(Annotated[list[_StageHeader], Meta(max_length=MAX_BUNDLE)])
_State = Annotated[bytes, Meta(max_length=MAX_STATE_BYTES)]
_states = msgspec.msgpack.Decoder(Annotated[list[_State], Meta(max_length=MAX_BUNDLE)])
_lifecycle: msgspec.msgpack.Decoder[Lifecycle] = msgspec.msgpack.Decoder(Lifecycle)
_message: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)
_numbered: msgspec.json.Decoder[Alert | Technical] = msgspec.json.Decoder(Alert | Technical)
_request: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_reply: msgspec.json.Decoder[Reply] = msgspec.json.Decoder(Reply)
# Plain numbers: an IntFlag takes a microsecond to combine, and each beat is asked for all of them.
_QUALITY_NAMES = [(int(flag), flag.name.lower()) for flag in Quality if flag and flag.name]


def in_bundles(messages: Sequence[StageMessage]) -> Iterator[list[StageMessage]]:
    """Divide messages, in order, into bundles of a bounded size."""
    bundle: list[StageMessage] = []
    size = 0
    for message in messages:
        n_bytes = _data_bytes(message)
        if bundle and (len(bundle) == MAX_BUNDLE or size + n_bytes > BUNDLE_BYTES):
            yield bundle
            bundle, size = [], 0
        bundle.append(message)
        size += n_bytes
    if bundle:
        yield bundle


def _data_bytes(message: StageMessage) -> int:
    match message:
        case SamplesMessage(samples=samples):
            return samples.nbytes
        case BeatsMessage(header=header, state=state):
            values = 4 * header.n_beats * len(header.leads) * header.length
            return values + sign_bytes(header) + len(state)
        case _:
            return 0


def encode_bundle(messages: Sequence[StageMessage]) -> list[bytes]:
    """Return the frames of messages between stages, of those that `in_bundles` lays together."""
    samples = [one.samples for one in messages if isinstance(one, SamplesMessage)]
    of_beats = [one for one in messages if isinstance(one, BeatsMessage)]
    beats = stretches(of_beats)
    columns = np.empty(sum(map(len, beats)), BEAT_COLUMNS)
    if beats:
        for name in BEAT_COLUMNS.names or ():
            columns[name] = np.concatenate([getattr(one, name) for one in beats])
    return [
        _msgpack.encode([_header_of(one) for one in messages]),
        _joined(samples),
        columns.tobytes(),
        b"".join([one.lead_quality.astype("<u2", copy=False).tobytes() for one in beats]),
        _joined([one.values for one in beats]),
        encode_signs([one.signs for one in of_beats if one.signs is not None]),
        _msgpack.encode([one.state for one in of_beats]),
    ]


def _header_of(message: StageMessage) -> _StageHeader:
    return message.header if isinstance(message, (SamplesMessage, BeatsMessage)) else message


def _joined(arrays: list[NDArray[np.float32]]) -> bytes:
    return b"".join([array.astype("<f4", copy=False).tobytes() for array in arrays])


def decode_bundle(frames: Sequence[bytes]) -> list[StageMessage]:
    """Check and unpack messages between stages; their arrays are views of the frames.

    Raises
    ------
    InvalidMessage
        If the frames are no such messages, all of them whole and within bounds.
    """
    if len(frames) != len(BUNDLE_FRAMES):
        raise InvalidMessage(f"{len(frames)} frames; a bundle has {', '.join(BUNDLE_FRAMES)}")
    headers = _decode(_headers, frames[0])
    for header in headers:
        if isinstance(header, (SamplesHeader, BeatsHeader, ShedHeader)):
            _require_leads(header)
    of_beats = [one for one in headers if isinstance(one, BeatsHeader)]
    n_samples = sum(
        one.n_samples * (len(one.leads) + len(one.waves))
        for one in headers
        if isinstance(one, SamplesHeader)
    )
    n_beats = sum(one.n_beats for one in of_beats)
    n_cut = sum(one.n_beats * len(one.leads) for one in of_beats)
    n_values = sum(one.n_beats * len(one.leads) * one.length for one in of_beats)
    sizes = [4 * n_samples, n_beats * BEAT_COLUMNS.itemsize, 2 * n_cut, 4 * n_values]
    sizes.append(sum(sign_bytes(one) for one in of_beats))
    _require_sizes(frames[1:6], sizes)
    samples = np.frombuffer(frames[1], "<f4")
    beats = iter(_decode_beats(of_beats, *frames[2:]))
    messages: list[StageMessage] = []
    first = 0
    for header in headers:
        match header:
            case SamplesHeader():
                n_lines = len(header.leads) + len(header.waves)
                stop = first + n_lines * header.n_samples
                block = samples[first:stop].reshape(n_lines, header.n_samples)
                messages.append(SamplesMessage(header, block))
                first = stop
            case BeatsHeader():
                messages.append(next(beats))
            case _:
                messages.append(header)
    return messages


def _decode_beats(
    headers: list[BeatsHeader],
    columns_frame: bytes,
    quality_frame: bytes,
    values_frame: bytes,
    signs_frame: bytes,
    states_frame: bytes,
) -> list[BeatsMessage]:
    """Check and unpack the beats of a bundle, whose sizes are checked."""
    states = _decode(_states, states_frame)
    if len(states) != len(headers):
        raise InvalidMessage(f"{len(states)} states of {len(headers)} messages with beats")
    rows = np.frombuffer(columns_frame, BEAT_COLUMNS)
    columns = {name: np.ascontiguousarray(rows[name]) for name in BEAT_COLUMNS.names or ()}
    values, quality = np.frombuffer(values_frame, "<f4"), np.frombuffer(quality_frame, "<u2")
    if not (np.abs(values) <= MAX_BEAT_VALUE).all():  # NaN is not
        raise InvalidMessage("a beat holds values that are not finite, or absurd")
    _require_order(headers, columns["r_sample"])
    _require_closed(headers, columns)
    signs = iter(decode_signs(headers, signs_frame))
    messages: list[BeatsMessage] = []
    row = cut = first = 0
    unpacked = iter(zip(headers, states, strict=True))
    for (leads, length), alike in groupby(headers, lambda one: (len(one.leads), one.length)):
        n_beats = [header.n_beats for header in alike]
        stop, last_cut = row + sum(n_beats), cut + sum(n_beats) * leads
        end = first + sum(n_beats) * leads * length
        together = Beats(
            values=values[first:end].reshape(-1, leads, length),
            lead_quality=quality[cut:last_cut].reshape(-1, leads),
            **{name: column[row:stop] for name, column in columns.items()},
        )
        begins = accumulate(n_beats, initial=0)
        messages += [
            BeatsMessage(header, together, state, begin, next(signs))
            for begin, (header, state) in zip(begins, islice(unpacked, len(n_beats)), strict=False)
        ]
        row, cut, first = stop, last_cut, end
    return messages


def _require_leads(header: SamplesHeader | BeatsHeader | ShedHeader) -> None:
    """Raise InvalidMessage unless the leads differ, are those of the events, and fit a message."""
    leads = header.leads
    names = leads if isinstance(header, ShedHeader) else [*leads, *header.waves]
    if len(names) > 1 and len(set(names)) < len(names):
        raise InvalidMessage(f"{header.patient}: two leads of one name")
    if isinstance(header, SamplesHeader) and header.n_samples * len(names) > MAX_SAMPLES:
        raise InvalidMessage(f"{header.patient}: more than {MAX_SAMPLES} samples in all leads")
    if isinstance(header, BeatsHeader):
        if header.n_hops * len(leads) > MAX_WINDOWS:
            raise InvalidMessage(f"{header.patient}: more than {MAX_WINDOWS} windows in all leads")
        for event in header.events:
            if event.leads and not set(event.leads).issubset(leads):
                raise InvalidMessage(f"{header.patient}: an event of a lead that is not there")


def _require_order(headers: list[BeatsHeader], r_samples: NDArray[np.int64]) -> None:
    """Raise InvalidMessage unless each message's R peaks rise, within the signal seen."""
    # Differences overflow.
    not_after = set((np.flatnonzero(r_samples[1:] <= r_samples[:-1]) + 1).tolist())
    of_row: list[int] = r_samples.tolist()
    row = 0
    for header in headers:
        begin, row = row, row + header.n_beats
        if row > begin:
            not_after.discard(begin)  # the R peak before is another message's
            if of_row[begin] < 0 or of_row[row - 1] > header.position:
                raise InvalidMessage(f"{header.patient}: an R peak outside of the signal seen")
    if not_after:
        raise InvalidMessage("R peaks are not in rising order")


def _require_closed(headers: list[BeatsHeader], columns: dict[str, NDArray[Any]]) -> None:
    """Raise InvalidMessage unless each beat closed behind its R peak, within the signal seen."""
    counts = [header.n_beats for header in headers]
    seen = np.repeat(np.array([header.position for header in headers], np.int64), counts)
    closed = columns["closed_sample"]
    if (closed < columns["r_sample"]).any() or (closed > seen).any():
        raise InvalidMessage("a beat that closed before its R peak, or outside of the signal seen")


def _require_sizes(frames: Sequence[bytes], sizes: list[int]) -> None:
    if [len(frame) for frame in frames] != sizes:
        got = ", ".join(str(len(frame)) for frame in frames[:8])
        raise InvalidMessage(f"data frames of [{got}] bytes, the header announces {sizes}")


def encode_lifecycle(message: Lifecycle) -> bytes:
    """Return the one frame between a stage and its supervisor."""
    return _msgpack.encode(message)


def decode_lifecycle(frame: bytes) -> Lifecycle:
    """Check and unpack a frame between a stage and its supervisor; InvalidMessage otherwise."""
    return _decode(_lifecycle, frame)


class Encoded(NamedTuple, Generic[Sent]):
    """A message to the world with its JSON: encoded once, for the journal and for the socket."""

    message: Sent
    json: bytes

    @property
    def frames(self) -> list[bytes]:
        """The two frames that are sent: topic and JSON."""
        return [topic_of(self.message).encode(), self.json]


def encoded(message: Sent) -> Encoded[Sent]:
    """Encode a message to the world."""
    return Encoded(message, _json.encode(message))


def all_encoded(messages: Iterable[Sent]) -> list[Encoded[Sent]]:
    """Encode messages to the world."""
    return [encoded(one) for one in messages]


def encode_message(message: Message) -> list[bytes]:
    """Return the two frames, topic and JSON, of a message to the world."""
    return encoded(message).frames


def decode_message(frames: Sequence[bytes]) -> Message:
    """Check and unpack topic and JSON; InvalidMessage if they are not such a message."""
    if len(frames) != 2 or len(frames[1]) > MAX_JSON_BYTES:
        raise InvalidMessage("a message to the world has two frames, topic and JSON")
    message = _decode(_message, frames[1])
    if topic_of(message).encode() != frames[0]:
        raise InvalidMessage("topic and JSON speak of different things")
    return message


def decode_numbered(text: bytes) -> Alert | Technical:
    """Check and unpack an alert as it was kept; InvalidMessage if it is not one."""
    return _decode(_numbered, text)


def encode_json(value: Message | Request | Reply) -> bytes:
    """Return the JSON of a message, request or reply."""
    return _json.encode(value)


def decode_request(frame: bytes) -> Request:
    """Check and unpack a request; InvalidMessage if it is not one."""
    return _decode(_request, frame)


def decode_reply(frame: bytes) -> Reply:
    """Check and unpack a reply; InvalidMessage if it is not one."""
    return _decode(_reply, frame)


class _Decoder(Protocol[T_co]):
    def decode(self, buf: bytes, /) -> T_co: ...


def _decode(decoder: _Decoder[T_co], frame: bytes) -> T_co:
    if len(frame) > MAX_REPLY_BYTES:
        raise InvalidMessage(f"{len(frame)} bytes; at most {MAX_REPLY_BYTES}")
    try:
        return decoder.decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidMessage(str(error)) from error


def topic_of(message: Message) -> str:
    """Return the topic a message is published under: its type, and the patient if it has one."""
    match message:
        case Status():
            return "status"
        case _:
            kind = type(message).__struct_config__.tag
            return f"{kind}.{message.patient}"


def quality_names(flags: int) -> list[str]:
    """Return the names of a beat's quality flags; an empty list is a good beat."""
    return [name for bit, name in _QUALITY_NAMES if bit & flags] if flags else []


def numbers_or_none(values: NDArray[np.float32], decimals: int) -> list[float | None]:
    """Return rounded values, with None for NaN and infinities."""
    rounded: list[float | None] = np.round(values.astype(np.float64), decimals).tolist()
    for index in np.flatnonzero(~np.isfinite(values)).tolist():
        rounded[index] = None
    return rounded
