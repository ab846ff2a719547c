"""The waveforms that a view asks for: everybody's, or those of the one patient that is shown."""

from __future__ import annotations

from collections.abc import Iterator

import zmq

from monitor.errors import InvalidMessage
from monitor.wire.codec import decode_message
from monitor.wire.messages import ALL_WAVES, Message
from monitor.wire.sockets import Sockets, change_topics, receive_waiting


class Waves:
    """What comes from a monitor's socket of waveforms.

    Parameters
    ----------
    sockets : Sockets
        Of this process; closes the socket.
    endpoint : str
        Where the segmenter publishes.
    topics : tuple of str
        ALL_WAVES, or a patient's: `wave.<patient>`.
    """

    def __init__(self, sockets: Sockets, endpoint: str, topics: tuple[str, ...]) -> None:
        self._topics = topics
        self._sockets = sockets
        self.socket: zmq.Socket[bytes] = sockets.subscribe(endpoint, list(topics))

    def follow(self, topics: tuple[str, ...]) -> None:
        """Ask for other topics from now on."""
        change_topics(self.socket, self._topics, topics)
        self._topics = topics

    def receive(self) -> Iterator[Message]:
        """Yield the stretches that wait; other messages are ignored.

        A topic stands for all that begin with it: those of other patients are left undecoded.
        """
        self._sockets.look_after()
        wanted = {topic.encode() for topic in self._topics}
        takes_all = ALL_WAVES in self._topics
        for frames in receive_waiting(self.socket):
            if takes_all or frames[0] in wanted:
                try:
                    yield decode_message(frames)
                except InvalidMessage:
                    continue
