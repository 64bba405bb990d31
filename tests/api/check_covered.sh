#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check_covered.sh MAP PROGRAM...: every function of the map is called by one of the programs.
set -eu
map=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sed -n 's/^ *\(imgsim_[a-z0-9_]*\);$/\1/p' "$map" | sort -u >"$work/exported"
for program; do
    nm -u "$program" | sed -n 's/^ *U \(imgsim_[a-z0-9_]*\).*/\1/p'
done | sort -u >"$work/called"
[ -s "$work/exported" ] || { echo "no functions found in $map"; exit 1; }
missing=$(comm -23 "$work/exported" "$work/called")
[ -z "$missing" ] || { echo "never called by tests/api:"; echo "$missing"; exit 1; }
echo "$(wc -l <"$work/exported") functions"
