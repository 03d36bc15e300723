// The control address: tells the simulated master to misbehave, gives it breaches, and says what it has seen.

#include "dates.hpp"
#include "json_text.hpp"
#include "master.hpp"
#include "query.hpp"
#include "shape.hpp"

namespace simulator
{

namespace json = boost::json;

namespace
{

std::int64_t ms(const json::object& o, std::string_view key, double otherwise)
{
    return static_cast<std::int64_t>(number(o, key, otherwise) * 1000);
}

json::object parsed_object(const std::string& body)
{
    json::error_code ec;
    auto v = json::parse(body.empty() ? "{}" : json::string_view(body), ec);
    if (ec || !v.is_object())
        throw std::invalid_argument("the body must be a JSON object");
    return v.as_object();
}

void take_fault(master& m, const std::string& body)
{
    auto fault = parsed_object(body);
    auto* kind = fault.if_contains("kind");
    if (!kind || !kind->is_string())
        throw std::invalid_argument("\"kind\" is missing");
    std::lock_guard guard(m.lock);
    if (kind->as_string() == "none")
    {
        m.faults.clear();
        if (m.clock_offset != 0)
            m.breaches.set_offset(m.clock_offset = 0, wall_ms());
    }
    else if (kind->as_string() == "clock")
    {
        m.clock_offset = ms(fault, "offset", 0);
        m.breaches.set_offset(m.clock_offset, wall_ms());
    }
    else if (kind->as_string() == "late")
        m.breaches.set_late(static_cast<std::uint64_t>(number(fault, "count", 1)),
                            ms(fault, "seconds", 3600),
                            ms(fault, "hidden", 0),
                            wall_ms());
    else if (kind->as_string() == "replaced")
        m.breaches.replaced(ms(fault, "seconds", -60), wall_ms());
    else
        m.faults.add(fault);
}

std::string state(master& m, bool with_pbids)
{
    std::lock_guard guard(m.lock);
    json::object o;
    json::object requests;
    std::uint64_t all = 0;
    for (const auto& [path, n] : m.requests)
    {
        requests[path] = n;
        all += n;
    }
    o["requests"] = all;
    o["requests_by_path"] = std::move(requests);
    o["connections"] = m.connections;
    o["open_connections"] = m.open_connections.load();
    o["handshake_failures"] = m.handshake_failures;
    o["signature_failures"] = m.signature_failures;
    o["date_failures"] = m.date_failures;
    o["gzip_answers"] = m.gzip_answers;
    o["clock"] = m.clock();
    o["clock_offset"] = static_cast<double>(m.clock_offset) / 1000;
    o["faults"] = m.faults.list();
    o["fingerprint_sha256"] = m.certificate_fingerprint;
    o["last_targets"] = json::array(m.last_targets.begin(), m.last_targets.end());
    json::object shown{{"count", m.shown.size()}, {"elements", m.elements_shown}};
    if (with_pbids)
    {
        std::set<std::int64_t> pbids;
        for (const auto& [key, _] : m.shown)
            pbids.insert(key.pbid);
        shown["pbids"] = json::array(pbids.begin(), pbids.end());
    }
    o["shown"] = std::move(shown);
    return json::serialize(o);
}

/// When each breach was shown first: [[pbid, epoch ms], ..].
std::string shown(master& m)
{
    std::lock_guard guard(m.lock);
    std::string out = "[";
    for (const auto& [key, at] : m.shown)
    {
        if (out.size() > 1)
            out += ',';
        out += '[' + std::to_string(key.pbid) + ',' + std::to_string(at) + ']';
    }
    return out + ']';
}

/// Everything that a client which may see all would find, by creation, oldest first. One entry per breach;
/// with full=1 the breach itself as /modelbreaches gives it with deviceattop, includebreachurl, acknowledged
/// and suppressed ones.
void expected(master& m, const request_query& q, answer& a)
{
    span_wanted w;
    w.by_creation = true;
    w.from = q.number("from").value_or(INT64_MIN);
    w.to = q.number("to").value_or(INT64_MAX);
    bool full = q.flag("full", false) || q.get("full") == "1";
    shape s;
    s.device_at_top = true;
    s.breach_url = true;
    s.fqdn = m.options.fqdn;
    std::vector<breach_ref> refs;
    {
        std::lock_guard guard(m.lock);
        refs = m.breaches.find(w, wall_ms());
    }
    a.start(200, "application/json");
    bool first = true;
    for (const auto& ref : refs)
    {
        std::string text;
        {
            std::lock_guard guard(m.lock);
            auto f = m.breaches.facts(ref);
            if (full)
                text = m.breaches.text(ref);
            else if (f.has_pbid)
                text =
                    json::serialize(json::object{{"pbid", f.pbid},
                                                 {"created", f.created},
                                                 {"visible", ref.visible},
                                                 {"time", f.time},
                                                 {"score", f.score ? json::value(*f.score) : json::value()},
                                                 {"acknowledged", f.acknowledged},
                                                 {"suppressed", f.suppressed}});
        }
        if (text.empty())
            continue;
        a.write(first ? "[" : ",\n");
        a.write(full ? shaped(text, s) : text);
        first = false;
    }
    a.write(first ? "[]" : "]");
    a.finish();
}

std::string add(master& m, const std::string& body, const request_query& q)
{
    std::lock_guard guard(m.lock);
    auto now = m.clock();
    std::string text = body;
    if (q.get("move") == "now")
    {
        std::int64_t newest = 0;
        for (auto v : json_text::values(body))
        {
            auto created = json_text::integer(json_text::find(v, "creationTime"));
            if (!created)
                created = json_text::integer(json_text::find(v, "time"));
            if (created && plausible(*created))
                newest = std::max(newest, *created);
        }
        if (newest)
            text = json_text::shift_times(body, now - newest);
    }
    return json::serialize(json::object{{"added", m.breaches.load(text, wall_ms())}});
}

void handle(master& m, const http_request& r, answer& a)
{
    request_query q(r.target);
    auto ok = [&](std::string_view body) { a.send(200, "application/json", body); };
    if (r.method == "GET" && q.path == "/state")
        return ok(state(m, q.get("pbids") != "0"));
    if (r.method == "GET" && q.path == "/shown")
        return ok(shown(m));
    if (r.method == "GET" && q.path == "/expected")
        return expected(m, q, a);
    if (r.method == "POST" && q.path == "/fault")
    {
        take_fault(m, r.body);
        return ok("{}");
    }
    if (r.method == "POST" && q.path == "/add")
        return ok(add(m, r.body, q));
    if (r.method == "POST" && q.path == "/generate")
    {
        auto o = parsed_object(r.body);
        std::lock_guard guard(m.lock);
        m.breaches.add_generated(static_cast<std::uint64_t>(number(o, "count", 1)),
                                 wall_ms(),
                                 ms(o, "seconds", 0),
                                 wall_ms(),
                                 m.clock_offset);
        return ok("{}");
    }
    if (r.method == "POST" && q.path == "/rate")
    {
        auto o = parsed_object(r.body);
        std::lock_guard guard(m.lock);
        m.breaches.set_rate(number(o, "per_second", 0), wall_ms());
        return ok("{}");
    }
    if (r.method == "POST" && q.path == "/acknowledge")
    {
        auto o = parsed_object(r.body);
        bool on = !o.contains("value") || o.at("value") != false;
        std::lock_guard guard(m.lock);
        for (const auto& pbid : o.at("pbids").as_array())
            m.breaches.acknowledge(
                pbid.to_number<std::int64_t>(),
                on ? R"({"time":)" + std::to_string(m.clock()) + R"(,"username":"analyst1"})" : "false");
        return ok("{}");
    }
    if (r.method == "POST" && q.path == "/remove")
    {
        auto o = parsed_object(r.body);
        bool on = !o.contains("value") || o.at("value") != false;
        std::lock_guard guard(m.lock);
        for (const auto& pbid : o.at("pbids").as_array())
        {
            if (on)
                m.breaches.remove(pbid.to_number<std::int64_t>());
            else
                m.breaches.bring_back(pbid.to_number<std::int64_t>());
        }
        return ok("{}");
    }
    if (r.method == "POST" && q.path == "/tokens")
    {
        auto o = parsed_object(r.body);
        std::lock_guard guard(m.lock);
        m.public_token = o.at("public").as_string().c_str();
        m.private_token = o.at("private").as_string().c_str();
        return ok("{}");
    }
    a.send(
        404,
        "application/json",
        R"({"error":"POST /fault /add /generate /rate /acknowledge /remove /tokens, GET /state /shown /expected"})");
}

}  // namespace

void serve_control(master& m, connection& c)
{
    std::string left_over;
    fault_plan none;
    while (auto r = read_request(c, left_over))
    {
        answer a(c, *r, none, wall_ms());
        try
        {
            handle(m, *r, a);
        }
        catch (const connection_lost&)
        {
            throw;
        }
        catch (const std::exception& e)
        {
            a.send(400, "application/json", json::serialize(json::object{{"error", e.what()}}));
        }
        if (!a.keep_alive())
            break;
    }
    c.close_orderly();
}

}  // namespace simulator
