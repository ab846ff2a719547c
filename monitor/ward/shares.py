"""Who serves which partitions: a decision that each worker makes of what all can see. Pure.

Nobody leads. A worker below its share claims what is free, one above it gives up the rest; so one
that comes or goes moves no more than it must. Two that claim the same meet at the lease, which only
one of them writes; and should both serve for a while, only one commits.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple


class Shares(NamedTuple):
    """What a worker does next about its partitions."""

    claim: list[int]
    release: list[int]


def shares(me: str, alive: Collection[str], owners: Mapping[int, str], n: int) -> Shares:
    """Return what a worker claims and gives up.

    Parameters
    ----------
    me : str
        The worker; it counts as alive.
    alive : collection of str
        Workers that were heard lately and are not leaving.
    owners : mapping of int to str
        Who holds each partition's lease; partitions that nobody holds may be missing.
    n : int
        Partitions.
    """
    workers = {*alive, me}
    of_each: dict[str, list[int]] = {one: [] for one in workers}
    free: list[int] = []
    for partition in range(n):
        owner = owners.get(partition, "")
        if owner in of_each:
            of_each[owner].append(partition)
        else:
            free.append(partition)
    # Who has most already is given what does not divide: that moves least.
    ranked = sorted(workers, key=lambda one: (-len(of_each[one]), one))
    even, odd = divmod(n, len(workers))
    share = even + (ranked.index(me) < odd)
    mine = of_each[me]
    if len(mine) >= share:
        return Shares([], mine[share:])
    # From different places, so that those who come together seldom want the same.
    first = ranked.index(me) * len(free) // len(workers)
    return Shares((free[first:] + free[:first])[: share - len(mine)], [])
