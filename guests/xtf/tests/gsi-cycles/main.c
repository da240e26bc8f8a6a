/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A hundred thousand times over: what is done to a GSI costs at the end what
 * it did at first, and leaves nothing behind.
 *
 * Times are of the processor's time stamp counter, which is instructions with
 * QEMU's `-icount shift=0 -smp 1`.
 *
 * Needs an `edu` device at 00:05.0 and one at 00:07.0.
 */
#include "../xpt/domain.h"
#include "../xpt/line.h"

const char test_title[] = "Very many cycles of a GSI";
const char xpt_test[] = "gsi-cycles";

#define GSI_IDLE        22

/* Not an operation, and refused as one. */
#define PHYSDEVOP_none  40

/* Few of those which leave the domain six times. */
#define NR_SETUP        40000
#define NR_REMASK       10000
#define NR_MAP          50000

/* What is timed at both ends, and in which portions. */
#define NR_TIMED        1000
#define NR_PORTION      100

static long domid;
static int first_pirq, last_pirq;
static unsigned int nr_failed;

/* The same but for the operation, so that the rest can be subtracted. */
static long setup_op(unsigned int op)
{
    struct xpt_setup_gsi setup = {
        .gsi        = GSI_IDLE,
        .triggering = XPT_LEVEL,
        .polarity   = XPT_LOW,
    };

    return hypercall_physdev_op(op, &setup);
}

static void setup(void)
{
    nr_failed += setup_op(XPT_PHYSDEVOP_setup_gsi) != -17;
}

static void empty(void)
{
    nr_failed += setup_op(PHYSDEVOP_none) != -38;
}

static void remask(void)
{
    xpt_line_mask(&xpt_slot5, true);
    xpt_line_mask(&xpt_slot5, false);
}

static void map(void)
{
    int pirq = -1;

    nr_failed += xpt_map_pirq(domid, XPT_MAP_PIRQ_TYPE_GSI, xpt_slot7.gsi,
                              &pirq) != 0;
    nr_failed += xpt_unmap_pirq(domid, pirq) != 0;

    if ( first_pirq < 0 )
        first_pirq = pirq;
    last_pirq = pirq;
}

/*
 * Ticks of one cycle.  Those of the quickest portion, as whatever else the
 * machine does only ever adds to them.
 */
static unsigned long time_cycles(void (*cycle)(void))
{
    unsigned long best = -1;
    unsigned int i, j;

    for ( i = 0; i < NR_TIMED / NR_PORTION; ++i )
    {
        uint64_t begun = xpt_rdtsc(), ticks;

        for ( j = 0; j < NR_PORTION; ++j )
            cycle();

        ticks = xpt_rdtsc() - begun;
        if ( ticks < best )
            best = ticks;
    }

    return best / NR_PORTION;
}

static void check_failed(const char *name, const char *what)
{
    char buf[40];

    snprintf(buf, sizeof(buf), "%s-%s", name, what);
    xpt_check(buf, "0 failed", "%u failed", nr_failed);
    nr_failed = 0;
}

static void test_cycles(const char *name, void (*cycle)(void), unsigned int nr)
{
    unsigned long first, last;
    unsigned int i;
    char buf[40];

    first = time_cycles(cycle);
    for ( i = 2 * NR_TIMED; i < nr; ++i )
        cycle();
    last = time_cycles(cycle);

    check_failed(name, "answers");

    /* Loose, as nobody knows what else the machine is doing. */
    snprintf(buf, sizeof(buf), "%s-cost", name);
    xpt_check_if(buf, "last at most 3 times first", last <= 3 * first + 100,
                 "first %lu last %lu", first, last);
}

void test_main(void)
{
    unsigned long registered, nothing;

    if ( !xpt_lines_init() )
        return;

    domid = xpt_domain_create_guest();
    if ( domid < 0 )
        return;

    xpt_line_mask(&xpt_slot5, false);
    xpt_check_raise("before", &xpt_slot5);
    xpt_check_rc("setup-first", 0,
                 xpt_setup_gsi(GSI_IDLE, XPT_LEVEL, XPT_LOW));

    test_cycles("setup", setup, NR_SETUP);
    test_cycles("remask", remask, NR_REMASK);

    first_pirq = -1;
    test_cycles("map", map, NR_MAP);
    xpt_check_if("map-pirq", "the same", first_pirq == last_pirq,
                 "first %d last %d", first_pirq, last_pirq);

    registered = time_cycles(setup);
    nothing = time_cycles(empty);
    xpt_check_if("setup-registered-cost", "", true, "%ld net of %lu",
                 registered - nothing, nothing);
    check_failed("empty", "answers");

    xpt_check_raise("after", &xpt_slot5);
    xpt_check_remask("after-unmask-other", &xpt_slot7);

    xpt_domain_destroy(domid);

    xpt_lines_done();

    xpt_done();
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
