"""The decoders that are fuzzed: what is valid, how it is damaged, what each may raise."""

from __future__ import annotations

import json
import sqlite3
import struct
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import ANY, patch

import msgspec
import numpy as np
from hypothesis import strategies as st

from model.autoencoder import LstmAutoencoder
from model.checkpoint import METADATA_KEY, Checkpoint, load_checkpoint, save_checkpoint
from model.config import AutoencoderConfig
from model.ecg5000 import read_ecg5000
from model.errors import InvalidCheckpoint, InvalidConfig, InvalidDataset
from model.scoring import Scorer
from model.thresholds import Threshold
from model.tracking import Normal
from model.training import Trainer
from model.training_config import TrainingConfig
from model.training_file import METADATA_KEY as TRAINING_KEY
from model.training_file import load_training, save_training
from monitor.detection.engine import Engine
from monitor.detection.model_store import ModelStore
from monitor.detection.rules import parse_rules
from monitor.errors import (
    InvalidKeys,
    InvalidMessage,
    InvalidOption,
    JournalFailed,
    RecordError,
    SpecMismatch,
)
from monitor.journal.writer import Journal, stored
from monitor.settings import ConsumerSettings, decode_settings
from monitor.sources.inbox import SampleInbox
from monitor.sources.kinds import open_record
from monitor.sources.push import PushedStreams
from monitor.sources.sample_lines import SampleLines
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.sources.source import SourceOptions
from monitor.sources.wfdb_header import parse_header
from monitor.sources.wfdb_record import WfdbRecord
from monitor.wire import codec
from monitor.wire import messages as wire
from monitor.wire.bytes_of_signs import sign_bytes
from monitor.wire.curve_keys import init_keys, load_keys
from monitor.wire.pushed_samples import PushRefusal
from segmenter.bank import MAGIC
from segmenter.beat import Beats, BeatSpec
from segmenter.errors import InvalidState
from segmenter.signs import Signs
from segmenter.stream import Segmenter
from tests.fuzz_damage import (
    Damage,
    damage_floats,
    damage_json,
    damage_msgpack,
    damage_one_frame,
    damage_text,
    damage_tree,
    damaged,
    join_frames,
    json_bytes,
    msgpack_bytes,
    split_frames,
)
from tests.messages import WALL_TIME
from tests.monitor.sources.edf_files import EdfLead, write_edf

CORPUS = Path(__file__).with_name("corpus")
ECG5000_SAMPLES = 20  # short lines: more cases
SPEC = BeatSpec(length=16)  # short beats and few weights: more cases
CONFIG = AutoencoderConfig(length=16, embedding=2, samples_per_step=4)
FS_HZ = 250
SENT: dict[str, Any] = {
    "version": 5,
    "patient": "119",
    "record": "119",
    "sequence": 7,
    "sent_ns": 123,
    "position": 2000,
}
OF_BEATS: dict[str, Any] = {
    "fs_hz": 360.0,
    "spec": BeatSpec().identity,
    "length": 140,
    "n_beats": 0,
    "events": [wire.RecordEvent("noisy", "onset", 1500)],
    "stretch": 12,
    "first_sample": 40,
}


Decode = Callable[[bytes], object]
Refusal = type[Exception]


@dataclass(frozen=True)
class Decoder:
    """A decoder, valid input for it, how to damage that, and what it may raise.

    Attributes
    ----------
    decode : callable
        Takes a case; what it accepts is also used as the monitor would.
    refusals : tuple of exception types
        All that it may raise.
    seeds : sequence of bytes
        Cases that it accepts.
    damage : callable
        Damages the values that a case holds.
    most_s, most_mb : float
        Processor time and memory that a case may take; Hypothesis needs some of the memory.
    """

    decode: Decode
    refusals: tuple[Refusal, ...]
    seeds: Sequence[bytes]
    damage: Damage
    most_s: float = 2.0
    most_mb: int = 128

    @property
    def cases(self) -> st.SearchStrategy[bytes]:
        """Return what Hypothesis draws its cases from."""
        return damaged(self.seeds, self.damage)


class Broken(Exception):
    """What was accepted led to something that the next decoder refuses."""


HEADER_BYTES = 1024  # of an EDF file of three signals
Build = Callable[[Path], Decoder]  # of a module, so that another process finds it


def valid(name: str) -> list[bytes]:
    """Return what the corpus holds of valid input: of every type a message, with all its fields."""
    return [path.read_bytes() for path in sorted((CORPUS / name).glob("valid-*.accepted"))]


# --- messages ---------------------------------------------------------------------------------


def some_beats(n: int, length: int, leads: int = 1) -> Beats:
    """Return standardised beats, one a second of 360 Hz, alike in all leads."""
    shape = np.sin(np.linspace(0, 6, length))
    shape = ((shape - shape.mean()) / shape.std(ddof=1)).astype(np.float32)
    return Beats(
        r_sample=100 + 360 * np.arange(n, dtype=np.int64),
        rr_before_ms=np.full(n, 1000, np.float32),
        rr_after_ms=np.full(n, 1000, np.float32),
        delay_ms=np.full(n, 250, np.float32),
        closed_sample=460 + 360 * np.arange(n, dtype=np.int64),
        quality=np.zeros(n, np.uint16),
        values=np.tile(shape, (n, leads, 1)),
        lead_quality=np.zeros((n, leads), np.uint16),
    )


def beats_message(
    beats: Beats, state: bytes = b"", signs: Signs | None = None, **changes: Any
) -> wire.BeatsMessage:
    """Return a message of beats and signs."""
    _, n_leads, length = beats.values.shape
    leads = ["MLII", *(f"V{number}" for number in range(1, n_leads))]
    values = {"leads": leads, **SENT, **OF_BEATS, **changes}
    values |= {"length": length, "n_beats": len(beats)}
    if signs is not None:
        counted = (signs.end_sample, signs.complexes, signs.pulses)
        values |= zip(("n_hops", "n_complexes", "n_pulses"), map(len, counted), strict=True)
    return wire.BeatsMessage(wire.BeatsHeader(**values), beats, state, 0, signs)


def damage_stage_frames(draw: st.DrawFn, case: bytes) -> bytes:
    """Damage the headers or the data of a bundle, and make the sizes right again."""
    frames = split_frames(case)
    if len(frames) > 1 and draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(1, len(frames) - 1))
        frames[at] = damage_floats(draw, frames[at])
        return join_frames(frames)
    headers = damage_tree(draw, msgspec.msgpack.decode(frames[0]))
    frames[0] = msgpack_bytes(headers)
    if isinstance(headers, list) and draw(st.integers(0, 3)):
        for at, size in enumerate(_announced(headers)[: len(frames) - 1], 1):
            filled = frames[at] or bytes(1)
            frames[at] = (filled * (1 + size // len(filled)))[:size]
    return join_frames(frames)


def _announced(headers: list[Any]) -> tuple[int, int, int, int, int]:
    """Return the bytes that headers announce of each data frame, if not too many.

    Samples, columns, qualities, beats and signs.
    """
    n_samples = n_beats = n_cut = n_values = n_signs = 0
    few = range(1 << 14)
    for header in headers:
        if not isinstance(header, dict):
            continue
        n, length, samples = (header.get(name) for name in ("n_beats", "length", "n_samples"))
        leads = len(header["leads"]) if isinstance(header.get("leads"), list) else 1
        waves = len(header["waves"]) if isinstance(header.get("waves"), list) else 0
        if isinstance(n, int) and isinstance(length, int) and n in few and n * length in few:
            n_beats, n_cut, n_values = n_beats + n, n_cut + n * leads, n_values + n * leads * length
        if isinstance(samples, int) and samples in few:
            n_samples += (leads + waves) * samples
        counts: dict[str, Any] = {n: header.get(n) for n in ("n_hops", "n_complexes", "n_pulses")}
        if all(isinstance(n, int) and n in few for n in counts.values()):
            names: dict[str, Any] = {"leads": ["I"] * leads, "waves": ["P"] * waves}
            signs = wire.BeatsHeader(**SENT, **OF_BEATS, **names, **counts)
            n_signs += sign_bytes(signs)
    sizes = 4 * n_samples, n_beats * wire.BEAT_COLUMNS.itemsize, 2 * n_cut, 4 * n_values
    return *sizes, n_signs


def _damage_world_frames(draw: st.DrawFn, case: bytes) -> bytes:
    topic, text = split_frames(case)
    tree = damage_tree(draw, json.loads(text))
    if isinstance(tree, dict) and draw(st.booleans()):  # the topic of what it says now
        named = (tree.get("type"), tree.get("patient"))
        topic = ".".join(name for name in named if isinstance(name, str)).encode(errors="replace")
    return join_frames([topic, json_bytes(tree)])


def document(_: Path, name: str, decode: Decode, damage: Damage, refusal: Refusal) -> Decoder:
    """Bytes or frames that are a document: messages, settings, rules, headers."""
    return Decoder(decode, (refusal,), valid(name), damage)


def _document(
    name: str, decode: Decode, damage: Damage = damage_json, refusal: Refusal = InvalidMessage
) -> Build:
    return partial(document, name=name, decode=decode, damage=damage, refusal=refusal)


def _decode_bundle(case: bytes) -> object:
    return codec.decode_bundle(split_frames(case))


def _decode_message(case: bytes) -> object:
    return codec.decode_message(split_frames(case))


def _take_pushed(case: bytes) -> object:
    inbox = SampleInbox()
    reply = PushedStreams(inbox).take(b"sender", split_frames(case), 0.0)
    if isinstance(reply, PushRefusal):
        raise InvalidMessage(reply.reason)
    return inbox.take()


def _damage_pushed(draw: st.DrawFn, case: bytes) -> bytes:
    text, *others = split_frames(case)
    return join_frames([json_bytes(damage_tree(draw, json.loads(text))), *others])


def _read_lines(case: bytes) -> object:
    lines = SampleLines("case", SourceOptions(fs_hz=FS_HZ))
    pieces = lines.feed(case, ended=True)
    if lines.stream is None:
        raise RecordError("no sample")
    return pieces


def _parse_header(case: bytes) -> object:
    return parse_header(case.decode("latin-1"), Path("rec"))


# --- files ------------------------------------------------------------------------------------


def wfdb_records(folder: Path) -> Decoder:
    """Whole records: the header is read, then the first ten seconds of the signal."""
    write_record(folder / "simulated", SimulationSettings(hours=15 / 3600, seed=1))
    header, signal = ((folder / f"simulated{end}").read_bytes() for end in (".hea", ".dat"))
    seeds = [join_frames((header.replace(b"simulated", b"rec"), signal))]
    for form in (b"16 200/mV", b"8 200/mV", b"80 200/mV", b"310 200/mV", b"32x2:3+8 2e5(7)/mV"):
        one = b"rec 1 250 3750\nrec.dat " + form + b" 16 0 0 0 0 I\n"
        seeds.append(join_frames((one, bytes(range(250)) * 121)))

    def decode(case: bytes) -> object:
        header, signal = [*split_frames(case), b"", b""][:2]
        (folder / "rec.hea").write_bytes(header)
        (folder / "rec.dat").write_bytes(signal)
        with WfdbRecord.open(folder / "rec") as record:
            stop = min(record.n_samples, round(10 * record.fs_hz))
            return record.read(0, stop), record.read(record.n_samples - 1, record.n_samples)

    return Decoder(decode, (RecordError,), seeds, _damage_record, most_mb=256)


def _damage_record(draw: st.DrawFn, case: bytes) -> bytes:
    header, signal = split_frames(case)
    signal = signal[: draw(st.just(len(signal)) | st.integers(0, len(signal)))]
    return join_frames([damage_text(draw, header), signal])


def files(folder: Path, seeds: Sequence[bytes], options: SourceOptions, damage: Damage) -> Decoder:
    """Records that are one file: the first ten seconds of the signal and its last sample."""
    path = folder / "rec"

    def decode(case: bytes) -> object:
        path.write_bytes(case)
        with open_record(path, options) as record:
            stop = min(record.n_samples, round(10 * record.fs_hz))
            return record.read(0, stop), record.read(record.n_samples - 1, record.n_samples)

    return Decoder(decode, (RecordError,), seeds, damage, most_mb=256)


def edf_records(folder: Path) -> Decoder:
    """EDF, and EDF+D with a gap; damage goes to their headers and annotations."""
    seeds = []
    lead = EdfLead("ECG II", "uV", (-5000, 5000), (-2048, 2047), np.arange(1000, dtype=np.int16))
    for onsets in (None, [0.0, 1.0, 5.5, 6.5]):
        write_edf(folder / "valid.edf", [lead, lead], 250, 1.0, onsets)
        seeds.append((folder / "valid.edf").read_bytes())
    return files(folder, seeds, SourceOptions(), _damage_edf)


def _damage_edf(draw: st.DrawFn, case: bytes) -> bytes:
    """Damage a field of the header, whose length stays, or cut the file."""
    fields = [(184, 8), (192, 44), (236, 8), (244, 8), (252, 4)]
    n_signals = case[:HEADER_BYTES].count(b"ECG II") + case[:HEADER_BYTES].count(b"EDF Annot")
    widths = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)
    first = 256
    for width in widths:
        fields += [(first + width * number, width) for number in range(n_signals)]
        first += width * n_signals
    at, width = draw(st.sampled_from(fields))
    value = draw(st.integers(-(1 << 40), 1 << 40).map(str) | st.floats().map(str) | st.text())
    field = value.encode()[:width].ljust(width)
    return (case[:at] + field + case[at + width :])[: draw(st.integers(0, 2 * len(case)))]


def table_records(folder: Path) -> Decoder:
    """Tables of text: with times, with commas, as Apple Health and Polar write them."""
    rows = [(n / 250, n % 40 / 40) for n in range(300)]
    table = "time [s],II [mV]\n" + "".join(f"{time:.3f},{mv:.3f}\n" for time, mv in rows)
    bare = "".join(f"{mv:.3f};{-mv:.3f}\n" for _, mv in rows).replace(".", ",")
    apple = "Name,X\nSample Rate,250 hertz\n\nLead,Lead I\nUnit,µV\n\n"
    apple += "".join(f"{1000 * mv:.3f}\n" for _, mv in rows)
    polar = "Phone timestamp;sensor timestamp [ns];ecg [uV]\n" + "".join(
        f"2026-04-24T14:10:15.270;{5996 * 10**14 + n * 4_000_000};{1000 * mv:.0f}\n"
        for n, (_, mv) in enumerate(rows)
    )
    seeds = [one.encode() for one in (table, "I (mV);II (mV)\n# fs=250\n" + bare, apple, polar)]
    return files(folder, seeds, SourceOptions(), damage_text)


def npy_records(folder: Path) -> Decoder:
    """Arrays of one and of two leads; damage goes to the header."""
    seeds = []
    for array in (np.sin(np.arange(600) / 9), np.ones((2, 300), np.int16)):
        np.save(folder / "valid.npy", array)
        seeds.append((folder / "valid.npy").read_bytes())
    return files(folder, seeds, SourceOptions(fs_hz=250, units="mV"), _damage_npy)


def _damage_npy(draw: st.DrawFn, case: bytes) -> bytes:
    return case[:10] + damage_text(draw, case[10:128]).ljust(118)[:118] + case[128:]


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

    return Decoder(decode, (InvalidKeys,), seeds, damage_one_frame)


def ecg5000(folder: Path, suffix: str) -> Decoder:
    """A data set of ECG5000, of three short beats, in one of its published forms."""
    path = folder / f"beats.{suffix}"

    def decode(case: bytes) -> object:
        path.write_bytes(case)
        return read_ecg5000(path, ECG5000_SAMPLES)

    return Decoder(decode, (InvalidDataset,), valid(f"ecg5000-{suffix}"), damage_text)


# --- the segmenter ----------------------------------------------------------------------------


def segmenter_states(folder: Path) -> Decoder:
    """States of a segmenter: those that are taken segment one more second."""
    write_record(folder / "simulated", SimulationSettings(hours=40 / 3600, seed=1))
    with WfdbRecord.open(folder / "simulated") as record:
        both = record.read(0, 40 * FS_HZ)
    ecg = both[0]
    noisy = ecg[: 9 * FS_HZ].copy()
    noisy[500:520], noisy[1000:1900] = np.nan, np.nan
    seeds = []
    for segmenter, chunk in (
        (Segmenter(250.0, BeatSpec()), ecg[: 30 * FS_HZ]),
        (Segmenter(250.0, SPEC), ecg[:10]),
        (Segmenter(250.0, SPEC), noisy),
        (Segmenter(128.0, BeatSpec("midpoint", 16)), ecg[: 8 * FS_HZ]),
        (Segmenter(250.0, SPEC, 2), both[:, : 12 * FS_HZ]),
        (Segmenter(250.0, SPEC, 1, 1, measure_signs=True), both[:, : 7 * FS_HZ + 40]),
    ):
        segmenter.update(chunk)
        seeds.append(segmenter.to_bytes())

    def decode(case: bytes) -> object:
        segmenter = Segmenter.from_bytes(case)
        try:
            lines = segmenter.leads + segmenter.waves
            second = np.resize(both[:, 30 * FS_HZ : 31 * FS_HZ], (lines, FS_HZ))
            found = segmenter.update(second)
            state = segmenter.to_bytes()
            Segmenter.from_bytes(state)
            segmenter.flush()
            if segmenter.leads > wire.MAX_LEADS:
                return found  # the segmenter takes more than a message does
            waves = [f"P{k}" for k in range(found.signs.readable.shape[1])]
            if len(waves) > wire.MAX_WAVES:
                return found
            message = beats_message(
                found.beats,
                state,
                found.signs,
                position=segmenter.position,
                waves=waves,
            )
            return codec.decode_bundle(codec.encode_bundle([message]))
        except (InvalidState, InvalidMessage) as error:
            raise Broken(str(error)) from error

    return Decoder(decode, (InvalidState,), seeds, _damage_state)


def _damage_state(draw: st.DrawFn, case: bytes) -> bytes:
    """Damage the plain values or the arrays; length and checksum are made right again."""
    start = len(MAGIC) + 4
    stop = start + int.from_bytes(case[len(MAGIC) : start], "little")
    header, arrays = case[start:stop], case[stop:-4]
    if draw(st.integers(0, 2)):
        header = damage_json(draw, header)
    else:
        arrays = damage_floats(draw, arrays, draw(st.sampled_from(("<f", "<d"))))
    body = MAGIC + struct.pack("<I", len(header)) + header + arrays
    return body + struct.pack("<I", zlib.crc32(body))


# --- judging ----------------------------------------------------------------------------------


class Court:
    """A consumer's judge without its sockets, over a journal in a folder."""

    def __init__(self, folder: Path) -> None:
        self._journal = Journal(folder / "journal.sqlite")
        self._settings = ConsumerSettings(beats="", alerts="", journal=str(folder / "j"))
        self._learner = ThreadPoolExecutor(1)  # never asked: nobody learns here
        self._checkpoint = _checkpoint(0)
        self.rows = sqlite3.connect(folder / "journal.sqlite", isolation_level=None)
        self.rows.execute("PRAGMA synchronous=OFF")

    def engine(self) -> Engine:
        """Return an engine that goes on from the journal."""
        wall_time = WALL_TIME.__str__
        return Engine(
            self._checkpoint,
            self._settings,
            self._journal,
            ModelStore(Path(self._settings.journal).parent, self._journal.identity),
            self._learner,
            wall_time,
        )


def _judged(engine: Engine, message: wire.BeatsMessage) -> None:
    """Judge beats: what is said of them must be a message, and the state one to go on from."""
    engine.admission.check(message)
    engine.admission.hole_before(message)
    for one in engine.step([message], now_ns=10**9).messages:
        try:
            codec.decode_message(codec.encode_message(one))
        except InvalidMessage as error:
            raise Broken(f"a message was said that is none: {error}") from error
    for patient in engine.report().patients:
        msgspec.json.decode(msgspec.json.encode(patient), type=type(patient))


def judged_beats(folder: Path) -> Decoder:
    """Messages of beats, judged: what is said of them must be a message again."""
    court = Court(folder)
    seeds = [join_frames(codec.encode_bundle([_spec_beats(n)])) for n in (1, 4)]

    def decode(case: bytes) -> object:
        messages = codec.decode_bundle(split_frames(case))
        for message in messages:
            if isinstance(message, wire.BeatsMessage):
                _judged(court.engine(), message)
        return messages

    return Decoder(decode, (InvalidMessage, SpecMismatch), seeds, damage_stage_frames)


def journaled_patients(folder: Path) -> Decoder:
    """Rows of a journal from which a patient goes on; then three more beats are judged."""
    court = Court(folder)
    engine = court.engine()
    patient = wire.Stream("119", "119", ["MLII"], 360.0, 0, 650_000)
    engine.expect([patient])
    (progress,) = engine.step([_spec_beats(4)], now_ns=10**9).progress
    later = _spec_beats(3, position=9000, shift=5000)

    def decode(case: bytes) -> object:
        court.rows.execute("INSERT OR REPLACE INTO progress VALUES ('119', ?)", (case,))
        engine = court.engine()
        engine.expect([patient])
        _judged(engine, later)
        return engine

    refusals = (JournalFailed, InvalidCheckpoint)
    return Decoder(decode, refusals, [stored(progress)], _damage_progress)


def _spec_beats(n: int, shift: int = 0, **changes: Any) -> wire.BeatsMessage:
    beats = some_beats(n, SPEC.length)
    message = beats_message(beats, b"s", spec=SPEC.identity, **changes)
    return message._replace(together=beats.moved(shift), first=0)


def _damage_progress(draw: st.DrawFn, case: bytes) -> bytes:
    if draw(st.integers(0, 4)) == 0:
        return damage_msgpack(draw, case)
    progress = msgspec.msgpack.decode(case)
    progress["consumer_state"] = damage_msgpack(draw, progress["consumer_state"])
    return msgspec.msgpack.encode(progress)


# --- models -----------------------------------------------------------------------------------


def _checkpoint(chance: int, normal: Normal | None = None) -> Checkpoint:
    return Checkpoint(
        autoencoder=LstmAutoencoder(CONFIG, chance).trained(),
        spec=SPEC.to_mapping(),
        spec_identity=SPEC.identity,
        threshold=Threshold(value=1.0),
        provenance={"data": "none"},
        normal=normal,
    )


def checkpoints(folder: Path) -> Decoder:
    """Files of models: those that are taken score two beats and are written again."""
    path = folder / "model.safetensors"
    beats = some_beats(2, SPEC.length).values[:, 0]
    seeds = []
    for normal in (None, Normal(3.0, beats)):
        save_checkpoint(_checkpoint(1, normal), path)
        seeds.append(path.read_bytes())

    def decode(case: bytes) -> object:
        path.write_bytes(case)
        with patch.object(Checkpoint, "identity", ANY):  # damage gets behind the hash
            checkpoint = load_checkpoint(path)
        if checkpoint.config.length == SPEC.length:
            Scorer(checkpoint.autoencoder).losses(beats)
        save_checkpoint(checkpoint, folder / "again.safetensors")
        return checkpoint

    return Decoder(decode, (InvalidCheckpoint,), seeds, damage_model(METADATA_KEY), most_mb=256)


def trainings(folder: Path) -> Decoder:
    """Files of trainings that were left: those that are taken are gone on with for an epoch."""
    path = folder / "left.safetensors"
    noise = np.random.default_rng(0).normal(0, 0.1, (20, 16))
    beats = (some_beats(20, SPEC.length).values[:, 0] + noise).astype(np.float32)
    training = TrainingConfig(epochs=3, batch=20)
    left, seeds = Trainer(beats, CONFIG, training, device="cpu"), []
    for _ in range(2):
        save_training(left.state(), path)
        seeds.append(path.read_bytes())
        left.train_epoch()
    fresh = Trainer(beats, CONFIG, training, device="cpu")

    def decode(case: bytes) -> object:
        path.write_bytes(case)
        fresh.restore(load_training(path))
        return fresh.history

    refusals = (InvalidCheckpoint, InvalidConfig)
    return Decoder(decode, refusals, seeds, damage_model(TRAINING_KEY), most_mb=256)


def damage_model(key: str) -> Damage:
    """Return damage to a safetensors file: to its header, its tensors, or the document in it."""

    def damage(draw: st.DrawFn, case: bytes) -> bytes:
        (length,) = struct.unpack_from("<Q", case)
        header, tensors = json.loads(case[8 : 8 + length]), case[8 + length :]
        match draw(st.integers(0, 4)):
            case 0:
                header = damage_tree(draw, header)
            case 1:
                tensors = damage_floats(draw, tensors)
            case _:
                document = damage_json(draw, header["__metadata__"][key].encode())
                header["__metadata__"][key] = document.decode()
        text = json_bytes(header)
        return struct.pack("<Q", len(text)) + text + tensors

    return damage


# Each decoder and its share of the cases, in thousandths: the cheap ones get most.
DECODERS: dict[str, tuple[int, Build]] = {
    "bundles": (145, _document("bundles", _decode_bundle, damage_stage_frames)),
    "world-messages": (110, _document("world-messages", _decode_message, _damage_world_frames)),
    "kept-alerts": (70, _document("kept-alerts", codec.decode_numbered)),
    "requests": (100, _document("requests", codec.decode_request)),
    "replies": (70, _document("replies", codec.decode_reply)),
    "pushed-samples": (20, _document("pushed-samples", _take_pushed, _damage_pushed)),
    "sample-lines": (10, _document("sample-lines", _read_lines, damage_text, RecordError)),
    "lifecycle": (65, _document("lifecycle", codec.decode_lifecycle, damage_msgpack)),
    "stage-settings": (60, _document("stage-settings", decode_settings, refusal=InvalidOption)),
    "rules": (50, _document("rules", parse_rules, damage_text, InvalidOption)),
    "wfdb-headers": (90, _document("wfdb-headers", _parse_header, damage_text, RecordError)),
    "wfdb-records": (20, wfdb_records),
    "edf-records": (15, edf_records),
    "table-records": (15, table_records),
    "npy-records": (10, npy_records),
    "keys": (20, keys),
    "ecg5000-txt": (15, partial(ecg5000, suffix="txt")),
    "ecg5000-arff": (10, partial(ecg5000, suffix="arff")),
    "ecg5000-ts": (10, partial(ecg5000, suffix="ts")),
    "segmenter-states": (30, segmenter_states),
    "judged-beats": (15, judged_beats),
    "journaled-patients": (15, journaled_patients),
    "checkpoints": (25, checkpoints),
    "trainings": (10, trainings),
}
