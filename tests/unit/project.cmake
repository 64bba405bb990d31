# SPDX-License-Identifier: Apache-2.0
ims_test(test_project_fit test_project_fit.c project)
ims_test(test_project_file test_project_file.c project)
