"""Drives mosquitto_pub and mosquitto_sub: one JSON command a line on standard input, one JSON answer a line on
standard output.

The commands are described in tests/src/client.rs. A client is a mosquitto_sub process, started by its only
"subscribe"; every "publish" is a mosquitto_pub process. What the two programs have no flag for is not offered.
"""

import json
import queue
import signal
import subprocess
import sys
import threading

# Longest wait for an acknowledgement, in seconds; a slow machine is no failure, silence is.
ANSWER_TIMEOUT_S = 30
FIELDS = {
    "topic": "%t",
    "qos": "%q",
    "retain": "%r",
    "content_type": "%C",
    "correlation_data": "%D",
    "response_topic": "%R",
    "user_properties": "%P",
    "subscription_ids": "%S",
    "message_expiry_s": "%E",
    "payload_format": "%F",
    "payload": "%x",
}


class Session:
    def __init__(self, command):
        self.connect = command
        self.messages = queue.Queue()
        self.subscribed = queue.Queue()
        self.process = None
        self.exit = threading.Event()

    def target(self):
        version = "mqttv5" if self.connect["version"] == 5 else "mqttv311"
        return ["-h", self.connect["host"], "-p", str(self.connect["port"]), "-V", version]

    def start(self, filters, subscription_id):
        words = ["stdbuf", "-oL", "mosquitto_sub", "-d", *self.target(), "-i", self.connect["client_id"]]
        if not self.connect["clean_start"]:
            words.append("-c")
        if self.connect.get("session_expiry_s") is not None and self.connect["version"] == 5:
            words += ["-x", str(self.connect["session_expiry_s"])]
        will = self.connect.get("will")
        if will:
            payload = bytes.fromhex(will["payload"]).decode()
            words += ["--will-topic", will["topic"], "--will-payload", payload, "--will-qos", str(will["qos"])]
            if will["retain"]:
                words.append("--will-retain")
        if subscription_id is not None:
            words += ["-D", "subscribe", "subscription-identifier", str(subscription_id)]
        for wanted in filters:
            words += ["-t", wanted["filter"], "-q", str(wanted["qos"])]
            if wanted["retain_as_published"]:
                words.append("--retain-as-published")
        words += ["-F", "message\t" + "\t".join(FIELDS.values())]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        said = []
        for line in self.process.stdout:
            line = line.rstrip("\n")
            if line.startswith("message\t"):
                self.messages.put(line.split("\t")[1:])
            elif line.startswith("Subscribed (mid: "):
                self.subscribed.put([int(code) for code in line.split("): ")[1].split(", ")])
            else:
                said.append(line)
        self.subscribed.put(said)
        self.exit.set()


sessions = {}


def connect(command):
    sessions[command["as"]] = Session(command)
    return {"session_present": False, "reason_code": 0}


def subscribe(command):
    session = sessions[command["as"]]
    session.start(command["filters"], command.get("subscription_id"))
    codes = session.subscribed.get(timeout=ANSWER_TIMEOUT_S)
    if not all(isinstance(code, int) for code in codes):
        raise RuntimeError("mosquitto_sub ended: " + " / ".join(codes))
    return {"reason_codes": codes}


def publish(command):
    words = ["mosquitto_pub", *sessions[command["as"]].target()]
    words += ["-t", command["topic"], "-q", str(command["qos"])]
    if command["retain"]:
        words.append("-r")
    wanted = command["properties"]
    for name, key in [
        ("response-topic", "response_topic"),
        ("content-type", "content_type"),
        ("message-expiry-interval", "message_expiry_s"),
        ("payload-format-indicator", "payload_format"),
    ]:
        if wanted.get(key) is not None:
            words += ["-D", "publish", name, str(wanted[key])]
    if wanted.get("correlation_data") is not None:
        words += ["-D", "publish", "correlation-data", bytes.fromhex(wanted["correlation_data"]).decode()]
    for key, value in wanted.get("user_properties") or []:
        words += ["-D", "publish", "user-property", key, value]
    payload = bytes.fromhex(command["payload"])
    words += ["-s"] if payload else ["-n"]
    result = subprocess.run(words, input=payload, capture_output=True, timeout=ANSWER_TIMEOUT_S)
    if result.returncode != 0:
        raise RuntimeError(f"mosquitto_pub ended with {result.returncode}: {result.stderr.decode()}")
    return {}


def receive(command):
    try:
        values = sessions[command["as"]].messages.get(timeout=command["timeout_ms"] / 1000)
    except queue.Empty:
        return {"message": None}
    fields = dict(zip(FIELDS, values))
    pairs = [pair.split(":", 1) for pair in fields["user_properties"].split(" ") if pair]
    correlation = fields["correlation_data"]
    return {
        "message": {
            "topic": fields["topic"],
            "payload": fields["payload"].lower(),
            "qos": int(fields["qos"]),
            "retain": fields["retain"] == "1",
            "properties": {
                "user_properties": pairs,
                "response_topic": fields["response_topic"] or None,
                "correlation_data": correlation.encode().hex() if correlation else None,
                "content_type": fields["content_type"] or None,
                "message_expiry_s": int(fields["message_expiry_s"]) if fields["message_expiry_s"] else None,
                "payload_format": int(fields["payload_format"]) if fields["payload_format"] else None,
            },
            "subscription_ids": [int(number) for number in fields["subscription_ids"].split() if number],
        }
    }


def end(command, how):
    session = sessions.pop(command["as"])
    if session.process is not None:
        session.process.send_signal(how)
        session.process.wait(ANSWER_TIMEOUT_S)
    return {}


def disconnect(command):
    """mosquitto_sub answers SIGTERM with DISCONNECT."""
    return end(command, signal.SIGTERM)


def kill(command):
    """Ends the connection without DISCONNECT."""
    return end(command, signal.SIGKILL)


def closed(command):
    session = sessions[command["as"]]
    return {"closed": session.exit.wait(command["timeout_ms"] / 1000), "reason_code": None}


OPERATIONS = {
    "connect": connect,
    "subscribe": subscribe,
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

for session in sessions.values():
    if session.process is not None:
        session.process.kill()
