/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One access to an emulated register, for callgrind to count the instructions of:
 *
 *   cost few|all r|w first|last
 *
 * The device has just those that every device has, and one more, or one in each
 * of the 64 dwords of conventional configuration space, which no device of
 * QEMU's comes near to.
 */

#include "twin.h"

#define LAST_REG 0xfc

static uint32_t value;

static uint32_t cf_check read_value(const struct pci_dev *pdev,
                                    unsigned int reg, void *data)
{
    return *(const uint32_t *)data;
}

static void cf_check write_value(const struct pci_dev *pdev, unsigned int reg,
                                 uint32_t val, void *data)
{
    *(uint32_t *)data = val;
}

static noinline uint32_t measured(pci_sbdf_t sbdf,
                                                   unsigned int reg, bool write)
{
    if ( !write )
        return vpci_read(sbdf, reg, 4);

    vpci_write(sbdf, reg, 4, 0x5eed);

    return 0x5eed;
}

int main(int argc, char *argv[])
{
    unsigned int reg = LAST_REG;
    bool write;
    struct device *dev;
    struct pci_dev *pdev;

    if ( argc != 4 )
        return 2;
    write = *argv[2] == 'w';

    emul_start(1);
    dev = add_device(&models[nr_models - 3]);
    pdev = &dev->pdev;
    ASSERT(!attach_device(dev, false));

    ASSERT(!vpci_add_register(pdev->vpci, read_value, write_value, LAST_REG, 4,
                              &value));
    for ( unsigned int i = LAST_REG; *argv[1] == 'a' && i; )
    {
        i -= 4;
        /* Some of a dword may be emulated, the rest is not another register. */
        if ( !vpci_add_register(pdev->vpci, read_value, write_value, i, 4,
                                &value) && *argv[3] == 'f' )
            reg = i;
    }

    /* It shall not be the first of its kind, and has to get where it should. */
    vpci_write(pdev->sbdf, LAST_REG, 4, 0x5eed);
    ASSERT(value == vpci_read(pdev->sbdf, LAST_REG, 4));
    value = write ? 0 : 0x5eed;
    ASSERT(measured(pdev->sbdf, reg, write) == 0x5eed && value == 0x5eed);

    return 0;
}
