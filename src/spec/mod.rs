// SPDX-License-Identifier: GPL-2.0-only
//! What a specification or a public Xen header says, and nothing else.
//!
//! - [`pci`]: configuration space header, command, BARs, ROM
//! - [`msi`]: the MSI and MSI-X capabilities and the MSI-X table
//! - [`ioapic`]: I/O APIC redirection entries
//! - [`physdev`]: arguments of `PHYSDEVOP_*`
//! - [`domctl`]: arguments of `XEN_DOMCTL_*`
//!
//! Registers are `bitflags` in which unknown bits survive; layouts of the public
//! headers are `zerocopy` types with their sizes asserted beside them, and a C
//! test compares them with the headers themselves.

#![forbid(unsafe_code)]

pub mod domctl;
pub mod ioapic;
pub mod msi;
pub mod pci;
pub mod physdev;
