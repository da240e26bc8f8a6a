/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The twin test: scripts of what a hardware domain does to its devices, run
 * through one vPCI, with a trace of all that follows.
 *
 *   twin SEED SCRIPTS
 *
 * A script is made from the seed, and from what the devices hold where both
 * have to agree on it, so that the same one runs through unmodified Xen's C and
 * through xen-passthrough, built from this file once for each. compare.c reads
 * both traces.
 *
 * Two vCPUs take turns. What one has left to map or unmap is done before it
 * runs again, as in Xen. The other may run in between, and there unmodified Xen
 * has no defined answer to an access to the header: it starts a second
 * operation on what the first has not finished. It is therefore given time to
 * finish before such an access, and xen-passthrough is not.
 */

#include "twin.h"

#ifdef CONFIG_XPT
#include <xen/xpt-glue.h>
#endif

static struct rng rng;
static unsigned int step;

#define rnd(limit) rng_below(&rng, limit)
#define chance(percent) rng_chance(&rng, percent)

/* One of the arguments. */
#define PICK(type, ...) \
    (((const type[]){ __VA_ARGS__ })[rnd(sizeof((const type[]){ __VA_ARGS__ }) \
                                         / sizeof(type))])

/* What a vCPU has to do before it returns to its guest. */
static void finish(struct vcpu *v)
{
    struct vcpu *interrupted = current;

    current = v;
    while ( v->softirq )
    {
        v->softirq = false;
        if ( vpci_process_pending(v) )
            v->softirq = true;
    }
    current = interrupted;
}

static void finish_all(void)
{
    struct vcpu *v;

    for_each_vcpu ( hardware_domain, v )
        finish(v);
}

static void trace_state(void)
{
    for ( unsigned int i = 0; i < nr_devices; i++ )
    {
        const struct device *dev = &devices[i];
        uint64_t hash = 0;

        for ( unsigned int at = 0; at < sizeof(dev->config); at++ )
            hash = (hash ^ dev->config[at]) * 0x100000001b3;
        trace("dev %02x command %04x bars %08x %08x %08x %08x %08x %08x "
              "rom %08x config %016"PRIx64, dev->pdev.sbdf.dev,
              device_read(dev, PCI_COMMAND, 2), device_read(dev, 0x10, 4),
              device_read(dev, 0x14, 4), device_read(dev, 0x18, 4),
              device_read(dev, 0x1c, 4), device_read(dev, 0x20, 4),
              device_read(dev, 0x24, 4),
              device_read(dev, device_rom_reg(dev), 4), hash);
    }
    emul_trace_p2m();
    trace("end");
}

/* From here on both have the same to show. */
static void sync(void)
{
    finish_all();
    trace("sync");
    trace_state();
}

/* Another access of the guest; the text is the same in both traces. */
__attribute__((format(printf, 1, 2)))
static void begin(const char *fmt, ...)
{
    char text[96];
    va_list args;

    current = &vcpus[rnd(ARRAY_SIZE(vcpus))];
    finish(current);

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    trace("step %u vcpu %u %s", ++step, current->vcpu_id, text);
}

#ifdef CONFIG_XPT
static void wait_for_map(const struct device *dev, unsigned int reg,
                         unsigned int size)
{
}
#else
static bool overlaps(unsigned int reg, unsigned int size, unsigned int start,
                     unsigned int length)
{
    return reg < start + length && start < reg + size;
}

static void wait_for_map(const struct device *dev, unsigned int reg,
                         unsigned int size)
{
    if ( overlaps(reg, size, PCI_COMMAND, 4) ||
         overlaps(reg, size, PCI_BASE_ADDRESS_0, 24) ||
         overlaps(reg, size, device_rom_reg(dev), 4) )
        finish_all();
}
#endif

/* What the device has in a register, when both sides agree on that. */
static uint32_t device_value(const struct device *dev, unsigned int reg,
                             unsigned int size)
{
    wait_for_map(dev, reg, size);

    return device_read(dev, reg, size);
}

static uint64_t bytes(uint64_t val, unsigned int size)
{
    return val & (~0ULL >> (64 - size * 8));
}

static uint64_t config_read(const struct device *dev, unsigned int reg,
                            unsigned int size)
{
    unsigned long val = ~0UL;

    begin("read %02x %03x %u", dev->pdev.sbdf.dev, reg, size);
    wait_for_map(dev, reg, size);
    if ( size == 8 )
        ASSERT(vpci_ecam_read(dev->pdev.sbdf, reg, size, &val));
    else
        val = vpci_read(dev->pdev.sbdf, reg, size);
    trace("read %0*lx", (int)size * 2, val);

    return val;
}

static bool is_upper_half(const struct device *dev, unsigned int bar)
{
    return bar && dev->model->bars[bar - 1].kind == BAR_MEM64;
}

/* The size of the memory BAR or ROM whose register is at @reg, or 0. */
static uint32_t size_of_bar(const struct device *dev, unsigned int reg)
{
    unsigned int bar = (reg - PCI_BASE_ADDRESS_0) / 4;

    if ( reg == device_rom_reg(dev) )
        return dev->model->rom;

    return reg >= PCI_BASE_ADDRESS_0 && bar < PCI_HEADER_NORMAL_NR_BARS &&
           dev->memory[bar] ? dev->model->bars[bar].size : 0;
}

/*
 * What is written to BARs has two limits, but for where they are what a script
 * ends with: bits below the size, of which unmodified Xen thinks that the device
 * keeps them, and what the host's memory map has, where no MSI-X table can be.
 * BARs with MSI-X are from 2 GiB on and below 3.75 if they are below 4.
 */
static bool no_limits;

static uint64_t limit(const struct device *dev, unsigned int reg,
                      unsigned int size, uint64_t val)
{
    for ( unsigned int i = 0; i < size && !no_limits; i++ )
    {
        unsigned int dword = (reg + i) & ~3, byte = (reg + i) & 3;
        uint32_t bar = size_of_bar(dev, dword);
        uint32_t bits = dword == device_rom_reg(dev) ? 0x7ff : 0;

        if ( !bar )
            continue;
        val &= ~((uint64_t)(((bar - 1) & ~bits) >> byte * 8 & 0xff) << i * 8);
        if ( byte == 3 && !bits && dev->pdev.msix_pos )
            val = (val | 0x80ULL << i * 8) & ~(0x10ULL << i * 8);
    }

    return val;
}

static void config_write(const struct device *dev, unsigned int reg,
                         unsigned int size, uint64_t val)
{
    bool again;

    val = limit(dev, reg, size, val);
    begin("write %02x %03x %u %0*"PRIx64, dev->pdev.sbdf.dev, reg, size,
          (int)size * 2, bytes(val, size));
    wait_for_map(dev, reg, size);
#if !defined(CONFIG_XPT) && XEN_MINOR >= 20
    /* It would trip over an assertion on the lock of another domain. */
    if ( dev->pdev.domain == dom_xen )
        return;
#endif
    do {
        again = false;
        if ( size == 8 )
            ASSERT(vpci_ecam_write(dev->pdev.sbdf, reg, size, val));
        else
            vpci_write(dev->pdev.sbdf, reg, size, val);
#ifdef CONFIG_XPT
        if ( xpt_vpci_retry() )
        {
            /* The others get to run, then the instruction starts again. */
            trace("retry");
            finish_all();
            again = true;
        }
#endif
    } while ( again );
}

/* Memory at an address: a page that is mapped is none of Xen's business. */
static void mmio(bool write, unsigned long addr, unsigned int size,
                 uint64_t val)
{
    const struct hvm_mmio_ops *ops;
    unsigned long data = ~0UL;

    val = bytes(val, size);
    sync();
    if ( write )
        begin("mmio w %lx %u %"PRIx64, addr, size, val);
    else
        begin("mmio r %lx %u", addr, size);

    if ( emul_p2m_type(PFN_DOWN(addr)) == p2m_mmio_direct )
    {
        trace("mapped");
        return;
    }

    ops = emul_mmio_handler(current, addr);
    if ( !ops )
    {
        trace("unclaimed");
        return;
    }

    ASSERT(write ? ops->write(current, addr, size, val) == X86EMUL_OKAY
                 : ops->read(current, addr, size, &data) == X86EMUL_OKAY);
    if ( !write )
        trace("read %"PRIx64, bytes(data, size));
}

/* One that the hardware domain has for itself. */
static struct device *random_device(void)
{
    struct device *dev;

    do
        dev = &devices[rnd(nr_devices)];
    while ( dev->pdev.domain == dom_xen );

    return dev;
}

/* Places for BARs: one of 24 MiB of which a device gets one to start with. */
static uint32_t random_address(void)
{
    uint32_t slot = 0xe0000000 + (rnd(24) << 20);

    switch ( rnd(8) )
    {
    case 0: return slot + (rnd(64) << 12);
    case 1: return slot + (rnd(256) << 4);
    case 2: return 0x80000000 | (rng_next(&rng) & 0x3fffffff);
    case 3: return PICK(uint32_t, 0x7ff00000, 0xffffffff, 0xfffff000,
                        0xfee00000);
    default: return slot;
    }
}

static uint32_t random_address_high(void)
{
    return PICK(uint32_t, 0, 0, 0, 4, 4, 3, 0xff);
}

static uint16_t random_command(void)
{
    uint16_t command = PICK(uint16_t, 0, PCI_COMMAND_MEMORY,
                            PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);

    if ( chance(20) )
        command ^= PICK(uint16_t, PCI_COMMAND_IO, PCI_COMMAND_SERR,
                        PCI_COMMAND_INTX_DISABLE, PCI_COMMAND_MASTER);

    return command;
}

static unsigned int random_bar(const struct device *dev)
{
    return rnd(dev->model->header_type == PCI_HEADER_TYPE_NORMAL ? 6 : 2);
}

/* The sizes of an access that hits a byte of a register of @size bytes. */
static void write_part(const struct device *dev, unsigned int reg,
                       unsigned int size, uint32_t val)
{
    unsigned int part = size;

    if ( chance(15) )
    {
        part = 1U << rnd(3);
        reg += rnd(size) & -part;
        reg &= -part;
        val = rng_next(&rng);
    }
    config_write(dev, reg, part, val);
}

static void write_bar(const struct device *dev, unsigned int bar)
{
    unsigned int reg = PCI_BASE_ADDRESS_0 + bar * 4;

    if ( is_upper_half(dev, bar) )
        write_part(dev, reg, 4, random_address_high());
    else
        write_part(dev, reg, 4, random_address());
}

static void write_rom(const struct device *dev)
{
    unsigned int reg = device_rom_reg(dev);
    /* Away from BARs: a ROM that overlaps one of the device ends a script. */
    uint32_t val = chance(50)
                   ? device_value(dev, reg, 4) & PCI_ROM_ADDRESS_MASK
                   : 0xe8000000 + (rnd(16) << 20) + (rnd(64) << 11);

    if ( chance(10) )
        config_write(dev, reg + rnd(2), 1, rng_next(&rng));
    else if ( chance(10) )
        config_write(dev, reg, 2, rng_next(&rng));
    else
        config_write(dev, reg, 4, val | rnd(0x800));
}

static void write_msi(const struct device *dev)
{
    bool is64 = dev->model->msi.is64;

    switch ( rnd(5) )
    {
    case 0:
    case 1:
        write_part(dev, msi_control_reg(MSI_POS), 2,
                   (chance(60) ? PCI_MSI_FLAGS_ENABLE : 0) |
                   (rnd(8) << 4));
        break;

    case 2:
        if ( is64 && chance(20) )
            write_part(dev, msi_upper_address_reg(MSI_POS), 4,
                       chance(70) ? 0 : rng_next(&rng));
        else
            write_part(dev, msi_lower_address_reg(MSI_POS), 4,
                       0xfee00000 | (rnd(256) << 12) | (rnd(4) << 2));
        break;

    case 3:
        write_part(dev, msi_data_reg(MSI_POS, is64), 2, rnd(0x10000));
        break;

    case 4:
        write_part(dev, msi_mask_bits_reg(MSI_POS, is64), 4,
                   chance(50) ? rng_next(&rng) : PICK(uint32_t, 0, ~0U, 1, 2));
        break;
    }
}

static void write_msix(const struct device *dev)
{
    write_part(dev, msix_control_reg(MSIX_POS), 2,
               (chance(70) ? PCI_MSIX_FLAGS_ENABLE : 0) |
               (chance(40) ? PCI_MSIX_FLAGS_MASKALL : 0) | rnd(0x800));
}

static unsigned long pending_bits(const struct device *dev)
{
    uint32_t where = dev->model->msix.pba;

    return device_bar(dev, where & PCI_MSIX_BIRMASK) +
           (where & ~PCI_MSIX_BIRMASK);
}

static void access_msix_memory(const struct device *dev)
{
    uint32_t table = dev->model->msix.table;
    bool entry = chance(75);
    unsigned long pending = pending_bits(dev);
    unsigned long addr = !entry ? pending
                                : device_bar(dev, table & PCI_MSIX_BIRMASK) +
                                  (table & ~PCI_MSIX_BIRMASK);
    unsigned int size = PICK(unsigned int, 4, 4, 4, 8);
    uint64_t val = PICK(uint64_t, 0, 1, 0xfee00000 | (rnd(256) << 12),
                        rng_next(&rng));

    if ( entry )
        /* A few entries only, so that one is written more than once. */
        addr += (chance(80) ? rnd(3) : rnd(dev->model->msix.entries)) *
                PCI_MSIX_ENTRY_SIZE +
                PICK(unsigned int, PCI_MSIX_ENTRY_LOWER_ADDR_OFFSET,
                     PCI_MSIX_ENTRY_UPPER_ADDR_OFFSET,
                     PCI_MSIX_ENTRY_DATA_OFFSET,
                     PCI_MSIX_ENTRY_VECTOR_CTRL_OFFSET,
                     PCI_MSIX_ENTRY_VECTOR_CTRL_OFFSET);
    else
        addr += rnd(16) * 4;

    if ( size == 4 && (addr & 15) == PCI_MSIX_ENTRY_VECTOR_CTRL_OFFSET )
        val = chance(40) ? PCI_MSIX_VECTOR_BITMASK : 0;
    /* Anywhere in those pages, of any size. */
    if ( chance(20) )
    {
        addr = (addr & PAGE_MASK) + rnd(PAGE_SIZE - 8);
        size = 1U << rnd(4);
        /* What begins beside the pending bits is what a script ends with. */
        if ( chance(70) || (addr < pending && addr + size > pending) )
            addr &= -(unsigned long)size;
    }

    mmio(chance(60), addr, size, val);
}

/* As an operating system finds out the size of a BAR. */
static void size_bar(const struct device *dev)
{
    unsigned int bar = chance(15) ? PCI_HEADER_NORMAL_NR_BARS : random_bar(dev);
    unsigned int reg = bar == PCI_HEADER_NORMAL_NR_BARS
                       ? device_rom_reg(dev) : PCI_BASE_ADDRESS_0 + bar * 4;
    uint32_t old = config_read(dev, reg, 4);

    no_limits = true;
    config_write(dev, reg, 4, bar == PCI_HEADER_NORMAL_NR_BARS
                              ? PCI_ROM_ADDRESS_MASK : ~0U);
    no_limits = false;
    config_read(dev, reg, 4);
    config_write(dev, reg, 4, old);
}

/* As an operating system moves a BAR. */
static void move_bar(const struct device *dev)
{
    unsigned int bar = random_bar(dev);

    config_write(dev, PCI_COMMAND, 2, 0);
    write_bar(dev, bar);
    if ( bar < 5 && dev->model->bars[bar].kind == BAR_MEM64 )
        write_bar(dev, bar + 1);
    config_write(dev, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
}

/* The first BAR that is memory; every device has one. */
static unsigned int first_memory_bar(const struct device *dev)
{
    unsigned int bar = 0;

    while ( !dev->memory[bar] )
        bar++;

    return bar;
}

static unsigned int random_memory_bar(const struct device *dev)
{
    unsigned int bar;

    do
        bar = random_bar(dev);
    while ( !dev->memory[bar] );

    return bar;
}

/* Two devices that are put at the same place, or near, at the same time. */
static void overlap_bars(const struct device *dev)
{
    const struct device *devs[] = { dev, random_device() };
    uint32_t slot = 0xe0000000 + (rnd(24) << 20);
    unsigned int bars[] = { random_memory_bar(devs[0]),
                            random_memory_bar(devs[1]) };

    for ( unsigned int i = 0; i < ARRAY_SIZE(devs); i++ )
        config_write(devs[i], PCI_COMMAND, 2, 0);
    for ( unsigned int i = 0; i < ARRAY_SIZE(devs); i++ )
        config_write(devs[i], PCI_BASE_ADDRESS_0 + bars[i] * 4, 4,
                     slot + (rnd(4) << 12));

    config_write(devs[0], PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    if ( chance(50) )
        sync();
    config_write(devs[1], PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    if ( chance(50) )
        config_write(devs[0], PCI_COMMAND, 2, 0);
}

static void random_access(const struct device *dev)
{
    unsigned int size = 1U << rnd(4), reg;

    reg = chance(70) ? rnd(0x100) : rnd(PCI_CFG_SPACE_EXP_SIZE);
    reg &= -size;

    if ( chance(60) )
        config_read(dev, reg, size);
    else
        config_write(dev, reg, size,
                     chance(50) ? rng_next(&rng)
                                : device_value(dev, reg, min(size, 4U)));
}

static void one_thing(void)
{
    const struct device *dev = random_device();

    switch ( rnd(16) )
    {
    case 0: case 1:
        write_part(dev, PCI_COMMAND, 2, random_command());
        break;

    case 2:
        write_bar(dev, random_bar(dev));
        break;

    case 3:
        write_rom(dev);
        break;

    case 4:
        size_bar(dev);
        break;

    case 5:
        move_bar(dev);
        break;

    case 6: case 7:
        if ( dev->pdev.msi_pos )
            write_msi(dev);
        break;

    case 8:
        if ( dev->pdev.msix_pos )
            write_msix(dev);
        break;

    case 9: case 10: case 11:
        if ( dev->pdev.msix_pos )
            access_msix_memory(dev);
        break;

    case 12:
        if ( chance(30) )
            overlap_bars(dev);
        break;

    case 13:
        write_part(dev, PCI_STATUS, 2, rng_next(&rng));
        break;

    default:
        random_access(dev);
        break;
    }
}

/* How a script ends: with something that the comparer knows what to make of. */
enum ending { NOTHING, MAP_FAILS, UNMAP_FAILS, HOLE_FAILS, NO_MEMORY,
              ROM_OVERLAPS, HEALS, RESET, HIDDEN, BAR_SIZE, PENDING_EDGE,
              NR_ENDINGS };

/* PHYSDEVOP_pci_device_reset, which unmodified 4.17 does not have. */
static int announce_reset(struct pci_dev *pdev)
{
    int rc = -ENOSYS;

#ifdef CONFIG_XPT
    struct pci_device_reset reset = {
        .dev = { .seg = pdev->seg, .bus = pdev->bus, .devfn = pdev->devfn },
        .flags = PCI_DEVICE_RESET_FLR,
    };

    do
        rc = xpt_pci_device_reset(&reset);
    while ( rc == -ERESTART );
#elif XEN_MINOR >= 20
    pcidevs_lock();
    write_lock(&pdev->domain->pci_lock);
    pcidevs_unlock();
    rc = vpci_reset_device(pdev);
    write_unlock(&pdev->domain->pci_lock);
#endif

    return rc;
}

static unsigned int nr_memory_bars(const struct device *dev)
{
    unsigned int nr = 0;

    for ( unsigned int bar = 0; bar < ARRAY_SIZE(dev->memory); bar++ )
        nr += dev->memory[bar] != NULL;

    return nr;
}

static void end_with(enum ending ending)
{
    struct device *dev = random_device();
    unsigned int bar = first_memory_bar(dev);
    unsigned int reg = PCI_BASE_ADDRESS_0 + bar * 4;
    bool on = chance(50);

    switch ( ending )
    {
    case MAP_FAILS:
        config_write(dev, PCI_COMMAND, 2, 0);
        sync();
        begin("map fails");
        emul_bad_map = PFN_DOWN(device_bar(dev, bar));
        config_write(dev, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
        break;

    case UNMAP_FAILS:
        /* Of more than one, others may have been taken out before. */
        if ( nr_memory_bars(dev) > 1 )
            break;
        config_write(dev, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
        sync();
        /* A page may be another device's. */
        if ( emul_p2m_type(PFN_DOWN(device_bar(dev, bar))) != p2m_mmio_direct )
            break;
        begin("unmap fails");
        emul_bad_unmap = PFN_DOWN(device_bar(dev, bar));
        config_write(dev, PCI_COMMAND, 2, 0);
        sync();
        begin("unmaps again");
        emul_bad_unmap = 0;
        config_write(dev, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
        break;

    case HOLE_FAILS:
        if ( !dev->pdev.msix_pos )
            break;
        config_write(dev, PCI_COMMAND, 2, 0);
        sync();
        begin("MSI-X on memory");
        bar = dev->model->msix.table & PCI_MSIX_BIRMASK;
        reg = PCI_BASE_ADDRESS_0 + bar * 4;
        no_limits = true;
        config_write(dev, reg, 4, 0x10000000);
        if ( dev->model->bars[bar].kind == BAR_MEM64 )
            config_write(dev, reg + 4, 4, 0);
        no_limits = false;
        sync();
        config_write(dev, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
        break;

    case NO_MEMORY:
        config_write(dev, PCI_COMMAND, 2, on ? 0 : PCI_COMMAND_MEMORY);
        sync();
        begin("no memory");
        emul_no_memory = true;
        config_write(dev, PCI_COMMAND, 2, on ? PCI_COMMAND_MEMORY : 0);
        break;

    case ROM_OVERLAPS:
        if ( !dev->model->rom || dev->model->bars[bar].kind != BAR_MEM32 )
            break;
        config_write(dev, PCI_COMMAND, 2, 0);
        config_write(dev, reg, 4, 0xe9000000);
        config_write(dev, device_rom_reg(dev), 4,
                     0xe9000000 | PCI_ROM_ADDRESS_ENABLE);
        config_write(dev, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
        sync();
        begin("ROM overlaps");
        config_write(dev, device_rom_reg(dev), 4, 0xe9000000);
        break;

    case HEALS:
        config_write(dev, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
        sync();
        if ( emul_p2m_type(PFN_DOWN(device_bar(dev, bar))) != p2m_mmio_direct )
            break;
        begin("reset by itself");
        reset_device(dev);
        config_write(dev, reg, 4, 0xe1700000);
        break;

    case RESET:
        if ( !dev->pdev.vpci )
            break;
        sync();
        begin("reset");
        reset_device(dev);
        trace("result %d", announce_reset(&dev->pdev));
        break;

    case BAR_SIZE:
        config_write(dev, PCI_COMMAND, 2, 0);
        sync();
        begin("part of a BAR");
        no_limits = true;
        config_write(dev, reg, 4, 0xe9000000 + dev->model->bars[bar].size / 2);
        no_limits = false;
        config_write(dev, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
        break;

    case PENDING_EDGE:
        if ( !dev->pdev.msix_pos )
            break;
        config_write(dev, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
        mmio(on, pending_bits(dev) - 1 - rnd(3), 4, rng_next(&rng));
        break;

    case HIDDEN:
        dev = &devices[0];
        if ( dev->pdev.domain != dom_xen )
            break;
        sync();
        begin("hidden");
        config_write(dev, PCI_COMMAND, 2,
                     device_read(dev, PCI_COMMAND, 2) ^ PCI_COMMAND_MEMORY);
        break;

    default:
        break;
    }
    sync();
}

/* As firmware leaves a device. */
static void place(struct device *dev)
{
    unsigned int nr = dev - devices, i;

    for ( i = 0; i < PCI_HEADER_NORMAL_NR_BARS; i++ )
    {
        unsigned int reg = PCI_BASE_ADDRESS_0 + i * 4;

        if ( dev->model->bars[i].kind == BAR_IO )
            device_write(dev, reg, 4, 0xc000 + nr * 0x100);
        else if ( dev->model->bars[i].kind != BAR_EMPTY )
            device_write(dev, reg, 4, 0xe0000000 + ((nr * 6 + i) << 20));
        if ( dev->model->bars[i].kind == BAR_MEM64 && chance(50) )
            device_write(dev, reg + 4, 4, 4);
    }
    if ( dev->model->rom )
        device_write(dev, device_rom_reg(dev), 4,
                     (0xe8000000 + (nr << 20)) |
                     (chance(30) ? PCI_ROM_ADDRESS_ENABLE : 0));
    device_write(dev, PCI_COMMAND, 2, random_command());
}

static void assign(struct device *dev, bool hidden)
{
    trace("step %u assign %02x %s%s", ++step, dev->pdev.sbdf.dev,
          dev->model->name, hidden ? " hidden" : "");
    trace("result %d", attach_device(dev, hidden));
}

#ifdef CONFIG_XPT
/* Nothing is left of devices that are gone. */
static void take_all(void)
{
    struct leftovers left;

    for ( unsigned int i = 0; i < nr_devices; i++ )
    {
        struct pci_dev *pdev = &devices[i].pdev;
        int rc;

        pcidevs_lock();
        do
            rc = xpt_vpci_detach(pdev);
        while ( rc == -ERESTART );
        ASSERT(!rc);
#if XEN_MINOR >= 20
        write_lock(&pdev->domain->pci_lock);
#endif
        vpci_deassign_device(pdev);
#if XEN_MINOR >= 20
        write_unlock(&pdev->domain->pci_lock);
#endif
        list_del(&pdev->domain_list);
        pcidevs_unlock();
        xpt_vpci_free(pdev);
    }

    left = emul_left();
    ASSERT(!left.allocations);
    ASSERT(!left.mappings);
    ASSERT(!left.pirqs);
    if ( left.pages )
        emul_trace_p2m();
    ASSERT(!left.pages);
    /* Once for the domain. */
    ASSERT(left.handlers == 1);
}
#endif

static void script(unsigned int nr, uint64_t seed)
{
    unsigned int steps = 80 + rnd(80), lazy = PICK(unsigned int, 0, 70);
    unsigned int boot, i;
    unsigned int wanted = 2 + rnd(4);
    bool trouble = chance(30);
    enum ending ending = rnd(NR_ENDINGS);

    trace("script %u seed %"PRIx64, nr, seed);
    emul_start(seed);
#ifdef CONFIG_XPT
    xpt_register_msix_handler(hardware_domain);
#endif

    for ( i = 0; i < wanted; i++ )
    {
        const struct model *model;

        do
            model = &models[rnd(nr_models)];
        while ( !i && ending == HIDDEN && model->msix.entries );
        place(add_device(model));
        /* 4.17 cannot set up a hidden device that decodes memory. */
        if ( !i && ending == HIDDEN )
            device_write(&devices[i], PCI_COMMAND, 2, 0);
    }

    /* Some are there at boot, some come later. */
    boot = rnd(wanted + 1);
    for ( i = 0; i < boot; i++ )
        assign(&devices[i], !i && ending == HIDDEN);
    system_state = SYS_STATE_active;
    for ( ; i < wanted; i++ )
    {
        assign(&devices[i], false);
        finish_all();
    }
    sync();

    for ( steps += step; step < steps; )
    {
        if ( trouble && chance(5) )
        {
            /* For a while there are no interrupts, or they cannot be bound. */
            begin("interrupts");
            emul_no_pirqs = chance(30);
            emul_no_binds = chance(30);
        }
        one_thing();
        if ( !chance(lazy) )
            sync();
    }
    sync();
    emul_no_pirqs = emul_no_binds = false;
    end_with(ending);
    trace("done");

    emul_no_memory = false;
    emul_bad_map = emul_bad_unmap = 0;
#ifdef CONFIG_XPT
    take_all();
#endif
    emul_end();
    free_devices();
}

int main(int argc, char *argv[])
{
    uint64_t seed;
    unsigned int nr;

    if ( argc != 3 )
    {
        fprintf(stderr, "usage: %s SEED SCRIPTS\n", argv[0]);
        return 2;
    }
    seed = strtoull(argv[1], NULL, 0);
    nr = strtoul(argv[2], NULL, 0);

    for ( unsigned int i = 0; i < nr; i++ )
    {
        step = 0;
        rng.state = seed + i;
        rng.state = rng_next(&rng);
        script(i, seed + i);
    }

    return 0;
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
