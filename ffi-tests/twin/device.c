/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PCI functions with a config space that behaves: read-only bits, bits that
 * are cleared by writing ones, BARs that tell their size. Behind the BARs is
 * memory, which answers where a BAR points while memory decoding is on.
 */

#include "twin.h"

#ifdef CONFIG_XPT
#include <xen/xpt-glue.h>
#endif

const struct model models[] = {
    {
        .name = "nic",
        .bars = {
            { BAR_MEM32, .size = 0x10000 },
            { BAR_IO, .size = 0x20 },
            { BAR_EMPTY },
            { BAR_MEM32, .size = 0x4000 },
        },
        .rom = 0x10000,
        .msi = { .vectors = 1, .is64 = true },
        .msix = { .entries = 5, .table = 0x0000 | 3, .pba = 0x2000 | 3 },
    },
    {
        .name = "disk",
        .bars = { { BAR_MEM64, true, 0x4000 } },
        .msi = { .vectors = 1, .is64 = true },
        .msix = { .entries = 65, .table = 0x2000 | 0, .pba = 0x3000 | 0 },
    },
    {
        .name = "big",
        .bars = {
            { BAR_MEM32, .size = 0x1000 },
            { BAR_MEM64, true, 0x100000 },
            { BAR_EMPTY },
            { BAR_MEM32, true, 0x8000 },
        },
        .rom = 0x8000,
        .msi = { .vectors = 8, .masking = true },
    },
    {
        .name = "bridge",
        .header_type = PCI_HEADER_TYPE_BRIDGE,
        .bars = { { BAR_MEM32, .size = 0x1000 } },
        .rom = 0x800,
        .msi = { .vectors = 2, .is64 = true, .masking = true },
    },
    {
        .name = "small",
        .bars = {
            { BAR_MEM32, .size = 0x100 },
            { BAR_MEM32, .size = 0x800 },
            { BAR_MEM64, .size = 0x8000 },
            { BAR_EMPTY },
            { BAR_IO, .size = 0x8 },
        },
        .msi = { .vectors = 32, .is64 = true, .masking = true },
        .msix = { .entries = 300, .table = 0x1800 | 2, .pba = 0x0080 | 1 },
    },
    {
        .name = "bridge64",
        .header_type = PCI_HEADER_TYPE_BRIDGE,
        .bars = { { BAR_MEM64, .size = 0x4000 } },
        .msix = { .entries = 2, .table = 0x1f00 | 0, .pba = 0x1f80 | 0 },
    },
    {
        .name = "plain",
        .bars = { { BAR_MEM32, .size = 0x2000 } },
    },
    {
        .name = "hostbridge",
        .ignore_bars = true,
        .bars = { { BAR_MEM32, .size = 0x2000 } },
    },
    {
        .name = "cardbus",
        .header_type = PCI_HEADER_TYPE_CARDBUS,
        .bars = { { BAR_MEM32, .size = 0x1000 } },
    },
};

const unsigned int nr_models = ARRAY_SIZE(models);

struct device devices[MAX_DEVICES];
unsigned int nr_devices;

/* Values are little endian, as everything is that this runs on. */
static void set(uint8_t *where, unsigned int size, uint64_t val)
{
    memcpy(where, &val, size);
}

static uint64_t get(const uint8_t *where, unsigned int size)
{
    uint64_t val = 0;

    memcpy(&val, where, size);

    return val;
}

static unsigned int nr_bars(const struct device *dev)
{
    return dev->model->header_type == PCI_HEADER_TYPE_NORMAL
           ? PCI_HEADER_NORMAL_NR_BARS : PCI_HEADER_BRIDGE_NR_BARS;
}

unsigned int device_rom_reg(const struct device *dev)
{
    return dev->model->header_type == PCI_HEADER_TYPE_NORMAL
           ? PCI_ROM_ADDRESS : PCI_ROM_ADDRESS1;
}

static void init_bars(struct device *dev)
{
    const struct model *model = dev->model;
    unsigned int i;

    for ( i = 0; i < nr_bars(dev); i++ )
    {
        unsigned int reg = PCI_BASE_ADDRESS_0 + i * 4;
        uint32_t flags = model->bars[i].prefetch
                         ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0;
        uint64_t mask = -(uint64_t)model->bars[i].size;

        switch ( model->bars[i].kind )
        {
        case BAR_EMPTY:
            continue;

        case BAR_IO:
            set(dev->config + reg, 4, PCI_BASE_ADDRESS_SPACE_IO);
            set(dev->writable + reg, 4, mask & 0xffff);
            continue;

        case BAR_MEM32:
            set(dev->config + reg, 4, flags);
            set(dev->writable + reg, 4, mask);
            break;

        case BAR_MEM64:
            set(dev->config + reg, 4, flags | PCI_BASE_ADDRESS_MEM_TYPE_64);
            set(dev->writable + reg, 8, mask);
            break;
        }

        dev->memory[i] = malloc(model->bars[i].size);
        for ( unsigned int at = 0; at < model->bars[i].size; at++ )
            dev->memory[i][at] = (at >> 12) * 31 + at * 7 + i +
                                 dev->pdev.devfn;
    }

    if ( model->rom )
    {
        set(dev->writable + device_rom_reg(dev), 4,
            -model->rom | PCI_ROM_ADDRESS_ENABLE);
        dev->memory[PCI_HEADER_NORMAL_NR_BARS] = calloc(1, model->rom);
    }
}

static void init_msi(struct device *dev, unsigned int pos)
{
    const struct model *model = dev->model;
    bool is64 = model->msi.is64;
    uint16_t control = MASK_INSR(fls(model->msi.vectors) - 1,
                                 PCI_MSI_FLAGS_QMASK);

    if ( is64 )
        control |= PCI_MSI_FLAGS_64BIT;
    if ( model->msi.masking )
        control |= PCI_MSI_FLAGS_MASKBIT;

    set(dev->config + msi_control_reg(pos), 2, control);
    set(dev->writable + msi_control_reg(pos), 2,
        PCI_MSI_FLAGS_QSIZE | PCI_MSI_FLAGS_ENABLE);
    set(dev->writable + msi_lower_address_reg(pos), 4, ~3U);
    if ( is64 )
        set(dev->writable + msi_upper_address_reg(pos), 4, ~0U);
    set(dev->writable + msi_data_reg(pos, is64), 2, 0xffff);
    if ( model->msi.masking )
        set(dev->writable + msi_mask_bits_reg(pos, is64), 4,
            ~0U >> (32 - model->msi.vectors));

    dev->pdev.msi_maxvec = model->msi.vectors;
}

static void init_msix(struct device *dev, unsigned int pos)
{
    const struct model *model = dev->model;

    set(dev->config + msix_control_reg(pos), 2, model->msix.entries - 1);
    set(dev->writable + msix_control_reg(pos), 2,
        PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
    set(dev->config + msix_table_offset_reg(pos), 4, model->msix.table);
    set(dev->config + msix_pba_offset_reg(pos), 4, model->msix.pba);

    dev->pdev.msix = &dev->msix;
}

struct device *add_device(const struct model *model)
{
    struct device *dev = &devices[nr_devices++];
    /* The last of the capabilities has a register of the vendor's. */
    static const uint8_t vendor_pos = 0x80;
    uint8_t *link = dev->config + PCI_CAPABILITY_LIST;

    *dev = (struct device){ .model = model };
    dev->pdev.devfn = PCI_DEVFN(nr_devices, 0);
    dev->pdev.ignore_bars = model->ignore_bars;

    set(dev->config + PCI_VENDOR_ID, 2, 0x1af4);
    set(dev->config + PCI_DEVICE_ID, 2, 0x1000 + nr_devices);
    set(dev->writable + PCI_COMMAND, 2,
        PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
        PCI_COMMAND_PARITY | PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE);
    set(dev->config + PCI_STATUS, 2,
        PCI_STATUS_CAP_LIST | PCI_STATUS_SIG_TARGET_ABORT | PCI_STATUS_PARITY);
    set(dev->clears + PCI_STATUS, 2, 0xf900);
    set(dev->writable + PCI_CACHE_LINE_SIZE, 2, 0xffff);
    set(dev->config + PCI_HEADER_TYPE, 1, model->header_type);
    set(dev->writable + PCI_INTERRUPT_LINE, 1, 0xff);
    if ( model->header_type == PCI_HEADER_TYPE_BRIDGE )
        memset(dev->writable + PCI_PRIMARY_BUS, 0xff, 8);
    init_bars(dev);

    if ( model->header_type != PCI_HEADER_TYPE_CARDBUS )
    {
        if ( model->msi.vectors )
        {
            dev->pdev.msi_pos = *link = MSI_POS;
            dev->config[MSI_POS] = PCI_CAP_ID_MSI;
            link = dev->config + MSI_POS + 1;
            init_msi(dev, MSI_POS);
        }
        if ( model->msix.entries )
        {
            dev->pdev.msix_pos = *link = MSIX_POS;
            dev->config[MSIX_POS] = PCI_CAP_ID_MSIX;
            link = dev->config + MSIX_POS + 1;
            init_msix(dev, MSIX_POS);
        }
        *link = vendor_pos;
        dev->config[vendor_pos] = PCI_CAP_ID_VNDR;
        memset(dev->writable + vendor_pos + 4, 0xff, 12);
    }
    /* And there is something in the extended space. */
    memset(dev->writable + 0x200, 0xff, 16);

    return dev;
}

void free_devices(void)
{
    while ( nr_devices )
    {
        struct device *dev = &devices[--nr_devices];

        for ( unsigned int i = 0; i < ARRAY_SIZE(dev->memory); i++ )
            free(dev->memory[i]);
    }
}

void reset_device(struct device *dev)
{
    for ( unsigned int i = 0; i < sizeof(dev->config); i++ )
        dev->config[i] &= ~dev->writable[i];
}

uint32_t device_read(const struct device *dev, unsigned int reg,
                     unsigned int size)
{
    return get(dev->config + reg, size);
}

void device_write(struct device *dev, unsigned int reg, unsigned int size,
                  uint32_t val)
{
    for ( ; size--; reg++, val >>= 8 )
    {
        uint8_t *byte = &dev->config[reg];

        *byte = (*byte & ~dev->writable[reg]) | (val & dev->writable[reg]);
        *byte &= ~(val & dev->clears[reg]);
    }
}

uint64_t device_bar(const struct device *dev, unsigned int bar)
{
    unsigned int reg = PCI_BASE_ADDRESS_0 + bar * 4;

    if ( bar == PCI_HEADER_NORMAL_NR_BARS )
        return get(dev->config + device_rom_reg(dev), 4) &
               PCI_ROM_ADDRESS_MASK;

    return get(dev->config + reg,
               dev->model->bars[bar].kind == BAR_MEM64 ? 8 : 4) &
           PCI_BASE_ADDRESS_MEM_MASK;
}

uint8_t *device_memory(uint64_t pa, unsigned int size)
{
    for ( unsigned int i = 0; i < nr_devices; i++ )
    {
        const struct device *dev = &devices[i];

        if ( !(dev->config[PCI_COMMAND] & PCI_COMMAND_MEMORY) )
            continue;

        for ( unsigned int bar = 0; bar < nr_bars(dev); bar++ )
        {
            uint64_t start = device_bar(dev, bar);

            if ( dev->memory[bar] && pa >= start &&
                 pa + size <= start + dev->model->bars[bar].size )
                return dev->memory[bar] + (pa - start);
        }
    }

    return NULL;
}

static struct device *find_device(pci_sbdf_t sbdf)
{
    for ( unsigned int i = 0; i < nr_devices; i++ )
        if ( devices[i].pdev.sbdf.sbdf == sbdf.sbdf )
            return &devices[i];

    return NULL;
}

static uint32_t conf_read(pci_sbdf_t sbdf, unsigned int reg, unsigned int size)
{
    const struct device *dev = find_device(sbdf);

    ASSERT(IS_ALIGNED(reg, size) && reg + size <= PCI_CFG_SPACE_EXP_SIZE);

    return dev ? device_read(dev, reg, size) : ~0U;
}

static void conf_write(pci_sbdf_t sbdf, unsigned int reg, unsigned int size,
                       uint32_t val)
{
    struct device *dev = find_device(sbdf);

    ASSERT(IS_ALIGNED(reg, size) && reg + size <= PCI_CFG_SPACE_EXP_SIZE);

    trace("cfg %02x %03x %u %0*x", sbdf.dev, reg, size, size * 2, val);
    if ( dev )
        device_write(dev, reg, size, val);
}

uint8_t pci_conf_read8(pci_sbdf_t sbdf, unsigned int reg)
{
    return conf_read(sbdf, reg, 1);
}

uint16_t pci_conf_read16(pci_sbdf_t sbdf, unsigned int reg)
{
    return conf_read(sbdf, reg, 2);
}

uint32_t pci_conf_read32(pci_sbdf_t sbdf, unsigned int reg)
{
    return conf_read(sbdf, reg, 4);
}

void pci_conf_write8(pci_sbdf_t sbdf, unsigned int reg, uint8_t val)
{
    conf_write(sbdf, reg, 1, val);
}

void pci_conf_write16(pci_sbdf_t sbdf, unsigned int reg, uint16_t val)
{
    conf_write(sbdf, reg, 2, val);
}

void pci_conf_write32(pci_sbdf_t sbdf, unsigned int reg, uint32_t val)
{
    conf_write(sbdf, reg, 4, val);
}

/* Xen's arithmetic: a BAR of less than 4 GiB gives its size in 32 bits. */
unsigned int pci_size_mem_bar(pci_sbdf_t sbdf, unsigned int pos,
                              uint64_t *paddr, uint64_t *psize,
                              unsigned int flags)
{
    uint32_t old = pci_conf_read32(sbdf, pos), old_hi = 0;
    bool rom = flags & PCI_BAR_ROM;
    uint32_t address = rom ? (uint32_t)PCI_ROM_ADDRESS_MASK
                           : (uint32_t)PCI_BASE_ADDRESS_MEM_MASK;
    bool is64 = !rom && (old & PCI_BASE_ADDRESS_MEM_TYPE_MASK) ==
                        PCI_BASE_ADDRESS_MEM_TYPE_64;
    uint64_t ones;

    ASSERT(rom || !(old & PCI_BASE_ADDRESS_SPACE_IO));

    pci_conf_write32(sbdf, pos, ~0U);
    if ( is64 && (flags & PCI_BAR_LAST) )
    {
        *psize = 0;
        return 1;
    }
    if ( is64 )
    {
        old_hi = pci_conf_read32(sbdf, pos + 4);
        pci_conf_write32(sbdf, pos + 4, ~0U);
    }

    ones = pci_conf_read32(sbdf, pos) & address;
    if ( is64 )
    {
        ones |= (uint64_t)pci_conf_read32(sbdf, pos + 4) << 32;
        pci_conf_write32(sbdf, pos + 4, old_hi);
    }
    else if ( ones )
        ones |= (uint64_t)~0U << 32;
    pci_conf_write32(sbdf, pos, old);

    if ( paddr )
        *paddr = (old & address) | ((uint64_t)old_hi << 32);
    *psize = -ones;

    return is64 ? 2 : 1;
}

unsigned int emul_find_cap(pci_sbdf_t sbdf, unsigned int cap)
{
    const struct device *dev = find_device(sbdf);
    unsigned int pos = dev->config[PCI_CAPABILITY_LIST];

    while ( pos && dev->config[pos] != cap )
        pos = dev->config[pos + 1];

    return pos;
}

struct pci_dev *pci_get_pdev(const struct domain *d, pci_sbdf_t sbdf)
{
    struct device *dev = find_device(sbdf);

    ASSERT(d || pcidevs_locked());

    return dev && (!d || dev->pdev.domain == d) ? &dev->pdev : NULL;
}

/* What Xen does to a write of the MSI-X control register, it has no others. */
int pci_msi_conf_write_intercept(struct pci_dev *pdev, unsigned int reg,
                                 unsigned int size, uint32_t *data)
{
    unsigned int pos = emul_find_cap(pdev->sbdf, PCI_CAP_ID_MSIX);

    if ( !pdev->msix || reg < pos || reg >= msix_pba_offset_reg(pos) + 4 )
        return 0;
    if ( reg != msix_control_reg(pos) || size != 2 )
        return -EACCES;

    pdev->msix->guest_maskall = *data & PCI_MSIX_FLAGS_MASKALL;
    if ( pdev->msix->host_maskall )
        *data |= PCI_MSIX_FLAGS_MASKALL;

    return 1;
}

int pci_conf_write_intercept(unsigned int seg, unsigned int bdf,
                             unsigned int reg, unsigned int size,
                             uint32_t *data)
{
    struct pci_dev *pdev;
    int rc = 0;

    if ( reg < 64 || reg >= 256 )
        return 0;

    pcidevs_lock();
    pdev = pci_get_pdev(NULL, PCI_SBDF(seg, bdf));
    if ( pdev )
        rc = pci_msi_conf_write_intercept(pdev, reg, size, data);
    pcidevs_unlock();

    return rc;
}

/* Of devices that guests have, and there are no guests here. */
void pci_intx(const struct pci_dev *pdev, bool enable)
{
    BUG();
}

/* A hidden device is set up as one of the hardware domain's. */
int attach_device(struct device *dev, bool hidden)
{
    struct pci_dev *pdev = &dev->pdev;
    struct domain *d = hardware_domain;
    int rc;

    pdev->domain = d;
    pcidevs_lock();
    list_add_tail(&pdev->domain_list, &(hidden ? dom_xen : d)->pdev_list);
#if XEN_MINOR >= 20
    write_lock(&d->pci_lock);
#endif
#if XEN_MINOR >= 20 || defined(CONFIG_XPT)
    rc = vpci_assign_device(pdev);
#else
    rc = vpci_add_handlers(pdev);
#endif
#if XEN_MINOR >= 20
    write_unlock(&d->pci_lock);
#endif
    if ( hidden )
    {
        pdev->domain = dom_xen;
#ifdef CONFIG_XPT
        xpt_vpci_hide(pdev);
#endif
    }
    pcidevs_unlock();

    return rc;
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
