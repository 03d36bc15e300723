#include "app/service_request.hpp"

#include <utility>

#include <boost/json/value.hpp>

namespace dtbridge::app
{

boost::json::object refusal(std::string words, bool unknown)
{
    boost::json::object o;
    o["ok"] = false;
    o["error"] = std::move(words);
    if (unknown)
        o["unknown"] = true;
    return o;
}

std::string text_member(const boost::json::object& o, std::string_view name)
{
    const auto* v = o.if_contains(name);
    return v != nullptr && v->is_string() ? std::string(v->get_string()) : "";
}

std::optional<std::int64_t> number_member(const boost::json::object& o, std::string_view name)
{
    const auto* v = o.if_contains(name);
    if (v == nullptr)
        return std::nullopt;
    boost::system::error_code ec;
    const auto number = v->to_number<std::int64_t>(ec);
    if (ec)
        return std::nullopt;
    return number;
}

bool flag_member(const boost::json::object& o, std::string_view name)
{
    const auto* v = o.if_contains(name);
    return v != nullptr && v->is_bool() && v->get_bool();
}

}  // namespace dtbridge::app
