// SPDX-License-Identifier: GPL-2.0-only
//! PCI passthrough decisions and state for a PVH hardware domain of Xen.
//!
//! Linked into the hypervisor, this crate decides what `hvm_physdev_op`, the
//! vIO-APIC and vPCI do for a hardware domain that runs in PVH mode. It calls
//! nothing: facts come in as values, one action goes out, C performs it and
//! reports the outcome.
//!
//! # Floors
//!
//! Each floor uses only those before it.
//!
//! | floor           | what it holds                                          |
//! |-----------------|--------------------------------------------------------|
//! | [`ids`] [`errno`] | numbers with a meaning, Xen's error numbers          |
//! | [`spec`]        | what a specification or a public Xen header says       |
//! | [`vpci`]        | a device's record, writes to its BARs, its reset       |
//! | [`pirq`]        | who reaches which operation, and maps for whom         |
//! | [`gsi`]         | a GSI from unregistered to bound                       |
//! | [`ffi`]         | the C functions, and the only unsafe code              |
//!
//! # One BAR write
//!
//! The hardware domain writes a BAR that is not mapped: the record follows, and
//! C is asked to write the device with the read-only bits as they are.
//!
//! ```
//! use xen_passthrough::ids::BarIndex;
//! use xen_passthrough::vpci::{Action, Device, bar::BarKind};
//!
//! let mut device = Device::empty();
//! device.bars[0].r#type = BarKind::Mem64Lo as u32;
//! let bar = BarIndex::new(0).unwrap();
//! assert_eq!(
//!     device.write_bar(bar, 0xfebf_0000),
//!     Action::ConfWrite { register: 0x10, value: 0xfebf_0004 },
//! );
//! assert_eq!(device.bars[0].addr, 0xfebf_0000);
//!
//! device.bars[0].enabled = 1; // memory decode on, the BAR is mapped
//! assert_eq!(device.write_bar(bar, 0xfe00_0000), Action::BarMapped(bar));
//! ```

// The shipped build, for a target without an operating system, has no standard
// library. On a host the tests use it, and it brings the panic handler that the
// shipped build takes from `ffi`.
#![cfg_attr(target_os = "none", no_std)]

pub mod errno;
pub mod ffi;
pub mod gsi;
pub mod ids;
pub mod pirq;
pub mod spec;
pub mod vpci;
