"""A trained model as one file: weights, config, beat spec, threshold, provenance.

One safetensors file. Its metadata holds one JSON document under METADATA_KEY:

    format          3
    config          AutoencoderConfig
    spec            the beat spec's plain values; spec_identity its eight hex digits
    threshold       Threshold
    reach           of a learnt patient's usual beats (`Normal`), with the tensor `exemplars`
    usual_loss      theirs, too
    provenance      where the weights come from: data, licence, seed, beats
    identity        first half of the SHA-256 of weights, config, spec and threshold

Nothing in the file is executed, and it is not believed before it is checked: sizes before they are
read, names, shapes, types and values against the config, all of it against the hash.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from model.config import MIN_SCALE, AutoencoderConfig
from model.errors import InvalidCheckpoint, InvalidConfig
from model.thresholds import Threshold
from model.tracking import Normal
from model.trained import TrainedAutoencoder

FORMAT = 3  # 1 and 2 had thresholds for other losses: no shift, no drift taken out, no smoothing
METADATA_KEY = "ecg_monitor"
MAX_FILE_BYTES = 1 << 27  # an embedding of 256 takes 17 MB, a training of one 68 MB
MAX_HEADER_BYTES = 1 << 20
EXEMPLARS = "exemplars"
MAX_EXEMPLARS = 1024
MAX_WEIGHT = 1e6  # trained ones stay below 100; far larger ones overflow to losses that are NaN
SHIPPED = "default.safetensors"

Part = TypeVar("Part", AutoencoderConfig, Threshold)


@dataclass(frozen=True)
class Checkpoint:
    """A model ready to score: what it is, which beats it takes, when it calls one anomalous.

    Attributes
    ----------
    autoencoder : TrainedAutoencoder
    spec : Mapping
        Plain values of the beat spec that the training beats were cut by.
    spec_identity : str
        The identity of that spec, eight hex digits; beats of another are refused.
    threshold : Threshold
        Set from losses of normal beats.
    provenance : Mapping
        Data, licence, seed, beats: what is needed to make it again. No dates.
    normal : Normal or None
        One patient's usual beats, where the model was learnt from them.

    Examples
    --------
    >>> from model import load_shipped
    >>> checkpoint = load_shipped()
    >>> checkpoint.config.length, checkpoint.spec["window"], checkpoint.threshold.method
    (140, 'typical', 'tail')
    """

    autoencoder: TrainedAutoencoder
    spec: Mapping[str, Any]
    spec_identity: str
    threshold: Threshold
    provenance: Mapping[str, Any] = field(default_factory=dict)
    normal: Normal | None = None

    @property
    def config(self) -> AutoencoderConfig:
        """Size and shape of the autoencoder."""
        return self.autoencoder.config

    @cached_property
    def identity(self) -> str:
        """32 hex digits that two checkpoints share only if they judge every beat alike."""
        digest = hashlib.sha256(_canonical(self._judged_by()))
        for name, weights in sorted(self.autoencoder.weights.items()):
            digest.update(name.encode())
            digest.update(weights.tobytes())
        if self.normal is not None:
            digest.update(self.normal.exemplars.tobytes())
        return digest.hexdigest()[:32]

    def _judged_by(self) -> dict[str, Any]:
        normal = self.normal
        usual = {} if normal is None else {"reach": normal.reach, "usual_loss": normal.usual_loss}
        return {
            **usual,
            "config": self.config.to_mapping(),
            "spec": dict(self.spec),
            "spec_identity": self.spec_identity,
            "threshold": self.threshold.to_mapping(),
        }


def checkpoint_bytes(checkpoint: Checkpoint) -> bytes:
    """Return a checkpoint as the bytes of its file; the same checkpoint gives the same."""
    document = {
        "format": FORMAT,
        **checkpoint._judged_by(),
        "provenance": dict(checkpoint.provenance),
        "identity": checkpoint.identity,
    }
    arrays = dict(checkpoint.autoencoder.weights)
    if checkpoint.normal is not None:
        arrays[EXEMPLARS] = np.ascontiguousarray(checkpoint.normal.exemplars)
    return safetensors.numpy.save(arrays, {METADATA_KEY: _canonical(document).decode()})


def save_checkpoint(checkpoint: Checkpoint, path: str | Path, mode: int = 0o644) -> None:
    """Write a checkpoint, whole or not at all; the same checkpoint gives the same bytes.

    `mode` says who may read it: one that was learnt from a patient is that patient's own.
    """
    write_atomically(Path(path), checkpoint_bytes(checkpoint), mode)


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read and check a checkpoint.

    Raises
    ------
    InvalidCheckpoint
        If the file is missing, foreign, damaged or absurd; the message says which.
    """
    path = Path(path)
    return parse_checkpoint(read_bounded(path), str(path))


def load_shipped() -> Checkpoint:
    """Read the checkpoint that ships with the package."""
    shipped = resources.files("model") / "checkpoints" / SHIPPED
    try:
        data = shipped.read_bytes()
    except OSError as error:
        raise InvalidCheckpoint(
            f"the installed checkpoint {SHIPPED} is missing; install the package again"
        ) from error
    return parse_checkpoint(data, f"installed checkpoint {SHIPPED}")


def _canonical(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def write_atomically(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file whole or not at all; an OSError names it, as one of a full disk does not."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(mode)  # mkstemp's 0600 would hide it from other users
        Path(temporary).replace(path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            error.filename = str(path)
        raise


def read_bounded(path: Path) -> bytes:
    """Read a file that is no larger than a checkpoint can be; InvalidCheckpoint if it cannot be."""
    try:
        if not path.is_file():
            raise InvalidCheckpoint(f"{path} is not a file; give the path of a checkpoint")
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InvalidCheckpoint(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(data) > MAX_FILE_BYTES:
        raise InvalidCheckpoint(
            f"{path}: larger than {MAX_FILE_BYTES} bytes, so it is not a checkpoint"
        )
    return data


def parse_checkpoint(data: bytes, origin: str) -> Checkpoint:
    """Read and check the bytes of a checkpoint.

    Raises
    ------
    InvalidCheckpoint
        If they are foreign, damaged or absurd; the message says which, and names their origin.
    """
    try:
        document = metadata_document(data, METADATA_KEY)
        config = _part(document, "config", AutoencoderConfig)
        threshold = _part(document, "threshold", Threshold)
        weights = _arrays(data)
        normal = _normal(document, weights.pop(EXEMPLARS, None), config)
        checkpoint = Checkpoint(
            autoencoder=_autoencoder(weights, config),
            spec=_mapping(document, "spec"),
            spec_identity=_spec_identity(document),
            threshold=threshold,
            provenance=_mapping(document, "provenance"),
            normal=normal,
        )
        if checkpoint.identity != document.get("identity"):
            raise InvalidCheckpoint(
                "contents and hash differ, so it is damaged or altered: copy or train it again"
            )
    except InvalidCheckpoint as error:
        raise InvalidCheckpoint(f"{origin}: {error}") from error
    return checkpoint


def metadata_document(data: bytes, key: str) -> dict[str, Any]:
    """Return the JSON document that stands under a key of a safetensors file's metadata.

    Raises
    ------
    InvalidCheckpoint
        If there is none, or not of this format.
    """
    if not data:
        raise InvalidCheckpoint("is empty")
    if data[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        raise InvalidCheckpoint(
            "is a pickle or torch.save file, which is never read; use safetensors"
        )
    header_bytes = int.from_bytes(data[:8], "little")
    if len(data) < 8 or header_bytes > MAX_HEADER_BYTES:
        raise InvalidCheckpoint(
            "is not a safetensors file; give one that `ecg-monitor train` wrote"
        )
    if len(data) < 8 + header_bytes:
        raise InvalidCheckpoint("is truncated; copy it again")
    header = _json(data[8 : 8 + header_bytes])
    metadata = header.get("__metadata__")
    text = metadata.get(key) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise InvalidCheckpoint(
            "is a safetensors file of another program; give one that `ecg-monitor train` wrote"
        )
    document = _json(text.encode())
    if document.get("format") != FORMAT:
        raise InvalidCheckpoint(
            f"has format {document.get('format')!r}; this is format {FORMAT}: train it again"
        )
    return document


def _json(text: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except InvalidCheckpoint:
        raise
    except (ValueError, RecursionError) as error:
        raise InvalidCheckpoint("holds no valid JSON header") from error
    if not isinstance(parsed, dict):
        raise InvalidCheckpoint("holds no valid JSON header")
    return parsed


def _refuse_constant(name: str) -> float:
    raise InvalidCheckpoint(f"holds a value that is {name}")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):  # 1e999 is valid JSON, and could not be written again
        raise InvalidCheckpoint(f"holds the number {text[:20]}, which is too large")
    return value


def _mapping(document: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key)
    if not isinstance(value, dict):
        raise InvalidCheckpoint(f"its {key} is missing")
    return value


def _part(document: Mapping[str, Any], key: str, kind: type[Part]) -> Part:
    values = _mapping(document, key)
    try:
        return kind(**values)
    except TypeError as error:
        raise InvalidCheckpoint(f"its {key} has missing or unknown fields") from error
    except InvalidConfig as error:
        raise InvalidCheckpoint(f"its {key} is invalid: {error}") from error


def _spec_identity(document: Mapping[str, Any]) -> str:
    identity = document.get("spec_identity")
    if not isinstance(identity, str) or not re.fullmatch("[0-9a-f]{8}", identity):
        raise InvalidCheckpoint("its beat spec's identity is not eight hex digits")
    return identity


def _arrays(data: bytes) -> dict[str, NDArray[np.float32]]:
    """Return the arrays that a file holds; whether they are of float32 is not yet known."""
    try:
        return safetensors.numpy.load(data)
    except (SafetensorError, KeyError, ValueError) as error:
        raise InvalidCheckpoint(
            f"its weights cannot be read, damaged or truncated: {error}"
        ) from error


def _normal(
    document: Mapping[str, Any], exemplars: NDArray[np.float32] | None, config: AutoencoderConfig
) -> Normal | None:
    """Return what the file holds of one patient's usual beats; all parts or none."""
    reach, usual_loss = document.get("reach"), document.get("usual_loss")
    if reach is None and usual_loss is None and exemplars is None:
        return None
    if not (isinstance(reach, float) and isinstance(usual_loss, float)) or exemplars is None:
        raise InvalidCheckpoint(
            "the reach, the loss or the exemplars of its usual beats are missing; learn it again"
        )
    fits = exemplars.ndim == 2 and exemplars.shape[1] == config.length
    if not fits or len(exemplars) > MAX_EXEMPLARS or exemplars.dtype != np.float32:
        raise InvalidCheckpoint(f"its exemplars are {exemplars.dtype} {tuple(exemplars.shape)}")
    try:
        return Normal(reach, exemplars, usual_loss)
    except InvalidConfig as error:
        raise InvalidCheckpoint(f"its usual beats are invalid: {error}") from error


def _autoencoder(
    weights: dict[str, NDArray[np.float32]], config: AutoencoderConfig
) -> TrainedAutoencoder:
    """Return the autoencoder that the config asks for, of exactly the weights it needs."""
    expected = config.weight_shapes
    if weights.keys() != expected.keys():
        odd = sorted(weights.keys() ^ expected.keys())
        raise InvalidCheckpoint(f"its weights are missing or unknown: {', '.join(odd[:3])[:200]}")
    for name, array in weights.items():
        if array.shape != expected[name] or array.dtype != np.float32:
            raise InvalidCheckpoint(
                f"its {name} is {array.dtype} {array.shape}, "
                f"its config needs float32 {expected[name]}"
            )
        if not (np.abs(array) <= MAX_WEIGHT).all():  # NaN fails too
            raise InvalidCheckpoint(f"its {name} holds NaN, infinite or implausibly large weights")
    if weights["scale"][0] < MIN_SCALE:  # its losses would be infinite, or NaN: never an alert
        raise InvalidCheckpoint(f"its scale is not positive, or below {MIN_SCALE}")
    return TrainedAutoencoder(config, weights)
