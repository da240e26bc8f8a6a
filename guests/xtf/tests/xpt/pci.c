/* SPDX-License-Identifier: GPL-2.0-only */
#include "pci.h"

#define PCI_CF8         0xcf8
#define PCI_CFC         0xcfc

/* q35's host bridge tells where configuration space is in memory. */
#define MCH             XPT_BDF(0, 0)
#define MCH_PCIEXBAR    0x60
#define  MCH_PCIEXBAR_ENABLE    1
#define  MCH_PCIEXBAR_BASE      0xf0000000u     /* For 256 buses. */

/* Turns of a yield which a function level reset may take. */
#define FLR_TURNS       20000

#define PTE_TABLE       0x03    /* Present, writable. */
#define PTE_2M          0x83    /* Present, writable, superpage. */
#define PTE_PRESENT     0x01
#define PTE_ADDR        0x000ffffffffff000ull

static void pci_select(uint16_t bdf, uint8_t reg)
{
    outl(0x80000000u | (bdf << 8) | (reg & ~3u), PCI_CF8);
}

uint32_t xpt_pci_read32(uint16_t bdf, uint8_t reg)
{
    pci_select(bdf, reg);

    return inl(PCI_CFC);
}

uint16_t xpt_pci_read16(uint16_t bdf, uint8_t reg)
{
    pci_select(bdf, reg);

    return inw(PCI_CFC + (reg & 2));
}

uint8_t xpt_pci_read8(uint16_t bdf, uint8_t reg)
{
    pci_select(bdf, reg);

    return inb(PCI_CFC + (reg & 3));
}

void xpt_pci_write32(uint16_t bdf, uint8_t reg, uint32_t val)
{
    pci_select(bdf, reg);
    outl(val, PCI_CFC);
}

void xpt_pci_write16(uint16_t bdf, uint8_t reg, uint16_t val)
{
    pci_select(bdf, reg);
    outw(val, PCI_CFC + (reg & 2));
}

void xpt_pci_write8(uint16_t bdf, uint8_t reg, uint8_t val)
{
    pci_select(bdf, reg);
    outb(val, PCI_CFC + (reg & 3));
}

unsigned long xpt_pci_ecam(uint16_t bdf)
{
    uint32_t base = xpt_pci_read32(MCH, MCH_PCIEXBAR);

    if ( !(base & MCH_PCIEXBAR_ENABLE) )
        return 0;

    return (base & MCH_PCIEXBAR_BASE) + ((unsigned long)bdf << 12);
}

uint8_t xpt_pci_cap(uint16_t bdf, uint8_t id)
{
    uint8_t pos = xpt_pci_read32(bdf, PCI_CAPS) & 0xfc;
    unsigned int ttl = 48; /* As many as fit: the list may be a ring. */

    while ( pos >= 0x40 && ttl-- )
    {
        uint16_t cap = xpt_pci_read16(bdf, pos);

        if ( (cap & 0xff) == id )
            return pos;
        pos = (cap >> 8) & 0xfc;
    }

    return 0;
}

uint16_t xpt_pci_command(uint16_t bdf, uint16_t set, uint16_t clear)
{
    uint16_t command = xpt_pci_read16(bdf, PCI_COMMAND);

    xpt_pci_write16(bdf, PCI_COMMAND, (command & ~clear) | set);

    return command;
}

static bool is_mem64(uint16_t bdf, uint8_t reg)
{
    return reg != PCI_ROM &&
           (xpt_pci_read32(bdf, reg) & (PCI_BAR_IO | PCI_BAR_TYPE)) ==
           PCI_BAR_MEM64;
}

/* The bits which are not address. */
static uint32_t flag_bits(uint16_t bdf, uint8_t reg)
{
    if ( reg == PCI_ROM )
        return 0x7ff;

    return xpt_pci_read32(bdf, reg) & PCI_BAR_IO ? 0x3 : 0xf;
}

uint64_t xpt_bar_read(uint16_t bdf, uint8_t reg)
{
    uint64_t addr = xpt_pci_read32(bdf, reg) & ~flag_bits(bdf, reg);

    if ( is_mem64(bdf, reg) )
        addr |= (uint64_t)xpt_pci_read32(bdf, reg + 4) << 32;

    return addr;
}

void xpt_bar_write(uint16_t bdf, uint8_t reg, uint64_t addr)
{
    bool mem64 = is_mem64(bdf, reg);

    xpt_pci_write32(bdf, reg, addr);
    if ( mem64 )
        xpt_pci_write32(bdf, reg + 4, addr >> 32);
}

uint64_t xpt_bar_size(uint16_t bdf, uint8_t reg)
{
    uint16_t command = xpt_pci_command(bdf, 0,
                                       PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
    uint32_t flags = flag_bits(bdf, reg), low = xpt_pci_read32(bdf, reg);
    bool mem64 = is_mem64(bdf, reg), io = flags == 0x3;
    uint64_t mask;

    /* All ones, but for the bit which turns a ROM on. */
    xpt_pci_write32(bdf, reg, reg == PCI_ROM ? ~flags : ~0u);
    mask = xpt_pci_read32(bdf, reg) & ~flags;
    xpt_pci_write32(bdf, reg, low);

    if ( mem64 )
    {
        uint32_t high = xpt_pci_read32(bdf, reg + 4);

        xpt_pci_write32(bdf, reg + 4, ~0u);
        mask |= (uint64_t)xpt_pci_read32(bdf, reg + 4) << 32;
        xpt_pci_write32(bdf, reg + 4, high);
    }
    else if ( mask )
        mask |= ~0ull << (io ? 16 : 32);

    xpt_pci_write16(bdf, PCI_COMMAND, command);

    return -mask;
}

/* The table below entry @index of @table, made if there is none. */
static uint64_t *descend(uint64_t *table, unsigned int index)
{
    static uint64_t tables[4][512] __attribute__((__aligned__(4096)));
    static unsigned int used;

    if ( !(table[index] & PTE_PRESENT) )
    {
        if ( used == ARRAY_SIZE(tables) )
        {
            xtf_error("Error: no more page tables\n");
            return NULL;
        }
        table[index] = _u(tables[used++]) | PTE_TABLE;
    }

    return _p(table[index] & PTE_ADDR);
}

void xpt_map_high(uint64_t addr)
{
    uint64_t cr3, *table;

    asm ( "mov %%cr3, %0" : "=r" (cr3) );

    table = descend(_p(cr3 & PTE_ADDR), (addr >> 39) & 511);
    if ( table )
        table = descend(table, (addr >> 30) & 511);
    if ( table )
        table[(addr >> 21) & 511] = (addr & ~0x1fffffull) | PTE_2M;
}

void xpt_pci_save(uint16_t bdf, uint32_t saved[XPT_NR_HEADER])
{
    unsigned int i;

    for ( i = 0; i < XPT_NR_HEADER; ++i )
        saved[i] = xpt_pci_read32(bdf, i * 4);
}

void xpt_pci_restore(uint16_t bdf, const uint32_t saved[XPT_NR_HEADER])
{
    unsigned int i = XPT_NR_HEADER;

    while ( i-- )
        if ( xpt_pci_read32(bdf, i * 4) != saved[i] )
            xpt_pci_write32(bdf, i * 4, saved[i]);
}

bool xpt_pci_flr(uint16_t bdf)
{
    uint8_t cap = xpt_pci_cap(bdf, PCI_CAP_ID_EXP);
    unsigned int turns;

    if ( !cap ||
         !(xpt_pci_read32(bdf, cap + EXP_DEVCAP) & EXP_DEVCAP_FLR) )
        return false;

    xpt_pci_write16(bdf, cap + EXP_DEVCTL,
                    xpt_pci_read16(bdf, cap + EXP_DEVCTL) | EXP_DEVCTL_FLR);

    for ( turns = 0;
          turns < FLR_TURNS && xpt_pci_read16(bdf, PCI_COMMAND);
          ++turns )
        hypercall_yield();

    return turns < FLR_TURNS;
}

struct pci_device_reset {
    uint16_t seg;
    uint8_t bus, devfn;
    uint32_t kind;
};

long xpt_pci_device_reset(uint16_t bdf, uint32_t kind)
{
    struct pci_device_reset reset = {
        .bus   = bdf >> 8,
        .devfn = bdf,
        .kind  = kind,
    };

    return hypercall_physdev_op(XPT_PHYSDEVOP_pci_device_reset, &reset);
}

long xpt_pci_device_add(uint16_t bdf)
{
    struct {
        uint16_t seg;
        uint8_t bus, devfn;
        uint32_t flags;
        uint8_t physfn[2];
        uint32_t optarr[1];
    } add = { .bus = bdf >> 8, .devfn = bdf };

    return hypercall_physdev_op(XPT_PHYSDEVOP_pci_device_add, &add);
}

long xpt_pci_device_remove(uint16_t bdf)
{
    struct {
        uint16_t seg;
        uint8_t bus, devfn;
    } remove = { .bus = bdf >> 8, .devfn = bdf };

    return hypercall_physdev_op(XPT_PHYSDEVOP_pci_device_remove, &remove);
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
