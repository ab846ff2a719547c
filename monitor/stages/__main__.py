"""One supervised stage's process: settings as JSON on standard input, then run."""

from __future__ import annotations

import sys

from model.errors import ModelError
from monitor.errors import MonitorError
from monitor.settings import (
    AnyStageSettings,
    ConsumerSettings,
    ProducerSettings,
    SegmenterSettings,
    decode_settings,
)
from monitor.stages.host import stage_name
from monitor.stages.pulse import Pulse
from monitor.wire.codec import encode_lifecycle
from monitor.wire.messages import Failed
from monitor.wire.sockets import Sockets
from segmenter.errors import SegmenterError


def run_stage(settings: AnyStageSettings) -> None:
    """Run the stage that the settings are for; it imports only what it needs."""
    match settings:
        case ProducerSettings():
            from monitor.stages import producer

            producer.run(settings)
        case SegmenterSettings():
            from monitor.stages import segmenter

            segmenter.run(settings)
        case ConsumerSettings():
            from monitor.stages import consumer

            consumer.run(settings)


def main() -> int:
    """Run one stage; what cannot be used is reported to the supervisor, not retried."""
    settings = decode_settings(sys.stdin.buffer.read())
    pulse = Pulse(settings.pulse)
    pulse.beat_while_starting()
    try:
        run_stage(settings)
    except (MonitorError, SegmenterError, ModelError) as error:
        exit_code = error.exit_code if isinstance(error, MonitorError) else 2
        if settings.lifecycle is not None:
            with Sockets() as sockets:
                failed = Failed(stage_name(settings), str(error), exit_code)
                sockets.ask(settings.lifecycle).send(encode_lifecycle(failed))
        return exit_code
    except Exception as error:
        pulse.say(f"{type(error).__name__}: {error}")
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
