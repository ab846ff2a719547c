"""Options from a file: `ecg-monitor --config FILE COMMAND`, and what `ecg-monitor config` shows.

A TOML file has a table a command, with options by their long names without dashes; what stands
before the first table goes to every command that has such an option. The command line wins.

    keys = "/etc/ecg-monitor/keys"

    [replay]
    learn = "5:00"
    leads = ["II", "V5"]

    [evaluate.patients]
    jobs = 4
"""

# ruff: noqa: D301  the \b before an example keeps its lines as they are

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer
from typer.core import TyperGroup

from monitor.cli.error_messages import OneLineErrors, explained
from monitor.errors import InvalidOption
from monitor.text import harmless
from monitor.text_file import unmarked

MAX_BYTES = 1 << 16
Command: TypeAlias = (
    Any  # a command, option or context of the click below typer, whose home differs by version
)
Values: TypeAlias = dict[str, Any]

settings = typer.Typer(cls=OneLineErrors)


def apply_config(context: typer.Context, path: Path | None) -> None:
    """Make the values of a file the defaults of the commands below a context.

    Raises
    ------
    InvalidOption
        If the file cannot be read, or names what is no command or no option.
    """
    if path is None:
        return
    try:
        given, group = _read(path), context.command
        common = {name: value for name, value in given.items() if not isinstance(value, dict)}
        known = {name for _, command in _commands(group, ()) for name in _options(command)}
        for name in common:
            if name not in known:
                raise InvalidOption(f"{name} {_unknown(name, known, 'option of any command')}")
        tables = {name: value for name, value in given.items() if isinstance(value, dict)}
        context.default_map = _defaults(tables, common, group, ())
    except InvalidOption as error:
        raise InvalidOption(f"--config {path}: {error}") from error


def _read(path: Path) -> Values:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidOption(
            f"it cannot be read: {error.strerror}; `ecg-monitor config` prints such a file"
        ) from error
    if len(content) > MAX_BYTES:
        raise InvalidOption(f"it has more than {MAX_BYTES} bytes, so it is no file of options")
    try:
        return tomllib.loads(unmarked(content).decode())
    except (ValueError, RecursionError) as error:  # no TOML, or no UTF-8
        raise InvalidOption(f"{error}; `ecg-monitor config` prints such a file") from error


def _defaults(tables: Values, common: Values, group: Command, above: tuple[str, ...]) -> Values:
    """Return a group's default map: what goes to every command, and each one's table."""
    for name in tables:
        if name not in group.commands:
            raise InvalidOption(f"[{'.'.join((*above, name))}] {_unknown(name, group.commands)}")
    defaults: Values = {}
    for name, command in group.commands.items():
        table, path = tables.get(name, {}), (*above, name)
        if not isinstance(table, dict):
            raise InvalidOption(f"{'.'.join(path)} is a command; give a table, [{'.'.join(path)}]")
        if isinstance(command, TyperGroup):
            defaults[name] = _defaults(table, common, command, path)
        else:
            defaults[name] = _of_command(command, common, table, path)
    return defaults


def _of_command(command: Command, common: Values, table: Values, path: tuple[str, ...]) -> Values:
    options = _options(command)
    for name in table:
        if name not in options:
            raise InvalidOption(f"[{'.'.join(path)}] {name} {_unknown(name, options, 'option')}")
    values = {**{name: value for name, value in common.items() if name in options}, **table}
    for name, value in values.items():
        _check(name, value, options[name], path)
    return {options[name].name: _listed(value, options[name]) for name, value in values.items()}


def _listed(value: object, option: Command) -> object:
    """Return the value as a list where the option may be given several times."""
    return [value] if option.multiple and not isinstance(value, list) else value


def _check(name: str, value: object, option: Command, command: tuple[str, ...]) -> None:
    """Refuse a value that no command line could give."""
    many = isinstance(value, list)
    parts = value if isinstance(value, list) else [value]
    is_flag = bool(option.is_flag)
    fits = all(isinstance(one, bool) == is_flag for one in parts)
    fits = fits and all(isinstance(one, (str, int, float)) for one in parts)
    if not fits or (many and not option.multiple):
        wanted = "true or false" if is_flag else "a text or a number"
        wanted += ", or a list of them" if option.multiple else ""
        raise InvalidOption(
            f"[{'.'.join(command)}] {name} is {harmless(json.dumps(value, default=str), 60)}; "
            f"give {wanted}"
        )


def _options(command: Command) -> dict[str, Command]:
    """Return a command's options by their long names without dashes; one may have several."""
    return {
        name.removeprefix("--"): one
        for one in command.params
        if one.param_type_name == "option" and one.name != "help"
        for name in one.opts
        if name.startswith("--")
    }


def _commands(group: Command, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Command]]:
    """Yield the commands of a group that have options, with their names."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from _commands(command, (*above, name))
        elif _options(command):
            yield (*above, name), command


def _unknown(name: str, known: Mapping[str, object] | set[str], kind: str = "command") -> str:
    near = get_close_matches(name, known, 1)
    return f"is no {kind}" + (f"; did you mean {near[0]}?" if near else "; see `--help`")


@settings.command(
    name="config",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
def show_config(
    context: typer.Context,
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="COMMAND",
            help="A command, then options as they would be given to it. Default: all commands.",
        ),
    ] = None,
) -> None:
    """Print the options in force, and where each value comes from.

    For whoever runs the monitor as a service: the output is a file for `ecg-monitor --config FILE`.

    \b
    Try: ecg-monitor config replay --learn 5:00 > monitor.toml
         ecg-monitor --config monitor.toml config replay
    """
    with explained():
        root: Command = context.find_root()
        for line in _lines(root, command or []):
            typer.echo(line)


def _lines(root: Command, arguments: list[str]) -> Iterator[str]:
    if not arguments:
        for name, command in _commands(root.command, ()):
            yield from _table(root, name, command, [])
        return
    group, name = root.command, tuple[str, ...]()
    while arguments and isinstance(group, TyperGroup):
        if arguments[0] not in group.commands:
            raise InvalidOption(f"{arguments[0]} {_unknown(arguments[0], group.commands)}")
        group, name, arguments = group.commands[arguments[0]], (*name, arguments[0]), arguments[1:]
    if not isinstance(group, TyperGroup):
        yield from _table(root, name, group, arguments)
        return
    for below, command in _commands(group, name):
        yield from _table(root, below, command, [])


def _table(
    root: Command, name: tuple[str, ...], command: Command, arguments: list[str]
) -> Iterator[str]:
    """Yield the lines of one command's table."""
    parent = root
    for part in name[:-1]:
        parent = type(root)(parent.command.commands[part], parent, part)
    # Nothing is run, asked for or refused as missing.
    parsed = command.make_context(name[-1], list(arguments), parent, resilient_parsing=True)
    yield f"[{'.'.join(name)}]"
    last_names = {id(one): option for option, one in _options(command).items()}
    for option, one in _options(command).items():
        if last_names[id(one)] != option:
            continue
        value = parsed.params.get(one.name)
        source = parsed.get_parameter_source(one.name)
        said = {
            "DEFAULT_MAP": "from the file",
            "COMMANDLINE": "from the command line",
            "ENVIRONMENT": "from the environment",
        }
        where = said.get("" if source is None else source.name, "default")
        if value is None or value == ():
            yield f"# {option} is not set".ljust(33) + f" # {where}"
        else:
            yield f"{option} = {_toml(value)}".ljust(33) + f" # {where}"
    yield ""


def _toml(value: object) -> str:
    """Return a value as TOML writes it: JSON does, for texts, numbers, truths and lists of them."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value if isinstance(value, (bool, int, float, str)) else str(value))
