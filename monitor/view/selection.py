"""Whom of many patients the view lists and shows: worst first, chosen, searched. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from monitor.view.patient_view import STANDINGS, PatientView, Standing
from monitor.view.snapshot import MAX_FOLLOWED, Snapshot

MAX_QUERY = 40  # characters
PAGE = 10  # patients


def selected(snapshot: Snapshot) -> PatientView | None:
    """Return the patient that is shown: the chosen one, or else the worst."""
    for name in (snapshot.selected, snapshot.settled):
        patient = None if name is None else snapshot.patients.get(name)
        if patient is not None:
            return patient
    return next(iter(snapshot.worst_first), None)


def listed(snapshot: Snapshot) -> Sequence[PatientView]:
    """Return the patients that the query leaves, worst first, or in the order that is held."""
    ordered = _held(snapshot) if snapshot.held_order else snapshot.worst_first
    if not snapshot.query:
        return ordered
    wanted = snapshot.query.casefold()
    return [
        patient
        for patient in ordered
        if wanted in patient.patient.casefold() or wanted in patient.record.casefold()
    ]


def hold_order(snapshot: Snapshot) -> Snapshot:
    """Keep the list in the order of this moment: who moves in it finds the next one below."""
    return replace(snapshot, held_order=tuple(one.patient for one in listed(_all(snapshot))))


def let_go(snapshot: Snapshot) -> Snapshot:
    """Have the list in order of need again."""
    return replace(snapshot, held_order=()) if snapshot.held_order else snapshot


def _all(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, query="") if snapshot.query else snapshot


def _held(snapshot: Snapshot) -> Sequence[PatientView]:
    """Return all patients as they stood when the order was held; who came since is behind."""
    places = {name: place for place, name in enumerate(snapshot.held_order)}
    last = len(places)
    return sorted(snapshot.worst_first, key=lambda one: places.get(one.patient, last))


def counts(snapshot: Snapshot) -> dict[Standing, int]:
    """Return how many patients there are of each standing, worst first; none is left out."""
    counted = Counter(patient.standing for patient in snapshot.patients.values())
    return {standing: counted[standing] for standing in STANDINGS[::-1] if counted[standing]}


def select(snapshot: Snapshot, step: int) -> Snapshot:
    """Choose the patient `step` places further down the list, round its end."""
    return _choose(snapshot, step, is_round=True)


def leaf(snapshot: Snapshot, n_pages: int) -> Snapshot:
    """Choose the patient some pages further down the list, or at its end."""
    return _choose(snapshot, PAGE * n_pages, is_round=False)


def _choose(snapshot: Snapshot, step: int, *, is_round: bool) -> Snapshot:
    patients = listed(snapshot)
    if not patients:
        return snapshot
    shown = selected(snapshot)
    place = next((i for i, patient in enumerate(patients) if patient is shown), None)
    last = len(patients) - 1
    if place is None:  # one that the query does not leave: begin at an end
        place = -1 if step > 0 else last + 1
        step = 1 if step > 0 else -1
    further = place + step
    further = further % len(patients) if is_round else min(max(further, 0), last)
    return replace(snapshot, selected=patients[further].patient)


def settle(snapshot: Snapshot, is_due: bool) -> Snapshot:
    """Show the worst patient where none is chosen, and keep showing it until it is time.

    At once where a high alert or alarm begins, otherwise when the caller's clock says so: alerts of
    a ward begin and end by the second, and nobody reads a signal that changes its patient with
    them.
    """
    if snapshot.selected is not None or not snapshot.patients:
        return snapshot
    worst, shown = snapshot.worst_first[0], selected(snapshot)
    is_urgent = (worst.standing == "high" and (shown is None or shown.standing != "high")) or (
        worst.calls and (shown is None or not shown.calls)
    )
    if worst.patient == snapshot.settled or not (is_due or is_urgent or snapshot.settled is None):
        return snapshot
    return replace(snapshot, settled=worst.patient)


def release(snapshot: Snapshot) -> Snapshot:
    """Go one step back: from the query to all patients, from a chosen one to the worst."""
    if snapshot.query or snapshot.is_typing:
        return replace(snapshot, query="", is_typing=False)
    if snapshot.explaining:
        return replace(snapshot, explaining=False)
    return snapshot if snapshot.selected is None else replace(snapshot, selected=None)


def type_key(snapshot: Snapshot, key: str) -> Snapshot:
    """Take a key into the query; the worst of those it leaves is shown."""
    match key:
        case "enter":
            return replace(snapshot, is_typing=False)
        case "escape":
            return release(snapshot)
        case "backspace":
            query = snapshot.query[:-1]
        case _ if len(key) == 1:
            query = (snapshot.query + key)[:MAX_QUERY]
        case _:
            return snapshot
    searched = replace(snapshot, query=query)
    found = listed(searched)
    return replace(searched, selected=found[0].patient) if query and found else searched


def wanted_signal(snapshot: Snapshot) -> str | None:
    """Return whose signal and beats the view needs; None is everybody's, as of few patients."""
    shown = selected(snapshot)
    if shown is None or len(snapshot.patients) <= MAX_FOLLOWED:
        return None
    return shown.patient
