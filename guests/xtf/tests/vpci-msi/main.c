/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * MSI: what a driver of the hardware domain writes into the capability takes
 * effect, and a reset leaves nothing of it behind.
 *
 * Needs `edu` at 00:07.0 and the devices in `machine`.
 */
#include "../xpt/source.h"

const char test_title[] = "MSI of the hardware domain's devices";
const char xpt_test[] = "vpci-msi";

/* A block of sixteen, as a device with that many messages needs it. */
#define FIRST           0x80
#define LAST            0x8f
#define OTHER           0x91

#define ADDR            XPT_MSI_ADDR
/* To a local APIC which the machine does not have. */
#define ADDR_NOBODY     (XPT_MSI_ADDR | 0x7f000)

/* More than the 392 MSIs which a host of two processors has. */
#define NR_ROUNDS       1000

static struct xpt_source edu =
    XPT_SOURCE("edu", XPT_BDF(0, 7), edu, EDU_ID, 1);
static struct xpt_source ioh3420 =
    XPT_SOURCE("ioh3420", XPT_BDF(0, 9), ioh3420, IOH3420_ID, 1);
static struct xpt_source xhci =
    XPT_SOURCE("xhci", XPT_BDF(0, 10), xhci, XHCI_ID, 16);

/* Of the device under test. */
static struct xpt_source *dev;
static uint8_t cap;
static bool is_64bit;
static uint16_t fresh_ctrl;

static const char *named(const char *what)
{
    static char name[40];

    snprintf(name, sizeof(name), "%s-%s", dev->name, what);

    return name;
}

static uint16_t ctrl_read(void)
{
    return xpt_pci_read16(dev->bdf, cap + MSI_CTRL);
}

static void ctrl_write(uint16_t val)
{
    xpt_pci_write16(dev->bdf, cap + MSI_CTRL, val);
}

static void addr_write(uint32_t val)
{
    xpt_pci_write32(dev->bdf, cap + MSI_ADDR, val);
}

static uint16_t data_read(void)
{
    return xpt_pci_read16(dev->bdf, cap + MSI_DATA(is_64bit));
}

static void data_write(uint16_t val)
{
    xpt_pci_write16(dev->bdf, cap + MSI_DATA(is_64bit), val);
}

static uint32_t mask_read(void)
{
    return xpt_pci_read32(dev->bdf, cap + MSI_MASK(is_64bit));
}

static void mask_write(uint32_t val)
{
    xpt_pci_write32(dev->bdf, cap + MSI_MASK(is_64bit), val);
}

static uint32_t pending_read(void)
{
    return xpt_pci_read32(dev->bdf, cap + MSI_PENDING(is_64bit));
}

/* The numbers which QSIZE and QMASK stand for. */
static unsigned int ctrl_messages(uint16_t ctrl)
{
    return 1u << ((ctrl & MSI_CTRL_QSIZE) >> 4);
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

static void check_raise_nr(const char *what, unsigned int nr, int want)
{
    check_vector(what, want,
                 xpt_source_raise(dev, nr, FIRST, LAST, want >= 0));
}

static void check_raise(const char *what, int want)
{
    check_raise_nr(what, 0, want);
}

static void check_regs(const char *what, uint16_t want_ctrl,
                       uint64_t want_addr, uint16_t want_data)
{
    uint64_t addr = xpt_pci_read32(dev->bdf, cap + MSI_ADDR);
    char want[64];

    if ( is_64bit )
        addr |= (uint64_t)xpt_pci_read32(dev->bdf, cap + MSI_ADDR + 4) << 32;

    snprintf(want, sizeof(want), "control %04x address %lx data %04x",
             want_ctrl, want_addr, want_data);
    xpt_check(named(what), want, "control %04x address %lx data %04x",
              ctrl_read(), addr, data_read());
}

static void check_fresh(const char *what)
{
    check_regs(what, fresh_ctrl, 0, 0);
}

/* Answers whether the device is as it should be at first. */
static bool begin(struct xpt_source *src, uint16_t ctrl)
{
    dev = src;
    fresh_ctrl = ctrl;
    is_64bit = ctrl & MSI_CTRL_64BIT;

    if ( !xpt_source_init(src) )
        return false;

    cap = xpt_pci_cap(src->bdf, PCI_CAP_ID_MSI);
    if ( !cap )
    {
        xtf_error("Error: %s has no MSI\n", src->name);
        return false;
    }

    check_fresh("fresh");

    return true;
}

/* Programmed and enabled in the order in which drivers do. */
static void set_up(uint8_t vector)
{
    xpt_msi_program(dev->bdf, vector);
    xpt_msi_enable(dev->bdf, true);
}

static void reset(const char *what)
{
    xpt_check_rc(named(what), 0, xpt_pci_device_reset(dev->bdf, XPT_RESET_FLR));
}

/* The order in which drivers do it, and changes while it is enabled. */
static void test_enable(void)
{
    set_up(FIRST);
    check_regs("enabled", fresh_ctrl | MSI_CTRL_ENABLE, ADDR, FIRST);
    check_raise("arrives", FIRST);
    check_raise("arrives-again", FIRST);

    data_write(FIRST + 3);
    check_raise("data-changed", FIRST + 3);
    addr_write(ADDR_NOBODY);
    check_raise("address-of-nobody", -1);
    addr_write(ADDR);
    check_raise("address-back", FIRST + 3);

    xpt_msi_enable(dev->bdf, false);
    check_regs("disabled", fresh_ctrl, ADDR, FIRST + 3);
    check_raise("disabled-arrives", -1);
    xpt_msi_enable(dev->bdf, true);
    check_raise("enabled-again", FIRST + 3);

    xpt_msi_enable(dev->bdf, false);
    data_write(FIRST + 5);
    xpt_msi_enable(dev->bdf, true);
    check_raise("changed-while-disabled", FIRST + 5);

    xpt_msi_enable(dev->bdf, false);
}

/* Enabled with nothing programmed, as no driver should. */
static void test_late(void)
{
    data_write(0);
    addr_write(0);
    xpt_msi_enable(dev->bdf, true);
    check_raise("unprogrammed-arrives", -1);
    xpt_msi_program(dev->bdf, FIRST + 6);
    check_raise("programmed-late", FIRST + 6);

    xpt_msi_enable(dev->bdf, false);
}

/* In bytes and halves, while it is enabled. */
static void test_partial(void)
{
    set_up(FIRST);

    xpt_pci_write8(dev->bdf, cap + MSI_DATA(is_64bit), FIRST + 7);
    check_regs("data-byte", fresh_ctrl | MSI_CTRL_ENABLE, ADDR, FIRST + 7);
    check_raise("data-byte-arrives", FIRST + 7);

    /* Of the destination, which is in bits 12 to 19, the upper half. */
    xpt_pci_write8(dev->bdf, cap + MSI_ADDR + 2, 0xe7);
    check_regs("address-byte", fresh_ctrl | MSI_CTRL_ENABLE, ADDR | 0x70000,
               FIRST + 7);
    check_raise("address-byte-arrives", -1);

    xpt_pci_write16(dev->bdf, cap + MSI_ADDR + 2, ADDR >> 16);
    check_regs("address-half", fresh_ctrl | MSI_CTRL_ENABLE, ADDR, FIRST + 7);
    check_raise("address-half-arrives", FIRST + 7);

    xpt_pci_write8(dev->bdf, cap + MSI_CTRL, fresh_ctrl & 0xff);
    check_regs("control-byte", fresh_ctrl, ADDR, FIRST + 7);
    check_raise("control-byte-arrives", -1);

    /* Together with the capability's first half, which is read only. */
    xpt_pci_write32(dev->bdf, cap,
                    (uint32_t)(fresh_ctrl | MSI_CTRL_ENABLE) << 16);
    check_regs("control-word", fresh_ctrl | MSI_CTRL_ENABLE, ADDR, FIRST + 7);
    check_raise("control-word-arrives", FIRST + 7);
    xpt_check(named("still-a-capability"), "05", "%02x",
              xpt_pci_read8(dev->bdf, cap));

    xpt_msi_enable(dev->bdf, false);
}

/* A driver may ask for more messages than there are. */
static void test_clamp(void)
{
    uint16_t most = fresh_ctrl & MSI_CTRL_QMASK;
    uint16_t granted = fresh_ctrl | (most << 3);

    xpt_msi_program(dev->bdf, FIRST);

    ctrl_write(fresh_ctrl | (5 << 4));
    check_regs("clamp-disabled", granted, ADDR, FIRST);
    ctrl_write(fresh_ctrl);
    check_regs("clamp-back", fresh_ctrl, ADDR, FIRST);

    ctrl_write(fresh_ctrl | (5 << 4) | MSI_CTRL_ENABLE);
    check_regs("clamp-enabled", granted | MSI_CTRL_ENABLE, ADDR, FIRST);
    check_raise("clamp-arrives", FIRST);

    ctrl_write(fresh_ctrl);
    check_regs("clamp-done", fresh_ctrl, ADDR, FIRST);
}

static void test_messages(void)
{
    uint16_t ctrl;
    unsigned int i, right = 0;

    xpt_msi_program(dev->bdf, FIRST);
    ctrl_write(fresh_ctrl | (4 << 4) | MSI_CTRL_ENABLE);
    ctrl = ctrl_read();
    xpt_check(named("messages"), "16, enabled", "%u, %s", ctrl_messages(ctrl),
              ctrl & MSI_CTRL_ENABLE ? "enabled" : "disabled");

    for ( i = 0; i < dev->nr; ++i )
        right += xpt_source_raise(dev, i, FIRST, LAST, true) ==
                 FIRST + (int)i;
    xpt_check(named("messages-arrive"), "16 of 16", "%u of %u", right,
              dev->nr);

    /* Fewer while it is enabled: the device has to share them out anew. */
    ctrl_write(fresh_ctrl | (1 << 4) | MSI_CTRL_ENABLE);
    ctrl = ctrl_read();
    xpt_check(named("fewer-messages"), "2, enabled", "%u, %s",
              ctrl_messages(ctrl),
              ctrl & MSI_CTRL_ENABLE ? "enabled" : "disabled");
    check_raise_nr("fewer-0", 0, FIRST);
    check_raise_nr("fewer-1", 1, FIRST + 1);
    check_raise_nr("fewer-3", 3, FIRST + 1);

    reset("messages-reset");
    check_fresh("messages-reset-fresh");
    set_up(FIRST + 4);
    check_raise("messages-reset-arrives", FIRST + 4);

    xpt_msi_enable(dev->bdf, false);
}

static void test_masks(void)
{
    set_up(FIRST);

    mask_write(1);
    xpt_check(named("mask"), "00000001", "%08x", mask_read());
    dev->raise(dev, 0);
    check_take("masked-arrives", -1);
    xpt_check(named("masked-pending"), "1", "%x", pending_read() & 1);
    mask_write(0);
    check_take("unmasked-arrives", FIRST);
    xpt_check(named("unmasked-pending"), "0", "%x", pending_read() & 1);
    dev->lower(dev, 0);

    /* The other message's mask bit is not this one's. */
    mask_write(2);
    check_raise("other-masked-arrives", FIRST);

    /* By the byte. */
    xpt_pci_write8(dev->bdf, cap + MSI_MASK(is_64bit), 1);
    check_raise("mask-byte-arrives", -1);
    mask_write(0);
    check_take("mask-byte-unmasked", FIRST);

    /* The mask is there before and after MSI is enabled. */
    xpt_msi_enable(dev->bdf, false);
    mask_write(1);
    xpt_msi_enable(dev->bdf, true);
    dev->raise(dev, 0);
    check_take("masked-before-arrives", -1);
    xpt_check(named("masked-before-pending"), "1", "%x", pending_read() & 1);
    mask_write(0);
    check_take("masked-before-unmasked", FIRST);
    dev->lower(dev, 0);

    /* A new message while masked. */
    mask_write(1);
    data_write(FIRST + 9);
    dev->raise(dev, 0);
    check_take("masked-changed-arrives", -1);
    mask_write(0);
    check_take("masked-changed-unmasked", FIRST + 9);
    dev->lower(dev, 0);

    mask_write(1);
    reset("masked-reset");
    check_fresh("masked-reset-fresh");
    xpt_check(named("masked-reset-mask"), "00000000", "%08x", mask_read());
    set_up(FIRST + 2);
    check_raise("masked-reset-arrives", FIRST + 2);

    xpt_msi_enable(dev->bdf, false);
}

/* As it was, or half done: it is a fresh device afterwards. */
static void test_reset(void)
{
    set_up(FIRST);
    reset("enabled-reset");
    check_fresh("enabled-reset-fresh");
    check_raise("enabled-reset-disabled", -1);
    set_up(FIRST + 1);
    check_raise("enabled-reset-arrives", FIRST + 1);
    reset("enabled-reset-2");
    check_fresh("enabled-reset-2-fresh");

    addr_write(ADDR);
    reset("address-only-reset");
    check_fresh("address-only-reset-fresh");

    data_write(FIRST);
    reset("data-only-reset");
    check_fresh("data-only-reset-fresh");

    ctrl_write(fresh_ctrl | ((fresh_ctrl & MSI_CTRL_QMASK) << 3));
    reset("control-only-reset");
    check_fresh("control-only-reset-fresh");

    xpt_msi_enable(dev->bdf, true);
    reset("unprogrammed-reset");
    check_fresh("unprogrammed-reset-fresh");

    set_up(FIRST + 2);
    check_raise("last-reset-arrives", FIRST + 2);
    xpt_msi_enable(dev->bdf, false);
}

/* The first round to go wrong is the last, as what is left behind adds up. */
static void test_rounds(void)
{
    unsigned int done = 0;

    do {
        set_up(FIRST);
    } while ( xpt_msi_enabled(dev->bdf) &&
              !xpt_pci_device_reset(dev->bdf, XPT_RESET_FLR) &&
              ++done < NR_ROUNDS );

    xpt_check(named("rounds"), "1000 of 1000", "%u of %u", done, NR_ROUNDS);
}

/* For each device what all of them promise. */
static void test_common(void)
{
    test_enable();
    test_late();
    test_partial();
    test_clamp();
    test_reset();
}

void test_main(void)
{
    unsigned int vector;

    for ( vector = FIRST; vector <= LAST; ++vector )
        xpt_irq_init(vector);
    xpt_irq_init(OTHER);

    if ( !begin(&edu, MSI_CTRL_64BIT) )
        return;
    test_common();

    if ( !begin(&ioh3420, MSI_CTRL_MASKBIT | 0x2) )
        return;
    test_common();
    test_masks();

    if ( !begin(&xhci, MSI_CTRL_64BIT | 0x8) )
        return;
    test_common();
    test_messages();

    /* Last: it may take what the host has. */
    dev = &edu;
    cap = xpt_pci_cap(dev->bdf, PCI_CAP_ID_MSI);
    is_64bit = true;
    test_rounds();

    dev = &ioh3420;
    xpt_msi_program(dev->bdf, OTHER);
    xpt_msi_enable(dev->bdf, true);
    check_vector("rounds-arrives", OTHER,
                 xpt_source_raise(dev, 0, OTHER, OTHER, true));

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
