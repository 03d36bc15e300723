#include <dtbridge/transport/framing.hpp>

#include <cassert>
#include <charconv>
#include <utility>

namespace dtbridge::transport
{

namespace
{

// F2: CR, LF and CRLF each become one space. The encoders leave none; this is the last line of defence.
void append_without_breaks(std::string_view message, std::string& out)
{
    for (;;)
    {
        auto at = message.find_first_of("\r\n");
        if (at == std::string_view::npos)
            break;
        out.append(message.substr(0, at));
        out.push_back(' ');
        auto skip = message.substr(at, 2) == "\r\n" ? 2u : 1u;
        message.remove_prefix(at + skip);
    }
    out.append(message);
}

void append_without_nul(std::string_view message, std::string& out)
{
    auto from = out.size();
    out.append(message);
    for (auto at = out.find('\0', from); at != std::string::npos; at = out.find('\0', at))
        out[at] = ' ';
}

}  // namespace

wire wire_of(const options& o)
{
    if (o.kind == protocol::udp)
        return wire::datagram;
    if (is_relp(o.kind))
        return wire::relp;
    if (o.kind == protocol::kafka)
        return wire::kafka;
    switch (o.frames)
    {
        case framing::newline:
            return wire::newline;
        case framing::nul:
            return wire::nul;
        case framing::octet_counting:
            break;
    }
    return wire::octet_counting;
}

void append_framed(wire w, std::string_view message, std::string& out)
{
    switch (w)
    {
        case wire::octet_counting: {
            char digits[20];
            auto end = std::to_chars(digits, digits + sizeof digits, message.size()).ptr;
            out.append(digits, end);
            out.push_back(' ');
            out.append(message);
            break;
        }
        case wire::newline:
            append_without_breaks(message, out);
            out.push_back('\n');
            break;
        case wire::nul:
            append_without_nul(message, out);
            out.push_back('\0');
            break;
        case wire::datagram:
        case wire::relp:
        case wire::kafka:
            out.append(message);
            break;
    }
}

void batch::add(std::string_view message)
{
    append_framed(wire_, message, bytes_);
    ends_.push_back(bytes_.size());
}

void batch::add(std::string_view message, message_label l)
{
    labels_.resize(ends_.size());
    labels_.push_back(std::move(l));
    add(message);
}

void batch::clear()
{
    bytes_.clear();
    ends_.clear();
    labels_.clear();
    lease_.reset();
}

std::string_view batch::piece(std::size_t i) const
{
    assert(i < ends_.size());
    auto from = i == 0 ? 0 : ends_[i - 1];
    return std::string_view(bytes_).substr(from, ends_[i] - from);
}

const message_label& batch::label(std::size_t i) const
{
    static const message_label none;
    return i < labels_.size() ? labels_[i] : none;
}

}  // namespace dtbridge::transport
