"""The disk of a small Debian with systemd, and with what this project's tests need, made once.

It is kept beside the test images, under a name that says what it was made from. The kernel is
unpacked rather than installed: its own initial file system would look for every disk there is and
take longer than all the rest of the boot.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from support.images import LEFT_OUT, cache

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "tests/requirements.txt"
# Debian 13, whatever this machine runs.
SUITE = "trixie"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PACKAGES = (
    *("systemd", "systemd-sysv", "libpam-systemd", "dbus-user-session", "kmod", "login"),
    *("python3", "python3-venv", "ca-certificates", "util-linux", "uidmap", "procps", "iproute2"),
    *("busybox-static", "docker-cli", "docker-registry", "skopeo"),
)
# What the runtime and its tests import; tests/requirements.txt says which versions.
PYTHON = (
    *("backports-zstd", "click", "docker", "isal", "jeepney", "msgspec", "pyelftools"),
    *("requests", "tornado", "traitlets", "pytest", "pytest-timeout"),
)
USER = "tester"
PEOPLE = ("root", USER)
"""Who is logged in; the machine's ports have their names."""
SIZE = "2G"  # sparse: a fifth of it is used

KERNEL = """
cd /boot
name=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \\(linux-image-.*\\)/\\1/p')
apt-get -q download "$name"
dpkg -x ./*.deb /
rm ./*.deb
version=$(ls /lib/modules)
depmod "$version"
mv vmlinuz-* vmlinuz
mkdir -p initrd/bin initrd/dev initrd/modules initrd/root initrd/sys
cp /bin/busybox initrd/bin/
for module in virtio_pci virtio_blk virtio_console virtio_rng ext4 overlay; do
    modprobe --set-version "$version" --show-depends "$module"
done | sed -n 's/^insmod //p' | awk '!seen[$1]++ { print $1 }' | while read -r path; do
    name=$(basename "$path" .xz)
    busybox xzcat "$path" >"initrd/modules/$name"
    echo "$name" >>initrd/modules/order
done
cat >initrd/init <<'END'
#!/bin/busybox sh
busybox() { /bin/busybox "$@"; }
busybox mount -t devtmpfs devtmpfs /dev
busybox mount -t sysfs sysfs /sys
for name in $(busybox cat /modules/order); do busybox insmod "/modules/$name"; done
busybox mkdir /dev/ports
for port in /sys/class/virtio-ports/*; do
    busybox ln -s "../$(busybox basename "$port")" "/dev/ports/$(busybox cat "$port/name")"
done
busybox umount /sys
busybox mount -t ext4 /dev/vda /root
busybox mount -t ext4 -o ro /dev/vdb /root/project
exec /bin/busybox switch_root /root /sbin/init
END
chmod +x initrd/init
# Or systemd would do again what was done for a new /usr.
touch -r /usr /etc/.updated /var/.updated
(cd initrd && find . | busybox cpio -o -H newc >../initrd.img)
rm -r initrd
"""

# Neither a terminal nor its queries: a shell reads commands from a port and tells how each ended.
# PAM makes it a session of its own as any login does, and starts the user's systemd.
ACCOUNTS = f"""
useradd --create-home --shell /bin/sh {USER}
mkdir /project
echo machine >/etc/hostname
echo 127.0.0.1 localhost machine >/etc/hosts
cat >/usr/local/bin/serve-port <<'END'
#!/bin/sh
while read -r command; do
    sh -c "$command" </dev/null 2>&1
    printf '\\nended:%d.\\n' $?
done
END
chmod +x /usr/local/bin/serve-port
cat >/etc/systemd/system/login@.service <<END
[Unit]
After=systemd-user-sessions.service systemd-logind.service
Wants=systemd-logind.service
[Service]
User=%i
PAMName=login
WorkingDirectory=/project
StandardInput=file:/dev/ports/%i
StandardOutput=file:/dev/ports/%i
StandardError=journal
ExecStart=/usr/local/bin/serve-port
END
mkdir -p /etc/systemd/system/multi-user.target.wants
for name in {" ".join(PEOPLE)}; do
    ln -s ../login@.service "/etc/systemd/system/multi-user.target.wants/login@$name.service"
done
cd /etc/systemd/system
for unit in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer dpkg-db-backup.timer \\
    docker-registry.service systemd-firstboot.service getty.target systemd-networkd.service \\
    systemd-binfmt.service proc-sys-fs-binfmt_misc.automount; do
    ln -sf /dev/null "$unit"
done
"""

VENV = """
python3 -m venv /opt/tests
/opt/tests/bin/python -m pip install -q --no-compile -c /tmp/requirements.txt {packages}
/opt/tests/bin/python -m compileall -q /opt/tests/lib /usr/lib/python3* >/dev/null || true
rm /tmp/requirements.txt
"""


class Disk(NamedTuple):
    """What qemu is given."""

    kernel: Path
    initrd: Path
    image: Path


def disk() -> Disk:
    """Return the kept disk, made if need be: a minute, and 100 MB from the mirrors."""
    made_from = Path(__file__).read_bytes() + REQUIREMENTS.read_bytes()
    place = cache() / f"vm-{hashlib.sha256(made_from).hexdigest()[:12]}"
    if not place.exists():
        making = Path(tempfile.mkdtemp(dir=cache()))
        try:
            _make(making)
            for older in cache().glob("vm-*"):
                shutil.rmtree(older)
            making.rename(place)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return Disk(place / "vmlinuz", place / "initrd.img", place / "root.ext4")


def _make(making: Path) -> None:
    root = making / "root"
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
    command.append(f"--customize-hook=copy-in {REQUIREMENTS} /tmp")
    # Python's packages are fetched as this machine would fetch them, perhaps through a proxy.
    command.append(f"--customize-hook=copy-in {CERTIFICATES} {CERTIFICATES.parent}")
    for script in (ACCOUNTS, VENV.format(packages=" ".join(PYTHON)), KERNEL):
        command.append(f'--customize-hook=chroot "$1" sh -euc {_quoted(script)}')
    _run([*command, "--format=dir", SUITE, str(root)])
    for name in ("vmlinuz", "initrd.img"):
        shutil.move(root / "boot" / name, making / name)
    image(root, making / "root.ext4", SIZE)
    shutil.rmtree(root)


def image(folder: Path, file: Path, size: str) -> None:
    """Write an ext4 file system that holds a copy of `folder`; sizes are those of mkfs.ext4."""
    _run(["mkfs.ext4", "-q", "-O", "^has_journal", "-d", str(folder), str(file), size])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=_environment(), check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {(done.stderr + done.stdout)[-2000:]}")


def _environment() -> dict[str, str]:
    # Folders of this machine are not there in the new root.
    return {key: value for key, value in os.environ.items() if key != "TMPDIR"}


def _quoted(script: str) -> str:
    return "'" + script.replace("'", "'\\''") + "'"
