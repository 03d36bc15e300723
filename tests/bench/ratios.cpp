#include "ratios.hpp"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <thread>

namespace bench
{

namespace
{

/// What one breach goes through from the answer to the collector's socket over TCP as CEF.
constexpr const char* parts_of_the_way[] = {
    "take", "append", "read_on", "parse_again", "decide", "format_cef", "frame", "send_tcp"};

double median(std::vector<double> v)
{
    if (v.empty())
        return 0;
    const auto middle = v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2);
    std::nth_element(v.begin(), middle, v.end());
    return *middle;
}

std::string value_after(const std::string& file, const std::string& key, char separator)
{
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);)
        if (line.starts_with(key))
        {
            auto value = line.substr(line.find(separator) + 1);
            std::erase(value, '"');
            return value.substr(std::min(value.find_first_not_of(' '), value.size()));
        }
    return "unknown";
}

template <class... Args>
std::string printed(const char* format, Args... args)
{
    char text[256];
    const auto n = std::snprintf(text, sizeof text, format, args...);
    return std::string(text, static_cast<std::size_t>(std::clamp(n, 0, 255)));
}

}  // namespace

std::string machine()
{
    return value_after("/proc/cpuinfo", "model name", ':') + ", " +
           std::to_string(std::thread::hardware_concurrency()) + " cores, " +
           value_after("/etc/os-release", "PRETTY_NAME", '=') + ", " +
#ifdef __clang__
           "clang " +
#else
           "g++ " +
#endif
           std::to_string(__GNUC__) + "." + std::to_string(__GNUC_MINOR__);
}

ratios::ratios(std::map<std::string, amount> of_set) : of_set_(std::move(of_set)) {}

void ratios::ReportRuns(const std::vector<Run>& report)
{
    ConsoleReporter::ReportRuns(report);
    for (const auto& run : report)
    {
        if (run.run_type != Run::RT_Iteration || run.error_occurred || run.iterations == 0)
            continue;
        const auto& name = run.run_name.function_name;
        const auto slash = name.find('/');
        const auto key = std::make_pair(name.substr(0, slash), name.substr(slash + 1));
        const auto of = of_set_.find(key.second);
        if (of == of_set_.end())
            continue;
        if (us_.find(key) == us_.end())
            order_.push_back(key);
        us_[key].push_back(run.cpu_accumulated_time * 1e6 / static_cast<double>(run.iterations) /
                           of->second.breaches);
    }
}

std::map<std::string, std::vector<std::pair<std::string, ratios::figures>>> ratios::evaluate() const
{
    std::map<std::string, std::vector<std::pair<std::string, figures>>> out;
    const auto us = [this](const std::string& stage, const std::string& set) {
        const auto at = us_.find({stage, set});
        return at == us_.end() ? 0 : median(at->second);
    };
    const auto add = [&](const std::string& stage, const std::string& set, double cost) {
        const double boost = us("parse_boost", set);
        const double simd = us("parse_simdjson", set);
        figures f;
        f.us = cost;
        f.boost_json = boost > 0 ? cost / boost : 0;
        f.simdjson = simd > 0 ? cost / simd : 0;
        out[set].emplace_back(stage, f);
    };
    for (const auto& [set, _] : of_set_)
    {
        for (const auto& [stage, of] : order_)
            if (of == set)
                add(stage, set, us(stage, set));
        double sum = 0;
        bool complete = true;
        for (const auto* part : parts_of_the_way)
        {
            sum += us(part, set);
            complete = complete && us(part, set) > 0;
        }
        if (complete)
            add(whole_way, set, sum);
    }
    return out;
}

std::string ratios::table() const
{
    std::string out = "CPU per breach, medians; machine: " + machine() + "\n";
    for (const auto& [set, stages] : evaluate())
    {
        const auto& of = of_set_.at(set);
        out += printed("\n%s (%.0f bytes a breach)\n%-16s %9s %12s %9s %13s %11s\n",
                       set.c_str(),
                       of.bytes / of.breaches,
                       "stage",
                       "us",
                       "breaches/s",
                       "MB/s",
                       "x Boost.JSON",
                       "x simdjson");
        for (const auto& [stage, f] : stages)
            out += printed("%-16s %9.2f %12.0f %9.0f %13.2f %11.2f\n",
                           stage.c_str(),
                           f.us,
                           1e6 / f.us,
                           of.bytes / of.breaches / f.us,
                           f.boost_json,
                           f.simdjson);
    }
    return out;
}

std::string ratios::json() const
{
    std::string out = "{\"machine\":\"" + machine() + "\",\"stages\":{";
    bool first = true;
    for (const auto& [set, stages] : evaluate())
    {
        out += std::string(first ? "" : ",") + "\"" + set + "\":{";
        first = false;
        for (std::size_t i = 0; i < stages.size(); ++i)
        {
            const auto& [stage, f] = stages[i];
            out += printed("%s\"%s\":{\"us\":%.4f,\"boost_json\":%.4f,\"simdjson\":%.4f}",
                           i == 0 ? "" : ",",
                           stage.c_str(),
                           f.us,
                           f.boost_json,
                           f.simdjson);
        }
        out += "}";
    }
    return out + "}}\n";
}

}  // namespace bench
