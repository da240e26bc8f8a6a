/* SPDX-License-Identifier: GPL-2.0-only */
#include "guest.h"

#define SCHEDOP_shutdown        2

const char test_title[] = "xpt guest";

static void __noreturn power_off(void)
{
    unsigned int reason = 0;

    say("guest", "powers", "off");
    hypercall_sched_op(SCHEDOP_shutdown, &reason);

    for ( ;; )
        asm volatile ( "hlt" );
}

static void run(struct device *dev)
{
    if ( device_place(dev) )
    {
        if ( orders.steps & STEP_COMPUTE )
            dev->compute(dev);
        if ( (orders.steps & STEP_DMA) && dev->dma )
            dev->dma(dev);
        if ( orders.steps & STEP_INTX )
            irq_intx(dev);
        if ( orders.steps & STEP_PIRQ )
            irq_pirq(dev, intx_gsi(dev));
        if ( orders.steps & STEP_MSI )
            irq_msi(dev);
        if ( orders.steps & STEP_MSIX )
            irq_msix(dev);
    }

    say(dev->name, "ends", "here");
}

void test_main(void)
{
    uint32_t round;
    unsigned int i;

    say("guest", "starts", "%s", test_title);
    if ( !orders_read() )
        power_off();

    time_init();
    irq_init();

    for ( round = 1; round <= orders.rounds; ++round )
    {
        say("guest", "round", "%u of %u", round, orders.rounds);
        if ( orders.hotplug )
            hotplug_wait();
        else if ( !devices_find() )
            say_error("guest", "no device");

        place_again();
        for ( i = 0; i < NR_DEVICES; ++i )
            if ( devices[i]->present )
                run(devices[i]);

        if ( orders.hotplug )
            hotplug_eject();
    }

    switch ( orders.then )
    {
    case THEN_QUIET: then_quiet(); break;
    case THEN_STORM: then_storm(); break;
    case THEN_REMAP: then_remap(); break;
    default: break;
    }

    for ( i = 0; i < NR_DEVICES; ++i )
        if ( devices[i]->present )
            device_off(devices[i]);

    printk("XPT done\n");
    if ( orders.then == THEN_OFF )
        power_off();

    /* Whoever destroys us has the devices ejected first. */
    for ( ;; )
    {
        hotplug_poll();
        relax();
    }
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
