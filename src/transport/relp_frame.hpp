#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dtbridge::transport
{

/// RELP frames (the protocol's specification, "RELP FRAME"): TXNR SP COMMAND SP DATALEN [SP DATA] LF. Pure.

/// The highest transaction number; the one after it is 1. 0 is for hints.
constexpr std::uint32_t relp_last_number = 999'999'999;
constexpr std::uint32_t relp_next(std::uint32_t number)
{
    return number >= relp_last_number ? 1 : number + 1;
}

void append_relp_frame(std::uint32_t number,
                       std::string_view command,
                       std::string_view data,
                       std::string& out);

struct relp_frame
{
    std::uint32_t number = 0;
    std::string command;
    std::string data;
};

/// Takes a collector's frames out of bytes that come in any pieces. Every part is bounded, so what it holds
/// is: a number of at most nine digits, a command of at most 32 letters, data of at most most_data bytes.
class relp_reader
{
public:
    /// Answers are short; the longest is the one to "open" with its offers.
    static constexpr std::size_t most_data = 16u << 10;

    enum class state {
        more,    ///< all of the bytes were taken and the frame is not whole yet
        whole,   ///< frame() is whole; bytes behind it are left in from
        broken,  ///< no RELP; wrong() says why, and every further call does the same
    };
    state take(std::string_view& from);
    const relp_frame& frame() const { return frame_; }
    /// "sends a number of more than nine digits": goes behind the collector's name.
    const std::string& wrong() const { return wrong_; }
    /// Between two frames: an end here cuts nothing.
    bool is_between() const { return part_ == part::number && digits_ == 0; }

private:
    enum class part { number, command, length, data, end };
    state broken(std::string_view why);
    /// Takes one character of the header; broken() or more.
    state header(char c);
    state digit(char c, std::uint32_t& into, std::string_view name);

    relp_frame frame_;
    part part_ = part::number;
    std::size_t digits_ = 0;
    std::uint32_t number_ = 0, length_ = 0;
    bool taken_ = false;  // the frame was given out: the next byte starts another
    std::string wrong_;
};

/// The data of a "rsp" frame: a code of three digits, words, and for "open" the offers. Nothing when it has
/// another form. Views into data.
struct relp_answer
{
    unsigned code = 0;
    std::string_view words, rest;
};
std::optional<relp_answer> read_relp_answer(std::string_view data);

/// What the answer to "open" offers.
struct relp_offers
{
    bool has_version = false;  ///< relp_version 0 or 1
    bool has_syslog = false;   ///< among the commands
};
relp_offers read_relp_offers(std::string_view rest);

}  // namespace dtbridge::transport
