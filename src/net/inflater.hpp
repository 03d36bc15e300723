#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include <dtbridge/core/failure.hpp>

struct z_stream_s;  // zlib.h, which only the .cpp needs

namespace dtbridge::net
{

/// gzip (RFC 1952, several members too), piece by piece into a buffer of the caller's.
class inflater
{
public:
    inflater();
    ~inflater();
    inflater(const inflater&) = delete;
    inflater& operator=(const inflater&) = delete;

    /// The next input; the last one must have been used up, and these bytes must stay until they are.
    void feed(std::string_view in);
    /// Up to size bytes; 0 when more input is needed or the stream has ended. errc::malformed for what is no
    /// gzip.
    result<std::size_t> next(void* into, std::size_t size);
    /// The trailer of the last member was seen and was right, and nothing follows it so far.
    bool ended() const { return ended_; }

private:
    std::unique_ptr<z_stream_s> z_;
    bool ended_ = false;
};

}  // namespace dtbridge::net
