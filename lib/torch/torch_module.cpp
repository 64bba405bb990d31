/* SPDX-License-Identifier: Apache-2.0 */
/* The torch module's entry points: plain C outside, libtorch inside, no exception crosses. */
#include "torch/torch_module.h"
#include "torch/lanes.h"
#include "torch/networks.h"

#include <imgsim/base.h>

#include <ATen/Context.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <new>
#include <vector>

namespace
{

using imgsim::Failure;
using imgsim::Lanes;
using imgsim::Network;
using imgsim::Weights;

/*
 * Images that go through a network at once on the processor: activations of few images stay in the
 * cache and in malloc's heap. XNNPACK (fp32) gains nothing from more than one, oneDNN (bf16) a
 * little. The rows are the same bit for bit.
 */
constexpr size_t fp32_step = 1;
constexpr size_t bf16_step = 4;

/*
 * XNNPACK's weights serve one thread at a time, so each lane has its own; all together stay below
 * this.
 */
constexpr size_t copies_max_bytes = size_t(2) << 30;

/* Networks (one, or one for each lane) and how their input is made. */
struct Handle {
    std::unique_ptr<Lanes> lanes;
    std::vector<std::unique_ptr<Network>> networks;
    at::TensorOptions target;
    int64_t size = 0;
    size_t class_count = 0;
    /* Input value of each channel for each byte. */
    float levels[3][256];
};

/*
 * torchvision's ToTensor and Normalize, in its order of fp32 operations. transform_input is what
 * its InceptionV3 does before the first layer.
 */
void fill_levels(Handle &handle, bool transform_input)
{
    static const float mean[3] = {0.485f, 0.456f, 0.406f};
    static const float deviation[3] = {0.229f, 0.224f, 0.225f};

    for (int channel = 0; channel < 3; channel++) {
        for (int value = 0; value < 256; value++) {
            float level = (static_cast<float>(value) / 255.0f - mean[channel]) / deviation[channel];

            if (transform_input)
                level = level * (deviation[channel] / 0.5f) + (mean[channel] - 0.5f) / 0.5f;
            handle.levels[channel][value] = level;
        }
    }
}

/* Bytes RGB RGB ... -> N x 3 x S x S, channels last: the same order in memory. */
at::Tensor make_input(const Handle &handle, const uint8_t *pixels, size_t count)
{
    const int64_t size = handle.size;
    at::Tensor input = at::empty(
        {static_cast<int64_t>(count), 3, size, size}, at::kFloat, at::MemoryFormat::ChannelsLast);
    float *out = input.data_ptr<float>();
    const size_t pixel_count = count * static_cast<size_t>(size * size);

    for (size_t i = 0; i < pixel_count; i++) {
        for (size_t channel = 0; channel < 3; channel++)
            out[3 * i + channel] = handle.levels[channel][pixels[3 * i + channel]];
    }
    return input.to(handle.target);
}

std::unique_ptr<Network> make_network(
    const ims_torch_config &config,
    const ims_torch_tensor *tensors,
    size_t tensor_count,
    const at::TensorOptions &target)
{
    if (config.architecture == nullptr)
        return imgsim::open_torchscript(config.script_path, target, config.input_size);

    const std::string name = config.architecture;
    Weights weights(tensors, tensor_count);
    std::unique_ptr<Network> network;

    if (name == "mobilenet_v2")
        network = imgsim::make_mobilenet_v2(weights, target, config.class_count);
    else if (name == "squeezenet1_1")
        network = imgsim::make_squeezenet1_1(weights, target, config.class_count);
    else if (name == "inception_v3")
        network = imgsim::make_inception_v3(weights, target, config.class_count);
    else
        network = imgsim::make_resnet(name, weights, target, config.class_count);
    if (network == nullptr)
        throw Failure(IMGSIM_ERROR_UNSUPPORTED, "unknown architecture \"" + name + "\"");
    weights.finish();
    return network;
}

/* Bytes of the weights in fp32, and one. */
size_t weights_size(const ims_torch_tensor *tensors, size_t tensor_count)
{
    size_t total = 1;

    for (size_t i = 0; i < tensor_count; i++) {
        size_t values = sizeof(float);

        for (uint32_t j = 0; j < tensors[i].rank; j++)
            values *= static_cast<size_t>(tensors[i].shape[j]);
        total += values;
    }
    return total;
}

std::unique_ptr<Handle>
make_handle(const ims_torch_config &config, const ims_torch_tensor *tensors, size_t tensor_count)
{
    auto handle = std::make_unique<Handle>();
    const bool cuda = at::hasCUDA();
    size_t lanes = cuda ? 1 : std::max<size_t>(config.threads, 1);
    size_t copies = 1;

    handle->size = config.input_size;
    handle->class_count = config.class_count;
    handle->target = at::TensorOptions()
                         .dtype(config.bf16 != 0 ? at::kBFloat16 : at::kFloat)
                         .device(cuda ? at::kCUDA : at::kCPU);
    fill_levels(*handle, config.transform_input != 0);
    if (config.architecture != nullptr && imgsim::Conv::is_packed_for(handle->target)) {
        const size_t fitting = copies_max_bytes / weights_size(tensors, tensor_count);

        copies = lanes = std::min(lanes, std::max<size_t>(fitting, 1));
    }

    handle->lanes = std::make_unique<Lanes>(lanes);
    handle->networks.resize(copies);
    handle->lanes->run(copies, [&](size_t copy, size_t) {
        handle->networks[copy] = make_network(config, tensors, tensor_count, handle->target);
    });
    return handle;
}

/* Copy count x width floats to where those of image `first` belong. */
void copy_floats(const at::Tensor &values, size_t first, size_t count, size_t width, float *out)
{
    const at::Tensor floats = values.to(at::kCPU).contiguous();

    if (static_cast<size_t>(floats.numel()) != count * width)
        throw Failure(
            IMGSIM_ERROR_INTERNAL, "the network gave shape " + imgsim::shape_text(floats.sizes()));
    std::memcpy(out + first * width, floats.data_ptr<float>(), count * width * sizeof(float));
}

/* Images `first` to `first + count - 1` through one network. */
void run_step(
    const Handle &handle,
    Network &network,
    const uint8_t *pixels,
    size_t first,
    size_t count,
    float *out_rows,
    float *out_logits)
{
    const size_t image_size = static_cast<size_t>(handle.size * handle.size * 3);
    const at::Tensor input = make_input(handle, pixels + first * image_size, count);
    const imgsim::Answer answer = network.forward(input);

    copy_floats(answer.rows, first, count, network.dimension(), out_rows);
    if (handle.class_count > 0)
        copy_floats(answer.logits, first, count, handle.class_count, out_logits);
}

void run_handle(
    const Handle &handle,
    const uint8_t *pixels,
    size_t count,
    float *out_rows,
    float *out_logits)
{
    if (count == 0)
        return;

    const size_t lanes = handle.lanes->count();
    const size_t share = (count + lanes - 1) / lanes;
    const bool cpu = handle.target.device().is_cpu();
    const bool fp32 = handle.target.dtype() == at::kFloat;
    const size_t step = cpu ? std::min(fp32 ? fp32_step : bf16_step, share) : count;

    handle.lanes->run((count + step - 1) / step, [&](size_t item, size_t lane) {
        const size_t first = item * step;
        Network &network = *handle.networks[std::min(lane, handle.networks.size() - 1)];

        run_step(
            handle, network, pixels, first, std::min(step, count - first), out_rows, out_logits);
    });
}

/* One line of text, copied before the exception goes. */
void copy_text(char *error, size_t error_size, const char *text)
{
    if (error_size == 0)
        return;
    std::snprintf(error, error_size, "%s", text);
    error[std::strcspn(error, "\n")] = '\0';
}

/* Do `work`; whatever it throws becomes a status and a text. */
template <typename Work> int32_t guarded(char *error, size_t error_size, Work &&work) noexcept
{
    try {
        work();
        return IMGSIM_OK;
    } catch (const Failure &failure) {
        copy_text(error, error_size, failure.what());
        return failure.status();
    } catch (const std::bad_alloc &) {
        copy_text(error, error_size, "out of memory in libtorch");
        return IMGSIM_ERROR_OUT_OF_MEMORY;
    } catch (const c10::Error &failure) {
        const char *text = failure.what_without_backtrace();
        const bool memory = std::strstr(text, "allocate memory") != nullptr ||
                            std::strstr(text, "out of memory") != nullptr;

        copy_text(error, error_size, text);
        return memory ? IMGSIM_ERROR_OUT_OF_MEMORY : IMGSIM_ERROR_INTERNAL;
    } catch (const std::exception &failure) {
        copy_text(error, error_size, failure.what());
        return IMGSIM_ERROR_INTERNAL;
    } catch (...) {
        copy_text(error, error_size, "an unknown exception of libtorch");
        return IMGSIM_ERROR_INTERNAL;
    }
}

int32_t create(
    const ims_torch_config *config,
    const ims_torch_tensor *tensors,
    size_t tensor_count,
    void **out_network,
    uint32_t *out_dimension,
    char *error,
    size_t error_size) noexcept
{
    *out_network = nullptr;
    *out_dimension = 0;
    return guarded(error, error_size, [&] {
        std::unique_ptr<Handle> handle = make_handle(*config, tensors, tensor_count);

        *out_dimension = handle->networks[0]->dimension();
        *out_network = handle.release();
    });
}

int32_t
run(void *network,
    const uint8_t *pixels,
    size_t count,
    float *out_rows,
    float *out_logits,
    char *error,
    size_t error_size) noexcept
{
    return guarded(error, error_size, [&] {
        run_handle(*static_cast<Handle *>(network), pixels, count, out_rows, out_logits);
    });
}

void destroy(void *network) noexcept
{
    delete static_cast<Handle *>(network);
}

const ims_torch_functions functions = {IMS_TORCH_CONTRACT, create, run, destroy};

} // namespace

extern "C" __attribute__((visibility("default"))) const ims_torch_functions *
imgsim_torch_functions(void)
{
    return &functions;
}
