"""Progress: lines off a terminal, nothing on standard output, names that are no markup."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from model.training import Epoch
from monitor.cli.progress import (
    TimeLeft,
    epoch_text,
    progress_bar,
    resolved,
    training_shown,
)
from monitor.errors import DownloadError

EPOCH = Epoch(2, 8, 31.456, 29.0, True)


def test_of_several_records_one_that_cannot_be_fetched_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest goes on; without who takes it, or with none left, it is an error."""

    def fetch(name: str, *_others: object, **_options: object) -> Path:
        if "bad" in name:
            raise DownloadError(f"cannot fetch {name}")
        return tmp_path / "cached"

    monkeypatch.setattr("monitor.sources.resolve.fetch_record", fetch)
    monkeypatch.chdir(tmp_path)
    told: dict[str, str] = {}
    good = str(tmp_path / "cached")
    assert resolved(["db/bad", "db/good"], told.__setitem__) == [good]
    assert list(told) == ["db/bad"]
    assert "cannot fetch db/bad" in told["db/bad"]
    for names, pass_over in ((["db/good", "db/bad"], None), (["db/bad"], told.__setitem__)):
        with pytest.raises(DownloadError, match="db/bad"):
            resolved(names, pass_over)


def test_epochs_are_lines_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A log of a long training says how it went."""
    with training_shown("training", clock=iter([0.0, 20.0]).__next__) as on_epoch:
        on_epoch(EPOCH)
    out, errors = capsys.readouterr()
    assert out == ""
    assert errors == (
        "training, epoch 2 of 8: loss 31.46, validation 29.00, best, at most 2:00 left\n"
    )


def test_of_several_trainings_each_line_says_which(capsys: pytest.CaptureFixture[str]) -> None:
    """Folds and seeds follow one another: epochs begin anew, and the time left is of one alone."""
    with training_shown("evaluating", clock=itertools.count().__next__, n_trainings=7) as on_epoch:
        for number in (1, 2, 1):
            on_epoch(Epoch(number, 2, 10.0, 10.0, is_best=False))
    said = [one.split(":")[0] for one in capsys.readouterr().err.splitlines()]
    assert said == [
        "evaluating, training 1 of 7, epoch 1 of 2",
        "evaluating, training 1 of 7, epoch 2 of 2",
        "evaluating, training 2 of 7, epoch 1 of 2",
    ]


def test_the_time_left_is_that_of_the_epochs_so_far() -> None:
    """Hours where need be, nothing after the last; each seed's training counts anew."""
    times = iter([0.0, 40.0, 60.0, 70.0, 1070.0])
    left = TimeLeft(times.__next__)
    said = [
        left.update(Epoch(n, of, 1.0, 1.0, False)) for n, of in ((1, 3), (2, 3), (3, 3), (1, 9))
    ]
    assert said == ["at most 1:20 left", "at most 0:30 left", "", "at most 2:13:20 left"]


def test_a_training_that_goes_on_knows_its_own_epochs_alone() -> None:
    """With --resume the first epoch seen is a later one."""
    left = TimeLeft(iter([0.0, 10.0]).__next__)
    assert left.update(Epoch(51, 53, 1.0, 1.0, False)) == "at most 0:20 left"


def test_a_training_on_a_terminal_says_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the bar, also where an epoch takes longer than Rich's estimate looks back."""
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with training_shown("training", clock=iter([0.0, 600.0]).__next__) as on_epoch:
        on_epoch(Epoch(1, 3, 31.456, 29.0, True))
    assert "at most 20:00 left" in capsys.readouterr().err


def test_only_the_best_epochs_are_called_so() -> None:
    """An epoch whose weights are not kept does not say best."""
    assert epoch_text(Epoch(3, 8, 30.0, 29.5, False)) == (
        "epoch 3 of 8: loss 30.00, validation 29.50"
    )


def test_bars_are_silent_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither stream gets anything."""
    with progress_bar("fetching") as show:
        show(0.5)
        show(1.0, "done")
    assert capsys.readouterr() == ("", "")


def test_bars_on_a_terminal_say_text_and_share(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text is shown as it is: brackets in a record's name are no markup."""
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    with progress_bar("fetching") as show:
        show(0.5, "fetching [/b]")
    out, errors = capsys.readouterr()
    assert out == ""
    assert "fetching [/b]" in errors
    assert "50%" in errors
