/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two vCPUs at work on the hardware domain's GSIs at the same moment.
 *
 * Needs an `edu` device at 00:05.0 and one at 00:07.0.
 */
#include "../xpt/line.h"
#include "../xpt/smp.h"

const char test_title[] = "GSIs of a PVH hardware domain on two vCPUs";
const char xpt_test[] = "gsi-smp";

/* No device raises these, nor does Xen use them. */
static const uint8_t idle_pins[] = { 16, 17, 18, 19, 20, 22 };
#define IDLE_VECTOR     0x60
#define IDLE_RTE        (IDLE_VECTOR | VIOAPIC_LEVEL_LOW)

/* Rounds of masking and unmasking. */
#define NR_SAME         4000
#define NR_IDLE         4000

/* What is to be done together; cpu1 does its half and meets us again. */
enum job {
    JOB_SETUP,
    JOB_UNMASK,
    JOB_SETUP_UNMASK,
    JOB_REMASK,
    JOB_IDLE,
    JOB_END,
};

static struct {
    enum job job;
    unsigned int gsi;
    uint32_t rte;
} work;

static long answer[2];

/* Rounds in which both vCPUs were at it at the same moment. */
static volatile bool inside[2], overlap[2];
static unsigned int nr_rounds, nr_overlaps;

static bool lost;

static void half(unsigned int cpu)
{
    unsigned int i;

    inside[cpu] = true;

    switch ( work.job )
    {
    case JOB_SETUP:
        answer[cpu] = xpt_setup_gsi(work.gsi, XPT_LEVEL, XPT_LOW);
        break;

    /* The register is selected.  Whoever comes second finds it unmasked. */
    case JOB_UNMASK:
        xpt_write32(VIOAPIC_BASE + VIOAPIC_IOWIN, work.rte);
        break;

    case JOB_SETUP_UNMASK:
        if ( cpu )
            answer[cpu] = xpt_setup_gsi(work.gsi, XPT_LEVEL, XPT_LOW);
        else
            xpt_write32(VIOAPIC_BASE + VIOAPIC_IOWIN, work.rte);
        break;

    case JOB_REMASK:
        for ( i = 0; i < NR_SAME; ++i )
        {
            xpt_write32(VIOAPIC_BASE + VIOAPIC_IOWIN,
                        work.rte | VIOAPIC_MASKED);
            xpt_write32(VIOAPIC_BASE + VIOAPIC_IOWIN, work.rte);
            if ( !(i % 64) )
                xpt_setup_gsi(work.gsi, XPT_LEVEL, XPT_LOW);
        }
        break;

    /*
     * The other vCPU may select another pin between our two writes: all pins
     * are given the same.
     */
    case JOB_IDLE:
        for ( i = 0; i < NR_IDLE; ++i )
        {
            unsigned int pin = idle_pins[(i + cpu * (i & 3)) %
                                         ARRAY_SIZE(idle_pins)];

            vioapic_write(VIOAPIC_RTE(pin), IDLE_RTE | VIOAPIC_MASKED);
            vioapic_write(VIOAPIC_RTE(pin), IDLE_RTE);
            if ( !(i % 64) )
                xpt_setup_gsi(pin, XPT_LEVEL, XPT_LOW);
        }
        break;

    case JOB_END:
        break;
    }

    overlap[cpu] = inside[!cpu];
    inside[cpu] = false;
}

static void cpu1(void)
{
    do {
        if ( !xpt_meet() )
            return;
        half(1);
    } while ( xpt_meet() && work.job != JOB_END );
}

static void together(enum job job)
{
    work.job = job;

    if ( lost || !xpt_meet() )
    {
        lost = true;
        return;
    }
    half(0);
    if ( !xpt_meet() )
        lost = true;

    ++nr_rounds;
    nr_overlaps += overlap[0] || overlap[1];
}

/* Every pin but the one which is unmasked while it is set up. */
static void test_setup(unsigned int nr_pins, unsigned int not_gsi)
{
    unsigned int one = 0, xen = 0, other = 0;

    for ( work.gsi = 0; work.gsi < nr_pins; ++work.gsi )
    {
        if ( work.gsi == not_gsi )
            continue;

        together(JOB_SETUP);

        if ( answer[0] + answer[1] == -17 && !(answer[0] && answer[1]) )
            ++one;
        else if ( answer[0] == answer[1] && answer[0] < 0 )
            ++xen;
        else
            ++other;
    }

    xpt_check("setup", "one of two on 20 pins, none on 3, else on 0",
              "one of two on %u pins, none on %u, else on %u",
              one, xen, other);
}

static void test_line(const char *name, enum job first,
                      const struct xpt_line *line)
{
    char buf[40];

    work.gsi = line->gsi;
    work.rte = line->vector | line->mode;

    vioapic_select(VIOAPIC_RTE(line->gsi));
    together(first);
    snprintf(buf, sizeof(buf), "%s-unmask", name);
    xpt_check_raise(buf, line);

    vioapic_select(VIOAPIC_RTE(line->gsi));
    together(JOB_REMASK);
    snprintf(buf, sizeof(buf), "%s-remask", name);
    xpt_check_raise(buf, line);
    snprintf(buf, sizeof(buf), "%s-remask-second", name);
    xpt_check_raise(buf, line);
}

void test_main(void)
{
    const struct xpt_line *slot5 = &xpt_slot5, *slot7 = &xpt_slot7;
    long rc;

    if ( !xpt_lines_init() )
        return;

    rc = xpt_cpu1_start(cpu1);
    if ( rc )
        return xtf_error("Error: no second vCPU: %ld\n", rc);

    test_setup(vioapic_nr_pins(), slot7->gsi);
    test_line("set-up", JOB_UNMASK, slot5);

    test_line("new", JOB_SETUP_UNMASK, slot7);
    xpt_check_rc("new-setup-after", -17,
                 xpt_setup_gsi(slot7->gsi, XPT_LEVEL, XPT_LOW));

    /* Different pins, none of which a device raises. */
    together(JOB_IDLE);
    xpt_check_remask("different-then-slot5", slot5);
    xpt_check_remask("different-then-slot7", slot7);

    together(JOB_END);
    xpt_lines_done();

    if ( lost )
        return xtf_error("Error: the second vCPU does not answer\n");

    printk("At the same moment: %u of %u rounds\n", nr_overlaps, nr_rounds);

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
