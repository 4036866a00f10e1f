"""One paho-mqtt session with a login, over any transport: subscribes, then says what happens, one JSON object a line.

The only argument is JSON: host, port, transport (tcp, ws), client_id, version (4, 5), filters; perhaps username, password,
ca, cert, key.
"""

import json
import sys

import paho.mqtt.client as mqtt


def say(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)


def main():
    wanted = json.loads(sys.argv[1])
    arguments = {
        "callback_api_version": mqtt.CallbackAPIVersion.VERSION2,
        "client_id": wanted["client_id"],
        "protocol": mqtt.MQTTv5 if wanted["version"] == 5 else mqtt.MQTTv311,
        "transport": "websockets" if wanted["transport"] == "ws" else "tcp",
        "reconnect_on_failure": False,
    }
    client = mqtt.Client(**arguments)
    if wanted.get("username") is not None:
        client.username_pw_set(wanted["username"], wanted.get("password"))
    if wanted.get("ca"):
        client.tls_set(ca_certs=wanted["ca"], certfile=wanted.get("cert"), keyfile=wanted.get("key"))
    if client.transport == "websockets":
        client.ws_set_options(path="/mqtt")

    def on_connect(_client, _userdata, _flags, code, _properties):
        say("connected", code=code.value)
        if not code.is_failure and wanted["filters"]:
            client.subscribe([(filter, 1) for filter in wanted["filters"]])

    def on_subscribe(_client, _userdata, _mid, codes, _properties):
        say("subscribed", codes=[code.value for code in codes])

    def on_message(_client, _userdata, message):
        say("message", topic=message.topic, payload=message.payload.decode())

    def on_disconnect(_client, _userdata, flags, code, _properties):
        say("disconnected", code=code.value if flags.is_disconnect_packet_from_server else None)
        client.disconnect()

    client.on_connect = on_connect
    client.on_subscribe = on_subscribe
    client.on_message = on_message
    client.on_disconnect = on_disconnect
    try:
        client.connect(wanted["host"], wanted["port"])
    except OSError as error:
        say("failed", why=str(error))
        return
    try:
        client.loop_forever()
    except OSError as error:
        say("failed", why=str(error))


main()
