#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The library against the ABI recorded in tests/abi/imgsim.abi. Record anew with RECORD=1,
# SOURCE and LIBRARY (built with debug information) set.
set -eu
command -v abidiff >/dev/null || { echo "skipped: abidiff (package abigail-tools) is not installed"; exit 77; }
readelf -S "$LIBRARY" | grep -q debug_info || { echo "skipped: the library has no debug information"; exit 77; }
recorded=$SOURCE/tests/abi/imgsim.abi
options="--headers-dir $SOURCE/include/imgsim"
if [ -n "${RECORD:-}" ]; then
    abidw --no-corpus-path --no-comp-dir-path --no-show-locs $options --drop-private-types "$LIBRARY" --out-file "$recorded"
    sed -i "s|path='$SOURCE/|path='|" "$recorded"
fi
[ -f "$recorded" ] || { echo "$recorded is missing"; exit 1; }
abidiff --no-show-locs --headers-dir2 "$SOURCE/include/imgsim" --drop-private-types "$recorded" "$LIBRARY"
