#pragma once

/// Time-based frequency on a common factor (product.md 5, "Throttles"): from the first forwarded breach of a
/// key, `limit` pass per `per`; a later one starts anew. Counts on created, in the order it is asked, so that
/// the same breaches are always decided the same way. Pure: no clock, no archive. Tested by tables in
/// tests/unit/deliver/throttles_test.cpp.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <dtbridge/archive/archive.hpp>
#include <dtbridge/core/breach.hpp>
#include <dtbridge/rules/policy.hpp>

namespace dtbridge::deliver
{

/// Tells a device of a master from every other: its number, else a name or address of it; "" for none.
std::string device_of(const breach& b);

/// When a breach counts, ms: when it was created, but never after it was archived. A master whose clock is
/// ahead would else hold a key back until the time that it named, and others' breaches with it.
inline std::int64_t counts_at(const breach_key& key, std::int64_t archived)
{
    return std::min(key.created_or(archived), archived);
}

/// What was held back in a window that is over.
struct throttle_summary
{
    std::string throttle;                              ///< rules::describe()
    std::string model, device;                         ///< of the key, else of the last that was held
    bool of_key_model = false, of_key_device = false;  ///< the key names them: they hold for all
    std::int64_t held = 0;
    std::int64_t start = 0, ends = 0;  ///< ms
    std::int64_t first = 0, last = 0;  ///< ms, created
    std::string last_url;
    std::string master;                    ///< "" where several had a part
    std::vector<throttle_window> windows;  ///< what to note as summed up, one per master
};

/// The throttles of one destination's policy. Keys of all masters lie in one table of at most most_keys; the
/// oldest window goes first. A device belongs to its master, so "device" holds "master", too.
class throttles
{
public:
    explicit throttles(std::size_t most_keys = 16384);
    ~throttles();
    throttles(const throttles&) = delete;
    throttles& operator=(const throttles&) = delete;

    /// From now on these throttles; the windows of those that were there before go on.
    void follow(std::shared_ptr<const rules::policy> policy);
    bool any() const;

    /// Which throttle, as an index into the policy's throttles(), keeps this breach, that the rules forward,
    /// from going; nothing where all let it pass. always: decided by an "always". created: counts_at().
    /// Changes nothing: passed() or held() makes it so, for the breach that was asked last. Views of b must
    /// live until then.
    std::optional<std::size_t> ask(const breach& b,
                                   std::string_view master,
                                   std::int64_t created,
                                   bool always);
    /// The breach that was asked last goes: it counts in every throttle.
    void passed();
    /// The breach that was asked last is held, by what ask() said.
    void held(std::string url);

    /// The windows of this master that changed since the last call, as they stand.
    std::vector<throttle_window> take_changes(std::string_view master);
    /// What take_changes() gave was not saved: it counts as changed again.
    void put_back(const std::vector<throttle_window>& windows);
    /// Brings rows that wait to be saved up to what summaries told of since.
    void note_told(std::vector<throttle_window>& windows) const;
    /// Windows that a restart goes on with: what take_changes() gave, for one master. Those of throttles that
    /// are no longer there are passed over.
    void restore(std::string_view master, const std::vector<throttle_window>& windows);
    /// A master that leaves: what it has in windows leaves with it.
    void forget(std::string_view master);

    /// Summaries of windows that were over 15 s before now (ms), or a quarter of `per`, of those a later
    /// window replaced, and of those that went for want of room. What one told of, none tells of again.
    std::vector<throttle_summary> take_summaries(std::int64_t now);
    /// ms, when the next window with something to tell ends; nothing where there is none.
    std::optional<std::int64_t> next_end() const;

    std::size_t keys() const;

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

}  // namespace dtbridge::deliver
