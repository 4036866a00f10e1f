"""What python-tuf makes, and what it says to what is made here.

    python_tuf.py make DIRECTORY              the repositories below tests/fixtures/python_tuf, the same bytes on every run
    python_tuf.py client REPOSITORY CLIENT    one refresh of python-tuf's own client; prints what it believes then
    python_tuf.py match                       lines of JSON [pattern, path] in, true or false out
    python_tuf.py canonical                   lines of JSON in, lines of hex of the canonical form out
    python_tuf.py versions

A repository is a directory with `metadata/` (names as they stand in a URL), `targets/` and `ask.json`, a list of paths.
Needs `pip install tuf securesystemslib[crypto]`.
"""

import importlib.metadata
import json
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import urlparse

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import DownloadHTTPError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer
from tuf.ngclient import Updater
from tuf.ngclient.fetcher import FetcherInterface

EXPIRES = datetime(2099, 1, 1, tzinfo=timezone.utc)
ROLES = ("timestamp", "snapshot", "targets")


def signer(number):
    return CryptoSigner(Ed25519PrivateKey.from_private_bytes(bytes([number] * 32)))


def target(path, content, custom=None):
    entry = TargetFile.from_data(path, content, ["sha256", "sha512"])
    if custom is not None:
        entry.unrecognized_fields["custom"] = custom
    return entry


class Repository:
    """Keys 1, 2, 3 are the root's (two must sign), 11, 12, 13 those of timestamp, snapshot and targets."""

    def __init__(self):
        self.root = Root(expires=EXPIRES, consistent_snapshot=True)
        self.root_signers = [signer(number) for number in (1, 2, 3)]
        self.signers = dict(zip(ROLES, map(signer, (11, 12, 13))))
        for one in self.root_signers:
            self.root.add_key(one.public_key, "root")
        for role, one in self.signers.items():
            self.root.add_key(one.public_key, role)
        self.root.roles["root"].threshold = 2
        self.roots = {}
        self.targets = Targets(expires=EXPIRES)
        self.snapshot = Snapshot(expires=EXPIRES)
        self.timestamp = Timestamp(expires=EXPIRES)
        self.delegated = {}

    def delegate(self, delegator, name, signers, paths, terminating=False, silent=()):
        if delegator.delegations is None:
            delegator.delegations = Delegations({}, roles={})
        keys = [one.public_key for one in (*signers, *silent)]
        role = DelegatedRole(name, [key.keyid for key in keys], 1, terminating, paths=paths)
        delegator.delegations.roles[name] = role
        delegator.delegations.keys.update({key.keyid: key for key in keys})
        self.delegated[name] = (Targets(expires=EXPIRES), signers)
        return self.delegated[name][0]

    def put(self, role, path, content, custom=None):
        role.targets[path] = target(path, content, custom)

    def publish_root(self, *signers):
        metadata = Metadata(self.root)
        for one in signers:
            metadata.sign(one, append=True)
        self.roots[self.root.version] = metadata.to_bytes()

    def files(self):
        """Every file of the repository as it is now, by its name."""
        files = {f"{version}.root.json": data for version, data in self.roots.items()}

        def listed(name, signed, signers):
            metadata = Metadata(signed)
            for one in signers:
                metadata.sign(one, append=True)
            # Laid out for a person, so that the canonical form is not the form of the file.
            data = metadata.to_bytes(JSONSerializer(compact=False))
            files[f"{signed.version}.{name.replace('/', '%2F')}.json"] = data
            return MetaFile.from_data(signed.version, data, ["sha256"])

        for name, (role, signers) in self.delegated.items():
            self.snapshot.meta[f"{name}.json"] = listed(name, role, signers)
        self.snapshot.meta["targets.json"] = listed("targets", self.targets, [self.signers["targets"]])
        self.timestamp.snapshot_meta = listed("snapshot", self.snapshot, [self.signers["snapshot"]])
        metadata = Metadata(self.timestamp)
        metadata.sign(self.signers["timestamp"])
        files["timestamp.json"] = metadata.to_bytes()
        return files

    def rotate(self, role, number):
        self.root.revoke_key(self.signers[role].public_key.keyid, role)
        self.signers[role] = signer(number)
        self.root.add_key(self.signers[role].public_key, role)

    def bump(self, *roles):
        for role in roles:
            role.version += 1


ASK = [
    "daemon/selvedge",
    "functions/scale",
    "functions/extra-one",
    "functions/late",
    "files/a/b",
    "files/deep.txt",
    "files/vendor-one",
    "files/missing",
    "nobody/knows",
]


def stages():
    """Three states of one repository: delegations; rotated keys; recovered versions and a new root key."""
    repository = Repository()
    repository.root.unrecognized_fields["x-comment"] = "é \u0001 \" \\ 😀"
    kind = {"kind": "daemon", "version": "1.0.0", "architecture": "aarch64", "data_format": 1}
    repository.put(repository.targets, "daemon/selvedge", b"daemon 1", {"selvedge": kind})
    ecdsa = CryptoSigner(derive_private_key(7, SECP256R1()))
    functions = repository.delegate(repository.targets, "functions", [signer(21)], ["functions/*"], silent=[ecdsa])
    repository.put(functions, "functions/scale", b"scale 1")
    # Outside of its pattern: nobody is to believe it.
    functions.targets["daemon/selvedge"] = target("daemon/selvedge", b"stolen")
    functions.targets["files/deep.txt"] = target("files/deep.txt", b"stolen")
    contrib = repository.delegate(
        repository.targets, "contrib", [signer(22), signer(23)], ["functions/extra-*", "files/*"], terminating=True
    )
    repository.put(contrib, "functions/extra-one", b"extra 1")
    repository.put(contrib, "files/a/b", b"too deep for the pattern")
    deep = repository.delegate(contrib, "deep", [signer(24)], ["files/[a-e]*.tx?"])
    repository.put(deep, "files/deep.txt", b"deep 1")
    vendor = repository.delegate(contrib, "vendor/one", [signer(25)], ["files/vendor-*"])
    repository.put(vendor, "files/vendor-one", b"vendor 1")
    # After a terminating delegation nobody is asked about its paths.
    late = repository.delegate(repository.targets, "late", [signer(26)], ["*/*"])
    repository.put(late, "files/missing", b"never asked")
    repository.put(late, "functions/late", b"late 1")
    repository.publish_root(*repository.root_signers[:2])
    yield repository

    repository.root.version = 2
    repository.rotate("timestamp", 31)
    repository.publish_root(*repository.root_signers[1:])
    repository.put(repository.targets, "daemon/selvedge", b"daemon 2", {"selvedge": {**kind, "version": "2.0.0"}})
    repository.put(functions, "functions/scale", b"scale 2")
    repository.bump(repository.targets, functions, repository.snapshot, repository.timestamp)
    repository.timestamp.version = 1_000_000
    yield repository

    repository.root.version = 3
    repository.rotate("timestamp", 41)
    repository.rotate("snapshot", 42)
    repository.rotate("targets", 43)
    repository.root.revoke_key(repository.root_signers[0].public_key.keyid, "root")
    repository.root_signers.append(signer(4))
    repository.root.add_key(repository.root_signers[3].public_key, "root")
    repository.publish_root(*repository.root_signers)
    repository.root.version = 4
    repository.publish_root(*repository.root_signers[2:])
    repository.put(repository.targets, "daemon/selvedge", b"daemon 3")
    repository.bump(repository.targets)
    repository.snapshot.version = 1
    repository.timestamp.version = 1
    yield repository


def make(directory):
    with tempfile.TemporaryDirectory() as client:
        for number, repository in enumerate(stages(), 1):
            stage = directory / str(number)
            (stage / "metadata").mkdir(parents=True, exist_ok=True)
            for name, data in repository.files().items():
                (stage / "metadata" / name).write_bytes(data)
            (stage / "ask.json").write_text(json.dumps(ASK) + "\n")
            believed = run_client(stage, Path(client))
            (stage / "believed.json").write_text(json.dumps(believed, indent=1, sort_keys=True) + "\n")


class Files(FetcherInterface):
    """Reads what a web server would give."""

    def _fetch(self, url):
        try:
            # The path as it stands in the URL: the names of files here are encoded, too.
            return iter([Path(urlparse(url).path).read_bytes()])
        except FileNotFoundError as error:
            raise DownloadHTTPError(str(error), 404) from error


def run_client(repository, client):
    repository, client = repository.resolve(), client.resolve()
    (client / "targets").mkdir(parents=True, exist_ok=True)
    updater = Updater(
        str(client),
        f"file://{repository}/metadata/",
        str(client / "targets"),
        f"file://{repository}/targets/",
        Files(),
        bootstrap=(repository / "metadata" / "1.root.json").read_bytes(),
    )
    updater.refresh()
    targets = {}
    for path in json.loads((repository / "ask.json").read_text()):
        info = updater.get_targetinfo(path)
        targets[path] = info and {"length": info.length, "sha256": info.hashes["sha256"]}
        if info and (repository / "targets").exists():
            updater.download_target(info)
    versions = {role: Metadata.from_file(str(client / f"{role}.json")).signed.version for role in ("root", *ROLES)}
    return {"versions": versions, "targets": targets}


def main():
    match sys.argv[1:]:
        case ["make", directory]:
            make(Path(directory))
        case ["client", repository, client]:
            print(json.dumps(run_client(Path(repository), Path(client))))
        case ["match"]:
            for line in sys.stdin:
                pattern, path = json.loads(line)
                role = DelegatedRole("role", [], 1, False, paths=[pattern])
                print(json.dumps(role.is_delegated_path(path)))
        case ["canonical"]:
            for line in sys.stdin:
                print(encode_canonical(json.loads(line)).encode().hex())
        case ["versions"]:
            packages = ("tuf", "securesystemslib", "cryptography")
            print(", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages))
        case _:
            sys.exit(__doc__)


main()
