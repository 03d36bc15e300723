#include "net/inflater.hpp"

#include <zlib.h>

#include <algorithm>
#include <climits>
#include <new>

namespace dtbridge::net
{

inflater::inflater() : z_(std::make_unique<z_stream>())
{
    // 16 more than the largest window: gzip and nothing else (zlib.h, inflateInit2).
    if (inflateInit2(z_.get(), 16 + MAX_WBITS) != Z_OK)
        throw std::bad_alloc();
}

inflater::~inflater()
{
    inflateEnd(z_.get());
}

void inflater::feed(std::string_view in)
{
    z_->next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));  // zlib only reads it
    z_->avail_in = static_cast<uInt>(std::min<std::size_t>(in.size(), UINT_MAX));
}

result<std::size_t> inflater::next(void* into, std::size_t size)
{
    z_->next_out = static_cast<Bytef*>(into);
    z_->avail_out = static_cast<uInt>(std::min<std::size_t>(size, UINT_MAX));
    const uInt room = z_->avail_out;
    while (z_->avail_out > 0)
    {
        if (ended_)
        {
            if (z_->avail_in == 0)
                break;
            if (inflateReset(z_.get()) != Z_OK)  // RFC 1952 2.2: members simply follow one another
                return make_error_code(errc::malformed);
            ended_ = false;
        }
        const int rc = inflate(z_.get(), Z_NO_FLUSH);
        if (rc == Z_STREAM_END)
        {
            ended_ = true;
            continue;
        }
        if (rc == Z_BUF_ERROR)  // no progress without more input
            break;
        if (rc != Z_OK)
            return make_error_code(errc::malformed);
    }
    return std::size_t(room - z_->avail_out);
}

}  // namespace dtbridge::net
