/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Accesses to configuration space: which registers are emulated, and the way
 * from an access to their handlers. How an access is cut up, and which bits a
 * write changes, is xen-passthrough's to say.
 */

#include <xen/sched.h>
#include <xen/vpci.h>
#include <xen/xpt-glue.h>

#include "compat.h"

/* An emulated register: 1, 2 or 4 bytes, within one dword. */
struct vpci_register {
    vpci_read_t *read;
    vpci_write_t *write;
    void *private;
    unsigned int offset;
    unsigned int size;
    struct xpt_masks masks;
    bool plain;                     /* No bit in any of the masks. */
    struct list_head node;          /* All of the device. */
    struct vpci_register *next;     /* Of the same bucket, by offset. */
};

/* A bucket has the registers of every 64th dword: one, in most devices. */
static struct vpci_register **bucket(struct vpci *vpci, unsigned int reg)
{
    return &vpci->index[(reg / 4) % ARRAY_SIZE(vpci->index)];
}

/* The first register that has bytes in [start, end), which is in one dword. */
static struct vpci_register *find(struct vpci *vpci, unsigned int start,
                                  unsigned int end)
{
    struct vpci_register *r;

    for ( r = *bucket(vpci, start); r && r->offset < end; r = r->next )
        if ( r->offset + r->size > start )
            return r;

    return NULL;
}

/* Whether an access is of @r, all of it, and @r is as it is read and written. */
static bool is_whole(const struct vpci_register *r, unsigned int reg,
                     unsigned int size)
{
    return r->plain && r->offset == reg && r->size == size;
}

static uint32_t cf_check ignored_read(
    const struct pci_dev *pdev, unsigned int reg, void *data)
{
    return ~(uint32_t)0;
}

static void cf_check ignored_write(
    const struct pci_dev *pdev, unsigned int reg, uint32_t val, void *data)
{
}

uint32_t cf_check vpci_read_val(
    const struct pci_dev *pdev, unsigned int reg, void *data)
{
    return (uintptr_t)data;
}

uint32_t cf_check vpci_hw_read8(
    const struct pci_dev *pdev, unsigned int reg, void *data)
{
    return pci_conf_read8(pdev->sbdf, reg);
}

uint32_t cf_check vpci_hw_read16(
    const struct pci_dev *pdev, unsigned int reg, void *data)
{
    return pci_conf_read16(pdev->sbdf, reg);
}

uint32_t cf_check vpci_hw_read32(
    const struct pci_dev *pdev, unsigned int reg, void *data)
{
    return pci_conf_read32(pdev->sbdf, reg);
}

void cf_check vpci_hw_write16(
    const struct pci_dev *pdev, unsigned int reg, uint32_t val, void *data)
{
    pci_conf_write16(pdev->sbdf, reg, val);
}

int vpci_add_register_mask(struct vpci *vpci, vpci_read_t *read_handler,
                           vpci_write_t *write_handler, unsigned int offset,
                           unsigned int size, void *data, uint32_t ro_mask,
                           uint32_t rw1c_mask, uint32_t rsvdp_mask,
                           uint32_t rsvdz_mask)
{
    const struct xpt_masks masks = {
        .ro = ro_mask,
        .rw1c = rw1c_mask,
        .rsvdp = rsvdp_mask,
        .rsvdz = rsvdz_mask,
    };
    struct vpci_register *r, **prev;
    int rc = xpt_access_check(&masks, offset, size);

    if ( rc )
        return rc;
    if ( !read_handler && !write_handler )
        return -EINVAL;

    r = xmalloc(struct vpci_register);
    if ( !r )
        return -ENOMEM;

    r->read = read_handler ?: ignored_read;
    r->write = write_handler ?: ignored_write;
    r->private = data;
    r->offset = offset;
    r->size = size;
    r->masks = masks;
    r->plain = !(ro_mask | rw1c_mask | rsvdp_mask | rsvdz_mask);

    spin_lock(&vpci->lock);

    if ( find(vpci, offset, offset + size) )
    {
        spin_unlock(&vpci->lock);
        xfree(r);
        return -EEXIST;
    }

    for ( prev = bucket(vpci, offset); *prev && (*prev)->offset < offset;
          prev = &(*prev)->next )
        ;
    r->next = *prev;
    *prev = r;
    list_add_tail(&r->node, &vpci->handlers);

    spin_unlock(&vpci->lock);

    return 0;
}

int vpci_remove_register(struct vpci *vpci, unsigned int offset,
                         unsigned int size)
{
    struct vpci_register *r, **prev;

    spin_lock(&vpci->lock);

    for ( prev = bucket(vpci, offset); (r = *prev) != NULL; prev = &r->next )
        if ( r->offset == offset && r->size == size )
        {
            *prev = r->next;
            list_del(&r->node);
            break;
        }

    spin_unlock(&vpci->lock);

    if ( !r )
        return -ENOENT;
    xfree(r);

    return 0;
}

void xpt_free_registers(struct vpci *vpci)
{
    while ( !list_empty(&vpci->handlers) )
    {
        struct vpci_register *r = list_first_entry(&vpci->handlers,
                                                   struct vpci_register, node);

        list_del(&r->node);
        xfree(r);
    }
}

/*
 * The device behind @sbdf, if @d uses it. The hardware domain also uses what
 * Xen leaves it of the devices that Xen hides.
 */
static struct pci_dev *find_device(const struct domain *d, pci_sbdf_t sbdf)
{
    struct pci_dev *pdev = pci_get_pdev(d, sbdf);

    if ( !pdev && is_hardware_domain(d) )
        pdev = pci_get_pdev(dom_xen, sbdf);

    return pdev && pdev->vpci ? pdev : NULL;
}

static uint32_t read_hw(pci_sbdf_t sbdf, unsigned int reg, unsigned int size)
{
    if ( !is_hardware_domain(current->domain) )
        return ~(uint32_t)0;

    switch ( size )
    {
    case 1:
        return pci_conf_read8(sbdf, reg);

    case 2:
        return pci_conf_read16(sbdf, reg);

    case 4:
        return pci_conf_read32(sbdf, reg);
    }

    /* Next to one emulated byte, three are left: one of them is aligned. */
    return (reg & 1)
           ? read_hw(sbdf, reg, 1) | (read_hw(sbdf, reg + 1, 2) << 8)
           : read_hw(sbdf, reg, 2) | (read_hw(sbdf, reg + 2, 1) << 16);
}

static void write_hw(pci_sbdf_t sbdf, unsigned int reg, unsigned int size,
                     uint32_t data)
{
    if ( !is_hardware_domain(current->domain) )
        return;

    switch ( size )
    {
    case 1:
        pci_conf_write8(sbdf, reg, data);
        return;

    case 2:
        pci_conf_write16(sbdf, reg, data);
        return;

    case 4:
        pci_conf_write32(sbdf, reg, data);
        return;
    }

    if ( reg & 1 )
    {
        write_hw(sbdf, reg, 1, data);
        write_hw(sbdf, reg + 1, 2, data >> 8);
    }
    else
    {
        write_hw(sbdf, reg, 2, data);
        write_hw(sbdf, reg + 2, 1, data >> 16);
    }
}

/* A write to a device without emulation, to be called without locks. */
static void write_raw(pci_sbdf_t sbdf, unsigned int reg, unsigned int size,
                      uint32_t data)
{
    if ( xpt_may_write_raw(sbdf, reg, size, &data) )
        write_hw(sbdf, reg, size, data);
}

uint32_t vpci_read(pci_sbdf_t sbdf, unsigned int reg, unsigned int size)
{
    struct domain *d = current->domain;
    const struct pci_dev *pdev;
    unsigned int done = 0;
    uint32_t data = ~(uint32_t)0;

    if ( !size )
    {
        ASSERT_UNREACHABLE();
        return data;
    }

    xpt_read_lock(d);

    pdev = find_device(d, sbdf);
    if ( !pdev )
    {
        xpt_read_unlock(d);
        return read_hw(sbdf, reg, size);
    }

    spin_lock(&pdev->vpci->lock);

    /* As if no device were there. */
    if ( unlikely(pdev->vpci->dev.fenced) )
        done = size;

    while ( done < size )
    {
        const struct vpci_register *r = find(pdev->vpci, reg + done,
                                             reg + size);
        struct xpt_piece piece;
        uint32_t val;

        if ( !r )
            break;

        if ( likely(is_whole(r, reg, size)) )
        {
            data = r->read(pdev, reg, r->private);
            done = size;
            break;
        }

        piece = xpt_access_piece(reg + done, size - done, r->offset, r->size);
        if ( piece.emulated )
            val = xpt_access_read(&r->masks,
                                  r->read(pdev, r->offset, r->private),
                                  piece.offset);
        else
            val = read_hw(sbdf, reg + done, piece.size);

        data = xpt_access_merge(data, val, piece.size, done);
        done += piece.size;
    }

    spin_unlock(&pdev->vpci->lock);
    xpt_read_unlock(d);

    if ( done < size )
        data = xpt_access_merge(data, read_hw(sbdf, reg + done, size - done),
                                size - done, done);

    return data & (0xffffffffU >> (32 - 8 * size));
}

static void write_register(const struct pci_dev *pdev,
                           const struct vpci_register *r, unsigned int size,
                           unsigned int offset, uint32_t data)
{
    uint32_t val = 0;

    if ( xpt_access_needs_current(&r->masks, size, r->size) )
        val = r->read(pdev, r->offset, r->private);

    r->write(pdev, r->offset,
             xpt_access_write(&r->masks, val, data, size, offset, r->size),
             r->private);
}

/*
 * Writes registers, which know themselves when writes are ignored, and hardware
 * up to the last register. Gives the bytes that are done.
 */
static noinline unsigned int write_device(
    const struct pci_dev *pdev, pci_sbdf_t sbdf, unsigned int reg,
    unsigned int size, uint32_t data)
{
    unsigned int done = 0;

    while ( done < size )
    {
        const struct vpci_register *r = find(pdev->vpci, reg + done,
                                             reg + size);
        struct xpt_piece piece;

        if ( !r )
            return xpt_may_write(pdev) ? done : size;

        piece = xpt_access_piece(reg + done, size - done, r->offset, r->size);
        if ( piece.emulated )
            write_register(pdev, r, piece.size, piece.offset,
                           data >> (done * 8));
        else if ( xpt_may_write(pdev) )
            write_hw(sbdf, reg + done, piece.size, data >> (done * 8));
        done += piece.size;

        /* All of it will be made again. */
        if ( xpt_repeats() )
            return size;
    }

    return done;
}

void vpci_write(pci_sbdf_t sbdf, unsigned int reg, unsigned int size,
                uint32_t data)
{
    struct domain *d = current->domain;
    const struct pci_dev *pdev;
    const struct vpci_register *r;
    unsigned int done = size;

    if ( !size )
    {
        ASSERT_UNREACHABLE();
        return;
    }

    xpt_write_lock(d);

    pdev = find_device(d, sbdf);
    if ( !pdev )
    {
        /* Read-only devices have no vPCI. */
        const unsigned long *ro_map = pci_get_ro_map(sbdf.seg);

        xpt_write_unlock(d);

        if ( !ro_map || !test_bit(sbdf.bdf, ro_map) )
            write_raw(sbdf, reg, size, data);
        return;
    }

    spin_lock(&pdev->vpci->lock);
    r = find(pdev->vpci, reg, reg + size);
    if ( likely(r && is_whole(r, reg, size)) )
        r->write(pdev, reg, data & (0xffffffffU >> (32 - 8 * size)),
                 r->private);
    else
        done = write_device(pdev, sbdf, reg, size, data);
    spin_unlock(&pdev->vpci->lock);
    xpt_write_unlock(d);

    if ( done < size )
        write_hw(sbdf, reg + done, size - done, data >> (done * 8));
}

/* Whether an access has a size that there is, and is aligned to it. */
bool vpci_access_allowed(unsigned int reg, unsigned int len)
{
    return (len == 1 || len == 2 || len == 4 || len == 8) &&
           !(reg & (len - 1));
}

bool vpci_ecam_write(pci_sbdf_t sbdf, unsigned int reg, unsigned int len,
                     unsigned long data)
{
    if ( !vpci_access_allowed(reg, len) ||
         reg + len > PCI_CFG_SPACE_EXP_SIZE )
        return false;

    vpci_write(sbdf, reg, min(4u, len), data);
    if ( len == 8 && !xpt_repeats() )
        vpci_write(sbdf, reg + 4, 4, data >> 32);

    return true;
}

bool vpci_ecam_read(pci_sbdf_t sbdf, unsigned int reg, unsigned int len,
                    unsigned long *data)
{
    if ( !vpci_access_allowed(reg, len) ||
         reg + len > PCI_CFG_SPACE_EXP_SIZE )
        return false;

    *data = vpci_read(sbdf, reg, min(4u, len));
    if ( len == 8 )
        *data |= (uint64_t)vpci_read(sbdf, reg + 4, 4) << 32;

    return true;
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
