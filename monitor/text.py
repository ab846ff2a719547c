"""Make text that came from outside harmless before it reaches a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from difflib import get_close_matches

MAX_LENGTH = 120
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
MOST_NAMES = 5
MAX_COMBINING = 2  # marks on one letter; more pile up over the neighbouring lines

# Controls, format characters (bidi overrides, zero-width), surrogates, private and unassigned
# code points, line and paragraph separators.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_COMBINING = frozenset({"Mn", "Me"})
# Letters and symbols by category, invisible on the screen: Hangul fillers, the blank of Braille.
_INVISIBLE = frozenset("\u115f\u1160\u3164\uffa0\u2800")
# Variation selectors change a character's width after the fact; terminals disagree by how much.
_VARIATION = frozenset([*map(chr, range(0xFE00, 0xFE10)), *map(chr, range(0xE0100, 0xE01F0))])


def harmless(text: str, max_length: int = MAX_LENGTH) -> str:
    """Return one line of text without anything that a terminal would obey or hide.

    Control characters are shown as their pictures (ESC as ␛, newline as ␊); other unsafe
    characters as �. Letters of any script stay. Markup such as ``[red]`` stays too: give the
    result to ``rich.text.Text``, never to a function that parses markup.

    Parameters
    ----------
    text : str
        Anything; lone surrogates are allowed.
    max_length : int
        Characters kept; a longer text ends in "…".
    """
    # Cut first: the cost must not grow with a hostile length.
    cut = text[: max_length - 1] + "…" if len(text) > max_length else text
    shown: list[str] = []
    n_combining = 0
    for character in cut:
        is_combining = unicodedata.category(character) in _COMBINING
        n_combining = n_combining + 1 if is_combining else 0
        too_many = n_combining > MAX_COMBINING or (is_combining and not shown)
        shown.append(REPLACEMENT if too_many else _safe(character))
    return "".join(shown)


def counted(n: int, noun: str, spec: str = "") -> str:
    """Return a number, written as `spec` says, and a noun that agrees with it.

    Examples
    --------
    >>> counted(1, "beat"), counted(0, "beat"), counted(1200, "beat", ",")
    ('1 beat', '0 beats', '1,200 beats')
    """
    return f"{n:{spec}} {noun}{'' if n == 1 else 's'}"


def were(n: int) -> str:
    """Return the verb of so many: was or were."""
    return "was" if n == 1 else "were"


def near_names(name: str, known: Collection[str]) -> str:
    """Return a question whether a name like this one was meant; empty where none is like it."""
    near = get_close_matches(name, known, MOST_NAMES)
    return f"did you mean {harmless(' or '.join(near))}?" if near else ""


def other_names(name: str, known: Collection[str]) -> str:
    """Return what to give instead of a name that is not known: names like it, or some of all.

    Examples
    --------
    >>> other_names("bed-11", ["bed-1", "icu"])
    'did you mean bed-1?'
    >>> other_names("x", ["bed-1", "icu"])
    'known are bed-1, icu'
    """
    if near := near_names(name, known):
        return near
    if not known:
        return "none is known"
    more = f" and {len(known) - MOST_NAMES} more" if len(known) > MOST_NAMES else ""
    return f"known are {harmless(', '.join(sorted(known)[:MOST_NAMES]), MAX_LENGTH)}{more}"


def _safe(character: str) -> str:
    """Return the character, or what stands for it."""
    code = ord(character)
    if 0x20 <= code < 0x7F:
        return character
    if code < 0x20:
        return chr(0x2400 + code)  # control pictures
    if code == 0x7F:
        return "\N{SYMBOL FOR DELETE}"
    if character in _INVISIBLE or character in _VARIATION:
        return REPLACEMENT
    category = unicodedata.category(character)
    if category in _UNSAFE:
        return REPLACEMENT
    return " " if category == "Zs" else character
