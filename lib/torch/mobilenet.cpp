/* SPDX-License-Identifier: Apache-2.0 */
/* MobileNetV2 with torchvision's parameter names: 1280 values as mean over space, and its classes. */
#include "torch/networks.h"

#include <vector>

namespace imgsim
{

namespace
{

/*
 * Inverted residual: widen (unless the factor is 1), filter each channel by 3 x 3, narrow without
 * activation.
 */
class Block
{
  public:
    Block(
        Builder &build,
        const std::string &name,
        int64_t in,
        int64_t out,
        int64_t stride,
        int64_t factor)
        : residual_(stride == 1 && in == out)
    {
        const int64_t wide = in * factor;
        int step = 0;
        const auto next = [&] { return name + ".conv." + std::to_string(step++); };

        if (factor != 1) {
            const std::string widen = next();
            layers_.push_back(
                build.conv_norm(widen + ".0", widen + ".1", {in, wide}, Activation::relu6));
        }
        const std::string filter = next();
        layers_.push_back(build.conv_norm(
            filter + ".0", filter + ".1", {wide, wide, {3, 3}, {stride, stride}, {1, 1}, wide},
            Activation::relu6));
        const std::string narrow = next();
        layers_.push_back(build.conv_norm(narrow, next(), {wide, out}, Activation::none));
    }

    at::Tensor operator()(const at::Tensor &input) const
    {
        at::Tensor x = input;

        for (const Conv &layer : layers_)
            x = layer(x);
        return residual_ ? x.add_(input) : x;
    }

  private:
    std::vector<Conv> layers_;
    bool residual_;
};

class MobileNetV2 : public Network
{
  public:
    MobileNetV2(Builder &&build, int64_t classes)
        : first_(build.conv_norm(
              "features.0.0",
              "features.0.1",
              {3, 32, {3, 3}, {2, 2}, {1, 1}},
              Activation::relu6)),
          blocks_(make_blocks(build)),
          last_(build.conv_norm("features.18.0", "features.18.1", {320, 1280}, Activation::relu6)),
          classifier_(build.linear("classifier.1", 1280, classes))
    {
    }

    Answer forward(const at::Tensor &input) override
    {
        at::Tensor x = first_(input);

        for (const Block &block : blocks_)
            x = block(x);

        const at::Tensor rows = mean_over_space(last_(x));
        return {rows, classifier_(rows)};
    }

    uint32_t dimension() const override
    {
        return 1280;
    }

  private:
    static std::vector<Block> make_blocks(Builder &build)
    {
        /* Expansion factor t, channels c, repetitions n, stride of the first s: Table 2. */
        static const struct {
            int64_t factor, channels, repetitions, stride;
        } rows[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                    {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
        std::vector<Block> blocks;
        int64_t in = 32;
        int position = 1;

        for (const auto &row : rows) {
            for (int64_t i = 0; i < row.repetitions; i++) {
                blocks.emplace_back(
                    build, "features." + std::to_string(position++), in, row.channels,
                    i == 0 ? row.stride : 1, row.factor);
                in = row.channels;
            }
        }
        return blocks;
    }

    Conv first_;
    std::vector<Block> blocks_;
    Conv last_;
    Linear classifier_;
};

} // namespace

std::unique_ptr<Network>
make_mobilenet_v2(Weights &weights, const at::TensorOptions &target, int64_t classes)
{
    return std::make_unique<MobileNetV2>(Builder(weights, target, 1e-5), classes);
}

} // namespace imgsim
