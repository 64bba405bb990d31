/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TorchScript modules as networks. Such a file is a program: the caller has made sure that it is
 * trusted.
 */
#include "torch/networks.h"

#include <imgsim/base.h>

#include <ATen/ops/zeros.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>

namespace imgsim
{

namespace
{

class ScriptNetwork : public Network
{
  public:
    ScriptNetwork(torch::jit::Module module, const at::TensorOptions &target, int64_t input_size)
        : module_(std::move(module))
    {
        const at::Tensor blank = at::zeros({1, 3, input_size, input_size}, target);
        const at::Tensor row = forward(blank.contiguous(at::MemoryFormat::ChannelsLast)).rows;

        if (row.size(1) < 1 || row.size(1) > 65536)
            throw Failure(
                IMGSIM_ERROR_UNSUPPORTED, "the TorchScript module gives rows of " +
                                              std::to_string(row.size(1)) +
                                              " values, expected 1 to 65536");
        dimension_ = static_cast<uint32_t>(row.size(1));
    }

    Answer forward(const at::Tensor &input) override
    {
        c10::IValue result = module_.forward({input});

        /*
         * Scripted torchvision modules give a tuple (InceptionV3, GoogLeNet): its first member
         * counts.
         */
        if (result.isTuple() && !result.toTupleRef().elements().empty())
            result = c10::IValue(result.toTupleRef().elements()[0]);
        if (!result.isTensor())
            throw Failure(
                IMGSIM_ERROR_UNSUPPORTED,
                "the TorchScript module gives " + result.tagKind() + ", expected a tensor");

        at::Tensor rows = result.toTensor();
        if (rows.dim() == 4)
            rows = mean_over_space(rows);
        if (rows.dim() != 2 || rows.size(0) != input.size(0))
            throw Failure(
                IMGSIM_ERROR_UNSUPPORTED, "the TorchScript module gives shape " +
                                              shape_text(rows.sizes()) +
                                              ", expected one row, or one row of maps, per image");
        return {rows.to(at::kFloat), at::Tensor()};
    }

    uint32_t dimension() const override
    {
        return dimension_;
    }

  private:
    torch::jit::Module module_;
    uint32_t dimension_ = 0;
};

/* Constants folded, batch normalisation too; a module that cannot be frozen runs as it is. */
torch::jit::Module frozen(const torch::jit::Module &module)
{
    try {
        return torch::jit::freeze(module);
    } catch (const std::exception &) {
        return module;
    }
}

} // namespace

std::unique_ptr<Network>
open_torchscript(const char *path, const at::TensorOptions &target, int64_t input_size)
{
    torch::jit::Module module;

    try {
        module = torch::jit::load(path, target.device());
    } catch (const c10::Error &error) {
        throw Failure(
            IMGSIM_ERROR_CORRUPT,
            std::string("not a readable TorchScript file: ") + error.what_without_backtrace());
    }
    module.eval();
    module.to(c10::typeMetaToScalarType(target.dtype()));
    return std::make_unique<ScriptNetwork>(frozen(module), target, input_size);
}

} // namespace imgsim
