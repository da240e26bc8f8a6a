/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which physdev operations reach a PVH hardware domain.
 *
 * Every operation is called with an argument that cannot be read.  One that
 * is let through fails to copy it (-14), one that is not is unknown (-38), so
 * that no state changes whatever the answer.
 */
#include "../xpt/xpt.h"

const char test_title[] = "physdev operations of a PVH hardware domain";
const char xpt_test[] = "physdev-gate";

#define NR_OPS  41

static const struct {
    const char *name;
    bool reached;
} ops[NR_OPS] = {
    [4]  = { "irq_unmask_notify" },
    [5]  = { "irq_status_query" },
    [6]  = { "set_iopl" },
    [7]  = { "set_iobitmap" },
    [8]  = { "apic_read" },
    [9]  = { "apic_write" },
    [10] = { "alloc_irq_vector" },
    [11] = { "free_irq_vector" },
    [12] = { "eoi" },
    [13] = { "map_pirq", true },
    [14] = { "unmap_pirq", true },
    [15] = { "manage_pci_add" },
    [16] = { "manage_pci_remove" },
    [17] = { "pirq_eoi_gmfn_v1" },
    [19] = { "restore_msi" },
    [20] = { "manage_pci_add_ext" },
    [21] = { "setup_gsi", true },
    [23] = { "get_free_pirq" },
    [24] = { "pci_mmcfg_reserved", true },
    [25] = { "pci_device_add", true },
    [26] = { "pci_device_remove", true },
    [27] = { "restore_msi_ext" },
    [28] = { "pirq_eoi_gmfn_v2" },
    [29] = { "dbgp_op", true },
    [30] = { "prepare_msix", true },
    [31] = { "release_msix", true },
    [32] = { "pci_device_reset", true },
};

void test_main(void)
{
    unsigned int i;

    for ( i = 0; i < NR_OPS; ++i )
    {
        char name[40];

        snprintf(name, sizeof(name), "op-%02u-%s", i,
                 ops[i].name ? ops[i].name : "unused");
        xpt_check_rc(name, ops[i].reached ? -14 : -38,
                     hypercall_physdev_op(i, XPT_BAD_PTR));
    }

    xpt_done();
}

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
