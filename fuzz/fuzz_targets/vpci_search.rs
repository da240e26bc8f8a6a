// SPDX-License-Identifier: GPL-2.0-only
//! Event scripts against the device and the model of `tests/vpci_search.rs`, by way
//! of the C functions: each byte is one of the moves that there are. What must hold
//! in each state is checked after each, and at the end that whatever is on its way
//! ends, that a reset makes the device as new, that the domain gets it to work and
//! that it heals.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xen_passthrough_fuzz::script_of_moves;

fuzz_target!(|bytes: &[u8]| script_of_moves(bytes));
