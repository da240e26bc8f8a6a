/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What Xen has in use, as it says itself, and what is mapped for us: to be
 * the same before and after something which is to leave nothing behind.
 *
 *  heap    free pages of the host: everything that Xen allocates, page tables
 *          of the p2m and of the IOMMU among it, comes from there.  Up to
 *          three more or fewer mean nothing: what is small shows when it is
 *          left behind often enough.
 *  irqs    interrupts which are set up, Xen's own among them (debug key i)
 *  pirqs   of these, how many times a domain has one
 *  msis    MSI and MSI-X vectors of all devices (debug key M)
 *  irtes   interrupt remapping table entries in use, of MSIs and of the
 *          IO-APIC's pins (debug key V)
 *  mapped  pages which we can reach, from XPT_WINDOW to the IO-APIC, where
 *          the firmware puts BARs: the p2m's entries for them
 *
 * The handlers of MMIO which a domain has are on no list.  One more shows in
 * what an access costs which none of them takes, as Xen asks each of them, and
 * in that there is room for so many only: then Xen crashes the domain.
 */
#ifndef XPT_RESOURCES_H
#define XPT_RESOURCES_H

#include "xpt.h"

#define XPT_WINDOW      0xfe000000ul

struct xpt_resources {
    unsigned long heap;
    unsigned int irqs, pirqs, msis, irtes, mapped;
};

/* Waits until Xen has freed what it frees later. */
struct xpt_resources xpt_resources_read(void);

/* Pages from @addr on which answer other than all ones in their first word. */
unsigned int xpt_mapped(unsigned long addr, unsigned long size);

/* Check that all is as it was, now or when @res was read. */
bool xpt_resources_check(const char *name, const struct xpt_resources *want);
bool xpt_resources_compare(const char *name, const struct xpt_resources *want,
                           const struct xpt_resources *res);

#endif /* XPT_RESOURCES_H */

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
