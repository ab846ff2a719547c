"""One segmenter for all partitions of a worker: many rows a step cost little more than a few.

Partitions that have something at the same moment share a step; what comes of it goes back to each.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from monitor.settings import Resume
from monitor.stages.host import Counters
from monitor.stages.segmenter import HISTORIES, SampleSegmenter
from monitor.step_result import StepResult
from monitor.wire.messages import (
    BeatsMessage,
    EndHeader,
    SamplesMessage,
    ShedHeader,
    StageMessage,
    Stream,
    Wave,
)
from segmenter.beat import BeatSpec

GATHER_S = 0.02  # for other partitions' samples of the same round to come
# Far below what tells two senders apart: they are told by when the stream took their samples, and
# a partition that catches up is behind the others.
TOGETHER_S = 0.5
# Of all patients of a worker: with 1,000 each one's every 20 s. Who takes a partition over reads
# its samples from there on.
STATES_PER_S = 50.0
_COUNTED = ("malformed", "gaps", "dropped", "refused_patients")


class _Waiting(NamedTuple):
    """What one partition has to be segmented, and whom it tells what came of it."""

    now_s: float
    messages: list[StageMessage]
    answer: asyncio.Future[StepResult[StageMessage]]


class CommonSegmenter:
    """Segments samples of several partitions; a patient belongs to one of them at a time.

    Parameters
    ----------
    spec : BeatSpec
    shown : callable
        Whether anybody looks at a patient.
    measure_signs : bool
        As a `SampleSegmenter` takes them.
    """

    def __init__(
        self, spec: BeatSpec, shown: Callable[[str], bool], *, measure_signs: bool
    ) -> None:
        self._counters = Counters("segmenter", 0)
        self._segmenter = SampleSegmenter(
            spec,
            [],
            [],
            self._counters,
            shown,
            measure_signs=measure_signs,
            states_per_s=STATES_PER_S,
        )
        self._waiting: list[_Waiting] = []
        self.stepped_s = 0.0  # when partitions were segmented together last, monotonic time

    def expect(self, streams: Sequence[Stream], resume: Sequence[Resume]) -> None:
        """Take in a partition's patients, where they go on."""
        self._segmenter.expect(streams, resume)

    def forget(self, patients: Iterable[str]) -> None:
        """Give up a partition's patients: another serves them from now on."""
        self._segmenter.forget(patients)

    def recent_waves(self, patients: Sequence[str]) -> list[Wave]:
        """Return the last ten seconds of those who are here, for a view that has come to them."""
        here = [name for name in patients if self._segmenter.knows(name)]
        return self._segmenter.recent_waves(here[:HISTORIES])

    def step(self, messages: Sequence[StageMessage], now_s: float) -> StepResult[StageMessage]:
        """Segment messages now, alone."""
        return self._segmenter.step(messages, now_s)

    async def gathered(
        self, messages: list[StageMessage], now_s: float
    ) -> StepResult[StageMessage]:
        """Segment a partition's messages together with what other partitions have just now.

        Parameters
        ----------
        messages : list
            Of patients whom no other partition that waits has.
        now_s : float
            When the stream took them.
        """
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_later(GATHER_S, self._answer)
        one = _Waiting(now_s, messages, loop.create_future())
        self._waiting.append(one)
        return await one.answer

    def count_for(self, counters: Counters) -> None:
        """Move what was counted since the last call to one partition's counters."""
        for name in _COUNTED:
            setattr(counters, name, getattr(counters, name) + getattr(self._counters, name))
            setattr(self._counters, name, 0)

    def _answer(self) -> None:
        waiting = sorted(
            (one for one in self._waiting if not one.answer.done()), key=lambda one: one.now_s
        )  # who was given up meanwhile waits no more
        self._waiting = []
        self.stepped_s = time.monotonic()
        while waiting:
            began_s = waiting[0].now_s
            n = sum(one.now_s - began_s <= TOGETHER_S for one in waiting)
            self._step_together(waiting[:n], began_s)
            waiting = waiting[n:]

    def _step_together(self, waiting: Sequence[_Waiting], now_s: float) -> None:
        try:
            found = self._segmenter.step([one for each in waiting for one in each.messages], now_s)
        except Exception as error:
            for each in waiting:
                each.answer.set_exception(error)
            return
        whose = {_patient(one): each for each in waiting for one in each.messages}
        results = {id(each): StepResult[StageMessage]() for each in waiting}
        for message in found.messages:
            results[id(whose[_patient(message)])].messages.append(message)
        for wave in found.waves:
            results[id(whose[wave.patient])].waves.append(wave)
        for each in waiting:
            each.answer.set_result(results[id(each)])


def _patient(message: StageMessage) -> str:
    match message:
        case SamplesMessage(header=header) | BeatsMessage(header=header):
            return header.patient
        case EndHeader() | ShedHeader():
            return message.patient
        case _:
            return ""
