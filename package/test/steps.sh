#!/bin/sh
# The life of the package on a machine, as a person goes through it; `cargo xtask package-test` runs it, in a chroot (`chroot`: an
# image is being made, no service manager runs) and in a booted container (`booted`). Each line says what holds.
#
# usage: steps.sh chroot|booted FOLDER       FOLDER: old.deb, new.deb, unit-alarm/
set -u

mode=$1
given=$2
passed=0
failures=0
unit=selvedge.service
export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/nonexistent

# expect TEXT COMMAND...: the command succeeds.
expect() {
    text=$1
    shift
    if said=$("$@" 2>&1); then
        echo "  ok      $text"
        passed=$((passed + 1))
    else
        echo "  FAILED  $text"
        echo "$said" | sed 's/^/          /'
        failures=$((failures + 1))
    fi
}

# until_so SECONDS COMMAND...: waits for a condition.
until_so() {
    end=$(($(date +%s) + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$(date +%s)" -lt "$end" ] || return 1
        sleep 0.1
    done
}

is() { [ "$1" = "$2" ] || { echo "$1"; return 1; }; }
is_not() { [ "$1" != "$2" ] || { echo "$1"; return 1; }; }
missing() { ! [ -e "$1" ] && ! [ -L "$1" ]; }
contains() { grep -qF -- "$2" "$1" || { cat "$1"; return 1; }; }
owner() { stat -c '%U:%G %a' "$1"; }
main_pid() { systemctl show --property MainPID --value "$unit"; }
program() { readlink "/proc/$(main_pid)/exe"; }
changed_pid() { now=$(main_pid); [ "$now" != 0 ] && [ "$now" != "$1" ] && answers; }
answers() { selvedge status >/dev/null; }
from_slot() { case "$(program)" in /var/lib/selvedge/ota/slots/a/*) ;; *) program; return 1 ;; esac; }
on_probation() { from_slot && ! confirmed; }
confirmed() { selvedge ota status | grep '^good  *9.0.0'; }
counts() { selvedge net status | grep '^lo: counted'; }
retained() { selvedge sub -t kept/1 -C 1 -W 5 | grep -q "$1"; }
drop_in() {
    mkdir -p "/etc/systemd/system/$unit.d"
    printf '[Service]\n%s\n' "$1" >"/etc/systemd/system/$unit.d/test.conf"
    systemctl daemon-reload
    systemctl restart "$unit"
}
no_drop_in() {
    rm -r "/etc/systemd/system/$unit.d"
    systemctl daemon-reload
    systemctl restart "$unit"
}
# Everything on the machine but what runs and what package managers keep for themselves.
everything() {
    find / \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path "$given" -o -path /var/lib/dpkg -o \
        -path /var/log -o -path /var/cache -o -path /var/lib/systemd \) -prune -o -print | sort
}

installed_files() {
    expect "the programs are root's" is "$(owner /usr/lib/selvedge/selvedge-launch)" 'root:root 755'
    expect "the configuration is root's, and readable" is "$(owner /etc/selvedge/selvedge.toml)" 'root:root 644'
    expect "the data directory is the node's alone" is "$(owner /var/lib/selvedge)" 'selvedge:selvedge 700'
    expect "the node's user cannot log in" is "$(getent passwd selvedge | cut -d: -f7)" /usr/sbin/nologin
    expect "the configuration is a good one" selvedge check --config /etc/selvedge/selvedge.toml
    expect "there is a manual page for each command" test -e /usr/share/man/man1/selvedge-ota-apply.1.gz
    expect "the service is enabled" test -L "/etc/systemd/system/multi-user.target.wants/$unit"
}

in_a_chroot() {
    everything >/tmp/before
    expect "it installs where no service manager runs" dpkg -i "$given/old.deb"
    installed_files
    expect "an image has no identity in it: each box makes its own" is "$(ls -A /var/lib/selvedge)" ''
    expect "it is upgraded" dpkg -i "$given/new.deb"
    expect "it is removed" dpkg -r selvedge
    expect "the data directory stays" test -d /var/lib/selvedge
    expect "it is purged" dpkg -P selvedge
    everything >/tmp/after
    # The user stays, so that its number is never somebody else's.
    diff /tmp/before /tmp/after | grep '^[<>]' | grep -v '/etc/\(passwd\|group\|g\?shadow\)-\?$' >/tmp/difference
    expect "nothing is left behind" is "$(cat /tmp/difference)" ''
}

install_booted() {
    dpkg -i "$given/old.deb" >/tmp/said 2>&1
    expect "the installation says what comes next" contains /tmp/said 'sudo selvedge status'
    installed_files
    expect "the node runs" systemctl is-active "$unit"
    expect "root finds it without being told where" answers
    expect "it runs as its user" is "$(stat -c %U "/proc/$(main_pid)")" selvedge
    expect "from the package" is "$(program)" /usr/lib/selvedge/selvedge
    expect "with three capabilities and no more" is "$(sed -n 's/^CapEff:\t//p' "/proc/$(main_pid)/status")" 0000008000001400
    expect "and cannot get others" is "$(sed -n 's/^NoNewPrivs:\t//p' "/proc/$(main_pid)/status")" 1
    selvedge pub -t kept/1 -m first -q 1 -r
    expect "a message is kept" retained first
    expect "the first start made the store" is "$(owner /var/lib/selvedge/store)" 'selvedge:selvedge 700'
    printf '[net]\ninterfaces = ["lo"]\n' >>/etc/selvedge/selvedge.toml
    systemctl restart "$unit"
    expect "programs in the kernel count under the filter of system calls" until_so 20 counts
}

as_a_service() {
    expect "a function is compiled and deployed under the filter of system calls" selvedge fn deploy "$given/unit-alarm"
    selvedge sub -t 'converted/#' -C 1 -W 20 >/tmp/converted 2>&1 &
    until_so 10 sh -c 'selvedge pub -t sensors/oven/temperature -m "{\"value\": 212, \"unit\": \"F\"}" -q 1; [ -s /tmp/converted ]'
    wait
    expect "and runs" contains /tmp/converted 100
    expect "reload waits and succeeds" systemctl reload "$unit"
    expect "root makes a user" selvedge user add sensor-1 --generate
    expect "who is in a file that the node can read" is "$(owner /var/lib/selvedge/access/users.toml)" 'selvedge:selvedge 600'
    cp -p /var/lib/selvedge/access/rules.toml /tmp/rules.toml
    echo 'nonsense' >/var/lib/selvedge/access/rules.toml
    expect "reload fails when a file is damaged" is "$(systemctl reload "$unit" 2>/dev/null && echo succeeded)" ''
    cp /tmp/rules.toml /var/lib/selvedge/access/rules.toml
    expect "and succeeds when it is whole again" systemctl reload "$unit"
    systemctl stop "$unit"
    rm -r /var/lib/selvedge/access /var/lib/selvedge/files-in-use
    systemctl start "$unit"

    before=$(main_pid)
    kill -KILL "$before"
    expect "a node that is killed comes back" until_so 20 changed_pid "$before"
    expect "with what it acknowledged" retained first

    expect "it is watched" is "$(systemctl show --property WatchdogUSec --value "$unit")" 30s
    drop_in 'WatchdogSec=2'
    before=$(main_pid)
    kill -STOP "$before"
    expect "a node that hangs is ended and comes back" until_so 30 changed_pid "$before"
    drop_in 'MemoryDenyWriteExecute=yes'
    expect "with MemoryDenyWriteExecute the node runs" until_so 20 answers
    journalctl -u "$unit" --since -20s --no-pager -o cat >/tmp/said
    expect "its functions do not, and it says why" contains /tmp/said 'failed to make memory executable'

    install -d -o selvedge -g selvedge -m 0700 /srv/selvedge
    drop_in "$(printf 'ReadWritePaths=/srv/selvedge\nEnvironment=SELVEDGE_DATA=/srv/selvedge SELVEDGE_OTA=/srv/selvedge/ota')"
    expect "its data may be elsewhere" selvedge status --data /srv/selvedge
    expect "and reload finds it there" systemctl reload "$unit"
    no_drop_in
    rm -r /srv/selvedge
}

# As docs/gateway.md says: nobody is refused while the node starts again.
on_sockets() {
    systemctl stop "$unit"
    expect "systemd listens for the node" systemctl start selvedge.socket
    expect "who comes starts it" retained first
    before=$(main_pid)
    kill -KILL "$before"
    expect "who comes after it was killed waits and is served" retained first
    expect "by the next node" changed_pid "$before"
    systemctl stop selvedge.socket
    systemctl restart "$unit"
}

# A key that the node's user cannot read where it lies.
with_a_credential() {
    cp -a /etc/selvedge/selvedge.toml /tmp/selvedge.toml
    selvedge cert create --data /var/lib/selvedge >/dev/null
    install -d -m 0700 /etc/selvedge-keys
    install -m 0600 /var/lib/selvedge/tls/server.key /etc/selvedge-keys/server.key
    rm /var/lib/selvedge/tls/server.key
    {
        printf '[mqtts]\nlisten = "127.0.0.1:8883"\n'
        printf '[tls]\nkey = "/run/credentials/%s/server.key"\n' "$unit"
    } >>/etc/selvedge/selvedge.toml
    drop_in 'LoadCredential=server.key:/etc/selvedge-keys/server.key'
    expect "a key that only root can read comes as a credential" \
        selvedge pub --cafile /var/lib/selvedge/tls/ca.pem -h 127.0.0.1 -p 8883 -t encrypted/1 -m x -q 1
    cp -a /tmp/selvedge.toml /etc/selvedge/selvedge.toml
    rm -r /var/lib/selvedge/tls /etc/selvedge-keys
    no_drop_in
}

upgrade_booted() {
    echo '# edited' >>/etc/selvedge/selvedge.toml
    before=$(main_pid)
    expect "it is upgraded" dpkg -i "$given/new.deb"
    expect "the node was started again" until_so 20 changed_pid "$before"
    expect "from the new package" is "$(program)" /usr/lib/selvedge/selvedge
    expect "with its data" retained first
    expect "and the configuration as it was edited" contains /etc/selvedge/selvedge.toml '# edited'
}

# The slot wins: see docs/gateway.md.
update_and_package() {
    printf '[ota]\nprobation = "10s"\n' >>/etc/selvedge/selvedge.toml
    systemctl restart "$unit"
    mkdir /tmp/publisher
    cd /tmp/publisher || return
    (cat /usr/lib/selvedge/selvedge; echo changed) >next
    {
        selvedge ota init repository --keys keys && selvedge ota add repository next --daemon "$(uname -m)" --version 9.0.0 &&
            selvedge ota publish repository --keys keys && selvedge ota bundle repository update.selvedge
    } >/tmp/said 2>&1
    expect "root says whom to believe" selvedge ota trust repository/metadata/1.root.json --data /var/lib/selvedge
    expect "an update is applied under the service" timeout 120 selvedge ota apply update.selvedge
    expect "it runs from a slot, on probation" until_so 60 on_probation
    before=$(main_pid)
    dpkg -i "$given/new.deb" >/tmp/said 2>&1
    expect "a package that is installed then leaves it running" is "$(main_pid)" "$before"
    expect "and says so" contains /tmp/said 'goes on with the version of its last update'
    expect "and the update is confirmed" until_so 60 confirmed
    expect "by the process that it was" is "$(main_pid)" "$before"
    dpkg -i "$given/new.deb" >/tmp/said 2>&1
    expect "a package that is installed afterwards leaves it running" is "$(main_pid)" "$before"
    systemctl restart "$unit"
    expect "a restart, too" from_slot
    systemctl stop "$unit"
    cp -a /var/lib/selvedge/ota /tmp/ota
    rm -r /var/lib/selvedge/ota/boot /var/lib/selvedge/ota/current /var/lib/selvedge/ota/slots
    systemctl start "$unit"
    expect "without slots, as docs/gateway.md goes back to packages, the package's program runs" is "$(program)" /usr/lib/selvedge/selvedge
    expect "with the data" retained first
    systemctl stop "$unit"
    rm -r /var/lib/selvedge/ota
    cp -a /tmp/ota /var/lib/selvedge/ota
    systemctl start "$unit"
    expect "an update that is there runs again" from_slot
    systemctl stop "$unit"
    for file in /var/lib/selvedge/ota/slots/a/*; do printf x >>"$file"; done
    systemctl start "$unit"
    expect "when no slot is whole, the package's program runs" is "$(program)" /usr/lib/selvedge/selvedge
    expect "with the data" retained first
    cd /
}

# As docs/gateway.md says.
back_up() {
    systemctl stop "$unit"
    tar -C /var/lib -cpf /tmp/backup.tar selvedge
    find /var/lib/selvedge -mindepth 1 -delete
    systemctl start "$unit"
    expect "a factory reset is an empty data directory" is "$(selvedge sub -t kept/1 -C 1 -W 2 2>/dev/null)" ''
    systemctl stop "$unit"
    find /var/lib/selvedge -mindepth 1 -delete
    tar -C /var/lib -xpf /tmp/backup.tar
    chown -R selvedge: /var/lib/selvedge
    systemctl start "$unit"
    expect "a backup that is put back is the node that it was" retained first
}

remove_booted() {
    expect "it is removed" dpkg -r selvedge
    expect "no node is left" is "$(pgrep -x selvedge)" ''
    expect "the data stays" test -d /var/lib/selvedge/store
    expect "the configuration stays" contains /etc/selvedge/selvedge.toml '# edited'
    expect "it is installed again" dpkg -i "$given/new.deb"
    expect "and has its data" retained first
    expect "it is purged" dpkg -P selvedge
    expect "the data is gone" missing /var/lib/selvedge
    expect "the configuration is gone" missing /etc/selvedge
    expect "the service is gone" missing "/etc/systemd/system/multi-user.target.wants/$unit"
}

case $mode in
    chroot) in_a_chroot ;;
    booted)
        install_booted
        as_a_service
        on_sockets
        with_a_credential
        upgrade_booted
        update_and_package
        back_up
        remove_booted
        ;;
esac
echo "$passed passed, $failures failed"
[ "$failures" = 0 ]
