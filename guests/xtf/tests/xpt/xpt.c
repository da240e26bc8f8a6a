/* SPDX-License-Identifier: GPL-2.0-only */
#include "xpt.h"

static unsigned int nr_checks, nr_failed;

static void report(const char *name, const char *want, bool holds,
                   const char *answer)
{
    ++nr_checks;
    if ( holds )
    {
        printk("xpt-case %s/%s ok %s\n", xpt_test, name, answer);
        return;
    }

    ++nr_failed;
    printk("xpt-case %s/%s FAIL %s want %s\n", xpt_test, name, answer, want);
}

void xpt_check(const char *name, const char *want, const char *fmt, ...)
{
    char answer[80];
    va_list args;

    va_start(args, fmt);
    vsnprintf(answer, sizeof(answer), fmt, args);
    va_end(args);

    report(name, want, !strcmp(answer, want), answer);
}

void xpt_check_if(const char *name, const char *want, bool holds,
                  const char *fmt, ...)
{
    char answer[80];
    va_list args;

    va_start(args, fmt);
    vsnprintf(answer, sizeof(answer), fmt, args);
    va_end(args);

    report(name, want, holds, answer);
}

void xpt_check_rc(const char *name, long want, long rc)
{
    char buf[24];

    snprintf(buf, sizeof(buf), "%ld", want);
    xpt_check(name, buf, "%ld", rc);
}

void xpt_done(void)
{
    if ( nr_failed )
        xtf_failure("Fail: %u of %u checks\n", nr_failed, nr_checks);
    else
        xtf_success("All %u checks passed\n", nr_checks);
}

long xpt_map_pirq(uint16_t domid, int type, int index, int *pirq)
{
    struct xpt_map_pirq map = {
        .domid = domid,
        .type  = type,
        .index = index,
        .pirq  = *pirq,
    };
    long rc = hypercall_physdev_op(XPT_PHYSDEVOP_map_pirq, &map);

    *pirq = map.pirq;

    return rc;
}

long xpt_unmap_pirq(uint16_t domid, int pirq)
{
    struct xpt_unmap_pirq unmap = { .domid = domid, .pirq = pirq };

    return hypercall_physdev_op(XPT_PHYSDEVOP_unmap_pirq, &unmap);
}

long xpt_setup_gsi(int gsi, uint8_t triggering, uint8_t polarity)
{
    struct xpt_setup_gsi setup = {
        .gsi        = gsi,
        .triggering = triggering,
        .polarity   = polarity,
    };

    return hypercall_physdev_op(XPT_PHYSDEVOP_setup_gsi, &setup);
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
