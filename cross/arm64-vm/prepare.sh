# What every job in the arm64 test machine starts with; read by its job script, as the first process.
#
# Output goes to a port of its own, so that messages of the kernel never stand between lines of a program.

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin HOME=/root LANG=C.UTF-8
# Its number is that of the device among all of the bus.
for port in /dev/vport*p1; do :; done
exec </dev/null >"$port" 2>&1
# The host waits for this line.
echo "arm64-vm: up"

mount -t sysfs sys /sys
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t debugfs debug /sys/kernel/debug
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
chmod 1777 /tmp /dev/shm
mkdir -p /etc /var/lib /run/netns
[ -e /var/run ] || ln -s /run /var/run
echo "127.0.0.1 localhost
::1 localhost" >/etc/hosts
echo "root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/bin/false" >/etc/passwd
echo "root:x:0:
nogroup:x:65534:" >/etc/group
hostname arm64-vm
ip link set lo up

# A folder of the host at its own path, so that paths which a build put into a program hold.
share() {
    mkdir -p "/run/shares/$1" "$2"
    mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=loose,ro "$1" "/run/shares/$1"
    mkdir -p "/tmp/.shares/$1/upper" "/tmp/.shares/$1/work"
    mount -t overlay -o "lowerdir=/run/shares/$1,upperdir=/tmp/.shares/$1/upper,workdir=/tmp/.shares/$1/work" \
        "$1" "$2" && return
    echo "arm64-vm: $2 of the host cannot be mounted"
    poweroff -f
}
