/* SPDX-License-Identifier: Apache-2.0 */
/* The networks: torchvision's architectures, the last layer apart, and TorchScript modules. */
#ifndef IMS_TORCH_NETWORKS_H
#define IMS_TORCH_NETWORKS_H

#include "torch/layers.h"

#include <memory>
#include <string>

namespace imgsim
{

/* What a network makes of N images. */
struct Answer {
    /* N x dimension, fp32 */
    at::Tensor rows;
    /* N x classes, fp32; undefined where the last layer was left out */
    at::Tensor logits;
};

class Network
{
  public:
    Network() = default;
    Network(const Network &) = delete;
    Network &operator=(const Network &) = delete;
    virtual ~Network() = default;

    /* N x 3 x S x S, normalised, channels last. Call under c10::InferenceMode. */
    virtual Answer forward(const at::Tensor &input) = 0;
    virtual uint32_t dimension() const = 0;
};

/* `classes` of all makers: how many the last layer tells apart, 0 leaves it out. */

/* MobileNetV2: Sandler et al., arXiv:1801.04381, Table 2. */
std::unique_ptr<Network>
make_mobilenet_v2(Weights &weights, const at::TensorOptions &target, int64_t classes);

/* SqueezeNet 1.1: Iandola et al., arXiv:1602.07360, in the authors' version 1.1. */
std::unique_ptr<Network>
make_squeezenet1_1(Weights &weights, const at::TensorOptions &target, int64_t classes);

/*
 * "resnet18", 34, 50, 101 or 152: He et al., arXiv:1512.03385, Table 1. A null pointer for another
 * name.
 */
std::unique_ptr<Network> make_resnet(
    const std::string &name,
    Weights &weights,
    const at::TensorOptions &target,
    int64_t classes);

/* InceptionV3: Szegedy et al., arXiv:1512.00567, without the auxiliary classifier. */
std::unique_ptr<Network>
make_inception_v3(Weights &weights, const at::TensorOptions &target, int64_t classes);

/*
 * A TorchScript file whose forward() takes images and gives N x D, or N x D x H x W, which is then
 * averaged over space.
 */
std::unique_ptr<Network>
open_torchscript(const char *path, const at::TensorOptions &target, int64_t input_size);

} // namespace imgsim

#endif
