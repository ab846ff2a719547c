"""The streams of a ward: made once, by who sets it up, and found by everybody else."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from monitor.errors import InvalidOption, WardUnreachable
from monitor.text import counted
from monitor.ward.link import NOT_FOUND, JetStreamError, Unanswered, WardLink
from monitor.ward.names import LEASE_STREAM, LEASES, MOST_PARTITIONS, SAMPLES, WARD, WardIdentity

IDENTITY, N_PARTITIONS = "ecg_ward", "ecg_partitions"  # in the ward stream's metadata
LEASE_AGE_S = 3600.0  # rows of workers that are gone
DUPLICATES_S = 120.0


@dataclass(frozen=True)
class WardSize:
    """How a ward is made.

    Attributes
    ----------
    partitions : int
        Among which patients are divided; it cannot be changed later.
    replicas : int
        Servers that hold each message: 1, or 3 in a cluster.
    samples_bytes : int
        Samples that may wait for workers; when as many wait producers are refused.
    keep_days : float
        For which alerts and the states of patients of whom nothing comes are kept.
    """

    partitions: int
    replicas: int = 1
    samples_bytes: int = 1 << 30
    keep_days: float = 90.0


async def make_ward(link: WardLink, size: WardSize) -> WardIdentity:
    """Make a ward's streams, or find those that are there.

    Raises
    ------
    InvalidOption
        If the ward that is there has another number of partitions, or the server is too old.
    WardUnreachable
        If JetStream does not answer or refuses.
    """
    if not 1 <= size.partitions <= MOST_PARTITIONS:
        raise InvalidOption(f"--partitions {size.partitions}: use 1 to {MOST_PARTITIONS}")
    found = await find_ward(link)
    if found is not None and found.partitions != size.partitions:
        raise InvalidOption(
            f"{link.address} holds a ward of {counted(found.partitions, 'partition')}, and "
            f"that cannot be changed; give --partitions {found.partitions}, or another server or "
            "--store"
        )
    identity = uuid.uuid4().hex[:8] if found is None else found.identity
    for config in _streams(size, identity):
        await _make_stream(link, config)
    return WardIdentity(identity, size.partitions)


async def _make_stream(link: WardLink, config: dict[str, Any]) -> None:
    name = config["name"]
    try:
        answer = await link.jetstream(f"STREAM.INFO.{name}")
    except JetStreamError as error:
        if error.code not in NOT_FOUND:
            raise WardUnreachable(f"{link.address}: JetStream refuses: {error}") from error
    except Unanswered as error:
        raise WardUnreachable(_NO_JETSTREAM.format(link.address)) from error
    else:
        if answer["config"]["num_replicas"] == config["num_replicas"]:
            return
        config = answer["config"] | {"num_replicas": config["num_replicas"]}
        await _ask_for(link, f"STREAM.UPDATE.{name}", config)
        return
    made = await _ask_for(link, f"STREAM.CREATE.{name}", config)
    if config.get("allow_atomic") and not made["config"].get("allow_atomic"):
        raise InvalidOption(
            f"{link.address}: this NATS server knows no atomic batches; it must be 2.12 or newer"
        )


async def _ask_for(link: WardLink, what: str, config: dict[str, Any]) -> dict[str, Any]:
    try:
        return await link.jetstream(what, config)
    except JetStreamError as error:
        raise WardUnreachable(
            f"{link.address}: JetStream does not make {config['name']}: {error}"
        ) from error
    except Unanswered as error:
        raise WardUnreachable(_NO_JETSTREAM.format(link.address)) from error


_NO_JETSTREAM = "{}: no JetStream there, or no leader; start nats-server with jetstream {{ … }}"


async def find_ward(link: WardLink) -> WardIdentity | None:
    """Return the ward that a server holds; None where there is none.

    Raises
    ------
    WardUnreachable
        If JetStream does not answer.
    """
    try:
        info = await link.jetstream(f"STREAM.INFO.{WARD}")
    except JetStreamError as error:
        if error.code in NOT_FOUND:
            return None
        raise WardUnreachable(f"{link.address}: JetStream refuses: {error}") from error
    except Unanswered as error:
        raise WardUnreachable(_NO_JETSTREAM.format(link.address)) from error
    metadata = info["config"].get("metadata") or {}
    try:
        return WardIdentity(str(metadata[IDENTITY]), int(metadata[N_PARTITIONS]))
    except (KeyError, ValueError) as error:
        raise WardUnreachable(
            f"{link.address}: its stream {WARD} was not made by ecg-monitor"
        ) from error


async def newest_number(link: WardLink) -> int:
    """Return the number of the newest message that the ward's stream has taken.

    Raises
    ------
    WardUnreachable
        If JetStream does not answer, or refuses.
    """
    try:
        info = await link.jetstream(f"STREAM.INFO.{WARD}")
    except JetStreamError as error:
        raise WardUnreachable(f"{link.address}: JetStream refuses: {error}") from error
    except Unanswered as error:
        raise WardUnreachable(_NO_JETSTREAM.format(link.address)) from error
    return int(info["state"]["last_seq"])


async def require_ward(link: WardLink) -> WardIdentity:
    """Return the ward that a server holds; WardUnreachable where there is none."""
    found = await find_ward(link)
    if found is None:
        raise WardUnreachable(
            f"{link.address} holds no ward; make one: ecg-monitor ward init --ward {link.address}"
        )
    return found


def _streams(size: WardSize, identity: str) -> list[dict[str, Any]]:
    ns = int(1e9)
    both = {"storage": "file", "num_replicas": size.replicas, "allow_direct": True}
    return [
        both
        | {
            "name": SAMPLES,
            "subjects": ["ecg.samples.>"],
            # What workers have not committed stays; a producer that finds no room waits, or sheds.
            "discard": "new",
            "max_bytes": size.samples_bytes,
            "duplicate_window": int(DUPLICATES_S * ns),
        },
        both
        | {
            "name": WARD,
            "subjects": [f"ecg.{one}.>" for one in ("alert", "states", "model", "head")]
            + ["ecg.run"],
            "allow_atomic": True,
            "allow_rollup_hdrs": True,
            "max_age": int(size.keep_days * 86_400 * ns),
            "metadata": {IDENTITY: identity, N_PARTITIONS: str(size.partitions)},
        },
        both
        | {
            "name": LEASE_STREAM,
            "subjects": [f"$KV.{LEASES}.>"],
            "max_msgs_per_subject": 1,
            "allow_rollup_hdrs": True,
            "max_age": int(LEASE_AGE_S * ns),
        },
    ]
