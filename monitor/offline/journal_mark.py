"""A person's word for the family of a kept alert: whom it concerns, and kept in a journal."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import msgspec

from monitor.detection.alert_machine import AlertMachine
from monitor.detection.desk import Desk
from monitor.detection.family_marks import WORDS, StandsHigh, take_word
from monitor.detection.patient import Saved
from monitor.detection.patient_messages import mark_alert
from monitor.detection.patient_state import read_saved
from monitor.errors import InvalidOption
from monitor.journal.leader import led
from monitor.journal.reader import JournalReader
from monitor.journal.writer import Journal, Progress, StoredProgress
from monitor.offline.journal_export import find_one, is_named_alarm
from monitor.offline.kept_alerts import KeptAlerts
from monitor.plain import alarm_name
from monitor.wire.codec import encoded
from monitor.wire.messages import Alert, FamilyWord, MarkRequest, Stream

SAID: dict[str, FamilyWord] = {"normal": "normal", "anomalous": "always", "undo": ""}


def parse_word(said: str) -> FamilyWord:
    """Return a family's word: `anomalous` is always to be heard; InvalidOption for another."""
    if said not in SAID:
        raise InvalidOption(f"{said!r} is no word for a family; give one of {', '.join(SAID)}")
    return SAID[said]


def request_for(
    past: KeptAlerts, name: str, word: FamilyWord, by: str
) -> tuple[Alert, MarkRequest]:
    """Return the alert that a number or an identity names, and what is to be asked about it.

    An alert that speaks of an episode stands for the family that the episode began with.

    Raises
    ------
    InvalidOption
        If there is no such alert, or it names no family.
    """
    alert = find_one(past, name)
    if not isinstance(alert, Alert):
        raise InvalidOption(
            f"{name} is a technical alert, of no family; give the number of another, as "
            "`ecg-monitor history` lists them"
        )
    if is_named_alarm(alert):
        raise InvalidOption(
            f"alert {name} is a named alarm ({alarm_name(alert.kind)}), of no family; give the "
            "number of an alert of beats, as `ecg-monitor history` lists them"
        )
    family = alert.family or _family_of_episode(past, alert)
    if family is None:
        raise InvalidOption(
            f"alert {name} is of no family: {_why_of_none(past)}; "
            "move the threshold instead (keys + and -)"
        )
    return alert, MarkRequest(alert.patient, family, word, by, past.identity)


def _why_of_none(past: KeptAlerts) -> str:
    run = past.run()
    if run is not None and run.verdict == "loss":
        return "a run with --verdict loss tells none apart"
    return "families are told apart of learnt patients (--learn 5:00)"


def _family_of_episode(past: KeptAlerts, alert: Alert) -> int | None:
    began = (
        one.family
        for one in past.alerts(patient=alert.patient)
        if isinstance(one, Alert)
        and one.state == "onset"
        and one.kind == alert.kind
        and one.episode_start_sample == alert.episode_start_sample
    )
    return next(began, None)


def write_mark(path: Path, alert: Alert, request: MarkRequest, wall_time: str) -> str:
    """Write a person's word into a journal in which no monitor runs; return what was done.

    Raises
    ------
    InvalidOption
        If it is refused, as a monitor would, or the journal does not hold the patient's state.
    JournalFailed
        If a monitor has begun to write it, or it cannot be written.
    """
    with led(path, lambda _: None), Journal(path) as journal:
        reached, saved = _state_of(journal, request.patient)
        stream = _stream_of(path, alert, saved)
        word = request.family, request.word
        try:
            families = take_word(saved.families, saved.alert_state, stream.fs_hz, *word)
        except StandsHigh as refused:
            raise InvalidOption(
                f"family {request.family} stands in a high alert that nobody acknowledged before "
                "the run ended, and cannot be called normal; where the run goes on with this "
                "journal, acknowledge the alert there (key a, `ecg-monitor ack`), and then mark"
            ) from refused
        except LookupError as refused:
            raise InvalidOption(str(refused.args[0])) from refused
        numbers = count(journal.newest_seq + 1)
        desk = Desk(
            AlertMachine(),
            lambda: journal.identity,
            journal.holds,
            lambda: next(numbers),
            lambda: wall_time,
        )
        states = saved.alert_state
        of = stream, states.peak_lead, alert.rule, alert.model, reached.position, states
        entry = mark_alert(*of, request, desk)
        saved = msgspec.structs.replace(saved, families=families)
        progress = Progress(reached.patient, reached.position, reached.segmenter_state, saved)
        journal.commit([encoded(entry)], [progress])
    return f"{request.patient}: family {request.family} is {WORDS[request.word]}"


def _state_of(journal: Journal, patient: str) -> tuple[StoredProgress, Saved]:
    for reached in journal.progress():
        if reached.patient == patient:
            return reached, read_saved(reached.consumer_state, None)
    raise InvalidOption(
        f"the journal does not hold the state of {patient}: it was being learnt, or ended long "
        "ago; nothing can be said of its families"
    )


def _stream_of(path: Path, alert: Alert, saved: Saved) -> Stream:
    """Return the stream of an alert's patient; its rate from the run, or from the latest alert."""
    with JournalReader(path) as journal:
        run = journal.run()
        rates = {} if run is None else {one.patient: one.fs_hz for one in run.streams}
        fs_hz = rates.get(alert.patient)
        if fs_hz is None:
            latest = max(journal.alerts(patient=alert.patient), key=lambda one: one.sample)
            fs_hz = latest.sample / latest.time_s if latest.time_s else 1.0
    return Stream(alert.patient, alert.record, [*saved.leads], fs_hz, 0, None)
