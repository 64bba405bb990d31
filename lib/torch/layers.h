/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions with batch normalisation folded in, and what else the networks are made of. */
#ifndef IMS_TORCH_LAYERS_H
#define IMS_TORCH_LAYERS_H

#include "torch/weights.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <array>
#include <initializer_list>
#include <optional>
#include <string>

namespace imgsim
{

/* Height and width. */
using Pair = std::array<int64_t, 2>;

enum class Activation { none, relu, relu6 };

struct ConvShape {
    int64_t in;
    int64_t out;
    Pair kernel = {1, 1};
    Pair stride = {1, 1};
    Pair padding = {0, 0};
    int64_t groups = 1;
};

/* A convolution, then its bias, then its activation. */
class Conv
{
  public:
    /*
     * weight and bias in fp64; they are converted to the type and device the network computes in.
     */
    Conv(
        const at::Tensor &weight,
        const at::Tensor &bias,
        const ConvShape &shape,
        Activation activation,
        const at::TensorOptions &target);
    /* From one thread at a time where is_packed_for() the target. */
    at::Tensor operator()(const at::Tensor &input) const;

    /* Whether convolutions of this type and device hold XNNPACK's operators, which have a state. */
    static bool is_packed_for(const at::TensorOptions &target);

  private:
    bool pack();
    at::Tensor run_packed(const at::Tensor &input) const;

    at::Tensor weight_;
    at::Tensor bias_;
    ConvShape shape_;
    Activation activation_;
    /* XNNPACK's form of the weights, or none. */
    std::optional<c10::IValue> packed_;
};

/* A last layer that takes pooled rows: in fp32, image by image, so that it does not matter who shares a batch. */
class Linear
{
  public:
    /* weight: classes x dimension; both may be undefined, which makes no layer. */
    Linear(const at::Tensor &weight, const at::Tensor &bias, const at::TensorOptions &target);
    /* N x dimension -> N x classes; undefined without a layer. */
    at::Tensor operator()(const at::Tensor &rows) const;

  private:
    at::Tensor weight_;
    at::Tensor bias_;
};

/* Makes the layers of a network from the weights. */
class Builder
{
  public:
    Builder(Weights &weights, const at::TensorOptions &target, double epsilon)
        : weights_(weights), target_(target), epsilon_(epsilon)
    {
    }

    /*
     * CONV.weight without bias, then batch normalisation
     * NORM.{weight,bias,running_mean,running_var}.
     */
    Conv conv_norm(
        const std::string &conv,
        const std::string &norm,
        const ConvShape &shape,
        Activation activation);
    /* CONV.weight and CONV.bias. */
    Conv conv_bias(const std::string &conv, const ConvShape &shape, Activation activation);
    /* LINEAR.weight and LINEAR.bias; no layer for 0 classes. */
    Linear linear(const std::string &linear, int64_t dimension, int64_t classes);

  private:
    at::Tensor kernel(const std::string &conv, const ConvShape &shape);

    Weights &weights_;
    at::TensorOptions target_;
    double epsilon_;
};

at::Tensor
max_pool(const at::Tensor &x, int64_t kernel, int64_t stride, int64_t padding, bool ceil);
/* 3 x 3, stride 1, padding 1, the padding's zeros counted. */
at::Tensor average_3x3(const at::Tensor &x);
/* Join along the channels. */
at::Tensor join(std::initializer_list<at::Tensor> parts);
/* N x C x H x W -> N x C */
at::Tensor mean_over_space(const at::Tensor &x);

} // namespace imgsim

#endif
