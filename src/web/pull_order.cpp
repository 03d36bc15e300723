// The words of a pull request. Pure.

#include <charconv>

#include <dtbridge/core/text.hpp>
#include <dtbridge/core/time.hpp>
#include <dtbridge/web/pull.hpp>

#include <web/query.hpp>

namespace dtbridge::web
{

namespace
{

constexpr std::size_t most_breaches = 10'000;
constexpr std::chrono::milliseconds longest_wait = std::chrono::seconds(60);
constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::size_t longest_cursor = 200;
/// In front of what a cursor holds, so that another kind can be told apart one day.
constexpr std::string_view mark = "1 ";

std::optional<std::int64_t> whole_number(std::string_view s)
{
    std::int64_t n = 0;
    const auto end = std::from_chars(s.data(), s.data() + s.size(), n);
    if (s.empty() || end.ec != std::errc{} || end.ptr != s.data() + s.size() || n < 0)
        return std::nullopt;
    return n;
}

/// RFC 4648 5, without padding.
std::string to_base64url(std::string_view bytes)
{
    std::string out;
    unsigned held = 0;
    int bits = 0;
    for (const char c : bytes)
    {
        held = (held << 8 | static_cast<unsigned char>(c)) & 0xffffff;
        for (bits += 8; bits >= 6; bits -= 6)
            out += alphabet[held >> (bits - 6) & 63];
    }
    if (bits > 0)
        out += alphabet[held << (6 - bits) & 63];
    return out;
}

std::optional<std::string> from_base64url(std::string_view s)
{
    std::string out;
    unsigned held = 0;
    int bits = 0;
    for (const char c : s)
    {
        const auto digit = alphabet.find(c);
        if (digit == alphabet.npos)
            return std::nullopt;
        held = (held << 6 | static_cast<unsigned>(digit)) & 0xffffff;
        bits += 6;
        if (bits >= 8)
        {
            bits -= 8;
            out += static_cast<char>(held >> bits & 0xff);
        }
    }
    return out;
}

failure wrong(std::string_view name, std::string_view value, std::string_view expected)
{
    return fail(errc::malformed,
                std::string(name) + "=" + text::printable(value) + " is not right; expected " +
                    std::string(expected));
}

outcome<bool> read_choices(const parameters& p, pull_order& out)
{
    const auto as = p.find("format").value_or("json");
    if (as == "cef")
        out.as = format::kind::cef;
    else if (as == "leef")
        out.as = format::kind::leef;
    else if (as != "json")
        return wrong("format", as, "json, cef or leef");
    const auto envelope = p.find("envelope").value_or("lines");
    if (envelope != "lines" && envelope != "json")
        return wrong("envelope", envelope, "json, or none for lines");
    out.envelope = envelope == "json";
    return true;
}

outcome<bool> read_bounds(const parameters& p, std::int64_t now, pull_order& out)
{
    if (const auto limit = p.find("limit"))
    {
        const auto n = whole_number(*limit);
        if (!n || *n < 1 || *n > static_cast<std::int64_t>(most_breaches))
            return wrong("limit", *limit, "1 to 10000");
        out.limit = static_cast<std::size_t>(*n);
    }
    if (const auto wait = p.find("wait"))
    {
        const auto n = whole_number(*wait);
        auto span = parse_duration(*wait);
        if (n && *n <= 60)
            span = std::chrono::seconds(*n);
        if (!span || *span > longest_wait || span->count() < 0)
            return wrong("wait", *wait, "a duration of at most 60s, such as 30s");
        out.wait = *span;
    }
    if (const auto since = p.find("since"))
    {
        out.since = parse_time_argument(*since, now);
        if (!out.since)
            return wrong("since", *since, "a time such as 2026-01-31T00:00:00Z or -24h");
    }
    return true;
}

}  // namespace

std::string make_cursor(std::string_view master, std::int64_t seq)
{
    std::string text(mark);
    text += std::to_string(seq);
    text += ' ';
    text += master;
    return to_base64url(text);
}

outcome<cursor> read_cursor(std::string_view text)
{
    const auto not_ours = [&] {
        return wrong("after", text, "what an earlier answer gave as \"next\", unchanged");
    };
    if (text.size() > longest_cursor)
        return not_ours();
    const auto plain = from_base64url(text);
    if (!plain || !plain->starts_with(mark))
        return not_ours();
    std::string_view rest = *plain;
    rest.remove_prefix(mark.size());
    const auto blank = rest.find(' ');
    if (blank == rest.npos)
        return not_ours();
    const auto seq = whole_number(rest.substr(0, blank));
    if (!seq)
        return not_ours();
    return cursor{std::string(rest.substr(blank + 1)), *seq};
}

std::optional<failure> foreign_cursor(const pull_order& order, std::string_view formerly)
{
    if (!order.after || order.cursor_of == order.master || (!formerly.empty() && order.cursor_of == formerly))
        return std::nullopt;
    return fail(errc::malformed, "after: this cursor is of another master");
}

outcome<pull_order> read_pull_order(std::string_view query, std::int64_t now)
{
    auto p = parameters::parse(query);
    if (!p)
        return p.error();
    if (const auto unknown =
            p->unknown({"master", "after", "limit", "model", "since", "rules", "format", "envelope", "wait"});
        !unknown.empty())
        return fail(errc::malformed,
                    "unknown parameter " + text::printable(unknown) +
                        "; known are master, after, limit, model, since, rules, format, envelope and wait");
    pull_order out;
    out.master = p->find("master").value_or("");
    if (out.master.empty())
        return fail(errc::malformed, "master is missing; /api/v1/masters lists them");
    out.model = p->find("model").value_or("");
    out.rules = p->find("rules").value_or("");
    if (const auto after = p->find("after"); after && !after->empty())
    {
        auto from = read_cursor(*after);
        if (!from)
            return from.error();
        out.after = from->seq;
        out.cursor_of = std::move(from->master);
    }
    if (auto read = read_choices(*p, out); !read)
        return read.error();
    if (auto read = read_bounds(*p, now, out); !read)
        return read.error();
    return out;
}

}  // namespace dtbridge::web
