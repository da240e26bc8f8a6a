/* SPDX-License-Identifier: GPL-2.0-only */
#include "resources.h"
#include "sysctl.h"

#define IOAPIC_BASE     0xfec00000ul
#define PAGE            0x1000ul

/*
 * Small objects share pages: how many pages those of the same number take
 * depends on the order in which they were freed.
 */
#define HEAP_SLACK      3

#define STR(x)          STR_(x)
#define STR_(x)         #x

/*
 * Xen frees some things when all its processors have seen that they may go, of
 * which an idle one takes its time: some ten milliseconds.  Ticks of the time
 * stamp counter, of which there are some per nanosecond.
 */
#define SETTLE_TICKS    100000000ul
#define SETTLE_TRIES    20

unsigned int xpt_mapped(unsigned long addr, unsigned long size)
{
    unsigned long end = addr + size;
    unsigned int nr = 0;

    for ( ; addr < end; addr += PAGE )
        nr += xpt_read32(addr) != ~0u;

    return nr;
}

/* Lines such as "   IRQ:  41 ... in-flight=0 d0: 38(---),d1: 55(---)". */
static void read_irqs(struct xpt_resources *res)
{
    const char *line = xpt_debug_key('i');

    res->irqs = res->pirqs = 0;

    while ( (line = xpt_after(line, "   IRQ:")) )
    {
        unsigned int i;

        ++res->irqs;
        for ( i = 0; line[i] && line[i] != '\n'; ++i )
            if ( line[i] == 'd' && line[i + 1] >= '0' && line[i + 1] <= '9' )
                ++res->pirqs;
    }
}

/* Until the figure stays for long enough. */
static unsigned long settled_heap(void)
{
    unsigned long heap, before;
    unsigned int tries = SETTLE_TRIES;

    do {
        uint64_t begun = xpt_rdtsc();

        before = xpt_free_pages();
        while ( xpt_rdtsc() - begun < SETTLE_TICKS )
            hypercall_yield();
        heap = xpt_free_pages();
    } while ( heap != before && --tries );

    return heap;
}

struct xpt_resources xpt_resources_read(void)
{
    struct xpt_resources res = {};
    const char *text;

    res.mapped = xpt_mapped(XPT_WINDOW, IOAPIC_BASE - XPT_WINDOW);
    read_irqs(&res);

    text = xpt_debug_key('M');
    res.msis = xpt_count(text, "\n(XEN)  MSI ") +
               xpt_count(text, "\n(XEN)  MSI-X ");
    res.irtes = xpt_count(xpt_debug_key('V'), " IRTE[");
    res.heap = settled_heap();

    return res;
}

static void format(char buf[96], const struct xpt_resources *res,
                   const char *heap)
{
    snprintf(buf, 96, "heap %lu%s irqs %u pirqs %u msis %u irtes %u mapped %u",
             res->heap, heap, res->irqs, res->pirqs, res->msis, res->irtes,
             res->mapped);
}

bool xpt_resources_compare(const char *name, const struct xpt_resources *want,
                           const struct xpt_resources *res)
{
    bool same = res->heap <= want->heap + HEAP_SLACK &&
                res->heap + HEAP_SLACK >= want->heap &&
                res->irqs == want->irqs && res->pirqs == want->pirqs &&
                res->msis == want->msis && res->irtes == want->irtes &&
                res->mapped == want->mapped;
    char was[96], is[96];

    format(was, want, "+-" STR(HEAP_SLACK));
    format(is, res, "");
    xpt_check_if(name, was, same, "%s", is);

    return same;
}

bool xpt_resources_check(const char *name, const struct xpt_resources *want)
{
    struct xpt_resources now = xpt_resources_read();

    return xpt_resources_compare(name, want, &now);
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
