// SPDX-License-Identifier: GPL-2.0-only
//! What a guest says of the devices it was given, and what it should say.
//!
//! `guests/dom0/guest` prints `XPT <who> <fact> <value>`; every value that a
//! device computed or moved is compared with what it must be, given what this
//! run chose.

use crate::dom0::Challenge;

/// One thing that was seen, and what it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) what: String,
    pub(crate) seen: String,
    /// None where it is as it should be.
    pub(crate) wrong: Option<String>,
}

impl Check {
    /// Right when both are the same.
    pub(crate) fn equal(
        what: impl Into<String>,
        seen: impl Into<String>,
        want: impl Into<String>,
    ) -> Self {
        let (seen, want) = (seen.into(), want.into());
        let wrong = (seen != want).then_some(want);
        Self {
            what: what.into(),
            seen,
            wrong,
        }
    }

    /// Right when `good`; `want` says what would be.
    pub(crate) fn when(
        what: impl Into<String>,
        good: bool,
        seen: impl Into<String>,
        want: &str,
    ) -> Self {
        Self {
            what: what.into(),
            seen: seen.into(),
            wrong: (!good).then(|| want.to_owned()),
        }
    }

    /// As it stands in the table.
    pub(crate) fn text(&self) -> String {
        match &self.wrong {
            None => format!("{} {}", self.what, self.seen),
            Some(want) => format!("{} {} instead of {want}", self.what, self.seen),
        }
    }
}

/// What one guest said, in order: who, fact, value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts(Vec<(String, String, String)>);

impl Facts {
    /// From the lines of Xen's console, those of domain `domid`.
    pub(crate) fn parse(lines: &[String], domid: u32) -> Self {
        let mark = format!("(d{domid}) XPT ");
        Self(
            lines
                .iter()
                .filter_map(|line| line.split_once(&mark))
                .map(|(_, rest)| rest.split("(XEN) ").next().unwrap_or(rest).trim())
                .filter_map(|rest| {
                    let (who, rest) = rest.split_once(' ')?;
                    let (fact, value) = rest.split_once(' ').unwrap_or((rest, ""));
                    Some((who.to_owned(), fact.to_owned(), value.to_owned()))
                })
                .collect(),
        )
    }

    /// The last value of a fact.
    pub(crate) fn get(&self, who: &str, fact: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(w, f, _)| w == who && f == fact)
            .map(|(_, _, value)| value.as_str())
    }

    /// Whatever could not go on.
    fn errors(&self) -> Vec<String> {
        self.0
            .iter()
            .filter(|(_, fact, _)| fact == "error")
            .map(|(who, _, value)| format!("{who}: {value}"))
            .collect()
    }

    fn seen(&self, who: &str, fact: &str) -> String {
        self.get(who, fact).unwrap_or("nothing").to_owned()
    }

    fn equal(&self, who: &str, fact: &str, want: &str) -> Check {
        Check::equal(format!("{who} {fact}"), self.seen(who, fact), want)
    }

    /// A count of at least `least`: a level may arrive again before it is served.
    fn at_least(&self, who: &str, fact: &str, least: u32) -> Check {
        let seen = self.seen(who, fact);
        let good = seen.parse().is_ok_and(|count: u32| count >= least);
        let want = format!("{least} or more");
        Check::when(format!("{who} {fact}"), good, seen, &want)
    }

    /// All that the guest must have seen of `device` in one run of all steps.
    pub(crate) fn judge(&self, device: &Device, challenge: &Challenge) -> Vec<Check> {
        let who = device.name;
        let errors = self.errors();
        let mut checks = vec![Check::when(
            format!("{who} errors"),
            errors.is_empty(),
            if errors.is_empty() {
                "none".to_owned()
            } else {
                errors.join(", ")
            },
            "none",
        )];
        let found = self.seen(who, "found");
        let id = format!("id {}", device.id);
        checks.push(Check::when(
            format!("{who} found"),
            found.contains(&id),
            found,
            &id,
        ));
        let bar = self.seen(who, "bar0");
        checks.push(Check::when(
            format!("{who} bar0"),
            bar.split_once(" put ")
                .and_then(|(_, rest)| rest.split_once(" read "))
                .is_some_and(|(put, read)| put == read && put != "0x0"),
            bar,
            "the address that was put",
        ));
        match device.kind {
            Kind::Edu => checks.extend([
                self.equal(who, "ident", "0x010000ed"),
                self.equal(
                    who,
                    "inverse",
                    &format!("0x{:08x} 0x{:08x}", challenge.seed, !challenge.seed),
                ),
                self.equal(
                    who,
                    "factorial",
                    &format!("{} {}", challenge.factorial, factorial(challenge.factorial)),
                ),
                self.equal(
                    who,
                    "dma",
                    &format!(
                        "1024 same 1024 guard 128 of 128 crc32 0x{:08x}",
                        crc32fast::hash(&pattern(challenge.seed, 1024))
                    ),
                ),
            ]),
            Kind::Nvme => checks.extend([
                self.equal(who, "serial", "1"),
                self.equal(
                    who,
                    "read",
                    &block(challenge.read, challenge.block(challenge.read)),
                ),
                self.equal(who, "read.guard", "3584 of 3584"),
                self.equal(
                    who,
                    "written",
                    &block(challenge.write, &pattern(challenge.seed, 512)),
                ),
            ]),
            Kind::E1000e => checks.extend([
                self.equal(who, "mac", "52:54:00:12:34:56"),
                self.equal(who, "sent", "1"),
                self.equal(who, "arp", "10.0.2.2 52:55:0a:00:02:02"),
            ]),
        }
        checks.extend([
            self.at_least(who, "intx.first", 1),
            self.at_least(who, "intx.second", 1),
            self.at_least(who, "intx.held", 3),
            self.equal(who, "intx.masked", "0"),
            self.at_least(who, "intx.unmasked", 1),
            self.equal(who, "intx.disabled", "0"),
            self.equal(who, "intx.pending", "1"),
            self.at_least(who, "intx.enabled", 1),
        ]);
        if device.kind != Kind::Nvme {
            checks.extend(
                [
                    ("enable", "1"),
                    ("first", "1"),
                    ("second", "1"),
                    ("off", "0"),
                    ("moved", "1"),
                ]
                .map(|(fact, want)| self.equal(who, &format!("msi.{fact}"), want)),
            );
        }
        if device.kind != Kind::Edu {
            checks.extend(
                [
                    ("first", "1"),
                    ("second", "1"),
                    ("entry1", "1"),
                    ("masked", "0"),
                    ("unmasked", "1"),
                    ("allmasked", "0"),
                    ("allunmasked", "1"),
                    ("moved", "1"),
                ]
                .map(|(fact, want)| self.equal(who, &format!("msix.{fact}"), want)),
            );
        }
        checks
    }
}

/// What a device is driven as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Edu,
    Nvme,
    E1000e,
}

/// A device of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) kind: Kind,
    /// As the guest and the table call it.
    pub(crate) name: &'static str,
    /// Its slot on bus 0.
    pub(crate) slot: u32,
    /// Its identification, device and vendor.
    id: &'static str,
    /// dom0's driver; `edu` has none.
    pub(crate) driver: Option<&'static str>,
}

impl Device {
    pub(crate) const EDU: Self = Self {
        kind: Kind::Edu,
        name: "edu",
        slot: 5,
        id: "0x11e81234",
        driver: None,
    };
    pub(crate) const NVME: Self = Self {
        kind: Kind::Nvme,
        name: "nvme",
        slot: 6,
        id: "0x00101b36",
        driver: Some("nvme"),
    };
    pub(crate) const E1000E: Self = Self {
        kind: Kind::E1000e,
        name: "e1000e",
        slot: 8,
        id: "0x10d38086",
        driver: Some("e1000e"),
    };

    /// Another one, where its interrupt line is that of the first.
    pub(crate) const SHARED: Self = Self {
        slot: 9,
        ..Self::EDU
    };

    /// In the order in which they are tried: the one that upstream loses last.
    pub(crate) const ALL: [Self; 3] = [Self::EDU, Self::E1000E, Self::NVME];

    /// As xl takes it.
    pub(crate) fn bdf(&self) -> String {
        format!("00:{:02x}.0", self.slot)
    }

    /// The GSI that q35 wires INTA of the slot to.
    pub(crate) fn gsi(&self) -> u32 {
        20_u32.wrapping_add(self.slot & 3)
    }
}

/// The device's unit counts in 32 bits.
fn factorial(n: u32) -> u32 {
    (1..=n).fold(1, u32::wrapping_mul)
}

/// The bytes that the guest makes of a seed.
pub(crate) fn pattern(seed: u32, len: u32) -> Vec<u8> {
    (0..len).map(|i| pattern_byte(seed, i)).collect()
}

fn block(lba: u32, bytes: &[u8]) -> String {
    let first: String = bytes
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{lba} crc32 0x{:08x} first {first}", crc32fast::hash(bytes))
}

/// Knuth's multiplicative hash, the upper byte.
fn pattern_byte(seed: u32, i: u32) -> u8 {
    let [_, _, _, high] = seed
        .wrapping_add(i)
        .wrapping_mul(2_654_435_761)
        .to_le_bytes();
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge() -> Challenge {
        Challenge {
            seed: 77,
            factorial: 11,
            read: 5,
            write: 9,
            disk: std::sync::Arc::new(vec![0; 16 * 512]),
        }
    }

    /// As seen: the device was driven with the challenge above.
    const EDU: &str = "found 00:02.0 id 0x11e81234 class 0x00ff0010
bar0 mem size 0x100000 put 0xf0000000 read 0xf0000000
ident 0x010000ed
inverse 0x0000004d 0xffffffb2
factorial 11 39916800
dma 1024 same 1024 guard 128 of 128 crc32 0xd258c00b
intx.first 1
intx.second 1
intx.held 4
intx.masked 0
intx.unmasked 2
intx.disabled 0
intx.pending 1
intx.enabled 1
msi.enable 1
msi.first 1
msi.second 1
msi.off 0
msi.moved 1";

    fn edu(change: (&str, &str)) -> Vec<Check> {
        let lines: Vec<String> = EDU
            .lines()
            .map(|line| format!("[  1.0] x(d3) XPT edu {}", line.replace(change.0, change.1)))
            .collect();
        Facts::parse(&lines, 3).judge(&Device::EDU, &challenge())
    }

    fn wrong(checks: &[Check]) -> Vec<String> {
        checks
            .iter()
            .filter(|check| check.wrong.is_some())
            .map(Check::text)
            .collect()
    }

    #[test]
    fn every_fact_of_a_device_is_compared() {
        let none: [&str; 0] = [];
        assert_eq!(wrong(&edu(("", ""))), none);
        for line in EDU.lines() {
            // A fact that is not there, and one that has another value.
            assert_eq!(wrong(&edu((line, "x"))).len(), 1, "{line}");
            let (fact, value) = line.split_once(' ').unwrap();
            let least = ["first", "second", "held", "unmasked", "enabled"]
                .map(|fact| format!("intx.{fact}"))
                .contains(&fact.to_owned());
            let other = if least {
                "0".to_owned()
            } else {
                format!("{value}9")
            };
            let changed = edu((
                line,
                &format!("{fact} {}", other.replace("0xf0000000", "0x1")),
            ));
            if fact != "found" && fact != "bar0" {
                assert_eq!(wrong(&changed).len(), 1, "{line} {:?}", wrong(&changed));
            }
        }
        assert_eq!(wrong(&edu(("read 0xf0000000", "read 0xf0000004"))).len(), 1);
    }

    #[test]
    fn lines_of_other_domains_do_not_count() {
        let lines = [
            "(d3) XPT edu ident 1",
            "(d33) XPT edu ident 2",
            "XPT edu ident 3",
        ]
        .map(str::to_owned);
        assert_eq!(Facts::parse(&lines, 3).get("edu", "ident"), Some("1"));
        assert_eq!(Facts::parse(&lines, 33).get("edu", "ident"), Some("2"));
        assert_eq!(Facts::parse(&lines, 2).get("edu", "ident"), None);
    }

    #[test]
    fn guest_that_could_not_go_on_is_wrong() {
        let lines = ["(d1) XPT edu error DMA does not end".to_owned()];
        let checks = Facts::parse(&lines, 1).judge(&Device::EDU, &challenge());
        assert_eq!(
            checks.first().map(Check::text).as_deref(),
            Some("edu errors edu: DMA does not end instead of none")
        );
    }

    #[test]
    fn pattern_and_block_are_those_of_the_guest() {
        // As the guest printed them.
        assert_eq!(
            block(9, &pattern(77, 512)),
            "9 crc32 0x0e4e2c21 first 9634d3710fad4bea8826c463019f3ddb"
        );
        assert_eq!(
            block(5, challenge().block(5)),
            "5 crc32 0xb2aa7578 first 00000000000000000000000000000000"
        );
        assert_eq!(factorial(11), 39_916_800);
        assert_eq!(factorial(13), 1_932_053_504);
    }
}
