// SPDX-License-Identifier: GPL-2.0-only
//! Who may call which `PHYSDEVOP_*`, and map interrupts for whom.
//!
//! Two pure functions over facts that C looked up. [`gate`] stands at the door
//! of `hvm_physdev_op()` and says which operations an HVM or PVH caller reaches
//! at all. [`map`] and [`unmap`] say what `PHYSDEVOP_map_pirq` and
//! `PHYSDEVOP_unmap_pirq` mean for a caller and its target; Xen's XSM hook is
//! asked besides, and either can refuse. [`permission`] is the same for
//! `XEN_DOMCTL_gsi_permission`. The whole of the first two is the table in
//! `docs/policy.md`.
//!
//! Callers: any domain. Locks: none needed, nothing is kept.

#![forbid(unsafe_code)]

use crate::errno::Errno;
use crate::spec::domctl::GsiAction;
use crate::spec::physdev::{MapPirqType, PhysdevOp};

/// What Xen knows of the domain that makes the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// PV, or HVM with PVH counted in.
    pub kind: Kind,
    /// It is the hardware domain.
    pub hardware: bool,
    /// It routes interrupts through pirqs (`X86_EMU_USE_PIRQ`); never for PVH,
    /// and without meaning for PV.
    pub pirqs: bool,
}

/// How a domain is virtualised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Paravirtualised: it owns its pirqs by design.
    Pv,
    /// HVM or PVH: Xen emulates its interrupt controllers.
    Hvm,
}

/// Whose pirq a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The caller, by `DOMID_SELF` or by its own number.
    Itself,
    /// Another domain.
    Other {
        /// That domain routes interrupts through pirqs.
        pirqs: bool,
    },
}

/// What becomes of a permitted call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a verdict that is dropped lets a refused call through"]
pub enum Verdict {
    /// A pirq of a physical interrupt, by `map_domain_pirq` and its kin; XSM
    /// must agree.
    Physical,
    /// A pirq of an interrupt that Xen emulates for the caller itself.
    Emulated,
    /// Not permitted: this is the answer, and XSM is not asked.
    Refused(Errno),
}

/// Whether an HVM or PVH caller reaches the operation with this number.
///
/// # Errors
/// [`Errno::ENOSYS`] when it does not, be the number unknown, meant for PV, or
/// meant for a domain that this one is not.
pub const fn gate(number: u32, caller: Caller) -> Result<(), Errno> {
    let Some(op) = PhysdevOp::new(number) else {
        return Err(Errno::ENOSYS);
    };
    let open = match op {
        // For whom is decided by map() and unmap(), once the target is known.
        PhysdevOp::MapPirq | PhysdevOp::UnmapPirq => true,

        PhysdevOp::Eoi | PhysdevOp::IrqStatusQuery | PhysdevOp::GetFreePirq => caller.pirqs,

        PhysdevOp::SetupGsi
        | PhysdevOp::PciMmcfgReserved
        | PhysdevOp::PciDeviceAdd
        | PhysdevOp::PciDeviceRemove
        | PhysdevOp::PciDeviceReset
        | PhysdevOp::PrepareMsix
        | PhysdevOp::ReleaseMsix
        | PhysdevOp::DbgpOp => caller.hardware,

        PhysdevOp::IrqUnmaskNotify
        | PhysdevOp::SetIopl
        | PhysdevOp::SetIobitmap
        | PhysdevOp::ApicRead
        | PhysdevOp::ApicWrite
        | PhysdevOp::AllocIrqVector
        | PhysdevOp::FreeIrqVector
        | PhysdevOp::ManagePciAdd
        | PhysdevOp::ManagePciRemove
        | PhysdevOp::PirqEoiGmfnV1
        | PhysdevOp::PirqEoiGmfnV2
        | PhysdevOp::RestoreMsi
        | PhysdevOp::ManagePciAddExt
        | PhysdevOp::RestoreMsiExt => false,
    };
    if open { Ok(()) } else { Err(Errno::ENOSYS) }
}

/// What `PHYSDEVOP_map_pirq` of `kind` (`None`: no such type) means.
///
/// Refusals: [`Errno::EOPNOTSUPP`] for a hardware domain without pirqs that
/// means itself, [`Errno::EPERM`] for any other such domain, and
/// [`Errno::EINVAL`] for a type that cannot be mapped.
pub const fn map(caller: Caller, target: Target, kind: Option<MapPirqType>) -> Verdict {
    match (whose(caller, target), kind) {
        (Verdict::Refused(errno), _) => Verdict::Refused(errno),
        (Verdict::Physical | Verdict::Emulated, None) => Verdict::Refused(Errno::EINVAL),
        (Verdict::Physical, Some(_)) => Verdict::Physical,
        (Verdict::Emulated, Some(MapPirqType::Gsi)) => Verdict::Emulated,
        // Xen emulates no device whose messages a pirq could stand for.
        (
            Verdict::Emulated,
            Some(MapPirqType::Msi | MapPirqType::MsiSeg | MapPirqType::MultiMsi),
        ) => Verdict::Refused(Errno::EINVAL),
    }
}

/// What `PHYSDEVOP_unmap_pirq` means.
///
/// Refusals: [`Errno::EOPNOTSUPP`] and [`Errno::EPERM`] as for [`map`].
pub const fn unmap(caller: Caller, target: Target) -> Verdict {
    whose(caller, target)
}

/// What `XEN_DOMCTL_gsi_permission` comes to for a caller that may use the
/// interrupt itself, or may not. Granting or revoking again changes nothing and
/// is no error.
///
/// # Errors
/// [`Errno::EPERM`] when the caller has no access to give or take away.
pub const fn permission(action: GsiAction, caller_has_access: bool) -> Result<GsiAction, Errno> {
    if caller_has_access {
        Ok(action)
    } else {
        Err(Errno::EPERM)
    }
}

/// Whose interrupt controllers own the pirq in question.
const fn whose(caller: Caller, target: Target) -> Verdict {
    match (caller.kind, target) {
        (Kind::Pv, _) => Verdict::Physical,
        // Whether the target has pirqs must not matter: HVM guests without them
        // are given devices too, by a device model that maps their GSI.
        (
            Kind::Hvm,
            Target::Other {
                pirqs: true | false,
            },
        ) => Verdict::Physical,
        (Kind::Hvm, Target::Itself) if caller.pirqs => Verdict::Emulated,
        // Its pirqs belong to its vIO-APIC and to vPCI, which would be left
        // with one that is gone, or find one taken.
        (Kind::Hvm, Target::Itself) if caller.hardware => Verdict::Refused(Errno::EOPNOTSUPP),
        (Kind::Hvm, Target::Itself) => Verdict::Refused(Errno::EPERM),
    }
}
