/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Domains made by a test: they never run, but interrupts can be mapped and
 * bound for them.
 */
#ifndef XPT_DOMAIN_H
#define XPT_DOMAIN_H

#include "xpt.h"

#define XPT_DOMID_ABSENT        0x7000
#define XPT_DOMID_IO            0x7ff1

/* HYPERVISOR_domctl is not a stable ABI: its version decides the layout. */
#define XPT_DOMCTL_createdomain         1
#define XPT_DOMCTL_destroydomain        2
#define XPT_DOMCTL_max_mem              11
#define XPT_DOMCTL_max_vcpus            15
#define XPT_DOMCTL_ioport_permission    21
#define XPT_DOMCTL_assign_device        37
#define XPT_DOMCTL_bind_pt_irq          38
#define XPT_DOMCTL_deassign_device      47
#define XPT_DOMCTL_unbind_pt_irq        48
#define XPT_DOMCTL_gsi_permission       88

#define XPT_CDF_HVM_HAP     0x03
#define XPT_CDF_IOMMU       0x20

#define XPT_EMU_LAPIC       0x001   /* What a PVH guest has. */
#define XPT_EMU_HVM         0x1ff   /* A full HVM guest, without PIRQs. */
#define XPT_EMU_USE_PIRQ    0x200

#define XPT_PT_IRQ_TYPE_PCI 0

struct xpt_domctl {
    uint32_t cmd, version;
    uint16_t domid, pad[3];
    union {
        struct {
            uint32_t ssidref;
            uint8_t handle[16];
            uint32_t flags, iommu_opts, max_vcpus, max_evtchn_port;
            int32_t max_grant_frames, max_maptrack_frames;
            uint32_t grant_opts;
            /*
             * 0x15: vmtrace_size, cpupool_id, emulation_flags, misc_flags.
             * 0x17: altp2m_opts before them.
             */
            uint32_t tail[5];
        } create;
        uint64_t max_memkb;
        uint32_t max_vcpus;
        struct {
            uint32_t gsi;
            uint32_t flags;     /* 0 revoke, 1 grant */
        } gsi_permission;
        struct {
            uint32_t first_port, nr_ports;
            uint8_t allow;
        } ioport_permission;
        struct {
            uint32_t machine_irq, type;
            struct {
                uint8_t bus, device, intx;
            } pci;
        } bind;
        struct {
            uint32_t dev, flags;
            uint32_t machine_sbdf;
        } assign;
        uint8_t size[128];
    } u;
};

/* Returns the new domain's domid or a negative errno value. */
long xpt_domain_create(uint32_t emulation_flags, uint32_t flags);
long xpt_domain_destroy(uint16_t domid);

/*
 * An HVM domain with PIRQs, an IOMMU context and a vCPU, to which a GSI can
 * be bound.
 */
long xpt_domain_create_guest(void);

/* After a domain was created: that finds out the version. */
long xpt_domctl(uint32_t cmd, uint16_t domid, struct xpt_domctl *op);

/*
 * Take the host's memory: pages are given to a domain, without a place in it,
 * until there are none.  What Xen has in hand for small objects goes to a list
 * of I/O ports of the domain; answers -12 when there is nothing left.  All
 * comes back when the domain is destroyed.
 */
void xpt_domain_take_pages(uint16_t domid);
long xpt_domain_take_rest(uint16_t domid);

long xpt_gsi_permission(uint16_t domid, uint32_t gsi, uint32_t flags);

/*
 * The interrupts which a domain has access to, as Xen's console prints them,
 * for instance "{ 4 21-23 }".
 */
const char *xpt_domain_interrupts(uint16_t domid);

/* INTA# of the domain's own device @slot, for a GSI mapped as @pirq. */
long xpt_bind_pirq(uint16_t domid, int pirq, uint8_t slot);
long xpt_unbind_pirq(uint16_t domid, int pirq, uint8_t slot);

/*
 * A device, given to a domain: a guest or, which is nobody's, XPT_DOMID_IO.
 * Taken from a guest it is given to XPT_DOMID_IO, and from there to us.
 */
long xpt_assign(uint16_t domid, uint16_t bdf);
long xpt_deassign(uint16_t domid, uint16_t bdf);

/*
 * Who has a device, as Xen's console prints it: "d0", "d1", "DomIO"; "unknown"
 * to Xen.
 */
const char *xpt_device_owner(uint16_t bdf);

#endif /* XPT_DOMAIN_H */

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
