#!/usr/bin/env bash
# Python 3.11, sqlite3: a damaged database may raise UnicodeDecodeError, which is no sqlite3.Error.
#
# A database of one table loses a byte in the text of its schema. Guess before the run: sqlite3.DatabaseError, as of any
# damage.
# Seen:
#   SQLite reports "malformed database schema (<name>)" and quotes the damaged name. sqlite3 makes a str of that message
#   before it raises; where the byte is no UTF-8, that fails first: `UnicodeDecodeError: 'utf-8' codec can't decode byte
#   0xff`. Of 600 journals with 1 to 100 random bytes changed, half of the changes in the first pages, 60 raised it.
#
# Why it matters for ECG streams: who keeps alerts or samples in SQLite and catches `sqlite3.Error` alone ends with a
# traceback on a file that a broken disk or a cut copy left, when it has to say which file is damaged.
set -euo pipefail
"${PYTHON:-python3}" - <<'PY'
import sqlite3
import sys
import tempfile
from pathlib import Path

print("Python", sys.version.split()[0], "SQLite", sqlite3.sqlite_version)
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "alerts.sqlite"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE alerts (seq INTEGER)")
    database.close()
    whole = path.read_bytes()
    for byte, expected in ((b"\xff", UnicodeDecodeError), (b"x", sqlite3.DatabaseError)):
        path.write_bytes(whole.replace(b"tablealertsalerts", b"tablealert" + byte + byte + b"lerts"))
        try:
            sqlite3.connect(path).execute("SELECT seq FROM alerts")
            raise SystemExit(f"{byte!r}: nothing was raised")
        except (sqlite3.Error, UnicodeDecodeError) as error:
            print(f"{byte!r}: {type(error).__name__}: {error}")
            assert isinstance(error, expected), f"{expected.__name__} was expected: this has changed"
PY
echo "as described"
