"""What goes wrong, said in one line on standard error, and the exit code."""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, cast

import typer
from typer.core import TyperGroup

from monitor.cli.terminal import never_fail_on_characters
from monitor.errors import MonitorError, is_full, reason_of
from monitor.log import keep_traceback
from monitor.text import harmless

_log = logging.getLogger(__name__)

# Base of all that typer, or the click below it, cannot parse; its home differs by version.
UsageError = cast("type[typer.BadParameter]", typer.BadParameter.__bases__[0])


_CONFIG = re.compile(r"^No such option:? '?--config\b")


class OneLineErrors(TyperGroup):
    """The commands; what cannot be parsed gets one line, as all that cannot be used does."""

    def main(
        self,
        args: Sequence[str] | None = None,
        *others: Any,  # noqa: ANN401  as typer's own has them
        **options: Any,  # noqa: ANN401
    ) -> NoReturn:
        """Run the command that the arguments name, and leave the process."""
        given = sys.argv[1:] if args is None else list(args)
        options["standalone_mode"] = False
        never_fail_on_characters()
        try:
            exit_code = super().main(given or ["--help"], *others, **options)
        except UsageError as error:
            complain(f"{error.format_message().rstrip('.')}; {_what_helps(error)}")
            exit_code = 2
        except Exception as error:
            exit_code = _unexpected(error)
        sys.exit(exit_code)


def _what_helps(error: typer.BadParameter) -> str:
    """Return what to do about what cannot be parsed: the help of the command that was meant."""
    context = error.ctx
    if context is not None and context.parent is not None and _CONFIG.search(error.message):
        return f"it stands before the command: ecg-monitor --config FILE {context.info_name}"
    path = [] if context is None else context.command_path.split()[1:]
    return f"see `{' '.join(['ecg-monitor', *path])} --help`"


@contextmanager
def explained() -> Iterator[None]:
    """Turn what can go wrong into one line on standard error and an exit code."""
    from model.errors import ModelError
    from segmenter.errors import SegmenterError

    try:
        yield
    except (MonitorError, SegmenterError, ModelError) as error:
        complain(str(error))
        exit_code = error.exit_code if isinstance(error, MonitorError) else 2
        raise typer.Exit(exit_code) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except BrokenPipeError:  # the reader of our output has left, as `| head` does
        sys.stderr.close()
        raise typer.Exit(0) from None
    except OSError as error:  # a full disk, a name too long: what nobody expected of the system
        _log.debug("an error of the system", exc_info=error)
        complain(f"{error.filename or _unnamed(error)}: {reason_of(error)}")
        raise typer.Exit(2) from error


def _unnamed(error: OSError) -> str:
    """Return what an error of the system that names no file is about; files of ours are named."""
    return "standard output, or a temporary file" if is_full(error) else "input or output"


def _unexpected(error: Exception) -> int:
    """Report an error of the program itself, whose traceback is kept; return the exit code."""
    where = keep_traceback(error)
    if where is None:
        traceback.print_exception(error)
    complain(
        f"the program itself failed ({type(error).__name__}: {error}); "
        f"please report it, with {f'the end of {where}' if where else 'what stands above'}"
    )
    return 1


def complain(text: str) -> None:
    """Say what is wrong, in one line, made harmless."""
    sys.stderr.write(f"ecg-monitor: {harmless(text, 1000)}\n")
