#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Exported symbols = lib/imgsim.map = functions declared in the headers; nothing else leaves the library.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

nm -D --defined-only "$LIBRARY" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort -u >"$work/exported"
sed -n 's/^ *\(imgsim_[a-z0-9_]*\);$/\1/p' "$SOURCE/lib/imgsim.map" | sort -u >"$work/map"
for header in "$SOURCE"/include/imgsim/*.h; do
    "$CC" -E -P -I"$SOURCE/include" "$header"
done | tr '\n' ' ' | grep -oE 'visibility\("default"\)[^;]*;' | grep -oE 'imgsim_[a-z0-9_]+ ?\(' | tr -d ' (' |
    sort -u >"$work/headers"

status=0
diff "$work/map" "$work/exported" >"$work/diff" || {
    echo "lib/imgsim.map (<) and the exported symbols (>) differ:"; cat "$work/diff"; status=1; }
diff "$work/map" "$work/headers" >"$work/diff" || {
    echo "lib/imgsim.map (<) and the headers (>) differ:"; cat "$work/diff"; status=1; }
objdump -p "$LIBRARY" | grep -q 'SONAME *libimgsim.so.0$' || { echo "the soname is not libimgsim.so.0"; status=1; }
if objdump -p "$LIBRARY" | grep -E 'NEEDED.*(libtorch|libstdc\+\+|libc10|libvips|libglib)'; then
    echo "the library needs libtorch or the C++ runtime"; status=1
fi
echo "$(wc -l <"$work/exported") symbols"
exit $status
