"""One supervised stage's process: settings as JSON on standard input, then run."""

from __future__ import annotations

import faulthandler
import logging
import os
import sys

from model.errors import ModelError
from monitor.errors import MonitorError
from monitor.log import note_to_stderr
from monitor.settings import (
    AnyStageSettings,
    ConsumerSettings,
    ProducerSettings,
    SegmenterSettings,
    decode_settings,
)
from monitor.stages.host import stage_name
from monitor.stages.orphans import die_with_parent
from monitor.stages.pulse import WHERE_SIGNAL, Pulse
from monitor.wire.codec import encode_lifecycle
from monitor.wire.messages import Failed
from monitor.wire.sockets import Sockets
from segmenter.errors import SegmenterError

_log = logging.getLogger(__name__)


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
    die_with_parent()
    settings = decode_settings(sys.stdin.buffer.read())
    name = stage_name(settings)
    if settings.pipe is not None:
        os.dup2(settings.pipe, 0)  # behind its settings, what the run's standard input brings
        os.close(settings.pipe)
    note_to_stderr(verbose=settings.verbose)
    faulthandler.enable()  # where a library crashes, its place is written, too
    faulthandler.register(WHERE_SIGNAL, all_threads=True)  # and where a stage hangs
    pulse = Pulse(settings.pulse)
    pulse.beat_while_starting()
    try:
        run_stage(settings)
    except (MonitorError, SegmenterError, ModelError) as error:
        _log.info("the %s cannot do what it was asked: %s", name, error)
        exit_code = error.exit_code if isinstance(error, MonitorError) else 2
        if settings.lifecycle is not None:
            with Sockets() as sockets:
                failed = Failed(name, str(error), exit_code)
                sockets.ask(settings.lifecycle).send(encode_lifecycle(failed))
        return exit_code
    except Exception as error:
        _log.critical("the %s ends by an error that nobody expected", name, exc_info=error)
        pulse.say(f"{type(error).__name__}: {error}")
        return 1
    _log.info("the %s has ended in order", name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
