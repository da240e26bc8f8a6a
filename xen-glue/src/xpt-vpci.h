/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vPCI's C, among itself: xpt-vpci.c has devices and their registers,
 * xpt-map.c the p2m, xpt-msix.c MSI-X tables, xpt-access.c config space.
 */

#ifndef XPT_VPCI_H
#define XPT_VPCI_H

#include <xen/pci.h>
#include <xen/sched.h>
#include <xen/vpci.h>
#include <xen/xpt-glue.h>

/* The domain that uses a device with vPCI: hidden ones are Xen's own. */
static inline struct domain *xpt_user(const struct pci_dev *pdev)
{
    return pdev->domain != dom_xen ? pdev->domain : hardware_domain;
}

/*
 * Whether a write to a register of the device that is not emulated goes to it.
 * If it has to wait, the access will be made again.
 */
bool xpt_may_write(const struct pci_dev *pdev);

/* Whether the running config space access will be made again. */
static inline bool xpt_repeats(void)
{
    return current->vpci.repeat;
}

static inline struct xpt_msix_entry *xpt_entries(const struct vpci *vpci)
{
    return vpci->msix ? vpci->msix->entries : NULL;
}

/*
 * Performs @act and what follows from it; none of that maps or unmaps. Under
 * the device's locks.
 */
void xpt_converse(const struct pci_dev *pdev, struct xpt_vpci_action *act);

/*
 * The same where BARs may have to be mapped or unmapped: for a reset, or a device
 * that is taken from its domain. Called with pcidevs_lock and the device's locks;
 * the latter are dropped. Gives the outcome, or -ERESTART.
 */
int xpt_converse_and_map(struct pci_dev *pdev, struct xpt_vpci_action *act);

/*
 * Maps or unmaps the BARs of @act, in the p2m of the device's user. Called with
 * pcidevs_lock and the device's locks; the latter are dropped.
 *
 * -ERESTART: to be called again for the same action. Otherwise xpt_map_done() is
 * due, with the locks taken again, before the outcome is reported: an error, or
 * for a map the bits of the BARs that are in place.
 */
int xpt_map(struct pci_dev *pdev, const struct xpt_vpci_action *act);
void xpt_map_done(struct pci_dev *pdev);

/* The operation that @v has been given, or what is left of it. */
int xpt_map_deferred(struct pci_dev *pdev, struct vpci_vcpu *deferred);

/* Drops Xen's own mappings of the MSI-X pages. Under the device's lock. */
void xpt_msix_unmap(struct vpci *vpci);

void xpt_free_registers(struct vpci *vpci);

#endif /* XPT_VPCI_H */

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
