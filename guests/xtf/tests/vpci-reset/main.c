/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PHYSDEVOP_pci_device_reset: after the hardware domain has reset a device,
 * Xen's view of it is that of a fresh one, and the domain can restore what it
 * saved, as Linux's pciback does.
 *
 * Needs an `nvme` device at 00:06.0 (64-bit BAR, MSI-X, function level reset)
 * and `edu` devices at 00:05.0 and 00:07.0.
 */
#include "../xpt/msi.h"

const char test_title[] = "PHYSDEVOP_pci_device_reset";
const char xpt_test[] = "vpci-reset";

#define NVME            XPT_DEVFN(6)
#define EDU             XPT_DEVFN(5)
#define EDU_MSI         XPT_DEVFN(7)
#define ABSENT          XPT_BDF(0xfe, 6)

#define MSI_VECTOR      0x71

/*
 * A domain has room for 22 more handlers of MSI-X tables, and a small host for
 * fewer than 30 * 16 interrupts: a reset may leave neither behind.
 */
#define NR_ROUNDS       30
#define NR_ENTRIES      16

static uint32_t saved[XPT_NR_HEADER];
static unsigned long bar, table;

static void restore(void)
{
    xpt_pci_restore(NVME, saved);
}

static long reset(void)
{
    return xpt_pci_device_reset(NVME, XPT_RESET_FLR);
}

static void msix_program(void)
{
    unsigned int i;

    for ( i = 0; i < NR_ENTRIES; ++i )
        xpt_msix_program(table, i, 0x60 + i, false);
}

static unsigned int msix_masked(void)
{
    unsigned int i, masked = 0;

    for ( i = 0; i < NR_ENTRIES; ++i )
        masked += xpt_msix_masked(table, i);

    return masked;
}

/* @name: bar0 and command of the device, against those of @want. */
static void check_header(const char *name, uint8_t devfn,
                         uint32_t want_bar, uint16_t want_command)
{
    char want[40];

    snprintf(want, sizeof(want), "bar0 %x command %04x", want_bar,
             want_command);
    xpt_check(name, want, "bar0 %x command %04x",
              xpt_pci_read32(devfn, PCI_BAR0),
              xpt_pci_read16(devfn, PCI_COMMAND));
}

static void check_hex(const char *name, uint32_t want_val, uint32_t val)
{
    char want[12];

    snprintf(want, sizeof(want), "%08x", want_val);
    xpt_check(name, want, "%08x", val);
}

static void check_msix(const char *name, const char *want)
{
    xpt_check(name, want, "%s, %u of %u masked",
              xpt_msix_enabled(NVME) ? "enabled" : "disabled",
              msix_masked(), NR_ENTRIES);
}

static void test_malformed(void)
{
    xpt_check_rc("bad-pointer", -14,
                 hypercall_physdev_op(XPT_PHYSDEVOP_pci_device_reset,
                                      XPT_BAD_PTR));
    xpt_check_rc("flags-4", -22, xpt_pci_device_reset(NVME, 4));
    xpt_check_rc("flags-ffffffff", -22,
                 xpt_pci_device_reset(NVME, 0xffffffffu));
    xpt_check_rc("no-device", -19,
                 xpt_pci_device_reset(ABSENT, XPT_RESET_FLR));

    check_header("malformed-unchanged", NVME, saved[PCI_BAR0 / 4],
                 saved[PCI_COMMAND / 4]);
}

static void test_bars(void)
{
    uint32_t version = xpt_read32(bar + NVME_VS);
    uint16_t command = saved[PCI_COMMAND / 4];

    if ( !version || version == ~0u )
        return xtf_error("Error: 00:06.0: BAR0 does not answer\n");

    /* What an address reads as which is not mapped is Xen's to say. */
    xpt_pci_write16(NVME, PCI_COMMAND, command & ~PCI_COMMAND_MEMORY);
    check_hex("decode-off", ~0u, xpt_read32(bar + NVME_VS));
    xpt_pci_write16(NVME, PCI_COMMAND, command);
    check_hex("decode-on", version, xpt_read32(bar + NVME_VS));

    xpt_pci_flr(NVME);
    check_header("flr-clears-bar", NVME, saved[PCI_BAR0 / 4] & 0xf, 0);
    xpt_check_rc("reset", 0, reset());

    /*
     * Nobody has turned memory decode off, so the mapping has to go with the
     * reset.  By one left behind it is the bus which answers.
     */
    check_hex("old-bar-unmapped", ~0u, xpt_read32(bar + NVME_VS));

    restore();
    check_header("restored", NVME, saved[PCI_BAR0 / 4], command);
    check_hex("restored-version", version, xpt_read32(bar + NVME_VS));
}

static void test_msix(void)
{
    check_msix("msix-fresh", "disabled, 16 of 16 masked");

    msix_program();
    xpt_msix_control(NVME, MSIX_CTRL_ENABLE, 0);
    check_msix("msix-programmed", "enabled, 0 of 16 masked");

    xpt_pci_flr(NVME);
    xpt_check_rc("msix-reset", 0, reset());
    restore();
    check_msix("msix-after-reset", "disabled, 16 of 16 masked");
}

static bool one_round(void)
{
    restore();
    if ( xpt_pci_read32(NVME, PCI_BAR0) != saved[PCI_BAR0 / 4] ||
         xpt_msix_enabled(NVME) || msix_masked() != NR_ENTRIES )
        return false;

    msix_program();
    xpt_msix_control(NVME, MSIX_CTRL_ENABLE, 0);
    if ( !xpt_msix_enabled(NVME) || msix_masked() )
        return false;

    xpt_pci_flr(NVME);

    return reset() == 0;
}

/*
 * Every reset gives back what the device held: vectors, mappings, handlers.
 * The first round to go wrong is the last, as state left behind adds up.
 */
static void test_rounds(void)
{
    unsigned int done = 0;

    while ( done < NR_ROUNDS && one_round() )
        ++done;

    xpt_check("rounds", "30 of 30", "%u of %u", done, NR_ROUNDS);

    restore();
    check_header("rounds-restored", NVME, saved[PCI_BAR0 / 4],
                 saved[PCI_COMMAND / 4]);
}

/* Another device still gets an interrupt of its own. */
static void test_msi(void)
{
    unsigned long edu = xpt_bar_read(EDU_MSI, PCI_BAR0);

    xpt_irq_init(MSI_VECTOR);
    xpt_pci_command(EDU_MSI, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
    xpt_msi_program(EDU_MSI, MSI_VECTOR);
    xpt_msi_enable(EDU_MSI, true);

    xpt_write32(edu + EDU_RAISE, 1);
    xpt_check("rounds-other-msi", "arrived", "%s",
              xpt_irq_take(MSI_VECTOR) ? "arrived" : "lost");
    xpt_write32(edu + EDU_ACK, 1);
}

/* The call alone: a device which was not reset stays in use. */
static void test_unreset(void)
{
    uint32_t edu_bar;
    uint16_t command;

    xpt_pci_command(EDU, PCI_COMMAND_MEMORY, 0);
    edu_bar = xpt_pci_read32(EDU, PCI_BAR0);
    command = xpt_pci_read16(EDU, PCI_COMMAND);

    xpt_check_rc("unreset", 0, xpt_pci_device_reset(EDU, XPT_RESET_FLR));
    check_header("unreset-unchanged", EDU, edu_bar, command);
    check_hex("unreset-readable", EDU_IDENT_VALUE, xpt_read32(edu_bar & ~0xfu));
}

void test_main(void)
{
    uint8_t exp = xpt_pci_cap(NVME, PCI_CAP_ID_EXP);

    if ( xpt_pci_read32(EDU, PCI_ID) != EDU_ID ||
         xpt_pci_read32(EDU_MSI, PCI_ID) != EDU_ID ||
         !xpt_pci_cap(EDU_MSI, PCI_CAP_ID_MSI) )
        return xtf_error("Error: no edu at 00:05.0 and 00:07.0\n");

    if ( !exp ||
         !(xpt_pci_read32(NVME, exp + EXP_DEVCAP) & EXP_DEVCAP_FLR) ||
         !xpt_pci_cap(NVME, PCI_CAP_ID_MSIX) ||
         xpt_msix_nr_entries(NVME) < NR_ENTRIES )
        return xtf_error("Error: 00:06.0 lacks MSI-X or FLR\n");

    xpt_pci_save(NVME, saved);
    bar = xpt_bar_read(NVME, PCI_BAR0);
    table = xpt_msix_table(NVME);
    if ( (saved[PCI_BAR0 / 4] & 0xf) != PCI_BAR_MEM64 || bar >> 32 ||
         !(saved[PCI_COMMAND / 4] & PCI_COMMAND_MEMORY) )
        return xtf_error("Error: 00:06.0: BAR0 is not set up as expected\n");

    test_malformed();
    test_bars();
    test_msix();
    test_rounds();
    test_msi();
    test_unreset();

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
