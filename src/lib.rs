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
//! The hardware domain moves a BAR that is not mapped, and turns memory decode
//! on. C is asked to write the device, with the BAR's read-only bits as they are,
//! and to have the vCPU come back for the map before it runs its guest again.
//!
//! ```
//! use xen_passthrough::spec::pci::{BASE_ADDRESS_0, COMMAND, Width};
//! use xen_passthrough::vpci::action::Depth;
//! use xen_passthrough::vpci::bar::BarSet;
//! use xen_passthrough::vpci::header::Snapshot;
//! use xen_passthrough::vpci::{Action, Device, Owner};
//!
//! // What C reads of the device: one 64-bit BAR, of 16 KiB.
//! let header = Snapshot { id: 0x0010_1b36, bars: [0x4, 0, 0, 0, 0, 0], ..Snapshot::default() };
//! let mut device = Device::empty();
//! device.init(&header, &[0x4000, 0, 0, 0, 0, 0, 0]).unwrap();
//! assert_eq!(device.attach(Owner::Hardware), Action::Probe(Depth::Capabilities));
//! assert_eq!(device.probed(&mut [], &header), Action::Done(Ok(())));
//!
//! assert_eq!(
//!     device.write(&mut [], BASE_ADDRESS_0, 0xfebf_0000),
//!     Action::ConfWrite { register: BASE_ADDRESS_0, width: Width::Dword, value: 0xfebf_0004 },
//! );
//! assert_eq!(device.bars[0].addr, 0xfebf_0000);
//!
//! assert_eq!(
//!     device.write(&mut [], COMMAND, 2),
//!     Action::ConfWrite { register: COMMAND, width: Width::Word, value: 2 },
//! );
//! assert_eq!(device.complete(&mut [], Ok(BarSet::NONE)), Action::Defer);
//!
//! // The vCPU has come back.
//! let bars = BarSet::from_bits(0b1);
//! assert_eq!(device.work(device.epoch), Action::Map(bars));
//! assert_eq!(device.worked(device.epoch, Ok(bars)), Action::Done(Ok(())));
//!
//! // Now the BAR stays where it is, unless the device has been reset meanwhile.
//! assert_eq!(
//!     device.write(&mut [], BASE_ADDRESS_0, 0xfe00_0000),
//!     Action::Probe(Depth::Command),
//! );
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
#[cfg(any(kani, all(kani_stub, test)))]
mod proofs;
pub mod spec;
pub mod vpci;
