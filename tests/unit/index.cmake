ims_test(test_index_exact test_index_exact.c index LABELS threads)
ims_test(test_index_hnsw test_index_hnsw.c index LABELS threads)
ims_test(test_index_file test_index_file.c index)
ims_test(recall_hnsw ../recall/recall_hnsw.c index)
