#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Install into an empty prefix; a C99 and a C++11 host find the library by pkg-config and by CMake, run, and load neither
# libtorch nor anything of a build folder; the command finds its worker; removal leaves nothing behind.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix

"$CMAKE" --install "$BUILD" --prefix "$prefix" >/dev/null
libdir=$(dirname "$(find "$prefix" -name 'libimgsim.so.0')")

cat >"$work/host.c" <<'SOURCE'
#include <imgsim/imgsim.h>
#include <stdio.h>

int main(void)
{
    imgsim_index_options options;
    imgsim_index *index = NULL;
    const float rows[] = {1, 0, 0, 1, 1, 1};
    int64_t id = -1;
    float distance = 0;

    if (imgsim_index_options_init(&options, sizeof(options)) != IMGSIM_OK)
        return 1;
    options.dimension = 2;
    if (imgsim_index_new(&options, &index) != IMGSIM_OK || imgsim_index_add(index, rows, 3, NULL) != IMGSIM_OK ||
        imgsim_index_search(index, rows + 4, 1, 1, NULL, &id, &distance) != IMGSIM_OK) {
        fprintf(stderr, "%s\n", imgsim_last_error());
        return 1;
    }
    imgsim_index_free(index);
    printf("%s %d\n", imgsim_version_string(), (int)id);
    return id == 2 ? 0 : 1;
}
SOURCE
cp "$work/host.c" "$work/host.cpp"

export PKG_CONFIG_PATH="$libdir/pkgconfig"
flags="-Wall -Wextra -Wpedantic -Werror $(pkg-config --cflags --libs imgsim) -Wl,-rpath,$libdir"
"$CC" -std=c99 "$work/host.c" $flags -o "$work/host_c"
"$CXX" -std=c++11 "$work/host.cpp" $flags -o "$work/host_cpp"

mkdir "$work/project"
cat >"$work/project/CMakeLists.txt" <<'PROJECT'
cmake_minimum_required(VERSION 3.25)
project(host LANGUAGES C CXX)
find_package(imgsim 0.1 REQUIRED)
add_compile_options(-Wall -Wextra -Wpedantic -Werror)
add_executable(host_c ../host.c)
set_target_properties(host_c PROPERTIES C_STANDARD 99)
target_link_libraries(host_c imgsim::imgsim)
add_executable(host_cpp ../host.cpp)
set_target_properties(host_cpp PROPERTIES CXX_STANDARD 11)
target_link_libraries(host_cpp imgsim::imgsim)
PROJECT
"$CMAKE" -S "$work/project" -B "$work/project/build" -DCMAKE_PREFIX_PATH="$prefix" \
    -DCMAKE_C_COMPILER="$CC" -DCMAKE_CXX_COMPILER="$CXX" >/dev/null
"$CMAKE" --build "$work/project/build" >/dev/null

for host in "$work/host_c" "$work/host_cpp" "$work/project/build/host_c" "$work/project/build/host_cpp"; do
    "$host"
    ldd "$host" >"$work/ldd"
    grep -q "=> $libdir/libimgsim.so.0" "$work/ldd" || { echo "$host does not load the installed library"; exit 1; }
    if grep -E 'libtorch|libc10' "$work/ldd"; then echo "$host loads libtorch"; exit 1; fi
done
ldd "$work/host_c" >"$work/ldd"
if grep -q 'libstdc++' "$work/ldd"; then echo "a C host loads the C++ runtime"; exit 1; fi
"$prefix"/bin/imgsim --version

# The installed worker is found, and by itself: a scan with workers fails without it.
mkdir "$work/photos"
printf 'P6\n2 2\n255\n0123456789ab' >"$work/photos/a.ppm"
"$prefix"/bin/imgsim scan "$work/photos" -q --isolation workers -c "$work/catalog"
mv "$libdir/imgsim/imgsim-worker" "$work/worker"
if "$prefix"/bin/imgsim scan "$work/photos" -q --recheck --isolation workers -c "$work/catalog" 2>/dev/null; then
    echo "another worker than the installed one was found"; exit 1; fi
mv "$work/worker" "$libdir/imgsim/imgsim-worker"

"$CMAKE" -DPREFIX="$prefix" -DBUILD="$BUILD" -P "$SOURCE/pkgconfig/uninstall.cmake" >/dev/null
left=$(find "$prefix" -not -type d)
[ -z "$left" ] || { echo "left behind: $left"; exit 1; }
