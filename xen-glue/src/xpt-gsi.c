/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * GSIs of a PVH hardware domain: performs what xen-passthrough's GSI table
 * asks for.
 */

#include <xen/event.h>
#include <xen/init.h>
#include <xen/iocap.h>
#include <xen/irq.h>
#include <xen/lib.h>
#include <xen/nospec.h>
#include <xen/pci.h>
#include <xen/sched.h>
#include <xen/xmalloc.h>
#include <xen/xpt-glue.h>

#include <asm/hvm/irq.h>
#include <asm/io_apic.h>

#include <public/physdev.h>
#include <xsm/xsm.h>

static struct xpt_gsi_table table;
static struct xpt_gsi_pin *__ro_after_init pins;

static int __init cf_check xpt_gsi_init(void)
{
    pins = xzalloc_array(struct xpt_gsi_pin, nr_irqs_gsi);

    return pins ? 0 : -ENOMEM;
}
__initcall(xpt_gsi_init);

static int map_gsi(struct domain *d, unsigned int gsi)
{
    int pirq = gsi;

    return allocate_and_map_gsi_pirq(d, gsi, &pirq);
}

static int bind_gsi(struct domain *d, unsigned int gsi)
{
    const struct xen_domctl_bind_pt_irq bind = {
        .irq_type = PT_IRQ_TYPE_PCI,
        .machine_irq = gsi,
    };
    int rc;

    pcidevs_lock();
    rc = pt_irq_create_bind(d, &bind);
    pcidevs_unlock();

    return rc;
}

static int unmap_gsi(struct domain *d, unsigned int gsi)
{
    int rc;

    pcidevs_lock();
    write_lock(&d->event_lock);
    rc = unmap_domain_pirq(d, gsi);
    /*
     * That takes the domain's access to the interrupt away too, without which
     * it could not be mapped ever again. Mapping it has shown that it had it.
     */
    if ( !rc )
        rc = irq_permit_access(d, gsi);
    write_unlock(&d->event_lock);
    pcidevs_unlock();

    return rc;
}

/* Whether Xen has a handler of its own on the interrupt. */
static bool used_by_xen(unsigned int irq)
{
    struct irq_desc *desc = irq_to_desc(irq);
    unsigned long flags;
    bool used;

    spin_lock_irqsave(&desc->lock, flags);
    used = desc->action && !(desc->status & IRQ_GUEST);
    spin_unlock_irqrestore(&desc->lock, flags);

    return used;
}

static int execute(struct domain *d, unsigned int gsi,
                   const struct xpt_gsi_action *act)
{
    static const char *const names[] = {
        [XPT_GSI_REGISTER] = "registering",
        [XPT_GSI_MAP] = "mapping",
        [XPT_GSI_BIND] = "binding",
        [XPT_GSI_UNMAP] = "unmapping",
    };
    int rc;

    switch ( act->kind )
    {
    case XPT_GSI_REGISTER:
        rc = mp_register_gsi(gsi, !!(act->mode & XPT_GSI_LEVEL),
                             !!(act->mode & XPT_GSI_ACTIVE_LOW));
        /* An answer for the table, and no failure. */
        if ( rc == -EEXIST )
            return used_by_xen(gsi) ? -EBUSY : rc;
        break;

    case XPT_GSI_MAP:
        rc = map_gsi(d, gsi);
        break;

    case XPT_GSI_BIND:
        rc = bind_gsi(d, gsi);
        break;

    case XPT_GSI_UNMAP:
        rc = unmap_gsi(d, gsi);
        break;

    default:
        ASSERT_UNREACHABLE();
        return -EOPNOTSUPP;
    }

    if ( rc < 0 )
        gprintk(XENLOG_WARNING, "xpt: error %s GSI %u: %d\n",
                names[act->kind], gsi, rc);

    return rc;
}

static int run(unsigned int gsi, unsigned int mode, bool setup)
{
    struct domain *currd = current->domain;
    struct xpt_gsi_pin *pin;
    struct xpt_gsi_action act;

    if ( !pins )
        return -ENOMEM;

    pin = &pins[array_index_nospec(gsi, nr_irqs_gsi)];

    for ( ; ; )
    {
        if ( setup )
            xpt_gsi_setup(&table, pin, mode, &act);
        else
            xpt_gsi_unmask(&table, pin, mode, &act);

        if ( act.kind != XPT_GSI_WAIT )
            break;

        /* Xen is not preempted: whoever is at work on the pin soon ends. */
        cpu_relax();
    }

    while ( act.kind != XPT_GSI_DONE )
        xpt_gsi_complete(&table, pin, execute(currd, gsi, &act), &act);

    return act.rc;
}

int xpt_setup_gsi(const void *arg)
{
    unsigned int gsi, mode;
    int rc = xpt_setup_gsi_parse(arg, nr_irqs_gsi, &gsi, &mode);

    if ( !rc )
        rc = xsm_resource_setup_gsi(XSM_PRIV, gsi);
    if ( !rc )
        rc = run(gsi, mode, true);
    if ( rc == -EBUSY )
        gprintk(XENLOG_WARNING,
                "xpt: GSI %u is registered with another trigger mode or polarity\n",
                gsi);

    return rc;
}

int xpt_vioapic_unmask(unsigned int gsi, unsigned int trig, unsigned int pol)
{
    ASSERT(is_hardware_domain(current->domain));

    if ( gsi >= nr_irqs_gsi )
        return -EINVAL;

    return run(gsi, (trig ? XPT_GSI_LEVEL : 0) |
                    (pol ? XPT_GSI_ACTIVE_LOW : 0), false);
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
