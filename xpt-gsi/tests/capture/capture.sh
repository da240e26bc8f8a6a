#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Makes ../captures again: boots Debian's kernels on QEMU's machines, natively
# and as PVH dom0, and keeps what xpt-gsi reads there beside what the kernel
# itself says of its GSIs (dmesg, privcmd).
#
#   capture.sh XEN WORK [NAME ...]
#
# XEN is a hypervisor that runs a PVH dom0 (target/xpt/4.20/xpt/xen after `cargo
# xtask boot`), WORK a folder for what is fetched and built, NAME the captures to
# make (default: all). XPT_GSI in the environment is a static xpt-gsi to run there too. Needs gcc, cpio, tar, qemu-system-x86 and apt's Debian 12.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
xen=$(realpath "$1")
mkdir -p "$2"
work=$(realpath "$2")
shift 2
out=$here/../captures
mkdir -p "$out"

# The newest kernel of a suite, from an apt configuration of its own.
fetch() {
    local suite=$1 dir=$work/$1 package
    [ -e "$dir/vmlinuz" ] && return
    mkdir -p "$dir"/{apt/lists/partial,apt/archives/partial,apt/sources.d,deb}
    for file in /etc/apt/sources.list.d/*.sources; do
        sed "s/^Suites:.*bookworm\( .*\|\)$/Suites: $suite/" "$file" |
            awk -v RS= -v s="$suite" '$0 ~ "Suites: " s "\n" && $0 ~ "Components:.*main" && $0 !~ /debian-security/ { print $0 "\n" }'
    done > "$dir/apt/sources.d/archive.sources"
    cat > "$dir/apt/apt.conf" <<EOF
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "$dir/apt/sources.d";
Dir::State::Lists "$dir/apt/lists";
Dir::Cache "$dir/apt";
APT::Sandbox::User "root";
EOF
    export APT_CONFIG=$dir/apt/apt.conf
    apt-get -q update
    package=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: //p' | head -n 1)
    (cd "$dir/deb" && apt-get -q download "$package" busybox-static)
    unset APT_CONFIG
    for deb in "$dir"/deb/*.deb; do dpkg-deb -x "$deb" "$dir/root"; done
    cp "$dir"/root/boot/vmlinuz-* "$dir/vmlinuz"
}

# An initrd of busybox, the modules of what is in the machines, and our init.
initrd() {
    local suite=$1 dir=$work/$1 root=$work/$1/initrd-root module file
    rm -rf "$root"
    mkdir -p "$root/bin" "$root/modules"
    cp "$here/init" "$root/init"
    chmod +x "$root/init"
    cp -L "$(find "$dir/root" -path "*bin/busybox" | head -n 1)" "$root/bin/busybox"
    gcc -static -O1 -o "$root/privcmd" "$here/privcmd.c"
    # What the program says there is then in WORK/NAME/xpt-gsi.
    if [ -n "${XPT_GSI:-}" ]; then cp "$XPT_GSI" "$root/xpt-gsi"; fi
    for module in qemu_fw_cfg pps_core ptp e1000e nvme-common nvme-auth nvme-core nvme xen-privcmd xenfs xen-pciback; do
        file=$(find "$dir/root" -name "$module.ko" -o -name "$module.ko.xz" | head -n 1)
        [ -n "$file" ] || continue
        case $file in
        *.xz) xz -dc "$file" > "$root/modules/$module.ko" ;;
        *) cp "$file" "$root/modules/$module.ko" ;;
        esac
        echo "$module.ko" >> "$root/modules/order"
    done
    # One e1000e on INTx, the next on MSI-X: of both there is an irq.
    echo "IntMode=0,2" > "$root/modules/e1000e.ko.args"
    (cd "$root" && find . | cpio -o -H newc --quiet -R 0:0 | gzip -1) > "$dir/initrd"
}

# machine NAME SUITE native|dom0 QEMU-ARGUMENTS...
machine() {
    local name=$1 suite=$2 kind=$3 dir=$work/$2 args i
    shift 3
    [ -n "$wanted" ] && [[ " $wanted " != *" $name "* ]] && return
    echo "$name: boot"
    args='console=hvc0 earlyprintk=xen'
    [ "$kind" = native ] && args='console=ttyS0'
    args="$args loglevel=4 ${kernel:-} log_buf_len=4M dyndbg=\"file drivers/acpi/pci_irq.c +p\""
    local log=$work/$name.log raw=$work/$name.raw
    : > "$raw"
    truncate -s 4M "$work/disk.img"
    set -- "$@" -display none -monitor none -no-reboot -nic none -serial "file:$log" -serial "file:$raw"
    set -- "$@" -drive "file=$work/disk.img,format=raw,if=none,id=d,snapshot=on"
    if [ "$kind" = native ]; then
        set -- "$@" -m 512M -kernel "$dir/vmlinuz" -initrd "$dir/initrd" -append "$args"
    else
        set -- "$@" -m 2G -kernel "$xen" -initrd "$dir/vmlinuz $args,$dir/initrd" \
            -append "loglvl=all guest_loglvl=all console=com1 com1=115200,8n1 noreboot dom0=pvh dom0_mem=1G iommu=verbose ${xenopt:-}"
    fi
    echo "${qemu:-qemu-system-x86_64}" "$@" > "$work/$name.cmd"
    "${qemu:-qemu-system-x86_64}" "$@" < /dev/null > "$work/$name.out" 2>&1 &
    local pid=$!
    for i in $(seq 1 240); do
        sleep 1
        if grep -aqs '^capture: done' "$raw" "$log"; then break; fi
        kill -0 "$pid" 2> /dev/null || break
    done
    kill "$pid" 2> /dev/null || true
    wait "$pid" 2> /dev/null || true
    rm -rf "$work/$name"
    mkdir -p "$work/$name"
    grep -aqs '^capture: done' "$raw" || raw=$log
    tr -d '\r' < "$raw" | grep -av '(XEN)' | sed '0,/^capture: archive/d;/^capture: done/,$d' | base64 -di | tar xzf - -C "$work/$name" ||
        { echo "$name: no archive came; see $log"; exit 1; }
    tar -C "$work/$name" --exclude=./fw_cfg --exclude=./xpt-gsi --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf - . |
        gzip -9n > "$out/$name.tar.gz"
    echo "$name: $(stat -c %s "$out/$name.tar.gz") bytes, $(grep -c 'PCI INT' "$work/$name/dmesg") devices with a GSI"
}

wanted="$*"
for suite in bookworm trixie; do
    fetch "$suite"
    initrd "$suite"
done
. "$here/machines.sh"
