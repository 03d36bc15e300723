#include "breaches.hpp"

#include <dtbridge/core/breach.hpp>
#include <dtbridge/poll/element_splitter.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "generator.hpp"
#include "sized.hpp"

namespace bench
{

namespace
{

constexpr std::size_t set_bytes = 512u << 10;
constexpr std::int64_t some_day = 1'760'000'000'000;

void finish(breach_set& s)
{
    s.answer = "[";
    for (const auto& e : s.elements)
    {
        s.bytes += e.size();
        s.answer += (s.answer.size() > 1 ? "," : "") + e;
    }
    s.answer += "]";
}

std::string generate(const simulator::generator& make, std::uint64_t i)
{
    const auto created = some_day + static_cast<std::int64_t>(i) * 1000;
    std::string out;
    make.write(i, created, created - make.of(i).lag, out);
    return out;
}

}  // namespace

breach_set generated(std::size_t bytes_each)
{
    const simulator::generator make(7, 1'000'000);
    breach_set s;
    s.name = std::to_string(bytes_each / 1000) + "KB";
    for (std::uint64_t i = 0; i < set_bytes / bytes_each; ++i)
    {
        const auto another = [&](unsigned k) { return generate(make, 100'000 + 64 * i + k); };
        s.elements.push_back(simulator::sized(generate(make, i), bytes_each, another));
    }
    finish(s);
    return s;
}

breach_set captured()
{
    breach_set s;
    s.name = "captured";
    const char* given = std::getenv("DTBRIDGE_SHARED");
    const std::filesystem::path folder =
        (given != nullptr ? std::filesystem::path(given)
                          : std::filesystem::path(DTBRIDGE_SOURCE_DIR).parent_path() / "shared") /
        "samples" / "darktrace";
    std::vector<std::filesystem::path> files;
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator(folder, none))
        // Edge cases were made up, not captured.
        if (const auto name = entry.path().filename().string();
            name.starts_with("api_") && !name.starts_with("api_edge") && name.ends_with(".json"))
            files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    dtbridge::breach reader;
    for (const auto& file : files)
    {
        std::ifstream in(file, std::ios::binary);
        std::stringstream text;
        text << in.rdbuf();
        const std::string body = text.str();
        dtbridge::poll::element_splitter splitter;
        splitter.feed(body);
        using event = dtbridge::poll::element_splitter::event;
        for (auto e = splitter.next(); e != event::more; e = splitter.next())
            if (e == event::element && reader.read(splitter.element()))
                s.elements.emplace_back(splitter.element());
    }
    if (!s.elements.empty())
        finish(s);
    return s;
}

}  // namespace bench
