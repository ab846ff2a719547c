"""Workers share partitions evenly, and move few when one comes or goes."""

from __future__ import annotations

import pytest

from monitor.ward.shares import shares


def settled(owners: dict[int, str], alive: set[str], n: int) -> tuple[dict[int, str], int]:
    """Let workers decide in turn until nothing changes; return owners, and how many moved."""
    owners, moved = dict(owners), 0
    for _ in range(100):
        before = dict(owners)
        for me in sorted(alive):
            wanted = shares(me, alive, owners, n)
            for partition in wanted.release:
                owners[partition] = ""
            for partition in wanted.claim:
                owners[partition] = me
                moved += 1
        if owners == before:
            return owners, moved
    raise AssertionError("they never agree")


def counts(owners: dict[int, str]) -> list[int]:
    return sorted(list(owners.values()).count(one) for one in set(owners.values()))


@pytest.mark.parametrize(("workers", "n"), [(1, 16), (2, 16), (3, 16), (5, 16), (7, 4)])
def test_every_partition_is_served_by_as_many_as_evenly_can(workers: int, n: int) -> None:
    """Loads differ by one at most."""
    owners, _ = settled({}, {f"w{one}" for one in range(workers)}, n)
    assert set(owners) == set(range(n))
    assert "" not in owners.values()
    of_each = counts(owners)
    assert max(of_each) - min(of_each) <= 1


def test_one_that_comes_takes_its_share_and_no_more() -> None:
    """The others keep the rest."""
    before, _ = settled({}, {"a", "b", "c"}, 16)
    after, moved = settled(before, {"a", "b", "c", "d"}, 16)
    assert moved == 4
    assert counts(after) == [4, 4, 4, 4]
    assert all(after[one] in (before[one], "d") for one in after)


def test_of_one_that_goes_only_its_own_move() -> None:
    """What the others serve stays with them."""
    before, _ = settled({}, {"a", "b", "c", "d"}, 16)
    after, moved = settled(before, {"a", "b", "c"}, 16)
    assert moved == 4
    assert all(after[one] == before[one] for one in after if before[one] != "d")


def test_a_worker_without_others_takes_all() -> None:
    """It counts as alive though nobody has heard it."""
    assert shares("a", set(), {}, 3).claim == [0, 1, 2]


def test_those_that_come_together_want_different_partitions() -> None:
    """They would otherwise meet at every lease."""
    both = {"a", "b"}
    assert not {*shares("a", both, {}, 8).claim} & {*shares("b", both, {}, 8).claim}
