#include <algorithm>

#include <dtbridge/core/text.hpp>

#include "config/checks.hpp"

namespace dtbridge::config
{

namespace
{

using namespace std::chrono_literals;

bool is_name(std::string_view name)
{
    return !name.empty() && name.size() <= 63 && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    });
}

bool visible_ascii(std::string_view s)
{
    return std::all_of(s.begin(), s.end(), [](unsigned char c) { return c > 0x20 && c < 0x7f; });
}

void check_token_keys(section& s, const context& c, poll::master_options& out)
{
    const entry* e = s.find("public_token");
    if (e == nullptr)
        s.error("public_token",
                "is missing; expected the public token of the appliance's API token pair (System Config, API "
                "Token)");
    else if (e->value.type != node::kind::string || e->value.text.empty() || e->value.text.size() > 512 ||
             !visible_ascii(e->value.text))
        // The value is not repeated: a private token may have been put here.
        s.error("public_token",
                e->value.type == node::kind::string && e->value.text.empty()
                    ? "is empty; expected the public token as the appliance shows it"
                    : "not a token; expected a string of letters and digits, as the appliance shows it");
    else
        out.public_token = secret(e->value.text);
    if (!s.is_set("private_token_file"))
        s.error("private_token_file", "is missing; expected the name of a file that holds the private token");
    else
        read_secret(s, "private_token_file", c.places, out.private_token, out.private_token_file);
}

void check_times(section& s, poll::master_options& out)
{
    constexpr auto day = 24h;
    s.read_duration("interval", out.interval, 100ms, day);
    // Further back than a year answers are cut anyway (darktrace.md 2.4), but slices are asked for.
    s.read_duration("backfill", out.backfill, 0ms, 3650 * day);
    s.read_duration("overlap", out.overlap, 0ms, 30 * day);
    s.read_choice("window",
                  out.window,
                  {{"auto", poll::window_kind::automatic},
                   {"creation", poll::window_kind::creation},
                   {"activity", poll::window_kind::activity}});
    s.read_choice("time_parameters",
                  out.times,
                  {{"epoch", poll::time_parameters::epoch}, {"text", poll::time_parameters::text}});
    s.read_choice("date_format",
                  out.date,
                  {{"compact", poll::date_format::compact},
                   {"iso", poll::date_format::iso},
                   {"sql", poll::date_format::sql},
                   {"rfc1123", poll::date_format::rfc1123},
                   {"asctime", poll::date_format::asctime}});
    s.read_duration("reconcile_interval", out.reconcile_interval, 1s, 30 * day);
    bool span = s.read_duration("reconcile_span", out.reconcile_span, 1min, 365 * day);
    bool deep = s.read_duration("reconcile_deep", out.reconcile_deep, 1min, 365 * day);
    if ((span || deep) && out.reconcile_deep < out.reconcile_span)
        s.warning(
            deep ? "reconcile_deep" : "reconcile_span",
            "the daily sweep (reconcile_deep) looks back less far than the hourly one (reconcile_span)");
    s.read_duration("timeout", out.timeout, 100ms, 1h);
}

void check_proxy(section& s, const context& c, poll::master_options& out)
{
    std::string value, path;
    bool given = s.read("proxy", value) && !value.empty();
    const entry* password = s.find("proxy_password_file");
    bool has_password =
        password != nullptr && !(password->value.type == node::kind::string && password->value.text.empty());
    if (!given)
    {
        if (has_password)
            s.error("proxy_password_file",
                    "a password without a proxy; expected proxy = \"http://user@host:port\" too");
        return;
    }
    constexpr std::string_view expected = "; expected \"http://host:port\" or \"http://user@host:port\"";
    auto proxy = std::make_shared<net::proxy_options>();
    std::string_view rest = value;
    if (!text::iequals(rest.substr(0, 7), "http://"))
    {
        // Not repeated: it may hold a password.
        s.error("proxy", "not an http:// address" + std::string(expected));
        return;
    }
    rest.remove_prefix(7);
    if (!rest.empty() && rest.back() == '/')
        rest.remove_suffix(1);
    if (auto at = rest.rfind('@'); at != std::string_view::npos)
    {
        std::string_view user = rest.substr(0, at);
        rest.remove_prefix(at + 1);
        if (user.find(':') != std::string_view::npos)
        {
            s.error("proxy",
                    "holds a password; expected it in a file that proxy_password_file names, and here "
                    "\"http://user@host:port\"");
            return;
        }
        auto decoded = text::percent_decoded(user);
        if (!decoded || decoded->empty())
        {
            s.error("proxy", "the user name cannot be read" + std::string(expected));
            return;
        }
        proxy->user = *decoded;
    }
    auto address = net::parse_endpoint(rest, 0);
    if (!address)
    {
        s.error("proxy", "found " + address.error().detail + std::string(expected));
        return;
    }
    proxy->address = *address;
    if (has_password)
    {
        read_secret(s, "proxy_password_file", c.places, proxy->password, path);
        if (proxy->user.empty())
            s.error("proxy_password_file",
                    "a password without a user; expected proxy = \"http://user@host:port\"");
    }
    else if (!proxy->user.empty())
        s.warning("proxy",
                  "a user without a password: an empty one is sent; proxy_password_file names its file");
    out.proxy = std::move(proxy);
}

void check_labels(section& s, poll::master_options& out)
{
    auto labels = s.subsection("labels");
    if (!labels)
        return;
    constexpr std::size_t max_labels = 64;
    if (labels->table().members.size() > max_labels)
        s.error("labels",
                "found " + counted(labels->table().members.size(), "label") + "; expected at most 64");
    for (const entry& label : labels->table().members)
    {
        bool right = !label.key.empty() && label.key.size() <= 63 &&
                     std::all_of(label.key.begin(), label.key.end(), [](char ch) {
                         return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
                                (ch >= '0' && ch <= '9') || ch == '_' || ch == '-';
                     });
        // Rules, field maps (@label.tenant) and JSON carry labels as text.
        if (!right)
            s.problems().error(label.line,
                               labels->name_of(text::printable(label.key, 80)),
                               "not a label's name; expected letters, digits, _ and -, at most 63");
        else if (label.value.type != node::kind::string || label.value.text.size() > 1024)
            s.problems().error(label.line,
                               labels->name_of(label.key),
                               "found " + std::string(kind_name(label.value.type)) +
                                   "; expected a string of at most 1024 bytes");
        else
            out.labels.emplace_back(label.key, label.value.text);
    }
}

void check_master(section& s, context& c, poll::master_options& out, master_place& place)
{
    if (!s.is_set("url"))
        s.error("url",
                "is missing; expected the appliance's address, such as \"https://darktrace.acme.example\"");
    else if (auto url = read_url(s, "url", false))
    {
        out.url = url->text;
        out.https = url->https;
        out.address = url->address;
        if (!out.https && !is_loopback(out.address.host))
            s.warning("url",
                      "http:// sends breaches in the clear, and who can answer for the appliance is "
                      "believed; expected https://");
    }
    if (auto url = read_url(s, "public_url", true))
        out.public_url = url->text;
    check_token_keys(s, c, out);
    check_times(s, out);
    check_proxy(s, c, out);
    if (auto tls = s.subsection("tls"))
        check_tls(std::move(*tls), c, tls_side::master, out.tls);
    check_labels(s, out);
    out.query = default_query();
    if (auto query = s.subsection("query"))
        check_query(std::move(*query), out, place.minimal_line);
    if (auto enrich = s.subsection("enrich"))
        place.enrich = check_enrich(std::move(*enrich), c);
    s.finish();
}

}  // namespace

std::optional<base_url> read_url(section& s, std::string_view key, bool path_allowed)
{
    std::string value;
    if (!s.read(key, value))
        return std::nullopt;
    if (value.empty() && path_allowed)
        return std::nullopt;
    auto bad = [&](std::string_view what) -> std::optional<base_url> {
        s.error(
            key,
            std::string(what) +
                "; expected https://, a host and perhaps a port, such as \"https://darktrace.acme.example\"");
        return std::nullopt;
    };
    base_url out;
    std::size_t scheme = 0;
    if (text::iequals(std::string_view(value).substr(0, 8), "https://"))
        scheme = 8;
    else if (text::iequals(std::string_view(value).substr(0, 7), "http://"))
    {
        scheme = 7;
        out.https = false;
    }
    // User and password are looked for before anything of the value is repeated.
    if (value.find('@') != std::string::npos)
        return bad("holds a user or password, which the appliance does not take");
    if (scheme == 0)
        return bad("found " + in_quotes(value) + ", which is not an http or https address");
    if (!visible_ascii(value) || value.size() > 1024)
        return bad("found " + in_quotes(value) + ", which has blanks or characters outside ASCII");
    if (value.find('?') != std::string::npos || value.find('#') != std::string::npos)
        return bad("found " + in_quotes(value) + " with a query or fragment");
    while (value.size() > scheme && value.back() == '/')
        value.pop_back();
    std::string_view rest = std::string_view(value).substr(scheme);
    std::string_view authority = rest.substr(0, rest.find('/'));
    if (authority.size() != rest.size() && !path_allowed)
        return bad("found " + in_quotes(value) + " with a path, which the bridge sets itself");
    auto address = net::parse_endpoint(authority, out.https ? 443 : 80);
    if (!address)
        return bad("found " + address.error().detail);
    out.address = *address;
    out.text = (out.https ? "https://" : "http://") + std::string(rest);
    return out;
}

bool name_register::check(section& s, std::string& name, std::string& formerly, bool has_formerly)
{
    bool right = false;
    if (!s.is_set("name"))
        s.error("name", "is missing; expected a name of a-z, 0-9 and -, at most 63 characters");
    else if (s.read("name", name))
    {
        auto before =
            std::find_if(names_.begin(), names_.end(), [&name](const used& u) { return u.text == name; });
        if (!is_name(name))
            s.error("name", "found " + in_quotes(name) + "; expected a-z, 0-9 and -, 1 to 63 characters");
        else if (before != names_.end())
            s.error("name",
                    "found " + in_quotes(name) + ", which line " + std::to_string(before->line) +
                        " has too; expected a name of its own");
        else
        {
            names_.push_back({name, s.name_of("name"), s.line_of("name")});
            right = true;
        }
    }
    if (!has_formerly)
        return right;
    if (s.read("formerly", formerly) && !formerly.empty())
    {
        auto before = std::find_if(
            formers_.begin(), formers_.end(), [&formerly](const used& u) { return u.text == formerly; });
        if (!is_name(formerly))
            s.error("formerly",
                    "found " + in_quotes(formerly) +
                        "; expected the old name: a-z, 0-9 and -, 1 to 63 characters");
        else if (before != formers_.end())
            s.error("formerly",
                    "found " + in_quotes(formerly) + ", which line " + std::to_string(before->line) +
                        " takes over already; expected one heir only");
        else
            formers_.push_back({formerly, s.name_of("formerly"), s.line_of("formerly")});
    }
    return right;
}

void name_register::finish(report& r) const
{
    for (const used& former : formers_)
        for (const used& name : names_)
            if (former.text == name.text)
                r.error(former.line,
                        former.key,
                        "found " + in_quotes(former.text) + ", which is in use at line " +
                            std::to_string(name.line) + "; expected an old name that nothing has now");
}

std::vector<std::string> match_masters(section& s,
                                       std::string_view key,
                                       const std::vector<section::text_at>& patterns,
                                       const context& c,
                                       const std::vector<master_place>& masters)
{
    if (patterns.empty())
        s.error(key, "is an empty list; expected names or globs of masters, such as [\"*\"]");
    std::vector<std::string_view> names;
    for (const master_place& m : masters)
        names.push_back(m.name);
    for (const auto& pattern : patterns)
    {
        bool matched = std::any_of(names.begin(), names.end(), [&](std::string_view name) {
            return text::glob_match(pattern.text, name);
        });
        if (!matched && !c.master_names_doubtful)
            s.problems().error(
                pattern.line,
                s.name_of(key),
                "found " + in_quotes(pattern.text) + ", which matches no [[master]]; expected " +
                    (names.empty() ? std::string("the name of one, and there is none") : one_of(names)) +
                    did_you_mean(pattern.text, names));
    }
    std::vector<std::string> answer;
    for (const master_place& m : masters)
        if (std::any_of(patterns.begin(), patterns.end(), [&m](const auto& p) {
                return text::glob_match(p.text, m.name);
            }))
            answer.push_back(m.name);
    return answer;
}

void check_masters(section& root,
                   context& c,
                   std::vector<poll::master_options>& out,
                   std::vector<master_place>& places)
{
    name_register names;
    // [master] instead of [[master]] is one mistake, not one more wherever the master is named.
    const entry* e = root.find("master");
    if (e != nullptr && e->value.type != node::kind::array)
        c.master_names_doubtful = true;
    for (section& s : root.list("master"))
    {
        poll::master_options master;
        master_place place;
        if (!names.check(s, master.name, master.formerly))
            c.master_names_doubtful = true;
        check_master(s, c, master, place);
        place.name = master.name;
        for (const poll::master_options& other : out)
            if (!master.url.empty() && other.url == master.url)
                s.warning("url",
                          "master " + in_quotes(other.name) +
                              " has the same url: every breach would be archived and sent for both");
        places.push_back(std::move(place));
        out.push_back(std::move(master));
    }
    names.finish(c.problems);
}

}  // namespace dtbridge::config
