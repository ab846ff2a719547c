"""The curves of a training on the terminal: rows of the width asked for, low losses low."""

from __future__ import annotations

import math

import pytest

from model.training import Epoch
from monitor.cli.training_chart import training_chart


def history(n_epochs: int, of: int = 40) -> list[Epoch]:
    losses = [100 * 0.9**number for number in range(n_epochs)]
    return [Epoch(n + 1, of, loss, 1.2 * loss, True) for n, loss in enumerate(losses)]


def test_rows_have_the_size_asked_for() -> None:
    """One row a cell down, the last one the legend, none wider than the width."""
    rows = training_chart(history(10), 60, 8)
    assert len(rows) == 8
    assert all(row.cell_len <= 60 for row in rows)
    assert "validation" in rows[-1].plain


def test_the_scale_names_the_highest_and_the_lowest_loss() -> None:
    """The validation loss starts at 120; the training loss has come down to 100 * 0.9^9."""
    rows = training_chart(history(10), 60, 8)
    assert rows[0].plain.split()[0] == "120.0"
    assert rows[-2].plain.split()[0] == f"{100 * 0.9**9:.1f}"


def test_epochs_to_come_are_left_free() -> None:
    """A quarter of the epochs fills a quarter of the width."""
    rows = training_chart(history(10, of=40), 88, 8)
    assert max(len(row.plain.rstrip()) for row in rows[:-1]) == pytest.approx(8 + 20, abs=1)
    whole = training_chart(history(40, of=40), 88, 8)
    assert max(len(row.plain.rstrip()) for row in whole[:-1]) == 88


@pytest.mark.parametrize(("width", "n_rows"), [(0, 0), (12, 8), (60, 2), (-5, 8)])
def test_no_room_draws_nothing(width: int, n_rows: int) -> None:
    """A tiny terminal keeps its progress bar."""
    assert training_chart(history(3), width, n_rows) == []


def test_nothing_yet_and_losses_all_alike() -> None:
    """No epoch draws nothing; one epoch and a flat or zero loss draw a line."""
    assert training_chart([], 60, 8) == []
    assert len(training_chart([Epoch(1, 1, 0.0, 0.0, True)], 60, 8)) == 8
    flat = [Epoch(n, 5, 3.0, 3.0, False) for n in range(1, 6)]
    assert len(training_chart(flat, 60, 8)) == 8
    diverged = [Epoch(1, 2, math.nan, math.nan, False)]
    assert training_chart(diverged, 60, 8) == []
