#include <dtbridge/core/time.hpp>
#include <dtbridge/tune/models.hpp>

#include "app/archive_reading.hpp"
#include "app/commands.hpp"
#include "app/host.hpp"
#include "app/load_config.hpp"
#include "app/options.hpp"
#include "app/standard_output.hpp"
#include "app/terminal.hpp"

namespace dtbridge::app
{

int models(const arguments& args)
{
    const auto said = parse(args,
                            "models",
                            {{"master", "M", "whose archive", true},
                             {"from", "T", "created at T or later"},
                             {"to", "T", "created before T"},
                             {"csv", "", "as CSV"},
                             {"mapping", "", "as a mapping file to fill in"}});
    if (!said)
        return exit_done;
    if (said->has("csv") && said->has("mapping"))
        throw usage_error("--csv and --mapping are both given; expected one of them");
    reading what;
    what.span = read_time_span(*said, now_ms());
    const auto c = load_config(said->config(), true);
    what.state_dir = c.service.state_dir;
    what.database = c.archive.database;
    what.masters = archives_to_read(c, said->get("master"));
    what.what = "reading";
    become_owner(c.service.state_dir);

    tune::survey seen;
    const auto broken = read_parsed(what, [&](const read_breach&, const breach& b) {
        seen.take(b);
        return true;
    });
    standard_output out;
    const auto write = [&](std::string_view text) { out.write(text); };
    if (said->has("csv"))
        tune::write_model_csv(seen, write);
    else if (said->has("mapping"))
        tune::write_model_mapping(seen, what.masters.front(), write);
    else
        tune::write_model_table(seen, terminal_columns(), write);
    out.flush();
    return broken == 0 ? exit_done : exit_not_right;
}

}  // namespace dtbridge::app
