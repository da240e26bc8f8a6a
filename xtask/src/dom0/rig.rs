// SPDX-License-Identifier: GPL-2.0-only
//! A booted dom0 with what a scenario does in it: assign, create, judge, take back.

use std::{
    fs::{self, File},
    io::Read,
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context, Result, anyhow};

use crate::dom0::{
    facts::{Check, Device, Facts, pattern},
    session::{Answer, Dom0},
};

/// Size of the disk behind the NVMe controller, bytes.
pub(crate) const DISK: usize = 4 << 20;

/// The size of its blocks.
const BLOCK: u32 = 512;

/// How long xl may take; it waits up to ten seconds for a device model.
pub(crate) const XL: u64 = 120;

/// How long the guest may take for all steps.
pub(crate) const GUEST: u64 = 120;

/// What this run chose, so that no answer can be known before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    pub(crate) seed: u32,
    pub(crate) factorial: u32,
    /// The block that the guest reads, of those that are never written.
    pub(crate) read: u32,
    /// The block that it writes.
    pub(crate) write: u32,
    /// The disk as it was at first.
    pub(crate) disk: Arc<Vec<u8>>,
}

impl Challenge {
    /// With a disk of its own.
    pub(crate) fn new() -> Result<Self> {
        let mut challenge = Self {
            seed: 0,
            factorial: 0,
            read: 0,
            write: 0,
            disk: Arc::new(random(DISK)?),
        };
        challenge.anew()?;
        Ok(challenge)
    }

    /// Other values on the same disk.
    pub(crate) fn anew(&mut self) -> Result<()> {
        let bytes = random(16)?;
        let word = |at: usize| {
            bytes
                .get(at..)
                .unwrap_or_default()
                .iter()
                .take(4)
                .fold(0, |word: u32, byte| word.wrapping_shl(8) | u32::from(*byte))
        };
        let half = u32::try_from(DISK)?.wrapping_div(BLOCK).wrapping_div(2);
        self.seed = word(0);
        self.factorial = 5_u32.wrapping_add(word(4).wrapping_rem(28));
        self.read = word(8).wrapping_rem(half);
        self.write = half.wrapping_add(word(12).wrapping_rem(half));
        Ok(())
    }

    /// What block `lba` held at first.
    pub(crate) fn block(&self, lba: u32) -> &[u8] {
        let start = usize::try_from(lba.saturating_mul(BLOCK)).unwrap_or(usize::MAX);
        let end = start.saturating_add(512);
        self.disk.get(start..end).unwrap_or_default()
    }

    /// As the guest takes them.
    fn orders(&self) -> String {
        format!(
            "seed={} edu.factorial={} nvme.lba={} nvme.write={}",
            self.seed, self.factorial, self.read, self.write
        )
    }
}

fn random(len: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("cannot read /dev/urandom")?;
    Ok(bytes)
}

/// How a guest is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan<'a> {
    pub(crate) name: &'a str,
    pub(crate) devices: &'a [Device],
    pub(crate) hvm_pirq: Option<bool>,
    pub(crate) vcpus: u32,
    /// A physical interrupt to give it.
    pub(crate) irq: Option<u32>,
    /// Added to the orders that the challenge makes.
    pub(crate) orders: &'a str,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(name: &'a str, devices: &'a [Device]) -> Self {
        Self {
            name,
            devices,
            hvm_pirq: None,
            vcpus: 1,
            irq: None,
            orders: "",
        }
    }

    fn config(&self) -> Vec<String> {
        let name = self.name;
        let devices: Vec<String> = self
            .devices
            .iter()
            .map(|device| format!("\"{}\"", device.bdf()))
            .collect();
        let mut lines = vec![
            format!("name=\"{name}\""),
            "type=\"hvm\"".to_owned(),
            "memory=32".to_owned(),
            format!("vcpus={}", self.vcpus),
            "firmware_override=\"/xpt/xpt-guest\"".to_owned(),
            "bios=\"seabios\"".to_owned(),
            format!("bios_path_override=\"/root/{name}.orders\""),
            "xen_platform_pci=0".to_owned(),
            "vga=\"none\"".to_owned(),
            "vnc=0".to_owned(),
            format!("serial=\"file:/root/{name}.console\""),
            format!("pci=[{}]", devices.join(",")),
        ];
        if self.devices.is_empty() {
            // Only then can a device come later.
            lines.push("passthrough=\"enabled\"".to_owned());
        }
        if let Some(irq) = self.irq {
            lines.push(format!("irqs=[{irq}]"));
        }
        if let Some(pirq) = self.hvm_pirq {
            lines.push(format!("hvm_pirq={}", u32::from(pirq)));
        }
        lines
    }
}

/// A guest that xl has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Guest {
    pub(crate) name: String,
    pub(crate) domid: u32,
    /// Where Xen's console was before.
    pub(crate) mark: usize,
    /// What it was asked.
    pub(crate) challenge: Challenge,
}

/// A dom0 and what it was given.
pub(crate) struct Rig {
    pub(crate) dom0: Dom0,
    pub(crate) challenge: Challenge,
    pub(crate) disk: PathBuf,
}

impl Rig {
    /// Loads dom0's drivers; those that have a device find it.
    pub(crate) fn drivers(&mut self) -> Result<()> {
        for device in Device::ALL {
            if let Some(driver) = device.driver {
                self.dom0.must(&format!("modprobe {driver}"), 60)?;
                self.driver_is(&device, driver)?;
            }
        }
        Ok(())
    }

    /// Waits until `device` has `driver`.
    pub(crate) fn driver_is(&mut self, device: &Device, driver: &str) -> Result<()> {
        let path = format!("/sys/bus/pci/drivers/{driver}/0000:{}", device.bdf());
        let wait = format!("for i in $(seq 50); do [ -e {path} ] && exit; sleep 0.2; done; false");
        self.dom0
            .run(&wait, 60)?
            .ok(&format!("{} has not the driver {driver}", device.name))
            .map(drop)
    }

    /// `xl pci-assignable-add`.
    pub(crate) fn assign(&mut self, device: &Device) -> Result<Answer> {
        self.dom0
            .run(&format!("xl pci-assignable-add {}", device.bdf()), XL)
    }

    /// `xl pci-assignable-remove -r`.
    pub(crate) fn take_back(&mut self, device: &Device) -> Result<Answer> {
        self.dom0
            .run(&format!("xl pci-assignable-remove -r {}", device.bdf()), XL)
    }

    /// Whether xl lists `device` as assignable.
    pub(crate) fn assignable(&mut self, device: &Device) -> Result<bool> {
        let list = self.dom0.must("xl pci-assignable-list", XL)?;
        Ok(list.contains(&device.bdf()))
    }

    /// `xl create`, with other orders than any guest had before.
    pub(crate) fn create(&mut self, plan: &Plan<'_>) -> Result<std::result::Result<Guest, String>> {
        self.challenge.anew()?;
        let name = plan.name;
        let orders = format!("{} {}", self.challenge.orders(), plan.orders);
        let lines: Vec<String> = plan
            .config()
            .iter()
            .map(|line| format!("'{line}'"))
            .collect();
        self.dom0.must(
            &format!(
                "printf '%s\\n' {} > /root/{name}.cfg; echo '{orders}' > /root/{name}.orders",
                lines.join(" ")
            ),
            10,
        )?;
        let mark = self.dom0.mark();
        let answer = self.dom0.run(&format!("xl create /root/{name}.cfg"), XL)?;
        if answer.status != 0 {
            return Ok(Err(answer.brief()));
        }
        let domid = self.dom0.must(&format!("xl domid {name}"), 30)?;
        let domid = domid
            .trim()
            .parse()
            .map_err(|_| anyhow!("xl domid {name} said `{}`", domid.trim()))?;
        Ok(Ok(Guest {
            name: name.to_owned(),
            domid,
            mark,
            challenge: self.challenge.clone(),
        }))
    }

    /// What the guest has said so far.
    pub(crate) fn facts(&self, guest: &Guest) -> Facts {
        Facts::parse(&self.dom0.since(guest.mark), guest.domid)
    }

    /// Waits until the guest has said `XPT <text>`; whether it did.
    pub(crate) fn said(&mut self, guest: &Guest, text: &str, seconds: u64) -> Result<bool> {
        let mark = format!("(d{}) XPT {text}", guest.domid);
        self.dom0.wait_for(guest.mark, &[&mark], seconds)
    }

    /// The guest has done all steps, rightly with each of `devices`.
    pub(crate) fn judge(&mut self, guest: &Guest, devices: &[Device]) -> Result<Vec<Check>> {
        let done = self.said(guest, "done", GUEST)?;
        let mut checks = vec![Check::when(
            "guest",
            done,
            if done { "done" } else { "hangs" },
            "done",
        )];
        checks.extend(self.judge_facts(guest, devices)?);
        Ok(checks)
    }

    /// What it has said so far is right for each of `devices`.
    pub(crate) fn judge_facts(&self, guest: &Guest, devices: &[Device]) -> Result<Vec<Check>> {
        let facts = self.facts(guest);
        let mut checks = Vec::new();
        for device in devices {
            checks.extend(facts.judge(device, &guest.challenge));
            if *device == Device::NVME {
                checks.push(self.disk_written(&guest.challenge)?);
            }
        }
        Ok(checks)
    }

    /// Whether what the guest wrote is on the disk, as QEMU's file has it.
    fn disk_written(&self, challenge: &Challenge) -> Result<Check> {
        let want = pattern(challenge.seed, BLOCK);
        let mut have = vec![0; want.len()];
        let offset = u64::from(challenge.write).saturating_mul(u64::from(BLOCK));
        File::open(&self.disk)
            .and_then(|disk| disk.read_exact_at(&mut have, offset))
            .with_context(|| format!("cannot read {}", self.disk.display()))?;
        let sum = |bytes: &[u8]| format!("0x{:08x}", crc32fast::hash(bytes));
        Ok(Check::equal("the disk's crc32", sum(&have), sum(&want)))
    }

    /// While the guest has `device`: Xen has bound its GSI, and no other, for it.
    pub(crate) fn gsi(&mut self, guest: &Guest, device: &Device) -> Result<Check> {
        let irqs = self.dom0.debug_key('i')?;
        let bound: Vec<String> = irqs_of(&irqs, guest.domid)
            .into_iter()
            .filter(|(_, kind)| kind.starts_with("IO-APIC"))
            .map(|(irq, kind)| format!("{irq} {kind}"))
            .collect();
        Ok(Check::equal(
            format!("{} GSI", device.name),
            bound.join(", "),
            format!("{} IO-APIC-level", device.gsi()),
        ))
    }

    /// `xl destroy`, and whether nothing of it is left in Xen.
    pub(crate) fn destroy(&mut self, guest: &Guest) -> Result<Vec<Check>> {
        let answer = self.dom0.run(&format!("xl destroy {}", guest.name), XL)?;
        let mut checks = vec![Check::when(
            "destroy",
            answer.status == 0,
            if answer.status == 0 {
                "0".to_owned()
            } else {
                answer.brief()
            },
            "0",
        )];
        let list = self.dom0.must(
            &format!(
                "for i in $(seq 30); do xl list {} > /dev/null 2>&1 || break; sleep 0.5; done; xl list",
                guest.domid
            ),
            60,
        )?;
        let left = list
            .lines()
            .filter(|line| {
                line.split_whitespace()
                    .nth(1)
                    .is_some_and(|id| id == guest.domid.to_string())
            })
            .count();
        checks.push(Check::equal("domains left", left.to_string(), "0"));
        checks.push(self.no_irqs(guest)?);
        Ok(checks)
    }

    /// Xen has bound no interrupt for the guest.
    pub(crate) fn no_irqs(&mut self, guest: &Guest) -> Result<Check> {
        let irqs = self.dom0.debug_key('i')?;
        let left = irqs_of(&irqs, guest.domid).len();
        Ok(Check::equal("pirqs left", left.to_string(), "0"))
    }

    /// What Xen has in use.
    pub(crate) fn resources(&mut self) -> Result<Resources> {
        let irqs = self.dom0.debug_key('i')?;
        let msis = self.dom0.debug_key('M')?;
        let irtes = self.dom0.debug_key('V')?;
        let heap = self.dom0.debug_key('H')?;
        Resources::parse(&irqs, &msis, &irtes, &heap)
    }

    /// The content of the guest's serial port and of its device model's log.
    pub(crate) fn keep_consoles(&mut self, dir: &std::path::Path) -> Result<()> {
        let text = self.dom0.must(
            "cd /root; for f in *.console /var/log/xen/*.log; do [ -e $f ] && echo \"--- $f\" && cat $f; done; true",
            120,
        )?;
        fs::write(dir.with_extension("guests.log"), text)?;
        let text = self.dom0.xl_dmesg()?;
        fs::write(dir.with_extension("xl-dmesg.log"), text)?;
        Ok(())
    }
}

/// What Xen says that it has in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resources {
    /// Free memory, pages.
    pub(crate) heap: u64,
    /// Interrupts that are set up, and of these how many times a domain has one.
    pub(crate) irqs: usize,
    pub(crate) pirqs: usize,
    /// MSI and MSI-X vectors.
    pub(crate) msis: usize,
    /// Interrupt remapping entries.
    pub(crate) irtes: usize,
}

impl Resources {
    /// From what debug keys `i`, `M`, `V` and `H` print.
    fn parse(irqs: &str, msis: &str, irtes: &str, heap: &str) -> Result<Self> {
        let irqs: Vec<&str> = irqs
            .lines()
            .filter_map(|line| line.split_once("   IRQ:"))
            .map(|(_, rest)| rest)
            .collect();
        let owned = |line: &&str| {
            line.split([' ', ','])
                .filter(|word| {
                    word.strip_prefix('d')
                        .and_then(|rest| rest.strip_suffix(':'))
                        .is_some_and(|id| id.parse::<u32>().is_ok())
                })
                .count()
        };
        let free: Vec<u64> = heap
            .lines()
            .filter(|line| line.contains("heap["))
            .filter_map(|line| line.split_once("-> "))
            .filter_map(|(_, rest)| rest.split_whitespace().next()?.parse().ok())
            .collect();
        if irqs.is_empty() || free.is_empty() {
            return Err(anyhow!("Xen's debug keys i and H print something else now"));
        }
        Ok(Self {
            heap: free.iter().sum(),
            pirqs: irqs.iter().map(owned).sum(),
            irqs: irqs.len(),
            msis: msis
                .lines()
                .filter(|line| line.contains("(XEN)  MSI"))
                .count(),
            irtes: irtes.lines().filter(|line| line.contains(" IRTE[")).count(),
        })
    }
}

/// The interrupts that domain `domid` has, as debug key `i` lists them: number and kind.
pub(crate) fn irqs_of(text: &str, domid: u32) -> Vec<(u32, String)> {
    let mark = format!("d{domid}:");
    text.lines()
        .filter_map(|line| line.split_once(" IRQ:"))
        .filter(|(_, rest)| rest.split([' ', ',']).any(|word| word == mark))
        .filter_map(|(_, rest)| {
            let mut words = rest.split_whitespace();
            let irq = words.next()?.parse().ok()?;
            let kind = words.nth(1)?;
            Some((irq, kind.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interrupts_of_a_domain_are_told_from_those_of_others() {
        let text = "(XEN)    IRQ:   4 vec:f1 IO-APIC-edge    status=000 aff:{0-1}/{0-1} ns16550.c#x()\n\
            (XEN)    IRQ:  21 vec:b0 IO-APIC-level   status=010 aff:{0}/{0} in-flight=0 d0: 21(---),d1: 16(---)\n\
            (XEN)    IRQ:  25 vec:c0 PCI-MSI         status=010 aff:{0}/{0} in-flight=0 d1: 55(---)\n\
            (XEN)    IRQ:  26 vec:c8 PCI-MSI         status=010 aff:{0}/{0} in-flight=0 d11: 55(---)\n";
        assert_eq!(
            irqs_of(text, 1),
            [(21, "IO-APIC-level".to_owned()), (25, "PCI-MSI".to_owned())]
        );
        assert_eq!(irqs_of(text, 0).len(), 1);
        assert_eq!(irqs_of(text, 11).len(), 1);
        assert_eq!(irqs_of(text, 2).len(), 0);
    }

    #[test]
    fn challenge_writes_where_it_never_reads() {
        let mut challenge = Challenge::new().unwrap();
        for _ in 0..100 {
            challenge.anew().unwrap();
            assert!((5..33).contains(&challenge.factorial));
            assert!(challenge.read < 4096 && (4096..8192).contains(&challenge.write));
            assert_eq!(challenge.block(challenge.read).len(), 512);
        }
    }

    #[test]
    fn config_names_what_the_guest_is_to_have() {
        let mut plan = Plan::new("g1", &[Device::EDU, Device::NVME]);
        assert!(
            plan.config()
                .contains(&"pci=[\"00:05.0\",\"00:06.0\"]".to_owned())
        );
        assert!(
            !plan
                .config()
                .iter()
                .any(|line| line.starts_with("hvm_pirq"))
        );
        plan.hvm_pirq = Some(false);
        assert!(plan.config().contains(&"hvm_pirq=0".to_owned()));
    }
}
