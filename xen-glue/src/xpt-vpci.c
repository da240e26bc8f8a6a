/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vPCI state in Rust: performs what xen-passthrough asks for a device.
 */

#include <xen/lib.h>
#include <xen/pci.h>
#include <xen/sched.h>
#include <xen/softirq.h>
#include <xen/vpci.h>
#include <xen/xpt-glue.h>

#include <asm/event.h>
#include <asm/msi.h>
#include <asm/p2m.h>

#include <public/physdev.h>
#include <xsm/xsm.h>

#include "compat.h"

static void reset_msi(const struct pci_dev *pdev)
{
    struct vpci_msi *msi = pdev->vpci->msi;

    if ( msi->enabled )
        vpci_msi_arch_disable(msi, pdev);

    msi->enabled = false;
    msi->vectors = 1;
    msi->address = 0;
    msi->data = 0;
    msi->mask = 0;
    vpci_msi_arch_init(msi);
}

static int reset_msix_entry(const struct pci_dev *pdev, unsigned int nr)
{
    struct vpci_msix *msix = pdev->vpci->msix;
    struct vpci_msix_entry *entry;
    int rc;

    if ( nr >= msix->max_entries )
    {
        ASSERT_UNREACHABLE();
        return -EINVAL;
    }

    entry = &msix->entries[nr];
    rc = vpci_msix_arch_disable_entry(entry, pdev);
    /* -ENOENT: the entry has no vector. */
    if ( rc && rc != -ENOENT )
        return rc;

    entry->addr = 0;
    entry->data = 0;
    entry->masked = true;
    entry->updated = false;
    vpci_msix_arch_init_entry(entry);

    return 0;
}

static void reset_msix(struct pci_dev *pdev)
{
    struct vpci_msix *msix = pdev->vpci->msix;
    unsigned int pos = xpt_msix_pos(pdev);

    /*
     * Releasing vectors while the device does not decode memory has Xen mask
     * the function instead of the entries, and that would stay.
     */
    if ( pdev->msix )
    {
        pdev->msix->host_maskall = false;
        pdev->msix->guest_maskall = false;
    }
    if ( pos )
    {
        uint16_t control = pci_conf_read16(pdev->sbdf, msix_control_reg(pos));

        if ( control & (PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL) )
            pci_conf_write16(pdev->sbdf, msix_control_reg(pos),
                             control & ~(PCI_MSIX_FLAGS_ENABLE |
                                         PCI_MSIX_FLAGS_MASKALL));
    }

    msix->enabled = false;
    msix->masked = false;
}

static void reprobe(const struct pci_dev *pdev, struct xpt_snapshot *snapshot)
{
    unsigned int i, bars = PCI_HEADER_NORMAL_NR_BARS, rom = PCI_ROM_ADDRESS;

    *snapshot = (struct xpt_snapshot){
        .id = pci_conf_read32(pdev->sbdf, PCI_VENDOR_ID),
        .command = pci_conf_read16(pdev->sbdf, PCI_COMMAND),
        .header_type = pci_conf_read8(pdev->sbdf, PCI_HEADER_TYPE),
        .ignore_bars = pdev->ignore_bars,
    };

    if ( (snapshot->header_type & 0x7f) == PCI_HEADER_TYPE_BRIDGE )
    {
        bars = PCI_HEADER_BRIDGE_NR_BARS;
        rom = PCI_ROM_ADDRESS1;
    }

    for ( i = 0; i < bars; i++ )
        snapshot->bars[i] = pci_conf_read32(pdev->sbdf,
                                            PCI_BASE_ADDRESS_0 + i * 4);
    snapshot->rom = pci_conf_read32(pdev->sbdf, rom);
}

/* Unmaps what is mapped of [s, e]; the hardware domain has BARs 1:1. */
static int cf_check unmap_range(unsigned long s, unsigned long e, void *data,
                                unsigned long *c)
{
    struct domain *d = data;

    while ( s <= e )
    {
        unsigned long done = 1;
        p2m_type_t t;
        mfn_t mfn = get_gfn_query_unlocked(d, s, &t);

        if ( t == p2m_mmio_direct && mfn_x(mfn) == s )
        {
            int rc = unmap_mmio_regions(d, _gfn(s), e - s + 1, mfn);

            if ( rc < 0 )
                return rc;
            done = rc ?: e - s + 1;
        }

        s += done;
        *c += done;

        if ( s <= e && general_preempt_check() )
            return -ERESTART;
    }

    return 0;
}

/*
 * Called without the device's lock: an access to memory that is not mapped
 * looks for an MSI-X table, and so for that lock, with the p2m's held.
 */
static int unmap_bars(struct pci_dev *pdev)
{
    struct vpci_bar *bars = pdev->vpci->header.bars;
    unsigned int i;

    ASSERT(pcidevs_locked());

    for ( i = 0; i < ARRAY_SIZE(pdev->vpci->header.bars); i++ )
    {
        int rc;

        if ( rangeset_is_empty(bars[i].mem) )
            continue;

        rc = rangeset_consume_ranges(bars[i].mem, unmap_range, pdev->domain);
        if ( rc )
            return rc;
    }

    return 0;
}

static int execute(struct pci_dev *pdev, const struct xpt_vpci_action *act)
{
    switch ( act->kind )
    {
    case XPT_VPCI_COLLECT_BARS:
        return vpci_xpt_collect_bars(pdev);

    case XPT_VPCI_RESET_MSI:
        reset_msi(pdev);
        return 0;

    case XPT_VPCI_RESET_MSIX_ENTRY:
        return reset_msix_entry(pdev, act->index);

    case XPT_VPCI_RESET_MSIX:
        reset_msix(pdev);
        return 0;

    case XPT_VPCI_MAP_BARS:
        return vpci_xpt_map_bars(pdev, act->value);

    default:
        ASSERT_UNREACHABLE();
        return -EOPNOTSUPP;
    }
}

/*
 * Steps of a reset between two looks whether to be preempted: at least as many
 * are done by each continuation. A large MSI-X table has 2048.
 */
#define RESET_BATCH 64

static int reset_device(struct pci_dev *pdev)
{
    struct vpci *vpci = pdev->vpci;
    struct xpt_vpci_action act;
    unsigned int steps = 0;
    int rc = xpt_lock_device(pdev);

    BUILD_BUG_ON(ARRAY_SIZE(vpci->header.bars) !=
                 PCI_HEADER_NORMAL_NR_BARS + 1);

    if ( rc )
        return rc;

    rc = xpt_map_pending(pdev);
    if ( rc )
        goto out;

    xpt_vpci_reset(&vpci->header, !!vpci->msi,
                   vpci->msix ? vpci->msix->max_entries : 0, &act);

    while ( act.kind != XPT_VPCI_DONE )
    {
        if ( !(++steps % RESET_BATCH) && general_preempt_check() )
        {
            rc = -ERESTART;
            goto out;
        }

        if ( act.kind == XPT_VPCI_REPROBE )
        {
            struct xpt_snapshot snapshot;

            reprobe(pdev, &snapshot);
            xpt_vpci_reprobed(&vpci->header, &snapshot, &act);
            continue;
        }

        if ( act.kind == XPT_VPCI_UNMAP_BARS )
        {
            xpt_unlock_device(pdev);
            rc = unmap_bars(pdev);
            if ( xpt_lock_device(pdev) )
                return -ERESTART;
        }
        else
            rc = execute(pdev, &act);

        /* Not completed: the continuation is given the same action. */
        if ( rc == -ERESTART )
            goto out;

        xpt_vpci_complete(&vpci->header, rc, &act);
    }

    rc = act.rc;
    if ( rc )
        gprintk(XENLOG_WARNING, "xpt: %pp: reset: %d\n", &pdev->sbdf, rc);

 out:
    xpt_unlock_device(pdev);

    return rc;
}

int xpt_pci_device_reset(const void *arg)
{
    struct pci_dev *pdev;
    pci_sbdf_t sbdf;
    int rc = xpt_pci_device_reset_parse(arg, &sbdf.sbdf);

    if ( rc )
        return rc;

    rc = xsm_resource_setup_pci(XSM_PRIV, sbdf.sbdf);
    if ( rc )
        return rc;

    /* Held throughout: it keeps the device, and other resets of it away. */
    pcidevs_lock();

    pdev = pci_get_pdev(NULL, sbdf);
    if ( !pdev )
        rc = -ENODEV;
    else if ( !has_vpci(pdev->domain) || !pdev->vpci )
        /* An owner without vPCI, and a read-only device, have no state. */
        rc = 0;
    else if ( pdev->domain != current->domain )
        /* BARs are mapped by the vCPU that asks for it, in its own domain. */
        rc = -EOPNOTSUPP;
    else
        rc = reset_device(pdev);

    pcidevs_unlock();

    return rc;
}

void cf_check xpt_vpci_bar_write(const struct pci_dev *pdev, unsigned int reg,
                                 uint32_t val, void *data)
{
    struct xpt_vpci_action act;

    ASSERT(is_hardware_domain(pdev->domain));

    xpt_vpci_write_bar(&pdev->vpci->header, (reg - PCI_BASE_ADDRESS_0) / 4,
                       val, &act);

    switch ( act.kind )
    {
    case XPT_VPCI_CONF_WRITE:
        pci_conf_write32(pdev->sbdf, act.index, act.value);
        break;

    case XPT_VPCI_BAR_MAPPED:
        gprintk(XENLOG_WARNING, "%pp: ignored BAR %u write while mapped\n",
                &pdev->sbdf, act.index);
        break;

    case XPT_VPCI_DONE:
        break;

    default:
        ASSERT_UNREACHABLE();
        break;
    }
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
