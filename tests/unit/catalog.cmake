# SPDX-License-Identifier: Apache-2.0
ims_test(test_catalog_basic test_catalog_basic.c catalog)
ims_test(test_catalog_features test_catalog_features.c catalog)
ims_test(test_catalog_checksums test_catalog_checksums.c catalog)
ims_test(test_catalog_labels test_catalog_labels.c catalog)
ims_test(test_catalog_crash test_catalog_crash.c catalog)
ims_test(test_catalog_threads test_catalog_threads.c catalog LABELS threads)
ims_test(test_catalog_hostile test_catalog_hostile.c catalog)
ims_test(test_catalog_memory test_catalog_memory.c catalog)
