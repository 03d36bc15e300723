#pragma once

/// How often each line of a policy spoke: since the start and over 24 hours, and which has not spoken in a
/// week (product.md 5). Counting is one increment; hours are told apart when it is sampled. Pure: times are
/// passed in. Tested in tests/unit/deliver/line_counts_test.cpp.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include <dtbridge/archive/archive.hpp>
#include <dtbridge/rules/policy.hpp>

namespace dtbridge::deliver
{

struct line_status
{
    std::string text, file;
    unsigned line = 0;
    std::int64_t since_start = 0;  ///< of the process; a reload does not begin anew
    std::int64_t last_24h = 0;     ///< by whole hours, the present one included
    bool never_in_a_week = false;  ///< in force for a week and silent all the time
};

class line_counts
{
public:
    /// Lines of the policy before that are in this one, too, go on. now: ms.
    void follow(std::shared_ptr<const rules::policy> policy, std::int64_t now);
    /// What an earlier process counted. Once, after the first follow().
    void restore(const std::vector<policy_line_record>& records, std::int64_t now);

    void spoke(std::size_t line)
    {
        if (line < counts_.size())
            ++counts_[line];
    }
    const std::vector<std::int64_t>& since_start() const { return counts_; }

    /// Books what was counted since the last call into the hour of now. Call about every minute.
    void sample(std::int64_t now);
    /// In the order of the file.
    std::vector<line_status> list(std::int64_t now) const;

    struct changes
    {
        std::vector<policy_line_record> lines;
        bool all = false;              ///< the policy is another one: other lines may go
        std::int64_t oldest_hour = 0;  ///< hours before are not needed any more
    };
    /// What to save since the last call; of at most 20,000 lines.
    changes take_changes(std::int64_t now);
    /// It could not be saved: the next call gives everything again.
    void not_saved() { all_ = true; }

private:
    struct facts
    {
        std::int64_t sampled = 0;
        std::int64_t since = 0, last_spoke = 0;
        bool changed = false;
    };
    policy_line_record record(std::size_t line, std::int64_t from_hour) const;

    std::shared_ptr<const rules::policy> policy_;
    std::vector<std::int64_t> counts_;
    std::vector<facts> facts_;
    std::map<std::int64_t, std::unordered_map<std::size_t, std::int64_t>> hours_;  ///< hour, line, count
    bool all_ = true;
    std::int64_t saved_hour_ = 0;
};

}  // namespace dtbridge::deliver
