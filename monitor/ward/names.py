"""What things are called on NATS, and which partition a patient belongs to.

    ECG_SAMPLES   ecg.samples.<partition>.<producer>   bundles of blocks, until all is committed
    ECG_WARD      ecg.alert.<partition>.<patient>      alerts and technical alerts, JSON
                  ecg.states.<partition>               how far patients are, many in a message
                  ecg.model.<partition>.<file>         what was learnt of a patient's lead
                  ecg.head.<partition>                 how far the partition is: the fence
                  ecg.run                              what decides the alerts
    ECG_LEASES    a key-value bucket: worker.<worker>, lease.<partition>

Not kept: from who serves a partition `ecg.status.<partition>`, and of patients whom a view shows
(`ecg.watch` names them: `monitor/ward/watched.py`) `ecg.beat.<partition>.<patient>` and
`ecg.wave.<partition>.<patient>`.
Requests to who serves a partition: `ecg.ask.<partition>`.

A partition is a journal of its own: its alerts are numbered without holes. Its messages go to disk
in one batch, with its head, which names the number that it expects to follow: of two workers that
serve one partition only one can write.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

SAMPLES, WARD, LEASES = "ECG_SAMPLES", "ECG_WARD", "ECG_LEASES"
LEASE_STREAM = f"KV_{LEASES}"
RUN, WATCH = "ecg.run", "ecg.watch"
PARTITIONS = 8  # a worker serves one or more; each costs commits, and steps of its own
MOST_PARTITIONS = 256
_TOKEN_DIGITS = 16


class WardIdentity(NamedTuple):
    """What a ward's streams say of it."""

    identity: str  # 8 hex digits
    partitions: int

    def journal(self, partition: int) -> str:
        """Return what alerts of a partition name as their journal: where their numbers count."""
        return f"{self.identity}-{partition:03d}"

    def partition_of(self, patient: str) -> int:
        """Return the partition of a patient; it never changes."""
        digest = hashlib.sha256(patient.encode()).digest()
        return int.from_bytes(digest[:8]) % self.partitions


def token(name: str) -> str:
    """Return what stands for a name in a subject, which takes neither dots nor spaces."""
    return hashlib.sha256(name.encode()).hexdigest()[:_TOKEN_DIGITS]


def samples_subject(partition: int | str, producer: str) -> str:
    """Return where a producer's samples of a partition go."""
    return f"ecg.samples.{partition}.{producer}"


def alert_subject(partition: int | str, patient: str) -> str:
    """Return where a patient's alerts go."""
    return f"ecg.alert.{partition}.{token(patient)}"


def states_subject(partition: int | str) -> str:
    """Return where it lies how far a partition's patients are."""
    return f"ecg.states.{partition}"


def model_subject(partition: int | str, file: str) -> str:
    """Return where a learnt model lies."""
    return f"ecg.model.{partition}.{file.removesuffix('.safetensors')}"


def head_subject(partition: int | str) -> str:
    """Return where it lies how far a partition is."""
    return f"ecg.head.{partition}"


def status_subject(partition: int | str) -> str:
    """Return where a partition's heartbeat goes."""
    return f"ecg.status.{partition}"


def beat_subject(partition: int | str, patient: str) -> str:
    """Return where a patient's beats go."""
    return f"ecg.beat.{partition}.{token(patient)}"


def wave_subject(partition: int | str, patient: str) -> str:
    """Return where a patient's signal goes."""
    return f"ecg.wave.{partition}.{token(patient)}"


def ask_subject(partition: int | str) -> str:
    """Return where requests on a partition's patients go."""
    return f"ecg.ask.{partition}"
