"""Asks a node for all that its OpenAPI description promises, with schemathesis.

usage: http_api.py TCP_ADDRESS CONTROL_SOCKET EXAMPLES

Over TCP what is described there, which is read only, over the socket (behind a port that is forwarded to it) everything. Streams without end are left
out. Says nothing and ends with 0 if every answer was as described.
"""

import pathlib
import socket
import subprocess
import sys
import tempfile
import threading

CONFIGURATION = str(pathlib.Path(__file__).with_name("schemathesis.toml"))
# Streams end with whoever reads them.
ENDLESS = "/(events|logs)$"
# Bounds of size, depth and number hold together and cannot be said in a schema; `where` is a language of its own.
CHECKS_LEFT_OUT = "positive_data_acceptance"


def forward(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
    for end in (source, target):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def serve(listener, path):
    while True:
        accepted, _ = listener.accept()
        inner = socket.socket(socket.AF_UNIX)
        inner.connect(path)
        for pair in ((accepted, inner), (inner, accepted)):
            threading.Thread(target=forward, args=pair, daemon=True).start()


def check(address, examples):
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", CONFIGURATION, "run", f"http://{address}/v1/openapi.json",
        "--max-examples", examples, "--exclude-path-regex", ENDLESS, "--exclude-checks", CHECKS_LEFT_OUT,
        "--generation-database", "none", "--seed", "1", "--phases", "examples,coverage,fuzzing", "--request-timeout", "30",
        "--no-color",
    ]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    print(done.stdout[-20000:], done.stderr[-4000:], sep="\n")
    return done.returncode


def main():
    tcp, control, examples = sys.argv[1:]
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve, args=(listener, control), daemon=True).start()
    over_socket = "127.0.0.1:%d" % listener.getsockname()[1]
    sys.exit(max(check(tcp, examples), check(over_socket, examples)))


main()
