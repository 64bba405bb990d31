# SPDX-License-Identifier: Apache-2.0
ims_test(test_scan_walk test_scan_walk.c scan)
ims_test(test_scan_pattern test_scan_pattern.c scan)
ims_test(test_scan_rules test_scan_rules.c scan)
ims_test(test_scan_prepare test_scan_prepare.c scan)
ims_test(test_scan_files test_scan_files.c scan LABELS threads)
ims_test(test_scan_changes test_scan_changes.c scan)
ims_test(test_scan_extractors test_scan_extractors.c scan LABELS threads)
ims_test(test_scan_thumbs test_scan_thumbs.c scan)
ims_test(test_scan_stop test_scan_stop.c scan LABELS threads)
ims_test(test_scan_photos test_scan_photos.c scan)

# A worker with a murderous decoder, and the tests that need workers.
add_executable(imgsim_murderous_worker ${PROJECT_SOURCE_DIR}/lib/scan/worker_main.c
  ${PROJECT_SOURCE_DIR}/lib/scan/worker_limits.c)
target_compile_definitions(imgsim_murderous_worker PRIVATE IMS_WORKER_MURDER)
target_include_directories(imgsim_murderous_worker PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(imgsim_murderous_worker PRIVATE imgsim_prepare)
ims_test(test_scan_workers test_scan_workers.c scan LABELS threads)
target_compile_definitions(test_scan_workers PRIVATE
  MURDEROUS_WORKER="$<TARGET_FILE:imgsim_murderous_worker>"
  IMGSIM_VERSION="${PROJECT_VERSION}")
add_dependencies(test_scan_workers imgsim_murderous_worker)
# What holds of scans holds of scans with workers.
foreach(test scan_files scan_changes scan_stop scan_photos)
  add_test(NAME test_${test}_workers COMMAND test_${test})
  set_tests_properties(test_${test}_workers PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 300 LABELS threads
    ENVIRONMENT "IMGSIM_TEST_ISOLATION=1;IMGSIM_WORKER=$<TARGET_FILE:imgsim_worker>")
endforeach()
