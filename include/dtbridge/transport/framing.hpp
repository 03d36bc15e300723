#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dtbridge/transport/options.hpp>

namespace dtbridge::transport
{

/// How a message is told from the next one on the wire (formats.md 5.3, F1 to F4).
enum class wire {
    octet_counting,  ///< F1: RFC 6587 3.4.1, RFC 5425
    newline,         ///< F2: RFC 6587 3.4.2
    nul,             ///< F3
    datagram,        ///< F4: RFC 5426
    relp,            ///< bare here: the connection numbers and frames it
};

/// What the options mean for the wire: UDP has datagrams and RELP frames of its own, whatever framing says.
wire wire_of(const options& o);

/// Appends one message with its frame. Line breaks (F2) or NULs (F3) that are left inside become one space
/// each, so that a message can never end early or start another.
void append_framed(wire w, std::string_view message, std::string& out);

/// Whole messages that are sent together, already framed. Reused: clear() keeps the memory.
class batch
{
public:
    explicit batch(wire w) : wire_(w) {}
    void add(std::string_view message);
    void clear();
    std::size_t count() const { return ends_.size(); }
    /// With frames.
    std::string_view bytes() const { return bytes_; }
    /// Message i with its frame.
    std::string_view piece(std::size_t i) const;

private:
    wire wire_;
    std::string bytes_;
    std::vector<std::size_t> ends_;
};

}  // namespace dtbridge::transport
