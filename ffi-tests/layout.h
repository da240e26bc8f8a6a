/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which member of which of Xen's public structs the library has where.
 *
 * F(Xen's struct, its member, our struct, first and last of our members)
 * S(Xen's struct, our struct)
 */

#ifndef LAYOUT_H
#define LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include <public/xen.h>
#include <public/physdev.h>
#include <public/domctl.h>

#define MAP_PIRQ(F, S, ours, table_low, table_high)                     \
    F(physdev_map_pirq, domid, ours, domid, domid)                      \
    F(physdev_map_pirq, type, ours, type, type)                         \
    F(physdev_map_pirq, index, ours, index, index)                      \
    F(physdev_map_pirq, pirq, ours, pirq, pirq)                         \
    F(physdev_map_pirq, bus, ours, bus, bus)                            \
    F(physdev_map_pirq, devfn, ours, devfn, devfn)                      \
    F(physdev_map_pirq, entry_nr, ours, entry_nr, entry_nr)             \
    F(physdev_map_pirq, table_base, ours, table_low, table_high)        \
    S(physdev_map_pirq, ours)

#define UNMAP_PIRQ(F, S)                                                \
    F(physdev_unmap_pirq, domid, xpt_physdev_unmap_pirq, domid, domid)  \
    F(physdev_unmap_pirq, pirq, xpt_physdev_unmap_pirq, pirq, pirq)     \
    S(physdev_unmap_pirq, xpt_physdev_unmap_pirq)

#define SETUP_GSI(F, S)                                                 \
    F(physdev_setup_gsi, gsi, xpt_physdev_setup_gsi, gsi, gsi)          \
    F(physdev_setup_gsi, triggering, xpt_physdev_setup_gsi, triggering, \
      triggering)                                                       \
    F(physdev_setup_gsi, polarity, xpt_physdev_setup_gsi, polarity,     \
      polarity)                                                         \
    S(physdev_setup_gsi, xpt_physdev_setup_gsi)

/* Not every release has the last two. */
#ifdef PHYSDEVOP_pci_device_reset
#define DEVICE_RESET(F, S)                                              \
    F(pci_device_reset, dev.seg, xpt_pci_device_reset, seg, seg)        \
    F(pci_device_reset, dev.bus, xpt_pci_device_reset, bus, bus)        \
    F(pci_device_reset, dev.devfn, xpt_pci_device_reset, devfn, devfn)  \
    F(pci_device_reset, flags, xpt_pci_device_reset, flags, flags)      \
    S(pci_device_reset, xpt_pci_device_reset)
#else
#define DEVICE_RESET(F, S)
#endif

#ifdef XEN_DOMCTL_gsi_permission
#define GSI_PERMISSION(F, S)                                            \
    F(xen_domctl_gsi_permission, gsi, xpt_domctl_gsi_permission, gsi,   \
      gsi)                                                              \
    F(xen_domctl_gsi_permission, flags, xpt_domctl_gsi_permission,      \
      flags, flags)                                                     \
    S(xen_domctl_gsi_permission, xpt_domctl_gsi_permission)
#else
#define GSI_PERMISSION(F, S)
#endif

#define EVERY_CALLER(F, S)                                              \
    UNMAP_PIRQ(F, S) SETUP_GSI(F, S) DEVICE_RESET(F, S) GSI_PERMISSION(F, S)

#define NATIVE(F, S)                                                    \
    MAP_PIRQ(F, S, xpt_physdev_map_pirq, table_base, table_base)        \
    EVERY_CALLER(F, S)

#define COMPAT(F, S)                                                    \
    MAP_PIRQ(F, S, xpt_compat_physdev_map_pirq, table_base_low,         \
             table_base_high)                                           \
    EVERY_CALLER(F, S)

/* In bytes. */
struct place
{
    uint32_t offset;
    uint32_t size;
    uint32_t is_signed;
};

#define MEMBER(s, m) (((struct s *)NULL)->m)
#define IS_SIGNED(s, m)                                                 \
    ((__typeof__(MEMBER(s, m)))-1 < (__typeof__(MEMBER(s, m)))1)

#define XEN_PLACE(s, m, ours, first, last)                              \
    { offsetof(struct s, m), sizeof(MEMBER(s, m)), IS_SIGNED(s, m) },
#define XEN_SIZE(s, ours) { 0, sizeof(struct s), 0 },

#endif /* LAYOUT_H */

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
