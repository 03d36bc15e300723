#include "faults.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <span>
#include <sstream>
#include <stdexcept>

#include "dates.hpp"
#include "json_text.hpp"

namespace simulator
{

std::span<const std::pair<std::string_view, std::string_view>> embedded_files();

namespace json = boost::json;

namespace
{

/// Short names for the cases of api_error_responses.json.
const std::map<std::string, std::string, std::less<>> aliases = {
    {"signature_error", "bad_signature"},
    {"date_error", "clock_skew"},
    {"login_redirect", "redirect_login"},
    {"forbidden", "redirect_403"},
    {"html_login", "html_login_200_new"},
    {"html_login_old", "html_login_200_old"},
    {"not_found", "not_found_json"},
    {"empty_body", "empty_body_200"},
    {"empty_array", "not_found_empty_array"},
    {"html_block", "proxy_block_200"},
    {"truncated", "truncated_json"},
};
const std::vector<std::string_view> own_kinds = {"slow",
                                                 "drip",
                                                 "cut",
                                                 "reset",
                                                 "hang",
                                                 "huge",
                                                 "repeat",
                                                 "status",
                                                 "hostile",
                                                 "unordered",
                                                 "close_after",
                                                 "tls_refused",
                                                 "ignore_creationtime"};

std::string text(const json::object& o, std::string_view key, std::string_view otherwise)
{
    auto* v = o.if_contains(key);
    if (!v)
        return std::string(otherwise);
    if (!v->is_string())
        throw std::invalid_argument("\"" + std::string(key) + "\" must be a string");
    return std::string(v->as_string().data(), v->as_string().size());
}

}  // namespace

double number(const json::object& o, std::string_view key, double otherwise)
{
    auto* v = o.if_contains(key);
    if (!v)
        return otherwise;
    json::error_code ec;
    auto d = v->to_number<double>(ec);
    if (ec || !std::isfinite(d))
        throw std::invalid_argument("\"" + std::string(key) + "\" must be a number");
    return d;
}

fault_list::fault_list()
{
    for (const auto& [name, content] : embedded_files())
    {
        auto cases = json::parse(json::string_view(content.data(), content.size()));
        for (const auto& entry : cases.as_array())
            bodies_[entry.at("case").as_string()] = entry;
    }
}

void fault_list::add(const json::object& fault)
{
    active f;
    f.kind = text(fault, "kind", "");
    if (auto alias = aliases.find(f.kind); alias != aliases.end())
        f.kind = alias->second;
    if (!bodies_.contains(f.kind) && std::find(own_kinds.begin(), own_kinds.end(), f.kind) == own_kinds.end())
        throw std::invalid_argument("no fault of kind \"" + f.kind +
                                    "\"; README.md of the simulator lists them");
    f.match = text(fault, "match", "");
    if (fault.contains("count"))
        f.left = static_cast<std::int64_t>(number(fault, "count", 0));
    f.settings = fault;
    if (f.kind == "hostile")
    {
        json::array raw;
        if (auto* elements = fault.if_contains("elements"); elements && elements->is_array())
            for (const auto& e : elements->as_array())
                raw.push_back(e.is_string() ? e : json::value(json::string(json::serialize(e))));
        if (fault.contains("file"))
        {
            std::ifstream in(text(fault, "file", ""));
            std::stringstream content;
            content << in.rdbuf();
            if (!in)
                throw std::invalid_argument("cannot read \"" + text(fault, "file", "") + "\"");
            auto held = content.str();
            for (auto e : json_text::values(held))
                raw.push_back(json::value(json::string(e.data(), e.size())));
        }
        if (raw.empty())
            throw std::invalid_argument("\"hostile\" needs \"elements\" (raw texts) or \"file\"");
        f.settings["elements"] = raw;
    }
    std::erase_if(active_, [&](const auto& a) { return a.kind == f.kind && a.match == f.match; });
    active_.push_back(std::move(f));
}

fault_plan fault_list::plan(std::string_view target, std::int64_t master_ms)
{
    fault_plan p;
    for (auto& f : active_)
    {
        if (f.kind == "tls_refused" || (!f.match.empty() && target.find(f.match) == std::string_view::npos))
            continue;
        const auto& s = f.settings;
        if (f.kind == "hang" && text(s, "at", "request") == "connect")
            continue;
        if (f.left && (*f.left)-- <= 0)
            continue;
        if (auto* entry = bodies_.if_contains(f.kind))
        {
            fixed_answer a;
            a.status = static_cast<int>(entry->at("status").as_int64());
            a.content_type = entry->at("content_type").as_string().c_str();
            a.body = entry->at("body").as_string().c_str();
            if (entry->as_object().contains("location"))
                a.headers.emplace_back("Location", entry->at("location").as_string().c_str());
            if (f.kind == "rate_limited")
            {
                if (s.contains("retry_after_date"))
                    a.headers.emplace_back(
                        "Retry-After",
                        http_date(master_ms +
                                  static_cast<std::int64_t>(number(s, "retry_after_date", 0) * 1000)));
                else if (!s.contains("retry_after") || !s.at("retry_after").is_null())
                    a.headers.emplace_back(
                        "Retry-After",
                        std::to_string(static_cast<std::int64_t>(number(s, "retry_after", 60))));
            }
            if (s.contains("status"))
                a.status = static_cast<int>(number(s, "status", 200));
            p.fixed = std::move(a);
        }
        else if (f.kind == "status")
        {
            fixed_answer a;
            a.status = static_cast<int>(number(s, "status", 503));
            a.content_type = text(s, "content_type", "text/html");
            a.body = text(s, "body", "");
            if (auto* headers = s.if_contains("headers"); headers && headers->is_object())
                for (const auto& [name, value] : headers->as_object())
                    a.headers.emplace_back(
                        name, value.is_string() ? value.as_string().c_str() : json::serialize(value));
            p.fixed = std::move(a);
        }
        else if (f.kind == "slow")
            p.delay_seconds = number(s, "seconds", 5);
        else if (f.kind == "drip")
            p.bytes_per_second = std::max(1.0, number(s, "bytes_per_second", 100));
        else if (f.kind == "cut" || f.kind == "reset")
        {
            if (s.contains("bytes"))
                p.cut_bytes = static_cast<std::int64_t>(number(s, "bytes", 0));
            else
                p.cut_fraction = number(s, "fraction", 0.5);
            p.cut_complete = f.kind == "cut" && s.contains("complete") && s.at("complete") == true;
            p.cut_reset = f.kind == "reset";
        }
        else if (f.kind == "hang")
            p.hang = true;
        else if (f.kind == "huge")
        {
            p.huge_bytes = static_cast<std::int64_t>(number(s, "bytes", 1 << 30));
            p.huge_with = text(s, "with", "blanks");
        }
        else if (f.kind == "repeat")
            p.repeat = true;
        else if (f.kind == "unordered")
            p.unordered = true;
        else if (f.kind == "ignore_creationtime")
            p.ignore_creationtime = true;
        else if (f.kind == "close_after")
        {
            p.close_after = static_cast<std::int64_t>(number(s, "requests", 1));
            p.close_announced = s.contains("announce") && s.at("announce") == true;
        }
        else if (f.kind == "hostile")
            for (const auto& e : s.at("elements").as_array())
                p.inject.emplace_back(e.as_string().data(), e.as_string().size());
    }
    std::erase_if(active_, [](const auto& f) { return f.left && *f.left <= 0; });
    return p;
}

std::string fault_list::at_connect()
{
    std::string found;
    for (auto& f : active_)
    {
        bool here =
            f.kind == "tls_refused" || (f.kind == "hang" && text(f.settings, "at", "request") == "connect");
        if (!here || (f.left && (*f.left)-- <= 0))
            continue;
        found = f.kind;
    }
    std::erase_if(active_, [](const auto& f) { return f.left && *f.left <= 0; });
    return found;
}

json::array fault_list::list() const
{
    json::array all;
    for (const auto& f : active_)
    {
        json::object o{{"kind", f.kind}};
        if (f.left)
            o["left"] = *f.left;
        if (!f.match.empty())
            o["match"] = f.match;
        all.push_back(o);
    }
    return all;
}

}  // namespace simulator
