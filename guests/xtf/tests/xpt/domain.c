/* SPDX-License-Identifier: GPL-2.0-only */
#include "domain.h"
#include "sysctl.h"

#define XPT_HYPERVISOR_memory_op            12
#define XPT_XENMEM_increase_reservation     0

/* Extents which are asked for at once. */
#define PORTION         16

struct xpt_memory_reservation {
    uint64_t extents;
    unsigned long nr_extents;
    uint32_t order, flags;
    uint16_t domid;
};

static const struct {
    uint32_t version;
    unsigned int emulation_flags; /* Index into tail[]. */
} abis[] = {
    { 0x15, 2 }, /* 4.17 */
    { 0x17, 3 }, /* 4.20 */
};

static uint32_t domctl_version;

long xpt_domctl(uint32_t cmd, uint16_t domid, struct xpt_domctl *op)
{
    op->cmd = cmd;
    op->version = domctl_version;
    op->domid = domid;

    return HYPERCALL1(long, __HYPERVISOR_domctl, op);
}

long xpt_domain_create(uint32_t emulation_flags, uint32_t flags)
{
    unsigned int i;
    long rc = -1;

    for ( i = 0; i < ARRAY_SIZE(abis); ++i )
    {
        struct xpt_domctl op = {
            .u.create = {
                .flags               = flags,
                .max_vcpus           = 1,
                .max_evtchn_port     = 1023,
                .max_grant_frames    = -1, /* The hypervisor's default. */
                .max_maptrack_frames = -1,
                .grant_opts          = 1,
            },
        };

        op.u.create.tail[abis[i].emulation_flags] = emulation_flags;
        domctl_version = abis[i].version;

        rc = xpt_domctl(XPT_DOMCTL_createdomain, 0, &op);
        if ( rc != -13 ) /* Else it is not this Xen's version. */
            return rc ? rc : op.domid;
    }

    return rc;
}

long xpt_domain_destroy(uint16_t domid)
{
    struct xpt_domctl op = {};
    unsigned int tries = 1000;
    long rc;

    /* -85: not finished, Xen wants to be called again. */
    do {
        rc = xpt_domctl(XPT_DOMCTL_destroydomain, domid, &op);
    } while ( rc == -85 && --tries );

    return rc;
}

long xpt_domain_create_guest(void)
{
    struct xpt_domctl op = { .u.max_vcpus = 1 };
    long domid = xpt_domain_create(XPT_EMU_HVM | XPT_EMU_USE_PIRQ,
                                   XPT_CDF_HVM_HAP | XPT_CDF_IOMMU);
    long rc;

    if ( domid < 0 )
    {
        xtf_error("Error: no domain: %ld\n", domid);
        return domid;
    }

    rc = xpt_domctl(XPT_DOMCTL_max_vcpus, domid, &op);
    if ( rc )
    {
        xtf_error("Error: no vCPU for d%ld: %ld\n", domid, rc);
        xpt_domain_destroy(domid);
        return rc;
    }

    return domid;
}

void xpt_domain_take_pages(uint16_t domid)
{
    static const unsigned int orders[] = { 9, 4, 0 };
    struct xpt_domctl op = { .u.max_memkb = 1ul << 30 };
    unsigned int i;
    long rc = xpt_domctl(XPT_DOMCTL_max_mem, domid, &op);

    if ( rc )
        return xtf_error("Error: memory for d%u: %ld\n", domid, rc);

    for ( i = 0; i < ARRAY_SIZE(orders); ++i )
    {
        struct xpt_memory_reservation res = {
            .nr_extents = PORTION,
            .order      = orders[i],
            .domid      = domid,
        };

        while ( HYPERCALL2(long, XPT_HYPERVISOR_memory_op,
                           XPT_XENMEM_increase_reservation, &res) == PORTION )
            ;
    }
}

/* Every other port, so that each is an object of its own. */
long xpt_domain_take_rest(uint16_t domid)
{
    unsigned int port;
    long rc = 0;

    for ( port = 0; port < 0x10000 && rc != -12; port += 2 )
    {
        struct xpt_domctl op = {
            .u.ioport_permission = {
                .first_port = port,
                .nr_ports   = 1,
                .allow      = 1,
            },
        };

        rc = xpt_domctl(XPT_DOMCTL_ioport_permission, domid, &op);
    }

    return rc;
}

long xpt_gsi_permission(uint16_t domid, uint32_t gsi, uint32_t flags)
{
    struct xpt_domctl op = {
        .u.gsi_permission = { .gsi = gsi, .flags = flags },
    };

    return xpt_domctl(XPT_DOMCTL_gsi_permission, domid, &op);
}

const char *xpt_domain_interrupts(uint16_t domid)
{
    static char buf[40];
    const char *text;
    unsigned int i;
    char heading[48];

    snprintf(heading, sizeof(heading), "Rangesets belonging to domain %u:",
             domid);
    text = xpt_after(xpt_after(xpt_debug_key('q'), heading), "Interrupts ");

    for ( i = 0; text && i < sizeof(buf) - 1 && text[i] >= ' '; ++i )
        buf[i] = text[i];
    buf[i] = '\0';

    return buf;
}

static long bind_op(uint32_t cmd, uint16_t domid, int pirq, uint8_t slot)
{
    struct xpt_domctl op = {
        .u.bind = {
            .machine_irq = pirq,
            .type        = XPT_PT_IRQ_TYPE_PCI,
            .pci         = { .device = slot },
        },
    };

    return xpt_domctl(cmd, domid, &op);
}

long xpt_bind_pirq(uint16_t domid, int pirq, uint8_t slot)
{
    return bind_op(XPT_DOMCTL_bind_pt_irq, domid, pirq, slot);
}

long xpt_unbind_pirq(uint16_t domid, int pirq, uint8_t slot)
{
    return bind_op(XPT_DOMCTL_unbind_pt_irq, domid, pirq, slot);
}

static long assign_op(uint32_t cmd, uint16_t domid, uint16_t bdf)
{
    struct xpt_domctl op = { .u.assign.machine_sbdf = bdf };

    return xpt_domctl(cmd, domid, &op);
}

long xpt_assign(uint16_t domid, uint16_t bdf)
{
    return assign_op(XPT_DOMCTL_assign_device, domid, bdf);
}

long xpt_deassign(uint16_t domid, uint16_t bdf)
{
    return assign_op(XPT_DOMCTL_deassign_device, domid, bdf);
}

const char *xpt_device_owner(uint16_t bdf)
{
    static char buf[16];
    const char *text;
    unsigned int i;

    snprintf(buf, sizeof(buf), "0000:%02x:%02x.%x - ", bdf >> 8,
             (bdf >> 3) & 0x1f, bdf & 7);
    text = xpt_after(xpt_debug_key('Q'), buf);
    if ( !text )
        return "unknown";

    for ( i = 0; i < sizeof(buf) - 1 && text[i] > ' ' && text[i] != ':'; ++i )
        buf[i] = text[i];
    buf[i] = '\0';

    return buf;
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
