"""Growth of a ward on paper: more patients cost more, and what is full is named."""

from __future__ import annotations

import itertools

from tools.ward_growth import (
    PATIENTS,
    Rates,
    growth_table,
    load_of,
    main,
    message_bytes,
    moved,
    wards_of,
)

RATES = Rates(us_a_beat=600.0, writes_per_s=2000.0, mb_per_s=120.0)


def test_what_a_ward_comes_to_grows_with_its_patients() -> None:
    """Messages, bytes, commits and workers."""
    loads = [load_of(n, 500, RATES) for n in PATIENTS]
    for one, more in itertools.pairwise(loads):
        assert more.workers >= one.workers
        assert more.sample_messages >= one.sample_messages
        assert more.sample_mb > one.sample_mb
        assert more.commits > one.commits


def test_a_message_holds_its_samples() -> None:
    """50 samples of two leads are 400 bytes; what stands beside them is bounded."""
    block = message_bytes(11) - message_bytes(10)
    assert 400 < block < 1000


def test_one_worker_more_or_less_moves_few_partitions() -> None:
    """Its own share, and no other."""
    come, gone = moved(10, 40)
    assert 3 <= come <= 4
    assert 3 <= gone <= 4


def test_what_does_not_fit_one_ward_fits_several() -> None:
    """What is the fullest is named, and from which size on there must be more streams."""
    small, large = load_of(500, 500, RATES), load_of(100_000, 500, RATES)
    assert small.first_full(RATES, 3)[1] < 1
    assert large.first_full(RATES, 3)[1] > 1
    assert wards_of(500, 500, RATES, 3) == 1
    assert 10 < wards_of(100_000, 500, RATES, 3) < 200


def test_the_table_has_a_row_for_each_size() -> None:
    """In Markdown; the command prints it."""
    lines = growth_table([100, 2_000], 500, RATES, 3).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| 100", "| 2,000"]
    assert main(["--patients", "100"]) == 0
