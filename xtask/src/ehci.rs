// SPDX-License-Identifier: GPL-2.0-only
//! A USB controller with a debug port, which QEMU does not have.
//!
//! QEMU's `x-pci-proxy-dev` asks another process, over a socket, for all that its
//! configuration space and its BARs answer. A thread of ours answers as an EHCI
//! controller [EHCI 1.0] with a debug device on its port (appendix C), as far as
//! Xen's option `dbgp` goes to print there and to hide the controller from its
//! domains. Unlike QEMU's devices it has memory beside its MSI-X table, and its
//! configuration does not survive D3hot [PCI-PM 1.2, §5.4.1].

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::Shutdown,
    os::{fd::AsRawFd, unix::net::UnixStream},
    thread,
};

use anyhow::{Context, Result};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

// Messages of QEMU's multi-process link.
const SYNC_SYSMEM: u32 = 0;
const RET: u32 = 1;
const CONFIG_WRITE: u32 = 2;
const CONFIG_READ: u32 = 3;
const BAR_WRITE: u32 = 4;
const BAR_READ: u32 = 5;
const SET_IRQFD: u32 = 6;

/// Registers of configuration space, and which of their bits can be written.
const CONFIG: [(u32, u32, u32); 15] = [
    (0x00, 0x0eec_1234, 0),
    // With a list of capabilities; I/O, memory, master, SERR, INTx disable.
    (0x04, 0x0010_0000, 0x0507),
    (0x08, 0x0c03_2000, 0),
    (BAR0, 0, 0xffff_0000),
    (0x34, 0x40, 0),
    // Debug port: registers at DEBUG of BAR 0.
    (0x40, 0x20a0_500a, 0),
    // MSI with one message and a 64-bit address.
    (0x50, 0x0080_6005, 0x0001_0000),
    (0x54, 0, 0xffff_fffc),
    (0x58, 0, 0xffff_ffff),
    (0x5c, 0, 0xffff),
    // Power management without No_Soft_Reset.
    (0x60, 0x0003_7001, 0),
    (POWER, 0, 0x3),
    // MSI-X with four entries, amid memory of BAR 0.
    (0x70, 0x0003_0011, 0xc000_0000),
    (0x74, 0x1000, 0),
    (0x78, 0x1800, 0),
];
const BAR0: u32 = 0x10;
const POWER: u32 = 0x64;
const D0: u32 = 0;
const D3HOT: u32 = 3;

// Registers of BAR 0: capabilities, operation, port, debug port.
const VERSION: u32 = 0x00;
const STRUCTURE: u32 = 0x04;
const FIRST_OPERATIONAL: u32 = 0x20;
const COMMAND: u32 = 0x20;
const COMMAND_RUN: u32 = 0x1;
const COMMAND_RESET: u32 = 0x2;
const STATUS: u32 = 0x24;
const STATUS_PORT_CHANGE: u32 = 0x4;
const STATUS_HALTED: u32 = 0x1000;
const PORT: u32 = 0x64;
const PORT_CONNECTED: u32 = 0x1;
const PORT_ENABLED: u32 = 0x4;
const PORT_RESET: u32 = 0x100;
const PORT_POWER: u32 = 0x1000;
const DEBUG: u32 = 0xa0;
const DEBUG_LENGTH: u32 = 0xf;
const DEBUG_OUT: u32 = 0x10;
const DEBUG_GO: u32 = 0x20;
const DEBUG_ERROR: u32 = 0x40;
const DEBUG_DONE: u32 = 0x1_0000;
const DEBUG_OWNER: u32 = 0x4000_0000;
const DEBUG_DATA: u32 = 0xa8;

/// The debug device's descriptor: its length, its type, its two endpoints.
const DESCRIPTOR: u32 = 0x0281_0a04;

/// The controller's state.
struct Controller {
    config: BTreeMap<u32, u32>,
    memory: BTreeMap<u32, u32>,
}

impl Controller {
    fn new() -> Self {
        Self {
            config: CONFIG.iter().map(|&(at, value, _)| (at, value)).collect(),
            memory: BTreeMap::from([(VERSION, 0x0100_0020), (STRUCTURE, 0x0010_0001)]),
        }
    }

    fn config(&self, at: u32) -> u32 {
        self.config.get(&at).copied().unwrap_or_default()
    }

    fn config_write(&mut self, at: u32, value: u32, bits: u32) {
        let writable = CONFIG.iter().find(|(register, ..)| *register == at);
        let bits = bits & writable.map_or(0, |(.., bits)| *bits);
        let old = self.config(at);
        let new = old & !bits | value & bits;
        if at == POWER && old == D3HOT && new == D0 {
            *self = Self::new();
        } else {
            self.config.insert(at, new);
        }
    }

    fn memory(&self, at: u32) -> u32 {
        let stored = |at| self.memory.get(&at).copied().unwrap_or_default();
        match at {
            STATUS if stored(COMMAND) & COMMAND_RUN == 0 => STATUS_PORT_CHANGE | STATUS_HALTED,
            STATUS => STATUS_PORT_CHANGE,
            // Firmware, which does not know debug devices, shall not find it.
            PORT if stored(DEBUG) & DEBUG_OWNER == 0 => PORT_POWER,
            PORT => PORT_POWER | PORT_CONNECTED | stored(PORT),
            _ => stored(at),
        }
    }

    fn memory_write(&mut self, at: u32, value: u32) {
        let value = match at {
            ..FIRST_OPERATIONAL => return,
            COMMAND => value & !COMMAND_RESET,
            PORT if value & PORT_RESET != 0 => PORT_ENABLED,
            PORT => value & PORT_ENABLED,
            DEBUG if value & DEBUG_GO == 0 => value & !DEBUG_DONE,
            DEBUG => {
                let done = value & !(DEBUG_GO | DEBUG_ERROR) | DEBUG_DONE;
                if value & DEBUG_OUT == 0 {
                    self.memory.insert(DEBUG_DATA, DESCRIPTOR);
                    done & !DEBUG_LENGTH | 4
                } else {
                    done
                }
            }
            _ => value,
        };
        self.memory.insert(at, value);
    }

    /// Answers one message; `None` where none is wanted.
    fn answer(&mut self, message: u32, body: &[u8]) -> Option<u64> {
        let word = |at: usize| {
            let bytes = body.get(at..).and_then(<[u8]>::first_chunk);
            bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
        };
        // Address, value and length: of BARs the address is that of memory.
        let (at, value, length) = match message {
            CONFIG_READ | CONFIG_WRITE => (word(0), [word(4), 0], word(8)),
            BAR_READ | BAR_WRITE => {
                let at = word(0).wrapping_sub(self.config(BAR0));
                (at, [word(8), word(12)], word(16))
            }
            SYNC_SYSMEM | SET_IRQFD => return None,
            _ => return Some(0),
        };
        let shift = (at & 3) * 8;
        let bits = match length {
            1 => 0xff,
            2 => 0xffff,
            _ => u32::MAX,
        };
        let mut answer = 0;
        // The second half is of an access of 64 bits.
        let words = if length == 8 { 2 } else { 1 };
        for (half, value) in (0..words).zip(value) {
            let register = (at & !3) + half * 4;
            let read = match message {
                CONFIG_READ => self.config(register),
                BAR_READ => self.memory(register),
                CONFIG_WRITE => {
                    self.config_write(register, value << shift, bits << shift);
                    0
                }
                _ => {
                    let old = self.memory(register) & !(bits << shift);
                    self.memory_write(register, old | (value & bits) << shift);
                    0
                }
            };
            answer |= u64::from(read >> shift & bits) << (half * 32);
        }
        Some(answer)
    }

    /// Answers until QEMU is gone.
    fn serve(&mut self, mut socket: UnixStream) -> std::io::Result<()> {
        loop {
            // Message, padding, length of the body.
            let mut head = [0; 16];
            socket.read_exact(&mut head)?;
            let [a, b, c, d, _, _, _, _, low, high, ..] = head;
            let mut body = vec![0; u16::from_le_bytes([low, high]).into()];
            socket.read_exact(&mut body)?;
            if let Some(value) = self.answer(u32::from_le_bytes([a, b, c, d]), &body) {
                let mut reply = [0; 24];
                let parts = [u64::from(RET), 8, value];
                for (bytes, part) in reply.chunks_exact_mut(8).zip(parts) {
                    bytes.copy_from_slice(&part.to_le_bytes());
                }
                socket.write_all(&reply)?;
            }
        }
    }
}

/// A controller in a machine; gone when this value is.
pub(crate) struct Ehci {
    ours: UnixStream,
    theirs: Option<UnixStream>,
}

impl Ehci {
    /// Makes one, with nobody at the other end yet.
    pub(crate) fn new() -> Result<Self> {
        let (ours, theirs) = UnixStream::pair().context("cannot make a pair of sockets")?;
        // QEMU is to inherit this one.
        fcntl(&theirs, FcntlArg::F_SETFD(FdFlag::empty())).context("cannot hand over a socket")?;
        let socket = ours.try_clone()?;
        // Ends with an error when either end is closed, and there is nobody to tell.
        thread::spawn(move || Controller::new().serve(socket));
        Ok(Self {
            ours,
            theirs: Some(theirs),
        })
    }

    /// QEMU's arguments that put it at `slot`, in a machine with `memory`.
    ///
    /// QEMU hands it the machine's memory, which therefore has to be in a file.
    pub(crate) fn arguments(&self, slot: &str, memory: &str) -> Vec<String> {
        let Some(fd) = &self.theirs else {
            return Vec::new();
        };
        vec![
            "-object".to_owned(),
            format!("memory-backend-memfd,id=ram,size={memory},share=on"),
            "-machine".to_owned(),
            "memory-backend=ram".to_owned(),
            "-device".to_owned(),
            format!("x-pci-proxy-dev,fd={},addr={slot}", fd.as_raw_fd()),
        ]
    }

    /// QEMU has been started, and has its end.
    pub(crate) fn started(&mut self) {
        self.theirs = None;
    }
}

impl Drop for Ehci {
    fn drop(&mut self) {
        // Another child may have inherited QEMU's end: do not wait for it.
        let _ = self.ours.shutdown(Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(controller: &mut Controller, message: u32, at: u32, value: u32, length: u32) -> u64 {
        let body: Vec<u8> = [at, value, length]
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        controller.answer(message, &body).unwrap()
    }

    fn bar(controller: &mut Controller, message: u32, at: u64, value: u64, length: u32) -> u64 {
        let mut body: Vec<u8> = [at, value]
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        body.extend(length.to_le_bytes());
        body.extend([1, 0, 0, 0]);
        controller.answer(message, &body).unwrap()
    }

    #[test]
    fn configuration_space_is_a_pci_devices() {
        let mut it = Controller::new();
        assert_eq!(config(&mut it, CONFIG_READ, 0, 0, 4), 0x0eec_1234);
        assert_eq!(config(&mut it, CONFIG_READ, 2, 0, 2), 0x0eec);
        assert_eq!(config(&mut it, CONFIG_READ, 0xb, 0, 1), 0x0c);
        config(&mut it, CONFIG_WRITE, BAR0, 0xffff_ffff, 4);
        assert_eq!(config(&mut it, CONFIG_READ, BAR0, 0, 4), 0xffff_0000);
        config(&mut it, CONFIG_WRITE, 5, 0xff, 1);
        assert_eq!(config(&mut it, CONFIG_READ, 4, 0, 2), 0x0500);
        assert_eq!(config(&mut it, CONFIG_READ, 0xfc, 0, 4), 0);
    }

    #[test]
    fn d3hot_loses_what_was_written() {
        let mut it = Controller::new();
        config(&mut it, CONFIG_WRITE, BAR0, 0xfe00_0000, 4);
        config(&mut it, CONFIG_WRITE, POWER, D3HOT, 2);
        assert_eq!(config(&mut it, CONFIG_READ, BAR0, 0, 4), 0xfe00_0000);
        config(&mut it, CONFIG_WRITE, POWER, D0, 2);
        assert_eq!(config(&mut it, CONFIG_READ, BAR0, 0, 4), 0);
    }

    #[test]
    fn debug_port_completes_what_its_owner_starts() {
        let mut it = Controller::new();
        config(&mut it, CONFIG_WRITE, BAR0, 0xfe00_0000, 4);
        let base = 0xfe00_0000_u64;
        let at = |register: u32| base + u64::from(register);
        assert_eq!(bar(&mut it, BAR_READ, base, 0, 4), 0x0100_0020);
        assert_eq!(bar(&mut it, BAR_READ, at(PORT), 0, 4), 0x1000);
        bar(&mut it, BAR_WRITE, at(DEBUG), DEBUG_OWNER.into(), 4);
        bar(&mut it, BAR_WRITE, at(PORT), PORT_RESET.into(), 4);
        assert_eq!(bar(&mut it, BAR_READ, at(PORT), 0, 4), 0x1005);
        let go = u64::from(DEBUG_OWNER | DEBUG_GO | 8);
        bar(&mut it, BAR_WRITE, at(DEBUG), go, 4);
        assert_eq!(bar(&mut it, BAR_READ, at(DEBUG), 0, 4), 0x4001_0004);
        assert_eq!(bar(&mut it, BAR_READ, at(DEBUG_DATA), 0, 4), 0x0281_0a04);
    }

    #[test]
    fn memory_takes_every_size() {
        let mut it = Controller::new();
        bar(&mut it, BAR_WRITE, 0x1100, 0x1122_3344_5566_7788, 8);
        bar(&mut it, BAR_WRITE, 0x1102, 0xaabb, 2);
        bar(&mut it, BAR_WRITE, 0x1107, 0xcc, 1);
        assert_eq!(bar(&mut it, BAR_READ, 0x1100, 0, 8), 0xcc22_3344_aabb_7788);
        assert_eq!(bar(&mut it, BAR_READ, 0x1103, 0, 1), 0xaa);
        assert_eq!(bar(&mut it, BAR_READ, 0x1104, 0, 4), 0xcc22_3344);
    }

    #[test]
    fn messages_are_answered_until_the_other_end_closes() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let server = thread::spawn(move || Controller::new().serve(ours));
        let mut message = vec![0; 16];
        message.extend([7; 8]);
        message[8] = 8; // Of SYNC_SYSMEM, without an answer.
        message.extend([3, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0]);
        message.extend([0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0]);
        theirs.write_all(&message).unwrap();
        let mut reply = [0; 24];
        theirs.read_exact(&mut reply).unwrap();
        assert_eq!(
            reply[..16],
            [1, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(reply[16..], [0x34, 0x12, 0xec, 0x0e, 0, 0, 0, 0]);
        drop(theirs);
        assert!(server.join().unwrap().is_err());
    }
}
