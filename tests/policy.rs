// SPDX-License-Identifier: GPL-2.0-only
//! The whole policy, held against the tables in `docs/policy.md`.
//!
//! Every combination is enumerated through the C functions and rendered; the
//! document's tables are the expectation. `XPT_BLESS=1` writes them anew, to be
//! read before they are committed.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of a test fails the test by panicking"
)]

mod document;

use std::fmt::Write as _;

use xen_passthrough::errno::Errno;
use xen_passthrough::ffi::physdev::{
    XPT_CALLER_HARDWARE, XPT_CALLER_HVM, XPT_CALLER_PIRQS, XPT_PIRQ_EMULATED, XPT_PIRQ_PHYSICAL,
    XPT_TARGET_PIRQS, XPT_TARGET_SELF, xpt_map_pirq, xpt_physdev_gate, xpt_unmap_pirq,
};
use xen_passthrough::spec::physdev::PhysdevOp;

/// Every caller, PV's pirqs left out where they mean nothing.
const CALLERS: [(&str, u32); 8] = [
    ("PV", 0),
    ("PV, hardware domain", XPT_CALLER_HARDWARE),
    ("HVM with PIRQs", XPT_CALLER_HVM | XPT_CALLER_PIRQS),
    ("HVM without PIRQs", XPT_CALLER_HVM),
    ("PVH hardware domain", XPT_CALLER_HVM | XPT_CALLER_HARDWARE),
    (
        "HVM hardware domain with PIRQs",
        XPT_CALLER_HVM | XPT_CALLER_HARDWARE | XPT_CALLER_PIRQS,
    ),
    ("PV, PIRQ flag set", XPT_CALLER_PIRQS),
    (
        "PV, hardware domain, PIRQ flag set",
        XPT_CALLER_HARDWARE | XPT_CALLER_PIRQS,
    ),
];

const TARGETS: [(&str, u32); 4] = [
    ("itself", XPT_TARGET_SELF),
    ("itself, PIRQ flag set", XPT_TARGET_SELF | XPT_TARGET_PIRQS),
    ("other with PIRQs", XPT_TARGET_PIRQS),
    ("other without PIRQs", 0),
];

const TYPES: [(&str, i32); 6] = [
    ("MSI", 0),
    ("GSI", 1),
    ("type 2", 2),
    ("MSI_SEG", 3),
    ("MULTI_MSI", 4),
    ("type 5", 5),
];

fn answer(rc: i32) -> String {
    match rc {
        XPT_PIRQ_PHYSICAL => "physical".into(),
        XPT_PIRQ_EMULATED => "emulated".into(),
        rc => format!("-{:?}", Errno::check(rc).unwrap_err()),
    }
}

fn row(out: &mut String, cells: impl IntoIterator<Item = String>) {
    let cells: Vec<String> = cells.into_iter().collect();
    writeln!(out, "| {} |", cells.join(" | ")).unwrap();
}

fn gate_table() -> String {
    let hvm = CALLERS
        .iter()
        .filter(|(_, flags)| flags & XPT_CALLER_HVM != 0);
    let mut out = String::new();
    let heads = hvm.clone().map(|(name, _)| (*name).to_owned());
    row(&mut out, ["operation".to_owned()].into_iter().chain(heads));
    out.push_str("|---|---|---|---|---|\n");
    for number in 0..=33 {
        let name = PhysdevOp::new(number).map_or("(none)", PhysdevOp::name);
        let cells = hvm
            .clone()
            .map(|&(_, flags)| match xpt_physdev_gate(number, flags) {
                0 => "open".to_owned(),
                rc => answer(rc),
            });
        row(
            &mut out,
            [format!("{number} {name}")].into_iter().chain(cells),
        );
    }
    out
}

fn pirq_table() -> String {
    let mut out = String::new();
    let heads = TYPES.iter().map(|(name, _)| format!("map {name}"));
    let first = ["caller".to_owned(), "target".to_owned()];
    row(
        &mut out,
        first.into_iter().chain(heads).chain(["unmap".to_owned()]),
    );
    out.push_str("|---|---|---|---|---|---|---|---|---|\n");
    for (caller_name, caller) in CALLERS {
        for (target_name, target) in TARGETS {
            let first = [caller_name.to_owned(), target_name.to_owned()];
            let maps = TYPES
                .iter()
                .map(|&(_, r#type)| answer(xpt_map_pirq(caller, target, r#type)));
            let unmap = answer(xpt_unmap_pirq(caller, target));
            row(&mut out, first.into_iter().chain(maps).chain([unmap]));
        }
    }
    out
}

#[test]
fn policy_is_the_one_of_the_document() {
    document::check("policy", "policy", "the gate", &gate_table());
    document::check("policy", "policy", "map and unmap", &pirq_table());
}

#[test]
fn hardware_domain_maps_for_every_guest_and_never_for_itself() {
    let pvh = XPT_CALLER_HVM | XPT_CALLER_HARDWARE;
    for r#type in [0, 1, 3, 4] {
        for target in [0, XPT_TARGET_PIRQS] {
            assert_eq!(xpt_map_pirq(pvh, target, r#type), XPT_PIRQ_PHYSICAL);
            assert_eq!(xpt_unmap_pirq(pvh, target), XPT_PIRQ_PHYSICAL);
        }
        assert_eq!(
            xpt_map_pirq(pvh, XPT_TARGET_SELF, r#type),
            Errno::EOPNOTSUPP.to_c()
        );
    }
    assert_eq!(
        xpt_unmap_pirq(pvh, XPT_TARGET_SELF),
        Errno::EOPNOTSUPP.to_c()
    );
}

#[test]
fn whether_another_target_has_pirqs_changes_nothing() {
    for (_, caller) in CALLERS {
        for (_, r#type) in TYPES {
            assert_eq!(
                xpt_map_pirq(caller, 0, r#type),
                xpt_map_pirq(caller, XPT_TARGET_PIRQS, r#type)
            );
        }
        assert_eq!(
            xpt_unmap_pirq(caller, 0),
            xpt_unmap_pirq(caller, XPT_TARGET_PIRQS)
        );
    }
}

#[test]
fn unknown_facts_are_refused() {
    for bit in 3..32 {
        let caller = 1 << bit;
        assert_eq!(xpt_physdev_gate(13, caller), Errno::EINVAL.to_c());
        assert_eq!(xpt_map_pirq(caller, 0, 1), Errno::EINVAL.to_c());
        assert_eq!(xpt_unmap_pirq(caller, 0), Errno::EINVAL.to_c());
    }
    for bit in 2..32 {
        assert_eq!(xpt_map_pirq(0, 1 << bit, 1), Errno::EINVAL.to_c());
        assert_eq!(xpt_unmap_pirq(0, 1 << bit), Errno::EINVAL.to_c());
    }
}
