/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One vCPU reads a device's register while the other turns memory decode on
 * and off: a driver which polls, or whose interrupt handler has not heard yet.
 * The device answers, or nothing does.
 *
 * Needs `edu` at 00:05.0.
 */
#include "../xpt/pci.h"
#include "../xpt/smp.h"

const char test_title[] = "Reads of a BAR while it is mapped and unmapped";
const char xpt_test[] = "vpci-map-read";

#define EDU             XPT_DEVFN(5)

#define NR_CHANGES      300

/* Many more than are made meanwhile. */
#define MAX_READS       1000000

static volatile bool done;

static void cpu1(void)
{
    uint16_t command = xpt_pci_read16(EDU, PCI_COMMAND);
    unsigned int i;

    if ( !xpt_meet() )
        return;

    /* cpu0 does not access configuration space meanwhile. */
    for ( i = 0; i < NR_CHANGES; ++i )
        xpt_pci_write16(EDU, PCI_COMMAND, command ^= PCI_COMMAND_MEMORY);

    done = true;
}

void test_main(void)
{
    unsigned int i, device = 0, nothing = 0, other = 0;
    unsigned long bar;
    long rc;

    if ( xpt_pci_read32(EDU, PCI_ID) != EDU_ID )
        return xtf_error("Error: no edu at 00:05.0\n");

    xpt_pci_command(EDU, PCI_COMMAND_MEMORY, 0);
    bar = xpt_bar_read(EDU, PCI_BAR0);

    rc = xpt_cpu1_start(cpu1);
    if ( rc || !xpt_meet() )
        return xtf_error("Error: no second vCPU: %ld\n", rc);

    for ( i = 0; i < MAX_READS && !done; ++i )
    {
        uint32_t val = xpt_read32(bar + EDU_IDENT);

        if ( val == EDU_IDENT_VALUE )
            ++device;
        /* All ones by Xen, 0 by the bus. */
        else if ( val == ~0u || !val )
            ++nothing;
        else
            ++other;
        xpt_relax();
    }

    if ( !done )
        return xtf_error("Error: the second vCPU does not come to an end\n");

    xpt_check("reads", "0 others", "%u others", other);
    xpt_check_if("device", "more than 0", device, "%u", device);
    xpt_check_if("nothing", "more than 0", nothing, "%u", nothing);
    xpt_check("at-last", "10000ed", "%x", xpt_read32(bar + EDU_IDENT));

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
