/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * MSI-X of a device that a guest has.  Where its table is, the hardware domain
 * has Xen note while the device is its own: Linux does so when pciback takes
 * the device.  Without that, the guest's device model gets no vector.
 *
 * Needs `edu` at 00:05.0, which has no MSI-X, and `nvme` at 00:06.0.
 */
#include "../xpt/domain.h"
#include "../xpt/nvme.h"
#include "../xpt/resources.h"

const char test_title[] = "MSI-X of a device that a guest has";
const char xpt_test[] = "vpci-msix-lent";

#define PHYSDEVOP_prepare_msix  30
#define PHYSDEVOP_release_msix  31
#define MAP_PIRQ_TYPE_MSI_SEG   3

#define EDU             XPT_BDF(0, 5)
#define NVME            XPT_BDF(0, 6)
#define ABSENT          XPT_BDF(0, 0x1c)
#define VECTOR          0x71

#define NR_ROUNDS       1000

static unsigned long bar, table;

static long msix_op(unsigned int op, uint16_t bdf)
{
    struct {
        uint16_t seg;
        uint8_t bus, devfn;
    } dev = { .bus = bdf >> 8, .devfn = bdf };

    return hypercall_physdev_op(op, &dev);
}

static long prepare(uint16_t bdf)
{
    return msix_op(PHYSDEVOP_prepare_msix, bdf);
}

static long release(uint16_t bdf)
{
    return msix_op(PHYSDEVOP_release_msix, bdf);
}

/* A vector for entry @entry of the guest's device: its pirq. */
static long map_entry(long guest, unsigned int entry)
{
    struct xpt_map_pirq map = {
        .domid      = guest,
        .type       = MAP_PIRQ_TYPE_MSI_SEG,
        .index      = -1,
        .pirq       = -1,
        .bus        = NVME >> 8,
        .devfn      = NVME & 0xff,
        .entry_nr   = entry,
        .table_base = bar,
    };

    return hypercall_physdev_op(XPT_PHYSDEVOP_map_pirq, &map) ?: map.pirq;
}

static void check_mapped(const char *name, long pirq)
{
    xpt_check_if(name, "a pirq", pirq >= 0, "%ld", pirq);
}

/* Our own use of it, by vPCI. */
static void check_own(const char *name)
{
    xpt_msix_program(table, 0, VECTOR, false);
    xpt_msix_control(NVME, MSIX_CTRL_ENABLE, 0);
    xpt_check(name, "arrived", "%s", xpt_nvme_interrupt(bar, VECTOR));
    xpt_msix_control(NVME, 0, MSIX_CTRL_ENABLE);
}

static void test_own(void)
{
    check_own("own-before");
    xpt_check_rc("own-prepare", 0, prepare(NVME));
    xpt_check_rc("own-prepare-again", -16, prepare(NVME));
    check_own("own-prepared");
    xpt_check_rc("own-release", 0, release(NVME));
    xpt_check_rc("own-release-again", -16, release(NVME));
    check_own("own-released");
}

static void test_refused(void)
{
    xpt_check_rc("absent-prepare", -19, prepare(ABSENT));
    xpt_check_rc("absent-release", -19, release(ABSENT));
    xpt_check_rc("no-msix-prepare", -19, prepare(EDU));
    xpt_check_rc("no-msix-release", -19, release(EDU));

    xpt_pci_command(NVME, 0, PCI_COMMAND_MEMORY);
    xpt_check_rc("no-decode-prepare", -6, prepare(NVME));
    xpt_pci_command(NVME, PCI_COMMAND_MEMORY, 0);
}

static void lend(const char *name, long guest)
{
    xpt_check_rc(name, 0, xpt_assign(XPT_DOMID_IO, NVME) ?:
                          xpt_assign(guest, NVME));
    /* Its device model's doing. */
    xpt_pci_command(NVME, PCI_COMMAND_MEMORY, 0);
}

static void take_back(const char *name, long guest)
{
    xpt_check_rc(name, 0, xpt_deassign(guest, NVME) ?:
                          xpt_deassign(XPT_DOMID_IO, NVME));
    xpt_pci_command(NVME, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
}

static void test_lent(long guest)
{
    long first, second;

    lend("unprepared-lend", guest);
    xpt_check_rc("unprepared-map", -61, map_entry(guest, 0));
    take_back("unprepared-back", guest);

    xpt_check_rc("prepare", 0, prepare(NVME));
    lend("lend", guest);
    first = map_entry(guest, 0);
    check_mapped("map", first);
    second = map_entry(guest, 1);
    check_mapped("map-second", second);
    xpt_check_rc("release-in-use", -16, release(NVME));
    xpt_check_rc("unmap", 0, xpt_unmap_pirq(guest, first));
    xpt_check_rc("unmap-second", 0, xpt_unmap_pirq(guest, second));
    take_back("back", guest);

    xpt_check_rc("release", 0, release(NVME));
    check_own("own-again");
}

static void test_rounds(void)
{
    struct xpt_resources before = xpt_resources_read();
    unsigned int i, good = 0;

    for ( i = 0; i < NR_ROUNDS; ++i )
        good += !prepare(NVME) && !release(NVME);
    xpt_check("rounds", "1000 of 1000", "%u of %u", good, NR_ROUNDS);
    xpt_resources_check("rounds-left", &before);
}

void test_main(void)
{
    long guest;

    if ( xpt_pci_read32(NVME, PCI_ID) != NVME_ID ||
         xpt_pci_read32(EDU, PCI_ID) != EDU_ID )
        return xtf_error("Error: no edu at 00:05.0 and nvme at 00:06.0\n");

    xpt_pci_command(NVME, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
                          PCI_COMMAND_INTX_DISABLE, 0);
    bar = xpt_bar_read(NVME, PCI_BAR0);
    table = xpt_msix_table(NVME);
    xpt_irq_init(VECTOR);

    test_own();
    test_refused();

    guest = xpt_domain_create_guest();
    if ( guest < 0 )
        return xtf_error("Error: no domain: %ld\n", guest);
    test_lent(guest);
    xpt_domain_destroy(guest);

    test_rounds();
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
