"""What evidence is worth, as one JSON file: weights, cut, provenance.

It is not believed before it is checked: size, names, knots, signs and bounds of the weights.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from model.checkpoint import write_atomically
from model.errors import InvalidCheckpoint, InvalidConfig
from model.evidence import EvidenceWeights, Term

FORMAT = 1
SHIPPED = "evidence.json"
MAX_BYTES = 1 << 16


def save_weights(weights: EvidenceWeights, path: Path) -> None:
    """Write weights, whole or not at all; the same weights give the same bytes."""
    document = {
        "format": FORMAT,
        "intercept": weights.intercept,
        "cut": weights.cut,
        "terms": [
            {"measure": one.measure, "knots": one.knots, "weights": one.weights}
            for one in weights.terms
        ],
        "provenance": dict(weights.provenance),
    }
    text = json.dumps(document, indent=1, allow_nan=False)
    write_atomically(path, f"{text}\n".encode())


def load_weights(path: Path) -> EvidenceWeights:
    """Read and check weights.

    Raises
    ------
    InvalidCheckpoint
        If the file is missing, foreign, damaged or absurd; the message says which.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidCheckpoint(f"{path}: cannot be read: {error.strerror or error}") from error
    return _parse(data, str(path))


@cache
def load_shipped_weights() -> EvidenceWeights:
    """Read the weights that ship with the package."""
    shipped = resources.files("model") / "checkpoints" / SHIPPED
    try:
        data = shipped.read_bytes()
    except OSError as error:
        raise InvalidCheckpoint(
            f"the installed {SHIPPED} is missing; install the package again"
        ) from error
    return _parse(data, f"installed {SHIPPED}")


def _parse(data: bytes, origin: str) -> EvidenceWeights:
    if len(data) > MAX_BYTES:
        raise InvalidCheckpoint(f"{origin}: larger than {MAX_BYTES} bytes: no weights of evidence")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidCheckpoint(f"{origin}: holds no valid JSON") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InvalidCheckpoint(
            f"{origin}: is not a file of format {FORMAT}; make it with tools/fit_evidence.py"
        )
    try:
        return EvidenceWeights(
            intercept=float(document["intercept"]),
            terms=tuple(_term(one) for one in document["terms"]),
            cut=float(document["cut"]),
            provenance=dict(document["provenance"]),
        )
    except InvalidConfig as error:
        raise InvalidCheckpoint(f"{origin}: {error}") from error
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InvalidCheckpoint(f"{origin}: a part is missing or of another kind") from error


def _term(plain: dict[str, Any]) -> Term:
    knots, weights = (tuple(map(float, plain[key])) for key in ("knots", "weights"))
    return Term(str(plain["measure"]), knots, weights)
