#include "archive/recent.hpp"

#include <algorithm>
#include <random>

namespace dtbridge
{

void recent_blocks::part::add(std::shared_ptr<const added_block> block)
{
    auto weight = block->weight();
    if (weight > all_->per_archive_)
    {
        clear();  // what is kept has to reach to the newest breach
        return;
    }
    std::lock_guard lock(all_->mutex_);
    if (!mine_.empty() && mine_.back()->block->last_seq() + 1 != block->first_seq)
        while (!mine_.empty())
            all_->drop_front(*this);
    all_->all_.push_back(item{this, std::move(block)});
    mine_.push_back(std::prev(all_->all_.end()));
    bytes_ += weight;
    all_->bytes_ += weight;
    while (bytes_ > all_->per_archive_)
        all_->drop_front(*this);
    while (all_->bytes_ > all_->in_all_)
        all_->drop_front(*all_->all_.front().owner);
}

std::optional<archive_span> recent_blocks::part::read(std::int64_t after_seq,
                                                      std::size_t max_count,
                                                      std::size_t max_bytes) const
{
    archive_span span;
    auto held = std::make_shared<std::vector<std::shared_ptr<const added_block>>>();
    span.scanned_to = after_seq;
    std::size_t bytes = 0;
    std::lock_guard lock(all_->mutex_);
    if (mine_.empty() || after_seq < mine_.front()->block->first_seq - 1)
        return std::nullopt;
    for (const auto& place : mine_)
    {
        const auto& block = place->block;
        if (block->last_seq() <= after_seq)
            continue;
        if (block->archive_only)
        {
            span.scanned_to = block->last_seq();
            continue;
        }
        held->push_back(block);
        auto skip = static_cast<std::size_t>(std::max<std::int64_t>(after_seq + 1 - block->first_seq, 0));
        for (auto i = skip; i < block->entries.size(); ++i)
        {
            const auto& e = block->entries[i];
            bool full = span.breaches.size() >= max_count || bytes + e.length > max_bytes;
            if (full && !span.breaches.empty())
            {
                span.hold = std::move(held);
                return span;
            }
            archived_breach b;
            b.seq = block->first_seq + static_cast<std::int64_t>(i);
            b.archived = block->archived;
            b.key = e.key;
            b.body = std::string_view(block->bytes).substr(e.begins, e.length);
            span.breaches.push_back(b);
            span.scanned_to = b.seq;
            bytes += e.length;
        }
    }
    span.hold = std::move(held);
    return span;
}

void recent_blocks::part::release(std::int64_t seq)
{
    std::lock_guard lock(all_->mutex_);
    while (!mine_.empty() && mine_.front()->block->last_seq() <= seq)
        all_->drop_front(*this);
}

void recent_blocks::drop_front(part& of)
{
    auto place = of.mine_.front();
    of.mine_.pop_front();
    auto weight = place->block->weight();
    of.bytes_ -= weight;
    bytes_ -= weight;
    all_.erase(place);
}

std::size_t recent_blocks::bytes() const
{
    std::lock_guard lock(mutex_);
    return bytes_;
}

std::size_t recent_keys::hash::operator()(const breach_key& key) const
{
    // The master chooses the keys: with a secret in the hash it cannot choose ones that all collide.
    static const std::uint64_t secret = [] {
        std::random_device random;
        return (static_cast<std::uint64_t>(random()) << 32) ^ random();
    }();
    auto mix = [](std::uint64_t x) {  // splitmix64
        x += 0x9e3779b97f4a7c15u;
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
        return x ^ (x >> 31);
    };
    return static_cast<std::size_t>(
        mix(mix(static_cast<std::uint64_t>(key.pbid) ^ secret) ^ static_cast<std::uint64_t>(key.created)));
}

void recent_keys::add(const breach_key& key, shown state, std::size_t limit)
{
    if (!keys_.insert_or_assign(key, state).second)
        return;
    order_.push_back(key);
    while (order_.size() > limit)
    {
        keys_.erase(order_.front());
        order_.pop_front();
    }
}

const recent_keys::shown* recent_keys::find(const breach_key& key) const
{
    auto it = keys_.find(key);
    return it == keys_.end() ? nullptr : &it->second;
}

void recent_keys::update(const breach_key& key, shown state)
{
    if (auto it = keys_.find(key); it != keys_.end())
        it->second = state;
}

void recent_keys::clear()
{
    keys_.clear();
    order_.clear();
}

void recent_hashes::add(const std::string& hash)
{
    if (!hashes_.insert(hash).second)
        return;
    order_.push_back(hash);
    if (order_.size() <= limit)
        return;
    hashes_.erase(order_.front());
    order_.pop_front();
}

}  // namespace dtbridge
