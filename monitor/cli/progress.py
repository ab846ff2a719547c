"""How far a command is: a bar on standard error, or lines where that is no terminal."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from monitor.cli.error_messages import complain
from monitor.cli.terminal import why_plain
from monitor.cli.training_chart import training_chart
from monitor.errors import DownloadError
from monitor.text import harmless

if TYPE_CHECKING:
    from model.training import Epoch


CHART_ROWS, CHART_COLUMNS = 14, 100  # of the curves of a training


class Show(Protocol):
    """Takes the share done, 0 to 1, and perhaps another text beside the bar."""

    def __call__(self, share: float, text: str | None = None) -> None:
        """Move the bar."""
        ...


@contextmanager
def progress_bar(text: str) -> Iterator[Show]:
    """Show a bar on standard error, if that is a terminal; yields what takes the share done."""
    console = Console(stderr=True)
    with _progress(console) as progress:
        task = progress.add_task(text, total=1.0)

        def show(share: float, text: str | None = None) -> None:
            progress.update(task, completed=share, description=text)

        yield show


def _progress(console: Console, left: ProgressColumn | None = None) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        left or TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


class TimeLeft:
    """How long a training still takes, at most: it ends earlier where it no longer improves.

    Rich's own estimate forgets what is older than 30 s, and so knows nothing of slow epochs.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_s = self._last_s = clock()
        self._seen = 0

    def update(self, epoch: Epoch) -> str:
        """Take an epoch that has ended; return the time left as text, empty after the last."""
        if epoch.number == 1:  # another seed's training begins
            self._began_s, self._seen = self._last_s, 0
        self._last_s = self._clock()
        self._seen += 1
        left = epoch.of - epoch.number
        left_s = (self._last_s - self._began_s) / self._seen * left
        return f"at most {_clock_text(left_s)} left" if left else ""


def _clock_text(seconds: float) -> str:
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@contextmanager
def training_shown(
    text: str, clock: Callable[[], float] = time.monotonic, n_trainings: int = 1
) -> Iterator[Callable[[Epoch], None]]:
    """Draw the losses of all epochs over a bar; off a terminal, a line of standard error each.

    Both say how long it takes at most; of several trainings, which one it is, and how long that one
    takes.
    """
    console = Console(stderr=True)
    time_left = TimeLeft(clock)
    told = _Told(text, n_trainings)
    if not console.is_terminal or why_plain(sys.stderr) is not None:

        def write(epoch: Epoch) -> None:
            words = [told.update(epoch), time_left.update(epoch)]
            _write_line(", ".join(filter(None, words)))

        yield write
        return
    history: list[Epoch] = []
    progress = _progress(console, TextColumn("{task.fields[left]}", markup=False))
    task = progress.add_task(text, total=1.0, left="")
    with Live(console=console, transient=True, redirect_stdout=False, auto_refresh=False) as live:

        def on_epoch(epoch: Epoch) -> None:
            if epoch.number == 1:  # another seed's training begins
                history.clear()
            history.append(epoch)
            progress.update(
                task,
                completed=epoch.number / epoch.of,
                description=told.update(epoch),
                left=time_left.update(epoch),
            )
            n_rows = min(CHART_ROWS, console.height - 3)
            chart = training_chart(history, min(console.width, CHART_COLUMNS), n_rows)
            live.update(Group(*chart, progress), refresh=True)

        yield on_epoch


class _Told:
    """Which epoch it is, and of which training, where there are several."""

    def __init__(self, text: str, n_trainings: int) -> None:
        self._text, self._of, self._number = text, n_trainings, 0

    def update(self, epoch: Epoch) -> str:
        if epoch.number == 1:  # another training begins
            self._number += 1
        which = f", training {self._number} of {self._of}" if self._of > 1 else ""
        return f"{self._text}{which}, {epoch_text(epoch)}"


def _write_line(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def epoch_text(epoch: Epoch) -> str:
    """Return an epoch's losses as words."""
    best = ", best" if epoch.is_best else ""
    return (
        f"epoch {epoch.number} of {epoch.of}: loss {epoch.training_loss:.2f}, "
        f"validation {epoch.validation_loss:.2f}{best}"
    )


def resolved(names: list[str], pass_over: Callable[[str, str], None] | None = None) -> list[str]:
    """Return the paths of the records named; none named is the simulated one.

    Live sources keep their names.

    Parameters
    ----------
    pass_over : callable, optional
        Receives which of several records cannot be fetched, and why; without it, or if none can be,
        that is an error.

    Raises
    ------
    DownloadError
        If records cannot be fetched.
    """
    if not names:
        from monitor.sources.simulated import default_record

        with progress_bar("making the simulated record") as show:
            return [str(default_record(on_progress=show).absolute())]
    from monitor.sources.kinds import is_live
    from monitor.sources.resolve import resolve_record

    paths: list[str] = []
    failed: list[tuple[str, DownloadError]] = []
    for name in names:
        if is_live(name):
            paths.append(name)
            continue
        text = f"fetching {harmless(name, 60)}"
        with progress_bar(text) as show:
            on_bytes = _bytes_shown(show, text)
            try:
                paths.append(str(resolve_record(name, on_bytes, complain).absolute()))
            except DownloadError as error:
                failed.append((name, error))
                if pass_over is None:
                    raise
    if not paths:
        raise failed[0][1]
    for name, reason in failed:
        if pass_over is not None:
            pass_over(name, str(reason))
    return paths


def scenario_made(name: str) -> str:
    """Return the path of the record of a scenario, which is made if it is not there."""
    from monitor.sources.scenario_record import scenario_record

    with progress_bar("making the simulated record") as show:
        return str(scenario_record(name, on_progress=show).absolute())


def _bytes_shown(show: Show, text: str) -> Callable[[int, int | None], None]:
    """Show the share that has come; of what has no known end, the megabytes."""

    def on_bytes(done: int, total: int | None) -> None:
        if total:
            show(done / total)
        else:
            show(0.0, f"{text}, {done / 1e6:.1f} MB")

    return on_bytes


def records_and_folders(names: list[str], failed: dict[str, str]) -> list[str]:
    """Return paths: of the records named, fetched where need be, and of folders as they are.

    Why one cannot be fetched is put into `failed`, by its name; if none can be, it is an error.
    """
    paths: list[str] = []
    for name in names:
        try:
            paths.append(name if Path(name).is_dir() else resolved([name])[0])
        except DownloadError as error:
            failed[name] = str(error)
    if not paths:
        raise DownloadError(next(iter(failed.values())))
    return paths
