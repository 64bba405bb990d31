/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ResNet-18, -34, -50, -101 and -152 with torchvision's parameter names: 512 or 2048 values as mean
 * over space, and their classes.
 */
#include "torch/networks.h"

#include <array>
#include <optional>
#include <vector>

namespace imgsim
{

namespace
{

/*
 * Blocks in each of the four stages, and how many times its width a block puts out: He et al.,
 * Table 1.
 */
struct Plan {
    const char *name;
    std::array<int, 4> blocks;
    int64_t expansion;
};

const Plan plans[] = {
    {"resnet18", {2, 2, 2, 2}, 1},
    {"resnet34", {3, 4, 6, 3}, 1},
    {"resnet50", {3, 4, 6, 3}, 4},
    {"resnet101", {3, 4, 23, 3}, 4},
    {"resnet152", {3, 8, 36, 3}, 4}};

/*
 * Basic block (3 x 3, 3 x 3) or bottleneck (1 x 1, 3 x 3, 1 x 1) around an identity or a
 * projection. The bottleneck's stride sits in its 3 x 3 convolution, as in torchvision.
 */
class Block
{
  public:
    Block(
        Builder &build,
        const std::string &name,
        int64_t in,
        int64_t width,
        int64_t stride,
        int64_t expansion)
    {
        const int64_t out = width * expansion;
        const ConvShape first = {in, width, {3, 3}, {stride, stride}, {1, 1}};
        const ConvShape second = {width, width, {3, 3}, {1, 1}, {1, 1}};
        const ConvShape middle = {width, width, {3, 3}, {stride, stride}, {1, 1}};
        const auto conv = [&](int number, const ConvShape &shape, Activation activation) {
            const std::string text = std::to_string(number);
            return build.conv_norm(name + ".conv" + text, name + ".bn" + text, shape, activation);
        };

        if (expansion == 1) {
            layers_.push_back(conv(1, first, Activation::relu));
            layers_.push_back(conv(2, second, Activation::none));
        } else {
            layers_.push_back(conv(1, {in, width}, Activation::relu));
            layers_.push_back(conv(2, middle, Activation::relu));
            layers_.push_back(conv(3, {width, out}, Activation::none));
        }
        if (stride != 1 || in != out)
            projection_ = build.conv_norm(
                name + ".downsample.0", name + ".downsample.1", {in, out, {1, 1}, {stride, stride}},
                Activation::none);
    }

    at::Tensor operator()(const at::Tensor &input) const
    {
        at::Tensor x = input;

        for (const Conv &layer : layers_)
            x = layer(x);
        return x.add_(projection_ ? (*projection_)(input) : input).relu_();
    }

  private:
    std::vector<Conv> layers_;
    std::optional<Conv> projection_;
};

class ResNet : public Network
{
  public:
    ResNet(Builder &&build, const Plan &plan, int64_t classes)
        : first_(
              build.conv_norm("conv1", "bn1", {3, 64, {7, 7}, {2, 2}, {3, 3}}, Activation::relu)),
          dimension_(512 * plan.expansion), classifier_(build.linear("fc", dimension_, classes))
    {
        int64_t in = 64;
        int64_t width = 64;

        for (size_t stage = 0; stage < plan.blocks.size(); stage++) {
            for (int i = 0; i < plan.blocks[stage]; i++) {
                blocks_.emplace_back(
                    build, "layer" + std::to_string(stage + 1) + "." + std::to_string(i), in, width,
                    stage > 0 && i == 0 ? 2 : 1, plan.expansion);
                in = width * plan.expansion;
            }
            width *= 2;
        }
    }

    Answer forward(const at::Tensor &input) override
    {
        at::Tensor x = max_pool(first_(input), 3, 2, 1, false);

        for (const Block &block : blocks_)
            x = block(x);

        const at::Tensor rows = mean_over_space(x);
        return {rows, classifier_(rows)};
    }

    uint32_t dimension() const override
    {
        return static_cast<uint32_t>(dimension_);
    }

  private:
    Conv first_;
    std::vector<Block> blocks_;
    int64_t dimension_;
    Linear classifier_;
};

} // namespace

std::unique_ptr<Network> make_resnet(
    const std::string &name,
    Weights &weights,
    const at::TensorOptions &target,
    int64_t classes)
{
    for (const Plan &plan : plans) {
        if (name == plan.name)
            return std::make_unique<ResNet>(Builder(weights, target, 1e-5), plan, classes);
    }
    return nullptr;
}

} // namespace imgsim
