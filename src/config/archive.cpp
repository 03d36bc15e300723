#include "config/checks.hpp"

namespace dtbridge::config
{

void check_archive(section s, context&, archive_options& out)
{
    using namespace std::chrono_literals;
    constexpr auto day = 24h;
    std::string url;
    if (s.read("url", url) && !url.empty())
    {
        // The value may hold a password and is not repeated.
        if (url.rfind("postgresql:", 0) == 0 || url.rfind("postgres:", 0) == 0)
            s.error("url",
                    "an archive in PostgreSQL is not built yet; expected \"\", which is SQLite in state_dir");
        else
            s.error("url", "not an archive that dtbridge knows; expected \"\", which is SQLite in state_dir");
    }
    s.read_duration("retention", out.retention, 1s, 36500 * day);
    s.read_size("max_size", out.max_size, 1u << 20, 1ull << 50);
    s.read_size("min_free", out.min_free, 0, 1ull << 50);
    s.read_choice("when_full", out.pause_when_full, {{"drop_oldest", false}, {"pause", true}});
    s.finish();
}

}  // namespace dtbridge::config
