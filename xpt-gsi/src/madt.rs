// SPDX-License-Identifier: GPL-2.0-only
//! The MADT: which GSIs each IO-APIC has, and where the ISA irqs went.

use std::collections::BTreeMap;

use crate::error::{Error, Kind, Result};

const HEADER: usize = 36;
/// The redirection table's size is a field of eight bits, less one entry.
const MOST_PINS: u32 = 240;

/// An IO-APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IoApic {
    pub(crate) id: u8,
    pub(crate) base: u32,
}

/// What is used of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Madt {
    /// By their first GSI.
    io_apics: Vec<IoApic>,
    /// ISA irqs whose GSI is named.
    overrides: BTreeMap<u8, u32>,
    /// Whether there are two i8259: Linux keeps irqs 0 to 15 for ISA then.
    pub(crate) has_8259: bool,
    pub(crate) checksum_is_right: bool,
}

fn malformed(what: &str) -> Error {
    Error::new(Kind::Malformed, format!("the MADT is malformed: {what}"))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*bytes))
}

impl Madt {
    pub(crate) fn parse(file: &[u8]) -> Result<Self> {
        if !file.starts_with(b"APIC") {
            return Err(malformed("it has no signature"));
        }
        let length = u32_at(file, 4)
            .and_then(|length| usize::try_from(length).ok())
            .ok_or_else(|| malformed("it ends in its header"))?;
        let table = file
            .get(..length)
            .filter(|table| table.len() >= HEADER + 8)
            .ok_or_else(|| malformed(&format!("its length of {length} is not the file's")))?;
        let flags = u32_at(table, HEADER + 4).ok_or_else(|| malformed("it has no flags"))?;
        let mut madt = Self {
            io_apics: Vec::new(),
            overrides: BTreeMap::new(),
            has_8259: flags & 1 != 0,
            checksum_is_right: table.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) == 0,
        };
        let mut rest = table.get(HEADER + 8..).unwrap_or_default();
        while let Some(&kind) = rest.first() {
            let length = usize::from(rest.get(1).copied().unwrap_or_default());
            let (entry, after) = rest
                .split_at_checked(length)
                .filter(|(entry, _)| entry.len() >= 2)
                .ok_or_else(|| {
                    malformed(&format!("an entry of type {kind} has length {length}"))
                })?;
            madt.entry(kind, entry)?;
            rest = after;
        }
        madt.io_apics.sort_by_key(|io_apic| io_apic.base);
        for pair in madt.io_apics.windows(2) {
            if let [one, other] = pair
                && one.base == other.base
            {
                return Err(malformed(&format!(
                    "two IO-APICs have GSIs from {}",
                    one.base
                )));
            }
        }
        Ok(madt)
    }

    fn entry(&mut self, kind: u8, entry: &[u8]) -> Result<()> {
        match kind {
            1 => {
                let (Some(&id), Some(base)) = (entry.get(2), u32_at(entry, 8)) else {
                    return Err(malformed("an IO-APIC entry is too short"));
                };
                self.io_apics.push(IoApic { id, base });
            }
            2 => {
                let (Some(&bus), Some(&irq), Some(gsi)) =
                    (entry.get(2), entry.get(3), u32_at(entry, 4))
                else {
                    return Err(malformed("an override entry is too short"));
                };
                if bus == 0
                    && let Some(before) = self.overrides.insert(irq, gsi)
                    && before != gsi
                {
                    return Err(malformed(&format!(
                        "ISA irq {irq} is both GSI {before} and GSI {gsi}"
                    )));
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn io_apics(&self) -> &[IoApic] {
        &self.io_apics
    }

    /// The GSIs that pin `pin` of an IO-APIC can be: one for each that has the pin.
    pub(crate) fn gsis_of_pin(&self, pin: u32) -> Vec<u32> {
        if pin >= MOST_PINS {
            return Vec::new();
        }
        let next = self.io_apics.iter().skip(1).map(|next| Some(next.base));
        self.io_apics
            .iter()
            .zip(next.chain([None]))
            .filter_map(|(io_apic, next)| {
                let gsi = io_apic.base.checked_add(pin)?;
                next.is_none_or(|next| gsi < next).then_some(gsi)
            })
            .collect()
    }

    /// The GSI of an ISA irq.
    pub(crate) fn gsi_of_isa(&self, irq: u8) -> u32 {
        self.overrides
            .get(&irq)
            .copied()
            .unwrap_or_else(|| u32::from(irq))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(flags: u32, entries: &[&[u8]]) -> Vec<u8> {
        let mut table = b"APIC".to_vec();
        table.resize(HEADER, 0);
        table.extend([0, 0, 0xe0, 0xfe]);
        table.extend(flags.to_le_bytes());
        for entry in entries {
            table.extend(*entry);
        }
        let length = u32::try_from(table.len()).unwrap();
        table[4..8].copy_from_slice(&length.to_le_bytes());
        let sum = table.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        table[9] = 0u8.wrapping_sub(sum);
        table
    }

    const TWO: [&[u8]; 4] = [
        &[1, 12, 2, 0, 0, 0x10, 0xc0, 0xfe, 24, 0, 0, 0],
        &[1, 12, 1, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0],
        &[2, 10, 0, 0, 2, 0, 0, 0, 0, 0],
        &[0, 8, 0, 0, 1, 0, 0, 0],
    ];

    #[test]
    fn pins_of_two_io_apics() {
        let madt = Madt::parse(&table(1, &TWO)).unwrap();
        assert!(madt.has_8259 && madt.checksum_is_right);
        assert_eq!(
            madt.io_apics(),
            [IoApic { id: 1, base: 0 }, IoApic { id: 2, base: 24 }]
        );
        assert_eq!(madt.gsis_of_pin(5), [5, 29]);
        assert_eq!(madt.gsis_of_pin(23), [23, 47]);
        // The first has no pin 24.
        assert_eq!(madt.gsis_of_pin(24), [48]);
        assert_eq!(madt.gsis_of_pin(240), [0u32; 0]);
        assert_eq!((madt.gsi_of_isa(0), madt.gsi_of_isa(1)), (2, 1));
    }

    #[test]
    fn malformed_tables_are_named() {
        let two: &[u8] = &[1, 12, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for (file, says) in [
            (b"DSDT".to_vec(), "no signature"),
            (b"APIC".to_vec(), "ends in its header"),
            (table(0, &[])[..40].to_vec(), "length of 44"),
            (table(0, &[&[1, 0]]), "an entry of type 1 has length 0"),
            (table(0, &[&[1]]), "an entry of type 1 has length 0"),
            (table(0, &[&[1, 12, 0]]), "an entry of type 1 has length 12"),
            (table(0, &[&[1, 4, 0, 0]]), "an IO-APIC entry is too short"),
            (table(0, &[&[2, 4, 0, 0]]), "an override entry is too short"),
            (table(0, &[two, two]), "two IO-APICs have GSIs from 0"),
            (
                table(
                    0,
                    &[
                        &[2, 10, 0, 9, 9, 0, 0, 0, 0, 0],
                        &[2, 10, 0, 9, 8, 0, 0, 0, 0, 0],
                    ],
                ),
                "ISA irq 9 is both GSI 9 and GSI 8",
            ),
        ] {
            let error = Madt::parse(&file).unwrap_err();
            assert_eq!(error.kind, Kind::Malformed);
            assert!(error.message.contains(says), "{error}");
        }
    }

    #[test]
    fn gsi_past_the_last_is_not_made_up() {
        let last: &[u8] = &[1, 12, 2, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
        let madt = Madt::parse(&table(0, &[last])).unwrap();
        assert_eq!(madt.gsis_of_pin(0), [u32::MAX]);
        assert_eq!(madt.gsis_of_pin(1), [0u32; 0]);
        assert!(!madt.has_8259);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_a_table_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Madt::parse(&bytes);
        }

        #[test]
        fn any_entries_are_a_table_or_an_error(entries in proptest::collection::vec(any::<u8>(), 0..200), flags: u32, pin: u32) {
            if let Ok(madt) = Madt::parse(&table(flags, &[&entries])) {
                prop_assert!(madt.gsis_of_pin(pin).len() <= madt.io_apics().len());
            }
        }

        #[test]
        fn a_damaged_table_is_a_table_or_an_error(at in 0usize..84, value: u8) {
            let mut bytes = table(1, &TWO);
            let last = bytes.len() - 1;
            bytes[at.min(last)] = value;
            if let Ok(madt) = Madt::parse(&bytes) {
                prop_assert!(madt.io_apics().len() <= 2);
            }
        }
    }
}
