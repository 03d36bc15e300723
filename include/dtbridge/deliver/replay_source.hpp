#pragma once

/// An archive as a replay sees it: what was asked for, from the beginning to the end that it had then, with a
/// cursor of its own in memory. A delivery that is given it sends and confirms as always, and the archive's
/// cursors stay where they are. Tested in tests/unit/deliver/replay_test.cpp.

#include <memory>
#include <optional>
#include <string>

#include <dtbridge/archive/archive.hpp>

namespace dtbridge::deliver
{

struct replay_order
{
    std::int64_t created_from = std::numeric_limits<std::int64_t>::min();    ///< ms, inclusive
    std::int64_t created_before = std::numeric_limits<std::int64_t>::max();  ///< ms, exclusive
    std::optional<std::int64_t> pbid;
    std::string model;  ///< a glob of names, "" all
};

/// Whether the order asks for this breach; model_name is looked at only where the order names a model.
bool is_asked_for(const replay_order& order, const breach_key& key, std::string_view model_name);

/// Breaches that come to the real archive later are not part of it. Bounded like the reads of the real one.
std::shared_ptr<archive> make_replay_source(std::shared_ptr<archive> real,
                                            replay_order order,
                                            std::int64_t last_seq);

}  // namespace dtbridge::deliver
