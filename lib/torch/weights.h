/* SPDX-License-Identifier: Apache-2.0 */
/* The tensors of a weights file, looked up by name with the shape that the network expects. */
#ifndef IMS_TORCH_WEIGHTS_H
#define IMS_TORCH_WEIGHTS_H

#include "torch/torch_module.h"

#include <ATen/core/Tensor.h>

#include <map>
#include <stdexcept>
#include <string>

namespace imgsim
{

/* What leaves the module as a status of imgsim and one line of text. */
class Failure : public std::runtime_error
{
  public:
    Failure(int32_t status, const std::string &text) : std::runtime_error(text), status_(status)
    {
    }
    int32_t status() const
    {
        return status_;
    }

  private:
    int32_t status_;
};

/* "[64, 3, 7, 7]" */
std::string shape_text(c10::IntArrayRef shape);

class Weights
{
  public:
    Weights(const ims_torch_tensor *tensors, size_t count);

    /*
     * The tensor in fp64, removed from what is left. Throws Failure (corrupt) if it is missing, has
     * another shape, is not of floating-point type or holds a NaN or an infinity.
     */
    at::Tensor take(const std::string &name, c10::IntArrayRef shape);

    /* Throws Failure (corrupt) if a tensor was not taken: the file is not of this architecture. */
    void finish() const;

  private:
    std::map<std::string, const ims_torch_tensor *> left_;
};

} // namespace imgsim

#endif
