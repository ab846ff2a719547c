"""What a journal keeps of a patient, checked before the patient goes on from it.

A journal is the monitor's own file; but disks and other programs damage files, and a patient that
goes on from absurd values would be judged by them without a word.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import get_args

import msgspec

from model.prematurity import USUAL_BEATS, TimingState
from monitor.detection.alert_machine import NORMAL, AlertState
from monitor.detection.model_fit import JUDGED_BEATS, no_lead_fits, unfit_leads
from monitor.detection.patient import Saved
from monitor.errors import JournalFailed
from monitor.journal.kept_beats import BEATS_AROUND, AlertContext
from monitor.wire.messages import MAX_LEADS, PatientKind

MAX_COUNT = 1 << 52  # half of what a message may say: it will be counted on
MAX_REAL = 1e12  # of losses, thresholds, milliseconds
MAX_KEPT = 1024  # of anything that is kept of named alarms
MIN_FACTOR = 1e-12  # of a threshold that was moved from one bound to the other
_MODEL_FILE = re.compile(r"learned-([0-9a-f]{8}-)?[0-9a-f]{16}-[0-9a-f]{32}\.safetensors")


def read_saved(content: bytes, length: int | None) -> Saved:
    """Read and check what `Patient.progress` wrote.

    Parameters
    ----------
    length : int or None
        Samples of a beat; None does not look at the beats: nobody goes on from them.

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


def _checks(saved: Saved, length: int | None) -> Iterable[tuple[str, bool]]:
    n_leads = len(saved.leads)
    yield "leads", 0 < n_leads <= MAX_LEADS and set(saved.left_out) <= set(saved.leads)
    yield "threshold", MIN_FACTOR <= saved.factor <= 1 / MIN_FACTOR
    yield "models", _are_files(saved.learned, n_leads)
    yield "alerts", _is_sane_alert_state(saved.alert_state, n_leads)
    yield "last beat judged", -1 <= saved.judged_r <= MAX_COUNT
    yield "last verdict", -1 <= (saved.verdict_sample or 0) <= MAX_COUNT
    yield "timeline", _are_counts([saved.timeline.shift, saved.timeline.reached])
    yield "counts", _are_counts(msgspec.structs.astuple(saved.counts))
    yield "rhythm", _is_sane_timing(saved.timing)
    if length is not None:
        yield "beats beside an alert", _is_sane_context(saved.context, n_leads, length)
        yield "drift", _are_sane_drifts(saved, length)
    yield "fit", _is_sane_fit(saved)
    yield "evidence", saved.weighed.is_sane and len(saved.weighed.moved) in (0, n_leads)
    yield "families", saved.families.is_sane and saved.families.leads in (0, n_leads)
    yield "named alarms", _is_sane(msgspec.to_builtins(saved.alarms))
    yield "learning", saved.relearn_until is None or _are_counts([saved.relearn_until])


def _is_sane(value: object) -> bool:
    """Tell whether plain values hold nothing absurd: numbers and lists within bounds."""
    match value:
        case bool() | str() | None:
            return True
        case int():
            return -1 <= value <= MAX_COUNT
        case float():
            return math.isfinite(value) and abs(value) < MAX_REAL
        case dict():
            return all(map(_is_sane, value.values()))
        case list() | tuple():
            return len(value) <= MAX_KEPT and all(map(_is_sane, value))
    return False


def _are_sane_drifts(saved: Saved, length: int) -> bool:
    return len(saved.drifts) == len(saved.leads) and all(
        one is None or (len(one) == length and _are_reals(one)) for one in saved.drifts
    )


def _are_files(learned: Sequence[str | None], n_leads: int) -> bool:
    files = [one for one in learned if one is not None]
    sane = all(_MODEL_FILE.fullmatch(one) is not None for one in files)
    return sane and (not learned or (len(learned) == n_leads and bool(files)))


def _is_sane_fit(saved: Saved) -> bool:
    technical = saved.alert_state.technical
    return (
        len(saved.fits) == len(saved.leads)
        and all(len(one.above) <= JUDGED_BEATS for one in saved.fits)
        and no_lead_fits(saved.fits) == ("model_unfit" in technical)
        and _is_told_of_leads(saved)
    )


def _is_told_of_leads(saved: Saved) -> bool:
    """Whether `lead_left_out` lasts as it should; of a lead that was not learnt it did not once."""
    lasts = "lead_left_out" in saved.alert_state.technical
    unread = bool(saved.left_out or unfit_leads(saved.fits))
    return lasts if unread else not lasts or None in saved.learned


def _is_sane_alert_state(state: AlertState, n_leads: int) -> bool:
    counts = (
        state.episode_start_sample,
        state.episode_last_sample,
        state.episode_beats,
        state.unsaid,
        state.run,
        state.calm_run,
        state.begins + 1,
        state.latched_from,
    )
    return (
        _are_counts(counts)
        and len(state.recent) <= 64
        and all(NORMAL <= sample <= MAX_COUNT for sample in (*state.recent, state.begins))
        and 0 <= state.peak_loss < MAX_REAL
        and 0 <= state.peak_share < MAX_REAL
        and 0 <= state.peak_lead < n_leads
        and len(set(state.technical)) == len(state.technical)
        and set(state.technical) <= set(get_args(PatientKind))
    )


def _is_sane_context(context: AlertContext, n_leads: int, length: int) -> bool:
    return (
        len(context.recent) <= BEATS_AROUND
        and 0 <= context.owed <= BEATS_AROUND
        and all(
            _are_counts([beat.sample])
            and len(beat.leads) == len(beat.losses) == len(beat.thresholds) == n_leads
            and len(beat.values) == 4 * n_leads * length
            and _are_reals(one for one in beat.losses if one is not None)
            and _are_reals(one for one in beat.thresholds if not math.isnan(one))
            and (beat.score is None or 0 <= beat.score < math.inf)
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
