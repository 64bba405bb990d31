# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` copies, and how hosts find it: pkg-config and a CMake package, both free to move with the prefix.

install(TARGETS imgsim EXPORT imgsim-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/imgsim DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(TARGETS imgsim_vips LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/imgsim)
install(TARGETS imgsim_worker RUNTIME DESTINATION ${CMAKE_INSTALL_LIBDIR}/imgsim)
if(TARGET imgsim_torch)
  install(TARGETS imgsim_torch LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/imgsim)
endif()
install(DIRECTORY bindings/python/imgsim DESTINATION ${CMAKE_INSTALL_LIBDIR}/python3/dist-packages
  FILES_MATCHING PATTERN "*.py")

file(RELATIVE_PATH pc_up "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
set(PC_PREFIX "\${pcfiledir}/${pc_up}")
string(REGEX REPLACE "/$" "" PC_PREFIX "${PC_PREFIX}")
set(PC_INCLUDEDIR "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
set(PC_LIBDIR "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
configure_file(pkgconfig/imgsim.pc.in ${PROJECT_BINARY_DIR}/imgsim.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/imgsim.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/imgsim)
configure_package_config_file(pkgconfig/imgsim-config.cmake.in ${PROJECT_BINARY_DIR}/imgsim-config.cmake
  INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/imgsim-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/imgsim-config.cmake ${PROJECT_BINARY_DIR}/imgsim-config-version.cmake
  DESTINATION ${package_folder})
install(EXPORT imgsim-targets NAMESPACE imgsim:: DESTINATION ${package_folder})

add_custom_target(uninstall
  COMMAND ${CMAKE_COMMAND} -DPREFIX=${CMAKE_INSTALL_PREFIX} -DBUILD=${PROJECT_BINARY_DIR}
          -P ${PROJECT_SOURCE_DIR}/pkgconfig/uninstall.cmake)
