/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A hundred thousand resets: the last ones cost what the first ones did, and
 * nothing is left behind.
 *
 * Costs are in ticks of the time stamp counter, which are instructions on this
 * test's machine.
 *
 * Needs `nvme` at 00:06.0 and `e1000e` at 00:08.0.
 */
#include "../xpt/msi.h"
#include "../xpt/resources.h"

const char test_title[] = "Very many resets";
const char xpt_test[] = "vpci-cycles";

#define NVME            XPT_BDF(0, 6)
#define E1000E          XPT_BDF(0, 8)

/* A hundred thousand; there are more of those which take less time. */
#define NR_DECODE_ON    20000
#define NR_DECODE_OFF   64000
#define NR_COLD         10000
#define NR_MSIX         3000
#define NR_FLR          3000

/* What is timed at both ends. */
#define NR_TIMED        1000

/* After which something that is left behind shows, and ends the block. */
#define NR_EARLY        10

static uint32_t saved_nvme[XPT_NR_HEADER];
static unsigned int nr_entries;
static unsigned long table;

static bool reset(uint16_t bdf, uint32_t kind)
{
    return xpt_pci_device_reset(bdf, kind) == 0;
}

static bool decode_on(void)
{
    return reset(E1000E, XPT_RESET_FLR);
}

static bool cold(void)
{
    return reset(E1000E, XPT_RESET_COLD);
}

/* With vectors in use, all of which the reset gives back. */
static bool msix(void)
{
    unsigned int i;

    for ( i = 0; i < nr_entries; ++i )
        xpt_msix_program(table, i, 0x60 + i, false);
    xpt_msix_control(E1000E, MSIX_CTRL_ENABLE, 0);

    return reset(E1000E, XPT_RESET_FLR) && !xpt_msix_enabled(E1000E) &&
           xpt_msix_masked(table, 0);
}

/* As Linux's pciback does it. */
static bool flr(void)
{
    bool ok = xpt_pci_flr(NVME) && reset(NVME, XPT_RESET_FLR);

    xpt_pci_restore(NVME, saved_nvme);

    return ok && xpt_pci_read32(NVME, PCI_BAR0) == saved_nvme[PCI_BAR0 / 4];
}

static unsigned int run(bool (*round)(void), unsigned int nr)
{
    unsigned int failed = 0;

    while ( nr-- )
        failed += !round();

    return failed;
}

static void block(const char *name, bool (*round)(void), unsigned int nr)
{
    unsigned int failed = run(round, NR_EARLY);
    struct xpt_resources before = xpt_resources_read();
    uint64_t begun;
    unsigned long first, last;
    char buf[40];

    failed += run(round, NR_EARLY);
    snprintf(buf, sizeof(buf), "%s-left-early", name);
    if ( !xpt_resources_check(buf, &before) || failed )
        nr = 0;
    else
    {
        begun = xpt_rdtsc();
        failed += run(round, NR_TIMED);
        first = (xpt_rdtsc() - begun) / NR_TIMED;

        failed += run(round, nr - 2 * NR_TIMED - 2 * NR_EARLY);

        begun = xpt_rdtsc();
        failed += run(round, NR_TIMED);
        last = (xpt_rdtsc() - begun) / NR_TIMED;

        snprintf(buf, sizeof(buf), "%s-cost", name);
        xpt_check_if(buf, "the same to 1 %",
                     last * 100 <= first * 101 && first * 100 <= last * 101,
                     "first %lu last %lu", first, last);

        snprintf(buf, sizeof(buf), "%s-left", name);
        xpt_resources_check(buf, &before);
    }

    snprintf(buf, sizeof(buf), "%s-answers", name);
    xpt_check_if(buf, "as many, 0 failed", nr && !failed,
                 "%u, %u failed", nr ?: 2 * NR_EARLY, failed);
}

void test_main(void)
{
    if ( xpt_pci_read32(NVME, PCI_ID) != NVME_ID ||
         xpt_pci_read32(E1000E, PCI_ID) != E1000E_ID )
        return xtf_error("Error: no nvme and e1000e in 6 and 8\n");

    xpt_pci_command(NVME, PCI_COMMAND_MEMORY, 0);
    xpt_pci_save(NVME, saved_nvme);
    nr_entries = xpt_msix_nr_entries(E1000E);
    table = xpt_msix_table(E1000E);

    xpt_pci_command(E1000E, PCI_COMMAND_MEMORY, 0);
    block("decode-on", decode_on, NR_DECODE_ON);
    block("cold", cold, NR_COLD);
    block("msix", msix, NR_MSIX);
    xpt_pci_command(E1000E, 0, PCI_COMMAND_MEMORY);
    block("decode-off", decode_on, NR_DECODE_OFF);
    block("flr", flr, NR_FLR);

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
