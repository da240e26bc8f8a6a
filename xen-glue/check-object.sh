#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Audits the object that is linked into Xen.
#
# usage: check-object.sh OBJECT|ARCHIVE HEADER
#
# Prints one line per check, "ok NAME DETAIL" or "FAIL NAME DETAIL", and exits 1
# when any failed. Needs binutils and awk. What each check keeps out of Xen is
# written in docs/linking.md.
set -u

if [ $# -ne 2 ] || [ ! -r "$1" ] || [ ! -r "$2" ]; then
    echo "usage: $0 OBJECT|ARCHIVE HEADER" >&2
    exit 2
fi
object=$1
header=$2
max_bytes=16384
max_frame=512
failed=0

NM=${NM:-nm} READELF=${READELF:-readelf} OBJDUMP=${OBJDUMP:-objdump}
OBJCOPY=${OBJCOPY:-objcopy}

# A tool that is missing or that chokes must fail the audit, not pass it.
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
# An archive must hold the one object, which is what is looked at.
if ar t "$object" >"$tmp/members" 2>/dev/null; then
    if [ "$(wc -l <"$tmp/members")" -ne 1 ]; then
        echo "FAIL readable $object has not exactly one member"
        exit 1
    fi
    ar p "$object" >"$tmp/object.o"
    object=$tmp/object.o
fi

symbols=$tmp/symbols relocs=$tmp/relocs sections=$tmp/sections code=$tmp/code
if ! $NM "$object" >"$symbols" 2>"$tmp/err" ||
   ! $READELF -rW "$object" >"$relocs" 2>"$tmp/err" ||
   ! $READELF -SW "$object" >"$sections" 2>"$tmp/err" ||
   ! $OBJDUMP -d --no-show-raw-insn "$object" >"$code" 2>"$tmp/err" ||
   ! grep -q '<xpt_.*>:$' "$code"; then
    echo "FAIL readable $(head -n 1 "$tmp/err")"
    exit 1
fi

# check NAME DETAIL-IF-OK FINDINGS: passes when there are no findings.
check() {
    if [ -z "$3" ]; then
        echo "ok $1 $2"
    else
        # A panic brings hundreds of names with it; a few show where from.
        echo "FAIL $1 $(echo "$3" | head -n 4 | tr '\n' ' ')($(echo "$3" | wc -l))"
        failed=1
    fi
}

undefined=$(awk '$1 == "U" { print $2 }' "$symbols" | sort -u)
check undefined "$(echo $undefined)" "$(echo "$undefined" |
    grep -vxE 'mem(cpy|set|move|cmp)|__x86_return_thunk|__x86_indirect_thunk_r[a-z0-9]+' |
    grep .)"

check relocations "only PC32 and PLT32 in .text" "$(awk '
    /^Relocation section/ { text = index($3, ".rela.text") == 2 }
    text && $3 ~ /^R_X86_64_/ && $3 != "R_X86_64_PC32" && $3 != "R_X86_64_PLT32" {
        print $3, $5
    }' "$relocs" | sort -u)"

# Columns from the name on: name type address offset size entsize [flags] …
check sections "only .text and .rodata are loaded" "$(sed -n 's/^ *\[ *[0-9]*\] //p' "$sections" |
    awk '$5 !~ /^0+$/ && $7 ~ /A/ && $1 != ".text" && $1 != ".rodata" { print $1 }
         $1 ~ /^\.(llvm|got|init_array|ctors|eh_frame)/ { print $1 }' | sort -u)"

# The panic handler is the only part of core's panic machinery that may be there
# at all; whatever calls it brings names of core::panicking or core::fmt.
check panic-free "no reference to core::panicking or core::fmt" "$(
    { awk '{ print $NF }' "$symbols"; awk '$3 ~ /^R_X86_64_/ { print $5 }' "$relocs"; } |
    grep -E '9panicking|3fmt|rust_begin_unwind.*\+|unwrap_failed|slice_.*_fail' | sort -u)"

check instructions "no SSE, x87, indirect branch, bare ret, endbr or realigned stack" "$(awk '
    /%[xyz]mm[0-9]|%mm[0-7]|%st/                    { print "vector or x87:", $0 }
    /\t(notrack )?(call|jmp)q? +\*/                 { print "indirect:", $0 }
    /\tret[ql]? *$|\tret[ql]? +\$/                  { print "bare ret:", $0 }
    /\tendbr64/                                     { print "endbr64:", $0 }
    /\tand +\$0xf[f0-9a-f]+,%rsp/                   { print "realigned stack:", $0 }
    ' "$code" | head -n 5)"

# Each record of .stack_sizes: an 8-byte address, then the frame as ULEB128.
$OBJCOPY --dump-section .stack_sizes="$tmp/stack" "$object" "$tmp/copy.o" 2>/dev/null
frame=$(od -An -v -tu1 "$tmp/stack" 2>/dev/null | awk '
    { for (i = 1; i <= NF; i++) {
        if (skip < 8) { skip++; continue }
        value += ($i % 128) * factor ; factor *= 128
        if ($i < 128) { if (value > max) max = value; n++; skip = 0; value = 0; factor = 1 }
    } }
    BEGIN { factor = 1; skip = 0 } END { if (n) print max }')
if [ -z "$frame" ]; then
    check stack "" "no .stack_sizes section"
elif [ "$frame" -gt $max_frame ]; then
    check stack "" "largest frame $frame bytes, at most $max_frame allowed"
else
    check stack "largest frame $frame bytes of $max_frame" ""
fi

exported=$(awk '$2 == "T" { print $3 }' "$symbols" | sort -u)
declared=$(sed -n 's/^[a-z].*[ *]\(xpt_[a-z0-9_]*\)(.*/\1/p' "$header" | sort -u)
echo "$exported" >"$tmp/exported"
echo "$declared" >"$tmp/declared"
check exports "$(echo "$exported" | wc -l) functions, those of the header" "$(
    diff "$tmp/exported" "$tmp/declared" | grep '^[<>]')"

bytes=0
for size in $(sed -n 's/^ *\[ *[0-9]*\] //p' "$sections" |
              awk '$1 == ".text" || $1 == ".rodata" { print $5 }'); do
    bytes=$((bytes + 0x$size))
done
if [ "$bytes" -eq 0 ] || [ "$bytes" -gt $max_bytes ]; then
    check size "" "text and rodata $bytes bytes, at most $max_bytes allowed"
else
    check size "text and rodata $bytes bytes of $max_bytes" ""
fi

exit $failed
