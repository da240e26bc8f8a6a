// SPDX-License-Identifier: GPL-2.0-only
//! What is done with a device in a real dom0.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::{
    dom0::{
        facts::{Check, Device},
        rig::{GUEST, Plan, Rig, XL},
        session::Answer,
    },
    rows::matches_pattern,
};

/// One scenario of the command and of the report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// Its number in the reports.
    pub(crate) number: &'static str,
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

/// The card last: on unmodified Xen it takes the machine with it.
const KILLED: [Device; 3] = [Device::EDU, Device::NVME, Device::E1000E];

/// All of them, in the order of the reports.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        number: "1",
        name: "assign",
        title: "assigned, driven by a guest, destroyed, taken back",
        machine: ONE,
        quick: true,
        devices: &Device::ALL,
        run: assign,
    },
    Scenario {
        number: "2",
        name: "pirq",
        title: "the same for guests with hvm_pirq=0 and hvm_pirq=1",
        machine: ONE,
        quick: true,
        devices: &Device::ALL,
        run: pirq,
    },
    Scenario {
        number: "3",
        name: "return",
        title: "back to dom0's driver, which works, and to a guest again",
        machine: ONE,
        quick: false,
        devices: &[Device::E1000E, Device::NVME],
        run: back,
    },
    Scenario {
        number: "4",
        name: "hotplug",
        title: "attached to a running guest and detached, twice",
        machine: Machine { group: 4, ..ONE },
        quick: false,
        devices: &Device::ALL,
        run: hotplug,
    },
    Scenario {
        number: "5",
        name: "rounds",
        title: "50 rounds, two guests in turn",
        machine: Machine { group: 5, ..ONE },
        quick: false,
        devices: &[Device::NVME],
        run: rounds,
    },
    Scenario {
        number: "6",
        name: "shared",
        title: "two guests at once, with devices that share a GSI (edu) and that do not (nvme)",
        machine: Machine {
            qemu: &["-device", "edu,addr=9"],
            group: 6,
            ..ONE
        },
        quick: false,
        devices: &[Device::EDU, Device::NVME],
        run: shared,
    },
    Scenario {
        number: "7",
        name: "kill",
        title: "killed amid interrupts and DMA; dom0 has one processor",
        machine: Machine { group: 7, ..ONE },
        quick: false,
        devices: &KILLED,
        run: kill,
    },
    Scenario {
        number: "7b",
        name: "kill-smp",
        title: "the same with four, and reset while another turns decode on and off",
        machine: Machine {
            vcpus: 4,
            group: 7,
            ..ONE
        },
        quick: false,
        devices: &KILLED,
        run: kill_smp,
    },
    Scenario {
        number: "8",
        name: "refused",
        title: "what must be refused",
        machine: Machine { group: 4, ..ONE },
        quick: false,
        devices: &[Device::EDU],
        run: refused,
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
    // Where the toolstack has no call for it.
    let told = rig
        .dom0
        .run(&format!("/xpt/xpt-gsi {}", device.bdf()), 30)?;
    checks.push(Check::equal(
        "xpt-gsi",
        told.text.trim(),
        device.gsi().to_string(),
    ));
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
        let given = given(rig, device)?;
        let lost = failed(&given);
        checks.extend(given);
        if lost {
            return Ok(checks);
        }
        checks.extend(guest(rig, device, &Plan::new(name, &[*device]))?);
        let back = taken_back(rig, device)?;
        let lost = failed(&back);
        checks.extend(back);
        if lost {
            return Ok(checks);
        }
        // Whatever the guest saw, dom0 is to have its device again.
        let used = used_by_dom0(rig, device)?;
        checks.extend(used.into_iter().map(|check| Check {
            what: format!("after {name}: {}", check.what),
            ..check
        }));
    }
    Ok(checks)
}

/// A guest that could be made, or the check that says why not.
macro_rules! made {
    ($checks:ident, $made:expr) => {
        match $made {
            Ok(guest) => guest,
            Err(error) => {
                $checks.push(Check::when("create", false, error, "0"));
                return Ok($checks);
            }
        }
    };
}

fn hotplug(rig: &mut Rig, device: &Device) -> Result<Vec<Check>> {
    let mut checks = given(rig, device)?;
    if failed(&checks) {
        return Ok(checks);
    }
    let mut plan = Plan::new("h1", &[]);
    plan.orders = "hotplug rounds=2";
    let mut guest = made!(checks, rig.create(&plan)?);
    for round in 1..=2 {
        let ready = rig.said(&guest, &format!("guest round {round} of 2"), GUEST)?;
        checks.push(Check::equal("ready", ready.to_string(), "true"));
        guest.mark = rig.dom0.mark();
        let attach = format!("xl pci-attach {} {}", guest.name, device.bdf());
        checks.push(xl("pci-attach", &rig.dom0.run(&attach, XL)?));
        if failed(&checks) {
            break;
        }
        let end = format!("{} ends", device.name);
        let ended = rig.said(&guest, &end, GUEST)?;
        checks.push(Check::equal("steps done", ended.to_string(), "true"));
        checks.extend(rig.judge_facts(&guest, &[*device])?);
        checks.push(rig.gsi(&guest, device)?);
        let detach = format!("xl pci-detach {} {}", guest.name, device.bdf());
        checks.push(xl("pci-detach", &rig.dom0.run(&detach, XL)?));
        let gone = rig.facts(&guest);
        checks.push(Check::equal(
            "ejected",
            gone.get(device.name, "ejected").unwrap_or("nothing"),
            "gone",
        ));
        checks.push(rig.no_irqs(&guest)?);
    }
    checks.extend(rig.destroy(&guest)?);
    checks.extend(taken_back(rig, device)?);
    Ok(checks)
}

/// What is left behind often enough shows in this many rounds.
const ROUNDS: u32 = 50;

/// The rounds at each end that are compared; caches fill in the first.
const EDGE: u32 = 5;

/// Pages that the heap may differ by: small objects share pages.
const SLACK: u64 = 16;

fn rounds(rig: &mut Rig, device: &Device) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    let mut early = None;
    let (mut first, mut last) = (Duration::ZERO, Duration::ZERO);
    for round in 1..=ROUNDS {
        let start = Instant::now();
        let name = if round & 1 == 0 { "even" } else { "odd" };
        let mut now = given(rig, device)?;
        if !failed(&now) {
            now.extend(guest(rig, device, &Plan::new(name, &[*device]))?);
        }
        now.extend(taken_back(rig, device)?);
        let wrong = now.iter().find(|check| check.wrong.is_some());
        if let Some(wrong) = wrong {
            checks.push(Check::when(
                "rounds",
                false,
                format!(
                    "{} of {ROUNDS} (then {})",
                    round.saturating_sub(1),
                    wrong.text()
                ),
                "all",
            ));
            return Ok(checks);
        }
        if round > 1 && round <= EDGE.saturating_add(1) {
            first = first.saturating_add(start.elapsed());
        }
        if round > ROUNDS.saturating_sub(EDGE) {
            last = last.saturating_add(start.elapsed());
        }
        if round == EDGE {
            early = Some(rig.resources()?);
        }
    }
    let late = rig.resources()?;
    checks.push(Check::equal(
        "rounds",
        ROUNDS.to_string(),
        ROUNDS.to_string(),
    ));
    if let Some(early) = early {
        checks.push(Check::when(
            "heap pages",
            late.heap.abs_diff(early.heap) <= SLACK,
            late.heap.to_string(),
            &format!("{} within {SLACK}", early.heap),
        ));
        for (what, late, early) in [
            ("irqs", late.irqs, early.irqs),
            ("pirqs", late.pirqs, early.pirqs),
            ("msis", late.msis, early.msis),
            ("irtes", late.irtes, early.irtes),
        ] {
            checks.push(Check::equal(what, late.to_string(), early.to_string()));
        }
    }
    checks.push(Check::when(
        "last rounds",
        last <= first.saturating_mul(2),
        format!(
            "{:.1} s after {:.1} s",
            last.as_secs_f64(),
            first.as_secs_f64()
        ),
        "not twice as long as the first",
    ));
    Ok(checks)
}

fn shared(rig: &mut Rig, device: &Device) -> Result<Vec<Check>> {
    // The other guest's device: on the same line, and on another.
    let other = if *device == Device::EDU {
        Device::SHARED
    } else {
        Device::E1000E
    };
    let both = [*device, other];
    let mut checks = Vec::new();
    for device in &both {
        checks.extend(given(rig, device)?);
    }
    if failed(&checks) {
        return Ok(checks);
    }
    let one = made!(checks, rig.create(&Plan::new("s1", &[*device]))?);
    let two = made!(checks, rig.create(&Plan::new("s2", &[other]))?);
    for (guest, device) in [(&one, device), (&two, &other)] {
        let mut seen = rig.judge(guest, &[*device])?;
        if device.gsi()
            == both
                .map(|device| device.gsi())
                .iter()
                .copied()
                .min()
                .unwrap_or(0)
            && both.iter().all(|other| other.gsi() == device.gsi())
        {
            // On a shared line the other device's interrupts arrive too.
            seen.retain(|check| !check.what.ends_with("intx.disabled"));
        }
        checks.extend(seen);
        checks.push(rig.gsi(guest, device)?);
    }
    checks.extend(rig.destroy(&one)?);
    checks.extend(rig.destroy(&two)?);
    for device in &both {
        checks.extend(taken_back(rig, device)?);
    }
    Ok(checks)
}

/// A guest that makes the device raise interrupts and do DMA, and is killed.
fn killed(rig: &mut Rig, device: &Device, name: &str) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    let devices = [*device];
    let mut plan = Plan::new(name, &devices);
    plan.orders = "steps=intx then=storm";
    let guest = made!(checks, rig.create(&plan)?);
    // By the third second it is in the middle of it.
    let storming = rig.said(&guest, "guest storm", GUEST)?;
    rig.dom0.must("sleep 3", 30)?;
    let facts = rig.facts(&guest);
    let storm = facts.get("guest", "storm").unwrap_or("nothing").to_owned();
    let irqs: u32 = storm
        .rsplit(' ')
        .next()
        .and_then(|count| count.parse().ok())
        .unwrap_or(0);
    checks.push(Check::when(
        "storm",
        storming && irqs > 10,
        storm,
        "more than 10 irqs",
    ));
    checks.extend(rig.destroy(&guest)?);
    Ok(checks)
}

fn kill(rig: &mut Rig, device: &Device) -> Result<Vec<Check>> {
    let mut checks = given(rig, device)?;
    if failed(&checks) {
        return Ok(checks);
    }
    checks.extend(killed(rig, device, "k1")?);
    if !failed(&checks) {
        // The device is still good for another.
        checks.extend(guest(rig, device, &Plan::new("k2", &[*device]))?);
    }
    checks.extend(taken_back(rig, device)?);
    Ok(checks)
}

/// How often the device is reset while another processor turns decode off and on.
const RESETS: u32 = 5;

fn kill_smp(rig: &mut Rig, device: &Device) -> Result<Vec<Check>> {
    let mut checks = kill(rig, device)?;
    if failed(&checks) {
        return Ok(checks);
    }
    let bdf = device.bdf();
    // With no driver: only pciback and the loop use the device.
    if let Some(driver) = device.driver {
        rig.dom0.must(
            &format!("echo 0000:{bdf} > /sys/bus/pci/drivers/{driver}/unbind"),
            60,
        )?;
    }
    rig.dom0.must(
        &format!(
            "(n=0; while [ ! -e /tmp/enough ]; do setpci -s {bdf} COMMAND=0:2; \
             setpci -s {bdf} COMMAND=2:2; n=$((n + 1)); done; echo $n > /tmp/turns) \
             > /dev/null 2>&1 &"
        ),
        30,
    )?;
    let mut answers = Vec::new();
    for _ in 0..RESETS {
        answers.push(rig.assign(device)?);
        answers.push(rig.take_back(device)?);
        if let Some(driver) = device.driver {
            // May be there or not, as the loop had it.
            rig.dom0.run(
                &format!("echo 0000:{bdf} > /sys/bus/pci/drivers/{driver}/unbind"),
                60,
            )?;
        }
    }
    rig.dom0.must(
        "touch /tmp/enough; for i in $(seq 50); do [ -e /tmp/turns ] && break; sleep 0.2; done",
        60,
    )?;
    let turns = rig
        .dom0
        .must("cat /tmp/turns; rm /tmp/turns /tmp/enough", 10)?;
    checks.push(Check::when(
        "decode turned",
        turns.trim().parse().is_ok_and(|turns: u32| turns > RESETS),
        turns.trim(),
        "more often than reset",
    ));
    let good = answers.iter().filter(|answer| answer.status == 0).count();
    checks.push(Check::equal(
        "resets",
        good.to_string(),
        answers.len().to_string(),
    ));
    // And nothing of it stays.
    checks.extend(assign(rig, device)?);
    Ok(checks)
}

fn refused(rig: &mut Rig, device: &Device) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    let mut answer = |what: &str, seen: &str, want: &str| {
        checks.push(Check::when(what, matches_pattern(want, seen), seen, want));
    };
    let none = rig.dom0.run("xl pci-assignable-add 00:1d.0", XL)?;
    answer(
        "a device that is not there",
        &none.brief(),
        "status 1: *Couldn't lstat /sys/bus/pci/devices/0000:00:1d.0: No such file or directory",
    );
    let devices = [*device];
    let made = rig.create(&Plan::new("x1", &devices))?;
    answer(
        "one that is not assignable",
        &made.err().unwrap_or_else(|| "made".to_owned()),
        "status 3: *PCI device 0:0:5.0 is not assignable",
    );
    let mut plan = Plan::new("x2", &[]);
    // Xen's own serial port.
    plan.irq = Some(4);
    let made = rig.create(&plan)?;
    answer(
        "an interrupt that is Xen's",
        &made.err().unwrap_or_else(|| "made".to_owned()),
        "status 3: *failed give domain access to irq 4: Operation not permitted",
    );
    let mut checks2 = given(rig, device)?;
    if failed(&checks2) {
        checks.extend(checks2);
        return Ok(checks);
    }
    let owner = made!(checks2, rig.create(&Plan::new("x3", &devices))?);
    let made = rig.create(&Plan::new("x4", &devices))?;
    answer(
        "one that another guest has",
        &made.err().unwrap_or_else(|| "made".to_owned()),
        "status 3: *PCI device 0000:00:05.0 already assigned to a different guest?",
    );
    let taken = rig
        .dom0
        .run(&format!("xl pci-assignable-remove {}", device.bdf()), XL)?;
    answer(
        "taken back from a guest",
        &taken.brief(),
        "status 1: *failed to de-quarantine 0000:00:05.0",
    );
    // And the guest that has it goes on.
    checks2.extend(rig.judge(&owner, &devices)?);
    checks2.extend(rig.destroy(&owner)?);
    checks2.extend(taken_back(rig, device)?);
    checks.extend(checks2);
    Ok(checks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_have_numbers_and_names_of_their_own() {
        for scenario in SCENARIOS {
            let same = SCENARIOS
                .iter()
                .filter(|other| other.name == scenario.name || other.number == scenario.number);
            assert_eq!(same.count(), 1, "{}", scenario.name);
        }
    }
}
