/// Any text as the query of a pull request and as a cursor: a failure with words of one line, or an order
/// within its bounds; a cursor that the bridge wrote reads back, for its own master alone.

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>

#include <dtbridge/core/text.hpp>
#include <dtbridge/web/pull.hpp>

#include "fuzz/decoders.hpp"

namespace
{

using namespace dtbridge;

constexpr std::int64_t now = 1'767'225'600'000;
constexpr std::size_t longest = 1000;  // of a parameter
constexpr std::size_t longest_cursor = 200;

[[noreturn]] void broken(const std::string& what, std::string_view text)
{
    std::cerr << what << ": " << text::printable(text, 20'000) << '\n';
    std::abort();
}

void check_words(const failure& f)
{
    if (f.detail.empty() || !fuzz::is_one_line(f.detail))
        broken("a failure that is not one line", f.detail);
}

/// What every parameter is: UTF-8 without C0 and DEL.
void check_text(std::string_view value)
{
    bool plain = value.size() <= longest && fuzz::repaired(value, false) == value;
    for (const char c : value)
        plain = plain && static_cast<unsigned char>(c) >= 0x20 && c != 0x7f;
    if (!plain)
        broken("a parameter that is no text", value);
}

void check_order(std::string_view query)
{
    const auto order = web::read_pull_order(query, now);
    if (!order)
        return check_words(order.error());
    for (const auto* text : {&order->master, &order->model, &order->rules})
        check_text(*text);
    if (order->master.empty() || order->limit < 1 || order->limit > 10'000 || order->wait.count() < 0 ||
        order->wait > std::chrono::seconds(60) || (order->after && *order->after < 0) ||
        (!order->after && !order->cursor_of.empty()))
        broken("an order out of bounds", query);
}

/// seq: any that an archive has.
void check_cursor(std::string_view master, std::int64_t seq)
{
    const auto text = web::make_cursor(master, seq);
    for (const char c : text)
    {
        if (!fuzz::is_alphanumeric(c) && c != '-' && c != '_')
            broken("a cursor that a URL would have to escape", text);
    }
    const auto back = web::read_cursor(text);
    // A name that long is refused by the configuration.
    if (text.size() <= longest_cursor && (!back || back->seq != seq || back->master != master))
        broken("a cursor that does not come back: " + std::to_string(seq), text);
    web::pull_order order;
    order.master = std::string(master) + 'x';
    order.after = seq;
    order.cursor_of = master;
    if (!web::foreign_cursor(order, ""))
        broken("a cursor of another master", text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    check_order(text);
    check_order("master=acme&after=" + std::string(text));
    if (const auto from = web::read_cursor(text); !from)
        check_words(from.error());
    else if (from->seq < 0)
        broken("a cursor before the first", text);
    std::int64_t seq = 0;
    for (const char c : text.substr(0, 8))
        seq = (seq << 8 | static_cast<unsigned char>(c)) & INT64_MAX;
    check_cursor(text.substr(0, 63), seq);
    return 0;
}
