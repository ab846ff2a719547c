"""A client gets what its budget and that of all allow; time, which the test tells, refills them."""

from __future__ import annotations

from monitor.delivery.rate_limit import MAX_CLIENTS, Budget, RateLimit

EACH, TOTAL = Budget(per_s=10, burst=20), Budget(per_s=30, burst=50)


def spent(limit: RateLimit[str], client: str, now_s: float, cost: float = 5.0) -> float:
    """Ask until refused; return what was got."""
    got = 0.0
    while limit.admits(client, now_s):
        limit.charge(client, cost, now_s)
        got += cost
    return got


def test_a_burst_then_what_time_refills() -> None:
    """Twenty at once, then ten a second; quiet saves up no more than the burst."""
    limit: RateLimit[str] = RateLimit(EACH, TOTAL)
    assert [spent(limit, "a", now_s) for now_s in (100, 100, 100.5, 101.5, 1e6)] == [
        20,
        0,
        5,
        10,
        20,
    ]


def test_clients_have_budgets_of_their_own_and_one_together() -> None:
    """One that floods takes nothing from another, up to what all may have."""
    limit: RateLimit[str] = RateLimit(EACH, TOTAL)
    assert [spent(limit, client, 0.0) for client in "abcd"] == [20, 20, 10, 0]
    assert spent(limit, "d", 1.0) == 20


def test_what_is_dear_is_paid_off_afterwards() -> None:
    """The cost is known when the answer is: a debt above the burst takes its time."""
    limit: RateLimit[str] = RateLimit(EACH, TOTAL)
    limit.charge("a", 100.0, 0.0)
    assert [limit.admits("a", now_s) for now_s in (0, 7.9, 8.1)] == [False, False, True]


def test_a_clock_that_stands_still_or_goes_back_gives_nothing_away() -> None:
    """Nothing is refilled, and nothing fails."""
    limit: RateLimit[str] = RateLimit(EACH, TOTAL)
    assert [spent(limit, "a", now_s) for now_s in (100, 100, 99)] == [20, 0, 0]


def test_strangers_do_not_fill_memory() -> None:
    """Clients that owe nothing are forgotten; who owes is remembered."""
    limit: RateLimit[str] = RateLimit(EACH, TOTAL)
    limit.charge("owes", 10 * 5_000.0, 0.0)
    for n in range(10 * MAX_CLIENTS):
        limit.charge(f"stranger {n}", 1.0, now_s=float(n))
        assert limit.n_known <= MAX_CLIENTS + 2
    assert not limit.admits("owes", 4_900.0)
