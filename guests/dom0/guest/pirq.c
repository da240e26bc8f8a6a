/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * INTx as an event, which Xen offers to a guest with PIRQs: hvm_pirq=1.
 */
#include "guest.h"

#define HYPERVISOR_memory_op    12
#define XENMEM_add_to_physmap   7
#define XENMAPSPACE_shared_info 0

#define HYPERVISOR_event_channel_op 32
#define EVTCHNOP_bind_pirq      2
#define EVTCHNOP_close          3
#define BIND_PIRQ_WILL_SHARE    1

#define HYPERVISOR_hvm_op       34
#define HVMOP_set_param         0
#define HVM_PARAM_CALLBACK_IRQ  0
#define CALLBACK_VECTOR(vec)    ((2ull << 56) | (vec))
#define VECTOR_UPCALL           0x91

#define PHYSDEVOP_map_pirq      13
#define PHYSDEVOP_unmap_pirq    14
#define PHYSDEVOP_eoi           12
#define MAP_PIRQ_TYPE_GSI       1

/* Where nothing else of ours is, in the hole that BARs are in too. */
#define SHARED_INFO             0xfd000000ul
#define EVTCHN_PENDING          (SHARED_INFO + 2048)

/* Where events are looked for is in memory: the call itself has to end. */
extern char irq_upcall[];
asm ( "irq_upcall:\n\t"
      "push %rax\n\t"
      "mov $0xfd000000, %eax\n\t"       /* SHARED_INFO: evtchn_upcall_pending */
      "movb $0, (%rax)\n\t"
      "pop %rax\n\t"
      "iretq" );

/* The page, and a vector for events, without which Xen maps no PIRQ. */
static bool events_init(void)
{
    static bool ready;
    struct xtf_idte idte = { .addr = _u(irq_upcall), .cs = __KERN_CS };
    struct {
        uint16_t domid, size;
        uint32_t space;
        uint64_t idx, gpfn;
    } add = {
        .domid = DOMID_SELF,
        .space = XENMAPSPACE_shared_info,
        .gpfn  = SHARED_INFO >> 12,
    };
    struct {
        uint16_t domid, pad;
        uint32_t index;
        uint64_t value;
    } param = {
        .domid = DOMID_SELF,
        .index = HVM_PARAM_CALLBACK_IRQ,
        .value = CALLBACK_VECTOR(VECTOR_UPCALL),
    };

    if ( ready )
        return true;

    xtf_set_idte(VECTOR_UPCALL, &idte);
    ready = !HYPERCALL2(long, HYPERVISOR_memory_op, XENMEM_add_to_physmap,
                        &add) &&
            !HYPERCALL2(long, HYPERVISOR_hvm_op, HVMOP_set_param, &param);

    return ready;
}

static bool take_event(uint32_t port)
{
    uint64_t *word = _p(EVTCHN_PENDING + port / 64 * 8);
    uint64_t bit = 1ull << (port % 64);

    return __atomic_fetch_and(word, ~bit, __ATOMIC_ACQ_REL) & bit;
}

/* How many events come of one raise. */
static unsigned int events(struct device *dev, uint32_t port, int pirq)
{
    uint64_t end = time_ms() + COMES_MS;
    uint32_t eoi = pirq;
    unsigned int nr = 0;

    dev->raise(dev, 0);
    while ( time_ms() < end )
    {
        if ( take_event(port) )
        {
            /* One without a reason is not one, as with INTx. */
            nr += dev->ack(dev);
            hypercall_physdev_op(PHYSDEVOP_eoi, &eoi);
            end = time_ms() + NOTHING_MS;
        }
        relax();
    }

    return nr;
}

void irq_pirq(struct device *dev, unsigned int gsi)
{
    struct {
        uint16_t domid;
        int32_t type, index, pirq, bus, devfn, entry_nr;
        uint64_t table_base;
    } map = {
        .domid = DOMID_SELF,
        .type  = MAP_PIRQ_TYPE_GSI,
        .index = gsi,
        .pirq  = -1,
    };
    struct {
        uint16_t domid;
        int32_t pirq;
    } unmap = { .domid = DOMID_SELF };
    struct {
        uint32_t pirq, flags, port;
    } bind = { .flags = BIND_PIRQ_WILL_SHARE };
    long rc;

    if ( !events_init() )
    {
        say_error(dev->name, "no events");
        return;
    }

    rc = hypercall_physdev_op(PHYSDEVOP_map_pirq, &map);
    say(dev->name, "pirq.map", "%ld", rc);
    if ( rc )
        return;

    bind.pirq = map.pirq;
    rc = HYPERCALL2(long, HYPERVISOR_event_channel_op, EVTCHNOP_bind_pirq,
                    &bind);
    say(dev->name, "pirq.bind", "%ld", rc);

    if ( !rc && dev->start(dev, HOW_INTX) )
    {
        /* The pin stays masked: the event is all that comes. */
        xpt_pci_command(dev->bdf, 0, PCI_COMMAND_INTX_DISABLE);
        say(dev->name, "pirq.first", "%u", events(dev, bind.port, map.pirq));
        say(dev->name, "pirq.second", "%u", events(dev, bind.port, map.pirq));
        xpt_pci_command(dev->bdf, PCI_COMMAND_INTX_DISABLE, 0);
        dev->stop(dev);
    }

    if ( !rc )
        HYPERCALL2(long, HYPERVISOR_event_channel_op, EVTCHNOP_close,
                   &bind.port);
    unmap.pirq = map.pirq;
    say(dev->name, "pirq.unmap", "%ld",
        hypercall_physdev_op(PHYSDEVOP_unmap_pirq, &unmap));
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
