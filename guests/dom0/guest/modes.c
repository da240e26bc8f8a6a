/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What goes on while something happens to the guest from outside.
 */
#include "guest.h"
#include <smp.h>

#define BEAT_MS                 3000

/* QEMU's ACPI hotplug registers, a bit for each slot of bus 0. */
#define PORT_EJECT_ASKED        0xae04
#define PORT_EJECT              0xae08

/* True when it is time to say that we are alive. */
static bool beat(void)
{
    static uint64_t next;

    if ( time_ms() < next )
        return false;
    next = time_ms() + BEAT_MS;

    return true;
}

static bool over(uint64_t start)
{
    return orders.seconds && time_ms() - start >= orders.seconds * 1000ul;
}

static void all_on(void)
{
    unsigned int i;

    for ( i = 0; i < NR_DEVICES; ++i )
        if ( devices[i]->present )
            say(devices[i]->name, "on", "%s", how_name(irq_on(devices[i])));
}

void then_quiet(void)
{
    uint64_t start = time_ms();

    all_on();
    while ( !over(start) )
    {
        if ( beat() )
            say("guest", "quiet", "irqs %u", irq_total());
        relax();
    }
}

void then_storm(void)
{
    uint64_t start = time_ms();
    unsigned int i, turns = 0;

    all_on();
    while ( !over(start) )
    {
        for ( i = 0; i < NR_DEVICES; ++i )
            if ( devices[i]->present )
                devices[i]->storm(devices[i]);
        ++turns;

        if ( beat() )
            say("guest", "storm", "turns %u irqs %u", turns, irq_total());
    }
}

/*
 * One vCPU moves the BAR and turns decode off and on; the other, if there is
 * one, reads a register where the BAR was last.  Where nothing is mapped yet
 * QEMU answers: all ones, or 0 once it has the BAR itself.
 */
static struct device *remapped;
static volatile unsigned long where;
static volatile unsigned int nr_right, nr_none, nr_qemu, nr_other;
static volatile uint32_t right, other;

static void look(void)
{
    uint32_t val = xpt_read32(where + remapped->reg);

    if ( val == right )
        ++nr_right;
    else if ( val == ~0u )
        ++nr_none;
    else if ( !val )
        ++nr_qemu;
    else
    {
        ++nr_other;
        other = val;
    }
}

static void look_always(void)
{
    for ( ;; )
        look();
}

void then_remap(void)
{
    unsigned long spots[2], start = time_ms();
    unsigned int i, moves = 0, wrong = 0;

    for ( i = 0; i < NR_DEVICES && !remapped; ++i )
        if ( devices[i]->present )
            remapped = devices[i];
    if ( !remapped )
    {
        say_error("guest", "no device to remap");
        return;
    }

    right = xpt_read32(remapped->bar[0] + remapped->reg);
    where = spots[0] = remapped->bar[0];
    spots[1] = place(remapped->size[0]);
    say(remapped->name, "remap", "0x%08x at 0x%lx and 0x%lx second vcpu %ld",
        right, spots[0], spots[1], xpt_cpu1_start(look_always));

    while ( !over(start) )
    {
        where = spots[++moves & 1];
        device_move(remapped, 0, where);
        wrong += xpt_read32(where + remapped->reg) != right;

        if ( beat() )
            say(remapped->name, "moved",
                "%u wrong %u, other vcpu right %u none %u qemu %u "
                "other %u (0x%08x)", moves, wrong, nr_right, nr_none,
                nr_qemu, nr_other, other);
    }
}

void hotplug_wait(void)
{
    while ( !devices_find() )
    {
        if ( beat() )
            say("guest", "waits", "for a device");
        relax();
    }
}

/* The function's slot is empty. */
static bool gone(const struct device *dev)
{
    return xpt_pci_read32(dev->bdf, PCI_ID) == ~0u;
}

void hotplug_poll(void)
{
    uint32_t asked = inl(PORT_EJECT_ASKED);
    unsigned int i;

    for ( i = 0; i < NR_DEVICES; ++i )
    {
        struct device *dev = devices[i];
        uint32_t slot = 1u << (dev->bdf >> 3);

        if ( !dev->present || !(asked & slot) )
            continue;

        device_off(dev);
        outl(slot, PORT_EJECT);
        (void)wait_for(gone(dev), COMES_MS);
        say(dev->name, "ejected", "%s", gone(dev) ? "gone" : "still there");
        dev->present = false;
    }
}

void hotplug_eject(void)
{
    for ( ; ; relax() )
    {
        unsigned int i, nr = 0;

        hotplug_poll();
        for ( i = 0; i < NR_DEVICES; ++i )
            nr += devices[i]->present;
        if ( !nr )
            return;

        if ( beat() )
            say("guest", "waits", "to eject %u", nr);
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
