"""Write the JSON Schema of every message to and from the world, from its type in `monitor/wire`.

    python -m tools.schemas            # writes docs/schema/<type>.json
    python -m tools.schemas --check    # writes nothing; exit code 1 if a file is stale

The comment beside a field in `messages.py` becomes the field's description.
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec

from monitor.wire import messages as wire
from monitor.wire import pushed_samples

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "schema"
DIALECT = "https://json-schema.org/draft/2020-12/schema"  # what msgspec writes

_COMMENTED_FIELD = re.compile(r"^    (\w+): [^#\n]+  # (.+)$", re.MULTILINE)


def schemas() -> dict[str, str]:
    """Return the text of each schema by the `type` of its messages."""
    structs = (*get_args(wire.Message), pushed_samples.PushedSamples)
    return {_tag(struct): _text(schema_of(struct)) for struct in structs}


def schema_of(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the schema of one message type, its fields described."""
    schema = msgspec.json.schema(struct)
    for name, definition in schema["$defs"].items():
        comments = field_comments(getattr(sys.modules[struct.__module__], name))
        for field, described in definition["properties"].items():
            if field in comments:
                described["description"] = comments[field]
    return {"$schema": DIALECT, **schema}


def field_comments(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Return the comments beside the fields of a type and of those it extends."""
    comments: dict[str, str] = {}
    for base in reversed(struct.__mro__):
        if base.__module__.startswith("monitor.wire."):
            comments |= dict(_COMMENTED_FIELD.findall(inspect.getsource(base)))
    return comments


def stale(folder: Path) -> list[str]:
    """Return the names of the files that are missing, superfluous or not as the types say."""
    wanted = {f"{name}.json": text for name, text in schemas().items()}
    present = {file.name: file.read_text() for file in folder.glob("*.json")}
    return sorted(
        name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name)
    )


def _tag(struct: type[msgspec.Struct]) -> str:
    return str(struct.__struct_config__.tag)


def _text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.schemas", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say which files are stale")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="default: docs/schema")
    options = parser.parse_args(arguments)
    names = stale(options.folder)
    if options.check:
        for name in names:
            sys.stderr.write(f"{name} is stale; run python -m tools.schemas\n")
        return 1 if names else 0
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, text in schemas().items():
        (options.folder / f"{name}.json").write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
