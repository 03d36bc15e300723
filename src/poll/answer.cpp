#include <dtbridge/poll/answer.hpp>

#include <algorithm>
#include <array>

#include <dtbridge/core/json.hpp>
#include <dtbridge/core/text.hpp>
#include <dtbridge/core/time.hpp>

namespace dtbridge::poll
{
namespace
{

constexpr std::string_view signature_text = "API SIGNATURE ERROR";
constexpr std::string_view date_text = "API DATE ERROR";
constexpr std::string_view input_text = "INPUT ERROR";
constexpr std::string_view refused_text = "ERROR";

std::string_view known_error(std::string_view value)
{
    for (const auto known : {signature_text, date_text, input_text, refused_text})
    {
        if (text::trim_blank(value) == known)
            return known;
    }
    return {};
}

/// The first known error string among a value and all below it. The document's bounds bound the recursion.
std::string_view search(const json::value& v)
{
    if (v.is(json::kind::string))
        return known_error(v.text());
    if (!v.is(json::kind::array) && !v.is(json::kind::object))
        return {};
    for (const json::value child : v)
    {
        if (const auto found = search(child); !found.empty())
            return found;
    }
    return {};
}

std::string quoted(std::string_view s)
{
    return "\"" + text::printable(s, 120) + "\"";
}

verdict make(answer_kind kind, reaction what, std::string words)
{
    verdict v;
    v.kind = kind;
    v.what = what;
    v.words = std::move(words);
    return v;
}

verdict api_error(std::string_view which, unsigned status)
{
    if (which == signature_text)
        return make(
            answer_kind::signature_error,
            reaction::retry_slowly,
            "the master refused the signature (API SIGNATURE ERROR): public_token or the private token in "
            "private_token_file is not the master's, or a proxy changes the query");
    if (which == date_text)
        return make(answer_kind::date_error,
                    reaction::learn_date,
                    "the master refused the date of the request (API DATE ERROR): it tolerates 30 minutes");
    if (which == input_text)
        return make(answer_kind::input_error,
                    reaction::retry_slowly,
                    "the master does not like a parameter (INPUT ERROR, status " + std::to_string(status) +
                        "): look at [master.query]");
    return make(answer_kind::refused,
                reaction::retry_slowly,
                "the master refused the request (ERROR, status " + std::to_string(status) +
                    "): the token's permissions or a parameter in [master.query] are not to its liking");
}

verdict redirected(const net::http_response& r, std::string_view body)
{
    std::string to = r.location;
    constexpr std::string_view prefix = "Redirecting to ";
    if (const auto at = body.find(prefix); to.empty() && at != std::string_view::npos)
        to = std::string(text::trim_blank(body.substr(at + prefix.size(), 200)));
    std::string_view path = std::string_view(to).substr(0, to.find_first_of("?#"));
    while (path.size() > 1 && path.back() == '/')
        path.remove_suffix(1);
    if (path.ends_with("/login"))
        return make(
            answer_kind::login_redirect,
            reaction::retry_slowly,
            "the master sends to its login page (" + std::to_string(r.status) + " to " + quoted(to) +
                "): it does not know /modelbreaches, or something on the way removes the DTAPI headers");
    if (path.ends_with("/403"))
        return make(answer_kind::permission_redirect,
                    reaction::retry_slowly,
                    "the token lacks permission (" + std::to_string(r.status) + " to " + quoted(to) +
                        "): /modelbreaches needs Unrestricted Devices and one of Visualizer, Platform "
                        "Accounts Console, "
                        "View Models, Edit Models");
    return make(answer_kind::redirect,
                reaction::retry_slowly,
                "the master redirects (" + std::to_string(r.status) + " to " + quoted(to) +
                    "), which is not followed: url must name the master itself, with https if it wants that");
}

verdict page(const net::http_response& r, std::string_view html)
{
    const std::string title = html_title(html);
    const std::string lower = text::lower(title);
    const std::string status = std::to_string(r.status);
    if (lower.find("log in") != std::string::npos || lower.find("login") != std::string::npos)
        return make(
            answer_kind::login_page,
            reaction::retry_slowly,
            "the master answered with its login page (status " + status + ", title " + quoted(title) +
                ") where breaches were expected: the token may not use the API or lacks the permission for "
                "/modelbreaches");
    return make(answer_kind::web_page,
                reaction::retry,
                "a web page came (status " + status + (title.empty() ? "" : ", title " + quoted(title)) +
                    ") where breaches were expected: is url the master's, and does a proxy block the way?");
}

bool is_page(const net::http_response& r, const body_facts& b)
{
    return b.shape == body_shape::html ||
           (b.shape == body_shape::other && r.content_type.starts_with("text/html"));
}

verdict judge_success(const net::http_response& r, const body_facts& b)
{
    if (is_page(r, b))
        return page(r, b.text);
    switch (b.shape)
    {
        case body_shape::array:
            return {};
        case body_shape::array_open:
        case body_shape::object_open:
            return make(answer_kind::cut,
                        reaction::retry,
                        "the answer ended in the middle of its JSON after " + std::to_string(r.body_bytes) +
                            " bytes: its complete breaches are kept, the rest is asked for again");
        case body_shape::array_broken:
        case body_shape::object_broken:
            return make(answer_kind::malformed,
                        reaction::retry,
                        "the answer is not well-formed JSON between its breaches or after them: those that "
                        "can be read "
                        "are kept, the window is asked for again");
        case body_shape::object:
            if (b.is_breach)
                return {};
            return make(answer_kind::not_a_list,
                        reaction::retry_slowly,
                        "a JSON object without a pbid came where a list of breaches was expected");
        case body_shape::nothing:
            return make(answer_kind::empty_body,
                        reaction::retry,
                        "the answer has no body (status " + std::to_string(r.status) +
                            "), which does not mean that there are no breaches: is the master starting or "
                            "overloaded?");
        case body_shape::html:
        case body_shape::other:
            break;
    }
    return make(answer_kind::not_a_list,
                reaction::retry_slowly,
                "neither a list nor an object came where breaches were expected (it begins with " +
                    quoted(b.text.substr(0, 40)) + "): is url the master's?");
}

verdict judge_status(const net::http_response& r, const body_facts& b, std::int64_t own_now)
{
    const std::string status = std::to_string(r.status);
    if (r.status >= 300 && r.status < 400)
        return redirected(r, b.text);
    verdict v;
    if (r.status == 429)
        v = make(
            answer_kind::rate_limited, reaction::retry, "the master asks for fewer requests (status 429)");
    else if (r.status >= 500)
        v = make(answer_kind::server_error,
                 r.status == 504 ? reaction::halve : reaction::retry,
                 "the master or a proxy before it has a fault (status " + status + ")");
    else if (r.status == 401)
        v = make(answer_kind::unauthorized,
                 reaction::retry_slowly,
                 "the master does not accept the token (status 401): public_token, private_token_file");
    else if (r.status == 403)
        v = make(answer_kind::forbidden,
                 reaction::retry_slowly,
                 "the token lacks permission, or a proxy forbids the way (status 403)");
    else if (r.status == 404)
        v = make(answer_kind::not_found,
                 reaction::retry_slowly,
                 "the master knows no such path or breach (status 404): is url the master's?");
    else if (r.status == 407)
        v = make(answer_kind::proxy_refused,
                 reaction::retry_slowly,
                 "a proxy wants a name and a password (status 407): proxy, proxy_password_file");
    else if (r.status == 408)
        v = make(answer_kind::timed_out, reaction::halve, "the master gave up waiting (status 408)");
    else
        v = make(answer_kind::unexpected_status,
                 reaction::retry_slowly,
                 "the master answered with status " + status + ", which says nothing about breaches");
    if (b.shape == body_shape::html)
    {
        if (const std::string title = html_title(b.text); !title.empty())
            v.words += ", page " + quoted(title);
    }
    v.retry_after = retry_after_ms(r.retry_after, parse_http_date(r.date).value_or(own_now));
    if (v.retry_after > 0)
        v.words += ", again in " + std::to_string((v.retry_after + 999) / 1000) + " s";
    return v;
}

}  // namespace

std::string_view name_of(answer_kind k)
{
    switch (k)
    {
        case answer_kind::ok:
            return "ok";
        case answer_kind::cut:
            return "cut";
        case answer_kind::malformed:
            return "malformed";
        case answer_kind::signature_error:
            return "signature_error";
        case answer_kind::date_error:
            return "date_error";
        case answer_kind::login_redirect:
            return "login_redirect";
        case answer_kind::permission_redirect:
            return "permission_redirect";
        case answer_kind::redirect:
            return "redirect";
        case answer_kind::login_page:
            return "login_page";
        case answer_kind::web_page:
            return "web_page";
        case answer_kind::unauthorized:
            return "unauthorized";
        case answer_kind::forbidden:
            return "forbidden";
        case answer_kind::not_found:
            return "not_found";
        case answer_kind::refused:
            return "refused";
        case answer_kind::input_error:
            return "input_error";
        case answer_kind::empty_body:
            return "empty_body";
        case answer_kind::not_a_list:
            return "not_a_list";
        case answer_kind::rate_limited:
            return "rate_limited";
        case answer_kind::server_error:
            return "server_error";
        case answer_kind::unexpected_status:
            return "unexpected_status";
        case answer_kind::timed_out:
            return "timed_out";
        case answer_kind::too_large:
            return "too_large";
        case answer_kind::unresolved:
            return "unresolved";
        case answer_kind::tls_refused:
            return "tls_refused";
        case answer_kind::proxy_refused:
            return "proxy_refused";
        case answer_kind::not_http:
            return "not_http";
        case answer_kind::unreachable:
            return "unreachable";
        case answer_kind::archive_failed:
            return "archive_failed";
    }
    return "unknown";
}

std::int64_t retry_after_ms(std::string_view value, std::int64_t now)
{
    value = text::trim_blank(value);
    if (value.empty())
        return 0;
    if (std::all_of(value.begin(), value.end(), [](char c) { return c >= '0' && c <= '9'; }))
    {
        std::int64_t seconds = 0;
        for (const char c : value)
            seconds = std::min<std::int64_t>(seconds * 10 + (c - '0'), max_retry_after / 1000);
        return seconds * 1000;
    }
    const auto date = parse_http_date(value);
    return date ? std::clamp<std::int64_t>(*date - now, 0, max_retry_after) : 0;
}

std::string_view find_api_error(std::string_view s)
{
    if (const auto plain = known_error(s); !plain.empty())
        return plain;
    json::document doc;
    const auto root = doc.parse(s);
    return root ? search(*root) : std::string_view{};
}

std::string html_title(std::string_view html)
{
    const std::string lower = text::lower(html.substr(0, 8192));
    auto at = lower.find("<title");
    if (at == std::string::npos)
        return {};
    at = lower.find('>', at);
    if (at == std::string::npos)
        return {};
    const auto end = lower.find('<', at);
    const auto title = html.substr(at + 1, (end == std::string::npos ? lower.size() : end) - at - 1);
    return text::printable(text::trim_blank(title), 120);
}

verdict judge(const net::http_response& r, const body_facts& body, std::int64_t own_now)
{
    const bool success = r.status >= 200 && r.status <= 203;
    // Values are compared, never one key: the API's key is not published (darktrace.md 2.6). A breach may
    // hold any text.
    if (!body.api_error.empty())
        return api_error(body.api_error, r.status);
    if (!body.is_breach && (!success || body.shape == body_shape::object || body.shape == body_shape::other))
    {
        if (const auto found = find_api_error(body.text); !found.empty())
            return api_error(found, r.status);
    }
    return success ? judge_success(r, body) : judge_status(r, body, own_now);
}

verdict judge(const failure& f, const body_facts& body)
{
    const bool some_came = body.shape == body_shape::array_open || body.shape == body_shape::object_open;
    const std::string kept = some_came ? "; the complete breaches before it are kept" : "";
    if (f.code == errc::over_limit)
        return make(answer_kind::too_large, reaction::halve, "the answer is too large: " + f.detail + kept);
    if (f.code == errc::timed_out)
        return make(
            answer_kind::timed_out, reaction::halve, "no complete answer in time: " + f.detail + kept);
    if (f.code == errc::resolve_failed)
        return make(answer_kind::unresolved, reaction::retry, f.detail);
    if (f.code == errc::tls_refused)
        return make(answer_kind::tls_refused, reaction::retry_slowly, f.detail);
    if (f.code == errc::proxy_refused)
        return make(answer_kind::proxy_refused, reaction::retry_slowly, f.detail);
    // Also where not one breach was in it, or all of them and only the end is missing.
    if (some_came || (body.begun && f.code != errc::http_protocol))
        return make(answer_kind::cut, reaction::retry, "the answer was cut: " + f.detail + kept);
    if (f.code == errc::http_protocol)
        return make(answer_kind::not_http, reaction::retry, f.detail);
    return make(answer_kind::unreachable, reaction::retry, f.detail);
}

verdict judge_archive(const failure& f)
{
    if (f.code == errc::lease_lost)
    {
        auto v = make(answer_kind::archive_failed, reaction::retry, f.detail);
        v.quiet = true;
        return v;
    }
    if (f.code == errc::disk_full)
        return make(answer_kind::archive_failed,
                    reaction::retry,
                    "the archive has no room: " + f.detail +
                        "; polling goes on from the same position when there is space again");
    return make(answer_kind::archive_failed,
                reaction::retry,
                "the archive does not take what was polled: " + f.detail);
}

}  // namespace dtbridge::poll
