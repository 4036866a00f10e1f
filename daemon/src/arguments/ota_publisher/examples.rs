//! What the help of each command shows.

pub(super) const INIT: &str = "\
Examples:
  selvedge ota init repository --keys keys              new keys, and a repository that they sign
  selvedge ota init repository --keys /mnt/stick/keys   the same with the keys on a stick

Nodes are given repository/metadata/1.root.json, once. Keep root.key away from machines that are on a network; publishing
needs targets.key, snapshot.key and timestamp.key only.";

pub(super) const KEY: &str = "\
Examples:
  selvedge ota key new targets-2 --keys keys   makes keys/targets-2.key (secret) and keys/targets-2.pub
  selvedge ota key list --keys keys            names and key ids";

pub(super) const ADD: &str = "\
Examples:
  selvedge ota add repository target/release/selvedge --daemon aarch64 --version 1.2.0
  selvedge ota add repository my-filter --function         a directory with function.toml and its component
  selvedge ota add repository site.conf --file site.conf --version 7
  selvedge ota add repository my-filter --function --role functions

Nodes see it after `selvedge ota publish`.";

pub(super) const REMOVE: &str = "\
Examples:
  selvedge ota remove repository functions/my-filter.wasm

Nodes that have it keep it; nodes see the change after `selvedge ota publish`.";

pub(super) const STAGE: &str = "\
Examples:
  selvedge ota stage repository daemon/aarch64/selvedge --percent 5    to one node in twenty
  selvedge ota stage repository daemon/aarch64/selvedge --percent 50   to those and others, half of all
  selvedge ota stage repository daemon/aarch64/selvedge --everybody
  selvedge ota stage repository daemon/aarch64/selvedge --pause        to nobody who has not got it yet

Nodes see the change after `selvedge ota publish`.";

pub(super) const DELEGATE: &str = "\
Examples:
  selvedge ota delegate repository functions --paths 'functions/*' --key team.pub
  selvedge ota delegate repository site --paths 'files/site-*' --key ann.pub ben.pub --threshold 2

`*` does not reach across a `/`. Nodes see the change after `selvedge ota publish`, which then needs a key of that role too.";

pub(super) const PUBLISH: &str = "\
Examples:
  selvedge ota publish repository --keys keys             sign what waits; make full payloads and patches
  selvedge ota publish repository --keys keys --dry-run   make the payloads and show their sizes, sign nothing
  selvedge ota publish repository --keys keys --patches-from 10

Run it again from time to time: without anything that waits it signs what runs out. Nodes refuse a timestamp that has expired.";

pub(super) const ROTATE: &str = "\
Examples:
  selvedge ota rotate repository timestamp --keys keys --add keys/timestamp-2.pub --remove 3f9a01c2
  selvedge ota rotate repository root --keys keys --add ann.pub ben.pub --threshold 2
  selvedge ota rotate repository root --keys keys        the same keys, a later expiry

Needs the root's keys, before and after the change. Where some are elsewhere, the new root waits and `selvedge ota sign` adds
their signatures. Then `selvedge ota publish` signs with the new keys.";

pub(super) const SIGN: &str = "\
Examples:
  selvedge ota sign repository --keys /mnt/stick/keys   add signatures to the root that waits; with enough, nodes see it
  selvedge ota sign 2.root.json --keys keys             the same for a copy, on a machine that has no repository";

pub(super) const BUNDLE: &str = "\
Examples:
  selvedge ota bundle repository update.selvedge        everything, for a gateway whatever it runs
  selvedge ota bundle repository update.selvedge --only daemon/aarch64/selvedge
  selvedge ota bundle repository update.selvedge --from 9f86d081   for gateways that run the program with this SHA-256

On the gateway: selvedge ota apply update.selvedge --wait";

pub(super) const LIST: &str = "\
Examples:
  selvedge ota list repository          roles, keys, expiry; targets; what waits for `selvedge ota publish`
  selvedge ota list repository --json";
