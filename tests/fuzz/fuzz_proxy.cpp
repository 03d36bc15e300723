/// Any bytes as a proxy's answer to CONNECT: the pieces in which they come do not change what it is, and what
/// is behind it is not lost.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <net/proxy_answer.hpp>

namespace
{

using dtbridge::net::proxy_answer;
using state = proxy_answer::state;

struct end
{
    state now = state::more;
    unsigned status = 0;
    std::string behind;
};

end hear(std::string_view bytes, std::size_t piece)
{
    proxy_answer a;
    end e;
    while (!bytes.empty() && e.now == state::more)
    {
        const auto part = bytes.substr(0, piece);
        bytes.remove_prefix(part.size());
        e.now = a.take(part);
    }
    if (e.now == state::whole)
    {
        e.status = a.status();
        e.behind = std::string(a.rest()) + std::string(bytes);
    }
    return e;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const auto small = hear(bytes, 1), larger = hear(bytes, 2048);
    // A header that ends behind the bound may come whole with the piece that passes it.
    if (small.now != larger.now && !(small.now == state::endless && larger.now == state::whole))
        std::abort();
    if (small.now == state::whole && (small.status != larger.status || small.behind != larger.behind))
        std::abort();
    if (small.now == state::whole)
    {
        const auto header = bytes.substr(0, bytes.size() - small.behind.size());
        if (small.status < 100 || small.status > 999 || !header.starts_with("HTTP/1.") ||
            !header.ends_with("\r\n\r\n") || header.size() > proxy_answer::most_bytes + 4 ||
            header.find("\r\n\r\n") != header.size() - 4)
            std::abort();
    }
    if (small.now == state::more && bytes.size() > proxy_answer::most_bytes)
        std::abort();
    return 0;
}
