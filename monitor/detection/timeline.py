"""One patient's stretches of samples laid end to end, so that time never goes back.

A sender that is started again counts from 0, a device's counter jumps, a segmenter is started anew:
each begins another stretch. Its samples are moved on to where the stretch before had come; what was
learnt, counted and latched of the patient goes on. That it happened is an event for people.
"""

from __future__ import annotations

import msgspec

from monitor.wire.messages import BeatsMessage, RecordEvent


class Timeline(msgspec.Struct, frozen=True):
    """Which stretch a patient is in.

    Attributes
    ----------
    stretch : int or None
        Its identity; None before the first.
    shift : int
        What is added to its samples.
    reached : int
        The furthest sample of all stretches, shifted.
    """

    stretch: int | None = None
    shift: int = 0
    reached: int = 0

    def take(self, message: BeatsMessage) -> tuple[Timeline, BeatsMessage]:
        """Return the timeline behind a message, and the message in its samples.

        The first message of a further stretch has the event `stream_restarted` before its own.
        """
        header = message.header
        stretch, shift = header.stretch, self.shift
        restarted: list[RecordEvent] = []
        if stretch != self.stretch:
            shift = max(0, self.reached - header.first_sample)
            if self.stretch is not None:
                begins = header.first_sample + shift
                restarted.append(RecordEvent("stream_restarted", "onset", begins))
        moved = message if not (shift or restarted) else _moved(message, shift, restarted)
        reached = max(self.reached, moved.header.position)
        return Timeline(stretch, shift, reached), moved


def _moved(message: BeatsMessage, shift: int, before: list[RecordEvent]) -> BeatsMessage:
    header = message.header
    events = [msgspec.structs.replace(one, sample=one.sample + shift) for one in header.events]
    header = msgspec.structs.replace(
        header,
        position=header.position + shift,
        first_sample=header.first_sample + shift,
        events=before + events,
    )
    signs = None if message.signs is None else message.signs.moved(shift)
    return message._replace(
        header=header, together=message.beats.moved(shift), first=0, signs=signs
    )
