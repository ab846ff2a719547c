"""The decoders of messages and of what stands in files, but for states and models."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np

from model.ecg5000 import read_ecg5000
from model.errors import InvalidDataset
from monitor.detection.rules import parse_rules, rules_text
from monitor.errors import InvalidKeys, InvalidMessage, InvalidOption, RecordError
from monitor.settings import (
    ConsumerSettings,
    ProducerSettings,
    Resume,
    Rules,
    SegmenterSettings,
    decode_settings,
    encode_settings,
)
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.sources.wfdb_header import parse_header
from monitor.sources.wfdb_record import WfdbRecord
from monitor.wire import codec
from monitor.wire.curve_keys import init_keys, load_keys
from monitor.wire.messages import BEAT_COLUMNS
from tools import fuzz_seeds as valid
from tools.fuzz_damage import (
    damage_floats,
    damage_json,
    damage_msgpack,
    damage_text,
    damage_tree,
    either,
    join_frames,
    json_bytes,
    msgpack_bytes,
    split_frames,
)
from tools.fuzz_decoder import Decoder

ECG5000_SAMPLES = 20  # short lines: more cases


def bundles(_: Path) -> Decoder:
    """Messages between stages; data frames are cut to what damaged headers announce."""
    return Decoder(
        decode=lambda case: codec.decode_bundle(split_frames(case)),
        refusals=(InvalidMessage,),
        seeds=(seeds := tuple(join_frames(frames) for frames in valid.bundles())),
        damage=either(damage_stage_frames, seeds),
    )


def damage_stage_frames(case: bytes, chance: Random) -> bytes:
    """Damage the headers or the data of a bundle, and make the sizes right again."""
    frames = split_frames(case)
    if chance.random() < 0.3 and len(frames) > 1:
        at = chance.randrange(1, len(frames))
        frames[at] = damage_floats(frames[at], chance, "<f4")
        return join_frames(frames)
    headers = damage_tree(msgspec.msgpack.decode(frames[0]), chance)
    frames[0] = msgpack_bytes(headers)
    if isinstance(headers, list) and chance.random() < 0.7:
        for at, size in enumerate(_announced(headers), 1):
            if at < len(frames):
                filled = frames[at] or bytes(1)
                frames[at] = (filled * (1 + size // len(filled)))[:size]
    if chance.random() < 0.1:
        chance.shuffle(frames)
    return join_frames(frames)


def _announced(headers: list[Any]) -> tuple[int, int, int]:
    """Return the bytes of samples, columns and beats that headers announce, if not too many."""
    n_samples = n_beats = n_values = 0
    few = range(1 << 14)
    for header in headers:
        if not isinstance(header, dict):
            continue
        n, length, samples = (header.get(name) for name in ("n_beats", "length", "n_samples"))
        if isinstance(n, int) and isinstance(length, int) and n in few and n * length in few:
            n_beats, n_values = n_beats + n, n_values + n * length
        if isinstance(samples, int) and samples in few:
            n_samples += samples
    return 4 * n_samples, n_beats * BEAT_COLUMNS.itemsize, 4 * n_values


def world_messages(_: Path) -> Decoder:
    """Topic and JSON, as a subscriber gets them."""
    return Decoder(
        decode=lambda case: codec.decode_message(split_frames(case)),
        refusals=(InvalidMessage,),
        seeds=(seeds := tuple(join_frames(frames) for frames in valid.world_messages())),
        damage=either(_damage_world_frames, seeds),
    )


def _damage_world_frames(case: bytes, chance: Random) -> bytes:
    topic, text = split_frames(case)
    tree = damage_tree(json.loads(text), chance)
    if chance.random() < 0.3 and isinstance(tree, dict):  # the topic of what it says now
        named = (tree.get("type"), tree.get("patient"))
        topic = ".".join(name for name in named if isinstance(name, str)).encode()
    return join_frames([topic, json_bytes(tree)])


def kept_alerts(_: Path) -> Decoder:
    """Alerts as journal and inbox keep them."""
    return _json_decoder(codec.decode_numbered, InvalidMessage, valid.numbered())


def requests(_: Path) -> Decoder:
    """What a client asks of the monitor."""
    return _json_decoder(codec.decode_request, InvalidMessage, valid.requests())


def replies(_: Path) -> Decoder:
    """What a monitor answers to a client."""
    return _json_decoder(codec.decode_reply, InvalidMessage, valid.replies())


def stage_settings(_: Path) -> Decoder:
    """What a stage is told on its standard input."""
    seeds = (
        ProducerSettings(records=["a", "b"], samples="ipc:///x", start_s=1.0),
        SegmenterSettings(samples="ipc:///x", beats="ipc:///y", wave="ipc:///z", window="rr"),
        ConsumerSettings(beats="ipc:///y", alerts="ipc:///w", journal="/j", learn_s=300.0),
        ConsumerSettings(beats="b", alerts="a", journal="j", resume=[Resume("p", 5, b"\x00state")]),
    )
    return _json_decoder(decode_settings, InvalidOption, [encode_settings(one) for one in seeds])


def _json_decoder(
    decode: Callable[[bytes], object], refusal: type[Exception], seeds: Sequence[bytes]
) -> Decoder:
    return Decoder(decode, (refusal,), tuple(seeds), either(damage_json, seeds))


def lifecycle(_: Path) -> Decoder:
    """Frames between a stage and its supervisor."""
    seeds = tuple(map(codec.encode_lifecycle, valid.lifecycle()))
    return Decoder(codec.decode_lifecycle, (InvalidMessage,), seeds, either(damage_msgpack, seeds))


def rules(_: Path) -> Decoder:
    """Alert rules, as TOML."""
    seeds = (
        rules_text(Rules()).encode(),
        b"[episode]\nn = 2\nm = 3\nclear_ratio = 0.9\nlatch = false\n",
        b'episode = {n = 1, m = 1}\n[technical]\n"stage_down_s" = 10.5\n',
    )
    return Decoder(parse_rules, (InvalidOption,), seeds, either(damage_text, seeds))


_HEADERS = (
    b"100 2 360 650000 0:0:0 16/03/2010\n100.dat 212 200 11 1024 995 -22131 0 MLII\n"
    b"100.dat 212 200 11 1024 1011 20052 0 V5\n# 69 M 1085 1629 x1\n",
    b"rec 1 250/1(0) 7500\nrec.dat 16x4:2+24 1000.5(-12)/uV 16 0 0 0 0 ECG lead II\n",
    b"multi/3 2 250 3000\nlayout 0\nseg_1 1500\n~ 1500\n",
)


def wfdb_headers(_: Path) -> Decoder:
    """Headers of WFDB records, without their signals."""
    return Decoder(
        decode=lambda case: parse_header(case.decode("latin-1"), Path("rec")),
        refusals=(RecordError,),
        seeds=_HEADERS,
        damage=either(damage_text, _HEADERS),
    )


def wfdb_records(folder: Path) -> Decoder:
    """Whole records: the header is read, then the first ten seconds of the signal."""
    settings = SimulationSettings(hours=15 / 3600, seed=1)
    write_record(folder / "simulated", settings)
    frames = [(folder / f"simulated{suffix}").read_bytes() for suffix in (".hea", ".dat")]
    header, signal = frames[0].replace(b"simulated", b"rec"), frames[1]
    one = b"rec 1 250 3750\nrec.dat 16 200/mV 16 0 0 0 0 I\n"
    seeds = tuple(
        join_frames(pair)
        for pair in (
            (header, signal),
            (one, np.zeros(3750, "<i2").tobytes()),
            (one.replace(b" 16 200", b" 8 200"), bytes(range(250)) * 15),
            (one.replace(b" 16 200", b" 80 200"), bytes(range(250)) * 15),
            (one.replace(b" 16 200", b" 310 200"), bytes(range(250)) * 20),
            (one.replace(b" 16 200", b" 32x2:3+8 2e5(7)"), bytes(range(250)) * 121),
        )
    )

    def decode(case: bytes) -> object:
        header, signal = [*split_frames(case), b"", b""][:2]
        (folder / "rec.hea").write_bytes(header)
        (folder / "rec.dat").write_bytes(signal)
        with WfdbRecord.open(folder / "rec") as record:
            stop = min(record.n_samples, round(10 * record.fs_hz))
            return record.read(0, stop), record.read(record.n_samples - 1, record.n_samples)

    return Decoder(decode, (RecordError,), seeds, either(_damage_record, seeds), most_mb=256)


def _damage_record(case: bytes, chance: Random) -> bytes:
    header, signal = split_frames(case)
    header = damage_text(header, chance)
    if chance.random() < 0.2:
        signal = signal[: chance.randrange(len(signal) + 1)]
    return join_frames([header, signal])


def keys(folder: Path) -> Decoder:
    """Key files: the monitor's pair, and a client's public key."""
    init_keys(folder / "keys")
    pair = (folder / "keys" / "server.secret").read_bytes()
    public = (folder / "keys" / "client.public").read_bytes()
    seeds = (join_frames([pair, public]), join_frames([pair.replace(b"\n", b"\r\n"), public]))

    def decode(case: bytes) -> object:
        frames = [*split_frames(case), b"", b""]
        (folder / "keys" / "server.secret").write_bytes(frames[0])
        (folder / "keys" / "authorised" / "own.public").write_bytes(frames[1])
        return load_keys(folder / "keys")

    return Decoder(decode, (InvalidKeys,), seeds, either(_damage_frames_as_text, seeds))


def _damage_frames_as_text(case: bytes, chance: Random) -> bytes:
    frames = split_frames(case)
    at = chance.randrange(len(frames))
    frames[at] = damage_text(frames[at], chance)
    return join_frames(frames)


def ecg5000(folder: Path, suffix: str) -> Decoder:
    """A data set of ECG5000, in one of its published forms."""
    path = folder / f"beats{suffix}"
    seeds = (valid.ecg5000(suffix, ECG5000_SAMPLES),)

    def decode(case: bytes) -> object:
        path.write_bytes(case)
        return read_ecg5000(path, ECG5000_SAMPLES)

    return Decoder(decode, (InvalidDataset,), seeds, either(damage_text, seeds))


ecg5000_txt = partial(ecg5000, suffix=".txt")
ecg5000_arff = partial(ecg5000, suffix=".arff")
ecg5000_ts = partial(ecg5000, suffix=".ts")
