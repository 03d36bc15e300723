#include <unistd.h>

#include <filesystem>
#include <iostream>

#include <dtbridge/archive/archive.hpp>
#include <dtbridge/archive/recover.hpp>
#include <dtbridge/core/text.hpp>
#include <dtbridge/core/time.hpp>

#include "app/commands.hpp"
#include "app/host.hpp"
#include "app/load_config.hpp"
#include "app/options.hpp"

namespace dtbridge::app
{

namespace
{

constexpr std::size_t most_spans_said = 20;

/// An archive has to be saved also where the configuration is not right (any more): only state_dir counts.
std::string state_dir_of(const parsed& said)
{
    if (said.has("state-dir"))
        return said.get("state-dir");
    const auto loaded = config::load(said.config(), process_environment());
    for (const auto& p : loaded.problems)
    {
        // One without a key is of the whole file: no such file, no TOML.
        if (!p.warning && (p.key.empty() || p.key.find("state_dir") != std::string::npos))
            throw action_error(config::to_line(p) + "; or name the state folder with --state-dir");
    }
    return loaded.value.service.state_dir;
}

void check_name(const std::string& folder, const std::string& name)
{
    std::error_code ec;
    const bool is_name = !name.empty() && name.front() != '.' && name.find('/') == std::string::npos;
    if (is_name && std::filesystem::is_directory(folder + "/" + name, ec))
        return;
    std::string known;
    for (std::filesystem::directory_iterator at(folder, ec), end; !ec && at != end; at.increment(ec))
        known += (known.empty() ? "" : ", ") + text::printable(at->path().filename().string(), 64);
    throw usage_error("there is no archive of master '" + text::printable(name, 64) + "' in " + folder +
                      "; there " + (known.empty() ? "is none" : "are: " + known));
}

std::string counted(std::int64_t n, const char* one, const char* many)
{
    return std::to_string(n) + " " + (n == 1 ? one : many);
}

void print(const std::string& name, const recovery& r)
{
    const auto line = [&name]() -> std::ostream& { return std::cout << name << ": "; };
    if (r.was_whole)
    {
        line() << "the archive is whole (" << counted(r.breaches, "breach", "breaches")
               << "); nothing was changed\n";
        return;
    }
    line() << "saved " << counted(r.breaches, "breach", "breaches") << " in "
           << counted(r.blocks, "block", "blocks") << ", " << counted(r.keys, "key", "keys") << ", "
           << counted(r.changes, "later state", "later states") << ", "
           << counted(r.batches, "batch", "batches") << ", "
           << counted(r.texts, "policy text", "policy texts") << "\n";
    if (r.rebuilt > 0)
        line() << counted(r.rebuilt, "breach", "breaches")
               << " of these got a new row, read from the bytes\n";
    if (r.corrected > 0)
        line() << counted(r.corrected, "number", "numbers")
               << " that could not be right: corrected, or the row left out\n";
    if (r.position)
        line() << "polling goes on from " << rfc3339_ms(*r.position) << "\n";
    else
        line() << "the poll position could not be read: polling begins at `backfill` again\n";
    if (r.cursors.empty())
        line() << "no cursor could be read: every destination begins at its `start` again\n";
    for (const auto& c : r.cursors)
    {
        line() << "destination " << text::printable(c.destination, 64) << " goes on behind seq " << c.seq;
        if (c.corrected)
            std::cout << ": its cursor was damaged; `dtbridge replay` sends what it may lack before that";
        if (c.lost > 0)
            std::cout << "; " << counted(c.lost, "breach", "breaches")
                      << " that it had not got could not be saved and counted lost";
        std::cout << "\n";
    }
    line() << "not saved: " << counted(r.lost_count, "breach", "breaches") << "; "
           << counted(r.damaged_pages, "page", "pages") << " could not be read\n";
    for (std::size_t i = 0; i < r.lost.size() && i < most_spans_said; ++i)
        line() << "not saved: seq " << r.lost[i].first << " to " << r.lost[i].second << "\n";
    if (r.lost.size() > most_spans_said)
        line() << "not saved: " << r.lost.size() - most_spans_said << " spans more\n";
    if (r.forgotten > 0)
        line() << counted(r.forgotten, "key", "keys")
               << " of these are forgotten, so that the next sweep, or `dtbridge backfill --deliver`, "
                  "archives and "
                  "delivers again what the master still shows\n";
    line() << "the damaged file is kept as " << r.kept_as << "\n";
}

void print(const service_recovery& r)
{
    std::cout << "service.db: ";
    if (r.was_whole)
    {
        std::cout << "it is whole; nothing was changed\n";
        return;
    }
    std::cout << "saved when " << counted(r.destinations, "destination", "destinations") << " first ran\n"
              << "service.db: for one that is not among them `start` counts from the next start of the "
                 "service; where one "
                 "lags behind, give it start = \"all\" until it has caught up\n"
              << "service.db: the damaged file is kept as " << r.kept_as << "\n";
}

}  // namespace

int recover(const arguments& args)
{
    const auto said = parse(args,
                            "recover",
                            {{"master", "M", "whose archive"},
                             {"service", "", "the service's own file, state_dir/service.db"},
                             {"state-dir", "D", "the state folder; default: that of the configuration"}});
    if (!said)
        return exit_done;
    if (said->has("master") == said->has("service"))
        throw usage_error("what is damaged? dtbridge recover --master M, or --service");
    const auto name = said->get("master");
    const auto state_dir = state_dir_of(*said);
    const auto masters = state_dir + "/masters";
    if (said->has("master"))
        check_name(masters, name);
    become_owner(state_dir);
    const auto lock = service_store::lock(state_dir);  // refuses, naming it, while a service runs
    if (!lock)
        throw action_error(lock.error().detail);
    if (said->has("service"))
    {
        const auto report = recover_service(state_dir, now_ms());
        if (!report)
            throw action_error(report.error().detail);
        print(*report);
        return exit_done;
    }
    const bool talks = ::isatty(STDERR_FILENO) == 1;
    const auto progress = [talks](std::uint64_t done, std::uint64_t all) {
        if (talks)
            std::cerr << "\r" << done * 100 / std::max<std::uint64_t>(all, 1) << " % of the pages"
                      << std::flush;
    };
    const auto report = recover_archive(masters + "/" + name, now_ms(), progress);
    if (talks)
        std::cerr << "\r                      \r";
    if (!report)
        throw action_error(report.error().detail);
    print(name, *report);
    return exit_done;
}

}  // namespace dtbridge::app
