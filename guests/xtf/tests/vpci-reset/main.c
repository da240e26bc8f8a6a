/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PHYSDEVOP_pci_device_reset: after the hardware domain has reset a device,
 * Xen's view of it is that of a fresh one, and the domain can restore what it
 * saved, as Linux's pciback does.
 *
 * Needs an `nvme` device at 00:06.0 (64-bit BAR, MSI-X, function level reset)
 * and `edu` devices at 00:05.0 and 00:07.0.
 */
#include "../xpt/xpt.h"

const char test_title[] = "PHYSDEVOP_pci_device_reset";
const char xpt_test[] = "vpci-reset";

#define NVME            XPT_DEVFN(6)
#define EDU             XPT_DEVFN(5)
#define EDU_MSI         XPT_DEVFN(7)
#define BUS_ABSENT      0xfe

#define EXP_DEVCAP      4
#define  EXP_DEVCAP_FLR         (1u << 28)
#define EXP_DEVCTL      8
#define  EXP_DEVCTL_FLR         (1u << 15)

#define MSIX_CTRL       2
#define  MSIX_CTRL_ENABLE       (1u << 15)
#define  MSIX_CTRL_SIZE         0x7ff   /* One less than the entries. */
#define MSIX_TABLE      4
#define ENTRY_SIZE      16

#define ENTRY_ADDR      0
#define ENTRY_DATA      8
#define ENTRY_CTRL      12
#define  ENTRY_CTRL_MASKED      1

#define NVME_VS         8
#define EDU_IDENT       0x010000edu

#define MSI_CTRL        2
#define  MSI_CTRL_64BIT         (1u << 7)
#define  MSI_CTRL_ENABLE        (1u << 0)
#define MSI_ADDR        4
#define MSI_DATA        8       /* 12 with a 64-bit address. */

#define MSI_VECTOR      0x71

/* An interrupt on its way takes far fewer turns. */
#define MSI_TURNS       8000

#define NR_HEADER       16

/*
 * A domain has room for 22 more handlers of MSI-X tables, and a small host for
 * fewer than 30 * 16 interrupts: a reset may leave neither behind.
 */
#define NR_ROUNDS       30
#define NR_ENTRIES      16

/* Turns of a yield which a function level reset may take. */
#define FLR_TURNS       20000

static uint8_t exp_cap, msix_cap;
static uint32_t saved[NR_HEADER];
static unsigned long bar, table;

static void save(void)
{
    unsigned int i;

    for ( i = 0; i < NR_HEADER; ++i )
        saved[i] = xpt_pci_read32(NVME, i * 4);
}

/* From the end, so that the BARs are in place before memory decode is on. */
static void restore(void)
{
    unsigned int i = NR_HEADER;

    while ( i-- )
        if ( xpt_pci_read32(NVME, i * 4) != saved[i] )
            xpt_pci_write32(NVME, i * 4, saved[i]);
}

/* Behind Xen's back: nothing tells it that the device is a fresh one. */
static void flr(void)
{
    unsigned int turns;

    xpt_pci_write16(NVME, exp_cap + EXP_DEVCTL,
                    xpt_pci_read16(NVME, exp_cap + EXP_DEVCTL) |
                    EXP_DEVCTL_FLR);

    for ( turns = 0;
          turns < FLR_TURNS && xpt_pci_read16(NVME, PCI_COMMAND);
          ++turns )
        hypercall_yield();
}

static long reset(void)
{
    return xpt_pci_device_reset(0, NVME, XPT_RESET_FLR);
}

static bool msix_enabled(void)
{
    return xpt_pci_read16(NVME, msix_cap + MSIX_CTRL) & MSIX_CTRL_ENABLE;
}

static void msix_set(bool enable)
{
    uint16_t ctrl = xpt_pci_read16(NVME, msix_cap + MSIX_CTRL);

    xpt_pci_write16(NVME, msix_cap + MSIX_CTRL,
                    enable ? ctrl | MSIX_CTRL_ENABLE
                           : ctrl & ~MSIX_CTRL_ENABLE);
}

static void msix_program(void)
{
    unsigned int i;

    for ( i = 0; i < NR_ENTRIES; ++i )
    {
        unsigned long entry = table + i * ENTRY_SIZE;

        xpt_write32(entry + ENTRY_ADDR, 0xfee00000u);
        xpt_write32(entry + ENTRY_ADDR + 4, 0);
        xpt_write32(entry + ENTRY_DATA, 0x60 + i);
        xpt_write32(entry + ENTRY_CTRL, 0);
    }
}

static unsigned int msix_masked(void)
{
    unsigned int i, masked = 0;

    for ( i = 0; i < NR_ENTRIES; ++i )
        masked += xpt_read32(table + i * ENTRY_SIZE + ENTRY_CTRL) &
                  ENTRY_CTRL_MASKED;

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
              msix_enabled() ? "enabled" : "disabled",
              msix_masked(), NR_ENTRIES);
}

static void test_malformed(void)
{
    xpt_check_rc("bad-pointer", -14,
                 hypercall_physdev_op(XPT_PHYSDEVOP_pci_device_reset,
                                      XPT_BAD_PTR));
    xpt_check_rc("flags-4", -22, xpt_pci_device_reset(0, NVME, 4));
    xpt_check_rc("flags-ffffffff", -22,
                 xpt_pci_device_reset(0, NVME, 0xffffffffu));
    xpt_check_rc("no-device", -19,
                 xpt_pci_device_reset(BUS_ABSENT, NVME, XPT_RESET_FLR));

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

    flr();
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
    msix_set(true);
    check_msix("msix-programmed", "enabled, 0 of 16 masked");

    flr();
    xpt_check_rc("msix-reset", 0, reset());
    restore();
    check_msix("msix-after-reset", "disabled, 16 of 16 masked");
}

static bool one_round(void)
{
    restore();
    if ( xpt_pci_read32(NVME, PCI_BAR0) != saved[PCI_BAR0 / 4] ||
         msix_enabled() || msix_masked() != NR_ENTRIES )
        return false;

    msix_program();
    msix_set(true);
    if ( !msix_enabled() || msix_masked() )
        return false;

    flr();

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
    uint8_t cap = xpt_pci_cap(EDU_MSI, PCI_CAP_ID_MSI);
    uint16_t ctrl = xpt_pci_read16(EDU_MSI, cap + MSI_CTRL);
    unsigned long edu = xpt_pci_read32(EDU_MSI, PCI_BAR0) & ~0xful;
    uint8_t data = MSI_DATA;
    unsigned int turns;
    bool arrived = false;

    /* Interrupts are off: it stays pending, where it can be seen. */
    xpt_lapic_enable();

    xpt_pci_write16(EDU_MSI, PCI_COMMAND,
                    xpt_pci_read16(EDU_MSI, PCI_COMMAND) |
                    PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    xpt_pci_write32(EDU_MSI, cap + MSI_ADDR, 0xfee00000u);
    if ( ctrl & MSI_CTRL_64BIT )
    {
        xpt_pci_write32(EDU_MSI, cap + MSI_ADDR + 4, 0);
        data += 4;
    }
    xpt_pci_write16(EDU_MSI, cap + data, MSI_VECTOR);
    xpt_pci_write16(EDU_MSI, cap + MSI_CTRL, ctrl | MSI_CTRL_ENABLE);

    xpt_write32(edu + EDU_RAISE, 1);
    for ( turns = 0; turns < MSI_TURNS && !arrived; ++turns )
    {
        hypercall_yield();
        arrived = xpt_read32(LAPIC_BASE + LAPIC_IRR(MSI_VECTOR)) &
                  (1u << (MSI_VECTOR % 32));
    }
    xpt_write32(edu + EDU_ACK, 1);

    xpt_check("rounds-other-msi", "arrived", "%s",
              arrived ? "arrived" : "lost");
}

/* The call alone: a device which was not reset stays in use. */
static void test_unreset(void)
{
    uint32_t edu_bar;
    uint16_t command;

    xpt_pci_write16(EDU, PCI_COMMAND,
                    xpt_pci_read16(EDU, PCI_COMMAND) | PCI_COMMAND_MEMORY);
    edu_bar = xpt_pci_read32(EDU, PCI_BAR0);
    command = xpt_pci_read16(EDU, PCI_COMMAND);

    xpt_check_rc("unreset", 0, xpt_pci_device_reset(0, EDU, XPT_RESET_FLR));
    check_header("unreset-unchanged", EDU, edu_bar, command);
    check_hex("unreset-readable", EDU_IDENT, xpt_read32(edu_bar & ~0xfu));
}

void test_main(void)
{
    uint32_t location;

    if ( xpt_pci_read32(EDU, PCI_ID) != EDU_ID ||
         xpt_pci_read32(EDU_MSI, PCI_ID) != EDU_ID ||
         !xpt_pci_cap(EDU_MSI, PCI_CAP_ID_MSI) )
        return xtf_error("Error: no edu at 00:05.0 and 00:07.0\n");

    exp_cap = xpt_pci_cap(NVME, PCI_CAP_ID_EXP);
    msix_cap = xpt_pci_cap(NVME, PCI_CAP_ID_MSIX);
    if ( !exp_cap || !msix_cap ||
         !(xpt_pci_read32(NVME, exp_cap + EXP_DEVCAP) & EXP_DEVCAP_FLR) ||
         (xpt_pci_read16(NVME, msix_cap + MSIX_CTRL) & MSIX_CTRL_SIZE) <
         NR_ENTRIES - 1 )
        return xtf_error("Error: 00:06.0 lacks MSI-X or FLR\n");

    location = xpt_pci_read32(NVME, msix_cap + MSIX_TABLE);
    save();
    if ( (location & 7) || (saved[PCI_BAR0 / 4] & 7) != 4 ||
         saved[PCI_BAR0 / 4 + 1] ||
         !(saved[PCI_COMMAND / 4] & PCI_COMMAND_MEMORY) )
        return xtf_error("Error: 00:06.0: BAR0 is not set up as expected\n");

    bar = saved[PCI_BAR0 / 4] & ~0xful;
    table = bar + location;

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
