"""How much clients may ask for: a budget each and one in all, refilled as time goes by. Pure.

A request is charged afterwards, since only then is its cost known. Who is in debt by more
than its burst is refused until time has paid it off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

MAX_CLIENTS = 1_000  # remembered; beyond, those without debt are forgotten

Client = TypeVar("Client")


@dataclass(frozen=True)
class Budget:
    """What may be spent.

    Attributes
    ----------
    per_s : float
        Refilled in a second.
    burst : float
        Spent at once at most, after a time of quiet.
    """

    per_s: float
    burst: float


class RateLimit(Generic[Client]):
    """Budgets of clients and of all together.

    Parameters
    ----------
    each, total : Budget
        In a unit of the caller's.
    """

    def __init__(self, each: Budget, total: Budget) -> None:
        self._each, self._total = each, total
        self._paid_at_s: dict[Client, float] = {}  # when a client's debt is paid off
        self._total_paid_at_s = float("-inf")

    def admits(self, client: Client, now_s: float) -> bool:
        """Whether a client may ask for something now."""
        owed_s = self._paid_at_s.get(client, now_s) - now_s
        total_owed_s = self._total_paid_at_s - now_s
        return (
            owed_s * self._each.per_s < self._each.burst
            and total_owed_s * self._total.per_s < self._total.burst
        )

    def charge(self, client: Client, cost: float, now_s: float) -> None:
        """Have a client pay for what it got."""
        if client not in self._paid_at_s and len(self._paid_at_s) >= MAX_CLIENTS:
            self._forget_paid(now_s)
        paid_at_s = self._paid_at_s.get(client, now_s)
        self._paid_at_s[client] = max(paid_at_s, now_s) + cost / self._each.per_s
        self._total_paid_at_s = max(self._total_paid_at_s, now_s) + cost / self._total.per_s

    @property
    def n_known(self) -> int:
        """How many clients are remembered."""
        return len(self._paid_at_s)

    def _forget_paid(self, now_s: float) -> None:
        """Forget who owes nothing; the total budget bounds how many can be in debt."""
        self._paid_at_s = {
            client: paid_at_s for client, paid_at_s in self._paid_at_s.items() if paid_at_s > now_s
        }
