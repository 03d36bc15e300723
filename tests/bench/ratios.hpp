#pragma once

#include <benchmark/benchmark.h>

#include <map>
#include <string>
#include <vector>

namespace bench
{

/// Prints what Google Benchmark prints, keeps the repetitions of each "stage/set", and in the end the table
/// of ratios: every stage against the yardsticks of the same run. Medians of CPU time, so that a busy machine
/// counts as little as can be.
class ratios : public benchmark::ConsoleReporter
{
public:
    /// of_set: breaches and bytes that one iteration over a set handles.
    struct amount
    {
        double breaches = 0, bytes = 0;
    };
    explicit ratios(std::map<std::string, amount> of_set);

    void ReportRuns(const std::vector<Run>& report) override;

    /// The stages of the whole way are added up under this name.
    static constexpr const char* whole_way = "whole way";
    std::string table() const;
    /// {"machine", "stages": {set: {stage: {"us", "boost_json", "simdjson"}}}}
    std::string json() const;

private:
    struct figures
    {
        double us = 0, boost_json = 0, simdjson = 0;
    };
    /// By set, then by stage in the order of first appearance.
    std::map<std::string, std::vector<std::pair<std::string, figures>>> evaluate() const;

    std::map<std::string, amount> of_set_;
    std::vector<std::pair<std::string, std::string>> order_;  // stage, set
    std::map<std::pair<std::string, std::string>, std::vector<double>> us_;
};

/// CPU, cores, system and compiler in one line.
std::string machine();

}  // namespace bench
