"""What the heartbeats of a ward's partitions say together, and whom nobody serves. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from monitor.text import counted
from monitor.ward.names import WardIdentity
from monitor.wire.messages import (
    UNSERVED,
    Alert,
    PatientStatus,
    StageHealth,
    StageName,
    Status,
    Technical,
    WardCounts,
)

NOBODYS_S = 3.0  # without a heartbeat of a partition: nobody serves it
FIRST_S = 5.0  # for the first heartbeats to be heard
STATUS_S = 1.0
# A partition speaks of 200 patients a second, in turn; of whom it spoke longer ago it gave up.
FORGOTTEN_S = 60.0


class _Told(NamedTuple):
    """What was told of a patient last."""

    status: PatientStatus
    at_s: float


class MergedStatus:
    """One heartbeat of all partitions; whom nobody serves is told without a heart rate."""

    def __init__(self) -> None:
        self._newest: dict[int, tuple[Status, float]] = {}
        self._patients: dict[int, dict[str, _Told]] = {}  # by partition
        self._gone: dict[str, _Told] = {}  # of a ward that is there no longer
        self._had: dict[str, int] = {}  # newest number handed out, by journal
        self._nobodys: set[int] = set()
        self._ward = WardIdentity("", 0)
        self._began_s = 0.0
        self._looked_s = 0.0
        self._knows_past = True

    def begin(self, ward: WardIdentity, now_s: float, *, knows_past: bool) -> None:
        """Begin to listen, or to listen to another ward: nobody serves the patients of the last."""
        self._ward, self._began_s, self._looked_s = ward, now_s, now_s
        self._knows_past = knows_past
        self._newest, self._nobodys, self._had = {}, set(), {}
        self._gone |= {name: told for of in self._patients.values() for name, told in of.items()}
        self._patients = {}

    def take(self, partition: str, status: Status, now_s: float) -> None:
        """Take a partition's heartbeat in."""
        if not partition.isdecimal() or int(partition) >= self._ward.partitions:
            return
        number = int(partition)
        self._newest[number] = status, now_s
        if not self._knows_past:
            self._had.setdefault(status.journal, status.newest_seq)
        told = self._patients.setdefault(number, {})
        for one in status.patients:
            told[one.patient] = _Told(one, now_s)
            self._gone.pop(one.patient, None)
        if len(told) > len(status.patients):
            self._patients[number] = {
                name: of for name, of in told.items() if now_s - of.at_s < FORGOTTEN_S
            }

    def take_alert(self, message: Alert | Technical) -> None:
        """Take note of an alert that was handed out."""
        self._had[message.journal] = message.seq

    @property
    def had(self) -> int:
        """How many alerts were handed out or passed over."""
        return sum(self._had.values())

    @property
    def patients(self) -> list[str]:
        """The patients of whom heartbeats spoke."""
        return [name for of in self._patients.values() for name in of]

    @property
    def unserved(self) -> str:
        """Which partitions nobody serves, in words; empty where all are served."""
        return self._unserved(self._nobodys) if self._nobodys else ""

    def look(self, now_s: float, *, hears: bool) -> list[str]:
        """Return what has changed about who serves which partition."""
        passed_s, self._looked_s = now_s - self._looked_s, now_s
        if not hears or passed_s > 3 * STATUS_S:  # nothing could be heard
            self._began_s = now_s
            self._newest = {one: (status, now_s) for one, (status, _) in self._newest.items()}
        if now_s - self._began_s < FIRST_S:
            return []
        nobodys = {
            one
            for one in range(self._ward.partitions)
            if one not in self._newest or now_s - self._newest[one][1] > NOBODYS_S
        }
        new, over = nobodys - self._nobodys, self._nobodys - nobodys
        self._nobodys = nobodys
        texts = []
        if new:
            texts.append(self._unserved(new))
        if over:
            texts.append(f"partitions {_listed(over)} are served again")
        return texts

    def _unserved(self, partitions: Iterable[int]) -> str:
        n = sum(_count(self._newest[one][0].ward) for one in partitions if one in self._newest)
        return (
            f"nobody serves partitions {_listed(partitions)} ({counted(n, 'patient')}): they are "
            "not monitored until a worker takes them over"
        )

    def status(self) -> Status:
        """Return one heartbeat of all."""
        all_ = [self._newest[one][0] for one in sorted(self._newest)]
        served = [one for at, (one, _) in sorted(self._newest.items()) if at not in self._nobodys]
        patients = [patient for one in served for patient in one.patients]
        unserved = [self._gone, *(self._patients.get(one, {}) for one in self._nobodys)]
        patients += [
            _not_monitored(told.status)
            for of in unserved
            for told in of.values()
            if told.status.state != "ended"
        ]
        return Status(
            schema=1,
            newest_seq=sum(one.newest_seq for one in all_),
            journal=self._ward.identity,
            origin=self._ward.identity,
            wall_time=max(one.wall_time for one in all_),
            speed=max((one.speed or 0.0 for one in served), default=None),
            patients=patients,
            ward=_summed([one.ward for one in all_]),
            stages=_stages(served),
            model=all_[0].model,
        )


def _not_monitored(status: PatientStatus) -> PatientStatus:
    """Return what is to be told of a patient whom nobody serves: what stood is not known now."""
    return msgspec.structs.replace(status, heart_rate_bpm=None, technical=[UNSERVED])


def _listed(partitions: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(partitions)))


def _count(ward: WardCounts) -> int:
    return ward.monitoring + ward.learning


def _summed(counts: Sequence[WardCounts]) -> WardCounts:
    names = ("learning", "monitoring", "ended", "technical", "latched", "shed", "beats")
    sums = {name: sum(getattr(one, name) for one in counts) for name in names}
    return WardCounts(**sums, lag_s=max((one.lag_s for one in counts), default=0.0))


def _stages(statuses: Sequence[Status]) -> list[StageHealth]:
    """Return the counters of all workers together."""
    of: dict[StageName, list[StageHealth]] = {}
    for status in statuses:
        for one in status.stages:
            of.setdefault(one.stage, []).append(one)
    names = ("messages_in", "messages_out", "malformed", "gaps", "dropped", "refused_patients")
    return [
        StageHealth(
            stage=stage,
            restarts=0,
            age_s=max(one.age_s for one in each),
            **{name: sum(getattr(one, name) for one in each) for name in names},
        )
        for stage, each in of.items()
    ]
