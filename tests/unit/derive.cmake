# SPDX-License-Identifier: Apache-2.0
ims_test(test_derive_projection test_derive_projection.c map)
ims_test(test_derive_study test_derive_study.c derive)
ims_test(test_derive_index test_derive_index.c map)
ims_test(test_derive_clusters test_derive_clusters.c derive)
ims_test(test_derive_classes test_derive_classes.c derive)
