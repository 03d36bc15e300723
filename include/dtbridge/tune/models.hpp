#pragma once

/// The models that breaches show, to make a mapping file from. Pure, in bounded memory. Tested in
/// tests/unit/tune.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <dtbridge/core/breach.hpp>

#include <dtbridge/tune/analysis.hpp>
#include <dtbridge/tune/report.hpp>
#include <dtbridge/tune/scores.hpp>

namespace dtbridge::tune
{

struct seen_model
{
    std::string name, uuid, category;  ///< as the last breach shows them
    std::optional<std::int64_t> pid, priority;
    std::vector<std::string> tags;  ///< at most 32, of the last breach
    std::int64_t breaches = 0;
    score_counts scores;
};

/// Models by uuid, or by name where there is none.
class survey
{
public:
    explicit survey(limits bounds = {}) : bounds_(bounds) {}
    void take(const breach& b);

    /// Most breaches first.
    std::vector<const seen_model*> models() const;
    std::int64_t breaches() const { return breaches_; }
    std::int64_t left_out() const { return left_out_; }  ///< breaches of models beyond the limit
    std::int64_t day_count() const;
    double per_week(std::int64_t n) const;

private:
    limits bounds_;
    std::vector<seen_model> models_;
    std::unordered_map<std::string, std::size_t> index_;
    std::int64_t breaches_ = 0, left_out_ = 0;
    std::optional<day_number> first_, last_;
};

void write_model_table(const survey& s, std::size_t columns, const output& out);
/// RFC 4180 with a header. A text that a spreadsheet would take for a formula gets a "'" before it.
void write_model_csv(const survey& s, const output& out);
/// A mapping file with one line a model, which forwards everything until it is filled in.
void write_model_mapping(const survey& s, const std::string& master, const output& out);

}  // namespace dtbridge::tune
