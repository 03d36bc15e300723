#include "app/status_text.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <vector>

#include <boost/json/array.hpp>

#include <dtbridge/core/text.hpp>
#include <dtbridge/core/time.hpp>

#include "app/service_request.hpp"

namespace dtbridge::app
{

namespace
{

constexpr std::size_t most_lines = 40;  // of a policy; --json has them all

using row = std::vector<std::string>;

std::string grouped(std::int64_t n)
{
    auto digits = std::to_string(n);
    const std::size_t sign = n < 0 ? 1 : 0;
    for (std::size_t at = digits.size(); at > sign + 3;)
        digits.insert(at -= 3, 1, ',');
    return digits;
}

std::string number(const boost::json::object& o, std::string_view name)
{
    return grouped(number_member(o, name).value_or(0));
}

std::string span_words(std::int64_t seconds)
{
    struct unit
    {
        std::int64_t seconds;
        const char* name;
    };
    for (const unit u : {unit{86400, " d"}, {3600, " h"}, {60, " min"}})
        if (seconds >= 2 * u.seconds)
            return std::to_string(seconds / u.seconds) + u.name;
    return std::to_string(seconds) + " s";
}

std::string ago(const boost::json::object& o, std::string_view name, std::int64_t now)
{
    const auto at = parse_time_argument(text_member(o, name), now);
    if (!at)
        return "never";
    return *at > now ? "in " + span_words((*at - now) / 1000) : span_words((now - *at) / 1000) + " ago";
}

std::string bytes_words(std::int64_t n)
{
    constexpr std::array names = {"B", "KiB", "MiB", "GiB", "TiB"};
    std::size_t unit = 0;
    std::int64_t tenths = n * 10;
    while (tenths >= 10240 && unit + 1 < names.size())
    {
        tenths /= 1024;
        ++unit;
    }
    if (unit == 0 || tenths >= 1000)
        return std::to_string(tenths / 10) + ' ' + names[unit];
    return std::to_string(tenths / 10) + '.' + std::to_string(tenths % 10) + ' ' + names[unit];
}

std::size_t width_of(std::string_view s)
{
    std::size_t n = 0;
    for (const char c : s)
        n += (static_cast<unsigned char>(c) & 0xC0u) != 0x80u;
    return n;
}

/// Columns in line; numbers to the right. numeric[i] is '1' where column i holds numbers.
void append_table(std::string& out, const std::vector<row>& rows, std::string_view numeric)
{
    std::vector<std::size_t> widths;
    for (const auto& r : rows)
        for (std::size_t i = 0; i < r.size(); ++i)
        {
            widths.resize(std::max(widths.size(), i + 1));
            widths[i] = std::max(widths[i], width_of(r[i]));
        }
    for (const auto& r : rows)
    {
        std::string line = " ";
        for (std::size_t i = 0; i < r.size(); ++i)
        {
            const std::string blanks(widths[i] - width_of(r[i]), ' ');
            line += ' ';
            line += i < numeric.size() && numeric[i] == '1' ? blanks + r[i] : r[i] + blanks;
            line += ' ';
        }
        while (line.ends_with(' '))
            line.pop_back();
        out += line + '\n';
    }
}

std::vector<const boost::json::object*> objects_of(const boost::json::object& o, std::string_view name)
{
    std::vector<const boost::json::object*> out;
    if (const auto* list = o.if_contains(name); list != nullptr && list->is_array())
        for (const auto& each : list->get_array())
            if (each.is_object())
                out.push_back(&each.get_object());
    return out;
}

void append_errors(std::string& out, const std::vector<const boost::json::object*>& all)
{
    for (const auto* o : all)
    {
        if (const auto error = text_member(*o, "error"); !error.empty())
            out += "  " + text_member(*o, "name") + ": " + text::printable(error, 500) + '\n';
        for (const auto* c : objects_of(*o, "cursors"))
            if (const auto error = text_member(*c, "error"); !error.empty())
                out += "  " + text_member(*o, "name") + ", archive of " + text_member(*c, "master") + ": " +
                       text::printable(error, 500) + '\n';
    }
}

void append_masters(std::string& out, const boost::json::object& status, std::int64_t now)
{
    const auto masters = objects_of(status, "masters");
    if (masters.empty())
    {
        out += "\nNo masters.\n";
        return;
    }
    std::vector<row> rows{
        {"MASTER", "STATE", "LAST SUCCESS", "POSITION", "SKEW", "ARCHIVED", "LATE", "SET ASIDE", "ON DISK"}};
    for (const auto* m : masters)
    {
        const auto skew = number_member(*m, "skew_seconds");
        const auto owner = text_member(*m, "owner");
        const bool is_elsewhere = m->contains("owned") && !flag_member(*m, "owned");
        rows.push_back({text_member(*m, "name"),
                        !is_elsewhere   ? text_member(*m, "state")
                        : owner.empty() ? "no owner"
                                        : "at " + owner,
                        ago(*m, "last_success", now),
                        ago(*m, "position", now),
                        skew ? std::to_string(*skew) + " s" : "unknown",
                        number(*m, "archived"),
                        number(*m, "late"),
                        number(*m, "set_aside"),
                        bytes_words(number_member(*m, "archive_bytes").value_or(0))});
    }
    out += '\n';
    append_table(out, rows, "000011111");
    append_errors(out, masters);
}

/// Where several share a database: who is alive, and who works for what.
void append_bridges(std::string& out, const boost::json::object& status)
{
    const auto* found = status.if_contains("bridges");
    if (found == nullptr || !found->is_object())
        return;
    const auto& bridges = found->get_object();
    const auto own = text_member(bridges, "name");
    out += "\nBridge " + own + " works for " + number(bridges, "owned") + " of " +
           number(bridges, "masters") + " masters\n";
    std::map<std::string, std::int64_t> works_for;
    for (const auto* m : objects_of(status, "masters"))
        ++works_for[text_member(*m, "owner")];
    std::vector<row> rows{{"BRIDGE", "STATE", "MASTERS", "LEASE ENDS IN"}};
    for (const auto* m : objects_of(bridges, "members"))
    {
        const auto name = text_member(*m, "name");
        rows.push_back({name,
                        text_member(*m, "state"),
                        grouped(works_for[name]),
                        span_words(number_member(*m, "expires_in_ms").value_or(0) / 1000)});
    }
    append_table(out, rows, "0011");
    if (const auto nobody = works_for.find(""); nobody != works_for.end())
        out += "  " + grouped(nobody->second) + " without an owner\n";
}

void append_destinations(std::string& out, const boost::json::object& status)
{
    const auto destinations = objects_of(status, "destinations");
    if (destinations.empty())
    {
        out += "\nNo destinations.\n";
        return;
    }
    std::vector<row> rows{{"DESTINATION",
                           "STATE",
                           "CONNECTED TO",
                           "LAG",
                           "OLDEST",
                           "SENT",
                           "CONFIRMED",
                           "HELD BACK",
                           "THROTTLED",
                           "UNDELIVERABLE",
                           "LOST"}};
    for (const auto* d : destinations)
    {
        const auto to = text_member(*d, "connected_to");
        const auto lag = number_member(*d, "lag").value_or(0);
        rows.push_back({text_member(*d, "name"),
                        text_member(*d, "state"),
                        to.empty() ? "-" : to,
                        grouped(lag),
                        lag > 0 ? span_words(number_member(*d, "lag_seconds").value_or(0)) : "-",
                        number(*d, "sent"),
                        number(*d, "confirmed"),
                        number(*d, "held_back"),
                        number(*d, "throttled"),
                        number(*d, "undeliverable"),
                        number(*d, "lost")});
    }
    out += '\n';
    append_table(out, rows, "00011111111");
    append_errors(out, destinations);
    std::vector<row> cursors{{"CURSOR OF", "IN", "AT"}};
    for (const auto* d : destinations)
        for (const auto* c : objects_of(*d, "cursors"))
            cursors.push_back({text_member(*d, "name"), text_member(*c, "master"), number(*c, "seq")});
    if (cursors.size() > 1)
    {
        out += '\n';
        append_table(out, cursors, "001");
    }
}

void append_lines(std::string& out, const boost::json::object& destination)
{
    auto lines = objects_of(destination, "policy_lines");
    if (lines.empty())
        return;
    const auto total = [&lines](std::string_view name) {
        std::int64_t n = 0;
        for (const auto* l : lines)
            n += number_member(*l, name).value_or(0);
        return n;
    };
    // What a reader looks for first: what speaks most, then what has been silent for a week.
    std::stable_sort(lines.begin(), lines.end(), [](const auto* a, const auto* b) {
        const auto key = [](const boost::json::object& l) {
            return std::pair(number_member(l, "last_24h").value_or(0), flag_member(l, "never_in_a_week"));
        };
        return key(*a) > key(*b);
    });
    std::vector<row> rows{{"24 H", "SINCE START", "LINE", "WHERE", ""}};
    for (const auto* l : lines)
    {
        if (rows.size() > most_lines)
            break;
        const auto line = number_member(*l, "line").value_or(0);
        rows.push_back(
            {number(*l, "last_24h"),
             number(*l, "since_start"),
             text::printable(text_member(*l, "text"), 80),
             line == 0 ? text_member(*l, "file") : text_member(*l, "file") + ':' + std::to_string(line),
             flag_member(*l, "never_in_a_week") ? "not once in a week" : ""});
    }
    out += "\nPolicy of " + text_member(destination, "name") + ": " + grouped(total("last_24h")) +
           " decisions in 24 hours, " + grouped(total("since_start")) + " since the start\n";
    append_table(out, rows, "11");
    const auto left =
        lines.size() - (rows.size() - 1) +
        static_cast<std::size_t>(number_member(destination, "policy_lines_left_out").value_or(0));
    if (left > 0)
        out += "  and " + grouped(static_cast<std::int64_t>(left)) + " more lines; --json shows more\n";
}

}  // namespace

std::string status_text(const boost::json::object& status, std::int64_t now)
{
    std::string out = "dtbridge " + text_member(status, "version");
    const auto started = text_member(status, "started");
    if (started.empty())
        out += ", not running";
    else
        out += ", started " + started + " (" + ago(status, "started", now) + ")" +
               (flag_member(status, "ready") ? ", ready" : ", not ready");
    out += '\n';
    if (const auto* reasons = status.if_contains("reasons"); reasons != nullptr && reasons->is_array())
        for (const auto& r : reasons->get_array())
            if (r.is_string())
                out += "  " + text::printable(r.get_string(), 500) + '\n';
    append_bridges(out, status);
    append_masters(out, status, now);
    append_destinations(out, status);
    for (const auto* d : objects_of(status, "destinations"))
        append_lines(out, *d);
    return out;
}

}  // namespace dtbridge::app
