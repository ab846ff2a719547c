"""SQLite files as someone else would write them, for tests."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def execute(path: Path, *statements: str) -> None:
    """Run statements on a file and close it."""
    with closing(sqlite3.connect(path)) as database, database:
        for statement in statements:
            database.execute(statement)
