// The API as darktrace.md sections 1 and 2 describe it.
#include <algorithm>
#include <chrono>
#include <functional>
#include <numeric>
#include <thread>

#include "dates.hpp"
#include "json_text.hpp"
#include "master.hpp"
#include "query.hpp"
#include "shape.hpp"
#include "signature.hpp"

namespace simulator
{

namespace
{

constexpr std::int64_t date_tolerance = 30 * 60 * 1000;
constexpr std::int64_t one_year = 365LL * 86'400'000;
constexpr std::string_view json_type = "application/json";

using sink = std::function<void(std::string_view)>;

enum class sign_in { good, missing, bad_signature, bad_date };

const std::string* header(const http_request& r, std::string_view name)
{
    auto found = r.headers.find(name);
    return found == r.headers.end() ? nullptr : &found->second;
}

/// The text that is signed: the target exactly as received; of a POST with the form appended as parameters,
/// or with the JSON after a question mark byte for byte (vendor guide 6.1).
std::string signed_target(const http_request& r)
{
    if (r.method != "POST" || r.body.empty())
        return r.target;
    auto* type = header(r, "content-type");
    bool json = type && type->find("json") != std::string::npos;
    return r.target + (!json && r.target.find('?') != std::string::npos ? "&" : "?") + r.body;
}

sign_in check(const http_request& r, const master& m)
{
    auto* token = header(r, "dtapi-token");
    auto* date = header(r, "dtapi-date");
    auto* signature = header(r, "dtapi-signature");
    if (!token || !date || !signature)
        return sign_in::missing;
    if (*token != m.public_token ||
        *signature != sign(m.private_token, m.public_token, *date, signed_target(r)))
        return sign_in::bad_signature;
    auto at = parse_api_date(*date);
    // A date names whole seconds, so half past the second may be off by up to one.
    if (!at || std::abs(*at - m.clock()) > date_tolerance + 1000)
        return sign_in::bad_date;
    return sign_in::good;
}

struct selection
{
    std::vector<breach_ref> refs;
    bool as_object = false;  ///< pbid with one id
};

bool glob(std::string_view pattern, std::string_view text)
{
    if (pattern.ends_with('*'))
        return text.starts_with(pattern.substr(0, pattern.size() - 1));
    return text == pattern;
}

bool wanted(const request_query& q, const breach_facts& f)
{
    if (f.acknowledged && !q.flag("includeacknowledged", false))
        return false;
    if (f.suppressed && !q.flag("includesuppressed", false))
        return false;
    if (auto did = q.number("did"); did && *did != f.did)
        return false;
    if (auto pid = q.number("pid"); pid && *pid != f.pid)
        return false;
    if (auto uuid = q.get("uuid"); uuid && *uuid != f.uuid)
        return false;
    if (auto least = q.get("minscore"))
        if (auto n = json_text::number(*least); n && f.score && *f.score < *n)
            return false;
    if (q.flag("saasonly", false) && !f.saas)
        return false;
    bool filtered = false, matches = false;
    for (const auto& [name, value] : q.parameters)
        if (name == "saasfilter")
        {
            filtered = true;
            auto platform = std::string_view(f.hostname).substr(std::min<std::size_t>(6, f.hostname.size()));
            std::string lower(platform);
            std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) {
                return static_cast<char>(std::tolower(c));
            });
            matches = matches || (f.saas && glob(value, lower));
        }
    return !filtered || matches;
}

/// starttime and endtime in ms, or from and to as text. The vendor wants pairs, yet clients get data with one
/// of them.
span_wanted window(const request_query& q, std::int64_t clock, bool ignore_creationtime)
{
    span_wanted w;
    w.by_creation = q.flag("creationtime", false) && !ignore_creationtime;
    bool any = false;
    auto take = [&](const char* epoch, const char* text, std::int64_t& where) {
        if (auto ms = q.number(epoch))
            where = *ms, any = true;
        else if (auto words = q.get(text))
            if (auto at = parse_text_time(*words))
                where = *at, any = true;
    };
    take("starttime", "from", w.from);
    take("endtime", "to", w.to);
    if (!any)
        w.from = clock - one_year;  // without a window: at most one year per answer
    return w;
}

void reverse_or_shuffle(std::vector<breach_ref>& refs, const master& m, const fault_plan& plan)
{
    if (!m.options.oldest_first)
        std::reverse(refs.begin(), refs.end());
    if (!plan.unordered || refs.size() < 3)
        return;
    // A full walk with a stride that shares no factor with the size: nothing is next to its neighbour, the
    // same each time.
    std::vector<breach_ref> mixed;
    mixed.reserve(refs.size());
    std::size_t stride = refs.size() / 2 + refs.size() / 8 + 1;
    while (std::gcd(stride, refs.size()) != 1)
        ++stride;
    for (std::size_t i = 0, at = 1; i < refs.size(); ++i, at = (at + stride) % refs.size())
        mixed.push_back(refs[at]);
    refs = std::move(mixed);
}

std::string render(master& m, const breach_ref& ref, const shape& s)
{
    std::string text;
    {
        std::lock_guard guard(m.lock);
        text = m.breaches.text(ref);
    }
    return shaped(text, s);
}

void note_shown(master& m, const breach_ref& ref)
{
    std::lock_guard guard(m.lock);
    ++m.elements_shown;
    if (m.shown.size() < master::most_shown)
        m.shown.try_emplace({ref.pbid, ref.created}, wall_ms());
}

void pad(std::int64_t bytes, const sink& out)
{
    static const std::string blanks(65536, ' ');
    for (; bytes > 0; bytes -= static_cast<std::int64_t>(blanks.size()))
        out(std::string_view(blanks).substr(0,
                                            static_cast<std::size_t>(std::min<std::int64_t>(bytes, 65536))));
}

/// Writes the array. Nothing but one element is in memory at a time.
void write_array(master& m,
                 const std::vector<breach_ref>& refs,
                 const shape& s,
                 const fault_plan& plan,
                 bool note,
                 const sink& out)
{
    std::int64_t written = 0;
    bool first = true;
    auto element = [&](std::string_view text) {
        out(first ? "[" : ",");
        first = false;
        out(text);
        written += static_cast<std::int64_t>(text.size()) + 1;
    };
    std::size_t injected = 0;
    auto inject = [&] {
        if (injected < plan.inject.size())
            element(plan.inject[injected++]);
    };
    inject();
    do
    {
        auto before = written;
        for (const auto& ref : refs)
        {
            auto text = render(m, ref, s);
            if (plan.huge_with == "string" && written < plan.huge_bytes && text.starts_with('{'))
            {
                json_text::object breach(text);
                breach.set("padding",
                           '"' + std::string(static_cast<std::size_t>(plan.huge_bytes), 'x') + '"');
                text = breach.text();
            }
            element(text);
            if (plan.repeat)
                element(text);
            if (note)
                note_shown(m, ref);
            inject();
        }
        if (written == before)
            break;
    } while (plan.huge_with == "elements" && written < plan.huge_bytes);
    while (injected < plan.inject.size())
        inject();
    out(first ? "[" : "");
    if (plan.huge_with == "blanks" || (plan.huge_bytes && refs.empty()))
        pad(plan.huge_bytes - written - (first ? 2 : 1), out);
    out("]");
}

void answer_array(
    master& m, const std::vector<breach_ref>& refs, const shape& s, const fault_plan& plan, answer& a)
{
    if (plan.cut_fraction)
    {
        std::int64_t total = 0;
        write_array(m, refs, s, plan, false, [&](std::string_view part) {
            total += static_cast<std::int64_t>(part.size());
        });
        a.cut_at(static_cast<std::int64_t>(static_cast<double>(total) * *plan.cut_fraction));
    }
    a.start(200, json_type);
    write_array(m, refs, s, plan, true, [&](std::string_view part) { a.write(part); });
    a.finish();
}

void answer_text(const fault_plan& plan,
                 answer& a,
                 int status,
                 std::string_view type,
                 std::string_view body,
                 const std::vector<std::pair<std::string, std::string>>& headers = {})
{
    if (plan.cut_fraction)
        a.cut_at(static_cast<std::int64_t>(static_cast<double>(body.size()) * *plan.cut_fraction));
    a.send(status, type, body, headers);
}

/// pbid=1,2,3 takes any of them; acknowledged and suppressed ones too, as they are asked for by name.
void answer_pbids(master& m, std::string_view list, const request_query& q, const fault_plan& plan, answer& a)
{
    std::vector<breach_ref> refs;
    bool one = list.find(',') == std::string_view::npos;
    {
        std::lock_guard guard(m.lock);
        while (!list.empty())
        {
            auto comma = list.find(',');
            if (auto pbid = json_text::integer(list.substr(0, comma)))
                if (auto ref = m.breaches.find_pbid(*pbid, wall_ms()))
                    refs.push_back(*ref);
            list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
        }
    }
    auto s = shape::of(q, m.options.fqdn);
    if (one && refs.size() == 1)
    {
        auto text = render(m, refs.front(), s);
        note_shown(m, refs.front());
        answer_text(plan, a, 200, json_type, text);
        return;
    }
    answer_array(m, refs, s, plan, a);
}

void answer_window(master& m, const request_query& q, const fault_plan& plan, answer& a)
{
    std::vector<breach_ref> refs;
    {
        std::lock_guard guard(m.lock);
        refs = m.breaches.find(window(q, m.clock(), plan.ignore_creationtime), wall_ms());
        std::erase_if(refs, [&](const auto& ref) { return !wanted(q, m.breaches.facts(ref)); });
    }
    reverse_or_shuffle(refs, m, plan);
    answer_array(m, refs, shape::of(q, m.options.fqdn), plan, a);
}

std::string status_text(master& m)
{
    std::lock_guard guard(m.lock);
    boost::json::object o{
        {"excessTraffic", false},
        {"time", sql_time(m.clock()).substr(0, 16)},
        {"installed", "2024-02-01"},
        {"mobileAppConfigured", false},
        {"version", "6.1.20 (5d1f1c)"},
        {"modelsUpdated", sql_time(m.clock() - 3'600'000)},
        {"modelPackageVersion", "6.0-4512~20260101000000~simulated"},
        {"hostname", m.options.fqdn.empty() ? "dt-simulated" : m.options.fqdn},
        {"uptime", "13d 4h"},
        {"cpu", 11},
        {"memused", 34},
        {"diskUtilization", 7},
        {"load", 12},
        {"devicecount", boost::json::object{{"unique", 600}, {"credentials", 214}, {"unknown", 0}}},
        {"mostRecentDTTraffic", sql_time(m.clock() - 20'000)},
        {"probes",
         boost::json::object{
             {"1", boost::json::object{{"id", 1}, {"label", "probe-1"}, {"version", "6.1.20"}}}}},
    };
    return boost::json::serialize(o);
}

/// acknowledge, unacknowledge and comments below /modelbreaches/<pbid>.
bool answer_post(master& m, const http_request& r, const request_query& q, const fault_plan& plan, answer& a)
{
    std::string_view rest = std::string_view(q.path).substr(std::string_view("/modelbreaches/").size());
    auto slash = rest.find('/');
    auto pbid = json_text::integer(rest.substr(0, slash));
    auto action = slash == std::string_view::npos ? std::string_view{} : rest.substr(slash + 1);
    if (!pbid || (action != "acknowledge" && action != "unacknowledge" && action != "comments"))
        return false;
    bool found = false;
    {
        std::lock_guard guard(m.lock);
        found = m.breaches.find_pbid(*pbid, wall_ms()).has_value();
        if (found && action == "acknowledge")
            m.breaches.acknowledge(*pbid,
                                   R"({"time":)" + std::to_string(m.clock()) + R"(,"username":"api"})");
        else if (found && action == "unacknowledge")
            m.breaches.acknowledge(*pbid, "false");
        else if (found)
            m.breaches.comment(*pbid);
    }
    (void)r;
    if (found)
        answer_text(plan, a, 200, json_type, R"({"response":"SUCCESS"})");
    else
        answer_text(plan, a, 404, json_type, R"({"error":"Not Found"})");
    return true;
}

void answer_request(master& m,
                    const http_request& r,
                    const request_query& q,
                    sign_in signed_in,
                    const fault_plan& plan,
                    answer& a)
{
    if (plan.fixed)
    {
        const auto& f = *plan.fixed;
        answer_text(plan, a, f.status, f.content_type, f.body, f.headers);
        return;
    }
    // The signature is checked before anything is looked up (darktrace.md 2.1).
    switch (signed_in)
    {
        case sign_in::missing:
            answer_text(plan,
                        a,
                        302,
                        "text/plain; charset=utf-8",
                        "Found. Redirecting to /login",
                        {{"Location", "/login"}});
            return;
        case sign_in::bad_signature:
            answer_text(plan, a, 400, json_type, R"({"error":"API SIGNATURE ERROR"})");
            return;
        case sign_in::bad_date:
            answer_text(plan, a, 400, json_type, R"({"error":"API DATE ERROR"})");
            return;
        case sign_in::good:
            break;
    }
    constexpr std::string_view below = "/modelbreaches/";
    if (r.method == "POST")
    {
        if (q.path.starts_with(below) && answer_post(m, r, q, plan, a))
            return;
    }
    else if (q.path == "/modelbreaches")
    {
        if (auto list = q.get("pbid"))
            answer_pbids(m, *list, q, plan, a);
        else
            answer_window(m, q, plan, a);
        return;
    }
    else if (q.path == "/status")
    {
        answer_text(plan, a, 200, json_type, status_text(m));
        return;
    }
    else if (q.path.starts_with(below))
    {
        auto pbid = json_text::integer(std::string_view(q.path).substr(below.size()));
        bool found = false;
        if (pbid)
        {
            std::lock_guard guard(m.lock);
            found = m.breaches.find_pbid(*pbid, wall_ms()).has_value();
        }
        if (found)
            answer_pbids(m, std::to_string(*pbid), q, plan, a);
        else
            answer_text(plan, a, 404, json_type, R"({"error":"Not Found"})");
        return;
    }
    answer_text(
        plan, a, 302, "text/plain; charset=utf-8", "Found. Redirecting to /login", {{"Location", "/login"}});
}

}  // namespace

void serve_api(master& m, connection& c, SSL_CTX* tls)
{
    std::string fault;
    {
        std::lock_guard guard(m.lock);
        ++m.connections;
        fault = m.faults.at_connect();
    }
    if (fault == "hang")
    {
        c.wait_for_end();
        return;
    }
    if (fault == "tls_refused")
    {
        c.refuse_handshake();
        std::lock_guard guard(m.lock);
        ++m.handshake_failures;
        return;
    }
    if (tls && !c.handshake(tls))
    {
        std::lock_guard guard(m.lock);
        ++m.handshake_failures;
        return;
    }
    std::string left_over;
    std::int64_t answered = 0;
    while (true)
    {
        auto r = read_request(c, left_over);
        if (!r)
            break;
        if (m.options.never_gzip)
            r->headers.erase("accept-encoding");
        request_query q(r->target);
        fault_plan plan;
        sign_in signed_in;
        std::int64_t date;
        {
            std::lock_guard guard(m.lock);
            ++m.requests[q.path];
            m.last_targets.push_back(r->target);
            if (m.last_targets.size() > 200)
                m.last_targets.pop_front();
            date = m.clock();
            plan = m.faults.plan(r->target, date);
            signed_in = check(*r, m);
            m.signature_failures += signed_in == sign_in::bad_signature;
            m.date_failures += signed_in == sign_in::bad_date;
            m.gzip_answers += r->accepts_gzip();
        }
        if (plan.hang)
        {
            c.wait_for_end();
            return;
        }
        if (plan.close_after && answered >= *plan.close_after)
        {
            c.drop();
            return;
        }
        if (plan.delay_seconds > 0)
            std::this_thread::sleep_for(std::chrono::duration<double>(plan.delay_seconds));
        ++answered;
        bool last = plan.close_after && answered >= *plan.close_after;
        if (last && plan.close_announced)
            r->keep_alive = false;
        answer a(c, *r, plan, date);
        try
        {
            answer_request(m, *r, q, signed_in, plan, a);
        }
        catch (const answer_dropped& dropped)
        {
            if (dropped.reset)
                c.reset();
            else
                c.drop();
            return;
        }
        if (last || !a.keep_alive())
            break;
    }
    c.close_orderly();
}

}  // namespace simulator
