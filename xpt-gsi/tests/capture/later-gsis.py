#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Gives the IO-APIC of q35's firmware tables the GSIs from 24 on.

later-gsis.py IN OUT: IN has `tables`, `rsdp` and `loader` as QEMU's firmware
configuration holds them (capture.sh takes them from a q35). Where the first
IO-APIC has not the GSIs of ISA, Linux gives out irqs as they are asked for, so
an irq is no longer its GSI. The firmware computes the checksums anew.
"""
import pathlib
import struct
import sys

BASE = 24


def override(irq, gsi, flags):
    return struct.pack("<BBBBIH", 2, 10, 0, irq, gsi, flags)


def interrupt(gsi):
    return bytes([0x89, 6, 0, 9, 1]) + struct.pack("<I", gsi)


def replaced(data, old, new, count):
    found = data.count(old)
    if found != count:
        sys.exit(f"{old.hex()} is there {found} times, not {count}: not a q35's tables")
    return data.replace(old, new)


source, target = map(pathlib.Path, sys.argv[1:])
target.mkdir(parents=True, exist_ok=True)
tables = (source / "tables").read_bytes()
io_apic = "<BBBBII"
tables = replaced(
    tables,
    struct.pack(io_apic, 1, 12, 0, 0, 0xFEC00000, 0),
    struct.pack(io_apic, 1, 12, 0, 0, 0xFEC00000, BASE),
    1,
)
# Timer, keyboard, serial lines and SCI; the others go without.
old = override(0, 2, 0) + b"".join(override(irq, irq, 0x0D) for irq in (5, 9, 10, 11))
new = override(0, BASE + 2, 0)
new += b"".join(override(irq, BASE + irq, 0) for irq in (1, 3, 4))
new += override(9, BASE + 9, 0x0D)
tables = replaced(tables, old, new, 1)
for pin in range(16, 24):
    # _CRS and _PRS of a link.
    tables = replaced(tables, interrupt(pin), interrupt(BASE + pin), 2)
(target / "tables").write_bytes(tables)
for name in ("rsdp", "loader"):
    (target / name).write_bytes((source / name).read_bytes())
