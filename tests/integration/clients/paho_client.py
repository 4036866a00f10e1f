"""Drives paho-mqtt: one JSON command a line on standard input, one JSON answer a line on standard output.

The commands are described in tests/src/client.rs. Several clients, told apart by "as", live in one process.
"""

import json
import queue
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

# Longest wait for an acknowledgement, in seconds; a slow machine is no failure, silence is.
ANSWER_TIMEOUT_S = 30


class Session:
    def __init__(self, command):
        self.version = command["version"]
        self.messages = queue.Queue()
        self.connected = queue.Queue()
        self.acknowledged = queue.Queue()
        self.closed = threading.Event()
        self.close_reason = None
        arguments = {
            "callback_api_version": mqtt.CallbackAPIVersion.VERSION2,
            "client_id": command["client_id"],
            "protocol": mqtt.MQTTv5 if self.version == 5 else mqtt.MQTTv311,
            "transport": "websockets" if command["transport"] == "ws" else "tcp",
            "reconnect_on_failure": False,
        }
        if self.version == 4:
            arguments["clean_session"] = command["clean_start"]
        self.client = mqtt.Client(**arguments)
        self.client.on_connect = lambda _c, _u, flags, code, properties: self.connected.put((flags, code))
        self.client.on_message = lambda _c, _u, message: self.messages.put(message)
        self.client.on_subscribe = lambda _c, _u, _mid, codes, properties: self.acknowledged.put(codes)
        self.client.on_unsubscribe = lambda _c, _u, _mid, codes, properties: self.acknowledged.put(codes)
        self.client.on_disconnect = self.on_disconnect
        if self.client.transport == "websockets":
            self.client.ws_set_options(path="/mqtt")
        will = command.get("will")
        if will:
            self.client.will_set(will["topic"], bytes.fromhex(will["payload"]), will["qos"], will["retain"])
        connect = {"keepalive": 60}
        if self.version == 5:
            connect["clean_start"] = command["clean_start"]
            properties = Properties(PacketTypes.CONNECT)
            if command.get("session_expiry_s") is not None:
                properties.SessionExpiryInterval = command["session_expiry_s"]
            connect["properties"] = properties
        self.client.connect(command["host"], command["port"], **connect)
        self.client.loop_start()

    def on_disconnect(self, _client, _userdata, flags, code, _properties):
        self.close_reason = code.value if flags.is_disconnect_packet_from_server else None
        self.closed.set()


sessions = {}


def connect(command):
    session = Session(command)
    sessions[command["as"]] = session
    flags, code = session.connected.get(timeout=ANSWER_TIMEOUT_S)
    return {"session_present": bool(flags.session_present), "reason_code": code.value}


def subscribe(command):
    session = sessions[command["as"]]
    properties = None
    if session.version == 5:
        filters = [
            (
                wanted["filter"],
                SubscribeOptions(
                    wanted["qos"],
                    noLocal=wanted["no_local"],
                    retainAsPublished=wanted["retain_as_published"],
                    retainHandling=wanted["retain_handling"],
                ),
            )
            for wanted in command["filters"]
        ]
        if command.get("subscription_id") is not None:
            properties = Properties(PacketTypes.SUBSCRIBE)
            properties.SubscriptionIdentifier = command["subscription_id"]
    else:
        filters = [(wanted["filter"], wanted["qos"]) for wanted in command["filters"]]
    session.client.subscribe(filters, properties=properties)
    codes = session.acknowledged.get(timeout=ANSWER_TIMEOUT_S)
    return {"reason_codes": [code.value for code in codes]}


def unsubscribe(command):
    session = sessions[command["as"]]
    session.client.unsubscribe(command["filter"])
    session.acknowledged.get(timeout=ANSWER_TIMEOUT_S)
    return {}


def publish(command):
    session = sessions[command["as"]]
    properties = None
    if session.version == 5:
        properties = Properties(PacketTypes.PUBLISH)
        wanted = command["properties"]
        if wanted.get("user_properties"):
            properties.UserProperty = [tuple(pair) for pair in wanted["user_properties"]]
        if wanted.get("response_topic") is not None:
            properties.ResponseTopic = wanted["response_topic"]
        if wanted.get("correlation_data") is not None:
            properties.CorrelationData = bytes.fromhex(wanted["correlation_data"])
        if wanted.get("content_type") is not None:
            properties.ContentType = wanted["content_type"]
        if wanted.get("message_expiry_s") is not None:
            properties.MessageExpiryInterval = wanted["message_expiry_s"]
        if wanted.get("payload_format") is not None:
            properties.PayloadFormatIndicator = wanted["payload_format"]
    sent = session.client.publish(
        command["topic"], bytes.fromhex(command["payload"]), command["qos"], command["retain"], properties
    )
    sent.wait_for_publish(ANSWER_TIMEOUT_S)
    if not sent.is_published():
        raise RuntimeError(f"no acknowledgement of the publication within {ANSWER_TIMEOUT_S} s")
    return {}


def receive(command):
    try:
        message = sessions[command["as"]].messages.get(timeout=command["timeout_ms"] / 1000)
    except queue.Empty:
        return {"message": None}
    properties = message.properties
    correlation = getattr(properties, "CorrelationData", None)
    return {
        "message": {
            "topic": message.topic,
            "payload": message.payload.hex(),
            "qos": message.qos,
            "retain": bool(message.retain),
            "properties": {
                "user_properties": [list(pair) for pair in getattr(properties, "UserProperty", [])],
                "response_topic": getattr(properties, "ResponseTopic", None),
                "correlation_data": correlation.hex() if correlation is not None else None,
                "content_type": getattr(properties, "ContentType", None),
                "message_expiry_s": getattr(properties, "MessageExpiryInterval", None),
                "payload_format": getattr(properties, "PayloadFormatIndicator", None),
            },
            "subscription_ids": getattr(properties, "SubscriptionIdentifier", []),
        }
    }


def disconnect(command):
    session = sessions.pop(command["as"])
    session.client.disconnect()
    if not session.closed.wait(ANSWER_TIMEOUT_S):
        raise RuntimeError("the connection did not end after DISCONNECT")
    session.client.loop_stop()
    return {}


def kill(command):
    """Ends the connection without DISCONNECT."""
    session = sessions.pop(command["as"])
    socket = session.client.socket()
    getattr(socket, "_socket", socket).shutdown(2)
    if not session.closed.wait(ANSWER_TIMEOUT_S):
        raise RuntimeError("the connection did not end after its socket was shut down")
    return {}


def closed(command):
    session = sessions[command["as"]]
    if not session.closed.wait(command["timeout_ms"] / 1000):
        return {"closed": False, "reason_code": None}
    return {"closed": True, "reason_code": session.close_reason}


OPERATIONS = {
    "connect": connect,
    "subscribe": subscribe,
    "unsubscribe": unsubscribe,
    "publish": publish,
    "receive": receive,
    "disconnect": disconnect,
    "kill": kill,
    "closed": closed,
}

for line in sys.stdin:
    try:
        command = json.loads(line)
        answer = OPERATIONS[command["op"]](command)
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
