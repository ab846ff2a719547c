"""One patient's training as data: what it takes, what it gives, and the bytes of both.

Whoever asks for a training submits `learn` and a task to an executor; in which process it is done
is the executor's to decide, and changes no bit of what is learnt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from model.checkpoint import Checkpoint, checkpoint_bytes, parse_checkpoint
from model.errors import CannotLearn, ModelError

if TYPE_CHECKING:  # what only the process that trains loads
    from model.learning import Learned
    from model.training import Epoch


@dataclass(frozen=True)
class TrainingTask:
    """What a patient's model is made of.

    Attributes
    ----------
    beats : np.ndarray, shape (n, length), float32
        The patient's, in the order of time.
    rr_before_ms : np.ndarray, shape (n,), float32
    base : Checkpoint
        What the model begins with.
    false_alerts_per_hour : float
        Aim of its threshold.
    from_scratch : bool
        Begin with random weights instead.
    """

    beats: NDArray[np.float32]
    rr_before_ms: NDArray[np.float32]
    base: Checkpoint
    false_alerts_per_hour: float
    from_scratch: bool = False


def learn(task: TrainingTask, on_epoch: Callable[[Epoch], None] | None = None) -> Learned:
    """Train a patient's model in this process; CannotLearn if the beats do not do."""
    from model.learning import learn_patient

    return learn_patient(
        task.beats,
        task.base.spec,
        task.base.spec_identity,
        None if task.from_scratch else task.base,
        rr_before_ms=task.rr_before_ms,
        false_alerts_per_hour=task.false_alerts_per_hour,
        on_epoch=on_epoch,
    )


class _Task(msgspec.Struct):
    shape: tuple[int, int]  # of the beats; a lead may have none
    beats: bytes
    rr_before_ms: bytes
    base: bytes
    false_alerts_per_hour: float
    from_scratch: bool


class _Outcome(msgspec.Struct):
    checkpoint: bytes
    n_given: int
    n_kept: int
    note: str
    problem: str = ""  # why nothing was learnt; the rest is empty then


def encode_task(task: TrainingTask) -> bytes:
    """Return a task as bytes, for a process that trains."""
    return msgspec.msgpack.encode(
        _Task(
            shape=task.beats.shape,
            beats=np.ascontiguousarray(task.beats, np.float32).tobytes(),
            rr_before_ms=np.ascontiguousarray(task.rr_before_ms, np.float32).tobytes(),
            base=checkpoint_bytes(task.base),
            false_alerts_per_hour=task.false_alerts_per_hour,
            from_scratch=task.from_scratch,
        )
    )


def decode_task(data: bytes) -> TrainingTask:
    """Return the task that `encode_task` wrote."""
    told = msgspec.msgpack.decode(data, type=_Task)
    return TrainingTask(
        beats=np.frombuffer(told.beats, np.float32).reshape(told.shape),
        rr_before_ms=np.frombuffer(told.rr_before_ms, np.float32),
        base=parse_checkpoint(told.base, "the model to begin with"),
        false_alerts_per_hour=told.false_alerts_per_hour,
        from_scratch=told.from_scratch,
    )


def outcome_of(task: TrainingTask) -> bytes:
    """Train; return as bytes what was learnt, or why nothing could be."""
    try:
        learned = learn(task)
    except ModelError as reason:
        return msgspec.msgpack.encode(_Outcome(b"", 0, 0, "", str(reason)))
    checkpoint = checkpoint_bytes(learned.checkpoint)
    n_given, n_kept, note = learned.n_given, learned.n_kept, learned.note
    return msgspec.msgpack.encode(_Outcome(checkpoint, n_given, n_kept, note))


def decode_outcome(data: bytes) -> Learned:
    """Return what was learnt; CannotLearn if nothing could be."""
    from model.learning import Learned

    told = msgspec.msgpack.decode(data, type=_Outcome)
    if told.problem:
        raise CannotLearn(told.problem)
    checkpoint = parse_checkpoint(told.checkpoint, "the learnt model")
    return Learned(checkpoint, told.n_given, told.n_kept, told.note)
