/// Any bytes as a gzip body: the pieces in which they come change nothing, and no more comes out than deflate
/// can hold.

#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <net/inflater.hpp>

namespace
{

constexpr std::size_t most_out = 8u << 20;

struct end
{
    bool fine = true, whole = false, stopped = false;
    std::string out;
};

end inflate_all(std::string_view bytes, std::size_t piece)
{
    dtbridge::net::inflater z;
    std::array<char, 4096> buffer;
    end e;
    while (!bytes.empty())
    {
        const auto part = bytes.substr(0, piece);
        bytes.remove_prefix(part.size());
        z.feed(part);
        for (;;)
        {
            const auto n = z.next(buffer.data(), buffer.size());
            if (!n)
            {
                e.fine = false;
                return e;
            }
            if (*n > buffer.size())
                std::abort();
            if (*n == 0)
                break;
            e.out.append(buffer.data(), *n);
            if (e.out.size() > most_out)
            {
                e.stopped = true;
                return e;
            }
        }
    }
    e.whole = z.ended();
    return e;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const auto at_once = inflate_all(bytes, size + 1);
    const auto in_pieces = inflate_all(bytes, 3);
    if (at_once.fine != in_pieces.fine || at_once.whole != in_pieces.whole)
        std::abort();
    if (at_once.fine && !at_once.stopped && at_once.out != in_pieces.out)
        std::abort();
    // RFC 1951 cannot say more than 258 bytes with one bit and a half; zlib's bound is 1032 to 1.
    if (at_once.out.size() > size * 1032 + 4096)
        std::abort();
    return 0;
}
