"""What is told of a patient's families, and a person's word for one: taken or refused. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.families import KEPT_S, FamiliesState, Family, marked
from monitor.detection.alert_machine import AlertState, high_since
from monitor.wire.messages import MAX_FAMILIES, FamilyStatus, FamilyWord

SHAPE_PEAK = 100  # of the numbers that a shape is told in
WORDS: dict[FamilyWord, str] = {
    "normal": "normal: it begins and prolongs no alert",
    "always": "always to be heard",
    "": "as before: what was said of it is taken back",
}


class StandsHigh(LookupError):
    """A family is to be normal while it stands in a high alert."""


def take_word(
    families: FamiliesState, alerts: AlertState, fs_hz: float, number: int, word: FamilyWord
) -> FamiliesState:
    """Take a person's word for a family.

    Raises
    ------
    LookupError
        If there is no such family, its word is that already, or (`StandsHigh`) it is to be normal
        while it stands in a high alert; the text says why.
    """
    family = next((one for one in families.families if one.number == number), None)
    if family is None:
        raise LookupError(
            f"the patient has no family {number}, or no longer: the least recent of many are "
            "forgotten, and all without a word when the patient is learnt anew"
        )
    if family.word == word:
        said = WORDS[word].partition(":")[0]
        raise LookupError(f"family {number} is {said} already" if word else _nothing(number))
    if word == "normal" and _stands_high(family, alerts, fs_hz):
        raise StandsHigh(
            f"family {number} stands in a high alert and cannot be called normal meanwhile; "
            "acknowledge the alert, and try again when it is over"
        )
    return marked(families, number, word)


def is_called_normal(families: FamiliesState, number: int | None) -> bool:
    """Tell whether a person called a family normal; a beat of none was not."""
    return number is not None and any(
        one.number == number and one.word == "normal" for one in families.families
    )


def _nothing(number: int) -> str:
    return f"nothing was said of family {number} that could be taken back"


def _stands_high(family: Family, alerts: AlertState, fs_hz: float) -> bool:
    """Tell whether a beat of the family may be part of the high alert that stands."""
    since = high_since(alerts)
    if since is None:
        return False
    return family.last_s == KEPT_S or family.last_s >= since / fs_hz


def family_statuses(state: FamiliesState, *, with_shapes: bool) -> list[FamilyStatus]:
    """Return what is told of the families: the most frequent first, those with a word among them.

    Parameters
    ----------
    with_shapes : bool
        Whether they carry their shapes: about 120 bytes each.
    """
    shapes = state.array() if with_shapes else None
    order = sorted(
        range(len(state.families)),
        key=lambda place: (not state.families[place].word, -state.families[place].beats),
    )[:MAX_FAMILIES]
    order.sort(key=lambda place: (-state.families[place].beats, state.families[place].number))
    return [
        _told(state.families[place], [] if shapes is None else _small(shapes[place]))
        for place in order
    ]


def _told(family: Family, shape: list[int]) -> FamilyStatus:
    return FamilyStatus(
        number=family.number,
        beats=family.beats,
        per_minute=family.per_minute,
        word=family.word,
        heard=family.heard,
        shape=shape,
    )


def _small(shape: NDArray[np.float32]) -> list[int]:
    """Return the shape in the first lead that it was seen in, its peak SHAPE_PEAK."""
    peaks = np.abs(shape).max(axis=1)
    seen = np.flatnonzero(peaks)
    if not len(seen):
        return []
    lead = int(seen[0])
    small: list[int] = np.rint(shape[lead] * (SHAPE_PEAK / peaks[lead])).astype(int).tolist()
    return small


def told_key(state: FamiliesState) -> Sequence[tuple[int, str]]:
    """Return what a view should hear of soon after it has changed: which there are, their words."""
    return tuple((one.number, one.word) for one in state.families)
