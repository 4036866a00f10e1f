#!/bin/busybox sh
# The first process of the arm64 test machine: loads what its root needs, makes the root, hands over to the job.
#
# The root is a folder of the host, read through 9p, below a file system in memory: programs write where they
# like, and nothing of it reaches the host. `/order` names the modules, `/modules` holds them (see
# xtask/src/arm64_vm/initramfs.rs); the folder `/exchange` is the only one that the machine writes.

fail() {
    echo "arm64-vm init: $1" >/dev/console
    # Ending the first process stops the machine, and with it the emulator.
    exit 1
}

B=/bin/busybox
$B mount -t devtmpfs dev /dev || fail "no /dev"
$B mount -t proc proc /proc || fail "no /proc"

while read -r module; do
    $B insmod "/modules/$module" || fail "module $module does not load"
done </order

share=trans=virtio,version=9p2000.L,msize=262144
$B mount -t 9p -o $share,cache=loose,ro guest /lower || fail "the guest's files cannot be mounted"
$B mount -t tmpfs -o size=75% writable /writable || fail "no file system in memory"
$B mkdir -p /writable/upper /writable/work
$B mount -t overlay -o lowerdir=/lower,upperdir=/writable/upper,workdir=/writable/work root /system ||
    fail "the root cannot be made writable"
$B mkdir -p /system/exchange /system/dev /system/proc /system/sys /system/run /system/tmp /system/root
$B mount -t 9p -o $share,cache=none exchange /system/exchange || fail "the exchange folder cannot be mounted"
# The packages bring few small tools: busybox stands in where nothing else does. It leaves what is there, and PATH has
# the other programs first where both are.
$B --install -s /system/usr/bin 2>/dev/null
$B mount --move /dev /system/dev
$B mount --move /proc /system/proc
exec $B switch_root /system /usr/bin/dash /exchange/job.sh
