"""Keys of the live screen: what each asks of the monitor."""

from __future__ import annotations

import io
import os
import pty
from collections.abc import Iterator
from typing import Literal, TextIO

import pytest
from rich.console import Console

from monitor.delivery.person import person
from monitor.view.layout import render
from monitor.view.screens import LiveScreen
from monitor.view.selection import listed, selected
from monitor.view.snapshot import Snapshot
from monitor.wire.messages import (
    AckRequest,
    ControlRequest,
    FamilyStatus,
    MarkRequest,
    RelearnRequest,
    ThresholdRequest,
)
from tests.messages import alarm, beat_scored, patient_status, status
from tests.monitor.view.scenes import alert


class Asked:
    """Notes what a screen has done."""

    def __init__(self) -> None:
        self.requests: list[ControlRequest] = []

    def request(self, request: ControlRequest) -> None:
        self.requests.append(request)

    def pause(self, paused: bool) -> bool:
        return False

    def quit(self) -> None:
        raise AssertionError("nobody asked to leave")


@pytest.fixture
def terminal() -> Iterator[tuple[int, TextIO]]:
    """Return where a person types, and what the screen reads."""
    typed, read = pty.openpty()
    with open(read, encoding="utf-8", buffering=1, closefd=True) as keyboard:  # noqa: PTH123
        yield typed, keyboard
    os.close(typed)


@pytest.mark.parametrize(
    ("key", "kind"), [("rr", RelearnRequest), ("+", ThresholdRequest), ("-", ThresholdRequest)]
)
def test_keys_ask_for_the_patient_that_is_shown(
    terminal: tuple[int, TextIO], key: str, kind: type[ControlRequest]
) -> None:
    """`r`, twice, has its normal learnt anew, `+` and `-` move its threshold."""
    typed, keyboard = terminal
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=24)
    asked = Asked()
    with LiveScreen(console, keyboard) as screen:
        os.write(typed, key.encode())
        screen.refresh(asked)  # nobody is shown yet
        assert screen.snapshot.notice == "not asked: no patient is monitored yet"
        screen.take(beat_scored())
        os.write(typed, key.encode())
        screen.refresh(asked)
    (request,) = asked.requests
    assert isinstance(request, kind)
    assert request.patient == beat_scored().patient


def test_a_acknowledges_the_patient_with_the_named_alarm(terminal: tuple[int, TextIO]) -> None:
    """The worst of several is the one shown."""
    typed, keyboard = terminal
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=24)
    asked = Asked()
    with LiveScreen(console, keyboard) as screen:
        screen.take(status(patients=[patient_status(patient=name) for name in ("119", "208")]))
        screen.take(alarm(patient="208", record="208"))
        os.write(typed, b"a")
        screen.refresh(asked)
    assert asked.requests == [AckRequest("208", by=person())]


@pytest.mark.parametrize("key", ["a", "+", "-", "r", "n", "x"])
def test_a_refusal_is_shown_in_the_footer_for_a_while(
    terminal: tuple[int, TextIO], key: str
) -> None:
    """The monitor's words for ten seconds, then the keys again; also where nobody can be asked."""
    typed, keyboard = terminal
    now_s = [0.0]
    console = Console(file=io.StringIO(), force_terminal=True, width=120, height=24)
    with LiveScreen(console, keyboard, lambda: now_s[0]) as screen:

        def footer() -> str:
            screen.refresh(Asked())
            return str(render(screen.snapshot, 120, 24).rows[-1])

        os.write(typed, key.encode())
        assert "no patient is monitored yet" in footer()
        screen.take(beat_scored())
        screen.notice("this client may listen, not command; see control/ of --keys")
        now_s[0] += 9
        assert "this client may listen, not command" in footer()
        now_s[0] += 2
        assert "this client may listen" not in footer()


class Clock:
    """Monotonic seconds, as a test sets them."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Keyboard:
    """A live screen whose keys a test presses."""

    def __init__(self, typed: int, screen: LiveScreen, asked: Asked, clock: Clock) -> None:
        self._typed, self.screen, self.asked, self._clock = typed, screen, asked, clock

    def press(self, keys: str) -> Snapshot:
        os.write(self._typed, keys.encode())
        return self.wait(0.0)

    def wait(self, seconds: float) -> Snapshot:
        self._clock.now_s += seconds
        self.screen.refresh(self.asked)
        return self.screen.snapshot

    @property
    def shown(self) -> str:
        patient = selected(self.screen.snapshot)
        assert patient is not None
        return patient.patient


@pytest.fixture
def ward(terminal: tuple[int, TextIO]) -> Iterator[Keyboard]:
    """Return a live screen of fifty patients."""
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=24)
    asked, clock = Asked(), Clock()
    with LiveScreen(console, terminal[1], clock) as screen:
        names = [f"p{n:02d}" for n in range(50)]
        screen.take(status(patients=[patient_status(patient=name) for name in names]))
        yield Keyboard(terminal[0], screen, asked, clock)


def test_keys_of_a_search_are_text(ward: Keyboard) -> None:
    """Also `q`, which would leave; Enter keeps what is found, Escape leaves it."""
    assert ward.press("/p4q").query == "p4q"
    kept = ward.press("\x7f\r")
    assert (kept.query, kept.is_typing, kept.selected) == ("p4", False, "p40")
    assert ward.press("\x1b[B").selected == "p41"
    assert ward.press("\x1b").query == ""
    assert ward.press("\x1b").selected is None


def test_pages_and_ends_of_the_list(ward: Keyboard) -> None:
    """Page Down, End, Page Up, Home."""
    pressed = [ward.press(keys).selected for keys in ("\x1b[6~", "\x1b[F", "\x1b[5~", "\x1b[H")]
    assert pressed == ["p10", "p49", "p39", "p00"]


def test_e_explains_and_shows_the_rest_again(ward: Keyboard) -> None:
    """Escape does so too."""
    assert ward.press("e").explaining
    assert not ward.press("e").explaining
    assert ward.press("e").explaining
    assert not ward.press("\x1b").explaining


def test_of_a_ward_it_hears_the_shown_patient_alone(ward: Keyboard) -> None:
    """Its beats and waveform; alerts of all. Of few patients it hears everybody's."""
    assert LiveScreen(Console(file=io.StringIO()), io.StringIO()).wave_topics == ("wave.",)
    ward.press("\x1b[B")
    assert ward.screen.wave_topics == ("wave.p01",)
    assert set(ward.screen.topics) == {"alert", "technical", "status", "beat.p01"}


# --- learning anew asks first -----------------------------------------------------------------


def test_learning_anew_is_asked_for_by_name_and_done_when_the_key_comes_again(
    ward: Keyboard,
) -> None:
    """A slip of the finger must not take a patient's alerts away."""
    asking = ward.press("r")
    assert asking.notice == "r again within 5 s: learn p00 anew (no verdicts meanwhile)"
    assert ward.asked.requests == []
    ward.wait(4.0)
    assert ward.press("r").notice == "p00 is learnt anew"
    assert ward.asked.requests == [RelearnRequest("p00")]
    assert ward.press("r").notice == asking.notice  # a third press is a new question
    assert len(ward.asked.requests) == 1


def test_an_answer_that_comes_late_is_a_new_question(ward: Keyboard) -> None:
    """The question goes after five seconds, and the keys are named again."""
    ward.press("r")
    assert ward.wait(5.1).notice == ""
    assert ward.press("r").notice.startswith("r again within 5 s")
    assert ward.asked.requests == []


@pytest.mark.parametrize("other", ["p", "e", "\x1b[B", "\x1b", "n", "x", "z"])
def test_another_key_takes_the_question_back(ward: Keyboard, other: str) -> None:
    """Also one that does nothing, and one that shows another patient."""
    ward.press("r")
    ward.press(other)
    ward.press("r")
    assert ward.asked.requests == []


def test_the_question_stays_with_its_patient(ward: Keyboard) -> None:
    """A high alert of another does not take its place between the two presses."""
    ward.press("r")
    ward.screen.take(alert(76_000, patient="p30", priority="high"))
    ward.wait(2.0)
    assert ward.shown == "p00"
    ward.press("r")
    assert ward.asked.requests == [RelearnRequest("p00")]
    ward.wait(6.0)
    assert ward.shown == "p30"


def test_a_name_of_any_length_leaves_the_key_in_sight(ward: Keyboard) -> None:
    """And nothing in it is obeyed by the terminal."""
    ward.screen.take(status(patients=[patient_status(patient="\u202e" + "n" * 127)]))
    ward.screen.take(alert(76_000, patient="\u202e" + "n" * 127, priority="high"))
    ward.wait(0.0)
    said = ward.press("r").notice
    assert said.startswith("r again within 5 s: learn ")
    assert len(said) < 80
    assert said.isprintable()


def test_a_notice_goes_by_itself(ward: Keyboard) -> None:
    """It takes the row of the keys; a key takes it away at once."""
    ward.screen.notice("refused: no threshold to move")
    assert ward.wait(9.0).notice == "refused: no threshold to move"
    assert ward.wait(1.1).notice == ""
    ward.screen.notice("refused")
    assert ward.press("e").notice == ""


# --- a selection holds ------------------------------------------------------------------------


def test_a_selection_holds_while_others_raise_alerts(ward: Keyboard) -> None:
    """The list keeps its order for ten seconds too: the next one down is the one that was seen."""
    assert ward.press("\x1b[B").selected == "p01"
    ward.screen.take(alert(76_000, patient="p30", priority="high"))
    assert ward.wait(5.0).selected == "p01"
    assert ward.press("\x1b[B").selected == "p02"
    held = ward.wait(9.0)
    assert [one.patient for one in listed(held)][:2] == ["p00", "p01"]
    let_go = ward.wait(1.1)
    assert [one.patient for one in listed(let_go)][:2] == ["p30", "p00"]
    assert ward.shown == "p02"  # the choice itself stays until Escape
    ward.press("\x1b")
    assert ward.shown == "p30"


def test_who_comes_while_the_order_is_held_is_behind(ward: Keyboard) -> None:
    """Nobody is left out of the list."""
    ward.press("\x1b[B")
    ward.screen.take(status(patients=[patient_status(patient="a new one")]))
    names = [one.patient for one in listed(ward.wait(1.0))]
    assert (len(names), names[-1]) == (51, "a new one")


# --- a word for a family ----------------------------------------------------------------------


def words(asked: Asked) -> list[tuple[str, int, str]]:
    return [
        (one.patient, one.family, one.word)
        for one in asked.requests
        if isinstance(one, MarkRequest)
    ]


def alerted(ward: Keyboard, word: Literal["", "normal", "always"] = "") -> None:
    """Have an alert of p30 name family 4, of which this was said."""
    ward.screen.take(alert(76_000, patient="p30", priority="high", family=4))
    told = patient_status(patient="p30", families=[FamilyStatus(4, 12, 2, word)])
    ward.screen.take(status(patients=[told]))
    ward.wait(0.0)


@pytest.mark.parametrize(
    ("key", "word", "asks"),
    [
        ("n", "normal", "n again within 5 s: family 4 of p30 is normal, to begin no alert"),
        ("x", "always", "x again within 5 s: family 4 of p30 is one that always raises an alert"),
    ],
)
def test_a_word_is_asked_for_by_name_and_said_when_the_key_comes_again(
    ward: Keyboard, key: str, word: str, asks: str
) -> None:
    """About the family of the shown patient's latest alert."""
    alerted(ward)
    assert ward.press(key).notice == asks
    assert words(ward.asked) == []
    ward.wait(4.0)
    ward.press(key)
    assert words(ward.asked) == [("p30", 4, word)]


@pytest.mark.parametrize("keys", ["nx", "xn", "rn", "nr", "n+n"])
def test_another_question_is_no_answer(ward: Keyboard, keys: str) -> None:
    """Each key is asked about by itself."""
    alerted(ward)
    ward.press(keys)
    assert words(ward.asked) == []


def test_a_question_is_of_one_family(ward: Keyboard) -> None:
    """An alert of another family between the two presses is not what was asked about."""
    alerted(ward)
    ward.press("n")
    ward.screen.take(alert(77_000, seq=2, patient="p30", priority="high", family=5))
    families = [FamilyStatus(4, 12), FamilyStatus(5, 1)]
    ward.screen.take(status(patients=[patient_status(patient="p30", families=families)]))
    assert "family 5" in ward.press("n").notice
    assert words(ward.asked) == []


@pytest.mark.parametrize(("key", "word"), [("n", "normal"), ("x", "always")])
def test_the_key_takes_back_what_it_said(
    ward: Keyboard, key: str, word: Literal["normal", "always"]
) -> None:
    """At once: more alerts are no danger, and what always raised one is judged as others are."""
    alerted(ward, word)
    assert ward.press(key).notice == "family 4 of p30: what was said of it is taken back"
    assert words(ward.asked) == [("p30", 4, "")]


def test_without_a_family_nothing_is_asked(ward: Keyboard) -> None:
    """No alert names one, or the patient has it no longer."""
    none = "not asked: no families of beats yet; only a learnt patient has them"
    assert ward.press("n").notice == none
    ward.screen.take(alert(76_000, patient="p30", priority="high", family=4))
    ward.wait(0.0)
    assert ward.press("x").notice == none
    families = [FamilyStatus(5, 12)]
    ward.screen.take(status(patients=[patient_status(patient="p30", families=families)]))
    gone = "not asked: no alert of this patient names a family that is still known"
    assert ward.press("x").notice == gone
    assert ward.asked.requests == []
