// SPDX-License-Identifier: GPL-2.0-only
//! Arguments of `HYPERVISOR_domctl` that concern interrupts of a device.
//!
//! Source: Xen's `include/public/domctl.h`.

#![forbid(unsafe_code)]

use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::errno::Errno;

/// Number of `XEN_DOMCTL_gsi_permission`.
pub const GSI_PERMISSION: u32 = 88;

/// Argument of `XEN_DOMCTL_gsi_permission`
/// (`struct xen_domctl_gsi_permission`), the same for every caller.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct GsiPermission {
    /// The GSI.
    pub gsi: u32,
    /// See [`GsiAction`].
    pub flags: u32,
}

const_assert_eq!(size_of::<GsiPermission>(), 8);
const_assert_eq!(core::mem::offset_of!(GsiPermission, flags), 4);

/// What to do with a domain's access to a GSI (`XEN_DOMCTL_GSI_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GsiAction {
    /// 0: take the access away.
    Revoke,
    /// 1: give access.
    Grant,
}

impl GsiPermission {
    /// What the flags ask for.
    ///
    /// # Errors
    /// [`Errno::EINVAL`] when any bit outside `XEN_DOMCTL_GSI_ACTION_MASK` is
    /// set.
    pub const fn action(&self) -> Result<GsiAction, Errno> {
        match self.flags {
            0 => Ok(GsiAction::Revoke),
            1 => Ok(GsiAction::Grant),
            _ => Err(Errno::EINVAL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gsi_permission_knows_grant_and_revoke_only() {
        let raw = [22, 0, 0, 0, 1, 0, 0, 0];
        let call = GsiPermission::read_from_bytes(&raw).unwrap();
        assert_eq!((call.gsi, call.action()), (22, Ok(GsiAction::Grant)));
        assert_eq!(
            GsiPermission { flags: 0, ..call }.action(),
            Ok(GsiAction::Revoke)
        );
        for bit in 1..32 {
            assert_eq!(
                GsiPermission {
                    flags: 1 << bit,
                    ..call
                }
                .action(),
                Err(Errno::EINVAL)
            );
        }
    }
}
