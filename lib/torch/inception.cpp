/* SPDX-License-Identifier: Apache-2.0 */
/* InceptionV3 with torchvision's parameter names: 2048 values as mean over space, and its classes. */
#include "torch/networks.h"

namespace imgsim
{

namespace
{

/* Every convolution is NAME.conv, then NAME.bn, then ReLU. */
class Maker
{
  public:
    Maker(Builder &build, const std::string &block) : build_(build), prefix_(block)
    {
    }

    Conv operator()(
        const char *branch,
        int64_t in,
        int64_t out,
        Pair kernel = {1, 1},
        Pair padding = {0, 0},
        int64_t stride = 1) const
    {
        const std::string name = prefix_ + branch;

        return build_.conv_norm(
            name + ".conv", name + ".bn", {in, out, kernel, {stride, stride}, padding},
            Activation::relu);
    }

  private:
    Builder &build_;
    std::string prefix_;
};

/* 35 x 35: 1 x 1, 5 x 5, two 3 x 3, pooled (Figure 5). */
struct BlockA {
    Conv b1, b5_1, b5_2, b3_1, b3_2, b3_3, pool;

    BlockA(const Maker &make, int64_t in, int64_t pooled)
        : b1(make("branch1x1", in, 64)), b5_1(make("branch5x5_1", in, 48)),
          b5_2(make("branch5x5_2", 48, 64, {5, 5}, {2, 2})), b3_1(make("branch3x3dbl_1", in, 64)),
          b3_2(make("branch3x3dbl_2", 64, 96, {3, 3}, {1, 1})),
          b3_3(make("branch3x3dbl_3", 96, 96, {3, 3}, {1, 1})),
          pool(make("branch_pool", in, pooled))
    {
    }

    at::Tensor operator()(const at::Tensor &x) const
    {
        return join({b1(x), b5_2(b5_1(x)), b3_3(b3_2(b3_1(x))), pool(average_3x3(x))});
    }
};

/* 35 x 35 to 17 x 17 (Figure 10). */
struct BlockB {
    Conv b3, b3_1, b3_2, b3_3;

    BlockB(const Maker &make, int64_t in)
        : b3(make("branch3x3", in, 384, {3, 3}, {0, 0}, 2)), b3_1(make("branch3x3dbl_1", in, 64)),
          b3_2(make("branch3x3dbl_2", 64, 96, {3, 3}, {1, 1})),
          b3_3(make("branch3x3dbl_3", 96, 96, {3, 3}, {0, 0}, 2))
    {
    }

    at::Tensor operator()(const at::Tensor &x) const
    {
        return join({b3(x), b3_3(b3_2(b3_1(x))), max_pool(x, 3, 2, 0, false)});
    }
};

/* 17 x 17: 7 x 7 as 1 x 7 and 7 x 1, once and twice (Figure 6). */
struct BlockC {
    Conv b1, b7_1, b7_2, b7_3, d7_1, d7_2, d7_3, d7_4, d7_5, pool;

    BlockC(const Maker &make, int64_t in, int64_t mid)
        : b1(make("branch1x1", in, 192)), b7_1(make("branch7x7_1", in, mid)),
          b7_2(make("branch7x7_2", mid, mid, {1, 7}, {0, 3})),
          b7_3(make("branch7x7_3", mid, 192, {7, 1}, {3, 0})),
          d7_1(make("branch7x7dbl_1", in, mid)),
          d7_2(make("branch7x7dbl_2", mid, mid, {7, 1}, {3, 0})),
          d7_3(make("branch7x7dbl_3", mid, mid, {1, 7}, {0, 3})),
          d7_4(make("branch7x7dbl_4", mid, mid, {7, 1}, {3, 0})),
          d7_5(make("branch7x7dbl_5", mid, 192, {1, 7}, {0, 3})), pool(make("branch_pool", in, 192))
    {
    }

    at::Tensor operator()(const at::Tensor &x) const
    {
        return join(
            {b1(x), b7_3(b7_2(b7_1(x))), d7_5(d7_4(d7_3(d7_2(d7_1(x))))), pool(average_3x3(x))});
    }
};

/* 17 x 17 to 8 x 8. */
struct BlockD {
    Conv b3_1, b3_2, b7_1, b7_2, b7_3, b7_4;

    BlockD(const Maker &make, int64_t in)
        : b3_1(make("branch3x3_1", in, 192)),
          b3_2(make("branch3x3_2", 192, 320, {3, 3}, {0, 0}, 2)),
          b7_1(make("branch7x7x3_1", in, 192)),
          b7_2(make("branch7x7x3_2", 192, 192, {1, 7}, {0, 3})),
          b7_3(make("branch7x7x3_3", 192, 192, {7, 1}, {3, 0})),
          b7_4(make("branch7x7x3_4", 192, 192, {3, 3}, {0, 0}, 2))
    {
    }

    at::Tensor operator()(const at::Tensor &x) const
    {
        return join({b3_2(b3_1(x)), b7_4(b7_3(b7_2(b7_1(x)))), max_pool(x, 3, 2, 0, false)});
    }
};

/* 8 x 8: outputs widened side by side (Figure 7). */
struct BlockE {
    Conv b1, b3_1, b3_2a, b3_2b, d3_1, d3_2, d3_3a, d3_3b, pool;

    BlockE(const Maker &make, int64_t in)
        : b1(make("branch1x1", in, 320)), b3_1(make("branch3x3_1", in, 384)),
          b3_2a(make("branch3x3_2a", 384, 384, {1, 3}, {0, 1})),
          b3_2b(make("branch3x3_2b", 384, 384, {3, 1}, {1, 0})),
          d3_1(make("branch3x3dbl_1", in, 448)),
          d3_2(make("branch3x3dbl_2", 448, 384, {3, 3}, {1, 1})),
          d3_3a(make("branch3x3dbl_3a", 384, 384, {1, 3}, {0, 1})),
          d3_3b(make("branch3x3dbl_3b", 384, 384, {3, 1}, {1, 0})),
          pool(make("branch_pool", in, 192))
    {
    }

    at::Tensor operator()(const at::Tensor &x) const
    {
        const at::Tensor b3 = b3_1(x);
        const at::Tensor d3 = d3_2(d3_1(x));

        return join({b1(x), b3_2a(b3), b3_2b(b3), d3_3a(d3), d3_3b(d3), pool(average_3x3(x))});
    }
};

class InceptionV3 : public Network
{
  public:
    InceptionV3(Builder &&build, int64_t classes)
        : conv_1a(Maker(build, "")("Conv2d_1a_3x3", 3, 32, {3, 3}, {0, 0}, 2)),
          conv_2a(Maker(build, "")("Conv2d_2a_3x3", 32, 32, {3, 3})),
          conv_2b(Maker(build, "")("Conv2d_2b_3x3", 32, 64, {3, 3}, {1, 1})),
          conv_3b(Maker(build, "")("Conv2d_3b_1x1", 64, 80)),
          conv_4a(Maker(build, "")("Conv2d_4a_3x3", 80, 192, {3, 3})),
          mixed_5b(Maker(build, "Mixed_5b."), 192, 32),
          mixed_5c(Maker(build, "Mixed_5c."), 256, 64),
          mixed_5d(Maker(build, "Mixed_5d."), 288, 64), mixed_6a(Maker(build, "Mixed_6a."), 288),
          mixed_6b(Maker(build, "Mixed_6b."), 768, 128),
          mixed_6c(Maker(build, "Mixed_6c."), 768, 160),
          mixed_6d(Maker(build, "Mixed_6d."), 768, 160),
          mixed_6e(Maker(build, "Mixed_6e."), 768, 192), mixed_7a(Maker(build, "Mixed_7a."), 768),
          mixed_7b(Maker(build, "Mixed_7b."), 1280), mixed_7c(Maker(build, "Mixed_7c."), 2048),
          classifier(build.linear("fc", 2048, classes))
    {
    }

    Answer forward(const at::Tensor &input) override
    {
        at::Tensor x = max_pool(conv_2b(conv_2a(conv_1a(input))), 3, 2, 0, false);

        x = max_pool(conv_4a(conv_3b(x)), 3, 2, 0, false);
        x = mixed_5d(mixed_5c(mixed_5b(x)));
        x = mixed_6e(mixed_6d(mixed_6c(mixed_6b(mixed_6a(x)))));

        const at::Tensor rows = mean_over_space(mixed_7c(mixed_7b(mixed_7a(x))));
        return {rows, classifier(rows)};
    }

    uint32_t dimension() const override
    {
        return 2048;
    }

  private:
    Conv conv_1a, conv_2a, conv_2b, conv_3b, conv_4a;
    BlockA mixed_5b, mixed_5c, mixed_5d;
    BlockB mixed_6a;
    BlockC mixed_6b, mixed_6c, mixed_6d, mixed_6e;
    BlockD mixed_7a;
    BlockE mixed_7b, mixed_7c;
    Linear classifier;
};

} // namespace

std::unique_ptr<Network>
make_inception_v3(Weights &weights, const at::TensorOptions &target, int64_t classes)
{
    return std::make_unique<InceptionV3>(Builder(weights, target, 1e-3), classes);
}

} // namespace imgsim
