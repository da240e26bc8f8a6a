/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Resets of which nothing tells Xen: once the hardware domain restores what it
 * saved, as Linux does after each of them, the device works again.
 *
 * Needs `nvme` at 00:06.0, `edu` at 00:07.0 and the devices in `machine`:
 * `rocker` and `edu`, functions 0 and 1 below a root port at 00:09.0, and an
 * EHCI controller at 00:0c.0.
 */
#include "../xpt/nvme.h"
#include "../xpt/source.h"

const char test_title[] = "Resets which Xen is not told of";
const char xpt_test[] = "vpci-heal";

#define FIRST           0x80
#define LAST            0x83
#define OTHER           0x91

/* A page aligned place in the PCI hole which firmware leaves alone. */
#define ELSEWHERE       0xc4000000u

#define PORT            XPT_BDF(0, 9)
#define PORT_BUSES      0x18
#define  PORT_SECONDARY(buses)  (((buses) >> 8) & 0xff)
#define PORT_CONTROL    0x3e
#define  PORT_CONTROL_RESET     0x40

#define PCI_CAP_ID_PM   0x01
#define PM_CTRL         4
#define  PM_CTRL_STATE          0x3
#define  PM_CTRL_D3             0x3
#define  PM_CTRL_NO_SOFT_RESET  0x8

/* More than the 392 MSIs which a host of two processors has. */
#define NR_ROUNDS       500

/* Which has xpt_nvme_interrupt() instead of operations. */
static struct xpt_source nvme = { .name = "nvme", .bdf = XPT_BDF(0, 6) };
static struct xpt_source other =
    XPT_SOURCE("other", XPT_BDF(0, 7), edu, EDU_ID, 1);
/* Below the port, whose bus number firmware has chosen. */
static struct xpt_source rocker =
    XPT_SOURCE("rocker", 0, rocker, ROCKER_ID, 4);
static struct xpt_source edu = XPT_SOURCE("edu", 0, edu, EDU_ID, 1);

/* Without an interrupt that can be raised. */
static struct xpt_source ehci = { .name = "ehci", .bdf = XPT_BDF(0, 12) };

static uint32_t port_buses;

/* Headers as firmware has left them, with what a driver turns on. */
static uint32_t nvme_header[XPT_NR_HEADER], rocker_header[XPT_NR_HEADER],
                edu_header[XPT_NR_HEADER], ehci_header[XPT_NR_HEADER];

/* Of the device under test. */
static struct xpt_source *dev;
static const uint32_t *saved;

static const char *named(const char *what)
{
    static char name[40];

    snprintf(name, sizeof(name), "%s-%s", dev->name, what);

    return name;
}

static void check_hex(const char *what, uint32_t want_val, uint32_t val)
{
    char want[12];

    snprintf(want, sizeof(want), "%x", want_val);
    xpt_check(named(what), want, "%x", val);
}

static const char *interrupt(struct xpt_source *src, uint8_t vector)
{
    if ( src == &nvme )
        return xpt_nvme_interrupt(src->bar, vector);

    return xpt_source_raise(src, 0, vector, vector, true) < 0 ? "lost"
                                                              : "arrived";
}

static void check_interrupt(const char *what, uint8_t vector)
{
    xpt_check(named(what), "arrived", "%s", interrupt(dev, vector));
}

static void check_header(const char *what, uint32_t want_bar,
                         uint16_t want_command)
{
    char want[40];

    snprintf(want, sizeof(want), "bar0 %x command %04x", want_bar,
             want_command);
    xpt_check(named(what), want, "bar0 %x command %04x",
              xpt_pci_read32(dev->bdf, PCI_BAR0),
              xpt_pci_read16(dev->bdf, PCI_COMMAND));
}

static void check_saved_header(const char *what)
{
    check_header(what, saved[PCI_BAR0 / 4], saved[PCI_COMMAND / 4]);
}

static void check_msix_fresh(const char *what)
{
    unsigned int i, masked = 0, nr = xpt_msix_nr_entries(dev->bdf);
    unsigned long table = xpt_msix_table(dev->bdf);
    char want[40];

    for ( i = 0; i < nr; ++i )
        masked += xpt_msix_masked(table, i);

    snprintf(want, sizeof(want), "disabled, %u of %u masked", nr, nr);
    xpt_check(named(what), want, "%s, %u of %u masked",
              xpt_msix_enabled(dev->bdf) ? "enabled" : "disabled", masked, nr);
}

static void use_nvme(void)
{
    dev = &nvme;
    saved = nvme_header;
}

static void use_edu(void)
{
    dev = &edu;
    saved = edu_header;
}

static void use_ehci(void)
{
    dev = &ehci;
    saved = ehci_header;
}

static void use_rocker(void)
{
    dev = &rocker;
    saved = rocker_header;
}

/* Of a device which may be fresh. */
static void msix_set_up(uint8_t vector)
{
    unsigned long table = xpt_msix_table(dev->bdf);

    xpt_msix_program(table, 0, vector, true);
    xpt_msix_control(dev->bdf, MSIX_CTRL_ENABLE, 0);
    xpt_msix_program(table, 0, vector, false);

    if ( dev->init )
        dev->init(dev);
}

static void port_reset(void)
{
    uint16_t control = xpt_pci_read16(PORT, PORT_CONTROL);

    xpt_pci_write16(PORT, PORT_CONTROL, control | PORT_CONTROL_RESET);
    xpt_pci_write16(PORT, PORT_CONTROL, control);
}

/* The port passes on accesses to another bus, where there is nothing. */
static void port_away(void)
{
    unsigned int bus = PORT_SECONDARY(port_buses) + 1;

    xpt_pci_write32(PORT, PORT_BUSES,
                    (port_buses & 0xff0000ff) | (bus << 16) | (bus << 8));
}

static void port_back(void)
{
    xpt_pci_write32(PORT, PORT_BUSES, port_buses);
}

/* The device is fresh, Xen's record of it is not. */
static void check_healed(const char *how)
{
    char name[40];

    snprintf(name, sizeof(name), "%s-fresh", how);
    check_header(name, saved[PCI_BAR0 / 4] & 0xf, 0);

    xpt_pci_restore(dev->bdf, saved);
    snprintf(name, sizeof(name), "%s-restored", how);
    check_saved_header(name);
    snprintf(name, sizeof(name), "%s-msix", how);
    check_msix_fresh(name);

    msix_set_up(FIRST + 1);
    snprintf(name, sizeof(name), "%s-interrupt", how);
    check_interrupt(name, FIRST + 1);
}

static void test_flr(void)
{
    uint32_t version;

    use_nvme();
    version = xpt_read32(dev->bar + NVME_VS);

    msix_set_up(FIRST);
    check_interrupt("interrupt", FIRST);

    if ( !xpt_pci_flr(dev->bdf) )
        return xtf_error("Error: %s has no FLR\n", dev->name);
    check_healed("flr");
    check_hex("flr-version", version, xpt_read32(dev->bar + NVME_VS));

    /* What was in use when the second one came is in use. */
    if ( !xpt_pci_flr(dev->bdf) )
        return xtf_error("Error: %s has no FLR\n", dev->name);
    check_healed("flr-2");

    /* The reset which Xen is told of in the end finds nothing wrong. */
    xpt_check_rc(named("told"), 0,
                 xpt_pci_device_reset(dev->bdf, XPT_RESET_FLR));
    check_saved_header("told-header");
    check_msix_fresh("told-msix");
}

/* The first write to the BAR may have any value. */
static void test_first_write(void)
{
    use_nvme();

    if ( !xpt_pci_flr(dev->bdf) )
        return xtf_error("Error: %s has no FLR\n", dev->name);
    xpt_bar_write(dev->bdf, PCI_BAR0, dev->bar);
    check_header("same-bar", saved[PCI_BAR0 / 4], 0);
    /* Healed, hence unmapped: what answers is not the device. */
    check_hex("same-bar-unmapped", xpt_read32(ELSEWHERE),
              xpt_read32(dev->bar + NVME_VS));
    xpt_pci_restore(dev->bdf, saved);
    check_saved_header("same-bar-restored");

    if ( !xpt_pci_flr(dev->bdf) )
        return xtf_error("Error: %s has no FLR\n", dev->name);
    xpt_bar_write(dev->bdf, PCI_BAR0, ELSEWHERE);
    check_header("other-bar", ELSEWHERE | (saved[PCI_BAR0 / 4] & 0xf), 0);
    check_hex("other-bar-old-unmapped", xpt_read32(ELSEWHERE + 0x100000),
              xpt_read32(dev->bar + NVME_VS));
    xpt_pci_restore(dev->bdf, saved);
    check_saved_header("other-bar-restored");
}

/* A device which was not reset keeps what it has. */
static void test_in_use(void)
{
    use_rocker();
    msix_set_up(FIRST);
    check_interrupt("interrupt", FIRST);

    xpt_pci_write32(dev->bdf, PCI_BAR0, ELSEWHERE);
    check_saved_header("in-use-refused");
    check_hex("in-use-readable", ROCKER_BOGUS_VALUE,
              xpt_read32(dev->bar + ROCKER_BOGUS));
    xpt_pci_write32(dev->bdf, PCI_BAR0, saved[PCI_BAR0 / 4]);
    check_saved_header("in-use-same");
    xpt_pci_write32(dev->bdf, PCI_BAR0, 0);
    check_saved_header("in-use-zero");

    check_hex("in-use-msix", 1, xpt_msix_enabled(dev->bdf));
    check_interrupt("in-use-interrupt", FIRST);
}

static void test_bus_reset(void)
{
    use_rocker();

    port_reset();
    check_healed("bus-reset");
    check_hex("bus-reset-readable", ROCKER_BOGUS_VALUE,
              xpt_read32(dev->bar + ROCKER_BOGUS));

    /* The other function, which has MSI. */
    use_edu();
    xpt_pci_restore(dev->bdf, saved);
    xpt_msi_program(dev->bdf, FIRST + 2);
    xpt_msi_enable(dev->bdf, true);
    check_interrupt("interrupt", FIRST + 2);
    port_reset();
    check_header("bus-reset-fresh", 0, 0);
    xpt_pci_restore(dev->bdf, saved);
    check_saved_header("bus-reset-restored");
    check_hex("bus-reset-ident", EDU_IDENT_VALUE,
              xpt_read32(dev->bar + EDU_IDENT));
    check_hex("bus-reset-msi", 0, xpt_msi_enabled(dev->bdf));
    check_hex("bus-reset-address", 0,
              xpt_pci_read32(dev->bdf, xpt_pci_cap(dev->bdf, PCI_CAP_ID_MSI) +
                                       MSI_ADDR));
    xpt_msi_program(dev->bdf, FIRST + 3);
    xpt_msi_enable(dev->bdf, true);
    check_interrupt("bus-reset-interrupt", FIRST + 3);
}

/* Out of reach for a while: what is in use then stays in use. */
static void test_all_ones(void)
{
    use_rocker();
    xpt_pci_restore(dev->bdf, saved);
    msix_set_up(FIRST);

    port_away();
    check_header("away", ~0u, 0xffff);
    xpt_pci_write32(dev->bdf, PCI_BAR0, ELSEWHERE);
    xpt_pci_write32(dev->bdf, PCI_BAR0, saved[PCI_BAR0 / 4]);
    port_back();

    check_saved_header("away-back");
    check_hex("away-readable", ROCKER_BOGUS_VALUE,
              xpt_read32(dev->bar + ROCKER_BOGUS));
    check_hex("away-msix", 1, xpt_msix_enabled(dev->bdf));
    check_interrupt("away-interrupt", FIRST);

    /* Reset while it was away: it heals when it is back. */
    port_away();
    port_reset();
    xpt_pci_write32(dev->bdf, PCI_BAR0, saved[PCI_BAR0 / 4]);
    port_back();
    check_healed("away-reset");
}

static void d3_and_back(uint16_t no_soft_reset)
{
    uint8_t reg = xpt_pci_cap(dev->bdf, PCI_CAP_ID_PM) + PM_CTRL;
    uint16_t ctrl = xpt_pci_read16(dev->bdf, reg);

    check_hex("no-soft-reset", no_soft_reset,
              ctrl & (PM_CTRL_STATE | PM_CTRL_NO_SOFT_RESET));
    xpt_pci_write16(dev->bdf, reg, ctrl | PM_CTRL_D3);
    check_hex("d3", PM_CTRL_D3, xpt_pci_read16(dev->bdf, reg) & PM_CTRL_STATE);
    xpt_pci_write16(dev->bdf, reg, ctrl);
    check_hex("d0-again", 0, xpt_pci_read16(dev->bdf, reg) & PM_CTRL_STATE);
}

static void test_d3(void)
{
    uint8_t cap = xpt_pci_cap(ehci.bdf, PCI_CAP_ID_MSI);

    /* It keeps all it has: there is nothing to heal. */
    use_nvme();
    msix_set_up(FIRST);
    d3_and_back(PM_CTRL_NO_SOFT_RESET);
    xpt_pci_restore(dev->bdf, saved);
    check_saved_header("d3-restored");
    check_hex("d3-msix", 1, xpt_msix_enabled(dev->bdf));
    check_interrupt("d3-interrupt", FIRST);

    use_ehci();
    xpt_msi_program(dev->bdf, FIRST);
    xpt_msi_enable(dev->bdf, true);
    check_hex("msi", 1, xpt_msi_enabled(dev->bdf));
    d3_and_back(0);
    check_header("d3-fresh", 0, 0);
    xpt_pci_restore(dev->bdf, saved);
    check_saved_header("d3-restored");
    check_hex("d3-version", EHCI_VERSION_VALUE,
              xpt_read32(dev->bar + EHCI_VERSION));
    check_hex("d3-msi", 0, xpt_msi_enabled(dev->bdf));
    check_hex("d3-address", 0, xpt_pci_read32(dev->bdf, cap + MSI_ADDR));
    xpt_msi_program(dev->bdf, FIRST);
    xpt_msi_enable(dev->bdf, true);
    check_hex("d3-msi-again", 1, xpt_msi_enabled(dev->bdf));
    xpt_msi_enable(dev->bdf, false);
}

/* The first round to go wrong is the last, as what is left behind adds up. */
static void test_rounds(void)
{
    unsigned int done = 0;

    use_rocker();
    do {
        port_reset();
        xpt_pci_restore(dev->bdf, saved);
        if ( xpt_msix_enabled(dev->bdf) )
            break;
        msix_set_up(FIRST);
    } while ( xpt_msix_enabled(dev->bdf) && ++done < NR_ROUNDS );

    xpt_check(named("rounds"), "500 of 500", "%u of %u", done, NR_ROUNDS);
    check_interrupt("rounds-interrupt", FIRST);

    xpt_msi_program(other.bdf, OTHER);
    xpt_msi_enable(other.bdf, true);
    xpt_check("other-rounds-interrupt", "arrived", "%s",
              interrupt(&other, OTHER));
}

void test_main(void)
{
    unsigned int vector;

    for ( vector = FIRST; vector <= LAST; ++vector )
        xpt_irq_init(vector);
    xpt_irq_init(OTHER);

    port_buses = xpt_pci_read32(PORT, PORT_BUSES);
    if ( xpt_pci_read32(PORT, PCI_ID) != ROOT_PORT_ID ||
         !PORT_SECONDARY(port_buses) )
        return xtf_error("Error: no root port at 00:09.0\n");
    rocker.bdf = XPT_BDF(PORT_SECONDARY(port_buses), 0);
    edu.bdf = rocker.bdf + 1;

    if ( !xpt_source_init(&other) || !xpt_source_init(&rocker) ||
         !xpt_source_init(&edu) )
        return;
    xpt_pci_command(nvme.bdf, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
                              PCI_COMMAND_INTX_DISABLE, 0);
    nvme.bar = xpt_bar_read(nvme.bdf, PCI_BAR0);

    if ( xpt_pci_read32(ehci.bdf, PCI_ID) != EHCI_ID )
        return xtf_error("Error: no EHCI controller at 00:0c.0\n");
    xpt_pci_command(ehci.bdf, PCI_COMMAND_MEMORY, 0);
    ehci.bar = xpt_bar_read(ehci.bdf, PCI_BAR0);

    xpt_pci_save(ehci.bdf, ehci_header);
    xpt_pci_save(nvme.bdf, nvme_header);
    xpt_pci_save(rocker.bdf, rocker_header);
    xpt_pci_save(edu.bdf, edu_header);

    test_in_use();
    test_d3();
    test_flr();
    test_first_write();
    test_bus_reset();
    test_all_ones();
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
