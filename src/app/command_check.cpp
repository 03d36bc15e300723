#include <algorithm>
#include <iostream>

#include <boost/json/serialize.hpp>

#include <dtbridge/db/postgres.hpp>
#include <dtbridge/transport/kafka.hpp>

#include "app/ask.hpp"
#include "app/command.hpp"
#include "app/commands.hpp"
#include "app/connect_check.hpp"
#include "app/connect_text.hpp"
#include "app/host.hpp"
#include "app/load_config.hpp"
#include "app/options.hpp"
#include "app/run_alone.hpp"
#include "app/service_request.hpp"

namespace dtbridge::app
{

namespace
{

boost::json::array member_array(boost::json::object& o, std::string_view name)
{
    auto* v = o.if_contains(name);
    return v != nullptr && v->is_array() ? std::move(v->as_array()) : boost::json::array();
}

/// By the running service, piece by piece; nothing where none runs. shown: called with each piece.
template <class Shown>
std::optional<boost::json::array> check_by_service(const parsed& said, Shown shown)
{
    boost::json::array all;
    boost::json::object request;
    request["command"] = "check";
    for (;;)
    {
        auto reply = ask(said, request);
        if (!reply && all.empty())
            return std::nullopt;
        if (!reply)
            throw action_error("the service stopped in the middle of the check");
        auto piece = member_array(*reply, "checks");
        shown(piece);
        for (auto& c : piece)
            all.push_back(std::move(c));
        const auto next = text_member(*reply, "next");
        if (next.empty() || piece.empty())
            return all;
        request["after"] = next;
    }
}

void task_failed(const std::string& name, std::exception_ptr error)
{
    try
    {
        std::rethrow_exception(error);
    }
    catch (const std::exception& e)
    {
        std::cerr << "dtbridge: " << name << ": " << e.what() << '\n';
    }
}

boost::json::array check_alone(const config::configuration& c)
{
    asio::io_context io(1);
    task_group tasks(io.get_executor(), task_failed);
    return run_alone(
        io, check_connections(tasks, connect_targets(c.archive.database, c.masters, c.destinations)));
}

/// Says what the file names and the running service does not have yet, and so did not check; whether that is
/// nothing.
bool knows_everything(const config::configuration& c, const boost::json::array& checks)
{
    const auto known = [&](std::string_view kind, const std::string& name) {
        return std::any_of(checks.begin(), checks.end(), [&](const auto& check) {
            const auto& o = check.get_object();
            return text_member(o, "kind") == kind && text_member(o, "name") == name;
        });
    };
    bool everything = true;
    const auto tell = [&everything](std::string_view kind, const std::string& name) {
        everything = false;
        std::cerr << "note: the running service does not know the " << kind << " '" << name
                  << "' of the file yet: reload it (systemctl reload dtbridge)\n";
    };
    if (!c.archive.database.url.empty() && !known("database", "archive"))
    {
        everything = false;
        std::cerr << "note: the running service keeps its archives in files: [archive] url needs a restart "
                     "(systemctl restart dtbridge)\n";
    }
    for (const auto& m : c.masters)
    {
        if (!known("master", m.name))
            tell("master", m.name);
    }
    for (const auto& d : c.destinations)
    {
        if (!known("destination", d.options.name))
            tell("destination", d.options.name);
    }
    return everything;
}

/// The checks as they are known, for people or for a script.
class reporter
{
public:
    explicit reporter(bool json) : json_(json) {}
    void operator()(const boost::json::array& piece) const
    {
        if (!json_)
            print_checks(piece, std::cout);
    }
    void end(boost::json::array all, bool good, bool by_service) const
    {
        if (!json_)
            return;
        boost::json::object o;
        o["ok"] = good;
        o["by"] = by_service ? "service" : "command";
        o["checks"] = std::move(all);
        std::cout << boost::json::serialize(o) << '\n';
    }

private:
    bool json_;
};

/// What a configuration needs beside its files. The service starts without and tries again, so that it is no
/// error of the configuration there.
void check_libraries(config::loaded& loaded)
{
    if (!loaded.ok)
        return;
    const auto lacks = [&loaded](unsigned line, const char* key, std::string message) {
        config::problem p;
        p.file = loaded.value.file;
        p.line = line;
        p.key = key;
        p.message = std::move(message);
        loaded.problems.push_back(std::move(p));
        loaded.ok = false;
    };
    if (!loaded.value.archive.database.url.empty())
    {
        const auto usable = db::check_postgres_library();
        if (!usable)
            lacks(loaded.value.archive.url_line, "archive.url", usable.error().detail);
    }
    for (const auto& d : loaded.value.destinations)
    {
        if (d.options.transport.kind != transport::protocol::kafka)
            continue;
        const auto usable = transport::check_kafka(d.options.transport);
        if (!usable)
            lacks(d.line,
                  "destination.transport",
                  "destination \"" + d.options.name + "\": " + usable.error().detail);
    }
}

bool check_connect(const parsed& said, const config::loaded& loaded)
{
    ignore_broken_pipes();
    const reporter report(said.has("json"));
    const auto& c = loaded.value;
    if (auto all = check_by_service(said, report))
    {
        const bool complete = !loaded.ok || knows_everything(c, *all);
        const bool good = complete && all_good(*all);
        report.end(std::move(*all), good, true);
        return good;
    }
    if (!loaded.ok)
        throw action_error(c.file + " is not right, and no service runs: nothing was connected to");
    become_owner(c.service.state_dir);
    auto all = check_alone(c);
    const bool good = all_good(all);
    report(all);
    report.end(std::move(all), good, false);
    return good;
}

}  // namespace

int check(const arguments& args)
{
    const auto said =
        parse(args,
              "check",
              {{"connect",
                "",
                "also signs in to each master and shakes hands with each destination and the database"},
               {"json", "", "with --connect: what was found as one JSON object"}});
    if (!said)
        return exit_done;
    if (said->has("json") && !said->has("connect"))
        throw usage_error("--json goes with --connect");
    auto loaded = config::load(said->config(), process_environment());
    check_libraries(loaded);
    const auto errors = print_problems(loaded);
    const auto& c = loaded.value;
    if (loaded.ok)
        (said->has("json") ? std::cerr : std::cout)
            << c.file << ": good: " << c.masters.size()
            << (c.masters.size() == 1 ? " master, " : " masters, ") << c.destinations.size()
            << (c.destinations.size() == 1 ? " destination" : " destinations") << std::endl;
    else if (!said->has("connect"))
        throw action_error(error_count(c.file, errors));
    bool good = loaded.ok;
    if (said->has("connect"))
    {
        const bool connected = check_connect(*said, loaded);
        good = good && connected;
    }
    return good && std::cout ? exit_done : exit_not_right;
}

}  // namespace dtbridge::app
