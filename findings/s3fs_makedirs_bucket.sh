#!/usr/bin/env bash
# s3fs 2026.9.0: `makedirs` of a folder in a bucket that does not exist makes the bucket.
#
# Programs make their output folder before they write, `fs.makedirs(path, exist_ok=True)`, on any file system. What the call
# is for would be nothing, since folders are only names there, or an error that there is no such bucket. Guess before the
# run, from the source: a new bucket. Seen: a bucket of the first part's name is made, as the account makes them. `pipe_file` into a bucket that is
# not there is the error that one expects (FileNotFoundError).
#
# Why it matters for ECG streams: a mistyped `--out` would put patients' annotations into a new bucket, that nobody set up,
# encrypts, watches or deletes. Do not make folders on object stores: write, and say that there is no such bucket.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip --disable-pip-version-check install --quiet s3fs==2026.9.0 localbucket==1.2.1
mkdir -p buckets/archive
port=$(venv/bin/python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
venv/bin/python -m localbucket buckets --port "$port" >log 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
venv/bin/python - "$port" <<'PY'
import os
import socket
import sys
import time

import s3fs

port = int(sys.argv[1])
for _ in range(100):
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            break
    time.sleep(0.1)
print("s3fs", s3fs.__version__)
fs = s3fs.S3FileSystem(key="k", secret="s", endpoint_url=f"http://127.0.0.1:{port}")
try:
    fs.pipe_file("mistyped/found/100.qrs", b"beats")
    raise SystemExit("a file can be written into a bucket that is not there")
except FileNotFoundError as error:
    print("pipe_file:", error)
assert os.listdir("buckets") == ["archive"], os.listdir("buckets")
fs.makedirs("mistyped/found", exist_ok=True)
print("buckets after makedirs('mistyped/found'):", sorted(os.listdir("buckets")))
assert "mistyped" in os.listdir("buckets")
PY
echo "as described"
