ims_test(test_simd_kernels test_simd_kernels.c simd)
ims_test(test_simd_choice test_simd_choice.c simd)
ims_test(test_simd_metric test_simd_metric.c simd)
ims_test(test_simd_wide test_simd_wide.c simd)
