/* SPDX-License-Identifier: Apache-2.0 */
/* Looks tensors up, checks them and widens them to fp64. */
#include "torch/weights.h"

#include <imgsim/base.h>

#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>

#include <cstring>

namespace imgsim
{

std::string shape_text(c10::IntArrayRef shape)
{
    std::string text = "[";

    for (size_t i = 0; i < shape.size(); i++)
        text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
    return text + "]";
}

static at::ScalarType scalar_type(const ims_torch_tensor &tensor)
{
    const std::string dtype = tensor.dtype;

    if (dtype == "F32")
        return at::kFloat;
    if (dtype == "F16")
        return at::kHalf;
    if (dtype == "BF16")
        return at::kBFloat16;
    if (dtype == "F64")
        return at::kDouble;
    throw Failure(
        IMGSIM_ERROR_CORRUPT, std::string("tensor ") + tensor.name + " has type " + dtype +
                                  ", expected F32, F16, BF16 or F64");
}

Weights::Weights(const ims_torch_tensor *tensors, size_t count)
{
    for (size_t i = 0; i < count; i++)
        left_[tensors[i].name] = &tensors[i];
}

at::Tensor Weights::take(const std::string &name, c10::IntArrayRef shape)
{
    const auto found = left_.find(name);
    if (found == left_.end())
        throw Failure(
            IMGSIM_ERROR_CORRUPT, "tensor " + name + " is missing, expected " + shape_text(shape));

    const ims_torch_tensor &source = *found->second;
    const c10::IntArrayRef given(source.shape, source.rank);
    if (given != shape)
        throw Failure(
            IMGSIM_ERROR_CORRUPT, "tensor " + name + " has shape " + shape_text(given) +
                                      ", expected " + shape_text(shape));

    /* Copied byte by byte because the mapped data need not be aligned. */
    at::Tensor raw = at::empty(shape, scalar_type(source));
    std::memcpy(raw.data_ptr(), source.data, raw.nbytes());
    at::Tensor values = raw.to(at::kDouble);
    if (!at::isfinite(values).all().item<bool>())
        throw Failure(IMGSIM_ERROR_CORRUPT, "tensor " + name + " holds NaN or infinite values");

    left_.erase(found);
    return values;
}

void Weights::finish() const
{
    if (!left_.empty())
        throw Failure(
            IMGSIM_ERROR_CORRUPT,
            "tensor " + left_.begin()->first + " does not belong to the network");
}

} // namespace imgsim
