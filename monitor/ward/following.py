"""`subscribe --ward` and `view --ward`: what the commands do with a monitor, done with a ward."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from monitor.errors import InvalidOption
from monitor.interrupts import Interrupts
from monitor.run.watch import (
    FollowOptions,
    Hearing,
    Watch,
    handing_on,
    open_inbox,
    print_messages,
)
from monitor.view.screens import Screen
from monitor.ward.link import WardAccess
from monitor.ward.listener import WardListener
from monitor.wire.messages import Message

NO_WORKER = ", or the ward has no worker: ecg-monitor worker --ward …"


def follow_ward(access: WardAccess, options: FollowOptions, screen: Screen) -> None:
    """Print what a ward's workers say, as `follow` does of a monitor.

    Raises
    ------
    MonitorError
        If the ward cannot be reached.
    InvalidOption
        If something is asked for that a ward does not give.
    """
    if options.after not in (None, 0):
        raise InvalidOption(
            "--from counts a monitor's alerts; those of a ward count in each partition: use "
            "--since, --new, --durable, or none of them"
        )
    with contextlib.ExitStack() as stack:
        inbox = None if options.durable is None else open_inbox(options.durable, options, stack)
        listener = stack.enter_context(
            WardListener(
                access,
                (*options.topics, "status"),
                options.after,
                since=options.since,
                inbox=inbox,
            )
        )
        interrupts = stack.enter_context(Interrupts())  # before, Ctrl-C ends the connecting
        stack.enter_context(screen)
        hearing = Hearing(screen.notice, NO_WORKER, f" of the ward at {access.servers}")
        with handing_on(options, screen, interrupts, inbox) as delivery:
            print_messages(options, listener, screen, delivery, interrupts, hearing)


def watch_ward(access: WardAccess, screen: Screen) -> None:
    """Show a ward until Ctrl-C or q."""
    with WardListener(access, screen.topics) as listener, Interrupts() as interrupts, screen:
        where = f" of the ward at {access.servers}"
        Watch(listener, WavesOf(listener), screen, NO_WORKER, where).run(interrupts)


class WavesOf:
    """A listener's stretches of signal, as a view takes them."""

    def __init__(self, listener: WardListener) -> None:
        self._listener = listener

    def receive(self) -> Iterable[Message]:
        """Take out the stretches that wait."""
        return self._listener.waves()

    def follow(self, topics: tuple[str, ...]) -> None:
        """Ask for other patients' from now on."""
        self._listener.show(topics)
