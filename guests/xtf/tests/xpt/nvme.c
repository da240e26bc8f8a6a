/* SPDX-License-Identifier: GPL-2.0-only */
#include "nvme.h"

#define NVME_CC             0x14
#define  NVME_CC_ENABLE     0x00460001u     /* Entries of 64 and 16 bytes. */
#define NVME_CSTS           0x1c
#define  NVME_CSTS_READY    1
#define NVME_AQA            0x24
#define NVME_ASQ            0x28
#define NVME_ACQ            0x30
#define NVME_SQ0_TAIL       0x1000

/* In the last word of a completion: the first turn of the queue. */
#define COMPLETED           0x10000

#define NR_QUEUE            2
#define READY_TURNS         20000

/* Of no command set: the controller completes it with an error. */
#define OPCODE_NONE         0x7f

static uint32_t submission[1024] __attribute__((__aligned__(4096)));
static uint32_t completion[1024] __attribute__((__aligned__(4096)));

static bool wait_ready(unsigned long bar, bool ready)
{
    unsigned int turns;

    for ( turns = 0; turns < READY_TURNS; ++turns )
    {
        if ( (xpt_read32(bar + NVME_CSTS) & NVME_CSTS_READY) == ready )
            return true;
        hypercall_yield();
    }

    return false;
}

static bool stop(unsigned long bar)
{
    xpt_write32(bar + NVME_CC, 0);

    return wait_ready(bar, false);
}

const char *xpt_nvme_interrupt(unsigned long bar, uint8_t vector)
{
    bool arrived;

    if ( !stop(bar) )
        return "does not stop";

    memset(submission, 0, sizeof(submission));
    memset(completion, 0, sizeof(completion));
    submission[0] = OPCODE_NONE;

    xpt_write32(bar + NVME_AQA, (NR_QUEUE - 1) << 16 | (NR_QUEUE - 1));
    xpt_write32(bar + NVME_ASQ, _u(submission));
    xpt_write32(bar + NVME_ASQ + 4, 0);
    xpt_write32(bar + NVME_ACQ, _u(completion));
    xpt_write32(bar + NVME_ACQ + 4, 0);
    xpt_write32(bar + NVME_CC, NVME_CC_ENABLE);
    if ( !wait_ready(bar, true) )
        return "does not start";

    xpt_write32(bar + NVME_SQ0_TAIL, 1);
    arrived = xpt_irq_take(vector);

    if ( !stop(bar) )
        return "does not stop any more";

    if ( arrived )
        return "arrived";

    return completion[3] & COMPLETED ? "lost" : "not asked for";
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
