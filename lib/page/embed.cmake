# SPDX-License-Identifier: Apache-2.0
# The viewer's files as arrays of a C file: cmake -DSCRIPTS=a.js;b.js -DSTYLE=... -DBODY=... -DOUT=... -P embed.cmake
function(embed name file)
  file(READ ${file} digits HEX)
  string(REGEX REPLACE "(................................................................)" "\\1\n" digits "${digits}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," digits "${digits}")
  file(APPEND ${OUT}.new "const unsigned char ims_viewer_${name}[] = {\n${digits}};\n"
    "const size_t ims_viewer_${name}_size = sizeof(ims_viewer_${name});\n")
endfunction()

set(all "'use strict';\n(() => {\n")
foreach(script IN LISTS SCRIPTS)
  file(READ ${script} text)
  string(APPEND all "${text}\n")
endforeach()
string(APPEND all "})();\n")
file(WRITE ${OUT}.js "${all}")

file(WRITE ${OUT}.new "/* Made by the build from lib/page/viewer/. */\n#include \"page/write.h\"\n\n")
embed(script ${OUT}.js)
embed(style ${STYLE})
embed(body ${BODY})
file(RENAME ${OUT}.new ${OUT})
