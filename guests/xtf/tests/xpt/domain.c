/* SPDX-License-Identifier: GPL-2.0-only */
#include "domain.h"

#define XPT_HYPERVISOR_sysctl       35

/* No stable ABI either, but the same for both. */
#define XPT_SYSCTL_VERSION          0x15
#define XPT_SYSCTL_readconsole      1
#define XPT_SYSCTL_debug_keys       7

struct xpt_sysctl {
    uint32_t cmd, version;
    union {
        struct {
            uint8_t clear, incremental, pad[2];
            uint32_t index;
            uint64_t buffer;
            uint32_t count;
        } readconsole;
        struct {
            uint64_t keys;
            uint32_t nr_keys;
        } debug_keys;
        uint8_t size[128];
    } u;
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

long xpt_gsi_permission(uint16_t domid, uint32_t gsi, uint32_t flags)
{
    struct xpt_domctl op = {
        .u.gsi_permission = { .gsi = gsi, .flags = flags },
    };

    return xpt_domctl(XPT_DOMCTL_gsi_permission, domid, &op);
}

/* What was printed since the last time, as far as there is room for it. */
static const char *read_console(void)
{
    static char buf[32768];
    struct xpt_sysctl op = {
        .cmd           = XPT_SYSCTL_readconsole,
        .version       = XPT_SYSCTL_VERSION,
        .u.readconsole = {
            .clear  = 1,
            .buffer = _u(buf),
            .count  = sizeof(buf) - 1,
        },
    };

    if ( HYPERCALL1(long, XPT_HYPERVISOR_sysctl, &op) )
        op.u.readconsole.count = 0;
    buf[op.u.readconsole.count] = '\0';

    return buf;
}

/* What comes after @what in @text, NULL if it is not there. */
static const char *after(const char *text, const char *what)
{
    const char *t, *w;

    for ( ; text && *text; ++text )
    {
        for ( t = text, w = what; *w && *t == *w; ++t, ++w )
            ;
        if ( !*w )
            return t;
    }

    return NULL;
}

const char *xpt_domain_interrupts(uint16_t domid)
{
    static char buf[40];
    struct xpt_sysctl op = {
        .cmd          = XPT_SYSCTL_debug_keys,
        .version      = XPT_SYSCTL_VERSION,
        .u.debug_keys = { .keys = _u("q"), .nr_keys = 1 },
    };
    const char *text;
    unsigned int i;
    char heading[48];

    read_console();
    if ( HYPERCALL1(long, XPT_HYPERVISOR_sysctl, &op) )
        return "no answer";

    snprintf(heading, sizeof(heading), "Rangesets belonging to domain %u:",
             domid);
    text = after(after(read_console(), heading), "Interrupts ");

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

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
