#include <unistd.h>

#include <dtbridge/core/time.hpp>

#include "app/archive_reading.hpp"
#include "app/breach_labels.hpp"
#include "app/commands.hpp"
#include "app/compact_json.hpp"
#include "app/host.hpp"
#include "app/load_config.hpp"
#include "app/options.hpp"
#include "app/policy_file.hpp"
#include "app/standard_output.hpp"

namespace dtbridge::app
{

int export_breaches(const arguments& args)
{
    const auto said = parse(args,
                            "export",
                            {{"master", "M", "whose archive", true},
                             {"from", "T", "created at T or later"},
                             {"to", "T", "created before T"},
                             {"rules", "F", "only what this mapping file forwards, its throttles aside"}});
    if (!said)
        return exit_done;
    reading what;
    what.span = read_time_span(*said, now_ms());
    const auto c = load_config(said->config(), true);
    what.state_dir = c.service.state_dir;
    what.database = c.archive.database;
    what.masters = archives_to_read(c, said->get("master"));
    what.what = "exporting";
    what.quiet = ::isatty(STDOUT_FILENO) == 1;
    const auto policy = said->has("rules") ? read_policy(said->get("rules")) : rules::policy();
    const breach_labels labels(c);
    become_owner(c.service.state_dir);

    standard_output out;
    std::string line;
    const auto print = [&](const read_breach& r) {
        line.clear();
        append_compact(line, r.archived.body);
        line += '\n';
        return out.write(line);
    };
    std::int64_t broken = 0;
    if (!said->has("rules"))
        read_archives(what, print);
    else
        broken = read_parsed(what, [&](const read_breach& r, const breach& b) {
            return !policy.decide(b, labels.of(r.master, b)).forward || print(r);
        });
    out.flush();
    return broken == 0 ? exit_done : exit_not_right;
}

}  // namespace dtbridge::app
