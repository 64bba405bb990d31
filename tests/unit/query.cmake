# SPDX-License-Identifier: Apache-2.0
ims_test(test_query_modes test_query_modes.c query LABELS threads)
ims_test(test_query_filters test_query_filters.c query)
ims_test(test_query_cascade test_query_cascade.c query)
ims_test(test_query_input test_query_input.c query)
ims_test(test_query_output test_query_output.c query)
ims_test(test_query_files test_query_files.c query scan LABELS threads)
ims_test(test_query_derived test_query_derived.c query)
ims_test(test_query_memory test_query_memory.c query)
