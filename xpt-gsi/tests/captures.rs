// SPDX-License-Identifier: GPL-2.0-only
//! The program on captured machines, against what their kernels said themselves.
//!
//! `captures/*.tar.gz` come from `capture/capture.sh`: besides what the program
//! reads, each has the kernel's own words for every device that it turned on
//! (`dmesg`: "PCI INT A -> GSI 21 (level, high) -> IRQ 25") and privcmd's answer
//! (`privcmd`), which the expected values here are taken from.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on panics"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use flate2::read::GzDecoder;
use serde_json::Value;
use tempfile::TempDir;

/// The captures, with how many devices of each the kernel gave a GSI.
const CAPTURES: [(&str, usize); 7] = [
    ("q35", 13),
    ("q35-dom0", 13),
    ("q35-dom0-6.1", 13),
    ("q35-remap", 13),
    ("q35-two", 13),
    ("q35-later-dom0", 13),
    ("microvm", 5),
];

struct Capture {
    dir: TempDir,
}

impl Capture {
    fn open(name: &str) -> Self {
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/captures/{name}.tar.gz"));
        let dir = tempfile::tempdir().unwrap();
        let file = File::open(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        tar::Archive::new(GzDecoder::new(file))
            .unpack(dir.path())
            .unwrap();
        Self { dir }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_xpt-gsi"))
            .arg("--root")
            .arg(self.dir.path())
            .args(args)
            .output()
            .unwrap()
    }

    /// What the program answers: the GSI, or its exit code.
    fn ask(&self, args: &[&str]) -> Result<u32, i32> {
        answer(&self.run(args))
    }

    /// Devices, with the GSI and the irq that the kernel gave each when it was turned on.
    fn devices_of_kernel(&self) -> BTreeMap<String, (u32, u32)> {
        let mut devices = BTreeMap::new();
        for line in self.text("dmesg").lines() {
            let Some((front, rest)) = line.split_once(": PCI INT ") else {
                continue;
            };
            let Some((_, rest)) = rest.split_once("-> GSI ") else {
                continue;
            };
            let device = front.rsplit(' ').next().unwrap();
            let gsi = rest.split(' ').next().unwrap().parse().unwrap();
            let irq = rest.rsplit(' ').next().unwrap().parse().unwrap();
            devices.insert(device.to_owned(), (gsi, irq));
        }
        devices
    }

    fn all_devices(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("sys/bus/pci/devices")).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

fn answer(output: &Output) -> Result<u32, i32> {
    let code = output.status.code().unwrap();
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    if code == 0 {
        assert_eq!(stderr, "");
        let stdout = String::from_utf8(output.stdout.clone()).unwrap();
        return Ok(stdout.lines().next().unwrap().parse().unwrap());
    }
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("xpt-gsi: "), "{stderr}");
    Err(code)
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn every_device_has_the_gsi_that_its_kernel_gave_it() {
    for (name, count) in CAPTURES {
        let capture = Capture::open(name);
        let devices = capture.devices_of_kernel();
        assert_eq!(devices.len(), count, "{name}");
        for (device, (gsi, _)) in devices {
            for source in [&[][..], &["--source", "acpi"][..]] {
                let args = [&[device.as_str()][..], source].concat();
                assert_eq!(capture.ask(&args), Ok(gsi), "{name} {args:?}");
            }
        }
    }
}

#[test]
fn every_device_has_the_gsi_that_privcmd_gave_it() {
    for (name, count) in [("q35-dom0", 10), ("q35-later-dom0", 10)] {
        let capture = Capture::open(name);
        let mut found = 0;
        for line in capture.text("privcmd").lines() {
            if let Some((device, gsi)) = line.split_once(" gsi ") {
                assert_eq!(
                    capture.ask(&[device]),
                    Ok(gsi.parse().unwrap()),
                    "{name} {line}"
                );
                found += 1;
            }
        }
        assert_eq!(found, count, "{name}");
    }
}

#[test]
fn a_device_of_which_its_kernel_knows_no_gsi_has_none() {
    for (name, _) in CAPTURES {
        let capture = Capture::open(name);
        let known = capture.devices_of_kernel();
        for device in capture.all_devices() {
            if !known.contains_key(&device) {
                let config =
                    fs::read(capture.path(&format!("sys/bus/pci/devices/{device}/config")));
                // Bridges that their driver did not turn on are known to have a pin.
                if config.unwrap()[0x3d] == 0 {
                    assert_eq!(capture.ask(&[&device]), Err(4), "{name} {device}");
                }
            }
        }
    }
}

/// Irqs of interrupt pins, as the kernel's log has them, while their device is on.
#[test]
fn every_irq_of_a_device_that_is_on_has_its_gsi() {
    for (name, count) in [("q35", 5), ("q35-two", 5), ("microvm", 3)] {
        let capture = Capture::open(name);
        let mut irqs = BTreeSet::new();
        for (device, (gsi, irq)) in capture.devices_of_kernel() {
            let dir = format!("sys/bus/pci/devices/{device}");
            let read = |file: &str| capture.text(&format!("{dir}/{file}")).trim().to_owned();
            if read("enable") == "0" || read("irq") != irq.to_string() {
                continue;
            }
            irqs.insert(irq);
            let irq = irq.to_string();
            assert_eq!(capture.ask(&["--irq", &irq]), Ok(gsi), "{name} {irq}");
        }
        assert_eq!(irqs.len(), count, "{name}");
    }
}

#[test]
fn an_irq_is_not_its_gsi_where_io_apics_say_otherwise() {
    for (name, differ) in [
        ("q35", 0),
        ("q35-two", 11),
        ("q35-later-dom0", 13),
        ("microvm", 5),
    ] {
        let devices = Capture::open(name).devices_of_kernel();
        let count = devices.values().filter(|(gsi, irq)| gsi != irq).count();
        assert_eq!(count, differ, "{name}");
    }
}

#[test]
fn irqs_of_isa_follow_the_overrides() {
    let q35 = Capture::open("q35");
    assert_eq!(q35.ask(&["--irq", "0"]), Ok(2));
    assert_eq!(q35.ask(&["--irq", "4"]), Ok(4));
    // Two IO-APICs have such a pin; with an i8259 in the machine it is ISA's.
    let two = Capture::open("q35-two");
    assert_eq!(two.ask(&["--irq", "0"]), Ok(2));
    assert_eq!(two.ask(&["--irq", "4"]), Ok(4));
    // Without one, nothing shows which it is.
    let microvm = Capture::open("microvm");
    let serial = capture_irq(&microvm, "ttyS0");
    let output = microvm.run(&["--irq", &serial]);
    assert_eq!(answer(&output), Err(5));
    assert_eq!(
        stderr(&output),
        format!(
            "xpt-gsi: irq {serial} is one of GSIs 4, 28: the kernel does not show which IO-APIC it is of\n"
        )
    );
}

/// The irq of `/proc/interrupts` that `action` serves.
fn capture_irq(capture: &Capture, action: &str) -> String {
    let text = capture.text("proc/interrupts");
    let line = text
        .lines()
        .find(|line| line.split_whitespace().last() == Some(action));
    line.unwrap().split(':').next().unwrap().trim().to_owned()
}

#[test]
fn irqs_without_a_gsi_say_why() {
    let dom0 = Capture::open("q35-dom0");
    for (action, says) in [
        ("timer0", "an event channel of Xen"),
        ("xenbus", "an event channel of Xen"),
    ] {
        let irq = capture_irq(&dom0, action);
        let output = dom0.run(&["--irq", &irq]);
        assert_eq!(answer(&output), Err(4));
        assert_eq!(
            stderr(&output),
            format!("xpt-gsi: irq {irq} is {says}, so it has no GSI\n")
        );
    }
    for name in ["q35", "q35-remap"] {
        let capture = Capture::open(name);
        let irq = capture_irq(&capture, "eth1-rx-0");
        let output = capture.run(&["--irq", &irq]);
        assert_eq!(answer(&output), Err(4), "{name}");
        assert_eq!(
            stderr(&output),
            format!("xpt-gsi: irq {irq} is an MSI, so it has no GSI\n")
        );
        assert_eq!(capture.ask(&["--irq", "9999"]), Err(3));
    }
    // Interrupt remapping changes the chip's name alone.
    assert_eq!(Capture::open("q35-remap").ask(&["--irq", "20"]), Ok(20));
}

#[test]
fn errors_have_their_line_and_code() {
    let q35 = Capture::open("q35");
    for (args, code, says) in [
        (
            &["00:07.0"][..],
            3,
            "there is no PCI device 0000:00:07.0 (see /sys/bus/pci/devices)",
        ),
        (
            &["00:00.0"],
            4,
            "0000:00:00.0 has no INTx pin, so it has no GSI",
        ),
        (
            &["00:05.0", "--source", "privcmd"],
            5,
            "no source knows the GSI of 0000:00:05.0: only a running kernel can be asked",
        ),
    ] {
        let output = q35.run(args);
        assert_eq!(answer(&output), Err(code));
        assert_eq!(stderr(&output), format!("xpt-gsi: {says}\n"));
    }
    assert_eq!(q35.run(&["00:40.0"]).status.code(), Some(2));
}

#[test]
fn sources_that_differ_are_not_chosen_from() {
    let two = Capture::open("q35-two");
    let (_, irq) = two.devices_of_kernel()["0000:00:08.0"];
    let dir = format!("sys/kernel/irq/{irq}/hwirq");
    fs::write(two.path(&dir), "21\n").unwrap();
    let output = two.run(&["00:08.0"]);
    assert_eq!(answer(&output), Err(6));
    // The interrupt is in use, so /proc/interrupts shows its pin too.
    assert_eq!(
        stderr(&output),
        format!(
            "xpt-gsi: irq {irq} is IO-APIC 20 in /proc/interrupts and IO-APIC 21 in /sys/kernel/irq\n"
        )
    );
    let text = two
        .text("proc/interrupts")
        .replace(" 20-fasteoi", " 21-fasteoi");
    fs::write(two.path("proc/interrupts"), text).unwrap();
    let output = two.run(&["00:08.0"]);
    assert_eq!(answer(&output), Err(6));
    assert_eq!(
        stderr(&output),
        "xpt-gsi: sources disagree on 0000:00:08.0: acpi says GSI 44, irq says one of GSIs 21, 45\n"
    );
    assert_eq!(two.ask(&["00:08.0", "--source", "acpi"]), Ok(44));
    // One IO-APIC names one GSI.
    let q35 = Capture::open("q35");
    fs::write(q35.path("sys/kernel/irq/20/hwirq"), "21\n").unwrap();
    fs::remove_file(q35.path("proc/interrupts")).unwrap();
    let output = q35.run(&["00:08.0"]);
    assert_eq!(answer(&output), Err(6));
    assert_eq!(
        stderr(&output),
        "xpt-gsi: sources disagree on 0000:00:08.0: acpi says GSI 20, irq says GSI 21\n"
    );
    // No pin 30 there: no lack of an answer, but a wrong one.
    fs::write(q35.path("sys/kernel/irq/20/hwirq"), "250\n").unwrap();
    assert_eq!(q35.ask(&["00:08.0"]), Err(6));
}

#[test]
fn json_and_explanation_name_every_source() {
    let q35 = Capture::open("q35");
    let output = q35.run(&["04:07.0", "--json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["gsi"], 20);
    assert_eq!(json["device"], "0000:04:07.0");
    assert_eq!(
        (&json["exit"], &json["error"]),
        (&Value::from(0), &Value::Null)
    );
    let facts: BTreeSet<&str> = json["facts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fact| fact["source"].as_str().unwrap())
        .collect();
    let all = [
        "/sys/kernel/irq",
        "/proc/interrupts",
        "acpi",
        "config",
        "irq",
        "madt",
        "privcmd",
        "sysfs",
    ];
    assert_eq!(facts, BTreeSet::from(all));
    let output = q35.run(&["04:07.0", "--explain"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("20\n  config: 0000:04:07.0 interrupts by INTA\n"),
        "{text}"
    );
    // Device 7 behind the bridge at slot 3 behind the one at slot 0xa: D, then C.
    assert!(
        text.contains(
            "\\_SB_.PCI0._PRT routes INTC of its device 0xa to \\_SB_.GSIE, which is GSI 20"
        ),
        "{text}"
    );
    let output = q35.run(&["00:00.0", "--json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["gsi"], Value::Null);
    assert_eq!(
        (&json["exit"], &json["error"]["kind"]),
        (&Value::from(4), &Value::from("no-gsi"))
    );
}

#[test]
fn broken_tables_are_errors_and_other_sources_answer() {
    let tables = "sys/firmware/acpi/tables";
    let q35 = Capture::open("q35");
    let dsdt = fs::read(q35.path(&format!("{tables}/DSDT"))).unwrap();
    let set = |bytes: &[u8]| fs::write(q35.path(&format!("{tables}/DSDT")), bytes).unwrap();
    set(&dsdt[..dsdt.len() / 2]);
    let output = q35.run(&["00:05.0", "--source", "acpi"]);
    assert_eq!(answer(&output), Err(8));
    assert_eq!(
        stderr(&output),
        "xpt-gsi: the DSDT is malformed: its header is not that of a table of its length\n"
    );
    // This one is on and has an irq; that one is on as well, and both have a pin.
    assert_eq!(q35.ask(&["00:08.0"]), Ok(20));
    // A method that never ends: While (One) {}.
    let mut endless = dsdt[..36].to_vec();
    endless.extend([0xa2, 0x02, 0x01]);
    let length = u32::try_from(endless.len()).unwrap();
    endless[4..8].copy_from_slice(&length.to_le_bytes());
    set(&endless);
    assert_eq!(q35.ask(&["00:05.0", "--source", "acpi"]), Err(5));
    fs::remove_file(q35.path(&format!("{tables}/DSDT"))).unwrap();
    assert_eq!(q35.ask(&["00:05.0", "--source", "acpi"]), Err(5));
    let q35 = Capture::open("q35");
    fs::write(q35.path(&format!("{tables}/APIC")), b"APIC\x05\0\0\0").unwrap();
    assert_eq!(q35.ask(&["--irq", "20", "--source", "irq"]), Err(8));
    assert_eq!(q35.ask(&["00:08.0"]), Ok(20));
}

/// Damage anywhere in a DSDT ends in an answer or in a line and a defined code.
#[test]
fn damaged_tables_never_end_in_anything_else() {
    let capture = Capture::open("q35");
    let path = capture.path("sys/firmware/acpi/tables/DSDT");
    let dsdt = fs::read(&path).unwrap();
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    let mut outcomes = BTreeSet::new();
    for _ in 0..40 {
        let mut damaged = dsdt.clone();
        for _ in 0..4 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let at = 36 + usize::try_from(seed >> 16).unwrap() % (damaged.len() - 36);
            damaged[at] = seed.to_le_bytes()[0];
        }
        fs::write(&path, &damaged).unwrap();
        outcomes.insert(match capture.ask(&["00:05.0", "--source", "acpi"]) {
            Ok(_) => 0,
            Err(code) => code,
        });
    }
    assert!(
        outcomes.is_subset(&BTreeSet::from([0, 5, 8])),
        "{outcomes:?}"
    );
    assert!(outcomes.len() > 1, "no damage did anything");
}

/// What a made table's `_PRT` depends on.
#[derive(Clone, Copy)]
enum Depends {
    /// A register in memory, which nothing here can read.
    Unknown,
    /// The same, but both ways lead to one GSI.
    UnknownButEqual,
    /// The same register, which `\_PIC` has written before.
    Written,
    /// The vendor in the config space of the bridge to ISA.
    Config,
}

/// A DSDT whose device 5 interrupts by GSI 41 if a register is 0, and by 42 or 41 if not.
fn made_dsdt(depends: Depends) -> Vec<u8> {
    use acpi_tables::{
        Aml,
        aml::{
            Arg, Device, Equal, Field, FieldAccessType, FieldEntry, FieldLockRule, FieldUpdateRule,
            If, Method, OpRegion, OpRegionSpace, Package, Path, Return, Scope, Store, ZERO,
        },
        sdt::Sdt,
    };
    let (space, start) = match depends {
        Depends::Config => (OpRegionSpace::PCIConfig, 0u32),
        _ => (OpRegionSpace::SystemMemory, 0x1000),
    };
    let region = OpRegion::new("REGS".into(), space, &start, &4u8);
    let field = Field::new(
        "REGS".into(),
        FieldAccessType::Byte,
        FieldLockRule::NoLock,
        FieldUpdateRule::Preserve,
        vec![FieldEntry::Named(*b"FLAG", 8)],
    );
    let pins = |gsi: u8| (0x0005_ffffu32, gsi);
    let (first, second) = match depends {
        Depends::UnknownButEqual => (pins(41), pins(41)),
        _ => (pins(41), pins(42)),
    };
    let first_entry = Package::new(vec![&first.0, &ZERO, &ZERO, &first.1]);
    let second_entry = Package::new(vec![&second.0, &ZERO, &ZERO, &second.1]);
    let (first_prt, second_prt) = (
        Package::new(vec![&first_entry]),
        Package::new(vec![&second_entry]),
    );
    let (first_return, second_return) = (Return::new(&first_prt), Return::new(&second_prt));
    let register = Path::new("\\_SB_.PCI0.ISA_.FLAG");
    let is_zero = Equal::new(&register, &ZERO);
    let branch = If::new(&is_zero, vec![&first_return]);
    let prt = Method::new("_PRT".into(), 0, false, vec![&branch, &second_return]);
    let address = 0x0001_0000u32;
    let adr = acpi_tables::aml::Name::new("_ADR".into(), &address);
    let isa = Device::new("ISA_".into(), vec![&adr, &region, &field]);
    let bus = Device::new("PCI0".into(), vec![&isa, &prt]);
    let scope = Scope::new("_SB_".into(), vec![&bus]);
    let mode = Arg(0);
    let store = Store::new(&register, &mode);
    let pic = Method::new("\\_PIC".into(), 1, false, vec![&store]);
    let mut aml = Vec::new();
    scope.to_aml_bytes(&mut aml);
    if matches!(depends, Depends::Written) {
        pic.to_aml_bytes(&mut aml);
    }
    let mut table = Sdt::new(*b"DSDT", 36, 2, *b"XPTGSI", *b"TEST    ", 1);
    table.append_slice(&aml);
    table.as_slice().to_vec()
}

#[test]
fn registers_that_cannot_be_read_are_not_guessed() {
    let q35 = Capture::open("q35");
    let ask = |depends| {
        let path = q35.path("sys/firmware/acpi/tables/DSDT");
        fs::write(path, made_dsdt(depends)).unwrap();
        q35.run(&["00:05.0", "--source", "acpi"])
    };
    let output = ask(Depends::Unknown);
    assert_eq!(answer(&output), Err(5));
    assert_eq!(
        stderr(&output),
        "xpt-gsi: the routing depends on registers that cannot be read here (GSI 41 or 42)\n"
    );
    assert_eq!(answer(&ask(Depends::UnknownButEqual)), Ok(41));
    // APIC mode, 1, was kept for the read.
    assert_eq!(answer(&ask(Depends::Written)), Ok(42));
    // 00:01.0 of the q35 is a VGA adapter: its vendor is not 0.
    assert_eq!(answer(&ask(Depends::Config)), Ok(42));
}

#[test]
fn what_the_interpreter_lacks_is_not_knowable_and_irqs_answer() {
    let pc = Capture::open("pc");
    let devices = pc.devices_of_kernel();
    assert_eq!(devices.len(), 6);
    for (device, (gsi, _)) in devices {
        assert_eq!(pc.ask(&[&device]), Ok(gsi), "{device}");
        assert_eq!(pc.ask(&[&device, "--source", "irq"]), Ok(gsi), "{device}");
        let output = pc.run(&[&device, "--source", "acpi"]);
        assert_eq!(answer(&output), Err(5), "{device}");
        let says = stderr(&output);
        assert!(
            says.contains("the AML interpreter panicked: not yet implemented"),
            "{says}"
        );
    }
}

#[test]
fn a_low_irq_is_isas_only_where_there_is_an_i8259() {
    let two = Capture::open("q35-two");
    let path = two.path("sys/firmware/acpi/tables/APIC");
    let mut madt = fs::read(&path).unwrap();
    madt[40] = 0;
    fs::write(&path, madt).unwrap();
    assert_eq!(two.ask(&["--irq", "4"]), Err(5));
}

#[test]
fn an_msi_is_not_taken_for_the_irq_of_the_pin() {
    let q35 = Capture::open("q35");
    // With MSI-X the file keeps the pin's irq; with MSI, Linux shows the MSI's there.
    assert_eq!(q35.ask(&["00:09.0", "--source", "irq"]), Ok(21));
    fs::write(q35.path("sys/bus/pci/devices/0000:00:09.0/irq"), "24\n").unwrap();
    let output = q35.run(&["00:09.0", "--source", "irq"]);
    assert_eq!(answer(&output), Err(5));
    assert_eq!(
        stderr(&output),
        "xpt-gsi: no source knows the GSI of 0000:00:09.0: its irq 24 is an MSI\n"
    );
}
