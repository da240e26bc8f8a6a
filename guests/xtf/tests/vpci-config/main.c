/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Configuration space of the hardware domain's devices, by ports and by memory,
 * in every size: small accesses agree with those of 32 bits, misaligned ones
 * are answered with all ones and change nothing, and a write of a part leaves
 * the rest of the register.
 *
 * Needs `edu` at 00:05.0 and 00:07.0, `nvme` at 00:06.0, `e1000e` at 00:08.0 and
 * `pcie-root-port` at 00:09.0.
 */
#include "../xpt/msi.h"

const char test_title[] = "PCI configuration space";
const char xpt_test[] = "vpci-config";

#define HOST            XPT_DEVFN(0)
#define EDU             XPT_DEVFN(5)
#define NVME            XPT_DEVFN(6)
#define EDU_MSI         XPT_DEVFN(7)
#define E1000E          XPT_DEVFN(8)
#define PORT            XPT_DEVFN(9)
#define ABSENT          XPT_BDF(0xfe, 6)

#define PCI_CF8         0xcf8
#define PCI_CFC         0xcfc
#define CF8_ENABLE      0x80000000u

#define PCI_COMMAND_SERR        0x0100
#define PCI_COMMAND_INTX_OFF    0x0400
#define PCI_STATUS_RW1C         0xf900
#define PCI_LINE                0x3c

/* Of a bridge. */
#define PCI_PRIMARY_BUS         0x18
#define PCI_SECONDARY_BUS       0x19
#define PCI_SUBORDINATE_BUS     0x1a
#define PCI_MEMORY_BASE         0x20
#define PCI_MEMORY_LIMIT        0x22
#define PCI_PREF_BASE_UPPER     0x28
#define PCI_BRIDGE_CONTROL      0x3e

#define CONFIG_SIZE     0x100
#define ECAM_SIZE       0x1000

/* Where a misaligned write would do the most, and nothing is reserved. */
#define SCRATCH         PCI_LINE

static const struct device {
    const char *name;
    uint16_t bdf;
    uint32_t id;                /* 0: whichever. */
} devices[] = {
    { "host", HOST, 0 },
    { "edu", EDU, EDU_ID },
    { "nvme", NVME, NVME_ID },
    { "e1000e", E1000E, E1000E_ID },
    { "port", PORT, ROOT_PORT_ID },
};

static char name[48];

#define CASE(fmt, ...) (snprintf(name, sizeof(name), fmt, ## __VA_ARGS__), name)

static uint64_t read_mem(unsigned long addr, unsigned int size)
{
    switch ( size )
    {
    case 1:
        return *(volatile uint8_t *)addr;

    case 2:
        return *(volatile uint16_t *)addr;

    case 4:
        return *(volatile uint32_t *)addr;

    default:
        return *(volatile uint64_t *)addr;
    }
}

static void write_mem(unsigned long addr, unsigned int size, uint64_t val)
{
    switch ( size )
    {
    case 1:
        *(volatile uint8_t *)addr = val;
        break;

    case 2:
        *(volatile uint16_t *)addr = val;
        break;

    case 4:
        *(volatile uint32_t *)addr = val;
        break;

    default:
        *(volatile uint64_t *)addr = val;
        break;
    }
}

/* At any port of the four, whatever the size. */
static void select(uint16_t bdf, unsigned int reg)
{
    outl(CF8_ENABLE | (bdf << 8) | (reg & 0xfc), PCI_CF8);
}

static uint64_t read_port(unsigned long reg, unsigned int size)
{
    uint16_t port = PCI_CFC + (reg & 3);

    switch ( size )
    {
    case 1:
        return inb(port);

    case 2:
        return inw(port);

    default:
        return inl(port);
    }
}

static void write_port(unsigned long reg, unsigned int size, uint32_t val)
{
    uint16_t port = PCI_CFC + (reg & 3);

    switch ( size )
    {
    case 1:
        outb(val, port);
        break;

    case 2:
        outw(val, port);
        break;

    default:
        outl(val, port);
        break;
    }
}

static uint64_t ones(unsigned int size)
{
    return ~0ull >> (64 - 8 * size);
}

/* How many accesses differ, and where the first of them is. */
struct tally {
    unsigned int nr, nr_differ, first;
};

static void count(struct tally *t, unsigned int reg, uint64_t want,
                  uint64_t val)
{
    ++t->nr;
    if ( val == want )
        return;

    if ( !t->nr_differ++ )
        t->first = reg;
}

static void check_tally(const char *which, const struct tally *t,
                        unsigned int want_nr)
{
    char want[32];

    snprintf(want, sizeof(want), "%u as expected", want_nr);
    if ( t->nr_differ )
        xpt_check(which, want, "%u of %u differ, first at %x", t->nr_differ,
                  t->nr, t->first);
    else
        xpt_check(which, want, "%u as expected", t->nr);
}

/* By ports: every offset, in the three sizes there are. */
static void test_ports(const struct device *dev)
{
    struct tally aligned = {}, misaligned = {};
    unsigned int reg, size;

    for ( reg = 0; reg < CONFIG_SIZE; ++reg )
    {
        uint32_t dword = xpt_pci_read32(dev->bdf, reg & ~3u);

        for ( size = 1; size <= 4; size *= 2 )
        {
            select(dev->bdf, reg);
            /* The last port of the four has room for one byte only. */
            if ( reg & (size - 1) )
                count(&misaligned, reg, ones(size), read_port(reg, size));
            else
                count(&aligned, reg, (dword >> (8 * (reg & 3))) & ones(size),
                      read_port(reg, size));
        }
    }

    check_tally(CASE("%s-ports", dev->name), &aligned, 256 + 128 + 64);
    check_tally(CASE("%s-ports-misaligned", dev->name), &misaligned,
                128 + 192);
}

/* By memory: the 4 KiB, in four sizes, and the first 256 bytes as by ports. */
static void test_ecam(const struct device *dev)
{
    unsigned long base = xpt_pci_ecam(dev->bdf);
    struct tally same = {}, aligned = {}, misaligned = {};
    unsigned int reg, size;

    for ( reg = 0; reg < CONFIG_SIZE; reg += 4 )
        count(&same, reg, xpt_pci_read32(dev->bdf, reg), read_mem(base + reg, 4));

    for ( reg = 0; reg < ECAM_SIZE; ++reg )
    {
        unsigned long addr = base + reg;
        uint32_t dword = read_mem(addr & ~3ul, 4);

        for ( size = 1; size <= 4; size *= 2 )
            if ( !(reg & (size - 1)) )
                count(&aligned, reg, (dword >> (8 * (reg & 3))) & ones(size),
                      read_mem(addr, size));

        if ( !(reg & 7) )
            count(&aligned, reg,
                  dword | (uint64_t)read_mem(addr + 4, 4) << 32,
                  read_mem(addr, 8));

        /* Not across the end: that is another function's. */
        for ( size = 2; size <= 8; size *= 2 )
            if ( (reg & (size - 1)) && reg + size <= ECAM_SIZE )
                count(&misaligned, reg, ones(size), read_mem(addr, size));
    }

    check_tally(CASE("%s-memory-as-ports", dev->name), &same, 64);
    check_tally(CASE("%s-memory", dev->name), &aligned,
                4096 + 2048 + 1024 + 512);
    check_tally(CASE("%s-memory-misaligned", dev->name), &misaligned,
                2047 + 3069 + 3577);
}

static void check_hex(const char *which, uint64_t want_val, uint64_t val)
{
    char want[20];

    snprintf(want, sizeof(want), "%lx", want_val);
    xpt_check(which, want, "%lx", val);
}

static void test_absent(void)
{
    unsigned long base = xpt_pci_ecam(ABSENT);
    struct tally ports = {}, memory = {};
    unsigned int reg, size;

    for ( reg = 0; reg < CONFIG_SIZE; reg += 8 )
    {
        for ( size = 1; size <= 4; size *= 2 )
        {
            select(ABSENT, reg);
            write_port(reg, size, 0);
            count(&ports, reg, ones(size), read_port(reg, size));
        }
        for ( size = 1; size <= 8; size *= 2 )
        {
            write_mem(base + reg, size, 0);
            count(&memory, reg, ones(size), read_mem(base + reg, size));
        }
    }

    check_tally("absent-ports", &ports, 32 * 3);
    check_tally("absent-memory", &memory, 32 * 4);

    /* The address register alone: as written, and where it is turned off. */
    outl(CF8_ENABLE | (EDU << 8), PCI_CF8);
    check_hex("address", CF8_ENABLE | (EDU << 8), inl(PCI_CF8));
    outl(EDU << 8, PCI_CF8);
    check_hex("address-off", EDU << 8, inl(PCI_CF8));
    check_hex("address-off-data", ~0u, inl(PCI_CFC));
}

/* What a device says of itself stays, in whichever size it is written. */
static void test_read_only(const struct device *dev)
{
    static const uint8_t regs[] = {
        PCI_ID, PCI_CLASS, PCI_CAPS, 0x3d /* PCI_INTERRUPT_PIN */,
    };
    unsigned long base = xpt_pci_ecam(dev->bdf);
    struct tally ports = {}, memory = {};
    unsigned int i, size;

    for ( i = 0; i < ARRAY_SIZE(regs); ++i )
        for ( size = 1; size <= 4 && !(regs[i] & (size - 1)); size *= 2 )
        {
            uint32_t before = xpt_pci_read32(dev->bdf, regs[i] & ~3u);

            select(dev->bdf, regs[i]);
            write_port(regs[i], size, ~before >> (8 * (regs[i] & 3)));
            count(&ports, regs[i], before,
                  xpt_pci_read32(dev->bdf, regs[i] & ~3u));

            write_mem(base + regs[i], size, ~before >> (8 * (regs[i] & 3)));
            count(&memory, regs[i], before,
                  xpt_pci_read32(dev->bdf, regs[i] & ~3u));
        }

    check_tally(CASE("%s-read-only-ports", dev->name), &ports, 10);
    check_tally(CASE("%s-read-only-memory", dev->name), &memory, 10);
}

/* A misaligned write changes nothing, neither here nor in the next register. */
static void test_misaligned_write(const struct device *dev)
{
    unsigned long base = xpt_pci_ecam(dev->bdf);
    uint32_t before = xpt_pci_read32(dev->bdf, SCRATCH);
    uint32_t next = xpt_pci_read32(dev->bdf, SCRATCH + 4);
    struct tally t = {};
    unsigned int offset, size;

    for ( offset = 1; offset <= 3; ++offset )
        for ( size = 2; size <= 8; size *= 2 )
        {
            if ( !(offset & (size - 1)) )
                continue;

            if ( size <= 4 )
            {
                select(dev->bdf, SCRATCH);
                write_port(SCRATCH + offset, size, ~before);
                count(&t, offset, before, xpt_pci_read32(dev->bdf, SCRATCH));
                count(&t, offset, next, xpt_pci_read32(dev->bdf, SCRATCH + 4));
            }

            write_mem(base + SCRATCH + offset, size, ~(uint64_t)before);
            count(&t, offset, before, xpt_pci_read32(dev->bdf, SCRATCH));
            count(&t, offset, next, xpt_pci_read32(dev->bdf, SCRATCH + 4));
        }

    check_tally(CASE("%s-misaligned-write", dev->name), &t, 5 * 4 + 3 * 2);
}

/* Command and status share a dword. */
static void test_command(const struct device *dev)
{
    const uint16_t bits = PCI_COMMAND_INTX_OFF | PCI_COMMAND_SERR;
    unsigned long base = xpt_pci_ecam(dev->bdf);
    uint16_t saved = xpt_pci_read16(dev->bdf, PCI_COMMAND);
    uint16_t status = xpt_pci_read16(dev->bdf, PCI_STATUS);
    uint16_t on = saved | bits | PCI_COMMAND_MEMORY;

    xpt_pci_write16(dev->bdf, PCI_COMMAND, on);
    check_hex(CASE("%s-command", dev->name), on,
              xpt_pci_read16(dev->bdf, PCI_COMMAND));

    /* The low byte has memory decode, the high byte SERR. */
    xpt_pci_write8(dev->bdf, PCI_COMMAND, on & ~PCI_COMMAND_MEMORY);
    check_hex(CASE("%s-command-low", dev->name), on & ~PCI_COMMAND_MEMORY,
              xpt_pci_read16(dev->bdf, PCI_COMMAND));
    write_mem(base + PCI_COMMAND, 1, on);
    check_hex(CASE("%s-command-low-memory", dev->name), on,
              xpt_pci_read16(dev->bdf, PCI_COMMAND));
    xpt_pci_write8(dev->bdf, PCI_COMMAND + 1, (on & ~PCI_COMMAND_SERR) >> 8);
    check_hex(CASE("%s-command-high", dev->name), on & ~PCI_COMMAND_SERR,
              xpt_pci_read16(dev->bdf, PCI_COMMAND));

    /* All of both: status has only bits to clear, and none of them is set. */
    xpt_pci_write32(dev->bdf, PCI_COMMAND, 0xffff0000u | on);
    check_hex(CASE("%s-command-status", dev->name), (status << 16) | on,
              xpt_pci_read32(dev->bdf, PCI_COMMAND));
    write_mem(base + PCI_ID, 8, (uint64_t)saved << 32);
    check_hex(CASE("%s-command-eight-bytes", dev->name),
              (status << 16) | saved,
              xpt_pci_read32(dev->bdf, PCI_COMMAND));

    xpt_pci_write8(dev->bdf, PCI_STATUS, 0xff);
    xpt_pci_write8(dev->bdf, PCI_STATUS + 1, 0xff);
    xpt_pci_write16(dev->bdf, PCI_STATUS, PCI_STATUS_RW1C);
    check_hex(CASE("%s-status", dev->name), status,
              xpt_pci_read16(dev->bdf, PCI_STATUS));
}

/* Bytes and words of a BAR, from the end, with decode off. */
static void test_bar(const struct device *dev, uint32_t mask)
{
    unsigned long base = xpt_pci_ecam(dev->bdf);
    uint32_t low = xpt_pci_read32(dev->bdf, PCI_BAR0);
    uint32_t high = xpt_pci_read32(dev->bdf, PCI_BAR(1));
    bool mem64 = (low & (PCI_BAR_IO | PCI_BAR_TYPE)) == PCI_BAR_MEM64;
    uint32_t flags = low & 0xf;
    uint16_t command = xpt_pci_command(dev->bdf, 0, PCI_COMMAND_MEMORY);

    xpt_pci_write32(dev->bdf, PCI_BAR0, 0xd0000000u);
    xpt_pci_write8(dev->bdf, PCI_BAR0 + 3, 0xd1);
    check_hex(CASE("%s-bar-byte-3", dev->name), 0xd1000000u | flags,
              xpt_pci_read32(dev->bdf, PCI_BAR0));
    write_mem(base + PCI_BAR0 + 2, 1, 0xff);
    check_hex(CASE("%s-bar-byte-2", dev->name),
              ((0xd1ff0000u & mask) | flags),
              xpt_pci_read32(dev->bdf, PCI_BAR0));
    xpt_pci_write8(dev->bdf, PCI_BAR0 + 1, 0xff);
    check_hex(CASE("%s-bar-byte-1", dev->name),
              ((0xd1ffff00u & mask) | flags),
              xpt_pci_read32(dev->bdf, PCI_BAR0));
    xpt_pci_write8(dev->bdf, PCI_BAR0, 0xff);
    check_hex(CASE("%s-bar-byte-0", dev->name),
              ((0xd1ffff00u & mask) | flags),
              xpt_pci_read32(dev->bdf, PCI_BAR0));
    xpt_pci_write16(dev->bdf, PCI_BAR0 + 2, 0xd020);
    check_hex(CASE("%s-bar-word-1", dev->name),
              ((0xd020ff00u & mask) | flags),
              xpt_pci_read32(dev->bdf, PCI_BAR0));
    write_mem(base + PCI_BAR0, 2, 0);
    check_hex(CASE("%s-bar-word-0", dev->name),
              ((0xd0200000u & mask) | flags),
              xpt_pci_read32(dev->bdf, PCI_BAR0));

    if ( mem64 )
    {
        xpt_pci_write8(dev->bdf, PCI_BAR(1), 0x12);
        check_hex(CASE("%s-bar-byte-4", dev->name), 0x12d0200000ull & ~0xful,
                  xpt_bar_read(dev->bdf, PCI_BAR0));
        write_mem(base + PCI_BAR0, 8, 0x34d0400000ull);
        check_hex(CASE("%s-bar-eight-bytes", dev->name), 0x34d0400000ull,
                  xpt_bar_read(dev->bdf, PCI_BAR0));
        xpt_pci_write32(dev->bdf, PCI_BAR(1), high);
    }

    /* Vendor and device are before it: eight bytes across must not pass. */
    xpt_pci_write32(dev->bdf, PCI_BAR0, low);
    write_mem(base + PCI_BAR0 - 4, 8, 0);
    check_hex(CASE("%s-bar-misaligned", dev->name), low,
              xpt_pci_read32(dev->bdf, PCI_BAR0));

    xpt_pci_write16(dev->bdf, PCI_COMMAND, command);
    check_hex(CASE("%s-bar-restored", dev->name), low,
              xpt_pci_read32(dev->bdf, PCI_BAR0));
}

/* MSI is off meanwhile: its registers are the device's, kept by Xen. */
static void test_msi(const struct device *dev)
{
    uint8_t cap = xpt_pci_cap(dev->bdf, PCI_CAP_ID_MSI);
    uint16_t ctrl = xpt_pci_read16(dev->bdf, cap + MSI_CTRL);
    uint8_t data = cap + MSI_DATA(true);
    uint32_t head = xpt_pci_read32(dev->bdf, cap);
    unsigned long base = xpt_pci_ecam(dev->bdf) + cap;

    if ( !(ctrl & MSI_CTRL_64BIT) || (ctrl & MSI_CTRL_ENABLE) )
        return xtf_error("Error: %s: MSI is not as expected\n", dev->name);

    xpt_pci_write32(dev->bdf, cap + MSI_ADDR, 0xfee00000u);
    xpt_pci_write32(dev->bdf, cap + MSI_ADDR + 4, 0);
    xpt_pci_write8(dev->bdf, cap + MSI_ADDR + 1, 0x10);
    check_hex(CASE("%s-msi-address-byte", dev->name), 0xfee01000u,
              xpt_pci_read32(dev->bdf, cap + MSI_ADDR));
    write_mem(base + MSI_ADDR, 2, 0x2004);
    check_hex(CASE("%s-msi-address-word", dev->name), 0xfee02004u,
              xpt_pci_read32(dev->bdf, cap + MSI_ADDR));
    xpt_pci_write8(dev->bdf, cap + MSI_ADDR + 7, 0x80);
    check_hex(CASE("%s-msi-address-high-byte", dev->name), 0x80000000u,
              xpt_pci_read32(dev->bdf, cap + MSI_ADDR + 4));
    xpt_pci_write32(dev->bdf, cap + MSI_ADDR + 4, 0);

    xpt_pci_write16(dev->bdf, data, 0x4161);
    check_hex(CASE("%s-msi-data", dev->name), 0x4161,
              xpt_pci_read16(dev->bdf, data));
    xpt_pci_write8(dev->bdf, data, 0x62);
    check_hex(CASE("%s-msi-data-low", dev->name), 0x4162,
              xpt_pci_read16(dev->bdf, data));
    write_mem(xpt_pci_ecam(dev->bdf) + data + 1, 1, 0);
    check_hex(CASE("%s-msi-data-high", dev->name), 0x62,
              xpt_pci_read16(dev->bdf, data));

    /* The capability's own two bytes are not for writing. */
    xpt_pci_write32(dev->bdf, cap, ~head & 0xffff);
    check_hex(CASE("%s-msi-head", dev->name), head,
              xpt_pci_read32(dev->bdf, cap));

    /* Nor are the bits of the control register which describe the device. */
    xpt_pci_write8(dev->bdf, cap + MSI_CTRL + 1, 0xff);
    check_hex(CASE("%s-msi-control-high", dev->name), ctrl,
              xpt_pci_read16(dev->bdf, cap + MSI_CTRL));
    xpt_pci_write8(dev->bdf, cap + MSI_CTRL,
                   (uint8_t)~ctrl & ~(MSI_CTRL_ENABLE | MSI_CTRL_QSIZE));
    check_hex(CASE("%s-msi-control-low", dev->name), ctrl,
              xpt_pci_read16(dev->bdf, cap + MSI_CTRL));
}

static void test_bridge(void)
{
    uint32_t buses = xpt_pci_read32(PORT, PCI_PRIMARY_BUS);
    uint32_t window = xpt_pci_read32(PORT, PCI_MEMORY_BASE);
    uint32_t upper = xpt_pci_read32(PORT, PCI_PREF_BASE_UPPER);
    uint16_t control = xpt_pci_read16(PORT, PCI_BRIDGE_CONTROL);
    unsigned long base = xpt_pci_ecam(PORT);

    check_hex("bridge-header", 1, xpt_pci_read8(PORT, PCI_HEADER_TYPE) & 0x7f);

    /* Buses are no BARs, though a device which is no bridge has some there. */
    xpt_pci_write8(PORT, PCI_SUBORDINATE_BUS, 0x44);
    check_hex("bridge-subordinate", (buses & ~0xff0000u) | 0x440000,
              xpt_pci_read32(PORT, PCI_PRIMARY_BUS));
    write_mem(base + PCI_SECONDARY_BUS, 1, 0x43);
    check_hex("bridge-secondary", (buses & ~0xffff00u) | 0x444300,
              xpt_pci_read32(PORT, PCI_PRIMARY_BUS));
    xpt_pci_write32(PORT, PCI_PRIMARY_BUS, buses);
    check_hex("bridge-buses", buses, xpt_pci_read32(PORT, PCI_PRIMARY_BUS));

    xpt_pci_write16(PORT, PCI_MEMORY_LIMIT, 0xd020);
    check_hex("bridge-limit", (window & 0xffff) | 0xd0200000u,
              xpt_pci_read32(PORT, PCI_MEMORY_BASE));
    write_mem(base + PCI_MEMORY_BASE, 4, window);
    check_hex("bridge-window", window, xpt_pci_read32(PORT, PCI_MEMORY_BASE));

    xpt_pci_write8(PORT, PCI_PREF_BASE_UPPER + 1, 0x5a);
    check_hex("bridge-prefetchable", (upper & ~0xff00u) | 0x5a00,
              xpt_pci_read32(PORT, PCI_PREF_BASE_UPPER));
    xpt_pci_write32(PORT, PCI_PREF_BASE_UPPER, upper);

    xpt_pci_write16(PORT, PCI_BRIDGE_CONTROL, control ^ 0x3);
    check_hex("bridge-control", control ^ 0x3,
              xpt_pci_read16(PORT, PCI_BRIDGE_CONTROL));
    xpt_pci_write16(PORT, PCI_BRIDGE_CONTROL, control);
    check_hex("bridge-control-restored", control,
              xpt_pci_read16(PORT, PCI_BRIDGE_CONTROL));
}

void test_main(void)
{
    unsigned int i;

    for ( i = 0; i < ARRAY_SIZE(devices); ++i )
        if ( devices[i].id &&
             xpt_pci_read32(devices[i].bdf, PCI_ID) != devices[i].id )
            return xtf_error("Error: no %s at 00:%02x.0\n", devices[i].name,
                             devices[i].bdf >> 3);

    if ( !xpt_pci_ecam(HOST) )
        return xtf_error("Error: configuration space is not in memory\n");

    for ( i = 0; i < ARRAY_SIZE(devices); ++i )
    {
        test_ports(&devices[i]);
        test_ecam(&devices[i]);
        test_read_only(&devices[i]);
        test_misaligned_write(&devices[i]);
    }
    test_absent();

    /* All but the host bridge, whose header is no one's to change. */
    for ( i = 1; i < ARRAY_SIZE(devices); ++i )
        test_command(&devices[i]);

    test_bar(&devices[1], 0xfff00000u);
    test_bar(&devices[2], 0xffffc000u);
    test_bar(&devices[3], 0xfffe0000u);
    test_bar(&devices[4], 0xfffff000u);

    test_msi(&devices[1]);
    test_msi(&devices[3]);

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
