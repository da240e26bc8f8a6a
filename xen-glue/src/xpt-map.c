/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * BARs in the p2m: performs the maps and unmaps that xen-passthrough asks for,
 * before the vCPU that caused them runs its guest again.
 *
 * All of it happens under pcidevs_lock, which keeps the device and others that
 * work on it away, and the p2m's part with the device's own locks dropped: an
 * access to memory that is not mapped looks for an MSI-X table, and so for those
 * locks, with the p2m's held.
 */

#include <xen/lib.h>
#include <xen/sched.h>
#include <xen/softirq.h>

#include <asm/event.h>
#include <asm/p2m.h>

#include "compat.h"
#include "xpt-vpci.h"

static unsigned long first_gfn(const struct xpt_bar *bar)
{
    return PFN_DOWN(bar->guest_addr);
}

static unsigned long last_gfn(const struct xpt_bar *bar)
{
    return PFN_DOWN(bar->guest_addr + (1UL << bar->order) - 1);
}

/* Where the MSI-X table (0) and its pending bits (1) are in the domain. */
static bool msix_gfns(const struct vpci *vpci, unsigned int nr,
                      unsigned int bars, unsigned long *first,
                      unsigned long *last)
{
    const struct xpt_msix *msix = &vpci->dev.msix;
    unsigned int bir = msix->tables[nr] & PCI_MSIX_BIRMASK;
    paddr_t start;
    unsigned int size;

    if ( !msix->entries || !(bars & (1u << bir)) )
        return false;

    start = vpci->dev.bars[bir].guest_addr +
            (msix->tables[nr] & ~PCI_MSIX_BIRMASK);
    size = nr ? ROUNDUP(DIV_ROUND_UP(msix->entries, 8), 8)
              : msix->entries * PCI_MSIX_ENTRY_SIZE;
    *first = PFN_DOWN(start);
    *last = PFN_DOWN(start + size - 1);

    return true;
}

static void purge(struct vpci *vpci)
{
    unsigned int i;

    for ( i = 0; i < ARRAY_SIZE(vpci->mem); i++ )
        if ( !rangeset_is_empty(vpci->mem[i]) )
            xpt_rangeset_purge(vpci->mem[i]);
}

static int remove_gfns(struct vpci *vpci, unsigned long first,
                       unsigned long last)
{
    unsigned int i;

    for ( i = 0; i < ARRAY_SIZE(vpci->mem); i++ )
        if ( vpci->mem[i] )
        {
            int rc = xpt_rangeset_remove(vpci->mem[i], first, last);

            if ( rc )
                return rc;
        }

    return 0;
}

/*
 * What other BARs have mapped is theirs: it is neither mapped nor unmapped. Of two
 * devices that wait to be mapped to the same page, the first to be gets it.
 */
static int remove_others(struct pci_dev *pdev, unsigned int bars, bool map)
{
    const struct domain *d = xpt_user(pdev);
    bool hidden = false;

    for ( ; ; )
    {
        const struct pci_dev *other;

        for_each_pdev ( hidden ? dom_xen : d, other )
        {
            unsigned int i, placed = ~0u;

            if ( !other->vpci )
                continue;
            if ( map && other != pdev )
                placed = xpt_device_in_place(&other->vpci->dev);

            for ( i = 0; i < ARRAY_SIZE(other->vpci->dev.bars); i++ )
            {
                const struct xpt_bar *bar = &other->vpci->dev.bars[i];
                int rc;

                if ( !bar->mapped || !(placed & (1u << i)) ||
                     (other == pdev && (bars & (1u << i))) )
                    continue;

                rc = remove_gfns(pdev->vpci, first_gfn(bar), last_gfn(bar));
                if ( rc )
                    return rc;
            }
        }

        if ( hidden || !is_hardware_domain(d) )
            return 0;
        hidden = true;
    }
}

/*
 * Puts the ranges of @bars that are to be mapped or unmapped into vpci->mem[],
 * and gives the bits of those BARs, or an error with all of them empty.
 */
static int collect(struct pci_dev *pdev, unsigned int bars, bool map)
{
    struct vpci *vpci = pdev->vpci;
    unsigned int i, placed = 0;
    int rc = 0;

    purge(vpci);

    for ( i = 0; !rc && i < ARRAY_SIZE(vpci->mem); i++ )
    {
        const struct xpt_bar *bar = &vpci->dev.bars[i];

        if ( !(bars & (1u << i)) || !vpci->mem[i] )
            continue;

        if ( map &&
             !pci_check_bar(pdev, _mfn(PFN_DOWN(bar->addr)),
                            _mfn(PFN_DOWN(bar->addr + (1UL << bar->order) - 1))) )
        {
            printk(XENLOG_G_WARNING
                   "%pp: not mapping BAR%u at %#lx: invalid position\n",
                   &pdev->sbdf, i, bar->addr);
            continue;
        }

        if ( (bar->addr ^ bar->guest_addr) & ~PAGE_MASK )
        {
            printk(XENLOG_G_WARNING
                   "%pp: BAR%u: offsets in page differ: %#lx, in domain %#lx\n",
                   &pdev->sbdf, i, bar->addr, bar->guest_addr);
            rc = -EINVAL;
            break;
        }

        /* A page that BARs share is the last one's. */
        rc = remove_gfns(vpci, first_gfn(bar), last_gfn(bar));
        if ( !rc )
            rc = rangeset_add_range(vpci->mem[i], first_gfn(bar),
                                    last_gfn(bar));
        if ( !rc )
            rc = xpt_sanitize_bar(vpci->mem[i]);
        placed |= 1u << i;
    }

    /* Where MSI-X is see make_holes() and leave_holes(). */
    for ( i = 0; map && !rc && i < ARRAY_SIZE(vpci->dev.msix.tables); i++ )
    {
        unsigned long first, last;

        if ( msix_gfns(vpci, i, ~0u, &first, &last) )
            rc = remove_gfns(vpci, first, last);
    }

    if ( !rc )
        rc = remove_others(pdev, bars, map);

    if ( rc )
    {
        printk(XENLOG_G_WARNING "%pp: cannot tell what to %smap: %d\n",
               &pdev->sbdf, map ? "" : "un", rc);
        purge(vpci);
    }

    return rc ?: placed;
}

struct work {
    struct domain *d;
    /* From a gfn of the BAR to its mfn. */
    long delta;
};

static int cf_check map_range(unsigned long s, unsigned long e, void *data,
                              unsigned long *c)
{
    const struct work *work = data;
    struct domain *d = work->d;
    int rc = xpt_may_map(d, s + work->delta, e + work->delta);

    if ( rc )
    {
        printk(XENLOG_G_WARNING "%pd may not map [%#lx, %#lx]: %d\n", d,
               s + work->delta, e + work->delta, rc);
        return rc;
    }

    for ( ; ; )
    {
        unsigned long nr = e - s + 1;

        rc = map_mmio_regions(d, _gfn(s), nr, _mfn(s + work->delta));
        if ( rc <= 0 )
            break;

        *c += rc;
        s += rc;
        if ( general_preempt_check() )
            return -ERESTART;
    }

    if ( rc )
        printk(XENLOG_G_WARNING "%pd: mapping [%#lx, %#lx] failed: %d\n", d, s,
               e, rc);
    else
        *c += e - s + 1;

    return rc;
}

/* A page that is not mapped, or not to this BAR, is none of ours. */
static int cf_check unmap_range(unsigned long s, unsigned long e, void *data,
                                unsigned long *c)
{
    const struct work *work = data;
    struct domain *d = work->d;

    while ( s <= e )
    {
        unsigned long done = 1;
        p2m_type_t t;
        mfn_t mfn = get_gfn_query_unlocked(d, s, &t);

        if ( t == p2m_mmio_direct && mfn_x(mfn) == s + work->delta )
        {
            int rc = unmap_mmio_regions(d, _gfn(s), e - s + 1, mfn);

            if ( rc < 0 )
            {
                printk(XENLOG_G_WARNING
                       "%pd: unmapping [%#lx, %#lx] failed: %d\n", d, s, e, rc);
                return rc;
            }
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
 * Nothing is mapped where MSI-X has its table and pending bits, so that Xen sees
 * the accesses. What an identity map of the host has there goes.
 */
static int make_holes(const struct pci_dev *pdev, struct domain *d,
                      unsigned int bars)
{
    unsigned int i;

    for ( i = 0; i < ARRAY_SIZE(pdev->vpci->dev.msix.tables); i++ )
    {
        unsigned long gfn, last;

        if ( !msix_gfns(pdev->vpci, i, bars, &gfn, &last) )
            continue;

        for ( ; gfn <= last; gfn++ )
        {
            p2m_type_t t;
            mfn_t mfn = get_gfn_query(d, gfn, &t);
            int rc = 0;

            if ( t == p2m_mmio_direct && mfn_x(mfn) == gfn )
                rc = p2m_remove_identity_entry(d, gfn);
            else if ( t != p2m_mmio_dm && t != p2m_invalid )
                rc = -EEXIST;
            put_gfn(d, gfn);

            if ( rc )
            {
                printk(XENLOG_G_WARNING
                       "%pp: MSI-X at %#lx is on other memory (type %d): %d\n",
                       &pdev->sbdf, gfn, t, rc);
                return rc;
            }
        }
    }

    return 0;
}

/*
 * Where MSI-X is there is nothing to unmap, unless a map failed before it took out
 * what another BAR had there, and left it to these.
 */
static int leave_holes(const struct pci_dev *pdev, struct domain *d)
{
    unsigned int i;

    for ( i = 0; i < ARRAY_SIZE(pdev->vpci->dev.msix.tables); i++ )
    {
        unsigned long gfn, last;

        if ( !msix_gfns(pdev->vpci, i, ~0u, &gfn, &last) )
            continue;

        for ( ; gfn <= last; gfn++ )
        {
            p2m_type_t t;
            int rc;

            get_gfn_query_unlocked(d, gfn, &t);
            if ( t == p2m_mmio_direct )
                continue;

            rc = remove_gfns(pdev->vpci, gfn, gfn);
            if ( rc )
                return rc;
        }
    }

    return 0;
}

int xpt_map(struct pci_dev *pdev, const struct xpt_vpci_action *act)
{
    struct vpci *vpci = pdev->vpci;
    struct domain *d = xpt_user(pdev);
    bool map = act->kind == XPT_VPCI_MAP;
    unsigned int i;
    int rc = 0;

    ASSERT(pcidevs_locked());

    /* What an operation with another epoch has left is not looked at. */
    if ( vpci->work.kind != act->kind || vpci->work.epoch != vpci->dev.epoch )
    {
        rc = collect(pdev, act->value, map);
        if ( rc >= 0 )
        {
            vpci->work.kind = act->kind;
            vpci->work.epoch = vpci->dev.epoch;
            vpci->work.bars = rc;
            rc = 0;
        }
        /* The BARs may have moved since. */
        if ( map )
            xpt_msix_unmap(vpci);
    }

    xpt_unlock_device(pdev);

    if ( !rc )
        rc = map ? make_holes(pdev, d, vpci->work.bars) : leave_holes(pdev, d);

    for ( i = 0; !rc && i < ARRAY_SIZE(vpci->mem); i++ )
    {
        const struct xpt_bar *bar = &vpci->dev.bars[i];
        struct work work = {
            .d = d,
            .delta = PFN_DOWN(bar->addr) - first_gfn(bar),
        };

        if ( !rangeset_is_empty(vpci->mem[i]) )
            rc = rangeset_consume_ranges(vpci->mem[i],
                                         map ? map_range : unmap_range, &work);
    }

    return rc ?: vpci->work.bars;
}

void xpt_map_done(struct pci_dev *pdev)
{
    pdev->vpci->work.kind = XPT_VPCI_DONE;
}

int xpt_map_deferred(struct pci_dev *pdev, struct vpci_vcpu *deferred)
{
    struct xpt_device *dev = &pdev->vpci->dev;
    struct xpt_vpci_action act;
    int rc;

    if ( xpt_lock_device(pdev) )
        return -ERESTART;

    xpt_device_work(dev, deferred->epoch, &act);
    if ( act.kind == XPT_VPCI_RETRY )
    {
        /*
         * A reset is under way. Its caller may be this very vCPU, which is to
         * handle an interrupt before it goes on.
         */
        xpt_device_resume(dev, &act);
        rc = xpt_converse_and_map(pdev, &act);
        if ( rc != -ERESTART )
            deferred->pending = false;

        return rc == -ERESTART ? rc : 0;
    }
    if ( act.kind != XPT_VPCI_DONE )
    {
        rc = xpt_map(pdev, &act);
        if ( rc == -ERESTART || xpt_lock_device(pdev) )
            return -ERESTART;

        xpt_map_done(pdev);
        xpt_device_worked(dev, deferred->epoch, rc, &act);
    }

    /* Something may follow, which defers anew. */
    deferred->pending = false;
    xpt_converse(pdev, &act);
    xpt_unlock_device(pdev);

    return 0;
}

bool vpci_process_pending(struct vcpu *v)
{
    struct pci_dev *pdev;

    if ( likely(!v->vpci.pending) )
        return false;

    pcidevs_lock();

    pdev = pci_get_pdev(NULL, v->vpci.sbdf);
    if ( !pdev || !pdev->vpci || xpt_user(pdev) != v->domain )
        /* Gone, and with it what was to be done. */
        v->vpci.pending = false;
    else
        /* What is left is done the next time, unless something is more urgent. */
        (void)xpt_map_deferred(pdev, &v->vpci);

    pcidevs_unlock();

    return v->vpci.pending;
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
