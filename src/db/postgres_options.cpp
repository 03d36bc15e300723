#include <dtbridge/db/postgres_options.hpp>

#include <dtbridge/core/text.hpp>

namespace dtbridge::db
{

namespace
{

bool is_loopback(std::string_view host)
{
    // libpq takes "" and a path (its first character percent-encoded in a URL) for a socket.
    return host.empty() || host == "localhost" || host.rfind("127.", 0) == 0 || host == "[::1]" ||
           host == "::1" || host.rfind("%2F", 0) == 0 || host.rfind("%2f", 0) == 0 || host.front() == '/';
}

/// Calls each with every part between separators.
template <class F>
void split(std::string_view all, char separator, F each)
{
    for (;;)
    {
        const auto end = all.find(separator);
        each(all.substr(0, end));
        if (end == std::string_view::npos)
            return;
        all.remove_prefix(end + 1);
    }
}

std::string_view without_port(std::string_view host)
{
    if (!host.empty() && host.front() == '[')
        return host.substr(0, host.find(']') == std::string_view::npos ? host.size() : host.find(']') + 1);
    return host.substr(0, host.find(':'));
}

}  // namespace

outcome<postgres_url> read_postgres_url(std::string_view url)
{
    std::string_view rest;
    for (const std::string_view scheme : {"postgresql://", "postgres://"})
        if (url.rfind(scheme, 0) == 0)
            rest = url.substr(scheme.size());
    if (rest.data() == nullptr)
        return fail(errc::malformed, "not postgresql://host/database");
    postgres_url out;
    const auto question = rest.find('?');
    auto query = question == std::string_view::npos ? std::string_view() : rest.substr(question + 1);
    rest = rest.substr(0, question);
    const auto slash = rest.find('/');
    auto hosts = rest.substr(0, slash);
    const auto database = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
    if (const auto at = hosts.rfind('@'); at != std::string_view::npos)
    {
        out.has_password = hosts.substr(0, at).find(':') != std::string_view::npos;
        hosts.remove_prefix(at + 1);
    }
    split(
        hosts, ',', [&](std::string_view h) { out.is_local = out.is_local && is_loopback(without_port(h)); });
    std::string other_hosts;
    if (!query.empty())
        split(query, '&', [&](std::string_view pair) {
            const auto equals = pair.find('=');
            const auto key = pair.substr(0, equals);
            const auto value =
                equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1);
            if (key == "sslmode")
                out.sslmode = value;
            else if (key == "sslrootcert")
                out.has_root = true;
            else if (key == "password")
                out.has_password = true;
            else if (key == "host" || key == "hostaddr")
            {
                other_hosts = value;
                split(value, ',', [&](std::string_view h) { out.is_local = out.is_local && is_loopback(h); });
            }
        });
    out.place = "PostgreSQL";
    const auto shown = hosts.empty() ? std::string_view(other_hosts) : hosts;
    if (!shown.empty())
        out.place += " at " + text::printable(shown, 200);
    if (!database.empty())
        out.place += ", database " + text::printable(database, 100);
    return out;
}

}  // namespace dtbridge::db
