/// Any bytes as gzip, in any pieces: the same bytes come out whatever the pieces are, never more at once than
/// there is room for, and what was made by zlib comes back as it was.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <zlib.h>

#include "net/inflater.hpp"

namespace
{

using namespace dtbridge;
constexpr std::size_t most = 8u << 20;  // of output; a bomb is cut by the client's ratio, not here

struct expanded
{
    std::string bytes;
    bool ended = false, malformed = false;
};

expanded expand(std::string_view in, std::size_t piece, std::size_t room)
{
    net::inflater z;
    expanded out;
    std::string buffer(room, '\0');
    for (std::size_t at = 0; at < in.size() && out.bytes.size() < most; at += piece)
    {
        z.feed(in.substr(at, piece));
        for (;;)
        {
            const auto n = z.next(buffer.data(), buffer.size());
            if (!n)
            {
                out.malformed = true;
                return out;
            }
            if (*n > room)
                std::abort();
            if (*n == 0)
                break;
            out.bytes.append(buffer, 0, *n);
            if (out.bytes.size() >= most)
                break;
        }
    }
    out.ended = z.ended();
    return out;
}

std::string compressed(std::string_view bytes)
{
    z_stream z = {};
    if (deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        std::abort();
    std::string out(deflateBound(&z, bytes.size()) + 64, '\0');
    z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    z.avail_in = static_cast<uInt>(bytes.size());
    z.next_out = reinterpret_cast<Bytef*>(out.data());
    z.avail_out = static_cast<uInt>(out.size());
    if (deflate(&z, Z_FINISH) != Z_STREAM_END)
        std::abort();
    out.resize(z.total_out);
    deflateEnd(&z);
    return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size < 3)
        return 0;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const std::size_t piece = 1 + data[0] % 97;
    const std::size_t room = 1 + data[1] * 16u;
    const auto whole = expand(text, text.size(), 1u << 16);
    const auto pieces = expand(text, piece, room);
    if (whole.malformed != pieces.malformed || whole.ended != pieces.ended)
        std::abort();
    // Before an error as much as had been expanded comes out, which may be less in larger pieces.
    const auto common = std::min(whole.bytes.size(), pieces.bytes.size());
    if (whole.bytes.compare(0, common, pieces.bytes, 0, common) != 0)
        std::abort();
    if (!whole.malformed && whole.bytes.size() < most && whole.bytes != pieces.bytes)
        std::abort();
    const auto frame = compressed(text);
    const auto back = expand(frame, piece, room);
    if (!back.ended || back.malformed || back.bytes != text)
        std::abort();
    return 0;
}
