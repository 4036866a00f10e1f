"""Runs the example `tuf_conformance` as the TUF conformance suite runs a client, on repositories that python-tuf makes.

    pip install tuf
    cargo build -p selvedge-ota --example tuf_conformance
    python ota/examples/tuf_conformance/cases.py target/debug/examples/tuf_conformance

Prints a line for each case and, at the end, how many passed; exit code 1 if one failed. The cases are those of
theupdateframework/tuf-conformance in the words of this file, with ed25519 keys, which are the only ones that count here.
"""

import sys
import tempfile
import urllib.parse

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Key, Metadata

sys.dont_write_bytecode = True
from repository import Case, in_days

CASES = []


def case(function):
    CASES.append((function.__name__.replace("_", " "), function))
    return function


def is_equal(found, expected):
    assert found == expected, f"{found!r} instead of {expected!r}"


# In the order of the suite: basic, rollback, expiration, keys, root rotation, delegations, downloads, names.

@case
def basic_init_and_refresh(c):
    is_equal([c.init(), c.refresh()], [0, 0])
    is_equal(c.repo.requests, [("root", "2"), ("timestamp", "latest"), ("snapshot", "1"), ("targets", "1")])
    is_equal(c.versions(), [1, 1, 1, 1])


@case
def implicit_refresh(c):
    is_equal([c.init(), c.download("nonexistent artifact")], [0, 1])
    is_equal(c.versions(), [1, 1, 1, 1])


@case
def invalid_initial_root(c):
    c.init(c.repo.history["root"][1].replace(b'"version":', b'"revision":'))
    is_equal([c.refresh(), c.repo.requests], [1, []])


@case
def unsigned_initial_root(c):
    md = Metadata.from_bytes(c.repo.history["root"][1])
    md.signatures.clear()
    c.init(md.to_bytes())
    is_equal([c.refresh(), c.repo.requests], [1, []])


@case
def timestamp_content_changes_without_a_new_version(c):
    is_equal([c.init(), c.refresh()], [0, 0])
    c.repo.timestamp.snapshot_meta.version = 100
    c.repo.publish("timestamp", bump=False)
    c.refresh()
    md = Metadata.from_file(str(c.folder / "metadata" / "timestamp.json"))
    is_equal(md.signed.snapshot_meta.version, 1)


@case
def new_targets_hash_mismatch(c):
    is_equal([c.init(), c.refresh()], [0, 0])
    c.repo.hashes = True
    c.repo.publish("targets")
    c.repo.update_snapshot()
    c.repo.history["targets"][2] += b" "
    is_equal([c.refresh(), c.version("targets")], [1, 1])


@case
def new_targets_version_mismatch(c):
    is_equal([c.init(), c.refresh()], [0, 0])
    c.repo.publish("targets")
    is_equal([c.refresh(), c.version("targets")], [0, 1])
    c.repo.update_snapshot()
    c.repo.history["targets"][2] = c.repo.history["targets"][1]
    is_equal([c.refresh(), c.version("targets")], [1, 1])


@case
def custom_fields(c):
    is_equal([c.init(), c.refresh()], [0, 0])
    c.repo.root.unrecognized_fields["custom-field"] = "value"
    keyid = c.repo.root.roles["root"].keyids[0]
    c.repo.root.keys[keyid].unrecognized_fields["extra-field"] = {"a": 1, "b": 2}
    c.repo.root.roles["root"].unrecognized_fields["another-field"] = "value"
    c.repo.publish("root")
    is_equal([c.refresh(), c.version("root")], [0, 2])


@case
def timestamp_rollback(c):
    c.init()
    c.repo.update_timestamp()
    is_equal(c.refresh(), 0)
    c.repo.timestamp.version = 1
    c.repo.publish("timestamp", bump=False)
    is_equal([c.refresh(), c.version("timestamp"), c.repo.requests[-1][0]], [1, 2, "timestamp"])


def snapshot_rolls_back(c, hashes):
    c.repo.hashes = hashes
    c.init()
    c.repo.update_snapshot()
    is_equal(c.refresh(), 0)
    c.repo.history["snapshot"]["latest"] = c.repo.history["snapshot"][1]
    c.repo.update_timestamp()
    is_equal([c.refresh(), c.version("timestamp"), c.version("snapshot")], [1, 2, 2])
    is_equal(c.repo.requests[-1][0], "timestamp")


@case
def snapshot_rollback(c):
    snapshot_rolls_back(c, False)


@case
def snapshot_rollback_with_hashes(c):
    snapshot_rolls_back(c, True)


def targets_roll_back(c, hashes):
    c.repo.hashes = hashes
    c.init()
    c.repo.publish("targets")
    c.repo.publish("targets")
    c.repo.update_snapshot()
    is_equal([c.refresh(), c.version("targets")], [0, 3])
    c.repo.history["targets"]["latest"] = c.repo.history["targets"][2]
    c.repo.update_snapshot()
    is_equal([c.refresh(), c.version("targets")], [1, 3])


@case
def targets_rollback(c):
    targets_roll_back(c, False)


@case
def targets_rollback_with_hashes(c):
    targets_roll_back(c, True)


@case
def snapshot_version_mismatch(c):
    c.init()
    c.repo.history["snapshot"][1] = None
    c.repo.publish("snapshot")
    c.repo.history["snapshot"][1] = c.repo.history["snapshot"][2]
    is_equal([c.refresh(), c.versions()[:3]], [1, [1, 1, None]])


def recovers(c, role, rotated):
    c.init()
    c.repo.md[role].signed.version = 9999
    c.repo.publish(role)
    c.repo.update_timestamp() if role == "snapshot" else c.repo.update_snapshot() if role == "targets" else None
    is_equal([c.refresh(), c.version(role)], [0, 10000])
    for one in rotated:
        c.repo.rotate(one)
    c.repo.publish("root")
    c.repo.md[role].signed.version = 1
    c.repo.publish(role, bump=False)
    if role != "timestamp":
        c.repo.publish("snapshot", bump=False) if role == "snapshot" else c.repo.update_snapshot()
        c.repo.update_timestamp()
    is_equal([c.refresh(), c.version(role)], [0, 1])


@case
def timestamp_fast_forward_recovery(c):
    recovers(c, "timestamp", ["timestamp"])


@case
def snapshot_fast_forward_recovery(c):
    recovers(c, "snapshot", ["snapshot", "timestamp"])


@case
def targets_fast_forward_recovery(c):
    recovers(c, "targets", ["snapshot"])


@case
def root_expired(c):
    is_equal([c.init(), c.refresh()], [0, 0])
    c.repo.root.expires = in_days(-1)
    c.repo.publish("root")
    c.repo.update_snapshot()
    is_equal([c.refresh(), c.versions()], [1, [2, 1, 1, 1]])


@case
def an_expired_root_in_the_chain_is_no_failure(c):
    c.init()
    c.repo.root.expires = in_days(-1)
    c.repo.publish("root")
    c.repo.root.expires = in_days(30)
    c.repo.publish("root")
    is_equal([c.refresh(), c.version("root")], [0, 3])


def expires(c, role, versions):
    is_equal([c.init(), c.refresh()], [0, 0])
    c.repo.md[role].signed.expires = in_days(-5)
    c.repo.publish(role)
    c.repo.update_timestamp() if role == "snapshot" else c.repo.update_snapshot() if role == "targets" else None
    is_equal([c.refresh(), c.versions()], [1, versions])


@case
def timestamp_expired(c):
    expires(c, "timestamp", [1, 1, 1, 1])


@case
def snapshot_expired(c):
    expires(c, "snapshot", [1, 2, 1, 1])


@case
def targets_expired(c):
    expires(c, "targets", [1, 2, 2, 1])


@case
def snapshot_threshold_is_not_reached(c):
    is_equal([c.init(), c.refresh()], [0, 0])
    for _ in range(4):
        signer = CryptoSigner.generate_ed25519()
        c.repo.root.add_key(signer.public_key, "snapshot")
        c.repo.signers["snapshot"].append(signer)
    c.repo.root.roles["snapshot"].threshold = 5
    c.repo.publish("root")
    c.repo.update_snapshot()
    is_equal([c.refresh(), c.version("snapshot")], [0, 2])
    c.repo.signers["snapshot"].pop()
    c.repo.update_snapshot()
    is_equal([c.refresh(), c.version("snapshot")], [1, 2])


@case
def one_key_under_many_ids_counts_once(c):
    is_equal([c.init(), c.refresh()], [0, 0])
    signer = c.repo.signers["snapshot"][0]
    public = signer.public_key
    for number in range(3):
        c.repo.root.add_key(Key.from_dict(f"{number}" * 64, public.to_dict()), "snapshot")
    c.repo.root.roles["snapshot"].threshold = 3
    c.repo.publish("root")
    c.repo.update_snapshot()
    is_equal([c.refresh(), c.version("snapshot")], [1, 1])


FIVE, OTHERS = [0, 1, 2, 3, 4], [5, 6, 7, 8, 9]

# Keys of a root, its threshold, and who signs it; the last one is accepted or not.
ROTATIONS = {
    "1 of 1": (True, [([1], 1, [1]), ([2], 1, [2, 1]), ([2], 1, [2])]),
    "1 of 1 with signatures of strangers": (True, [([1], 1, [3, 1, 4]), ([2], 1, [3, 2, 1, 4]), ([2], 1, [3, 2, 4])]),
    "3 of 5 signed by others each time": (True, [(FIVE, 3, signed) for signed in ([0, 2, 4], [0, 4, 1], [0, 1, 3])]),
    "3 of 5 with one other": (True, [(FIVE, 3, [0, 2, 4]), ([0, 1, 3, 4, 5], 3, [0, 4, 1])]),
    "3 of 5 with five others": (
        True, [(FIVE, 3, [0, 2, 4]), (OTHERS, 3, [0, 2, 4, 5, 6, 7]), (OTHERS, 3, [5, 6, 7])]
    ),
    "threshold 1 to 2 of 3": (True, [([1, 2, 3], 1, [1]), ([1, 2, 3], 2, [1, 2])]),
    "threshold 2 to 1 of 3": (True, [([1, 2, 3], 2, [1, 2]), ([1, 2, 3], 1, [1, 2]), ([1, 2, 3], 1, [1])]),
    "not signed with the old key": (False, [([1], 1, [1]), ([2], 1, [2, 3, 4])]),
    "not signed with the new key": (False, [([1], 1, [1]), ([2], 1, [1, 3, 4])]),
    "not signed with three new keys": (False, [(FIVE, 3, [0, 2, 4]), ([0, 1, 3, 4, 5], 3, [0, 2, 4])]),
    "not signed with three old keys": (False, [(FIVE, 3, [0, 2, 4]), ([0, 1, 3, 4, 5], 3, [0, 4, 5])]),
    "the new threshold is not reached": (False, [([1, 2, 3], 1, [1]), ([1, 2, 3], 2, [2])]),
    "the old threshold is not reached": (False, [([1, 2, 3], 2, [1, 2]), ([1, 2, 3], 1, [1])]),
}


def rotates(accepted, roots):
    def run(c):
        signers = [CryptoSigner.generate_ed25519() for _ in range(10)]
        c.repo.history["root"], c.repo.root.version = {}, 0
        for keys, threshold, signed in roots:
            role = c.repo.root.roles["root"]
            for keyid in list(role.keyids):
                c.repo.root.revoke_key(keyid, "root")
            role.threshold = threshold
            for number in keys:
                c.repo.root.add_key(signers[number].public_key, "root")
            c.repo.signers["root"] = [signers[number] for number in signed]
            c.repo.publish("root")
        is_equal([c.init(), c.refresh()], [0, 0 if accepted else 1])
        is_equal(c.version("root"), len(roots) if accepted else len(roots) - 1)
    return run


CASES.extend((f"root rotation: {name}", rotates(*steps)) for name, steps in ROTATIONS.items())

# Delegations as (who, to whom, paths, terminating), and whom the specification asks for `missingpath`, in order.
GRAPHS = {
    "one": ([("targets", "A")], "A"),
    "two": ([("targets", "A"), ("targets", "B")], "AB"),
    "two levels": ([("targets", "A"), ("targets", "B"), ("B", "C")], "ABC"),
    "depth first": ([("targets", "A"), ("targets", "B"), ("A", "C"), ("A", "D")], "ACDB"),
    "terminating": ([("targets", "A"), ("targets", "B"), ("A", "C", ["*"], True), ("A", "D")], "AC"),
    "other paths": ([("targets", "A", ["*.py"]), ("targets", "B"), ("A", "C")], "B"),
    "a circle": ([("targets", "A"), ("targets", "B"), ("B", "C"), ("C", "D"), ("D", "B")], "ABCD"),
}


def traverses(delegations, order):
    """The node fetches every delegated role that it may, before it asks for anything: the order is that of `found`."""
    def run(c):
        for delegation in delegations:
            c.repo.delegate(*delegation)
        for role in sorted({delegation[1] for delegation in delegations}):
            c.repo.add_artifact(role, role.encode(), f"by{role}")
            c.repo.add_artifact(role, f"all by {role}".encode(), "all")
        c.repo.publish_all_targets()
        c.init()
        is_equal(c.download("missingpath"), 1)
        asked = {role for role, _ in c.repo.requests[4:]}
        assert set(order) <= asked, f"{asked} was asked, {order} was expected"
        is_equal([c.download("all"), c.downloaded()], [0, [f"all by {order[0]}".encode()]])
        for role in sorted({delegation[1] for delegation in delegations}):
            is_equal((role, c.download(f"by{role}")), (role, 0 if role in order else 1))
    return run


CASES.extend((f"delegations: {name}", traverses(*graph)) for name, graph in GRAPHS.items())


@case
def the_file_is_downloaded_and_kept(c):
    c.init()
    c.repo.release(b"content", "path/to/file.txt")
    is_equal([c.refresh(), c.downloaded()], [0, []])
    is_equal([c.download("path/to/file.txt"), c.downloaded()], [0, [b"content"]])
    c.repo.artifacts.clear()
    is_equal(c.download("path/to/file.txt"), 0)


@case
def a_substituted_file_is_not_taken(c):
    c.init()
    c.repo.release(b"one content", "one")
    c.repo.release(b"two content", "two")
    is_equal(c.download("one"), 0)
    for name in c.repo.artifacts:
        c.repo.artifacts[name] = b"bad content"
    c.download("one")
    is_equal([c.download("two"), c.downloaded()], [1, [b"one content"]])


@case
def a_file_that_is_too_long_or_too_short_is_not_taken(c):
    c.init()
    c.repo.release(b"content", "file")
    name = next(iter(c.repo.artifacts))
    for bad in (b"content and more", b"cont", b""):
        c.repo.artifacts[name] = bad
        is_equal([c.download("file"), c.downloaded()], [1, []])


@case
def changes_of_a_file_replace_it(c):
    c.init()
    for number in range(5):
        c.repo.release(b"content %d" % number, "file")
        is_equal([c.download("file"), c.downloaded()], [0, [b"content %d" % number]])


@case
def unusual_names_of_files(c):
    c.init()
    for name in ("with space", "with#hash?and&more", "a/percent%20sign", "größe"):
        c.repo.release(name.encode(), name)
        is_equal((name, c.download(name)), (name, 0))


def has_unusual_role(role):
    def run(c):
        c.repo.delegate("targets", role)
        c.repo.add_artifact(role, b"content", "file")
        c.repo.publish_all_targets()
        c.init()
        is_equal(c.download("file"), 0)
        assert (urllib.parse.quote(role, ""), "1") in c.repo.requests, c.repo.requests
    return run


UNUSUAL_ROLES = ("?", "#", "/delegatedrole", "../delegatedrole")
CASES.extend((f"a role called {role}", has_unusual_role(role)) for role in UNUSUAL_ROLES)


def main():
    failed = 0
    for name, function in CASES:
        with tempfile.TemporaryDirectory() as folder:
            c = Case(sys.argv[1], folder)
            try:
                function(c)
                print(f"passed  {name}")
            except AssertionError as error:
                failed += 1
                print(f"FAILED  {name}: {error}; it said: {c.said}")
            finally:
                c.server.shutdown()
                c.server.server_close()
    print(f"{len(CASES) - failed} of {len(CASES)} passed")
    sys.exit(1 if failed else 0)


main()
