#!/usr/bin/env bash
# mosquitto 2.0 with paho-mqtt 2.2.0: a publish that the broker denies and throws away counts as published.
#
# A client may connect, and may not publish to one topic (acl_file). It publishes there with QoS 1 and waits.
# Guess before the run: with MQTT 3.1.1 the broker acknowledges, since the protocol has no other answer
# (MQTT-3.3.5-2 lets it close the connection instead); with MQTT 5 `wait_for_publish` raises.
# Seen:
#   MQTT 3.1.1: acknowledged with Success; nobody receives the message, and the connection stays.
#   MQTT 5: `wait_for_publish` returns, `is_published()` is true and `rc` is 0 all the same. Only the
#     `on_publish` callback is told, by its reason code 135 (Not authorized).
#
# Why it matters for ECG streams: a gateway whose rights are wrong by one line, or were narrowed after it
# was set up, reports each alarm as delivered and delivers none. Use MQTT 5, and wait for the reason code of
# `on_publish`, not for `wait_for_publish`.
#
# Needs `mosquitto` on the PATH or in /usr/sbin.
set -euo pipefail
PATH=$PATH:/usr/sbin
folder=$(mktemp -d)
trap 'kill "${broker:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip --disable-pip-version-check install --quiet paho-mqtt==2.2.0
port=$(venv/bin/python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'topic readwrite ward/open\ntopic read ward/shut\n' >acl
printf 'user root\nlistener %s 127.0.0.1\nallow_anonymous true\nacl_file %s\n' "$port" "$folder/acl" >conf
mosquitto -c conf 2>log &
broker=$!
cat >look.py <<'PY'
import queue, sys, time
import paho.mqtt.client as mqtt

port = int(sys.argv[1])
heard = queue.Queue()


def connected(protocol, **callbacks):
    up = queue.Queue()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=protocol)
    client.on_connect = lambda *given: up.put(given)
    for name, call in callbacks.items():
        setattr(client, name, call)
    for _ in range(100):
        try:
            client.connect("127.0.0.1", port)
            break
        except OSError:
            time.sleep(0.1)
    client.loop_start()
    up.get(timeout=10)
    return client


subscribed = queue.Queue()
reader = connected(
    mqtt.MQTTv5,
    on_subscribe=lambda *given: subscribed.put(given),
    on_message=lambda client, data, message: heard.put(message.payload),
)
reader.subscribe("ward/#", 1)
subscribed.get(timeout=10)
for protocol, name in ((mqtt.MQTTv311, "3.1.1"), (mqtt.MQTTv5, "5")):
    reasons = {}
    acked = queue.Queue()

    def on_publish(client, data, number, reason, properties):
        reasons[number] = reason
        acked.put(number)

    client = connected(protocol, on_publish=on_publish)
    denied = client.publish("ward/shut", b"ASYSTOLE", qos=1)
    denied.wait_for_publish(10)
    acked.get(timeout=10)
    taken = client.publish("ward/open", b"end", qos=1)
    acked.get(timeout=10)
    received = heard.get(timeout=10)
    print(
        f"MQTT {name}: is_published {denied.is_published()}, rc {int(denied.rc)}, on_publish says "
        f"{reasons[denied.mid]} ({reasons[denied.mid].value}); the reader received {received!r}"
    )
    assert denied.is_published() and denied.rc == 0, "a denied publish is no longer called published"
    assert received == b"end", "the denied message was delivered"
    assert client.is_connected(), "the broker ends the connection now"
    assert reasons[denied.mid].value == (0 if name == "3.1.1" else 135), "the reason is another now"
    client.disconnect()
    client.loop_stop()
reader.disconnect()
reader.loop_stop()
PY
mosquitto -h | sed -n 1p || true  # it ends with 3
venv/bin/python look.py "$port"
