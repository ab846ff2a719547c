"""What a disturbed ward said is held to what one machine says."""

from __future__ import annotations

from monitor.wire.messages import MONITOR, Alert, Technical
from tests.messages import alert, technical
from tools.chaos_ward import WardTally, compare, identities, tables


def test_what_is_missing_or_surplus_is_counted() -> None:
    """Of each patient by itself; numbers of a journal must have no hole."""
    said: list[Alert | Technical] = [
        alert(seq=1, id="a"),
        alert(seq=2, id="b"),
        technical(seq=3, id="t"),
    ]
    same, other = WardTally(), WardTally()
    compare(same, identities(said), said)
    assert same.flawless
    compare(other, identities(said), [said[0], alert(seq=3, id="c"), technical(seq=4, id="t")])
    assert (other.lost, other.doubled, other.holes) == (1, 1, 1)
    assert not other.flawless


def test_order_counts_within_a_patient() -> None:
    """Between patients there is none."""
    said = [alert(seq=1, id="a"), alert(seq=2, id="b")]
    tally = WardTally()
    compare(tally, identities(said), [alert(seq=1, id="b"), alert(seq=2, id="a")])
    assert tally.disordered == 1


def test_what_the_ward_says_of_itself_is_of_one_run_only() -> None:
    """That a partition had no worker is counted with how long; silence apart."""
    down = technical(
        seq=1, id="d", patient=MONITOR, event="stage_down",
        text="partition 1 (2 patients) had no worker for 7 s: a is gone; b goes on",
    )  # fmt: skip
    silent = technical(seq=2, id="s", event="signal_lost")
    tally = WardTally()
    compare(tally, {}, [down, silent])
    assert tally.flawless
    assert (tally.gaps_s, tally.silent) == ([7], 1)
    assert "the longest 7 s" in tables(tally)
