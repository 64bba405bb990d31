/* SPDX-License-Identifier: Apache-2.0 */
/* Values of kernels, shared by the fit and the projection. */
#ifndef IMS_PROJECT_KERNEL_H
#define IMS_PROJECT_KERNEL_H

#include "project/projector.h"

/*
 * What gamma is multiplied with: the squared distance (RBF) or sum (a - b)^2 / (a + b) (CHI_SQUARE). 0 of other kernels.
 */
double ims_kernel_distance(int32_t kernel, const float *a, const float *b, size_t d);

/* k(a, b) with the gamma given. */
double ims_kernel_value(
    const imgsim_projector_options *settings,
    double gamma,
    const float *a,
    const float *b,
    size_t d);

#endif
