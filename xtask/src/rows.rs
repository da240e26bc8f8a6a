// SPDX-License-Identifier: GPL-2.0-only
//! The cover letter's hypervisor-side problems, as rows of the table.

use crate::{paths::Kind, series::Series};

/// One problem, and the guest's case that shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// The problem in the cover letter's terms.
    pub(crate) problem: &'static str,
    /// What the guest did.
    pub(crate) did: &'static str,
    /// The guest's case, `test/case`.
    pub(crate) case: &'static str,
    /// The answers of the unmodified 4.17 and 4.20; `*` stands for any text.
    vanilla: [&'static str; 2],
    /// The answer with this crate.
    xpt: &'static str,
}

impl Row {
    /// The answer that the `kind` of `series` is to give.
    pub(crate) fn expected(&self, series: Series, kind: Kind) -> &'static str {
        let [v4_17, v4_20] = self.vanilla;
        match (kind, series) {
            (Kind::Xpt | Kind::Debug, _) => self.xpt,
            (Kind::Vanilla, Series::V4_17) => v4_17,
            (Kind::Vanilla, Series::V4_20) => v4_20,
        }
    }

    /// Whether `answer` is that one.
    pub(crate) fn is_expected(&self, series: Series, kind: Kind, answer: &str) -> bool {
        matches_pattern(self.expected(series, kind), answer)
    }

    /// The guest test that has the case.
    pub(crate) fn test(&self) -> &'static str {
        self.case
            .split_once('/')
            .map_or(self.case, |(test, _)| test)
    }
}

/// The table: where guests change what they ask, this is the place to follow.
pub(crate) const ROWS: &[Row] = &[
    Row {
        problem: "1. a device was reset, Xen's record of it is stale",
        did: "FLR of an NVMe function, then PHYSDEVOP_pci_device_reset",
        case: "vpci-reset/reset",
        vanilla: ["-38", "-17"],
        xpt: "0",
    },
    Row {
        problem: "1. pciback's write of the BAR is lost",
        did: "wrote BAR0 and the command register back after the FLR, and read them",
        case: "vpci-reset/restored",
        vanilla: [
            "bar0 4 command *",
            // The failed reset took the device's vPCI away: the write went to the hardware.
            "bar0 f* command 0107",
        ],
        xpt: "bar0 f* command 0107",
    },
    Row {
        problem: "1. the BAR stays mapped at its old place",
        did: "read the BAR's old address after the reset",
        case: "vpci-reset/old-bar-unmapped",
        vanilla: ["00000000", "00000000"],
        xpt: "ffffffff",
    },
    Row {
        problem: "1. MSI-X state outlives the reset",
        did: "enabled MSI-X, unmasked all entries, FLR and reset, then read them",
        case: "vpci-reset/msix-after-reset",
        vanilla: ["enabled, 0 of * masked", "disabled, * masked"],
        xpt: "disabled, * masked",
    },
    Row {
        problem: "1. a device can be reset only so many times",
        did: "30 rounds of FLR, pci_device_reset and restore",
        case: "vpci-reset/rounds",
        vanilla: ["0 of 30", "0 of 30"],
        xpt: "30 of 30",
    },
    Row {
        problem: "1. a device that does not answer can be written to unchecked",
        did: "reset a device while its bus had another number, wrote to it, reset it again",
        case: "vpci-bridge/reachable-header",
        vanilla: ["bar0 4 command 0000", "bar0 4 command 0000"],
        xpt: "bar0 f* command 0107",
    },
    Row {
        problem: "1. reading a BAR while it is being mapped kills dom0",
        did: "read a register on one vCPU while the other turned decode on and off",
        case: "vpci-map-read/reads",
        vanilla: [
            "no answer (Xen died: domain_crash called from *",
            "no answer (Xen died: domain_crash called from *",
        ],
        xpt: "0 others",
    },
    Row {
        problem: "1. every reset leaks the MSIs that a device had",
        did: "a thousand times: enabled MSI, reset",
        case: "vpci-msi/edu-rounds",
        vanilla: ["0 of 1000", "3* of 1000"],
        xpt: "1000 of 1000",
    },
    Row {
        problem: "1. a device is lost when Xen is not told of its reset",
        did: "FLR of an NVMe function, wrote the header back, read it",
        case: "vpci-heal/nvme-flr-restored",
        vanilla: ["bar0 4 command 0507", "bar0 4 command 0507"],
        xpt: "bar0 f* command 0507",
    },
    Row {
        problem: "2. map_pirq is refused when dom0 is PVH",
        did: "map_pirq for an HVM guest with PIRQs",
        case: "physdev-map-pirq/hvm-pirq-map",
        vanilla: ["-38", "0"],
        xpt: "0",
    },
    Row {
        problem: "2. the same for a guest without PIRQs",
        did: "map_pirq for an HVM guest without PIRQs",
        case: "physdev-map-pirq/hvm-no-pirq-map",
        vanilla: ["-38", "0"],
        xpt: "0",
    },
    Row {
        problem: "2. dom0 can take away what its own vPCI and vIO-APIC own",
        did: "unmap_pirq of a PIRQ that dom0's own interrupt uses",
        case: "vioapic-gsi/self-unmap",
        vanilla: ["-38", "0"],
        xpt: "-95",
    },
    Row {
        problem: "2. and its interrupt is gone then",
        did: "raised that interrupt again",
        case: "vioapic-gsi/self-unmap-raise",
        vanilla: ["arrived", "lost"],
        xpt: "arrived",
    },
    Row {
        problem: "3. the device's GSI is never registered",
        did: "setup_gsi, level triggered, active low",
        case: "physdev-setup-gsi/level-low",
        vanilla: ["-38", "0"],
        xpt: "0",
    },
    Row {
        problem: "3. a GSI set up before its first unmask is never bound",
        did: "setup_gsi, unmasked the pin, raised the interrupt",
        case: "vioapic-gsi/setup-unmask",
        vanilla: ["arrived", "lost"],
        xpt: "arrived",
    },
    Row {
        problem: "3. a trigger mode that does not exist is taken",
        did: "setup_gsi with triggering 7",
        case: "physdev-setup-gsi/triggering-7",
        vanilla: ["-38", "0"],
        xpt: "-22",
    },
    Row {
        problem: "3. the pin's own mode is ignored after a setup",
        did: "setup_gsi edge triggered, unmasked the pin as level, raised the interrupt",
        case: "vioapic-mode/setup-edge-unmask-level",
        // Without setup_gsi the unmask is the first to register the GSI.
        vanilla: ["arrived", "lost"],
        xpt: "arrived",
    },
    Row {
        problem: "3. a conflicting setup of a bound GSI passes for a repeated one",
        did: "setup_gsi, level, of a GSI that is bound as edge triggered",
        case: "vioapic-mode/edge-bound-setup-level",
        vanilla: ["-38", "-17"],
        xpt: "-16",
    },
    Row {
        problem: "3. a GSI whose mapping failed once is lost for good",
        did: "unmasked the pin while Xen had no memory, and again when it had",
        case: "gsi-refused/map-retry",
        vanilla: ["lost", "lost"],
        xpt: "arrived",
    },
    Row {
        problem: "3. the same when binding failed",
        did: "unmasked an edge triggered pin while a guest had the GSI, and again later",
        case: "gsi-refused/bind-retry",
        vanilla: ["arrived", "lost"],
        xpt: "arrived",
    },
    Row {
        problem: "3. a device given back to dom0 is dead on INTx",
        did: "setup_gsi, lent the GSI to a guest, took it back, unmasked",
        case: "gsi-lent/set-up-given-back",
        vanilla: ["arrived", "lost"],
        xpt: "arrived",
    },
    Row {
        problem: "3. there is no permission by GSI",
        did: "XEN_DOMCTL_gsi_permission, then read what the guest may use",
        case: "gsi-lent/permission-granted",
        vanilla: ["{ }", "{ 21 }"],
        xpt: "{ 21 }",
    },
];

/// Glob with `*` only.
pub(crate) fn matches_pattern(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|head| text.strip_prefix(head)) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(tail) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_matches_whole_answers() {
        for (pattern, text, want) in [
            ("-95", "-95", true),
            ("-95", "-9", false),
            ("-9", "-95", false),
            ("0x*", "0x4", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c", false),
            ("*", "", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches_pattern(pattern, text), want, "{pattern} {text}");
        }
    }

    #[test]
    fn rows_name_their_test_and_no_case_twice() {
        let mut cases: Vec<_> = ROWS.iter().map(|row| row.case).collect();
        cases.sort_unstable();
        cases.dedup();
        assert_eq!(cases.len(), ROWS.len());
        assert!(ROWS.iter().all(|row| row.case.contains('/')));
    }
}
