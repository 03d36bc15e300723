#include "archive/any_store.hpp"

namespace dtbridge
{

void known_facts::take_in(const std::vector<const archive_element*>& fresh,
                          std::int64_t first_seq,
                          const std::optional<poll_position>& reached,
                          std::int64_t now,
                          std::size_t keys_limit,
                          added& out)
{
    const auto count = static_cast<std::int64_t>(fresh.size());
    out.keys.reserve(fresh.size());
    std::lock_guard lock(mutex);
    if (count > 0 && breaches == 0)
    {
        oldest_seq = first_seq;
        oldest_archived = now;
    }
    breaches += count;
    last_seq += count;
    if (reached)
        position = reached;
    for (const auto* e : fresh)
    {
        out.keys.push_back(e->key);
        keys.add(e->key, recent_keys::shown{e->acknowledged, e->comment_count}, keys_limit);
    }
    out.last_seq = last_seq;
}

withheld_breach::cause cause_of(std::int64_t how)
{
    return how == static_cast<std::int64_t>(withheld_breach::cause::undeliverable)
               ? withheld_breach::cause::undeliverable
               : withheld_breach::cause::throttled;
}

}  // namespace dtbridge
