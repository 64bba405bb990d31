#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every public header stands alone in C99 and in C++11, without a warning, and its structs have no hidden padding.
set -eu
for header in "$SOURCE"/include/imgsim/*.h; do
    "$CC" -std=c99 -Wall -Wextra -Wpedantic -Wpadded -Werror -I"$SOURCE/include" -fsyntax-only -x c "$header"
    "$CXX" -std=c++11 -Wall -Wextra -Wpedantic -Werror -I"$SOURCE/include" -fsyntax-only -x c++ "$header"
done
