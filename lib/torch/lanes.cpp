/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that wait for items and work on them one at a time. */
#include "torch/lanes.h"

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <csignal>
#include <utility>

namespace imgsim
{

/* Inside libtorch, for the calling thread and threads to come. It wants one such call at a time. */
static void use_one_thread()
{
    static std::mutex one_at_a_time;
    const std::lock_guard<std::mutex> lock(one_at_a_time);

    at::set_num_threads(1);
}

Lanes::Lanes(size_t count)
{
    sigset_t all, before;

    /* Signals are the application's: its threads get them. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
        threads_.reserve(count);
        for (size_t lane = 0; lane < count; lane++)
            threads_.emplace_back([this, lane] { work(lane); });
    } catch (...) {
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
        stop();
        throw;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Lanes::~Lanes()
{
    stop();
}

void Lanes::stop()
{
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread &thread : threads_)
        thread.join();
    threads_.clear();
}

void Lanes::run(size_t count, const Job &job)
{
    std::unique_lock<std::mutex> lock(mutex_);

    job_ = &job;
    next_ = 0;
    end_ = count;
    failure_ = nullptr;
    wake_.notify_all();
    finished_.wait(lock, [this] { return next_ == end_ && active_ == 0; });
    job_ = nullptr;
    if (failure_)
        std::rethrow_exception(std::exchange(failure_, nullptr));
}

void Lanes::work(size_t lane)
{
    const c10::InferenceMode inference;
    use_one_thread();

    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
        wake_.wait(lock, [this] { return stopping_ || next_ < end_; });
        if (stopping_)
            return;

        const size_t item = next_++;
        const Job &job = *job_;
        active_++;
        lock.unlock();
        std::exception_ptr failure;
        try {
            job(item, lane);
        } catch (...) {
            failure = std::current_exception();
        }
        lock.lock();
        active_--;
        if (failure) {
            if (!failure_)
                failure_ = failure;
            next_ = end_; /* the rest is not begun */
        }
        if (next_ == end_ && active_ == 0)
            finished_.notify_all();
    }
}

} // namespace imgsim
