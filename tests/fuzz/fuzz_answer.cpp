/// Any answer, in any pieces: the splitter yields the same elements whatever the pieces are, and those that a
/// JSON parser of somebody else finds in it.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <dtbridge/core/breach.hpp>
#include <dtbridge/poll/element_splitter.hpp>

namespace
{

using namespace dtbridge;

struct outcome_of
{
    std::vector<std::string> elements;
    poll::body_shape shape = poll::body_shape::nothing;
};

outcome_of split(std::string_view text, std::size_t piece)
{
    poll::element_splitter splitter;
    outcome_of out;
    for (std::size_t at = 0; at < text.size(); at += piece)
    {
        splitter.feed(text.substr(at, piece));
        while (splitter.next() != poll::element_splitter::event::more)
            out.elements.emplace_back(splitter.element());
    }
    out.shape = splitter.shape();
    return out;
}

/// Where the whole is valid JSON, an array's values and nothing else are the elements, and one object is one.
void compare(std::string_view text, const outcome_of& found)
{
    boost::json::parse_options deep;
    deep.max_depth = 200;
    boost::system::error_code ec;
    const auto parsed = boost::json::parse(text, ec, {}, deep);
    if (ec || (!parsed.is_array() && !parsed.is_object()))
        return;
    const std::size_t count = parsed.is_array() ? parsed.as_array().size() : 1;
    if (found.elements.size() != count)
        std::abort();
    for (std::size_t i = 0; i < count; ++i)
    {
        const auto& wanted = parsed.is_array() ? parsed.as_array()[i] : parsed;
        const auto element = boost::json::parse(found.elements[i], ec, {}, deep);
        if (ec || boost::json::serialize(element) != boost::json::serialize(wanted))
            std::abort();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size == 0)
        return 0;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto whole = split(text, size);
    const auto pieces = split(text, 1 + data[0] % 7);
    if (whole.elements != pieces.elements || whole.shape != pieces.shape)
        std::abort();
    compare(text, whole);
    breach b;
    for (const auto& e : whole.elements)
        (void)b.read(e);
    return 0;
}
