ims_test(test_index_exact test_index_exact.c index)
