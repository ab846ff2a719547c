#!/usr/bin/env bash
# fsspec 2026.9.0, http(s): a server that fails has "no such file", and a file that changed has the same `ukey`.
#
# `info` asks with HEAD, then with GET, and turns whatever goes wrong in the second into FileNotFoundError; `exists` says
# False. `ukey` is documented as a hash of properties "to tell if it has changed". Guess before the run: 503 and 403 are
# errors of their own (HTTPStatusError, PermissionError), only 404 is FileNotFoundError; `ukey` follows the ETag. Seen: 403,
# 500, 503 and a closed port are all FileNotFoundError, with the real reason in `__cause__` alone; `exists` is False;
# `ukey` of a file that has another ETag, date and length is the one of before, since it is made of the URL.
#
# Why it matters for ECG streams: records have a file for each lead or segment, and readers leave out what is not there. A
# server that is busy for a moment takes a lead, or an hour, out of a patient's record without a word. And a run that passes
# over what it did by `ukey` never sees that a record was corrected. Look at `__cause__`; make a digest of size, ETag and
# Last-Modified from `info`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip --disable-pip-version-check install --quiet fsspec==2026.9.0 aiohttp==3.14.5
venv/bin/python - <<'PY'
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import fsspec

print("fsspec", fsspec.__version__)
state = {"status": 200, "tag": '"1"', "length": 10}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(state["status"])
        self.send_header("ETag", state["tag"])
        self.send_header("Content-Length", str(state["length"]))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(b"x" * state["length"])

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_address[1]}/100.dat"
fs = fsspec.filesystem("http")
before, info_before = fs.ukey(url), fs.info(url)
state |= {"tag": '"2"', "length": 20}
after, info_after = fs.ukey(url), fs.info(url)
print("info of a file that changed:", info_before["ETag"], info_before["size"], "->", info_after["ETag"], info_after["size"])
print("its ukey is the same:", before == after)
assert before == after
assert (info_before["ETag"], info_before["size"]) != (info_after["ETag"], info_after["size"])
for status in (403, 500, 503, 404):
    state["status"] = status
    try:
        fs.info(url)
        raise SystemExit(f"{status} is no error")
    except FileNotFoundError as error:
        cause = error.__cause__
        print(f"{status}: FileNotFoundError; its cause is {type(cause).__name__}", getattr(cause, "status", ""))
        assert status == 404 or getattr(cause, "status", None) == status
    assert not fs.exists(url)
server.shutdown()
server.server_close()
try:
    fs.info(url)
    raise SystemExit("a closed port is no error")
except FileNotFoundError as error:
    print("a closed port: FileNotFoundError; its cause is", type(error.__cause__).__name__)
    assert isinstance(error.__cause__, OSError)
PY
echo "as described"
