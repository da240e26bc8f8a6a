/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two vCPUs which do at random what a hardware domain can do to its devices:
 * configuration space by ports and by memory, BARs and MSI-X tables, physdev
 * operations with any number and argument, devices which go and come.  Xen has
 * to survive it, and to have at the end what it had before.
 *
 * What a step does depends on its number, its vCPU and the seed alone, so that
 * a failure can be narrowed down by leaving out others.  Xen's command line
 * says which:
 *
 *     xpt-fuzz=seed:<n>,steps:<n>,first:<n>,kinds:<hex>,cpus:<1|2|3>,trace:1
 *
 * steps     of each vCPU
 * first     those before it are left out
 * kinds     bits of enum kind: the others are left out
 * cpus      bits of vCPUs
 * trace     print each step before it is done
 *
 * Needs `edu` at 00:05.0, `nvme` at 00:06.0.
 */
#include "../xpt/domain.h"
#include "../xpt/nvme.h"
#include "../xpt/resources.h"
#include "../xpt/smp.h"
#include "../xpt/sysctl.h"

const char test_title[] = "Random accesses and operations";
const char xpt_test[] = "vpci-fuzz";

#define NVME            XPT_BDF(0, 6)
#define EDU             XPT_BDF(0, 5)
#define VECTOR          0x71
#define NR_ENTRIES      8

#define XPT_HYPERVISOR_xen_version  17
#define XPT_XENVER_commandline      9

#define PCI_CF8         0xcf8
#define PCI_CFC         0xcfc
#define PCI_CAP_ID_PM   0x01
#define PCI_PRIMARY_BUS 0x18
#define PCI_BRIDGE_CONTROL 0x3e
#define  PCI_BRIDGE_RESET 0x0040
#define EXP_SLTCTL      0x18
#define CLASS_HOST      0x0600
#define CLASS_ISA       0x0601
#define CLASS_BRIDGE    0x0604

#define LAPIC_LVTT      0x320
#define LAPIC_TMICT     0x380
#define LAPIC_TDCR      0x3e0
#define TIMER_VECTOR    0xf0

#define VIOAPIC_BASE    0xfec00000ul

/* Where an access cannot reach anything but a device. */
#define MMIO_START      0xc0000000ul
#define MMIO_END        0xfec00000ul

#define DOMID_XEN       0x7ff2
#define XPT_RESERVED    24      /* PHYSDEVOP_pci_mmcfg_reserved */

/* Devices which are not there, and of a segment which is not, are told Xen. */
#define ABSENT_BUS      0x42
#define NR_SEGMENTS     2

#define MAX_DEVS        24

enum kind {
    CFG_READ, CFG_WRITE, COMMAND, BAR_WRITE, MSI, MSIX, TABLE, MEMORY,
    RESET, REMOVE, ADD, FLR, PHYSDEV, GSI, PIN, PIRQ, ASSIGN, BRIDGE, RAISE,
    YIELD,
    NR_KINDS,
};

static const struct {
    const char *name;
    unsigned int weight;
} kinds[NR_KINDS] = {
    [CFG_READ]  = { "cfg-read", 12 },
    [CFG_WRITE] = { "cfg-write", 14 },
    [COMMAND]   = { "command", 10 },
    [BAR_WRITE] = { "bar", 12 },
    [MSI]       = { "msi", 6 },
    [MSIX]      = { "msix", 6 },
    [TABLE]     = { "table", 14 },
    [MEMORY]    = { "memory", 6 },
    [RESET]     = { "reset", 8 },
    [REMOVE]    = { "remove", 2 },
    [ADD]       = { "add", 4 },
    [FLR]       = { "flr", 2 },
    [PHYSDEV]   = { "physdev", 6 },
    [GSI]       = { "gsi", 2 },
    [PIN]       = { "pin", 3 },
    [PIRQ]      = { "pirq", 4 },
    [ASSIGN]    = { "assign", 3 },
    [BRIDGE]    = { "bridge", 1 },
    [RAISE]     = { "raise", 2 },
    [YIELD]     = { "yield", 2 },
};

/* What was asked for. */
static struct {
    unsigned long seed, steps, first, kinds, cpus, trace;
} opt = { .seed = 1, .steps = 2000, .kinds = ~0ul, .cpus = 3 };

static struct dev {
    uint16_t bdf, class;
    uint8_t header, msi, msix, exp;
    unsigned int nr_bars, nr_entries;
    uint32_t saved[64];
    uint64_t size[6];           /* Of memory BARs. */
    uint32_t table, pba;        /* Offset and BAR. */
    bool io[6];
} devs[MAX_DEVS];

static unsigned int nr_devs;
static unsigned long ecam;
static long guest = -1;         /* Whom devices and interrupts are given to. */

/* Told to Xen, but not there. */
static uint8_t added[NR_SEGMENTS][8192];

/* The interrupts that were mapped last. */
static int pirqs[8];

/* Of a step. */
struct step {
    uint64_t state;
    unsigned int cpu;
    unsigned long nr;
    enum kind kind;
};

static volatile unsigned long progress[2];
static unsigned long begin, end; /* Of the steps of a phase. */
static volatile bool leave;
static unsigned int counts[2][NR_KINDS];

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;

    return x ^ (x >> 31);
}

static uint64_t next(struct step *s)
{
    s->state += 0x9e3779b97f4a7c15ull;

    return mix(s->state);
}

/* Less than @n. */
static unsigned int below(struct step *s, unsigned int n)
{
    return (next(s) >> 32) % n;
}

static bool one_in(struct step *s, unsigned int n)
{
    return !below(s, n);
}

static uint32_t edge(struct step *s)
{
    switch ( below(s, 8) )
    {
    case 0:  return 0;
    case 1:  return ~0u;
    case 2:  return 1u << below(s, 32);
    case 3:  return ~(1u << below(s, 32));
    case 4:  return below(s, 4);
    case 5:  return below(s, 256);
    case 6:  return below(s, 0x10000);
    default: return next(s);
    }
}

/*
 * Both vCPUs print, and select registers of which there is one for both.
 */
struct lock {
    bool taken;
};

static struct lock ports, pins;

static void lock(struct lock *l)
{
    while ( __atomic_exchange_n(&l->taken, true, __ATOMIC_ACQUIRE) )
        xpt_relax();
}

static void unlock(struct lock *l)
{
    __atomic_store_n(&l->taken, false, __ATOMIC_RELEASE);
}

static void __printf(2, 3) trace(const struct step *s, const char *fmt, ...)
{
    char buf[160];
    va_list args;
    int len;

    if ( !opt.trace )
        return;

    len = snprintf(buf, sizeof(buf), "[%u %lu] %s ", s->cpu, s->nr,
                   kinds[s->kind].name);
    va_start(args, fmt);
    len += vsnprintf(buf + len, sizeof(buf) - len - 1, fmt, args);
    va_end(args);
    buf[len++] = '\n';

    HYPERCALL3(long, __HYPERVISOR_console_io, 0, len, buf);
}

/*
 * Memory, in sizes of 1, 2, 4 and 8.
 */
static uint64_t mem_read(unsigned long addr, unsigned int size)
{
    switch ( size )
    {
    case 1:  return *(volatile uint8_t *)addr;
    case 2:  return *(volatile uint16_t *)addr;
    case 4:  return *(volatile uint32_t *)addr;
    default: return *(volatile uint64_t *)addr;
    }
}

static void mem_write(unsigned long addr, unsigned int size, uint64_t val)
{
    switch ( size )
    {
    case 1:  *(volatile uint8_t *)addr = val;  break;
    case 2:  *(volatile uint16_t *)addr = val; break;
    case 4:  *(volatile uint32_t *)addr = val; break;
    default: *(volatile uint64_t *)addr = val; break;
    }
}

/* With instructions of which Xen has to do more than one access. */
static void mem_odd(struct step *s, unsigned long addr, bool write)
{
    static uint8_t buf[2][256];
    unsigned long n = 1 + below(s, 16);
    void *at = _p(addr), *own = buf[s->cpu];

    if ( !write )
        asm volatile ( "rep movsl" : "+D" (own), "+S" (at), "+c" (n)
                       :: "memory" );
    else if ( one_in(s, 2) )
    {
        memset(own, 0, sizeof(buf[0]));
        asm volatile ( "rep movsl" : "+D" (at), "+S" (own), "+c" (n)
                       :: "memory" );
    }
    else if ( one_in(s, 2) )
        __atomic_exchange_n((uint32_t *)at, (uint32_t)n, __ATOMIC_SEQ_CST);
    else
        __atomic_or_fetch((uint32_t *)at, 1, __ATOMIC_SEQ_CST);
}

/*
 * Configuration space.
 */
static unsigned long cfg_addr(uint16_t bdf, unsigned int reg)
{
    return ecam + ((unsigned long)bdf << 12) + reg;
}

static uint32_t cfg32(uint16_t bdf, unsigned int reg)
{
    return xpt_read32(cfg_addr(bdf, reg));
}

static uint16_t cfg16(uint16_t bdf, unsigned int reg)
{
    return mem_read(cfg_addr(bdf, reg), 2);
}

/* By ports, at whatever the access is that @reg and @size come to. */
static uint32_t port_access(uint16_t bdf, unsigned int reg, unsigned int size,
                            bool write, uint32_t val)
{
    uint16_t port = PCI_CFC + (reg & 3);

    lock(&ports);
    outl(0x80000000u | (bdf << 8) | (reg & 0xfc), PCI_CF8);
    switch ( size | (write ? 8 : 0) )
    {
    case 1:     val = inb(port); break;
    case 2:     val = inw(port); break;
    case 4:     val = inl(port); break;
    case 8 | 1: outb(val, port); break;
    case 8 | 2: outw(val, port); break;
    default:    outl(val, port); break;
    }
    unlock(&ports);

    return val;
}

static struct dev *find(uint16_t bdf)
{
    unsigned int i;

    for ( i = 0; i < nr_devs; ++i )
        if ( devs[i].bdf == bdf )
            return &devs[i];

    return NULL;
}

static bool overlaps(unsigned int reg, unsigned int size, unsigned int at,
                     unsigned int len)
{
    return reg < at + len && at < reg + size;
}

/*
 * Whether a write may reach the device.  Not what pulls the rug from under the
 * machine itself, as Xen lets the hardware domain do that:
 *  - q35's host bridge and ISA bridge: where configuration space and RAM are,
 *    ACPI's registers, the reset register;
 *  - I/O BARs other than off, or where they were: they win over QEMU's serial
 *    port and ports 0xcf8 and 0xcfc;
 *  - a root port's slot control: turning the power off makes QEMU remove the
 *    device behind it for good.
 */
static bool may_write(const struct dev *dev, unsigned int reg,
                      unsigned int size, uint64_t val)
{
    unsigned int i;

    if ( !dev )
        return true;

    if ( dev->class == CLASS_HOST || dev->class == CLASS_ISA )
        return reg + size <= 0x40;

    for ( i = 0; i < dev->nr_bars; ++i )
        if ( dev->io[i] && overlaps(reg, size, PCI_BAR(i), 4) )
            return reg == PCI_BAR(i) && size == 4 &&
                   (val == ~0u || val == dev->saved[PCI_BAR(i) / 4]);

    if ( dev->class == CLASS_BRIDGE && dev->exp &&
         overlaps(reg, size, dev->exp + EXP_SLTCTL, 4) )
        return false;

    return true;
}

static void cfg_write(struct step *s, uint16_t bdf, unsigned int reg,
                      unsigned int size, uint64_t val)
{
    const struct dev *dev = find(bdf);

    if ( size < 8 )
        val &= (1ull << (8 * size)) - 1;

    if ( !may_write(dev, reg, size, val) )
        return;

    if ( reg < 256 && size < 8 && (reg & 3) + size <= 4 && one_in(s, 2) )
    {
        trace(s, "%04x+%x/%u := %lx by ports", bdf, reg, size,
              (unsigned long)val);
        port_access(bdf, reg, size, true, val);
    }
    else
    {
        trace(s, "%04x+%x/%u := %lx", bdf, reg, size, (unsigned long)val);
        mem_write(cfg_addr(bdf, reg), size, val);
    }
}

static struct dev *any_dev(struct step *s)
{
    /* Those which have MSI or MSI-X more often. */
    struct dev *dev = &devs[below(s, nr_devs)];

    if ( !dev->msi && !dev->msix && one_in(s, 2) )
        dev = &devs[below(s, nr_devs)];

    return dev;
}

static struct dev *dev_with(struct step *s, bool msix)
{
    unsigned int tries = 16;
    struct dev *dev;

    do {
        dev = &devs[below(s, nr_devs)];
    } while ( !(msix ? dev->msix : dev->msi) && --tries );

    return tries ? dev : NULL;
}

static uint16_t any_bdf(struct step *s)
{
    switch ( below(s, 10) )
    {
    case 0:  return next(s);
    case 1:  return (one_in(s, 2) ? ABSENT_BUS << 8 : 0) | below(s, 256);
    default: return any_dev(s)->bdf;
    }
}

/* Those which Xen has something to say about more often. */
static unsigned int any_reg(struct step *s, const struct dev *dev)
{
    unsigned int tries = below(s, 10);

    if ( dev )
        switch ( tries )
        {
        case 0: case 1:
            return PCI_COMMAND;
        case 2: case 3:
            return PCI_BAR(below(s, 6));
        case 4:
            return dev->header & 1 ? 0x38 : PCI_ROM;
        case 5:
            if ( dev->msi )
                return dev->msi + below(s, 24);
            break;
        case 6:
            if ( dev->msix )
                return dev->msix + below(s, 12);
            break;
        case 7:
            return below(s, 64);
        }

    return below(s, tries == 9 ? 4096 : 256);
}

static unsigned int any_size(struct step *s)
{
    return 1 << below(s, 3);
}

/* Where a BAR may be put, wisely or not. */
static uint64_t any_place(struct step *s, const struct dev *dev,
                          unsigned int bar)
{
    const struct dev *other;
    uint64_t addr;

    switch ( below(s, 16) )
    {
    case 0:  return ~0ull;
    case 1:  return 0;
    case 2:  return 0x100000;                   /* RAM */
    case 3:  return 0xfec00000 - below(s, 2) * 0x1000;
    case 4:  return 0xfee00000;
    case 5:  return ecam + (next(s) & 0xfff000);
    case 6:  return 0xfed00000 + (below(s, 256) << 12);
    case 7:  return next(s);
    case 8:  return 0x100000000ull + ((uint64_t)below(s, 64) << 21);
    case 9:  case 10:
        /* Where another is. */
        other = any_dev(s);
        addr = other->saved[PCI_BAR(below(s, other->nr_bars ?: 1)) / 4] & ~0xf;
        return addr + (below(s, 4) << 12);
    case 11: case 12: case 13:
        return 0xd0000000u + (below(s, 64) << 14);
    default:
        return dev->saved[PCI_BAR(bar) / 4] & ~0xf;
    }
}

static void do_cfg_read(struct step *s)
{
    uint16_t bdf = any_bdf(s);
    unsigned int reg = any_reg(s, find(bdf)), size = any_size(s);

    if ( one_in(s, 4) )
        size = 8;
    if ( !one_in(s, 4) )
        reg &= ~(size - 1);

    if ( size < 8 && reg < 256 && one_in(s, 2) )
    {
        trace(s, "%04x+%x/%u by ports", bdf, reg, size);
        port_access(bdf, reg, size, false, 0);
    }
    else
    {
        if ( reg + size > 4096 )
            reg = 4096 - size;
        trace(s, "%04x+%x/%u", bdf, reg, size);
        mem_read(cfg_addr(bdf, reg), size);
    }
}

static void do_cfg_write(struct step *s)
{
    uint16_t bdf = any_bdf(s);
    const struct dev *dev = find(bdf);
    unsigned int reg = any_reg(s, dev), size = any_size(s);
    uint64_t val = edge(s);

    if ( one_in(s, 8) )
    {
        size = 8;
        val |= (uint64_t)edge(s) << 32;
    }
    if ( !one_in(s, 4) )
        reg &= ~(size - 1);
    if ( reg + size > 4096 )
        reg = 4096 - size;
    if ( dev && reg < 256 && one_in(s, 3) )
        val = dev->saved[reg / 4];

    cfg_write(s, bdf, reg, size, val);
}

static void do_command(struct step *s)
{
    const struct dev *dev = any_dev(s);
    uint16_t command = cfg16(dev->bdf, PCI_COMMAND);

    if ( one_in(s, 4) )
        command = edge(s);
    else
        command = (command & ~PCI_COMMAND_MEMORY) |
                  (one_in(s, 3) ? 0 : PCI_COMMAND_MEMORY);

    cfg_write(s, dev->bdf, PCI_COMMAND, 2, command);
}

static void do_bar(struct step *s)
{
    const struct dev *dev = any_dev(s);
    unsigned int bar = below(s, 6);
    uint64_t addr = any_place(s, dev, bar);
    unsigned int how = below(s, 4);
    uint16_t command = cfg16(dev->bdf, PCI_COMMAND);

    /* As software does it, or not. */
    if ( how )
        cfg_write(s, dev->bdf, PCI_COMMAND, 2, command & ~PCI_COMMAND_MEMORY);

    if ( one_in(s, 6) )
        cfg_write(s, dev->bdf, dev->header & 1 ? 0x38 : PCI_ROM, 4,
                  addr | below(s, 2));
    else
    {
        cfg_write(s, dev->bdf, PCI_BAR(bar), 4, addr);
        if ( bar < 5 && (dev->saved[PCI_BAR(bar) / 4] & 7) == PCI_BAR_MEM64 )
            cfg_write(s, dev->bdf, PCI_BAR(bar + 1), 4, addr >> 32);
    }

    if ( how > 1 )
        cfg_write(s, dev->bdf, PCI_COMMAND, 2, command | PCI_COMMAND_MEMORY);
}

static uint32_t any_data(struct step *s)
{
    return one_in(s, 4) ? edge(s) : 0x60 + below(s, 0x80);
}

static uint32_t any_addr(struct step *s)
{
    return one_in(s, 4) ? edge(s) : XPT_MSI_ADDR | (below(s, 2) << 12);
}

static void do_msi(struct step *s)
{
    const struct dev *dev = dev_with(s, false);
    uint16_t ctrl;
    bool is_64bit;

    if ( !dev )
        return;

    ctrl = dev->saved[dev->msi / 4] >> 16;
    is_64bit = ctrl & MSI_CTRL_64BIT;
    switch ( below(s, 4) )
    {
    case 0:
        cfg_write(s, dev->bdf, dev->msi + MSI_ADDR, 4, any_addr(s));
        break;
    case 1:
        cfg_write(s, dev->bdf, dev->msi + MSI_DATA(is_64bit), 2, any_data(s));
        break;
    case 2:
        cfg_write(s, dev->bdf, dev->msi + MSI_MASK(is_64bit), 4, edge(s));
        break;
    default:
        cfg_write(s, dev->bdf, dev->msi + MSI_CTRL, 2,
                  (below(s, 8) << 4) | below(s, 2));
        break;
    }
}

static void do_msix(struct step *s)
{
    const struct dev *dev = dev_with(s, true);

    if ( dev )
        cfg_write(s, dev->bdf, dev->msix + MSIX_CTRL, 2,
                  one_in(s, 4) ? edge(s) : below(s, 4) << 14);
}

/* Where a memory BAR is now, or was: 0 if it cannot be accessed. */
static unsigned long bar_at(struct step *s, const struct dev *dev,
                            unsigned int bar)
{
    bool now = !one_in(s, 8);
    uint32_t low = now ? cfg32(dev->bdf, PCI_BAR(bar))
                       : dev->saved[PCI_BAR(bar) / 4];
    unsigned long addr = low & ~0xf;

    if ( (dev->saved[PCI_BAR(bar) / 4] & 7) == PCI_BAR_MEM64 && now )
        addr |= (unsigned long)cfg32(dev->bdf, PCI_BAR(bar + 1)) << 32;

    return addr >= MMIO_START && addr < MMIO_END &&
           dev->size[bar] <= MMIO_END - addr ? addr : 0;
}

static void do_table(struct step *s)
{
    const struct dev *dev = dev_with(s, true);
    unsigned int size = 1 << below(s, 4), off, len;
    bool pba = one_in(s, 8);
    unsigned long addr;
    uint64_t val;
    uint32_t where;

    if ( !dev )
        return;

    where = pba ? dev->pba : dev->table;
    addr = bar_at(s, dev, where & MSIX_BIR);
    if ( !addr )
        return;
    addr += where & ~MSIX_BIR;

    len = pba ? (dev->nr_entries + 63) / 64 * 8
              : dev->nr_entries * MSIX_ENTRY_SIZE;
    if ( one_in(s, 16) )
        len = 0x1000 - (addr & 0xfff);      /* The rest of the page. */
    off = below(s, len);
    if ( one_in(s, 2) )
        off %= 4 * MSIX_ENTRY_SIZE;
    if ( !one_in(s, 8) )
        off &= ~(size - 1);
    addr += off;

    if ( one_in(s, 4) )
    {
        trace(s, "%04x %lx/%u", dev->bdf, addr, size);
        mem_read(addr, size);
        return;
    }

    if ( one_in(s, 16) )
    {
        bool write = one_in(s, 2);

        addr &= ~3ul;
        trace(s, "%04x %lx odd %u", dev->bdf, addr, write);
        mem_odd(s, addr, write);
        return;
    }

    switch ( off % MSIX_ENTRY_SIZE )
    {
    case MSIX_ENTRY_ADDR: val = any_addr(s); break;
    case MSIX_ENTRY_DATA: val = any_data(s); break;
    case MSIX_ENTRY_CTRL: val = below(s, 2); break;
    default:              val = one_in(s, 2) ? edge(s) : 0; break;
    }
    if ( size == 8 )
        val |= (uint64_t)below(s, 2) << 32;
    trace(s, "%04x %lx/%u := %lx", dev->bdf, addr, size, (unsigned long)val);
    mem_write(addr, size, val);
}

/* What is in a BAR is not written: devices do things then. */
static void do_memory(struct step *s)
{
    const struct dev *dev = any_dev(s);
    unsigned int bar = below(s, 6), size = 1 << below(s, 4);
    unsigned long addr;

    if ( bar >= dev->nr_bars || !dev->size[bar] )
        return;

    addr = bar_at(s, dev, bar);
    if ( !addr )
        return;

    addr += (next(s) & (dev->size[bar] - 1)) & ~(size - 1);
    trace(s, "%04x %lx/%u", dev->bdf, addr, size);
    if ( one_in(s, 16) )
        mem_odd(s, addr & ~0xfful, false);
    else
        mem_read(addr, size);
}

static void do_reset(struct step *s)
{
    const struct dev *dev = any_dev(s);
    unsigned int kind = one_in(s, 8) ? edge(s) : below(s, 4);
    long rc = xpt_pci_device_reset(dev->bdf, kind);

    trace(s, "%04x %x: %ld", dev->bdf, kind, rc);
}

static void do_remove(struct step *s)
{
    uint16_t bdf = any_bdf(s);

    trace(s, "%04x", bdf);
    xpt_pci_device_remove(bdf);
}

struct pci_device_add {
    uint16_t seg;
    uint8_t bus, devfn;
    uint32_t flags;
    uint8_t pf_bus, pf_devfn;
    uint32_t pxm;
};

static void mark_added(unsigned int seg, uint16_t bdf)
{
    if ( seg || !find(bdf) )
        added[seg][bdf / 8] |= 1 << (bdf % 8);
}

static long add(struct step *s, struct pci_device_add *a)
{
    /*
     * A function is a virtual one or is not, whenever it is announced, and none
     * which is there is.  Else Xen's list of a function's virtual functions is a
     * ring without its head, in which pci_remove_device() goes round, or has one
     * that free_pdev() has freed (4.17 and 4.20).
     */
    a->flags &= ~2u;
    if ( !find(a->bus << 8 | a->devfn) && (a->devfn & 8) )
        a->flags |= 2;

    trace(s, "%04x:%02x%02x flags %x pf %02x%02x", a->seg, a->bus, a->devfn,
          a->flags, a->pf_bus, a->pf_devfn);
    mark_added(a->seg, a->bus << 8 | a->devfn);

    return hypercall_physdev_op(XPT_PHYSDEVOP_pci_device_add, a);
}

/*
 * Function 0 only: Xen has a function that ACPI does not know of share the
 * interrupt remapping table of its function 0, and frees it when either goes
 * (4.17 and 4.20, find_iommu_for_device()).  Nor 00:14.0, under which AMD-Vi
 * knows QEMU's IO-APIC: its table would be freed when the device goes.
 */
static uint16_t absent_bdf(struct step *s)
{
    return (one_in(s, 2) ? ABSENT_BUS << 8 : 0x80) | (below(s, 4) << 3);
}

static void do_add(struct step *s)
{
    struct pci_device_add a = {
        .seg = one_in(s, 16) ? 1 : 0,
        .flags = one_in(s, 4) ? below(s, 8) : 0,
        .pxm = edge(s),
    };
    uint16_t bdf = one_in(s, 8) ? absent_bdf(s) : any_dev(s)->bdf;
    uint16_t pf = any_dev(s)->bdf;

    a.bus = bdf >> 8;
    a.devfn = bdf;
    a.pf_bus = pf >> 8;
    a.pf_devfn = pf;
    add(s, &a);
}

static void do_flr(struct step *s)
{
    const struct dev *dev = any_dev(s);

    if ( dev->exp && (dev->saved[(dev->exp + EXP_DEVCAP) / 4] &
                      EXP_DEVCAP_FLR) )
        cfg_write(s, dev->bdf, dev->exp + EXP_DEVCTL, 2, EXP_DEVCTL_FLR);
}

static void do_physdev(struct step *s)
{
    static uint64_t bufs[2][64] __attribute__((__aligned__(4096)));
    uint32_t *words = (uint32_t *)bufs[s->cpu];
    unsigned int cmd = one_in(s, 8) ? edge(s) : below(s, 41), i;
    void *arg = words;
    long rc;

    for ( i = 0; i < 16; ++i )
        words[i] = edge(s);

    if ( cmd == XPT_PHYSDEVOP_pci_device_add )
    {
        struct pci_device_add *a = arg;
        uint16_t bdf = one_in(s, 2) ? absent_bdf(s) : any_dev(s)->bdf;

        a->seg = one_in(s, 8);
        a->bus = bdf >> 8;
        a->devfn = bdf;
        bdf = any_dev(s)->bdf;
        a->pf_bus = bdf >> 8;
        a->pf_devfn = bdf;
        add(s, a);
        return;
    }

    /* Devices and segments that there are. */
    if ( cmd >= 25 && cmd <= 32 && !one_in(s, 4) )
        words[0] = (uint32_t)(uint8_t)any_bdf(s) << 24;

    /* Xen's own use of memory for configuration space stays turned on. */
    if ( cmd == XPT_RESERVED )
    {
        if ( one_in(s, 2) )
        {
            *(uint64_t *)words = ecam;
            words[2] = 0xff000000;
        }
        words[3] |= 1;
    }

    switch ( below(s, 12) )
    {
    case 0: arg = XPT_BAD_PTR; break;
    case 1: arg = _p(1ul << 63); break;
    case 2: arg = _p(~0ul - below(s, 16)); break;
    case 3: arg = _p(ecam + 0x28000); break;
    case 4: arg = _p(0xfee00000ul); break;
    case 5: arg = _p(_u(words) + below(s, 8)); break;
    case 6: arg = _p(0xd0000000ul - 4); break;
    }

    trace(s, "%u %lx: %08x %08x %08x %08x %08x", cmd, _u(arg), words[0],
          words[1], words[2], words[3], words[4]);
    rc = hypercall_physdev_op(cmd, arg);
    trace(s, "= %ld", rc);
}

static void do_gsi(struct step *s)
{
    int gsi = one_in(s, 4) ? (int)edge(s) : (int)below(s, 28);
    unsigned int trigger = below(s, 8) ? below(s, 2) : edge(s);
    unsigned int polarity = below(s, 8) ? below(s, 2) : edge(s);

    trace(s, "%d %u %u", gsi, trigger, polarity);
    xpt_setup_gsi(gsi, trigger, polarity);
}

static uint32_t pin_access(unsigned int reg, bool write, uint32_t val)
{
    lock(&pins);
    xpt_write32(VIOAPIC_BASE, reg);
    if ( write )
        xpt_write32(VIOAPIC_BASE + 0x10, val);
    else
        val = xpt_read32(VIOAPIC_BASE + 0x10);
    unlock(&pins);

    return val;
}

/* Fixed delivery: the others are for the processor, not for Xen. */
static void do_pin(struct step *s)
{
    unsigned int pin = below(s, 26);
    uint32_t low = 0x40 + below(s, 0x80) + (below(s, 2) << 13) +
                   (below(s, 2) << 15) + (below(s, 2) << 16);

    trace(s, "%u := %x", pin, low);
    pin_access(0x10 + 2 * pin, true, low);
    if ( one_in(s, 4) )
        pin_access(0x11 + 2 * pin, true, below(s, 3) << 24);
    if ( one_in(s, 8) )
        pin_access(below(s, 0x50), false, 0);
}

static uint16_t any_domid(struct step *s)
{
    switch ( below(s, 8) )
    {
    case 0:  return DOMID_SELF;
    case 1:  return 0;
    case 2:  return one_in(s, 2) ? XPT_DOMID_IO : DOMID_XEN;
    case 3:  return edge(s);
    default: return guest;
    }
}

static void do_pirq(struct step *s)
{
    unsigned int slot = below(s, ARRAY_SIZE(pirqs));
    const struct dev *dev = any_dev(s);
    struct xpt_map_pirq map = {
        .domid = any_domid(s),
        .type = one_in(s, 8) ? (int)edge(s) : (int)below(s, 5),
        .index = one_in(s, 4) ? (int)edge(s) : (int)below(s, 28),
        .pirq = one_in(s, 2) ? -1 : (int)edge(s),
        .bus = dev->bdf >> 8,
        .devfn = dev->bdf & 0xff,
        .entry_nr = one_in(s, 4) ? (int)edge(s) : (int)below(s, 4),
    };
    long rc;

    if ( one_in(s, 3) )
    {
        int pirq = one_in(s, 3) ? (int)below(s, 256) : pirqs[slot];

        rc = xpt_unmap_pirq(map.domid, pirq);
        trace(s, "unmap %x %d: %ld", map.domid, pirq, rc);
        return;
    }

    if ( dev->msix && one_in(s, 2) )
        map.table_base = dev->saved[PCI_BAR(dev->table & MSIX_BIR) / 4] & ~0xf;
    if ( one_in(s, 8) )
        map.devfn = edge(s);
    trace(s, "map %x type %d index %d pirq %d %x:%x entry %d", map.domid,
          map.type, map.index, map.pirq, map.bus, map.devfn, map.entry_nr);
    rc = hypercall_physdev_op(XPT_PHYSDEVOP_map_pirq, &map);
    if ( !rc )
        pirqs[slot] = map.pirq;
}

static void do_assign(struct step *s)
{
    const struct dev *dev = any_dev(s);
    uint16_t domid = one_in(s, 4) ? XPT_DOMID_IO : any_domid(s);
    bool assign = one_in(s, 2);
    long rc;

    trace(s, "%s %04x %x", assign ? "assign" : "deassign", dev->bdf, domid);
    rc = assign ? xpt_assign(domid, dev->bdf) : xpt_deassign(domid, dev->bdf);
    trace(s, "= %ld", rc);
}

static void do_bridge(struct step *s)
{
    unsigned int tries = 16;
    const struct dev *dev;

    do {
        dev = any_dev(s);
    } while ( dev->class != CLASS_BRIDGE && --tries );
    if ( !tries )
        return;

    switch ( below(s, 4) )
    {
    case 0:
        cfg_write(s, dev->bdf, PCI_PRIMARY_BUS + 1, 1, below(s, 4));
        break;
    case 1:
        cfg_write(s, dev->bdf, PCI_BRIDGE_CONTROL, 2, PCI_BRIDGE_RESET);
        cfg_write(s, dev->bdf, PCI_BRIDGE_CONTROL, 2, 0);
        break;
    default:
        cfg_write(s, dev->bdf, PCI_PRIMARY_BUS, 4,
                  dev->saved[PCI_PRIMARY_BUS / 4]);
        break;
    }
}

/* The `edu` devices interrupt when they are told to. */
static void do_raise(struct step *s)
{
    const struct dev *dev = find(one_in(s, 2) ? EDU : XPT_BDF(0, 7));
    unsigned long addr = dev ? bar_at(s, dev, 0) : 0;

    if ( !addr || !(cfg16(dev->bdf, PCI_COMMAND) & PCI_COMMAND_MEMORY) ||
         xpt_read32(addr + EDU_IDENT) != EDU_IDENT_VALUE )
        return;

    trace(s, "%04x", dev->bdf);
    xpt_write32(addr + (one_in(s, 2) ? EDU_RAISE : EDU_ACK), 1);
}

static void do_step(unsigned int cpu, unsigned long nr)
{
    struct step s = {
        .state = mix(opt.seed ^ mix(nr * 2 + cpu)),
        .cpu   = cpu,
        .nr    = nr,
    };
    unsigned int i, sum = 0, pick;

    for ( i = 0; i < NR_KINDS; ++i )
        sum += kinds[i].weight;
    pick = below(&s, sum);
    for ( i = 0; pick >= kinds[i].weight; ++i )
        pick -= kinds[i].weight;
    s.kind = i;

    /* Xen comes by, and the other vCPU, wherever this one is by then. */
    if ( one_in(&s, 4) )
        xpt_write32(LAPIC_BASE + LAPIC_TMICT, 1 + below(&s, 4000));

    if ( !(opt.kinds & (1ul << i)) )
        return;

    ++counts[cpu][i];
    switch ( s.kind )
    {
    case CFG_READ:  do_cfg_read(&s);  break;
    case CFG_WRITE: do_cfg_write(&s); break;
    case COMMAND:   do_command(&s);   break;
    case BAR_WRITE: do_bar(&s);       break;
    case MSI:       do_msi(&s);       break;
    case MSIX:      do_msix(&s);      break;
    case TABLE:     do_table(&s);     break;
    case MEMORY:    do_memory(&s);    break;
    case RESET:     do_reset(&s);     break;
    case REMOVE:    do_remove(&s);    break;
    case ADD:       do_add(&s);       break;
    case FLR:       do_flr(&s);       break;
    case PHYSDEV:   do_physdev(&s);   break;
    case GSI:       do_gsi(&s);       break;
    case PIN:       do_pin(&s);       break;
    case PIRQ:      do_pirq(&s);      break;
    case ASSIGN:    do_assign(&s);    break;
    case BRIDGE:    do_bridge(&s);    break;
    case RAISE:     do_raise(&s);     break;
    default:        hypercall_yield(); break;
    }
}

static void run(unsigned int cpu)
{
    unsigned long nr;

    xpt_lapic_enable();
    xpt_write32(LAPIC_BASE + LAPIC_TDCR, 0xb);
    xpt_write32(LAPIC_BASE + LAPIC_LVTT, TIMER_VECTOR);

    for ( nr = begin; nr < end; ++nr )
    {
        progress[cpu] = nr;
        if ( (opt.cpus & (1u << cpu)) && nr >= opt.first )
            do_step(cpu, nr);
    }
}

static void cpu1(void)
{
    while ( xpt_meet() && !leave )
    {
        run(1);
        if ( !xpt_meet() )
            return;
    }
}

/* Whatever interrupts have come, so that those to come can be told from them. */
static void drain(void)
{
    unsigned int vector, turns;

    for ( vector = 0x20; vector < 256; ++vector )
        xpt_irq_init(vector);
    for ( turns = 0; turns < 256; ++turns )
        asm volatile ( "sti; nop; nop; cli" ::: "memory" );
}

/*
 * Everything as it was: devices which are not there are gone, those which are
 * have been gone for Xen, and are configured as at first.
 */
static void restore_cfg(const struct dev *dev)
{
    unsigned int i = ARRAY_SIZE(dev->saved);

    if ( dev->class == CLASS_HOST || dev->class == CLASS_ISA )
        return;

    /* What has its own offset first, and the command register last. */
    xpt_pci_write16(dev->bdf, PCI_COMMAND, 0);
    while ( i-- )
        if ( xpt_pci_read32(dev->bdf, i * 4) != dev->saved[i] )
        {
            if ( dev->exp && i == (dev->exp + EXP_SLTCTL) / 4u )
                continue;
            xpt_pci_write32(dev->bdf, i * 4, dev->saved[i]);
        }
}

static unsigned int restore(void)
{
    unsigned int seg, i, failed = 0;

    for ( i = 0; i < nr_devs; ++i )
    {
        if ( guest >= 0 )
            xpt_deassign(guest, devs[i].bdf);
        xpt_deassign(XPT_DOMID_IO, devs[i].bdf);
    }
    if ( guest >= 0 && xpt_domain_destroy(guest) )
        ++failed;
    guest = -1;

    for ( seg = 0; seg < NR_SEGMENTS; ++seg )
        for ( i = 0; i < 65536; ++i )
            if ( added[seg][i / 8] & (1 << (i % 8)) )
            {
                struct {
                    uint16_t seg;
                    uint8_t bus, devfn;
                } gone = { seg, i >> 8, i };

                hypercall_physdev_op(XPT_PHYSDEVOP_pci_device_remove, &gone);
            }
    memset(added, 0, sizeof(added));

    /* Bridges come before what is behind them. */
    for ( i = 0; i < nr_devs; ++i )
    {
        xpt_pci_device_remove(devs[i].bdf);
        restore_cfg(&devs[i]);
        if ( xpt_pci_device_add(devs[i].bdf) )
        {
            printk("%04x does not come back\n", devs[i].bdf);
            ++failed;
        }
    }

    /* A line that stays asserted keeps interrupts of less priority away. */
    for ( i = 0; i < nr_devs; ++i )
        if ( devs[i].saved[PCI_ID] == EDU_ID )
        {
            xpt_pci_command(devs[i].bdf, PCI_COMMAND_MEMORY, 0);
            xpt_write32((devs[i].saved[PCI_BAR0 / 4] & ~0xf) + EDU_ACK, ~0u);
            xpt_pci_write16(devs[i].bdf, PCI_COMMAND,
                            devs[i].saved[PCI_COMMAND / 4]);
        }
    for ( i = 0; i < 24; ++i )
        pin_access(0x10 + 2 * i, true, 0x10000 | (0x40 + i));
    for ( i = 0; i < ARRAY_SIZE(pirqs); ++i )
        pirqs[i] = -1;
    drain();

    return failed;
}

/* Registered and bound once, GSIs are for good. */
static void bind_gsis(void)
{
    unsigned int i;

    for ( i = 0; i < 24; ++i )
    {
        xpt_setup_gsi(i, i >= 16, i >= 16);
        pin_access(0x10 + 2 * i, true, (0x40 + i) | (i >= 16 ? 0xa000 : 0));
        pin_access(0x10 + 2 * i, true, 0x10000 | (0x40 + i) |
                                       (i >= 16 ? 0xa000 : 0));
    }
}

/* What Xen keeps of segments and buses, once it has heard of them. */
static void warm_up(void)
{
    static const uint16_t bdfs[] = { 0x80, ABSENT_BUS << 8 };
    unsigned int seg, i;

    for ( seg = 0; seg < NR_SEGMENTS; ++seg )
        for ( i = 0; i < ARRAY_SIZE(bdfs); ++i )
        {
            struct pci_device_add a = {
                .seg = seg, .bus = bdfs[i] >> 8, .devfn = bdfs[i],
            };

            mark_added(seg, bdfs[i]);
            hypercall_physdev_op(XPT_PHYSDEVOP_pci_device_add, &a);
        }
}

static bool phase(unsigned long first, unsigned long last)
{
    unsigned int failed;

    guest = xpt_domain_create_guest();
    if ( guest < 0 )
        return false;

    begin = first;
    end = last;
    if ( !xpt_meet() )
    {
        xtf_error("Error: no second vCPU\n");
        return false;
    }
    run(0);
    while ( progress[1] + 1 < end )
        xpt_relax();
    if ( !xpt_meet() )
    {
        xtf_error("Error: the second vCPU does not come\n");
        return false;
    }

    failed = restore();
    xpt_check(first ? "restore" : "warm-up-restore", "0 failed", "%u failed",
              failed);

    return !failed;
}

static void scan_bus(unsigned int bus)
{
    unsigned int devfn, i;

    for ( devfn = 0; devfn < 256; ++devfn )
    {
        struct dev *dev = &devs[nr_devs];
        uint16_t bdf = bus << 8 | devfn;

        if ( (devfn & 7) && !(cfg32(bdf & ~7, 0xc) & 0x800000) )
            continue;
        if ( cfg32(bdf, PCI_ID) == ~0u || nr_devs == MAX_DEVS )
            continue;

        dev->bdf = bdf;
        for ( i = 0; i < ARRAY_SIZE(dev->saved); ++i )
            dev->saved[i] = cfg32(bdf, i * 4);
        dev->class = dev->saved[2] >> 16;
        dev->header = dev->saved[3] >> 16;
        dev->nr_bars = dev->header & 1 ? 2 : 6;
        dev->msi = xpt_pci_cap(bdf, PCI_CAP_ID_MSI);
        dev->msix = xpt_pci_cap(bdf, PCI_CAP_ID_MSIX);
        dev->exp = xpt_pci_cap(bdf, PCI_CAP_ID_EXP);
        if ( dev->msix )
        {
            dev->nr_entries = xpt_msix_nr_entries(bdf);
            dev->table = dev->saved[(dev->msix + MSIX_TABLE) / 4];
            dev->pba = dev->saved[(dev->msix + MSIX_PBA) / 4];
        }
        for ( i = 0; i < dev->nr_bars; ++i )
        {
            uint32_t low = dev->saved[PCI_BAR(i) / 4];

            dev->io[i] = low & PCI_BAR_IO;
            if ( dev->class == CLASS_HOST || dev->io[i] || !(low & ~0xf) )
                continue;
            dev->size[i] = xpt_bar_size(bdf, PCI_BAR(i));
            if ( (low & 7) == PCI_BAR_MEM64 )
                ++i;
        }
        printk("%04x class %04x header %x msi %x msix %x exp %x entries %u\n",
               bdf, dev->class, dev->header, dev->msi, dev->msix, dev->exp,
               dev->nr_entries);
        ++nr_devs;

        if ( dev->class == CLASS_BRIDGE )
            scan_bus((dev->saved[PCI_PRIMARY_BUS / 4] >> 8) & 0xff);
    }
}

static unsigned long number(const char *text, const char *name,
                            unsigned int base, unsigned long otherwise)
{
    unsigned long val = 0;

    text = xpt_after(text, name);
    if ( !text )
        return otherwise;

    for ( ;; ++text )
    {
        char c = *text;

        if ( c >= '0' && c <= '9' )
            val = val * base + (c - '0');
        else if ( base == 16 && c >= 'a' && c <= 'f' )
            val = val * base + (c - 'a' + 10);
        else
            return val;
    }
}

static void read_options(void)
{
    static char text[1024];
    const char *at;

    HYPERCALL2(long, XPT_HYPERVISOR_xen_version, XPT_XENVER_commandline, text);
    at = xpt_after(text, "xpt-fuzz=");
    if ( at )
    {
        opt.seed = number(at, "seed:", 10, opt.seed);
        opt.steps = number(at, "steps:", 10, opt.steps);
        opt.first = number(at, "first:", 10, opt.first);
        opt.kinds = number(at, "kinds:", 16, opt.kinds);
        opt.cpus = number(at, "cpus:", 10, opt.cpus);
        opt.trace = number(at, "trace:", 10, opt.trace);
    }
    printk("xpt-fuzz=seed:%lu,steps:%lu,first:%lu,kinds:%lx,cpus:%lu\n",
           opt.seed, opt.steps, opt.first, opt.kinds, opt.cpus);
}

/* That the device is as good as new. */
static void check_works(const char *name)
{
    unsigned long bar, table;
    unsigned int i;

    xpt_pci_command(NVME, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
    bar = xpt_bar_read(NVME, PCI_BAR0);
    table = xpt_msix_table(NVME);
    for ( i = 0; i < NR_ENTRIES; ++i )
        xpt_msix_program(table, i, VECTOR, false);
    xpt_msix_control(NVME, MSIX_CTRL_ENABLE, MSIX_CTRL_MASKALL);
    xpt_check(name, "arrived", "%s", xpt_nvme_interrupt(bar, VECTOR));
    xpt_msix_control(NVME, 0, MSIX_CTRL_ENABLE);
}

/* What an access costs that no handler takes, and each is asked. */
static unsigned long mmio_cost(void)
{
    unsigned long best = -1;
    unsigned int i;

    for ( i = 0; i < 100; ++i )
    {
        uint64_t begun = xpt_rdtsc(), ticks;

        xpt_read32(XPT_WINDOW);
        ticks = xpt_rdtsc() - begun;
        if ( ticks < best )
            best = ticks;
    }

    return best;
}

/*
 * How small objects lie in pages differs more than xpt_resources_compare()
 * grants, after so much.  What is lost with one step in many shows when there
 * are enough steps.
 */
static void check_heap(const char *name, unsigned long before,
                       unsigned long after)
{
    xpt_check_if(name, "at most 12 pages more or fewer",
                 before <= after + 12 && after <= before + 12,
                 "%lu before %lu after", before, after);
}

void test_main(void)
{
    struct xpt_resources before, after;
    unsigned long first, last;
    unsigned int i;
    long rc;

    read_options();
    if ( xpt_pci_read32(NVME, PCI_ID) != NVME_ID ||
         xpt_pci_read32(EDU, PCI_ID) != EDU_ID || !xpt_pci_ecam(0) )
        return xtf_error("Error: no edu and nvme in 5 and 6\n");

    ecam = xpt_pci_ecam(0);
    xpt_pci_command(NVME, PCI_COMMAND_MEMORY, 0);
    xpt_pci_command(EDU, PCI_COMMAND_MEMORY, 0);
    scan_bus(0);
    bind_gsis();
    warm_up();
    restore();
    check_works("before-works");
    restore();

    rc = xpt_cpu1_start(cpu1);
    if ( rc )
        return xtf_error("Error: no second vCPU: %ld\n", rc);

    if ( !phase(0, opt.steps / 8) )
        return;
    before = xpt_resources_read();
    first = mmio_cost();

    if ( !phase(opt.steps / 8, opt.steps) )
        return;
    after = xpt_resources_read();
    check_heap("left-heap", before.heap, after.heap);
    after.heap = before.heap;
    xpt_resources_compare("left", &before, &after);
    last = mmio_cost();
    /* Loose, as nobody knows what else the machine is doing. */
    xpt_check_if("handlers", "last at most 3 times first", last <= 3 * first,
                 "first %lu last %lu", first, last);
    check_works("works");

    for ( i = 0; i < NR_KINDS; ++i )
        printk("%s: %u + %u\n", kinds[i].name, counts[0][i], counts[1][i]);

    leave = true;
    xpt_meet();
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
