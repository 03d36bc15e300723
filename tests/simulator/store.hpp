#pragma once

/// The breaches of the simulated master: those of files, kept as text, and those out of the seed, kept as
/// arithmetic (a lane says how many there are and when they are created; nothing is stored per breach). Not
/// synchronised: master has the lock.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "generator.hpp"

namespace simulator
{

struct breach_ref
{
    std::int64_t created = 0, time = 0, pbid = 0;
    std::int32_t lane = -1;    ///< -1: an entry
    std::uint64_t index = 0;   ///< of the entry, or of the generated breach
    std::int64_t visible = 0;  ///< ms by the true clock: answers show it from then on
};

/// What can be asked of a breach without its text.
struct breach_facts
{
    std::int64_t pbid = 0, created = 0, time = 0, did = 0, pid = 0;
    bool has_pbid = true, acknowledged = false, suppressed = false, saas = false;
    std::optional<double> score;
    std::string uuid, hostname;
};

struct span_wanted
{
    std::int64_t from = INT64_MIN, to = INT64_MAX;  ///< both inclusive
    bool by_creation = false;
};

class store
{
public:
    store(std::uint64_t seed, std::int64_t first_pbid) : generator_(seed, first_pbid) {}

    /// Generated breaches have about so many bytes; 0: as they come.
    void set_size(std::size_t bytes) { size_ = bytes; }

    /// Takes the elements of a text of answers. An object without pbid whose members are answers (an object
    /// keyed by request) gives those; of these the first of a pbid counts. Nothing is dropped elsewhere: an
    /// element that is no breach is served like one. Answers how many were taken.
    std::size_t load(std::string_view text, std::int64_t now);
    /// Moves all loaded times so that the newest creation is `now`; keeps every distance.
    void move_to(std::int64_t now);
    /// Lays the loaded breaches evenly over the last `span` ms before now, in the order of creation.
    void spread(std::int64_t now, std::int64_t span);

    /// count breaches created evenly over the span ms that end at `until` (the newest at until), shown from
    /// `shown` on; offset is what the master's clock is off by.
    void add_generated(
        std::uint64_t count, std::int64_t until, std::int64_t span, std::int64_t shown, std::int64_t offset);
    /// From now on per_second appear; 0 stops.
    void set_rate(double per_second, std::int64_t now);
    /// What the clock of the master is off by counts for breaches that appear from now on.
    void set_offset(std::int64_t offset, std::int64_t now);
    /// The next `count` that appear (added ones too) are created `by` ms later than their time; they are
    /// shown `hidden` ms after their creation.
    void set_late(std::uint64_t count, std::int64_t by, std::int64_t hidden, std::int64_t now);
    /// The same pbids with other creation times, as after an appliance was replaced.
    void replaced(std::int64_t shift, std::int64_t now);

    void acknowledge(std::int64_t pbid, std::string value) { acknowledged_[pbid] = std::move(value); }
    void comment(std::int64_t pbid) { ++comments_[pbid]; }
    /// Not shown from now on, by no question; back: shown again.
    void remove(std::int64_t pbid) { removed_.insert(pbid); }
    void bring_back(std::int64_t pbid) { removed_.erase(pbid); }

    /// Shown at `now` and inside the span, oldest first.
    std::vector<breach_ref> find(const span_wanted& wanted, std::int64_t now) const;
    /// The newest of that pbid.
    std::optional<breach_ref> find_pbid(std::int64_t pbid, std::int64_t now) const;
    breach_facts facts(const breach_ref& ref) const;
    std::string text(const breach_ref& ref) const;

private:
    struct entry
    {
        breach_facts facts;  ///< times without shift
        std::string text;
        std::int64_t shift = 0, shown = 0;
        std::optional<std::int64_t> time;  ///< replaces the breach's own
    };
    struct lane
    {
        std::uint64_t first = 0, count = 0;  ///< numbers of generated breaches; count of an open lane grows
        bool open = false;
        double start = 0, step = 0;  ///< creation of number k by the true clock is start + k * step
        std::int64_t offset = 0;     ///< of the master's clock
        std::int64_t shown = 0;      ///< earliest moment any is shown
        std::int64_t hidden = 0;     ///< shown so long after creation
        std::optional<std::int64_t> lag;
    };

    std::uint64_t shown_count(const lane& l, std::int64_t now) const;
    void close_open(std::int64_t now);
    void open_lane(std::int64_t now);
    breach_ref ref_of(std::size_t lane_number, std::uint64_t k) const;
    void add_entry(std::string_view text, std::int64_t now);
    std::int64_t newest_plausible() const;

    generator generator_;
    std::size_t size_ = 0;
    std::vector<entry> entries_;
    std::vector<lane> lanes_;
    std::uint64_t next_index_ = 0;
    double per_second_ = 0, next_due_ = 0;
    std::int64_t offset_ = 0;
    std::uint64_t late_left_ = 0;
    std::int64_t late_by_ = 0, late_hidden_ = 0;
    std::map<std::int64_t, std::string> acknowledged_;
    std::map<std::int64_t, std::int64_t> comments_;
    std::set<std::int64_t> removed_;
};

}  // namespace simulator
