"""The checkpoint file: a round trip, and everything that is no checkpoint."""

from __future__ import annotations

import errno
import io
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from model import checkpoint as checkpoint_module
from model.autoencoder import LstmAutoencoder
from model.checkpoint import Checkpoint, load_checkpoint, load_shipped, save_checkpoint
from model.config import AutoencoderConfig
from model.errors import InvalidCheckpoint
from model.scoring import Scorer
from model.thresholds import Threshold
from model.tracking import Normal

SPEC = {"window": "rr", "length": 20, "version": 1}


@pytest.fixture
def checkpoint() -> Checkpoint:
    return Checkpoint(
        autoencoder=LstmAutoencoder(
            AutoencoderConfig(length=20, samples_per_step=1, embedding=3), seed=1
        ).trained(),
        spec=SPEC,
        spec_identity="0123abcd",
        threshold=Threshold(26.0, "tail", 1e-3, 24.0, 29.0, 400),
        provenance={"data": "none", "seed": 1},
    )


@pytest.fixture
def path(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    path = tmp_path / "a.safetensors"
    save_checkpoint(checkpoint, path)
    return path


def rewrite(
    path: Path,
    change: Callable[[dict[str, Any], dict[str, Tensor]], None],
) -> None:
    """Write the file again with its JSON document and weights changed, as an attacker would."""
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    document = json.loads(header["__metadata__"]["ecg_monitor"])
    weights = safetensors.torch.load(data)
    change(document, weights)
    safetensors.torch.save_file(weights, path, {"ecg_monitor": json.dumps(document)})


def test_round_trip_changes_nothing(checkpoint: Checkpoint, path: Path) -> None:
    """What is loaded is what was saved, to the bit of every loss."""
    loaded = load_checkpoint(path)
    assert loaded.identity == checkpoint.identity
    assert loaded.config == checkpoint.config
    assert loaded.spec == checkpoint.spec
    assert loaded.spec_identity == checkpoint.spec_identity
    assert loaded.threshold == checkpoint.threshold
    assert loaded.provenance == checkpoint.provenance
    beats = np.random.default_rng(0).standard_normal((4, 20)).astype(np.float32)
    np.testing.assert_array_equal(
        Scorer(loaded.autoencoder).losses(beats), Scorer(checkpoint.autoencoder).losses(beats)
    )


def test_same_checkpoint_gives_the_same_bytes(
    checkpoint: Checkpoint, path: Path, tmp_path: Path
) -> None:
    """No date, no chance: files can be compared."""
    save_checkpoint(checkpoint, tmp_path / "b.safetensors")
    assert (tmp_path / "b.safetensors").read_bytes() == path.read_bytes()


def test_identity_follows_what_judges_a_beat(checkpoint: Checkpoint) -> None:
    """Weights, config, spec and threshold make the identity; provenance does not."""
    other_weights = LstmAutoencoder(checkpoint.config, seed=2).trained()
    variants = [
        replace(checkpoint, autoencoder=other_weights),
        replace(checkpoint, spec={**SPEC, "window": "midpoint"}),
        replace(checkpoint, spec_identity="ffffffff"),
        replace(checkpoint, threshold=Threshold(27.0)),
    ]
    assert len({checkpoint.identity, *(variant.identity for variant in variants)}) == 5
    assert replace(checkpoint, provenance={}).identity == checkpoint.identity


def test_what_was_learnt_of_a_patient_goes_with_it(checkpoint: Checkpoint, path: Path) -> None:
    """Reach and exemplars come back to the bit, and are part of the identity."""
    exemplars = np.random.default_rng(0).standard_normal((5, 20)).astype(np.float32)
    learnt = replace(checkpoint, normal=Normal(3.5, exemplars))
    save_checkpoint(learnt, path)
    loaded = load_checkpoint(path)
    assert loaded.normal is not None
    assert loaded.normal.reach == 3.5
    np.testing.assert_array_equal(loaded.normal.exemplars, exemplars)
    others = [replace(learnt, normal=Normal(3.6, exemplars)), checkpoint]
    assert loaded.identity == learnt.identity
    assert learnt.identity not in {other.identity for other in others}


@pytest.mark.parametrize("fault", ["no reach", "no exemplars", "absurd", "length", "many", "NaN"])
def test_a_broken_normal_is_refused(checkpoint: Checkpoint, path: Path, fault: str) -> None:
    """Half of it, or values that no learning gives."""
    save_checkpoint(replace(checkpoint, normal=Normal(3.5, np.ones((5, 20), np.float32))), path)

    def spoil(document: dict[str, Any], weights: dict[str, Tensor]) -> None:
        match fault:
            case "no reach":
                del document["reach"]
            case "no exemplars":
                del weights["exemplars"]
            case "absurd":
                document["reach"] = -1.0
            case "length":
                weights["exemplars"] = torch.ones(5, 21)
            case "many":
                weights["exemplars"] = torch.ones(2000, 20)
            case "NaN":
                weights["exemplars"] = torch.full((5, 20), torch.nan)

    rewrite(path, spoil)
    with pytest.raises(InvalidCheckpoint, match=r"usual beats|exemplars"):
        load_checkpoint(path)


def test_failed_save_leaves_the_old_file_and_no_rubbish(
    checkpoint: Checkpoint, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole or not at all; the error says which file, which one of a full disk does not."""

    def fail(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "disk full")

    before = path.read_bytes()
    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full") as failed:
        save_checkpoint(replace(checkpoint, threshold=Threshold(1.0)), path)
    assert failed.value.filename == str(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


class Exploding:
    """Unpickling it would raise; nothing here may try."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return exec, ("raise SystemExit('a pickle was run')",)


def torch_saved() -> bytes:
    buffer = io.BytesIO()
    torch.save({"weights": torch.zeros(3)}, buffer)
    return buffer.getvalue()


def safetensors_of(document: str) -> bytes:
    return safetensors.torch.save({"a": torch.zeros(3)}, {"ecg_monitor": document})


FOREIGN = {
    "empty": (b"", "empty"),
    "one byte": (b"x", "not a safetensors file"),
    "absurd header size": (b"\xff" * 100, "not a safetensors file"),
    "zeros": (b"\x00" * 100, "no valid JSON"),
    "short": ((50).to_bytes(8, "little") + b"{" + b" " * 10, "truncated"),
    "unclosed": ((50).to_bytes(8, "little") + b"[" * 50, "no valid JSON"),
    "deep": ((1_000_000).to_bytes(8, "little") + b"[" * 1_000_000, "no valid JSON"),
    "a list": ((2).to_bytes(8, "little") + b"[]", "no valid JSON"),
    "no metadata": ((2).to_bytes(8, "little") + b"{}", "of another program"),
    "foreign": (safetensors.torch.save({"a": torch.zeros(3)}), "of another program"),
    "broken document": (safetensors_of("{"), "no valid JSON"),
    "empty document": (safetensors_of("{}"), "format None"),
    "torch.save": (torch_saved(), "pickle or torch.save"),
    **{f"pickle {n}": (pickle.dumps(Exploding(), n), "pickle|safetensors") for n in range(6)},
}


@pytest.mark.parametrize(("data", "message"), FOREIGN.values(), ids=FOREIGN.keys())
def test_foreign_file_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    """Pickles, other people's safetensors and junk: one line that names the file."""
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(data)
    with pytest.raises(InvalidCheckpoint, match=message) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    """The path is named."""
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(InvalidCheckpoint, match="is not a file; give the path"):
            load_checkpoint(path)


def test_too_large_a_file_is_not_taken_into_memory(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more than the limit is ever read."""
    monkeypatch.setattr(checkpoint_module, "MAX_FILE_BYTES", 100)
    with pytest.raises(InvalidCheckpoint, match="larger than 100"):
        load_checkpoint(path)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(share=st.floats(0, 0.999))
def test_truncated_file_is_refused(path: Path, share: float) -> None:
    """Cut anywhere, the file is refused."""
    data = path.read_bytes()
    cut = path.with_name("cut.safetensors")
    cut.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InvalidCheckpoint):
        load_checkpoint(cut)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(share=st.floats(0, 0.999), bit=st.integers(0, 7))
def test_one_flipped_bit_of_the_weights_is_noticed(path: Path, share: float, bit: int) -> None:
    """The hash covers every weight."""
    data = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    data[start + int(share * (len(data) - start))] ^= 1 << bit
    flipped = path.with_name("flipped.safetensors")
    flipped.write_bytes(data)
    with pytest.raises(InvalidCheckpoint, match=r"hash|NaN|scale"):
        load_checkpoint(flipped)


def set_in(part: str, **values: object) -> Callable[[dict[str, Any], dict[str, Tensor]], None]:
    def change(document: dict[str, Any], _weights: dict[str, Tensor]) -> None:
        document[part].update(values)

    return change


def drop(key: str) -> Callable[[dict[str, Any], dict[str, Tensor]], None]:
    def change(document: dict[str, Any], _weights: dict[str, Tensor]) -> None:
        del document[key]

    return change


def weights_set(name: str, value: Tensor) -> Callable[[dict[str, Any], dict[str, Tensor]], None]:
    def change(_document: dict[str, Any], weights: dict[str, Tensor]) -> None:
        weights[name] = value

    return change


def a_weight_missing(_document: dict[str, Any], weights: dict[str, Tensor]) -> None:
    del weights["output.bias"]


def another_format(document: dict[str, Any], _weights: dict[str, Tensor]) -> None:
    document["format"] = 2


def another_hash(document: dict[str, Any], _weights: dict[str, Tensor]) -> None:
    document["identity"] = "0" * 32


def a_spec_identity_with_escapes(document: dict[str, Any], _weights: dict[str, Tensor]) -> None:
    document["spec_identity"] = "\x1b[2J"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_in("config", embedding=10**9), "embedding 1000000000"),
        (set_in("config", length=10**12), "length"),
        (set_in("config", embedding="16"), "embedding '16'"),
        (set_in("config", embedding=4), "its config needs float32"),
        (set_in("config", layers=2), "config has missing or unknown fields"),
        (set_in("threshold", value=-1.0), "threshold is invalid"),
        (set_in("threshold", value=float("nan")), "NaN"),
        (set_in("threshold", value=float("inf")), "Infinity"),
        (set_in("threshold", value=None), "threshold is invalid"),
        (set_in("threshold", method="guess"), "threshold is invalid"),
        (set_in("threshold", value=20.0), "hash"),
        (set_in("spec", window="midpoint"), "hash"),
        (drop("spec"), "spec is missing"),
        (drop("threshold"), "threshold is missing"),
        (drop("config"), "config is missing"),
        (drop("provenance"), "provenance is missing"),
        (drop("spec_identity"), "eight hex digits"),
        (drop("identity"), "hash"),
        (another_hash, "hash"),
        (another_format, "format 3"),
        (a_spec_identity_with_escapes, "eight hex digits"),
        (a_weight_missing, "missing or unknown: output.bias"),
        (weights_set("output.more", torch.zeros(1)), "missing or unknown: output.more"),
        (
            weights_set("output.bias", torch.full((1,), torch.nan)),
            "infinite or implausibly large",
        ),
        (
            weights_set("output.bias", torch.full((1,), torch.inf)),
            "infinite or implausibly large",
        ),
        (weights_set("output.bias", torch.full((1,), 1e37)), "infinite or implausibly large"),
        (weights_set("scale", torch.full((1,), 1e-40)), "scale is not positive"),
        (weights_set("scale", torch.full((1,), 1e30)), "infinite or implausibly large"),
        (set_in("threshold", value=1e-320), "threshold is invalid"),
        (set_in("threshold", value=1e300), "threshold is invalid"),
        (weights_set("scale", torch.zeros(1)), "scale is not positive"),
        (weights_set("output.bias", torch.zeros(2)), "output.bias is float32 \\(2,\\)"),
        (weights_set("output.bias", torch.zeros(1, dtype=torch.float64)), "float64"),
    ],
)
def test_absurd_contents_are_refused(
    path: Path, change: Callable[[dict[str, Any], dict[str, Tensor]], None], message: str
) -> None:
    """Every value is checked before it is used, and the hash at the end."""
    rewrite(path, change)
    with pytest.raises(InvalidCheckpoint, match=message) as caught:
        load_checkpoint(path)
    assert str(caught.value).isprintable()


def test_shipped_checkpoint_can_be_used() -> None:
    """The package holds a whole checkpoint of 140 samples, a threshold set without labels."""
    shipped = load_shipped()
    assert shipped.config.length == 140
    assert shipped.threshold.method == "tail"
    assert {"data", "licence", "seed", "beats"} <= shipped.provenance.keys()
