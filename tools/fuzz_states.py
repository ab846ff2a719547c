"""The decoders of states and models, for the fuzzer: what they accept is gone on with."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from model.autoencoder import LstmAutoencoder
from model.checkpoint import METADATA_KEY, Checkpoint, load_checkpoint, save_checkpoint
from model.config import AutoencoderConfig
from model.errors import InvalidCheckpoint, InvalidConfig
from model.scoring import Scorer
from model.thresholds import Threshold
from model.tracking import Normal
from model.training import Trainer, TrainingConfig
from model.training_file import METADATA_KEY as TRAINING_KEY
from model.training_file import load_training, save_training
from monitor.detection.engine import Engine
from monitor.errors import InvalidMessage, JournalFailed, SpecMismatch
from monitor.journal.writer import Journal, stored
from monitor.settings import ConsumerSettings
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.sources.wfdb_record import WfdbRecord
from monitor.wire import codec
from monitor.wire.messages import BeatsHeader, BeatsMessage, Stream
from segmenter.bank import MAGIC
from segmenter.beat import BeatSpec
from segmenter.errors import InvalidState
from segmenter.stream import Segmenter
from tools import fuzz_seeds as valid
from tools.fuzz_damage import (
    damage_floats,
    damage_json,
    damage_msgpack,
    damage_tree,
    either,
    join_frames,
    json_bytes,
    sealed_state,
    sealed_tensors,
    split_frames,
    split_tensors,
)
from tools.fuzz_decoder import Decoder
from tools.fuzz_decoders import damage_stage_frames
from tools.messages import WALL_TIME

SPEC = BeatSpec(length=16)  # short beats and few weights: more cases
CONFIG = AutoencoderConfig(length=16, embedding=2, samples_per_step=4)
FS_HZ = 250
PATIENT = Stream("119", "119", "MLII", 360.0, 0, 650_000)


class Broken(Exception):
    """What was accepted led to something that the next decoder refuses."""


# --- the segmenter ----------------------------------------------------------------------------


def segmenter_states(folder: Path) -> Decoder:
    """States of a segmenter: those that are taken segment one more second."""
    write_record(folder / "simulated", SimulationSettings(hours=40 / 3600, seed=1))
    with WfdbRecord.open(folder / "simulated") as record:
        ecg = record.read(0, 40 * FS_HZ)
    noisy = ecg[: 9 * FS_HZ].copy()
    noisy[500:520], noisy[1000:1900] = np.nan, np.nan
    seeds = tuple(
        _state_after(fs_hz, spec, chunk)
        for fs_hz, spec, chunk in (
            (250.0, BeatSpec(), ecg[: 30 * FS_HZ]),
            (250.0, SPEC, ecg[:10]),
            (250.0, SPEC, noisy),
            (128.0, BeatSpec("midpoint", 16), ecg[: 8 * FS_HZ]),
        )
    )
    second = ecg[30 * FS_HZ : 31 * FS_HZ]

    def decode(case: bytes) -> object:
        return _gone_on_with(Segmenter.from_bytes(case), second)

    return Decoder(decode, (InvalidState,), seeds, either(_damage_state, seeds))


def _state_after(fs_hz: float, spec: BeatSpec, chunk: NDArray[np.float32]) -> bytes:
    segmenter = Segmenter(fs_hz, spec)
    segmenter.update(chunk)
    return segmenter.to_bytes()


def _gone_on_with(segmenter: Segmenter, chunk: NDArray[np.float32]) -> object:
    """Segment on: what comes of it must be a message, and the state one that is taken."""
    try:
        found = segmenter.update(chunk)
        state = segmenter.to_bytes()
        Segmenter.from_bytes(state)
        segmenter.flush()
    except InvalidState as error:
        raise Broken(str(error)) from error
    header = BeatsHeader(
        version=2,
        patient="p",
        record="p",
        sequence=0,
        sent_ns=0,
        position=segmenter.position,
        lead="I",
        fs_hz=250.0,
        spec=SPEC.identity,
        length=found.beats.values.shape[1],
        n_beats=len(found.beats),
        events=[],
    )
    try:
        message = BeatsMessage(header, found.beats, state)
        return codec.decode_bundle(codec.encode_bundle([message]))
    except InvalidMessage as error:
        raise Broken(str(error)) from error


def _damage_state(case: bytes, chance: Random) -> bytes:
    """Damage the plain values or the arrays; length and checksum are made right again."""
    start = len(MAGIC) + 4
    length = int.from_bytes(case[len(MAGIC) : start], "little")
    header, arrays = case[start : start + length], case[start + length : -4]
    if chance.random() < 0.3:
        arrays = damage_floats(arrays, chance, chance.choice(("<f4", "<f8")))
    else:
        header = damage_json(header, chance)
    return sealed_state(MAGIC, header, arrays)


# --- judging ----------------------------------------------------------------------------------


class Court:
    """A consumer's judge without its sockets, over a journal in a folder."""

    def __init__(self, folder: Path) -> None:
        self._journal = Journal(folder / "journal.sqlite")
        self._settings = ConsumerSettings(beats="", alerts="", journal=str(folder / "j"))
        self._learner = ThreadPoolExecutor(1)  # never asked: nobody learns here
        self._checkpoint = _checkpoint(0, SPEC)
        self.rows = sqlite3.connect(folder / "journal.sqlite", isolation_level=None)
        self.rows.execute("PRAGMA synchronous=OFF")

    def engine(self) -> Engine:
        """Return a judge that goes on from the journal."""
        wall_time = WALL_TIME.__str__
        return Engine(self._checkpoint, self._settings, self._journal, self._learner, wall_time)


def _judged(engine: Engine, message: BeatsMessage) -> None:
    """Engine beats: what is said of them must be a message, and the state one to go on from."""
    engine.admission.check(message)
    engine.admission.hole_before(message)
    for one in engine.step([message], now_ns=10**9).messages:
        try:
            codec.decode_message(codec.encode_message(one))
        except InvalidMessage as error:
            raise Broken(f"a message was said that is none: {error}") from error
    for status in engine.report().patients:
        msgspec.json.decode(msgspec.json.encode(status), type=type(status))


def judged_beats(folder: Path) -> Decoder:
    """Messages of beats, judged: what is said of them must be a message again."""
    court = Court(folder)
    seeds = tuple(join_frames(codec.encode_bundle([_beats_message(n)])) for n in (1, 4))

    def decode(case: bytes) -> object:
        messages = codec.decode_bundle(split_frames(case))
        for message in messages:
            if isinstance(message, BeatsMessage):
                _judged(court.engine(), message)
        return messages

    return Decoder(
        decode, (InvalidMessage, SpecMismatch), seeds, either(damage_stage_frames, seeds)
    )


def journaled_patients(folder: Path) -> Decoder:
    """Rows of a journal from which a patient goes on; then three more beats are judged."""
    court = Court(folder)
    engine = court.engine()
    more = _beats_message(4, position=2000)
    engine.expect([PATIENT])
    (progress,) = engine.step([more], now_ns=10**9).progress
    seeds = (stored(progress),)
    later = _beats_message(3, position=9000, shift=5000)

    def decode(case: bytes) -> object:
        court.rows.execute("INSERT OR REPLACE INTO progress VALUES ('119', ?)", (case,))
        engine = court.engine()
        engine.expect([PATIENT])
        _judged(engine, later)
        return engine

    refusals = (JournalFailed, InvalidCheckpoint)
    return Decoder(decode, refusals, seeds, either(_damage_progress, seeds))


def _beats_message(n: int, shift: int = 0, **changes: Any) -> BeatsMessage:
    message = valid.beats_message(n, SPEC.length, b"s", spec=SPEC.identity, **changes)
    return message._replace(together=message.beats.moved(shift), first=0)


def _damage_progress(case: bytes, chance: Random) -> bytes:
    if chance.random() < 0.2:
        return damage_msgpack(case, chance)
    progress = msgspec.msgpack.decode(case)
    progress["consumer_state"] = damage_msgpack(progress["consumer_state"], chance)
    return msgspec.msgpack.encode(progress)


# --- models -----------------------------------------------------------------------------------


def _checkpoint(seed: int, spec: BeatSpec, normal: Normal | None = None) -> Checkpoint:
    return Checkpoint(
        autoencoder=LstmAutoencoder(CONFIG, seed).trained(),
        spec=spec.to_mapping(),
        spec_identity=spec.identity,
        threshold=Threshold(value=1.0),
        provenance={"data": "none"},
        normal=normal,
    )


def checkpoints(folder: Path) -> Decoder:
    """Files of models: those that are taken score two beats and are written again."""
    path = folder / "model.safetensors"
    beats = valid.beats(2, SPEC.length).values
    seeds = []
    for normal in (None, Normal(3.0, beats)):
        save_checkpoint(_checkpoint(1, SPEC, normal), path)
        seeds.append(path.read_bytes())

    def decode(case: bytes) -> object:
        path.write_bytes(case)
        checkpoint = load_checkpoint(path)
        if checkpoint.config.length == SPEC.length:
            Scorer(checkpoint.autoencoder).losses(beats)
        save_checkpoint(checkpoint, folder / "again.safetensors")
        return checkpoint

    kept = tuple(seeds)
    return Decoder(decode, (InvalidCheckpoint,), kept, either(damage_checkpoint, kept), most_mb=256)


def damage_checkpoint(case: bytes, chance: Random) -> bytes:
    """Damage the document, the tensors or their header; the hash is made right again."""
    header, tensors = split_tensors(case)
    share = chance.random()
    if share < 0.2:
        return sealed_tensors(json_bytes(damage_tree(header, chance)), tensors)
    document = json.loads(header["__metadata__"][METADATA_KEY])
    if share < 0.4:
        tensors = damage_floats(tensors, chance, "<f4")
    else:
        document = damage_tree(document, chance)
    if isinstance(document, dict):
        document["identity"] = checkpoint_identity(document, header, tensors)
    header["__metadata__"][METADATA_KEY] = json_bytes(document).decode()
    return sealed_tensors(json_bytes(header), tensors)


def checkpoint_identity(document: dict[str, Any], header: dict[str, Any], tensors: bytes) -> str:
    """Return the identity that a checkpoint of this document and these tensors has."""
    named = ("reach", "config", "spec", "spec_identity", "threshold")
    judged_by = {name: document[name] for name in named if name in document}
    try:
        canonical = json.dumps(judged_by, sort_keys=True, separators=(",", ":")).encode()
    except (RecursionError, TypeError):  # too deep; or bytes, which will be text
        return "0" * 32
    digest = hashlib.sha256(canonical)
    weights = sorted(header.keys() - {"__metadata__", "exemplars"})
    for name in [*weights, "exemplars"] if "exemplars" in header else weights:
        start, stop = header[name]["data_offsets"]
        digest.update((b"" if name == "exemplars" else name.encode()) + tensors[start:stop])
    return digest.hexdigest()[:32]


def trainings(folder: Path) -> Decoder:
    """Files of trainings that were left: those that are taken are gone on with for an epoch."""
    path = folder / "left.safetensors"
    rng = np.random.default_rng(0)
    beats = (valid.beats(20, SPEC.length).values + rng.normal(0, 0.1, (20, 16))).astype(np.float32)

    def trainer() -> Trainer:
        return Trainer(beats, CONFIG, TrainingConfig(epochs=3, batch=20), device="cpu")

    seeds = []
    for epochs in (0, 1):
        left = trainer()
        for _ in range(epochs):
            left.train_epoch()
        save_training(left.state(), path)
        seeds.append(path.read_bytes())
    fresh = trainer()

    def decode(case: bytes) -> object:
        path.write_bytes(case)
        fresh.restore(load_training(path))
        return fresh.history

    kept = tuple(seeds)
    refusals = (InvalidCheckpoint, InvalidConfig)
    return Decoder(decode, refusals, kept, either(_damage_training, kept), most_mb=256)


def _damage_training(case: bytes, chance: Random) -> bytes:
    header, tensors = split_tensors(case)
    match chance.randrange(3):
        case 0:
            return sealed_tensors(json_bytes(damage_tree(header, chance)), tensors)
        case 1:
            tensors = damage_floats(tensors, chance, "<f4")
        case _:
            document = damage_json(header["__metadata__"][TRAINING_KEY].encode(), chance)
            header["__metadata__"][TRAINING_KEY] = document.decode()
    return sealed_tensors(json_bytes(header), tensors)
