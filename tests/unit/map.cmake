# SPDX-License-Identifier: Apache-2.0
ims_test(test_map_kernels test_map_kernels.c map LABELS threads)
ims_test(test_map_graph test_map_graph.c map)
