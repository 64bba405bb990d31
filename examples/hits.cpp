// SPDX-License-Identifier: Apache-2.0
//
// The C library from C++: handles in unique_ptr, errors as exceptions, hits as a vector.
//
// c++ -std=c++17 hits.cpp -o hits $(pkg-config --cflags --libs imgsim)
// ./hits photos/.imgsim photos/cat.jpg
#include <imgsim/imgsim.h>

#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

// One deleter for every kind of handle: the function that releases it.
template <auto release> struct releaser {
    template <typename T> void operator()(T *handle) const noexcept
    {
        release(handle);
    }
};
using catalog_ptr = std::unique_ptr<imgsim_catalog, releaser<imgsim_catalog_free>>;
using query_ptr = std::unique_ptr<imgsim_query, releaser<imgsim_query_free>>;
using result_ptr = std::unique_ptr<imgsim_result, releaser<imgsim_result_free>>;

static void check(imgsim_status status)
{
    if (status != IMGSIM_OK)
        throw std::runtime_error(imgsim_last_error());
}

// Let a C function write into a unique_ptr: make([&](auto **out) { return imgsim_...(..., out); }).
template <typename Pointer, typename Function> static Pointer make(Function function)
{
    typename Pointer::pointer raw = nullptr;
    check(function(&raw));
    return Pointer(raw);
}

struct hit {
    double score;
    std::string path;
};

static std::vector<hit> find_similar(const std::string &folder, const std::string &image)
{
    const auto catalog = make<catalog_ptr>(
        [&](auto **out) { return imgsim_catalog_open(folder.c_str(), nullptr, out); });
    const auto query =
        make<query_ptr>([&](auto **out) { return imgsim_query_new(catalog.get(), nullptr, out); });
    check(imgsim_query_add_file(query.get(), image.c_str(), 1.0));
    const auto result =
        make<result_ptr>([&](auto **out) { return imgsim_query_search(query.get(), out); });

    std::vector<hit> hits;
    for (size_t i = 0; i < imgsim_result_get_count(result.get()); i++) {
        imgsim_hit raw = {};
        raw.struct_size = sizeof(raw);
        check(imgsim_result_get_hit(result.get(), i, &raw));
        hits.push_back({raw.score, raw.path});
    }
    return hits;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        std::fprintf(stderr, "usage: %s CATALOG IMAGE\n", argv[0]);
        return 2;
    }
    try {
        for (const hit &found : find_similar(argv[1], argv[2]))
            std::printf("%.3f  %s\n", found.score, found.path.c_str());
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
        return 1;
    }
    return 0;
}
