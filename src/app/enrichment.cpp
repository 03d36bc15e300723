#include "app/enrichment.hpp"

#include <sys/stat.h>

#include <dtbridge/async/offload.hpp>
#include <dtbridge/core/log.hpp>

namespace dtbridge::app
{

enrichment::state enrichment::state_of(const std::string& path)
{
    struct stat facts = {};
    if (::stat(path.c_str(), &facts) != 0)
        return {};
    state s;
    s.device = static_cast<std::int64_t>(facts.st_dev);
    s.inode = static_cast<std::int64_t>(facts.st_ino);
    s.bytes = facts.st_size;
    s.modified = facts.st_mtim.tv_sec * 1'000'000'000 + facts.st_mtim.tv_nsec;
    return s;
}

void enrichment::follow(const std::vector<config::enrich_options>& all)
{
    std::map<place, table> tables;
    masters_.clear();
    for (const auto& e : all)
    {
        const place where{e.path, e.key};
        masters_[e.master] = where;
        // A change between the configuration's look and this one is seen by its next look: the file is then
        // read once more than needed at worst.
        if (!tables.contains(where))
            tables[where] = table{{}, e.inventory};
    }
    tables_ = std::move(tables);
}

std::shared_ptr<const rules::inventory> enrichment::of(const std::string& master) const
{
    const auto at = masters_.find(master);
    if (at == masters_.end())
        return nullptr;
    const auto found = tables_.find(at->second);
    return found == tables_.end() ? nullptr : found->second.value;
}

boost::asio::awaitable<std::vector<std::string>> enrichment::look(boost::asio::any_io_executor worker)
{
    struct found
    {
        place where;
        state now;
        rules::loaded_inventory loaded;
    };
    std::vector<std::string> changed;
    if (tables_.empty())
        co_return changed;
    std::vector<std::pair<place, state>> known;
    for (const auto& [where, t] : tables_)
        known.emplace_back(where, t.seen);
    auto job = [known = std::move(known)] {
        std::vector<found> news;
        for (const auto& [where, before] : known)
        {
            const auto now = state_of(where.first);
            if (now == before)
                continue;
            found f;
            f.where = where;
            f.now = now;
            f.loaded = rules::load_inventory_file(where.first, where.first, where.second);
            news.push_back(std::move(f));
        }
        return news;
    };
    auto news = co_await offload(worker, std::move(job));
    for (auto& f : news)
    {
        // A reload may have come in between.
        const auto at = tables_.find(f.where);
        if (at == tables_.end())
            continue;
        const bool first_look = at->second.seen == state{};
        at->second.seen = f.now;
        if (!first_look || !f.loaded.value)
            for (const auto& p : f.loaded.problems)
                log::warning("enrich", "", config::to_line(p));
        if (!f.loaded.value)
        {
            log::error("enrich",
                       "",
                       "the inventory is not right; the last good one stays in force",
                       {{"file", f.where.first}});
            continue;
        }
        at->second.value = std::move(f.loaded.value);
        if (!first_look)
            log::info("enrich",
                      "",
                      "the inventory was read again",
                      {{"file", f.where.first}, {"rows", std::to_string(at->second.value->size())}});
        for (const auto& [master, where] : masters_)
            if (where == f.where)
                changed.push_back(master);
    }
    co_return changed;
}

}  // namespace dtbridge::app
