"""Whom of many patients the view lists and shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from monitor.view.patient_view import STANDINGS, PatientView
from monitor.view.selection import (
    MAX_QUERY,
    counts,
    leaf,
    listed,
    release,
    select,
    selected,
    settle,
    type_key,
    wanted_signal,
)
from monitor.view.snapshot import MAX_FOLLOWED, Snapshot, follow
from monitor.wire.messages import Message
from tests.monitor.view.scenes import (
    after,
    alarm,
    alert,
    crowd,
    patient_status,
    standing,
    status,
    technical,
    ward_scene,
)


def names(patients: Any) -> list[str]:
    return [patient.patient for patient in patients]


def shown(snapshot: Snapshot) -> str:
    """Return the name of the patient that is shown."""
    patient = selected(snapshot)
    assert patient is not None
    return patient.patient


def test_worst_first() -> None:
    """An open alert of high priority, then a withheld verdict, then the rest by state and name."""
    order = names(ward_scene().worst_first)
    assert order[:4] == ["bed 07", "bed 03", "bed 09", "bed 01"]
    assert order[-2:] == ["bed 05", "bed 06"]


def test_of_equal_priority_the_larger_loss_over_threshold_comes_first() -> None:
    """Then the name decides."""
    ratios = {"a": 1.5, "b": 40.0, "c": 1.5, "d": 7.0}
    scene = after([alert(9, seq=n, patient=p, ratio=r) for n, (p, r) in enumerate(ratios.items())])
    assert names(scene.worst_first) == ["b", "d", "a", "c"]


UNSEEN = "unacknowledged"


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([alert(1, priority="high")], "high"),
        ([status(patient_status(0, latched=True))], "unacknowledged"),
        ([alert(1, priority="medium"), technical(2, seq=2)], "withheld"),
        ([alert(1, priority="medium")], "medium"),
        ([alarm(900)], "high"),
        ([status(patient_status(0, alarms=[standing("asystole", 0, lasts=False)]))], UNSEEN),
        ([status(patient_status(0, alarms=[standing("pause", 0, "medium")]))], "medium"),
        ([status(patient_status(0, alarms=[standing("irregular_rhythm", 0, "low")]))], "low"),
        ([alert(1, priority="low")], "low"),
        ([status(patient_status(0))], "quiet"),
        ([status(patient_status(0, state="learning"))], "learning"),
        ([status(patient_status(0, state="ended"))], "ended"),
    ],
)
def test_standing(messages: list[Message], expected: str) -> None:
    """What is worst of a patient names its standing."""
    (patient,) = after(messages).patients.values()
    assert patient.standing == expected
    assert expected in STANDINGS


def test_of_equal_standing_the_more_urgent_alarm_comes_first() -> None:
    """By kind, before any episode of beats; one that a person has seen behind one that none has."""
    alarms = {
        "seen": standing("asystole", 9.0, latched=False),
        "vt": standing("ventricular_tachycardia", 9.0),
        "vf": standing("ventricular_fibrillation", 9.0),
    }
    said = [patient_status(9000, patient=name, alarms=[one]) for name, one in alarms.items()]
    scene = after([status(*said), alert(9, seq=1, patient="beats", ratio=99.0, priority="high")])
    assert names(scene.worst_first) == ["vf", "vt", "seen", "beats"]


def test_every_patient_is_counted_once() -> None:
    """By standing, worst first; what nobody has is not named."""
    assert counts(crowd(2000)) == {"high": 1, "medium": 2, "quiet": 1957, "learning": 40}
    assert counts(Snapshot()) == {}


def test_arrows_go_through_the_list_and_round_its_end() -> None:
    """Down from the worst; up from the first is the last; the choice stays with the patient."""
    scene = ward_scene()
    order = names(scene.worst_first)
    assert shown(scene) == order[0]
    down = select(scene, 1)
    assert down.selected == order[1]
    assert select(scene, -1).selected == order[-1]
    assert select(down, 12).selected == order[1]
    cured = after([technical(1, "cleared", seq=9999, patient=order[1])], down)
    assert shown(cured) == order[1]


def test_pages_end_at_the_ends() -> None:
    """They do not go round: the last page stays the last."""
    scene = crowd(2000)
    order = names(scene.worst_first)
    assert shown(leaf(scene, 1)) == order[10]
    assert shown(leaf(scene, 1000)) == order[-1]
    assert shown(leaf(leaf(scene, 1000), -1)) == order[-11]
    assert shown(leaf(leaf(scene, 3), -1000)) == order[0]


def test_nothing_to_select() -> None:
    """Without patients there is no selection and no error."""
    assert selected(Snapshot()) is None
    nobody = Snapshot()
    assert select(nobody, 1) is leaf(nobody, 1) is settle(nobody, True) is release(nobody) is nobody


# --- search -----------------------------------------------------------------------------------


def typed(snapshot: Snapshot, keys: list[str]) -> Snapshot:
    scene = replace(snapshot, is_typing=True)
    for key in keys:
        scene = type_key(scene, key)
    return scene


def test_a_query_leaves_names_and_records_that_hold_it() -> None:
    """In letters of either size, worst first; the worst of them is shown."""
    scene = typed(crowd(2000), list("P00"))
    assert names(listed(scene))[:4] == ["p0013", "p0011", "p0007", "p0000"]
    assert len(listed(scene)) == 100
    assert shown(typed(scene, list("42"))) == "p0042"
    assert len(listed(typed(crowd(2000), list("rec8")))) == 200


def test_arrows_move_within_what_the_query_leaves() -> None:
    """And begin at its end where another patient is shown."""
    scene = typed(crowd(2000), [*"p199", "enter"])
    assert not scene.is_typing
    assert [shown(select(scene, step)) for step in (0, 1, -1)] == ["p1990", "p1991", "p1999"]
    elsewhere = replace(scene, selected="p0001")
    assert [shown(select(elsewhere, step)) for step in (1, -1)] == ["p1990", "p1999"]


def test_backspace_takes_back_and_escape_leaves_the_search() -> None:
    """Escape again goes back to the worst patient."""
    scene = typed(crowd(2000), [*"p1x", "backspace"])
    assert scene.query == "p1"
    chosen = type_key(scene, "escape")
    assert (chosen.query, chosen.is_typing) == ("", False)
    assert shown(chosen) == "p1000"
    assert shown(release(chosen)) == "p0013"


def test_a_query_that_finds_nobody_shows_who_was_shown() -> None:
    """The list is empty, the signal stays; arrows do nothing."""
    scene = typed(crowd(50), list("nobody"))
    assert list(listed(scene)) == []
    assert shown(scene) == shown(select(scene, 1)) == "p0013"


def test_a_query_is_bounded_and_other_keys_do_nothing() -> None:
    """A cat on the keyboard fills no memory."""
    scene = typed(crowd(5), ["x"] * 1000)
    assert len(scene.query) == MAX_QUERY
    assert type_key(scene, "pageup") is scene


# --- who is shown, and what is kept -----------------------------------------------------------


def onset(patient: str, seq: int, priority: str = "medium", ratio: float = 2.0) -> Message:
    return alert(76_000, seq=seq, patient=patient, priority=priority, ratio=ratio)


def test_the_worst_patient_is_shown_for_a_while() -> None:
    """Another that becomes worse is shown when it is due; one of high priority at once."""
    calm = after([status(*(patient_status(0, patient=name) for name in "abc"))])
    scene = settle(after([onset("b", 1)], calm), False)
    assert shown(scene) == "b"
    worse = after([onset("c", 2, ratio=9.0)], scene)
    assert shown(settle(worse, False)) == "b"
    assert shown(settle(worse, True)) == "c"
    high = settle(after([onset("a", 3, "high")], scene), False)
    assert shown(high) == "a"
    asystole = after([alarm(76_000, seq=4, patient="c")], high)
    assert shown(settle(asystole, False)) == "c"
    other = after([alarm(76_000, seq=5, patient="b")], settle(asystole, False))
    assert shown(settle(other, False)) == "c"


def test_a_choice_is_not_overruled() -> None:
    """Not by an alert of high priority either: it stands first in the list."""
    scene = replace(crowd(100), selected="p0042")
    assert settle(scene, True) is scene


def test_of_a_ward_the_shown_patient_s_signal_alone_is_wanted() -> None:
    """Of few patients everybody's, so that going to another shows it at once."""
    assert wanted_signal(crowd(MAX_FOLLOWED)) is None
    assert wanted_signal(crowd(MAX_FOLLOWED + 1)) == "p0013"
    assert wanted_signal(Snapshot()) is None


def test_a_status_of_some_patients_updates_those() -> None:
    """A page of them, or only those that changed: the others stay as they were, to the object."""
    before = crowd(100)
    some = [patient_status(80_000, patient=name) for name in ("p0003", "p0099")]
    now = after([status(*some)], before)
    changed = {name for name in now.patients if now.patients[name] is not before.patients[name]}
    assert changed == {"p0003", "p0099"}
    assert now.patients["p0003"].position == 80_000
    assert len(now.patients) == 100


def test_following_another_forgets_the_signal_of_the_one_before() -> None:
    """It would grow old unseen."""
    scene = ward_scene()
    followed = follow(scene, "bed 02")
    kept = [p.patient for p in followed.patients.values() if p.beats or len(p.waveform.values)]
    assert kept == ["bed 02"]
    assert follow(followed, "bed 02") is followed
    assert isinstance(followed.patients["bed 01"], PatientView)
