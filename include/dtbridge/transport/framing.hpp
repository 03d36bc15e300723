#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dtbridge/cluster/permit.hpp>
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
    kafka,           ///< bare: the value of a record, with a label beside it
};

/// What the options mean for the wire: UDP has datagrams, RELP frames and Kafka records of its own, whatever
/// framing says.
wire wire_of(const options& o);

/// Appends one message with its frame. Line breaks (F2) or NULs (F3) that are left inside become one space
/// each, so that a message can never end early or start another.
void append_framed(wire w, std::string_view message, std::string& out);

/// What is said beside a message where the wire has room for it: key and headers of a record of Kafka.
struct message_label
{
    std::string key = {};          ///< messages of one key keep their order; "" for none
    std::string master = {};       ///< "" where it is about none
    std::string pbid = {};         ///< "" for a bridge event
    std::string_view format = {};  ///< "json", "cef", "leef"; of static storage
};

/// Whole messages that are sent together, already framed. Reused: clear() keeps the memory.
class batch
{
public:
    explicit batch(wire w) : wire_(w) {}
    void add(std::string_view message);
    /// For a wire that is labelled.
    void add(std::string_view message, message_label l);
    /// Whether labels go over this wire; making them for another one is a waste.
    bool is_labelled() const { return wire_ == wire::kafka; }
    void clear();
    /// Whose breaches the messages are: asked before each piece of the batch is sent. Null, as after clear():
    /// nobody's.
    void under(std::shared_ptr<const cluster::permit> lease) { lease_ = std::move(lease); }
    const cluster::permit* lease() const { return lease_.get(); }
    std::size_t count() const { return ends_.size(); }
    /// With frames.
    std::string_view bytes() const { return bytes_; }
    /// Message i with its frame.
    std::string_view piece(std::size_t i) const;
    /// Of message i; empty where it was added without.
    const message_label& label(std::size_t i) const;

private:
    wire wire_;
    std::string bytes_;
    std::vector<std::size_t> ends_;
    std::vector<message_label> labels_;  // of the first messages; without labels none
    std::shared_ptr<const cluster::permit> lease_;
};

}  // namespace dtbridge::transport
