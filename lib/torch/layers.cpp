/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folds batch normalisation at load time and runs convolutions by the fastest way libtorch offers
 * on the processor.
 */
#include "torch/layers.h"

#include <imgsim/base.h>

#include <ATen/TensorOperators.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/addmv.h>
#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/stack.h>

#include <vector>

namespace imgsim
{

Conv::Conv(
    const at::Tensor &weight,
    const at::Tensor &bias,
    const ConvShape &shape,
    Activation activation,
    const at::TensorOptions &target)
    : weight_(weight.to(target).contiguous(at::MemoryFormat::ChannelsLast)), bias_(bias.to(target)),
      shape_(shape), activation_(activation)
{
    if (is_packed_for(target) && pack())
        weight_ = bias_ = at::Tensor();
}

/*
 * On the processor fp32 goes through XNNPACK, which libtorch offers as operators "prepacked::":
 * channels last, activation included, weights laid out once. It needs about half the time of the
 * oneDNN path for networks of depthwise convolutions. A libtorch without it, and a processor it
 * does not know, leave the ordinary convolution.
 */
static const c10::optional<c10::OperatorHandle> &prepack_operator()
{
    static const auto found =
        c10::Dispatcher::singleton().findSchema({"prepacked::conv2d_clamp_prepack", ""});

    return found;
}

bool Conv::is_packed_for(const at::TensorOptions &target)
{
    return target.device().is_cpu() && target.dtype() == at::kFloat && prepack_operator();
}

bool Conv::pack()
{
    torch::jit::Stack stack;
    stack.emplace_back(weight_);
    stack.emplace_back(bias_);
    stack.emplace_back(std::vector<int64_t>(shape_.stride.begin(), shape_.stride.end()));
    stack.emplace_back(std::vector<int64_t>(shape_.padding.begin(), shape_.padding.end()));
    stack.emplace_back(std::vector<int64_t>{1, 1});
    stack.emplace_back(shape_.groups);
    stack.emplace_back(activation_ == Activation::none ? c10::IValue() : c10::IValue(0.0));
    stack.emplace_back(activation_ == Activation::relu6 ? c10::IValue(6.0) : c10::IValue());
    try {
        prepack_operator()->callBoxed(stack);
    } catch (const c10::Error &) {
        return false;
    }
    packed_ = stack.back();
    return true;
}

at::Tensor Conv::run_packed(const at::Tensor &input) const
{
    static const auto operation =
        c10::Dispatcher::singleton().findSchemaOrThrow("prepacked::conv2d_clamp_run", "");
    torch::jit::Stack stack;

    stack.emplace_back(input);
    stack.emplace_back(*packed_);
    operation.callBoxed(stack);
    return stack.back().toTensor();
}

at::Tensor Conv::operator()(const at::Tensor &input) const
{
    if (packed_)
        return run_packed(input);

    at::Tensor output =
        at::conv2d(input, weight_, bias_, shape_.stride, shape_.padding, 1, shape_.groups);
    if (activation_ == Activation::relu)
        output.relu_();
    else if (activation_ == Activation::relu6)
        output.clamp_(0, 6);
    return output;
}

at::Tensor Builder::kernel(const std::string &conv, const ConvShape &shape)
{
    return weights_.take(
        conv + ".weight", {shape.out, shape.in / shape.groups, shape.kernel[0], shape.kernel[1]});
}

/*
 * Folding: y = scale * (conv(x) - mean) + shift, scale = gamma / sqrt(variance + epsilon), in fp64.
 */
Conv Builder::conv_norm(
    const std::string &conv,
    const std::string &norm,
    const ConvShape &shape,
    Activation activation)
{
    const at::Tensor weight = kernel(conv, shape);
    const at::Tensor gamma = weights_.take(norm + ".weight", {shape.out});
    const at::Tensor beta = weights_.take(norm + ".bias", {shape.out});
    const at::Tensor mean = weights_.take(norm + ".running_mean", {shape.out});
    const at::Tensor variance = weights_.take(norm + ".running_var", {shape.out});
    if (variance.min().item<double>() < 0)
        throw Failure(IMGSIM_ERROR_CORRUPT, "tensor " + norm + ".running_var is negative");

    const at::Tensor scale = gamma / (variance + epsilon_).sqrt();
    const at::Tensor folded = weight * scale.reshape({-1, 1, 1, 1});
    if (!at::isfinite(folded.to(at::kFloat)).all().item<bool>())
        throw Failure(
            IMGSIM_ERROR_CORRUPT, "tensors of " + norm + " are out of range together with " + conv);
    return Conv(folded, beta - mean * scale, shape, activation, target_);
}

Conv Builder::conv_bias(const std::string &conv, const ConvShape &shape, Activation activation)
{
    const at::Tensor weight = kernel(conv, shape);
    const at::Tensor bias = weights_.take(conv + ".bias", {shape.out});

    return Conv(weight, bias, shape, activation, target_);
}

Linear::Linear(const at::Tensor &weight, const at::Tensor &bias, const at::TensorOptions &target)
{
    if (!weight.defined())
        return;
    weight_ = weight.to(target.dtype(at::kFloat)).contiguous();
    bias_ = bias.to(target.dtype(at::kFloat));
}

at::Tensor Linear::operator()(const at::Tensor &rows) const
{
    if (!weight_.defined())
        return at::Tensor();

    std::vector<at::Tensor> logits;
    for (int64_t i = 0; i < rows.size(0); i++)
        logits.push_back(at::addmv(bias_, weight_, rows[i]));
    return at::stack(logits);
}

Linear Builder::linear(const std::string &linear, int64_t dimension, int64_t classes)
{
    if (classes == 0)
        return Linear(at::Tensor(), at::Tensor(), target_);

    const at::Tensor weight = weights_.take(linear + ".weight", {classes, dimension});
    const at::Tensor bias = weights_.take(linear + ".bias", {classes});

    return Linear(weight, bias, target_);
}

at::Tensor max_pool(const at::Tensor &x, int64_t kernel, int64_t stride, int64_t padding, bool ceil)
{
    return at::max_pool2d(x, kernel, stride, padding, 1, ceil);
}

at::Tensor average_3x3(const at::Tensor &x)
{
    return at::avg_pool2d(x, 3, 1, 1);
}

at::Tensor join(std::initializer_list<at::Tensor> parts)
{
    return at::cat(at::TensorList(parts), 1);
}

at::Tensor mean_over_space(const at::Tensor &x)
{
    /* bf16 activations are summed in fp32 */
    return x.to(at::kFloat).mean(at::IntArrayRef{2, 3});
}

} // namespace imgsim
