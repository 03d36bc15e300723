#pragma once

#include <dtbridge/core/json.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dtbridge::format
{

/// A value on its way into a message: nothing, a text, an integer, or a value of the breach. A view.
struct item
{
    enum class form { nothing, text, integer, node } is = form::nothing;
    std::string_view text;
    std::int64_t integer = 0;
    json::value node;

    item() = default;
    item(std::string_view t) : is(form::text), text(t) {}
    item(const char* t) : is(form::text), text(t) {}
    item(std::int64_t i) : is(form::integer), integer(i) {}
    item(const json::value& v) : is(v ? form::node : form::nothing), node(v) {}
};

/// The value as text: a string, a number's characters as received, true or false; the scalars of a list
/// joined with commas (C16), empty ones left out; "" for null, objects and nothing. Uses scratch where the
/// text has to be built.
std::string_view text_of(const item& v, std::string& scratch);

/// The value as an integer inside int64, of digits in a text too; nothing otherwise (C15).
std::optional<std::int64_t> integer_of(const item& v);

}  // namespace dtbridge::format
