"""The decoders withstand damage; the fuzzer notices those that do not."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from model.checkpoint import METADATA_KEY
from tools import fuzz
from tools.fuzz_damage import split_tensors
from tools.fuzz_decoder import Decoder
from tools.fuzz_states import checkpoint_identity, checkpoints

CORPUS = Path(__file__).parents[1] / "corpus"
CASES = 3000  # of all decoders together


@pytest.mark.parametrize("name", fuzz.DECODERS)
def test_every_decoder_withstands_damage(name: str, tmp_path: Path) -> None:
    """Valid seeds are accepted; kept cases end as they did, some thousand new ones as they may."""
    decoder = fuzz.DECODERS[name][1](tmp_path)
    for seed in decoder.seeds:
        decoder.decode(seed)
    for path in sorted((CORPUS / name).iterdir()):
        assert _outcome(decoder, path.read_bytes()) == path.suffix, path
    chance, tally, found = Random(name), fuzz.Tally(name), []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(fuzz.shares(list(fuzz.DECODERS), CASES)[name]):
            case = decoder.damage(chance.choice(decoder.seeds), chance)
            fuzz.try_case(decoder, case, tally, lambda case, place: found.append((place, case)))
    assert found == []
    assert tally.accepted + tally.refused == tally.cases
    assert tally.refused > 0


def _outcome(decoder: Decoder, case: bytes) -> str:
    try:
        decoder.decode(case)
    except decoder.refusals:
        return ".refused"
    return ".accepted"


def test_the_corpus_is_small_and_each_decoder_has_its_part() -> None:
    """Under 200 KB together."""
    assert {folder.name for folder in CORPUS.iterdir()} == set(fuzz.DECODERS)
    assert sum(file.stat().st_size for file in CORPUS.glob("*/*")) < 200_000


def test_damage_gets_behind_a_checkpoints_hash(tmp_path: Path) -> None:
    """The fuzzer's hash of an undamaged file is the file's own: a new rule must be learnt here."""
    for seed in checkpoints(tmp_path).seeds:
        header, tensors = split_tensors(seed)
        document = json.loads(header["__metadata__"][METADATA_KEY])
        assert checkpoint_identity(document, header, tensors) == document["identity"]


def test_the_same_seed_makes_the_same_cases(tmp_path: Path) -> None:
    """And another seed others."""
    decoder = fuzz.DECODERS["rules"][1](tmp_path)

    def cases(seed: int) -> list[bytes]:
        chance = Random(seed)
        return [decoder.damage(chance.choice(decoder.seeds), chance) for _ in range(50)]

    assert cases(1) == cases(1) != cases(2)


# --- decoders that are wrong ------------------------------------------------------------------


def _odd(decode_odd: Callable[[], object], most_mb: int = 64) -> Decoder:
    def decode(case: bytes) -> None:
        if case == b"bad":
            decode_odd()

    def damage(_seed: bytes, _chance: Random) -> bytes:
        return b"bad"

    return Decoder(decode, (ValueError,), (b"good",), damage, most_s=0.3, most_mb=most_mb)


def _raises(_: Path) -> Decoder:
    return _odd(lambda: {"there": 1}["missing"])


def _refuses(_: Path) -> Decoder:
    return _odd(lambda: int("no number"))


def _hangs(_: Path) -> Decoder:
    def hang() -> None:
        while True:
            pass

    return _odd(hang)


def _crashes(_: Path) -> Decoder:
    return _odd(os.abort)


def _takes_memory(_: Path) -> Decoder:
    return _odd(lambda: bytearray(1 << 31))


@pytest.mark.parametrize(
    ("build", "finding"),
    [
        (_raises, "KeyError"),
        (_hangs, "too much processor time"),
        (_crashes, "ended the process"),
        (_takes_memory, "MemoryError"),
    ],
)
def test_what_a_decoder_must_not_do_is_found(
    build: fuzz.Build, finding: str, tmp_path: Path
) -> None:
    """An error that is not documented, a hang, a crash, memory: each is told, its case kept."""
    tally = fuzz.watch_decoder("odd", build, 3, 0, tmp_path, lambda _done: None)
    (told,) = tally.findings
    assert finding in told
    (kept,) = tmp_path.glob("*.case")
    assert kept.read_bytes() == b"bad"
    assert str(kept) in told


def test_refusals_are_no_findings(tmp_path: Path) -> None:
    """What a decoder documents it may raise; nothing is left behind."""
    tally = fuzz.watch_decoder("odd", _refuses, 3, 0, tmp_path, lambda _done: None)
    assert (tally.cases, tally.refused, tally.findings) == (3, 3, [])
    assert list(tmp_path.iterdir()) == []
