"""Waveforms that a view asks for, of one patient or of all."""

from __future__ import annotations

from pathlib import Path

import msgspec
import zmq

from monitor.delivery.wave_client import Waves
from monitor.wire.codec import encode_message
from monitor.wire.messages import ALL_WAVES, Wave
from monitor.wire.sockets import Sockets
from tests.messages import wave


def said_until(publisher: zmq.Socket[bytes], waves: Waves, names: list[str]) -> list[str]:
    """Publish a stretch of each patient until the last one's comes; return whose came first."""
    while True:
        for name in names:
            publisher.send_multipart(encode_message(msgspec.structs.replace(wave(), patient=name)))
        publisher.send_multipart([b"wave.p1", b"no message"])
        if waves.socket.poll(50):
            heard = [one.patient for one in waves.receive() if isinstance(one, Wave)]
            if names[-1] in heard:
                return heard


def test_all_or_one(tmp_path: Path) -> None:
    """A topic stands for names that begin with it, too: those are passed over; so is rubbish."""
    endpoint = f"ipc://{tmp_path}/w"
    names = ["p2", "p10", "p1"]
    with Sockets() as sockets:
        publisher = sockets.publish(endpoint)
        waves = Waves(sockets, endpoint, (ALL_WAVES,))
        assert set(said_until(publisher, waves, names)) == set(names)
        waves.follow(("wave.p1",))
        while set(heard := said_until(publisher, waves, names)) != {"p1"}:
            assert set(heard) <= {*names}  # what was on its way before
        waves.follow((ALL_WAVES,))
        assert "p1" in said_until(publisher, waves, names)
