"""Text from outside is made harmless."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from monitor.text import MAX_LENGTH, counted, harmless, were


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("bed 7", "bed 7"),
        ("Žofie Müller", "Žofie Müller"),
        ("患者 七", "患者 七"),
        ("\x1b[31mred", "␛[31mred"),
        ("a\nb\r\tc\x00", "a␊b␍␉c␀"),
        ("del\x7f", "del␡"),
        ("c1\x9b31m", "c1�31m"),
        ("\u202egnp.exe", "�gnp.exe"),
        ("a\u200bb\ufeff", "a�b�"),
        ("lone \ud800", "lone �"),
        ("two\u2028lines", "two�lines"),
        ("no\u00a0break", "no break"),
        ("filler\u3164\u2800", "filler��"),
        ("[bold]m[/b]", "[bold]m[/b]"),
    ],
)
def test_what_a_terminal_would_obey_or_hide_is_shown_instead(foreign: str, shown: str) -> None:
    """Controls become pictures, bidi and invisible characters become �, letters stay."""
    assert harmless(foreign) == shown


def test_a_long_text_is_cut_visibly() -> None:
    """The cut text has the length asked for and ends in an ellipsis."""
    assert harmless("x" * 10_000_000, 5) == "xxxx…"
    assert harmless("xxxxx", 5) == "xxxxx"
    assert len(harmless("y" * 1000)) == MAX_LENGTH


def test_marks_do_not_pile_up() -> None:
    """Two combining marks on a letter stay; a pile that would cover other rows does not."""
    assert harmless("e\u0301\u0323") == "e\u0301\u0323"
    assert harmless("e" + "\u0301" * 50).count("\u0301") == 2
    assert harmless("\u0301e") == "�e"


@given(st.text(st.characters(codec=None), max_size=300))
def test_nothing_unsafe_is_left_of_any_text(foreign: str) -> None:
    """No control, format, surrogate or unassigned character passes, whatever is given."""
    shown = harmless(foreign)
    assert len(shown) <= MAX_LENGTH
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert bool(shown) == bool(foreign)
    assert cell_len(shown) <= 2 * len(shown)


@pytest.mark.parametrize(
    ("n", "said"), [(0, "0 beats were"), (1, "1 beat was"), (2, "2 beats were")]
)
def test_a_noun_and_its_verb_agree_with_their_number(n: int, said: str) -> None:
    """One is no plural, none is one."""
    assert f"{counted(n, 'beat')} {were(n)}" == said


def test_a_number_is_written_as_asked() -> None:
    """In groups of thousands, or as wide as a column."""
    assert counted(1200, "alert", ",") == "1,200 alerts"
    assert counted(1, "alert", "4d") == "   1 alert"
