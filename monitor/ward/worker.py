"""`ecg-monitor worker`: shares a ward's partitions with the other workers, and serves its own.

A worker says once a second that it lives. Who has not been heard for `LEASE_S` of time in which one
could have heard is gone: its partitions are free. A lease is written only over the revision that
was seen, so one of several that want it has it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import socket
import sys
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from monitor.delivery.metrics import Metrics
from monitor.delivery.metrics_server import served
from monitor.detection.engine import Engine
from monitor.errors import Fenced, InvalidMessage, JournalMismatch, MonitorError
from monitor.interrupts import Interrupts
from monitor.journal.run import JournaledRun, decode_run, difference
from monitor.settings import ConsumerSettings
from monitor.stages.consumer import load_model, utc_now
from monitor.stages.host import collect_seldom
from monitor.stages.training_processes import TrainingProcesses
from monitor.text import harmless
from monitor.ward.common_segmenter import CommonSegmenter
from monitor.ward.link import JetStreamError, Unanswered, WardAccess, WardLink, answer_of, connected
from monitor.ward.names import LEASE_STREAM, LEASES, RUN, WARD, WATCH, wave_subject
from monitor.ward.partition_host import Hosting, PartitionHost
from monitor.ward.setup import require_ward
from monitor.ward.shares import shares
from monitor.ward.stream_reader import Stored, StreamReader
from monitor.ward.ward_journal import WardJournal
from monitor.ward.watched import MOST_WATCHED, decode_watched
from monitor.wire.codec import encode_json
from segmenter.beat import BeatSpec

BEAT_S = 1.0  # between two signs of life
LEASE_S = 4.0  # without one a worker is gone; 10 s with detection, taking over and catching up
LOOK_S = 0.25
SHOWN_S = 15.0  # a view says more often whom it shows
LEAVE_S = 8.0


class Neighbours:
    """Who works and who holds what, as read from the leases.

    Time is the server's, as it stamps this worker's own signs of life; of a longer pause between
    two of them only `BEAT_S` and a half counts: then the server, or this process, stood still, and
    nobody could be heard.

    Parameters
    ----------
    me : str
        This worker.
    """

    def __init__(self, me: str) -> None:
        self._me = me
        self._listened_s = 0.0
        self._own_ns: int | None = None
        self._before: dict[str, int] = {}  # rows of before this worker's first
        self._heard_s: dict[str, float] = {}
        self._leaving: set[str] = set()
        self.owners: dict[int, str] = {}
        self.revisions: dict[int, int] = {}

    @property
    def settled(self) -> bool:
        """Whether all that was there before this worker's own row has been read."""
        return self._own_ns is not None

    def take(self, row: Stored) -> None:
        """Take in a row of the leases, in order."""
        _, _, kind, name = row.subject.split(".", 3)
        says = json.loads(row.content or b"{}")
        if kind == "worker":
            self._take_sign(name, row.time_ns)
            (self._leaving.add if says.get("leaving") else self._leaving.discard)(name)
        elif kind == "lease" and name.isdecimal():
            self.owners[int(name)] = str(says.get("worker", ""))
            self.revisions[int(name)] = row.number

    def _take_sign(self, name: str, time_ns: int) -> None:
        if name == self._me:
            if self._own_ns is None:
                for other, before_ns in self._before.items():
                    self._heard_s[other] = (before_ns - time_ns) / 1e9
            else:
                self._listened_s += min((time_ns - self._own_ns) / 1e9, 1.5 * BEAT_S)
            self._own_ns = time_ns
        if self._own_ns is None:
            self._before[name] = time_ns
        else:
            self._heard_s[name] = self._listened_s

    @property
    def alive(self) -> set[str]:
        """The workers that were heard lately and do not leave."""
        bound_s = self._listened_s - LEASE_S
        return {name for name, at in self._heard_s.items() if at >= bound_s} - self._leaving


@dataclass(frozen=True)
class WorkerOptions:
    """What `ecg-monitor worker` was asked for."""

    access: WardAccess
    settings: ConsumerSettings
    name: str = ""
    metrics: str | None = None  # PORT or HOST:PORT that Prometheus reads


def work(options: WorkerOptions) -> None:
    """Serve partitions of a ward until told to stop.

    Raises
    ------
    MonitorError
        If something given cannot be used, or the ward cannot be reached.
    """
    metrics = Metrics()
    metrics.serve(())
    with Interrupts() as interrupts, contextlib.ExitStack() as stack:
        if options.metrics is not None:
            stack.enter_context(served(metrics, options.metrics))
        asyncio.run(_work(options, interrupts, metrics))


def worker_name(given: str = "") -> str:
    """Return what a worker is called: its machine's name, and a part that no other shares."""
    base = given or socket.gethostname().split(".")[0] or "worker"
    safe = "".join(one if one.isalnum() or one in "-_" else "-" for one in base)[:40]
    return f"{safe}-{os.getpid()}-{uuid.uuid4().hex[:4]}"


async def _work(options: WorkerOptions, interrupts: Interrupts, metrics: Metrics) -> None:
    async with contextlib.AsyncExitStack() as opened:
        with interrupts.at_once():
            link = await opened.enter_async_context(connected(options.access, "worker", say))
        ward = await require_ward(link)
        with TrainingProcesses() as executor:
            checkpoint = load_model(options.settings)
            me = worker_name(options.name)
            engine = Engine(
                checkpoint,
                options.settings,
                WardJournal(link, ward, 0, me),
                WardJournal(link, ward, 0, me).models,
                executor,
                utc_now,
            )
            await _require_same_run(link, engine.journaled_run([]))
            shown: dict[str, float] = {}

            def is_shown(patient: str) -> bool:
                return shown.get(patient, 0.0) > time.monotonic()

            spec = BeatSpec.from_mapping(checkpoint.spec)
            signs = bool(options.settings.rules.alarms.on)
            hosting = Hosting(
                link,
                ward,
                me,
                checkpoint,
                options.settings,
                executor,
                CommonSegmenter(spec, is_shown, measure_signs=signs),
                is_shown,
                say,
                metrics,
            )
            say(f"{me} works for the ward {ward.identity} at {link.address}")
            collect_seldom()
            async with _views(hosting, shown):
                await Worker(hosting).run(interrupts)


async def _require_same_run(link: WardLink, run: JournaledRun) -> None:
    """Write what decides the alerts, or hold this worker to what is written.

    Raises
    ------
    JournalMismatch
        If the other workers were told something else.
    """
    while True:
        found = await _last(link, RUN)
        if found is not None:
            differs = difference(decode_run(found, Path(link.address)), run)
            if differs is not None:
                raise JournalMismatch(
                    f"the ward at {link.address} is another run: {differs}; give the same to every "
                    "worker"
                )
            return
        with contextlib.suppress(JetStreamError, Unanswered):
            headers = {"Nats-Expected-Last-Subject-Sequence": "0"}
            answer_of(await link.ask(RUN, msgspec.json.encode(run), headers))


async def _last(link: WardLink, subject: str) -> bytes | None:
    while True:
        with contextlib.suppress(Unanswered):
            found = await link.last(WARD, subject)
            return None if found is None else base64.b64decode(found.get("data", ""))
        await asyncio.sleep(LOOK_S)


@contextlib.asynccontextmanager
async def _views(of: Hosting, shown: dict[str, float]) -> AsyncIterator[None]:
    """Listen which patients views show, for the block; send the last seconds of whom they begin."""
    link = of.link

    async def hear(message: Any) -> None:  # noqa: ANN401
        try:
            watched = decode_watched(message.data)
        except InvalidMessage:
            return
        until_s = time.monotonic() + SHOWN_S
        if len(shown) > 2 * MOST_WATCHED:
            shown.clear()
        shown.update((name, until_s) for name in watched.shown)
        for wave in of.segmenter.recent_waves(watched.begun):
            subject = wave_subject(of.ward.partition_of(wave.patient), wave.patient)
            await link.publish(subject, encode_json(wave))

    subscription = await link.client.subscribe(WATCH, cb=hear)
    try:
        yield
    finally:
        with contextlib.suppress(Exception):
            await subscription.unsubscribe()


class Worker:
    """Claims and gives up partitions; each that it has is served by a task of its own."""

    def __init__(self, hosting: Hosting) -> None:
        self._of = hosting
        self._me = hosting.worker
        self._neighbours = Neighbours(self._me)
        self._hosts: dict[int, PartitionHost] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._ending: dict[int, asyncio.Task[None]] = {}  # of partitions that another has
        self._told: tuple[int, ...] = ()

    async def run(self, interrupts: Interrupts) -> None:
        """Work until interrupted; then give everything up in order."""
        link, due_s = self._of.link, time.monotonic()
        reader = StreamReader(link, LEASE_STREAM, f"$KV.{LEASES}.>", newest_of_each=True)
        try:
            while not interrupts.happened:
                for row in await reader.read(256, LOOK_S):
                    self._neighbours.take(row)
                now_s = time.monotonic()
                if now_s >= due_s:
                    due_s = now_s + BEAT_S
                    await self._say_alive(leaving=False)
                self._end_what_failed()
                if self._neighbours.settled and reader.waiting == 0 and link.client.is_connected:
                    await self._share()
        finally:
            await self._leave()
            await reader.close()

    async def _say_alive(self, *, leaving: bool) -> None:
        row = json.dumps({"leaving": leaving}).encode()
        await self._of.link.publish(f"$KV.{LEASES}.worker.{self._me}", row)

    async def _share(self) -> None:
        """Claim and give up what the shares say."""
        neighbours = self._neighbours
        owners = neighbours.owners
        for partition in [one for one in self._tasks if owners.get(one) != self._me]:
            self._stop(partition)  # another has its lease
        wanted = shares(self._me, neighbours.alive, owners, self._of.ward.partitions)
        for partition in wanted.release:
            if partition in self._hosts:
                self._hosts[partition].leave()
            else:
                await self._write_lease(partition, "")
        for partition in wanted.claim:
            await self._write_lease(partition, self._me)
        for partition, owner in owners.items():
            if owner == self._me and partition not in self._tasks:
                self._start(partition)
        mine = tuple(sorted(self._tasks))
        if mine != self._told:
            self._told = mine
            self._of.metrics.serve([str(one) for one in mine])
            say(f"serves partitions {', '.join(map(str, mine)) or 'none'}")

    async def _write_lease(self, partition: int, owner: str) -> None:
        """Write a lease over the revision that was seen; what another wrote since stands."""
        neighbours = self._neighbours
        revision = neighbours.revisions.get(partition, 0)
        headers = {"Nats-Expected-Last-Subject-Sequence": str(revision)}
        content = json.dumps({"worker": owner}).encode()
        with contextlib.suppress(JetStreamError, Unanswered):
            subject = f"$KV.{LEASES}.lease.{partition}"
            number = int(answer_of(await self._of.link.ask(subject, content, headers))["seq"])
            neighbours.owners[partition], neighbours.revisions[partition] = owner, number

    def _start(self, partition: int) -> None:
        ending = self._ending.get(partition)
        if ending is not None and not ending.done():  # it still gives its patients up
            return
        host = PartitionHost(self._of, partition)
        self._hosts[partition] = host
        self._tasks[partition] = asyncio.create_task(host.run(), name=f"partition {partition}")

    def _stop(self, partition: int) -> None:
        task = self._ending[partition] = self._tasks.pop(partition)
        # A wait that has just been answered swallows the cancellation (`asyncio.wait_for`, up to
        # Python 3.11): then it leaves by itself.
        self._hosts.pop(partition).leave()
        task.cancel()

    def _end_what_failed(self) -> None:
        """Look at tasks that have ended: given up in order, taken over, or failed."""
        for partition, task in list(self._tasks.items()):
            if not task.done():
                continue
            host = self._hosts.pop(partition)
            del self._tasks[partition]
            error = None if task.cancelled() else task.exception()
            if error is None and host.is_leaving:
                self._neighbours.owners[partition] = self._me  # until the lease is written
                asyncio.ensure_future(self._write_lease(partition, ""))  # noqa: RUF006
            elif isinstance(error, Fenced | Unanswered):
                say(f"partition {partition}: {error}; it is read again if it is still ours")
            elif isinstance(error, MonitorError) or error is not None:
                raise error

    async def _leave(self) -> None:
        """Give everything up in order, as far as that is done in time."""
        await self._say_alive(leaving=True)
        for host in self._hosts.values():
            host.leave()
        if self._tasks:
            done, pending = await asyncio.wait(self._tasks.values(), timeout=LEAVE_S)
            for task in pending:
                task.cancel()
            for task in done:
                with contextlib.suppress(BaseException):
                    task.result()
            for partition in list(self._tasks):
                await self._write_lease(partition, "")


def say(text: str) -> None:
    """Report to whoever started the worker."""
    sys.stderr.write(f"ecg-monitor worker: {harmless(text, 1000)}\n")
    sys.stderr.flush()
