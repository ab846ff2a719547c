"""What a journal keeps of a patient, checked before the patient goes on from it.

A journal is the monitor's own file; but disks and other programs damage files, and a patient that
goes on from absurd values would be judged by them without a word.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import get_args

import msgspec

from model.prematurity import USUAL_BEATS, TimingState
from monitor.detection.alert_machine import NORMAL, AlertState
from monitor.detection.model_fit import JUDGED_BEATS
from monitor.detection.patient import Saved
from monitor.errors import JournalFailed
from monitor.journal.kept_beats import BEATS_AROUND, AlertContext
from monitor.wire.messages import MIN_THRESHOLD, PatientKind

MAX_COUNT = 1 << 52  # half of what a message may say: it will be counted on
MAX_REAL = 1e12  # of losses, thresholds, milliseconds
_MODEL_FILE = re.compile(r"learned-([0-9a-f]{8}-)?[0-9a-f]{16}-[0-9a-f]{32}\.safetensors")


def read_saved(content: bytes, length: int) -> Saved:
    """Read and check what `Patient.progress` wrote.

    Parameters
    ----------
    length : int
        Samples of a beat.

    Raises
    ------
    JournalFailed
        If it is damaged or absurd; the message says which value.
    """
    try:
        saved = msgspec.msgpack.decode(content, type=Saved)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise JournalFailed(f"the journal's state of a patient cannot be read: {error}") from error
    for name, sane in _checks(saved, length):
        if not sane:
            raise JournalFailed(f"the journal's state of a patient is damaged: its {name}")
    return saved


def _checks(saved: Saved, length: int) -> Iterable[tuple[str, bool]]:
    yield "threshold", MIN_THRESHOLD <= saved.threshold < MAX_REAL
    yield "model", saved.learned is None or _MODEL_FILE.fullmatch(saved.learned) is not None
    yield "alerts", _is_sane_alert_state(saved.alert_state)
    yield "last beat judged", -1 <= saved.judged_r <= MAX_COUNT
    yield "last verdict", -1 <= (saved.verdict_sample or 0) <= MAX_COUNT
    yield "timeline", _are_counts([saved.timeline.shift, saved.timeline.reached])
    yield "counts", _are_counts(msgspec.structs.astuple(saved.counts))
    yield "beats beside an alert", _is_sane_context(saved.context, length)
    yield "rhythm", _is_sane_timing(saved.timing)
    drift = saved.drift
    yield "drift", drift is None or (len(drift) == length and _are_reals(drift))
    unfit = "model_unfit" in saved.alert_state.technical
    yield "fit", len(saved.fit.above) <= JUDGED_BEATS and saved.fit.is_unfit == unfit
    yield "learning", saved.relearn_until is None or _are_counts([saved.relearn_until])


def _is_sane_alert_state(state: AlertState) -> bool:
    counts = (
        state.episode_start_sample,
        state.episode_last_sample,
        state.episode_beats,
        state.unsaid,
        state.run,
        state.calm_run,
    )
    return (
        _are_counts(counts)
        and len(state.recent) <= 64
        and all(NORMAL <= sample <= MAX_COUNT for sample in state.recent)
        and 0 <= state.peak_loss < MAX_REAL
        and len(set(state.technical)) == len(state.technical)
        and set(state.technical) <= set(get_args(PatientKind))
    )


def _is_sane_context(context: AlertContext, length: int) -> bool:
    return (
        len(context.recent) <= BEATS_AROUND
        and 0 <= context.owed <= BEATS_AROUND
        and all(
            _are_counts([beat.sample])
            and len(beat.values) == 4 * length
            and _are_reals([beat.threshold, beat.loss or 0.0])
            for beat in context.recent
        )
    )


def _is_sane_timing(timing: TimingState) -> bool:
    return (
        len(timing.intervals_ms) <= USUAL_BEATS
        and all(1e-3 <= interval < MAX_REAL for interval in timing.intervals_ms)
        and 1e-6 < timing.spread < 1e3
        and abs(timing.before) < 1e3
        and 0 <= timing.before_ms < MAX_REAL
    )


def _are_counts(values: Iterable[int]) -> bool:
    return all(0 <= value <= MAX_COUNT for value in values)


def _are_reals(values: Iterable[float]) -> bool:
    return all(math.isfinite(value) and abs(value) < MAX_REAL for value in values)
