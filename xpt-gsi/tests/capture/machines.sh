# SPDX-License-Identifier: GPL-2.0-only
# The machines that are captured (sourced by capture.sh).

# Devices on the root bus, behind root ports, a bridge, and a bridge behind a port.
q35=(-M "q35,kernel-irqchip=split" -cpu "qemu64,+svm,+npt" -smp 2
    -device "edu,addr=5" -device "nvme,serial=1,drive=d,addr=6" -device "e1000e,addr=8"
    -device "pcie-root-port,id=rp1,chassis=1,slot=1,addr=9.0,multifunction=on"
    -device "pcie-root-port,id=rp2,chassis=2,slot=2,addr=9.1"
    -device "e1000e,bus=rp1,addr=0" -device "e1000e,bus=rp2,addr=0"
    -device "pcie-pci-bridge,id=pb,msi=off,addr=a" -device "edu,bus=pb,addr=1" -device "edu,bus=pb,addr=2"
    -device "pci-bridge,id=pb2,bus=pb,chassis_nr=9,shpc=off,msi=off,addr=3" -device "edu,bus=pb2,addr=7")
machine q35 bookworm native "${q35[@]}"
machine q35-dom0 trixie dom0 "${q35[@]}" -device "amd-iommu,intremap=on"
machine q35-dom0-6.1 bookworm dom0 "${q35[@]}" -device "amd-iommu,intremap=on"

# Interrupts that are remapped; its firmware's tables are what the next ones change.
kernel=capture=firmware machine q35-remap trixie native "${q35[@]}" -device "amd-iommu,intremap=on"

# The same with firmware of our own making, under which irqs are no longer GSIs:
# with a second IO-APIC that has the PCI devices' GSIs (Xen takes no IO-APIC that
# does not begin a page), and with one IO-APIC whose GSIs begin at 24.
firmware() {
    "$here/$1" "$work/q35-remap/fw_cfg" "$work/$1.out"
    own=("${q35[@]}" -machine acpi=off -device "amd-iommu,intremap=on"
        -fw_cfg "name=etc/acpi/tables,file=$work/$1.out/tables"
        -fw_cfg "name=etc/acpi/rsdp,file=$work/$1.out/rsdp"
        -fw_cfg "name=etc/table-loader,file=$work/$1.out/loader")
}
if [ -e "$work/q35-remap/fw_cfg" ]; then
    firmware two-io-apics.py
    kernel=intremap=off machine q35-two trixie native "${own[@]}"
    firmware later-gsis.py
    # Xen has no irq for the second serial line there.
    kernel=capture=console machine q35-later-dom0 trixie dom0 "${own[@]}"
fi

# A second IO-APIC, and no i8259: irqs are given out as they are asked for.
microvm=(-M "microvm,acpi=on,pcie=on,ioapic2=on,rtc=on" -cpu max -smp 2
    -device "edu,addr=5" -device "nvme,serial=1,drive=d,addr=6" -device "e1000e,addr=8"
    -device "pcie-root-port,id=rp1,chassis=1,slot=1,addr=9" -device "e1000e,bus=rp1,addr=0"
    -device virtio-rng-device)
# Emulated, it has no clock to measure others by.
kernel="capture=console tsc_early_khz=2500000 earlyprintk=ttyS0" machine microvm bookworm native "${microvm[@]}"

# Links that the chipset's own registers route, and a second root bus.
pc=(-M pc -cpu "qemu64,+svm,+npt" -smp 1
    -device "edu,addr=5" -device "nvme,serial=1,drive=d,addr=6" -device "e1000,addr=8"
    -device "pci-bridge,id=pb,chassis_nr=9,shpc=off,msi=off,addr=9" -device "edu,bus=pb,addr=1" -device "edu,bus=pb,addr=2"
    -device "pxb,id=px,bus_nr=128,addr=a" -device "edu,bus=px,addr=3")
machine pc bookworm native "${pc[@]}"
