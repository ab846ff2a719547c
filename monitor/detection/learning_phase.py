"""One patient's first minutes: collect beats, train a model a lead, hold what comes meanwhile.

Which beats are learnt depends on their R peaks alone, not on how the stream was cut into messages.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from model.errors import CannotLearn
from monitor.wire.messages import BeatsHeader, BeatsMessage, EndHeader, LearningStatus
from segmenter.beat import Beats, joined_beats

if TYPE_CHECKING:
    from model.learning import Learned

# How much longer is learnt when the first minutes were not enough. Ten seconds are ten more beats;
# a patient for whom hours are not enough is not tried all the time.
LEARN_ON_S, LEARN_ON_GROWTH, MOST_LEARN_ON_S = 10.0, 1.2, 60.0
MAX_BEATS = 10_000  # the newest, of a patient that cannot be learnt for hours
LAST_BEAT_S = 5.0  # a beat comes at most so long after its R peak, or never

Train = Callable[[NDArray[np.float32], NDArray[np.float32]], "Future[Learned]"]
Outcome: TypeAlias = "Learned | CannotLearn"  # of one lead
Held = BeatsMessage | EndHeader


class LearningPhase:
    """What is learnt until a sample of the record, and what waits for the training's end.

    Parameters
    ----------
    until_sample : int
        Beats whose R peak comes before it are learnt.
    train : callable
        Starts a training on one lead's beats of shape (n, length) and their RR intervals, shape
        (n,), in ms; returns its future.
    """

    def __init__(self, until_sample: int, train: Train) -> None:
        self.until_sample = until_sample
        self.held: deque[Held] = deque()
        self.note = ""
        self._train = train
        self._beats: list[Beats] = []
        self._leads: list[str] = []
        self._trainings: list[Future[Learned]] = []  # one a lead
        self._in_vain = 0  # trainings

    @property
    def training(self) -> bool:
        """Whether the beats have been collected and models are being trained on them."""
        return bool(self._trainings)

    @property
    def waits_since_ns(self) -> int | None:
        """When the oldest of what waits for the training was sent; None if nothing waits."""
        if not self.held:
            return None
        oldest = self.held[0]
        return oldest.sent_ns if isinstance(oldest, EndHeader) else oldest.header.sent_ns

    def status(self, position: int, fs_hz: float, ahead: int) -> LearningStatus:
        """Return how far it is.

        Parameters
        ----------
        position : int
            Samples of the record so far.
        ahead : int
            Trainings of others that come first.
        """
        left = 0 if self.training else max(0, self.until_sample - position)
        return LearningStatus(
            left_s=round(left / fs_hz, 1),
            beats=sum(map(len, self._beats)),
            training=self.training,
            ahead=ahead,
            held=sum(one.header.n_beats for one in self.held if isinstance(one, BeatsMessage)),
        )

    def is_trained_by(self, training: Future[Learned]) -> bool:
        """Tell whether this is a training that it waits for."""
        return training in self._trainings

    def admit(self, message: Held) -> list[Held]:
        """Take a message in; return the part that need not wait, whose beats are not scored."""
        if isinstance(message, BeatsMessage):
            header, state = message.header, message.state
            message = BeatsMessage(header, message.beats.copy(), state)  # it is kept for minutes
        if self.training:
            self.held.append(message)
            return []
        if isinstance(message, EndHeader):
            return [message]
        return self._collect(message)

    def outcomes(self) -> list[Outcome] | None:
        """Return what became of each lead once all trainings have ended.

        Raises
        ------
        CannotLearn
            If no lead can be learnt.
        """
        if not self._trainings or not all(one.done() for one in self._trainings):
            return None
        outcomes = [_outcome(one) for one in self._trainings]
        if all(isinstance(one, CannotLearn) for one in outcomes):
            raise CannotLearn(outcomes_text(self._leads, outcomes))
        return outcomes

    def learn_on(self, reason: CannotLearn, fs_hz: float) -> list[Held]:
        """Go on collecting after a training in vain; return the held parts that need not wait."""
        self.note = f"still learning: {reason}"
        longer_s = min(LEARN_ON_S * LEARN_ON_GROWTH**self._in_vain, MOST_LEARN_ON_S)
        self.until_sample += round(longer_s * fs_hz)
        self._in_vain += 1
        self._trainings = []
        waiting, self.held = list(self.held), deque()
        return [part for message in waiting for part in self.admit(message)]

    def _collect(self, message: BeatsMessage) -> list[Held]:
        header, beats, state = message.header, message.beats, message.state
        n_learnt = int(np.searchsorted(beats.r_sample, self.until_sample))
        learnt, rest = beats.rows(slice(None, n_learnt)), beats.rows(slice(n_learnt, None))
        self._beats.append(learnt)
        while sum(map(len, self._beats[1:])) >= MAX_BEATS:
            self._beats.pop(0)
        latest_sample = self.until_sample + LAST_BEAT_S * header.fs_hz
        if not len(rest) and header.position < latest_sample:
            return [message]
        self._trainings = self._begin_trainings(header)
        rest_header = msgspec.structs.replace(header, n_beats=len(rest), events=[])
        self.held.append(BeatsMessage(rest_header, rest, state))
        # Not the whole message's position: the beats behind it wait, and will have a verdict.
        position = min(header.position, self.until_sample)
        learnt_header = msgspec.structs.replace(header, n_beats=n_learnt, position=position)
        return [BeatsMessage(learnt_header, learnt, b"")]

    def _begin_trainings(self, header: BeatsHeader) -> list[Future[Learned]]:
        self._leads = header.leads
        collected = joined_beats(self._beats, header.length, len(header.leads))
        fit = collected.lead_judgeable & collected.judgeable[:, None]  # (n, leads)
        return [
            self._train(collected.values[rows, lead], collected.rr_before_ms[rows])
            for lead, rows in enumerate(fit.T)
        ]


def _outcome(training: Future[Learned]) -> Outcome:
    try:
        return training.result()
    except CannotLearn as reason:
        return reason


def outcomes_text(leads: Sequence[str], outcomes: Sequence[Outcome]) -> str:
    """Return what to say of a learning, a clause for each lead where there are several."""
    if len(leads) == 1:
        return _text(outcomes[0])
    return "; ".join(
        f"{lead} {'is left out' if isinstance(one, CannotLearn) else 'is judged'}: {_text(one)}"
        for lead, one in zip(leads, outcomes, strict=True)
    )


def _text(outcome: Outcome) -> str:
    return str(outcome) if isinstance(outcome, CannotLearn) else outcome.note
