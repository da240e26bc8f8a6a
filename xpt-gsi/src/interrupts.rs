// SPDX-License-Identifier: GPL-2.0-only
//! What the kernel says of an irq: its chip, and its number there.

use crate::{
    error::{Error, Kind, Result},
    root::Root,
};

/// An irq as `/proc/interrupts` and `/sys/kernel/irq` show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Irq {
    pub(crate) chip: String,
    /// Its number within the chip; old kernels do not show one.
    pub(crate) hwirq: Option<u32>,
}

/// What a chip's irqs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chip {
    IoApic,
    Msi,
    EventChannel,
    /// A GSI of a PV dom0; which one, it does not say.
    Pirq,
    /// The i8259.
    Pic,
    Other,
}

impl Irq {
    pub(crate) fn chip(&self) -> Chip {
        // Interrupt remapping puts its own name in front, some kernels the device's behind.
        let name = self.chip.strip_prefix("IR-").unwrap_or(&self.chip);
        if name == "IO-APIC" || name.starts_with("IO-APIC-") {
            Chip::IoApic
        } else if name.contains("MSI") {
            Chip::Msi
        } else if name.starts_with("xen-pirq") {
            Chip::Pirq
        } else if name.starts_with("xen-") {
            Chip::EventChannel
        } else if name == "XT-PIC" {
            Chip::Pic
        } else {
            Chip::Other
        }
    }
}

/// The irq's line of `/proc/interrupts`.
pub(crate) fn parse(text: &str, irq: u32) -> Result<Option<Irq>> {
    let mut lines = text.lines();
    let cpus = lines.next().unwrap_or_default().split_whitespace().count();
    let malformed = |line: &str| {
        Error::new(
            Kind::Malformed,
            format!("/proc/interrupts is malformed at irq {irq}: {line}"),
        )
    };
    let mut found = None;
    for line in lines {
        let Some((number, rest)) = line.split_once(':') else {
            continue;
        };
        if number.trim().parse() != Ok(irq) {
            continue;
        }
        if found.is_some() {
            return Err(malformed(line));
        }
        let mut words = rest.split_whitespace();
        for _ in 0..cpus {
            let count = words.next().ok_or_else(|| malformed(line))?;
            count.parse::<u64>().map_err(|_| malformed(line))?;
        }
        let chip = words.next().ok_or_else(|| malformed(line))?.to_owned();
        // `16-fasteoi`, or only `-event` where the chip has no numbers.
        let hwirq = match words.next().and_then(|word| word.split_once('-')) {
            Some((number, _)) if !number.is_empty() => number.parse().ok(),
            _ => None,
        };
        found = Some(Irq { chip, hwirq });
    }
    Ok(found)
}

/// The irq from both places; they must say the same.
pub(crate) fn read(root: &Root, irq: u32) -> Result<(Irq, Vec<&'static str>)> {
    let proc = match root.text_if_present("proc/interrupts")? {
        Some(text) => parse(&text, irq)?,
        None => None,
    };
    let dir = format!("sys/kernel/irq/{irq}");
    let sys = match root.text_if_present(&format!("{dir}/chip_name"))? {
        // An irq that nothing has taken into use has no chip.
        Some(chip) if !chip.is_empty() => {
            let hwirq = root.text_if_present(&format!("{dir}/hwirq"))?;
            Some(Irq {
                chip,
                hwirq: hwirq.and_then(|hwirq| hwirq.parse().ok()),
            })
        }
        _ => None,
    };
    match (proc, sys) {
        (Some(proc), Some(sys)) => {
            let differ = proc.hwirq.is_some() && sys.hwirq.is_some() && proc.hwirq != sys.hwirq;
            if differ || proc.chip() != sys.chip() {
                return Err(Error::new(
                    Kind::Disagree,
                    format!(
                        "irq {irq} is {} {} in /proc/interrupts and {} {} in /sys/kernel/irq",
                        proc.chip,
                        number(proc.hwirq),
                        sys.chip,
                        number(sys.hwirq)
                    ),
                ));
            }
            let hwirq = sys.hwirq.or(proc.hwirq);
            Ok((
                Irq { hwirq, ..sys },
                vec!["/proc/interrupts", "/sys/kernel/irq"],
            ))
        }
        (Some(irq), None) => Ok((irq, vec!["/proc/interrupts"])),
        (None, Some(irq)) => Ok((irq, vec!["/sys/kernel/irq"])),
        (None, None) => Err(Error::new(
            Kind::NotFound,
            format!("there is no irq {irq} (see /proc/interrupts)"),
        )),
    }
}

pub(crate) fn number(hwirq: Option<u32>) -> String {
    hwirq.map_or_else(|| "without a number".to_owned(), |hwirq| hwirq.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "           CPU0       CPU1       \n  0:         70          0   IO-APIC   2-edge      timer\n \
         20:          6          0   IR-IO-APIC  20-fasteoi   eth0, eth1\n \
         24:          0          0   PCI-MSIX-0000:00:09.0   0-edge      PCIe PME\n \
         34:          0          0   xen-dyn    -event     xenbus\n \
         40:          1          0   xen-pirq    -ioapic-level  eth0\n \
         41:          1          0   IO-APIC-fasteoi   eth0\n\
         NMI:          0          0   Non-maskable interrupts\nERR:          0\n";

    fn of(irq: u32) -> Option<(Chip, Option<u32>)> {
        parse(TEXT, irq).unwrap().map(|irq| (irq.chip(), irq.hwirq))
    }

    #[test]
    fn lines_name_chip_and_number() {
        assert_eq!(of(0), Some((Chip::IoApic, Some(2))));
        assert_eq!(of(20), Some((Chip::IoApic, Some(20))));
        assert_eq!(of(24), Some((Chip::Msi, Some(0))));
        assert_eq!(of(34), Some((Chip::EventChannel, None)));
        assert_eq!(of(40), Some((Chip::Pirq, None)));
        assert_eq!(of(41), Some((Chip::IoApic, None)));
        assert_eq!(of(2), None);
    }

    #[test]
    fn malformed_lines_are_errors() {
        for text in [
            "CPU0 CPU1\n 5: 1\n",
            "CPU0\n 5: x IO-APIC 5-edge\n",
            "CPU0\n 5: 1\n",
            "CPU0\n 5: 1 IO-APIC 5-edge\n5: 1 IO-APIC 6-edge\n",
        ] {
            assert_eq!(parse(text, 5).unwrap_err().kind, Kind::Malformed, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_is_read_or_refused(text: String, irq: u32) {
            let _ = parse(&text, irq);
        }

        #[test]
        fn any_line_is_read_or_refused(rest in "[ -~]{0,60}", cpus in 0usize..4) {
            let text = format!("{}\n 5:{rest}\n", "CPU0 ".repeat(cpus));
            let _ = parse(&text, 5).map(|irq| irq.map(|irq| irq.chip()));
        }
    }
}
