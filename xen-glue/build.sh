#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Builds the crate for Xen: OUTDIR/libxen_passthrough.a, audited.
#
# The archive holds one object. Everything unreachable from the exported
# functions is dropped from it, and its sections are merged as Xen's own link
# expects them.
set -eu

if [ $# -ne 1 ]; then
    echo "usage: $0 OUTDIR" >&2
    exit 2
fi
mkdir -p "$1"
out=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")
target=x86_64-unknown-none
: "${CARGO_TARGET_DIR:=$top/target}"
dir=$CARGO_TARGET_DIR/xpt/rust

# Xen's C is built with -fpic (and not at an address that static relocations
# reach), with thunks for returns and indirect branches and without jump tables.
# The -Z flags need RUSTC_BOOTSTRAP on the pinned stable compiler; retpolines
# are part of the ABI, so that core has to be built with them too.
flags="-Crelocation-model=pic -Ccode-model=small -Cno-redzone=yes
    -Cjump-tables=no -Cembed-bitcode=no -Cforce-unwind-tables=no
    -Csymbol-mangling-version=v0 -Zplt=yes -Zfunction-sections=no
    -Zdirect-access-external-data=yes -Zfunction-return=thunk-extern
    -Zretpoline-external-thunk -Cllvm-args=-unroll-full-max-count=1 -Cllvm-args=-unroll-runtime=false
    -Zemit-stack-sizes
    --remap-path-prefix=$top=/xen-passthrough"

cd "$top"
# Flags and wrappers of the caller's environment are for other builds.
env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS -u RUSTC_WRAPPER \
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="$(echo $flags)" \
    cargo rustc --locked --quiet --release --package xen-passthrough --lib \
    --crate-type staticlib --target "$target" --target-dir "$dir" \
    -Zbuild-std=core,compiler_builtins

lib=$dir/$target/release/libxen_passthrough.a
work=$(mktemp -d "$out/link.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Exports are what the crate's own object defines under our prefix.
exports=$(nm --defined-only --extern-only "$lib" 2>/dev/null |
    sed -n 's/^[0-9a-f]* T \(xpt_[a-z0-9_]*\)$/\1/p' | sort -u)
undefined=
for name in $exports; do
    undefined="$undefined --undefined=$name"
done

# memcpy and its kin are Xen's: keep the archive's own copies out.
ar t "$lib" | grep '^compiler_builtins' | sort -u >"$work/builtins" || true
cp "$lib" "$work/lib.a"
xargs -r ar d "$work/lib.a" <"$work/builtins"

cat >"$work/merge.lds" <<'LDS'
SECTIONS
{
    .text : { *(.text .text.*) }
    .rodata : { *(.rodata .rodata.*) }
    .data : { *(.data .data.*) }
    .bss : { *(.bss .bss.*) }
    .stack_sizes : { *(.stack_sizes .stack_sizes.*) }
    /DISCARD/ : { *(.comment .note.gnu.* .eh_frame* .llvm* .debug_*) }
    .note.GNU-stack : { *(.note.GNU-stack) }
}
LDS
# shellcheck disable=SC2086
ld -r --gc-sections -T "$work/merge.lds" $undefined \
    -o "$work/xen_passthrough.o" "$work/lib.a"

# Only the exported functions are for C to see.
for name in $exports; do
    echo "$name"
done >"$work/exports"
objcopy --keep-global-symbols="$work/exports" "$work/xen_passthrough.o"

# The archive keeps .stack_sizes, for the audit in Xen's own build; that build
# strips it, for Xen's linker script has no place for it.
"$here/check-object.sh" "$work/xen_passthrough.o" "$here/include/xpt.h" >&2 ||
    { echo "error: the object does not pass the audit above" >&2; exit 1; }

rm -f "$work/libxen_passthrough.a"
(cd "$work" && ar rcD libxen_passthrough.a xen_passthrough.o)
mv "$work/libxen_passthrough.a" "$out/libxen_passthrough.a"
