"""A repository that changes, made by python-tuf and served over HTTP, and a client of the TUF conformance protocol for it."""

import datetime
import http.server
import pathlib
import subprocess
import threading
import urllib.parse

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole, Delegations, Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp,
)

TOP_LEVEL = ["targets", "snapshot", "timestamp", "root"]


def in_days(days):
    return datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) + datetime.timedelta(days=days)


class Repository:
    """A repository that changes, and what was asked of it."""

    def __init__(self):
        self.requests, self.artifacts, self.history, self.hashes = [], {}, {}, False
        self.signers = {role: [CryptoSigner.generate_ed25519()] for role in TOP_LEVEL}
        self.md = {
            "targets": Metadata(Targets(expires=in_days(30))),
            "snapshot": Metadata(Snapshot(expires=in_days(30))),
            "timestamp": Metadata(Timestamp(expires=in_days(30))),
            "root": Metadata(Root(expires=in_days(30), consistent_snapshot=True)),
        }
        for role in TOP_LEVEL:
            self.root.add_key(self.signers[role][0].public_key, role)
        self.publish(*TOP_LEVEL)

    root = property(lambda self: self.md["root"].signed)
    timestamp = property(lambda self: self.md["timestamp"].signed)
    snapshot = property(lambda self: self.md["snapshot"].signed)
    targets = property(lambda self: self.md["targets"].signed)

    def publish(self, *roles, bump=True):
        for role in roles:
            md = self.md[role]
            # What was never published is version 1 already.
            md.signed.version += bump and role in self.history
            md.signatures.clear()
            for signer in self.signers[role]:
                md.sign(signer, append=True)
            self.history.setdefault(role, {})[md.signed.version] = md.to_bytes()
            self.history[role]["latest"] = self.history[role][md.signed.version]

    def meta(self, role):
        data = self.history[role]["latest"]
        version = Metadata.from_bytes(data).signed.version
        meta = MetaFile.from_data(version, data, ["sha256"]) if self.hashes else MetaFile(version)
        return meta

    def update_timestamp(self):
        self.timestamp.snapshot_meta = self.meta("snapshot")
        self.publish("timestamp")

    def update_snapshot(self):
        for role in self.history:
            if role not in ("root", "snapshot", "timestamp"):
                self.snapshot.meta[f"{role}.json"] = self.meta(role)
        self.publish("snapshot")
        self.update_timestamp()

    def rotate(self, role):
        for keyid in list(self.root.roles[role].keyids):
            self.root.revoke_key(keyid, role)
        self.signers[role] = [CryptoSigner.generate_ed25519()]
        self.root.add_key(self.signers[role][0].public_key, role)

    def add_artifact(self, role, data, path):
        target = TargetFile.from_data(path, data, ["sha256"])
        self.md[role].signed.targets[path] = target
        folder, slash, name = path.rpartition("/")
        self.artifacts[f"{folder}{slash}{target.hashes['sha256']}.{name}"] = data

    def release(self, data, path, role="targets"):
        self.add_artifact(role, data, path)
        self.publish(role)
        self.update_snapshot()

    def delegate(self, delegator, role, paths=("*",), terminating=False):
        signed = self.md[delegator].signed
        if signed.delegations is None:
            signed.delegations = Delegations({}, {})
        signed.delegations.roles[role] = DelegatedRole(role, [], 1, terminating, list(paths))
        if role not in self.md:
            self.md[role] = Metadata(Targets(expires=in_days(30)))
            self.signers[role] = [CryptoSigner.generate_ed25519()]
        signed.add_key(self.signers[role][0].public_key, role)

    def publish_all_targets(self):
        self.publish(*[role for role in self.md if role not in ("root", "snapshot", "timestamp")])
        self.update_snapshot()

    def answer(self, path):
        kind, _, name = path.lstrip("/").partition("/")
        if kind == "targets":
            return self.artifacts.get(urllib.parse.unquote(name))
        name = name.removesuffix(".json")
        version, _, role = name.partition(".")
        if name == "timestamp":
            version, role = "latest", "timestamp"
        self.requests.append((role, version))
        versions = self.history.get(urllib.parse.unquote(role), {})
        return versions.get(version if version == "latest" else int(version))


class Case:
    """A repository, a server for it, and a client."""

    def __init__(self, program, folder):
        self.program, self.folder, self.repo = program, pathlib.Path(folder), Repository()
        repo = self.repo

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = repo.answer(self.path)
                self.send_response(200 if body is not None else 404)
                self.send_header("content-length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.said = ""

    def run(self, *arguments):
        done = subprocess.run(
            [self.program, "--metadata-dir", self.folder / "metadata", *arguments], capture_output=True, text=True
        )
        self.said = done.stderr.strip()
        return done.returncode

    def init(self, root=None):
        path = self.folder / "root.json"
        path.write_bytes(root or self.repo.history["root"][1])
        return self.run("init", path)

    def refresh(self):
        return self.run("--metadata-url", f"{self.url}/metadata", "refresh")

    def download(self, name):
        return self.run(
            "--metadata-url", f"{self.url}/metadata", "--target-name", name,
            "--target-base-url", f"{self.url}/targets", "--target-dir", self.folder / "targets", "download",
        )

    def downloaded(self):
        folder = self.folder / "targets"
        return sorted(path.read_bytes() for path in folder.iterdir()) if folder.exists() else []

    def version(self, role):
        path = self.folder / "metadata" / f"{role}.json"
        return Metadata.from_file(str(path)).signed.version if path.exists() else None

    def versions(self):
        return [self.version(role) for role in ("root", "timestamp", "snapshot", "targets")]
