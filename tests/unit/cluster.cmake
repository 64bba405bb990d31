#SPDX - License - Identifier : Apache - 2.0
ims_test(test_cluster_kmeans test_cluster_kmeans.c cluster LABELS threads)
    ims_test(test_cluster_density test_cluster_density.c cluster LABELS threads)
        ims_test(test_cluster_tree test_cluster_tree.c cluster LABELS threads)
            ims_test(test_cluster_input test_cluster_input.c cluster)
