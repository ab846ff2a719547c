"""Who acts, as a journal keeps it."""

from __future__ import annotations

import pytest

from monitor.delivery.person import MAX_PERSON, named_person, person
from monitor.errors import InvalidOption


def test_a_name_that_is_given_goes_before_the_account_s() -> None:
    """Made harmless; without one the account's stands."""
    assert named_person(" Ada\x1b ") == "Ada␛"
    assert named_person(None) == person()


@pytest.mark.parametrize("name", ["", "  ", "n" * (MAX_PERSON + 1)])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    """With how long one may be."""
    with pytest.raises(InvalidOption, match="--by takes a name of 1 to 64"):
        named_person(name)
