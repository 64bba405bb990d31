# SPDX-License-Identifier: Apache-2.0
ims_test(test_scan_walk test_scan_walk.c scan)
ims_test(test_scan_prepare test_scan_prepare.c scan)
ims_test(test_scan_files test_scan_files.c scan LABELS threads)
ims_test(test_scan_changes test_scan_changes.c scan)
ims_test(test_scan_extractors test_scan_extractors.c scan LABELS threads)
ims_test(test_scan_thumbs test_scan_thumbs.c scan)
ims_test(test_scan_stop test_scan_stop.c scan LABELS threads)
ims_test(test_scan_photos test_scan_photos.c scan)
