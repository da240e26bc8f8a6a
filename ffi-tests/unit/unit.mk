# SPDX-License-Identifier: GPL-2.0-only
#
# Xen's own unit test of vPCI (tools/tests/vpci), of trees with the glue applied,
# XPT_417 and XPT_420: as it is there, and of what takes the place of vpci.c. It is
# compiled as its Makefile does it, which wants a configured tree: the code under
# test and two headers lose their #include lines, emul.h stands in.

units := $(trees:%=unit-%-upstream) $(trees:%=unit-%-ours)

minor-4.17 := 17
minor-4.20 := 20
patched-4.17 := $(XPT_417)
patched-4.20 := $(XPT_420)

# $(call version,4.17-ours) is 4.17, $(call side,4.17-ours) is ours.
version = $(firstword $(subst -, ,$(1)))
side = $(lastword $(subst -, ,$(1)))

.PHONY: unit
unit: $(units:%=check-%)

ifneq ($(filter unit check-unit-%,$(MAKECMDGOALS)),)
$(foreach tree,XPT_417 XPT_420,$(if $(wildcard $($(tree))/xen/drivers/xpt/compat.h),,\
    $(error $(tree) shall be a Xen source tree with the glue, and is "$($(tree))")))
endif

unit-tree = $(patched-$(call version,$(1)))
unit-upstream := drivers/vpci/vpci.c
unit-ours := drivers/xpt/xpt-access.c
unit-flags-ours = -DCONFIG_XPT -DXEN_MINOR=$(minor-$(call version,$(1))) \
    -I$(top)/xen-glue/include -include unit/unit.h

$(units:%=$(out)/%): $(out)/unit-%: $(lib) $(out)/flags FORCE
	@rm -rf $@.src && mkdir -p $@.src
	@cp $(call unit-tree,$*)/tools/tests/vpci/emul.h $(call unit-tree,$*)/tools/tests/vpci/main.c $@.src
	@sed -e '/# *include/d' -e '1s/^/#include "emul.h"\n/' \
	    $(call unit-tree,$*)/xen/$(unit-$(call side,$*)) >$@.src/access.c
	@for h in list vpci; do \
	    sed -e '/# *include/d' $(call unit-tree,$*)/xen/include/xen/$$h.h >$@.src/$$h.h || exit; \
	done
	$(CC) -std=gnu11 -g -w $(sanitize) -D__XEN_TOOLS__ \
	    $(call unit-flags-$(call side,$*),$*) -I$@.src -I$(call unit-tree,$*)/tools/include \
	    -o $@ $@.src/access.c $@.src/main.c $(lib) $$(cat $(libs)) -lpthread

# It says nothing when all is well.
$(units:%=check-%): check-%: $(out)/%
	@echo "  RUN     $(name)/$*"
	@why=$$($< 2>&1) && echo "ok $(name)/$*" || \
	    { echo "FAIL $(name)/$*" $$why; exit 3; }
