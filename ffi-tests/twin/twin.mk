# SPDX-License-Identifier: GPL-2.0-only
#
# Xen's vPCI in user space: Xen's own unit test (tools/tests/vpci), and the twin
# test, which runs the same scripts through unmodified Xen's C and through
# xen-passthrough, and the cost of an access by the number of registers. XEN_417 and XEN_420 are unmodified trees, XPT_417 and XPT_420
# trees with the glue applied. SEED and SCRIPTS say which scripts, and how many.

SEED ?= 1
SCRIPTS ?= 1500

twin-out := $(out)/twin
twins := $(trees:%=%-upstream) $(trees:%=%-ours)
units := $(trees:%=unit-%-upstream) $(trees:%=unit-%-ours)

minor-4.17 := 17
minor-4.20 := 20
patched-4.17 := $(XPT_417)
patched-4.20 := $(XPT_420)

# $(call version,4.17-ours) is 4.17, and so on.
version = $(firstword $(subst -, ,$(1)))
twin-side = $(lastword $(subst -, ,$(1)))
twin-tree = $(if $(filter %-ours,$(1)),$(patched-$(call version,$(1))),$(tree-$(call version,$(1))))

# What is not built is not run, and would not be missed.
not-built = { echo "FAIL $(name)/$(notdir $@)/is-built"; exit 1; }

.PHONY: twin
twin: $(units:%=check-%) $(trees:%=check-twin-%) $(twins:%=check-cost-%)

ifneq ($(filter twin check-unit-% check-twin-% check-cost-%,$(MAKECMDGOALS)),)
$(foreach tree,XPT_417 XPT_420,$(if $(wildcard $($(tree))/xen/drivers/xpt/compat.h),,\
    $(error $(tree) shall be a Xen source tree with the glue, and is "$($(tree))")))
endif

# Xen's own test, of the tree with the glue: as it is there, and of what takes
# the place of vpci.c. As tools/tests/vpci/Makefile has it, which wants a
# configured tree: the code under test and two headers lose their #include
# lines, emul.h stands in.
unit-tree = $(patched-$(call version,$(1)))
unit-upstream := drivers/vpci/vpci.c
unit-ours := drivers/xpt/xpt-access.c
unit-flags-ours = -DCONFIG_XPT -DXEN_MINOR=$(minor-$(call version,$(1))) \
    -I$(top)/xen-glue/include -include twin/unit.h

$(units:%=$(out)/%): $(out)/unit-%: $(lib) $(out)/flags FORCE
	@rm -rf $@.src && mkdir -p $@.src
	@cp $(call unit-tree,$*)/tools/tests/vpci/emul.h $(call unit-tree,$*)/tools/tests/vpci/main.c $@.src
	@sed -e '/# *include/d' -e '1s/^/#include "emul.h"\n/' \
	    $(call unit-tree,$*)/xen/$(unit-$(call twin-side,$*)) >$@.src/access.c
	@for h in list vpci; do \
	    sed -e '/# *include/d' $(call unit-tree,$*)/xen/include/xen/$$h.h >$@.src/$$h.h || exit; \
	done
	$(CC) -std=gnu11 -g -w $(sanitize) -D__XEN_TOOLS__ \
	    $(call unit-flags-$(call twin-side,$*),$*) -I$@.src -I$(call unit-tree,$*)/tools/include \
	    -o $@ $@.src/access.c $@.src/main.c $(lib) $$(cat $(libs)) -lpthread || $(not-built)

# It says nothing when all is well.
$(units:%=check-%): check-%: $(out)/%
	@echo "  RUN     $(name)/$*"
	@why=$$($< 2>&1) && echo "ok $(name)/$*" || \
	    { echo "FAIL $(name)/$*" $$why; exit 3; }

# Headers of Xen's that emul.h stands in for; others are used as they are.
shims := $(patsubst %,xen/%.h,bug byteorder cache compiler const cpumask errno \
             event init iocap irq lib mm msi nospec pci rcupdate rwlock sched \
             softirq spinlock types vmap xmalloc) \
         $(patsubst %,asm/%.h,byteorder event hvm/domain hvm/support hvm/vmx/vmcs io irq \
             p2m system) xsm/xsm.h

$(twin-out)/include/emul.stamp: twin/twin.mk
	@rm -rf $(@D)
	@for h in $(shims); do \
	    mkdir -p $(@D)/$$(dirname $$h) && echo '#include "emul.h"' >$(@D)/$$h || exit; \
	done
	@mkdir -p $(@D)/generated && : >$(@D)/generated/autoconf.h
	@touch $@

twin-upstream := $(patsubst %,drivers/vpci/%.c,vpci header msi msix)
twin-ours := $(patsubst %,drivers/xpt/xpt-%.c,access vpci map msix)
# Unmodified Xen's C is as it is, warnings and all.
twin-flags-upstream := -w
twin-flags-ours := -Wall -Werror -DCONFIG_XPT=1 -I$(top)/xen-glue/include
twin-link-upstream := -Wl,-T,twin/vpci.lds
twin-link-ours = $(lib) $$(cat $(libs)) -lpthread

# 4.17's rangesets grow when a range between two others is removed (docs/twin.md,
# rangeset): unmodified 4.17 is given those of 4.20.
rangeset = $(if $(filter 4.17-upstream,$(1)),$(XEN_420),$(call twin-tree,$(1)))/xen

twin-cflags = $(common) -Wno-unused-parameter -Wno-sign-compare -D__XEN__ -D__XEN_TOOLS__ \
    -DXEN_MINOR=$(minor-$(call version,$(1))) -DCONFIG_X86=1 -DCONFIG_64BIT=1 \
    -DCONFIG_HAS_VPCI=1 -DCONFIG_HAS_PCI_MSI=1 -include twin/emul.h -Itwin \
    -I$(twin-out)/include -I$(twin-out)/$(1).include -I$(call twin-tree,$(1))/xen/include \
    -idirafter $(call twin-tree,$(1))/xen/arch/x86/include

# $(call twin-program,4.17-ours,main,FLAGS): vPCI with a main() of twin/.
define twin-program
@rm -rf $@.objects && mkdir -p $@.objects
@# Of vmsi.c what is for vPCI.
@sed -n '/^#ifdef CONFIG_HAS_VPCI$$/,/^#endif/p' \
    $(call twin-tree,$(1))/xen/arch/x86/hvm/vmsi.c >$@.objects/vmsi.c
@for c in $(twin-$(call twin-side,$(1)):%=$(call twin-tree,$(1))/xen/%) \
          $(call rangeset,$(1))/common/rangeset.c $@.objects/vmsi.c; do \
    $(CC) $(call twin-cflags,$(1)) $(3) $(twin-flags-$(call twin-side,$(1))) \
        -c -o $@.objects/$$(basename $$c .c).o $$c || $(not-built); \
done
@for c in emul device $(2); do \
    $(CC) $(call twin-cflags,$(1)) $(3) $(twin-flags-$(call twin-side,$(1))) \
        -c -o $@.objects/$$c.o twin/$$c.c || $(not-built); \
done
$(CC) $(3) -o $@ $@.objects/*.o $(twin-link-$(call twin-side,$(1))) || $(not-built)
endef

$(twins:%=$(twin-out)/%.include): $(twin-out)/%.include: $(out)/flags FORCE
	@mkdir -p $@/xen && cp $(call rangeset,$*)/include/xen/rangeset.h $@/xen

twin-needs = $(lib) $(out)/flags $(twin-out)/include/emul.stamp $(twin-out)/%.include FORCE

$(twins:%=$(twin-out)/%): $(twin-out)/%: $(twin-needs)
	$(call twin-program,$*,main,$(sanitize))

$(twins:%=$(twin-out)/cost-%): $(twin-out)/cost-%: $(twin-needs)
	$(call twin-program,$*,cost,-O2)

# The cost of an access is the same with few and with 64 emulated registers,
# whichever it is for. Unmodified Xen's grows, or something else was measured.
cost-of = valgrind --tool=callgrind --toggle-collect=measured \
    --callgrind-out-file=/dev/null $< $(1) 2>&1 | sed -n 's/^==.* Collected : //p'

$(twins:%=check-cost-%): check-cost-%: $(twin-out)/cost-%
	@echo "  RUN     $(name)/cost-$*"
	@rc=0; for how in r w; do \
	    few=$$($(call cost-of,few $$how last)) first=$$($(call cost-of,all $$how first)); \
	    last=$$($(call cost-of,all $$how last)); case=$(name)/cost-$*/$$how; \
	    echo "  few registers: $$few instructions; 64: first $$first, last $$last"; \
	    if [ "$${few:-0}" -gt 0 ] && $(cost-want-$(call twin-side,$*)); then echo "ok $$case"; \
	    else echo "FAIL $$case $$few, $$first, $$last instructions"; rc=3; fi; \
	done; exit $$rc
cost-want-ours := [ "$$first" = "$$few" ] && [ "$$last" = "$$few" ]
cost-want-upstream := [ "$$last" -gt "$$few" ]

$(trees:%=$(twin-out)/compare-%): $(twin-out)/compare-%: twin/compare.c check.h $(lib) $(out)/flags
	@mkdir -p $(@D)
	$(CC) $(cflags) $(call xen,$(tree-$*)) -I. -DSUITE='"twin-$*"' \
	    -DXEN_MINOR=$(minor-$*) $(deps) -o $@ $<

# A program that dies leaves a trace without an end, which the comparer notices.
$(twins:%=$(twin-out)/%.trace): %.trace: %
	@echo "  RUN     $(name)/twin/$(notdir $<) $(SEED) $(SCRIPTS)"
	@timeout 300 $< $(SEED) $(SCRIPTS) >$@ || echo "bug exit status $$?" >>$@

$(trees:%=check-twin-%): check-twin-%: $(twin-out)/compare-% \
    $(twin-out)/%-upstream.trace $(twin-out)/%-ours.trace
	@rc=0; $(twin-out)/compare-$* $(top)/docs/twin.md \
	    $(twin-out)/$*-upstream.trace $(twin-out)/$*-ours.trace || rc=$$?; \
	sh twin/notices.sh '$(name)/twin-$*' $(twin-out)/compare-$* $(top)/docs/twin.md \
	    $(twin-out)/$*-upstream.trace || rc=$$?; exit $$rc
