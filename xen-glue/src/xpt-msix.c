/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * MSI-X tables in memory: a domain's accesses to the pages that hold them. The
 * table's own answers and effects are xen-passthrough's; what shares a page with
 * it is read and written on the device.
 */

#include <xen/lib.h>
#include <xen/rcupdate.h>
#include <xen/sched.h>
#include <xen/softirq.h>
#include <xen/vmap.h>

#include <asm/hvm/domain.h>
#include <asm/io.h>

#include "compat.h"
#include "xpt-vpci.h"

/*
 * The device of @d that has MSI-X at @addr. Xen 4.17 has no lock for the list:
 * devices leave it by RCU.
 */
static struct vpci_msix *find(const struct domain *d, unsigned long addr)
{
    struct vpci_msix *msix;

    list_for_each_entry_rcu ( msix, &d->arch.hvm.msix_tables, next )
        if ( xpt_msix_is_at(&msix->pdev->vpci->dev, addr) )
            return msix;

    return NULL;
}

static int cf_check msix_accept(struct vcpu *v, unsigned long addr)
{
    bool found;

    xpt_read_lock(v->domain);
    found = find(v->domain, addr);
    xpt_read_unlock(v->domain);

    return found;
}

/* The page's mapping in Xen, made at its first use. */
static void __iomem *msix_page(struct vpci_msix *msix,
                              const struct xpt_msix_place *place)
{
    if ( !msix->table[place->slot] )
        msix->table[place->slot] = ioremap(place->addr & PAGE_MASK, PAGE_SIZE);
    if ( !msix->table[place->slot] )
    {
        gprintk(XENLOG_WARNING, "%pp: cannot map MSI-X page %#lx\n",
                &msix->pdev->sbdf, place->addr & PAGE_MASK);
        return NULL;
    }

    return msix->table[place->slot] + PAGE_OFFSET(place->addr);
}

static uint64_t read_device(const void __iomem *from, unsigned int len)
{
    switch ( len )
    {
    case 1:
        return readb(from);

    case 2:
        return readw(from);

    case 4:
        return readl(from);
    }

    return readq(from);
}

static void write_device(void __iomem *to, unsigned int len, uint64_t data)
{
    switch ( len )
    {
    case 1:
        writeb(data, to);
        return;

    case 2:
        writew(data, to);
        return;

    case 4:
        writel(data, to);
        return;
    }

    writeq(data, to);
}

/* The locks are held; 1, 2, 4 or 8 bytes. */
static uint64_t read_at(struct vpci_msix *msix, unsigned long addr,
                        unsigned int len)
{
    const struct vpci *vpci = msix->pdev->vpci;
    struct xpt_msix_place place;
    const void __iomem *page;
    uint64_t low;

    xpt_msix_place(&vpci->dev, addr, len, &place);

    switch ( place.kind )
    {
    case XPT_MSIX_PLACE_KIND_ENTRY:
        return xpt_msix_read(&vpci->dev, msix->entries, place.entry,
                             place.offset, len);

    case XPT_MSIX_PLACE_KIND_DEVICE:
    case XPT_MSIX_PLACE_KIND_PENDING:
        if ( IS_ALIGNED(addr, len) )
        {
            page = msix_page(msix, &place);

            return page ? read_device(page, len) : ~0UL;
        }
        /* Registers near the table: byte by byte, each with its own place. */
        len /= 2;
        low = read_at(msix, addr, len) & (~0UL >> (64 - len * 8));
        return low | (read_at(msix, addr + len, len) << (len * 8));

    default:
        return ~0UL;
    }
}

static void write_at(struct vpci_msix *msix, unsigned long addr,
                     unsigned int len, uint64_t data)
{
    const struct pci_dev *pdev = msix->pdev;
    struct vpci *vpci = pdev->vpci;
    struct xpt_msix_place place;
    struct xpt_vpci_action act;
    void __iomem *page;

    xpt_msix_place(&vpci->dev, addr, len, &place);

    switch ( place.kind )
    {
    case XPT_MSIX_PLACE_KIND_ENTRY:
        xpt_msix_write(&vpci->dev, msix->entries, place.entry, place.offset,
                       len, data, &act);
        xpt_converse(pdev, &act);
        break;

    case XPT_MSIX_PLACE_KIND_PENDING:
        /* Undefined; a guest shall not try. */
        if ( !is_hardware_domain(xpt_user(pdev)) )
            break;
        fallthrough;
    case XPT_MSIX_PLACE_KIND_DEVICE:
        if ( IS_ALIGNED(addr, len) )
        {
            page = msix_page(msix, &place);
            if ( page )
                write_device(page, len, data);
            break;
        }
        len /= 2;
        write_at(msix, addr, len, data);
        write_at(msix, addr + len, len, data >> (len * 8));
        break;

    default:
        break;
    }
}

/* Takes the locks for an access, unless the table has moved meanwhile. */
static struct vpci_msix *begin(struct domain *d, unsigned long addr)
{
    struct vpci_msix *msix;

    xpt_read_lock(d);

    msix = find(d, addr);
    if ( msix )
    {
        spin_lock(&msix->pdev->vpci->lock);
        if ( xpt_msix_is_at(&msix->pdev->vpci->dev, addr) )
            return msix;
        spin_unlock(&msix->pdev->vpci->lock);
    }

    xpt_read_unlock(d);

    return NULL;
}

static void end(struct domain *d, struct vpci_msix *msix)
{
    spin_unlock(&msix->pdev->vpci->lock);
    xpt_read_unlock(d);
}

static int cf_check msix_read(struct vcpu *v, unsigned long addr,
                              unsigned int len, unsigned long *data)
{
    struct vpci_msix *msix = begin(v->domain, addr);

    *data = ~0UL;
    if ( !msix )
        return X86EMUL_RETRY;

    *data = read_at(msix, addr, len);
    end(v->domain, msix);

    return X86EMUL_OKAY;
}

static int cf_check msix_write(struct vcpu *v, unsigned long addr,
                               unsigned int len, unsigned long data)
{
    struct vpci_msix *msix = begin(v->domain, addr);

    if ( !msix )
        return X86EMUL_RETRY;

    write_at(msix, addr, len, data);
    end(v->domain, msix);

    return xpt_vpci_retry() ? X86EMUL_RETRY : X86EMUL_OKAY;
}

static const struct hvm_mmio_ops msix_ops = {
    .check = msix_accept,
    .read = msix_read,
    .write = msix_write,
};

void xpt_register_msix_handler(struct domain *d)
{
    register_mmio_handler(d, &msix_ops);
}

void xpt_msix_unmap(struct vpci *vpci)
{
    unsigned int i;

    for ( i = 0; vpci->msix && i < ARRAY_SIZE(vpci->msix->table); i++ )
        if ( vpci->msix->table[i] )
        {
            iounmap(vpci->msix->table[i]);
            vpci->msix->table[i] = NULL;
        }
}

static void dump_device(const struct pci_dev *pdev)
{
    const struct vpci *vpci = pdev->vpci;
    const struct xpt_device *dev = &vpci->dev;

    if ( dev->msi.enabled )
    {
        printk("%pp MSI\n  64-bit: %u", &pdev->sbdf, dev->msi.address64);
        if ( dev->msi.masking )
            printk(" mask: %08x", dev->msi.mask);
        printk(" vectors: %u of %u\n", dev->msi.vectors, dev->msi.max_vectors);
        vpci_msi_arch_print(&dev->msi);
    }

    if ( dev->msix.enabled )
        printk("%pp MSI-X\n  entries: %u masked: %u\n", &pdev->sbdf,
               dev->msix.entries, dev->msix.masked);
}

/* Debug key 'M': what is locked just now is left out. */
void vpci_dump_msi(void)
{
    struct domain *d;

    /* Keeps the devices where they are. */
    pcidevs_lock();
    rcu_read_lock(&domlist_read_lock);
    for_each_domain ( d )
    {
        const struct pci_dev *pdev;

        if ( !has_vpci(d) )
            continue;

        printk("vPCI MSI/MSI-X of %pd\n", d);

        if ( !xpt_read_trylock(d) )
            continue;

        for_each_pdev ( d, pdev )
        {
            int rc = 0;

            if ( !pdev->vpci || !spin_trylock(&pdev->vpci->lock) )
                continue;

            dump_device(pdev);
            /* An error says that it has dropped the locks. */
            if ( pdev->vpci->dev.msix.enabled && pdev->vpci->msix )
                rc = vpci_msix_arch_print(pdev->vpci->msix);
            if ( rc )
            {
                printk("  not all entries: %d\n", rc);
                goto next_domain;
            }
            spin_unlock(&pdev->vpci->lock);
        }

        xpt_read_unlock(d);
 next_domain:
        process_pending_softirqs();
    }
    rcu_read_unlock(&domlist_read_lock);
    pcidevs_unlock();
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
