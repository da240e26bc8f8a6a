#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Whether the comparer sees what it is for: a trace that differs from itself in
# one line of each kind, changed or lost, has to be told from the original.
#
#   notices.sh NAME COMPARE ROWS TRACE
set -eu

name=$1 compare=$2 rows=$3 trace=$4.some
rc=0

# Some scripts are enough, and quicker: those in which nothing fails, for which
# there are rows.
awk '/^script / { script = "" }
     { script = script $0 "\n" }
     /^done$/ && script !~ /\nfails / { printf "%s", script; if ( ++nr == 50 ) exit }' \
    "$4" >"$trace"

notices() {
    if "$compare" "$rows" "$trace" "$trace.altered" |
        grep -q '^FAIL [^ ]*/no-other-difference '; then
        echo "ok $name/notices:$1"
    else
        echo "FAIL $name/notices:$1 it does not"
        rc=3
    fi
}

# Another last digit, or no such line at all. The ROM register has bits that do
# not count.
for kind in cfg mem pirq read p2m dev; do
    nr=$(grep "^$kind " "$trace" | grep -cv '^cfg .. 03[08] ' || true)
    [ "$nr" -lt 100 ] || nr=100
    for how in changed lost; do
        awk -v kind="$kind" -v nr="$nr" -v how="$how" \
            '$1 == kind && !(kind == "cfg" && $3 ~ /^03[08]$/) && !--nr {
                 if ( how == "lost" )
                     next
                 sub(/.$/, /0$/ ? "1" : "0")
             }
             { print }' "$trace" >"$trace.altered"
        notices "$kind-$how"
    done
done

rm -f "$trace" "$trace.altered"
exit $rc
