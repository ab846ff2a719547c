"""From what `ecg-monitor subscribe` was given to sinks, those of other packages too."""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from monitor.delivery.sinks.command import Command
from monitor.delivery.sinks.fhir import open_fhir
from monitor.delivery.sinks.mqtt import Mqtt
from monitor.delivery.sinks.sink import Route, Sink, SinkKind, SinkOptions
from monitor.delivery.sinks.webhook import Webhook
from monitor.errors import InvalidOption

GROUP = "ecg_monitor.sinks"
OPTIONS: Mapping[str, Callable[[str, SinkOptions], Sink]] = {
    "--on-alert": lambda text, options: Command(text),
    "--webhook": Webhook,
    "--mqtt": Mqtt,
    "--fhir": open_fhir,
    "--sink": lambda text, options: open_foreign(text, options),
}


def open_routes(given: Mapping[str, Sequence[str]], options: SinkOptions) -> list[Route]:
    """Open the sinks that options name, each as often as it is given.

    Raises
    ------
    InvalidOption
        If one cannot be used.
    """
    routes: list[Route] = []
    seen: Counter[str] = Counter()
    for option, texts in given.items():
        for text in texts:
            seen[f"{option} {text}"] += 1
            # An address may hold a token, so only its digest is kept.
            same = f"{option}\0{text}\0{seen[f'{option} {text}']}"
            identity = hashlib.sha256(same.encode(errors="surrogateescape")).hexdigest()[:32]
            routes.append(Route(identity, OPTIONS[option](text, options)))
    return routes


def open_foreign(text: str, options: SinkOptions) -> Sink:
    """Open a sink of another package, `NAME:REST`.

    Raises
    ------
    InvalidOption
        If there is none of that name, or it cannot be loaded.
    """
    name, _, rest = text.partition(":")
    return _kind(name).open(rest, options)


def _listed() -> Iterator[str]:
    """Yield the sinks of other packages that can be loaded."""
    for name in sorted(_points()):
        with contextlib.suppress(InvalidOption):
            yield f"{name} ({_kind(name).what})"


def _kind(name: str) -> SinkKind:
    point = _points().get(name)
    if point is None:
        listed = ", ".join(_listed())
        there = f"there are {listed}" if listed else "none is installed"
        raise InvalidOption(
            f"--sink {name[:60]!r} is the sink of no package; {there}. Those that ship have "
            f"options of their own: {', '.join(one for one in OPTIONS if one != '--sink')}"
        )
    try:
        kind = point.load()
    except Exception as error:  # whatever another package raises
        raise InvalidOption(
            f"--sink {name}: its package cannot be loaded ({error}); install it anew"
        ) from error
    if not isinstance(kind, SinkKind):
        raise InvalidOption(f"--sink {name}: its entry point is no SinkKind; ask its package")
    return kind


@cache
def _points() -> dict[str, EntryPoint]:
    return {one.name: one for one in entry_points(group=GROUP)}
