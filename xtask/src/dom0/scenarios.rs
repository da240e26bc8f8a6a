// SPDX-License-Identifier: GPL-2.0-only
//! What is done with a device in a real dom0.

use anyhow::Result;

use crate::dom0::{
    facts::{Check, Device},
    rig::{Plan, Rig},
    session::Answer,
};

/// One scenario of the command and of the report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// Its number in the reports.
    pub(crate) number: u32,
    /// As `--scenario` takes it.
    pub(crate) name: &'static str,
    /// What happens in it.
    pub(crate) title: &'static str,
    /// The machine that it needs; scenarios that need the same share a boot.
    pub(crate) machine: Machine,
    /// Whether `cargo xtask test` runs it.
    pub(crate) quick: bool,
    /// The devices that it is done with, each by itself.
    pub(crate) devices: &'static [Device],
    /// Does it with one of them.
    pub(crate) run: fn(&mut Rig, &Device) -> Result<Vec<Check>>,
}

/// What differs between machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    /// dom0's processors.
    pub(crate) vcpus: u32,
    /// More of QEMU's arguments.
    pub(crate) qemu: &'static [&'static str],
    /// Where two scenarios must not share a boot.
    pub(crate) group: u32,
}

const ONE: Machine = Machine {
    vcpus: 1,
    qemu: &[],
    group: 1,
};

/// All of them, in the order of the reports.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        number: 1,
        name: "assign",
        title: "assigned, driven by a guest, destroyed, taken back",
        machine: ONE,
        quick: true,
        devices: &Device::ALL,
        run: assign,
    },
    Scenario {
        number: 2,
        name: "pirq",
        title: "the same for guests with hvm_pirq=0 and hvm_pirq=1",
        machine: ONE,
        quick: true,
        devices: &Device::ALL,
        run: pirq,
    },
    Scenario {
        number: 3,
        name: "return",
        title: "back to dom0's driver, which works, and to a guest again",
        machine: ONE,
        quick: true,
        devices: &[Device::E1000E, Device::NVME],
        run: back,
    },
];

/// A step of xl that must work: its status, and the error where it is none.
fn xl(what: &str, answer: &Answer) -> Check {
    let seen = if answer.status == 0 {
        "0".to_owned()
    } else {
        answer.brief()
    };
    Check::when(what, answer.status == 0, seen, "0")
}

fn failed(checks: &[Check]) -> bool {
    checks.iter().any(|check| check.wrong.is_some())
}

/// Assigned, unless it is already; right when xl lists it then.
fn given(rig: &mut Rig, device: &Device) -> Result<Vec<Check>> {
    let mut checks = vec![xl("pci-assignable-add", &rig.assign(device)?)];
    let listed = rig.assignable(device)?;
    checks.push(Check::equal("listed", listed.to_string(), "true"));
    Ok(checks)
}

/// A guest that does all steps with `device`, and goes.
fn guest(rig: &mut Rig, device: &Device, plan: &Plan<'_>) -> Result<Vec<Check>> {
    let guest = match rig.create(plan)? {
        Ok(guest) => guest,
        Err(error) => return Ok(vec![Check::when("create", false, error, "0")]),
    };
    let mut checks = rig.judge(&guest, plan.devices)?;
    checks.push(rig.gsi(&guest, device)?);
    checks.extend(rig.destroy(&guest)?);
    Ok(checks)
}

/// Back to dom0, and to its driver where there is one.
fn taken_back(rig: &mut Rig, device: &Device) -> Result<Vec<Check>> {
    let mut checks = vec![xl("pci-assignable-remove", &rig.take_back(device)?)];
    let listed = rig.assignable(device)?;
    checks.push(Check::equal("still listed", listed.to_string(), "false"));
    if let Some(driver) = device.driver
        && !failed(&checks)
    {
        let found = rig.driver_is(device, driver);
        let seen = found
            .err()
            .map_or_else(|| driver.to_owned(), |error| format!("{error:#}"));
        checks.push(Check::equal("driver", seen, driver));
    }
    Ok(checks)
}

fn assign(rig: &mut Rig, device: &Device) -> Result<Vec<Check>> {
    let mut checks = given(rig, device)?;
    if !failed(&checks) {
        checks.extend(guest(rig, device, &Plan::new("g1", &[*device]))?);
    }
    checks.extend(taken_back(rig, device)?);
    Ok(checks)
}

fn pirq(rig: &mut Rig, device: &Device) -> Result<Vec<Check>> {
    let mut checks = given(rig, device)?;
    for (name, pirq) in [("p0", false), ("p1", true)] {
        if failed(&checks) {
            break;
        }
        let devices = [*device];
        let mut plan = Plan::new(name, &devices);
        plan.hvm_pirq = Some(pirq);
        checks.extend(guest(rig, device, &plan)?);
    }
    checks.extend(taken_back(rig, device)?);
    Ok(checks)
}

/// Interrupts of `device` that dom0 has counted, of the lines that have `kind`.
fn interrupts(rig: &mut Rig, pattern: &str) -> Result<(u64, String)> {
    let text = rig.dom0.must("cat /proc/interrupts", 30)?;
    let lines: Vec<&str> = text.lines().filter(|line| line.contains(pattern)).collect();
    let count = lines
        .iter()
        .flat_map(|line| line.split_whitespace().skip(1))
        .filter_map(|word| word.parse::<u64>().ok())
        .fold(0, u64::saturating_add);
    let kind = lines
        .first()
        .map_or("none", |line| {
            if line.contains("PCI-MSIX") {
                "MSI-X"
            } else if line.contains("PCI-MSI") {
                "MSI"
            } else if line.contains("IO-APIC") {
                "INTx"
            } else {
                "other"
            }
        })
        .to_owned();
    Ok((count, kind))
}

/// dom0 pings the network through the card, with `mode` of its interrupts.
fn ping(rig: &mut Rig, device: &Device, mode: u32, kind: &str) -> Result<Vec<Check>> {
    rig.dom0.must(
        &format!("modprobe -r e1000e; modprobe e1000e IntMode={mode}"),
        60,
    )?;
    rig.driver_is(device, "e1000e")?;
    rig.dom0.must(
        "ip link set eth0 up; ip addr replace 10.0.2.15/24 dev eth0; \
         for i in $(seq 50); do [ \"$(cat /sys/class/net/eth0/carrier)\" = 1 ] && break; sleep 0.2; done; true",
        60,
    )?;
    let carrier = rig.dom0.must("cat /sys/class/net/eth0/carrier", 10)?;
    let (before, _) = interrupts(rig, "eth0")?;
    let answer = rig.dom0.run("ping -c 5 -W 5 10.0.2.2", 60)?;
    let (after, seen) = interrupts(rig, "eth0")?;
    let received = answer
        .text
        .lines()
        .find_map(|line| line.split(", ").nth(1)?.strip_suffix(" packets received"))
        .unwrap_or("none")
        .to_owned();
    let more = after.saturating_sub(before);
    let checks = vec![
        Check::equal(format!("{kind} carrier"), carrier.trim(), "1"),
        Check::equal(format!("{kind} used"), seen, kind),
        Check::equal(format!("{kind} pings"), received, "5"),
        Check::when(
            format!("{kind} interrupts"),
            more >= 5,
            more.to_string(),
            "5 or more",
        ),
    ];
    rig.dom0.must("ip link set eth0 down", 30)?;
    Ok(checks)
}

/// dom0 reads the disk: the block that this run chose, and by interrupts.
fn read_disk(rig: &mut Rig) -> Result<Vec<Check>> {
    rig.challenge.anew()?;
    let lba = rig.challenge.read;
    let want = rig.challenge.block(lba).to_vec();
    let (before, _) = interrupts(rig, "nvme")?;
    let answer = rig.dom0.run(
        &format!(
            "for i in $(seq 50); do [ -b /dev/nvme0n1 ] && break; sleep 0.2; done; \
             echo 3 > /proc/sys/vm/drop_caches; \
             dd if=/dev/nvme0n1 bs=512 skip={lba} count=1 2>/dev/null | crc32"
        ),
        60,
    )?;
    let (after, seen) = interrupts(rig, "nvme")?;
    let more = after.saturating_sub(before);
    Ok(vec![
        Check::equal(
            "the block's crc32",
            answer.text.trim(),
            format!("{:08x}", crc32fast::hash(&want)),
        ),
        Check::equal("interrupts are", seen, "MSI-X"),
        Check::when("interrupts", more >= 1, more.to_string(), "1 or more"),
    ])
}

/// Whether dom0's own driver works with the device.
fn used_by_dom0(rig: &mut Rig, device: &Device) -> Result<Vec<Check>> {
    if *device == Device::E1000E {
        let mut checks = ping(rig, device, 0, "INTx")?;
        checks.extend(ping(rig, device, 2, "MSI-X")?);
        Ok(checks)
    } else {
        read_disk(rig)
    }
}

fn back(rig: &mut Rig, device: &Device) -> Result<Vec<Check>> {
    let mut checks = used_by_dom0(rig, device)?;
    for name in ["r1", "r2"] {
        if failed(&checks) {
            return Ok(checks);
        }
        checks.extend(given(rig, device)?);
        if !failed(&checks) {
            checks.extend(guest(rig, device, &Plan::new(name, &[*device]))?);
        }
        checks.extend(taken_back(rig, device)?);
        if failed(&checks) {
            return Ok(checks);
        }
        checks.extend(used_by_dom0(rig, device)?);
    }
    Ok(checks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_have_numbers_and_names_of_their_own() {
        for (place, scenario) in SCENARIOS.iter().enumerate() {
            assert_eq!(usize::try_from(scenario.number).unwrap(), place + 1);
            assert_eq!(
                SCENARIOS
                    .iter()
                    .filter(|other| other.name == scenario.name)
                    .count(),
                1
            );
        }
    }
}
