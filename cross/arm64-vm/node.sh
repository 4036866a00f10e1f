#!/bin/sh
# A whole node in the arm64 test machine: it starts, says that it is ready, carries a message and stops; its memory is shown.
# The one argument is the program. Its state is in memory; the machine is emulated, so times are not those of a gateway.

daemon=$(readlink -f "$1")
http=127.0.0.1:7883
# Seconds that a condition may take to come true.
patience=120
mkdir -p /tmp/node
cd /tmp/node || exit 1

fail() {
    echo "node: $1; its log ends with:"
    tail -n 40 log
    exit 1
}

uptime_s() { cut -d ' ' -f 1 /proc/uptime; }

since() { awk -v now="$(uptime_s)" -v then="$1" 'BEGIN { printf "%.1f s", now - then }'; }

# Waits until a command succeeds.
until_true() {
    limit=$(($(cut -d . -f 1 /proc/uptime) + patience))
    until "$@" >/dev/null 2>&1; do
        kill -0 "$node" 2>/dev/null || fail "it ended by itself"
        [ "$(cut -d . -f 1 /proc/uptime)" -lt $limit ] || return 1
        sleep 0.2
    done
}

# Lines of the memory that the node's processes share fairly, in KiB.
memory() { awk -v when="$1" '/^(Pss|Pss_Anon|Pss_File|Rss):/ { printf "%s %d KiB  ", $1, $2 } END { print when }' "/proc/$node/smaps_rollup"; }

subscriptions() { wget -qO- "http://$http/metrics" | awk '$1 == "selvedge_mqtt_subscriptions" { print $2 }'; }

one_more_subscription() { [ "$(subscriptions)" -gt "$before" ]; }

# Pages of a program that was just built are in memory, and count when a neighbour is touched: so here too.
cat "$daemon" >/dev/null
begin=$(uptime_s)
"$daemon" run --data /tmp/node/data --json >ready 2>log &
node=$!
until_true test -s ready || fail "not ready after $patience s"
echo "node: ready after $(since "$begin"): $(cat ready)"
until_true wget -qO- "http://$http/readyz" || fail "/readyz does not say yes"
memory "after the start"

before=$(subscriptions)
"$daemon" sub -t 'vm/#' -q 1 -C 1 -v >received &
subscriber=$!
until_true one_more_subscription || fail "nobody subscribed"
begin=$(uptime_s)
"$daemon" pub -t vm/hello -q 1 -m 'from arm64' || fail "the message was not acknowledged"
wait $subscriber || fail "the subscriber failed"
[ "$(cat received)" = "vm/hello from arm64" ] || fail "the subscriber got '$(cat received)'"
echo "node: a message of QoS 1 went through it ($(since "$begin") with the start of its client): $(cat received)"
# The node gives back what only its start needed at 5 s and 10 s (daemon/src/memory.rs).
sleep 15
memory "idle, 15 s later"

begin=$(uptime_s)
kill -TERM $node
wait $node || fail "it did not stop in order"
echo "node: stopped in order after $(since "$begin")"
