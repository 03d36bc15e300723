/// Any answer, in any pieces: the splitter yields the same elements whatever the pieces are.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

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
    breach b;
    for (const auto& e : whole.elements)
        (void)b.read(e);
    return 0;
}
