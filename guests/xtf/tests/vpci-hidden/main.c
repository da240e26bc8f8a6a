/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A device which Xen keeps for itself and hides from its domains, but which
 * the hardware domain may configure.
 *
 * Needs the device in `machine`.
 */
#include "../xpt/domain.h"
#include "../xpt/msi.h"

const char test_title[] = "A device which Xen hides";
const char xpt_test[] = "vpci-hidden";

#define EHCI            XPT_BDF(0, 12)

/* A place for BAR0 in the PCI hole which firmware leaves alone. */
#define ELSEWHERE       0xc4000000u

#define MSI_VECTOR      0x81

static uint8_t msi_cap;

static void check_hex(const char *name, uint32_t want_val, uint32_t val)
{
    char want[12];

    snprintf(want, sizeof(want), "%x", want_val);
    xpt_check(name, want, "%x", val);
}

/* What an address reads as which is not mapped is Xen's to say. */
static void check_unmapped(const char *name, unsigned long addr)
{
    check_hex(name, xpt_read32(ELSEWHERE + 0x100000), xpt_read32(addr));
}

static void command_write(uint16_t command)
{
    xpt_pci_write16(EHCI, PCI_COMMAND, command);
}

static uint16_t command_read(void)
{
    return xpt_pci_read16(EHCI, PCI_COMMAND);
}

static uint16_t msi_control(void)
{
    return xpt_pci_read16(EHCI, msi_cap + MSI_CTRL);
}

static void test_decode(unsigned long bar)
{
    uint16_t command = command_read();

    check_hex("readable", EHCI_VERSION_VALUE, xpt_read32(bar + EHCI_VERSION));

    command_write(command & ~PCI_COMMAND_MEMORY);
    check_hex("decode-off", command & ~PCI_COMMAND_MEMORY, command_read());
    check_unmapped("decode-off-unmapped", bar);

    command_write(command);
    check_hex("decode-on", command, command_read());
    check_hex("decode-on-readable", EHCI_VERSION_VALUE, xpt_read32(bar + EHCI_VERSION));

    /* Bits of the register which are not about memory. */
    command_write(command ^ PCI_COMMAND_MASTER);
    check_hex("other-bit", command ^ PCI_COMMAND_MASTER, command_read());
    command_write(command);
}

static void test_bar(unsigned long bar)
{
    xpt_bar_write(EHCI, PCI_BAR0, ELSEWHERE);
    check_hex("mapped-refused", bar, xpt_bar_read(EHCI, PCI_BAR0));

    xpt_pci_command(EHCI, 0, PCI_COMMAND_MEMORY);
    xpt_bar_write(EHCI, PCI_BAR0, ELSEWHERE);
    check_hex("moved", ELSEWHERE, xpt_bar_read(EHCI, PCI_BAR0));
    xpt_pci_command(EHCI, PCI_COMMAND_MEMORY, 0);
    check_hex("moved-readable", EHCI_VERSION_VALUE,
              xpt_read32(ELSEWHERE + EHCI_VERSION));
    check_unmapped("moved-old-unmapped", bar);

    xpt_pci_command(EHCI, 0, PCI_COMMAND_MEMORY);
    xpt_bar_write(EHCI, PCI_BAR0, bar);
    xpt_pci_command(EHCI, PCI_COMMAND_MEMORY, 0);
    check_hex("moved-back-readable", EHCI_VERSION_VALUE, xpt_read32(bar + EHCI_VERSION));
    check_unmapped("moved-back-unmapped", ELSEWHERE);
}

static void test_reset(unsigned long bar)
{
    uint16_t command = command_read();

    xpt_pci_write32(EHCI, msi_cap + MSI_ADDR, XPT_MSI_ADDR);
    xpt_pci_write16(EHCI, msi_cap + MSI_DATA(true), MSI_VECTOR);
    check_hex("programmed", MSI_VECTOR,
              xpt_pci_read16(EHCI, msi_cap + MSI_DATA(true)));

    xpt_check_rc("reset", 0, xpt_pci_device_reset(EHCI, XPT_RESET_FLR));
    check_hex("reset-command", command, command_read());
    check_hex("reset-readable", EHCI_VERSION_VALUE, xpt_read32(bar + EHCI_VERSION));
    check_hex("reset-msi-address", 0,
              xpt_pci_read32(EHCI, msi_cap + MSI_ADDR));
    check_hex("reset-msi-data", 0,
              xpt_pci_read16(EHCI, msi_cap + MSI_DATA(true)));

    /* It is still handled, not passed on. */
    xpt_bar_write(EHCI, PCI_BAR0, ELSEWHERE);
    check_hex("reset-mapped-refused", bar, xpt_bar_read(EHCI, PCI_BAR0));

    xpt_pci_command(EHCI, 0, PCI_COMMAND_MEMORY);
    xpt_check_rc("reset-off", 0, xpt_pci_device_reset(EHCI, XPT_RESET_FLR));
    check_unmapped("reset-off-unmapped", bar);
    command_write(command);
    check_hex("reset-off-readable", EHCI_VERSION_VALUE, xpt_read32(bar + EHCI_VERSION));
}

/* Its interrupts would be nobody's. */
static void test_msi(unsigned long bar)
{
    uint16_t control = msi_control();

    xpt_msi_program(EHCI, MSI_VECTOR);
    xpt_msi_enable(EHCI, true);
    check_hex("msi-refused", control, msi_control());

    xpt_msi_enable(EHCI, false);
    check_hex("msi-off", control, msi_control());
    xpt_check_rc("msi-reset", 0, xpt_pci_device_reset(EHCI, XPT_RESET_FLR));
    check_hex("msi-readable", EHCI_VERSION_VALUE, xpt_read32(bar + EHCI_VERSION));
    xpt_check("msi-owner", "d[XEN]", "%s", xpt_device_owner(EHCI));
}

void test_main(void)
{
    unsigned long bar;

    msi_cap = xpt_pci_cap(EHCI, PCI_CAP_ID_MSI);
    if ( xpt_pci_read32(EHCI, PCI_ID) != EHCI_ID || !msi_cap )
        return xtf_error("Error: no ehci with a debug port at 00:0c.0\n");

    bar = xpt_bar_read(EHCI, PCI_BAR0);
    xpt_check("owner", "d[XEN]", "%s", xpt_device_owner(EHCI));

    test_decode(bar);
    test_bar(bar);
    test_reset(bar);
    test_msi(bar);

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
