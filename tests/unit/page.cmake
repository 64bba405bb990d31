# SPDX-License-Identifier: Apache-2.0
ims_test(test_page_pack test_page_pack.c page)
ims_test(test_page_write test_page_write.c page LABELS threads)
