/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SqueezeNet 1.1 with torchvision's parameter names: 512 values as mean over space of the last fire
 * module, and its classes, which a convolution gives before the mean.
 */
#include "torch/networks.h"

#include <optional>
#include <vector>

namespace imgsim
{

namespace
{

/* Squeeze to few channels, expand by 1 x 1 and 3 x 3 side by side. */
class Fire
{
  public:
    Fire(Builder &build, const std::string &name, int64_t in, int64_t squeeze, int64_t expand)
        : squeeze_(build.conv_bias(name + ".squeeze", {in, squeeze}, Activation::relu)),
          expand1x1_(build.conv_bias(name + ".expand1x1", {squeeze, expand}, Activation::relu)),
          expand3x3_(build.conv_bias(
              name + ".expand3x3",
              {squeeze, expand, {3, 3}, {1, 1}, {1, 1}},
              Activation::relu))
    {
    }

    at::Tensor operator()(const at::Tensor &input) const
    {
        const at::Tensor x = squeeze_(input);

        return join({expand1x1_(x), expand3x3_(x)});
    }

  private:
    Conv squeeze_;
    Conv expand1x1_;
    Conv expand3x3_;
};

/*
 * Members stand in the order of torchvision's features.N; max pooling and activations have no
 * parameters.
 */
class SqueezeNet : public Network
{
  public:
    SqueezeNet(Builder &&build, int64_t classes)
        : first_(build.conv_bias("features.0", {3, 64, {3, 3}, {2, 2}}, Activation::relu)),
          fire3_(build, "features.3", 64, 16, 64), fire4_(build, "features.4", 128, 16, 64),
          fire6_(build, "features.6", 128, 32, 128), fire7_(build, "features.7", 256, 32, 128),
          fire9_(build, "features.9", 256, 48, 192), fire10_(build, "features.10", 384, 48, 192),
          fire11_(build, "features.11", 384, 64, 256), fire12_(build, "features.12", 512, 64, 256)
    {
        if (classes > 0)
            classifier_ = build.conv_bias("classifier.1", {512, classes}, Activation::relu);
    }

    Answer forward(const at::Tensor &input) override
    {
        at::Tensor x = pool(first_(input));

        x = pool(fire4_(fire3_(x)));
        x = pool(fire7_(fire6_(x)));
        x = fire12_(fire11_(fire10_(fire9_(x))));
        return {
            mean_over_space(x), classifier_ ? mean_over_space((*classifier_)(x)) : at::Tensor()};
    }

    uint32_t dimension() const override
    {
        return 512;
    }

  private:
    static at::Tensor pool(const at::Tensor &x)
    {
        return max_pool(x, 3, 2, 0, true);
    }

    Conv first_;
    Fire fire3_, fire4_, fire6_, fire7_, fire9_, fire10_, fire11_, fire12_;
    std::optional<Conv> classifier_;
};

} // namespace

std::unique_ptr<Network>
make_squeezenet1_1(Weights &weights, const at::TensorOptions &target, int64_t classes)
{
    return std::make_unique<SqueezeNet>(Builder(weights, target, 0), classes);
}

} // namespace imgsim
