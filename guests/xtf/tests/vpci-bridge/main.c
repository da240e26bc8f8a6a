/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A device behind a bridge, and the bridge itself.  A bridge whose secondary
 * bus has another number makes the device unreachable, as a device is which
 * does not come back after a reset: reads answer all ones.
 *
 * Two bridges which change their numbers make it another device.
 *
 * Needs `pcie-root-port` at 00:09.0 with an `nvme` device behind it, and one at
 * 00:0a.0 with an `e1000e` behind it.
 */
#include "../xpt/msi.h"

const char test_title[] = "A PCI device behind a bridge";
const char xpt_test[] = "vpci-bridge";

#define PORT            XPT_DEVFN(9)
#define OTHER_PORT      XPT_DEVFN(10)

#define PCI_SECONDARY_BUS       0x19
#define PCI_SUBORDINATE_BUS     0x1a
#define PCI_MEMORY_BASE         0x20
#define PCI_BRIDGE_CONTROL      0x3e
#define  PCI_BRIDGE_RESET       0x0040

/* No other bridge leads there. */
#define BUS_OTHER       0x42

#define NR_ENTRIES      4
#define VECTOR          0x60

/* Turns of a yield for which a bus is kept in reset. */
#define RESET_TURNS     100

static uint16_t nvme, e1000e;
static uint8_t bus, other_bus;
static uint32_t saved[XPT_NR_HEADER], port_saved[XPT_NR_HEADER];
static unsigned long bar, table;
static uint32_t version;

static void check_hex(const char *name, uint64_t want_val, uint64_t val)
{
    char want[20];

    snprintf(want, sizeof(want), "%lx", want_val);
    xpt_check(name, want, "%lx", val);
}

static void check_header(const char *name, uint32_t want_bar,
                         uint16_t want_command)
{
    char want[40];

    snprintf(want, sizeof(want), "bar0 %x command %04x", want_bar,
             want_command);
    xpt_check(name, want, "bar0 %x command %04x",
              xpt_pci_read32(nvme, PCI_BAR0),
              xpt_pci_read16(nvme, PCI_COMMAND));
}

/* By what is not mapped it is the bus which answers. */
static void check_answers(const char *name, bool answers)
{
    check_hex(name, answers ? version : ~0u, xpt_read32(bar + NVME_VS));
}

static void check_reset(const char *name, uint16_t bdf, long want)
{
    xpt_check_rc(name, want, xpt_pci_device_reset(bdf, XPT_RESET_FLR));
}

static void reach(bool reachable)
{
    xpt_pci_write8(PORT, PCI_SECONDARY_BUS, reachable ? bus : BUS_OTHER);
}

static void msix_on(void)
{
    unsigned int i;

    for ( i = 0; i < NR_ENTRIES; ++i )
        xpt_msix_program(table, i, VECTOR + i, false);
    xpt_msix_control(nvme, MSIX_CTRL_ENABLE, 0);
}

static void check_msix(const char *name, const char *want)
{
    unsigned int i, masked = 0;

    for ( i = 0; i < NR_ENTRIES; ++i )
        masked += xpt_msix_masked(table, i);

    xpt_check(name, want, "%s, %u of %u masked",
              xpt_msix_enabled(nvme) ? "enabled" : "disabled", masked,
              NR_ENTRIES);
}

static void test_behind(void)
{
    uint16_t command = saved[PCI_COMMAND / 4];
    uint32_t base = xpt_pci_read16(PORT, PCI_MEMORY_BASE) << 16;
    unsigned long other = base + 0x10000;

    check_hex("size", 0x4000, xpt_bar_size(nvme, PCI_BAR0));
    check_header("size-restored", saved[PCI_BAR0 / 4], command);

    xpt_pci_write16(nvme, PCI_COMMAND, command & ~PCI_COMMAND_MEMORY);
    check_answers("off", false);
    xpt_bar_write(nvme, PCI_BAR0, other);
    xpt_pci_write16(nvme, PCI_COMMAND, command);
    check_answers("moved-left", false);
    check_hex("moved", version, xpt_read32(other + NVME_VS));

    check_reset("moved-reset", nvme, 0);
    check_hex("moved-reset-after", version, xpt_read32(other + NVME_VS));

    xpt_pci_write16(nvme, PCI_COMMAND, command & ~PCI_COMMAND_MEMORY);
    xpt_bar_write(nvme, PCI_BAR0, bar);
    xpt_pci_write16(nvme, PCI_COMMAND, command);
    check_answers("back", true);

    msix_on();
    check_msix("msix", "enabled, 0 of 4 masked");
    xpt_check("flr", "done", "%s", xpt_pci_flr(nvme) ? "done" : "not done");
    check_reset("flr-reset", nvme, 0);
    check_answers("flr-unmapped", false);
    xpt_pci_restore(nvme, saved);
    check_answers("flr-restored", true);
    check_msix("flr-msix", "disabled, 4 of 4 masked");
}

/*
 * A reset of the bus, which resets what is behind it.  It goes through the
 * bridge's register, which Xen does not watch.
 */
static void hot_reset(void)
{
    uint16_t control = xpt_pci_read16(PORT, PCI_BRIDGE_CONTROL);
    unsigned int turns;

    xpt_pci_write16(PORT, PCI_BRIDGE_CONTROL, control | PCI_BRIDGE_RESET);
    for ( turns = 0; turns < RESET_TURNS; ++turns )
        hypercall_yield();
    xpt_pci_write16(PORT, PCI_BRIDGE_CONTROL, control);
}

static void test_hot_reset(const char *kind_name, uint32_t kind)
{
    char name[40];

    msix_on();
    hot_reset();

    snprintf(name, sizeof(name), "%s-cleared", kind_name);
    check_header(name, saved[PCI_BAR0 / 4] & 0xf, 0);
    snprintf(name, sizeof(name), "%s-reset", kind_name);
    xpt_check_rc(name, 0, xpt_pci_device_reset(nvme, kind));
    snprintf(name, sizeof(name), "%s-unmapped", kind_name);
    check_answers(name, false);

    xpt_pci_restore(nvme, saved);
    snprintf(name, sizeof(name), "%s-restored", kind_name);
    check_answers(name, true);
    snprintf(name, sizeof(name), "%s-msix", kind_name);
    check_msix(name, "disabled, 4 of 4 masked");
}

/* A device which does not answer is fenced until it does, and was reset. */
static void test_unreachable(void)
{
    uint16_t command = saved[PCI_COMMAND / 4];
    uint8_t cap = xpt_pci_cap(nvme, PCI_CAP_ID_MSIX);
    uint16_t msix_ctrl;

    msix_on();
    msix_ctrl = xpt_pci_read16(nvme, cap + MSIX_CTRL);

    reach(false);
    check_hex("unreachable-id", ~0u, xpt_pci_read32(nvme, PCI_ID));
    check_reset("unreachable-reset", nvme, -5);
    check_header("unreachable-header", ~0u, 0xffff);
    check_answers("unreachable-bar", false);
    check_hex("unreachable-msix-table", ~0u,
              xpt_read32(table + MSIX_ENTRY_CTRL));
    check_hex("unreachable-msix-control", 0xffff,
              xpt_pci_read16(nvme, cap + MSIX_CTRL));
    check_reset("unreachable-reset-again", nvme, -5);

    /* It could answer now, but its state is not known: no access reaches it. */
    reach(true);
    check_hex("fenced-id", ~0u, xpt_pci_read32(nvme, PCI_ID));
    check_header("fenced-header", ~0u, 0xffff);
    xpt_pci_write16(nvme, PCI_COMMAND, 0);
    xpt_pci_write32(nvme, PCI_BAR0, 0);
    xpt_pci_write32(nvme, PCI_BAR(1), 0xff);
    xpt_pci_write8(nvme, 0x3c /* PCI_INTERRUPT_LINE */, 0x5a);
    xpt_pci_write16(nvme, cap + MSIX_CTRL, MSIX_CTRL_ENABLE);
    check_answers("fenced-bar", false);
    check_hex("fenced-memory", ~0u,
              xpt_read32(xpt_pci_ecam(nvme) + PCI_ID));

    /* Nothing has been written, and decode is on as it was. */
    check_reset("reachable-reset", nvme, 0);
    check_header("reachable-header", saved[PCI_BAR0 / 4], command);
    check_hex("reachable-bar-high", saved[PCI_BAR(1) / 4],
              xpt_pci_read32(nvme, PCI_BAR(1)));
    check_hex("reachable-line", saved[0x3c / 4],
              xpt_pci_read32(nvme, 0x3c));
    check_answers("reachable-bar", true);
    check_msix("reachable-msix", "disabled, 4 of 4 masked");
    check_hex("reachable-msix-control", msix_ctrl & ~MSIX_CTRL_ENABLE,
              xpt_pci_read16(nvme, cap + MSIX_CTRL));

    msix_on();
    check_msix("reachable-msix-again", "enabled, 0 of 4 masked");
    xpt_msix_control(nvme, 0, MSIX_CTRL_ENABLE);

    xpt_pci_write16(nvme, PCI_COMMAND, command & ~PCI_COMMAND_MEMORY);
    check_answers("reachable-off", false);
    xpt_pci_write16(nvme, PCI_COMMAND, command);
    check_answers("reachable-on", true);
}

/* Number of its only bus. */
static void set_bus(uint16_t port, uint8_t nr)
{
    xpt_pci_write8(port, PCI_SECONDARY_BUS, nr);
    xpt_pci_write8(port, PCI_SUBORDINATE_BUS, nr);
}

static void exchange(bool exchanged)
{
    /* Never the same for both. */
    set_bus(PORT, BUS_OTHER);
    set_bus(OTHER_PORT, exchanged ? bus : other_bus);
    set_bus(PORT, exchanged ? other_bus : bus);
}

/* What answers is not the device which Xen knows: its BARs are others. */
static void test_exchanged(void)
{
    exchange(true);
    check_hex("exchanged-id", E1000E_ID, xpt_pci_read32(nvme, PCI_ID));
    check_reset("exchanged-reset", nvme, -95);
    check_reset("exchanged-reset-other", e1000e, -95);
    check_hex("exchanged-fenced-id", ~0u, xpt_pci_read32(nvme, PCI_ID));
    check_hex("exchanged-fenced-id-other", ~0u,
              xpt_pci_read32(e1000e, PCI_ID));
    check_answers("exchanged-bar", false);

    /* By accesses to either function. */
    xpt_pci_write16(nvme, PCI_COMMAND, 0);
    xpt_pci_write16(e1000e, PCI_COMMAND, 0);
    xpt_pci_write32(nvme, PCI_BAR0, 0);
    xpt_pci_write32(e1000e, PCI_BAR0, 0);

    exchange(false);
    check_reset("exchanged-back-reset", nvme, 0);
    check_reset("exchanged-back-reset-other", e1000e, 0);
    check_header("exchanged-back-header", saved[PCI_BAR0 / 4],
                 saved[PCI_COMMAND / 4]);
    check_answers("exchanged-back-bar", true);
}

/* Unreachable without a reset: nothing is lost when it is back. */
static void test_away(void)
{
    reach(false);
    xpt_pci_write16(nvme, PCI_COMMAND, 0);
    reach(true);
    xpt_pci_write16(nvme, PCI_COMMAND, saved[PCI_COMMAND / 4]);
    check_header("away-header", saved[PCI_BAR0 / 4], saved[PCI_COMMAND / 4]);
    check_answers("away-bar", true);
}

static void check_port(const char *name)
{
    unsigned int i, nr_differ = 0;

    for ( i = 0; i < XPT_NR_HEADER; ++i )
        nr_differ += xpt_pci_read32(PORT, i * 4) != port_saved[i];

    xpt_check(name, "same", nr_differ ? "%u differ" : "same", nr_differ);
}

/* The bridge has a BAR of its own, with an MSI-X table. */
static void test_bridge(void)
{
    unsigned long port_table = xpt_msix_table(PORT);
    uint16_t command = port_saved[PCI_COMMAND / 4];

    check_hex("bridge-size", 0x1000, xpt_bar_size(PORT, PCI_BAR0));
    check_port("bridge-size-restored");

    check_reset("bridge-reset", PORT, 0);
    check_port("bridge-reset-same");
    check_hex("bridge-table", MSIX_ENTRY_CTRL_MASKED,
              xpt_read32(port_table + MSIX_ENTRY_CTRL));
    check_answers("bridge-reset-behind", true);

    /* Its decode is also what lets memory accesses through. */
    xpt_pci_write16(PORT, PCI_COMMAND, command & ~PCI_COMMAND_MEMORY);
    check_hex("bridge-off-table", ~0u,
              xpt_read32(port_table + MSIX_ENTRY_CTRL));
    check_reset("bridge-off-reset", PORT, 0);
    check_hex("bridge-off-reset-table", ~0u,
              xpt_read32(port_table + MSIX_ENTRY_CTRL));
    xpt_pci_write16(PORT, PCI_COMMAND, command);
    check_hex("bridge-on-table", MSIX_ENTRY_CTRL_MASKED,
              xpt_read32(port_table + MSIX_ENTRY_CTRL));
    check_answers("bridge-on-behind", true);
    check_port("bridge-on-same");
}

void test_main(void)
{
    if ( xpt_pci_read32(PORT, PCI_ID) != ROOT_PORT_ID ||
         xpt_pci_read32(OTHER_PORT, PCI_ID) != ROOT_PORT_ID )
        return xtf_error("Error: no root ports at 00:09.0 and 00:0a.0\n");

    bus = xpt_pci_read8(PORT, PCI_SECONDARY_BUS);
    nvme = XPT_BDF(bus, 0);
    other_bus = xpt_pci_read8(OTHER_PORT, PCI_SECONDARY_BUS);
    e1000e = XPT_BDF(other_bus, 0);
    if ( !bus || xpt_pci_read32(nvme, PCI_ID) != NVME_ID ||
         !other_bus || xpt_pci_read32(e1000e, PCI_ID) != E1000E_ID )
        return xtf_error("Error: no nvme or e1000e behind the root ports\n");

    xpt_pci_command(PORT, PCI_COMMAND_MEMORY, 0);
    xpt_pci_save(PORT, port_saved);

    xpt_pci_command(nvme, PCI_COMMAND_MEMORY, 0);
    xpt_pci_save(nvme, saved);
    bar = xpt_bar_read(nvme, PCI_BAR0);
    table = xpt_msix_table(nvme);
    version = xpt_read32(bar + NVME_VS);
    if ( !version || version == ~0u || saved[PCI_BAR(1) / 4] )
        return xtf_error("Error: nvme does not answer at %lx\n", bar);

    test_behind();
    test_hot_reset("hot", XPT_RESET_HOT);
    test_hot_reset("warm", XPT_RESET_WARM);
    test_hot_reset("cold", XPT_RESET_COLD);
    test_away();
    test_unreachable();
    test_exchanged();
    test_bridge();

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
