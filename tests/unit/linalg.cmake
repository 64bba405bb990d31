# SPDX-License-Identifier: Apache-2.0
ims_test(test_linalg_products test_linalg_products.c linalg LABELS threads)
ims_test(test_linalg_eigen test_linalg_eigen.c linalg)
