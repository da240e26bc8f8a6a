/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A device which Xen is told is gone and is there again: the first leaves
 * nothing behind and its configuration space is no longer Xen's business, and
 * the second makes it as good as new, wherever it decodes by then.
 *
 * Needs `nvme` at 00:06.0, which is to be the only device with MSI-X.
 */
#include "../xpt/nvme.h"
#include "../xpt/resources.h"
#include "../xpt/smp.h"

const char test_title[] = "Removing and adding a device";
const char xpt_test[] = "vpci-hotplug";

#define NVME            XPT_BDF(0, 6)
#define BAR_PAGES       4
#define VECTOR          0x71
#define NR_ENTRIES      8

/* Where no device is. */
#define ELSEWHERE       XPT_WINDOW

/* A domain has room for 22 more handlers of MSI-X tables. */
#define NR_ROUNDS       100
#define NR_WARM_UP      5
#define NR_RACES        400
#define NR_TIMED        1000

static uint32_t saved[XPT_NR_HEADER], version;
static unsigned long bar, table;

static volatile bool racing;
static unsigned int nr_accesses;

static long remove_nvme(void)
{
    return xpt_pci_device_remove(NVME);
}

static long add_nvme(void)
{
    return xpt_pci_device_add(NVME);
}

/* With vectors in use. */
static void use(void)
{
    unsigned int i;

    for ( i = 0; i < NR_ENTRIES; ++i )
        xpt_msix_program(table, i, VECTOR, false);
    xpt_msix_control(NVME, MSIX_CTRL_ENABLE, 0);
}

static void check_interrupt(const char *name)
{
    use();
    xpt_check(name, "arrived", "%s", xpt_nvme_interrupt(bar, VECTOR));
}

/* Xen's view of it, on a device which nobody has reset. */
static void check_fresh(const char *name)
{
    unsigned int i, masked = 0;

    for ( i = 0; i < NR_ENTRIES; ++i )
        masked += xpt_msix_masked(table, i);

    xpt_check(name, "MSI-X disabled, 8 of 8 masked",
              "MSI-X %s, %u of %u masked",
              xpt_msix_enabled(NVME) ? "enabled" : "disabled",
              masked, NR_ENTRIES);
}

static void check_version(const char *name, unsigned long at, uint32_t want)
{
    char buf[12];

    snprintf(buf, sizeof(buf), "%08x", want);
    xpt_check(name, buf, "%08x", xpt_read32(at + NVME_VS));
}

static void check_bar(const char *name, uint32_t want)
{
    char buf[12];

    snprintf(buf, sizeof(buf), "%08x", want);
    xpt_check(name, buf, "%08x", xpt_pci_read32(NVME, PCI_BAR0));
}

/* What Xen has in use while the device is there, idle, and while it is not. */
static struct xpt_resources present, absent;

/*
 * Idle it goes and comes, with time for Xen to free what it frees later: what
 * is allocated meanwhile depends on that.
 */
static bool idle_turn(struct xpt_resources *gone, struct xpt_resources *back)
{
    xpt_pci_command(NVME, 0, PCI_COMMAND_MEMORY);
    xpt_msix_control(NVME, 0, MSIX_CTRL_ENABLE);
    if ( remove_nvme() )
        return false;
    *gone = xpt_resources_read();

    if ( add_nvme() )
        return false;
    xpt_pci_restore(NVME, saved);
    *back = xpt_resources_read();

    return true;
}

static bool warm_up(void)
{
    unsigned int i;

    /* Until Xen has what it keeps in hand for small objects. */
    for ( i = 0; i < NR_WARM_UP; ++i )
    {
        use();
        if ( remove_nvme() || add_nvme() )
            return false;
    }

    return idle_turn(&absent, &present);
}

static void check_left(const char *name)
{
    struct xpt_resources gone, back;
    char buf[40];

    if ( !idle_turn(&gone, &back) )
        return xtf_error("Error: 00:06.0 cannot be removed and added\n");

    snprintf(buf, sizeof(buf), "%s-removed", name);
    xpt_resources_compare(buf, &absent, &gone);
    xpt_resources_compare(name, &present, &back);
}

static void test_absent(void)
{
    uint32_t low = saved[PCI_BAR0 / 4];

    use();
    xpt_check_rc("remove", 0, remove_nvme());
    check_version("removed-unmapped", bar, ~0u);
    xpt_resources_check("removed-left", &absent);

    xpt_check("removed-msix", "disabled", "%s",
              xpt_msix_enabled(NVME) ? "enabled" : "disabled");
    xpt_check_rc("remove-again", -19, remove_nvme());
    xpt_check_rc("removed-reset", -19,
                 xpt_pci_device_reset(NVME, XPT_RESET_FLR));

    /* The hardware answers: Xen ignores this while it knows the device. */
    xpt_pci_write32(NVME, PCI_BAR0, ~0u);
    check_bar("removed-bar-size", (uint32_t)(-BAR_PAGES * 0x1000u) |
                                  (low & 0xf));
    xpt_pci_write32(NVME, PCI_BAR0, ELSEWHERE);
    check_bar("removed-bar-moved", ELSEWHERE | (low & 0xf));

    /* Decode on without Xen: still nothing that we could reach. */
    check_version("removed-still-unmapped", ELSEWHERE, ~0u);
}

static void test_present(void)
{
    table += ELSEWHERE - bar;

    xpt_check_rc("add", 0, add_nvme());
    check_version("added-mapped", ELSEWHERE, version);
    check_version("added-old-unmapped", bar, ~0u);
    check_fresh("added-fresh");

    xpt_check_rc("add-again", 0, add_nvme());
    check_version("added-again-mapped", ELSEWHERE, version);

    xpt_pci_write32(NVME, PCI_BAR0, saved[PCI_BAR0 / 4]);
    check_bar("added-bar-stays", ELSEWHERE | (saved[PCI_BAR0 / 4] & 0xf));

    table -= ELSEWHERE - bar;
    xpt_pci_command(NVME, 0, PCI_COMMAND_MEMORY);
    check_version("added-off", ELSEWHERE, ~0u);
    xpt_pci_restore(NVME, saved);
    check_version("added-moved-back", bar, version);
    xpt_resources_check("added-left", &present);

    check_interrupt("added-interrupt");
}

static bool one_round(void)
{
    use();

    return !remove_nvme() && !add_nvme() &&
           xpt_read32(bar + NVME_VS) == version && !xpt_msix_enabled(NVME);
}

/*
 * Ticks of an access to memory which no handler takes, and each is asked.
 * Those of the quickest one, as whatever else the machine does adds to them.
 */
static unsigned long mmio_cost(void)
{
    unsigned long best = -1;
    unsigned int i;

    for ( i = 0; i < NR_TIMED; ++i )
    {
        uint64_t begun = xpt_rdtsc(), ticks;

        xpt_read32(ELSEWHERE);
        ticks = xpt_rdtsc() - begun;
        if ( ticks < best )
            best = ticks;
    }

    return best;
}

static void test_rounds(void)
{
    unsigned long first = mmio_cost(), last;
    unsigned int done = 0;

    while ( done < NR_ROUNDS && one_round() )
        ++done;

    xpt_check("rounds", "100 of 100", "%u of %u", done, NR_ROUNDS);
    check_left("rounds-left");

    /* Loose, as nobody knows what else the machine is doing. */
    last = mmio_cost();
    xpt_check_if("rounds-mmio-cost", "last at most 3 times first",
                 last <= 3 * first, "first %lu last %lu", first, last);
    check_interrupt("rounds-interrupt");
}

/* By memory: the other vCPU has the ports. */
static void cpu1(void)
{
    unsigned long ecam = xpt_pci_ecam(NVME);
    unsigned long command = ecam + PCI_COMMAND;
    unsigned long msix = ecam + xpt_pci_cap(NVME, PCI_CAP_ID_MSIX);

    if ( !xpt_meet() )
        return;

    while ( racing )
    {
        uint32_t val = xpt_read32(command);

        xpt_write32(command, val & ~PCI_COMMAND_MEMORY & 0xffff);
        xpt_read32(ecam + PCI_BAR0);
        xpt_write32(msix, xpt_read32(msix) | MSIX_CTRL_ENABLE << 16);
        xpt_write32(command, (val | PCI_COMMAND_MEMORY) & 0xffff);
        xpt_write32(msix, xpt_read32(msix) & ~(MSIX_CTRL_ENABLE << 16));
        ++nr_accesses;
    }

    xpt_meet();
}

static void test_races(void)
{
    unsigned int i, failed = 0;
    long rc;

    racing = true;
    rc = xpt_cpu1_start(cpu1);
    if ( rc || !xpt_meet() )
        return xtf_error("Error: no second vCPU: %ld\n", rc);

    for ( i = 0; i < NR_RACES; ++i )
        failed += remove_nvme() || add_nvme();

    racing = false;
    if ( !xpt_meet() )
        return xtf_error("Error: the second vCPU does not answer\n");

    printk("Rounds of the other vCPU: %u\n", nr_accesses);
    xpt_check("races", "0 failed", "%u failed", failed);

    /* What was written while Xen did not know the device was not seen. */
    check_left("races-left");
    check_version("races-mapped", bar, version);
    check_fresh("races-fresh");
    check_interrupt("races-interrupt");
}

void test_main(void)
{
    if ( xpt_pci_read32(NVME, PCI_ID) != NVME_ID ||
         xpt_msix_nr_entries(NVME) < NR_ENTRIES )
        return xtf_error("Error: no nvme at 00:06.0\n");

    xpt_irq_init(VECTOR);
    xpt_pci_command(NVME, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
    xpt_pci_save(NVME, saved);
    bar = xpt_bar_read(NVME, PCI_BAR0);
    table = xpt_msix_table(NVME);
    version = xpt_read32(bar + NVME_VS);

    if ( xpt_bar_size(NVME, PCI_BAR0) != BAR_PAGES * 0x1000 ||
         xpt_mapped(ELSEWHERE, BAR_PAGES * 0x1000) )
        return xtf_error("Error: 00:06.0: BAR0 is not as expected\n");

    check_interrupt("before-interrupt");
    if ( !warm_up() )
        return xtf_error("Error: 00:06.0 cannot be removed and added\n");

    test_absent();
    test_present();
    test_rounds();
    test_races();

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
