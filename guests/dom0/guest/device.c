/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Finding devices and giving them addresses.  There is no firmware: nobody but
 * us has written to them.
 */
#include "guest.h"

/* What the toolstack keeps free below 4 GiB. */
#define MMIO_START      0xf0000000ul
#define IO_START        0xc000u

struct device *const devices[NR_DEVICES] = { &edu, &nvme, &e1000e };

static unsigned long next_mem = MMIO_START;
static unsigned int next_io = IO_START;

unsigned long place(uint64_t size)
{
    unsigned long addr = (next_mem + size - 1) & ~(size - 1);

    next_mem = addr + size;

    return addr;
}

void place_again(void)
{
    next_mem = MMIO_START;
    next_io = IO_START;
}

unsigned int devices_find(void)
{
    unsigned int i, slot, nr = 0;

    for ( i = 0; i < NR_DEVICES; ++i )
    {
        struct device *dev = devices[i];

        dev->present = false;
        for ( slot = 0; slot < 32 && !dev->present; ++slot )
        {
            dev->bdf = XPT_BDF(0, slot);
            dev->present = xpt_pci_read32(dev->bdf, PCI_ID) == dev->id;
        }
        nr += dev->present;
    }

    return nr;
}

static void place_bar(struct device *dev, unsigned int n)
{
    uint8_t reg = PCI_BAR(n);
    bool io = xpt_pci_read32(dev->bdf, reg) & PCI_BAR_IO;
    uint64_t size = xpt_bar_size(dev->bdf, reg);
    unsigned long addr;
    char fact[8];

    dev->size[n] = size;
    dev->bar[n] = 0;
    if ( !size )
        return;

    if ( io )
    {
        addr = (next_io + size - 1) & ~(size - 1);
        next_io = addr + size;
    }
    else
        addr = place(size < 0x1000 ? 0x1000 : size);

    xpt_bar_write(dev->bdf, reg, addr);
    dev->bar[n] = addr;

    snprintf(fact, sizeof(fact), "bar%u", n);
    say(dev->name, fact, "%s size 0x%lx put 0x%lx read 0x%lx",
        io ? "io" : "mem", (unsigned long)size, addr,
        (unsigned long)xpt_bar_read(dev->bdf, reg));
}

bool device_place(struct device *dev)
{
    uint16_t on = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
                  PCI_COMMAND_INTX_DISABLE;
    unsigned int n;

    xpt_pci_command(dev->bdf, 0, PCI_COMMAND_MEMORY | PCI_COMMAND_IO |
                                 PCI_COMMAND_MASTER);

    say(dev->name, "found", "00:%02x.0 id 0x%08x class 0x%08x",
        dev->bdf >> 3, xpt_pci_read32(dev->bdf, PCI_ID),
        xpt_pci_read32(dev->bdf, PCI_CLASS));

    for ( n = 0; n < ARRAY_SIZE(dev->bar); ++n )
    {
        place_bar(dev, n);
        if ( (xpt_pci_read32(dev->bdf, PCI_BAR(n)) &
              (PCI_BAR_IO | PCI_BAR_TYPE)) == PCI_BAR_MEM64 )
        {
            ++n;
            dev->bar[n] = dev->size[n] = 0;
        }
    }

    xpt_pci_command(dev->bdf, on, 0);
    say(dev->name, "command", "0x%04x",
        xpt_pci_read16(dev->bdf, PCI_COMMAND));
    say(dev->name, "caps", "msi %u msix %u",
        !!xpt_pci_cap(dev->bdf, PCI_CAP_ID_MSI),
        !!xpt_pci_cap(dev->bdf, PCI_CAP_ID_MSIX));
    say(dev->name, dev->reg_name, "0x%08x",
        xpt_read32(dev->bar[0] + dev->reg));

    if ( xpt_read32(dev->bar[0] + dev->reg) == ~0u )
    {
        say_error(dev->name, "does not answer at 0x%lx", dev->bar[0]);
        return false;
    }

    return true;
}

void device_off(struct device *dev)
{
    xpt_pci_command(dev->bdf, PCI_COMMAND_INTX_DISABLE,
                    PCI_COMMAND_MEMORY | PCI_COMMAND_IO | PCI_COMMAND_MASTER);
}

void device_move(struct device *dev, unsigned int n, unsigned long addr)
{
    xpt_pci_command(dev->bdf, 0, PCI_COMMAND_MEMORY);
    xpt_bar_write(dev->bdf, PCI_BAR(n), addr);
    dev->bar[n] = addr;
    xpt_pci_command(dev->bdf, PCI_COMMAND_MEMORY, 0);
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
