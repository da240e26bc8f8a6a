/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who shall reach which physdev operation, by the names of Xen's header.
 */

#ifndef PHYSDEV_OPS_H
#define PHYSDEV_OPS_H

#include "check.h"

#include <public/xen.h>
#include <public/physdev.h>

enum who
{
    WHO_NOBODY,
    WHO_PIRQS,      /* callers with pirqs */
    WHO_HARDWARE,   /* the hardware domain */
    WHO_ANYBODY,    /* the verdicts on the target decide */
};

static const struct physdev_op_row
{
    const char *name;
    uint32_t number;
    enum who who;
} physdev_ops[] = {
#define OP(name, who) { #name, PHYSDEVOP_ ## name, WHO_ ## who }
    OP(IRQ_UNMASK_NOTIFY, NOBODY),
    OP(irq_status_query, PIRQS),
    OP(set_iopl, NOBODY),
    OP(set_iobitmap, NOBODY),
    OP(apic_read, NOBODY),
    OP(apic_write, NOBODY),
    OP(alloc_irq_vector, NOBODY),
    OP(free_irq_vector, NOBODY),
    OP(eoi, PIRQS),
    OP(map_pirq, ANYBODY),
    OP(unmap_pirq, ANYBODY),
    OP(manage_pci_add, NOBODY),
    OP(manage_pci_remove, NOBODY),
    OP(pirq_eoi_gmfn_v1, NOBODY),
    OP(restore_msi, NOBODY),
    OP(manage_pci_add_ext, NOBODY),
    OP(setup_gsi, HARDWARE),
    OP(get_free_pirq, PIRQS),
    OP(pci_mmcfg_reserved, HARDWARE),
    OP(pci_device_add, HARDWARE),
    OP(pci_device_remove, HARDWARE),
    OP(restore_msi_ext, NOBODY),
    OP(pirq_eoi_gmfn_v2, NOBODY),
    OP(dbgp_op, HARDWARE),
    OP(prepare_msix, HARDWARE),
    OP(release_msix, HARDWARE),
#ifdef PHYSDEVOP_pci_device_reset
    OP(pci_device_reset, HARDWARE),
#endif
#undef OP
};

#define CALLER_ALL (XPT_CALLER_HVM | XPT_CALLER_HARDWARE | XPT_CALLER_PIRQS)
#define TARGET_ALL (XPT_TARGET_SELF | XPT_TARGET_PIRQS)

/* Whether the gate is open for all whom it shall be, and for nobody else. */
static inline const char *check_gate(uint32_t op, enum who who)
{
    for ( uint32_t caller = 0; caller <= CALLER_ALL; caller++ )
    {
        bool open = who == WHO_ANYBODY ||
                    (who == WHO_PIRQS && (caller & XPT_CALLER_PIRQS)) ||
                    (who == WHO_HARDWARE && (caller & XPT_CALLER_HARDWARE));
        int rc = xpt_physdev_gate(op, caller);

        REQUIRE(rc == (open ? 0 : -XEN_ENOSYS), "%d for op %u by caller %#x",
                rc, op, caller);
    }

    return NULL;
}

#endif /* PHYSDEV_OPS_H */

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
