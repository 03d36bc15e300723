#include <dtbridge/core/text.hpp>
#include <dtbridge/db/postgres_options.hpp>

#include "config/checks.hpp"

namespace dtbridge::config
{

namespace
{

bool is_bridge_name(const std::string& s)
{
    return s.size() <= 63 &&
           s.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-.") == std::string::npos;
}

/// The keys of an archive in PostgreSQL; without a url they would do nothing and are refused.
void check_database(section& s, context& c, archive_options& out)
{
    using namespace std::chrono_literals;
    constexpr auto day = 24h;
    const archive_database otherwise;
    std::string url, file;
    s.read("url", url);
    s.read("password_file", file);
    s.read("bridge", out.bridge);
    s.read("schema_per_master", out.database.own_schemas);
    s.read_duration("partition", out.database.partition, 1h, 366 * day);
    if (url.empty())
    {
        const auto refuse = [&](const char* key, bool is_set) {
            if (is_set)
                s.error(key, "is of an archive in PostgreSQL, and url is \"\", which is SQLite in state_dir");
        };
        refuse("password_file", !file.empty());
        refuse("bridge", !out.bridge.empty());
        refuse("schema_per_master", out.database.own_schemas);
        refuse("partition", out.database.partition != otherwise.partition);
        return;
    }
    // The value may hold a password and is not repeated.
    const auto read = db::read_postgres_url(url);
    if (!read)
    {
        s.error("url",
                "not an archive that dtbridge knows; expected \"\", which is SQLite in state_dir, or "
                "\"postgresql://user@host/database\"");
        return;
    }
    if (!out.bridge.empty() && !is_bridge_name(out.bridge))
        s.error("bridge", "cannot be the name of a bridge; expected up to 63 of a-z, 0-9, \"-\" and \".\"");
    out.database.url = url;
    out.url_line = s.line_of("url");
    if (read->has_password)
        s.error("url",
                "holds a password; expected it in a file that password_file names, and here user@host");
    if (!read->is_local && !read->sslmode.empty() && read->sslmode != "verify-full")
        s.warning("url",
                  "sslmode=" + text::printable(read->sslmode, 20) +
                      " does not verify whom it talks to; without it, it is verify-full");
    if (!file.empty())
        read_secret(s, "password_file", c.places, out.database.password, out.password_file);
    if (s.is_explicit("min_free"))
        s.warning("min_free", "is not looked at: the file system of the database is another one's business");
}

}  // namespace

void check_archive(section s, context& c, archive_options& out)
{
    using namespace std::chrono_literals;
    constexpr auto day = 24h;
    check_database(s, c, out);
    s.read_duration("retention", out.retention, 1s, 36500 * day);
    s.read_size("max_size", out.max_size, 1u << 20, 1ull << 50);
    s.read_size("min_free", out.min_free, 0, 1ull << 50);
    if (!out.database.url.empty())
        out.min_free = 0;
    s.read_choice("when_full", out.pause_when_full, {{"drop_oldest", false}, {"pause", true}});
    s.finish();
}

}  // namespace dtbridge::config
