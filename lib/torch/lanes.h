/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads on which networks run: each takes whole images, so that none waits for another at every
 * layer.
 */
#ifndef IMS_TORCH_LANES_H
#define IMS_TORCH_LANES_H

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace imgsim
{

/*
 * libtorch splits every operator over threads that spin until the slowest is done. Beside threads
 * that decode images one of them is often not running, and all wait. Here each lane carries its
 * images through all layers alone; libtorch itself is told to use one thread.
 */
class Lanes
{
  public:
    using Job = std::function<void(size_t item, size_t lane)>;

    explicit Lanes(size_t count);
    Lanes(const Lanes &) = delete;
    Lanes &operator=(const Lanes &) = delete;
    ~Lanes();

    size_t count() const
    {
        return threads_.size();
    }

    /*
     * job(item, lane) for items 0 to count - 1, under c10::InferenceMode; throws what the first
     * failing one threw.
     */
    void run(size_t count, const Job &job);

  private:
    void work(size_t lane);
    void stop();

    std::vector<std::thread> threads_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::condition_variable finished_;
    const Job *job_ = nullptr;
    size_t next_ = 0;
    size_t end_ = 0;
    size_t active_ = 0;
    bool stopping_ = false;
    std::exception_ptr failure_;
};

} // namespace imgsim

#endif
