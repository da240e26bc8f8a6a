/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A device on its way from the hardware domain to a guest and back: whoever
 * has it, what the one before had of it is gone, and what comes back is as
 * good as new.  An assignment which fails changes nothing.
 *
 * Needs `edu` at 00:05.0 and `nvme` at 00:06.0, which is to be the only device
 * with MSI-X.
 */
#include "../xpt/domain.h"
#include "../xpt/nvme.h"
#include "../xpt/resources.h"

const char test_title[] = "Assigning a device and taking it back";
const char xpt_test[] = "vpci-assign";

#define NVME            XPT_BDF(0, 6)
#define EDU             XPT_BDF(0, 5)
#define ABSENT          XPT_BDF(0, 0x1c)
#define VECTOR          0x71
#define EDU_VECTOR      0x72
#define NR_ENTRIES      8

/* A domain has room for 22 more handlers of MSI-X tables. */
#define NR_ROUNDS       100

static uint32_t saved[XPT_NR_HEADER], version;
static unsigned long bar, table, edu;
static uint8_t msix_cap;

/* What Xen has in use while nobody has the devices, and while we have. */
static struct xpt_resources away, ours;

/* With vectors in use. */
static void use(void)
{
    unsigned int i;

    for ( i = 0; i < NR_ENTRIES; ++i )
        xpt_msix_program(table, i, VECTOR, false);
    xpt_msix_control(NVME, MSIX_CTRL_ENABLE, 0);

    xpt_msi_program(EDU, EDU_VECTOR);
    xpt_msi_enable(EDU, true);
}

static void idle(void)
{
    xpt_msix_control(NVME, 0, MSIX_CTRL_ENABLE);
    xpt_msi_enable(EDU, false);
}

static void check(const char *who, const char *what, const char *want,
                  const char *answer)
{
    char name[48];

    snprintf(name, sizeof(name), "%s-%s", who, what);
    xpt_check(name, want, "%s", answer);
}

static void check_rc(const char *who, const char *what, long want, long rc)
{
    char name[48];

    snprintf(name, sizeof(name), "%s-%s", who, what);
    xpt_check_rc(name, want, rc);
}

static void check_owner(const char *who, const char *want)
{
    check(who, "owner", want, xpt_device_owner(NVME));
}

/* What we can read of both devices' memory. */
static void check_memory(const char *who, bool mapped)
{
    char name[48], want[24];

    snprintf(name, sizeof(name), "%s-memory", who);
    snprintf(want, sizeof(want), "%08x %08x", mapped ? version : ~0u,
             mapped ? EDU_IDENT_VALUE : ~0u);
    xpt_check(name, want, "%08x %08x", xpt_read32(bar + NVME_VS),
              xpt_read32(edu + EDU_IDENT));
}

static const char *edu_interrupt(void)
{
    bool arrived;

    xpt_write32(edu + EDU_RAISE, 1);
    arrived = xpt_irq_take(EDU_VECTOR);
    xpt_write32(edu + EDU_ACK, 1);

    return arrived ? "arrived" : "lost";
}

static void check_interrupts(const char *who)
{
    use();
    check(who, "msix", "arrived", xpt_nvme_interrupt(bar, VECTOR));
    check(who, "msi", "arrived", edu_interrupt());
}

/* Xen's view of them, of which nobody has reset any. */
static void check_fresh(const char *who)
{
    unsigned int i, masked = 0;
    char name[48];

    for ( i = 0; i < NR_ENTRIES; ++i )
        masked += xpt_msix_masked(table, i);

    snprintf(name, sizeof(name), "%s-fresh", who);
    xpt_check(name, "MSI-X disabled, 8 of 8 masked, MSI disabled",
              "MSI-X %s, %u of %u masked, MSI %s",
              xpt_msix_enabled(NVME) ? "enabled" : "disabled",
              masked, NR_ENTRIES,
              xpt_msi_enabled(EDU) ? "enabled" : "disabled");
}

/* Still ours and in use, as it was before something which was refused. */
static void check_ours(const char *who)
{
    char name[48];

    check_owner(who, "d0");
    check_memory(who, true);

    /* With raw access this would move the BAR. */
    xpt_pci_write32(NVME, PCI_BAR0, XPT_WINDOW);
    snprintf(name, sizeof(name), "%s-bar", who);
    xpt_check(name, "stays", "%s",
              xpt_pci_read32(NVME, PCI_BAR0) == saved[PCI_BAR0 / 4]
              ? "stays" : "moves");
    xpt_pci_restore(NVME, saved);

    check_interrupts(who);
}

static void test_refused(long guest)
{
    long domid = xpt_domain_create(XPT_EMU_LAPIC, XPT_CDF_HVM_HAP);

    if ( domid < 0 )
        return xtf_error("Error: no domain: %ld\n", domid);

    use();
    xpt_check_rc("refused-absent-domain", -3,
                 xpt_assign(XPT_DOMID_ABSENT, NVME));
    xpt_check_rc("refused-absent-device", -19, xpt_assign(guest, ABSENT));
    xpt_check_rc("refused-ourselves", -22, xpt_assign(0, NVME));
    xpt_check_rc("refused-no-iommu", -95, xpt_assign(domid, NVME));
    xpt_check_rc("refused-deassign", -19, xpt_deassign(guest, NVME));
    check_ours("refused");

    xpt_domain_destroy(domid);
}

/* The guest's first device: it has no page tables for it yet. */
static void test_no_memory(long guest)
{
    long hog = xpt_domain_create_guest();

    if ( hog < 0 )
        return;

    use();
    xpt_domain_take_pages(hog);
    xpt_domain_take_rest(hog);
    xpt_check_rc("no-memory-assign", -12, xpt_assign(guest, NVME));
    xpt_domain_destroy(hog);

    check_ours("no-memory");
}

/*
 * The function mask goes with the vectors.  Xen refuses a device which still
 * has it.
 */
static void test_function_mask(void)
{
    long rc;

    use();
    xpt_msix_control(NVME, MSIX_CTRL_MASKALL, 0);
    rc = xpt_assign(XPT_DOMID_IO, NVME);
    xpt_check_rc("function-mask-assign", 0, rc);
    if ( rc )
        xpt_msix_control(NVME, 0, MSIX_CTRL_MASKALL);
    else
        xpt_check_rc("function-mask-back", 0,
                     xpt_deassign(XPT_DOMID_IO, NVME));
    check_ours("function-mask");
}

static long to_guest(long guest)
{
    return xpt_assign(XPT_DOMID_IO, NVME) ?: xpt_assign(XPT_DOMID_IO, EDU) ?:
           xpt_assign(guest, NVME) ?: xpt_assign(guest, EDU);
}

static long from_guest(long guest)
{
    return xpt_deassign(guest, NVME) ?: xpt_deassign(guest, EDU) ?:
           xpt_deassign(XPT_DOMID_IO, NVME) ?: xpt_deassign(XPT_DOMID_IO, EDU);
}

/*
 * Page tables are made, and kept until the guest is gone; and there is what
 * Xen keeps in hand for small objects.  The second turn is without vectors and
 * with decode off.
 */
static bool warm_up(long guest)
{
    use();
    if ( to_guest(guest) || from_guest(guest) )
        return false;

    idle();
    xpt_pci_command(NVME, 0, PCI_COMMAND_MEMORY);
    xpt_pci_command(EDU, 0, PCI_COMMAND_MEMORY);
    if ( xpt_assign(XPT_DOMID_IO, NVME) || xpt_assign(XPT_DOMID_IO, EDU) )
        return false;
    away = xpt_resources_read();

    if ( xpt_deassign(XPT_DOMID_IO, NVME) || xpt_deassign(XPT_DOMID_IO, EDU) )
        return false;
    xpt_pci_command(NVME, PCI_COMMAND_MEMORY, 0);
    xpt_pci_command(EDU, PCI_COMMAND_MEMORY, 0);
    ours = xpt_resources_read();

    return true;
}

/*
 * What the toolstack does to a device that a guest has.  Xen keeps for itself
 * what it has to know of MSI-X: writes other than of the control register.
 */
static void test_config(const char *who, bool guest)
{
    uint32_t low = saved[PCI_BAR0 / 4], msix;
    char name[48];

    xpt_pci_write32(NVME, PCI_BAR0, XPT_WINDOW);
    snprintf(name, sizeof(name), "%s-bar", who);
    xpt_check(name, "moves", "%s",
              xpt_pci_read32(NVME, PCI_BAR0) == (XPT_WINDOW | (low & 0xf))
              ? "moves" : "stays");
    check_rc(who, "elsewhere", ~0u, xpt_read32(XPT_WINDOW + NVME_VS));
    xpt_pci_write32(NVME, PCI_BAR0, low);

    if ( !guest )
        return;

    msix = xpt_pci_read32(NVME, msix_cap);
    xpt_pci_write32(NVME, msix_cap, msix | MSIX_CTRL_ENABLE << 16);
    check(who, "msix-32bit-write", "refused",
          xpt_msix_enabled(NVME) ? "carried out" : "refused");
    xpt_pci_write32(NVME, msix_cap, msix);

    xpt_msix_control(NVME, MSIX_CTRL_MASKALL, 0);
    check(who, "msix-16bit-write", "carried out",
          xpt_pci_read16(NVME, msix_cap + MSIX_CTRL) & MSIX_CTRL_MASKALL
          ? "carried out" : "refused");
    xpt_msix_control(NVME, 0, MSIX_CTRL_MASKALL);
}

/* One step after the other. */
static void test_steps(long guest)
{
    char name[8];

    use();
    xpt_check_rc("quarantine-assign", 0, xpt_assign(XPT_DOMID_IO, NVME));
    xpt_check_rc("quarantine-assign-edu", 0, xpt_assign(XPT_DOMID_IO, EDU));
    check_owner("quarantine", "DomIO");
    check_memory("quarantine", false);
    xpt_resources_check("quarantine-left", &away);
    test_config("quarantine", false);

    xpt_check_rc("guest-assign", 0, xpt_assign(guest, NVME));
    xpt_check_rc("guest-assign-edu", 0, xpt_assign(guest, EDU));
    snprintf(name, sizeof(name), "d%ld", guest);
    check_owner("guest", name);
    check_memory("guest", false);
    test_config("guest", true);
    xpt_check_rc("guest-assign-again", -16, xpt_assign(XPT_DOMID_IO, NVME));

    xpt_check_rc("back-quarantine", 0, xpt_deassign(guest, NVME));
    xpt_check_rc("back-quarantine-edu", 0, xpt_deassign(guest, EDU));
    check_owner("back-quarantine", "DomIO");
    check_memory("back-quarantine", false);

    xpt_check_rc("back", 0, xpt_deassign(XPT_DOMID_IO, NVME));
    xpt_check_rc("back-edu", 0, xpt_deassign(XPT_DOMID_IO, EDU));
    check_owner("back", "d0");
    check_memory("back", true);
    check_fresh("back");
    xpt_resources_check("back-left", &ours);
    check_interrupts("back");
    idle();
}

/* The guest goes away with them. */
static void test_destroyed(void)
{
    long guest = xpt_domain_create_guest();

    if ( guest < 0 )
        return;

    use();
    xpt_check_rc("destroyed-assign", 0, to_guest(guest));
    xpt_check_rc("destroyed", 0, xpt_domain_destroy(guest));
    check_owner("destroyed", "DomIO");
    check_memory("destroyed", false);
    xpt_check_rc("destroyed-back", 0, xpt_deassign(XPT_DOMID_IO, NVME));
    xpt_check_rc("destroyed-back-edu", 0, xpt_deassign(XPT_DOMID_IO, EDU));
    check_fresh("destroyed-back");
    check_memory("destroyed-back", true);
    check_interrupts("destroyed-back");
    idle();
}

/* Unplugged while the guest has it, and back again. */
static void test_removed(long guest)
{
    use();
    xpt_check_rc("removed-assign", 0, to_guest(guest));
    xpt_check_rc("removed-reset", 0, xpt_pci_device_reset(NVME, XPT_RESET_FLR));
    xpt_check_rc("removed", 0, xpt_pci_device_remove(NVME));
    check_owner("removed", "unknown");
    xpt_check_rc("removed-add", 0, xpt_pci_device_add(NVME));
    check_owner("removed-back", "d0");
    xpt_check_rc("removed-edu", 0, xpt_deassign(guest, EDU));
    xpt_check_rc("removed-back-edu", 0, xpt_deassign(XPT_DOMID_IO, EDU));
    check_memory("removed-back", true);
    check_fresh("removed-back");
    check_interrupts("removed-back");
}

static void test_rounds(long guest)
{
    unsigned int done = 0;

    for ( ; done < NR_ROUNDS; ++done )
    {
        use();
        if ( to_guest(guest) || from_guest(guest) ||
             xpt_read32(bar + NVME_VS) != version || xpt_msix_enabled(NVME) )
            break;
    }

    xpt_check("rounds", "100 of 100", "%u of %u", done, NR_ROUNDS);
    xpt_resources_check("rounds-left", &ours);
    check_interrupts("rounds");
}

void test_main(void)
{
    long guest;

    if ( xpt_pci_read32(NVME, PCI_ID) != NVME_ID ||
         xpt_msix_nr_entries(NVME) < NR_ENTRIES ||
         xpt_pci_read32(EDU, PCI_ID) != EDU_ID )
        return xtf_error("Error: no edu and nvme in 5 and 6\n");

    xpt_irq_init(VECTOR);
    xpt_irq_init(EDU_VECTOR);
    xpt_pci_command(NVME, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
    xpt_pci_command(EDU, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
    xpt_pci_save(NVME, saved);
    bar = xpt_bar_read(NVME, PCI_BAR0);
    table = xpt_msix_table(NVME);
    msix_cap = xpt_pci_cap(NVME, PCI_CAP_ID_MSIX);
    edu = xpt_bar_read(EDU, PCI_BAR0);
    version = xpt_read32(bar + NVME_VS);

    guest = xpt_domain_create_guest();
    if ( guest < 0 )
        return;

    check_interrupts("before");
    test_refused(guest);
    test_no_memory(guest);
    test_function_mask();

    if ( !warm_up(guest) )
        return xtf_error("Error: not assigned\n");

    test_steps(guest);
    test_destroyed();
    test_rounds(guest);
    test_removed(guest);

    xpt_domain_destroy(guest);

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
