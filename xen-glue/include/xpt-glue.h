/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What Xen's own code calls of xen-passthrough's glue.
 *
 * The C functions of the Rust library itself are in xpt.h.
 */

#ifndef XPT_GLUE_H
#define XPT_GLUE_H

#include <xen/pci.h>
#include <xen/types.h>
#include <xen/xpt.h>

struct domain;

/*
 * Verdicts below are for the caller to check with evaluate_nospec(): Rust has
 * no such thing.
 */

/* Whether @d reaches physdev operation @cmd: 0 or -ENOSYS. */
int xpt_hvm_physdev_gate(const struct domain *d, unsigned int cmd);

/*
 * What the current domain's {,un}map_pirq for @d means: XPT_PIRQ_PHYSICAL,
 * XPT_PIRQ_EMULATED or a negative error to be returned.
 */
int xpt_domain_map_pirq(const struct domain *d, int type);
int xpt_domain_unmap_pirq(const struct domain *d);

/* PHYSDEVOP_setup_gsi of a PVH hardware domain; @arg as copied from it. */
int xpt_setup_gsi(const void *arg);

/*
 * The hardware domain unmasked the vIO-APIC pin of @gsi. Takes pcidevs_lock
 * and the event lock: call with neither and without hvm.irq_lock.
 */
int xpt_vioapic_unmask(unsigned int gsi, unsigned int trig, unsigned int pol);

/* The interrupt behind a GSI of the host: a positive number or an error. */
int xpt_gsi_to_irq(unsigned int gsi);

/*
 * Whether @pirq is one that @d's vIO-APIC may have been given, and how to take
 * it away; locks as for xpt_vioapic_unmask(). Only the hardware domain's is.
 */
bool xpt_owns_pirq(const struct domain *d, int pirq);
int xpt_unmap_gsi(unsigned int gsi);

/* XEN_DOMCTL_gsi_permission for @d; @arg as copied from the caller. */
int xpt_domctl_gsi_permission(struct domain *d, const void *arg);

/*
 * In arch/x86/io_apic.c: change the trigger mode and polarity of a pin whose
 * interrupt nobody has bound; -EBUSY if someone has.
 */
int io_apic_set_pin_mode(unsigned int ioapic, unsigned int pin, int irq,
                         bool level, bool low);

/*
 * PHYSDEVOP_pci_device_reset; @arg as copied from the caller. -ERESTART asks
 * for a continuation of the hypercall.
 */
int xpt_pci_device_reset(const void *arg);

/*
 * vPCI of a device that is to leave its domain, with its MSI vectors and what it
 * has mapped. Called with pcidevs_lock and without other locks; -ERESTART asks to
 * be called again. vpci_deassign_device() takes it off the domain's list then,
 * and vpci_assign_device() gives it to the next one.
 */
int xpt_vpci_detach(struct pci_dev *pdev);

/* The hardware domain's device becomes Xen's own. */
void xpt_vpci_hide(struct pci_dev *pdev);

/* Frees vPCI of a device that nobody can look up any more. */
void xpt_vpci_free(struct pci_dev *pdev);

/* Once per domain: accesses to MSI-X tables. */
void xpt_register_msix_handler(struct domain *d);

/*
 * Whether the config space write that was just made is to be made again, once
 * the current vCPU has helped with what it waits for.
 */
bool xpt_vpci_retry(void);

/*
 * Whether a write may go to a device without emulation, and with which data.
 * Called without locks.
 */
bool xpt_may_write_raw(pci_sbdf_t sbdf, unsigned int reg, unsigned int size,
                       uint32_t *data);

#endif /* XPT_GLUE_H */

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
