"""The decoders withstand damage; the fuzzer notices those that do not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import strategies as st

from monitor.wire import codec
from monitor.wire.messages import Lifecycle, Message, Reply, Request
from tools import fuzz
from tools.fuzz_damage import split_frames
from tools.fuzz_decoders import DECODERS, Decoder, valid

CORPUS = Path(__file__).parents[1] / "corpus"
CASES = 3000  # of all decoders together


@pytest.mark.parametrize("name", DECODERS)
def test_every_decoder_withstands_damage(name: str, tmp_path: Path) -> None:
    """Valid seeds are accepted; kept cases end as they did, some thousand new ones as they may."""
    decoder = DECODERS[name][1](tmp_path)
    for seed in decoder.seeds:
        decoder.decode(seed)
    for path in sorted((CORPUS / name).iterdir()):
        assert _outcome(decoder, path.read_bytes()) == path.suffix, path
    tally, findings = fuzz.Tally(name), tmp_path / "findings"
    findings.mkdir()
    cases = fuzz.shares(list(DECODERS), CASES)[name]
    fuzz.fuzz_decoder(decoder, cases, "test", tally, findings)
    assert tally.findings == []
    assert list(findings.iterdir()) == []
    assert tally.cases >= cases
    assert tally.refused > 0


def _outcome(decoder: Decoder, case: bytes) -> str:
    try:
        decoder.decode(case)
    except decoder.refusals:
        return ".refused"
    return ".accepted"


def test_the_corpus_is_small_and_each_decoder_has_its_part() -> None:
    """Under 200 KB together."""
    assert {folder.name for folder in CORPUS.iterdir()} == set(DECODERS)
    assert sum(file.stat().st_size for file in CORPUS.glob("*/*")) < 200_000


def test_valid_messages_of_every_type_are_in_the_corpus() -> None:
    """A new type of message needs an example to begin from: `valid-*.accepted`."""
    for name, decode, union in (
        ("requests", codec.decode_request, Request),
        ("replies", codec.decode_reply, Reply),
        ("lifecycle", codec.decode_lifecycle, Lifecycle),
    ):
        assert {type(decode(case)) for case in valid(name)} == set(get_args(union))
    messages = {type(codec.decode_message(split_frames(case))) for case in valid("world-messages")}
    assert messages == set(get_args(Message))


def test_a_run_of_all_tells_a_tally(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same seed makes the same cases; of the page the section alone is new, nothing is left."""
    folder, page = tmp_path / "findings", tmp_path / "page.md"
    page.write_text("# Fuzzing\n\nWhat a case is.\n\n## Measured\n\nBefore.\n")
    options = ["--only", "rules", "--only", "keys", "--cases", "60", "--findings", str(folder)]
    rows = []
    for seed in ("1", "1", "2"):
        assert fuzz.main([*options, "--seed", seed, "--out", str(page)]) == 0
        told = [line.split("|")[1:5] for line in capsys.readouterr().out.splitlines()]
        rows.append(told)
    assert rows[0] == rows[1]
    assert "python -m tools.fuzz --only rules --only keys --cases 60" in page.read_text()
    assert "| keys | 1" in page.read_text()
    assert page.read_text().startswith("# Fuzzing\n\nWhat a case is.\n\n## Measured")
    assert not folder.exists()


# --- decoders that are wrong ------------------------------------------------------------------


def _odd(decode_odd: Callable[[], object]) -> Decoder:
    def decode(case: bytes) -> None:
        if case == b"bad":
            decode_odd()

    class Odd(Decoder):
        cases = st.just(b"bad")

    return Odd(decode, (ValueError,), (b"good",), lambda _draw, case: case, most_s=0.3)


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
    build: Callable[[Path], Decoder], finding: str, tmp_path: Path
) -> None:
    """An error that is not documented, a hang, a crash, memory: each is told, its case kept."""
    tally = fuzz.watch_decoder("odd", build, 3, 0, tmp_path)
    (told,) = tally.findings
    assert finding in told
    (kept,) = tmp_path.iterdir()
    assert kept.read_bytes() == b"bad"
    assert str(kept) in told


def test_refusals_are_no_findings(tmp_path: Path) -> None:
    """What a decoder documents it may raise; nothing is left behind."""
    tally = fuzz.watch_decoder("odd", _refuses, 3, 0, tmp_path)
    assert tally.refused == tally.cases > 0
    assert tally.findings == []
    assert list(tmp_path.iterdir()) == []
