/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * MSI-X: the table and the PBA are what the PCI specification says, for every
 * order of programming, masking and enabling, and a reset leaves nothing of it
 * behind.
 *
 * Needs `nvme` at 00:06.0, `edu` at 00:07.0 and the devices in `machine`.
 */
#include "../xpt/nvme.h"
#include "../xpt/source.h"

const char test_title[] = "MSI-X of the hardware domain's devices";
const char xpt_test[] = "vpci-msix";

/* Entry n has vector FIRST + n, or SECOND + n after a change. */
#define FIRST           0x60
#define SECOND          0x70
#define LAST            0x7f
#define OTHER           0x91

/* A page aligned place in the PCI hole which firmware leaves alone. */
#define ELSEWHERE       0xc4000000u

/* More than the 392 MSIs which a host of two processors has. */
#define NR_ROUNDS       1000

static struct xpt_source rocker =
    XPT_SOURCE("rocker", XPT_BDF(0, 8), rocker, ROCKER_ID, 4);
static struct xpt_source xhci =
    XPT_SOURCE("xhci", XPT_BDF(0, 10), xhci, XHCI_ID, 16);
/* Which has xpt_nvme_interrupt() instead of operations. */
static struct xpt_source nvme = { .name = "nvme", .bdf = XPT_BDF(0, 6) };
/* Which has no interrupts at all, but memory around its table. */
static struct xpt_source ehci = { .name = "ehci", .bdf = XPT_BDF(0, 12) };
static struct xpt_source edu =
    XPT_SOURCE("edu", XPT_BDF(0, 7), edu, EDU_ID, 1);

/* Of the device under test. */
static struct xpt_source *dev;
static unsigned long table, pba;
static unsigned int entries;

static uint64_t read64(unsigned long addr)
{
    return *(volatile uint64_t *)addr;
}

static void write64(unsigned long addr, uint64_t val)
{
    *(volatile uint64_t *)addr = val;
}

static uint16_t read16(unsigned long addr)
{
    return *(volatile uint16_t *)addr;
}

static void write16(unsigned long addr, uint16_t val)
{
    *(volatile uint16_t *)addr = val;
}

static uint8_t read8(unsigned long addr)
{
    return *(volatile uint8_t *)addr;
}

static void write8(unsigned long addr, uint8_t val)
{
    *(volatile uint8_t *)addr = val;
}

static const char *named(const char *what)
{
    static char name[40];

    snprintf(name, sizeof(name), "%s-%s", dev->name, what);

    return name;
}

static unsigned long entry(unsigned int n)
{
    return table + n * MSIX_ENTRY_SIZE;
}

static void mask(unsigned int n, bool masked)
{
    xpt_write32(entry(n) + MSIX_ENTRY_CTRL,
                masked ? MSIX_ENTRY_CTRL_MASKED : 0);
}

static void enable(bool on)
{
    if ( on )
        xpt_msix_control(dev->bdf, MSIX_CTRL_ENABLE, 0);
    else
        xpt_msix_control(dev->bdf, 0, MSIX_CTRL_ENABLE);
}

static void mask_all(bool on)
{
    if ( on )
        xpt_msix_control(dev->bdf, MSIX_CTRL_MASKALL, 0);
    else
        xpt_msix_control(dev->bdf, 0, MSIX_CTRL_MASKALL);
}

static bool pending(unsigned int n)
{
    return xpt_read32(pba) & (1u << n);
}

static void check_hex(const char *what, uint64_t want_val, uint64_t val)
{
    char want[20];

    snprintf(want, sizeof(want), "%lx", want_val);
    xpt_check(named(what), want, "%lx", val);
}

/* @want: the vector, -1 for none. */
static void check_vector(const char *what, int want, int vector)
{
    char expected[16];

    snprintf(expected, sizeof(expected), want < 0 ? "none" : "vector %x",
             want);
    xpt_check(named(what), expected, vector < 0 ? "none" : "vector %x",
              vector);
}

static void check_take(const char *what, int want)
{
    check_vector(what, want, xpt_irq_take_any(FIRST, LAST, want >= 0));
}

static void check_raise(const char *what, unsigned int n, int want)
{
    check_vector(what, want,
                 xpt_source_raise(dev, n, FIRST, LAST, want >= 0));
}

/*
 * Raise interrupt @n while something holds it back, and accept it after
 * @release.
 */
static void check_held(const char *what, unsigned int n,
                       void (*release)(unsigned int n), int want)
{
    char name[40];
    int held;

    dev->raise(dev, n);
    held = xpt_irq_take_any(FIRST, LAST, false);
    snprintf(name, sizeof(name), "%s-held", what);
    xpt_check(named(name), "none, pending 1",
              held < 0 ? "none, pending %d" : "pending %d, vector %x",
              pending(n), held);

    release(n);
    snprintf(name, sizeof(name), "%s-released", what);
    check_take(name, want);
    snprintf(name, sizeof(name), "%s-pending", what);
    check_hex(name, 0, pending(n));
    dev->lower(dev, n);
}

static void unmask(unsigned int n)
{
    mask(n, false);
}

static void unmask_all(unsigned int n)
{
    (void)n;
    mask_all(false);
}

static void unmask_both(unsigned int n)
{
    mask_all(false);
    check_take("both-masked-entry", -1);
    mask(n, false);
}

/* Control and how many entries are masked and have no message. */
static void check_fresh(const char *what)
{
    unsigned int i, masked = 0, empty = 0;
    char want[64];

    for ( i = 0; i < entries; ++i )
    {
        masked += xpt_msix_masked(table, i);
        empty += !read64(entry(i)) && !xpt_read32(entry(i) + MSIX_ENTRY_DATA);
    }

    snprintf(want, sizeof(want), "control %04x, %u masked, %u empty",
             entries - 1, entries, entries);
    xpt_check(named(what), want, "control %04x, %u masked, %u empty",
              xpt_pci_read16(dev->bdf, xpt_pci_cap(dev->bdf, PCI_CAP_ID_MSIX) +
                                       MSIX_CTRL),
              masked, empty);
}

/* As drivers do: programmed while masked, enabled, unmasked. */
static void set_up(unsigned int n, uint8_t vector)
{
    xpt_msix_program(table, n, vector, true);
    enable(true);
    mask(n, false);
}

static void tear_down(void)
{
    unsigned int i;

    for ( i = 0; i < entries; ++i )
    {
        mask(i, true);
        write64(entry(i), 0);
        xpt_write32(entry(i) + MSIX_ENTRY_DATA, 0);
    }
    xpt_msix_control(dev->bdf, 0, MSIX_CTRL_ENABLE | MSIX_CTRL_MASKALL);
}

static void reset(const char *what)
{
    xpt_check_rc(named(what), 0, xpt_pci_device_reset(dev->bdf, XPT_RESET_FLR));
}

static bool begin(struct xpt_source *src)
{
    dev = src;
    xpt_pci_command(src->bdf, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
    if ( !xpt_pci_cap(src->bdf, PCI_CAP_ID_MSIX) )
    {
        xtf_error("Error: %s has no MSI-X\n", src->name);
        return false;
    }

    table = xpt_msix_table(src->bdf);
    pba = xpt_msix_pba(src->bdf);
    entries = xpt_msix_nr_entries(src->bdf);
    check_fresh("fresh");

    return true;
}

static void test_access(void)
{
    unsigned long e = entry(1);

    xpt_write32(e, XPT_MSI_ADDR);
    xpt_write32(e + 4, 0x12345678);
    xpt_write32(e + MSIX_ENTRY_DATA, 0x9abc);
    check_hex("write-32-address", 0x12345678fee00000, read64(e));
    check_hex("write-32-data", 0x100009abc, read64(e + MSIX_ENTRY_DATA));

    write64(e, 0xfedcba9800000000 | XPT_MSI_ADDR);
    write64(e + MSIX_ENTRY_DATA, 0x4321);
    check_hex("write-64-low", XPT_MSI_ADDR, xpt_read32(e));
    check_hex("write-64-high", 0xfedcba98, xpt_read32(e + 4));
    check_hex("write-64-data", 0x4321, xpt_read32(e + MSIX_ENTRY_DATA));
    check_hex("write-64-mask", 0, xpt_read32(e + MSIX_ENTRY_CTRL));

    /* Of the control only the mask bit is there. */
    xpt_write32(e + MSIX_ENTRY_CTRL, ~0u);
    check_hex("control-reserved", 1, xpt_read32(e + MSIX_ENTRY_CTRL));

    /* Neither of 32 nor of 64 bits: ignored, all ones. */
    write8(e, 0xaa);
    write16(e, 0xaaaa);
    write16(e + MSIX_ENTRY_DATA, 0xaaaa);
    write8(e + MSIX_ENTRY_CTRL, 0);
    check_hex("write-small-address", 0xfedcba98fee00000, read64(e));
    check_hex("write-small-data", 0x100004321, read64(e + MSIX_ENTRY_DATA));
    check_hex("read-8", 0xff, read8(e));
    check_hex("read-16", 0xffff, read16(e + MSIX_ENTRY_DATA));

    /* Not aligned: the same. */
    xpt_write32(e + 2, 0xaaaaaaaa);
    write64(e + 4, 0xaaaaaaaaaaaaaaaa);
    check_hex("write-misaligned-address", 0xfedcba98fee00000, read64(e));
    check_hex("write-misaligned-data", 0x100004321,
              read64(e + MSIX_ENTRY_DATA));
    check_hex("read-32-misaligned", ~0u, xpt_read32(e + 2));
    check_hex("read-64-misaligned", ~0ull, read64(e + 4));

    /* The first and the last entry are where they should be. */
    xpt_write32(entry(0) + MSIX_ENTRY_DATA, 0x11);
    xpt_write32(entry(entries - 1) + MSIX_ENTRY_DATA, 0x22);
    check_hex("first-entry", 0x11, xpt_read32(table + MSIX_ENTRY_DATA));
    check_hex("last-entry", 0x22, xpt_read32(table + entries * MSIX_ENTRY_SIZE -
                                             MSIX_ENTRY_SIZE +
                                             MSIX_ENTRY_DATA));

    reset("programmed-reset");
    check_fresh("programmed-reset-fresh");
}

static void test_pba(void)
{
    check_hex("pba", 0, read64(pba));
    check_hex("pba-read-8", 0xff, read8(pba));
    check_hex("pba-read-16", 0xffff, read16(pba));
    check_hex("pba-read-32-misaligned", ~0u, xpt_read32(pba + 2));

    write64(pba, ~0ull);
    xpt_write32(pba, ~0u);
    check_hex("pba-written", 0, read64(pba));
    check_take("pba-written-arrives", -1);
}

/* Memory of the same page, where the device has some: it is the device's. */
static void test_adjacent_memory(void)
{
    unsigned long near = table + 0x100;

    xpt_write32(near, 0x12345678);
    xpt_write32(near + 4, 0x9abcdef0);
    check_hex("adjacent-32", 0x12345678, xpt_read32(near));
    check_hex("adjacent-64", 0x9abcdef012345678, read64(near));
    check_hex("adjacent-8", 0x56, read8(near + 1));
    check_hex("adjacent-16", 0x1234, read16(near + 2));

    write8(near, 0xaa);
    write16(near + 2, 0xbbbb);
    check_hex("adjacent-written-small", 0xbbbb56aa, xpt_read32(near));
    write64(near, 0x0011223344556677);
    check_hex("adjacent-written-64", 0x0011223344556677, read64(near));

    /* Not aligned, as memory allows. */
    check_hex("adjacent-32-misaligned", 0x33445566, xpt_read32(near + 1));
    xpt_write32(near + 3, 0xcccccccc);
    check_hex("adjacent-written-misaligned", 0x00cccccccc556677, read64(near));

    /* Right behind the table's last entry and the PBA's last word. */
    xpt_write32(entry(entries), 0x51515151);
    check_hex("adjacent-table-end", 0x51515151, xpt_read32(entry(entries)));
    xpt_write32(pba + 8, 0x52525252);
    check_hex("adjacent-pba-end", 0x52525252, xpt_read32(pba + 8));
    check_fresh("adjacent-fresh");

    reset("adjacent-reset");
    check_hex("adjacent-kept", 0x51515151, xpt_read32(entry(entries)));
}

static void test_vectors(void)
{
    unsigned int i, right = 0;
    char want[16];

    for ( i = 0; i < dev->nr; ++i )
        xpt_msix_program(table, i, FIRST + i, false);
    enable(true);
    for ( i = 0; i < dev->nr; ++i )
        right += xpt_source_raise(dev, i, FIRST, LAST, true) ==
                 FIRST + (int)i;

    snprintf(want, sizeof(want), "%u of %u", dev->nr, dev->nr);
    xpt_check(named("vectors"), want, "%u of %u", right, dev->nr);

    enable(false);
    right = 0;
    for ( i = 0; i < dev->nr; ++i )
        right += xpt_source_raise(dev, i, FIRST, LAST, false) < 0;
    xpt_check(named("disabled-silent"), want, "%u of %u", right, dev->nr);

    enable(true);
    right = 0;
    for ( i = 0; i < dev->nr; ++i )
        right += xpt_source_raise(dev, i, FIRST, LAST, true) ==
                 FIRST + (int)i;
    xpt_check(named("enabled-again"), want, "%u of %u", right, dev->nr);

    tear_down();
}

static void test_masks(void)
{
    set_up(0, FIRST);
    set_up(1, FIRST + 1);

    check_raise("other-entry", 0, FIRST);
    mask(1, true);
    check_held("masked", 1, unmask, FIRST + 1);
    check_raise("unmasked-again", 1, FIRST + 1);

    mask(1, true);
    check_raise("other-not-masked", 0, FIRST);
    mask(1, false);

    mask_all(true);
    check_held("all-masked", 0, unmask_all, FIRST);

    /* By both: one of them alone does not let it go. */
    mask(1, true);
    mask_all(true);
    check_held("both-masked", 1, unmask_both, FIRST + 1);

    tear_down();
}

/* An entry's mask bit where the table cannot deliver anything. */
static void test_orders(void)
{
    set_up(1, FIRST + 1);

    /* Unmasked while disabled. */
    mask(1, true);
    enable(false);
    mask(1, false);
    enable(true);
    check_raise("unmasked-disabled", 1, FIRST + 1);

    /* Unmasked after it was disabled and enabled, with nothing changed. */
    mask(1, true);
    enable(false);
    enable(true);
    check_held("unmasked-enabled", 1, unmask, FIRST + 1);

    /* Programmed after it was enabled. */
    set_up(0, FIRST);
    check_raise("programmed-enabled", 0, FIRST);

    /* Enabled and unmasked with the function masked. */
    tear_down();
    xpt_msix_control(dev->bdf, MSIX_CTRL_ENABLE | MSIX_CTRL_MASKALL, 0);
    xpt_msix_program(table, 1, FIRST + 1, false);
    mask_all(false);
    check_raise("programmed-all-masked", 1, FIRST + 1);

    tear_down();
}

static void test_changes(void)
{
    set_up(1, FIRST + 1);
    check_raise("before-change", 1, FIRST + 1);

    mask(1, true);
    xpt_write32(entry(1) + MSIX_ENTRY_DATA, SECOND + 1);
    check_held("data-changed", 1, unmask, SECOND + 1);

    /* To nobody: lost, and not to the old one. */
    mask(1, true);
    xpt_write32(entry(1), XPT_MSI_ADDR | 0x7f000);
    mask(1, false);
    check_raise("address-of-nobody", 1, -1);
    mask(1, true);
    xpt_write32(entry(1), XPT_MSI_ADDR);
    mask(1, false);
    check_raise("address-back", 1, SECOND + 1);

    mask_all(true);
    xpt_write32(entry(1) + MSIX_ENTRY_DATA, FIRST + 1);
    mask_all(false);
    check_raise("all-masked-changed", 1, FIRST + 1);

    enable(false);
    xpt_write32(entry(1) + MSIX_ENTRY_DATA, SECOND + 1);
    enable(true);
    check_raise("disabled-changed", 1, SECOND + 1);

    tear_down();
}

/* The table goes where its BAR goes. */
static void test_move(void)
{
    uint32_t where = xpt_pci_read32(dev->bdf,
                                    xpt_pci_cap(dev->bdf, PCI_CAP_ID_MSIX) +
                                    MSIX_TABLE);
    uint8_t reg = PCI_BAR(where & MSIX_BIR);
    uint64_t home = xpt_bar_read(dev->bdf, reg);
    unsigned long old = table;
    uint32_t nothing;

    xpt_msix_program(table, 1, FIRST + 1, true);
    reset("moved-reset");
    xpt_msix_program(table, 1, FIRST + 1, true);

    /* What an address reads as which is not mapped is Xen's to say. */
    nothing = xpt_read32(ELSEWHERE);

    xpt_pci_command(dev->bdf, 0, PCI_COMMAND_MEMORY);
    xpt_bar_write(dev->bdf, reg, ELSEWHERE);
    xpt_pci_command(dev->bdf, PCI_COMMAND_MEMORY, 0);

    check_hex("moved-old-table", nothing, xpt_read32(old + MSIX_ENTRY_SIZE));
    table = xpt_msix_table(dev->bdf);
    pba = xpt_msix_pba(dev->bdf);
    dev->bar = xpt_bar_read(dev->bdf, PCI_BAR0);
    check_hex("moved-table", ELSEWHERE + (where & ~MSIX_BIR), table);
    check_hex("moved-entry", 0x100000061, read64(entry(1) + MSIX_ENTRY_DATA));

    set_up(1, FIRST + 1);
    check_raise("moved-arrives", 1, FIRST + 1);
    mask(1, true);
    check_held("moved-masked", 1, unmask, FIRST + 1);
    tear_down();

    xpt_pci_command(dev->bdf, 0, PCI_COMMAND_MEMORY);
    xpt_bar_write(dev->bdf, reg, home);
    xpt_pci_command(dev->bdf, PCI_COMMAND_MEMORY, 0);
    table = xpt_msix_table(dev->bdf);
    pba = xpt_msix_pba(dev->bdf);
    dev->bar = xpt_bar_read(dev->bdf, PCI_BAR0);

    set_up(1, FIRST + 1);
    check_raise("moved-back-arrives", 1, FIRST + 1);
    tear_down();
}

/* As it was: afterwards it is a fresh device's. */
static void test_reset(void)
{
    set_up(0, FIRST);
    set_up(1, FIRST + 1);
    reset("enabled-reset");
    check_fresh("enabled-reset-fresh");
    check_raise("enabled-reset-silent", 0, -1);
    set_up(1, SECOND + 1);
    check_raise("enabled-reset-arrives", 1, SECOND + 1);

    mask(1, true);
    reset("masked-reset");
    check_fresh("masked-reset-fresh");
    set_up(1, FIRST + 1);
    check_raise("masked-reset-arrives", 1, FIRST + 1);

    mask_all(true);
    reset("all-masked-reset");
    check_fresh("all-masked-reset-fresh");
    set_up(1, SECOND + 1);
    check_raise("all-masked-reset-arrives", 1, SECOND + 1);
    enable(false);

    reset("disabled-reset");
    check_fresh("disabled-reset-fresh");

    xpt_msix_program(table, 1, FIRST + 1, false);
    reset("half-done-reset");
    check_fresh("half-done-reset-fresh");

    enable(true);
    reset("unprogrammed-reset");
    check_fresh("unprogrammed-reset-fresh");

    /* BARs moved after a reset: the messages go to the new place. */
    set_up(1, FIRST + 1);
    test_move();
}

/* The device's own reset, with the BARs at zero when Xen is told. */
static void test_flr(void)
{
    uint32_t saved[XPT_NR_HEADER];

    dev->bar = xpt_bar_read(dev->bdf, PCI_BAR0);
    set_up(0, FIRST);
    xpt_check(named("interrupt"), "arrived", "%s",
              xpt_nvme_interrupt(dev->bar, FIRST));

    xpt_pci_save(dev->bdf, saved);
    if ( !xpt_pci_flr(dev->bdf) )
        return xtf_error("Error: %s has no FLR\n", dev->name);
    reset("flr-reset");
    xpt_pci_restore(dev->bdf, saved);
    check_hex("flr-bar", saved[PCI_BAR0 / 4],
              xpt_pci_read32(dev->bdf, PCI_BAR0));
    check_hex("flr-version", 0x10400, xpt_read32(dev->bar + NVME_VS));
    check_fresh("flr-fresh");

    set_up(0, SECOND);
    xpt_check(named("flr-interrupt"), "arrived", "%s",
              xpt_nvme_interrupt(dev->bar, SECOND));
    tear_down();
}

/* The first round to go wrong is the last, as what is left behind adds up. */
static void test_rounds(void)
{
    unsigned int i, done = 0;
    bool right;

    do {
        for ( i = 0; i < dev->nr; ++i )
            xpt_msix_program(table, i, FIRST + i, false);
        enable(true);
        right = xpt_msix_enabled(dev->bdf);
    } while ( right && !xpt_pci_device_reset(dev->bdf, XPT_RESET_FLR) &&
              ++done < NR_ROUNDS );

    xpt_check(named("rounds"), "1000 of 1000", "%u of %u", done, NR_ROUNDS);

    /* rocker keeps what it raised with MSI-X disabled until it is enabled. */
    while ( xpt_irq_take_any(FIRST, LAST, false) >= 0 )
        ;
    set_up(1, FIRST + 1);
    check_raise("rounds-arrives", 1, FIRST + 1);

    dev = &edu;
    xpt_msi_program(edu.bdf, OTHER);
    xpt_msi_enable(edu.bdf, true);
    check_vector("rounds-arrives", OTHER,
                 xpt_source_raise(&edu, 0, OTHER, OTHER, true));
}

static void test_common(void)
{
    test_access();
    test_pba();
    test_vectors();
    test_masks();
    test_orders();
    test_changes();
    test_reset();
}

void test_main(void)
{
    unsigned int vector;

    for ( vector = FIRST; vector <= LAST; ++vector )
        xpt_irq_init(vector);
    xpt_irq_init(OTHER);

    if ( !xpt_source_init(&edu) )
        return;

    if ( !xpt_source_init(&rocker) || !begin(&rocker) )
        return;
    test_common();

    if ( !xpt_source_init(&xhci) || !begin(&xhci) )
        return;
    test_common();

    if ( !begin(&ehci) )
        return;
    test_adjacent_memory();

    if ( !begin(&nvme) )
        return;
    test_flr();

    /* Last: it may take what the host has. */
    if ( !begin(&rocker) )
        return;
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
