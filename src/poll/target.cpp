#include <dtbridge/poll/target.hpp>

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <stdexcept>

#include <dtbridge/core/text.hpp>
#include <dtbridge/core/time.hpp>

namespace dtbridge::poll
{
namespace
{

void append_encoded(std::string& out, std::string_view text)
{
    static constexpr char digits[] = "0123456789ABCDEF";
    for (const char c : text)
    {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                           c == '-' || c == '.' || c == '_' || c == '~' || c == ':' || c == '*' || c == ',';
        if (plain)
        {
            out += c;
            continue;
        }
        const auto byte = static_cast<unsigned char>(c);
        out += '%';
        out += digits[byte >> 4];
        out += digits[byte & 15];
    }
}

/// strftime would do, but it reads the locale.
template <class... Args>
std::string print(const char* format, Args... args)
{
    std::array<char, 64> buffer{};
    const int n = std::snprintf(buffer.data(), buffer.size(), format, args...);
    return std::string(buffer.data(), static_cast<std::size_t>(n));
}

/// "2024-01-01T12:00:00": the guide's examples use 'T', and with it nothing needs encoding
/// (darktrace.md 2.1).
std::string text_time(std::int64_t ms)
{
    return format_date(date_format::iso, ms);
}

void set(parameters& query, std::string_view key, std::string value)
{
    std::erase_if(query, [&](const auto& p) { return p.first == key; });
    query.emplace_back(key, std::move(value));
}

}  // namespace

std::string make_target(std::string_view path, parameters query)
{
    std::stable_sort(
        query.begin(), query.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    std::string out(path);
    char before = '?';
    for (const auto& [key, value] : query)
    {
        out += before;
        before = '&';
        append_encoded(out, key);
        out += '=';
        append_encoded(out, value);
    }
    return out;
}

window asked_window(window w, time_parameters kind)
{
    if (kind == time_parameters::epoch)
        return w;
    window out{w.start - w.start % 1000, w.end};
    if (w.end % 1000 != 0)
        out.end += 1000 - w.end % 1000;
    return out;
}

std::string breaches_target(const master_options& o, window w, filter by, bool minimal)
{
    parameters query = o.query;
    const window asked = asked_window(w, o.times);
    if (o.times == time_parameters::epoch)
    {
        set(query, "starttime", std::to_string(asked.start));
        set(query, "endtime", std::to_string(asked.end));
    }
    else
    {
        set(query, "from", text_time(asked.start));
        set(query, "to", text_time(asked.end));
    }
    if (by == filter::creation)
        set(query, "creationtime", "true");
    if (minimal)
        set(query, "minimal", "true");
    return make_target("/modelbreaches", std::move(query));
}

std::string breach_target(const master_options& o, std::int64_t pbid)
{
    parameters query = o.query;
    set(query, "pbid", std::to_string(pbid));
    return make_target("/modelbreaches", std::move(query));
}

std::string post_text(std::string_view target, std::string_view body)
{
    std::string out(target);
    if (body.empty())
        return out;
    out += target.find('?') == std::string_view::npos ? '?' : '&';
    out += body;
    return out;
}

std::string format_date(date_format f, std::int64_t ms)
{
    static constexpr const char* days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static constexpr const char* months[] = {
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const calendar c = to_calendar(ms);
    switch (f)
    {
        case date_format::iso:
            return print("%04d-%02d-%02dT%02d:%02d:%02d", c.year, c.month, c.day, c.hour, c.minute, c.second);
        case date_format::sql:
            return print("%04d-%02d-%02d %02d:%02d:%02d", c.year, c.month, c.day, c.hour, c.minute, c.second);
        case date_format::rfc1123:
            return rfc1123_time(ms);
        case date_format::asctime:
            return print("%s %s %2d %02d:%02d:%02d %04d",
                         days[c.weekday],
                         months[c.month - 1],
                         c.day,
                         c.hour,
                         c.minute,
                         c.second,
                         c.year);
        case date_format::compact:
            break;
    }
    return print("%04d%02d%02dT%02d%02d%02d", c.year, c.month, c.day, c.hour, c.minute, c.second);
}

std::string sign(const secret& private_token,
                 std::string_view target,
                 std::string_view public_token,
                 std::string_view date)
{
    std::string text;
    text.reserve(target.size() + public_token.size() + date.size() + 2);
    text.append(target).append("\n").append(public_token).append("\n").append(date);
    const std::string_view key = private_token.reveal();
    std::array<unsigned char, EVP_MAX_MD_SIZE> mac{};
    std::size_t size = 0;
    if (EVP_Q_mac(nullptr,
                  "HMAC",
                  nullptr,
                  "SHA1",
                  nullptr,
                  key.data(),
                  key.size(),
                  reinterpret_cast<const unsigned char*>(text.data()),
                  text.size(),
                  mac.data(),
                  mac.size(),
                  &size) == nullptr)
    {
        throw std::runtime_error(
            "OpenSSL cannot compute HMAC-SHA1, which signs requests to a master: does a policy of "
            "this host forbid it?");
    }
    return text::hex(std::string_view(reinterpret_cast<const char*>(mac.data()), size));
}

std::vector<std::pair<std::string, std::string>> signed_headers(const master_options& o,
                                                                std::string_view text,
                                                                std::int64_t master_ms)
{
    std::string date = format_date(o.date, master_ms);
    std::string signature = sign(o.private_token, text, o.public_token.reveal(), date);
    std::vector<std::pair<std::string, std::string>> out;
    out.reserve(3);
    out.emplace_back("DTAPI-Token", o.public_token.reveal());
    out.emplace_back("DTAPI-Date", std::move(date));
    out.emplace_back("DTAPI-Signature", std::move(signature));
    return out;
}

}  // namespace dtbridge::poll
