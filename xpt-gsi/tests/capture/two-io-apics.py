#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Gives q35's firmware tables a second IO-APIC, and the PCI devices its GSIs.

two-io-apics.py IN OUT: IN has `tables`, `rsdp` and `loader` as QEMU's firmware
configuration holds them (capture.sh takes them from a q35). The second IO-APIC
is the first one's registers again, which QEMU decodes at every 256 bytes of its
page: pins 16 to 23 are reached through it as GSIs 40 to 47, all others through
the first. The firmware computes the checksums anew.
"""
import pathlib
import struct
import sys

SECOND = struct.pack("<BBBBII", 1, 12, 1, 0, 0xFEC00100, 24)
# A processor that is not there, to fill what is left of two overrides.
NOBODY = bytes([0, 8, 0xFE, 0xFE, 0, 0, 0, 0])


def override(irq):
    return struct.pack("<BBBBIH", 2, 10, 0, irq, irq, 0x0D)


def interrupt(gsi):
    return bytes([0x89, 6, 0, 9, 1]) + struct.pack("<I", gsi)


def only(data, part, count):
    found = data.count(part)
    if found != count:
        sys.exit(f"{part.hex()} is there {found} times, not {count}: not a q35's tables")


source, target = map(pathlib.Path, sys.argv[1:])
target.mkdir(parents=True, exist_ok=True)
tables = (source / "tables").read_bytes()
# The overrides of 10 and 11 serve the links of PIC mode alone.
old = override(10) + override(11)
only(tables, old, 1)
tables = tables.replace(old, SECOND + NOBODY)
for pin in range(16, 24):
    # _CRS and _PRS of a link.
    only(tables, interrupt(pin), 2)
    tables = tables.replace(interrupt(pin), interrupt(24 + pin))
(target / "tables").write_bytes(tables)
for name in ("rsdp", "loader"):
    (target / name).write_bytes((source / name).read_bytes())
