/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Policy on physdev operations: facts for xen-passthrough, and its verdicts.
 */

#include <xen/lib.h>
#include <xen/sched.h>
#include <xen/xpt-glue.h>

#include <asm/domain.h>

static always_inline unsigned int caller_facts(const struct domain *d)
{
    return (is_hvm_domain(d) ? XPT_CALLER_HVM : 0) |
           (is_hardware_domain(d) ? XPT_CALLER_HARDWARE : 0) |
           (has_pirq(d) ? XPT_CALLER_PIRQS : 0);
}

static always_inline unsigned int target_facts(const struct domain *d)
{
    return (d == current->domain ? XPT_TARGET_SELF : 0) |
           (has_pirq(d) ? XPT_TARGET_PIRQS : 0);
}

int xpt_hvm_physdev_gate(const struct domain *d, unsigned int cmd)
{
    return xpt_physdev_gate(cmd, caller_facts(d));
}

int xpt_domain_map_pirq(const struct domain *d, int type)
{
    return xpt_map_pirq(caller_facts(current->domain), target_facts(d), type);
}

int xpt_domain_unmap_pirq(const struct domain *d)
{
    return xpt_unmap_pirq(caller_facts(current->domain), target_facts(d));
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
