/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Devices with vPCI: made, given and taken, their registers, their resets.
 * Performs what xen-passthrough asks for a device.
 */

#include <xen/lib.h>
#include <xen/rcupdate.h>
#include <xen/sched.h>
#include <xen/softirq.h>

#include <asm/event.h>
#include <asm/msi.h>

#include <public/physdev.h>
#include <xsm/xsm.h>

#include "compat.h"
#include "xpt-vpci.h"

/* How much is read: the command register, the header, capabilities too. */
enum depth { COMMAND, HEADER, CAPABILITIES };

static void probe(const struct pci_dev *pdev, enum depth depth,
                  struct xpt_snapshot *snapshot)
{
    unsigned int i, bars = PCI_HEADER_NORMAL_NR_BARS, rom = PCI_ROM_ADDRESS;
    pci_sbdf_t sbdf = pdev->sbdf;

    *snapshot = (struct xpt_snapshot){
        .command = pci_conf_read16(sbdf, PCI_COMMAND),
        .ignore_bars = pdev->ignore_bars,
    };

    if ( depth == COMMAND )
        return;

    snapshot->id = pci_conf_read32(sbdf, PCI_VENDOR_ID);
    snapshot->header_type = pci_conf_read8(sbdf, PCI_HEADER_TYPE);

    if ( (snapshot->header_type & 0x7f) == PCI_HEADER_TYPE_BRIDGE )
    {
        bars = PCI_HEADER_BRIDGE_NR_BARS;
        rom = PCI_ROM_ADDRESS1;
    }

    for ( i = 0; i < bars; i++ )
        snapshot->bars[i] = pci_conf_read32(sbdf, PCI_BASE_ADDRESS_0 + i * 4);
    snapshot->rom = pci_conf_read32(sbdf, rom);

    if ( depth == HEADER )
        return;

    snapshot->msi_pos = xpt_msi_pos(pdev);
    snapshot->msi_vectors = pdev->msi_maxvec;
    if ( snapshot->msi_pos )
        snapshot->msi_control = pci_conf_read16(
            sbdf, msi_control_reg(snapshot->msi_pos));

    snapshot->msix_pos = xpt_msix_pos(pdev);
    if ( snapshot->msix_pos )
    {
        snapshot->msix_control = pci_conf_read16(
            sbdf, msix_control_reg(snapshot->msix_pos));
        snapshot->msix_table = pci_conf_read32(
            sbdf, msix_table_offset_reg(snapshot->msix_pos));
        snapshot->msix_pba = pci_conf_read32(
            sbdf, msix_pba_offset_reg(snapshot->msix_pos));
    }
}

/*
 * The function does not answer while it decodes memory and its BARs are all
 * ones, so decoding is off meanwhile.
 */
static void size_bars(const struct pci_dev *pdev,
                      const struct xpt_snapshot *snapshot,
                      uint64_t sizes[XPT_NR_BARS])
{
    bool bridge = (snapshot->header_type & 0x7f) == PCI_HEADER_TYPE_BRIDGE;
    unsigned int bars = bridge ? PCI_HEADER_BRIDGE_NR_BARS
                               : PCI_HEADER_NORMAL_NR_BARS;
    unsigned int i = 0;

    if ( snapshot->command & PCI_COMMAND_MEMORY )
        pci_conf_write16(pdev->sbdf, PCI_COMMAND,
                         snapshot->command & ~PCI_COMMAND_MEMORY);

    while ( i < bars )
    {
        if ( (snapshot->bars[i] & PCI_BASE_ADDRESS_SPACE) ==
             PCI_BASE_ADDRESS_SPACE_IO )
            i++;
        else
            i += pci_size_mem_bar(pdev->sbdf, PCI_BASE_ADDRESS_0 + i * 4, NULL,
                                  &sizes[i], i == bars - 1 ? PCI_BAR_LAST : 0);
    }

    pci_size_mem_bar(pdev->sbdf, bridge ? PCI_ROM_ADDRESS1 : PCI_ROM_ADDRESS,
                     NULL, &sizes[bars], PCI_BAR_ROM);

    if ( snapshot->command & PCI_COMMAND_MEMORY )
        pci_conf_write16(pdev->sbdf, PCI_COMMAND, snapshot->command);
}

/* To be completed by the vCPU that is at it, before it runs its guest again. */
static int defer(const struct pci_dev *pdev, bool again)
{
    struct vcpu *curr = current;

    /* Before there is a domain to run, whoever attaches the device does it. */
    if ( system_state < SYS_STATE_active )
        return 0;

    /* One at a time: what gets no turn is left for its driver to turn on. */
    if ( curr->domain != xpt_user(pdev) )
        return -EXDEV;
    if ( curr->vpci.pending && curr->vpci.sbdf.sbdf != pdev->sbdf.sbdf )
        return -EBUSY;

    curr->vpci.sbdf = pdev->sbdf;
    curr->vpci.epoch = pdev->vpci->dev.epoch;
    curr->vpci.pending = true;
    if ( again )
        curr->vpci.repeat = true;
    raise_softirq(SCHEDULE_SOFTIRQ);

    return 0;
}

static void mask_msi(const struct pci_dev *pdev, uint32_t changed,
                     uint32_t mask)
{
    for ( ; changed; changed &= changed - 1 )
    {
        unsigned int i = ffs(changed) - 1;

        vpci_msi_arch_mask(&pdev->vpci->dev.msi, pdev, i, (mask >> i) & 1);
    }
}

static int update_entry(const struct pci_dev *pdev,
                        struct xpt_msix_entry *entry)
{
    const struct xpt_device *dev = &pdev->vpci->dev;
    unsigned int bir = dev->msix.tables[0] & PCI_MSIX_BIRMASK;
    int rc = vpci_msix_arch_disable_entry(entry, pdev);

    /* -ENOENT: it had no vector. */
    if ( !rc || rc == -ENOENT )
        rc = vpci_msix_arch_enable_entry(entry, pdev, dev->bars[bir].addr);
    if ( rc )
        gprintk(XENLOG_WARNING, "%pp: MSI-X entry %u: %d\n", &pdev->sbdf,
                vmsix_entry_nr(pdev->vpci->msix, entry), rc);

    return rc;
}

static void write_msix_control(const struct pci_dev *pdev, uint32_t val)
{
    unsigned int reg = msix_control_reg(pdev->vpci->dev.msix.pos);

    if ( pci_msi_conf_write_intercept(pdev->vpci->msix->pdev, reg, 2,
                                      &val) >= 0 )
        pci_conf_write16(pdev->sbdf, reg, val);
}

static void clear_msix(const struct pci_dev *pdev)
{
    /*
     * Releasing vectors while the device does not decode memory has Xen mask
     * the function instead of the entries, and that would stay.
     */
    if ( pdev->msix )
    {
        pdev->msix->host_maskall = false;
        pdev->msix->guest_maskall = false;
    }

    /* Not read before: the device may be gone. The other bits are read-only. */
    pci_conf_write16(pdev->sbdf, msix_control_reg(pdev->vpci->dev.msix.pos), 0);
}

static int execute(const struct pci_dev *pdev,
                   const struct xpt_vpci_action *act)
{
    struct vpci *vpci = pdev->vpci;
    struct xpt_msi *msi = &vpci->dev.msi;
    struct xpt_msix_entry *entry;

    /* What a write comes to most of the time; a switch is a chain of tests. */
    if ( likely(act->kind == XPT_VPCI_CONF_WRITE) )
    {
        if ( act->size == 2 )
            pci_conf_write16(pdev->sbdf, act->index, act->value);
        else
            pci_conf_write32(pdev->sbdf, act->index, act->value);
        return 0;
    }

    switch ( act->kind )
    {
    case XPT_VPCI_DEFER:
        return defer(pdev, false);

    case XPT_VPCI_RETRY:
        return defer(pdev, true);

    case XPT_VPCI_BAR_MAPPED:
        gprintk(XENLOG_WARNING, "%pp: ignored BAR%u write while mapped\n",
                &pdev->sbdf, act->index);
        return 0;

    case XPT_VPCI_MSI_ENABLE:
        return vpci_msi_arch_enable(msi, pdev, act->value);

    case XPT_VPCI_MSI_DISABLE:
        vpci_msi_arch_disable(msi, pdev);
        return 0;

    case XPT_VPCI_MSI_UPDATE:
        vpci_msi_arch_update(msi, pdev);
        return 0;

    case XPT_VPCI_MSI_MASK:
        mask_msi(pdev, act->index, act->value);
        return 0;

    case XPT_VPCI_INTX_DISABLE:
        pci_intx(pdev, false);
        return 0;

    case XPT_VPCI_MSIX_CLEAR:
        clear_msix(pdev);
        return 0;

    case XPT_VPCI_MSIX_CONTROL:
        write_msix_control(pdev, act->value);
        return 0;

    case XPT_VPCI_MSIX_UPDATE:
    case XPT_VPCI_MSIX_DISABLE:
    case XPT_VPCI_MSIX_MASK:
        if ( !vpci->msix || act->index >= vpci->msix->max_entries )
            break;
        entry = &vpci->msix->entries[act->index];
        if ( act->kind == XPT_VPCI_MSIX_UPDATE )
            return update_entry(pdev, entry);
        if ( act->kind == XPT_VPCI_MSIX_DISABLE )
        {
            int rc = vpci_msix_arch_disable_entry(entry, pdev);

            return rc == -ENOENT ? 0 : rc;
        }
        vpci_msix_arch_mask_entry(entry, pdev, act->value);
        return 0;

    default:
        break;
    }

    ASSERT_UNREACHABLE();
    return -EOPNOTSUPP;
}

/* Performs @act, no map, and gets the next; of the last one, the outcome. */
static void perform(const struct pci_dev *pdev, struct xpt_vpci_action *act)
{
    struct vpci *vpci = pdev->vpci;
    int rc;

    if ( act->kind == XPT_VPCI_PROBE )
    {
        struct xpt_snapshot snapshot;

        probe(pdev, act->value, &snapshot);
        xpt_device_probed(&vpci->dev, xpt_entries(vpci), &snapshot, act);
        return;
    }

    rc = execute(pdev, act);
    if ( act->last )
    {
        act->kind = XPT_VPCI_DONE;
        act->rc = rc;
    }
    else
        xpt_device_complete(&vpci->dev, xpt_entries(vpci), rc, act);
}

void xpt_converse(const struct pci_dev *pdev, struct xpt_vpci_action *act)
{
    while ( act->kind != XPT_VPCI_DONE )
        perform(pdev, act);
}

/*
 * Steps of a reset between two looks whether to be preempted: at least as many
 * are done by each continuation. A large MSI-X table has 2048.
 */
#define BATCH 64

int xpt_converse_and_map(struct pci_dev *pdev, struct xpt_vpci_action *act)
{
    struct vpci *vpci = pdev->vpci;
    unsigned int steps = 0;

    while ( act->kind != XPT_VPCI_DONE )
    {
        if ( !(++steps % BATCH) && general_preempt_check() )
        {
            xpt_unlock_device(pdev);
            return -ERESTART;
        }

        if ( act->kind == XPT_VPCI_MAP || act->kind == XPT_VPCI_UNMAP )
        {
            /* Not completed: the continuation is given the same action. */
            int rc = xpt_map(pdev, act);

            if ( rc == -ERESTART || xpt_lock_device(pdev) )
                return -ERESTART;
            xpt_map_done(pdev);
            xpt_device_complete(&vpci->dev, xpt_entries(vpci), rc, act);
        }
        else
            perform(pdev, act);
    }

    xpt_unlock_device(pdev);

    return act->rc;
}

static uint32_t cf_check read_register(
    const struct pci_dev *pdev, unsigned int reg, void *data)
{
    return xpt_device_read(&pdev->vpci->dev, reg);
}

static void cf_check write_register(
    const struct pci_dev *pdev, unsigned int reg, uint32_t val, void *data)
{
    struct vpci *vpci = pdev->vpci;
    struct xpt_vpci_action act;

    xpt_device_write(&vpci->dev, xpt_entries(vpci), reg, val, &act);
    xpt_converse(pdev, &act);

    if ( act.rc )
        gprintk(XENLOG_WARNING, "%pp: write of %#x to %#x ignored: %d\n",
                &pdev->sbdf, val, reg, act.rc);
}

static void cf_check write_command(
    const struct pci_dev *pdev, unsigned int reg, uint32_t val, void *data)
{
    /* Most writes do not change what is decoded. */
    if ( likely(xpt_device_passes_command(&pdev->vpci->dev, val)) )
        pci_conf_write16(pdev->sbdf, reg, val);
    else
        write_register(pdev, reg, val, data);
}

static void cf_check write_bar(
    const struct pci_dev *pdev, unsigned int reg, uint32_t val, void *data)
{
    int64_t placed = xpt_device_place_bar(&pdev->vpci->dev,
                                          (reg - PCI_BASE_ADDRESS_0) / 4, val);

    if ( placed >= 0 )
        pci_conf_write32(pdev->sbdf, reg, placed);
    else
        write_register(pdev, reg, val, data);
}

/* Hardware's but for the types of its bits, which the masks are for. */
static void cf_check write_status(
    const struct pci_dev *pdev, unsigned int reg, uint32_t val, void *data)
{
    if ( xpt_may_write(pdev) )
        pci_conf_write16(pdev->sbdf, reg, val);
}

/* The hardware domain reads header registers from the device. */
static int add_header_registers(struct vpci *vpci, unsigned int bars,
                                unsigned int rom)
{
    unsigned int i;
    int rc = vpci_add_register_mask(vpci, vpci_hw_read16, write_command,
                                    PCI_COMMAND, 2, NULL, 0, 0, 0, 0);

    if ( !rc )
        rc = vpci_add_register_mask(vpci, vpci_hw_read16, write_status,
                                    PCI_STATUS, 2, NULL, XPT_STATUS_RO,
                                    XPT_STATUS_RW1C, 0, XPT_STATUS_RSVDZ);

    for ( i = 0; !rc && i <= bars; i++ )
        switch ( vpci->dev.bars[i].kind )
        {
        case XPT_BAR_KIND_MEM32:
        case XPT_BAR_KIND_MEM64_LO:
        case XPT_BAR_KIND_MEM64_HI:
        case XPT_BAR_KIND_ROM:
            rc = vpci_add_register_mask(
                vpci, vpci_hw_read32, i == bars ? write_register : write_bar,
                i == bars ? rom : PCI_BASE_ADDRESS_0 + i * 4, 4, NULL,
                0, 0, 0, 0);
            break;
        }

    return rc;
}

static int add_register(struct vpci *vpci, unsigned int reg, unsigned int size)
{
    return vpci_add_register_mask(vpci, read_register, write_register, reg,
                                  size, NULL, 0, 0, 0, 0);
}

static int add_msi_registers(struct vpci *vpci)
{
    const struct xpt_msi *msi = &vpci->dev.msi;
    unsigned int pos = msi->pos;
    int rc;

    if ( !pos )
        return 0;

    rc = add_register(vpci, msi_control_reg(pos), 2);
    if ( !rc )
        rc = add_register(vpci, msi_lower_address_reg(pos), 4);
    if ( !rc && msi->address64 )
        rc = add_register(vpci, msi_upper_address_reg(pos), 4);
    if ( !rc )
        rc = add_register(vpci, msi_data_reg(pos, msi->address64), 2);
    if ( !rc && msi->masking )
        rc = add_register(vpci, msi_mask_bits_reg(pos, msi->address64), 4);

    return rc;
}

static int add_msix(struct pci_dev *pdev)
{
    struct vpci *vpci = pdev->vpci;
    unsigned int entries = vpci->dev.msix.entries;

    if ( !vpci->dev.msix.pos )
        return 0;

    vpci->msix = xzalloc_bytes(sizeof(*vpci->msix) +
                               entries * sizeof(*vpci->msix->entries));
    if ( !vpci->msix )
        return -ENOMEM;

    if ( !entries )
        printk(XENLOG_WARNING "%pp: MSI-X outside of memory BARs, unusable\n",
               &pdev->sbdf);

    vpci->msix->pdev = pdev;
    vpci->msix->max_entries = entries;
    xpt_msix_init(vpci->msix->entries, entries);

    return add_register(vpci, msix_control_reg(vpci->dev.msix.pos), 2);
}

/* Makes a device's vPCI, at rest. What is there when it fails is freed. */
static int make(struct pci_dev *pdev)
{
    struct xpt_snapshot snapshot;
    uint64_t sizes[XPT_NR_BARS] = {};
    struct vpci *vpci;
    unsigned int i;
    bool bridge;
    int rc;

    BUILD_BUG_ON(XPT_NR_BARS != PCI_HEADER_NORMAL_NR_BARS + 1);
    BUILD_BUG_ON(XPT_INVALID_PIRQ != INVALID_PIRQ);

    probe(pdev, CAPABILITIES, &snapshot);
    bridge = (snapshot.header_type & 0x7f) == PCI_HEADER_TYPE_BRIDGE;
    if ( !bridge && (snapshot.header_type & 0x7f) != PCI_HEADER_TYPE_NORMAL )
        return -EOPNOTSUPP;

    vpci = xzalloc(struct vpci);
    if ( !vpci )
        return -ENOMEM;

    INIT_LIST_HEAD(&vpci->handlers);
    spin_lock_init(&vpci->lock);

    if ( !pdev->ignore_bars )
        size_bars(pdev, &snapshot, sizes);
    rc = xpt_device_init(&vpci->dev, &snapshot, (const void *)sizes);

    pdev->vpci = vpci;

    for ( i = 0; !rc && i < XPT_NR_BARS; i++ )
        if ( vpci->dev.bars[i].order )
        {
            vpci->mem[i] = rangeset_new(NULL, NULL, 0);
            if ( !vpci->mem[i] )
                rc = -ENOMEM;
        }

    if ( !rc )
        rc = add_header_registers(vpci, bridge ? PCI_HEADER_BRIDGE_NR_BARS
                                               : PCI_HEADER_NORMAL_NR_BARS,
                                  bridge ? PCI_ROM_ADDRESS1 : PCI_ROM_ADDRESS);
    if ( !rc )
        rc = add_msi_registers(vpci);
    if ( !rc )
        rc = add_msix(pdev);

    if ( rc )
        xpt_vpci_free(pdev);

    return rc;
}

void xpt_vpci_free(struct pci_dev *pdev)
{
    struct vpci *vpci = pdev->vpci;
    unsigned int i;

    if ( !vpci )
        return;

    xpt_free_registers(vpci);
    for ( i = 0; i < ARRAY_SIZE(vpci->mem); i++ )
        rangeset_destroy(vpci->mem[i]);
    xfree(vpci->msix);
    xfree(vpci);
    pdev->vpci = NULL;
}

/* Maps at boot, when there is nobody to come back for it. */
static void map_at_boot(struct pci_dev *pdev)
{
    struct vpci_vcpu deferred = {
        .sbdf = pdev->sbdf,
        .pending = true,
    };

    do {
        deferred.epoch = pdev->vpci->dev.epoch;
        while ( xpt_map_deferred(pdev, &deferred) )
            process_pending_softirqs();
        /* A failed map is followed by the unmap of what there was. */
    } while ( deferred.epoch != pdev->vpci->dev.epoch );
}

int vpci_assign_device(struct pci_dev *pdev)
{
    struct domain *d = pdev->domain;
    const unsigned long *ro_map;
    struct xpt_vpci_action act;
    struct vpci *vpci;

    if ( !has_vpci(d) )
        return 0;

    /* What a guest sees is decided, but nobody has a way to give it to one. */
    if ( !is_hardware_domain(d) )
        return -EOPNOTSUPP;

    ro_map = pci_get_ro_map(pdev->sbdf.seg);
    if ( ro_map && test_bit(pdev->sbdf.bdf, ro_map) )
        return 0;

    if ( !pdev->vpci )
    {
        int rc = make(pdev);

        if ( rc )
            return rc;
    }

    vpci = pdev->vpci;

    spin_lock(&vpci->lock);
    xpt_device_attach(&vpci->dev, XPT_OWNER_HARDWARE, &act);
    xpt_converse(pdev, &act);
    if ( vpci->msix && !vpci->msix->listed )
    {
        list_add_rcu(&vpci->msix->next, &d->arch.hvm.msix_tables);
        vpci->msix->listed = true;
    }
    spin_unlock(&vpci->lock);

    if ( system_state < SYS_STATE_active )
    {
        xpt_owner_unlock(d);
        map_at_boot(pdev);
        xpt_owner_lock(d);
    }

    /* -EIO, -EOPNOTSUPP: the device is fenced, and its owner's all the same. */
    return act.rc;
}

void vpci_deassign_device(struct pci_dev *pdev)
{
    struct vpci *vpci = pdev->vpci;

    if ( !vpci || !vpci->msix || !vpci->msix->listed )
        return;

    /* Who is at it just now goes on to the next one as before. */
    list_del_rcu(&vpci->msix->next);
    vpci->msix->listed = false;
}

void xpt_vpci_hide(struct pci_dev *pdev)
{
    if ( pdev->vpci )
        xpt_device_hide(&pdev->vpci->dev);
}

int xpt_vpci_detach(struct pci_dev *pdev)
{
    struct vpci *vpci = pdev->vpci;
    struct xpt_vpci_action act;
    int rc;

    ASSERT(pcidevs_locked());

    if ( !vpci )
        return 0;

    rc = xpt_lock_device(pdev);
    if ( rc )
        return rc;

    xpt_device_detach(&vpci->dev, xpt_entries(vpci), &act);
    rc = xpt_converse_and_map(pdev, &act);
    if ( rc )
        return rc;

    rc = xpt_lock_device(pdev);
    if ( !rc )
    {
        xpt_msix_unmap(vpci);
        xpt_unlock_device(pdev);
    }

    return rc;
}

static int reset_device(struct pci_dev *pdev, uint32_t flags)
{
    struct vpci *vpci = pdev->vpci;
    struct xpt_vpci_action act;
    int rc = xpt_lock_device(pdev);

    if ( rc )
        return rc;

    xpt_device_reset(&vpci->dev, xpt_entries(vpci), flags, &act);
    rc = xpt_converse_and_map(pdev, &act);

    if ( rc && rc != -ERESTART )
        gprintk(XENLOG_WARNING, "%pp: reset: %d\n", &pdev->sbdf, rc);

    return rc;
}

int xpt_pci_device_reset(const void *arg)
{
    struct pci_dev *pdev;
    pci_sbdf_t sbdf;
    uint32_t flags;
    int rc = xpt_pci_device_reset_parse(arg, &sbdf.sbdf, &flags);

    if ( rc )
        return rc;

    rc = xsm_resource_setup_pci(XSM_PRIV, sbdf.sbdf);
    if ( rc )
        return rc;

    /* Held throughout: it keeps the device, and other resets of it away. */
    pcidevs_lock();

    pdev = pci_get_pdev(NULL, sbdf);
    if ( !pdev )
        rc = -ENODEV;
    else if ( !pdev->vpci )
        /* An owner without vPCI, and a read-only device, have no state. */
        rc = 0;
    else
        rc = reset_device(pdev, flags);

    pcidevs_unlock();

    return rc;
}

bool xpt_may_write(const struct pci_dev *pdev)
{
    enum xpt_writes writes = xpt_device_writes(&pdev->vpci->dev);

    if ( writes == XPT_WRITES_WAIT )
        (void)defer(pdev, true);

    return writes == XPT_WRITES_PASS;
}

bool xpt_vpci_retry(void)
{
    struct vcpu *curr = current;
    bool repeat = curr->vpci.repeat;

    curr->vpci.repeat = false;

    return repeat;
}

bool xpt_may_write_raw(pci_sbdf_t sbdf, unsigned int reg, unsigned int size,
                       uint32_t *data)
{
    const struct pci_dev *pdev;
    bool others;

    /* A device that a guest has: what Xen does with its MSI goes first. */
    pcidevs_lock();
    pdev = pci_get_pdev(NULL, sbdf);
    others = pdev && pdev->domain && xpt_user(pdev) != current->domain;
    pcidevs_unlock();

    return !others ||
           pci_conf_write_intercept(sbdf.seg, sbdf.bdf, reg, size, data) >= 0;
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
