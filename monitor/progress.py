"""How far a command is: a bar on standard error, or lines where that is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from monitor.text import harmless

if TYPE_CHECKING:
    from model.training import Epoch


class Show(Protocol):
    """Takes the share done, 0 to 1, and perhaps another text beside the bar."""

    def __call__(self, share: float, text: str | None = None) -> None:
        """Move the bar."""
        ...


@contextmanager
def progress_bar(text: str) -> Iterator[Show]:
    """Show a bar on standard error, if that is a terminal; yields what takes the share done."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task(text, total=1.0)

        def show(share: float, text: str | None = None) -> None:
            progress.update(task, completed=share, description=text)

        yield show


@contextmanager
def training_shown(text: str) -> Iterator[Callable[[Epoch], None]]:
    """Show the losses of each epoch beside a bar; off a terminal, as a line of standard error."""
    on_terminal = Console(stderr=True).is_terminal
    with progress_bar(text) as show:

        def on_epoch(epoch: Epoch) -> None:
            line = f"{text}, {epoch_text(epoch)}"
            show(epoch.number / epoch.of, line)
            if not on_terminal:
                sys.stderr.write(f"{line}\n")

        yield on_epoch


def epoch_text(epoch: Epoch) -> str:
    """Return an epoch's losses as words."""
    best = ", best" if epoch.is_best else ""
    return (
        f"epoch {epoch.number} of {epoch.of}: loss {epoch.training_loss:.2f}, "
        f"validation {epoch.validation_loss:.2f}{best}"
    )


def resolved(names: list[str]) -> list[str]:
    """Return the paths of the records named; none named is the simulated one."""
    if not names:
        from monitor.sources.simulated import default_record

        with progress_bar("making the simulated record") as show:
            return [str(default_record(on_progress=show).absolute())]
    from monitor.sources.resolve import resolve_record

    paths = []
    for name in names:
        with progress_bar(f"fetching {harmless(name, 60)}") as show:
            on_bytes = _bytes_shown(show)
            paths.append(str(resolve_record(name, on_bytes).absolute()))
    return paths


def _bytes_shown(show: Callable[[float], None]) -> Callable[[int, int | None], None]:
    return lambda done, total: show(done / total if total else 0.0)
