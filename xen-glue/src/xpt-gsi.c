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

#include "compat.h"

static struct xpt_gsi_table table;
static struct xpt_gsi_pin *__ro_after_init pins;
/* nr_irqs_gsi, or 0 if there was no memory: no GSI is in range then. */
static unsigned int __ro_after_init nr_pins;

static int __init cf_check xpt_gsi_init(void)
{
    pins = xzalloc_array(struct xpt_gsi_pin, nr_irqs_gsi);
    if ( !pins )
        return -ENOMEM;

    nr_pins = nr_irqs_gsi;

    return 0;
}
__initcall(xpt_gsi_init);

/*
 * The interrupt behind a GSI; they differ for the legacy ones that ACPI moves
 * to another pin. Whoever needs the one of the other asks here.
 */
int xpt_gsi_to_irq(unsigned int gsi)
{
    int irq;

    if ( gsi >= nr_irqs_gsi )
        return -ERANGE;

    irq = gsi_2_irq(array_index_nospec(gsi, nr_irqs_gsi));

    return irq ?: -EINVAL;
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

static int reprogram_gsi(unsigned int gsi, int irq, bool level, bool low)
{
    int ioapic = mp_find_ioapic(gsi);

    if ( ioapic < 0 )
        return -EINVAL;

    return io_apic_set_pin_mode(ioapic, gsi - io_apic_gsi_base(ioapic), irq,
                                level, low);
}

static int register_gsi(unsigned int gsi, int irq, bool level, bool low)
{
    int rc;

    if ( used_by_xen(irq) )
        return -EBUSY;

    if ( irq == gsi )
        return mp_register_gsi(gsi, level, low);

    /* Xen has routed the pins of moved legacy interrupts when it booted. */
    rc = reprogram_gsi(gsi, irq, level, low);

    return rc == -EBUSY ? -EEXIST : rc;
}

static int map_gsi(struct domain *d, unsigned int gsi, int irq)
{
    int rc;

    write_lock(&d->event_lock);
    rc = map_domain_pirq(d, gsi, irq, MAP_PIRQ_TYPE_GSI, NULL);
    /* It answers 0 as well when either is mapped to something else. */
    if ( !rc && domain_pirq_to_irq(d, gsi) != irq )
        rc = -EEXIST;
    write_unlock(&d->event_lock);

    return rc;
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

static int unbind_gsi(struct domain *d, unsigned int gsi)
{
    const struct xen_domctl_bind_pt_irq bind = {
        .irq_type = PT_IRQ_TYPE_PCI,
        .machine_irq = gsi,
    };
    int rc;

    pcidevs_lock();
    rc = pt_irq_destroy_bind(d, &bind);
    pcidevs_unlock();

    return rc;
}

static int unmap_gsi(struct domain *d, unsigned int gsi, int irq)
{
    int rc;

    pcidevs_lock();
    write_lock(&d->event_lock);
    rc = unmap_domain_pirq(d, gsi);
    /*
     * That takes the domain's access to the interrupt away too, without which
     * it could not be mapped ever again; mapping it has shown that it had it.
     * It also fails with the pirq gone already when that takes memory, so the
     * pirq itself has to be looked at.
     */
    if ( domain_pirq_to_irq(d, gsi) <= 0 )
    {
        rc = 0;
        if ( irq_permit_access(d, irq) )
            gprintk(XENLOG_ERR, "xpt: %pd has lost its access to IRQ %d\n",
                    d, irq);
    }
    write_unlock(&d->event_lock);
    pcidevs_unlock();

    return rc;
}

static int execute(struct domain *d, unsigned int gsi,
                   const struct xpt_gsi_action *act)
{
    static const char *const names[] = {
        [XPT_GSI_REGISTER] = "registering",
        [XPT_GSI_REPROGRAM] = "reprogramming",
        [XPT_GSI_MAP] = "mapping",
        [XPT_GSI_BIND] = "binding",
        [XPT_GSI_UNBIND] = "unbinding",
        [XPT_GSI_UNMAP] = "unmapping",
    };
    bool level = act->mode & XPT_GSI_LEVEL;
    bool low = act->mode & XPT_GSI_ACTIVE_LOW;
    int irq = xpt_gsi_to_irq(gsi), rc;

    /* An existing pin without an interrupt that could be asked for: IRQ 0. */
    if ( irq == -EINVAL && mp_find_ioapic(gsi) >= 0 )
        return -EBUSY;
    if ( irq < 0 )
        return irq;

    switch ( act->kind )
    {
    case XPT_GSI_REGISTER:
        rc = register_gsi(gsi, irq, level, low);
        /* Answers for the table, and no failures. */
        if ( rc == -EEXIST || rc == -EBUSY )
            return rc;
        break;

    case XPT_GSI_REPROGRAM:
        rc = reprogram_gsi(gsi, irq, level, low);
        break;

    case XPT_GSI_MAP:
        rc = map_gsi(d, gsi, irq);
        break;

    case XPT_GSI_BIND:
        rc = bind_gsi(d, gsi);
        break;

    case XPT_GSI_UNBIND:
        rc = unbind_gsi(d, gsi);
        break;

    case XPT_GSI_UNMAP:
        rc = unmap_gsi(d, gsi, irq);
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

enum gsi_event {
    GSI_SETUP,
    GSI_UNMASK,
    GSI_UNMAP,
};

/* @gsi is below nr_pins, @mode XPT_GSI_* and unused by GSI_UNMAP. */
static always_inline void begin(enum gsi_event event, unsigned int gsi,
                                unsigned int mode, struct xpt_gsi_action *act)
{
    struct xpt_gsi_pin *pin = &pins[array_index_nospec(gsi, nr_pins)];

    switch ( event )
    {
    case GSI_SETUP:
        xpt_gsi_setup(&table, pin, mode, act);
        break;

    case GSI_UNMASK:
        xpt_gsi_unmask(&table, pin, mode, act);
        break;

    case GSI_UNMAP:
        xpt_gsi_unmap(&table, pin, act);
        break;
    }
}

/* Out of line, so that an event with nothing to do is short. */
static noinline int perform(enum gsi_event event, unsigned int gsi,
                            unsigned int mode, struct xpt_gsi_action *act)
{
    gsi = array_index_nospec(gsi, nr_pins);

    while ( act->kind == XPT_GSI_WAIT )
    {
        /* Xen is not preempted: whoever is at work on the pin soon ends. */
        cpu_relax();
        begin(event, gsi, mode, act);
    }

    /* The pin was not touched: its mode is not the one that is asked for. */
    if ( act->kind == XPT_GSI_DONE && act->rc == -EBUSY )
        gprintk(XENLOG_WARNING,
                "xpt: GSI %u is set up with another trigger mode or polarity\n",
                gsi);

    while ( act->kind != XPT_GSI_DONE )
        xpt_gsi_complete(&table, &pins[gsi],
                         execute(hardware_domain, gsi, act), act);

    return act->rc;
}

static always_inline int run(enum gsi_event event, unsigned int gsi,
                             unsigned int mode)
{
    struct xpt_gsi_action act;

    begin(event, gsi, mode, &act);

    if ( likely(act.kind == XPT_GSI_DONE && act.rc != -EBUSY) )
        return act.rc;

    return perform(event, gsi, mode, &act);
}

int xpt_setup_gsi(const void *arg)
{
    const struct xpt_setup_gsi_call call = xpt_setup_gsi_parse(arg, nr_pins);
    int rc;

    if ( call.rc )
        return call.rc;

    rc = xsm_resource_setup_gsi(XSM_PRIV, call.gsi);

    return rc ?: run(GSI_SETUP, call.gsi, call.mode);
}

int xpt_vioapic_unmask(unsigned int gsi, unsigned int trig, unsigned int pol)
{
    ASSERT(is_hardware_domain(current->domain));

    if ( gsi >= nr_pins )
        return -EINVAL;

    return run(GSI_UNMASK, gsi, (trig ? XPT_GSI_LEVEL : 0) |
                                (pol ? XPT_GSI_ACTIVE_LOW : 0));
}

bool xpt_owns_pirq(const struct domain *d, int pirq)
{
    return is_hvm_domain(d) && is_hardware_domain(d) && !has_pirq(d) &&
           pirq >= 0 && pirq < nr_pins;
}

int xpt_unmap_gsi(unsigned int gsi)
{
    return run(GSI_UNMAP, gsi, 0);
}

int xpt_domctl_gsi_permission(struct domain *d, const void *arg)
{
    unsigned int gsi, grant;
    int irq, rc = xpt_gsi_permission_parse(arg, &gsi, &grant);

    if ( rc )
        return rc;

    irq = xpt_gsi_to_irq(gsi);
    if ( irq < 0 )
        return irq;

    rc = xpt_xsm_irq_permission(d, irq, grant);
    if ( rc )
        return rc;

    xpt_lock_caps(d);

    rc = xpt_gsi_permission(grant, irq_access_permitted(current->domain, irq));
    if ( evaluate_nospec(rc >= 0) )
        rc = rc ? irq_permit_access(d, irq) : irq_deny_access(d, irq);

    xpt_unlock_caps(d);

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
