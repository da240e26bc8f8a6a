// SPDX-License-Identifier: GPL-2.0-only
//! PCI passthrough decisions and state for a PVH hardware domain of Xen.

// The shipped build, for a target without an operating system, has no standard
// library. On a host the tests use it, and it brings the panic handler that the
// shipped build takes from `ffi`.
#![cfg_attr(target_os = "none", no_std)]

pub mod errno;
pub mod gsi;
pub mod ids;
pub mod pirq;
pub mod spec;
pub mod vpci;
