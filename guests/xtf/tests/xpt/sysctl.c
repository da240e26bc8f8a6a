/* SPDX-License-Identifier: GPL-2.0-only */
#include "sysctl.h"

#define XPT_HYPERVISOR_sysctl       35

/* No stable ABI, but the same in 4.17 and 4.20. */
#define XPT_SYSCTL_VERSION          0x15
#define XPT_SYSCTL_readconsole      1
#define XPT_SYSCTL_physinfo         3
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
            uint32_t cpus[10];
            uint64_t total_pages, free_pages;
        } physinfo;
        struct {
            uint64_t keys;
            uint32_t nr_keys;
        } debug_keys;
        uint8_t size[128];
    } u;
};

static long sysctl_op(uint32_t cmd, struct xpt_sysctl *op)
{
    op->cmd = cmd;
    op->version = XPT_SYSCTL_VERSION;

    return HYPERCALL1(long, XPT_HYPERVISOR_sysctl, op);
}

/* What was printed since the last time, as far as there is room for it. */
static const char *read_console(void)
{
    static char buf[65536];
    struct xpt_sysctl op = {
        .u.readconsole = {
            .clear  = 1,
            .buffer = _u(buf),
            .count  = sizeof(buf) - 1,
        },
    };

    if ( sysctl_op(XPT_SYSCTL_readconsole, &op) )
        op.u.readconsole.count = 0;
    buf[op.u.readconsole.count] = '\0';

    return buf;
}

const char *xpt_debug_key(char key)
{
    struct xpt_sysctl op = {
        .u.debug_keys = { .keys = _u(&key), .nr_keys = 1 },
    };

    read_console();
    if ( sysctl_op(XPT_SYSCTL_debug_keys, &op) )
        return "";

    return read_console();
}

const char *xpt_after(const char *text, const char *what)
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

unsigned int xpt_count(const char *text, const char *what)
{
    unsigned int nr = 0;

    while ( (text = xpt_after(text, what)) )
        ++nr;

    return nr;
}

unsigned long xpt_free_pages(void)
{
    struct xpt_sysctl op = {};

    return sysctl_op(XPT_SYSCTL_physinfo, &op) ? 0 : op.u.physinfo.free_pages;
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
