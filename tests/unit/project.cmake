# SPDX-License-Identifier: Apache-2.0
ims_test(test_project_fit test_project_fit.c project LABELS threads)
ims_test(test_project_randomised test_project_randomised.c project LABELS threads)
ims_test(test_project_kernel test_project_kernel.c project LABELS threads)
ims_test(test_project_file test_project_file.c project)
